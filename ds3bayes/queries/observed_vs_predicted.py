"""Observed results beside what a fit predicts for them, held-out rows first of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals import to_table
from ds3bayes.generative.rows import row_strategy
from ds3bayes.inference.artifact import evals_of
from ds3bayes.queries.predict import predict
from ds3bayes.strategies import STRATEGIES, AttemptStrategy, Strategy

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
        observed value, the predictive mean and interval, and ``inside``. Intervals of success hold the binomial
        noise of the attempts; of tokens and USD those of the means over tasks. A row without a task is compared
        with the population that its tasks come from. Rows that the fit cannot predict are left out;
        ``attrs["not_predicted"]`` says which and why.
    """
    evals, held = evals_of(fit)
    table = to_table(evals).assign(held_out=held)
    keys = [
        "model",
        "benchmark",
        "strategy",
        "effort",
        "budget_tokens",
        "max_tokens",
        "branching",
        "kept_states",
        "n_samples",
        "verifier",
        "run",
    ]
    rng = np.random.default_rng([seed, 6])
    tails = [(1 - level) / 2, (1 + level) / 2]
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
        replicated = rng.binomial(n, at["success"].values)
        rows.append(
            (
                *base,
                "success per attempt",
                len(tasks),
                c.sum() / n.sum(),
                *_summary(replicated.sum(axis=1) / n.sum(), tails),
            )
        )
        if n.min() == n.max() > 1:
            name = f"any of {n[0]} attempts right"
            rows.append((*base, name, len(tasks), (c > 0).mean(), *_summary((replicated > 0).mean(axis=1), tails)))
        runs = np.ones_like(n) if group["strategy"].iloc[0] == "tot" else n
        per = "problem" if group["strategy"].iloc[0] == "tot" else "attempt"
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
                    *_summary(at[quantity].values.mean(axis=1), tails),
                )
            )
    rows += _aggregates(fit, table[aggregated], tails, rng, seed, left_out)
    result = pd.DataFrame(rows, columns=_COLUMNS)
    result["inside"] = (result["observed"] >= result["lower"]) & (result["observed"] <= result["upper"])
    result = result.sort_values("rows", ascending=False, kind="stable", ignore_index=True)
    result.attrs["not_predicted"] = "; ".join(left_out)
    return result


def _summary(draws: np.ndarray, tails: list[float]) -> tuple[float, float, float]:
    low, high = np.quantile(draws, tails)
    return float(draws.mean()), float(low), float(high)


def _aggregates(
    fit: xr.DataTree, table: pd.DataFrame, tails: list[float], rng: np.random.Generator, seed: int, left_out: list[str]
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
        rows.append((*base, "success per attempt", tasks, row["successes"] / n, *_summary(replicated, tails)))
        if "tokens" in at and np.isfinite(row.get("tokens_mean", np.nan)) and at["tokens"].notnull().all():
            walks = strategy.attempts if isinstance(strategy, AttemptStrategy) else 1
            per_walk = at["tokens"].values / walks
            budgeted = fit["posterior"].to_dataset().get("budget_token_sd")
            walk = STRATEGIES[strategy.walk](effort=strategy.effort, budget_tokens=strategy.budget_tokens)
            label = f"{row['model']} | {row['benchmark']} | {walk}"
            if budgeted is not None and label in budgeted[budgeted.dims[-1]].values:
                sd = budgeted.sel({budgeted.dims[-1]: label})
                scatter = sd.sel(draw=pred["draw"].values).values.ravel()
                per_walk = per_walk * np.exp(scatter * rng.standard_normal(scatter.size))
            rows.append((*base, "tokens per attempt", tasks, row["tokens_mean"], *_summary(per_walk, tails)))
    return rows
