"""Observed results beside what a fit predicts for them, held-out rows first of all."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.evals import to_table
from ds3bayes.inference.fit import evals_of
from ds3bayes.queries.predict import predict
from ds3bayes.strategies import parse_strategy

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
        noise of the attempts; of tokens and USD those of the means over tasks.
    """
    evals, held = evals_of(fit)
    table = to_table(evals).assign(held_out=held)
    keys = [
        "model",
        "benchmark",
        "strategy",
        "effort",
        "budget_tokens",
        "branching",
        "kept_states",
        "n_samples",
        "verifier",
    ]
    rng = np.random.default_rng([seed, 6])
    tails = [(1 - level) / 2, (1 + level) / 2]
    rows = []
    for _, group in table.groupby([*keys, "held_out"], dropna=False, sort=False):
        group = group.sort_values("task")
        strategy = _text(group.iloc[0])
        tasks = [str(task) for task in group["task"]]
        pred = predict(fit, [strategy], tasks=tasks, per_task=True, seed=seed)
        label = pred["strategy"].values[0]
        at = pred.sel(model=group["model"].iloc[0], benchmark=group["benchmark"].iloc[0], strategy=label, task=tasks)
        at = at.stack(sample=("chain", "draw")).transpose("sample", "task")
        base = (
            group["model"].iloc[0],
            group["benchmark"].iloc[0],
            label,
            "held out" if group["held_out"].iloc[0] else "fitted",
        )
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
            if quantity not in at or column not in group or group[column].isna().any():
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
    result = pd.DataFrame(rows, columns=_COLUMNS)
    result["inside"] = (result["observed"] >= result["lower"]) & (result["observed"] <= result["upper"])
    return result.sort_values("rows", ascending=False, kind="stable", ignore_index=True)


def _summary(draws: np.ndarray, tails: list[float]) -> tuple[float, float, float]:
    low, high = np.quantile(draws, tails)
    return float(draws.mean()), float(low), float(high)


def _text(row: pd.Series) -> str:
    """Write the strategy of a row of the table, one attempt or decision of it, in text form."""
    given = {}
    if row["strategy"] == "tot":
        given = {"branching": int(row["branching"])}
        if not pd.isna(row["kept_states"]):
            given["kept_states"] = int(row["kept_states"])
    elif row["strategy"] in ("best_of_n", "majority", "pass_power"):
        given = {"n": int(row["n_samples"])}
    fields = [f"{name}={value}" for name, value in given.items()]
    if row["strategy"] == "best_of_n":
        fields.append(f"verifier={row['verifier']}")
    if row["effort"]:
        fields.append(f"effort={json.dumps(row['effort'])}")
    if not pd.isna(row["budget_tokens"]):
        fields.append(f"budget_tokens={int(row['budget_tokens'])}")
    return str(parse_strategy(f"{row['strategy']}({', '.join(fields)})"))
