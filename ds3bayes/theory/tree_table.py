"""How many outputs of a tree search come from right states, as a function of its walk's success: tabulated once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.interpolate import neighbours, padded
from ds3bayes.theory.selectors import noisy_verifier
from ds3bayes.theory.trees import right_kept_states

_LOGITS = np.linspace(-24.0, 16.0, 161)
# Beyond this gap of scores a selector errs less than once in 10^10 steps: an oracle.
_GAPS = np.linspace(0.0, 10.0, 41)
# Less likely numbers count as this likely: a cubic would swing between a logarithm and one far below it.
_LEAST = 1e-40
# Draws of which all terms are held at the same time.
_DRAWS_AT_ONCE = 128


@lru_cache(maxsize=64)
def _log_law(branching: int, kept: tuple[int, ...]) -> np.ndarray:
    """Tabulate log probabilities, shape (gap, logit, states + 1), padded by one row and column at each end."""
    rho = np.exp(-np.logaddexp(0.0, -_LOGITS) / len(kept))
    # A gap at a time: the selection probabilities of one gap serve every rho.
    rows = [evaluate(_law, rho, gap, b=branching, kept=kept) for gap in _GAPS]
    return padded(np.log(np.maximum(np.stack(rows), _LEAST)), axes=2)


def _law(rho: Any, gap: Any, *, b: int, kept: tuple[int, ...]) -> Any:
    """Probabilities (..., states + 1) of the number of right states after the last level, as a tensor."""
    if max(kept) == 1:
        right = noisy_verifier(rho, b, gap) ** float(len(kept))
        wrong = 1.0 - right
        return (wrong[..., None] * np.array([1.0, 0.0])) + right[..., None] * np.array([0.0, 1.0])
    return right_kept_states(rho, kept, b, gap)[-1]


def law_of_right_states(
    logit_walk: np.ndarray, discrimination: np.ndarray, *, branching: int, kept: tuple[int, ...]
) -> np.ndarray:
    """Law of the number of right states that are left after a tree search.

    Parameters
    ----------
    logit_walk : array, shape (draws, tasks)
        Logit eventual success rho^m of the walk that the tree searches over.
    discrimination : array, shape (draws,)
        Gap of the evaluator's scores between right and wrong candidates, in sds, at least 0; inf is an oracle.
    branching : int
        Candidates per kept state.
    kept : tuple of int
        States kept after each of the m levels.

    Returns
    -------
    array, shape (draws, tasks, kept[-1] + 1)
        Cubic (Catmull-Rom) interpolation of the logarithms of `right_kept_states`, brought to a sum of 1.
    """
    table = _log_law(branching, kept)
    by_gap, of_gap = neighbours(np.asarray(discrimination, dtype=float), _GAPS, np)
    result = np.empty((*logit_walk.shape, kept[-1] + 1))
    for start in range(0, len(logit_walk), _DRAWS_AT_ONCE):
        part = slice(start, start + _DRAWS_AT_ONCE)
        at_gap = np.einsum("dk,dkls->dls", of_gap[part], table[by_gap[part]])
        column, weight = neighbours(logit_walk[part], _LOGITS, np)
        draw = np.arange(len(at_gap))[:, None]
        terms = [at_gap[draw, column[..., k]] * weight[..., k, None] for k in range(4)]
        law = np.exp(terms[0] + terms[1] + terms[2] + terms[3])
        result[part] = law / law.sum(axis=-1, keepdims=True)
    return result
