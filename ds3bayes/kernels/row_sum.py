"""Rows of tables, one per task and arm, summed over groups of arms, by one kernel.

Tasks share few distinct cells: rows of (task, arm) are far more numbers than the tables have, or the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ds3bayes.kernels.base import Array, KernelOp, Shape, Tensor


def sum_of_rows(table: Tensor, cell: Array, groups: Sequence[Sequence[int] | Array]) -> Tensor:
    """Take each task's row of the tables of arms, and sum them over groups of arms.

    Parameters
    ----------
    table : tensor, shape (A, C, J)
        A row for each of C cells of each of A arms.
    cell : array of int, shape (U, A)
        Which of its arm's cells each task has.
    groups : sequence of P sequences of int
        Arms of each group; an arm is in one group at most.

    Returns
    -------
    tensor, shape (U, P, J)
        ``table[arms, cell[:, arms]].sum(axis=1)`` for each group of arms.

    Raises
    ------
    ValueError
        If an arm is not there or in two groups, or a cell is not there.
    """
    group = group_of_arms(table, cell, groups)
    order = np.argsort(cell.T, axis=1, kind="stable")
    return SumOfRows(groups=len(groups)).make_node(table, cell, group, order).outputs[0]


def group_of_arms(table: Tensor, cell: Array, groups: Sequence[Sequence[int] | Array]) -> Array:
    """Return the group (A,) that each arm is in, -1 for none, given tables (A, C, ...) and cells (U, A) of tasks.

    Raises
    ------
    ValueError
        If an arm is not there or in two groups, or a cell is not there.
    """
    arms, cells = cell.shape[1], pt.as_tensor(table).type.shape[1]
    if cells is not None and cell.size and not 0 <= cell.min() <= cell.max() < cells:
        raise ValueError(f"cells of tasks must be from 0 to {cells - 1}, got {cell.min()} to {cell.max()}")
    group = np.full(arms, -1)
    for place, mine in enumerate(groups):
        for arm in map(int, mine):
            if not 0 <= arm < arms:
                raise ValueError(f"arms of groups must be from 0 to {arms - 1}, got {arm}")
            if group[arm] >= 0:
                raise ValueError(f"an arm can be in one group, got arm {arm} in groups {group[arm]} and {place}")
            group[arm] = place
    return group


def summed(table: Array, cell: Array, group: Array, groups: int) -> Array:
    """Sum rows of tables (A, C, J) over groups of arms, (U, P, J), as `sum_of_rows` does."""
    result = np.zeros((len(cell), groups, table.shape[2]))
    for arm in np.flatnonzero(group >= 0):
        result[:, group[arm]] += table[arm, cell[:, arm]]
    return result


class SumOfRows(KernelOp):
    """See `sum_of_rows`; takes the table, cells, the group of each arm, -1 for none, and each arm's tasks by cell.

    Parameters
    ----------
    groups : int
        How many groups there are.
    """

    __props__ = ("groups",)
    kernel: ClassVar[str] = "sum_of_rows"
    whole_inputs: ClassVar[frozenset[int]] = frozenset({1, 2, 3})

    def __init__(self, *, groups: int) -> None:
        self.groups = groups

    def shape_of(self, shapes: Sequence[Shape]) -> Shape:
        """Tasks, groups, columns of the table."""
        return (shapes[1][0], self.groups, shapes[0][2])

    def sizes(self, shapes: Sequence[Shape]) -> Sequence[int]:
        """Arms, cells, columns, tasks, groups."""
        return (*shapes[0], shapes[1][0], self.groups)

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the sums."""
        del node
        table, cell, group, _ = inputs
        output_storage[0][0] = summed(table, cell, group, self.groups)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves the output by derivatives: the table."""
        del node
        return [[True], [False], [False], [False]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by the table."""
        del outputs
        table, cell, group, _ = inputs
        # An arm without a group, -1, has the last row.
        of_arms = pt.concatenate([cotangents[0], pt.zeros_like(cotangents[0][:, :1])], axis=1)[:, group]
        of_table = pt.inc_subtensor(pt.zeros_like(table)[pt.arange(table.shape[0]), cell], of_arms)
        return [of_table, *(DisconnectedType()() for _ in range(3))]
