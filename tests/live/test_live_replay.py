"""Replays of attempts that were made."""

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.live import Best, Better, Success, fixed_epochs, replay
from ds3bayes.live.replay import arm_names

POOL = 400
RATE = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 0.95, 0.98])


def table(**rates) -> pd.DataFrame:
    rows = [
        {"model": name, "task": f"t{task}", "attempts": POOL, "successes": round(POOL * rate)}
        for name, many in rates.items()
        for task, rate in enumerate(many)
    ]
    return pd.DataFrame(rows).assign(benchmark="b", strategy="cot")


def test_fixed_epochs_err_as_sampling_theory_says():
    evals = ds3.read_evals(table(a=RATE))
    found = fixed_epochs(evals, Success(option="a", within=0.05), epochs=8, replays=4000)
    rate = np.round(POOL * RATE) / POOL
    for epochs in (1, 4, 8):
        # Without replacement.
        variance = (rate * (1 - rate)).sum() / epochs * (POOL - epochs) / (POOL - 1) / len(RATE) ** 2
        # The sd of 4,000 squares is a ninetieth of them.
        assert found["rmse"][epochs - 1] == pytest.approx(np.sqrt(variance), rel=0.05)
    assert found["attempts"].tolist() == [10 * epochs for epochs in range(1, 9)]
    assert (np.diff(found["wrong"]) < 0.02).all()


def test_a_replay_stops_and_knows_the_truth():
    evals = ds3.read_evals(table(a=RATE, b=RATE / 3, unasked=RATE))
    found = replay(evals, Better(option="a", than="b"), epochs=30, replays=2, in_flight=3)
    assert (found["attempts"] >= 20).all()
    assert (found["share"] < 0.5).all()
    assert found["truth"].to_numpy() == pytest.approx((RATE - RATE / 3).mean(), abs=2e-3)
    assert (found["choice"] == "yes").all()
    assert found["right"].all()
    assert (found["failures"] == 0).all()
    again = replay(evals, Better(option="a", than="b"), epochs=30, replays=1, in_flight=3)
    pd.testing.assert_frame_equal(again, found[:1])
    whole = replay(evals, Better(option="a", than="b"), epochs=10, replays=1, adaptive=False)
    assert whole["attempts"].tolist() == [200]
    assert whole["refits"].tolist() == [1]


def test_arms_are_named_by_what_tells_them_apart():
    frame = pd.concat([table(a=RATE), table(a=RATE).assign(effort="high"), table(b=RATE)], ignore_index=True)
    names = arm_names(ds3.evals.to_table(ds3.read_evals(frame)))
    assert list(dict.fromkeys(names)) == ["a | cot", "a | cot high", "b"]
    evals = ds3.read_evals(frame.assign(tokens_mean=np.where(frame["effort"] == "high", 300.0, 100.0)))
    found = fixed_epochs(evals, Best(options=["a | cot high", "b"], max_cost=150.0), epochs=2, replays=5)
    assert found["wrong"].tolist() == [0.0, 0.0]
    assert found["tokens"].tolist() == [10 * 400.0, 20 * 400.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": POOL + 1}, "fewer than 401 attempts"),
        ({"question": Success(option="a", tasks="new")}, "knows the truth of these tasks only"),
        ({"question": Success(option="z")}, "'z' is not evaluated"),
        ({"replays": 0}, "must be at least 1"),
    ],
)
def test_what_cannot_be_replayed(change, said):
    evals = ds3.read_evals(table(a=RATE, b=RATE))
    with pytest.raises(ds3.InputError, match=said):
        replay(**{"evals": evals, "question": Success(option="a"), "epochs": 4, **change})


@pytest.mark.slow
def test_what_stopping_leaves_out_does_not_bias_the_posterior():
    evals = ds3.read_evals(table(a=RATE))
    found = replay(evals, Success(option="a", within=0.04), epochs=100, replays=40)
    assert (found["state"] == "decided").all()
    error = found["error"]
    noise = error.std() / np.sqrt(len(found))
    # The model's prior may pull a little: a tenth of what the question asks for.
    assert abs(error.mean()) < 3 * noise + 0.004
    # The share of attempts that succeeded is what a log of such an evaluation shows: uncertain tasks get more of them.
    pooled = found["pooled"] - found["truth"]
    assert abs(pooled.mean()) > 4 * pooled.std() / np.sqrt(len(found))
    # 90 % of 40, within three standard errors.
    assert found["covered"].mean() >= 0.75
    assert found["attempts"].median() < 0.3 * 100 * len(RATE)
