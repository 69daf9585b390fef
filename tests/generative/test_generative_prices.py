"""Prices are learned from costs and tokens where these determine them, and refused with a reason elsewhere."""

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.generative.prices import learned_prices


def table(prices=(2.5, 10.0), rows: int = 12, model: str = "m", seed: int = 0) -> pd.DataFrame:
    """Rows of two attempts, whose prompts and answers vary from task to task."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "model": model,
            "benchmark": "b",
            "task": [f"t{i}" for i in range(rows)],
            "strategy": "cot",
            "attempts": 2,
            "successes": np.arange(rows) % 3,
            "prompt_tokens": 2 * rng.integers(80, 900, rows),
            "completion_tokens": rng.integers(200, 4000, rows),
        }
    )
    frame["cost_usd"] = (prices[0] * frame["prompt_tokens"] + prices[1] * frame["completion_tokens"]) / 1e6
    return frame


def learned(frame: pd.DataFrame, **costs):
    spec = ds3.ModelSpec.from_dict({"costs": {"m": costs}} if costs else {})
    return learned_prices(spec, ds3.read_evals(frame))


@pytest.mark.parametrize("prices", [(2.5, 10.0), (0.15, 0.6), (0.0, 8.0), (1.25, 10.0)])
@pytest.mark.parametrize("digits", [12, 6])
def test_prices_follow_from_costs_and_tokens(prices, digits):
    found = learned(table(prices).round({"cost_usd": digits}))
    assert found.reasons == {}
    assert (found.costs["m"].input_usd, found.costs["m"].output_usd) == pytest.approx(prices, rel=2e-3, abs=1e-3)
    if digits == 12:
        assert (found.costs["m"].input_usd, found.costs["m"].output_usd) == prices


def test_each_llm_has_its_own_and_stated_ones_stay():
    frame = pd.concat([table((2.5, 10.0), model="m"), table((0.1, 0.4), model="n")])
    found = learned(frame)
    assert [cost.output_usd for cost in found.costs.values()] == [10.0, 0.4]
    assert found.said == "m USD 2.5 and 10; n USD 0.1 and 0.4 per million prompt and generated tokens"
    assert learned(table(), input_usd=2.5, output_usd=10.0).costs == {}
    # Speed and size are kept beside what was learned.
    one = learned(table(), tokens_per_second=50.0).costs["m"]
    assert (one.tokens_per_second, one.input_usd, one.output_usd) == (50.0, 2.5, 10.0)


def test_one_stated_price_leaves_one_to_learn():
    assert learned(table(), input_usd=2.5).costs["m"].output_usd == 10.0
    free = table((0.0, 10.0)).drop(columns="prompt_tokens")
    assert learned(free, input_usd=0.0).costs["m"].output_usd == 10.0
    # A stated price that the costs contradict is noticed.
    assert "no two prices explain" in learned(table(), input_usd=5.0).reasons["m"]


def test_what_does_not_determine_prices_is_said():
    proportional = table().assign(prompt_tokens=lambda f: 3 * f["completion_tokens"])
    proportional["cost_usd"] = 1e-5 * proportional["completion_tokens"]
    cached = table()
    cached.loc[3, "cost_usd"] *= 0.8
    for frame, said in (
        (table().drop(columns="prompt_tokens"), "no prompt_tokens"),
        (table().drop(columns="completion_tokens"), "no completion_tokens"),
        (proportional, "do not vary apart"),
        (cached, "no two prices explain the cost of every row"),
        (table(rows=2), "2 rows have cost and tokens, and 3 are needed"),
    ):
        found = learned(frame)
        assert found.costs == {}
        assert said in found.reasons["m"]
    assert "cached" in learned(table(), input_usd=2.0, cached_input_usd=1.0).reasons["m"]
    assert learned(table().drop(columns="cost_usd")).reasons == {}


def test_predictions_use_learned_prices(prior_fit):
    fit = prior_fit(ds3.read_evals(table()))
    pred = ds3.predict(fit, ["cot", "majority(n=1)"][:1])
    assert pred.attrs["learned_prices"] == "m USD 2.5 and 10 per million prompt and generated tokens"
    stated = prior_fit(
        ds3.read_evals(table()), ds3.ModelSpec.from_dict({"costs": {"m": {"input_usd": 2.5, "output_usd": 10.0}}})
    )
    np.testing.assert_array_equal(pred["usd"], ds3.predict(stated, ["cot"])["usd"])
    decision = ds3.decide(fit, cost="usd", max_cost=10.0)
    assert "Prices follow from cost_usd: m USD 2.5 and 10 per million" in decision.notes[-1]
    unknown = prior_fit(ds3.read_evals(table().drop(columns="prompt_tokens")))
    assert "cost_usd does not tell them: the rows with cost_usd have no prompt" in ds3.predict(unknown).attrs["absent"]
