"""A grid of 6 strategies x 200 budgets x 4,000 draws x 500 tasks: seconds, memory, and how far from the formulas."""

from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3

pytestmark = pytest.mark.benchmark

STRATEGIES = [
    "cot",
    "best_of_n(n=4)",
    "best_of_n(n=100)",
    "best_of_n(n=8, verifier=noisy(d=1.5))",
    "majority(n=8, wrong_shares=[0.5, 0.3, 0.2])",
    "pass_power(n=4)",
]
BUDGETS = np.unique(np.geomspace(100, 40_000, 203).astype(int))[:200]
SECONDS, GIBIBYTES = 10.0, 1.0


def resident(what: str) -> float:
    """Memory of this process in GiB: VmRSS now, VmHWM at most since the last reset."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{what}:")[1].split()[0]) / 2**20


def test_a_large_grid(prior_fit):
    rng = np.random.default_rng(3)
    rows = [
        {"model": "m", "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": 6, "steps": 8}
        | {"successes": int(rng.integers(0, 7)), "tokens_mean": float(rng.uniform(300, 3000))}
        for i in range(500)
    ]
    fit = prior_fit(ds3.read_evals(pd.DataFrame(rows)), draws=4000)
    # Compiled once, and kept on disk.
    ds3.predict_grid(fit, STRATEGIES, BUDGETS[:3])
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, started = resident("VmRSS"), perf_counter()
    grid = ds3.predict_grid(fit, STRATEGIES, BUDGETS)
    seconds, grown = perf_counter() - started, resident("VmHWM") - before
    assert grid["success"].shape == (1, 4000, 1, 1, 1200)
    started = perf_counter()
    budget = int(BUDGETS[120])
    exact = ds3.predict(fit, [f"cot(max_tokens={budget})", f"best_of_n(n=100, max_tokens={budget})"])
    apart = (perf_counter() - started) / 2
    error = float(np.abs(grid["success"].sel(strategy=exact["strategy"].values) - exact["success"]).max())
    print(f"{seconds:.1f} s, {grown:.2f} GiB; one by one {1200 * apart:.0f} s; error {error:.1e}")
    assert error <= 2e-4
    assert grown < GIBIBYTES
    assert seconds < SECONDS
