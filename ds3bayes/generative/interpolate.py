"""Cubic interpolation in tables that are too slow to compute while sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

Tensor = Any


def before(rows: np.ndarray) -> np.ndarray:
    """Continue rows quadratically by one at their start: the outer neighbour of a cubic."""
    return 3 * rows[:1] - 3 * rows[1:2] + rows[2:3]


def neighbours(value: Tensor, nodes: np.ndarray) -> tuple[Tensor, list[Tensor]]:
    """Return the padded index of the first of four neighbours, and their Catmull-Rom weights."""
    position = pt.clip((value - nodes[0]) / (nodes[1] - nodes[0]), 0.0, nodes.size - 1.0)
    left = pt.clip(pt.floor(position), 0, nodes.size - 2)
    t = position - left
    weights = [
        0.5 * (-t + 2 * t**2 - t**3),
        0.5 * (2 - 5 * t**2 + 3 * t**3),
        0.5 * (t + 4 * t**2 - 3 * t**3),
        0.5 * (-(t**2) + t**3),
    ]
    return left.astype("int64"), weights
