"""Cubic interpolation in tables that are too slow to compute while sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from ds3bayes.generative.elementary import compiled

Array = np.ndarray
Tensor = Any

# Catmull-Rom weights of four neighbours at a share t of the way from the second to the third: a column each, by power.
_CUBIC = 0.5 * np.array([[0.0, 2.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.0], [2.0, -5.0, 4.0, -1.0], [-1.0, 3.0, -3.0, 1.0]])


def neighbours(value: Tensor, nodes: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return where the four neighbours of values (...) stand in a padded table, and their weights, (..., 4) each.

    Beyond the ends of the equally spaced nodes, values count as those.
    """
    position = pt.clip((value - nodes[0]) / (nodes[1] - nodes[0]), 0.0, nodes.size - 1.0)
    left = pt.clip(pt.floor(position), 0, nodes.size - 2)
    t = pt.shape_padright(position - left)
    weight = _CUBIC[0] + t * (_CUBIC[1] + t * (_CUBIC[2] + t * _CUBIC[3]))
    return pt.shape_padright(left.astype("int64")) + np.arange(4), weight


def interpolate(table: np.ndarray, *places: tuple[Tensor, Tensor]) -> Tensor:
    """Interpolate between the first axes of a padded table, one of `neighbours` each; its other axes stay.

    Places broadcast against each other. Blocks of 4 or 16 entries at once: graphs of single entries take many seconds
    to compile.
    """
    axes, rest = len(places), table.ndim - len(places)
    index, weight = [], 1.0
    for axis, (place, share) in enumerate(places):
        block = (..., *(slice(None) if other == axis else None for other in range(axes)))
        index.append(place[block])
        weight = weight * share[block]
    value = pt.shape_padright(weight, rest) * pt.as_tensor(table)[tuple(index)]
    return value.sum(axis=tuple(range(-axes - rest, -rest if rest else 0)))


@compiled
def node_below(position: float, size: int) -> tuple[float, float]:
    """Move a position beyond either of ``size`` nodes 0, 1, ... to it; return it and the node below, never the last."""
    position = 0.0 if position < 0.0 else size - 1.0 if position > size - 1.0 else position
    whole = np.floor(position)
    return position, whole if whole < size - 2.0 else size - 2.0


@compiled
def place_neighbours(
    values: Array, first: float, per_unit: float, size: int, place: Array, weight: Array, slope: Array
) -> None:
    """Do what `neighbours` does, in compiled code, for ``size`` nodes from ``first`` on, ``per_unit`` of them per unit.

    Where the neighbours of values (n,) start goes into ``place`` (n,), their weights into ``weight`` (4, n), and the
    derivatives of these by the values into ``slope`` (4, n). NaN stays in the weights.
    """
    for j in range(values.size):
        position, whole = node_below((values[j] - first) * per_unit, size)
        moves = per_unit if 0.0 < position < size - 1.0 else 0.0
        place[j] = int(whole)
        t = position - whole
        weight[0, j] = 0.5 * t * (-1.0 + t * (2.0 - t))
        weight[1, j] = 1.0 + 0.5 * t * t * (-5.0 + 3.0 * t)
        weight[2, j] = 0.5 * t * (1.0 + t * (4.0 - 3.0 * t))
        weight[3, j] = 0.5 * t * t * (t - 1.0)
        slope[0, j] = 0.5 * (-1.0 + t * (4.0 - 3.0 * t)) * moves
        slope[1, j] = 0.5 * t * (-10.0 + 9.0 * t) * moves
        slope[2, j] = 0.5 * (1.0 + t * (8.0 - 9.0 * t)) * moves
        slope[3, j] = 0.5 * t * (3.0 * t - 2.0) * moves
