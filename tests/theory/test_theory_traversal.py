import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode

from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.path import solved
from ds3bayes.theory.traversal import absorbed_within, lost_matrices, path_matrices


def walk(Q, R_abs, start, K):
    """Plain recursion over steps."""
    state, ended, count = start.astype(float), np.zeros(2), 0.0
    for _ in range(K):
        count += state.sum()
        ended, state = ended + state @ R_abs, state @ Q
    return [*ended, state.sum(), count]


def random_walk(seed, s):
    rows = np.random.default_rng(seed).dirichlet(np.full(s + 2, 0.5), size=s)
    return rows[:, :s], rows[:, s:]


@pytest.mark.parametrize("K", [0, 1, 2, 3, 7, 64, 100])
def test_equals_the_recursion_over_steps(K):
    Q, R_abs = random_walk(3, 5)
    start = np.array([0.5, 0.2, 0.3, 0.0, 0.0])
    got = evaluate(absorbed_within, Q, R_abs, start, K=K)
    np.testing.assert_allclose([float(x) for x in got], walk(Q, R_abs, start, K), rtol=1e-12, atol=1e-15)
    assert got[0] + got[1] + got[2] == pytest.approx(1.0, abs=1e-13)


def test_batches_of_walks():
    pairs = [random_walk(seed, 3) for seed in range(4)]
    Q, R_abs = (np.stack(part) for part in zip(*pairs, strict=True))
    got = evaluate(absorbed_within, Q, R_abs, np.array([1.0, 0.0, 0.0]), K=9)
    for i, pair in enumerate(pairs):
        wanted = walk(*pair, np.array([1.0, 0.0, 0.0]), 9)
        np.testing.assert_allclose([x[i] for x in got], wanted, rtol=1e-12)


def test_unequal_steps_are_a_sum_of_geometrics():
    r = np.array([0.5, 0.2, 0.35])
    Q, R_abs = evaluate(_vector_path, r, m=3)
    got = evaluate(absorbed_within, Q, R_abs, np.array([1.0, 0.0, 0.0]), K=400)
    assert got[3] == pytest.approx((1 / r).sum(), rel=1e-12)
    pmf = np.array([1.0])
    for step in r:
        pmf = np.convolve(pmf, np.concatenate([[0.0], step * (1 - step) ** np.arange(20)]))
    within = evaluate(absorbed_within, Q, R_abs, np.array([1.0, 0.0, 0.0]), K=15)
    assert within[0] == pytest.approx(pmf[:16].sum(), rel=1e-12)


def _vector_path(r, *, m):
    return path_matrices(m, r, 0.0)


def _lost(r, h, g, *, m, K):
    start = np.zeros(m + 1)
    start[0] = 1.0
    return tuple(absorbed_within(*lost_matrices(m, r, h, g), start, K))


def test_lost_walk():
    got = evaluate(_lost, 0.12, 0.01, 0.05, m=6, K=90)
    assert got[0] == pytest.approx(float(evaluate(solved, 90, 6, 0.12, 0.01)), rel=1e-12)
    assert got[0] == pytest.approx(0.60738, abs=5e-6)
    assert got[1] == pytest.approx(0.35731, abs=5e-6)
    # A slip that ends the walk one step later leaves as many right answers and never more wrong ones.
    sooner = evaluate(_lost, 0.12, 0.01, 1.0, m=6, K=90)
    assert got[1] < sooner[1]


def test_wrong_attempts_are_longer_when_lost():
    slow, quick = (evaluate(_lost, 0.12, 0.01, g, m=6, K=4000) for g in (0.02, 1.0))
    assert slow[0] == pytest.approx(float(quick[0]), rel=1e-12)
    assert slow[3] - quick[3] == pytest.approx(float(quick[1]) * (1 / 0.02 - 1), rel=1e-9)


def test_gradient_equals_differences():
    r, h = pt.scalar("r", dtype="float64"), pt.scalar("h", dtype="float64")
    value = absorbed_within(*path_matrices(4, r, h), np.eye(4)[0], 21).expected_steps
    both = pytensor.function([r, h], [value, *pytensor.grad(value, [r, h])], mode=Mode("py", "merge"))
    _, by_r, by_h = both(0.2, 0.05)
    assert by_r == pytest.approx(float(both(0.2 + 1e-6, 0.05)[0] - both(0.2 - 1e-6, 0.05)[0]) / 2e-6, rel=1e-7)
    assert by_h == pytest.approx(float(both(0.2, 0.05 + 1e-6)[0] - both(0.2, 0.05 - 1e-6)[0]) / 2e-6, rel=1e-7)


def test_refuses_impossible_sizes():
    with pytest.raises(ValueError, match="K must be at least 0"):
        absorbed_within(np.eye(1), np.zeros((1, 2)), np.ones(1), -1)
    with pytest.raises(ValueError, match="m must be at least 1"):
        path_matrices(0, 0.5, 0.0)
