from itertools import product
from math import comb, factorial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy.special import betainc

from ds3bayes.theory import stopping, votes
from ds3bayes.theory.evaluate import evaluate

MODE = Mode(linker="py", optimizer="merge")


def stops(counts, remaining, confidence):
    """The rule, in plain words, for a list of vote counts."""
    first, second = sorted([*counts, 0, 0], reverse=True)[:2]
    if first - second > remaining or remaining == 0:
        return True
    return confidence is not None and betainc(second + 1, first + 1, 0.5) >= confidence - 1e-9


def enumerated(n, right, wrong, confidence, chance_of_wrong):
    """Success and law of the number of attempts, over every sequence of right (0), wrong (1, 2, ...) and blank (-1).

    Wrong answers are named in the order of their appearance; ``chance_of_wrong`` gives the chance of the next
    one from the counts so far.
    """
    success, attempts = 0.0, np.zeros(n)

    def go(made, chance, hits, groups):
        nonlocal success
        if chance == 0.0:
            return
        if made and stops([hits, *groups], n - made, confidence):
            attempts[made - 1] += chance
            top = max([hits, *groups])
            if hits == top and hits > 0:
                success += chance / (1 + groups.count(top))
            return
        go(made + 1, chance * right, hits + 1, groups)
        go(made + 1, chance * (1 - right - wrong), hits, groups)
        for i in range(len(groups) + 1):
            grown = [*groups, 1] if i == len(groups) else [*groups[:i], groups[i] + 1, *groups[i + 1 :]]
            go(made + 1, chance * wrong * chance_of_wrong(groups, i), hits, grown)

    go(0, 1.0, 0, [])
    return success, attempts


def restaurant(alpha):
    return lambda groups, i: (alpha if i == len(groups) else groups[i]) / (alpha + sum(groups))


@pytest.mark.parametrize("confidence", [None, 0.8, 0.95])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_random_shares_by_enumeration(n, confidence):
    alpha = np.array([0.3, 4.0])
    law = stopping.stopped_vote_partition(n, alpha, confidence=confidence)
    for right, wrong in [(0.3, 0.7), (0.45, 0.4), (0.1, 0.2), (0.0, 1.0), (1.0, 0.0)]:
        success = evaluate(stopping.stopped_success, right, wrong, law=law)
        attempts = evaluate(stopping.stopped_attempts, right, wrong, law=law)
        for i, value in enumerate(alpha):
            wanted, counts = enumerated(n, right, wrong, confidence, restaurant(value))
            assert success[i] == pytest.approx(wanted, rel=1e-12, abs=1e-15)
            np.testing.assert_allclose(attempts[i], counts, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("confidence", [None, 0.8, 0.93])
@pytest.mark.parametrize("shares", [[1.0], [0.6, 0.4], [0.5, 0.3, 0.2], [0.25] * 4])
def test_fixed_shares_by_enumeration(shares, confidence):
    n, right, wrong = 5, 0.35, 0.45
    chances = [right, *(wrong * s for s in shares), 1 - right - wrong]
    success, attempts = 0.0, np.zeros(n)
    for sequence in product(range(len(chances)), repeat=n):
        counts = np.zeros(len(chances), dtype=int)
        for made, answer in enumerate(sequence, start=1):
            counts[answer] += 1
            if stops(counts[:-1].tolist(), n - made, confidence):
                break
        # What follows the stop is summed over, with total chance 1.
        chance = np.prod([chances[answer] for answer in sequence])
        attempts[made - 1] += chance
        if counts[0] > 0 and counts[0] == counts[:-1].max():
            success += chance / (counts[:-1] == counts[0]).sum()
    law = stopping.stopped_vote(n, shares, confidence=confidence)
    assert evaluate(stopping.stopped_success, right, wrong, law=law) == pytest.approx(success, rel=1e-12)
    got = evaluate(stopping.stopped_attempts, right, wrong, law=law)
    np.testing.assert_allclose(got, attempts, rtol=1e-12, atol=1e-16)
    mean = evaluate(stopping.mean_stopped_attempts, right, wrong, law=law)
    assert mean == pytest.approx(attempts @ np.arange(1, n + 1), rel=1e-12)


def chances(rng, count):
    right, wrong, _ = rng.dirichlet([0.5, 0.7, 0.4], size=count).T
    wrong = np.where(rng.uniform(size=count) < 0.2, 0.0, wrong)
    return right, wrong


@pytest.mark.parametrize("n", [2, 3, 8, 13, 20])
def test_a_decided_vote_is_the_full_vote(n):
    rng = np.random.default_rng(n)
    right, wrong = chances(rng, 1200)
    shares = rng.dirichlet(np.ones(5))
    alpha = float(rng.uniform(0.1, 5))
    for law, table in [
        (stopping.stopped_vote(n, shares), votes.plurality_table(n, shares)),
        (stopping.stopped_vote_partition(n, alpha), votes.plurality_table_partition(n, alpha)),
    ]:
        got = evaluate(stopping.stopped_success, right, wrong, core=(0, 0), law=law)
        wanted = evaluate(votes.vote, right, wrong, table, core=(0, 0, 2))
        np.testing.assert_allclose(got, wanted, rtol=2e-12, atol=1e-300)
        attempts = evaluate(stopping.stopped_attempts, right, wrong, core=(0, 0), law=law)
        np.testing.assert_allclose(attempts.sum(axis=-1), 1, rtol=1e-12)
        assert np.all(attempts[:, : n // 2] == 0)


def test_full_confidence_is_no_confidence_rule():
    # No posterior probability reaches 1, so that the vote goes on until it is decided.
    first, second = (stopping.stopped_vote_partition(9, 0.6, confidence=c) for c in (None, 1.0))
    np.testing.assert_array_equal(first.stopped, second.stopped)
    np.testing.assert_array_equal(first.chosen, second.chosen)


def test_one_sided_votes():
    # Without wrong answers the first k right votes suffice: 1 - 2^-(k + 1) >= .95 at k = 4.
    law = stopping.stopped_vote(16, [1.0], confidence=0.95)
    attempts = evaluate(stopping.stopped_attempts, 1.0, 0.0, law=law)
    assert attempts.tolist() == [0, 0, 0, 1] + [0] * 12
    # With blanks the fourth vote comes after a negative binomial number of attempts.
    attempts = evaluate(stopping.stopped_attempts, 0.3, 0.0, law=law)
    wanted = [comb(j - 1, 3) * 0.3**4 * 0.7 ** (j - 4) if j > 3 else 0 for j in range(1, 17)]
    np.testing.assert_allclose(attempts[:13], wanted[:13], rtol=1e-12)
    nothing = stopping.stopped_vote_partition(6, 1.0, confidence=0.9)
    assert evaluate(stopping.stopped_success, 0.0, 0.0, law=nothing) == 0.0
    assert evaluate(stopping.mean_stopped_attempts, 0.0, 0.0, law=nothing) == 6.0


def test_a_small_lead_at_equality_stops():
    # I_{1/2}(1, 2) is 3/4 exactly: the first vote decides.
    law = stopping.stopped_vote(9, [1.0], confidence=0.75)
    assert evaluate(stopping.mean_stopped_attempts, 0.4, 0.6, law=law) == pytest.approx(1.0, rel=1e-14)
    assert evaluate(stopping.stopped_success, 0.4, 0.6, law=law) == pytest.approx(0.4, rel=1e-14)


@pytest.mark.parametrize("law", [(0.5, 0.3, 0.15, 0.05), 0.8])
def test_early_stopping_by_simulation(law):
    rng = np.random.default_rng(17)
    n, draws, right, wrong, confidence = 18, 100_000, 0.32, 0.55, 0.92
    kind = rng.uniform(size=(draws, n))
    if np.ndim(law):
        labels = rng.choice(len(law), p=law, size=(draws, n))
        spec = stopping.stopped_vote(n, law, confidence=confidence)
    else:
        labels = np.zeros((draws, n), dtype=int)
        for i in range(1, n):
            new = rng.uniform(size=draws) < law / (law + i)
            labels[:, i] = np.where(new, i, labels[np.arange(draws), rng.integers(0, i, size=draws)])
        spec = stopping.stopped_vote_partition(n, law, confidence=confidence)
    counts = np.zeros((draws, labels.max() + 2), dtype=int)
    made, hit, live = np.zeros(draws, dtype=int), np.zeros(draws), np.ones(draws, dtype=bool)
    drawn = np.zeros(draws, dtype=int)
    everyone = np.arange(draws)
    for j in range(n):
        answered = kind[:, j] < right + wrong
        is_right = kind[:, j] < right
        # Labels are exchangeable: the next wrong attempt takes the next label.
        column = np.where(is_right, 0, 1 + labels[everyone, drawn])
        counts[everyone, column] += answered & live
        drawn += answered & ~is_right & live
        top = np.sort(counts, axis=1)[:, ::-1]
        first, second = top[:, 0], top[:, 1]
        sure = betainc(second + 1, first + 1, 0.5) >= confidence
        stop = live & ((first - second > n - 1 - j) | sure | (j == n - 1))
        made[stop] = j + 1
        tied = (counts == first[:, None]).sum(axis=1)
        hit[stop] = np.where((counts[:, 0] == first) & (first > 0), 1 / tied, 0.0)[stop]
        live &= ~stop
    attempts = evaluate(stopping.stopped_attempts, right, wrong, law=spec)
    success = float(evaluate(stopping.stopped_success, right, wrong, law=spec))
    assert abs(hit.mean() - success) < 4 * hit.std() / np.sqrt(draws)
    seen = np.bincount(made, minlength=n + 1)[1:] / draws
    assert np.all(np.abs(seen - attempts) <= 4.5 * np.sqrt(attempts * (1 - attempts) / draws))


def test_gradients():
    law = stopping.stopped_vote_partition(10, 0.8, confidence=0.9)
    q, u = pt.dscalar(), pt.dscalar()
    for function in (stopping.stopped_success, stopping.mean_stopped_attempts):
        value = function(q, u, law)
        both = pytensor.function([q, u], [value, *pytensor.grad(value, [q, u])], mode=MODE)
        step = 1e-3
        for right, wrong in [(0.3, 0.5), (0.3, 0.7), (0.02, 0.1), (0.9, 0.05)]:
            for i in range(2):
                # Polynomials continue beyond right + wrong = 1, so that central differences work at the edge.
                moved = [(right + k * step * (i == 0), wrong + k * step * (i == 1)) for k in (-2, -1, 1, 2)]
                at = [float(both(*point)[0]) for point in moved]
                wanted = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * step)
                assert both(right, wrong)[1 + i] == pytest.approx(wanted, rel=1e-6, abs=1e-8)


def test_gradients_at_the_edges():
    # n = 2 with one wrong answer: success is q^2 + 2 q t + q u = q (q + 2 t + u), t = 1 - q - u.
    law = stopping.stopped_vote(2, [1.0])
    q, u = pt.dscalar(), pt.dscalar()
    slopes = pytensor.function([q, u], pytensor.grad(stopping.stopped_success(q, u, law), [q, u]), mode=MODE)
    for right, wrong in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.5), (0.5, 0.0)]:
        by_right, by_wrong = slopes(right, wrong)
        assert by_right == pytest.approx(2 - 2 * right - wrong, abs=1e-15)
        assert by_wrong == pytest.approx(-right, abs=1e-15)


def test_coefficients_count_sequences():
    law = stopping.stopped_vote(12, [0.7, 0.3])
    assert np.all(law.stopped > 0)
    assert np.all((law.chosen >= 0) & (law.chosen <= law.stopped))
    made = law.right_votes + law.wrong_votes + law.blanks
    for c, w, b, j, value in zip(law.right_votes, law.wrong_votes, law.blanks, made, law.stopped, strict=True):
        assert value <= factorial(j) / (factorial(c) * factorial(w) * factorial(b)) * (1 + 1e-12)
    with pytest.raises(ValueError, match="read-only"):
        law.stopped[0] = 1.0
    assert stopping.stopped_vote(12, [0.3, 0.7]) is law


@pytest.mark.slow
def test_the_largest_votes():
    n = stopping.MOST_ATTEMPTS
    law = stopping.stopped_vote_partition(n, np.geomspace(1e-6, 1e9, 20))
    table = votes.plurality_table_partition(n, np.geomspace(1e-6, 1e9, 20))
    got = evaluate(stopping.stopped_success, 0.3, 0.5, law=law)
    np.testing.assert_allclose(got, evaluate(votes.vote, 0.3, 0.5, table), rtol=1e-11)


def test_refusals():
    for call in (
        lambda n, **k: stopping.stopped_vote(n, [1.0], **k),
        lambda n, **k: stopping.stopped_vote_partition(n, 1.0, **k),
    ):
        for n in (0, 41):
            with pytest.raises(ValueError, match=r"1\.\.40"):
                call(n)
        for confidence in (0.5, 1.01, np.nan):
            with pytest.raises(ValueError, match=r"\(0\.5, 1\]"):
                call(3, confidence=confidence)
    with pytest.raises(ValueError, match="sum to 1"):
        stopping.stopped_vote(3, [0.5])
    with pytest.raises(ValueError, match="positive and finite"):
        stopping.stopped_vote_partition(3, [1.0, 0.0])
