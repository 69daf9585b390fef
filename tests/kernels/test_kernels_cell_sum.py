"""The kernel that looks cells up and sums them, against its definition, an interpolation by SciPy, and differences."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline

from ds3bayes.kernels.cell_sum import sum_of_cells
from ds3bayes.theory.interpolate import neighbours

SETTINGS = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
NODES = np.linspace(-3.0, 2.0, 21)
#: More locations than are taken at a time, and more cells than are taken side by side.
TASKS, ARMS, CELLS, SIZE = 6, 4, 11, 70
GROUPS = [[[0, 1, 2, 3]], [[2], [0, 3]], [[0], [1], [2], [3]]]
#: Table and location.
MOVING = (0, 2)


def inputs_of(table, location, cell, groups, nodes=NODES):
    """Return the operation and its inputs, as `sum_of_cells` makes them."""
    node = sum_of_cells(pt.as_tensor(table), nodes, pt.as_tensor(location), cell, groups).owner
    return node.op, [table, node.inputs[1].data, location, *(one.data for one in node.inputs[3:])]


def case(seed: int, groups=GROUPS[1], cells: int = CELLS, size: int = SIZE):
    rng = np.random.default_rng(seed)
    table, location = rng.normal(size=(ARMS, cells, NODES.size)), rng.uniform(-3.4, 2.4, (ARMS, size))
    return inputs_of(table, location, rng.integers(0, cells, (TASKS, ARMS)), groups)


def looked_up(table, location):
    """Catmull-Rom: slopes at the nodes are those between their neighbours, of a table that is flat beyond its ends."""
    longer = np.concatenate([table[..., :1], table, table[..., -1:]], axis=2)
    steep = (longer[..., 2:] - longer[..., :-2]) / (2.0 * (NODES[1] - NODES[0]))
    at = location.clip(NODES[0], NODES[-1])
    return np.stack([CubicHermiteSpline(NODES, table[arm], steep[arm], axis=1)(at[arm]) for arm in range(len(table))])


@pytest.mark.parametrize("groups", GROUPS)
def test_output_is_that_of_the_interpolation(kernel_at, level, performed, groups):
    for seed in range(20):
        op, inputs = case(seed, groups)
        table, _, location, cell, _ = inputs
        rows = looked_up(table, location)[np.arange(ARMS), cell]
        expected = np.stack([rows[:, mine].sum(axis=1) for mine in groups], axis=1)
        found = kernel_at(op, level, inputs).forward()
        np.testing.assert_allclose(found, performed(op, inputs), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("cells", "size"), [(1, 1), (8, 64), (17, 130)])
def test_derivatives_are_those_of_pytensor(kernel_at, level, defined, cells, size):
    for seed in range(20):
        op, inputs = case(seed, cells=cells, size=size)
        # Beyond either end, at either end, and at a node.
        ends = np.array([-7.0, 9.0, -3.0, 2.0, NODES[4]])[:size]
        inputs[2][1, : ends.size] = ends
        weight = np.random.default_rng(seed).normal(size=(TASKS, 2, size))
        kernel, (result, expected) = kernel_at(op, level, inputs), defined(op, inputs, weight, MOVING)
        np.testing.assert_allclose(kernel.forward(), result, rtol=1e-12, atol=1e-14)
        found, more = kernel.reverse(weight), kernel.reverse(weight, start=1.0)
        for k, mine in zip(MOVING, expected, strict=True):
            np.testing.assert_allclose(found[k], mine, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(more[k], 1.0 + mine, rtol=1e-10, atol=1e-12)
        assert (found[2][1, :4] == 0.0).all()


def test_derivatives_are_differences(kernel_at, level):
    step = 1e-6
    for seed in range(20):
        op, inputs = case(seed)
        kernel, rng = kernel_at(op, level, inputs), np.random.default_rng(seed)
        weight = rng.normal(size=kernel.forward().shape)
        slopes = kernel.reverse(weight)
        for k in MOVING:
            way = rng.normal(size=inputs[k].shape) * step
            sides = []
            for sign in (1.0, -1.0):
                kernel.put(*inputs[:k], inputs[k] + sign * way, *inputs[k + 1 :])
                sides.append((weight * kernel.forward()).sum())
            kernel.put(*inputs)
            kernel.forward()
            assert (slopes[k] * way).sum() == pytest.approx((sides[0] - sides[1]) / 2.0, rel=1e-4, abs=1e-8)


def test_only_derivatives_that_are_wanted_are_added(kernel_at, level):
    op, inputs = case(1)
    weight = np.ones((TASKS, 2, SIZE))
    for wanted, other in (MOVING, MOVING[::-1]):
        kernel = kernel_at(op, level, inputs, (wanted,))
        kernel.forward()
        slopes = kernel.reverse(weight)
        assert slopes[wanted].any()
        assert not slopes[other].any()


@SETTINGS
@given(seed=st.integers(0, 10**6))
def test_arms_tasks_and_locations_are_independent(kernel_at, seed):
    op, (table, _, location, cell, _) = case(seed)
    rng = np.random.default_rng(seed)
    arms, tasks, places = map(rng.permutation, (ARMS, TASKS, SIZE))
    groups = [[int(np.flatnonzero(arms == arm)[0]) for arm in mine] for mine in GROUPS[1]]
    first = kernel_at(op, "x86-64", inputs_of(table, location, cell, GROUPS[1])[1])
    moved = inputs_of(table[arms], location[arms][:, places], cell[tasks][:, arms], groups)[1]
    second = kernel_at(op, "x86-64", moved)
    there = np.ix_(tasks, range(2), places)
    np.testing.assert_allclose(second.forward(), first.forward()[there], rtol=1e-12, atol=1e-13)
    weight = rng.normal(size=(TASKS, 2, SIZE))
    before, after = first.reverse(weight), second.reverse(weight[there])
    np.testing.assert_allclose(after[0], before[0][arms], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(after[2], before[2][arms][:, places], rtol=1e-10, atol=1e-10)


@SETTINGS
@given(seed=st.integers(0, 10**6), share=st.floats(-3.0, 3.0))
def test_tables_add_up(kernel_at, seed, share):
    op, inputs = case(seed)
    other = np.random.default_rng(seed + 1).normal(size=inputs[0].shape)
    both, mine, theirs = (
        kernel_at(op, "x86-64", [table, *inputs[1:]]).forward()
        for table in (inputs[0] + share * other, inputs[0], other)
    )
    np.testing.assert_allclose(both, mine + share * theirs, rtol=1e-11, atol=1e-12)


def test_what_is_no_number_stays_so(kernel_at, level, performed):
    op, inputs = case(0)
    inputs[2][0, 66] = np.nan
    kernel, expected = kernel_at(op, level, inputs), np.zeros((TASKS, 2, SIZE), dtype=bool)
    expected[:, 1, 66] = True
    for found in (kernel.forward(), performed(op, inputs)):
        np.testing.assert_array_equal(np.isnan(found), expected)
    slopes = kernel.reverse(np.ones((TASKS, 2, SIZE)))
    np.testing.assert_array_equal(np.argwhere(np.isnan(slopes[2])), [[0, 66]])


def test_locations_far_out_have_the_last_cells(kernel_at, level, performed):
    op, inputs = case(0)
    inputs[2][:, :4] = -1e6, 1e6, -np.inf, np.inf
    kernel = kernel_at(op, level, inputs)
    found = kernel.forward()
    np.testing.assert_allclose(found, performed(op, inputs), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found[..., 0], found[..., 2])
    assert (kernel.reverse(np.ones(found.shape))[2][:, :4] == 0.0).all()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("place > of->places ? of->places - 1", "place > of->places ? of->places - 2"),
        ("moved += places->slope", "moved -= places->slope"),
        ("load(row) + places->weight[k][j]", "load(row) + places->weight[0][j]"),
    ],
)
def test_a_wrong_kernel_is_found_out(kernel_at, defined, right, wrong):
    op, inputs = case(0)

    def change(text):
        assert right in text
        return text.replace(right, wrong)

    weight = np.random.default_rng(0).normal(size=(TASKS, 2, SIZE))
    result, expected = defined(op, inputs, weight, MOVING)
    kernel = kernel_at(op, "x86-64", inputs, change=change)
    with pytest.raises(AssertionError):  # noqa: PT012
        np.testing.assert_allclose(kernel.forward(), result, rtol=1e-12, atol=1e-14)
        for k, mine in zip(MOVING, expected, strict=True):
            np.testing.assert_allclose(kernel.reverse(weight)[k], mine, rtol=1e-10, atol=1e-12)


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="cells of tasks must be from 0 to 2, got 3 to 3"):
        inputs_of(np.zeros((1, 3, NODES.size)), np.zeros((1, 2)), np.array([[3]]), [[0]])


@pytest.mark.filterwarnings("ignore:Numba will use object mode")
@pytest.mark.parametrize("mode", [pytest.param("NUMBA", marks=pytest.mark.slow), "FAST_COMPILE"])
@pytest.mark.parametrize("groups", GROUPS)
def test_sums_are_those_of_pytensors_interpolation(groups, mode):
    rng = np.random.default_rng(2)
    tables, at = rng.normal(size=(ARMS, 3, NODES.size)), rng.uniform(-2.9, 1.9, (ARMS, 30))
    # Beyond either end, at either end, and at a node.
    at[:, :5] = -7.0, 9.0, -3.0, 2.0, NODES[4]
    cell = rng.integers(0, 3, (TASKS, ARMS))
    table, location = pt.tensor3("table", shape=tables.shape), pt.matrix("location", shape=at.shape)
    near, weight = neighbours(location, NODES)
    rows = pt.concatenate([table[..., :1], table, table[..., -1:]], axis=-1)
    place = np.arange(ARMS)
    each = (rows[place[:, None, None], cell[..., None, None], near] * weight).sum(axis=-1)
    plain = pt.stack([each[:, mine].sum(axis=1) for mine in groups], axis=1)
    weights = rng.normal(size=(TASKS, len(groups), 30))
    outputs = []
    for result in (sum_of_cells(table, NODES, location, cell, groups), plain):
        outputs += [result, *pytensor.grad((weights * result).sum(), [table, location])]
    found = pytensor.function([table, location], outputs, mode=mode)(tables, at)
    assert found[0].shape == (TASKS, len(groups), 30)
    for mine, expected in zip(found[:2], found[3:5], strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12, atol=1e-13)
    # At the ends themselves, a derivative may be that of either side.
    np.testing.assert_allclose(np.delete(found[2], [2, 3], 1), np.delete(found[5], [2, 3], 1), rtol=1e-10, atol=1e-12)
    assert (found[2][:, :2] == 0.0).all()


def test_pytensor_sees_what_is_no_number():
    table, location = np.ones((1, 1, NODES.size)), np.array([[0.0, np.nan]])
    result = sum_of_cells(table, NODES, pt.as_tensor(location), np.zeros((2, 1), dtype=int), [[0]])
    found = pytensor.function([], result, mode="FAST_COMPILE")()
    np.testing.assert_allclose(found, [[[1.0, np.nan]]] * 2)
