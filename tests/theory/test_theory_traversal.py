from fractions import Fraction

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.link.vm import VMLinker

from ds3bayes.theory import path
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.path import solved
from ds3bayes.theory.traversal import (
    absorbed_on_path,
    absorbed_within,
    expected_visits,
    graph_matrices,
    lost_matrices,
    path_matrices,
    step_law,
    visits_by_outcome,
)

POINTS = 10_000
PYTHON = Mode("py", "merge")
# Loops of steps differentiate under a linker that runs them itself.
LOOPS = Mode(VMLinker(use_cloop=False, c_thunks=False), "merge")


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


def many_walks(seed, s=4, points=POINTS, most=120):
    """Random walks with some states that are nearly absorbing and some that hardly end, and their budgets."""
    rng = np.random.default_rng(seed)
    weights = np.exp(rng.normal(0, 2.5, size=(points, s, s + 2)))
    rows = weights / weights.sum(axis=-1, keepdims=True)
    return rows[..., :s], rows[..., s:], rng.dirichlet(np.ones(s), size=points), rng.integers(0, most + 1, size=points)


def step_by_step(Q, R_abs, start, K):
    """Walk all at once, one step at a time, counting visits by where they were made and where the walk now is.

    Takes complex arguments, so that derivatives can be had without a difference.
    """
    s = start.shape[-1]
    law = start.astype(np.result_type(Q, start))
    seen = np.zeros((*law.shape, s), law.dtype)  # (..., now at, visits to)
    ended = np.zeros((*law.shape[:-1], 2), law.dtype)
    visits = np.zeros_like(law)
    by_end = np.zeros((*law.shape, 2), law.dtype)
    steps = np.zeros((*law.shape[:-1], int(np.max(K, initial=0)), 2), law.dtype)
    for k in range(steps.shape[-2]):
        on = (k < K)[..., None]
        here = seen + law[..., None] * np.eye(s)
        ending = np.einsum("...j,...jo->...o", law, R_abs)
        steps[..., k, :] = np.where(on, ending, 0.0)
        ended = ended + np.where(on, ending, 0.0)
        visits = visits + np.where(on, law, 0.0)
        by_end = by_end + np.where(on[..., None], np.einsum("...ji,...jo->...io", here, R_abs), 0.0)
        seen = np.where(on[..., None], np.einsum("...ji,...jl->...li", here, Q), seen)
        law = np.where(on, np.einsum("...j,...jl->...l", law, Q), law)
    return {
        "solved": ended[..., 0],
        "wrong": ended[..., 1],
        "truncated": law.sum(-1),
        "steps": visits.sum(-1),
        "visits": visits,
        "solved_visits": by_end[..., 0],
        "wrong_visits": by_end[..., 1],
        "truncated_visits": seen.sum(-2),
        "law": steps,
    }


def everything(Q, R_abs, start, K, *, K_max=None):
    """Evaluate the functions under test, in the order of `step_by_step` but the law."""
    visits = expected_visits(Q, start, K, K_max=K_max)
    return (
        *absorbed_within(Q, R_abs, start, K, K_max=K_max),
        visits,
        *visits_by_outcome(Q, R_abs, start, K, K_max=K_max),
    )


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


def test_many_walks_against_steps():
    Q, R_abs, start, K = many_walks(1)
    got = evaluate(everything, Q, R_abs, start, K, core=(2, 2, 1, 0), K_max=120)
    wanted = step_by_step(Q, R_abs, start, K)
    for value, name in zip(got, wanted, strict=False):
        np.testing.assert_allclose(value, wanted[name], rtol=3e-13, atol=0, err_msg=name)
    np.testing.assert_allclose(got[4].sum(-1), got[3], rtol=1e-13)
    np.testing.assert_allclose(got[5] + got[6] + got[7], got[4], rtol=1e-13)


def test_law_of_many_walks_against_steps():
    Q, R_abs, start, _ = many_walks(2, points=1500)
    for K in (0, 1, 2, 3, 4, 5, 8, 31, 64, 77):
        got = evaluate(step_law, Q, R_abs, start, core=(2, 2, 1), K=K)
        wanted = step_by_step(Q, R_abs, start, np.array(K))["law"]
        assert got.shape == (1500, K, 2)
        np.testing.assert_allclose(got, wanted, rtol=3e-13, atol=0, err_msg=str(K))


@pytest.mark.parametrize("m", [1, 4, 9])
def test_many_equal_paths_against_closed_forms(m):
    rng = np.random.default_rng(m)
    r = rng.uniform(size=POINTS // 2) ** 2
    h = (1 - r) * rng.uniform(size=POINTS // 2) ** 4
    K = rng.integers(0, 500, size=POINTS // 2)
    Q, R_abs = evaluate(_equal_path, r[:, None], h[:, None], core=(1, 1), m=m)
    got = evaluate(absorbed_within, Q, R_abs, np.eye(m)[0], K, core=(2, 2, 1, 0), K_max=500)
    closed = [evaluate(formula, K, m, r, h) for formula in (path.solved, path.wrong, path.truncated)]
    for value, wanted in zip((*got[:3], got[3]), (*closed, evaluate(path.expected_steps, K, m, r, h)), strict=True):
        # Powers of 1 - r - h, which is rounded to an eps, lose K eps relative to their size if it is near 0.
        np.testing.assert_allclose(value, wanted, rtol=1e-10, atol=1e-300)


def test_exact_fractions():
    third, Q = Fraction(1, 3), [[Fraction(1, 2), Fraction(1, 7)], [Fraction(1, 10**9), Fraction(1, 5)]]
    R_abs = [[Fraction(1, 14), Fraction(2, 7)], [Fraction(1, 10**12), 0]]
    R_abs[1][1] = 1 - sum(Q[1]) - R_abs[1][0]
    law, ended, ends = [third, 1 - third], [Fraction(0), Fraction(0)], []
    for _ in range(45):
        ends.append([sum(law[j] * R_abs[j][o] for j in range(2)) for o in range(2)])
        ended = [ended[o] + ends[-1][o] for o in range(2)]
        law = [sum(law[j] * Q[j][i] for j in range(2)) for i in range(2)]
    arrays = [np.array(x, dtype=float) for x in (Q, R_abs, [third, 1 - third])]
    got = evaluate(absorbed_within, *arrays, K=45)
    np.testing.assert_allclose(got[:3], [float(x) for x in (*ended, sum(law))], rtol=2e-14)
    assert got[2] < 1e-13
    np.testing.assert_allclose(evaluate(step_law, *arrays, K=45), np.array(ends, dtype=float), rtol=2e-14)


def test_a_million_steps():
    # Dyadic, so that the chance to idle is exact and only the powers round: at most an eps per step.
    m, r, h, K = 3, 2.0**-18, 2.0**-21, 1_000_000
    Q, R_abs = evaluate(_equal_path, r, h, m=m)
    got = evaluate(absorbed_within, Q, R_abs, np.eye(m)[0], K=K)
    closed = [float(evaluate(f, K, m, r, h)) for f in (path.solved, path.wrong, path.truncated, path.expected_steps)]
    np.testing.assert_allclose([float(x) for x in got], closed, rtol=K * 2.2e-16)
    law = evaluate(step_law, Q, R_abs, np.eye(m)[0], K=K)
    assert law.shape == (K, 2)
    np.testing.assert_allclose(law.sum(axis=0), closed[:2], rtol=K * 2.2e-16)
    np.testing.assert_allclose(law[0], [0.0, h], rtol=0)
    visits = evaluate(visits_by_outcome, Q, R_abs, np.eye(m)[0], K=K)
    # A walk that ends solved spends as long at each of its skills.
    np.testing.assert_allclose(visits[0], visits[0][0], rtol=K * 2.2e-16)
    np.testing.assert_allclose(sum(v.sum() for v in visits), closed[3], rtol=K * 2.2e-16)


def _equal_path(r, h, *, m):
    return path_matrices(m, r, h)


def test_certain_and_impossible_steps():
    for r, h in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.25, 0.0)):
        for K in (0, 1, 2, 3, 7):
            Q, R_abs = evaluate(_equal_path, r, h, m=2)
            got = evaluate(absorbed_within, Q, R_abs, np.eye(2)[0], K=K)
            closed = [float(evaluate(f, K, 2, r, h)) for f in (path.solved, path.wrong, path.truncated)]
            np.testing.assert_allclose([float(x) for x in got[:3]], closed, rtol=1e-14, atol=0)
            np.testing.assert_array_equal(evaluate(absorbed_on_path, [r, r], h, K=K), got)


def test_unequal_paths_against_steps():
    rng = np.random.default_rng(5)
    m, K = 6, 60
    r = rng.uniform(0, 1, size=(POINTS, m)) ** 3
    h = (1 - r) * rng.uniform(0, 1, size=(POINTS, m)) ** 6
    got = evaluate(absorbed_on_path, r, h, core=(1, 1), K=K)
    Q, R_abs = evaluate(_equal_path, r, h, core=(1, 1), m=m)
    wanted = step_by_step(Q, R_abs, np.broadcast_to(np.eye(m)[0], (POINTS, m)), np.array(K))
    for value, name in zip(got, wanted, strict=False):
        np.testing.assert_allclose(value, wanted[name], rtol=3e-13, atol=0, err_msg=name)


@pytest.mark.parametrize(("m", "K"), [(60, 1200), pytest.param(1000, 100_000, marks=pytest.mark.slow)])
def test_long_unequal_path_against_squaring(m, K):
    r = np.random.default_rng(6).uniform(0.2, 2.0, size=m) * m / K
    got = evaluate(absorbed_on_path, r, 1e-5, K=K)
    Q, R_abs = evaluate(_equal_path, r, 1e-5, m=m)
    wanted = evaluate(absorbed_within, Q, R_abs, np.eye(m)[0], K=K)
    np.testing.assert_allclose(got, wanted, rtol=K * 2.2e-16)


def directional(outputs, inputs, values, directions, mode=PYTHON):
    """Return, per output and batch element, the derivative along the directions of all inputs."""
    wanted = []
    for output in outputs:
        grads = pytensor.grad(output.sum(), inputs, disconnected_inputs="ignore")
        moved = 0.0
        for grad, direction in zip(grads, directions, strict=True):
            moved = moved + (grad * direction).sum(axis=tuple(range(1, direction.ndim)))
        wanted.append(moved)
    return pytensor.function(inputs, wanted, mode=mode)(*values)


def complex_step(function, values, directions):
    tiny = 1e-100
    return {
        name: value.imag / tiny
        for name, value in function(*(v + 1j * tiny * d for v, d in zip(values, directions, strict=True))).items()
    }


def test_gradients_of_many_walks():
    Q, R_abs, start, K = many_walks(3, s=3, points=1000, most=31)
    rng = np.random.default_rng(4)
    values = (Q, R_abs, start)
    # A direction within the simplex and beyond it: the formulas are polynomials.
    along = tuple(rng.normal(size=v.shape) for v in values)
    inputs = [pt.tensor(f"x{v.ndim}{i}", shape=(None,) * v.ndim, dtype="float64") for i, v in enumerate(values)]
    outputs = everything(*inputs, K, K_max=None)
    weight = rng.normal(size=3)
    outputs = [*outputs[:4], *((part * weight).sum(axis=-1) for part in outputs[4:])]
    got = directional(outputs, inputs, values, along)
    wanted = complex_step(lambda *x: step_by_step(*x, K), values, along)
    size = complex_step(lambda *x: step_by_step(*x, K), values, tuple(np.abs(d) for d in along))
    for value, name in zip(got, wanted, strict=False):
        exact = wanted[name] if wanted[name].ndim == 1 else wanted[name] @ weight
        scale = size[name] if wanted[name].ndim == 1 else size[name] @ np.abs(weight)
        # Terms of both signs add up: the error is relative to the sum of their sizes.
        assert np.max(np.abs(value - exact) / np.where(scale > 0, scale, 1.0)) < 1e-12, name
    assert np.isfinite(np.array(got)).all()


def test_gradients_of_the_law():
    Q, R_abs, start, _ = many_walks(5, s=3, points=300)
    rng = np.random.default_rng(6)
    values = (Q, R_abs, start)
    along = tuple(rng.uniform(size=v.shape) for v in values)
    inputs = [pt.tensor(f"x{v.ndim}{i}", shape=(None,) * v.ndim, dtype="float64") for i, v in enumerate(values)]
    weight = rng.uniform(size=(37, 2))
    got = directional([(step_law(*inputs, 37) * weight).sum(axis=(-2, -1))], inputs, values, along)[0]
    wanted = complex_step(lambda *x: step_by_step(*x, np.array(37)), values, along)["law"]
    np.testing.assert_allclose(got, (wanted * weight).sum(axis=(-2, -1)), rtol=1e-12)


def test_gradients_of_unequal_paths():
    rng = np.random.default_rng(7)
    m, K, points = 5, 40, 400
    r = rng.uniform(0, 0.6, size=(points, m))
    # Certain and impossible steps, and two that are alike.
    h = np.repeat([[0.0], [0.03]], points // 2, axis=0) * np.ones(m)
    r[0], r[1], r[2, 1:3], r[-1] = 1.0, 0.0, 0.3, 0.97
    along = (rng.uniform(size=r.shape), rng.uniform(size=r.shape))
    inputs = [pt.matrix("r", dtype="float64"), pt.matrix("h", dtype="float64")]

    def by_steps(r, h):
        Q = np.eye(m) * (1 - r - h)[..., None] + np.eye(m, k=1) * r[..., None]
        R_abs = np.stack([r * np.eye(m)[-1], h], axis=-1)
        return step_by_step(Q, R_abs, np.broadcast_to(np.eye(m)[0], r.shape), np.array(K))

    wanted = complex_step(by_steps, (r, h), along)
    for outputs, mode in (
        (absorbed_on_path(*inputs, K), PYTHON),
        (absorbed_within(*path_matrices(m, *inputs), np.eye(m)[0], K), PYTHON),
    ):
        got = directional(outputs, inputs, (r, h), along, mode)
        for value, name in zip(got, wanted, strict=False):
            np.testing.assert_allclose(value, wanted[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.slow
def test_gradients_of_a_long_unequal_path():
    rng = np.random.default_rng(8)
    m, K = 3, 1100
    r = rng.uniform(0, 0.01, size=(4, m))
    h = np.full((4, m), 1e-4)
    along = (rng.uniform(size=r.shape), rng.uniform(size=r.shape))
    inputs = [pt.matrix("r", dtype="float64"), pt.matrix("h", dtype="float64")]
    looped = directional(absorbed_on_path(*inputs, K), inputs, (r, h), along, LOOPS)
    squared = directional(absorbed_within(*path_matrices(m, *inputs), np.eye(m)[0], K), inputs, (r, h), along)
    np.testing.assert_allclose(looped, squared, rtol=1e-11)


def random_graph(rng, s):
    edges = rng.dirichlet(np.full(s, 0.4), size=s) * (rng.random((s, s)) < 0.6)
    total = edges.sum(axis=1, keepdims=True)
    edges = edges / np.where(total > 0, total, 1.0)
    policy = rng.dirichlet([2.0, 1.0, 1.0, 0.5, 1.0], size=s)[:, :4]
    return edges, rng.random(s) < 0.3, policy.T, rng.random(s) * (rng.random(s) < 0.5)


def moves(edges, goal, policy, guess):
    """List every move of every skill, action by action."""
    s = len(edges)
    Q, R_abs = np.zeros((s, s)), np.zeros((s, 2))
    for i in range(s):
        advance, wander, backtrack, commit = policy[:, i]
        R_abs[i] = commit * guess[i], commit * (1 - guess[i])
        Q[i, i] += 1 - policy[:, i].sum()
        if goal[i]:
            R_abs[i, 0] += advance
        elif edges[i].any():
            for j in range(s):
                Q[i, j] += advance * edges[i, j]
        else:
            Q[i, i] += advance
        near = [j for j in range(s) if j != i and (edges[i, j] > 0 or edges[j, i] > 0)]
        for j in near or [i]:
            Q[i, j] += wander / len(near or [i])
        into = sum(edges[j, i] for j in range(s))
        for j in range(s):
            if into > 0:
                Q[i, j] += backtrack * edges[j, i] / into
        if into == 0:
            Q[i, i] += backtrack
    return Q, R_abs


def _graph(edges, goal, policy, guess):
    return graph_matrices(edges, goal, *(policy[..., a, :] for a in range(4)), guess)


def test_moves_over_a_graph():
    rng = np.random.default_rng(8)
    graphs = [random_graph(rng, 5) for _ in range(1000)]
    got = evaluate(_graph, *(np.stack(part) for part in zip(*graphs, strict=True)), core=(2, 1, 2, 1))
    for k, graph in enumerate(graphs):
        Q, R_abs = moves(*graph)
        np.testing.assert_allclose(got[0][k], Q, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(got[1][k], R_abs, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(got[0].sum(-1) + got[1].sum(-1), 1.0, rtol=1e-14)


def test_gradient_by_edges_and_actions():
    rng = np.random.default_rng(9)
    edges, _, policy, guess = random_graph(rng, 4)
    goal = np.array([False, False, False, True])
    at = [
        pt.matrix("edges", dtype="float64"),
        pt.matrix("policy", dtype="float64"),
        pt.vector("guess", dtype="float64"),
    ]
    matrices = _graph(at[0], goal, *at[1:])
    value = absorbed_within(*matrices, np.eye(4)[0], 33).solved
    both = pytensor.function(at, [value, *pytensor.grad(value, at)], mode=PYTHON)
    given = (edges, policy, guess)
    grads = both(*given)[1:]
    for part, grad in enumerate(grads):
        for place in zip(*np.nonzero(given[part]), strict=True):
            shift, ends = 1e-4 * given[part][place], []
            for factor in (-2, -1, 1, 2):
                moved = [x.copy() for x in given]
                moved[part][place] += factor * shift
                ends.append(float(both(*moved)[0]))
            difference = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * shift)
            # Rounding of the value, eps / shift, beside the relative error.
            assert abs(grad[place] - difference) <= 1e-6 * abs(difference) + 1e-15 / shift


def test_budgets_as_data():
    Q, R_abs = random_walk(10, 4)
    K = pt.vector("K", dtype="int64")
    ends = absorbed_within(Q, R_abs, np.eye(4)[0], K, K_max=1000)
    got = pytensor.function([K], list(ends), mode=PYTHON)(np.array([0, 1, 6, 1000]))
    for i, budget in enumerate((0, 1, 6, 1000)):
        np.testing.assert_allclose([x[i] for x in got], evaluate(absorbed_within, Q, R_abs, np.eye(4)[0], K=budget))


def test_refuses_impossible_budgets():
    walk_of_one = (np.eye(1), np.zeros((1, 2)), np.ones(1))
    for K in (-1, 2.5, True, np.array([3, -1]), np.array([1.0])):
        with pytest.raises(ValueError, match="K must be at least 0 and whole, got"):
            absorbed_within(*walk_of_one, K)
    with pytest.raises(ValueError, match="K must be at least 0"):
        step_law(*walk_of_one, -3)
    with pytest.raises(ValueError, match="K must be at least 0"):
        absorbed_on_path(np.ones(2), 0.0, -3)
    with pytest.raises(ValueError, match="K_max, the largest budget"):
        expected_visits(np.eye(1), np.ones(1), pt.lscalar("K"))
    with pytest.raises(ValueError, match="K_max must be at least 0"):
        expected_visits(np.eye(1), np.ones(1), pt.lscalar("K"), K_max=-1)
