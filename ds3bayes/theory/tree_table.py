"""How many outputs of a tree search come from right states, as a function of its walk's success: tabulated once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.interpolate import neighbours, padded
from ds3bayes.theory.trees import right_candidates, selection

_LOGITS = np.linspace(-24.0, 16.0, 161)
# Beyond this gap of scores a selector errs less than once in 10^10 steps: an oracle.
_GAPS = np.linspace(0.0, 10.0, 41)
# Overlaps by the root of -log(1 - overlap): log probabilities change fast near 0. Beyond .97 as there.
_REPEATS = np.linspace(0.0, 1.9, 31)
# Less likely numbers count as this likely: a cubic would swing between a logarithm and one far below it.
_LEAST = 1e-40
# Draws of which all terms are held at the same time.
_DRAWS_AT_ONCE = 64


@lru_cache(maxsize=64)
def _log_law(branching: int, kept: tuple[int, ...]) -> np.ndarray:
    """Tabulate log probabilities, shape (gap, overlap, logit, states + 1), padded by one at each end of the first."""
    # One right root.
    law, before = np.broadcast_to(np.array([0.0, 1.0]), (_GAPS.size, _REPEATS.size, _LOGITS.size, 2)), 1
    transition: Any = None
    for level, now in enumerate(kept):
        if level < 2 or (before, now) != (kept[level - 2], kept[level - 1]):
            # What is found depends on overlap and rho, what is kept of it on the gap: all pairs in one product.
            found, chosen = _found(branching, before, len(kept)), _chosen(branching * before, now)
            transition = np.tensordot(found, chosen, (-1, 1)).transpose(3, 0, 1, 2, 4)
        law = np.matmul(law[..., None, :], transition)[..., 0, :]
        before = now
    return padded(np.log(np.maximum(law, _LEAST)), axes=3, even=(1,))


# Searches that differ in what they keep or write out share these.
@lru_cache(maxsize=16)
def _found(branching: int, states: int, levels: int) -> np.ndarray:
    """Right candidates of 0, 1, ... right states, shape (overlap, logit, states + 1, candidates + 1)."""
    rho, overlap = np.exp(-np.logaddexp(0.0, -_LOGITS) / levels), -np.expm1(-(_REPEATS**2))
    return evaluate(_right_candidates, rho, overlap[:, None], b=branching, states=states)


@lru_cache(maxsize=64)
def _chosen(candidates: int, keep: int) -> np.ndarray:
    """Which of the candidates are kept, shape (gap, candidates + 1, keep + 1)."""
    law = evaluate(_selection, _GAPS, candidates=candidates, keep=keep)
    return np.broadcast_to(law, (_GAPS.size, *law.shape[-2:]))


def _right_candidates(rho: Any, overlap: Any, *, b: int, states: int) -> Any:
    return right_candidates(rho, b, states, overlap)


def _selection(gap: Any, *, candidates: int, keep: int) -> Any:
    return selection(candidates, keep, gap)


def law_of_right_states(
    logit_walk: np.ndarray, discrimination: np.ndarray, overlap: np.ndarray, *, branching: int, kept: tuple[int, ...]
) -> np.ndarray:
    """Law of the number of right states that are left after a tree search.

    Parameters
    ----------
    logit_walk : array, shape (draws, tasks)
        Logit eventual success rho^m of the walk that the tree searches over.
    discrimination : array, shape (draws,)
        Gap of the evaluator's scores between right and wrong candidates, in sds, at least 0; inf is an oracle.
    overlap : array, shape (draws,)
        Probability in [0, 1] that two right proposals of one state are the same thought.
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
    by_overlap, of_overlap = neighbours(np.sqrt(-np.log1p(-np.minimum(overlap, 1.0 - 1e-9))), _REPEATS, np)
    result = np.empty((*logit_walk.shape, kept[-1] + 1))
    for start in range(0, len(logit_walk), _DRAWS_AT_ONCE):
        part = slice(start, start + _DRAWS_AT_ONCE)
        near = table[by_gap[part][:, :, None], by_overlap[part][:, None, :]]
        at_draw = np.einsum("dj,dk,djkls->dls", of_gap[part], of_overlap[part], near)
        column, weight = neighbours(logit_walk[part], _LOGITS, np)
        draw = np.arange(len(at_draw))[:, None]
        terms = [at_draw[draw, column[..., k]] * weight[..., k, None] for k in range(4)]
        law = np.exp(terms[0] + terms[1] + terms[2] + terms[3])
        result[part] = law / law.sum(axis=-1, keepdims=True)
    return result
