"""`report`: one self-contained page that says what to deploy, how sure that is, and what it rests on.

The page loads nothing, and runs one script, its own: the policy names the script's digest. Whatever comes from data is
escaped text or an attribute; the script writes text only.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup
from matplotlib.figure import Figure

from ds3bayes import files
from ds3bayes.errors import InputError
from ds3bayes.generative.prices import learned_prices
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.artifact import evals_of, spec_of
from ds3bayes.inference.check import check
from ds3bayes.inference.checks import CheckResult
from ds3bayes.queries.decide import Decision
from ds3bayes.queries.predict import predict
from ds3bayes.queries.words import chance, interval, number, share
from ds3bayes.reports import charts, curve_figures, curve_tables, figures, tables, task_map
from ds3bayes.reports.charts import Chart
from ds3bayes.reports.citations import references
from ds3bayes.reports.curve_tables import Curves
from ds3bayes.reports.evidence import Evidence, frames, gather, unlearned
from ds3bayes.reports.recompute import embedded
from ds3bayes.reports.rendered import render
from ds3bayes.reports.suspect_tasks import suspects_shown
from ds3bayes.reports.tables import Shown, Sweep

#: What each check asks, in words for a reader who has not met it.
_QUESTIONS = {
    "convergence": "Did the sampler explore the whole posterior, or do its chains tell different stories?",
    "posterior prediction": "Could the fitted model have produced data like those observed?",
    "leave one task out": "Does any single task decide the result?",
    "leave one aggregate out": "Does any single row decide the result?",
    "what was learned": "Which parameters did the data inform, and which are as the prior left them?",
    "dependence on the prior": "Would predictions move if the prior were a little weaker or stronger?",
}
# Panels of a picture, and an eighth of its rows, up to which it is not folded although it stands below another.
_FEW = 3


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of matplotlib as the page holds it, on narrow screens another if one is given, and said in words."""

    caption: str
    alt: str
    source: str
    narrow: str = ""


def write_page(
    fit: xr.DataTree,
    pred: xr.Dataset | None,
    path: Path,
    *,
    title: str | None,
    checks: Sequence[CheckResult] | None,
    tables_in: str | Path | None,
    progress: Callable[[float], object] = lambda _: None,
) -> Path:
    """Write the page, and its tables beside it; see `ds3bayes.report`."""
    files.refuse_taken(path, "page")
    if tables_in is not None:
        files.refuse_taken(path.with_suffix(".md"), "text")
    if "spec" not in fit.attrs or "posterior" not in fit.children:
        raise InputError("report needs a fit, as `fit` or `load` returns it; this tree has no spec or no posterior")
    spec = spec_of(fit)
    if pred is None:
        pred = predict(fit, spec.query.parsed() or None, tasks=spec.query.tasks)
    if "success" not in pred or "strategy" not in pred.dims:
        raise InputError("pred is not a prediction: make it with predict(fit, strategies)")
    if "task" in pred.dims:
        raise InputError("a report is about means over tasks: call predict with per_task=False")
    done = list(checks) if checks is not None else check(fit)
    # Gathering takes about two thirds, drawing the rest.
    found = gather(fit, pred, spec, done, lambda share: progress(0.65 * share))
    written = {} if tables_in is None else frames(found)
    script = _script()
    content = _content(found, title) | {
        "mark": files.MARK,
        # From a file of this package, that no data reach.
        "script": Markup(script),
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        "files": [f"{tables_in}/{name}.csv" for name in written],
    }
    tables_at = {path.parent / (tables_in or "") / f"{name}.csv": frame for name, frame in written.items()}
    for place in tables_at:
        files.refuse_taken(place, "table")
    files.write(path, "page", render("report.html.j2", content).encode())
    if tables_in is not None:
        files.write(path.with_suffix(".md"), "text", files.remarked("text", render("report.md.j2", content)))
    for place, frame in tables_at.items():
        files.write(place, "table", files.csv_bytes(frame))
    return path


@lru_cache(maxsize=1)
def _script() -> str:
    """Return the script of the page."""
    return (resources("ds3bayes.reports") / "templates" / "report.js").read_text(encoding="utf-8")


def _content(found: Evidence, title: str | None) -> dict[str, Any]:
    spec, checks = found.spec, found.checks
    learned = found.learned
    return {
        "title": title or f"{spec.name}: what to deploy",
        "description": spec.description,
        "chosen": found.decision.chosen,
        "headline": found.decision.headline,
        "summary": _summary(found),
        "basis": _basis(found),
        "failed": [result.name for result in checks if not result.passed],
        "partly": "" if found.pred.attrs.get("partly_absent", "none") == "none" else found.pred.attrs["partly_absent"],
        "which_tasks": found.which,
        "decisions": _decisions(found.decision, spec),
        "ask": _ask(found),
        "tasks": _tasks(found),
        "curves": [*_attempts(found), *_budgets(found)],
        "skills": _skills(found),
        "compared": [
            tables.comparison_table(rows.reset_index(drop=True), str(part))
            for part, rows in found.compared.groupby("rows", sort=False)
        ],
        "compared_pictures": _compared_pictures(found.compared),
        "compared_few": len(found.compared) <= 8 * _FEW,
        "suspects": None if found.suspects is None else suspects_shown(found.suspects),
        "score": _score(found.compared),
        "verdict": _verdict(found.compared),
        "sweeps": [_sweep(one, learned) for one in found.sweeps],
        "sweep_fault": found.faults.get("sweeps", ""),
        "checks": [_check(result, learned) for result in checks if not result.note],
        "notes": [_check(result, learned) for result in checks if result.note],
        "learned": None if learned is None else _learned_section(learned, found),
        "data": tables.samplers_table(found.data),
        "provenance": _provenance(found.fit),
        "spec": spec.to_toml(),
        "references": references(spec, found.data, [result.name for result in checks]),
        "target": spec.query.success,
        "margin": spec.query.margin,
    }


def _check(result: CheckResult, learned: pd.DataFrame | None) -> dict[str, Any]:
    """Return a check, or a note, with its question, table and picture."""
    # What was learned has a section, with a picture, of its own; nothing to draw where nothing was found.
    drawn = result.table is not learned and not result.table.empty
    return {
        "result": result,
        "question": _QUESTIONS.get(result.name, ""),
        "table": tables.check_table(result.name, result.table),
        "picture": _picture(
            figures.check_outcome(result, width=figures.SLIM),
            "The numbers behind it; dashed lines are bounds.",
            f"{result.name}: {result.sentence}",
        )
        if drawn
        else None,
    }


def _summary(found: Evidence) -> list[tuple[str, list[str]]]:
    """Say under headings what to deploy, what reaches the target, what would change that, and how far to trust it."""
    decision = found.decision
    card = dict(decision.card)
    if not decision.enough:
        reaches = _reaches(decision, found.spec.query.success)
        said = [reaches] if reaches else []
        card = {"Choose": card.pop("Choose"), **({"To reach the target": said} if said else {}), **card}
    if not decision.chosen and decision.parts:
        each = [f"On {one.benchmark}: {_lower(one.choice)}" for one in decision.parts[:5]]
        more = [f"{len(decision.parts) - 5} more benchmarks are below."] if len(decision.parts) > 5 else []
        card["Choose"] = [*card["Choose"], *each, *more]
    return [*card.items(), ("How far to trust it", [_trust(found)])]


def _reaches(decision: Decision, target: float) -> str:
    """Say how likely the target is, where no cost tells what is enough."""
    real = decision.options[~decision.options["bound"].astype(bool)]
    if real.empty:
        return ""
    top = real.loc[real["p_reach"].idxmax()]
    return f"Success {target:g} is most likely reached by {top['option']}, with probability {chance(top['p_reach'])}."


def _trust(found: Evidence) -> str:
    said = [_lower(_verdict(found.compared)).rstrip(".")]
    counted = [result for result in found.checks if not result.note]
    said.append(f"{sum(result.passed for result in counted)} of {len(counted)} checks passed")
    if found.learned is not None:
        weak = int((found.learned["sd ratio"] > tables.HARDLY_LEARNED).sum())
        said.append(f"{weak} of {len(found.learned)} parameters rest on their prior")
    sentence = "; ".join(said)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _basis(found: Evidence) -> str:
    """Say what the fit was made from."""
    data, spec = found.data, found.spec
    models, benchmarks = list(dict.fromkeys(data["model"])), list(dict.fromkeys(data["benchmark"]))
    rows = found.fit["constant_data"].to_dataset()
    held = int(rows["held_out"].sum())
    posterior = found.fit["posterior"].sizes
    return (
        f"The model {spec.name!r} was fitted to {rows.sizes['row'] - held:,} rows of "
        f"{_some(models, 'LLM')} on {_some(benchmarks, 'benchmark')} ({int(data['attempts'].sum()):,} attempts by "
        f"{len(data)} {'sampler' if len(data) == 1 else 'samplers'} in all), with "
        f"{posterior['chain'] * posterior['draw']:,} posterior draws; {held:,} of {rows.sizes['row']:,} rows "
        "were held out to test its predictions."
    )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _some(names: list[str], kind: str) -> str:
    return f"the {kind} {names[0]}" if len(names) == 1 else f"{len(names)} {kind}s"


def _verdict(compared: pd.DataFrame) -> str:
    """Say which held-out predictions were hit and which were missed, of those that have an interval."""
    kept_out = int((compared["rows"] == "held out").sum())
    compared = compared[~compared["flat"]]
    held = compared[compared["rows"] == "held out"]
    if held.empty and kept_out:
        return f"No interval of the {kept_out} held-out quantities has a width, so nothing here tests prediction."
    if held.empty:
        hits = int(compared["inside"].sum())
        return (
            "No rows were held out, so nothing here tests prediction; "
            f"{hits} of {len(compared)} fitted quantities lie inside their 90 % intervals."
        )
    missed = held[~held["inside"]]
    near = int(held["edge"].sum())
    edge = f"; {near} of them at the very edge" if near and len(held) > 1 else ", at its very edge" if near else ""
    if missed.empty:
        return (
            f"Every one of the {len(held)} held-out quantities fell inside its 90 % predictive interval{edge}."
            if len(held) > 1
            else f"The one held-out quantity fell inside its 90 % predictive interval{edge}."
        )
    shares = tables.is_share(missed)
    named = []
    for row, of_success in zip(missed.itertuples(), shares, strict=True):
        write: Callable[[float], str] = share if of_success else number
        named.append(
            f"{row.quantity} of {row.sampler} (observed {write(row.observed)}, predicted {write(row.lower)} to "
            f"{write(row.upper)})"
        )
    more = f"; and {len(named) - 4} more" if len(named) > 4 else ""
    return (
        f"Of {len(held)} held-out quantities {len(held) - len(missed)} fell inside their 90 % predictive intervals"
        + (f" ({near} of them at the very edge)" if near else "")
        + f" and {len(missed)} {'was' if len(missed) == 1 else 'were'} missed: {'; '.join(named[:4])}{more}."
    )


def _attempts(found: Evidence) -> list[dict[str, Any]]:
    """Return the picture and table of success against the number of attempts."""
    shown = found.by_attempts
    if shown is None:
        return []
    walks = dict.fromkeys(shown.lines["walk"])
    of = f"One attempt is {next(iter(walks))}." if len(walks) == 1 else "A colour for every sampler of one attempt."
    reach = (
        " Its limit for endlessly many attempts is the share of tasks that the LLM can solve at all."
        if found.spec.population.reachability
        else " Its limit is 1 because the spec takes every task as solvable (population.reachability = false)."
    )
    vote = (
        " A vote is limited by tasks whose right answer is rarer than some wrong one."
        if "majority vote" in set(shown.lines["kind"])
        else " Votes are not shown: nothing observed tells how wrong answers agree."
    )
    return [
        {
            "name": "Success against attempts",
            "many": len(shown.panels) > _FEW,
            "said": f"An oracle picks a right answer wherever there is one.{reach}{vote}",
            "picture": charts.curves(
                shown,
                f"Success against attempts per task, {_of_tasks(found)}. {of} Bands and bars are 90 % intervals; "
                f"at the right the limits for endlessly many attempts.{_left_out(shown)}",
                curve_figures.say_curves(shown, "Predicted success against attempts per task", "attempts"),
                x_label="attempts n per task",
                y_label="success",
                endless="∞",
            ),
            "table": curve_tables.curves_table(
                shown, "Success by number of attempts; means with 90 % intervals", "attempts", "endless"
            ),
        }
    ]


def _budgets(found: Evidence) -> list[dict[str, Any]]:
    """Return the picture and table of success against the token budget of an attempt."""
    shown = found.by_budget
    if shown is None:
        return []
    return [
        {
            "name": "Success against token budget",
            "many": len(shown.panels) > _FEW,
            "said": "Of a budget that the LLM was asked to think for, the curve goes through what was observed. An "
            "attempt that is cut before the path of skills is finished fails, unless the data show that it answers all "
            "the same. Beyond what was observed, lines are dotted: extrapolated.",
            "picture": charts.curves(
                shown,
                f"Success of one attempt against its token budget, {_of_tasks(found)}. Bands and bars are 90 % "
                f"intervals.{_left_out(shown)}",
                curve_figures.say_curves(shown, "Predicted success of one attempt against its token budget", "tokens"),
                x_label="tokens of an attempt, asked or cut",
                y_label="success of one attempt",
                endless="none",
            ),
            "table": curve_tables.curves_table(
                shown, "Success by token budget; means with 90 % intervals", "budget, tokens", "no budget"
            ),
        }
    ]


def _of_tasks(found: Evidence) -> str:
    return "for new tasks" if found.which == "new" else "for the observed tasks"


def _left_out(shown: Curves) -> str:
    more = len(shown.panels) - curve_tables.MOST_PANELS
    return f" {more} more LLMs and benchmarks are in the table." if more > 0 else ""


def _skills(found: Evidence) -> list[dict[str, Any]]:
    """Return the pictures and tables of what the fit holds of skills, levels or scaling."""
    result = []
    if found.graph is not None:
        result.append(
            {
                "name": "The skill graph",
                "said": "A task crosses the skills it needs; a skill builds on those with an arrow to it.",
                "picture": _picture(
                    curve_figures.skills(found.graph),
                    "Skills with the mean over LLMs of their mastery, and prerequisites by their probability.",
                    curve_figures.say_skills(found.graph),
                    curve_figures.skills(found.graph, width=figures.PHONE),
                ),
                "map": _skill_map(curve_tables.masteries(found.graph)),
                "tables": [
                    curve_tables.masteries_table(curve_tables.masteries(found.graph)),
                    curve_tables.prerequisites_table(curve_tables.prerequisites(found.graph)),
                ],
            }
        )
    if found.levels is not None:
        result.append(
            {
                "name": "Levels of skills",
                "said": "Training compute becomes concepts, and concepts become skills up to a level; tasks at or "
                "below an LLM's level are within its reach.",
                "picture": _picture(
                    curve_figures.levels_against_compute(found.levels, width=figures.SLIM),
                    "The level of skills that each LLM reaches against its training compute, with 90 % intervals, and "
                    "the levels of tasks.",
                    curve_figures.say_levels(found.levels),
                ),
                "map": None,
                "tables": [curve_tables.levels_table(found.levels)],
            }
        )
    if found.scaling is not None:
        result.append(
            {
                "name": "Success against training compute",
                "said": "Lines are for LLMs never evaluated, at the sizes of evaluated ones; their bands also hold "
                "what sets one LLM apart from another of the same training.",
                "picture": _picture(
                    curve_figures.success_against_compute(found.scaling, width=figures.SLIM),
                    f"Success of one attempt against training compute, by size, {_of_tasks(found)}. Bands and bars are "
                    "90 % intervals.",
                    curve_figures.say_scaling(found.scaling),
                ),
                "map": None,
                "tables": [curve_tables.scaling_table(found.scaling)],
            }
        )
    return result


def _score(compared: pd.DataFrame) -> Shown | None:
    score = tables.held_out_score(compared)
    return None if score.empty else tables.held_out_table(score)


def _skill_map(masteries: pd.DataFrame) -> Chart:
    """Return the map of LLMs and skills."""
    said = [f"{row.llm}, {row.skill}: {interval(row.mean, row.lower, row.upper)}" for row in masteries.itertuples()]
    return charts.cells(
        masteries.assign(said=said),
        "Mastery of every skill by every LLM: the darker the surer a step is right, the smaller the less is known.",
        "Map of LLMs and skills by mastery; the table has the numbers, from "
        f"{masteries['mean'].min():.2f} to {masteries['mean'].max():.2f}.",
        across="skill",
        down="llm",
        what="skills",
        named=True,
    )


def _tasks(found: Evidence) -> dict[str, Any] | None:
    """Return the map of samplers and tasks, with what is known of every task of it."""
    if found.tasks is None or found.tasks.empty:
        return None
    maps: list[dict[str, Any]] = []
    for benchmark, frame in found.tasks.groupby("benchmark", sort=False):
        shown = task_map.mapped(frame)
        prefix = f"task-{len(maps)}"
        places = {task: place for place, task in enumerate(dict.fromkeys(shown["task"]))}
        shown = shown.assign(link=[f"{prefix}-{places[task]}" for task in shown["task"]])
        every = frame["task"].nunique()
        some = f" {len(places)} of {every:,} tasks, evenly spread; the table has all." if len(places) < every else ""
        maps.append(
            {
                "benchmark": str(benchmark),
                "picture": charts.cells(
                    shown,
                    f"Predicted success of one attempt at each of the tasks of {benchmark}, the hardest at the left: "
                    f"the darker the likelier, the smaller the less is known.{some}",
                    f"Map of samplers and tasks of {benchmark}: predicted success from {frame['mean'].min():.3f} to "
                    f"{frame['mean'].max():.3f}, by task in what follows.",
                    across="task",
                    down="row",
                    what="tasks, from the hardest to the easiest",
                ),
                "each": [
                    (f"{prefix}-{place}", name, said, rows)
                    for place, (name, said, rows) in enumerate(task_map.of_tasks(shown))
                ],
            }
        )
    return {"maps": maps, "several": len(maps) > 1}


def _ask(found: Evidence) -> dict[str, Any] | None:
    """Return what the page needs to decide again: the draws, and the questions with their prices."""
    decision = found.decision
    if decision.parts and not len(decision.options):
        return None
    query = found.spec.query
    prices = learned_prices(found.spec, evals_of(found.fit)[0]).priced(found.spec)
    models = list(dict.fromkeys(decision.options["model"].astype(str)))
    draws = embedded(decision, query, {model: prices.cost(model) for model in models})
    if not draws:
        return None
    content = json.loads(draws)
    return {
        "draws": draws,
        "priced": content["priced"],
        "unit": content["unit"],
        "cap": "" if query.max_cost is None else f"{query.max_cost:.10g}",
        "query": query,
        "prices": content.get("prices", {}),
        "thinned": f"{content['draws']:,} of {content['of']:,}" if content["draws"] < content["of"] else "",
        "number": content["of"],
        "choice": decision.choice,
        "enough": decision.enough,
    }


def _decisions(decision: Decision, spec: ModelSpec) -> list[dict[str, Any]]:
    """Return the sections of a decision: on all benchmarks, and on each where there are several."""
    sections: list[tuple[Decision, list[str]]] = [(decision, [])] if len(decision.options) else []
    # Of the whole the summary just said the rest.
    sections += [(one, one.sentences) for one in decision.parts]
    return [
        _decision(one, [text for text in said if text], spec) | {"whole": one is decision} for one, said in sections
    ]


def _decision(decision: Decision, sentences: list[str], spec: ModelSpec) -> dict[str, Any]:
    query, options = spec.query, decision.options
    priced = bool(np.isfinite(options["cost"]).any())
    shown = tables.decision_table(decision, query)
    if priced:
        picture = charts.success_against_cost(
            options,
            f"Predicted success against cost on {decision.benchmark}. Bars are 90 % intervals in both directions; "
            "labels are the numbers of the table, given to the options of least regret and to "
            "those on the frontier; the grey line joins the options that no other beats in both means."
            + (" Open marks are upper bounds." if options["bound"].any() else "")
            + (" Small diamonds and crosses are what was observed." if options["observed"].notna().any() else ""),
            figures.say_success_against_cost(options, cost=query.cost),
            cost=query.cost,
            max_cost=query.max_cost,
            target=query.success,
        )
    else:
        picture = charts.success_alone(
            options,
            f"Predicted success on {decision.benchmark}, with 90 % intervals.",
            figures.say_success_alone(options),
            query.success,
        )
    return {"decision": decision, "sentences": sentences, "table": shown, "picture": picture}


def _compared_pictures(compared: pd.DataFrame) -> list[Chart]:
    shares = tables.is_share(compared)
    result = []
    if shares.any():
        result.append(
            charts.compared(
                compared,
                "Shares of right answers: observed against predicted. Intervals hold the chance of the attempts.",
                figures.say_compared(compared, of_success=True),
                of_success=True,
            )
        )
    if (~shares & (compared["observed"] > 0) & (compared["lower"] > 0)).any():
        result.append(
            charts.compared(
                compared,
                "Tokens and prices: predicted over observed, so 1 means as observed. The table has the amounts.",
                figures.say_compared(compared, of_success=False),
                of_success=False,
            )
        )
    return result


def _sweep(sweep: Sweep, learned_parameters: pd.DataFrame | None) -> dict[str, Any]:
    def said(name: str) -> str:
        mean, low, high = sweep.learned[name]
        return f"{mean:.2f} ({low:.2f} to {high:.2f})"

    steps = "steps" if np.isnan(sweep.path_length) else f"{sweep.path_length:g} steps"
    assumed = (
        f"The model takes a tree search as a walk of {steps}. At every step each of at most {sweep.kept_states} kept "
        f"states proposes {sweep.proposed:.3g} candidates, an evaluator scores them, and the {sweep.kept_states} best "
        "are kept; scores of right steps lie d standard deviations above those of wrong ones, so d = 0 picks at random "
        "and an oracle never errs. Two right candidates of one state are the same thought with a probability called "
        "overlap: the larger, the fewer of its candidates can be right. The best-scored of the last states are written "
        "out; a right one becomes a right answer with a probability called answer fidelity. "
        "How often a proposed step is right comes from the chain of thought on the same tasks; the tree inherits a "
        "share of their spread in difficulty, and has an offset and task effects of its own."
    )
    found = []
    if "step_discrimination" in sweep.learned:
        found.append(f"d = {said('step_discrimination')}")
    if "candidate_overlap" in sweep.learned:
        found.append(f"overlap {said('candidate_overlap')}")
    if "answer_fidelity" in sweep.learned:
        found.append(f"answer fidelity {said('answer_fidelity')}")
    learned = f"With the observed tree rows the fit holds {', '.join(found)}. " if found else ""
    if found and learned_parameters is not None:
        weak = learned_parameters[learned_parameters["sd ratio"] > tables.HARDLY_LEARNED]["parameter"]
        names = {"step_discrimination": "d", "candidate_overlap": "overlap", "answer_fidelity": "answer fidelity"}
        unsure = [word for name, word in names.items() if name in set(weak)]
        if unsure:
            learned += f"These rows hardly moved {' and '.join(unsure)} from the prior, so other values fit them too. "
    seen = sweep.tasks - sweep.held_out
    provenance = (
        f"“Learned” and all settings below it use the {seen} tasks whose tree rows the fit saw"
        + (f"; the other {sweep.held_out} of {sweep.tasks} were held out" if sweep.held_out else "")
        + ". “From chain of thought alone” uses no tree row at all: whatever is particular to trees comes from its "
        "prior."
    )
    first = sweep.table["evaluator"].iloc[0]
    gaps = []
    for quantity, rows in sweep.table.groupby("quantity", sort=False):
        alone = rows[rows["evaluator"] == first].iloc[0]
        where = "inside" if alone["lower"] <= alone["observed"] <= alone["upper"] else "outside (missed)"
        gaps.append(
            f"{quantity}: observed {share(alone['observed'])}, which is {where} the interval from chain of "
            f"thought alone, {interval(alone['mean'], alone['lower'], alone['upper'])}"
        )
    return {
        "sweep": sweep,
        "assumed": assumed,
        "learned": learned + provenance,
        "outcome": ". ".join(text[:1].upper() + text[1:] for text in gaps) + ".",
        "table": tables.sweep_table(sweep),
        "picture": charts.evaluator_sweep(
            sweep,
            f"{sweep.name}: what it would score with other step evaluators. The black line is what was observed on all "
            f"{sweep.tasks} tasks; intervals hold 90 % and include the chance of the attempts.",
            figures.say_evaluator_sweep(sweep),
        ),
    }


def _learned_section(learned: pd.DataFrame, found: Evidence) -> dict[str, Any]:
    weak = int((learned["sd ratio"] > tables.HARDLY_LEARNED).sum())
    pairs = figures.strongest_ridges(found.fit["posterior"].to_dataset())
    unsure = unlearned(learned)
    return {
        "beliefs": tables.beliefs_table(found.beliefs),
        "ridges": None
        if not pairs
        else _picture(
            figures.ridges(pairs, width=figures.SLIM),
            "Pairs of parameters that trade off: the data tell a combination of the two better than either.",
            figures.say_ridges(pairs),
        ),
        "unsure": (
            f"The data said little of {', '.join(unsure)}: quote the prior with anything that depends on them."
            if unsure
            else "The data informed every parameter."
        ),
        "sentence": (
            f"Grey is the prior's 90 % interval, blue the posterior's. A posterior nearly as wide as its prior (sd "
            f"ratio above {tables.HARDLY_LEARNED:g}) means that the data said little: {weak} of {len(learned)} "
            "parameters, marked with a cross and the words “hardly learned”. What depends on them rests on the prior."
        ),
        "picture": charts.prior_and_posterior(
            learned,
            "Prior (grey) and posterior (coloured) 90 % intervals with their medians."
            + ("" if len(learned) <= 40 else " Lines are in the order of their medians; the folded table names them."),
            figures.say_prior_and_posterior(learned),
        ),
        "meanings": tables.meanings(learned),
        "table": tables.learned_table(learned),
    }


def _provenance(fit: xr.DataTree) -> list[tuple[str, str]]:
    attrs = fit.attrs
    constant = fit["constant_data"].attrs
    versions = json.loads(attrs.get("versions", "{}"))
    posterior = fit["posterior"].sizes
    rows = [
        ("Model id", str(attrs.get("model_id", "unknown"))),
        ("Data, SHA-256", str(attrs.get("data_sha256", "unknown"))),
        ("Data source", str(constant.get("source", "")) or "passed in memory"),
        *_read_from(constant.get("account")),
        ("Seed", str(attrs.get("seed", "unknown"))),
        ("Draws", f"{posterior['chain']} chains of {posterior['draw']:,}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown"),
    ]
    names = {"compile_seconds": "Compiling", "sample_seconds": "Sampling", "effects_seconds": "Task effects"}
    rows += [(label, f"{float(attrs[key]):.1f} s") for key, label in names.items() if key in attrs]
    created = fit["posterior"].attrs.get("created_at")
    return [*rows, ("Fitted at", str(created))] if created else rows


def _read_from(account: str | None) -> list[tuple[str, str]]:
    """Say what a reader of logs did, if one did."""
    if not account:
        return []
    told = json.loads(account)
    rows = [("Read by", f"{told['reader']}: {told['counted']:,} attempts")]
    files = [f"{name} (SHA-256 {digest[:12]})" for name, digest in told["sources"].items()]
    more = f"; and {len(files) - 8} more" if len(files) > 8 else ""
    rows += [("Files", "; ".join(files[:8]) + more)] if files else []
    left = [f"{one['count']:,} {one['why']}" for one in told["left_out"]]
    rows += [("Left out", "; ".join(left) or "nothing")]
    rows += [("Understood", "; ".join(f"{column}: {of}" for column, of in told["columns"].items()))]
    return [*rows, *(("Note", note) for note in told["notes"])]


def _picture(figure: Figure, caption: str, alt: str, narrow: Figure | None = None) -> Picture:
    """Store a figure as a data URI, and another for narrow screens if it has to be one."""
    return Picture(caption=caption, alt=alt, source=_svg(figure), narrow="" if narrow is None else _svg(narrow))


def _svg(figure: Figure) -> str:
    """Return a figure as an SVG data URI; text as outlines, so that it looks the same everywhere."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "ds3bayes"}), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the table next to it has it in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


__all__ = ["Picture", "Shown", "write_page"]
