"""Which budgets cut attempts off, in tables from before `max_tokens` was a column of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.evals.schema import COLUMN

# By how much attempts may exceed a budget that cuts them: the last token is counted by some and not by others.
_SLACK = 1.01
_KEYS = ["model", "benchmark", "strategy", "effort", "budget_tokens"]


def name_cuts(evals: xr.Dataset, *, as_schema_1: bool = False) -> xr.Dataset:
    """Move budgets that cut attempts off from ``budget_tokens`` to ``max_tokens``.

    A table without a column ``max_tokens`` says that a budget is a cut by counting the attempts that it truncated: in
    all rows of an LLM on a benchmark with one strategy, effort and budget ``truncated`` is given, it is above 0 under
    one of the budgets at least, and no attempt (``tokens_max``, or else ``tokens_mean``) is longer than its budget. All
    other budgets were asked, and stay.

    Parameters
    ----------
    evals : xarray.Dataset
        Evaluations, dimension ``row``, without ``max_tokens`` or with none given.
    as_schema_1 : bool, default False
        Take budgets as fits of schema 1 did: those of rows without a task are cuts, too, and lengths do not count.

    Returns
    -------
    xarray.Dataset
        With ``max_tokens``; the same rows.
    """
    budget = evals["budget_tokens"].values.astype(float)
    told = np.isfinite(budget) & (evals["task"].values.astype(str) != "")
    cut = np.zeros(budget.size, dtype=bool)
    if "truncated" in evals and told.any():
        table = pd.DataFrame({name: evals[name].values for name in _KEYS})
        table["told"], table["truncated"] = told, evals["truncated"].values.astype(float)
        table["told"] &= table["truncated"].notna()
        longest = next((evals[name].values for name in ("tokens_max", "tokens_mean") if name in evals), None)
        if longest is not None and not as_schema_1:
            table["told"] &= ~(longest > _SLACK * budget)
        table["told"] = table["told"] & table.groupby(_KEYS, dropna=False)["told"].transform("all")
        table["truncated"] = table["truncated"].fillna(0.0) * table["told"]
        some = table.groupby(_KEYS[:-1])["truncated"].transform("sum") > 0
        cut = (table["told"] & some).to_numpy()
    if as_schema_1:
        cut |= np.isfinite(budget) & (evals["task"].values.astype(str) == "")
    moved = {"budget_tokens": np.where(cut, np.nan, budget), "max_tokens": np.where(cut, budget, np.nan)}
    return evals.assign(
        {
            name: ("row", values, {"long_name": COLUMN[name].meaning, "units": COLUMN[name].unit})
            for name, values in moved.items()
        }
    )
