"""Gradients of the likelihood of mixtures of paths: the binomial dual against its two alternatives."""

from math import lgamma
from time import perf_counter

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from ds3bayes.theory.path import binomial_dual, finish_within

pytestmark = pytest.mark.benchmark

SETTINGS, TASKS, LENGTHS = 6, 40, 24
ROUNDS = 400


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(20250701)
    budgets = rng.integers(10, 400, TASKS).astype(float)
    attempts = rng.integers(5, 50, (SETTINGS, TASKS)).astype(float)
    # Paces near path length over budget, where success is neither rare nor certain.
    logit_r = np.log(8.0 / budgets) + rng.normal(0.0, 0.4, (SETTINGS, TASKS))
    right = rng.binomial(attempts.astype(int), 0.6).astype(float)
    return budgets, attempts, right, logit_r, np.log(7.0)


def log_lengths(log_mean):
    """Log probabilities of 1 + Poisson path lengths, cut at LENGTHS."""
    extra = np.arange(LENGTHS, dtype=float)
    free = extra * log_mean - np.array([lgamma(x + 1.0) for x in extra])
    return free - pt.logsumexp(free)


def likelihood(success, attempts, right):
    return (right * pt.log(success) + (attempts - right) * pt.log1p(-success)).sum()


def by_dual(phi, budgets, r):
    survival = pt.concatenate([pt.ones(1), 1.0 - pt.cumsum(phi)[:-1]])
    return binomial_dual(survival, budgets, r)


def by_incomplete_beta(phi, budgets, r):
    m = np.arange(1.0, LENGTHS + 1.0)
    return (phi * finish_within(budgets[:, None], m, r[..., None])).sum(axis=-1)


def in_graph(success, data):
    budgets, attempts, right, *_ = data
    logit_r, log_mean = pt.matrix("logit_r", dtype="float64"), pt.scalar("log_mean", dtype="float64")
    phi = pt.exp(log_lengths(log_mean))
    value = likelihood(success(phi, budgets, pt.sigmoid(logit_r)), attempts, right)
    function = pytensor.function([logit_r, log_mean], [value, *pytensor.grad(value, [logit_r, log_mean])])
    function.trust_input = True
    return lambda x, y: function(x, np.asarray(y))


def fused(data):
    """One loop over everything, value and gradient by hand."""
    budgets, attempts, right, *_ = data
    log_coefficient = np.array(
        [
            [lgamma(K + 1.0) - lgamma(j + 1.0) - lgamma(K - j + 1.0) if j <= K else -np.inf for j in range(LENGTHS)]
            for K in budgets
        ]
    )
    log_factorial = np.array([lgamma(x + 1.0) for x in range(LENGTHS)])

    @numba.njit
    def loop(logit_r, log_mean):
        phi, survival, slope = np.empty(LENGTHS), np.empty(LENGTHS), np.empty(LENGTHS)
        for x in range(LENGTHS):
            phi[x] = np.exp(x * log_mean - log_factorial[x])
        phi /= phi.sum()
        mean = 0.0
        for x in range(LENGTHS):
            mean += x * phi[x]
        left, change = 1.0, 0.0
        for j in range(LENGTHS):
            survival[j], slope[j] = left, change
            left -= phi[j]
            change -= phi[j] * (j - mean)
        value, by_mean, by_r = 0.0, 0.0, np.empty_like(logit_r)
        for i in range(SETTINGS):
            for t in range(TASKS):
                K, x = budgets[t], logit_r[i, t]
                p = 1.0 / (1.0 + np.exp(-x))
                log_p, log_q = np.log(p), np.log1p(-p)
                failure, d_r, d_mean = 0.0, 0.0, 0.0
                for j in range(LENGTHS):
                    if j <= K:
                        mass = np.exp(log_coefficient[t, j] + j * log_p + (K - j) * log_q)
                        failure += survival[j] * mass
                        d_r += survival[j] * mass * (j - K * p)
                        d_mean += slope[j] * mass
                success = 1.0 - failure
                value += right[i, t] * np.log(success) + (attempts[i, t] - right[i, t]) * np.log(failure)
                outer = -right[i, t] / success + (attempts[i, t] - right[i, t]) / failure
                by_r[i, t] = outer * d_r
                by_mean += outer * d_mean
        return value, by_r, by_mean

    return loop


@pytest.fixture(scope="module")
def contenders(data):
    return {
        "dual": in_graph(by_dual, data),
        "incomplete beta": in_graph(by_incomplete_beta, data),
        "fused": fused(data),
    }


@pytest.mark.parametrize("name", ["dual", "incomplete beta", "fused"])
def test_time_of_one_gradient(benchmark, contenders, data, name):
    *_, logit_r, log_mean = data
    benchmark(contenders[name], logit_r, log_mean)


def test_all_agree(contenders, data):
    *_, logit_r, log_mean = data
    wanted = contenders["fused"](logit_r, log_mean)
    for name in ("dual", "incomplete beta"):
        for got, expected in zip(contenders[name](logit_r, log_mean), wanted, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=0)


def test_dual_is_fast(contenders, data):
    # Interleaved, so that other load on the machine falls on all three alike.
    *_, logit_r, log_mean = data
    times = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, function in contenders.items():
            begin = perf_counter()
            function(logit_r, log_mean)
            times[name].append(perf_counter() - begin)
    median = {name: float(np.median(values[20:])) for name, values in times.items()}
    assert median["incomplete beta"] >= 8.0 * median["dual"], median
    assert median["dual"] <= 2.0 * median["fused"], median
