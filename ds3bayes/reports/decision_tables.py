"""Decisions as frames: one row per thing that can be chosen, the best first, numbers as numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.queries.words import mean_interval

_TAILS = (0.05, 0.95)


def difference_table(result: xr.Dataset) -> pd.DataFrame:
    """Give a row for each option of `compare` and one for their difference: mean and interval.

    Parameters
    ----------
    result : xarray.Dataset
        From `compare`.

    Returns
    -------
    pandas.DataFrame
        Columns ``what, mean, lower, upper``; the interval has the level of the comparison.
    """
    level = result.attrs["level"]
    rows = []
    for what, name in (
        (result.attrs["a"], "success_a"),
        (result.attrs["b"], "success_b"),
        ("difference", "difference"),
    ):
        mean, low, high = mean_interval(result[name].values.ravel(), level)
        rows.append({"what": what, "mean": float(mean), "lower": float(low), "upper": float(high)})
    return pd.DataFrame(rows)


def variance_table(result: xr.Dataset) -> pd.DataFrame:
    """Give a row per LLM, benchmark and strategy of `variance`: mean, sd and the shares of its parts.

    Parameters
    ----------
    result : xarray.Dataset
        From `variance`.

    Returns
    -------
    pandas.DataFrame
        Columns ``model, benchmark, strategy, tasks_evaluated, mean, sd, parameters, tasks, attempts``.
    """
    scalars = result[["tasks_evaluated", "mean", "sd"]].to_dataframe()
    shares = result["share"].to_dataset("part").to_dataframe()
    return scalars.join(shares).reset_index().dropna(subset=["sd"], ignore_index=True)


def cost_to_reach_table(result: xr.Dataset) -> pd.DataFrame:
    """Give a row per LLM, benchmark and strategy of `cost_to_reach`.

    Parameters
    ----------
    result : xarray.Dataset
        From `cost_to_reach`.

    Returns
    -------
    pandas.DataFrame
        Columns ``model, benchmark, strategy, p_reach, p_never`` and, of the draws that reach the target, median and
        90 % interval of ``setting`` and ``cost``.
    """
    rows = []
    flat = result.stack(option=("model", "benchmark", "strategy"), sample=("chain", "draw"))
    for at in (flat.isel(option=i) for i in range(flat.sizes["option"])):
        if np.isnan(at["setting"].values).all():
            continue
        row = dict(zip(("model", "benchmark", "strategy"), at["option"].item(), strict=True))
        row |= {"p_reach": float(at["p_reach"]), "p_never": float(at["p_never"])}
        done = np.isfinite(at["setting"].values)
        for name in ("setting", "cost"):
            found = np.full(3, np.nan)
            if done.any():
                found = np.quantile(at[name].values[done], [0.5, *_TAILS], method="inverted_cdf")
            row |= dict(zip((name, f"{name}_lower", f"{name}_upper"), map(float, found), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def next_evals_table(result: xr.Dataset) -> pd.DataFrame:
    """Give a row per evaluation of `next_evals`, most fall of regret per cost first.

    Parameters
    ----------
    result : xarray.Dataset
        From `next_evals`.

    Returns
    -------
    pandas.DataFrame
        Columns ``candidate, attempts, eval_cost, regret_reduction, regret_reduction_upper, regret_after,
        reduction_per_cost``.
    """
    names = ["eval_cost", "regret_reduction", "regret_reduction_upper", "regret_after", "reduction_per_cost"]
    frame = result[names].drop_vars(["regret", "perfect"], errors="ignore").to_dataframe().reset_index()
    return frame.sort_values("reduction_per_cost", ascending=False, kind="stable", ignore_index=True)


def ranking_table(result: xr.Dataset) -> pd.DataFrame:
    """Give a row per LLM or option of `rank`, least expected rank first.

    Parameters
    ----------
    result : xarray.Dataset
        From `rank`.

    Returns
    -------
    pandas.DataFrame
        Columns ``option, strategy, success, success_lower, success_upper, expected_rank, rank_lower, rank_upper,
        p_first, p_tied``.
    """
    names = [
        "success",
        "success_lower",
        "success_upper",
        "expected_rank",
        "rank_lower",
        "rank_upper",
        "p_first",
        "p_tied",
    ]
    return result[names].to_dataframe().reset_index()[["option", "strategy", *names]]


def plan_table(result: xr.Dataset) -> pd.DataFrame:
    """Give a row per number of tasks and of attempts of `plan`.

    Parameters
    ----------
    result : xarray.Dataset
        From `plan`.

    Returns
    -------
    pandas.DataFrame
        Columns ``tasks, attempts, cost`` and, of those that were planned for, ``width, detectable, power``, each with
        its ``_lower`` and ``_upper`` end.
    """
    names = [name for name in result.data_vars if result[name].dims == ("tasks", "attempts")]
    frame = result[names].to_dataframe().reset_index()
    return frame[["tasks", "attempts", "cost", *(name for name in names if name != "cost")]]


def allocation_table(result: xr.Dataset) -> pd.DataFrame:
    """Give a row per strategy of `allocate`, least regret first: its plan, and each draw's optimum as an interval.

    Parameters
    ----------
    result : xarray.Dataset
        From `allocate`.

    Returns
    -------
    pandas.DataFrame
        Columns ``strategy``, the plan's ``params, training_tokens, training_share, success`` with its 90 % interval,
        ``regret, p_best``, and ``params_lower, params_upper`` of the best sizes of the draws.
    """
    low, high = (result["params"].quantile(p, ("chain", "draw")).values for p in _TAILS)
    frame = pd.DataFrame(
        {
            "strategy": result["strategy"].values,
            "params": result["plan_params"].values,
            "params_lower": low,
            "params_upper": high,
            "training_tokens": result["plan_training_tokens"].values,
            "training_share": result["plan_training_share"].values,
            "success": result["plan_success"].values,
            "success_lower": result["plan_success_lower"].values,
            "success_upper": result["plan_success_upper"].values,
            "regret": result["regret"].values,
            "p_best": result["p_best"].values,
        }
    )
    return frame.sort_values("regret", kind="stable", ignore_index=True)
