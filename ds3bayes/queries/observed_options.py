"""What was observed of the options of a decision, beside what the fit predicts for these same tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals import to_table
from ds3bayes.generative.design import Arm
from ds3bayes.generative.rows import row_strategy
from ds3bayes.inference.artifact import evals_of
from ds3bayes.queries.observed_vs_predicted import at_the_edge, summary
from ds3bayes.queries.predict import View, expand
from ds3bayes.queries.words import LEVEL
from ds3bayes.strategies import Strategy, parse_strategy
from ds3bayes.strategies.base import ROW_COLUMNS
from ds3bayes.strategies.told_by import ToldBy

Array = np.ndarray

_KEYS = ["model", "benchmark", "strategy"]
_COLUMNS = [*_KEYS, "tasks", "observed", "mean", "lower", "upper", "flat", "away", "edge"]
# Points that stand for a population, where rows name no tasks.
_NEW_TASKS = 1024


def observed_options(fit: xr.DataTree, pred: xr.Dataset, *, level: float = LEVEL, seed: int = 0) -> pd.DataFrame:
    """Return, for every option of some predictions that was run, its success and what is predicted for those tasks.

    An option was run if rows hold its own decisions, or single attempts that tell them: any of k right, and all of k
    right, follow from n >= k attempts at every task (by the unbiased estimators 1 - C(n-c, k)/C(n, k) and
    C(c, k)/C(n, k)); any of the outputs of a tree search from rows of one search with that many outputs. Rows that the
    fit saw and rows held out count alike.

    Parameters
    ----------
    fit : xarray.DataTree
    pred : xarray.Dataset
        From `predict` on this fit; says which options.
    level : float, default 0.9
        Of the equal-tailed intervals.
    seed : int, default 0

    Returns
    -------
    pandas.DataFrame
        ``model, benchmark, strategy``, ``tasks`` number of tasks, ``observed`` mean success over them, ``mean, lower,
        upper`` what is predicted for a rerun of these very attempts, with the noise of the attempts, ``flat`` whether
        nearly all draws of it are the same, ``away``
        whether the observed lies outside, and ``edge`` whether inside, but within a twentieth of the interval's width
        of an end. Rows without a task are compared with the population of their tasks.
    """
    groups = _counts(fit)
    views: dict[str, View] = {}
    arms: dict[tuple[str, str], dict[tuple[str, str], tuple[Arm, Strategy]]] = {}
    rng = np.random.default_rng([seed, 9])
    there = pred["success"].notnull().any(("chain", "draw")).transpose("strategy", "model", "benchmark").values
    rows = []
    for place, label in enumerate(str(name) for name in pred["strategy"].values):
        ways = _told_by(label)
        for model, benchmark in np.argwhere(there[place]):
            where = (str(pred["model"].values[model]), str(pred["benchmark"].values[benchmark]))
            way = next((one for one in ways if _enough(one, groups.get((*where, one.rows)))), None)
            if way is None:
                continue
            seen = groups[*where, way.rows]
            which = "observed" if (seen["task"] != "").all() else "new"
            if which not in views:
                views[which] = View.of(fit, which, True, _NEW_TASKS, seed)
            key = (which, way.rows)
            if key not in arms:
                arms[key] = _arms(views[which], parse_strategy(way.rows))
            success = _success(views[which], arms[key].get(where), seen)
            if success is None:
                continue
            c, n = way.tries(seen["successes"].to_numpy(), seen["attempts"].to_numpy())
            value = float(way.success(c, n).mean())
            again = way.success(rng.binomial(n, success), n).mean(axis=1)
            mean, low, high, flat = summary(again, level)
            # Means of the same counts can differ by rounding.
            away = not low - 1e-9 <= value <= high + 1e-9
            number = len(seen) if which == "observed" else int(seen["tasks"].sum())
            rows.append((*where, label, number, value, mean, low, high, flat, away))
    result = pd.DataFrame(rows, columns=_COLUMNS[:-1])
    settled = result["away"].astype(bool) | result["flat"].astype(bool)
    return result.assign(edge=~settled & at_the_edge(result))


def _counts(fit: xr.DataTree) -> dict[tuple[str, ...], pd.DataFrame]:
    """Return counts by task of every LLM, benchmark and strategy; of rows that were held out and of several runs."""
    table = to_table(evals_of(fit)[0])
    settings = table.groupby(list(ROW_COLUMNS), dropna=False, sort=False).ngroup()
    firsts = table.groupby(settings).head(1)
    names = {settings[place]: str(row_strategy(row)) for place, row in firsts.to_dict("index").items()}
    table["strategy"] = settings.map(names)
    table["tasks"] = table.get("tasks", pd.Series(1.0, table.index)).fillna(1.0)
    counts = table.groupby([*_KEYS, "task"], sort=False)[["attempts", "successes", "tasks"]].sum()
    # Tasks that were never attempted say nothing.
    counts = counts[counts["attempts"] > 0].reset_index()
    return dict(iter(counts.groupby(_KEYS, sort=False)))


def _told_by(label: str) -> tuple[ToldBy, ...]:
    """Return the rows that can tell of a strategy, by its text form; none of a text that names no strategy."""
    try:
        return parse_strategy(label).told_by
    except InputError:
        return ()


def _enough(way: ToldBy, rows: pd.DataFrame | None) -> bool:
    """Whether rows hold what this takes at every task."""
    return rows is not None and way.enough(rows["attempts"].to_numpy(), (rows["task"] != "").to_numpy())


def _arms(view: View, strategy: Strategy) -> dict[tuple[str, str], tuple[Arm, Strategy]]:
    """Return what predicts exactly this strategy, by LLM and benchmark."""
    try:
        chosen = expand(view, [strategy])
    except InputError:
        return {}
    # A row without an effort is of the runs that stated none, not of every effort.
    return {(arm.model, arm.benchmark): (arm, one) for arm, one in chosen.get(str(strategy), {}).items()}


def _success(view: View, which: tuple[Arm, Strategy] | None, seen: pd.DataFrame) -> Array | None:
    """Predicted success (samples, rows) of an observed strategy at the tasks of some rows."""
    if which is None:
        return None
    arm, strategy = which
    values, names = view.evaluate(strategy, arm)[0]["success"]
    if view.which == "new":
        return np.repeat(values.mean(axis=1, keepdims=True), len(seen), axis=1)
    places = {name: place for place, name in enumerate(names)}
    if not all(task in places for task in seen["task"]):
        return None
    return np.asarray(values[:, [places[task] for task in seen["task"]]])
