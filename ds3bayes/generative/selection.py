"""Weights of votes as functions of what a fit learns: how wrong answers scatter, and how well a verifier tells."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytensor.tensor as pt

from ds3bayes.generative.interpolate import before, neighbours
from ds3bayes.theory.votes import plurality_weights_partition, weighted_vote_weights_partition

Tensor = Any

_LOG_CONCENTRATIONS = np.linspace(np.log(0.02), np.log(50.0), 17)
_GAPS = np.linspace(0.0, 5.0, 21)


@lru_cache(maxsize=32)
def _plurality(n: int) -> np.ndarray:
    """Tabulate the weights of a vote, shape (concentration, n + 1), padded by one row at each end."""
    return _padded(plurality_weights_partition(n, np.exp(_LOG_CONCENTRATIONS)))


@lru_cache(maxsize=32)
def _weighted(n: int) -> np.ndarray:
    """Tabulate the weights of a weighted vote, shape (gap, concentration, n + 1), padded in both axes."""
    table = np.stack([weighted_vote_weights_partition(n, gap, np.exp(_LOG_CONCENTRATIONS)) for gap in _GAPS])
    return _padded(_padded(table).swapaxes(0, 1)).swapaxes(0, 1)


def _padded(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([before(rows), rows, before(rows[::-1])])


def vote_weights(n: int, concentration: Tensor, discrimination: Tensor | None = None) -> Tensor:
    """Probability that a vote is right given how many of its n attempts are.

    Parameters
    ----------
    n : int
        Number of attempts, 1..128.
    concentration : scalar tensor
        Concentration of the Chinese restaurant process by which wrong answers agree; beyond [0.02, 50] its end.
    discrimination : scalar tensor, optional
        Gap of a verifier's scores between right and wrong attempts, in sds, by which votes are weighted; beyond
        5 it is 5. Without it all votes weigh the same.

    Returns
    -------
    tensor, shape (n + 1,)
        Cubic (Catmull-Rom) interpolation of `plurality_weights_partition` or `weighted_vote_weights_partition`,
        within 1e-3 of them at n = 4 and 0.02 at n = 16 (a single weight; what a vote achieves is nearer).
    """
    column, column_weights = neighbours(pt.log(concentration), _LOG_CONCENTRATIONS)
    if discrimination is None:
        table = pt.as_tensor(_plurality(n))
        value = sum(weight * table[column + right] for right, weight in enumerate(column_weights))
    else:
        table = pt.as_tensor(_weighted(n))
        row, row_weights = neighbours(discrimination, _GAPS)
        value = sum(
            row_weight * column_weight * table[row + down, column + right]
            for down, row_weight in enumerate(row_weights)
            for right, column_weight in enumerate(column_weights)
        )
    return pt.clip(value, 0.0, 1.0)
