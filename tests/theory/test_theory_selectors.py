import json
from fractions import Fraction
from itertools import product
from math import comb, factorial
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytensor.compile.mode import Mode
from scipy import integrate, stats
from scipy.special import ndtr, roots_jacobi
from scipy.stats import binom

from ds3bayes.theory import selectors
from ds3bayes.theory.evaluate import evaluate

REFERENCE = json.loads((Path(__file__).parent / "closed_forms.json").read_text())
GOLDEN, COVERAGE = REFERENCE["selectors"], REFERENCE["pass_at_k_beta"]
QUICK = settings(max_examples=60, deadline=None, database=None)
MODE = Mode(linker="py", optimizer="merge")

chances = st.floats(0.0, 1.0)


def of_kind(kind):
    return [case for case in GOLDEN if case["selector"] == kind]


def noisy(q, d, *, n):
    return selectors.noisy_verifier(q, n, d)


def slope(function, values, wrt):
    inputs = [pt.scalar(f"x{i}", dtype="float64") for i in range(len(values))]
    graph = pytensor.grad(function(*inputs), inputs[wrt])
    return float(pytensor.function(inputs, graph, mode=MODE, on_unused_input="ignore")(*map(float, values)))


def test_every_reference_value_is_used():
    kinds = {case["selector"] for case in GOLDEN}
    assert kinds == {"plurality", "oracle", "all_correct", "noisy_verifier"}


@pytest.mark.parametrize("case", of_kind("plurality"))
def test_plurality_reference_values(case):
    weights = selectors.plurality_weights(case["n"], case["wrong_shares"])
    np.testing.assert_allclose(weights, case["weights"], rtol=1e-12, atol=0)
    assert evaluate(selectors.bernstein, case["q"], weights) == pytest.approx(case["success"], rel=1e-12)


@pytest.mark.parametrize("case", of_kind("oracle") + of_kind("all_correct"))
def test_any_and_all_reference_values(case):
    function = selectors.any_right if case["selector"] == "oracle" else selectors.all_right
    assert evaluate(function, case["q"], case["n"]) == pytest.approx(case["success"], rel=1e-12)


@pytest.mark.parametrize("case", of_kind("noisy_verifier"))
def test_noisy_verifier_reference_values(case):
    got = evaluate(noisy, case["q"], case["discrimination"], n=case["n"])
    assert got == pytest.approx(case["success"], rel=1e-11)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000])
def test_bernstein_against_scipy(n):
    rng = np.random.default_rng(n)
    weights = rng.uniform(size=n + 1)
    q = np.concatenate([[0.0, 1e-300, 1e-9, 1 - 1e-12, 1.0], rng.uniform(size=20)])
    wanted = binom(n, q[:, None]).pmf(np.arange(n + 1)) @ weights
    np.testing.assert_allclose(evaluate(selectors.bernstein, q, weights), wanted, rtol=2e-12)
    assert evaluate(selectors.bernstein, [0.0, 1.0], weights).tolist() == [weights[0], weights[-1]]


def test_bernstein_keeps_tiny_probabilities():
    weights = selectors.at_least(20, 15)
    exact = sum(comb(20, c) * Fraction(1e-18) ** c * (1 - Fraction(1e-18)) ** (20 - c) for c in range(15, 21))
    assert evaluate(selectors.bernstein, 1e-18, weights) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("q", [0.0, 1e-8, 0.3, 1.0])
def test_bernstein_gradient(q):
    weights = np.array([0.1, 0.2, 0.7, 0.75])
    wanted = sum(3 * binom.pmf(c, 2, q) * (weights[c + 1] - weights[c]) for c in range(3))
    assert slope(lambda x: selectors.bernstein(x, weights), (q,), 0) == pytest.approx(wanted, rel=1e-12)


def test_bernstein_takes_weights_of_unknown_length():
    weights = pt.dvector("weights")
    compiled = pytensor.function([weights], selectors.bernstein(0.3, weights), mode=MODE)
    assert compiled([0.0, 0.5, 1.0]) == pytest.approx(0.3, rel=1e-14)


@QUICK
@given(chances, st.integers(1, 300))
def test_closed_forms_are_bernstein_polynomials(q, n):
    pairs = [(selectors.any_right, selectors.at_least(n, 1)), (selectors.all_right, selectors.at_least(n, n))]
    for function, weights in pairs:
        closed = float(evaluate(function, q, n))
        assert float(evaluate(selectors.bernstein, q, weights)) == pytest.approx(closed, rel=1e-11, abs=1e-290)


@QUICK
@given(chances)
def test_one_attempt_is_the_attempt(q):
    for got in (
        evaluate(selectors.single, q),
        evaluate(selectors.any_right, q, 1),
        evaluate(selectors.all_right, q, 1),
        evaluate(noisy, q, 1.3, n=1),
        evaluate(selectors.bernstein, q, selectors.plurality_weights(1, [0.4, 0.6])),
        evaluate(selectors.bernstein, q, selectors.plurality_weights_partition(1, 0.7)),
    ):
        assert float(got) == pytest.approx(q, rel=1e-15)


def test_any_right_edges():
    assert evaluate(selectors.any_right, [0.0, 1.0, 1e-20], 50).tolist() == [0.0, 1.0, 50 * 1e-20]
    assert slope(lambda q: selectors.any_right(q, 5), (1.0,), 0) == 0.0
    assert slope(lambda q: selectors.any_right(q, 1), (1.0,), 0) == 1.0
    assert slope(lambda q: selectors.any_right(q, 5), (0.0,), 0) == 5.0


def test_at_least_counts():
    assert selectors.at_least(3, 2).tolist() == [0.0, 0.0, 1.0, 1.0]
    with pytest.raises(ValueError, match=r"0\.\.3"):
        selectors.at_least(3, 4)


# Noisy verifier


def fine_noisy(q, n, d):
    """The same integral on a far finer and wider grid."""
    h = 1 / 1024
    y = h * np.arange(-12 * 1024, 12 * 1024 + 1)
    base = q * ndtr(y) + (1 - q) * ndtr(y + d)
    return n * q * (h * np.exp(-y * y / 2) / np.sqrt(2 * np.pi) * base ** (n - 1)).sum()


@pytest.mark.parametrize("n", [2, 3, 8, 16, 31, 64, 128, 256, 1024])
def test_noisy_verifier_is_accurate(n):
    q = np.array([1e-9, 1e-3, 0.05, 0.4, 0.9, 1 - 1e-9])[:, None]
    d = np.array([1e-3, 0.1, 0.5, 1.0, 2.5, 4.0, 6.0, 8.0, 30.0])
    wanted = [[fine_noisy(p, n, x) for x in d] for p in q[:, 0]]
    np.testing.assert_allclose(evaluate(noisy, q, d, n=n), wanted, rtol=1e-11)


@QUICK
@given(chances, st.sampled_from([2, 5, 40]))
def test_noisy_verifier_limits_are_exact(q, n):
    blind, oracle = evaluate(noisy, q, [0.0, np.inf], n=n)
    assert blind == q
    assert oracle == evaluate(selectors.any_right, q, n)


@QUICK
@given(chances, st.sampled_from([2, 5, 40]))
def test_noisy_verifier_rises_with_discrimination(q, n):
    values = evaluate(noisy, q, np.array([0.0, 0.3, 1.0, 2.0, 5.0, 9.0, np.inf]), n=n)
    assert np.all(np.diff(values) >= -1e-11 * q)
    assert q * (1 - 1e-11) <= values[0]
    assert values[-1] <= 1.0


@pytest.mark.parametrize("d", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("q", [1e-6, 0.3, 0.95])
def test_noisy_verifier_gradients(q, d):
    f = lambda a, b: fine_noisy(a, 12, b)  # noqa: E731
    by_q = (f(q * (1 + 1e-5), d) - f(q * (1 - 1e-5), d)) / (2e-5 * q)
    by_d = (f(q, d + 1e-5) - f(q, d - 1e-5)) / 2e-5
    assert slope(lambda a, b: selectors.noisy_verifier(a, 12, b), (q, d), 0) == pytest.approx(by_q, rel=1e-7)
    assert slope(lambda a, b: selectors.noisy_verifier(a, 12, b), (q, d), 1) == pytest.approx(by_d, rel=1e-7)


def test_noisy_verifier_by_simulation():
    rng = np.random.default_rng(11)
    right = rng.uniform(size=(200_000, 6)) < 0.25
    chosen = (rng.normal(size=right.shape) + 1.2 * right).argmax(axis=1)
    hits = right[np.arange(chosen.size), chosen].mean()
    wanted = float(evaluate(noisy, 0.25, 1.2, n=6))
    assert abs(hits - wanted) < 4.5 * np.sqrt(wanted * (1 - wanted) / chosen.size)


# Attempts without an answer


def noisy_with_blanks(q, d, u, *, n):
    return selectors.noisy_verifier(q, n, d, u)


def fine_noisy_with_blanks(q, n, d, u):
    h = 1 / 256
    y = h * np.arange(-12 * 256, 12 * 256 + 1)
    base = q[..., None] * ndtr(y) + u[..., None] * ndtr(y + d[..., None]) + (1 - q - u)[..., None]
    return n * q * (h * np.exp(-y * y / 2) / np.sqrt(2 * np.pi) * base ** (n - 1)).sum(axis=-1)


@pytest.mark.parametrize("n", [1, 2, 5, 16, 100])
def test_noisy_verifier_with_blanks(n):
    rng = np.random.default_rng(n)
    q, u, _ = rng.dirichlet([0.4, 0.6, 0.5], size=2000).T
    d = rng.choice([1e-3, 0.3, 1.0, 2.0, 5.0, 9.0], size=q.size)
    got = evaluate(noisy_with_blanks, q, d, u, core=(0, 0, 0), n=n)
    np.testing.assert_allclose(got, fine_noisy_with_blanks(q, n, d, u), rtol=1e-11, atol=1e-300)


@QUICK
@given(chances, st.sampled_from([2, 5, 40]))
def test_noisy_verifier_without_blanks_is_as_before(q, n):
    d = np.array([0.0, 0.4, 3.0, np.inf])
    got = evaluate(noisy_with_blanks, q, d, 1 - q, n=n)
    np.testing.assert_allclose(got, evaluate(noisy, q, d, n=n), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("n", [2, 7])
def test_noisy_verifier_limits_with_blanks(n):
    q, u = np.array([0.3, 0.3, 0.0, 0.0, 1e-12]), np.array([0.5, 0.0, 0.4, 0.0, 1e-12])
    blind, oracle = evaluate(noisy_with_blanks, q, np.array([[0.0], [np.inf]]), u, n=n)
    coverage = evaluate(selectors.any_right, q, n)
    np.testing.assert_array_equal(oracle, coverage)
    # A choice at random among the answers, of which there is at least one with chance 1 - t^n.
    some = evaluate(selectors.any_right, q + u, n)
    wanted = np.where(q + u > 0, q / np.where(q + u > 0, q + u, 1) * some, 0)
    np.testing.assert_allclose(blind, wanted, rtol=1e-14)


@pytest.mark.parametrize(("q", "u", "d"), [(0.3, 0.4, 0.0), (0.3, 0.4, 1.2), (0.3, 0.7, 1.2), (0.3, 0.0, 0.8)])
def test_noisy_verifier_gradients_with_blanks(q, u, d):
    def f(a, b, c):
        return float(fine_noisy_with_blanks(np.array(a), 9, np.array(b), np.array(c)))

    at = (q, d, u)
    for i in range(3):
        step = 1e-4
        moved = [[x + k * step * (j == i) for j, x in enumerate(at)] for k in (-2, -1, 1, 2)]
        low2, low, high, high2 = (f(*x) for x in moved)
        wanted = (8 * (high - low) - (high2 - low2)) / (12 * step)
        got = slope(lambda a, b, c: selectors.noisy_verifier(a, 9, b, c), at, i)
        assert got == pytest.approx(wanted, rel=1e-7)


def test_noisy_verifier_with_blanks_by_simulation():
    rng = np.random.default_rng(12)
    kind = rng.uniform(size=(200_000, 6))
    right, blank = kind < 0.2, kind > 0.65
    chosen = np.where(blank, -np.inf, rng.normal(size=right.shape) + 1.2 * right).argmax(axis=1)
    hits = right[np.arange(chosen.size), chosen].mean()
    wanted = float(evaluate(noisy_with_blanks, 0.2, 1.2, 0.45, n=6))
    assert abs(hits - wanted) < 4.5 * np.sqrt(wanted * (1 - wanted) / chosen.size)


def test_noisy_verifier_tends_to_an_oracle():
    values = [float(evaluate(noisy, 0.2, 1.0, n=n)) for n in (4, 64, 1024, 16384)]
    assert np.all(np.diff(values) > 0)
    assert 1 - values[-1] < 0.35 * (1 - values[0])


# Coverage over a population


@pytest.mark.parametrize("case", COVERAGE)
def test_population_coverage_reference_values(case):
    got = evaluate(selectors.any_right_beta, case["k"], case["alpha"], case["beta"], case["A"])
    assert got == pytest.approx(case["value"], rel=2e-12)


def test_population_coverage_by_products():
    # B(a, b + n) / B(a, b) = prod_{i < n} (b + i) / (a + b + i).
    rng = np.random.default_rng(5)
    n = np.unique(np.geomspace(1, 1_000_000, 400).astype(int))
    for a, b in zip(10 ** rng.uniform(-2, 2, 40), 10 ** rng.uniform(-1, 3, 40), strict=True):
        steps = np.log1p(-a / (a + b + np.arange(n[-1])))
        # Pairwise sums of a million terms are good to about 1e-14.
        sums = np.add.reduceat(steps, np.concatenate([[0], n[:-1]]))
        wanted = -np.expm1(np.cumsum(sums))
        np.testing.assert_allclose(evaluate(selectors.any_right_beta, n, a, b), wanted, rtol=1e-11)
    assert evaluate(selectors.any_right_beta, 0, 0.4, 2.0) == 0.0
    assert evaluate(selectors.any_right_beta, 1, 0.4, 2.0) == pytest.approx(0.4 / 2.4, rel=1e-14)


def test_population_coverage_is_the_average():
    nodes, mass = roots_jacobi(200, 2.2 - 1, 0.7 - 1)
    q, mass = 0.5 * (nodes + 1), mass / mass.sum()
    for n in (1, 3, 40, 300):
        wanted = 0.8 * mass @ evaluate(selectors.any_right, q, n)
        assert evaluate(selectors.any_right_beta, n, 0.7, 2.2, 0.8) == pytest.approx(wanted, rel=1e-12)


def test_population_coverage_follows_a_power_law():
    n = np.array([1e2, 1e4, 1e6])
    for a, b in [(0.3, 2.0), (0.9, 17.0)]:
        shortfall = 0.9 - evaluate(selectors.any_right_beta, n, a, b, 0.9)
        off = np.abs(shortfall / evaluate(selectors.any_right_beta_tail, n, a, b, 0.9) - 1)
        assert np.all(off < 1.1 * a * (a + 2 * b) / (2 * n) + 1e-9)


@pytest.mark.parametrize("wrt", [0, 1, 2])
def test_population_coverage_gradients(wrt):
    at = (40.0, 0.6, 3.0)
    for function in (selectors.any_right_beta, selectors.any_right_beta_tail):
        step = 1e-3 * at[wrt]
        values = [
            float(evaluate(function, *(x + k * step * (i == wrt) for i, x in enumerate(at)))) for k in (-2, -1, 1, 2)
        ]
        wanted = (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * step)
        assert slope(lambda n, a, b, f=function: f(n, a, b), at, wrt) == pytest.approx(wanted, rel=1e-7)


# Votes


def counted_plurality(n, shares):
    """Enumerate every sequence of wrong votes."""
    weights = [0.0]
    for c in range(1, n + 1):
        total = 0.0
        for votes in product(range(len(shares)), repeat=n - c):
            counts = [votes.count(j) for j in range(len(shares))]
            if max(counts) <= c:
                total += np.prod([shares[v] for v in votes]) / (1 + counts.count(c))
        weights.append(total)
    return weights


@pytest.mark.parametrize("shares", [[1.0], [0.7, 0.3], [0.5, 0.25, 0.25], [0.6, 0.4, 0.0]])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_plurality_by_enumeration(n, shares):
    np.testing.assert_allclose(selectors.plurality_weights(n, shares), counted_plurality(n, shares), rtol=1e-12)


@QUICK
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6), st.integers(1, 25), st.randoms())
def test_plurality_ignores_the_order_of_wrong_answers(shares, n, random):
    shares = np.array(shares) / sum(shares)
    weights = selectors.plurality_weights(n, shares)
    mixed = shares.tolist()
    random.shuffle(mixed)
    np.testing.assert_allclose(selectors.plurality_weights(n, np.array(mixed)), weights, rtol=1e-9, atol=1e-15)
    assert weights[0] == 0.0
    assert weights[-1] == 1.0
    assert np.all((weights >= 0) & (weights <= 1 + 1e-12))
    assert np.all(np.diff(weights) >= -1e-12)


def test_plurality_of_many_votes():
    weights = selectors.plurality_weights(200, [1.0])
    wanted = np.where(np.arange(201) > 100, 1.0, np.where(np.arange(201) == 100, 0.5, 0.0))
    np.testing.assert_allclose(weights, wanted, rtol=1e-11, atol=1e-15)
    shares = selectors.geometric_shares(0.6, 12)
    weights = selectors.plurality_weights(200, shares)
    assert np.all((weights >= 0) & (weights <= 1 + 1e-11))
    # In the limit of many votes the right answer wins iff q > (1 - q) c_1.
    edge = shares[0] / (1 + shares[0])
    low, high = evaluate(selectors.bernstein, [edge - 0.15, edge + 0.15], weights)
    assert low < 0.01
    assert high > 0.99


def test_plurality_by_simulation():
    n, q, shares = 25, 0.22, np.array([0.4, 0.3, 0.2, 0.1])
    counts = np.random.default_rng(4).multinomial(n, [q, *(1 - q) * shares], size=200_000)
    top = counts.max(axis=1, keepdims=True)
    ties = (counts == top).sum(axis=1)
    hits = np.where(counts[:, 0] == top[:, 0], 1 / ties, 0.0)
    wanted = float(evaluate(selectors.bernstein, q, selectors.plurality_weights(n, shares)))
    assert abs(hits.mean() - wanted) < 4.5 * hits.std() / np.sqrt(hits.size)


@pytest.mark.parametrize("shares", [[], [0.5, 0.4], [1.2, -0.2], [np.nan, 1.0]])
def test_plurality_refuses_what_is_no_law(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        selectors.plurality_weights(3, shares)


def test_geometric_shares():
    np.testing.assert_allclose(selectors.geometric_shares(0.5, 3), np.array([4, 2, 1]) / 7, rtol=1e-15)
    np.testing.assert_allclose(selectors.geometric_shares(1.0, 4), np.full(4, 0.25), rtol=1e-15)
    with pytest.raises(ValueError, match="ratio"):
        selectors.geometric_shares(0.0, 3)
    with pytest.raises(ValueError, match="count"):
        selectors.geometric_shares(0.5, 0)


def integer_partitions(total, largest):
    if total == 0:
        yield ()
    for part in range(min(total, largest), 0, -1):
        for rest in integer_partitions(total - part, part):
            yield (part, *rest)


def ewens(parts, alpha):
    """Ewens' sampling formula, in rational numbers."""
    total = sum(parts)
    rising = Fraction(1)
    for i in range(total):
        rising *= alpha + i
    chance = factorial(total) / rising
    for size in set(parts):
        times = parts.count(size)
        chance *= alpha**times / (Fraction(size) ** times * factorial(times))
    return chance


@pytest.mark.parametrize("alpha", [Fraction(1, 1000), Fraction(1, 2), Fraction(3), Fraction(10**6)])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 15])
def test_partition_weights_by_enumeration(n, alpha):
    wanted = [0.0]
    for c in range(1, n + 1):
        parts = integer_partitions(n - c, max(c, 1))
        wanted.append(float(sum(ewens(p, alpha) / (1 + p.count(c)) for p in parts)))
    got = selectors.plurality_weights_partition(n, float(alpha))
    np.testing.assert_allclose(got, wanted, rtol=1e-11)


def test_partition_weights_limits():
    # Wrong attempts all agree, or never do.
    together = selectors.plurality_weights_partition(9, 1e-12)
    np.testing.assert_allclose(together, selectors.plurality_weights(9, [1.0]), atol=1e-10)
    apart = selectors.plurality_weights_partition(9, 1e14)
    np.testing.assert_allclose(apart, [0, 1 / 9, *np.ones(8)], rtol=1e-10)


def test_partition_weights_of_many_votes():
    weights = selectors.plurality_weights_partition(200, np.array([[1e-3, 0.5], [20.0, 1e8]]))
    assert weights.shape == (2, 2, 201)
    assert np.all((weights >= 0) & (weights <= 1 + 1e-9))
    assert np.all(np.diff(weights, axis=-1) >= -1e-9)
    assert np.all(weights[..., 0] == 0)
    assert np.all(weights[..., -1] == 1)


def test_partition_weights_in_blocks_and_empty():
    alpha = np.geomspace(0.01, 100, 600)
    whole = selectors.plurality_weights_partition(120, alpha)
    np.testing.assert_allclose(selectors.plurality_weights_partition(120, alpha[[0, 599]]), whole[[0, 599]], rtol=1e-13)
    assert selectors.plurality_weights_partition(4, np.zeros((0, 3))).shape == (0, 3, 5)


def test_partition_weights_by_simulation():
    rng = np.random.default_rng(8)
    n, c, alpha = 12, 3, 1.7
    hits = []
    for _ in range(20_000):
        groups: list[int] = []
        for seen in range(n - c):
            at = rng.uniform() * (seen + alpha)
            edges = np.cumsum(groups)
            j = int(np.searchsorted(edges, at, side="right"))
            if j == len(groups):
                groups.append(1)
            else:
                groups[j] += 1
        hits.append(1 / (1 + groups.count(c)) if max(groups) <= c else 0.0)
    wanted = selectors.plurality_weights_partition(n, alpha)[c]
    assert abs(np.mean(hits) - wanted) < 4.5 * np.std(hits) / np.sqrt(len(hits))


@pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan, np.inf])
def test_partition_weights_refuse_what_is_no_concentration(alpha):
    with pytest.raises(ValueError, match="positive and finite"):
        selectors.plurality_weights_partition(3, [1.0, alpha])


@pytest.mark.parametrize("call", [selectors.plurality_weights, selectors.plurality_weights_partition])
def test_votes_need_a_voter(call):
    with pytest.raises(ValueError, match="n must be at least 1"):
        call(0, [1.0])


@pytest.mark.parametrize("agreement", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("d", [0.0, 0.7, 2.5])
def test_verifier_weights_are_integrals(d, agreement):
    n = 5
    own = np.sqrt(1 - agreement)
    w = selectors.verifier_weights(n, d, agreement)
    for c in (2, 5):

        def given_common(z, c=c):
            gap = d + np.sqrt(2 * agreement) * z

            def chosen(x):
                right = stats.norm.cdf(x, gap, own) ** (c - 1) * stats.norm.cdf(x, 0, own) ** (n - c)
                return c * stats.norm.pdf(x, gap, own) * right

            return integrate.fixed_quad(chosen, gap - 9 * own, gap + 9 * own, n=120)[0] * stats.norm.pdf(z)

        expected = integrate.quad(given_common, -8, 8, epsabs=1e-9, limit=100)[0] if agreement else given_common(0.0)
        expected = expected if agreement else expected / stats.norm.pdf(0.0)
        assert w[c] == pytest.approx(expected, abs=1e-7)
    assert w[0] == 0.0


def test_verifier_weights_of_independent_scores_are_the_noisy_verifier():
    q = np.linspace(0, 1, 11)
    for n, d in ((1, 1.0), (4, 0.5), (32, 2.0)):
        by_weights = evaluate(selectors.bernstein, q, selectors.verifier_weights(n, d), core=(0, 1))
        independent = selectors.noisy_verifier(q, n, d).eval(mode=MODE)
        np.testing.assert_allclose(by_weights, independent, atol=1e-10)


def test_a_pair_does_not_notice_what_scores_have_in_common_but_many_do():
    pair = selectors.verifier_weights(2, 1.2, [0.0, 0.5, 0.9])[:, 1]
    np.testing.assert_allclose(pair, stats.norm.cdf(1.2 / np.sqrt(2)), atol=1e-9)
    plateau = [selectors.verifier_weights(n, 1.2, 0.6)[n // 2] for n in (8, 64, 512)]
    limit = stats.norm.cdf(1.2 / np.sqrt(1.2))
    assert plateau[0] < plateau[1] < plateau[2] < limit
    assert limit - plateau[2] < 0.35 * (limit - plateau[0])


@pytest.mark.parametrize(
    "given",
    [
        {"n": 0, "discrimination": 1.0},
        {"n": 2, "discrimination": -1.0},
        {"n": 2, "discrimination": 1.0, "agreement": 1.0},
    ],
)
def test_verifier_weights_refuse(given):
    with pytest.raises(ValueError, match=r"must be"):
        selectors.verifier_weights(**given)
