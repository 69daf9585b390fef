"""Rival forecasts against brute force, known optima and conjugacy; scores against their definitions."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from ds3bayes.queries.calibration.baselines import (
    _LOGITS,
    BASELINES,
    Counts,
    _binomial,
    _extrapolate,
    _line,
    beta_population,
    empirical_bayes,
    fit_beta,
    fit_logit_normal,
    independent_tasks,
    line_of_resampled_attempts,
    logit_normal,
    power_law_line,
)
from ds3bayes.queries.calibration.coverage import pass_at_k
from ds3bayes.queries.calibration.scores import crps, log_score, pit

DRAWS = 4000


def counts_of(tasks: int = 40, samples: int = 12, in_all: int = 300, seed: int = 3) -> Counts:
    rng = np.random.default_rng(seed)
    return Counts(rng.binomial(samples, rng.beta(0.4, 1.6, tasks)), samples, np.full(tasks, in_all))


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 2), (12, 12), (40, 7)])
def test_pass_at_k_counts_subsets(n, k):
    expected = [1 - math.comb(n - c, k) / math.comb(n, k) for c in range(n + 1)]
    np.testing.assert_allclose(pass_at_k(np.arange(n + 1), n, k), expected, rtol=1e-11, atol=1e-14)


def test_pass_at_k_is_unbiased():
    n, k, q = 9, 4, 0.23
    mean = (stats.binom.pmf(np.arange(n + 1), n, q) * pass_at_k(np.arange(n + 1), n, k)).sum()
    assert mean == pytest.approx(1 - (1 - q) ** k, rel=1e-12)


@pytest.mark.parametrize(("a", "b"), [(2.0, 0.3), (0.7, 0.9)])
def test_the_line_extrapolates_a_power_law_exactly(a, b):
    k = np.arange(1, 41)
    curve = np.exp(-a * k**-b)[None]
    assert _extrapolate(curve, 40, 1000)[0] == pytest.approx(np.exp(-a * 1000.0**-b), rel=1e-9)


def test_the_line_is_the_least_squares_one():
    counts = counts_of()
    k = np.arange(1, 13)
    curve = pass_at_k(counts.successes[:, None], 12, k).mean(axis=0)
    slope, intercept = np.polyfit(np.log(k), np.log(-np.log(curve)), 1)
    expected = np.exp(-np.exp(intercept + slope * np.log(100)))
    assert _line(counts, 100)[0] == pytest.approx(expected, rel=1e-9)


def test_lines_of_data_without_a_slope():
    rng = np.random.default_rng(0)
    for c, expected in ((0, 0.0), (12, 1.0)):
        # All attempts are seen: nothing is left to be measured.
        counts = Counts(np.full(5, c), 12, np.full(5, 12))
        for forecast in (power_law_line, line_of_resampled_attempts):
            np.testing.assert_allclose(forecast(counts, 7, 20, rng), expected, atol=1e-12)


def test_resampled_lines_stand_around_the_line():
    counts = counts_of()._replace(in_all=np.full(40, 12))
    rng = np.random.default_rng(0)
    line = power_law_line(counts, 12, 1, rng)[0]
    draws = line_of_resampled_attempts(counts, 12, 500, rng)
    # Centred on the line's own scale by construction, there being no attempts that remain.
    assert np.log(-np.log(draws)).mean() == pytest.approx(np.log(-np.log(line)), rel=1e-9)
    # Attempts of tasks that are alike still differ; that other tasks might have been asked is no part of it.
    alike = Counts(np.full(30, 3), 12, np.full(30, 12))
    assert line_of_resampled_attempts(alike, 12, 50, rng).std() > 0
    extreme = Counts(np.array([0] * 20 + [12] * 20), 12, np.full(40, 12))
    assert line_of_resampled_attempts(extreme, 12, 50, rng).std() == 0.0


def test_forecasts_of_a_benchmark_have_the_noise_of_what_remains():
    few, many = counts_of(in_all=24), counts_of(in_all=24_000)
    for forecast in (power_law_line, beta_population):
        spreads = [forecast(one, 5, DRAWS, np.random.default_rng(1)).std() for one in (few, many)]
        assert spreads[0] > 5 * spreads[1]
    # Twelve attempts remain: the noise of the mean of pass@5 of 24 attempts, given each task's success.
    rng = np.random.default_rng(2)
    a, b = fit_beta(few.successes, 12)
    q = rng.beta(a + few.successes, b + 12 - few.successes, (200, 40))
    again = rng.binomial(12, q[:, None], (200, 200, 40)) + few.successes
    expected = pass_at_k(again, 24, 5).mean(axis=2).var(axis=1, ddof=1).mean()
    # Relative standard error of a variance of 4,000 draws is .022; four of them, and as much for the expected one.
    assert power_law_line(few, 5, DRAWS, rng).var() == pytest.approx(expected, rel=0.12)


def test_beta_fit_is_the_most_likely():
    counts = counts_of(tasks=200)
    a, b = fit_beta(counts.successes, 12)

    def log_likelihood(a: float, b: float) -> float:
        return float(stats.betabinom.logpmf(counts.successes, 12, a, b).sum())

    best = log_likelihood(a, b)
    for step in np.linspace(-0.5, 0.5, 21):
        for other in np.linspace(-0.5, 0.5, 21):
            assert log_likelihood(a * np.exp(step), b * np.exp(other)) <= best + 1e-6
    # The truth is within what a likelihood ratio allows, with a false alarm of 1 in 1000.
    assert 2 * (best - log_likelihood(0.4, 1.6)) < stats.chi2.ppf(0.999, 2)


def conjugate_mean(counts: Counts, k: int, a: float, b: float) -> float:
    """Mean over tasks of the expected estimate of pass@k, the unseen attempts being beta-binomial."""
    m, n = counts.samples, int(counts.in_all[0])
    more = np.arange(n - m + 1)
    per_task = [
        (stats.betabinom.pmf(more, n - m, a + c, b + m - c) * pass_at_k(c + more, n, k)).sum() for c in counts.successes
    ]
    return float(np.mean(per_task))


@pytest.mark.parametrize("k", [12, 100])
def test_conjugate_forecasts_have_the_right_mean(k):
    counts = counts_of()
    rng = np.random.default_rng(1)
    shapes = fit_beta(counts.successes, 12)
    for forecast, (a, b) in ((empirical_bayes, shapes), (independent_tasks, (1.0, 1.0))):
        draws = forecast(counts, k, DRAWS, rng).mean(axis=1)
        # Four standard errors of the mean of independent draws: a false alarm in 16,000.
        assert abs(draws.mean() - conjugate_mean(counts, k, a, b)) < 4 * draws.std() / np.sqrt(DRAWS)
    draws = beta_population(counts, k, DRAWS, rng)
    nobody = Counts(np.zeros(1, dtype=int), 0, counts.in_all)
    assert abs(draws.mean() - conjugate_mean(nobody, k, *shapes)) < 4 * draws.std() / np.sqrt(DRAWS)


def test_the_logit_normal_fit_is_the_most_likely():
    rng = np.random.default_rng(5)
    q = np.where(rng.random(300) < 0.3, 0.0, 1 / (1 + np.exp(-rng.normal(-1.0, 1.5, 300))))
    found, often = np.unique(rng.binomial(40, q), return_counts=True)
    density, zero = fit_logit_normal(found, 40, often[None])
    mean = float(density[0] @ _LOGITS)
    sd = float(np.sqrt(density[0] @ (_LOGITS - mean) ** 2))

    def log_likelihood(mean: float, sd: float, zero: float) -> float:
        weight = stats.norm.pdf(_LOGITS, mean, sd)
        one = (1 - zero) * (_binomial(found, 40) @ (weight / weight.sum())) + zero * (found == 0)
        return float(often @ np.log(one))

    def log_posterior(mean: float, sd: float, zero: float) -> float:
        priors = stats.norm.logpdf(mean, -2.0, 3.0) + stats.invgamma.logpdf(sd**2, 1.0, scale=2.5**2)
        return log_likelihood(mean, sd, zero) + priors + stats.beta.logpdf(zero, 1.0, 2.0)

    best = log_posterior(mean, sd, float(zero[0]))
    for step in itertools.product((-0.05, 0.0, 0.05), repeat=3):
        # EM stops within a thousandth of the top.
        assert log_posterior(mean + step[0], sd * np.exp(step[1]), float(zero[0]) + step[2]) <= best + 1e-3
    # The truth is within what a likelihood ratio allows, with a false alarm of 1 in 1000.
    assert 2 * (log_likelihood(mean, sd, float(zero[0])) - log_likelihood(-1.0, 1.5, 0.3)) < stats.chi2.ppf(0.999, 3)
    # Without a success in 5 tasks of 10 attempts, it is not certain that there will be none.
    none = Counts(np.zeros(5, dtype=int), 10, np.full(5, 1000))
    assert 0.0 < logit_normal(none, 100, 200, rng).mean() < 0.5


def test_the_logit_normal_forecast_covers_what_it_is_made_for():
    inside, k = [], 60
    for seed in range(60):
        rng = np.random.default_rng(seed)
        q = np.where(rng.random(60) < 0.25, 0.0, 1 / (1 + np.exp(-rng.normal(-2.0, 1.5, 60))))
        seen = rng.binomial(10, q)
        truth = pass_at_k(seen + rng.binomial(990, q), 1000, k).mean()
        inside.append(
            abs(pit(logit_normal(Counts(seen, 10, np.full(60, 1000)), k, 300, rng).mean(axis=1), truth) - 0.5)
        )
    # 90 % of 60 with a false alarm of 1 in 1000 each side.
    assert stats.binom.ppf(0.001, 60, 0.9) <= (np.array(inside) <= 0.45).sum() <= stats.binom.ppf(0.999, 60, 0.9)


@pytest.mark.parametrize("name", BASELINES)
def test_forecasts_are_probabilities_and_repeat(name):
    counts = counts_of(tasks=15)
    one, other = (BASELINES[name](counts, 100, 40, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1


# --- scores -------------------------------------------------------------------------------------------------


def test_crps_integrates_the_squared_distance_of_distributions():
    draws = np.random.default_rng(2).normal(0.4, 0.1, 30)
    truth = 0.55

    def squared(x: float) -> float:
        return float(((draws <= x).mean() - (truth <= x)) ** 2)

    edges = np.unique(np.concatenate([draws, [truth]]))
    expected = sum(quad(squared, low, high)[0] for low, high in itertools.pairwise(edges))
    assert crps(draws, truth) == pytest.approx(expected, rel=1e-6)
    assert crps(np.array([0.3]), 0.5) == pytest.approx(0.2)


def test_log_score_approaches_the_density():
    quantiles = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000, 0.5, 0.05)
    for truth in (0.5, 0.56):
        expected = np.log(0.99 * stats.norm.pdf(truth, 0.5, 0.05) + 0.01)
        # Kernels of width h widen the law: relative error of the density about h^2/2 of its curvature, here below 2 %.
        assert log_score(quantiles, truth) == pytest.approx(expected, abs=0.02)
    assert log_score(quantiles, 1.0) == pytest.approx(np.log(0.01), abs=1e-6)
    assert np.isnan(log_score(np.array([0.3]), 0.3))


def test_pit_counts_draws_below_and_half_the_ties():
    assert pit(np.array([0.1, 0.2, 0.2, 0.4]), 0.2) == pytest.approx(0.5)
    assert pit(np.array([0.1, 0.2]), 0.9) == 1.0
