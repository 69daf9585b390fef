from functools import cache
from math import comb

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode

from ds3bayes.theory import selectors, trees
from ds3bayes.theory.evaluate import evaluate


def outputs(rho, d, *, m, b, w):
    return trees.tree_outputs(rho, m, b, w, d)


def simulate(rho, d, *, m, b, w, size, seed):
    """Run the search itself; returns the share of right kept states in each run."""
    rng = np.random.default_rng(seed)
    right = np.ones((size, 1), dtype=bool)
    for _ in range(m):
        candidates = np.repeat(right, b, axis=1) & (rng.uniform(size=(size, right.shape[1] * b)) < rho)
        scores = rng.normal(size=candidates.shape) + d * candidates
        kept = np.argsort(-scores, axis=1)[:, : min(w, candidates.shape[1])]
        right = np.take_along_axis(candidates, kept, axis=1)
    return right.mean(axis=1)


CASES = [
    (0.4, 2.0, 3, 5, 5),
    (0.6, 1.0, 4, 3, 2),
    (0.3, 1.5, 2, 2, 4),
    (0.3, 1.5, 4, 2, 3),
    (0.8, 0.5, 5, 2, 2),
    (0.7, 1.0, 3, 1, 3),
    (0.5, 1.2, 3, 4, 1),
    (0.2, 4.0, 2, 3, 7),
]


@pytest.mark.parametrize(("rho", "d", "m", "b", "w"), CASES)
def test_equals_simulation(rho, d, m, b, w):
    shares = simulate(rho, d, m=m, b=b, w=w, size=40_000, seed=17)
    wanted = float(evaluate(outputs, rho, d, m=m, b=b, w=w))
    assert abs(shares.mean() - wanted) < 4.5 * shares.std() / np.sqrt(shares.size)


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "d", "m", "b", "w"), CASES)
def test_equals_long_simulation(rho, d, m, b, w):
    shares = simulate(rho, d, m=m, b=b, w=w, size=1_000_000, seed=18)
    wanted = float(evaluate(outputs, rho, d, m=m, b=b, w=w))
    assert abs(shares.mean() - wanted) < 4.5 * shares.std() / np.sqrt(shares.size)


@pytest.mark.parametrize("overlap", [0.0, 0.35, 1.0])
def test_distinct_candidates_of_a_state(overlap):
    """A right proposal repeats each right one before it by chance; without repetition they are binomial."""
    rho, b, size = 0.6, 5, 40_000
    law = evaluate(lambda q, o: trees.distinct_right(q, b, o), rho, overlap)
    rng = np.random.default_rng(5)
    right = np.zeros(size, dtype=int)
    for _ in range(b):
        repeats = (rng.random((size, b)) < overlap) & (np.arange(b) < right[:, None])
        right += (rng.random(size) < rho) & ~repeats.any(axis=1)
    assert (abs(np.bincount(right, minlength=b + 1) / size - law) < 4.5 * np.sqrt(law * (1 - law) / size) + 1e-12).all()
    if overlap == 0.0:
        np.testing.assert_allclose(law, [comb(b, k) * rho**k * (1 - rho) ** (b - k) for k in range(b + 1)], rtol=1e-13)
    if overlap == 1.0:
        np.testing.assert_allclose(law[:2], [(1 - rho) ** b, 1 - (1 - rho) ** b], rtol=1e-13)
    best = evaluate(lambda q, d, o: trees.best_candidate(q, b, d, o), rho, [0.0, 2.0, np.inf], overlap)
    # A blind choice takes any candidate; an oracle a right one if there is one.
    np.testing.assert_allclose(best[[0, 2]], [law @ np.arange(b + 1) / b, 1 - law[0]], rtol=1e-10)
    assert best[0] <= best[1] <= best[2]


@pytest.mark.parametrize(("kept", "b"), [((3, 3, 3), 4), ((4, 5, 2), 4), ((2, 2), 2)])
def test_no_overlap_is_independence(kept, b):
    rho, d = np.linspace(0.0, 1.0, 7), np.array([0.0, 1.3, np.inf])[:, None]
    independent = evaluate(lambda q, x: trees.right_kept_states(q, kept, b, x)[-1], rho, d)
    without = evaluate(lambda q, x, o: trees.right_kept_states(q, kept, b, x, o)[-1], rho, d, 0.0)
    np.testing.assert_allclose(without, independent, atol=1e-13)
    many = evaluate(lambda q, x, o: trees.right_kept_states(q, kept, b, x, o)[-1], rho, d, 0.5)
    assert (many @ np.arange(kept[-1] + 1) <= independent @ np.arange(kept[-1] + 1) + 1e-12).all()


def oracle_share(rho, m, b, w):
    """Enumerate the number of right kept states under an oracle."""

    @cache
    def expected(right, kept, levels):
        if levels == 0:
            return right / kept
        after = min(w, kept * b)
        tried = right * b
        return sum(
            comb(tried, c) * rho**c * (1 - rho) ** (tried - c) * expected(min(c, after), after, levels - 1)
            for c in range(tried + 1)
        )

    return expected(1, 1, m)


@pytest.mark.parametrize(("m", "b", "w"), [(1, 3, 2), (3, 2, 2), (4, 3, 5), (6, 2, 7), (5, 4, 3), (2, 5, 5)])
@pytest.mark.parametrize("rho", [0.0, 0.05, 0.5, 0.97, 1.0])
def test_oracle_by_enumeration(rho, m, b, w):
    got = evaluate(outputs, rho, np.inf, m=m, b=b, w=w)
    np.testing.assert_allclose(got, oracle_share(rho, m, b, w), rtol=1e-11, atol=0)
    np.testing.assert_allclose(evaluate(outputs, rho, 60.0, m=m, b=b, w=w), got, rtol=1e-11, atol=0)


@pytest.mark.parametrize(("m", "b", "w"), [(3, 2, 2), (4, 3, 5), (2, 5, 5), (3, 10, 9)])
def test_blind_evaluator_keeps_the_share_of_a_chain(m, b, w):
    rho = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(evaluate(outputs, rho, 0.0, m=m, b=b, w=w), rho**m, rtol=1e-10)


@pytest.mark.parametrize(("candidates", "keep"), [(2, 1), (6, 2), (25, 5), (30, 29), (60, 10)])
def test_selection_is_a_law_and_agrees_with_best_of_n(candidates, keep):
    d = np.array([0.0, 0.8, 3.0, 12.0, np.inf])
    law = evaluate(_selection, d, candidates=candidates, keep=keep)
    assert law.shape == (5, candidates + 1, keep + 1)
    np.testing.assert_allclose(law.sum(axis=-1), 1.0, rtol=1e-11)
    assert law.min() >= 0.0


def _selection(d, *, candidates, keep):
    return trees.selection(candidates, keep, d)


@pytest.mark.parametrize("d", [0.0, 0.7, 2.5, np.inf])
def test_one_kept_state_is_best_of_b_per_level(d):
    rho = np.array([0.0, 0.2, 0.6, 1.0])
    single = evaluate(lambda q, x: selectors.noisy_verifier(q, 4, x), rho, d)
    np.testing.assert_allclose(evaluate(outputs, rho, d, m=3, b=4, w=1), single**3, rtol=1e-13)
    # The chain over kept states gives the same for one kept state.
    levels = evaluate(lambda q, x: trees.tree_levels(q, 3, 4, 1, x), rho, d)
    np.testing.assert_allclose(levels, single[:, None] ** np.arange(1, 4), rtol=1e-10, atol=1e-300)


def test_batches_of_tasks_and_draws():
    rho = np.random.default_rng(0).uniform(size=(4, 3))
    d = np.array([[0.0], [1.0], [2.0], [np.inf]])
    whole = evaluate(outputs, rho, d, m=3, b=2, w=3)
    for i, j in np.ndindex(rho.shape):
        assert whole[i, j] == pytest.approx(float(evaluate(outputs, rho[i, j], d[i, 0], m=3, b=2, w=3)), rel=1e-12)
    np.testing.assert_array_equal(evaluate(outputs, rho, d, m=3, b=2, w=3, core=(0, 0), block=3), whole)


def _real(rho, m, *, top):
    return trees.tree_outputs(rho, m, 3, 2, 1.5, max_levels=top)


def test_path_length_per_task():
    m = np.array([1.0, 2.0, 2.5, 4.0])
    got = evaluate(_real, 0.6, m, top=4)
    whole = [float(evaluate(outputs, 0.6, 1.5, m=k, b=3, w=2)) for k in (1, 2, 3, 4)]
    wanted = [whole[0], whole[1], np.sqrt(whole[1] * whole[2]), whole[3]]
    np.testing.assert_allclose(got, wanted, rtol=1e-13)
    assert evaluate(_real, 0.0, m, top=4).tolist() == [0.0] * 4
    assert np.isnan(evaluate(_real, 0.6, [4.5, 0.5], top=4)).all()


@pytest.mark.parametrize(("m", "b", "w"), [(3, 3, 2), (2, 2, 4), (3.5, 4, 1)])
def test_gradients_equal_differences(m, b, w):
    rho, d = pt.dscalar("rho"), pt.dscalar("d")
    value = trees.tree_outputs(rho, m, b, w, d)
    both = pytensor.function([rho, d], [value, *pytensor.grad(value, [rho, d])], mode=Mode("py", "merge"))
    _, by_rho, by_d = both(0.4, 1.1)
    assert by_rho == pytest.approx(float(both(0.4 + 1e-5, 1.1)[0] - both(0.4 - 1e-5, 1.1)[0]) / 2e-5, rel=1e-7)
    assert by_d == pytest.approx(float(both(0.4, 1.1 + 1e-5)[0] - both(0.4, 1.1 - 1e-5)[0]) / 2e-5, rel=1e-7, abs=1e-10)
    assert np.all(np.isfinite([both(x, s) for x in (0.0, 0.4, 1.0) for s in (0.0, 45.0)]))


def test_better_evaluators_and_wider_trees_help():
    by_d = evaluate(outputs, 0.4, np.array([0.0, 0.5, 1.0, 2.0, 4.0, np.inf]), m=3, b=3, w=3)
    assert np.all(np.diff(by_d) > 0)
    by_b = [float(evaluate(outputs, 0.4, 1.5, m=3, b=b, w=3)) for b in (1, 2, 3, 5, 8)]
    assert np.all(np.diff(by_b) > 0)


def test_step_of_a_tree():
    step = lambda r, h: selectors.tree_step(r, h, 3, np.inf)  # noqa: E731
    advance, commit = evaluate(step, [0.2, 0.0, 1.0], [0.1, 0.4, 0.0])
    np.testing.assert_allclose(advance, [1 - 0.8**3, 0.0, 1.0], rtol=1e-14)
    np.testing.assert_allclose(commit, [0.8**3 * 0.1 / 0.8, 0.4, 0.0], rtol=1e-14)
    same = evaluate(lambda r, h: selectors.tree_step(r, h, 1, 2.0), 0.2, 0.1)
    np.testing.assert_allclose(same, [0.2, 0.1], rtol=1e-14)


def test_refuses_impossible_trees():
    with pytest.raises(ValueError, match="b and w must be at least 1"):
        trees.tree_outputs(0.5, 2, 0, 1, 1.0)
    with pytest.raises(ValueError, match="max_levels"):
        trees.tree_outputs(0.5, 2.5, 2, 2, 1.0)
    with pytest.raises(ValueError, match="n must be at least 1"):
        selectors.noisy_verifier(0.5, 0, 1.0)
