"""What a target takes: against a loop over draws and settings, and against closed forms."""

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3


@pytest.fixture(scope="module")
def one(prior_fit):
    rows = [
        {"model": "m", "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": 4, "successes": i % 5}
        | {"tokens_mean": 200.0 + 100.0 * i, "steps": 3}
        for i in range(10)
    ]
    return prior_fit(ds3.read_evals(pd.DataFrame(rows)))


def test_the_smallest_number_of_attempts_is_what_a_loop_finds(one):
    values = [1, 2, 4, 8, 30]
    result = ds3.cost_to_reach(one, "best_of_n(n=*)", success=0.7, values=values).squeeze()
    pred = {n: ds3.predict(one, [f"best_of_n(n={n})"]).squeeze() for n in values}
    for draw in range(result.sizes["draw"]):
        enough = [n for n in values if float(pred[n]["success"][draw]) >= 0.7]
        assert float(result["setting"][draw]) == (enough[0] if enough else np.inf)
        expected = float(pred[enough[0]]["tokens"][draw]) if enough else np.inf
        assert float(result["cost"][draw]) == pytest.approx(expected)
    assert float(result["p_reach"]) == pytest.approx(np.isfinite(result["setting"]).mean())


def test_never_is_what_is_out_of_reach(one):
    result = ds3.cost_to_reach(one, "best_of_n(n=*)", success=0.9, values=[1, 1000]).squeeze()
    # Coverage of endless attempts is the share of tasks in reach; an attempt that succeeds once in 10^10 never does.
    effects = one["task_effects"].to_dataset().squeeze("chain")
    reach = (effects["reachable"] * (effects["logit_success"] > np.log(1e-7))).mean("cell")
    floor = float((effects["reachable"].mean("cell") < 0.9).mean())
    assert floor - 1e-9 <= float(result["p_never"]) <= float((reach < 0.9).mean()) + 1e-9
    assert 0.0 < float(result["p_never"]) <= 1.0 - float(result["p_reach"])
    assert "with probability" in result.attrs["sentence"]
    assert "however large reaches it" in result.attrs["sentence"]


def test_a_budget_is_searched_and_its_limit_is_the_walk_itself(one):
    free = ds3.predict(one, ["cot"])["success"].squeeze()
    target = float(np.quantile(free, 0.5))
    result = ds3.cost_to_reach(one, "cot(max_tokens=*)", success=target).squeeze()
    assert float(result["p_never"]) == pytest.approx(float((free < target).mean()))
    assert result["setting"].attrs["units"] == "tokens"
    cost, setting = result["cost"].values, result["setting"].values
    done = np.isfinite(setting)
    assert np.all(cost[done] <= setting[done] * (1 + 1e-9))
    # The largest budget is as good as none, but for draws as close to the target as the grid may be off.
    close = float((abs(free - target) <= result.attrs["largest_error"]).mean())
    assert abs(float(result["p_reach"]) - (1 - float(result["p_never"]))) <= close + 1e-12


def test_a_vote_never_reaches_what_neither_few_nor_endless_votes_do(one):
    family, target = "majority(n=*, wrong_shares=[0.6, 0.4])", 0.6
    result = ds3.cost_to_reach(one, family, success=target, values=[1, 5, 9]).squeeze()
    effects = one["task_effects"].to_dataset().squeeze("chain")
    right = effects["reachable"] / (1.0 + np.exp(-effects["logit_success"]))
    # The right answer wins in the end where it is given more often than the wrong one given most often.
    endless = (right > 0.6 * (1.0 - right)).mean("cell")
    never = (endless < target).values & np.isinf(result["setting"].values)
    assert 0.0 < never.mean() < 1.0
    assert float(result["p_never"]) == pytest.approx(never.mean())
    assert "no n however large reaches it" in result.attrs["sentence"]


def test_noisy_verifiers_find_what_is_there_and_coins_find_nothing(one):
    oracle, noisy, coin = (
        ds3.cost_to_reach(one, f"best_of_n(n=*, verifier={kind})", success=0.7, values=[1, 4]).squeeze()
        for kind in ("oracle", "noisy(d=1)", "noisy(d=0)")
    )
    # A lead in normal scores wins in the end; without any, n attempts are as good as one.
    assert float(noisy["p_never"]) == float(oracle["p_never"])
    assert float(coin["p_never"]) == pytest.approx(1.0 - float(coin["p_reach"]))


def test_weighted_votes_have_no_known_limit(one):
    family = "weighted_best_of_n(n=*, verifier=noisy(d=1), wrong_shares=[0.5, 0.5])"
    result = ds3.cost_to_reach(one, family, success=0.6, values=[1, 3])
    assert np.isnan(result["p_never"]).all()
    assert "however large" not in result.attrs["sentence"]


def test_what_cost_to_reach_refuses(one):
    with pytest.raises(ds3.InputError, match=r"mark the one setting to find with \*"):
        ds3.cost_to_reach(one, "best_of_n(n=4)")
    with pytest.raises(ds3.InputError, match="success = 1"):
        ds3.cost_to_reach(one, "best_of_n(n=*)", success=1.0)
    with pytest.raises(ds3.InputError, match="whole numbers"):
        ds3.cost_to_reach(one, "best_of_n(n=*)", values=[0])
    with pytest.raises(ds3.InputError, match="no usd"):
        ds3.cost_to_reach(one, "best_of_n(n=*)", cost="usd", values=[1, 2])
