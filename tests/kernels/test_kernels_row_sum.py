"""The kernel that sums rows of tables over groups of arms, against its definition and PyTensor's derivatives."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds3bayes.kernels.row_sum import sum_of_rows

SETTINGS = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
TASKS, ARMS, CELLS, SIZE = 7, 5, 4, 13
GROUPS = [[[0, 1, 2, 3, 4]], [[2], [0, 4]], [[4], [1], [0], [3], [2]]]


def inputs_of(table, cell, groups):
    """Return the operation and its inputs, as `sum_of_rows` makes them."""
    node = sum_of_rows(pt.as_tensor(table), cell, groups).owner
    return node.op, [table, *(one.data for one in node.inputs[1:])]


def case(seed: int, groups=GROUPS[1], size=SIZE):
    rng = np.random.default_rng(seed)
    return inputs_of(rng.normal(size=(ARMS, CELLS, size)), rng.integers(0, CELLS, (TASKS, ARMS)), groups)


@pytest.mark.parametrize("groups", GROUPS)
def test_output_is_rows_taken_and_summed(kernel_at, level, performed, groups):
    for seed in range(20):
        op, inputs = case(seed, groups)
        table, cell, *_ = inputs
        rows = table[np.arange(ARMS), cell]
        expected = np.stack([rows[:, mine].sum(axis=1) for mine in groups], axis=1)
        for found in (kernel_at(op, level, inputs).forward(), performed(op, inputs)):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("groups", GROUPS)
def test_derivatives_are_those_of_pytensor(kernel_at, level, defined, groups):
    for seed in range(20):
        op, inputs = case(seed, groups)
        weight = np.random.default_rng(seed).normal(size=(TASKS, len(groups), SIZE))
        kernel, (_, (expected,)) = kernel_at(op, level, inputs), defined(op, inputs, weight, (0,))
        kernel.forward()
        np.testing.assert_allclose(kernel.reverse(weight)[0], expected, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(kernel.reverse(weight, start=1.0)[0], 1.0 + expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", [1, 3, 8, 24, 97, 200])
def test_rows_of_any_length(kernel_at, level, defined, size):
    """Shorter than the processor's vectors, whole numbers of them, with a rest, and longer than registers hold."""
    for groups in GROUPS:
        op, inputs = case(3, groups, size)
        weight = np.random.default_rng(size).normal(size=(TASKS, len(groups), size))
        kernel, (value, (slope,)) = kernel_at(op, level, inputs), defined(op, inputs, weight, (0,))
        np.testing.assert_allclose(kernel.forward(), value, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(kernel.reverse(weight)[0], slope, rtol=1e-12, atol=1e-14)


@SETTINGS
@given(seed=st.integers(0, 10**6))
def test_derivatives_are_the_transpose(kernel_at, seed):
    """The sums are linear in the table: their products with weights are those of the table with derivatives."""
    op, inputs = case(seed)
    kernel, weight = kernel_at(op, "x86-64", inputs), np.random.default_rng(seed).normal(size=(TASKS, 2, SIZE))
    forward = (kernel.forward() * weight).sum()
    assert (kernel.reverse(weight)[0] * inputs[0]).sum() == pytest.approx(forward, rel=1e-10, abs=1e-10)


@SETTINGS
@given(seed=st.integers(0, 10**6))
def test_arms_and_tasks_are_independent(kernel_at, seed):
    op, (table, cell, *_) = case(seed)
    rng = np.random.default_rng(seed)
    arms, tasks = rng.permutation(ARMS), rng.permutation(TASKS)
    groups = [[int(np.flatnonzero(arms == arm)[0]) for arm in mine] for mine in GROUPS[1]]
    moved = inputs_of(table[arms], cell[tasks][:, arms], groups)[1]
    first = kernel_at(op, "x86-64", inputs_of(table, cell, GROUPS[1])[1])
    np.testing.assert_allclose(kernel_at(op, "x86-64", moved).forward(), first.forward()[tasks], rtol=1e-12, atol=1e-14)


def test_groups_split_add_up(kernel_at, level):
    op, inputs = case(8, [[0, 1, 2, 3, 4]])
    parts, split = case(8, [[1, 3], [4], [0, 2]])
    whole = kernel_at(op, level, inputs).forward()[:, 0]
    np.testing.assert_allclose(kernel_at(parts, level, split).forward().sum(axis=1), whole, rtol=1e-12, atol=1e-14)


def test_what_is_no_number_stays_so(kernel_at, level, performed):
    op, inputs = case(2)
    inputs[0][0, 1, 3] = np.nan
    expected = np.zeros((TASKS, 2, SIZE), dtype=bool)
    expected[inputs[1][:, 0] == 1, 1, 3] = True
    assert expected.any()
    for found in (kernel_at(op, level, inputs).forward(), performed(op, inputs)):
        np.testing.assert_array_equal(np.isnan(found), expected)


def test_a_wrong_kernel_is_found_out(kernel_at, performed):
    op, inputs = case(0, GROUPS[2])
    right, wrong = "of->group[arm] == group; arm++", "of->group[arm] >= group; arm++"
    kernel = kernel_at(op, "x86-64", inputs, change=lambda text: text.replace(right, wrong))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(kernel.forward(), performed(op, inputs), rtol=1e-12)


@pytest.mark.parametrize(
    ("cell", "groups", "message"),
    [
        ([[0, 4]], [[0, 1]], "cells of tasks must be from 0 to 3, got 0 to 4"),
        ([[-1, 0]], [[0, 1]], "cells of tasks must be from 0 to 3, got -1 to 0"),
        ([[0, 0]], [[0, 2]], "arms of groups must be from 0 to 1, got 2"),
        ([[0, 0]], [[0], [1, 0]], "an arm can be in one group, got arm 0 in groups 0 and 1"),
    ],
)
def test_what_is_not_there_is_refused(cell, groups, message):
    with pytest.raises(ValueError, match=message):
        sum_of_rows(pt.as_tensor(np.zeros((2, 4, 3))), np.array(cell), groups)


@pytest.mark.filterwarnings("ignore:Numba will use object mode")
@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
def test_rows_of_one_arm_are_looked_up(mode):
    rng = np.random.default_rng(4)
    values, index = rng.normal(size=(3, 5)), np.array([2, 0, 0, 2, 2])
    table, weight = pt.matrix("table", shape=values.shape), rng.normal(size=(5, 5))
    rows = sum_of_rows(table[None], index[:, None], [[0]])[:, 0]
    found, slopes = pytensor.function([table], [rows, pytensor.grad((weight * rows).sum(), table)], mode=mode)(values)
    np.testing.assert_array_equal(found, values[index])
    expected = np.zeros((3, 5))
    np.add.at(expected, index, weight)
    np.testing.assert_allclose(slopes, expected, rtol=1e-14)
