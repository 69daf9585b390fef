"""Cubic interpolation in tables that are too slow to compute while sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ds3bayes.deferred import pt

Tensor = Any

# Catmull-Rom weights of four neighbours at a share t of the way from the second to the third: a column each, by power.
_CUBIC = 0.5 * np.array([[0.0, 2.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.0], [2.0, -5.0, 4.0, -1.0], [-1.0, 3.0, -3.0, 1.0]])


def padded(table: np.ndarray, axes: int = 1, even: Sequence[int] = ()) -> np.ndarray:
    """Continue a table by one at both ends of its first axes: the outer neighbours of a cubic.

    Quadratically, but at the first node of ``even`` axes, about which the function is even, by what is known there.
    """
    for axis in range(axes):
        rows = np.moveaxis(table, axis, 0)
        first, last = (3 * end[:1] - 3 * end[1:2] + end[2:3] for end in (rows, rows[::-1]))
        first = rows[1:2] if axis in even else first
        table = np.moveaxis(np.concatenate([first, rows, last]), 0, axis)
    return table


def neighbours(value: Any, nodes: np.ndarray, of: Any = None) -> tuple[Any, Any]:
    """Return where the four neighbours of values (...) stand in a padded table, and their weights, (..., 4) each.

    Beyond the ends of the equally spaced nodes, values count as those.

    Parameters
    ----------
    value : tensor or array, shape (...)
    nodes : array, shape (n,)
    of : module, optional
        Whose functions to use: `pytensor.tensor` if absent, or `numpy` for arrays.
    """
    of = pt if of is None else of
    position = of.clip((value - nodes[0]) / (nodes[1] - nodes[0]), 0.0, nodes.size - 1.0)
    left = of.clip(of.floor(position), 0, nodes.size - 2)
    t = (position - left)[..., None]
    weight = _CUBIC[0] + t * (_CUBIC[1] + t * (_CUBIC[2] + t * _CUBIC[3]))
    return left.astype("int64")[..., None] + np.arange(4), weight


def interpolate(table: np.ndarray, *places: tuple[Tensor, Tensor]) -> Tensor:
    """Interpolate between the first axes of a padded table, one of `neighbours` each; its other axes stay.

    Places broadcast against each other. Blocks of 4 or 16 entries at once: graphs of single entries take many seconds
    to compile.
    """
    axes, rest = len(places), table.ndim - len(places)
    index: list[Tensor] = []
    weight: Tensor = 1.0
    for axis, (place, share) in enumerate(places):
        block = (..., *(slice(None) if other == axis else None for other in range(axes)))
        index.append(place[block])
        weight = weight * share[block]
    near = pt.as_tensor(table)[tuple(index)]
    if weight.ndim == axes and rest:
        # One place: a product of the weights with what stands there, all in one pass.
        of_rest = table.shape[-rest:]
        return pt.dot(weight.reshape((4**axes,)), near.reshape((4**axes, math.prod(of_rest)))).reshape(of_rest)
    value = pt.shape_padright(weight, rest) * near
    return value.sum(axis=tuple(range(-axes - rest, -rest if rest else 0)))
