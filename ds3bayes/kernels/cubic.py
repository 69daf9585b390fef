"""Cubic interpolation in NumPy: what ``cubic.h`` does in kernels."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def node_below(position: Array, nodes: int) -> tuple[Array, Array, Array]:
    """Place positions (...) among ``nodes`` nodes 0, 1, ...; beyond either end they count as there.

    Returns
    -------
    below : array of int, shape (...)
        The node below or at each, from the first to the last but one; the first for NaN.
    share : array, shape (...)
        How far each is on the way to the next node, from 0 to 1, or NaN.
    moves : array of bool, shape (...)
        Whether it is between the first and the last node, so that it moves with what it was computed from.
    """
    position = np.clip(position, 0.0, nodes - 1.0)
    below = np.minimum(np.where(np.isnan(position), 0.0, position), nodes - 2.0).astype(np.int64)
    return below, position - below, (position > 0.0) & (position < nodes - 1.0)


def cubic_weights(share: Array) -> tuple[Array, Array]:
    """Return Catmull-Rom weights of four neighbours, and their derivatives, at shares (...) of the way: (..., 4) each.

    Of the way from the second neighbour to the third.
    """
    t = share
    weight = [t * (-1 + t * (2 - t)), 2 + t**2 * (3 * t - 5), t * (1 + t * (4 - 3 * t)), t**2 * (t - 1)]
    slope = [-1 + t * (4 - 3 * t), t * (9 * t - 10), 1 + t * (8 - 9 * t), t * (3 * t - 2)]
    return 0.5 * np.stack(weight, axis=-1), 0.5 * np.stack(slope, axis=-1)
