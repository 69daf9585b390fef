"""Votes that were never held, counted from the answers that attempts gave."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals.choose import to_table

#: What tells the settings of one LLM apart, as strategies name them.
_SETTINGS = ("effort", "budget_tokens", "max_tokens")


def replay_votes(evals: xr.Dataset) -> pd.DataFrame:
    """Hold a majority vote among the logged answers to each task.

    Parameters
    ----------
    evals : xarray.Dataset
        From `read_evals`, with ``wrong_answer_counts``.

    Returns
    -------
    pandas.DataFrame
        A row per LLM, benchmark and setting whose answers were logged: ``model, benchmark, setting`` (as in
        ``effort=high``, empty where there is one), ``tasks``, ``votes`` (mean number of answers to a task), ``single``
        success of one attempt and ``vote`` success of the vote of all of them, a tie being shared. Means over tasks; a
        task all of whose attempts are right, or without an answer, has no wrong answers to log.

    Raises
    ------
    InputError
        If no answers were logged.

    Examples
    --------
    >>> from ds3bayes.evals import read_evals
    >>> table = pd.DataFrame({"model": "m", "benchmark": "b", "task": ["t1", "t2"], "strategy": "cot", "attempts": 5})
    >>> evals = read_evals(table.assign(successes=[2, 2], wrong_answer_counts=["1|1|1", "2|1"]))
    >>> replay_votes(evals)[["single", "vote"]].values.tolist()
    [[0.4, 0.75]]
    """
    table = to_table(evals)
    logged = "wrong_answer_counts" in table and (table["wrong_answer_counts"].fillna("") != "").any()
    if not logged:
        raise InputError("the evaluations have no wrong_answer_counts, so that there are no answers to vote with")
    single = table[(table["task"] != "") & table["strategy"].isin(["cot", "direct"])].copy()
    single["setting"] = [
        ", ".join(f"{name}={_said(row[name])}" for name in _SETTINGS if _said(row.get(name, "")))
        for row in single.to_dict("records")
    ]
    wrong = [
        [int(part) for part in str(counts).split("|") if part] for counts in single["wrong_answer_counts"].fillna("")
    ]
    single["vote"] = [_vote(int(right), counts) for right, counts in zip(single["successes"], wrong, strict=True)]
    single["votes"] = single["successes"] + [sum(counts) for counts in wrong]
    single["single"] = single["successes"] / single["attempts"]
    single["logged"] = [bool(counts) for counts in wrong]
    groups = single.groupby(["model", "benchmark", "setting"], sort=False)
    means = groups[["votes", "single", "vote"]].mean().assign(tasks=groups.size())[["tasks", "votes", "single", "vote"]]
    return means[groups["logged"].any()].reset_index()


def _said(value: object) -> str:
    """Write a setting as strategies have it; nothing where there is none."""
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]
    return "" if np.isnan(number) or number <= 0 else f"{number:g}"


def _vote(right: int, wrong: list[int]) -> float:
    """Return the success of a vote: a tie of answers is shared."""
    top = max([right, *wrong])
    return (right == top) / [right, *wrong].count(top) if top else 0.0


__all__ = ["replay_votes"]
