"""What every sampler did, and is predicted to do, at every task: the numbers behind a map of LLMs and tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.evals import to_table
from ds3bayes.generative.rows import row_strategy
from ds3bayes.inference.artifact import evals_of
from ds3bayes.queries.curves import thinned
from ds3bayes.queries.predict import View
from ds3bayes.queries.words import LEVEL, interval, mean_interval
from ds3bayes.strategies.base import ROW_COLUMNS

#: Squares of a map, and tasks that can be opened one by one; a table of all is written beside the page.
MOST_CELLS, MOST_TASKS = 4000, 120
_KEYS = ["model", "benchmark", "strategy", "task"]


def task_map(fit: xr.DataTree, seed: int = 0) -> pd.DataFrame:
    """Return success of one attempt of every sampler at every observed task.

    Parameters
    ----------
    fit : xarray.DataTree
    seed : int, default 0

    Returns
    -------
    pandas.DataFrame
        ``model, benchmark, strategy, task, mean, lower, upper`` predicted success with its 90 % interval, and
        ``attempts, successes`` observed, 0 where the sampler was not run; the hardest tasks of a benchmark first. Empty
        where rows name no tasks.
    """
    view = View.of(thinned(fit), "observed", True, 1, seed)
    counts = _counts(fit)
    frames = []
    for arm in view.design.arms:
        if arm.is_tree or not view.has_tasks(arm):
            continue
        values, tasks = view.evaluate(arm.strategy, arm)[0]["success"]
        mean, lower, upper = mean_interval(values, LEVEL)
        frame = pd.DataFrame({"task": np.asarray(tasks).astype(str), "mean": mean, "lower": lower, "upper": upper})
        frames.append(frame.assign(model=arm.model, benchmark=arm.benchmark, strategy=str(arm.strategy)))
    columns = [*_KEYS, "mean", "lower", "upper", "attempts", "successes"]
    if not frames:
        return pd.DataFrame(columns=columns)
    result = pd.concat(frames, ignore_index=True).merge(counts, on=_KEYS, how="left")
    result[["attempts", "successes"]] = result[["attempts", "successes"]].fillna(0).astype(int)
    result["ease"] = result.groupby(["benchmark", "task"])["mean"].transform("mean")
    return result.sort_values(["benchmark", "ease"], kind="stable", ignore_index=True)[columns]


def _counts(fit: xr.DataTree) -> pd.DataFrame:
    """Return attempts and successes of single attempts by LLM, benchmark, strategy and task."""
    table = to_table(evals_of(fit)[0])
    settings = table.groupby(list(ROW_COLUMNS), dropna=False, sort=False).ngroup()
    firsts = table.groupby(settings).head(1)
    names = {settings[place]: str(row_strategy(row)) for place, row in firsts.to_dict("index").items()}
    table["strategy"] = settings.map(names)
    return table.groupby(_KEYS, sort=False)[["attempts", "successes"]].sum().reset_index()


def mapped(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what a map has room for: of many tasks, some evenly spread from the hardest to the easiest.

    Adds ``row`` (LLM and strategy), ``said`` for the hover and ``link`` to the task's own numbers.
    """
    tasks = frame.groupby("task", sort=False)["mean"].mean().sort_values(kind="stable").index.tolist()
    samplers = frame.groupby(["model", "strategy"]).ngroups
    most = min(MOST_TASKS, max(1, MOST_CELLS // samplers))
    if len(tasks) > most:
        tasks = [tasks[one] for one in np.unique(np.linspace(0, len(tasks) - 1, most).round().astype(int))]
    order = {task: place for place, task in enumerate(tasks)}
    kept = frame[frame["task"].isin(order)]
    kept = kept.assign(place=kept["task"].map(order)).sort_values("place", kind="stable")
    several = frame["model"].nunique() > 1
    alone = frame["strategy"].nunique() == 1
    names = [
        row.model if several and alone else f"{row.model} · {row.strategy}" if several else row.strategy
        for row in kept.itertuples()
    ]
    said = [
        f"{row.task}, {name}: {_predicted(row)}{_seen(row)}" for row, name in zip(kept.itertuples(), names, strict=True)
    ]
    return kept.assign(row=names, said=said)


def _predicted(row: Any) -> str:
    return interval(row.mean, row.lower, row.upper)


def _seen(row: Any) -> str:
    return f"; observed {row.successes:,} of {row.attempts:,}" if row.attempts else "; not run"


def of_tasks(shown: pd.DataFrame) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Return, for every task of a map, its name, a sentence, and of each sampler its name, counts and prediction."""
    found: dict[str, list[Any]] = {}
    for row in shown.itertuples():
        found.setdefault(str(row.task), []).append(row)
    result = []
    for task, rows in found.items():
        attempts, right = sum(row.attempts for row in rows), sum(row.successes for row in rows)
        predicted = sum(row.mean for row in rows) / len(rows)
        said = f"{right:,} of {attempts:,} attempts right, predicted {predicted:.2f} on average"
        seen = [f"{row.successes:,} of {row.attempts:,}" if row.attempts else "not run" for row in rows]
        of_sampler = [(str(row.row), one, _predicted(row)) for row, one in zip(rows, seen, strict=True)]
        result.append((task, said, of_sampler))
    return result
