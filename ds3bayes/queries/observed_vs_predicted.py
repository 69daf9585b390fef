"""Observed results beside what a fit predicts for them, held-out rows first of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals import to_table
from ds3bayes.generative.rows import row_strategy, searches
from ds3bayes.inference.artifact import evals_of
from ds3bayes.queries.predict import outputs_again, predict
from ds3bayes.queries.words import mean_interval
from ds3bayes.strategies import STRATEGIES, Strategy
from ds3bayes.strategies.base import ROW_COLUMNS
from ds3bayes.strategies.thoughts import ThoughtSearch

# Share of an interval's width, at either end, where "inside" is a near miss.
_EDGE = 0.05
_COLUMNS = [
    "model",
    "benchmark",
    "strategy",
    "rows",
    "quantity",
    "tasks",
    "observed",
    "mean",
    "lower",
    "upper",
    "flat",
]


def observed_vs_predicted(fit: xr.DataTree, *, level: float = 0.9, seed: int = 0) -> pd.DataFrame:
    """Compare each group of observed rows with its posterior prediction.

    Parameters
    ----------
    fit : xarray.DataTree
    level : float, default 0.9
        Of the equal-tailed predictive interval.
    seed : int, default 0

    Returns
    -------
    pandas.DataFrame
        One row per LLM, benchmark, sampler setting, set of rows (``held out`` or ``fitted``) and quantity
        (success per attempt, any of n attempts right, tokens and USD per attempt), with the number of tasks, the
        observed value, the predictive mean and interval (widened to hold its mean), whether it is
        ``flat``, nearly all draws being the same, ``inside``, and ``edge`` whether it is so within a twentieth of the
        interval's width of an end. Intervals of success hold the binomial
        noise of the attempts; of tokens and USD those of the means over tasks. A row without a task is compared
        with the population that its tasks come from. Rows that the fit cannot predict are left out;
        ``attrs["not_predicted"]`` says which and why.
    """
    evals, held = evals_of(fit)
    table = to_table(evals).assign(held_out=held)
    keys = ["model", "benchmark", *ROW_COLUMNS, "run"]
    rng = np.random.default_rng([seed, 6])
    rows: list[tuple[Any, ...]] = []
    left_out: list[str] = []
    aggregated = table["task"] == ""
    for _, group in table[~aggregated].groupby([*keys, "held_out"], dropna=False, sort=False):
        group = group.sort_values("task")
        strategy = row_strategy(group.iloc[0].to_dict())
        tasks = [str(task) for task in group["task"]]
        # A row without an effort is of the runs that stated none, not of every effort.
        label = str(strategy)
        model, benchmark = group["model"].iloc[0], group["benchmark"].iloc[0]
        try:
            pred = predict(fit, [strategy], tasks=tasks, per_task=True, seed=seed)
        except InputError as error:
            left_out.append(f"{model} on {benchmark}: {error}")
            continue
        at = pred.sel(model=model, benchmark=benchmark, strategy=label, task=tasks)
        if at["success"].isnull().any():
            left_out.append(f"{model} on {benchmark}, {label}: {pred.attrs['partly_absent']}")
            continue
        at = at.stack(sample=("chain", "draw")).transpose("sample", "task")
        base = (model, benchmark, label, "held out" if group["held_out"].iloc[0] else "fitted")
        n, c = group["attempts"].to_numpy(), group["successes"].to_numpy()
        # Outputs of one search share its tree.
        runs = n // strategy.attempts if isinstance(strategy, ThoughtSearch) else n
        if isinstance(strategy, ThoughtSearch):
            replicated = outputs_again(fit, strategy, (model, benchmark), tasks, runs, rng, seed=seed)
        else:
            replicated = rng.binomial(n, at["success"].values)
        rows.append(
            (
                *base,
                "success per attempt",
                len(tasks),
                c.sum() / n.sum(),
                *summary(replicated.sum(axis=1) / n.sum(), level),
            )
        )
        if n.min() == n.max() > 1:
            name = f"any of {n[0]} attempts right"
            rows.append((*base, name, len(tasks), (c > 0).mean(), *summary((replicated > 0).mean(axis=1), level)))
        search = searches(group["strategy"]).any()
        per = "problem" if search else "attempt"
        for quantity, column, scale in (("tokens", "tokens_mean", n), ("usd", "cost_usd", np.ones_like(n))):
            if quantity not in at or column not in group or group[column].isna().any() or at[quantity].isnull().any():
                continue
            seen = (group[column].to_numpy() * scale / runs).mean()
            unit = "USD" if quantity == "usd" else "tokens"
            rows.append(
                (
                    *base,
                    f"{unit} per {per}",
                    len(tasks),
                    seen,
                    *summary(at[quantity].values.mean(axis=1), level),
                )
            )
    rows += _aggregates(fit, table[aggregated], level, rng, seed, left_out)
    result = pd.DataFrame(rows, columns=_COLUMNS)
    result["inside"] = (result["observed"] >= result["lower"]) & (result["observed"] <= result["upper"])
    result["edge"] = result["inside"] & ~result["flat"] & at_the_edge(result)
    result = result.sort_values("rows", ascending=False, kind="stable", ignore_index=True)
    result.attrs["not_predicted"] = "; ".join(left_out)
    return result


def at_the_edge(table: pd.DataFrame) -> pd.Series:
    """Return whether values ``observed`` lie within a twentieth of an interval's width of one of its ends."""
    nearest = np.minimum((table["observed"] - table["lower"]).abs(), (table["upper"] - table["observed"]).abs())
    return nearest <= _EDGE * (table["upper"] - table["lower"])


def summary(draws: np.ndarray, level: float) -> tuple[float, float, float, bool]:
    """Return mean and interval of draws, and whether it is flat: nearly all say the same.

    Parameters
    ----------
    draws : numpy.ndarray, shape (samples,)
    level : float
    """
    mean, low, high = mean_interval(draws, level)
    ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(mean), float(low), float(high), bool(ends[0] == ends[1])


def _aggregates(
    fit: xr.DataTree, table: pd.DataFrame, level: float, rng: np.random.Generator, seed: int, left_out: list[str]
) -> list[tuple[Any, ...]]:
    """Compare rows without a task with the prediction for the population that their tasks come from."""
    if table.empty:
        return []
    strategies = [row_strategy(row) for row in table.to_dict("records")]
    predictions: dict[Strategy, xr.Dataset | InputError] = {}
    for strategy in dict.fromkeys(strategies):
        try:
            predictions[strategy] = predict(fit, [strategy], tasks="new", new_tasks=1024, seed=seed)
        except InputError as error:
            predictions[strategy] = error
    rows: list[tuple[Any, ...]] = []
    for row, strategy in zip(table.to_dict("records"), strategies, strict=True):
        pred = predictions[strategy]
        if isinstance(pred, InputError):
            left_out.append(f"{row['model']} on {row['benchmark']}: {pred}")
            continue
        at = pred.sel(model=row["model"], benchmark=row["benchmark"], strategy=str(strategy))
        at = at.stack(sample=("chain", "draw"))
        which = "held out" if row["held_out"] else "fitted"
        base = (row["model"], row["benchmark"], str(strategy), which)
        n = int(row["attempts"])
        replicated = rng.binomial(n, at["success"].values) / n
        tasks = int(row["tasks"])
        rows.append((*base, "success per attempt", tasks, row["successes"] / n, *summary(replicated, level)))
        if "tokens" in at and np.isfinite(row.get("tokens_mean", np.nan)) and at["tokens"].notnull().all():
            walks = 1 if strategy.is_search else strategy.attempts
            per_walk = at["tokens"].values / walks
            budgeted = fit["posterior"].to_dataset().get("budget_token_sd")
            walk = STRATEGIES[strategy.walk](effort=strategy.effort, budget_tokens=strategy.budget_tokens)
            label = f"{row['model']} | {row['benchmark']} | {walk}"
            if budgeted is not None and label in budgeted[budgeted.dims[-1]].values:
                sd = budgeted.sel({budgeted.dims[-1]: label})
                scatter = sd.sel(draw=pred["draw"].values).values.ravel()
                per_walk = per_walk * np.exp(scatter * rng.standard_normal(scatter.size))
            rows.append((*base, "tokens per attempt", tasks, row["tokens_mean"], *summary(per_walk, level)))
    return rows
