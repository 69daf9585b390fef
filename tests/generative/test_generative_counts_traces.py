"""Step-level outcomes: the likelihood of where attempts go wrong against enumeration, and what it takes to be used."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.counts.traces import Traces


def chances(rho: float, m: int, missing: int | None) -> np.ndarray:
    """Chance of a first error after j right steps, j < m, walking skill by skill."""
    result, alive = [], 1.0
    for skill in range(m):
        right = 0.0 if skill == missing else rho
        result.append(alive * (1.0 - right))
        alive *= right
    return np.array(result)


@pytest.mark.parametrize(("steps", "m"), [((0,), 1), ((2,), 6), ((0, 5, 5, 3), 6), ((1, 1, 1), 2), ((0, 0), 9)])
@pytest.mark.parametrize("rho", [0.02, 0.6, 0.97])
def test_likelihoods_are_those_of_walks(steps: tuple[int, ...], m: int, rho: float) -> None:
    traces = Traces.of(["|".join(map(str, steps))], m)
    assert traces is not None
    x = np.array([logit(rho**m)])
    within = np.prod(chances(rho, m, None)[list(steps)] / (1 - rho**m))
    assert np.exp(traces.log_likelihood(x))[0] == pytest.approx(within, rel=1e-10)
    beyond = np.mean([np.prod(chances(rho, m, missing)[list(steps)]) for missing in range(m)])
    assert np.exp(traces.log_likelihood_out_of_reach(x))[0] == pytest.approx(beyond, rel=1e-10)


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_likelihoods_sum_to_one_over_all_that_can_happen(rho: float) -> None:
    m, x = 4, np.array([logit(rho**4)])
    every = [Traces.of([f"{one}|{other}"], m) for one, other in product(range(m), repeat=2)]
    for law in (Traces.log_likelihood, Traces.log_likelihood_out_of_reach):
        assert sum(np.exp(law(traces, x))[0] for traces in every if traces) == pytest.approx(1.0, abs=1e-12)


def test_certain_success_leaves_the_place_of_an_error_open() -> None:
    for x in (30.0, 300.0, 700.0):
        assert Traces(1, 3, 3, 1, 6).log_likelihood(np.array([x]))[0] == pytest.approx(-np.log(6), rel=1e-9)


def rows(**more) -> pd.DataFrame:
    table = {
        "model": "m",
        "benchmark": "b",
        "task": ["t1", "t2"],
        "strategy": "cot",
        "attempts": 4,
        "successes": [0, 2],
    }
    return pd.DataFrame({**table, **more})


def test_attempts_add_up_whatever_their_order() -> None:
    single = pd.DataFrame(
        {
            "model": "m",
            "benchmark": "b",
            "task": "t1",
            "strategy": "cot",
            "attempts": 1,
            "successes": [0, 1, 0, 0],
            "steps_before_error": [5, None, 0, None],
            "steps": 6,
        }
    )
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        evals = ds3.read_evals(single.iloc[order])
        assert evals["steps_before_error"].item() == "0|5"
    design = make_design(evals, ds3.ModelSpec())
    assert design.blocks[0].tables[0].log_mass_out_of_reach[0].min() < -1.0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"steps_before_error": ["0|1|2|3|0", ""]},
            "of 5 attempts; allowed: at most attempts - successes - truncated = 4",
        ),
        ({"steps_before_error": ["", "6"], "steps": 6}, "but steps = 6; allowed: less than that"),
        ({"steps_before_error": ["-1", ""]}, "integers >= 0 cut by"),
        ({"steps_before_error": ["1|2", "0|0"], "truncated": [0, 1]}, "of 2 attempts; allowed: at most .* = 1"),
    ],
)
def test_impossible_traces_are_refused(more: dict, said: str) -> None:
    with pytest.raises(ds3.InputError, match=said):
        ds3.read_evals(rows(**more))


def test_traces_need_a_path_length_and_single_attempts() -> None:
    evals = ds3.read_evals(rows(steps_before_error=["1|2", "0"]))
    with pytest.raises(ds3.InputError, match="it is not known how many steps"):
        ds3.build_model(ds3.ModelSpec(), evals)
    with pytest.raises(ds3.InputError, match="but a path has 2 steps"):
        ds3.build_model(ds3.ModelSpec.from_dict({"population": {"path_length": 2}}), evals)
    votes = rows(steps_before_error=["1|2", "0"], steps=4).assign(strategy="majority", n_samples=3)
    with pytest.raises(ds3.InputError, match="without being single attempts"):
        ds3.build_model(ds3.ModelSpec(), ds3.read_evals(votes))


def test_attempts_that_fail_late_speak_for_a_task(prior_fit) -> None:
    table = rows(successes=0, steps=6, steps_before_error=["5|4|3|5", "0|0|0|0"])

    def success(table: pd.DataFrame, reachability: bool) -> list[float]:
        spec = ds3.ModelSpec.from_dict({"population": {"reachability": reachability}})
        fit = prior_fit(ds3.read_evals(table), spec, draws=400)
        return ds3.predict(fit, ["cot"], per_task=True)["success"].mean(("chain", "draw")).values.ravel().tolist()

    late, early = success(table, reachability=False)
    _, plain = success(table.drop(columns="steps_before_error"), reachability=False)
    assert early < plain < late
    # All of them stopped by one and the same step: a skill is missing, and a late one no less.
    same, _ = success(table.assign(steps_before_error=["5|5|5|5", "0|0|0|0"]), reachability=True)
    apart, _ = success(table, reachability=True)
    assert same < apart
