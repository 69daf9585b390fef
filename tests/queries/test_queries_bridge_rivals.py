"""The loss bridge against simple rivals: these against plain numbers, and what the comparison says of a table."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

import ds3bayes as ds3
from ds3bayes.evals.scenarios import training_runs
from ds3bayes.queries.bridge_rivals import RIVALS, _readings, _rule, _sentence, bridge_on_held_out

SPEC = {"capability": "loss_bridge", "population": {"family": "normal", "reachability": False, "soundness": False}}


def llms(sizes: list[float], tokens: list[float]) -> np.ndarray:
    return np.log([(size, trained) for size in sizes for trained in tokens])


def test_regressions_are_exact_where_success_follows_them() -> None:
    known, wanted = llms([1e8, 1e9, 4e9], [1e10, 5e10, 3e11]), llms([2e10], [1e10, 1e12])

    def law(at: np.ndarray, bend: float) -> np.ndarray:
        x, y = (at - 22.0).T
        return expit(-3.0 + 0.5 * x + 0.3 * y + bend * (x * y - y**2))

    np.testing.assert_allclose(RIVALS["linear regression"](known, law(known, 0.0), wanted), law(wanted, 0.0))
    np.testing.assert_allclose(RIVALS["quadratic regression"](known, law(known, 0.1), wanted), law(wanted, 0.1))
    # Six coefficients are not told by five LLMs, nor three by LLMs on a line.
    assert np.isnan(RIVALS["quadratic regression"](known[:5], law(known[:5], 0.1), wanted)).all()
    assert np.isnan(RIVALS["linear regression"](known[:3], law(known[:3], 0.0), wanted)).all()
    np.testing.assert_array_equal(RIVALS["nearest LLM"](known, np.arange(9.0), wanted), [6.0, 8.0])


def table(sizes: list[float], tokens: list[float]) -> pd.DataFrame:
    frame = pd.DataFrame([{"params": n, "train_tokens": d} for n in sizes for d in tokens])
    frame = frame.assign(model=[f"m{i}" for i in range(len(frame))], benchmark="b", strategy="cot", attempts=4)
    return pd.concat([frame.assign(task=task, successes=task) for task in (1, 3)], ignore_index=True)


def test_what_is_left_out() -> None:
    readings = _readings(table([1e8, 1e9, 4e9], [1e10, 5e10, 3e11]))
    np.testing.assert_allclose(readings["success"], 0.5)
    np.testing.assert_allclose(readings["attempts"], 8)
    left = readings[readings.eval(_rule(readings))]
    assert len(left) == 5
    assert ((left["params"] == 4e9) | (left["train_tokens"] == 3e11)).all()
    # Of a small grid only the LLM of most compute.
    small = _readings(table([1e8, 1e9], [1e10, 5e10, 3e11]))
    left = small[small.eval(_rule(small))]
    assert left[["params", "train_tokens"]].to_numpy().tolist() == [[1e9, 3e11]]
    with pytest.raises(ds3.InputError, match="4 LLMs have single attempts in this fit; at least 5 are needed"):
        _rule(_readings(table([1e8, 1e9], [1e10, 5e10])))


@pytest.fixture(scope="module")
def made() -> ds3.Simulation:
    return training_runs(tasks=8, attempts=6, seed=2)


def test_the_bridge_beside_its_rivals_on_a_table(made, prior_fit, simulated_fit) -> None:
    fit = prior_fit(made.evals, ds3.ModelSpec.from_dict(SPEC), draws=20)
    with warnings.catch_warnings():
        # Few draws suffice where inference is not under test.
        warnings.simplefilter("ignore", ds3.FitWarning)
        found = ds3.bridge_against_rivals(fit, draws=150, tune=250, chains=2)
    assert found.sizes == {"forecaster": 4, "case": 6}
    assert found.attrs["remaining"] == 6
    seen = made.evals.to_dataframe().groupby("model")[["successes", "attempts"]].sum()
    shares = seen["successes"] / seen["attempts"]
    np.testing.assert_allclose(found["observed"], shares[found["model"].values])
    np.testing.assert_allclose(found["error"], np.abs(found["predicted"] - found["observed"]))
    nearest = found["predicted"].sel(forecaster="nearest LLM", case=0).item()
    assert np.abs(logit(shares) - logit(nearest)).min() < 0.1
    # An interval of an LLM that was left out is wide, and holds most readings.
    inside = (found["lower"] <= found["observed"]) & (found["observed"] <= found["upper"])
    assert int(inside.sum()) >= 4
    assert "6 LLMs left out, the largest or longest trained," in found.attrs["sentence"]
    with pytest.raises(ds3.InputError, match="capability 'free', which predicts no LLM"):
        ds3.bridge_against_rivals(simulated_fit)

    worse = found.assign(error=found["error"].where(found["forecaster"] != "nearest LLM", 0.0))
    assert "On this table nearest LLM" in _sentence(worse)
    best = found.assign(error=found["error"].where(found["forecaster"] == "loss bridge", 1.0))
    assert "none of these rivals predicted" in _sentence(best)


def test_llms_that_the_spec_holds_out_need_no_new_fit(made, prior_fit) -> None:
    spec = ds3.ModelSpec.from_dict(SPEC | {"holdout": [{"where": "train_tokens >= 4e11 and params >= 3e9"}]})
    found = ds3.bridge_against_rivals(prior_fit(made.evals, spec, draws=20))
    assert sorted(found["model"].values) == ["alder-11b-400bt", "birch-3.6b-400bt"]
    assert found.attrs["remaining"] == 10
    assert found.attrs["sentence"].startswith("Of 2 LLMs left out, held out by the spec, the loss bridge misses")
    # Of some of an LLM's tasks the fit has seen others.
    some = ds3.ModelSpec.from_dict(SPEC | {"holdout": [{"where": "params >= 1e10", "fraction": 0.5}]})
    assert bridge_on_held_out(prior_fit(made.evals, some, draws=20)) is None
