"""Likelihoods of tasks' cells looked up at many locations and summed over arms, in one pass of compiled code.

Tasks share few distinct cells: likelihoods at (task, arm, node) are far more numbers than are looked up or summed to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ds3bayes.generative.compiled_op import CompiledOp
from ds3bayes.generative.elementary import compiled
from ds3bayes.generative.interpolate import place_neighbours

Array = np.ndarray
Tensor = Any


def sum_of_cells(
    table: Tensor, nodes: Array, location: Tensor, cell: Array, groups: Sequence[Sequence[int] | Array]
) -> Tensor:
    """Look up each task's cells at the locations of their arms and sum them over groups of arms.

    Parameters
    ----------
    table : tensor, shape (A, C, L)
        Of C cells of each of A arms at L locations: cubic between, flat beyond them.
    nodes : array, shape (L,)
        These locations, rising, equally spaced.
    location : tensor, shape (A, J)
        Where each arm's cells are looked up.
    cell : array of int, shape (U, A)
        Which of its arm's cells each task has.
    groups : sequence of P sequences of int
        Arms of each group; an arm is in one group at most.

    Returns
    -------
    tensor, shape (U, P, J)
    """
    group = np.full(cell.shape[1], -1)
    for place, arms in enumerate(groups):
        group[np.asarray(arms)] = place
    scale = np.array([nodes[0], 1.0 / (nodes[1] - nodes[0])])
    return SumOfCells(groups=len(groups)).make_node(table, scale, location, cell, group).outputs[0]


class SumOfCells(CompiledOp):
    """See `sum_of_cells`.

    Takes the table, the first node with the nodes per unit, locations, cells, and the group of each arm, -1 for none.
    """

    __props__ = ("groups",)

    def __init__(self, groups: int) -> None:
        self.groups = groups

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _sums(self.groups)

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """Tasks, groups, nodes."""
        shape = (inputs[3].type.shape[0], self.groups, inputs[2].type.shape[1])
        return [pt.tensor(dtype="float64", shape=shape)]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves the output by derivatives: table and locations."""
        del node
        return [[moves] for moves in (True, False, True, False, False)]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by table and locations."""
        del outputs
        fixed = DisconnectedType()
        of_table, of_location = SlopesOfSum().make_node(*inputs, cotangents[0]).outputs
        return [of_table, fixed(), of_location, fixed(), fixed()]


class SlopesOfSum(CompiledOp):
    """Of the inputs of the sums and derivatives by these: derivatives by the table and the locations."""

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _slopes

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """As table and locations."""
        return [inputs[0].type(), inputs[2].type()]


def rows_at(table: Tensor | Array, index: Array) -> Tensor:
    """Look up rows of a table of cells, one per task, wherever the model is evaluated.

    Parameters
    ----------
    table : tensor or array, shape (C, G)
    index : array of int, shape (U,)

    Returns
    -------
    tensor, shape (U, G)
    """
    return RowsAt()(table, index)


class RowsAt(CompiledOp):
    """See `rows_at`.

    PyTensor would look rows of a constant up while it compiles; a thousand of them are too many numbers for code that
    can be kept on disk.
    """

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _rows_at

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """As many rows as there are numbers."""
        return [pt.tensor(dtype="float64", shape=(inputs[1].type.shape[0], inputs[0].type.shape[1]))]

    def do_constant_folding(self, fgraph: Any, node: Apply) -> bool:
        """Leave it to the model."""
        del fgraph, node
        return False

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves the output by derivatives: the table."""
        del node
        return [[True], [False]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by the table."""
        del outputs
        table, index = inputs
        return [pt.inc_subtensor(pt.zeros_like(table)[index], cotangents[0]), DisconnectedType()()]


@compiled
def _rows_at(table: Array, index: Array) -> Array:
    return table[index]


@compiled
def _continued(rows: Array) -> Array:
    """Lay the cells of a location side by side, and go on by the first and last location: (C, L) to (L + 2, C)."""
    cells, size = rows.shape
    out = np.empty((size + 2, cells))
    out[1:-1] = rows.T
    out[0], out[-1] = out[1], out[-2]
    return out


@compiled
def _add(values: Array, out: Array) -> None:
    """Add values (n,) to ``out``; an operator would make an array of the sums first."""
    for j in range(out.size):
        out[j] += values[j]


@lru_cache(maxsize=16)
def _sums(groups: int) -> Any:
    """Return compiled code for sums over some number of groups."""

    @compiled
    def sums(table: Array, scale: Array, location: Array, cell: Array, group: Array) -> Array:
        tasks, size, cells = cell.shape[0], location.shape[1], table.shape[1]
        result = np.zeros((tasks, groups, size))
        place, weight, slope = np.empty(size, np.int64), np.empty((4, size)), np.empty((4, size))
        found, by_cell = np.empty((size, cells)), np.empty((cells, size))
        for arm in range(group.size):
            if group[arm] < 0:
                continue
            place_neighbours(location[arm], scale[0], scale[1], table.shape[2], place, weight, slope)
            rows = _continued(table[arm])
            for j in range(size):
                a, b, c, d = weight[0, j], weight[1, j], weight[2, j], weight[3, j]
                at = place[j]
                for which in range(cells):
                    first = a * rows[at, which] + b * rows[at + 1, which]
                    found[j, which] = first + c * rows[at + 2, which] + d * rows[at + 3, which]
            by_cell[:] = found.T
            for task in range(tasks):
                _add(by_cell[cell[task, arm]], result[task, group[arm]])
        return result

    return sums


@compiled
def _slopes(
    table: Array, scale: Array, location: Array, cell: Array, group: Array, of_result: Array
) -> tuple[Array, Array]:
    tasks, size, cells = cell.shape[0], location.shape[1], table.shape[1]
    of_table, of_location = np.zeros(table.shape), np.zeros(location.shape)
    place, weight, slope = np.empty(size, np.int64), np.empty((4, size)), np.empty((4, size))
    of_found, by_cell = np.empty((size, cells)), np.empty((cells, size))
    of_rows = np.empty((table.shape[2] + 2, cells))
    for arm in range(group.size):
        if group[arm] < 0:
            continue
        place_neighbours(location[arm], scale[0], scale[1], table.shape[2], place, weight, slope)
        rows = _continued(table[arm])
        by_cell[:], of_rows[:] = 0.0, 0.0
        for task in range(tasks):
            _add(of_result[task, group[arm]], by_cell[cell[task, arm]])
        of_found[:] = by_cell.T
        for j in range(size):
            for up in range(4):
                at, share, through = place[j] + up, weight[up, j], 0.0
                for which in range(cells):
                    of_rows[at, which] += share * of_found[j, which]
                    through += rows[at, which] * of_found[j, which]
                of_location[arm, j] += slope[up, j] * through
        of_rows[1] += of_rows[0]
        of_rows[-2] += of_rows[-1]
        of_table[arm] = of_rows[1:-1].T
    return of_table, of_location
