"""What an evaluation is worth before a decision, against closed forms and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, betabinom, binom

import ds3bayes as ds3
from ds3bayes.queries.next_evals import count_law, value_of_count

A, B, OTHER = 6.0, 4.0, (30.0, 20.0)


def conjugate_draws(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws of two independent beta laws, evenly spread over each."""
    rng = np.random.default_rng(seed)
    even = (np.arange(number) + 0.5) / number
    return beta.ppf(rng.permutation(even), A, B), beta.ppf(rng.permutation(even), *OTHER)


@pytest.mark.parametrize("n", [1, 5, 20, 100])
def test_value_of_a_count_is_that_of_the_conjugate_posterior(n):
    y = np.arange(n + 1)
    other = OTHER[0] / sum(OTHER)
    exact = np.sum(betabinom.pmf(y, n, A, B) * np.maximum((A + y) / (A + B + n), other)) - max(A / (A + B), other)
    found = []
    for seed in range(20):
        first, second = conjugate_draws(1000, seed)
        found.append(value_of_count(np.stack([first, second], axis=1), count_law(first[:, None], n)))
    # Choosing with the draws that value the choice overstates it, choosing with others understates it: the truth is
    # between the two, up to four standard errors of their means over 20 sets of draws.
    safe, upper = np.array(found).T
    low, high = safe.mean() - 4.0 * safe.std() / np.sqrt(20), upper.mean() + 4.0 * upper.std() / np.sqrt(20)
    assert low <= exact <= high
    assert upper.mean() - safe.mean() < 0.1 * exact


def test_value_of_a_count_is_that_of_refitting_by_brute_force():
    """Nested Monte Carlo: see a count, refit the conjugate posterior, choose, and be paid by the truth."""
    n, draws = 12, 400_000
    rng = np.random.default_rng(7)
    truth = rng.beta(A, B, draws), rng.beta(*OTHER, draws)
    seen = rng.binomial(n, truth[0])
    refitted = (A + seen) / (A + B + n)
    paid = np.where(refitted > OTHER[0] / sum(OTHER), truth[0], truth[1])
    # Before it, both are worth 0.6 in expectation, so that the second may be chosen.
    gain = paid - truth[1]
    first, second = conjugate_draws(20_000, 0)
    safe, upper = value_of_count(np.stack([first, second], axis=1), count_law(first[:, None], n))
    error = 4.0 * gain.std() / np.sqrt(draws)
    # What 20,000 draws leave open is between the two estimates and the noise of a mean over them.
    own = 4.0 * np.std(first - second) / np.sqrt(20_000)
    assert safe - error - own < gain.mean() < upper + error + own


@pytest.mark.parametrize("fresh", [None, 5])
def test_law_of_a_count_is_that_of_simulation(fresh):
    rng = np.random.default_rng(3)
    q, attempts, runs = rng.random((2, 7)), 3, 200_000
    law = count_law(q, attempts, fresh)
    for row in range(2):
        chance = np.broadcast_to(q[row], (runs, 7)) if fresh is None else q[row][rng.integers(0, 7, (runs, fresh))]
        counts = np.bincount(rng.binomial(attempts, chance).sum(axis=1), minlength=law.shape[1]) / runs
        # Five binomial standard errors at each of the counts.
        assert np.all(np.abs(counts - law[row]) < 5 * np.sqrt(np.maximum(law[row], 1 / runs) / runs))
    np.testing.assert_allclose(law.sum(axis=1), 1.0, rtol=1e-12)


def test_bins_of_many_decisions_are_worth_what_counts_are(monkeypatch):
    first, second = conjugate_draws(2000, 1)
    values = np.stack([first, second], axis=1)
    exact = binom.pmf(np.arange(401), 400, first[:, None])
    monkeypatch.setattr("ds3bayes.queries.next_evals._EXACT", 10)
    binned = count_law(first[:, None], 400)
    np.testing.assert_allclose(binned.sum(axis=1), 1.0, rtol=1e-12)
    # The normal law of a count, and bins of two counts.
    assert value_of_count(values, binned)[1] == pytest.approx(value_of_count(values, exact)[1], rel=0.01)


def test_information_is_worth_more_the_more_of_it_and_never_more_than_all():
    first, second = conjugate_draws(2000, 2)
    values = np.stack([first, second], axis=1)
    gains = [value_of_count(values, count_law(first[:, None], n))[1] for n in (1, 2, 4, 8, 16)]
    assert np.all(np.diff(gains) > 0)
    assert gains[-1] < values.max(axis=1).mean() - values.mean(axis=0).max()
    # What says nothing is worth nothing.
    assert value_of_count(values, np.full((2000, 3), 1 / 3)) == (0.0, pytest.approx(0.0, abs=1e-12))


@pytest.fixture(scope="module")
def two(prior_fit):
    """One LLM with two samplers on the same tasks, of which little is known."""
    rows = [
        {"model": "m", "benchmark": "b", "task": f"t{i}", "strategy": walk, "attempts": 2, "successes": i % 3}
        | {"tokens_mean": 300.0}
        for i in range(8)
        for walk in ("cot", "direct")
    ]
    return prior_fit(ds3.read_evals(pd.DataFrame(rows)), draws=200)


def test_next_evals_of_a_fit(two):
    result = ds3.next_evals(two, ["cot", "direct"], attempts=[1, 8])
    pred = ds3.predict(two, ["cot", "direct"])["success"].squeeze()
    values = pred.transpose("draw", "strategy").values
    assert float(result["regret"]) == pytest.approx(values.max(axis=1).mean() - values.mean(axis=0).max())
    tokens = ds3.predict(two, ["direct"])["tokens"].mean()
    cost = result["eval_cost"].sel(candidate="m | direct").values
    np.testing.assert_allclose(cost, [8 * float(tokens), 64 * float(tokens)], rtol=1e-9)
    assert (result["regret_reduction_upper"] >= result["regret_reduction"] - 1e-12).all()
    assert (result["regret_reduction"].diff("attempts") > 0).all()
    assert result.attrs["sentence"].startswith("Next run m | ")
    best = result["reduction_per_cost"].stack(all=("candidate", "attempts")).idxmax().item()
    assert result.attrs["choice"] == f"{best[0]}, {best[1]} per task"
    wider = ds3.next_evals(
        two, ["cot", "direct"], ["cot"], attempts=[4], on="new", evaluated=50, tasks="new", new_tasks=32
    )
    assert float(wider["regret_reduction"].squeeze()) > 0


def test_a_clear_choice_needs_no_evaluation(two):
    result = ds3.next_evals(two, ["best_of_n(n=8)", "cot"], attempts=[1], perfect_check=True)
    # Best-of-n with an oracle never loses to its own attempts.
    assert float(result["regret"]) == pytest.approx(0.0, abs=1e-12)
    assert result.attrs["choice"] == "none"
    assert "Nothing needs to be run" in result.attrs["sentence"]


def test_what_is_an_upper_bound_is_not_decided_on(two):
    found = ds3.next_evals(two, ["cot", "best_of_n(n=8)", "direct"], ["cot"], attempts=[4])
    assert found.attrs["bounds"] == "best_of_n(n=8)"
    assert "upper bound" in found.attrs["sentence"]
    assert float(found["regret"]) == float(ds3.next_evals(two, ["cot", "direct"], ["cot"], attempts=[4])["regret"])
    with pytest.raises(ds3.InputError, match=r"best_of_n\(n=8\): an upper bound.*at least two others"):
        ds3.next_evals(two, ["cot", "best_of_n(n=8)"], attempts=[4])


def test_a_regret_within_the_margin_is_not_worth_an_evaluation(two, monkeypatch):
    # Of so little data the regret is more than the tenth of the success that bounds a margin.
    margin = ds3.next_evals(two, ["cot", "direct"], attempts=[4], margin=0.9)
    assert margin.attrs["choice"] != "none"
    monkeypatch.setattr("ds3bayes.queries.options._SHARE", 1.0)
    regret = float(ds3.next_evals(two, ["cot", "direct"], attempts=[4])["regret"])
    enough = ds3.next_evals(two, ["cot", "direct"], attempts=[4], margin=1.01 * regret)
    assert enough.attrs["choice"] == "none"
    assert "within the margin" in enough.attrs["sentence"]
    assert ds3.next_evals(two, ["cot", "direct"], attempts=[4], margin=0.99 * regret).attrs["choice"] != "none"


def test_what_next_evals_refuses(two):
    with pytest.raises(
        ds3.InputError, match=r"3 faults(?s:.)*at least two(?s:.)*attempts must(?s:.)*on = 'nwe'.*'new'"
    ):
        ds3.next_evals(two, ["cot"], attempts=[0], on="nwe")
    with pytest.raises(ds3.InputError, match="no usd"):
        ds3.next_evals(two, ["cot", "direct"], cost="usd")
