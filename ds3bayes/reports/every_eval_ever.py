"""Intervals of a fit as aggregate records in the schema of Every Eval Ever."""

from __future__ import annotations

import json
import math
import os
import re
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes import files
from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import to_table
from ds3bayes.evals.readers.every_eval_ever import COUNTS, SCHEMA_VERSION
from ds3bayes.generative.rows import row_strategy
from ds3bayes.inference.artifact import evals_of
from ds3bayes.queries.predict import predict

Relationship = Literal["first_party", "third_party", "collaborative", "other"]


def write_every_eval_ever(
    fit: xr.DataTree,
    folder: str | os.PathLike[str],
    *,
    organization: str = "unknown",
    relationship: Relationship = "other",
    level: float = 0.9,
    counts: bool = True,
    seed: int = 0,
) -> list[Path]:
    """Write what a fit says of each LLM on each benchmark as aggregate records of Every Eval Ever (schema 0.3).

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    folder : path
        Records are written below it as ``data/BENCHMARK/DEVELOPER/LLM/UUID.json``, one per LLM and benchmark.
    organization : str, default "unknown"
        Who publishes these results: ``source_organization_name``.
    relationship : {"first_party", "third_party", "collaborative", "other"}, default "other"
        Of this organization to the LLMs' developers.
    level : float, default 0.9
        Of the equal-tailed posterior interval, in (0, 1).
    counts : bool, default True
        Whether each result also holds the rows of the table that it rests on. `read_every_eval_ever` reads them again:
        a score and an interval do not say how many attempts there were at which task.
    seed : int, default 0

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    InputError
        If an argument is not allowed.

    Notes
    -----
    There is one result per sampler setting that was observed. Its score is the posterior mean of success per attempt
    or decision over the benchmark's tasks, not the observed share, which ``details`` has; ``confidence_interval`` and
    ``standard_error`` are the posterior's interval and sd, and their ``method`` says so. Rows without a task give the
    success of new tasks of their population. Rows that the fit held out are neither counted nor written.

    References
    ----------
    Every Eval Ever, https://github.com/evaleval/every_eval_ever, ``eval.schema.json`` 0.3.0.

    Examples
    --------
    >>> paths = write_every_eval_ever(fit, "records", organization="Acme")  # doctest: +SKIP
    """
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise InputError(f"level: got {level!r}; allowed: a number between 0 and 1")
    if relationship not in get_args(Relationship):
        allowed = get_args(Relationship)
        raise InputError(
            f"relationship: got {relationship!r}; allowed: {', '.join(map(repr, allowed))}."
            + did_you_mean(str(relationship), allowed)
        )
    if not isinstance(organization, str) or not organization.strip():
        raise InputError(f"organization: got {organization!r}; allowed: a name")
    evals, held_out = evals_of(fit)
    table = to_table(evals)[~held_out]
    table = table.assign(setting=[str(row_strategy(row)) for row in table.to_dict("records")])
    success = {
        tasks: predict(fit, list(dict.fromkeys(mine["setting"])), tasks=tasks, seed=seed)["success"]  # type: ignore[arg-type]
        for tasks, mine in (("observed", table[table["task"] != ""]), ("new", table[table["task"] == ""]))
        if len(mine)
    }
    now = f"{time.time():.6f}"
    account = json.loads(evals.attrs.get("account", "null")) or {}
    paths = []
    for (model, benchmark), of_llm in table.groupby(["model", "benchmark"], sort=False):
        results = []
        for (setting, aggregated), rows in of_llm.groupby(["setting", of_llm["task"] == ""], sort=False):
            at = success["new" if aggregated else "observed"].sel(model=model, benchmark=benchmark, strategy=setting)
            results.append(_result(str(benchmark), str(setting), bool(aggregated), rows, at.values, level, counts))
        identity = f"{benchmark}/{model}/{now}"
        record = {
            "schema_version": SCHEMA_VERSION,
            "evaluation_id": identity,
            "retrieved_timestamp": now,
            "source_metadata": {
                "source_name": "ds3bayes",
                "source_type": "evaluation_run",
                "source_organization_name": organization,
                "evaluator_relationship": relationship,
            },
            "eval_library": {
                "name": "ds3bayes",
                "version": version("ds3bayes"),
                "additional_details": {
                    "model_id": str(fit.attrs["model_id"]),
                    "data_sha256": str(fit.attrs["data_sha256"]),
                    "read_by": str(account.get("reader", "read_evals")),
                },
            },
            "model_info": _model_info(str(model)),
            "evaluation_results": results,
        }
        # The schema names files by random ids.
        name = f"{uuid.uuid4()}.json"
        # An LLM's first name is its developer; readers of such collections go by the path.
        developer, _, short = str(model).partition("/") if "/" in str(model) else ("unknown", "", str(model))
        place = Path(folder, "data", *map(_file_name, (str(benchmark), developer, short)))
        place.mkdir(parents=True, exist_ok=True)
        paths.append(
            files.write(place / name, "record", (json.dumps(record, indent=2, allow_nan=False) + "\n").encode())
        )
    return paths


def _result(
    benchmark: str, setting: str, aggregated: bool, rows: pd.DataFrame, draws: np.ndarray, level: float, counts: bool
) -> dict[str, Any]:
    attempts, successes = int(rows["attempts"].sum()), int(rows["successes"].sum())
    tasks = int(rows["tasks"].sum()) if aggregated else rows["task"].nunique()
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    which = "new tasks of this population" if aggregated else "the benchmark's tasks"
    method = f"posterior of ds3bayes, of success over {which}"
    details = {
        "attempts": str(attempts),
        "successes": str(successes),
        "tasks": str(tasks),
        "observed_share": repr(successes / attempts),
        "score": f"posterior mean of success over {which}",
    }
    if counts:
        told = [name for name in rows if name != "setting" and rows[name].notna().any() and (rows[name] != "").any()]
        details[COUNTS] = json.dumps([_plain(row) for row in rows[told].to_dict("records")], allow_nan=False)
    return {
        "evaluation_result_id": f"{setting}{' (aggregated)' if aggregated else ''}:success",
        "evaluation_name": benchmark,
        "source_data": {"dataset_name": benchmark, "source_type": "other"},
        "metric_config": {
            "evaluation_description": "expected success per attempt or decision of this sampler setting",
            "metric_id": "success",
            "metric_name": "success",
            "metric_kind": "accuracy",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": float(draws.mean()),
            "details": details,
            "uncertainty": {
                "standard_error": {"value": float(draws.std()), "method": f"sd of the {method}"},
                "confidence_interval": {
                    "lower": float(lower),
                    "upper": float(upper),
                    "confidence_level": float(level),
                    "method": f"equal-tailed interval of the {method}",
                },
                "num_samples": tasks,
            },
        },
        "generation_config": {"additional_details": {"strategy": setting}},
    }


def _model_info(model: str) -> dict[str, Any]:
    # A table does not say who runs an LLM, nor whether its weights are open.
    info = {"name": model, "id": model}
    if "/" in model:
        info["developer"] = model.partition("/")[0]
    return {**info, "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"}}


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """Return a row without blank cells, in values that JSON has."""
    told = {name: value for name, value in row.items() if value != "" and value == value}
    return {
        str(name): value if isinstance(value, str) else int(value) if value == math.floor(value) else float(value)
        for name, value in told.items()
    }


def _file_name(text: str) -> str:
    """Return text as the name of a folder on any system; records hold the names themselves."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", text)[:100].rstrip(". ")
    return name if name.strip("._ ") else "unknown"
