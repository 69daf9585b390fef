"""The path walk far from everyday numbers, against sums in 60 and more decimal digits."""

import tracemalloc
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from math import comb

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy.special import gammaln
from scipy.stats import binom, nbinom

from ds3bayes.theory import _special, path, traversal
from ds3bayes.theory.evaluate import evaluate

MODE = Mode(linker="py", optimizer="merge")
HUGE = {"Emin": -(10**15), "Emax": 10**15}
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")


def at(function, *arguments):
    """Evaluate with arguments of one shape and type, for which each formula is compiled once."""
    arrays = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in arguments))
    flat = [np.resize(x, max(x.size, 2)) for x in arrays]
    return evaluate(function, *flat)[: arrays[0].size].reshape(arrays[0].shape)


def bernoulli(count):
    numbers, row = [], [Fraction(0)] * (count + 1)
    for n in range(count + 1):
        row[n] = Fraction(1, n + 1)
        for j in range(n, 0, -1):
            row[j - 1] = j * (row[j - 1] - row[j])
        numbers.append(row[0])
    return numbers


BERNOULLI = bernoulli(38)


def log_gamma(x):
    x, shift = Decimal(x), Decimal(1)
    while x < 60:
        shift *= x
        x += 1
    total = (x - Decimal("0.5")) * x.ln() - x + (2 * PI).ln() / 2
    for k in range(1, 19):
        b = BERNOULLI[2 * k]
        total += Decimal(b.numerator) / Decimal(b.denominator) / (2 * k * (2 * k - 1)) / x ** (2 * k - 1)
    return total - shift.ln()


def series(a, b, x):
    """2F1(a + b, 1; a + 1; x) by the modified Lentz method."""
    c, d, f = Decimal(1), Decimal(0), Decimal(1)
    for t in range(1, 200_000):
        i = Decimal(t // 2)
        if t % 2:
            step = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1))
        else:
            step = i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i))
        d = 1 / (1 + step * d)
        c = 1 + step / c
        f *= c * d
        if abs(c * d - 1) < Decimal("1e-40"):
            return 1 / f
    raise AssertionError("no convergence")


def beta_pair(a, b, x):
    """I_x(a, b) and its complement; the smaller one to 35 digits or more."""
    if x <= 0 or x >= 1:
        return Decimal(int(x >= 1)), Decimal(int(x <= 0))
    a, b, y = Decimal(a), Decimal(b), 1 - x
    front = (a * x.ln() + b * y.ln() - log_gamma(a) - log_gamma(b) + log_gamma(a + b)).exp()
    if x * (a + b + 2) < a + 1:
        low = front / a * series(a, b, x)
        return low, 1 - low
    high = front / b * series(b, a, y)
    return 1 - high, high


def exact(K, m, r, h):
    """Solved, truncated, wrong, E[X], E[X^2] and E[T; solved], with X = min(T, K), in decimals; r > 0, r + h < 1."""
    K, m = int(K), int(m)
    digits = 60 if r + h > 1e-15 else 60 - 3 * int(np.log10(r + h))
    with localcontext(prec=digits, **HUGE):
        r, h = Decimal(float(r)), Decimal(float(h))
        s = r + h
        rho, y = r / s, 1 - s
        solved, late, timed = Decimal(0), Decimal(1), Decimal(0)
        if m <= K:
            solved = rho**m * beta_pair(m, K - m + 1, s)[0]
            late = beta_pair(m, K - m + 1, r / (1 - h))[1]
            timed = m / s * rho**m * beta_pair(m + 1, K - m + 1, s)[0]
        # E[X] = sum_j rho^j/s P(Bin(K, s) > j) and E[X (X + 1)]/2 = sum_j (j + 1) rho^j/s^2 P(Bin(K + 1, s) > j + 1).
        mass, more = y**K, y ** (K + 1)
        below, below_more = mass, more
        mean, square, weight = Decimal(0), Decimal(0), 1 / s
        for j in range(min(m, K)):
            more *= s / y * (K + 1 - j) / (j + 1)
            below_more += more
            mean += weight * (1 - below)
            square += (j + 1) * weight / s * (1 - below_more)
            weight *= rho
            mass *= s / y * (K - j) / (j + 1)
            below += mass
        return solved, (1 - h) ** K * late, h * mean, mean, 2 * square - mean, timed


def grid(count, seed):
    rng = np.random.default_rng(seed)
    m = np.floor(10 ** rng.uniform(0, 4, count))
    K = np.floor(10 ** rng.uniform(0, 6, count))
    kind = rng.random(count)
    s = np.where(kind < 0.5, m / K * 10 ** rng.uniform(-1, 1, count), 10 ** -rng.uniform(0, 12, count))
    s = np.where(kind > 0.85, 1.0 - 10 ** -rng.uniform(0, 7, count), np.minimum(s, 0.999))
    share = np.where(rng.random(count) < 0.2, 0.0, 10 ** -rng.uniform(0, 12, count))
    share = np.where(rng.random(count) < 0.2, 0.5 / m, share)
    h = s * share
    return K, m, s - h, h


def relative(got, wanted):
    """Relative error of a float against a decimal, also where both underflow."""
    # SciPy's incomplete beta function underflows below 1e-280.
    if abs(wanted) < Decimal("1e-270"):
        return 0.0 if abs(got) < 1e-260 else np.inf
    return abs(float((Decimal(float(got)) - wanted) / wanted))


def logarithm(value, complement):
    """Log of a decimal, from its complement where it is near 1."""
    if value <= 0:
        return -np.inf
    if complement < Decimal("1e-15"):
        return float(-complement - complement * complement / 2)
    return float(value.ln())


NAMES = ["solved", "truncated", "wrong", "expected_steps", "expected_squared_steps", "expected_steps_solved"]
LOGS = ["log_solved", "log_truncated", "log_unsolved"]


def compare(count, seed):
    K, m, r, h = grid(count, seed)
    got = {name: at(getattr(path, name), K, m, r, h) for name in NAMES + LOGS}
    worst = dict.fromkeys(NAMES + LOGS, 0.0)
    for i in range(count):
        values = exact(K[i], m[i], r[i], h[i])
        for name, value in zip(NAMES, values, strict=True):
            worst[name] = max(worst[name], relative(got[name][i], value))
        solved, truncated, wrong = values[:3]
        with localcontext(prec=60, **HUGE):
            pairs = [(solved, truncated + wrong), (truncated, solved + wrong), (truncated + wrong, solved)]
            logs = [logarithm(*pair) for pair in pairs]
        for name, value in zip(LOGS, logs, strict=True):
            if np.isinf(value):
                error = 0.0 if got[name][i] == value else np.inf
            else:
                error = abs(got[name][i] - value) / max(abs(value), 1e-290)
            worst[name] = max(worst[name], error)
    return worst


def test_the_oracle_is_exact():
    rng = np.random.default_rng(1)
    for _ in range(20):
        K = int(rng.integers(1, 80))
        m, x = int(rng.integers(1, K + 1)), Fraction(float(rng.random()))
        tail = sum(comb(K, j) * x**j * (1 - x) ** (K - j) for j in range(m, K + 1))
        with localcontext(prec=60):
            pair = beta_pair(m, K - m + 1, Decimal(x.numerator) / Decimal(x.denominator))
            for found, wanted in zip(pair, (tail, 1 - tail), strict=True):
                assert abs(found / (Decimal(wanted.numerator) / Decimal(wanted.denominator)) - 1) < Decimal("1e-35")


def test_everything_is_exact_over_the_whole_range():
    worst = compare(250, 7)
    # Rounding of 1 - r - h, at most 1e-16, counts K times in what is truncated.
    assert all(error < 2e-10 for error in worst.values()), worst


@pytest.mark.slow
def test_everything_is_exact_at_ten_thousand_points():
    worst = compare(10_000, 8)
    print(worst)
    assert all(error < 2e-10 for error in worst.values()), worst


@pytest.mark.parametrize(("K", "m", "r"), [(400, 10, 0.05), (10**6, 10**4, 0.011), (90, 80, 0.7), (5, 9, 0.5)])
def test_no_step_where_the_expansion_takes_over(K, m, r):
    # The expected hazard passes the switch, h E = 0.01, in the middle of this range.
    mean = float(at(path.expected_steps, K, m, r, 0.0))
    h = 0.01 / mean * (1.0 + np.array([-1e-3, -1e-6, -1e-9, 0.0, 1e-9, 1e-6, 1e-3, 0.1]))
    for name, place in (("expected_steps", 3), ("expected_squared_steps", 4)):
        got = at(getattr(path, name), K, m, r, h)
        errors = [relative(value, exact(K, m, r, x)[place]) for value, x in zip(got, h, strict=True)]
        assert max(errors) < 2e-11, (name, errors)


def test_an_expected_hazard_of_any_size():
    h = np.concatenate([[0.0], 10.0 ** np.arange(-300.0, -1.0, 13.0)])
    for K, m, r in [(30, 4, 0.2), (10**6, 300, 0.001)]:
        got = at(path.expected_steps, K, m, r, h)
        wanted = [exact(K, m, r, x)[3] for x in h]
        assert max(relative(a, b) for a, b in zip(got, wanted, strict=True)) < 1e-11


@pytest.mark.parametrize("r", [1e-300, 1e-30, 1e-12, 1e-7])
def test_steps_of_a_walk_that_hardly_moves(r):
    for m in (1, 3, 50):
        assert at(path.expected_steps, 40, m, r, 0.0) == pytest.approx(float(exact(40, m, r, 0.0)[3]), rel=1e-13)


def test_steps_without_a_budget():
    m, r, h = np.array([1.0, 7.0, 1e4]), 0.02, np.array([[0.0], [1e-12], [1e-7], [1e-3], [0.5]])
    with localcontext(prec=60, **HUGE):
        for i, j in np.ndindex(5, 3):
            a, b, n = Decimal(r), Decimal(float(h[i, 0])), int(m[j])
            rho, s = a / (a + b), a + b
            mean = (1 - rho**n) / b if b else n / a
            square = (mean - n / s * rho**n) / b if b else n * (n + 1) / (2 * a * a)
            found = at(path.expected_steps, np.inf, m[j], r, h[i])
            assert relative(found[0], mean) < 1e-12
            found = at(path.expected_squared_steps, np.inf, m[j], r, h[i])
            assert relative(found[0], 2 * square - mean) < 1e-11
    assert at(path.expected_steps, np.inf, 3, 0.0, 0.1) == pytest.approx(10.0, rel=1e-15)
    assert at(path.expected_steps, np.inf, 3, 0.0, 0.0) == np.inf
    assert at(path.expected_squared_steps, np.inf, 3, 0.0, 0.0) == np.inf


def test_edges_of_the_moments():
    assert at(path.expected_steps, [0, 1, 5], 3, 0.0, 1.0).tolist() == [0.0, 1.0, 1.0]
    assert at(path.expected_squared_steps, [0, 1, 5], 3, 0.0, 1.0).tolist() == [0.0, 1.0, 1.0]
    np.testing.assert_allclose(at(path.expected_steps, [2, 3, 9], 3, 1.0, 0.0), [2.0, 3.0, 3.0], rtol=1e-15)
    np.testing.assert_allclose(at(path.expected_squared_steps, [2, 3, 9], 3, 1.0, 0.0), [4, 9, 9], rtol=1e-14)
    assert at(path.expected_squared_steps, [0, 7], 4, 0.0, 0.0).tolist() == [0.0, 49.0]
    # With r + h = 1 something happens at every step: X = min(m, K, first wrong one).
    np.testing.assert_allclose(at(path.expected_steps, 10, 3, 0.75, 0.25), 1 + 0.75 + 0.75**2, rtol=1e-14)


def test_memory_does_not_grow_with_the_path():
    r = np.linspace(0.001, 0.5, 2000)
    at(path.expected_steps, 10**6, 10**4, r[:3], 1e-6)
    tracemalloc.start()
    at(path.expected_steps, 10**6, 10**4, r, 1e-6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # One array over all 1e4 skills would take 160 MB.
    assert peak < 10e6


def test_real_path_lengths_interpolate():
    m = np.linspace(4.0, 6.0, 41)
    for h in (0.0, 1e-9, 0.001, 0.05):
        values = at(path.expected_steps, 60, m, 0.1, h)
        assert (np.diff(values) > 0).all()
        assert (np.abs(np.diff(values, n=2)) < 0.05 * np.diff(values)[1:]).all()
    # Both forms, which meet at whole and at real lengths.
    hazard = 0.01 / at(path.expected_steps, 60, m, 0.1, 0.0)
    low, high = (at(path.expected_steps, 60, m, 0.1, hazard * (1 + sign * 1e-3)) for sign in (-1, 1))
    middle = at(path.expected_steps, 60, m, 0.1, hazard)
    np.testing.assert_allclose(low + high, 2 * middle, rtol=1e-7)
    np.testing.assert_allclose(
        at(path.expected_steps, 60, m, 0.1, 0.0), at(path.mean_steps_within, 60, m, 0.1), rtol=1e-13
    )


@pytest.mark.parametrize(
    ("K", "m", "r", "h"),
    [
        (10**6, 10**4, 1e-9, 0.0),
        (10**6, 10**4, 1e-6, 1e-6),
        (10**6, 10**4, 0.005, 1e-5),
        (10**4, 10**4, 0.4, 0.1),
        (10**4, 9000, 1e-300, 1e-3),
        (10**6, 1, 1e-300, 0.0),
        (2 * 10**4, 10**4, 0.0199, 0.0),
        (2 * 10**4, 10**4, 0.0201, 1e-4),
        (10**6, 10**4, 0.99, 1e-8),
    ],
)
def test_log_solved_down_to_any_depth(K, m, r, h):
    # Success from 1 - 1e-3000 down to 1e-3000000, on both sides of each switch.
    solved, truncated, wrong, *_ = exact(K, m, r, h)
    wanted = logarithm(solved, truncated + wrong)
    assert at(path.log_solved, K, m, r, h) == pytest.approx(wanted, rel=1e-12)


def test_log_of_failure():
    # Half of log_unsolved comes from solved and half from its complement: they meet at 1/2.
    K, m, h = 300, 20, 1e-4
    r = np.linspace(0.062, 0.068, 200)
    both = np.exp(at(path.log_unsolved, K, m, r, h)) + at(path.solved, K, m, r, h)
    np.testing.assert_allclose(both, 1.0, rtol=1e-13)
    assert (at(path.solved, K, m, r[[0, -1]], h) > 0.5).tolist() == [False, True]
    assert at(path.log_unsolved, [0, 2, 3, np.inf], 3, 1.0, 0.0).tolist() == [0.0, 0.0, -np.inf, -np.inf]
    assert at(path.log_unsolved, np.inf, 4, 0.2, 0.05) == pytest.approx(np.log(1 - 0.8**4), rel=1e-13)
    assert at(path.log_unsolved, [0, 9], 4, 0.0, 1.0).tolist() == [0.0, 0.0]
    # 1 - solved would be 0 here.
    assert at(path.log_unsolved, 10**5, 3, 0.5, 0.0) < -60_000


def test_log_truncated_edges():
    assert at(path.log_truncated, [2, 3, np.inf], 3, 0.3, 0.7).tolist() == [2 * np.log1p(-0.7), -np.inf, -np.inf]
    assert at(path.log_truncated, [0, 1, np.inf], 3, 0.0, 1.0).tolist() == [0.0, -np.inf, -np.inf]
    assert at(path.log_truncated, [5, np.inf], 3, 0.0, 0.0).tolist() == [0.0, 0.0]


@cache
def compiled_slopes(function):
    inputs = [pt.vector(dtype="float64") for _ in range(4)]
    return pytensor.function(inputs, pytensor.grad(function(*inputs).sum(), inputs[2:]), mode=MODE)


def slopes(function, K, m, r, h):
    return compiled_slopes(function)(*(np.asarray(x, dtype=float) for x in (K, m, r, h)))


def exact_slopes(value, K, m, r, h):
    """Central differences in decimals; one-sided where h = 0."""
    digits = 90 if min(r, h or 1.0) > 1e-15 else 90 - 3 * int(np.log10(min(r, h or 1.0)))
    found = []
    with localcontext(prec=digits, **HUGE):
        base = [Decimal(float(r)), Decimal(float(h))]
        for place in (0, 1):
            step = (base[place] or Decimal("1e-9")) * Decimal("1e-12")
            high, low = list(base), list(base)
            high[place] += step
            if base[place]:
                low[place] -= step
            found.append((value(K, m, *high) - value(K, m, *low)) / (high[place] - low[place]))
    return found


def decimal_log_solved(K, m, r, h):
    low, high = beta_pair(m, K - m + 1, r + h)
    return m * (r / (r + h)).ln() + (-high if high < Decimal("1e-25") else low.ln())


def decimal_log_truncated(K, m, r, h):
    low, high = beta_pair(m, K - m + 1, r / (1 - h))
    # In this order a tiny change of low is not lost against the first term.
    with localcontext(prec=700):
        return K * (1 - h).ln() + (-low if low < Decimal("1e-25") else high.ln())


def decimal_log_unsolved(K, m, r, h):
    s = r + h
    mass = below = (1 - s) ** K
    mean, weight = Decimal(0), 1 / s
    for j in range(min(m, K)):
        mean += weight * (1 - below)
        weight *= r / s
        mass *= s / (1 - s) * (K - j) / (j + 1)
        below += mass
    _, high = beta_pair(m, K - m + 1, r / (1 - h))
    return ((1 - h) ** K * high + h * mean).ln()


def decimal_steps(K, m, r, h):
    s = r + h
    mass = below = (1 - s) ** K
    mean, weight = Decimal(0), 1 / s
    for j in range(min(m, K)):
        mean += weight * (1 - below)
        weight *= r / s
        mass *= s / (1 - s) * (K - j) / (j + 1)
        below += mass
    return mean


def slope_errors(function, value, points):
    worst = []
    got = slopes(function, *points)
    for i, (K, m, r, h) in enumerate(zip(*points, strict=True)):
        wanted = exact_slopes(value, int(K), int(m), r, h)
        worst += [relative(got[place][i], wanted[place]) for place in (0, 1)]
    return worst


def slope_points(count, seed, least):
    """Points with enough steps, a fifth of them with rates far below everything else."""
    K, m, r, h = grid(count, seed)
    rng = np.random.default_rng(seed)
    r = np.where(rng.random(count) < least, 10.0 ** -rng.uniform(20, 290, count), r)
    keep = (m < K) & (r + h < 1 - 1e-9)
    return K[keep], m[keep], r[keep], h[keep]


@pytest.mark.parametrize(
    ("function", "value", "least"),
    [
        (path.log_solved, decimal_log_solved, 0.2),
        (path.log_truncated, decimal_log_truncated, 0.0),
    ],
)
def test_gradients_of_logs_are_right_over_the_whole_range(function, value, least):
    errors = slope_errors(function, value, slope_points(80, 5, least))
    assert len(errors) > 60
    assert max(errors) < 1e-6


def test_gradients_of_failure_and_of_steps():
    K, m = np.array([40.0, 300, 5000, 10**6, 900, 70]), np.array([4.0, 20, 400, 500, 2, 60])
    r, h = np.array([0.1, 0.3, 0.1, 6e-4, 1e-3, 0.3]), np.array([0.01, 1e-12, 0.0, 1e-9, 1e-2, 1e-4])
    for function, value in ((path.log_unsolved, decimal_log_unsolved), (path.expected_steps, decimal_steps)):
        assert max(slope_errors(function, value, (K, m, r, h))) < 1e-6


def test_gradient_of_steps_on_both_sides_of_the_switch():
    K, m, r = 400.0, 10.0, 0.05
    mean = float(at(path.expected_steps, K, m, r, 0.0))
    h = 0.01 / mean * np.array([0.0, 0.5, 0.999, 1.001, 1.02])
    assert max(slope_errors(path.expected_steps, decimal_steps, ([K] * 5, [m] * 5, [r] * 5, h))) < 1e-9


@pytest.mark.parametrize(("m", "r", "h"), [(3, 0.2, 0.05), (1, 0.3, 0.0), (6, 0.6, 0.4), (2, 1.0, 0.0), (4, 0.0, 0.2)])
def test_the_law_of_the_last_step(m, r, h):
    k, K = np.arange(1, 31), 30
    right, wrong = at(path.solved_at, k, m, r, h), at(path.wrong_at, k, m, r, h)
    np.testing.assert_allclose(right.cumsum(), at(path.solved, k, m, r, h), rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(wrong.cumsum(), at(path.wrong, k, m, r, h), rtol=1e-13, atol=1e-300)
    ended = at(path.ended_by, k, m, r, h)
    np.testing.assert_allclose((right + wrong).cumsum(), ended, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(ended, 1.0 - at(path.truncated, k, m, r, h), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose((k * right).sum(), at(path.expected_steps_solved, K, m, r, h), rtol=1e-13)
    late = at(path.truncated, K, m, r, h)
    for power, name in ((1, "expected_steps"), (2, "expected_squared_steps")):
        total = (k**power * (right + wrong)).sum() + K**power * late
        np.testing.assert_allclose(at(getattr(path, name), K, m, r, h), total, rtol=1e-13)


def test_solved_at_is_negative_binomial_for_long_walks():
    k, m, s = np.array([10**4, 500_000, 999_999, 10**6]), 10**4, 0.011
    got = at(path.solved_at, k, m, 0.9 * s, 0.1 * s)
    with localcontext(prec=60, **HUGE):
        r, h = Decimal(0.9 * s), Decimal(0.1 * s)
        for value, n in zip(got, k.tolist(), strict=True):
            log_count = log_gamma(n) - log_gamma(m) - log_gamma(n - m + 1)
            assert relative(value, (log_count + m * r.ln() + (n - m) * (1 - r - h).ln()).exp()) < 1e-11
    np.testing.assert_allclose(at(path.solved_at, np.arange(9), 3, 0.3, 0.0), nbinom(3, 0.3).pmf(np.arange(9) - 3))


def lost_chain(r, h, g, *, m, K):
    start = np.zeros(m + 1)
    start[0] = 1.0
    return tuple(traversal.absorbed_within(*traversal.lost_matrices(m, r, h, g), start, K))


def test_lost_walk_reference():
    assert at(path.lost_wrong, 90, 6, 0.12, 0.01, 0.05) == pytest.approx(0.35731, abs=5e-6)
    assert at(path.solved, 90, 6, 0.12, 0.01) == pytest.approx(0.60738, abs=5e-6)


@pytest.mark.parametrize(("m", "K"), [(1, 1), (1, 40), (2, 7), (4, 119), (5, 4), (6, 60), (9, 33), (11, 100)])
def test_lost_walk_equals_the_chain(m, K):
    rng = np.random.default_rng(4)
    s = 10 ** rng.uniform(-2, 0, 200)
    h = s * rng.random(200) * rng.choice([1.0, 1e-3, 1e-8], 200)
    r = s - h
    near = rng.choice([1 - 1e-9, 1.0, 1 + 1e-9], 200)
    # All orders of g, h and s, ties and near ties.
    choices = [rng.random(200), s * rng.random(200), h * near, s * near, np.full(200, 1e-4), 0.0 * s, 1.0 + 0.0 * s]
    g = np.minimum(1.0, np.choose(rng.integers(0, 7, 200), choices))
    chain = evaluate(lost_chain, r[:, None], h[:, None], g, m=m, K=K)
    slipped = at(path.wrong, K, m, r, h)
    got = at(path.lost_wrong, K, m, r, h, g)
    assert (np.abs(got - chain[1]) <= 1e-12 * slipped).all()
    np.testing.assert_allclose(at(path.lost_truncated, K, m, r, h, g), chain[2], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("g", [1e-6, 9e-4, 1e-3, 1.1e-3, 0.0109, 0.011, 0.0111, 0.2, 1.0])
def test_lost_walk_of_many_steps(g):
    K, m, r, h = 20_000, 150, 0.01, 0.001
    k = np.arange(1, K + 1)
    slips = at(path.wrong_at, k, m, r, h)
    still = (1.0 - g) ** (K - k)
    wanted = (slips * -np.expm1((K - k) * np.log1p(-g))).sum() if g < 1 else slips[:-1].sum()
    assert at(path.lost_wrong, K, m, r, h, g) == pytest.approx(wanted, rel=1e-9)
    lost = at(path.lost_truncated, K, m, r, h, g)
    assert lost == pytest.approx((slips * still).sum() + float(at(path.truncated, K, m, r, h)), rel=1e-10)


def test_lost_walk_edges():
    assert at(path.lost_wrong, [0, 1, np.inf], 3, 0.3, 0.1, 0.5)[:2].tolist() == [0.0, 0.0]
    assert at(path.lost_wrong, np.inf, 3, 0.3, 0.1, 0.5) == pytest.approx(1 - 0.75**3, rel=1e-14)
    assert at(path.lost_wrong, [9, np.inf], 3, 0.3, 0.1, 0.0) == pytest.approx([0.0, 0.0], abs=1e-16)
    assert at(path.lost_truncated, np.inf, 3, 0.3, 0.1, 0.0) == pytest.approx(1 - 0.75**3, rel=1e-14)
    # A slip for certain at the first step, then a geometric number of lost steps.
    np.testing.assert_allclose(at(path.lost_wrong, [0, 1, 2, 5], 3, 0.0, 1.0, 0.2), [0, 0, 0.2, 1 - 0.8**4])
    np.testing.assert_allclose(at(path.lost_wrong, [1, 2, 5], 3, 0.6, 0.4, 1.0), [0, 0.4, 0.784], rtol=1e-14)


def poisson(size, mean):
    extra = np.arange(size)
    return extra * np.log(mean) - mean - gammaln(extra + 1.0)


@pytest.mark.parametrize(
    ("size", "mean", "K"), [(1, 1.0, 30), (24, 6.0, 200), (1023, 400.0, 9000), (1024, 400.0, 9000), (1025, 400.0, 9000)]
)
@pytest.mark.parametrize("share", [0.0, 0.02])
def test_mixture_equals_the_sum_over_lengths(size, mean, K, share):
    weights = poisson(size, mean)
    s = np.minimum(mean / K * 10.0 ** np.array([-300.0, -12.0, -2.0, -0.3, 0.0, 0.3, 1.0]), 0.99)
    r, h = (1 - share) * s, share * s
    lengths = np.arange(1.0, size + 1)
    each = weights + at(path.log_solved, K, lengths, r[:, None], h[:, None])
    wanted = np.logaddexp.reduce(each, axis=1)
    got = evaluate(path.log_mixture_solved, weights, K, r, h, size=size)
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    plain = evaluate(path.mixture_solved, weights, K, r, h, size=size)
    np.testing.assert_allclose(plain, np.exp(wanted), rtol=1e-11, atol=1e-290)


def test_mixture_of_the_longest_paths():
    size, K = 10_000, 10**6
    weights = poisson(size, 4000.0)
    r = np.array([1e-6, 0.003, 0.0039, 0.004, 0.0042, 0.5])
    each = weights + at(path.log_solved, K, np.arange(1.0, size + 1), r[:, None], 0.0)
    got = evaluate(path.log_mixture_solved, weights, K, r, 0.0, size=size)
    np.testing.assert_allclose(got, np.logaddexp.reduce(each, axis=1), rtol=1e-12, atol=1e-11)
    # The short form agrees where its absolute accuracy suffices.
    survival = np.concatenate([[1.0], 1.0 - np.exp(weights).cumsum()[:-1]])
    dual = evaluate(path.binomial_dual, survival, K, r)
    np.testing.assert_allclose(dual, np.exp(got), rtol=0, atol=1e-11)


def test_mixture_edges_and_errors():
    weights = np.log([0.5, 0.25, 0.25])
    assert evaluate(path.log_mixture_solved, weights, [0, 5], [0.3, 0.0], 0.0, size=3).tolist() == [-np.inf, -np.inf]
    got = evaluate(path.mixture_solved, weights, [1, 2, 3, 8, np.inf], 1.0, 0.0, size=3)
    np.testing.assert_allclose(got, [0.5, 0.75, 1, 1, 1], rtol=1e-15)
    certain = np.array([-np.inf, 0.0, -np.inf])
    np.testing.assert_allclose(
        evaluate(path.log_mixture_solved, certain, [1, 2, 9], 0.2, 0.1, size=3),
        at(path.log_solved, [1, 2, 9], 2, 0.2, 0.1),
        rtol=1e-14,
    )
    with pytest.raises(ValueError, match="known length"):
        path.log_mixture_solved(pt.vector(), 4, 0.2)
    with pytest.raises(ValueError, match="size=4"):
        path.mixture_solved(weights, 4, 0.2, size=4)


def test_gradient_of_the_log_mixture():
    weights, K = poisson(24, 6.0), np.array([30.0, 200.0, 50.0])
    r, h = np.array([1e-30, 0.02, 0.1]), np.array([1e-31, 1e-4, 0.0])
    inputs = [pt.vector(shape=(24,), dtype="float64"), pt.vector(dtype="float64"), pt.vector(dtype="float64")]
    value = path.log_mixture_solved(inputs[0], K, *inputs[1:])
    by_weight, by_r, by_h = pytensor.function(inputs, pytensor.grad(value.sum(), inputs), mode=MODE)(weights, r, h)

    def at(w, a, b):
        return evaluate(path.log_mixture_solved, w, K, a, b, size=24)

    np.testing.assert_allclose(
        r * by_r, (at(weights, r * np.exp(1e-5), h) - at(weights, r * np.exp(-1e-5), h)) / 2e-5, rtol=1e-6
    )
    np.testing.assert_allclose(
        by_h[1], (at(weights, r, h + 1e-7) - at(weights, r, h - 1e-7 * (h > 0)))[1] / 2e-7, rtol=1e-6
    )
    shift = 1e-5 * np.eye(24)[5]
    slope = (at(weights + shift, r, h) - at(weights - shift, r, h)).sum() / 2e-5
    assert by_weight[5] == pytest.approx(slope, rel=1e-6)
    # Adding a constant to all log weights adds it to the result.
    assert by_weight.sum() == pytest.approx(3.0, rel=1e-12)


def test_plain_numbers_are_double_precision():
    for number in (2.0, 0.25, 3, True, np.float64(2.0)):
        assert _special.as_float(number).dtype == "float64"
    # 0.25 would otherwise have a logarithm of 7 digits.
    built = path.log_solved(10, 2.0, 0.25, 0.5).eval(mode=MODE)
    assert float(built) == float(evaluate(path.log_solved, 10, 2.0, 0.25, 0.5))


def test_binomial_coefficients_and_masses():
    rng = np.random.default_rng(2)
    n = np.floor(10 ** rng.uniform(0, 6, 200))
    k = np.floor(n * rng.random(200))
    got = evaluate(_special.log_binomial, n, k)
    with localcontext(prec=60):
        wanted = [float(log_gamma(a + 1) - log_gamma(b + 1) - log_gamma(a - b + 1)) for a, b in zip(n, k, strict=True)]
    np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-14)
    assert evaluate(_special.log_binomial, [3, 3, 3, 0], [0, 3, 4, 0]).tolist() == [0.0, 0.0, -np.inf, 0.0]
    x = np.linspace(0.0, 1.0, 9)
    got = evaluate(_special.binomial_mass, np.arange(6.0)[:, None], 5.0, x, 1 - x)
    np.testing.assert_allclose(got, binom(5, x).pmf(np.arange(6)[:, None]), rtol=1e-13, atol=1e-300)


def test_decreasing_integral_equals_its_series():
    rng = np.random.default_rng(3)
    for _ in range(60):
        a, b, w = np.floor(10 ** rng.uniform(0, 4)), np.floor(10 ** rng.uniform(0, 6)), float(rng.random() ** 3)
        with localcontext(prec=60, **HUGE):
            x = Decimal(w) / (Decimal(w) - 1)
            wanted = series(Decimal(a), Decimal(b), x) * (1 - x) / Decimal(a)
        assert relative(evaluate(_special.decreasing_integral, a, b, w), wanted) < 1e-13
    assert evaluate(_special.decreasing_integral, 3.0, 5.0, 1.0) == pytest.approx(1 / 7, rel=1e-14)
    assert evaluate(_special.decreasing_integral, 3.0, 5.0, 0.0) == pytest.approx(1 / 3, rel=1e-14)
