"""Selectors: how n attempts at one task become one answer.

With n exchangeable attempts, each right with probability q, a selector is the vector
w_c = P(the chosen answer is right | c of n are right), c = 0..n, and its success is the Bernstein polynomial
A(q) = sum_c Bin(c; n, q) w_c. The same algebra, applied to the candidates of one step instead of to whole
attempts, gives tree search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from scipy.special import gammaln, ndtr, xlogy

from ds3bayes.theory._special import as_float, binomial_terms, normal_cdf

# Scores are integrated by the trapezoidal rule on [-_REACH, _REACH] standard deviations. The integrands are
# entire functions that vanish at both ends, for which that rule converges exponentially in 1/step.
_REACH = 8.0


def single(q: Any) -> Any:
    """Success of one attempt: q itself, the selector with n = 1 and w = (0, 1)."""
    return as_float(q)


def any_right(q: Any, n: Any) -> Any:
    """Probability that at least one of n attempts is right, 1 - (1 - q)^n.

    This is best-of-n with an oracle verifier, also called coverage or pass@n.

    Parameters
    ----------
    q : tensor-like
        Probability in [0, 1] that one attempt is right.
    n : tensor-like
        Number of attempts, at least 1; broadcasts against ``q``.

    Returns
    -------
    tensor
        Accurate relative to its own size for q near 0, exact at q = 0 and q = 1.
    """
    q, n = as_float(q), as_float(n)
    below = pt.lt(q, 1.0)
    body = -pt.expm1(n * pt.log1p(-pt.switch(below, q, 0.5)))
    edge = 1.0 + pt.switch(pt.eq(n, 1.0), q - 1.0, 0.0)
    return pt.switch(below, body, edge)


def all_right(q: Any, n: Any) -> Any:
    """Probability that all n attempts are right, q^n (pass^n, a measure of reliability).

    Parameters
    ----------
    q : tensor-like
        Probability in [0, 1] that one attempt is right.
    n : tensor-like
        Number of attempts, at least 1; broadcasts against ``q``.
    """
    return pt.power(as_float(q), as_float(n))


def at_least(n: int, t: int) -> np.ndarray:
    """Return the selector weights of "at least t of n attempts are right" (G-pass), w_c = 1[c >= t].

    Parameters
    ----------
    n : int
        Number of attempts, at least 1.
    t : int
        Number that must be right, 0..n.

    Returns
    -------
    numpy.ndarray
        Shape (n + 1,).
    """
    if not 0 <= t <= n:
        raise ValueError(f"t must lie in 0..{n}, got {t}")
    return (np.arange(n + 1) >= t).astype(float)


def bernstein(q: Any, weights: Any) -> Any:
    """Success of a selector, A(q) = sum_c Bin(c; n, q) w_c.

    Parameters
    ----------
    q : tensor-like, shape (...)
        Probability in [0, 1] that one attempt is right.
    weights : tensor-like, shape (..., n + 1)
        Probability that the chosen answer is right when c = 0..n attempts are; the leading axes broadcast
        against ``q``. The last axis must have a known length (an array, or a tensor with a static shape), n
        >= 1.

    Returns
    -------
    tensor, shape (...)
        All terms are non-negative, so the result is accurate relative to its size; at q = 0 and q = 1 it is
        exact, with exact gradient.
    """
    q, weights = as_float(q), as_float(weights)
    size = weights.type.shape[-1]
    if size is None:
        size = weights.shape[-1]
        c = pt.arange(size, dtype="float64")
        n = as_float(size - 1)
        log_coefficient = pt.gammaln(n + 1.0) - pt.gammaln(c + 1.0) - pt.gammaln(n - c + 1.0)
    else:
        n = float(size - 1)
        c = np.arange(size, dtype=float)
        log_coefficient = gammaln(n + 1.0) - gammaln(c + 1.0) - gammaln(n - c + 1.0)
    inside = pt.and_(pt.gt(q, 0.0), pt.lt(q, 1.0))
    safe = pt.switch(inside, q, 0.5)
    terms = binomial_terms(c, n, pt.expand_dims(safe, -1), log_coefficient)
    body = pt.dot(terms, weights) if weights.ndim == 1 else (terms * weights).sum(axis=-1)
    # First-order expansions at the two ends: exact values and gradients there.
    at_zero = weights[..., 0] + n * (weights[..., 1] - weights[..., 0]) * q
    at_one = weights[..., -1] + n * (weights[..., -1] - weights[..., -2]) * (q - 1.0)
    edge = pt.switch(pt.eq(q, 0.0), at_zero, pt.switch(pt.eq(q, 1.0), at_one, np.nan))
    return pt.switch(inside, body, edge)


def _score_nodes(n: int) -> tuple[np.ndarray, float]:
    """Nodes and spacing of the trapezoidal rule for the best of n normal scores."""
    # The integrand sharpens with the number of scores; this step keeps the error near 1e-12 up to n = 4096.
    step = min(0.3, 1.25 / np.log2(max(n, 2)))
    return _grid(step), step


def _grid(step: float) -> np.ndarray:
    half = int(np.ceil(_REACH / step))
    return step * np.arange(-half, half + 1)


def _normal_density(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)


def noisy_verifier(q: Any, n: int, discrimination: Any) -> Any:
    """Success of best-of-n when the attempt with the top verifier score is chosen.

    Scores are N(d, 1) for right and N(0, 1) for wrong attempts. With Phi the normal distribution function,
    A = n q int phi(y) [q Phi(y) + (1 - q) Phi(y + d)]^{n-1} dy, where y is the score of the chosen right
    attempt less d. d = 0 gives q (the verifier knows nothing), d = inf gives 1 - (1 - q)^n (an oracle).

    Parameters
    ----------
    q : tensor-like
        Probability in [0, 1] that one attempt is right.
    n : int
        Number of attempts, at least 1.
    discrimination : tensor-like
        d >= 0, in standard deviations of the scores; may be inf; broadcasts against ``q``.

    Returns
    -------
    tensor
        Relative error below 1e-11 for n up to 4096; differentiable in q and d.
    """
    q, d = as_float(q), as_float(discrimination)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if n == 1:
        # The discrimination does not matter, but its shape does.
        return q + 0.0 * pt.switch(pt.isinf(d), 0.0, d)
    oracle, blind = pt.isinf(d), pt.eq(d, 0.0)
    y, step = _score_nodes(n)
    wrong_below = normal_cdf(y + pt.expand_dims(pt.switch(oracle, 1.0, d), -1))
    share = pt.expand_dims(q, -1)
    below = share * ndtr(y) + (1.0 - share) * wrong_below
    body = n * q * pt.dot(pt.exp((n - 1.0) * pt.log(below)), step * _normal_density(y))
    # At d = 0 the value is q exactly while the gradient stays that of the integral.
    at_zero = disconnected_grad(q) + (body - disconnected_grad(body))
    return pt.switch(oracle, any_right(q, n), pt.switch(blind, at_zero, body))


def geometric_shares(ratio: float, count: int) -> np.ndarray:
    """Return the shares of wrong answers under a truncated geometric law, c_j proportional to ratio^(j-1).

    Parameters
    ----------
    ratio : float
        In (0, 1]; 1 gives equal shares.
    count : int
        Number of distinct wrong answers, at least 1.

    Returns
    -------
    numpy.ndarray
        Shape (count,), sums to 1.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (the law its authors fit to wrong answers).
    """
    if not 0.0 < ratio <= 1.0:
        raise ValueError(f"ratio must lie in (0, 1], got {ratio}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    powers = ratio ** np.arange(count, dtype=float)
    return powers / powers.sum()


def plurality_weights(n: int, wrong_shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Selector weights of a plurality vote whose ties are broken at random.

    Each wrong attempt gives wrong answer j with probability ``wrong_shares[j]``. If c of n attempts are
    right, w_c = sum_t P(no wrong answer has more than c votes and exactly t have c) / (t + 1), w_0 = 0.

    Parameters
    ----------
    n : int
        Number of votes, at least 1.
    wrong_shares : array-like, shape (J,)
        Non-negative shares of the J >= 1 wrong answers, summing to 1 within 1e-9.

    Returns
    -------
    numpy.ndarray
        Shape (n + 1,). Depends on data only: computed once, outside a sampler.

    Raises
    ------
    ValueError
        If n < 1 or the shares are not a probability vector.

    Notes
    -----
    For each c a dynamic programme goes over the wrong answers with the state (votes placed, answers tied at
    c). Vote counts are made independent by letting them be Poisson with mean (n - c) share; conditioning on
    their sum restores the multinomial law. All quantities are probabilities, so nothing overflows.
    """
    shares = np.asarray(wrong_shares, dtype=float)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if shares.ndim != 1 or shares.size == 0 or not np.all(shares >= 0.0) or abs(shares.sum() - 1.0) > 1e-9:
        raise ValueError(f"wrong_shares must be non-negative and sum to 1, got {shares.tolist()}")
    shares = shares[shares > 0.0]
    shares = shares / shares.sum()
    weights = np.ones(n + 1)
    weights[0] = 0.0
    for c in range(1, n):
        votes = n - c
        most = min(c, votes)
        counts = np.arange(most + 1)
        rates = votes * shares[:, None]
        chances = np.exp(xlogy(counts, rates) - rates - gammaln(counts + 1.0))
        state = np.zeros((votes // c + 1, votes + 1))
        state[0, 0] = 1.0
        for chance in chances:
            following = np.zeros_like(state)
            for k in range(min(c - 1, most) + 1):
                following[:, k:] += chance[k] * state[:, : votes + 1 - k]
            if c <= most:
                following[1:, c:] += chance[c] * state[:-1, : votes + 1 - c]
            state = following
        total = np.exp(votes * np.log(votes) - votes - gammaln(votes + 1.0))
        weights[c] = (state[:, votes] / (np.arange(state.shape[0]) + 1.0)).sum() / total
    return weights


def plurality_weights_partition(n: int, concentration: Any) -> np.ndarray:
    """Selector weights of a plurality vote when every task has its own random shares of wrong answers.

    The shares are stick-breaking, GEM(alpha): w wrong attempts fall into groups of equal answers by the
    Chinese restaurant process with concentration alpha (Ewens' sampling formula). If c of n attempts are
    right, w_c = sum_t 1/(t+1) P(no group of the n - c wrong answers is larger than c and exactly t groups
    have size c); with w = n - c and rising factorial (alpha)_w that probability is
    w!/(alpha)_w [z^w] exp(alpha sum_{j<c} z^j/j) (alpha z^c/c)^t / t!.

    Parameters
    ----------
    n : int
        Number of votes, at least 1.
    concentration : array-like, shape (...)
        alpha > 0. Near 0 all wrong attempts agree; for large alpha no two of them do.

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1), w_0 = 0 and w_n = 1.

    Raises
    ------
    ValueError
        If n < 1 or a concentration is not a positive finite number.
    """
    alpha = np.asarray(concentration, dtype=float)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if not np.all(np.isfinite(alpha) & (alpha > 0.0)):
        raise ValueError("concentration must be positive and finite")
    flat = alpha.reshape(-1)
    rows = max(1, 4_000_000 // (n * n + 1))
    blocks = [_partition_block(n, flat[i : i + rows]) for i in range(0, flat.size, rows)]
    stacked = np.concatenate(blocks) if blocks else np.zeros((0, n + 1))
    return stacked.reshape(*alpha.shape, n + 1)


def _partition_block(n: int, alpha: np.ndarray) -> np.ndarray:
    weights = np.zeros((alpha.size, n + 1))
    weights[:, n] = 1.0
    # log (alpha)_k - log k! for k = 0..n, as sums of small terms so that huge alpha loses no digits.
    rising = np.zeros((n + 1, alpha.size))
    rising[1:] = np.cumsum(np.log((alpha + np.arange(n)[:, None]) / np.arange(1, n + 1)[:, None]), axis=0)
    # own[k][j-1]: chance that among k items the group of a given item has size j,
    # alpha (k-1)!/(k-j)! (alpha)_{k-j}/(alpha)_k.
    own = [np.exp(np.log(alpha / k) + rising[k - 1 :: -1][:k] - rising[k]) for k in range(1, n)]
    for c in range(1, n):
        w = n - c
        # small[k]: chance that k items form groups smaller than c only.
        small = np.zeros((w + 1, alpha.size))
        small[0] = 1.0
        for k in range(1, w + 1):
            widest = min(c - 1, k)
            if widest:
                small[k] = np.einsum("ja,ja->a", own[k - 1][:widest], small[k - widest : k][::-1])
        log_tie = np.log(alpha / c)
        for t in range(w // c + 1):
            rest = w - c * t
            chance = np.exp(t * log_tie - gammaln(t + 1.0) + rising[rest] - rising[w]) * small[rest]
            weights[:, c] += chance / (t + 1.0)
    return weights


def tree_step(r: Any, h: Any, b: int, discrimination: Any) -> tuple[Any, Any]:
    """Probabilities of one step when b candidates are proposed and the best-scored one is kept.

    r_b = A_b(r) with A_b the success of best-of-b (see `noisy_verifier`), and h_b = (1 - r_b) h / (1 - r):
    among steps that do not advance, the share that commits to a wrong answer is unchanged.

    Parameters
    ----------
    r : tensor-like
        Probability in [0, 1] that one step completes the next needed skill.
    h : tensor-like
        Probability in [0, 1 - r] that one step commits to a wrong answer.
    b : int
        Candidates per step, at least 1.
    discrimination : tensor-like
        Separation d >= 0 of the scores of right and wrong candidates; inf is an oracle.

    Returns
    -------
    tuple of tensor
        (r_b, h_b).
    """
    r, h = as_float(r), as_float(h)
    kept = noisy_verifier(r, b, discrimination)
    below = pt.lt(r, 1.0)
    return kept, pt.switch(below, (1.0 - kept) * h / pt.switch(below, 1.0 - r, 1.0), 0.0 * h)


def _powers(base: Any, count: int) -> Any:
    """base^0 .. base^(count-1) on a new trailing axis, with finite gradients at base = 0."""
    exponent = np.arange(count, dtype=float)
    raised = pt.power(pt.expand_dims(base, -1), np.maximum(exponent, 1.0))
    return pt.switch(exponent == 0.0, 1.0, raised)


def _selection(candidates: int, keep: int, discrimination: Any) -> Any:
    """P(x of the ``keep`` best-scored candidates are right | R of all candidates are right).

    Returns shape (..., candidates + 1, keep + 1), rows R, columns x; the leading axes are those of
    ``discrimination``. The keep-th best score is integrated out: it is the score of a right candidate (node y
    is that score less d) or of a wrong one (node y is the score itself).
    """
    right = np.arange(candidates + 1)[:, None]
    chosen = np.arange(keep + 1)[None, :]
    if keep == candidates:
        return pt.as_tensor_variable((right == chosen).astype(float))
    # A middle order statistic of C normal scores has standard deviation of about 1.25/sqrt(C).
    step = min(0.25, 0.8 / np.sqrt(candidates))
    y = _grid(step)
    mass = step * _normal_density(y)
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


def kept_states(levels: int, b: int, w: int) -> list[int]:
    """Return the number of states kept after each level 1..levels of a tree search, min(w, candidates).

    Level 1 has b candidates, every later level b per kept state; all counts are at least 1.
    """
    kept: list[int] = []
    for _ in range(levels):
        kept.append(min(w, b * (kept[-1] if kept else 1)))
    return kept


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
    d = as_float(discrimination)
    # Levels that keep every candidate do not use d; the result has its shape all the same.
    rho = as_float(rho) + 0.0 * pt.switch(pt.isinf(d), 0.0, d)
    inside = pt.and_(pt.gt(rho, 0.0), pt.lt(rho, 1.0))
    safe = pt.switch(inside, rho, 0.5)[..., None, None]
    rho_matrix = rho[..., None, None]
    kept = kept_states(levels, b, w)
    shares: list[Any] = []
    state: Any = None
    before = 1
    transition: Any = None
    for level, now in enumerate(kept):
        if level < 2 or (before, now) != (kept[level - 2], kept[level - 1]):
            # Rows: right kept states before; columns: right candidates among the b * before proposed.
            tried = b * np.arange(before + 1)[:, None].astype(float)
            found = np.arange(b * before + 1)[None, :].astype(float)
            possible = found <= tried
            misses = np.where(possible, tried - found, 0.0)
            log_count = gammaln(tried + 1.0) - gammaln(found + 1.0) - gammaln(misses + 1.0)
            body = pt.switch(possible, pt.exp(log_count + found * pt.log(safe) + misses * pt.log1p(-safe)), 0.0)
            none = np.where(found == 0.0, 1.0, 0.0) + rho_matrix * (
                np.where(found == 1.0, tried, 0.0) - np.where(found == 0.0, tried, 0.0)
            )
            full = np.where(found == tried, 1.0, 0.0) + (1.0 - rho_matrix) * (
                np.where(found == tried - 1.0, tried, 0.0) - np.where(found == tried, tried, 0.0)
            )
            edge = pt.switch(pt.eq(rho_matrix, 0.0), none, pt.switch(pt.eq(rho_matrix, 1.0), full, np.nan))
            proposals = pt.switch(inside[..., None, None], body, edge)
            transition = pt.matmul(proposals, _selection(b * before, now, d))
        # The root is right, so the first level starts from the last row.
        state = transition[..., -1, :] if level == 0 else pt.matmul(state[..., None, :], transition)[..., 0, :]
        shares.append((state * (np.arange(now + 1) / now)).sum(axis=-1))
        before = now
    return pt.stack(shares, axis=-1)


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
