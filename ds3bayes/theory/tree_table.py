"""Success of a tree search as a function of its walk's, tabulated once so that the sampler only interpolates."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ds3bayes.deferred import pt
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.interpolate import interpolate, neighbours, padded
from ds3bayes.theory.selectors import noisy_verifier
from ds3bayes.theory.trees import right_kept_states

Tensor = Any

_LOGITS = np.linspace(-24.0, 16.0, 161)
# Beyond this gap of scores a selector errs less than once in 10^10 steps: an oracle.
_GAPS = np.linspace(0.0, 10.0, 41)


@lru_cache(maxsize=64)
def _log_success(branching: int, kept: tuple[int, ...]) -> np.ndarray:
    """Tabulate log success of an output, shape (gap, logit), padded by one row and column at each end."""
    rho = np.exp(-np.logaddexp(0.0, -_LOGITS) / len(kept))
    # A gap at a time: the selection probabilities of one gap serve every rho.
    rows = [evaluate(_share, rho, gap, b=branching, kept=kept) for gap in _GAPS]
    return padded(np.log(np.stack(rows)), axes=2)


def _share(rho: Tensor, gap: Tensor, *, b: int, kept: tuple[int, ...]) -> Tensor:
    """Expected share of the last kept states that are right."""
    if max(kept) == 1:
        return pt.power(noisy_verifier(rho, b, gap), float(len(kept)))
    law = right_kept_states(rho, kept, b, gap)[-1]
    return (law * (np.arange(kept[-1] + 1) / kept[-1])).sum(axis=-1)


def log_tree_success(logit_walk: Tensor, discrimination: Tensor, *, branching: int, kept: tuple[int, ...]) -> Tensor:
    """Log probability that a tree's output comes from a right kept state.

    Parameters
    ----------
    logit_walk : tensor
        Logit eventual success rho^m of the walk that the tree searches over.
    discrimination : tensor
        Gap of the step selector's scores between right and wrong steps, in sds; broadcasts against the former.
    branching : int
        Candidates per kept state.
    kept : tuple of int
        States kept after each of the m levels.

    Returns
    -------
    tensor
        Cubic (Catmull-Rom) interpolation of the expected share of right states among the last kept ones; within 1e-3 of
        it in the logarithm.
    """
    table = _log_success(branching, kept)
    value = interpolate(table, neighbours(discrimination, _GAPS), neighbours(logit_walk, _LOGITS))
    # Near certainty the cubic may overshoot it by its own error.
    return pt.minimum(value, -1e-12)
