"""Tasks that are suspect, as a frame of numbers and as a reader sees them."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from ds3bayes.reports.tables import Shown, chance

#: Probability from which a task is listed in a report, and how many tasks at most.
_LISTED, _MOST = 0.5, 12


def suspect_tasks_table(result: xr.Dataset) -> pd.DataFrame:
    """Give a row per task of `suspect_tasks`, the most suspect first: those most likely broken, then those most spent.

    Parameters
    ----------
    result : xarray.Dataset
        From `suspect_tasks`.

    Returns
    -------
    pandas.DataFrame
        Columns ``benchmark, task, broken, spent``; ``attempts, successes`` of all LLMs; ``llms`` that tried the task
        and ``solved_by`` how many of them.
    """
    tried = result["attempts"] > 0
    frame = pd.DataFrame(
        {
            "benchmark": result["benchmark"].values,
            "task": result["task"].values,
            "broken": result["broken"].values,
            "spent": result["spent"].values,
            "attempts": result["attempts"].sum("model").values,
            "successes": result["successes"].sum("model").values,
            "llms": tried.sum("model").values,
            "solved_by": (result["successes"] > 0).sum("model").values,
        }
    )
    order = frame[["broken", "spent"]].fillna(0.0).round(12)
    return frame.loc[order.sort_values(["broken", "spent"], ascending=False, kind="stable").index].reset_index(
        drop=True
    )


def suspects_shown(table: pd.DataFrame) -> Shown | None:
    """Write the tasks that are likely broken for a reader; None where none is."""
    likely = table[table["broken"] >= _LISTED]
    if likely.empty:
        return None
    rows = likely.head(_MOST)
    several = table["benchmark"].nunique() > 1
    frame = pd.DataFrame(
        {
            "task": rows["benchmark"] + " · " + rows["task"] if several else rows["task"],
            "P(broken)": [chance(p) for p in rows["broken"]],
            "attempts": [f"{n:,}" for n in rows["attempts"]],
            "by LLMs": [f"{n:,}" for n in rows["llms"]],
            "solved": [f"{n:,}" for n in rows["successes"]],
        }
    )
    more = len(likely) - len(rows)
    spent = int((table["spent"] >= _LISTED).sum())
    return Shown(
        caption=f"Tasks that are broken with probability {_LISTED:g} or more: look at their keys and tests",
        frame=frame,
        numeric=frozenset(frame.columns[1:]),
        note=(f"{more} more are in the table suspect_tasks. " if more else "")
        + (f"{spent:,} of {len(table):,} tasks are spent: every LLM solves them for certain." if spent else ""),
    )
