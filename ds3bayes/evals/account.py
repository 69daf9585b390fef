"""What a reader of logs counted, left out and understood, in words."""

from __future__ import annotations

import json

import xarray as xr


def describe_reading(evals: xr.Dataset) -> list[str]:
    """Say how evaluations were read.

    Parameters
    ----------
    evals : xarray.Dataset
        From `read_evals`.

    Returns
    -------
    list of str
        Lines: what was counted; where each column came from; what was left out, beginning so; how the rest was
        understood. Empty for a table of counts, which speaks for itself.
    """
    if "account" not in evals.attrs:
        return []
    account = json.loads(evals.attrs["account"])
    models, benchmarks = (len(set(evals[name].values.tolist())) for name in ("model", "benchmark"))
    tasks = len(set(zip(evals["benchmark"].values, evals["task"].values, strict=True)))
    files = len(account["sources"]) or 1
    lines = [
        f"read by {account['reader']}: {account['counted']:,} attempts at {tasks:,} tasks of {benchmarks} "
        f"benchmark{'s' * (benchmarks > 1)} by {models} LLM{'s' * (models > 1)}, from {files} file{'s' * (files > 1)}"
    ]
    lines += [f"{column}: {field}" for column, field in account["columns"].items()]
    for one in account["left_out"]:
        where = f" ({'; '.join(one['examples'][:2])})" if one["examples"] else ""
        lines.append(f"left out: {one['count']:,} {one['why']}{where}")
    return [*lines, *account["notes"]]


__all__ = ["describe_reading"]
