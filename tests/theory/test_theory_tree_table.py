"""The tabulated law of a tree search's right outputs against the theory's own formula, enumeration and simulation."""

import itertools
from math import comb, prod

import numpy as np
import pytest

from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.tree_table import law_of_right_states
from ds3bayes.theory.trees import kept_states, right_kept_states


def _exact(rho, gap, overlap, *, b, kept):
    return right_kept_states(rho, kept, b, gap, overlap)[-1]


NONE = np.zeros(1)


def ranked(levels, b, w, outputs):
    kept = kept_states(levels, b, w)
    return (*kept[:-1], min(outputs, kept[-1]))


@pytest.mark.parametrize(("b", "w", "outputs"), [(5, 1, 1), (5, 5, 5), (5, 5, 1), (3, 2, 2), (7, 3, 2)])
@pytest.mark.parametrize("length", [1, 3])
def test_interpolation_is_within_a_thousandth(b, w, outputs, length):
    rng = np.random.default_rng(17)
    logit = rng.uniform(-12.0, 8.0, 250)
    gap = np.concatenate([rng.uniform(0.0, 9.5, 200), rng.uniform(0.0, 1.0, 50)])
    overlap = np.where(rng.random(250) < 0.2, 0.0, rng.uniform(0.0, 0.97, 250))
    kept = ranked(length, b, w, outputs)
    found = law_of_right_states(logit[:, None], gap, overlap, branching=b, kept=kept)[:, 0]
    rho = np.exp(-np.logaddexp(0.0, -logit) / length)
    exact = evaluate(_exact, rho, gap, overlap, b=b, kept=kept)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found, exact, atol=5e-4, rtol=0)
    # Three hundredths of the probability of what is unlikely, too.
    seen = exact > 1e-9
    np.testing.assert_allclose(found[seen], exact[seen], rtol=3e-2)


def enumerated(rho, levels, b, w, outputs, *, oracle, overlap=0.0):
    """Law of right outputs by going through every outcome of every candidate, and every choice among equals."""

    def found(pattern):
        """Chance of the right candidates of one right state: a right proposal is new, or repeats one and is wrong."""
        chance, before = 1.0, 0
        for right in pattern:
            new = rho * (1 - overlap) ** before
            chance *= new if right else 1 - new
            before += right
        return chance

    laws = {(True,): 1.0}
    for level in range(levels):
        after = {}
        for states, chance in laws.items():
            parents = [state for state in states for _ in range(b)]
            keep = min(outputs if level == levels - 1 else w, len(parents))
            for pattern in itertools.product([False, True], repeat=len(parents)):
                if any(right and not parent for right, parent in zip(pattern, parents, strict=True)):
                    continue
                of_state = zip(states, itertools.batched(pattern, b, strict=True), strict=True)
                here = chance * prod(found(mine) for right, mine in of_state if right)
                choices = list(itertools.combinations(range(len(pattern)), keep))
                if oracle:
                    most = max(sum(pattern[i] for i in choice) for choice in choices)
                    choices = [choice for choice in choices if sum(pattern[i] for i in choice) == most]
                for choice in choices:
                    kept = tuple(sorted(pattern[i] for i in choice))
                    after[kept] = after.get(kept, 0.0) + here / len(choices)
        laws = after
    result = np.zeros(outputs + 1)
    for kept, chance in laws.items():
        result[sum(kept)] += chance
    return result


@pytest.mark.parametrize(
    ("levels", "b", "w", "outputs"), [(2, 2, 2, 1), (2, 2, 2, 2), (3, 2, 2, 1), (2, 3, 2, 2), (1, 4, 3, 2)]
)
@pytest.mark.parametrize("gap", [0.0, np.inf])
@pytest.mark.parametrize("overlap", [0.0, 0.6, 1.0])
def test_small_trees_by_enumeration(levels, b, w, outputs, gap, overlap):
    """A blind evaluator chooses at random, an oracle the right ones."""
    rho = 0.35
    logit = np.array([[np.log(rho**levels) - np.log1p(-(rho**levels))]])
    wanted = enumerated(rho, levels, b, w, outputs, oracle=np.isinf(gap), overlap=overlap)
    exact = evaluate(_exact, rho, gap, overlap, b=b, kept=ranked(levels, b, w, outputs))
    np.testing.assert_allclose(exact, wanted, rtol=1e-9)
    if overlap < 1.0:
        overlap = np.array([overlap])
        found = law_of_right_states(logit, np.array([gap]), overlap, branching=b, kept=ranked(levels, b, w, outputs))
        np.testing.assert_allclose(found[0, 0], wanted, atol=1e-4)


@pytest.mark.parametrize(("outputs", "gap"), [(1, 1.0), (2, 1.0), (3, 2.0), (5, 0.7)])
def test_best_ranked_outputs_of_the_search_itself(outputs, gap):
    """All states are kept by their scores until the last level, of which the best-scored are written out."""
    rng, size, rho, b, w, levels = np.random.default_rng(3), 40_000, 0.5, 4, 5, 3
    right = np.ones((size, 1), dtype=bool)
    for _ in range(levels):
        candidates = np.repeat(right, b, axis=1)
        candidates &= rng.random(candidates.shape) < rho
        scores = rng.standard_normal(candidates.shape) + gap * candidates
        order = np.argsort(-scores, axis=1)[:, :w]
        right = np.take_along_axis(candidates, order, axis=1)
    counts = np.bincount(right[:, :outputs].sum(axis=1), minlength=outputs + 1)
    logit = np.array([[np.log(rho**levels) - np.log1p(-(rho**levels))]])
    law = law_of_right_states(logit, np.array([gap]), NONE, branching=b, kept=ranked(levels, b, w, outputs))[0, 0]
    error = np.sqrt(law * (1 - law) / size)
    # 4.5 standard errors of each share: a false alarm in one of 15,000 runs.
    assert (np.abs(counts / size - law) < 4.5 * error + 1e-4).all()


def test_a_tree_without_choice_is_the_walk():
    logit = np.linspace(-12.0, 6.0, 19)[None]
    found = law_of_right_states(logit, np.array([2.0]), np.array([0.3]), branching=1, kept=(1, 1, 1))[0, :, 1]
    np.testing.assert_allclose(np.log(found), -np.logaddexp(0.0, -logit[0]), atol=1e-3)


@pytest.mark.parametrize(("b", "w", "outputs"), [(5, 1, 1), (5, 5, 5), (20, 1, 1), (20, 5, 1)])
def test_success_rises_and_stays_a_probability(b, w, outputs):
    logit = np.tile(np.linspace(-30.0, 30.0, 601), (6, 1))
    gap, search = np.array([0.0, 1.0, 3.3, 8.0, 10.0, 1e6]), {"branching": b, "kept": ranked(3, b, w, outputs)}
    law = law_of_right_states(logit, gap, np.array([0.0, 0.3, 0.0, 0.9, 0.0, 1.0]), **search)
    assert np.isfinite(law).all()
    assert law.min() >= 0.0
    mean = law @ np.arange(law.shape[-1])
    # A cubic may undershoot by its error.
    assert np.diff(mean, axis=1).min() > -1e-3
    assert np.diff(mean[[0, 2, 4]], axis=0).min() > -1e-3
    # The fewer of a state's candidates can be right, the fewer of what is kept are.
    by_overlap = law_of_right_states(logit, np.full(6, 3.3), np.linspace(0.0, 1.0, 6), **search)
    assert np.diff(by_overlap @ np.arange(law.shape[-1]), axis=0).max() < 1e-3


def test_the_binomial_of_endless_choice():
    """Where all candidates are kept, right ones are binomial given the level before: one level is a plain binomial."""
    logit = np.array([[0.4]])
    law = law_of_right_states(logit, np.array([1.0]), NONE, branching=4, kept=(4,))[0, 0]
    q = 1 / (1 + np.exp(-0.4))
    np.testing.assert_allclose(law, [comb(4, k) * q**k * (1 - q) ** (4 - k) for k in range(5)], rtol=1e-4)
