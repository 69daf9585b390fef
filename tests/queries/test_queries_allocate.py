"""Training against inference compute: against brute force over sizes."""

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.queries.allocate import _split, _World
from ds3bayes.queries.predict import View

COMPUTE, FUTURE = 1e21, 1e8
STRATEGIES = ["cot", "best_of_n(n=4, verifier=oracle)"]


def table(tokens: float | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = [
        {
            "model": f"m{params:.0e}-{trained:.0e}",
            "benchmark": "b",
            "task": f"t{task}",
            "strategy": "cot",
            "attempts": 8,
        }
        | {"successes": int(rng.binomial(8, 0.2 + 0.08 * i)), "params": params, "train_tokens": trained, "steps": 4}
        for i, (params, trained) in enumerate([(4e8, 6e10), (4e8, 3e11), (2e9, 6e10), (2e9, 3e11), (6e9, 4e11)])
        for task in range(10)
    ]
    return pd.DataFrame([row | ({} if tokens is None else {"tokens_mean": tokens}) for row in rows])


SPEC = {"capability": "loss_bridge", "population": {"family": "normal", "reachability": False}}


@pytest.fixture(scope="module")
def bridge(prior_fit):
    return prior_fit(ds3.read_evals(table()), ds3.ModelSpec.from_dict(SPEC), draws=60)


@pytest.fixture(scope="module")
def allocation(bridge):
    return ds3.allocate(
        bridge, STRATEGIES, compute=COMPUTE, future_tasks=FUTURE, tokens_per_attempt=500.0, new_tasks=32
    )


def test_the_budget_is_spent_and_optima_are_no_worse_than_the_plan(allocation):
    attempts = np.array([1.0, 4.0])
    demand = FUTURE * 500.0 * attempts
    spent = 6.0 * allocation["params"] * allocation["training_tokens"] + 2.0 * allocation["params"] * demand
    np.testing.assert_allclose(spent, COMPUTE, rtol=1e-9)
    spent = 6.0 * allocation["plan_params"] * allocation["plan_training_tokens"]
    np.testing.assert_allclose(spent + 2.0 * allocation["plan_params"] * demand, COMPUTE, rtol=1e-9)
    # Known beforehand, a draw's optimum beats the one plan for all.
    assert (allocation["success"].mean(("chain", "draw")) >= allocation["plan_success"] - 1e-6).all()
    assert float(allocation["p_best"].sum()) == pytest.approx(1.0)
    # More attempts per task leave less for training.
    share = allocation["plan_training_share"].values
    assert share[1] < share[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_plan_is_the_best_of_a_grid_of_new_llms(bridge, allocation, strategy):
    """Brute force: `predict_llms` at 25 sizes, the tokens being what compute leaves."""
    demand = FUTURE * 500.0 * (1 if strategy == "cot" else 4)
    plan = allocation.sel(strategy=strategy)
    best = float(plan["plan_params"])
    sizes = best * np.geomspace(0.5, min(2.0, 0.99 * COMPUTE / (2 * demand) / best), 9)

    def success(params: float) -> float:
        llm = {"new": {"params": params, "train_tokens": (COMPUTE / params - 2.0 * demand) / 6.0}}
        found = ds3.predict_llms(bridge, llm, [strategy], tasks="new", new_tasks=32)
        return float(found["success"].mean())

    assert success(best) == pytest.approx(float(plan["plan_success"]), abs=1e-4)
    others = np.array([success(size) for size in sizes])
    assert others.max() <= float(plan["plan_success"]) + 1e-4
    # It is a peak, not a plateau.
    assert others[[0, -1]].max() < float(plan["plan_success"]) - 1e-4


def test_each_draw_has_the_optimum_of_a_fine_grid(bridge, allocation):
    world = _World.of(View.of(bridge, "new", True, 32, 0), ds3.CoT(), "b", "", 500.0)
    log_params = np.linspace(np.log(1e7), np.log(0.999 * COMPUTE / (2 * FUTURE * 500.0)), 4001)
    location = world.location(*_split(COMPUTE, FUTURE * 500.0, log_params[:, None]))
    brute = log_params[location.argmax(axis=0)]
    found = np.log(allocation["params"].sel(strategy="cot").values.ravel())
    assert np.abs(found - brute).max() <= log_params[1] - log_params[0]


def test_tokens_come_from_the_table(prior_fit):
    fit = prior_fit(ds3.read_evals(table(tokens=400.0)), ds3.ModelSpec.from_dict(SPEC), draws=20)
    result = ds3.allocate(fit, ["cot"], compute=COMPUTE, future_tasks=1e6, new_tasks=16)
    assert float(result["tokens"].squeeze()) > 0
    assert result.attrs["sentence"].startswith("Train ")


def test_what_allocate_refuses(bridge, simulated_fit, allocation):
    given = {"compute": COMPUTE, "future_tasks": FUTURE}
    with pytest.raises(ds3.InputError, match="capability 'free', which does not know what training buys"):
        ds3.allocate(simulated_fit, ["cot"], **given)
    with pytest.raises(ds3.InputError, match="give tokens_per_attempt"):
        ds3.allocate(bridge, ["cot"], **given)
    with pytest.raises(ds3.InputError, match=r"compute must be(?s:.)*no strategies"):
        ds3.allocate(bridge, [], compute=-1.0, future_tasks=1.0)
    with pytest.raises(ds3.InputError, match="no LLM in this fit ran with that setting"):
        ds3.allocate(bridge, ["direct"], tokens_per_attempt=1.0, **given)
    with pytest.raises(ds3.InputError, match="do not pay for"):
        ds3.allocate(bridge, ["cot"], compute=1e10, future_tasks=1e9, tokens_per_attempt=1e3)
    assert allocation.attrs["choice"] in STRATEGIES
