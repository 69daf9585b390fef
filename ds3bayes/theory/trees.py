"""Tree search over thoughts: a Markov chain over the number of kept states that are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import gammaln, ndtr

from ds3bayes.deferred import pt
from ds3bayes.theory._special import as_float, normal_cdf
from ds3bayes.theory.selectors import noisy_verifier, normal_density, score_grid


def _powers(base: Any, count: int) -> Any:
    """base^0 .. base^(count-1) on a new trailing axis, with finite gradients at base = 0."""
    exponent = np.arange(count, dtype=float)
    raised = pt.power(pt.expand_dims(base, -1), np.maximum(exponent, 1.0))
    return pt.switch(exponent == 0.0, 1.0, raised)


def selection(candidates: int, keep: int, discrimination: Any) -> Any:
    """Return P(x of the ``keep`` best-scored candidates are right | R of all candidates are right).

    The keep-th best score is integrated out: it is the score of a right candidate (node y is that score less d) or of
    a wrong one (node y is the score itself).

    Parameters
    ----------
    candidates, keep : int
        1 <= keep <= candidates.
    discrimination : tensor-like, shape (...)
        d >= 0.

    Returns
    -------
    tensor, shape (..., candidates + 1, keep + 1)
        Rows R, columns x.
    """
    right = np.arange(candidates + 1)[:, None]
    chosen = np.arange(keep + 1)[None, :]
    if keep == candidates:
        return pt.as_tensor_variable((right == chosen).astype(float))
    # A middle order statistic of C normal scores has standard deviation of about 1.25/sqrt(C).
    step = min(0.25, 0.8 / np.sqrt(candidates))
    y = score_grid(step)
    mass = step * normal_density(y)
    above, below = ndtr(-y)[:, None], ndtr(y)[:, None]
    ladder = np.arange(candidates + 1)
    # Constant factors: powers of the distribution function of the kind that holds the keep-th score.
    up, down = above**ladder, below**ladder

    def constant(total: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Total times the chance that ``taken`` of the other total - 1 score above, by node."""
        valid = (taken >= 0) & (taken <= total - 1)
        t, o = np.where(valid, total, 1), np.where(valid, taken, 0)
        log_count = gammaln(t + 1.0) - gammaln(o + 1.0) - gammaln(t - o)
        return np.where(valid, np.exp(log_count) * up[:, o] * down[:, t - 1 - o], 0.0)

    def varying(shifted: Any, total: np.ndarray, taken: np.ndarray) -> Any:
        """Chance that ``taken`` of ``total`` of the other kind score above."""
        valid = (taken >= 0) & (taken <= total)
        o, t = np.where(valid, taken, 0), np.where(valid, total, 0)
        log_count = gammaln(t + 1.0) - gammaln(o + 1.0) - gammaln(t - o + 1.0)
        count = np.where(valid, np.exp(log_count), 0.0)
        high = _powers(normal_cdf(-shifted), candidates + 1)[..., o]
        low = _powers(normal_cdf(shifted), candidates + 1)[..., t - o]
        return count * high * low

    d = pt.expand_dims(as_float(discrimination), -1)
    right, chosen = np.broadcast_arrays(right, chosen)
    wrong = candidates - right
    by_right, by_wrong = constant(right, chosen - 1), constant(wrong, keep - chosen - 1)
    others_wrong, others_right = varying(y + d, wrong, keep - chosen), varying(y - d, right, chosen)
    weighted = mass[:, None, None]
    return (weighted * (by_right * others_wrong + by_wrong * others_right)).sum(axis=-3)


def distinct_right(rho: Any, b: int, overlap: Any) -> Any:
    """Return the law of the number of right candidates among b distinct ones that a right state proposes.

    A proposal is right with probability rho. A right one repeats any given right one that was made before with
    probability ``overlap``, so that after j of them it is new with probability (1 - overlap)^j; in the place of a
    repetition stands a wrong candidate, for those of one state are distinct. With an overlap of 1 there is one right
    continuation to find; with 0 they are found independently, and their number is binomial.

    Parameters
    ----------
    rho : tensor-like, shape (...)
        In [0, 1].
    b : int
        Candidates proposed, at least 1.
    overlap : tensor-like, shape (...)
        In [0, 1]; broadcasts against ``rho``.

    Returns
    -------
    tensor, shape (..., b + 1)
        Probabilities of 0, ..., b.
    """
    new = pt.expand_dims(as_float(rho), -1) * _powers(1.0 - as_float(overlap), b + 1)
    law = pt.zeros_like(new) + (np.arange(b + 1) == 0)
    for _ in range(b):
        gained = law * new
        law = law - gained + pt.concatenate([pt.zeros_like(gained[..., :1]), gained[..., :-1]], axis=-1)
    return law


def best_candidate(rho: Any, b: int, discrimination: Any, overlap: Any = None) -> Any:
    """Return the probability that the best-scored of the b candidates of a right state is right.

    `ds3bayes.theory.selectors.noisy_verifier` where candidates are independent; else of their `distinct_right` law.

    Parameters
    ----------
    rho, b, discrimination, overlap
        As in `right_kept_states`.

    Returns
    -------
    tensor, shape (...)
    """
    if overlap is None:
        return noisy_verifier(rho, b, discrimination)
    return (distinct_right(rho, b, overlap) * selection(b, 1, as_float(discrimination))[..., 1]).sum(axis=-1)


def right_candidates(rho: Any, b: int, states: int, overlap: Any = None) -> Any:
    """Return the law of right candidates of 0, ..., ``states`` right states, each of which proposes b.

    Parameters
    ----------
    rho, b, overlap
        As in `right_kept_states`.
    states : int
        At least 1.

    Returns
    -------
    tensor, shape (..., states + 1, b states + 1)
        Rows: right states; columns: right candidates of all of them.
    """
    if overlap is None:
        return _independent(as_float(rho), b, states)
    one = distinct_right(rho, b, overlap)
    none = pt.zeros_like(one[..., :1])
    laws = [none + 1.0]
    for state in range(states):
        # The law of a sum: that of the states before, moved by what the next one finds.
        beside = pt.concatenate([*[none] * b, laws[-1], *[none] * b], axis=-1)
        width = (state + 1) * b + 1
        laws.append(sum(one[..., j : j + 1] * beside[..., b - j : b - j + width] for j in range(b + 1)))
    size = b * states + 1
    rows = [pt.concatenate([law, *[none] * (size - k * b - 1)], axis=-1) for k, law in enumerate(laws)]
    return pt.stack(rows, axis=-2)


def _independent(rho: Any, b: int, states: int) -> Any:
    """Binomial laws, as `right_candidates` returns them; their gradients are right at rho = 0 and 1 too."""
    tried = b * np.arange(states + 1)[:, None].astype(float)
    found = np.arange(b * states + 1)[None, :].astype(float)
    possible = found <= tried
    misses = np.where(possible, tried - found, 0.0)
    log_count = gammaln(tried + 1.0) - gammaln(found + 1.0) - gammaln(misses + 1.0)
    rho = pt.expand_dims(rho, (-2, -1))
    inside = pt.and_(pt.gt(rho, 0.0), pt.lt(rho, 1.0))
    safe = pt.switch(inside, rho, 0.5)
    body = pt.switch(possible, pt.exp(log_count + found * pt.log(safe) + misses * pt.log1p(-safe)), 0.0)
    none = np.where(found == 0.0, 1.0, 0.0) + rho * (
        np.where(found == 1.0, tried, 0.0) - np.where(found == 0.0, tried, 0.0)
    )
    full = np.where(found == tried, 1.0, 0.0) + (1.0 - rho) * (
        np.where(found == tried - 1.0, tried, 0.0) - np.where(found == tried, tried, 0.0)
    )
    edge = pt.switch(pt.eq(rho, 0.0), none, pt.switch(pt.eq(rho, 1.0), full, np.nan))
    return pt.switch(inside, body, edge)


def kept_states(levels: int, b: int, w: int) -> list[int]:
    """Return the number of states kept after each level 1..levels of a tree search, min(w, candidates).

    Level 1 has b candidates, every later level b per kept state; all counts are at least 1.
    """
    kept: list[int] = []
    for _ in range(levels):
        kept.append(min(w, b * (kept[-1] if kept else 1)))
    return kept


def right_kept_states(rho: Any, kept: Sequence[int], b: int, discrimination: Any, overlap: Any = None) -> list[Any]:
    """Return the law of the number of right states after each level of a tree search.

    At each level every kept state proposes b candidates. A candidate of a right state is right with
    probability rho, a candidate of a wrong state is wrong. The best-scored of all candidates are kept, scores
    being N(d, 1) for right and N(0, 1) for wrong candidates. Level 1 proposes b candidates from one right root.
    Candidates of one state are distinct: the larger the ``overlap``, the fewer of them can be right (`distinct_right`).

    Parameters
    ----------
    rho : tensor-like, shape (...)
        Probability in [0, 1] that a candidate continuing a right state is right.
    kept : sequence of int
        States kept after each level, each at least 1 and at most the candidates of its level.
    b : int
        Candidates proposed per kept state, at least 1.
    discrimination : tensor-like, shape (...)
        Separation d >= 0 of the scores of right and wrong candidates; broadcasts against ``rho``.
    overlap : tensor-like, shape (...), optional
        Probability in [0, 1] that two right proposals of one state are the same thought; broadcasts against ``rho``.
        Absent: candidates are independent, as with 0.

    Returns
    -------
    list of tensor, shape (..., kept + 1)
        Probabilities that 0, ..., kept states are right, one tensor per level.
    """
    d, rho = as_float(discrimination), as_float(rho)
    # Levels that keep every candidate do not use d; the result has its shape all the same.
    shape = 0.0 * pt.switch(pt.isinf(d), 0.0, d)[..., None]
    states: list[Any] = []
    before = 1
    transition: Any = None
    for level, now in enumerate(kept):
        if level < 2 or (before, now) != (kept[level - 2], kept[level - 1]):
            transition = pt.matmul(right_candidates(rho, b, before, overlap), selection(b * before, now, d))
        # The root is right, so the first level starts from the last row.
        states.append(
            transition[..., -1, :] if level == 0 else pt.matmul(states[-1][..., None, :], transition)[..., 0, :]
        )
        before = now
    return [law + shape for law in states]


def tree_levels(rho: Any, levels: int, b: int, w: int, discrimination: Any) -> Any:
    """Return the expected share of kept states that are right after each level 1..levels of a tree search.

    See `tree_outputs`, which gives the last level.

    Parameters
    ----------
    rho : tensor-like, shape (...)
        Probability in [0, 1] that a candidate continuing a right state is right.
    levels : int
        Number of levels, at least 1.
    b : int
        Candidates proposed per kept state, at least 1.
    w : int
        States kept per level, at least 1.
    discrimination : tensor-like, shape (...)
        Separation d >= 0 of the scores of right and wrong candidates; broadcasts against ``rho``.

    Returns
    -------
    tensor, shape (..., levels)
    """
    kept = kept_states(levels, b, w)
    laws = right_kept_states(rho, kept, b, discrimination)
    return pt.stack(
        [(law * (np.arange(now + 1) / now)).sum(axis=-1) for law, now in zip(laws, kept, strict=True)], axis=-1
    )


def tree_outputs(rho: Any, path_length: Any, b: int, w: int, discrimination: Any, max_levels: int | None = None) -> Any:
    """Return the expected share of kept states that are right after a tree search of m levels.

    At each level every kept state proposes b candidates. A candidate of a right state is right with
    probability rho, a candidate of a wrong state is wrong. The best-scored w of all candidates are kept,
    scores being N(d, 1) for right and N(0, 1) for wrong candidates. Level 1 proposes b candidates from one
    right root; when there are no more than w candidates all are kept. For w = 1 the result is A_b(rho)^m with
    A_b the success of best-of-b (`noisy_verifier`); for w > 1 it is a Markov chain over the number of right
    kept states.

    Parameters
    ----------
    rho : tensor-like, shape (...)
        Probability in [0, 1] that a candidate continuing a right state is right.
    path_length : int or tensor-like
        Number m >= 1 of levels; a tensor broadcasts against ``rho``. For w = 1 any real m. For w > 1 a tensor
        needs ``max_levels``, and between two whole numbers the logarithm of the share is interpolated
        linearly.
    b : int
        Candidates proposed per kept state, at least 1.
    w : int
        States kept per level, at least 1.
    discrimination : tensor-like, shape (...)
        d >= 0; inf is an oracle; broadcasts against ``rho``.
    max_levels : int, optional
        Upper bound of ``path_length``, used for w > 1 only. A larger path length gives NaN.

    Returns
    -------
    tensor, shape (...)
        Differentiable in rho and d.

    Raises
    ------
    ValueError
        If b or w is below 1, or if w > 1 and ``path_length`` is neither an int of at least 1 nor given
        with ``max_levels``.
    """
    if b < 1 or w < 1:
        raise ValueError(f"b and w must be at least 1, got b={b}, w={w}")
    if w == 1:
        return pt.power(noisy_verifier(rho, b, discrimination), as_float(path_length))
    if isinstance(path_length, int | np.integer) and path_length >= 1:
        return tree_levels(rho, int(path_length), b, w, discrimination)[..., -1]
    if max_levels is None:
        raise ValueError(f"with w > 1 give path_length as an int of at least 1, or max_levels; got {path_length!r}")
    shares = tree_levels(rho, max_levels, b, w, discrimination)
    m = pt.expand_dims(as_float(path_length), -1)
    levels = np.arange(1, max_levels + 1, dtype=float)
    near = pt.switch(pt.eq(m, levels), 1.0, pt.maximum(0.0, 1.0 - pt.abs(m - levels)))
    used = pt.gt(near, 0.0)
    value = pt.exp(pt.switch(used, near * pt.log(pt.switch(used, shares, 1.0)), 0.0).sum(axis=-1))
    within = pt.and_(pt.ge(m, 1.0), pt.le(m, float(max_levels)))[..., 0]
    return pt.switch(within, value, np.nan)
