"""A million attempts from file to fit, and how cost grows: with distinct cells, not with attempts."""

from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.inference.compiled import compile_model

pytestmark = pytest.mark.benchmark

SECONDS = 30.0
ROUNDS = 300


def attempts_one_by_one(llms: int, tasks: int, each: int, *, tokens: bool = False, seed: int = 0) -> pd.DataFrame:
    """A row per attempt: ``each`` attempts of every LLM at every task, a seventh of the tasks out of reach."""
    rng = np.random.default_rng(seed)
    easiness = rng.normal(0.0, 2.5, tasks)
    frames = []
    for llm in range(llms):
        q = expit(easiness + rng.normal(0.0, 1.0) + 0.7 * rng.standard_t(7.0, tasks) * (llms > 1))
        q[: tasks // 7] = 0.0
        frame = pd.DataFrame({"task": np.repeat([f"t{i}" for i in range(tasks)], each)})
        frame["successes"] = (rng.random((tasks, each)) < q[:, None]).ravel().astype(int)
        frame["model"] = f"m{llm}"
        if tokens:
            mean = 6.0 - 0.2 * easiness + 0.3 * rng.normal(size=tasks)
            frame["completion_tokens"] = np.exp(rng.normal(np.repeat(mean, each), 0.2)).round().astype(int)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).assign(benchmark="b", strategy="cot", attempts=1)


@pytest.mark.parametrize(
    ("kind", "llms", "tasks", "each", "tokens"),
    [
        ("csv", 10, 100, 1000, False),
        ("parquet", 10, 100, 1000, False),
        ("csv", 1, 100, 10_000, False),
        ("csv", 1, 1000, 1000, True),
    ],
)
def test_a_million_attempts(tmp_path, kind, llms, tasks, each, tokens):
    frame = attempts_one_by_one(llms, tasks, each, tokens=tokens)
    assert len(frame) == 10**6
    path = tmp_path / f"attempts.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    started = perf_counter()
    evals = ds3.read_evals(path)
    read = perf_counter() - started
    fit = ds3.fit(evals, progress=False)
    seconds = perf_counter() - started
    parts = {name: fit.attrs[f"{name}_seconds"] for name in ("compile", "sample", "effects")}
    print(
        f"\n10^6 attempts ({kind}, {llms} LLMs, {tasks} tasks{', tokens' if tokens else ''}): {seconds:.1f} s, of "
        f"which read {read:.1f}, " + ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
    )
    assert int(evals["attempts"].sum()) == 10**6
    assert int(evals["successes"].sum()) == int(frame["successes"].sum())
    assert seconds < SECONDS


def measured(tasks: int, each: int) -> dict[str, float]:
    """Seconds of each part of a fit of one LLM, and how many distinct cells it has."""
    frame = attempts_one_by_one(1, tasks, each)
    started = perf_counter()
    evals = ds3.read_evals(frame)
    read = perf_counter() - started
    design = make_design(evals, ds3.ModelSpec(), np.zeros(evals.sizes["row"], dtype=bool))
    tape = compile_model(design, ds3.ModelSpec(), swap=False).density.tape
    rng = np.random.default_rng(0)
    times = []
    for point in rng.normal(0.0, 0.3, (ROUNDS, tape.dim)):
        began = perf_counter()
        tape.log_density(point)
        times.append(perf_counter() - began)
    fit = ds3.fit(evals, progress=False)
    return {
        "attempts": tasks * each,
        "tasks": tasks,
        "cells": design.blocks[0].distinct[2].size,
        "read": read,
        "gradient": float(np.median(times[20:])),
        "sample": fit.attrs["sample_seconds"],
        "fit": sum(fit.attrs[f"{name}_seconds"] for name in ("compile", "sample", "effects")),
    }


def shown(rows: list[dict[str, float]]) -> str:
    lines = ["attempts  tasks  distinct cells  read s  gradient us  sample s  fit s"]
    lines += [
        f"{row['attempts']:8d} {row['tasks']:6d} {row['cells']:15d} {row['read']:7.2f} {1e6 * row['gradient']:12.1f}"
        f" {row['sample']:9.2f} {row['fit']:6.1f}"
        for row in rows
    ]
    return "\n" + "\n".join(lines)


def test_cost_grows_with_distinct_cells():
    measured(100, 10)  # Imports what all share.
    fixed = [measured(100, each) for each in (10, 100, 1000, 10_000)]
    print(shown(fixed))
    growing = [measured(tasks, each) for tasks, each in ((40, 25), (100, 100), (400, 250), (1000, 1000))]
    print(shown(growing))
    # Between 10^4 and 10^6 attempts the number of distinct cells grows by a few; so does a gradient's time.
    few, many = fixed[1], fixed[-1]
    assert many["attempts"] == 100 * few["attempts"]
    assert many["cells"] < 2.0 * few["cells"]
    assert many["gradient"] < 2.0 * few["gradient"] * many["cells"] / few["cells"]
    # A thousand times the attempts, and the whole fit takes less than ten times as long at any number of cells.
    assert growing[-1]["fit"] < 10.0 * growing[0]["fit"]
