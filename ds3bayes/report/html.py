"""`report`: one self-contained page that says what to deploy, how sure that is, and what it rests on."""

from __future__ import annotations

import base64
import io
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from ds3bayes.errors import InputError
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.checks import CheckResult, check
from ds3bayes.inference.fit import spec_of
from ds3bayes.inference.prior import beliefs_of_fit
from ds3bayes.inference.store import write_atomically
from ds3bayes.queries.predict import predict
from ds3bayes.report import figures, tables
from ds3bayes.report.tables import Decision, Shown, Sweep, number, share

REFERENCES: tuple[tuple[str, str], ...] = (
    (
        "Ellis-Mohr, Nayak, Varshney (2025): inference as directed stochastic skill search, the theory of this model",
        "https://arxiv.org/abs/2507.00004",
    ),
    ("Nayak, Varshney (2024): skills and scaling, the training side of it", "https://arxiv.org/abs/2410.01243"),
    ("Yao et al. (2023): tree of thoughts", "https://arxiv.org/abs/2305.10601"),
    ("Brown et al. (2024): repeated sampling and coverage", "https://arxiv.org/abs/2407.21787"),
    ("Miller (2024): error bars for evaluations", "https://arxiv.org/abs/2411.00640"),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure as the page holds it: drawn for wide and for narrow screens, and said in words."""

    caption: str
    alt: str
    wide: str
    narrow: str


def report(
    fit: xr.DataTree,
    pred: xr.Dataset | None = None,
    path: str | os.PathLike[str] = "report.html",
    *,
    title: str | None = None,
    checks: Sequence[CheckResult] | None = None,
) -> Path:
    """Write a fit, its predictions and decisions as one self-contained HTML page.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    pred : xarray.Dataset, optional
        From `predict` on this fit, without a task dimension. Predicted from ``spec.query`` if absent.
    path : path, default "report.html"
        Written atomically; its folder is made if needed.
    title : str, optional
        Of the page; the spec's name if absent.
    checks : sequence of CheckResult, optional
        From `check` on this fit; run if absent.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If ``fit`` is not a fit, ``pred`` is not a prediction of means over tasks, or ``path`` is a folder; before
        anything is written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of an HTML file in it")
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
    page = _environment().get_template("report.html.j2").render(_content(fit, pred, spec, done, title))
    return write_atomically(path, page.encode("utf-8"))


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("ds3bayes.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _content(
    fit: xr.DataTree, pred: xr.Dataset, spec: ModelSpec, checks: list[CheckResult], title: str | None
) -> dict[str, Any]:
    decisions = tables.decide(pred, spec.query)
    compared = tables.comparison(fit)
    data = tables.samplers(fit)
    learned = _learned(checks)
    sweeps, sweep_fault = _sweeps(fit)
    return {
        "title": title or f"{spec.name}: what to deploy",
        "description": spec.description,
        "summary": _summary(fit, spec, data, decisions, compared),
        "failed": [result.name for result in checks if not result.passed],
        "no_cost": _no_cost(pred, spec),
        "partly": "" if pred.attrs.get("partly_absent", "none") == "none" else pred.attrs["partly_absent"],
        "which_tasks": pred.attrs.get("tasks", "observed"),
        "decisions": [_decision(one, pred, spec) for one in decisions],
        "compared": tables.comparison_table(compared),
        "compared_pictures": _compared_pictures(compared),
        "verdict": _verdict(compared),
        "sweeps": [_sweep(one, learned) for one in sweeps],
        "sweep_fault": sweep_fault,
        "checks": [{"result": result, "table": tables.check_table(result.name, result.table)} for result in checks],
        "learned": None if learned is None else _learned_section(learned, fit),
        "data": tables.samplers_table(data),
        "provenance": _provenance(fit),
        "spec": spec.to_toml(),
        "references": REFERENCES,
        "target": spec.query.success,
    }


def _summary(
    fit: xr.DataTree, spec: ModelSpec, data: pd.DataFrame, decisions: list[Decision], compared: pd.DataFrame
) -> list[str]:
    """Say in three paragraphs what was fitted, what to deploy, and whether predictions held."""
    models, benchmarks = list(dict.fromkeys(data["model"])), list(dict.fromkeys(data["benchmark"]))
    rows = fit["constant_data"].to_dataset()
    held = int(rows["held_out"].sum())
    posterior = fit["posterior"].sizes
    fitted = (
        f"The model {spec.name!r} was fitted to {rows.sizes['row'] - held:,} rows of "
        f"{_some(models, 'LLM')} on {_some(benchmarks, 'benchmark')} ({int(data['attempts'].sum()):,} attempts by "
        f"{len(data)} {'sampler' if len(data) == 1 else 'samplers'} in all), with "
        f"{posterior['chain'] * posterior['draw']:,} posterior draws; {held:,} of {rows.sizes['row']:,} rows "
        "were held out to test its predictions."
    )
    several = len(decisions) > 1
    decided = " ".join(f"On {one.benchmark}: {_lower(one.choice)}" if several else one.choice for one in decisions[:5])
    if len(decisions) > 5:
        decided += f" ({len(decisions) - 5} more benchmarks are below.)"
    return [fitted, decided, _verdict(compared)]


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _some(names: list[str], kind: str) -> str:
    return f"the {kind} {names[0]}" if len(names) == 1 else f"{len(names)} {kind}s"


def _verdict(compared: pd.DataFrame) -> str:
    """Say which held-out predictions were hit and which were missed."""
    held = compared[compared["rows"] == "held out"]
    if held.empty:
        hits = int(compared["inside"].sum())
        return (
            "No rows were held out, so nothing here tests prediction; "
            f"{hits} of {len(compared)} fitted quantities lie inside their 90 % intervals."
        )
    missed = held[~held["inside"]]
    if missed.empty:
        return (
            f"Every one of the {len(held)} held-out quantities fell inside its 90 % predictive interval."
            if len(held) > 1
            else "The one held-out quantity fell inside its 90 % predictive interval."
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
        f"Of {len(held)} held-out quantities {len(held) - len(missed)} fell inside their 90 % predictive intervals and "
        f"{len(missed)} {'was' if len(missed) == 1 else 'were'} missed: {'; '.join(named[:4])}{more}."
    )


def _no_cost(pred: xr.Dataset, spec: ModelSpec) -> str:
    cost = spec.query.cost
    if cost in pred:
        return ""
    reasons = pred.attrs.get("absent", "no reason was recorded")
    mine = [part for part in reasons.split("; ") if part.startswith(f"{cost}:")]
    return f"These predictions hold no {cost} ({'; '.join(mine) or reasons}), so options are compared by success alone."


def _decision(decision: Decision, pred: xr.Dataset, spec: ModelSpec) -> dict[str, Any]:
    query, options = spec.query, decision.options
    priced = bool(np.isfinite(options["cost"]).any())
    shown = tables.decision_table(decision, query, options["model"].nunique() > 1)
    if priced:
        picture = _picture(
            figures.success_against_cost,
            f"Predicted success against cost on {decision.benchmark}. Bars are 90 % intervals in both directions; "
            "labels are the numbers of the table above, given to the options of least regret and to "
            "those on the frontier; the grey line joins the options that no other beats in both means."
            + (" Pale points are options that the table leaves out." if shown.note else ""),
            figures.say_success_against_cost(options, cost=query.cost),
            options,
            cost=query.cost,
            max_cost=query.max_cost,
            target=query.success,
        )
    else:
        picture = _picture(
            figures.success_alone,
            f"Predicted success on {decision.benchmark}, with 90 % intervals.",
            figures.say_success_alone(options),
            options,
            target=query.success,
        )
    del pred
    return {"decision": decision, "table": shown, "picture": picture}


def _compared_pictures(compared: pd.DataFrame) -> list[Picture]:
    shares = tables.is_share(compared)
    result = []
    if shares.any():
        result.append(
            _picture(
                figures.compared_success,
                "Shares of right answers: observed against predicted. Intervals hold the chance of the attempts.",
                figures.say_compared(compared, of_success=True),
                compared,
            )
        )
    if (~shares & (compared["observed"] > 0) & (compared["lower"] > 0)).any():
        result.append(
            _picture(
                figures.compared_cost,
                "Tokens and prices: predicted over observed, so 1 means as observed. The table has the amounts.",
                figures.say_compared(compared, of_success=False),
                compared,
            )
        )
    return result


def _sweeps(fit: xr.DataTree) -> tuple[list[Sweep], str]:
    try:
        return tables.sweeps(fit), ""
    except InputError as error:
        return [], str(error)


def _sweep(sweep: Sweep, learned_parameters: pd.DataFrame | None) -> dict[str, Any]:
    def said(name: str) -> str:
        mean, low, high = sweep.learned[name]
        return f"{mean:.2f} ({low:.2f} to {high:.2f})"

    steps = "steps" if np.isnan(sweep.path_length) else f"{sweep.path_length:g} steps"
    assumed = (
        f"The model takes a tree search as a walk of {steps}. At every step each of at most {sweep.kept_states} kept "
        f"states proposes {sweep.branching} candidates, an evaluator scores them, and the {sweep.kept_states} best are "
        "kept; scores of right steps lie d standard deviations above those of wrong ones, so d = 0 picks at random and "
        "an oracle never errs. A right last state becomes a right answer with a probability called answer fidelity. "
        "How often a proposed step is right comes from the chain of thought on the same tasks; the tree inherits a "
        "share of their spread in difficulty, and has an offset and task effects of its own."
    )
    found = []
    if "step_discrimination" in sweep.learned:
        found.append(f"d = {said('step_discrimination')}")
    if "answer_fidelity" in sweep.learned:
        found.append(f"answer fidelity {said('answer_fidelity')}")
    learned = f"With the observed tree rows the fit holds {' and '.join(found)}. " if found else ""
    if found and learned_parameters is not None:
        weak = learned_parameters[learned_parameters["sd ratio"] > tables.HARDLY_LEARNED]["parameter"]
        names = {"step_discrimination": "d", "answer_fidelity": "answer fidelity"}
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
            f"thought alone, {tables.interval(alone['mean'], alone['lower'], alone['upper'])}"
        )
    return {
        "sweep": sweep,
        "assumed": assumed,
        "learned": learned + provenance,
        "outcome": ". ".join(text[:1].upper() + text[1:] for text in gaps) + ".",
        "table": tables.sweep_table(sweep),
        "picture": _picture(
            figures.evaluator_sweep,
            f"{sweep.name}: what it would score with other step evaluators. The black line is what was observed on all "
            f"{sweep.tasks} tasks; intervals hold 90 % and include the chance of the attempts.",
            figures.say_evaluator_sweep(sweep),
            sweep,
        ),
    }


def _learned(checks: list[CheckResult]) -> pd.DataFrame | None:
    return next((result.table for result in checks if "sd ratio" in result.table), None)


def _learned_section(learned: pd.DataFrame, fit: xr.DataTree) -> dict[str, Any]:
    log_scaled = sorted(set(learned.loc[learned["log scale"], "parameter"]))
    weak = int((learned["sd ratio"] > tables.HARDLY_LEARNED).sum())
    pairs = figures.strongest_ridges(fit["posterior"].to_dataset())
    return {
        "beliefs": tables.beliefs_table(beliefs_of_fit(fit)),
        "ridges": None
        if not pairs
        else _picture(
            figures.ridges,
            "Pairs of parameters that trade off: the data tell a combination of the two better than either.",
            figures.say_ridges(pairs),
            pairs,
        ),
        "sentence": (
            f"Grey is the prior's 90 % interval, blue the posterior's. A posterior nearly as wide as its prior (sd "
            f"ratio above {tables.HARDLY_LEARNED:g}) means that the data said little: {weak} of {len(learned)} "
            "parameters, marked with a cross and the words “hardly learned”. What depends on them rests on the prior."
        ),
        "picture": _picture(
            figures.prior_and_posterior,
            "Prior (grey) and posterior (coloured) 90 % intervals with their medians."
            + ("" if len(learned) <= 40 else " Lines are in the order of their medians; the folded table names them."),
            figures.say_prior_and_posterior(learned),
            learned,
            log_scaled=log_scaled,
        ),
        "meanings": tables.meanings(learned),
        "table": tables.learned_table(learned),
    }


def _provenance(fit: xr.DataTree) -> list[tuple[str, str]]:
    attrs = fit.attrs
    constant = fit["constant_data"].attrs
    versions = json.loads(attrs.get("versions", "{}"))
    rows = [
        ("Model id", str(attrs.get("model_id", "unknown"))),
        ("Data, SHA-256", str(attrs.get("data_sha256", "unknown"))),
        ("Data source", str(constant.get("source", "")) or "passed in memory"),
        ("Seed", str(attrs.get("seed", "unknown"))),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown"),
    ]
    names = {"compile_seconds": "Compiling", "sample_seconds": "Sampling", "effects_seconds": "Task effects"}
    rows += [(label, f"{float(attrs[key]):.1f} s") for key, label in names.items() if key in attrs]
    created = fit["posterior"].attrs.get("created_at")
    return [*rows, ("Fitted at", str(created))] if created else rows


def _picture(draw: Callable[..., Figure], caption: str, alt: str, *args: Any, **kwargs: Any) -> Picture:
    """Draw a figure at both widths and store it as data URIs."""
    return Picture(
        caption=caption,
        alt=alt,
        wide=_svg(draw(*args, **kwargs, width=figures.WIDE)),
        narrow=_svg(draw(*args, **kwargs, width=figures.PHONE)),
    )


def _svg(figure: Figure) -> str:
    """Return a figure as an SVG data URI; text as outlines, so that it looks the same everywhere."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "ds3bayes"}), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the table next to it has it in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


__all__ = ["Picture", "Shown", "report"]
