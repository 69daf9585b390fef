"""The numbers behind a report's curves: what the fit predicts along them, and the observed points beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binomtest, norm

from ds3bayes.evals import to_table
from ds3bayes.generative.capability.loss_bridge import LossBridge
from ds3bayes.generative.capability.skill_hierarchy import SkillHierarchy
from ds3bayes.generative.design import Design
from ds3bayes.generative.rows import row_strategy
from ds3bayes.inference.artifact import design_of, evals_of, spec_of
from ds3bayes.queries.bridge_rivals import bridge_on_held_out
from ds3bayes.queries.curves import ATTEMPTS, DRAWS, attempts_curve, budget_curve
from ds3bayes.queries.new_llms import predict_llms
from ds3bayes.queries.words import LEVEL, chance, interval, mean_interval, number, share
from ds3bayes.reports.tables import Shown
from ds3bayes.strategies import Strategy
from ds3bayes.strategies.attempts import AttemptStrategy
from ds3bayes.strategies.base import ROW_COLUMNS
from ds3bayes.strategies.thoughts import ThoughtSearch

# Equally likely values of a standard normal.
_NORMAL = norm.ppf((np.arange(100) + 0.5) / 100)
#: What a budget of a curve is, in words.
DIALS = {"budget_tokens": "asked budget", "max_tokens": "cut"}
#: Panels of one picture; the tables have the rest.
MOST_PANELS = 12
# Samplers from which a curve is drawn from fewer draws.
_MANY = 8
_WHERE = ["model", "benchmark"]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Predicted curves and observed points, in panels by LLM and benchmark.

    Parameters
    ----------
    lines : pandas.DataFrame
        ``model, benchmark, walk, kind, x, mean, lower, upper``: what one attempt is, the name of the line, and success
        along it; ``x`` is infinite at its limit. Against tokens also ``extrapolated``: beyond what was observed.
    points : pandas.DataFrame
        ``model, benchmark, walk, kind, x, success, lower, upper, attempts, rows``: observed shares with 90 % intervals,
        and whether the fit saw them (``fitted``, ``held out`` or ``partly held out``); ``x`` is infinite where attempts
        had no budget. Those of other tasks than the curve's are left out.
    """

    lines: pd.DataFrame
    points: pd.DataFrame

    @property
    def panels(self) -> list[tuple[str, str]]:
        """LLMs and benchmarks, in the order of the lines."""
        return list(dict.fromkeys(self.lines[_WHERE].itertuples(index=False, name=None)))


def by_attempts(fit: xr.DataTree, tasks: str, most: int = 64, seed: int = 0) -> Curves:
    """Return success against the number of attempts of every sampler, by selector, with its limits.

    Parameters
    ----------
    fit : xarray.DataTree
    tasks : {"observed", "new"}
    most : int, default 64
        Curves go to at least this number of attempts.
    seed : int, default 0

    Raises
    ------
    InputError
        If there are no such tasks.
    """
    attempts = sorted({*ATTEMPTS, *(2**k for k in range(int(np.ceil(np.log2(max(most, 1)))) + 1))})
    samplers = sum(not arm.is_tree for arm in design_of(fit).arms)
    # Of many samplers half of the draws say where their bands are, to a seventh of their width.
    enough = DRAWS if samplers <= _MANY else DRAWS // 2
    found = attempts_curve(fit, attempts=attempts, tasks=tasks, samplers="all", draws=enough, seed=seed)  # type: ignore[arg-type]
    lines = []
    for sampler in found["sampler"].values:
        for selector in found["selector"].values:
            at = found.sel(sampler=sampler, selector=selector)
            base = (str(at["model"].item()), str(at["benchmark"].item()), str(at["walk"].item()), str(selector))
            draws = at["success"].stack(sample=("chain", "draw")).transpose("attempts", "sample").values
            lines += [
                (*base, float(n), *_summary(one))
                for n, one in zip(attempts, draws, strict=True)
                if np.isfinite(one).all()
            ]
            limit = at["limit"].values.ravel()
            if np.isfinite(limit).all():
                lines.append((*base, np.inf, *_summary(limit)))
    frame = pd.DataFrame(lines, columns=[*_WHERE, "walk", "kind", "x", "mean", "lower", "upper"])
    walks = set(frame[[*_WHERE, "walk"]].itertuples(index=False, name=None))
    points: list[tuple[Any, ...]] = []
    for key, strategy, rows in _observed(fit, tasks):
        where = (*key[:2], _walk_text(strategy))
        if where not in walks:
            continue
        n, c = rows["attempts"].to_numpy(), rows["successes"].to_numpy()
        kind = selector_name(strategy)
        if kind is not None:
            points.append((*where, kind, float(strategy.n), *_wilson(c.sum(), n.sum()), key[2]))  # type: ignore[attr-defined]
        elif str(strategy) == _walk_text(strategy):
            points.append((*where, "", 1.0, *_wilson(c.sum(), n.sum()), key[2]))
            if n.min() == n.max() > 1 and (rows["task"] != "").all():
                solved = _wilson(int((c > 0).sum()), len(c))
                points.append((*where, "best of n, oracle", float(n[0]), *solved, key[2]))
    columns = [*_WHERE, "walk", "kind", "x", "success", "lower", "upper", "attempts", "rows"]
    return Curves(lines=frame, points=pd.DataFrame(points, columns=columns))


def by_budget(fit: xr.DataTree, tasks: str, seed: int = 0) -> Curves:
    """Return success of one attempt against its token budget, by walk and reasoning effort.

    Parameters
    ----------
    fit : xarray.DataTree
    tasks : {"observed", "new"}
    seed : int, default 0

    Raises
    ------
    InputError
        If there are no such tasks, or the fit lacks what budgets need.
    """
    found = budget_curve(fit, tasks=tasks, seed=seed)  # type: ignore[arg-type]
    several = len({str(label).partition("(")[0] for label in found["walk"].values}) > 1
    dials = set(found["dial"].values.tolist())
    lines, names = [], {}
    for sampler in found["sampler"].values:
        at = found.sel(sampler=sampler)
        walk = str(at["walk"].item()).partition("(")[0]
        effort = str(at["effort"].item())
        dial = DIALS[str(at["dial"].item())] if len(dials) > 1 else ""
        parts = (walk if several or not (effort or dial) else "", f"effort {effort}" if effort else "", dial)
        kind = " · ".join(filter(None, parts))
        base = (str(at["model"].item()), str(at["benchmark"].item()))
        names[(*base, walk, effort)] = kind
        draws = at["success"].stack(sample=("chain", "draw")).transpose("budget", "sample").values
        lines += [
            (*base, walk, kind, float(x), *_summary(one), bool(beyond))
            for x, one, beyond in zip(at["budget"].values, draws, at["extrapolated"].values, strict=True)
            if np.isfinite(one).all()
        ]
    points = []
    for key, strategy, rows in _observed(fit, tasks):
        name = names.get((*key[:2], strategy.walk, strategy.effort or ""))
        if name is None or selector_name(strategy) is not None or strategy.name != strategy.walk:
            continue
        x = float(strategy.limit_tokens or np.inf)
        points.append(
            (*key[:2], strategy.walk, name, x, *_wilson(rows["successes"].sum(), rows["attempts"].sum()), key[2])
        )
    return Curves(
        lines=pd.DataFrame(lines, columns=[*_WHERE, "walk", "kind", "x", "mean", "lower", "upper", "extrapolated"]),
        points=pd.DataFrame(
            points, columns=[*_WHERE, "walk", "kind", "x", "success", "lower", "upper", "attempts", "rows"]
        ),
    )


def selector_name(strategy: Strategy) -> str | None:
    """Return the name that curves give to the selector of a strategy, None for those they do not draw."""
    return strategy.curve_label if isinstance(strategy, AttemptStrategy) and strategy.curve_name else None


def _walk_text(strategy: Strategy) -> str:
    """Text of one attempt of a strategy."""
    if strategy.is_search:
        return ""
    return str(strategy.one_attempt)


def _observed(fit: xr.DataTree, tasks: str) -> list[tuple[tuple[str, str, str], Strategy, pd.DataFrame]]:
    """Return the observed rows that may stand on a curve, in groups of one LLM, benchmark and strategy.

    A curve of the observed tasks is one of all tasks of its sampler: rows of some of them, held out or not, are a mark
    of other tasks, so that all rows of a strategy make one mark, and none if they leave tasks out. New tasks are a
    population, of which rows that the fit saw and rows held out are two samples.
    """
    evals, held = evals_of(fit)
    table = to_table(evals).assign(held_out=held)
    samples = ["held_out"] if tasks == "new" else []
    of_arm = _tasks_of_arms(fit)
    result = []
    for _, rows in table.groupby([*_WHERE, *ROW_COLUMNS, *samples], dropna=False, sort=False):
        first = rows.iloc[0].to_dict()
        strategy, unseen = row_strategy(first), rows["held_out"]
        where = (str(first["model"]), str(first["benchmark"]))
        if tasks != "new":
            walk = str(strategy.writing(1)) if isinstance(strategy, ThoughtSearch) else _walk_text(strategy)
            if of_arm.get((*where, walk)) != frozenset(rows["task"]):
                continue
        seen = "held out" if unseen.all() else "partly held out" if unseen.any() else "fitted"
        result.append(((*where, seen), strategy, rows))
    return result


def _tasks_of_arms(fit: xr.DataTree) -> dict[tuple[str, str, str], frozenset[str]]:
    """Return the tasks that a fit knows of every sampler, by LLM, benchmark and text of its single attempt."""
    effects = fit["task_effects"].to_dataset()
    arms, names = effects["cell_arm"].values, effects["cell_task"].values.astype(str)
    return {
        (arm.model, arm.benchmark, str(arm.strategy)): frozenset(names[arms == index])
        for index, arm in enumerate(design_of(fit).arms)
    }


def _wilson(successes: int, attempts: int) -> tuple[float, float, float, int]:
    """Share with its Wilson interval, and the number of attempts."""
    if not attempts:
        return np.nan, np.nan, np.nan, 0
    found = binomtest(int(successes), int(attempts)).proportion_ci(LEVEL, method="wilson")
    return successes / attempts, float(found.low), float(found.high), int(attempts)


def _summary(draws: np.ndarray) -> tuple[float, float, float]:
    mean, low, high = mean_interval(draws, LEVEL)
    return float(mean), float(low), float(high)


def curves_table(curves: Curves, what: str, x_name: str, limit: str) -> Shown:
    """Write curves for a reader.

    Parameters
    ----------
    curves : Curves
    what : str
        Caption.
    x_name : str
        Heading of ``x``.
    limit : str
        Said of an infinite ``x``.
    """
    rows = []
    seen = curves.points.set_index([*_WHERE, "walk", "kind", "x"]) if len(curves.points) else None
    several = len(curves.panels) > 1
    many = bool(curves.lines.groupby(_WHERE)["walk"].nunique().max() > 1)
    for row in curves.lines.itertuples():
        said = ""
        for kind in (row.kind, ""):
            key = (row.model, row.benchmark, row.walk, kind, row.x)
            if seen is not None and key in seen.index:
                found = seen.loc[[key]]
                said = "; ".join(f"{share(one.success)} ({one.rows})" for one in found.itertuples())
        where = " · ".join([row.model, row.benchmark] * several + [row.walk] * (many or not several))
        x = limit if np.isinf(row.x) else f"{row.x:,.0f}"
        predicted = interval(row.mean, row.lower, row.upper)
        if getattr(row, "extrapolated", False):
            predicted += ", extrapolated"
        rows.append((where, row.kind, x, predicted, said))
    frame = pd.DataFrame(rows, columns=["sampler", "line", x_name, "predicted success", "observed"])
    return Shown(caption=what, frame=frame, numeric=frozenset({x_name, "predicted success", "observed"}))


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Levels of skills that LLMs reach, and levels of tasks, of a fit of the skill hierarchy.

    Parameters
    ----------
    llms : pandas.DataFrame
        ``model, params, train_tokens, flop, rows, mean, lower, upper``: training compute in FLOP and the level reached.
    tasks : pandas.DataFrame
        ``benchmark, mean, lower, upper``: where nine in ten tasks lie, with what is not known of their law.
    """

    llms: pd.DataFrame
    tasks: pd.DataFrame


def levels(fit: xr.DataTree) -> Levels | None:
    """Return the levels that a skill hierarchy learned, None for other capabilities."""
    if not isinstance(spec_of(fit).capability, SkillHierarchy):
        return None
    design, posterior = design_of(fit), fit["posterior"].to_dataset()
    llms = _llms(fit, design)
    reached = posterior["frontier"].stack(sample=("chain", "draw")).transpose("llm", "sample").values
    llms[["mean", "lower", "upper"]] = [_summary(one) for one in reached]
    rows = []
    for benchmark in posterior["benchmark"].values:
        centre = posterior["task_level"].sel(benchmark=benchmark).values.ravel()
        spread = posterior["task_level_sd"].sel(benchmark=benchmark).values.ravel()
        # Of a task drawn from each draw's law, so that the band holds what is not known of the law itself.
        rows.append((str(benchmark), *_summary(centre[:, None] + spread[:, None] * _NORMAL)))
    return Levels(llms=llms, tasks=pd.DataFrame(rows, columns=["benchmark", "mean", "lower", "upper"]))


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Success against training compute, of a fit with the loss bridge.

    Parameters
    ----------
    lines : pandas.DataFrame
        ``setting, params, flop, mean, lower, upper``: success of an LLM never evaluated of that size, by training
        compute (6 N D, in FLOP); a setting is a benchmark with a strategy, of each family.
    points : pandas.DataFrame
        ``setting, model, params, flop, success, lower, upper, rows``: observed shares with 90 % intervals.
    evidence : str
        How LLMs that the spec holds out were predicted, beside simple rivals; or how to find that out.
    """

    lines: pd.DataFrame
    points: pd.DataFrame
    evidence: str = ""


def scaling(fit: xr.DataTree, tasks: str, sizes: int = 4, seed: int = 0) -> Scaling | None:
    """Return how success scales with training compute, None for capabilities other than the loss bridge.

    Parameters
    ----------
    fit : xarray.DataTree
    tasks : {"observed", "new"}
    sizes : int, default 4
        Sizes of LLMs that get a line, of those evaluated.
    seed : int, default 0
    """
    if not isinstance(spec_of(fit).capability, LossBridge):
        return None
    design = design_of(fit)
    llms = _llms(fit, design).set_index("model")
    known = np.unique(design.params)
    kept = known[np.unique(np.linspace(0, len(known) - 1, min(sizes, len(known))).round().astype(int))]
    trained = np.geomspace(design.train_tokens.min() / 2, design.train_tokens.max() * 8, 8)
    families = sorted(set(design.family))[:MOST_PANELS]
    asked = {
        f"{family} {size:g} {amount:g}": {"params": float(size), "train_tokens": float(amount), "family": family}
        for family in families
        for size in kept
        for amount in trained
    }
    settings = list(dict.fromkeys(str(arm.strategy) for arm in design.arms if not arm.is_tree))
    # An LLM's own effects are drawn anew for each point of a line: few draws would make it ragged.
    pred = predict_llms(fit, asked, settings[:3], tasks=tasks, seed=seed)  # type: ignore[arg-type]
    lines = []
    for benchmark in pred["benchmark"].values:
        for setting in pred["strategy"].values:
            at = pred["success"].sel(benchmark=benchmark, strategy=setting).stack(sample=("chain", "draw"))
            if not np.isfinite(at.values).all():
                continue
            for name, facts in asked.items():
                flop = 6 * facts["params"] * facts["train_tokens"]  # type: ignore[operator]
                label = _setting(benchmark, setting, facts["family"])
                lines.append((label, facts["params"], flop, *_summary(at.sel(model=name).values)))
    frame = pd.DataFrame(lines, columns=["setting", "params", "flop", "mean", "lower", "upper"])
    points: list[tuple[Any, ...]] = []
    for (model, benchmark, rows), strategy, group in _observed(fit, tasks):
        label = _setting(benchmark, strategy, llms.loc[model, "family"])
        if label not in set(frame["setting"]):
            continue
        facts = llms.loc[model]
        seen = _wilson(group["successes"].sum(), group["attempts"].sum())[:3]
        points.append((label, model, facts["params"], facts["flop"], *seen, rows))
    columns = ["setting", "model", "params", "flop", "success", "lower", "upper", "rows"]
    compared = bridge_on_held_out(fit, seed)
    evidence = (
        "Nothing here tells how well LLMs never evaluated are predicted: no LLM is held out as a whole, and "
        "ds3.bridge_against_rivals(fit) fits without the largest and longest trained."
        if compared is None
        else str(compared.attrs["sentence"])
    )
    return Scaling(lines=frame, points=pd.DataFrame(points, columns=columns), evidence=evidence)


def _setting(benchmark: object, strategy: object, family: object) -> str:
    return f"{benchmark} · {strategy}" + (f" · family {family}" if family else "")


def _llms(fit: xr.DataTree, design: Design) -> pd.DataFrame:
    """Size, training tokens and compute of every LLM, and whether all of its rows were held out."""
    evals, held = evals_of(fit)
    table = to_table(evals).assign(held_out=held)
    unseen = table.groupby("model")["held_out"].all()
    return pd.DataFrame(
        {
            "model": list(design.llms),
            "family": list(design.family),
            "params": np.asarray(design.params),
            "train_tokens": np.asarray(design.train_tokens),
            "flop": 6.0 * np.asarray(design.params) * np.asarray(design.train_tokens),
            "rows": ["held out" if unseen[name] else "fitted" for name in design.llms],
        }
    )


def levels_table(found: Levels) -> Shown:
    """Write the levels of LLMs for a reader."""
    rows = [
        (row.model, number(row.params), number(row.train_tokens), number(row.flop), row.rows, _level(row))
        for row in found.llms.itertuples()
    ]
    frame = pd.DataFrame(
        rows, columns=["LLM", "parameters", "training tokens", "training FLOP", "rows", "level reached"]
    )
    tasks = "; ".join(f"{row.benchmark} {_level(row)}" for row in found.tasks.itertuples())
    return Shown(
        caption="Levels of skills that each LLM reaches; means with 90 % intervals",
        frame=frame,
        numeric=frozenset(set(frame.columns) - {"LLM", "rows"}),
        note=f"Levels of tasks, mean and where nine in ten lie: {tasks}.",
    )


def _level(row: Any) -> str:
    return f"{number(row.mean)} ({number(row.lower)} to {number(row.upper)})"


def masteries(learned: xr.Dataset) -> pd.DataFrame:
    """Return ``skill, llm, mean, lower, upper`` of a learned skill graph, the mean over LLMs first of each skill."""
    rows = []
    draws = learned["mastery"].stack(sample=("chain", "draw"))
    for skill in learned["skill"].values:
        at = draws.sel(skill=skill).transpose("llm", "sample").values
        rows.append((str(skill), "mean over LLMs", *_summary(at.mean(axis=0))))
        rows += [(str(skill), str(llm), *_summary(one)) for llm, one in zip(learned["llm"].values, at, strict=True)]
    return pd.DataFrame(rows, columns=["skill", "llm", "mean", "lower", "upper"])


def masteries_table(frame: pd.DataFrame) -> Shown:
    """Write masteries for a reader: a row per skill, a column per LLM."""
    said = frame.assign(said=[f"{r.mean:.2f} ({r.lower:.2f} to {r.upper:.2f})" for r in frame.itertuples()])
    order = list(dict.fromkeys(said["llm"]))
    wide = said.pivot(index="skill", columns="llm", values="said").loc[list(dict.fromkeys(said["skill"])), order]
    shown = wide.reset_index().rename_axis(columns=None)
    return Shown(
        caption="Mastery: probability that a step at the skill is right, mean with 90 % interval",
        frame=shown,
        numeric=frozenset(order),
    )


def prerequisites(learned: xr.Dataset) -> pd.DataFrame:
    """Return ``prerequisite, skill, weight, lower, upper, probability, prior probability`` of a learned graph."""
    rows = []
    for place in range(learned.sizes["edge"]):
        at = learned.isel(edge=place)
        rows.append(
            (
                str(at["parent"].item()),
                str(at["child"].item()),
                *_summary(at["weight"].values.ravel()),
                float(at["edge_probability"]),
                float(at["prior_edge_probability"]),
            )
        )
    columns = ["prerequisite", "skill", "weight", "lower", "upper", "probability", "prior probability"]
    return pd.DataFrame(rows, columns=columns)


def most_attempts(strategies: Sequence[Strategy]) -> int:
    """Return the largest number of attempts among strategies, 1 if none repeats."""
    return max([1, *(int(getattr(one, "n", 1)) for one in strategies)])


def prerequisites_table(frame: pd.DataFrame) -> Shown:
    """Write the prerequisites of a learned graph for a reader."""
    shown = pd.DataFrame(
        {
            "skill": frame["skill"],
            "builds on": frame["prerequisite"],
            "weight": [f"{r.weight:.2f} ({r.lower:.2f} to {r.upper:.2f})" for r in frame.itertuples()],
            "probability": [chance(value) for value in frame["probability"]],
            "probability in the prior": [chance(value) for value in frame["prior probability"]],
        }
    )
    return Shown(
        caption="Prerequisites: weight, mean with 90 % interval, and probability that it matters",
        frame=shown,
        numeric=frozenset(shown.columns[2:]),
        note="Where both probabilities are alike the data say nothing of the prerequisite.",
    )


def scaling_table(found: Scaling) -> Shown:
    """Write what the evaluated LLMs did for a reader, by training compute."""
    rows = [
        (r.model, r.setting, number(r.params), number(r.flop), interval(r.success, r.lower, r.upper), r.rows)
        for r in found.points.sort_values(["setting", "flop"]).itertuples()
    ]
    columns = ["LLM", "sampler", "parameters", "training FLOP", "observed success", "rows"]
    return Shown(
        caption="Observed success by training compute, with 90 % intervals of the attempts",
        frame=pd.DataFrame(rows, columns=columns),
        numeric=frozenset({"parameters", "training FLOP", "observed success"}),
        note=found.evidence,
    )
