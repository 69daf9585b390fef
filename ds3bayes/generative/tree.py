"""Success of a tree search as a function of its walk's, tabulated once so that the sampler only interpolates."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ds3bayes.deferred import pt
from ds3bayes.generative.counts.interpolate import interpolate, neighbours
from ds3bayes.kernels.cubic import padded
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.trees import tree_outputs

Tensor = Any

_LOGITS = np.linspace(-24.0, 16.0, 161)
# Beyond this gap of scores a selector errs less than once in 10^10 steps: an oracle.
_GAPS = np.linspace(0.0, 10.0, 41)


@lru_cache(maxsize=64)
def _log_success(length: int, branching: int, kept_states: int) -> np.ndarray:
    """Tabulate log success of an output, shape (gap, logit), padded by one row and column at each end."""
    rho = np.exp(-np.logaddexp(0.0, -_LOGITS) / length)
    # A gap at a time: the selection probabilities of one gap serve every rho.
    rows = [evaluate(_share, rho, gap, length=length, b=branching, w=kept_states) for gap in _GAPS]
    return padded(np.log(np.stack(rows)), axes=2)


def _share(rho: Tensor, gap: Tensor, *, length: int, b: int, w: int) -> Tensor:
    return tree_outputs(rho, length, b, w, gap)


def log_tree_success(
    logit_walk: Tensor, discrimination: Tensor, *, length: int, branching: int, kept_states: int
) -> Tensor:
    """Log probability that a tree's output comes from a right kept state.

    Parameters
    ----------
    logit_walk : tensor
        Logit eventual success rho^m of the walk that the tree searches over.
    discrimination : tensor
        Gap of the step selector's scores between right and wrong steps, in sds; broadcasts against the former.
    length, branching, kept_states : int
        Path length m, candidates per kept state, states kept.

    Returns
    -------
    tensor
        Cubic (Catmull-Rom) interpolation of `tree_outputs`; within 1e-3 of it in the logarithm.
    """
    table = _log_success(length, branching, kept_states)
    value = interpolate(table, neighbours(discrimination, _GAPS), neighbours(logit_walk, _LOGITS))
    # Near certainty the cubic may overshoot it by its own error.
    return pt.minimum(value, -1e-12)
