"""A decision: practical ties, upper bounds, what was observed, several benchmarks; the same numbers everywhere."""

import json
from math import comb

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.generative.spec import Query
from ds3bayes.queries.decide import ALL, decision_of
from ds3bayes.queries.observed_options import observed_options
from ds3bayes.strategies.told_by import none_of

XHIGH, HIGH, LOW = "cot(effort=xhigh)", "cot(effort=high)", "cot(effort=low)"


def predicted(
    success: dict[str, tuple[float, float]],
    cost: dict[str, float],
    benchmarks: tuple[str, ...] = ("aime",),
    n: int = 400,
) -> xr.Dataset:
    """Normal draws around a mean with an sd, by option, independent; the mean of the draws is exact."""
    rng = np.random.default_rng(0)
    dims = ("chain", "draw", "model", "benchmark", "strategy")
    values = np.empty((1, n, 1, len(benchmarks), len(success)))
    for place, (mean, sd) in enumerate(success.values()):
        noise = rng.standard_normal((1, n, 1, len(benchmarks)))
        values[..., place] = mean + sd * (noise - noise.mean(axis=1, keepdims=True)) / noise.std()
    costs = np.broadcast_to(list(cost.values()), values.shape).copy()
    coords = {"chain": [0], "draw": np.arange(n), "model": ["m"], "benchmark": list(benchmarks)}
    return xr.Dataset(
        {"success": (dims, values), "tokens": (dims, costs)},
        coords={**coords, "strategy": list(success)},
        attrs={"absent": "usd: no prices", "tasks": "observed"},
    )


# Effort xhigh over high, as on 45 problems of AIME: .003 +- .006, for 18,379 tokens instead of 11,167.
AIME = predicted(
    {XHIGH: (0.960, 0.0042), HIGH: (0.957, 0.0042), LOW: (0.794, 0.005)}, {XHIGH: 18379.0, HIGH: 11167.0, LOW: 4495.0}
)


def test_a_difference_that_is_not_worth_its_price_is_a_tie_and_the_cheapest_comes_first():
    found = decision_of(AIME, Query(max_cost=20000.0))
    assert found.chosen == HIGH
    assert found.choice.startswith(f"Best for at most 20,000 tokens per task: {HIGH}, with success 0.957")
    assert "the cheapest of 2 options practically tied within 0.01 of expected success" in found.choice
    assert f"{XHIGH}, has +0.003 (−0.006 to +0.012)" in found.choice
    assert "costs 1.6 times as much" in found.choice
    assert found.options.query("tied")["option"].tolist() == [XHIGH, HIGH]
    assert ds3.best(AIME, max_cost=20000.0).attrs["choice"] == f"aime: {HIGH}"
    # Who does not want that says so.
    assert decision_of(AIME, Query(margin=0.002)).chosen == XHIGH


@pytest.mark.parametrize(
    ("gap", "margin", "tied"), [(0.0099, 0.01, True), (0.0101, 0.01, False), (0.049, 0.05, True), (0.051, 0.05, False)]
)
def test_the_margin_is_one_of_expected_success(gap, margin, tied):
    pred = predicted({"cot": (0.8, 0.02), "direct": (0.8 - gap, 0.02)}, {"cot": 100.0, "direct": 50.0})
    assert (decision_of(pred, Query(margin=margin)).chosen == "direct") is tied
    regret = ds3.best(pred, margin=margin)["regret"].sel(benchmark="aime")
    assert float(regret.sel(option="direct") - regret.sel(option="cot")) == pytest.approx(gap)


def test_where_little_succeeds_half_of_it_is_no_tie():
    pred = predicted({"cot": (0.012, 0.0), "direct": (0.004, 0.0)}, {"cot": 100.0, "direct": 50.0})
    assert decision_of(pred, Query()).chosen == "cot"


def test_a_dearer_option_that_is_tied_is_not_chosen():
    pred = predicted({"cot": (0.80, 0.0), "direct": (0.795, 0.0)}, {"cot": 10.0, "direct": 50.0})
    found = decision_of(pred, Query())
    assert found.chosen == "cot"
    assert "Practically tied within 0.01 of expected success are 2 options; it is the cheapest of them." in found.choice


def test_without_a_cost_a_tie_is_said_and_the_best_is_named():
    found = decision_of(AIME.drop_vars("tokens"), Query())
    assert found.chosen == XHIGH
    assert f"Practically tied within 0.01 of expected success are 2 options; the next is {HIGH}." in found.choice
    assert found.choice.startswith(f"Best by success alone: {XHIGH}, with success")
    assert found.enough == found.reach == ""
    assert "The predictions hold no tokens (usd: no prices), so options are compared by success alone." in found.notes


def test_what_nearly_reaches_a_target_for_a_fraction_of_the_price_is_named():
    pred = predicted(
        {"cot": (0.83, 0.005), "direct": (0.795, 0.01), "majority(n=8)": (0.7, 0.01)},
        {"cot": 1000.0, "direct": 300.0, "majority(n=8)": 100.0},
    )
    found = decision_of(pred, Query(success=0.8))
    assert found.enough.startswith("Cheapest that reaches success 0.8 with probability at least 0.9: cot, for 1,000")
    assert "direct nearly does, for 0.30 of that price: success 0.795" in found.enough
    assert ds3.cheapest(pred, success=0.8).attrs["nearly"] == "aime: direct"
    # At more than half of the price it is not worth a word.
    dear = pred.assign(tokens=pred["tokens"].where(pred["strategy"] != "direct", 600.0))
    assert "nearly" not in decision_of(dear, Query(success=0.8)).enough
    assert ds3.cheapest(dear, success=0.8).attrs["nearly"] == "none"


ORACLE = "best_of_n(n=100, verifier=oracle)"


def checkable() -> xr.Dataset:
    return predicted(
        {"cot": (0.5, 0.01), ORACLE: (0.9, 0.01), "tot(branching=5, kept_states=5, outputs=5)": (0.7, 0.01)},
        {"cot": 10.0, ORACLE: 1000.0, "tot(branching=5, kept_states=5, outputs=5)": 500.0},
    )


def test_an_oracle_is_a_bound_and_never_recommended():
    found = decision_of(checkable(), Query(success=0.6))
    assert found.chosen == "cot"
    assert found.options.query("bound")["option"].tolist() == [ORACLE, "tot(branching=5, kept_states=5, outputs=5)"]
    assert found.options.set_index("option").loc["cot", "p_best"] == 1.0
    assert found.options.query("bound")[["p_best", "regret", "p_frontier"]].isna().all(axis=None)
    assert not found.options.query("bound")["on_frontier"].any()
    for said in (found.choice, found.enough, found.reach):
        assert "oracle" not in said
        assert "tot" not in said.replace("total", "")
    assert found.enough.startswith("No option reaches success 0.6")
    assert any(f"the highest is {ORACLE}, 0.900" in note for note in found.notes)
    for choice in (ds3.best(checkable()), ds3.cheapest(checkable(), success=0.6)):
        assert "oracle" not in choice.attrs["choice"]


@pytest.mark.parametrize("exists", [True, ("aime",)])
def test_where_a_perfect_check_exists_it_is_an_option_like_others(exists):
    found = decision_of(checkable(), Query(success=0.6, perfect_check=exists))
    assert found.chosen == ORACLE
    assert not found.options["bound"].any()
    assert found.enough.startswith("Cheapest that reaches success 0.6 with probability at least 0.9: tot(branching=5")
    assert found.notes == ()


def test_a_check_of_another_benchmark_does_not_help():
    assert decision_of(checkable(), Query(perfect_check=("other",))).chosen == "cot"


def test_nothing_but_bounds_is_no_recommendation():
    found = decision_of(checkable().sel(strategy=[ORACLE]), Query())
    assert found.chosen == ""
    assert "No option can be recommended" in found.choice
    assert "upper bound" in ds3.best(checkable().sel(strategy=[ORACLE])).attrs["choice"]


@pytest.mark.parametrize(
    ("strategy", "assumes"),
    [
        ("best_of_n(n=8)", True),
        ("best_of_n(n=1)", False),
        ("best_of_n(n=8, verifier=noisy(d=2))", False),
        ("weighted_best_of_n(n=8, verifier=oracle)", True),
        ("majority(n=8)", False),
        ("pass_power(n=8)", False),
        ("g_pass(n=8, right=4)", True),
        ("g_pass(n=8, right=5)", False),
        ("tot(branching=5, kept_states=5)", False),
        ("tot(branching=5, kept_states=5, outputs=2)", True),
        ("tot(branching=5, evaluator=oracle)", True),
        ("cot", False),
    ],
)
def test_what_assumes_a_perfect_check(strategy, assumes):
    assert ds3.strategies.parse_strategy(strategy).assumes_perfect_check is assumes


def test_a_cap_on_an_unknown_cost_is_refused():
    with pytest.raises(ds3.InputError, match=r"max_cost = 0.01, but the predictions have no usd .*no prices"):
        decision_of(AIME, Query(cost="usd", max_cost=0.01))


@pytest.mark.parametrize(
    ("hits", "attempts", "k", "expected"),
    [
        (0, 5, 5, 1.0),
        (1, 5, 5, 0.0),
        (2, 5, 1, 0.6),
        (2, 5, 2, 3 / 10),
        (4, 5, 2, 0.0),
        (40, 1000, 10, comb(960, 10) / comb(1000, 10)),
    ],
)
def test_none_of_k_attempts(hits, attempts, k, expected):
    assert none_of(np.array([hits]), np.array([attempts]), k)[0] == pytest.approx(expected, rel=1e-9)


def test_what_was_observed_stands_beside_what_is_predicted(game24_fit, game24_evals):
    options = ["cot", "best_of_n(n=5)", "best_of_n(n=100)", "tot(branching=5, kept_states=5)"]
    options += [
        "tot(branching=5, kept_states=5, outputs=5)",
        "tot(branching=5, kept_states=5, outputs=4)",
        "majority(n=1)",
    ]
    options += ["pass_power(n=2)"]
    pred = ds3.predict(game24_fit, options)
    seen = observed_options(game24_fit, pred).set_index("strategy")
    table = ds3.evals.to_table(game24_evals).set_index("strategy")
    cot, tot = table.loc["cot"], table.loc["tot"]
    c = cot["successes"].to_numpy()
    assert seen.loc["cot", "observed"] == pytest.approx(c.mean() / 100)
    assert seen.loc["pass_power(n=2)", "observed"] == pytest.approx((c * (c - 1) / 9900).mean())
    assert seen.loc["best_of_n(n=100, verifier=oracle)", "observed"] == pytest.approx((c > 0).mean())
    # The case: any of five outputs solves .690 of the 100 problems, held out and fitted ones.
    any_right = (tot["successes"] > 0).mean()
    assert any_right == pytest.approx(0.69)
    row = seen.loc["tot(branching=5, kept_states=5, outputs=5)"]
    assert (row["observed"], row["tasks"]) == (pytest.approx(any_right), 100)
    # For other numbers of outputs there are no observations; a vote of one was not run either.
    assert "tot(branching=5, kept_states=5, outputs=4)" not in seen.index
    # Nor does a row say which of its outputs was ranked first.
    assert "tot(branching=5, kept_states=5)" not in seen.index
    assert "majority(n=1)" not in seen.index
    assert (seen["lower"] <= seen["mean"]).all()
    assert (seen["mean"] <= seen["upper"]).all()
    np.testing.assert_array_equal(
        seen["away"], (seen["observed"] < seen["lower"] - 1e-9) | (seen["observed"] > seen["upper"] + 1e-9)
    )
    # The mean over the same tasks is that of the prediction, but for the noise of the attempts.
    for name in ("cot", "best_of_n(n=5, verifier=oracle)", "tot(branching=5, kept_states=5, outputs=5)"):
        assert seen.loc[name, "mean"] == pytest.approx(float(pred["success"].sel(strategy=name).mean()), abs=0.01)


def test_a_prediction_away_from_what_was_observed_is_said_of_the_choice(game24_fit):
    options = ["cot", "tot(branching=5, kept_states=5, outputs=5)"]
    pred = ds3.predict(game24_fit, options)
    # As if the search had been predicted to solve nearly all.
    pred["success"].loc[{"strategy": options[1]}] = 0.9
    seen = observed_options(game24_fit, pred)
    seen.loc[seen["strategy"] == options[1], ["mean", "lower", "upper", "away"]] = [0.9, 0.88, 0.92, True]
    found = decision_of(pred, Query(perfect_check=True), seen)
    assert found.chosen == options[1]
    assert found.options.set_index("option")["away"].to_dict() == {options[1]: True, "cot": False}
    (note,) = [one for one in found.notes if one.startswith("Beware")]
    assert note == (
        "Beware: tot(branching=5, kept_states=5, outputs=5) was observed on 100 tasks with success 0.690, away from "
        "the 0.880 to 0.920 that is predicted for these same tasks."
    )


def test_what_was_not_run_is_said_of_what_is_recommended(game24_fit, game24_spec):
    pred = ds3.predict(game24_fit, game24_spec.query.parsed())
    found = ds3.decide(game24_fit, pred, success=0.55, confidence=0.6)
    assert found.chosen == "best_of_n(n=100, verifier=oracle)"
    wide = "tot(branching=10, kept_states=5, outputs=5)"
    assert wide in found.enough
    assert found.notes == (f"{wide} was not run: it rests on the model alone, and nothing observed confirms it.",)
    # From predictions alone nobody knows.
    assert decision_of(pred, game24_spec.query).notes == ()


def test_aggregates_are_observed_too(prior_fit):
    table = pd.DataFrame(
        {"model": "m", "benchmark": "b", "strategy": "cot", "tasks": 30, "attempts": 30, "successes": 12}, index=[0]
    )
    fit = prior_fit(ds3.read_evals(table))
    seen = observed_options(fit, ds3.predict(fit, ["cot"], tasks="new")).iloc[0]
    assert (seen["observed"], seen["tasks"]) == (0.4, 30)


TWO = predicted(
    {"cot": (0.5, 0.01), "direct": (0.6, 0.01), "majority(n=8)": (0.9, 0.01)},
    {"cot": 100.0, "direct": 100.0, "majority(n=8)": 800.0},
    ("easy", "hard"),
)
TWO["success"].loc[{"benchmark": "hard", "strategy": "direct"}] -= 0.5
TWO["success"].loc[{"benchmark": "hard", "strategy": "majority(n=8)"}] = np.nan
TWO["tokens"].loc[{"benchmark": "hard", "strategy": "majority(n=8)"}] = np.nan
TWO["tokens"].loc[{"benchmark": "hard"}] *= 3


def test_several_benchmarks_are_one_decision():
    found = decision_of(TWO, Query(success=0.6))
    assert found.benchmark == ALL
    assert found.weights == {"easy": 0.5, "hard": 0.5}
    # (.5 + .5) / 2 against (.6 + .1) / 2, at (100 + 300) / 2 tokens.
    assert found.chosen == "cot"
    table = found.options.set_index("option")
    assert table["success"].to_dict() == {"cot": pytest.approx(0.5), "direct": pytest.approx(0.35)}
    assert table["cost"].to_dict() == {"cot": 200.0, "direct": 200.0}
    assert found.notes[0] == "Success and cost are means over 2 benchmarks, weighed alike (easy 0.5, hard 0.5)."
    # What is missing on one cannot be compared, and is named; on the other it is an option.
    assert "majority(n=8) (on easy only)" in found.notes[-1]
    assert [one.benchmark for one in found.parts] == ["easy", "hard"]
    assert [one.chosen for one in found.parts] == ["majority(n=8)", "cot"]
    assert set(found.rows["benchmark"]) == {ALL, "easy", "hard"}
    assert len(found.rows) == 2 + 3 + 2


def test_weights_of_benchmarks_change_the_choice():
    found = decision_of(TWO, Query(weights={"easy": 9, "hard": 1}))
    assert found.weights == {"easy": 0.9, "hard": 0.1}
    assert found.chosen == "direct"
    assert found.options.set_index("option").loc["direct", "success"] == pytest.approx(0.55)
    assert "weighed (easy 0.9, hard 0.1)." in found.notes[0]
    three = xr.concat([TWO, TWO.sel(benchmark=["hard"]).assign_coords(benchmark=["third"])], "benchmark")
    assert "; query.weights leaves out third." in decision_of(three, Query(weights={"easy": 9, "hard": 1})).notes[0]
    # A benchmark that is left out is not decided on.
    alone = decision_of(TWO, Query(weights={"easy": 1}))
    assert (alone.benchmark, alone.chosen, alone.parts) == ("easy", "majority(n=8)", ())
    with pytest.raises(ds3.InputError, match=r"weights names 'hrd'; .* are: easy, hard.*Did you mean 'hard'"):
        decision_of(TWO, Query(weights={"hrd": 1}))


def test_a_cap_holds_for_the_mean_over_benchmarks():
    assert decision_of(TWO, Query(max_cost=199.0)).chosen == ""
    assert decision_of(TWO, Query(max_cost=200.0)).chosen == "cot"


def test_where_nothing_was_run_on_all_each_is_decided_alone():
    pred = TWO.sel(strategy=["cot", "direct"]).copy(deep=True)
    for benchmark, strategy in (("easy", "cot"), ("hard", "direct")):
        for name in ("success", "tokens"):
            pred[name].loc[{"benchmark": benchmark, "strategy": strategy}] = np.nan
    found = decision_of(pred, Query())
    assert found.chosen == ""
    assert found.choice == "No option was run on all of easy, hard, so each is decided on its own."
    assert [one.chosen for one in found.parts] == ["direct", "cot"]


def test_an_oracle_is_a_bound_of_a_mean_unless_all_can_be_checked():
    pred = predicted({"cot": (0.5, 0.01), ORACLE: (0.9, 0.01)}, {"cot": 10.0, ORACLE: 1000.0}, ("easy", "hard"))
    found = decision_of(pred, Query(perfect_check=("easy",)))
    assert [one.chosen for one in (found, *found.parts)] == ["cot", ORACLE, "cot"]
    # What a bound is, is said once.
    assert [len([note for note in one.notes if "perfect check" in note]) for one in (found, *found.parts)] == [1, 0, 0]
    assert decision_of(pred, Query(perfect_check=("easy", "hard"))).chosen == ORACLE


def test_decide_answers_from_a_fit_with_questions_of_ones_own(simulated_fit):
    found = ds3.decide(simulated_fit)
    assert found.options["option"].tolist()[0] in ("cot", "majority(n=8)")
    assert found.options.set_index("option").loc["cot", "observed_tasks"] == 60
    asked = ds3.decide(simulated_fit, cost="usd", max_cost=0.001)
    assert asked.choice.startswith("No option is within the cap of USD 0.001 per task")
    with pytest.raises(ds3.InputError, match=r"decide.*\n.*margin"):
        ds3.decide(simulated_fit, margin=2.0)
    whole = json.dumps(found.as_dict(), default=float)
    assert json.loads(whole)["chosen"] == found.chosen
