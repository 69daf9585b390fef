from fractions import Fraction
from itertools import product
from math import factorial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy.integrate import dblquad, quad
from scipy.special import betainc, gammaln, ndtr
from scipy.stats import betabinom, binom

from ds3bayes.theory import selectors, votes
from ds3bayes.theory.evaluate import evaluate

MODE = Mode(linker="py", optimizer="merge")


# Plurality


def exact_chance(c, w, shares):
    """w_c for w wrong votes in rational numbers, by products of truncated exponential series with ties counted."""
    state = {(0, 0): Fraction(1)}
    for share in shares:
        following: dict[tuple[int, int], Fraction] = {}
        for (placed, ties), chance in state.items():
            for k in range(min(c, w - placed) + 1):
                key = (placed + k, ties + (k == c))
                following[key] = following.get(key, Fraction(0)) + chance * share**k / factorial(k)
        state = following
    return factorial(w) * sum(chance / (ties + 1) for (placed, ties), chance in state.items() if placed == w)


@pytest.mark.parametrize("answers", [1, 2, 3, 5, 9])
def test_plurality_table_against_rational_numbers(answers):
    rng = np.random.default_rng(answers)
    parts = [int(x) for x in rng.integers(1, 60, size=answers)]
    shares = [Fraction(x, sum(parts)) for x in parts]
    n = 14
    table = votes.plurality_table(n, [float(x) for x in shares])
    for v in range(1, n + 1):
        for c in range(1, v + 1):
            wanted = float(exact_chance(c, v - c, shares))
            assert table[v, c] == pytest.approx(wanted, rel=1e-12, abs=0)
        np.testing.assert_allclose(
            votes.plurality_weights(v, [float(x) for x in shares]), table[v, : v + 1], rtol=1e-12
        )
    assert np.all(table[0] == 0)
    assert np.all(table[:, 0] == 0)
    assert np.all(np.triu(table, 1) == 0)


def test_plurality_keeps_tiny_weights():
    # A very rare answer must collect votes for the others to stay at or below c.
    parts = (1, 10**7, 2 * 10**7, 3 * 10**7)
    shares = [Fraction(part, sum(parts)) for part in parts]
    weights = votes.plurality_weights(40, [float(share) for share in shares])
    for c in range(8, 20):
        assert weights[c] == pytest.approx(float(exact_chance(c, 40 - c, shares)), rel=1e-11, abs=0)


@pytest.mark.parametrize("n", [40, 333, 1000])
def test_plurality_with_two_wrong_answers(n):
    # One answer has a binomial number k of the wrong votes: both have at most c iff n - 2 c <= k <= c.
    rng = np.random.default_rng(n)
    for share in [0.5, 0.999, *rng.uniform(0.01, 0.99, size=8)]:
        wanted = np.ones(n + 1)
        wanted[0] = 0.0
        for c in range(1, n // 2 + 1):
            low, high = max(n - 2 * c, 0), min(c, n - c)
            if low > high:
                wanted[c] = 0.0
                continue
            k = np.arange(low, high + 1)
            ties = (k == c).astype(int) + (n - c - k == c)
            wanted[c] = (binom.pmf(k, n - c, share) / (1 + ties)).sum()
        got = votes.plurality_weights(n, [share, 1 - share])
        # SciPy's binomial law is itself good to about 1e-12 here.
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-12)


def test_plurality_with_very_many_answers():
    # With one right vote among n it is chosen iff all n - 1 wrong ones differ, and then by lot among n.
    n, answers = 1000, 3000
    weights = votes.plurality_weights(n, np.full(answers, 1 / answers))
    wanted = np.log1p(-np.arange(n - 1) / answers).sum() - np.log(n)
    assert np.log(weights[1]) == pytest.approx(wanted, rel=1e-12)
    assert np.all((weights >= 0) & (weights <= 1 + 1e-12))
    assert np.all(np.diff(weights) >= -1e-12)
    uneven = votes.plurality_weights(60, selectors.geometric_shares(0.999, 2000))
    assert np.all((uneven >= 0) & (uneven <= 1 + 1e-12))


def test_plurality_merges_equal_answers():
    nearly = np.full(7, 1 / 7) + 1e-14 * np.arange(-3, 4)
    np.testing.assert_allclose(
        votes.plurality_weights(50, nearly), votes.plurality_weights(50, np.full(7, 1 / 7)), rtol=1e-10
    )


def test_symmetric_votes_are_won_equally_often():
    # If the right answer is as likely as each of J wrong ones it wins one vote in J + 1, at any size.
    for answers in (1, 2, 3, 10):
        shares = np.full(answers, 1 / answers)
        for n in (1, 2, 3, 16, 1000):
            got = evaluate(selectors.bernstein, 1 / (answers + 1), votes.plurality_weights(n, shares))
            assert got == pytest.approx(1 / (answers + 1), rel=2e-12)


def test_results_are_cached_and_read_only():
    first = votes.plurality_weights(9, [0.5, 0.5])
    assert votes.plurality_weights(9, np.array([0.5, 0.5])) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        votes.plurality_table_partition(5, [1.0, 2.0])[0, 0, 0] = 1.0


# Random shares


@pytest.mark.parametrize("n", [30, 1000])
def test_partition_weights_with_few_large_groups(n):
    # If w < 2 c at most one group reaches c: the chance is one less the expected number of larger groups.
    for alpha in np.geomspace(1e-3, 1e5, 9):
        got = votes.plurality_weights_partition(n, alpha)
        log_rising = np.concatenate([[0.0], np.cumsum(np.log(alpha + np.arange(n)))])
        for c in range(n // 3 + 1, n):
            w = n - c
            k = np.arange(min(c, w + 1), w + 1)
            log_mean = np.log(alpha / k) + gammaln(w + 1) - gammaln(w - k + 1) + log_rising[w - k] - log_rising[w]
            mean = np.exp(log_mean)
            half = 0.5 * mean[0] if w >= c else 0.0
            assert got[c] == pytest.approx(1 - mean.sum() + half, abs=3e-11)


def test_partition_table_has_the_weights_in_its_rows():
    alpha = np.array([[1e-3, 0.7], [8.0, 1e6]])
    table = votes.plurality_table_partition(25, alpha)
    assert table.shape == (2, 2, 26, 26)
    for v in range(1, 26):
        np.testing.assert_allclose(
            table[:, :, v, : v + 1], votes.plurality_weights_partition(v, alpha), rtol=1e-12, atol=0
        )
    assert np.all(table[..., 0, :] == 0)
    assert np.all(np.triu(table, 1) == 0)


def test_partition_weights_of_a_great_many_votes():
    weights = votes.plurality_weights_partition(1800, np.array([1e-6, 1.0, 30.0, 1e3, 1e9, 1e15]))
    assert np.all(np.isfinite(weights))
    assert np.all((weights >= 0) & (weights <= 1 + 1e-9))
    with pytest.raises(ValueError, match="at most 1800"):
        votes.plurality_weights_partition(1801, 1.0)


# Blanks


def counted_vote(right, wrong, table):
    """Sum over the numbers of right and wrong attempts, in plain multinomial probabilities."""
    n = table.shape[-1] - 1
    total = 0.0
    for c in range(n + 1):
        for w in range(n + 1 - c):
            ways = factorial(n) // (factorial(c) * factorial(w) * factorial(n - c - w))
            chance = right**c * wrong**w * (1 - right - wrong) ** (n - c - w)
            total = total + (ways * chance * table[c + w, c] if c + w else 0.0)
    return total


def random_chances(rng, count):
    right = rng.uniform(size=count) ** rng.choice([1, 3, 8], size=count)
    wrong = (1 - right) * rng.choice([0.0, 1.0, 0.3], size=count, p=[0.1, 0.2, 0.7]) ** rng.uniform(0.1, 3, count)
    return right, wrong


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_vote_against_the_multinomial_law(n):
    rng = np.random.default_rng(n)
    right, wrong = random_chances(rng, 3000)
    wrong = np.where(right + wrong < 1, wrong, 1 - right)
    for table in (rng.uniform(size=(n + 1, n + 1)), votes.plurality_table(n, [0.6, 0.4])):
        got = evaluate(votes.vote, right, wrong, table, core=(0, 0, 2))
        np.testing.assert_allclose(got, counted_vote(right, wrong, table), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("n", [1, 2, 9, 64])
def test_vote_without_blanks_is_the_vote(n):
    q = np.concatenate([[0.0, 1.0, 1e-200], np.random.default_rng(n).uniform(size=200)])
    table = votes.plurality_table_partition(n, 0.8)
    got = evaluate(votes.vote, q, 1 - q, table)
    np.testing.assert_allclose(got, evaluate(selectors.bernstein, q, table[n]), rtol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_weights_with_blanks_are_the_vote(n):
    """With blanks that fall on attempts that are not right, weights depend on the number of right attempts alone."""
    q, blank = np.array([0.0, 0.2, 0.7, 1.0]), np.array([0.0, 0.15, 0.6, 1.0])
    grid_q, grid_b = np.meshgrid(q, blank)
    for weights, table in (
        (votes.answered_plurality_weights(n, (0.5, 0.3, 0.2), blank), votes.plurality_table(n, (0.5, 0.3, 0.2))),
        (
            votes.answered_plurality_weights_partition(n, 0.7, blank[:, None])[:, 0],
            votes.plurality_table_partition(n, 0.7),
        ),
    ):
        assert weights.shape == (blank.size, n + 1)
        got = evaluate(selectors.bernstein, grid_q, weights[:, None, :], core=(0, 1))
        wanted = evaluate(votes.vote, grid_q, (1.0 - grid_q) * (1.0 - grid_b), table, core=(0, 0, 2))
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(weights[0], np.append(table[n, :n], 1.0), rtol=1e-12)
        # Where only right attempts answer, one suffices.
        np.testing.assert_allclose(weights[-1], np.arange(n + 1) > 0)


def test_weights_with_blanks_refuse():
    with pytest.raises(ValueError, match=r"no_answer must be in \[0, 1\]"):
        votes.answered_plurality_weights(3, (1.0,), 1.5)
    with pytest.raises(ValueError, match="n must be at most 1800"):
        votes.answered_plurality_weights_partition(1801, 1.0, 0.1)


def test_vote_edges():
    table = votes.plurality_table(6, [0.6, 0.4])
    assert evaluate(votes.vote, 0.0, 0.0, table) == 0.0
    assert evaluate(votes.vote, 0.0, 0.3, table) == 0.0
    assert evaluate(votes.vote, 1.0, 0.0, table) == 1.0
    coverage = evaluate(selectors.any_right, 0.3, 6)
    assert evaluate(votes.vote, 0.3, 0.0, table) == pytest.approx(coverage, rel=1e-14)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_vote_gradients(n):
    table = np.random.default_rng(n).uniform(size=(n + 1, n + 1))
    table[0] = 0.0
    q, u, t = pt.dscalar(), pt.dscalar(), pt.dmatrix()
    slopes = pytensor.function([q, u, t], pytensor.grad(votes.vote(q, u, t), [q, u]), mode=MODE)
    # What one more attempt on top of n - 1 changes: right instead of blank, wrong instead of blank.
    more = np.zeros((2, n, n))
    for v in range(n):
        more[0, v, : v + 1] = table[v + 1, 1 : v + 2] - table[v, : v + 1]
        more[1, v, : v + 1] = table[v + 1, : v + 1] - table[v, : v + 1]
    edges = [(0.0, 0.0), (0.0, 0.4), (0.4, 0.0), (0.4, 0.6), (0.0, 1.0), (1.0, 0.0), (1e-9, 1e-9)]
    inside = np.random.default_rng(n).dirichlet([0.5, 0.6, 0.7], size=30)[:, :2]
    for right, wrong in [*edges, *inside]:
        for got, change in zip(slopes(right, wrong, table), more, strict=True):
            rest = counted_vote(right, wrong, change) if n > 1 else 0.0
            wanted = n * (rest + (1 - right - wrong) ** (n - 1) * change[0, 0])
            assert got == pytest.approx(wanted, rel=1e-8, abs=1e-9)


# Weighted vote


def crowd(rng, draws, wrong, alpha):
    """Labels of wrong answers by the Chinese restaurant process."""
    labels = np.zeros((draws, wrong), dtype=int)
    for i in range(1, wrong):
        new = rng.uniform(size=draws) < alpha / (alpha + i)
        copied = labels[np.arange(draws), rng.integers(0, i, size=draws)]
        labels[:, i] = np.where(new, i, copied)
    return labels


def simulated_weight(rng, draws, c, wrong, d, law):
    def weight(score):
        return 1 / (1 + np.exp(0.5 * d * d - d * score))

    right = weight(rng.normal(size=(draws, c)) + d).sum(axis=1)
    each = weight(rng.normal(size=(draws, wrong)))
    labels = rng.choice(len(law), p=law, size=(draws, wrong)) if np.ndim(law) else crowd(rng, draws, wrong, law)
    rivals = [np.where(labels == j, each, 0.0).sum(axis=1) for j in range(labels.max() + 1)]
    return (right > np.max(rivals, axis=0)).mean()


@pytest.mark.parametrize("d", [0.4, 2.0])
@pytest.mark.parametrize("law", [(0.5, 0.3, 0.2), 1.3])
def test_weighted_vote_by_simulation(d, law):
    rng = np.random.default_rng(int(100 * d))
    n, draws = 7, 400_000
    if np.ndim(law):
        weights = votes.weighted_vote_weights(n, d, law)
    else:
        weights = votes.weighted_vote_weights_partition(n, d, law)
    for c in (1, 2, 3):
        hits = simulated_weight(rng, draws, c, n - c, d, law)
        assert abs(hits - weights[c]) < 4 * np.sqrt(weights[c] * (1 - weights[c]) / draws)


@pytest.mark.slow
@pytest.mark.parametrize("d", [0.05, 0.6, 1.7, 3.5])
@pytest.mark.parametrize("law", [tuple(selectors.geometric_shares(0.75, 8)), 0.4, 6.0])
def test_weighted_vote_by_long_simulation(d, law):
    rng = np.random.default_rng(int(100 * d))
    n, draws = 20, 1_000_000
    if np.ndim(law):
        weights = votes.weighted_vote_weights(n, d, law)
    else:
        weights = votes.weighted_vote_weights_partition(n, d, law)
    for c in (1, 3, 5, 8):
        hits = simulated_weight(rng, draws, c, n - c, d, law)
        assert abs(hits - weights[c]) < 4.5 * np.sqrt(weights[c] * (1 - weights[c]) / draws) + 1e-9


@pytest.mark.parametrize(
    "d", [0.2, 1.99, 3.0, *(pytest.param(d, marks=pytest.mark.slow) for d in (0.9, 2.0, 6.0, 12.0))]
)
def test_weighted_vote_of_one_against_one_and_two(d):
    table = votes.weighted_vote_table(3, d, [1.0])
    assert table[2, 1] == pytest.approx(ndtr(d / np.sqrt(2)), abs=1e-12)
    # One right vote against two that agree, u_1 + u_2 = x: P(v > x), averaged over the score of the first and
    # over m in u_2 = (1 - u_1) logistic(m), in which the integrand is smooth at both ends.
    score = 0.06 * np.arange(-150, 151)[:, None]
    m = 0.1 * min(d, 1.0) * np.arange(-2000, 2001)
    first = d * score - 0.5 * d * d
    log_first, log_rest = -np.logaddexp(0.0, -first), -np.logaddexp(0.0, first)
    log_second, log_gap = log_rest - np.logaddexp(0.0, -m), log_rest - np.logaddexp(0.0, m)
    # Logarithms of 1 - u_2 and of x, as sums of positive terms.
    log_remainder, log_x = np.logaddexp(log_first, log_gap), np.logaddexp(log_first, log_second)
    place = (log_second - log_remainder + 0.5 * d * d) / d
    log_density = -0.5 * place**2 - 0.5 * score**2 - log_remainder - np.logaddexp(0.0, m)
    density = np.exp(log_density) / (2 * np.pi * d)
    beats = ndtr(0.5 * d - (log_x - log_gap) / d)
    wanted = (density * beats).sum() * 0.06 * 0.1 * min(d, 1.0)
    assert table[3, 1] == pytest.approx(wanted, abs=1e-10)


def test_weighted_vote_limits():
    shares = [0.5, 0.3, 0.2]
    plain, oracle = votes.plurality_table(9, shares), np.tril(np.ones((10, 10)))
    oracle[:, 0] = 0
    np.testing.assert_array_equal(votes.weighted_vote_table(9, 0.0, shares), plain)
    np.testing.assert_array_equal(votes.weighted_vote_table(9, np.inf, shares), oracle)
    np.testing.assert_allclose(votes.weighted_vote_table(9, 14.0, shares), oracle, atol=1e-9)
    np.testing.assert_array_equal(
        votes.weighted_vote_table_partition(9, 0.0, [0.5, 2.0]), votes.plurality_table_partition(9, [0.5, 2.0])
    )
    # Votes are tied for d = 0 only: the weights are continuous there, and linear at first.
    near = [votes.weighted_vote_table(9, d, shares) - plain for d in (1e-3, 5e-4, 1.0001e-4, 0.9999e-4)]
    assert 1e-4 < np.abs(near[0]).max() < 1e-3
    np.testing.assert_allclose(near[1], near[0] / 2, rtol=0, atol=1e-8)
    np.testing.assert_allclose(near[2] / 1.0001, near[3] / 0.9999, atol=2e-12)


def test_weighted_vote_rises_with_right_votes():
    # Each further right vote adds to its own sum and takes from a rival's.
    for d in (0.2, 4.0):
        weights = votes.weighted_vote_weights_partition(12, d, np.array([0.3, 2.0]))
        assert np.all((weights >= -1e-12) & (weights <= 1 + 1e-12))
        assert np.all(np.diff(weights, axis=-1) >= -1e-12)


@pytest.mark.parametrize("d", [0.5, *(pytest.param(d, marks=pytest.mark.slow) for d in (1e-3, 1.3, 2.0, 5.0))])
def test_weighted_vote_on_a_finer_grid(d, monkeypatch):
    shares = (0.4, 0.3, 0.2, 0.1)
    plain = votes.weighted_vote_table(12, d, shares)
    coarse = votes._panels

    def halved(x):
        edges = coarse(x)
        return np.sort(np.append(edges, 0.5 * (edges[1:] + edges[:-1])))

    def forget():
        for cached in (votes._wrong_sums, votes._one_more_wrong):
            cached.cache_clear()

    monkeypatch.setattr(votes, "_panels", halved)
    forget()
    fine = votes._weighted(12, d, lambda sums: votes._fixed_series(sums, shares))
    forget()
    np.testing.assert_allclose(fine, plain, atol=1e-11)


def test_weighted_vote_merges_equal_answers():
    nearly = np.full(6, 1 / 6) + 1e-13 * np.array([-3, -2, -1, 1, 2, 3])
    np.testing.assert_allclose(
        votes.weighted_vote_weights(10, 0.8, nearly),
        votes.weighted_vote_weights(10, 0.8, np.full(6, 1 / 6)),
        atol=1e-11,
    )


def test_weighted_vote_by_concentration_keeps_shapes():
    alpha = np.array([[0.5, 2.0, 0.5]])
    got = votes.weighted_vote_weights_partition(5, 1.0, alpha)
    assert got.shape == (1, 3, 6)
    np.testing.assert_array_equal(got[0, 0], got[0, 2])
    assert votes.weighted_vote_weights_partition(5, 1.0, np.zeros((0, 2))).shape == (0, 2, 6)


@pytest.mark.parametrize(
    ("n", "d", "match"), [(0, 1.0, "n must"), (129, 1.0, "128"), (3, -1.0, "discr"), (3, np.nan, "discr")]
)
def test_weighted_vote_refuses(n, d, match):
    with pytest.raises(ValueError, match=match):
        votes.weighted_vote_weights(n, d, [1.0])
    with pytest.raises(ValueError, match=match):
        votes.weighted_vote_weights_partition(n, d, 1.0)


# Limits


def test_plurality_limit():
    shares = [0.5, 0.25, 0.25]
    assert evaluate(lambda q: votes.plurality_limit(q, shares), [0.0, 0.33, 1 / 3, 0.34, 1.0]).tolist() == [
        0,
        0,
        0.5,
        1,
        1,
    ]
    assert evaluate(lambda q: votes.plurality_limit(q, [0.5, 0.5]), 1 / 3) == pytest.approx(1 / 3)
    # Away from the edge the vote approaches the limit exponentially fast, at the edge like 1/sqrt(n).
    q = np.array([0.25, 1 / 3, 0.42])
    gaps = []
    for n in (50, 200, 800):
        success = evaluate(selectors.bernstein, q, votes.plurality_weights(n, shares))
        gaps.append(np.abs(success - [0, 0.5, 1]))
    gaps = np.array(gaps)
    assert np.all(gaps[1:, [0, 2]] < gaps[:-1, [0, 2]] ** 1.5)
    assert np.all(gaps[:, 1] < 0.5 / np.sqrt([50, 200, 800]))


PUBLISHED = [
    (0.379676, 1.133548, 0.746072502, 11, 0.268261542744, 0.41540785498489424,
     {1: 0.25090544, 2: 0.25090544, 3: 0.28422417, 5: 0.32207782, 10: 0.35851503, 40: 0.40054053, 100: 0.41117063}),
    (0.408857, 0.488157, 0.595199077, 9, 0.411278824224, 0.5778816199376947,
     {1: 0.45579756, 3: 0.49705871, 10: 0.55339154, 100: 0.57764569}),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "ratio", "answers", "top", "endless", "finite"), PUBLISHED)
def test_published_majority_curves(a, b, ratio, answers, top, endless, finite):
    # One of the answers is right. The parameters are published with 6 decimals, so that values are known only
    # to lie between those at the corners of the rounding.
    shares = selectors.geometric_shares(ratio, answers - 1)
    assert shares[0] == pytest.approx(top, rel=1e-9)
    corners = [(a + i, b + j) for i, j in product((-5e-7, 5e-7), repeat=2)]
    limits = [float(evaluate(votes.plurality_limit_beta, x, y, wrong_shares=tuple(shares))) for x, y in corners]
    assert min(limits) <= endless <= max(limits)
    assert max(limits) - min(limits) < 2e-6
    before = 0.0
    for n, value in finite.items():
        weights = votes.plurality_weights(n, shares)
        at = [betabinom(n, x, y).pmf(np.arange(n + 1)) @ weights for x, y in corners]
        assert min(at) - 5e-9 <= value <= max(at) + 5e-9
        assert before - 1e-12 <= np.mean(at) <= np.mean(limits)
        before = np.mean(at)


def test_endless_majority_stays_below_coverage():
    shares = (0.4, 0.35, 0.25)
    a, b, reachable = 0.4, 1.2, 0.9
    limit = float(evaluate(votes.plurality_limit_beta, a, b, wrong_shares=shares, reachable=reachable))
    gaps = []
    for n in (10, 100, 1000):
        weights = votes.plurality_weights(n, shares)
        gaps.append(abs(reachable * betabinom(n, a, b).pmf(np.arange(n + 1)) @ weights - limit))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 2e-3
    # Coverage tends to the share of tasks that can be solved; the vote loses those with q < (1 - q) c_1.
    gap = float(evaluate(selectors.any_right_beta, 1e12, a, b, reachable)) - limit
    assert gap == pytest.approx(reachable * betainc(a, b, 0.4 / 1.4), abs=1e-4)


def test_largest_share_is_dickmans_law():
    # Values of Dickman's function from the literature, to the digits given.
    known = {1.5: 1 - np.log(1.5), 2: 1 - np.log(2), 3: 0.0486083883, 4: 0.0049109256, 5: 0.0003547247}
    for t, value in known.items():
        assert votes.largest_share_cdf(1 / t, 1.0) == pytest.approx(value, abs=1e-10)
    assert votes.largest_share_cdf([0.0, 1e-3, 1.0, 2.0], 1.0).tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 2.0, 7.0, 60.0])
def test_largest_share_by_integrals(alpha):
    def one(x):
        return quad(lambda u: alpha / u * (1 - u) ** (alpha - 1), x, 1, epsabs=1e-13, epsrel=1e-12)[0]

    def one_smooth(x):
        # v = (1 - u)^alpha removes the singularity at u = 1.
        return quad(lambda v: 1 / (1 - v ** (1 / alpha)), 0, (1 - x) ** alpha, epsabs=1e-13, epsrel=1e-12)[0]

    for x in (0.5, 0.6, 0.95):
        assert votes.largest_share_cdf(x, alpha) == pytest.approx(1 - one_smooth(x), abs=1e-11)
    if alpha >= 1:
        # Between 1/3 and 1/2 two shares may exceed x: inclusion and exclusion.
        for x in (0.34, 0.45):
            two = dblquad(
                lambda v, u: alpha**2 / (u * v) * (1 - u - v) ** (alpha - 1), x, 1 - x, x, lambda u: 1 - u,
                epsabs=1e-12, epsrel=1e-11,
            )[0]  # fmt: skip
            assert votes.largest_share_cdf(x, alpha) == pytest.approx(1 - one(x) + two / 2, abs=1e-10)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_votes_approach_the_limit_of_random_shares(alpha):
    q = np.array([0.08, 0.2, 0.35, 0.6])
    limit = votes.plurality_limit_partition(q, alpha)
    assert limit[-1] == 1.0
    gaps = [
        np.abs(evaluate(selectors.bernstein, q, votes.plurality_weights_partition(n, alpha)) - limit).max()
        for n in (100, 400, 1600)
    ]
    # The largest share has a density, so that the gap falls like 1/n; kinks of the law slow it a little.
    assert gaps[2] < 0.4 * gaps[1] < 0.16 * gaps[0]
    assert gaps[2] < 5 / 1600


def test_limits_refuse():
    with pytest.raises(ValueError, match="share"):
        votes.largest_share_cdf(-0.1, 1.0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        votes.plurality_limit_partition(1.1, 1.0)
    with pytest.raises(ValueError, match="positive and finite"):
        votes.plurality_limit_partition(0.5, 0.0)
