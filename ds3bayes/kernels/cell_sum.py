"""Likelihoods of tasks' cells looked up at many locations and summed over arms, by one kernel.

Tasks share few distinct cells: likelihoods at (task, arm, node) are far more numbers than are looked up or summed to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from ds3bayes.kernels.base import Array, KernelOp, Shape, Tensor
from ds3bayes.kernels.cubic import cubic_weights, node_below
from ds3bayes.kernels.row_sum import group_of_arms, summed

# Locations that the kernel takes at a time, what it rounds the number of cells up to, and to how many doubles it may
# align its scratch.
_BLOCK, _ROUND, _ALIGNED = 64, 8, 8


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

    Raises
    ------
    ValueError
        If an arm is not there or in two groups, or a cell is not there.
    """
    group = group_of_arms(table, cell, groups)
    scale = np.array([nodes[0], 1.0 / (nodes[1] - nodes[0])])
    return SumOfCells(groups=len(groups)).make_node(table, scale, location, cell, group).outputs[0]


class SumOfCells(KernelOp):
    """See `sum_of_cells`.

    Takes the table, the first node with the nodes per unit, locations, cells, and the group of each arm, -1 for none.

    Parameters
    ----------
    groups : int
        How many groups there are.
    """

    __props__ = ("groups",)
    kernel: ClassVar[str] = "sum_of_cells"
    whole_inputs: ClassVar[frozenset[int]] = frozenset({3, 4})

    def __init__(self, *, groups: int) -> None:
        self.groups = groups

    def shape_of(self, shapes: Sequence[Shape]) -> Shape:
        """Tasks, groups, locations."""
        return (shapes[3][0], self.groups, shapes[2][1])

    def sizes(self, shapes: Sequence[Shape]) -> Sequence[int]:
        """Arms, cells, columns of the table, locations, tasks, groups."""
        return (*shapes[0], shapes[2][1], shapes[3][0], self.groups)

    def scratch(self, shapes: Sequence[Shape]) -> int:
        """Tables and derivatives by them with the cells side by side; all cells at a block of locations."""
        arms, cells, places = shapes[0]
        rounded = -(-cells // _ROUND) * _ROUND
        return rounded * (2 * arms * (places + 2) + _BLOCK) + _ALIGNED

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the sums."""
        del node
        table, scale, location, cell, group = inputs
        looked_up = _Places.of(table, scale, location).neighbours(table)[0]
        output_storage[0][0] = summed(looked_up, cell, group, self.groups)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves the output by derivatives: table and locations."""
        del node
        return [[moves] for moves in (True, False, True, False, False)]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by table and locations."""
        del outputs
        fixed = DisconnectedType()
        of_table, of_location = SlopesOfCells().make_node(*inputs, cotangents[0]).outputs
        return [of_table, fixed(), of_location, fixed(), fixed()]


class SlopesOfCells(Op):
    """Of the inputs of the sums and derivatives by these: derivatives by the table and the locations."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to tensors."""
        return Apply(self, list(inputs), [inputs[0].type(), inputs[2].type()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the derivatives."""
        del node
        table, scale, location, cell, group, of_sum = inputs
        places = _Places.of(table, scale, location)
        of_found = np.zeros((*table.shape[:2], location.shape[1]))
        for arm in np.flatnonzero(group >= 0):
            np.add.at(of_found[arm], cell[:, arm], of_sum[:, group[arm]])
        output_storage[0][0] = places.of_table(of_found, table.shape)
        output_storage[1][0] = (of_found * places.neighbours(table)[1]).sum(axis=1)


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where locations (A, J) stand between the columns of tables that go on by one at both ends.

    Parameters
    ----------
    column : array of int, shape (A, J, 4)
        Of four neighbours.
    weight, slope : array, shape (A, J, 4)
        Their weights, and derivatives of these by the location.
    """

    column: Array
    weight: Array
    slope: Array

    @classmethod
    def of(cls, table: Array, scale: Array, location: Array) -> _Places:
        """Find them, from the location of the first column and how many columns there are per unit."""
        below, share, moves = node_below((location - scale[0]) * scale[1], table.shape[2])
        weight, slope = cubic_weights(share)
        by_location = slope * np.where(moves, scale[1], 0.0)[..., None]
        return cls(column=below[..., None] + np.arange(4), weight=weight, slope=by_location)

    def neighbours(self, table: Array) -> tuple[Array, Array]:
        """Return all cells (A, C, J) of tables at the locations, and derivatives of them by these."""
        longer = np.concatenate([table[..., :1], table, table[..., -1:]], axis=2)
        found, slopes = np.empty((2, *table.shape[:2], self.column.shape[1]))
        for arm, column in enumerate(self.column):
            found[arm] = (longer[arm][:, column] * self.weight[arm]).sum(axis=-1)
            slopes[arm] = (longer[arm][:, column] * self.slope[arm]).sum(axis=-1)
        return found, slopes

    def of_table(self, of_found: Array, shape: Shape) -> Array:
        """Return derivatives by tables (A, C, L), given those (A, C, J) by cells at the locations."""
        arms, cells, size = shape
        result = np.zeros((arms, cells, size + 2))
        for arm, column in enumerate(self.column):
            for k in range(4):
                np.add.at(result[arm].T, column[:, k], (of_found[arm] * self.weight[arm, :, k]).T)
        result[..., 1] += result[..., 0]
        result[..., -2] += result[..., -1]
        return result[..., 1:-1]
