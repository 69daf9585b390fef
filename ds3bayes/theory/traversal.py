"""The general traversal: any absorbing walk over skill states, within a budget of steps.

States are skills (and search context). One step moves between transient states by Q (s x s) or is absorbed by
R (s x 2: solved, wrong). Every closed form of `ds3bayes.theory.path` is a special case.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

from ds3bayes.theory._special import as_float


class Absorption(NamedTuple):
    """What has become of a walk after K steps; solved, wrong and truncated sum to 1."""

    solved: Any
    wrong: Any
    truncated: Any
    expected_steps: Any


def absorbed_within(Q: Any, R_abs: Any, start: Any, K: int) -> Absorption:
    """Run an absorbing walk for at most K steps.

    P(solved or wrong within K) = e' sum_{k<K} Q^k R, P(under way after K) = e' Q^K 1 and
    E[steps] = sum_{k<K} e' Q^k 1, where e is the law of the first state. Powers and sums are doubled
    together, which takes O(log K) matrix products; the result is exact and differentiable.

    Parameters
    ----------
    Q : tensor-like, shape (..., s, s)
        Transition probabilities between transient states.
    R_abs : tensor-like, shape (..., s, 2)
        Probabilities of absorption, columns solved and wrong. Rows of Q and R_abs together sum to 1.
    start : tensor-like, shape (..., s)
        Probabilities of the first state.
    K : int
        Step budget, at least 0.

    Returns
    -------
    Absorption
        A named tuple (solved, wrong, truncated, expected_steps), each of shape (...).

    Raises
    ------
    ValueError
        If K is negative.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (inference as a directed stochastic search over skills).
    """
    if K < 0:
        raise ValueError(f"K must be at least 0, got {K}")
    Q, R_abs, start = as_float(Q), as_float(R_abs), as_float(start)
    # The column of ones counts the steps: one for each visit to a transient state.
    gains = pt.concatenate([R_abs, pt.ones_like(R_abs[..., :1])], axis=-1)
    law: Any = pt.expand_dims(start, -2)
    gained: Any = None
    # Bits of K from the lowest: (power, sums) are Q^(2^i) and sum_{k < 2^i} Q^k gains.
    power: Any = Q
    sums: Any = gains
    remaining = K
    while remaining:
        if remaining % 2:
            step = pt.matmul(law, sums)
            gained = step if gained is None else gained + step
            law = pt.matmul(law, power)
        remaining //= 2
        if remaining:
            sums = sums + pt.matmul(power, sums)
            power = pt.matmul(power, power)
    if gained is None:
        gained = 0.0 * pt.matmul(law, sums)
    return Absorption(
        solved=gained[..., 0, 0],
        wrong=gained[..., 0, 1],
        truncated=law.sum(axis=(-2, -1)),
        expected_steps=gained[..., 0, 2],
    )


def path_matrices(m: int, r: Any, h: Any) -> tuple[Any, Any]:
    """Matrices of the path walk, whose state j = 0..m-1 is the number of skills done.

    A step in state j advances with probability r_j, commits to a wrong answer with probability h_j and idles
    otherwise; advancing from state m - 1 solves the task.

    Parameters
    ----------
    m : int
        Path length, at least 1.
    r : tensor-like, scalar or shape (..., m)
        Probability in [0, 1] of advancing; a vector gives unequal steps.
    h : tensor-like, scalar or shape (..., m)
        Probability in [0, 1 - r] of a wrong commitment.

    Returns
    -------
    tuple of tensor
        Q of shape (..., m, m) and R_abs of shape (..., m, 2), for `absorbed_within` from state 0.

    Raises
    ------
    ValueError
        If m < 1.
    """
    if m < 1:
        raise ValueError(f"m must be at least 1, got {m}")
    r, h = as_float(r), as_float(h)
    ones = np.ones(m)
    advance, commit = r * ones, h * ones
    advance, commit = advance + 0.0 * commit, commit + 0.0 * advance
    stay = 1.0 - (advance + commit)
    Q = pt.expand_dims(stay, -1) * np.eye(m) + pt.expand_dims(advance, -1) * np.eye(m, k=1)
    last = np.zeros(m)
    last[-1] = 1.0
    return Q, pt.stack([advance * last, commit], axis=-1)


def lost_matrices(m: int, r: Any, h: Any, g: Any) -> tuple[Any, Any]:
    """Matrices of the path walk whose slips do not end it at once: the walk is lost first.

    With probability h a step leaves the path for skills that lead nowhere; the lost walk wanders on and
    commits to a wrong answer with probability g per step. Success is that of the path walk, but wrong
    attempts take longer.

    Parameters
    ----------
    m : int
        Path length, at least 1.
    r, h : tensor-like, scalar or shape (..., m)
        Probabilities of advancing and of slipping, as in `path_matrices`.
    g : tensor-like, scalar or shape (...)
        Probability in [0, 1] that a step of a lost walk commits to a wrong answer.

    Returns
    -------
    tuple of tensor
        Q of shape (..., m + 1, m + 1) and R_abs of shape (..., m + 1, 2); state m is the lost one.

    Raises
    ------
    ValueError
        If m < 1.
    """
    Q, R_abs = path_matrices(m, r, h)
    leave = pt.expand_dims(as_float(g), -1) + 0.0 * R_abs[..., 0, 0:1]
    slips = R_abs[..., 1:]
    top = pt.concatenate([Q, slips], axis=-1)
    wander = pt.expand_dims(1.0 - leave, -1)
    none = pt.zeros_like(wander) * np.ones(m)
    bottom = pt.concatenate([none, wander], axis=-1)
    ends = pt.concatenate([R_abs[..., :1], pt.zeros_like(slips)], axis=-1)
    last = pt.concatenate([pt.zeros_like(wander), pt.expand_dims(leave, -1)], axis=-1)
    return pt.concatenate([top, bottom], axis=-2), pt.concatenate([ends, last], axis=-2)
