"""Curves agree with `predict`, tend to their limits, and say what they cannot give."""

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.queries.curves import thinned

DRAWS = ("chain", "draw")


@pytest.fixture(scope="module")
def voted(prior_fit):
    """A fit whose rows tell how wrong answers agree, for one LLM at two efforts, with a share out of reach."""
    rng = np.random.default_rng(4)
    rows = []
    for task in range(20):
        for effort, shift in (("low", -0.5), ("high", 0.8)):
            right = int(rng.binomial(8, 1 / (1 + np.exp(-shift - rng.normal()))))
            wrong = rng.multinomial(8 - right, [0.6, 0.3, 0.1])
            rows.append(
                {
                    "model": "m",
                    "benchmark": "b",
                    "task": f"t{task}",
                    "strategy": "cot",
                    "effort": effort,
                    "steps": 4,
                    "attempts": 8,
                    "successes": right,
                    "tokens_mean": float(np.exp(rng.normal(6, 0.3))),
                    "wrong_answer_counts": "|".join(str(n) for n in sorted(wrong, reverse=True) if n),
                }
            )
    return prior_fit(ds3.read_evals(pd.DataFrame(rows)), ds3.ModelSpec(), draws=80)


def test_attempts_agree_with_predict(voted):
    curve = ds3.attempts_curve(voted, attempts=(1, 8), samplers=["m | b | cot(effort=high)"])
    pred = ds3.predict(
        thinned(voted),
        ["cot(effort=high)", "best_of_n(n=8, effort=high, verifier=oracle)", "majority(n=8, effort=high)"],
    )
    at = pred["success"].sel(model="m", benchmark="b")
    for selector in curve["selector"].values:
        one = curve["success"].sel(sampler="m | b | cot(effort=high)", selector=selector)
        np.testing.assert_allclose(one.sel(attempts=1), at.isel(strategy=0), rtol=1e-12)
    chosen = curve["success"].isel(sampler=0).sel(attempts=8)
    np.testing.assert_allclose(chosen.sel(selector="best of n, oracle"), at.isel(strategy=1), rtol=1e-12)
    np.testing.assert_allclose(chosen.sel(selector="majority vote"), at.isel(strategy=2), rtol=1e-12)


def test_curves_tend_to_their_limits(voted):
    curve = ds3.attempts_curve(voted, attempts=(1, 16, 256)).isel(sampler=0)
    gap = np.abs(curve["success"] - curve["limit"]).mean(DRAWS)
    assert (gap.sel(attempts=256) < gap.sel(attempts=16)).all()
    oracle = curve.sel(selector="best of n, oracle")
    # Coverage rises to its limit from below in every draw, and a majority's limit is not above it.
    assert (oracle["success"].diff("attempts") >= 0).all()
    assert (oracle["success"] <= oracle["limit"] + 1e-12).all()
    assert (curve["limit"].sel(selector="majority vote") <= oracle["limit"] + 1e-9).all()


def test_the_oracles_limit_is_the_share_of_tasks_in_reach(voted):
    curve = ds3.attempts_curve(voted, attempts=(1,), tasks="new", samplers=["m | b | cot(effort=low)"])
    limit = curve["limit"].isel(sampler=0).sel(selector="best of n, oracle")
    share = voted["posterior"]["reachability"].sel(draw=curve["draw"].values)
    share = share.isel({share.dims[-1]: 0})
    assert float(share.std()) > 0.05
    # The population stands for 256 points, of which one lies in every 256th of the unit interval.
    assert float(np.abs(limit - share).max()) <= 1 / 256 + 1e-12


def test_budgets_agree_with_predict_and_rise(voted):
    curve = ds3.budget_curve(voted, budgets=(200, 800, 50_000))
    assert list(curve["effort"].values) == ["high", "low"]
    pred = ds3.predict(thinned(voted), ["cot(effort=high, max_tokens=800)"])
    own = curve.isel(sampler=0).sel(budget=800)
    for name in ("success", "tokens"):
        np.testing.assert_allclose(own[name], pred[name].squeeze(("model", "benchmark", "strategy")), rtol=1e-12)
    assert (curve["success"].diff("budget") >= -1e-12).all()
    assert (curve["tokens"] <= curve["budget"] + 1e-9).all()


def test_default_budgets_reach_from_cut_to_finished(voted):
    curve = ds3.budget_curve(voted).mean(DRAWS)
    assert (np.diff(curve["budget"]) > 0).all()
    assert (curve["success"].isel(budget=0) < 0.8 * curve["success"].isel(budget=-1)).all()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda fit: ds3.attempts_curve(fit, attempts=(0, 2)), r"attempts = \[0, 2\]"),
        (lambda fit: ds3.attempts_curve(fit, samplers=["m | b | direct"]), "this fit has: m | b"),
        (lambda fit: ds3.attempts_curve(fit, tasks="old"), "allowed: 'observed', 'new'"),
        (lambda fit: ds3.budget_curve(fit, budgets=(1,)), "at least one step"),
    ],
)
def test_unusable_questions_are_named(voted, ask, said):
    with pytest.raises(ds3.InputError, match=said):
        ask(voted)


def test_without_tokens_there_are_no_budgets(prior_fit):
    table = pd.DataFrame(
        {"model": "m", "benchmark": "b", "task": ["a", "c"], "strategy": "cot", "attempts": 4, "successes": [1, 3]}
    )
    fit = prior_fit(ds3.read_evals(table))
    with pytest.raises(ds3.InputError, match="tokens_mean"):
        ds3.budget_curve(fit)
    assert list(ds3.attempts_curve(fit)["selector"].values) == ["best of n, oracle"]
