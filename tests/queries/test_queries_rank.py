"""Ranks against loops over draws, and against LLMs whose order is known."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

import ds3bayes as ds3
from ds3bayes.queries.rank import _rank_probabilities, _shortest_run


def predictions(success: np.ndarray) -> xr.Dataset:
    """Predictions of shape (draw, model, strategy) as those of `predict`."""
    draws, models, strategies = success.shape
    return xr.Dataset(
        {"success": (("chain", "draw", "model", "benchmark", "strategy"), success[None, :, :, None, :])},
        coords={
            "chain": [0],
            "draw": np.arange(draws),
            "model": [f"m{i}" for i in range(models)],
            "benchmark": ["b"],
            "strategy": ["cot", "best_of_n(n=2, verifier=oracle)"][:strategies],
        },
        attrs={"tasks": "observed"},
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.booleans())
def test_probabilities_are_those_of_a_loop(seed, options, ties):
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, 3, (options, 50)) / 3.0 if ties else rng.random((options, 50))
    found = _rank_probabilities(draws)
    np.testing.assert_allclose(found.sum(axis=0), 1.0)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    expected = np.mean([rankdata(-one) for one in draws.T], axis=0)
    np.testing.assert_allclose(found @ np.arange(1, options + 1), expected)


def test_a_run_of_ranks_is_the_shortest_that_holds_enough():
    assert _shortest_run(np.array([0.05, 0.9, 0.05]), 0.9) == (2, 2)
    assert _shortest_run(np.array([0.5, 0.3, 0.2]), 0.9) == (1, 3)
    assert _shortest_run(np.array([0.1, 0.45, 0.45]), 0.9) == (2, 3)


def test_an_order_that_is_sure_and_one_that_is_not():
    rng = np.random.default_rng(1)
    success = np.stack([0.8 + 0.01 * rng.normal(size=400), 0.5 + 0.05 * rng.normal(size=400)], axis=1)
    success = np.concatenate([success, 0.5 + 0.05 * rng.normal(size=(400, 1))], axis=1)[:, :, None]
    found = ds3.rank(predictions(success))
    assert found["option"].values[0] == "m0"
    assert float(found["p_first"][0]) > 0.99
    assert found["rank_lower"].values.tolist() == [1, 2, 2]
    assert found["rank_upper"].values.tolist() == [1, 3, 3]
    assert found["p_rank"].sum("rank").values == pytest.approx(1.0)
    assert 0.3 < float(found["p_above"].sel(option="m1", other="m2")) < 0.7
    assert "m0 is first with probability" in found.attrs["sentence"]


def test_llms_stand_with_their_best_strategy_and_options_each_for_itself():
    success = np.tile(np.array([[0.2, 0.6], [0.5, 0.4]]), (10, 1, 1))
    found = ds3.rank(predictions(success), perfect_check=True)
    assert found["option"].values.tolist() == ["m0", "m1"]
    assert found["strategy"].values.tolist() == ["best_of_n(n=2, verifier=oracle)", "cot"]
    options = ds3.rank(predictions(success), of="option", perfect_check=["b"])
    assert options["option"].values[0] == "m0 | best_of_n(n=2, verifier=oracle)"
    assert options["expected_rank"].values.tolist() == [1, 2, 3, 4]
    assert options["p_tied"].values.tolist() == [1, 0, 0, 0]
    assert options.attrs["bounds"] == "none"


def test_upper_bounds_have_no_rank():
    success = np.tile(np.array([[0.2, 0.6], [0.5, 0.9]]), (10, 1, 1))
    found = ds3.rank(predictions(success))
    assert found["option"].values.tolist() == ["m1", "m0"]
    assert found["strategy"].values.tolist() == ["cot", "cot"]
    assert found.attrs["bounds"] == "m0 | best_of_n(n=2, verifier=oracle); m1 | best_of_n(n=2, verifier=oracle)"
    assert "Without a rank, being upper bounds" in found.attrs["sentence"]
    with pytest.raises(ds3.InputError, match=r"only 0 LLM on b to rank.*upper bound.*perfect_check=True"):
        ds3.rank(predictions(success).isel(strategy=[1]))


def test_a_practical_tie_is_at_most_a_tenth_of_the_first():
    success = np.tile(np.array([[0.020], [0.0135]]), (10, 1, 1))
    assert ds3.rank(predictions(success))["p_tied"].values.tolist() == [1, 0]
    assert ds3.rank(predictions(success * 10), margin=0.07)["p_tied"].values.tolist() == [1, 0]
    assert ds3.rank(predictions(success * 40), margin=0.07)["p_tied"].values.tolist() == [1, 0]
    near = np.tile(np.array([[0.80], [0.795]]), (10, 1, 1))
    assert ds3.rank(predictions(near))["p_tied"].values.tolist() == [1, 1]


def test_llms_of_known_order(short_fit):
    rng = np.random.default_rng(2)
    easiness = rng.normal(size=60)
    rows = [
        (f"m{llm}", f"t{task}", rng.binomial(6, 1 / (1 + np.exp(-(level + easiness[task])))))
        for llm, level in enumerate([-1.5, 1.5, 0.0, 0.0])
        for task in range(60)
    ]
    frame = pd.DataFrame(rows, columns=["model", "task", "successes"]).assign(benchmark="b", strategy="cot", attempts=6)
    fit = short_fit(ds3.read_evals(frame))
    for tasks in ("observed", "new"):
        found = ds3.rank(fit, ["cot"], tasks=tasks)
        assert found["option"].values[0] == "m1"
        assert found["option"].values[-1] == "m0"
        assert float(found["p_first"][0]) > 0.95
    # That one of two equals is better is less sure of new tasks than of these.
    assert 0.02 < float(ds3.rank(fit, ["cot"], tasks="new")["p_above"].sel(option="m2", other="m3")) < 0.98


def test_what_cannot_be_ranked_is_refused(game24_fit):
    with pytest.raises(ds3.InputError, match=r"only 1 LLM on game-of-24 to rank; ranks need two \(of='option'"):
        ds3.rank(game24_fit)
    assert ds3.rank(game24_fit, ["cot", "direct"], of="option").sizes["option"] == 2
    with pytest.raises(ds3.InputError, match=r"margin = 1\.0: it must be a difference in success"):
        ds3.rank(game24_fit, margin=1.0)
    with pytest.raises(ds3.InputError, match="allowed: 'model', 'option'"):
        ds3.rank(game24_fit, of="llm")
    with pytest.raises(ds3.InputError, match="keep their tasks"):
        ds3.rank(ds3.predict(game24_fit, ["cot"], per_task=True))


def test_margin_and_check_are_those_of_the_spec(game24_fit):
    """The spec of Game of 24 says that answers can be checked."""
    options = ["cot", "direct", "best_of_n(n=100)"]
    asked = ds3.rank(game24_fit, options, of="option")
    assert (asked.attrs["margin"], asked.attrs["bounds"]) == (0.01, "none")
    assert asked["strategy"].values[0] == "best_of_n(n=100, verifier=oracle)"
    unchecked = ds3.rank(game24_fit, options, of="option", perfect_check=False, margin=0.05)
    assert unchecked.attrs["bounds"] == "best_of_n(n=100, verifier=oracle)"
    assert (unchecked.attrs["margin"], unchecked.sizes["option"]) == (0.05, 2)
