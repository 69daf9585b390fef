"""What the theory claims about LLM inference, recovered from the closed forms and measured."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import betaincinv, expit, logit
from scipy.stats import linregress, norm

from ds3bayes.theory import hierarchy, path, scaling, selectors, votes
from ds3bayes.theory.evaluate import evaluate


def line(x, y):
    found = linregress(x, y)
    return found.slope, found.rvalue**2


def test_accuracy_is_linear_in_log_compute_when_log_lengths_are_spread():
    budgets = np.round(np.logspace(1.5, 3.5, 41))
    # Needed budgets m/r from 3 to 8,400 steps, evenly in the logarithm: wider than the two decades looked at.
    lengths = np.round(np.logspace(0.0, 3.4, 400))
    accuracy = evaluate(path.solved, budgets[:, None], lengths, 0.3, 0.0).mean(axis=1)
    slope, fit = line(np.log10(budgets), accuracy)
    assert fit > 0.9999
    # Every task is a near step at K = m/r: a decade of budgets passes 1/3.4 of them.
    assert slope == pytest.approx(1 / 3.4, rel=0.02)
    one_length = evaluate(path.solved, budgets, 100.0, 0.3, 0.0)
    assert line(np.log10(budgets), one_length)[1] < 0.8


def step_of_tree(r, h, *, width):
    return selectors.tree_step(r, h, width, 1.0)


def best_of(right, wrong, *, width):
    return selectors.noisy_verifier(right, width, 2.0, wrong)


def successes(m, r, steps=80, width=8):
    """Success of four strategies that spend the same tokens, slips being a twentieth as likely as right steps."""
    h, each = 0.05 * r, float(steps // width)
    right, wrong = (evaluate(law, each, m, r, h) for law in (path.solved, path.wrong))
    kept = evaluate(step_of_tree, r, h, width=width)
    return np.stack(
        [
            evaluate(path.solved, float(steps), m, r, h),
            evaluate(best_of, right, wrong, width=width),
            evaluate(votes.vote, right, wrong, votes.plurality_table_partition(width, 1.0), core=(0, 0, 2)),
            evaluate(path.solved, each, m, *kept),
        ]
    )


def test_the_preferred_strategy_changes_with_difficulty_and_capability():
    m, r = np.meshgrid(np.array([1.0, 2, 3, 4, 6, 8, 12, 16]), np.logspace(-2, -0.15, 30), indexing="ij")
    found = successes(m, r)
    best = found.argmax(axis=0)
    assert set(np.unique(best)) == {0, 1, 2, 3}
    # Low capability or long paths: only one long chain gets there. Short paths and high capability: attempts pay.
    assert (best[:, 0][2:] == 0).all()
    assert (best[-1] == 0).all()
    assert best[1, -1] != 0
    # On paths of 6 skills the preference passes from the chain to the search of steps to the best of attempts.
    order = list(dict.fromkeys(best[4].tolist()))
    assert order == [0, 3, 1]
    gain = np.sort(found, axis=0)
    assert (gain[-1] - gain[-2]).max() > 0.2


def test_long_reasoning_emerges_where_short_reasoning_plateaus():
    training = np.logspace(25.0, 28.0, 13)
    params = hierarchy.Hierarchy().params(training)

    def accuracy(tokens):
        return np.array(
            [hierarchy.accuracy(C, 2.0 * N * tokens)["accuracy"].item() for C, N in zip(training, params, strict=True)]
        )

    short, long = accuracy(100.0), accuracy(6400.0)
    # Training stops paying for short answers: the last two decades add nothing, far below certainty.
    plateau = training >= 3e26
    assert np.ptp(short[plateau]) < 1e-3
    assert short[-1] < 0.7
    assert long[-1] > 0.99
    # Emergence: from nothing to most of its height within a factor of ten of training compute.
    rise = np.interp([0.1 * long[-1], 0.9 * long[-1]], long, np.log10(training))
    assert rise[1] - rise[0] < 1.0
    assert (long >= short - 1e-12).all()


def test_best_of_n_and_majority_have_different_limits():
    a, b, top = 0.4, 1.2, 0.5
    shares = (top, 0.3, 0.2)
    # Tasks at the midpoints of equally likely parts of Beta(a, b).
    q = betaincinv(a, b, (np.arange(20_000) + 0.5) / 20_000)
    coverage, majority = {}, {}
    for n in (1, 8, 64, 512):
        # One code path: a selector is its vector of weights.
        coverage[n] = evaluate(selectors.bernstein, q, selectors.at_least(n, 1), core=(0, 1)).mean()
        majority[n] = evaluate(selectors.bernstein, q, votes.plurality_weights(n, shares), core=(0, 1)).mean()
    assert coverage[1] == pytest.approx(majority[1], rel=1e-12)
    assert coverage[512] == pytest.approx(float(evaluate(selectors.any_right_beta, 512, a, b)), abs=2e-4)
    limit = float(evaluate(votes.plurality_limit_beta, a, b, wrong_shares=shares))
    # A task is won in the end when its right answer is likelier than the likeliest wrong one, q > (1 - q) c.
    assert limit == pytest.approx((q > top / (1 + top)).mean(), abs=1e-4)
    assert majority[512] == pytest.approx(limit, abs=0.01)
    assert coverage[512] - majority[512] > 0.4
    assert list(coverage.values()) == sorted(coverage.values())


def test_coverage_approaches_its_limit_as_a_power_of_the_attempts():
    n = np.logspace(3, 5, 9)
    for a, b in ((0.2, 1.0), (0.5, 2.0), (1.0, 3.0)):
        failure = 1.0 - evaluate(selectors.any_right_beta, n, a, b)
        slope, fit = line(np.log(n), np.log(failure))
        # The density q^(a - 1) near 0 makes the exponent a, up to 1/n.
        assert slope == pytest.approx(-a, rel=2e-3)
        assert fit > 0.999999


def test_the_left_tail_of_a_path_population_sets_the_exponent():
    # logit rho normal over tasks, eventual success rho^m with m = 4: no exact power law, but a local exponent.
    location, spread, m = 1.0, 1.5, 4
    x = np.linspace(-12 * spread, 12 * spread, 200_001) + location
    weight = norm.pdf(x, location, spread) * (x[1] - x[0])
    q = expit(x) ** m
    n = np.logspace(2, 5, 13)
    failure = np.array([(weight * np.exp(k * np.log1p(-np.minimum(q, 1 - 1e-16)))).sum() for k in n])
    measured = np.gradient(np.log(failure), np.log(n))
    # (1 - q)^n is exp(-n q), less a share of n q^2 / 2; the mean of exp(-n q) over tasks is the share of tasks with q
    # below E/n, over exponential E. P(q < u) = Phi((logit(u^(1/m)) - location) / spread): the left tail alone.
    log_e = np.linspace(-40.0, 4.0, 4001)
    density = np.exp(log_e - np.exp(log_e)) * (log_e[1] - log_e[0])
    root = np.minimum((np.exp(log_e) / n[:, None]) ** (1 / m), 1 - 1e-12)
    expected = norm.cdf((logit(root) - location) / spread) @ density
    # Where the exponent is a, the mean of n q^2 / 2 is a (a + 1) / (2 n) of the failures; here a is below 1.
    assert (abs(failure / expected - 1) < 1 / n).all()
    assert (abs(measured / np.gradient(np.log(expected), np.log(n)) - 1) < 1 / n)[1:-1].all()
    assert measured[-2] < measured[1] < 0


def test_skills_are_learned_level_by_level():
    training = np.logspace(24.0, 27.0, 301)
    levels = hierarchy.skill_levels(training)["max_level"].values
    steps = np.diff(levels)
    assert (steps >= 0).all()
    # A staircase: plateaus between jumps, one level at a time.
    assert (steps == 0).mean() > 0.5
    assert set(np.unique(steps)) <= {0, 1}
    slope, fit = line(np.log10(training), levels)
    # A level needs e^(decay/levels) times the concepts of the one below, and concepts grow as the root of compute.
    assert slope == pytest.approx(0.5 * np.log(10.0) / (10.0 / 100), rel=0.02)
    assert fit > 0.999


def test_training_tokens_per_parameter_have_a_threshold():
    root = brentq(lambda kappa: float(evaluate(hierarchy.poisson_threshold, kappa)) - 0.5, 15.0, 25.0, xtol=1e-12)
    assert root == pytest.approx(18.13196, abs=5e-6)
    below, above = (
        hierarchy.skill_levels(1e26, hierarchy.Hierarchy(tokens_per_param=kappa))["learned"].item()
        for kappa in (17.5, 18.8)
    )
    assert below == 0.0
    assert above > 0.9


def test_compute_optimal_exponents_and_what_inference_demand_does_to_them():
    compute = np.logspace(20, 26, 25)
    alpha, beta = 0.34, 0.28
    tokens, params = evaluate(scaling.lowest_loss, compute, 0.0, 406.4, alpha, 410.7, beta)
    assert line(np.log(compute), np.log(params))[0] == pytest.approx(beta / (alpha + beta), rel=1e-9)
    assert line(np.log(compute), np.log(tokens))[0] == pytest.approx(alpha / (alpha + beta), rel=1e-9)
    # A model that will generate many tokens should be smaller and trained on more: demand in proportion to compute.
    demand = 1e12 * (compute / 1e22) ** 0.7
    more, smaller = evaluate(scaling.lowest_loss, compute, demand, 406.4, alpha, 410.7, beta)
    assert (more > tokens).all()
    assert (smaller < params).all()
    assert line(np.log(compute), np.log(smaller))[0] < beta / (alpha + beta)
