import json
from decimal import Decimal, localcontext
from math import comb
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytensor.compile.mode import Mode
from scipy.stats import nbinom

from ds3bayes.theory import path, traversal
from ds3bayes.theory.evaluate import evaluate

GOLDEN = json.loads((Path(__file__).parent / "closed_forms.json").read_text())
QUICK = settings(max_examples=60, deadline=None, database=None)
MODE = Mode(linker="py", optimizer="merge")

budgets = st.integers(0, 60)
lengths = st.integers(1, 12)


@st.composite
def steps(draw):
    s = draw(st.floats(1e-3, 1.0))
    rho = draw(st.floats(0.01, 1.0))
    return rho * s, (1.0 - rho) * s


def chain(r, h, *, m, K):
    start = np.zeros(m)
    start[0] = 1.0
    return tuple(traversal.absorbed_within(*traversal.path_matrices(m, r, h), start, K))


def gradient(function, values, wrt):
    inputs = [pt.scalar(f"x{i}", dtype="float64") for i in range(len(values))]
    slope = pytensor.grad(function(*inputs), inputs[wrt])
    return float(pytensor.function(inputs, slope, mode=MODE, on_unused_input="ignore")(*map(float, values)))


@pytest.mark.parametrize("case", GOLDEN["path"], ids=lambda c: f"m{c['m']}K{c['K']}r{c['r']}h{c['h']}")
@pytest.mark.parametrize("name", ["solved", "wrong", "truncated", "expected_steps"])
def test_reference_values(case, name):
    got = evaluate(getattr(path, name), case["K"], case["m"], case["r"], case["h"])
    np.testing.assert_allclose(got, case[name], rtol=1e-12, atol=0)


@QUICK
@given(steps(), lengths, budgets)
def test_equals_the_chain(step, m, K):
    r, h = step
    solved, wrong, truncated, count = evaluate(chain, r, h, m=m, K=K)
    np.testing.assert_allclose(evaluate(path.solved, K, m, r, h), solved, rtol=1e-11, atol=1e-280)
    np.testing.assert_allclose(evaluate(path.wrong, K, m, r, h), wrong, rtol=1e-11, atol=1e-280)
    # Rounding of 1 - r - h is shared by K steps in the chain: relative accuracy is lost when it is tiny.
    np.testing.assert_allclose(evaluate(path.truncated, K, m, r, h), truncated, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(evaluate(path.expected_steps, K, m, r, h), count, rtol=1e-11)


@QUICK
@given(steps(), lengths, budgets)
def test_outcomes_are_a_distribution(step, m, K):
    r, h = step
    parts = [float(evaluate(f, K, m, r, h)) for f in (path.solved, path.wrong, path.truncated)]
    assert all(0.0 <= part <= 1.0 + 1e-14 for part in parts)
    assert sum(parts) == pytest.approx(1.0, abs=1e-13)


@QUICK
@given(steps(), lengths)
def test_more_budget_never_hurts(step, m):
    r, h = step
    K = np.arange(80)
    assert np.all(np.diff(evaluate(path.solved, K, m, r, h)) >= -1e-15)
    assert np.all(np.diff(evaluate(path.truncated, K, m, r, h)) <= 1e-15)
    assert np.all(evaluate(path.solved, K, m, r, h) <= evaluate(path.plateau, m, r, h, 1.0) * (1 + 1e-13))


def test_steps_of_a_solved_walk_are_negative_binomial():
    k = np.arange(0, 60)
    for m, s in [(1, 0.3), (5, 0.2), (8, 0.9)]:
        law = nbinom(m, s)
        np.testing.assert_allclose(evaluate(path.finish_within, k, m, s), law.cdf(k - m), rtol=1e-12, atol=0)
        np.testing.assert_allclose(evaluate(path.steps_tail, k, m, s), law.sf(k - m), rtol=1e-11, atol=1e-200)


def test_edges_are_exact():
    assert evaluate(path.finish_within, [0, 4, 5, np.inf], 5, 1.0).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert evaluate(path.finish_within, [0, 5, np.inf], 5, 0.0).tolist() == [0.0, 0.0, 0.0]
    assert evaluate(path.steps_tail, [0, 4, 5, np.inf], 5, 1.0).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert evaluate(path.steps_tail, [0, 5, np.inf], 5, 0.0).tolist() == [1.0, 1.0, 1.0]
    assert evaluate(path.truncated, [2, 3, 10, np.inf], 3, 0.3, 0.7)[1:].tolist() == [0.0, 0.0, 0.0]
    assert evaluate(path.truncated, [0, 1], 3, 0.0, 1.0).tolist() == [1.0, 0.0]
    assert evaluate(path.wrong_unreachable, [0, 1, np.inf], 1.0).tolist() == [0.0, 1.0, 1.0]
    assert evaluate(path.wrong_unreachable, [0, 9, np.inf], 0.0).tolist() == [0.0, 0.0, 0.0]
    assert evaluate(path.expected_steps, [0, 7], 4, 0.0, 0.0).tolist() == [0.0, 7.0]
    assert evaluate(path.wrong, [5.0, np.inf], 4, 0.3, 0.0).tolist() == [0.0, 0.0]


def test_unlimited_budget_reaches_the_plateau():
    got = [float(evaluate(f, np.inf, 4, 0.2, 0.05)) for f in (path.solved, path.wrong, path.truncated)]
    np.testing.assert_allclose(got, [0.8**4, 1 - 0.8**4, 0.0], rtol=1e-13)
    assert evaluate(path.plateau, 4, 0.2, 0.05, 0.5) == pytest.approx(0.4**4, rel=1e-14)
    assert evaluate(path.expected_steps, np.inf, 4, 0.2, 0.0) == pytest.approx(20.0, rel=1e-14)


def test_walk_that_cannot_be_solved():
    K, h = np.arange(6), 0.1
    np.testing.assert_allclose(evaluate(path.wrong_unreachable, K, h), 1 - (1 - h) ** K, rtol=1e-13)
    assert evaluate(path.wrong_unreachable, 10, 1e-18) == pytest.approx(1e-17, rel=1e-12)


def test_invalid_pace_is_nan_not_clipped():
    assert np.isnan(evaluate(path.finish_within, 10, 2, [-0.1, 1.1, np.nan])).all()


def test_real_path_length_interpolates():
    m = np.linspace(2.0, 3.0, 21)
    values = evaluate(path.solved, 10, m, 0.3, 0.05)
    assert np.all(np.diff(values) < 0)
    assert values[[0, -1]].tolist() == evaluate(path.solved, 10, [2, 3], 0.3, 0.05).tolist()


def exact_log_solved(K, m, r, h):
    """Sum the binomial tail in 60 decimal digits."""
    with localcontext(prec=60):
        r, h = Decimal(float(r)), Decimal(float(h))
        s = r + h
        tail = sum((comb(K, j) * s**j * (1 - s) ** (K - j) for j in range(m, K + 1)), Decimal(0))
        return float(((r / s) ** m * tail).ln())


@pytest.mark.parametrize(
    ("K", "m", "r", "h"),
    [
        (25, 5, 0.2, 0.01),
        (40, 20, 1e-20, 0.0),
        (40, 39, 1e-9, 1e-9),
        (400, 300, 1e-3, 0.0),
        (400, 200, 0.05, 0.01),
        (900, 60, 1e-7, 1e-3),
        (60, 60, 1e-8, 1e-8),
        (300, 1, 1e-300, 0.0),
        (1500, 700, 0.12, 0.0),
        (30, 5, 0.999, 0.0005),
    ],
)
def test_log_solved_is_exact_far_below_underflow(K, m, r, h):
    assert evaluate(path.log_solved, K, m, r, h) == pytest.approx(exact_log_solved(K, m, r, h), rel=1e-12)


@pytest.mark.parametrize(("K", "m", "r"), [(25, 5, 0.2), (40, 20, 1e-20), (400, 300, 1e-3), (900, 150, 1e-3)])
def test_log_solved_has_the_right_gradient(K, m, r):
    # d log P / d log r, by differences of the exact values; for h = 0.
    step = 1e-5
    high, low = (exact_log_solved(K, m, r * np.exp(sign * step), 0.0) for sign in (1, -1))
    slope = gradient(path.log_solved, (K, m, r, 0.0), 2) * r
    assert slope == pytest.approx((high - low) / (2 * step), rel=1e-6)


def test_log_solved_where_it_cannot_happen():
    assert np.all(np.isneginf(evaluate(path.log_solved, [4, 9], 5, [0.2, 0.0], 0.0)))
    assert evaluate(path.log_solved, np.inf, 5, 0.2, 0.1) == pytest.approx(5 * np.log(2 / 3), rel=1e-14)


@pytest.mark.parametrize("function", [path.solved, path.truncated])
def test_gradients_equal_differences(function):
    values = [20.0, 4.0, 0.15, 0.03]
    inputs = [pt.scalar(f"x{i}", dtype="float64") for i in range(4)]
    run = pytensor.function(inputs, pytensor.grad(function(*inputs), inputs[2:]), mode=MODE)
    for wrt, found in zip((2, 3), run(*values), strict=True):
        shifted = [[*values], [*values]]
        shifted[0][wrt] += 1e-6
        shifted[1][wrt] -= 1e-6
        slope = (evaluate(function, *shifted[0]) - evaluate(function, *shifted[1])) / 2e-6
        assert found == pytest.approx(float(slope), rel=1e-7)


@pytest.mark.parametrize("values", [(10.5, 3.25, 0.2, 0.02), (40.0, 20.5, 1e-20, 0.0)])
def test_gradient_in_a_real_path_length(values):
    K, m, r, h = values
    slope = (evaluate(path.log_solved, K, m + 1e-5, r, h) - evaluate(path.log_solved, K, m - 1e-5, r, h)) / 2e-5
    assert gradient(path.log_solved, values, 1) == pytest.approx(float(slope), rel=1e-6)


@pytest.mark.parametrize(
    ("K", "m", "s", "slope"),
    [(7, 1, 0.0, 7.0), (7, 2, 0.0, 0.0), (7, 7, 1.0, 7.0), (8, 7, 1.0, 0.0), (3, 7, 1.0, 0.0)],
)
def test_gradients_at_the_edges(K, m, s, slope):
    assert gradient(path.finish_within, (K, m, s), 2) == slope
    assert gradient(path.steps_tail, (K, m, s), 2) == -slope


@QUICK
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), st.integers(0, 40), st.floats(0.0, 1.0))
def test_binomial_dual_averages_the_path(shares, K, r):
    weights = np.array(shares) + 1e-3
    phi = weights / weights.sum()
    survival = 1.0 - np.cumsum(phi) + phi
    m = np.arange(1, phi.size + 1)
    wanted = float((phi * evaluate(path.solved, K, m, r, 0.0)).sum())
    assert evaluate(path.binomial_dual, survival, K, r) == pytest.approx(wanted, abs=3e-15 * (K + 1))


def test_binomial_dual_broadcasts_and_takes_unlimited_budgets():
    survival = np.array([[1.0, 0.5, 0.25], [1.0, 1.0, 0.0]])
    K, r = np.array([[3.0], [np.inf]]), np.array([0.4, 0.0])
    got = evaluate(path.binomial_dual, survival[:, None], K[:, None, 0], r)
    assert got.shape == (2, 2)
    assert got[1].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(("r", "wrt"), [(0.0, 0.5), (1.0, None), (0.3, None)])
def test_binomial_dual_gradient(r, wrt):
    survival = np.array([1.0, 0.9, 0.4])
    slope = gradient(lambda p: path.binomial_dual(survival, 3, p), (r,), 0)
    side = 1e-6 if r == 0.0 else 0.0
    high, low = (r + 1e-6 if r < 1 else 1.0), (r - 1e-6 if r > 0 else 0.0)
    difference = (evaluate(path.binomial_dual, survival, 3, high) - evaluate(path.binomial_dual, survival, 3, low)) / (
        high - low
    )
    assert slope == pytest.approx(float(difference), rel=1e-5, abs=1e-5 + side)


def test_mean_steps_within_equals_the_chain_and_interpolates_smoothly():
    K, m, s = np.array([3.0, 10.0, 40.0, 200.0]), np.array([3, 2, 7, 20]), np.array([0.5, 0.3, 0.9, 0.15])
    found = evaluate(path.mean_steps_within, K, m, s)
    np.testing.assert_allclose(found, evaluate(path.expected_steps, K, m, s, np.zeros(4)), rtol=1e-11)
    between = evaluate(path.mean_steps_within, 50.0, np.array([4.0, 4.25, 4.5, 5.0]), 0.1)
    assert (np.diff(between) > 0).all()
    np.testing.assert_allclose(evaluate(path.mean_steps_within, 1e7, 3.7, 0.01), 370.0, rtol=1e-10)
