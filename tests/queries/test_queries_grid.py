"""Prediction grids hold the numbers of `predict`, whatever made them."""

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.queries.grid import TOLERANCE

STRATEGIES = ["cot", "best_of_n(n=4)", "best_of_n(n=50)", "pass_power(n=3)", "majority(n=5, wrong_shares=[0.6, 0.4])"]
BUDGETS = [100, 130, 400, 900, 2500, 20_000]


def with_budget(strategy: str, budget: int) -> str:
    inside = strategy.partition("(")[2].removesuffix(")")
    parts = [part for part in (inside, f"max_tokens={budget}") if part]
    return f"{strategy.partition('(')[0]}({', '.join(parts)})"


@pytest.fixture(scope="module")
def known_path(prior_fit):
    """A fit whose tasks have known, unequal path lengths, with a budget in one of its two samplers."""
    rng = np.random.default_rng(1)
    rows = [
        {"model": model, "benchmark": "b", "task": f"t{task}", "strategy": "cot", "attempts": 8, "steps": 2 + task % 4}
        | {"successes": int(rng.integers(0, 9)), "tokens_mean": float(rng.uniform(300, 1500)), "max_tokens": budget}
        for model, budget in (("free", None), ("cut", 4000))
        for task in range(12)
    ]
    costs = {"*": {"input_usd": 0.0, "output_usd": 5.0, "params": 1e9, "tokens_per_second": 50.0}}
    return prior_fit(ds3.read_evals(pd.DataFrame(rows)), ds3.ModelSpec.from_dict({"costs": costs}), draws=20)


def agree(grid, fit, budgets, **given):
    labels = [with_budget(strategy, budget) for strategy in STRATEGIES for budget in budgets]
    exact = ds3.predict(fit, labels, **given)
    # Of what `predict` has, a grid leaves out the share of attempts that are cut.
    assert set(grid.data_vars) == set(exact.data_vars) - {"truncated"}
    grid = grid.sel(strategy=exact["strategy"].values)
    np.testing.assert_allclose(grid["success"], exact["success"], atol=2 * TOLERANCE)
    for name in set(grid.data_vars) - {"success"}:
        np.testing.assert_allclose(grid[name], exact[name], rtol=2 * TOLERANCE)


@pytest.mark.parametrize("tasks", ["observed", "new"])
def test_a_grid_is_predict_at_every_budget(known_path, tasks):
    grid = ds3.predict_grid(known_path, STRATEGIES, BUDGETS, tasks=tasks, new_tasks=32)
    assert grid.attrs["largest_error"] <= TOLERANCE
    assert grid.sizes["strategy"] == len(STRATEGIES) * len(BUDGETS)
    agree(grid, known_path, BUDGETS, tasks=tasks, new_tasks=32)
    at = grid.isel(strategy=0)
    assert (str(at["family"].item()), int(at["max_tokens"])) == ("cot", 100)


def test_a_learned_path_length_and_decisions(simulated_fit):
    budgets = [200, 500, 1000, 3000]
    grid = ds3.predict_grid(simulated_fit, [*STRATEGIES, "majority(n=8)"], budgets)
    assert grid.attrs["largest_error"] <= TOLERANCE
    agree(grid.drop_sel(strategy=[with_budget("majority(n=8)", b) for b in budgets]), simulated_fit, budgets)
    votes = [with_budget("majority(n=8)", b) for b in budgets]
    exact = ds3.predict(simulated_fit, votes)
    np.testing.assert_allclose(grid["success"].sel(strategy=votes), exact["success"], atol=2 * TOLERANCE)
    # A larger budget never hurts a single attempt.
    cot = grid["success"].isel(strategy=np.flatnonzero(grid["family"] == "cot"))
    assert (cot.diff("strategy") >= -1e-9).all()
    assert set(ds3.best(grid, max_cost=2000.0)["option"].values) == set(grid["strategy"].values)


def test_paths_too_sharp_for_tables_are_computed(prior_fit):
    # Under its prior a learned path may have thousands of skills.
    rows = [
        {"model": "m", "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": 4, "successes": i % 5}
        | {"tokens_mean": 300.0 + 2500.0 * i}
        for i in range(6)
    ]
    fit = prior_fit(ds3.read_evals(pd.DataFrame(rows)), draws=12)
    grid = ds3.predict_grid(fit, STRATEGIES, [1000, 5000])
    agree(grid, fit, [1000, 5000])


def test_trees_and_what_is_not_proportional_to_tokens(game24_evals, game24_spec, prior_fit):
    game24_fit = prior_fit(game24_evals, game24_spec, draws=20)
    tree = "tot(branching=5, kept_states=5)"
    grid = ds3.predict_grid(game24_fit, [tree, "cot"], [4000])
    exact = ds3.predict(game24_fit, [with_budget(tree, 4000), "cot(max_tokens=4000)"])
    np.testing.assert_allclose(grid["success"], exact["success"], atol=2 * TOLERANCE)
    # The walk's prompts are priced.
    assert "prompt" in grid.attrs["partly_absent"]
    assert np.isnan(grid["usd"].sel(strategy="cot(max_tokens=4000)")).all()


def test_chunks_do_not_change_a_grid(known_path, monkeypatch):
    whole = ds3.predict_grid(known_path, STRATEGIES, BUDGETS)
    monkeypatch.setattr("ds3bayes.queries.grid._PAIRS", 40)
    xr_equal(whole, ds3.predict_grid(known_path, STRATEGIES, BUDGETS, progress=True))


def xr_equal(a, b):
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name], b[name])


def test_what_a_grid_refuses(known_path):
    with pytest.raises(ds3.InputError, match=r"2 faults.*(?s:.)*has a cut of its own(?s:.)*budget 2\.5"):
        ds3.predict_grid(known_path, ["cot(max_tokens=100)"], [2.5])
    with pytest.raises(ds3.InputError, match="at least one strategy and one budget"):
        ds3.predict_grid(known_path, ["cot"], [])
    with pytest.raises(ds3.InputError, match="at least one step"):
        ds3.predict_grid(known_path, ["cot"], [3])
