"""Cells looked up and summed by compiled code: what the expression of an interpolation gives, and its derivatives."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from ds3bayes.generative.cell_sum import rows_at, sum_of_cells
from ds3bayes.generative.interpolate import neighbours

NODES = np.linspace(-3.0, 2.0, 21)
TASKS, ARMS, CELLS, SIZE = 6, 4, 3, 30


@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
@pytest.mark.parametrize("groups", [[[0, 1, 2, 3]], [[2], [0, 3]], [[0], [1], [2], [3]]])
def test_sums_are_those_of_the_interpolation(groups, mode):
    rng = np.random.default_rng(2)
    tables, at = rng.normal(size=(ARMS, CELLS, NODES.size)), rng.uniform(-2.9, 1.9, (ARMS, SIZE))
    # Beyond either end, at either end, and at a node.
    at[:, :5] = -7.0, 9.0, -3.0, 2.0, NODES[4]
    cell = rng.integers(0, CELLS, (TASKS, ARMS))
    table, location = pt.tensor3("table", shape=tables.shape), pt.matrix("location", shape=at.shape)
    near, weight = neighbours(location, NODES)
    rows = pt.concatenate([table[..., :1], table, table[..., -1:]], axis=-1)
    place = np.arange(ARMS)
    each = (rows[place[:, None, None], cell[..., None, None], near] * weight).sum(axis=-1)
    plain = pt.stack([each[:, mine].sum(axis=1) for mine in groups], axis=1)
    weights = rng.normal(size=(TASKS, len(groups), SIZE))
    outputs = []
    for result in (sum_of_cells(table, NODES, location, cell, groups), plain):
        outputs += [result, *pytensor.grad((weights * result).sum(), [table, location])]
    found = pytensor.function([table, location], outputs, mode=mode)(tables, at)
    assert found[0].shape == (TASKS, len(groups), SIZE)
    for mine, expected in zip(found[:2], found[3:5], strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12, atol=1e-13)
    # At the ends themselves, a derivative may be that of either side.
    np.testing.assert_allclose(np.delete(found[2], [2, 3], 1), np.delete(found[5], [2, 3], 1), rtol=1e-10, atol=1e-12)
    assert (found[2][:, :2] == 0.0).all()


def test_what_is_no_number_stays_so():
    table, location = np.ones((1, 1, NODES.size)), np.array([[0.0, np.nan]])
    result = sum_of_cells(table, NODES, pt.as_tensor(location), np.zeros((2, 1), dtype=int), [[0]])
    found = pytensor.function([], result, mode="FAST_COMPILE")()
    np.testing.assert_allclose(found, [[[1.0, np.nan]]] * 2)


@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
def test_rows_are_looked_up(mode):
    rng = np.random.default_rng(4)
    values, index = rng.normal(size=(3, 5)), np.array([2, 0, 0, 2, 2])
    table, weight = pt.matrix("table", shape=values.shape), rng.normal(size=(5, 5))
    rows = rows_at(table, index)
    found, slopes = pytensor.function([table], [rows, pytensor.grad((weight * rows).sum(), table)], mode=mode)(values)
    np.testing.assert_array_equal(found, values[index])
    expected = np.zeros((3, 5))
    np.add.at(expected, index, weight)
    np.testing.assert_allclose(slopes, expected, rtol=1e-14)
