"""The draws that a page embeds: their order, their precision and their size."""

import base64
import json

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.generative.spec import Cost, Query
from ds3bayes.reports.recompute import embedded


def decision(
    success: np.ndarray, cost: np.ndarray | None = None, bound: tuple[bool, ...] | None = None
) -> ds3.Decision:
    size = success.shape[1]
    options = pd.DataFrame(
        {
            "number": np.arange(1, size + 1),
            "option": [f"m | cot({place})" for place in range(size)],
            "model": "m",
            "bound": bound or (False,) * size,
        }
    )
    draws = {"success": success} | ({} if cost is None else {"cost": cost, "tokens": 1e4 * cost})
    return ds3.Decision(
        benchmark="b", options=options, chosen="", choice="", enough="", reach="", weights={"b": 1.0}, draws=draws
    )


def floats(content: dict, name: str) -> np.ndarray:
    raw = np.frombuffer(base64.b64decode(content[name]), dtype="<f4")
    return raw.reshape(len(content["options"]), content["draws"]).T


def test_options_that_differ_still_do_in_single_precision():
    rng = np.random.default_rng(0)
    success = 0.5 + rng.integers(0, 4, (500, 6)) * 1e-12
    content = json.loads(embedded(decision(success), Query(), {}))
    rounded = floats(content, "success")
    for one in range(6):
        for other in range(6):
            assert (np.sign(success[:, one] - success[:, other]) == np.sign(rounded[:, one] - rounded[:, other])).all()
    np.testing.assert_allclose(rounded, success, rtol=1e-6)


def test_values_keep_seven_digits_and_questions_are_there():
    rng = np.random.default_rng(1)
    success, cost = rng.random((200, 3)), np.exp(rng.normal(size=(200, 3)))
    query = Query(cost="usd", max_cost=0.7, success=0.6, margin=0.02)
    content = json.loads(embedded(decision(success, cost), query, {"m": Cost(input_usd=1.0, output_usd=4.0)}))
    np.testing.assert_allclose(floats(content, "success"), success, rtol=2e-7)
    np.testing.assert_allclose(floats(content, "costs"), cost, rtol=2e-7)
    assert (content["cap"], content["target"], content["margin"], content["unit"]) == (0.7, 0.6, 0.02, "USD per task")
    assert content["prices"] == {"m": [1.0, 4.0]}
    steps = np.frombuffer(base64.b64decode(content["tokens"]), dtype="<u2").reshape(3, 200)
    low, high = np.array(content["ends"]).T[:, :, None]
    np.testing.assert_allclose(np.exp(low + (high - low) * steps / 65535).T, 1e4 * cost, rtol=1e-4)


@pytest.mark.parametrize("prices", [{}, {"m": Cost(input_usd=1.0)}])
def test_without_known_prices_none_can_be_moved(prices):
    one = decision(np.full((9, 2), 0.5), np.ones((9, 2)))
    assert "prices" not in json.loads(embedded(one, Query(cost="usd"), prices))


def test_many_draws_are_thinned_to_what_a_page_may_hold():
    one = decision(np.random.default_rng(2).random((4000, 60)))
    content = json.loads(embedded(one, Query(), {}, most=200_000))
    assert len(content["success"]) <= 200_000
    assert content["of"] == 4000
    assert 500 < content["draws"] < 1000
    assert json.loads(embedded(one, Query(), {}))["draws"] == 4000


def test_there_is_nothing_to_decide_among_bounds():
    assert embedded(decision(np.full((4, 2), 0.5), bound=(True, True)), Query(), {}) == ""
