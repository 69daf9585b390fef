"""The parts of a predictive variance add up to what simulated evaluations show."""

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3


@pytest.fixture(scope="module")
def wide(prior_fit):
    rows = [
        {"model": "m", "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": 2, "successes": i % 3}
        for i in range(16)
    ]
    return prior_fit(ds3.read_evals(pd.DataFrame(rows)), draws=400)


def simulated(success: np.ndarray, tasks: int | None, attempts: int, runs: int = 100) -> np.ndarray:
    """Shares of right answers of finite evaluations, some for each draw of per-task success."""
    rng = np.random.default_rng(5)
    found = []
    for row in success:
        chance = np.tile(row, (runs, 1)) if tasks is None else rng.choice(row, (runs, tasks))
        found.append(rng.binomial(attempts, chance).mean(axis=1) / attempts)
    return np.array(found)


@pytest.mark.parametrize(("tasks", "evaluated", "attempts"), [("new", 5, 1), ("new", 40, 3), ("observed", None, 2)])
def test_parts_add_up_to_the_variance_of_simulated_evaluations(wide, tasks, evaluated, attempts):
    result = ds3.variance(wide, ["cot"], tasks=tasks, evaluated=evaluated, attempts=attempts, new_tasks=64).squeeze()
    pred = ds3.predict(wide, ["cot"], tasks=tasks, per_task=True, new_tasks=64)["success"].squeeze()
    found = simulated(pred.transpose("draw", "task").values, evaluated, attempts)
    total = float(result["variance"].sum())
    # Within a draw the runs are independent, and their variance over draws is what the parts add up to; for observed
    # tasks the parts pool two sets of task effects: the standard error of a variance of 400 draws allows for both.
    error = 4.0 * np.std((found.mean(axis=1) - found.mean()) ** 2) / np.sqrt(len(found)) + 4.0 * total * np.sqrt(
        2.0 / found.size
    )
    assert abs(found.var() - total) < error
    np.testing.assert_allclose(result["share"].sum(), 1.0, rtol=1e-12)
    assert float(result["sd"]) == pytest.approx(np.sqrt(total))
    assert int(result["tasks_evaluated"]) == (evaluated or 16)


def test_more_attempts_and_tasks_shrink_their_parts(wide):
    one, more = (ds3.variance(wide, evaluated=20, attempts=n, new_tasks=64).squeeze()["variance"] for n in (1, 4))
    np.testing.assert_allclose(more.sel(part=["parameters", "tasks"]), one.sel(part=["parameters", "tasks"]))
    np.testing.assert_allclose(more.sel(part="attempts"), one.sel(part="attempts") / 4)
    wider = ds3.variance(wide, evaluated=80, new_tasks=64).squeeze()["variance"]
    np.testing.assert_allclose(wider.sel(part=["tasks", "attempts"]), one.sel(part=["tasks", "attempts"]) / 4)
    assert float(wider.sel(part="parameters")) == pytest.approx(float(one.sel(part="parameters")))


def test_sentence_and_refusals(wide):
    result = ds3.variance(wide, ["best_of_n(n=2)"], new_tasks=64)
    assert "m | best_of_n(n=2, verifier=oracle) on 16 tasks of b: 0." in result.attrs["sentence"]
    assert "% of its variance from" in result.attrs["sentence"]
    with pytest.raises(ds3.InputError, match="at least 1, got 0"):
        ds3.variance(wide, attempts=0)
    with pytest.raises(ds3.InputError, match="evaluated is for new tasks"):
        ds3.variance(wide, tasks="observed", evaluated=3)
