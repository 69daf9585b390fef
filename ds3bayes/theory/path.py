"""The path walk: m skills completed one after another, each step advancing, idling or giving a wrong answer.

A step advances with probability r, commits to a wrong answer with probability h and idles otherwise. Its
orthogonal form has the pace s = r + h (something happens) and rho = r/s (what happens is right): then the
walk ends right with probability rho^m, and the number T of steps of a right walk is negative binomial NB(m,
s) whatever rho is. h = 0 is the walk of Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004.

All functions broadcast their arguments. A step budget K may be ``inf``. Where a formula holds for real path
lengths this is said; K and m then interpolate smoothly, and for whole numbers the value is exact. Arguments
outside their ranges are not checked here and give NaN or meaningless values; nothing is clipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from ds3bayes.theory._special import as_float, beta_cdf, binomial_terms, log_binomial

_FRACTION_TERMS = 10  # a continued fraction used in its fast region only: error below 1e-13 up to K = 1e6
_LOG_FLOOR = 1e-250  # below this a probability is computed in log space


def _reach(K: Any, m: Any) -> tuple[Any, Any, Any]:
    """Return whether K steps can suffice, whether K is infinite, and K - m + 1 where that is usable."""
    reached, endless = pt.gt(K, m - 1.0), pt.isinf(K)
    usable = pt.and_(reached, pt.invert(endless))
    return reached, endless, pt.switch(usable, K - m + 1.0, 1.0)


def finish_within(steps: Any, path_length: Any, pace: Any) -> Any:
    """Probability that a walk that ends right does so within K steps, I_s(m, K - m + 1).

    I is the regularised incomplete beta function; this is the distribution function of T ~ NB(m, s).

    Parameters
    ----------
    steps : tensor-like
        Step budget K >= 0; may be inf.
    path_length : tensor-like
        Path length m >= 1; real values allowed.
    pace : tensor-like
        s = r + h in [0, 1].

    Returns
    -------
    tensor
        0 where K <= m - 1 (too few steps); exact, with exact gradient in s, at s = 0 and s = 1.
    """
    K, m, s = as_float(steps), as_float(path_length), as_float(pace)
    reached, endless, spare = _reach(K, m)
    value = pt.switch(endless, pt.switch(pt.gt(s, 0.0), 1.0, s), beta_cdf(m, spare, s))
    return pt.switch(reached, value, 0.0)


def mean_steps_within(steps: Any, path_length: Any, pace: Any) -> Any:
    """Return the expected number of steps of an attempt that ends when its path does, cut at a budget.

    E[min(T, K)] = (m/s) I_s(m+1, K-m+1) + K [1 - I_s(m, K-m+1)] for T ~ NB(m, s), the number of steps of a path
    of m skills at pace s.

    Parameters
    ----------
    steps : tensor-like
        Budget K >= 0 in steps, finite.
    path_length : tensor-like
        m >= 1, whole or real.
    pace : tensor-like
        s in (0, 1].

    Returns
    -------
    tensor
        In [0, K]; all arguments broadcast.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (the path walk); the truncated mean is this package's own.
    """
    K, m, s = as_float(steps), as_float(path_length), as_float(pace)
    mean = m / s * finish_within(K + 1.0, m + 1.0, s) + K * (1.0 - finish_within(K, m, s))
    # Between whole path lengths the two terms meet at K = m rather than at K = m - 1.
    return pt.minimum(mean, K)


def _late(K: Any, m: Any, miss: Any) -> Any:
    """P(T > K) for T ~ NB(m, 1 - miss): the complement of `finish_within` without a subtraction."""
    reached, endless, spare = _reach(K, m)
    value = pt.switch(endless, pt.switch(pt.lt(miss, 1.0), 0.0, miss), beta_cdf(spare, m, miss))
    return pt.switch(reached, value, 1.0)


def steps_tail(steps: Any, path_length: Any, pace: Any) -> Any:
    """Probability that a walk that ends right needs more than K steps, I_{1-s}(K - m + 1, m).

    The complement of `finish_within`, accurate relative to its own size where it is small.

    Parameters
    ----------
    steps : tensor-like
        K >= 0; may be inf.
    path_length : tensor-like
        Path length m >= 1; real values allowed.
    pace : tensor-like
        s = r + h in [0, 1].

    Returns
    -------
    tensor
        1 where K <= m - 1.
    """
    return _late(as_float(steps), as_float(path_length), 1.0 - as_float(pace))


def _right_share(r: Any, h: Any) -> tuple[Any, Any]:
    """Return the pace s = r + h and rho = r/s."""
    s = r + h
    return s, r / pt.switch(pt.gt(s, 0.0), s, 1.0)


def solved(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Probability that the task is solved within K steps, (r/s)^m I_s(m, K - m + 1) with s = r + h.

    Parameters
    ----------
    K : tensor-like
        Step budget, >= 0; may be inf.
    m : tensor-like
        Path length, >= 1; real values allowed.
    r : tensor-like
        Probability in [0, 1] that a step completes the next needed skill.
    h : tensor-like
        Probability in [0, 1 - r] that a step commits to a wrong answer.

    Returns
    -------
    tensor
        0 where K <= m - 1.
    """
    r, h, m = as_float(r), as_float(h), as_float(m)
    s, rho = _right_share(r, h)
    return pt.power(rho, m) * finish_within(K, m, s)


def truncated(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Probability that the walk is still under way after K steps, (1-h)^K [1 - I_{r/(1-h)}(m, K - m + 1)].

    Parameters
    ----------
    K : tensor-like
        Step budget, >= 0; may be inf.
    m : tensor-like
        Path length, >= 1; real values allowed.
    r : tensor-like
        Probability in [0, 1] that a step completes the next needed skill.
    h : tensor-like
        Probability in [0, 1 - r] that a step commits to a wrong answer.

    Returns
    -------
    tensor
        Accurate relative to its own size; exact where r + h = 1.
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    endless, certain = pt.isinf(K), pt.eq(h, 1.0)
    count = pt.switch(endless, 0.0, K)
    uncommitted = pt.exp(count * pt.log1p(-pt.switch(certain, 0.5, h)))
    # The chance to idle given no commitment, from 1 - (r + h) so that it is exactly 0 when r + h = 1.
    idle = (1.0 - (r + h)) / pt.switch(certain, 1.0, 1.0 - h)
    value = pt.switch(endless, pt.switch(pt.gt(h, 0.0), 0.0, _late(K, m, idle)), uncommitted * _late(K, m, idle))
    return pt.switch(certain, pt.switch(pt.gt(K, 0.0), 0.0, 1.0), value)


def expected_steps(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Return the expected number of steps taken, E[min(T, K)] = sum_{j<m} (r^j / s^{j+1}) I_s(j + 1, K - j).

    T is the step at which the walk ends, right or wrong, and s = r + h. Term j is the expected time spent
    with j skills done.

    Parameters
    ----------
    K : tensor-like
        Step budget, >= 0; may be inf if s > 0.
    m : tensor-like of int
        Path length, whole numbers >= 1. Memory grows with the largest m.
    r : tensor-like
        Probability in [0, 1] that a step completes the next needed skill.
    h : tensor-like
        Probability in [0, 1 - r] that a step commits to a wrong answer.

    Returns
    -------
    tensor
        Steps, in [0, K].
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    s, rho = _right_share(r, h)
    moving = pt.gt(s, 0.0)
    j = pt.arange(pt.max(m).astype("int64"), dtype="float64")
    last = [pt.expand_dims(x, -1) for x in (K, m, s, rho)]
    visits = pt.power(last[3], j) * finish_within(last[0], j + 1.0, last[2])
    total = pt.switch(pt.lt(j, last[1]), visits, 0.0).sum(axis=-1)
    return pt.switch(moving, total / pt.switch(moving, s, 1.0), K)


def wrong(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Probability that the walk has committed to a wrong answer within K steps, h E[min(T, K)].

    Every step taken commits with probability h, whatever came before. Equals one minus `solved` minus
    `truncated`, without their cancellation.

    Parameters
    ----------
    K, m, r, h : tensor-like
        As for `expected_steps`; ``m`` whole numbers.

    Returns
    -------
    tensor
        0 if h = 0, also for K = inf.
    """
    h = as_float(h)
    return h * expected_steps(K, m, r, h)


def wrong_unreachable(K: Any, h: Any) -> Any:
    """Probability of a wrong answer within K steps on a task that cannot be solved, 1 - (1 - h)^K.

    Parameters
    ----------
    K : tensor-like
        Step budget, >= 0; may be inf.
    h : tensor-like
        Probability in [0, 1] that a step commits to a wrong answer.
    """
    K, h = as_float(K), as_float(h)
    endless, certain = pt.isinf(K), pt.eq(h, 1.0)
    body = -pt.expm1(pt.switch(endless, 0.0, K) * pt.log1p(-pt.switch(certain, 0.5, h)))
    body = pt.switch(certain, pt.switch(pt.gt(K, 0.0), 1.0, 0.0), body)
    return pt.switch(endless, pt.switch(pt.gt(h, 0.0), 1.0, h), body)


def plateau(m: Any, r: Any, h: Any, gamma: Any) -> Any:
    """Success that no step budget exceeds, gamma^m (r/s)^m with s = r + h.

    Its two causes are separate: skills that cannot be reached (gamma) and wrong commitments (h).

    Parameters
    ----------
    m : tensor-like
        Path length, >= 1; real values allowed.
    r : tensor-like
        Probability in (0, 1] that a step completes the next needed skill.
    h : tensor-like
        Probability in [0, 1 - r] that a step commits to a wrong answer.
    gamma : tensor-like
        Probability in [0, 1] that one needed skill is reachable.
    """
    r, h = as_float(r), as_float(h)
    _, rho = _right_share(r, h)
    return pt.power(as_float(gamma) * rho, as_float(m))


def log_solved(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Logarithm of `solved`, finite with right gradients where the probability itself underflows.

    Far in the left tail I_s(m, b), b = K - m + 1, is s^m (1-s)^b / (m B(m, b)) over a continued fraction with
    coefficients of the classical form d_{2i+1} = -(m+i)(m+b+i) s/((m+2i)(m+2i+1)) and
    d_{2i} = i (b-i) s/((m+2i-1)(m+2i)), which converges fast there; elsewhere it is evaluated directly.

    Parameters
    ----------
    K : tensor-like
        Step budget, >= 0; may be inf.
    m : tensor-like
        Path length, >= 1; real values allowed.
    r : tensor-like
        Probability in (0, 1] that a step completes the next needed skill.
    h : tensor-like
        Probability in [0, 1 - r] that a step commits to a wrong answer.

    Returns
    -------
    tensor
        -inf where K <= m - 1 or r = 0.
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    s, _ = _right_share(r, h)
    reached, _, b = _reach(K, m)
    direct = pt.switch(reached, finish_within(K, m, s), 1.0)
    plain = pt.gt(direct, _LOG_FLOOR)
    safe_r, safe_s = pt.switch(pt.gt(r, 0.0), r, 0.5), pt.switch(pt.gt(s, 0.0), s, 0.5)
    by_value = m * (pt.log(safe_r) - pt.log(safe_s)) + pt.log(pt.switch(plain, direct, 1.0))
    # Where it is not used the tail gets harmless arguments, so that no NaN enters the gradient.
    tail_b, tail_s = pt.switch(plain, 2.0, b), pt.switch(plain, 0.1, safe_s)
    fraction: Any = 1.0
    for term in range(_FRACTION_TERMS, 0, -1):
        i = term // 2
        if term % 2:
            d = -(m + i) * (m + tail_b + i) * tail_s / ((m + 2 * i) * (m + 2 * i + 1))
        else:
            d = i * (tail_b - i) * tail_s / ((m + 2 * i - 1) * (m + 2 * i))
        fraction = 1.0 + d / fraction
    log_beta = pt.gammaln(m) + pt.gammaln(tail_b) - pt.gammaln(m + tail_b)
    in_tail = m * pt.log(safe_r) + tail_b * pt.log1p(-tail_s) - pt.log(m) - log_beta - pt.log(fraction)
    value = pt.switch(plain, by_value, in_tail)
    return pt.switch(pt.and_(reached, pt.gt(r, 0.0)), value, -np.inf)


def binomial_dual(survival: Any, K: Any, r: Any) -> Any:
    """Return the success averaged over random path lengths, 1 - sum_j S(j) Bin(j; K, r).

    A walk with h = 0 is solved within K steps iff at least m of K Bernoulli(r) steps advance. With
    S(j) = P(m > j) the average over m needs one exponential per (j, K, r) and elementary gradients. For h > 0
    use r + h in place of r, and fold (r/(r+h))^m into the law of m.

    Parameters
    ----------
    survival : tensor-like, shape (..., J)
        S(0), ..., S(J - 1); S(j) is taken as 0 for j >= J, so J is the largest path length.
    K : tensor-like, shape (...)
        Step budget, whole numbers >= 0; may be inf (then the result is 1 if r > 0).
    r : tensor-like, shape (...)
        Probability in [0, 1] that a step advances.

    Returns
    -------
    tensor, shape (...)
        Accurate to about 1e-15 absolute: where success is far below that use `log_solved` and average.
    """
    survival, K, r = as_float(survival), as_float(K), as_float(r)
    size = survival.type.shape[-1]
    j = np.arange(size, dtype=float) if size is not None else pt.arange(survival.shape[-1], dtype="float64")
    endless = pt.isinf(K)
    n, p = pt.expand_dims(pt.switch(endless, 0.0, K), -1), pt.expand_dims(r, -1)
    inside = pt.and_(pt.gt(p, 0.0), pt.lt(p, 1.0))
    possible = pt.le(j, n)
    body = binomial_terms(pt.switch(possible, j, 0.0), n, pt.switch(inside, p, 0.5), log_binomial(n, j))
    # First-order expansions at r = 0 and r = 1, so that value and gradient are exact there.
    none = pt.eq(j, 0.0) * (1.0 - n * p) + pt.eq(j, 1.0) * n * p
    full = pt.eq(j, n) * (1.0 + n * (p - 1.0)) + pt.eq(j, n - 1.0) * n * (1.0 - p)
    edge = pt.switch(pt.eq(p, 0.0), none, pt.switch(pt.eq(p, 1.0), full, np.nan))
    failure = (survival * pt.switch(inside, body, edge)).sum(axis=-1)
    never = pt.switch(pt.gt(r, 0.0), 0.0, survival[..., 0])
    return 1.0 - pt.switch(endless, never, failure)
