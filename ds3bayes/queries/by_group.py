"""`predict_by`: success and cost of strategies by group of tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import to_table
from ds3bayes.evals.schema import fact_columns
from ds3bayes.generative.rows import group_of, row_strategy
from ds3bayes.inference.artifact import evals_of
from ds3bayes.queries.predict import predict
from ds3bayes.strategies import Strategy
from ds3bayes.strategies.base import ROW_COLUMNS


def predict_by(
    fit: xr.DataTree,
    strategies: Sequence[Strategy | str] | None = None,
    *,
    by: str = "category",
    seed: int = 0,
) -> xr.Dataset:
    """Predict success and cost of strategies by group of tasks, such as category, language or level.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`. With capability 'grouped' groups with few tasks borrow from the others; any other
        capability takes each task for itself.
    strategies : sequence of Strategy or str, optional
        As for `predict`.
    by : str, default "category"
        Column about tasks whose values are the groups; tasks where it is blank are left out.
    seed : int, default 0

    Returns
    -------
    xarray.Dataset
        As `predict` gives it for these very tasks, means over the tasks of each group: dims (chain, draw, model,
        benchmark, strategy, group); NaN where an LLM was not evaluated on a group's benchmark. ``tasks`` (benchmark,
        group) is the number of tasks, ``observed`` (model, benchmark, strategy, group) the share of attempts that
        succeeded where a strategy itself was run.

    Raises
    ------
    InputError
        If there is no such column about tasks, or a strategy cannot be predicted.
    """
    evals, _ = evals_of(fit)
    table = to_table(evals)
    known = [name for name in fact_columns("task") if name in table]
    if by not in known:
        raise InputError(
            f"by = {by!r}: the evaluations have no such column about tasks; they have: {', '.join(known) or 'none'}. "
            "Add it to the table (category, language or level; others by ds3bayes.evals.keep_columns)."
            + did_you_mean(by, known)
        )
    table["group"] = table[by].map(group_of)
    of_task = table[table["group"] != ""].drop_duplicates(["benchmark", "task"])
    pred = predict(fit, strategies, per_task=True, seed=seed)
    benchmarks, tasks = [str(one) for one in pred["benchmark"].values], [str(one) for one in pred["task"].values]
    groups = sorted(set(of_task["group"]), key=_by_number)
    member = np.zeros((len(benchmarks), len(groups), len(tasks)))
    place = {name: row for row, name in enumerate(tasks)}
    for row in of_task.itertuples(index=False):
        if row.task in place and row.benchmark in benchmarks:
            member[benchmarks.index(row.benchmark), groups.index(row.group), place[row.task]] = 1.0
    counts = member.sum(axis=2)
    share = xr.DataArray(
        np.divide(member, counts[:, :, None], out=np.full(member.shape, np.nan), where=counts[:, :, None] > 0),
        dims=("benchmark", "group", "task"),
        coords={"benchmark": benchmarks, "group": groups, "task": tasks},
    )
    result = xr.Dataset(
        {
            name: xr.dot(values.where(share > 0, 0.0), share, dim="task").assign_attrs(values.attrs)
            for name, values in pred.data_vars.items()
        },
        attrs=dict(pred.attrs) | {"by": by},
    )
    result["tasks"] = (("benchmark", "group"), counts.astype(int), {"units": "tasks"})
    result["observed"] = _observed(table, pred, groups)
    return result.transpose("chain", "draw", "model", "benchmark", "strategy", "group", missing_dims="ignore")


def _by_number(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return np.inf, name


def _observed(table: pd.DataFrame, pred: xr.Dataset, groups: list[str]) -> xr.DataArray:
    """Return the share of attempts that succeeded, by LLM, benchmark, strategy and group, NaN where none was made."""
    dims = ("model", "benchmark", "strategy")
    coords = {name: [str(one) for one in pred[name].values] for name in dims} | {"group": groups}
    solved = xr.DataArray(np.zeros([len(one) for one in coords.values()]), dims=(*dims, "group"), coords=coords)
    tried = solved.copy()
    rows = table[(table["task"] != "") & (table["group"] != "")]
    for _, same in rows.groupby(["model", "benchmark", "group", *ROW_COLUMNS], dropna=False):
        first = same.iloc[0]
        label = str(row_strategy(first.to_dict()))
        if label in coords["strategy"]:
            at = {"model": first["model"], "benchmark": first["benchmark"], "strategy": label, "group": first["group"]}
            solved.loc[at] += float(same["successes"].sum())
            tried.loc[at] += float(same["attempts"].sum())
    share = solved / tried.where(tried > 0)
    return share.assign_attrs(units="1", long_name="share of attempts that succeeded")
