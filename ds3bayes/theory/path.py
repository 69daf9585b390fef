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

from ds3bayes.deferred import pt, pytensor
from ds3bayes.theory._special import (
    as_float,
    beta_cdf,
    beta_fraction,
    beta_tails,
    binomial_mass,
    binomial_terms,
    decreasing_integral,
    log_beta_cdf,
    log_beta_parts,
    log_binomial,
)

_TERMS = 8  # of the expansion in the hazard
_SMALL_HAZARD = 0.01  # the expansion is used below this expected hazard: its remainder is below 1e-16
_BLOCK = 1024  # path lengths of a mixture handled at a time


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
    mean = m / s * finish_within(K + 1.0, m + 1.0, s) + K * _late(K, m, 1.0 - s)
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


def _log_right_share(r: Any, h: Any) -> Any:
    """Return log(r/(r + h)), 0 where r = 0, with finite gradients for the smallest r."""
    positive = pt.gt(r, 0.0)
    # Below 1e-150 the square of r, which the gradient of h/r divides by, underflows.
    mostly = pt.and_(pt.gt(r, 1e-150), pt.le(h, r))
    slips = -pt.log1p(pt.switch(mostly, h, 0.0) / pt.switch(mostly, r, 1.0))
    rate = pt.switch(positive, r, 1.0)
    rarely = pt.and_(positive, pt.invert(mostly))
    return pt.switch(mostly, slips, pt.log(rate) - pt.log(pt.switch(rarely, r + h, rate)))


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
        Accurate relative to its own size down to 1e-270, where `log_truncated` goes on; exact where r + h = 1.
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    endless, certain = pt.isinf(K), pt.eq(h, 1.0)
    count = pt.switch(endless, 0.0, K)
    uncommitted = pt.exp(count * pt.log1p(-pt.switch(certain, 0.5, h)))
    _, idle = _conditional(pt.switch(certain, 0.5, r), pt.switch(certain, 0.5, h))
    value = pt.switch(endless, pt.switch(pt.gt(h, 0.0), 0.0, _late(K, m, idle)), uncommitted * _late(K, m, idle))
    return pt.switch(certain, pt.switch(pt.gt(K, 0.0), 0.0, 1.0), value)


def _moments(K: Any, m: Any, p: Any, q: Any) -> list[Any]:
    """Return B_i = sum_{t=1..K} C(t+i-1, i) P(N >= t), i = 0.._TERMS, for N ~ NB(m, p), q = 1 - p and finite K.

    Summed by parts, B_i = C(K+i, i+1) P(N > K) + C(m+i, i+1) J_i with J_i = p^{-(i+1)} I_p(m+i+1, K-m+1), and J
    follows from its last member by the stable recurrence J_i = p J_{i+1} + p^m q^b/((m+i+1) B(m+i+1, b)).
    """
    reached, _, b = _reach(K, m)
    late = pt.switch(reached, beta_tails(m, b, p, q)[1], 1.0)
    mass = binomial_mass(m, m + b, p, q)
    growth: list[Any] = [b / (m + 1.0)]
    for i in range(_TERMS):
        growth.append(growth[-1] * ((m + b + (i + 1.0)) / (m + (i + 2.0))))
    # Deep in the left tail the continued fraction has converged, and p^{-(i+1)} may overflow.
    top = m + (_TERMS + 1.0)
    deep = pt.lt(p * (top + b), 0.02 * top)
    by_fraction = mass * growth[-1] / beta_fraction(top, b, pt.switch(deep, p, 0.0), 8)
    shallow = pt.switch(deep, 0.5, p)
    held = [pt.switch(deep, by_fraction, beta_cdf(top, b, shallow) / pt.power(shallow, _TERMS + 1.0))]
    for factor in reversed(growth[:-1]):
        held.append(p * held[-1] + mass * factor)
    held.reverse()
    result = []
    by_budget, by_length = K, m
    for i in range(_TERMS + 1):
        result.append(by_budget * late + pt.switch(reached, by_length * held[i], 0.0))
        by_budget, by_length = by_budget * (K + (i + 1.0)) / (i + 2.0), by_length * (m + (i + 1.0)) / (i + 2.0)
    return result


def _alternating(terms: list[Any], u: Any) -> Any:
    """Return terms[0] - u terms[1] + u^2 terms[2] - ..."""
    total: Any = terms[-1]
    for term in reversed(terms[:-1]):
        total = term - u * total
    return total


def _conditional(r: Any, h: Any) -> tuple[Any, Any]:
    """Return the chances to advance and to idle given no commitment; h < 1."""
    s = r + h
    # What the sum lost to rounding matters where s is near 1; idling is exactly impossible when s = 1.
    lost = (r - (s - (s - r))) + (h - (s - r))
    return r / (1.0 - h), pt.switch(pt.eq(s, 1.0), 1.0 - s, (1.0 - s) - lost) / (1.0 - h)


def _truncated_sharp(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Return `truncated` for finite K and h < 1 without the rounding of 1 - r - h."""
    reached, _, b = _reach(K, m)
    _, late = beta_tails(m, b, *_conditional(r, h))
    return pt.exp(K * pt.log1p(-h)) * pt.switch(reached, late, 1.0)


def _endless_moments(m: Any, r: Any, h: Any) -> tuple[Any, Any]:
    """Return E[T] and E[T (T + 1)]/2 of a walk without a budget, r > 0: (1 - rho^m)/h, (E[T] - (m/s) rho^m)/h."""
    v = h / r
    small = pt.lt(m * v, _SMALL_HAZARD)
    terms = [m]
    for i in range(_TERMS):
        terms.append(terms[-1] * (m + (i + 1.0)) / (i + 2.0))
    safe_v, safe_h = pt.switch(small, v, 0.0), pt.switch(small, 1.0, h)
    mean = -pt.expm1(-m * pt.log1p(v)) / safe_h
    square = (mean - m / (r + h) * pt.exp(-m * pt.log1p(v))) / safe_h
    weighted = [(i + 1.0) * term for i, term in enumerate(terms[1:])]
    return (
        pt.switch(small, _alternating(terms, safe_v) / r, mean),
        pt.switch(small, _alternating(weighted, safe_v) / (r * r), square),
    )


def _step_moments(K: Any, m: Any, r: Any, h: Any) -> tuple[Any, Any]:
    """Return E[X] and E[X (X + 1)]/2 for X = min(T, K).

    They are (1 - solved - truncated)/h and (E[X] - E[T; solved] - K truncated)/h. Where the expected hazard is
    small, which includes h = 0, these cancel and are expanded in u = h/(1 - h) instead.
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    endless, moving, certain = pt.isinf(K), pt.gt(r, 0.0), pt.eq(h, 1.0)
    budget, hazard = pt.switch(endless, 0.0, K), pt.switch(certain, 0.5, h)
    rate = pt.switch(certain, 0.5, r)
    moments = _moments(budget, m, *_conditional(rate, hazard))
    u = hazard / (1.0 - hazard)
    small = pt.lt(u * moments[0], _SMALL_HAZARD)
    safe_u, safe_h = pt.switch(small, u, 0.0), pt.switch(small, 1.0, hazard)
    weighted = [(i + 1.0) * moment for i, moment in enumerate(moments[1:])]
    s = rate + hazard
    reached, _, b = _reach(budget, m)
    some = pt.and_(reached, pt.gt(rate, 0.0))
    # Not a power of r/s, whose rounding would count m times.
    right = pt.switch(some, pt.exp(m * _log_right_share(rate, hazard)), 0.0)
    by_pace, _ = beta_tails(m, b, s, 1.0 - s)
    by_next, _ = beta_tails(m + 1.0, b, s, 1.0 - s)
    late = _truncated_sharp(budget, m, rate, hazard)
    mean = (1.0 - right * by_pace - late) / safe_h
    square = (mean - m / pt.switch(pt.gt(s, 0.0), s, 1.0) * right * by_next - budget * late) / safe_h
    mean = pt.switch(small, _alternating(moments[:-1], safe_u) * (1.0 + safe_u), mean)
    square = pt.switch(small, _alternating(weighted, safe_u) * (1.0 + safe_u) ** 2, square)
    # A walk that commits at once takes one step.
    one = pt.switch(pt.gt(K, 0.0), 1.0, 0.0)
    mean, square = pt.switch(certain, one, mean), pt.switch(certain, one, square)
    forever = pt.switch(pt.gt(h, 0.0), h, 1.0)
    never = pt.switch(pt.gt(h, 0.0), 1.0 / forever, np.inf)
    without_end = pt.and_(endless, moving)
    endless_mean, endless_square = _endless_moments(m, pt.switch(without_end, r, 0.5), pt.switch(without_end, h, 0.0))
    return (
        pt.switch(endless, pt.switch(moving, endless_mean, never), mean),
        pt.switch(endless, pt.switch(moving, endless_square, never * never), square),
    )


def expected_steps(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Return the expected number of steps taken, E[min(T, K)] = sum_{j<m} (r^j / s^{j+1}) I_s(j + 1, K - j).

    T is the step at which the walk ends, right or wrong, and s = r + h. Term j is the expected time spent
    with j skills done. Evaluated as (1 - solved - truncated)/h, or as an expansion in h/(1 - h) where that
    cancels; no sum over j is formed.

    Parameters
    ----------
    K : tensor-like
        Step budget, >= 0, at most 1e15; may be inf (the result is inf if r = h = 0).
    m : tensor-like
        Path length, >= 1; real values allowed for K >= m.
    r : tensor-like
        Probability in [0, 1] that a step completes the next needed skill.
    h : tensor-like
        Probability in [0, 1 - r] that a step commits to a wrong answer.

    Returns
    -------
    tensor
        Steps, in [0, K]. Relative error below 1e-10 up to m = 1e4 and K = 1e6. Gradients in r and h are exact,
        also at h = 0; those in m are right but slow.
    """
    return _step_moments(K, m, r, h)[0]


def expected_squared_steps(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Return the second moment of the number of steps taken, E[min(T, K)^2].

    The variance of the steps is this minus `expected_steps` squared, which loses digits where the number of
    steps is almost certain.

    Parameters
    ----------
    K, m, r, h : tensor-like
        As for `expected_steps`.

    Returns
    -------
    tensor
        Squared steps, in [0, K^2].
    """
    return steps_and_squares(K, m, r, h)[1]


def steps_and_squares(K: Any, m: Any, r: Any, h: Any) -> tuple[Any, Any]:
    """Return `expected_steps` and `expected_squared_steps`, which share most of their terms."""
    mean, half_square = _step_moments(K, m, r, h)
    # For K = 0 both are 0 and for an endless walk both may be inf.
    return mean, pt.switch(pt.isinf(mean), mean, 2.0 * half_square - mean)


def wrong(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Probability that the walk has committed to a wrong answer within K steps, h E[min(T, K)].

    Every step taken commits with probability h, whatever came before. Equals one minus `solved` minus
    `truncated`, without their cancellation.

    Parameters
    ----------
    K, m, r, h : tensor-like
        As for `expected_steps`.

    Returns
    -------
    tensor
        0 if h = 0, also for K = inf.
    """
    h = as_float(h)
    return h * expected_steps(K, m, r, h)


def solved_at(k: Any, m: Any, r: Any, h: Any) -> Any:
    """Probability that the walk solves the task at exactly step k, C(k-1, m-1) r^m (1 - r - h)^{k-m}.

    Parameters
    ----------
    k : tensor-like
        Step, whole numbers >= 1.
    m, r, h : tensor-like
        As for `solved`.

    Returns
    -------
    tensor
        0 where k < m.
    """
    k, m, r, h = (as_float(x) for x in (k, m, r, h))
    s, rho = _right_share(r, h)
    possible = pt.ge(k, m)
    n = pt.switch(possible, k, m)
    return pt.switch(possible, pt.power(rho, m) * (m / n) * binomial_mass(m, n, s, 1.0 - s), 0.0)


def wrong_at(k: Any, m: Any, r: Any, h: Any) -> Any:
    """Probability that the walk commits to a wrong answer at exactly step k, h P(T >= k).

    Parameters
    ----------
    k : tensor-like
        Step, whole numbers >= 1.
    m, r, h : tensor-like
        As for `solved`.
    """
    return as_float(h) * truncated(as_float(k) - 1.0, m, r, h)


def ended_by(k: Any, m: Any, r: Any, h: Any) -> Any:
    """Probability that the walk has ended, right or wrong, within k steps, P(T <= k) = 1 - `truncated`.

    Parameters
    ----------
    k : tensor-like
        Step >= 0; may be inf.
    m, r, h : tensor-like
        As for `solved`.
    """
    return solved(k, m, r, h) + wrong(k, m, r, h)


def expected_steps_solved(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Return E[T; solved within K], the steps of solved walks times their probability.

    Parameters
    ----------
    K, m, r, h : tensor-like
        As for `solved`.

    Returns
    -------
    tensor
        Divide by `solved` for the mean number of steps of a solved walk.
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    s, rho = _right_share(r, h)
    moving = pt.gt(s, 0.0)
    return m / pt.switch(moving, s, 1.0) * pt.power(rho, m) * finish_within(K + 1.0, m + 1.0, s)


def _still_lost(K: Any, m: Any, r: Any, h: Any, g: Any) -> Any:
    """Probability that a lost walk is still under way after K steps, sum_{k<=K} h P(T >= k) (1-g)^{K-k}.

    With u = (h - g)/(1 - h) this is `expected_steps` at another hazard, scaled by (1 - g)^K.
    """
    endless, certain, stuck = pt.isinf(K), pt.eq(h, 1.0), pt.eq(g, 1.0)
    n, hazard, leave = pt.switch(endless, 0.0, K), pt.switch(certain, 0.5, h), pt.switch(stuck, 0.0, g)
    rate = pt.switch(certain, 0.5, r)
    moments = _moments(n, m, *_conditional(rate, hazard))
    u = (hazard - leave) / (1.0 - hazard)
    small = pt.lt(pt.abs(u) * moments[0], _SMALL_HAZARD)
    s, rho = _right_share(rate, hazard)
    reached, _, b = _reach(n, m)
    wandering = pt.exp(n * pt.log1p(-leave))
    expanded = wandering / (1.0 - hazard) * _alternating(moments[:-1], pt.switch(small, u, 0.0))
    # sum_k P(solved at k) (1-g)^{K-k}: an incomplete beta function where g < s, elsewhere its positive integral.
    slow = pt.and_(pt.lt(leave, s), pt.gt(rate, 0.0))
    gap = pt.switch(slow, s - leave, 0.5)
    safe_leave = pt.switch(slow, leave, 0.5)
    log_share = pt.log(pt.switch(slow, rate, 0.5)) - pt.log(gap)
    tail = log_beta_cdf(m, b, gap / (1.0 - safe_leave), pt.switch(slow, 1.0 - s, 0.0) / (1.0 - safe_leave))
    by_tail = pt.exp(n * pt.log1p(-safe_leave) + m * log_share + tail)
    idle = pt.switch(slow, 0.5, 1.0 - s)
    integral = decreasing_integral(m, b, pt.switch(slow, 0.5, leave - s) / idle)
    trials = pt.switch(reached, n, m)
    by_integral = pt.power(rho, m) * binomial_mass(m, trials, s, 1.0 - s) * m * integral
    ended = pt.switch(reached, pt.switch(slow, by_tail, by_integral), 0.0)
    held = wandering - ended - _truncated_sharp(n, m, rate, hazard)
    value = hazard * pt.switch(small, expanded, held / pt.switch(small, 1.0, hazard - leave))
    # Leaving at once, only the slips of the last step remain; a slip at the first step wanders K - 1 steps.
    value = pt.switch(stuck, pt.switch(pt.gt(n, 0.0), h * truncated(pt.maximum(n - 1.0, 0.0), m, r, h), 0.0), value)
    rest = pt.switch(pt.gt(n, 0.0), n - 1.0, 0.0)
    first = pt.switch(stuck, pt.eq(rest, 0.0), pt.exp(rest * pt.log1p(-leave)))
    return pt.switch(certain, pt.switch(pt.gt(n, 0.0), first, 0.0), value)


def lost_wrong(K: Any, m: Any, r: Any, h: Any, g: Any) -> Any:
    """Probability of a wrong answer within K steps when a slip makes the walk lost before it commits.

    With probability h a step leaves the path; the lost walk wanders and commits to a wrong answer with
    probability g per step, from the next step on. A slip after j skills then ends at a time distributed as
    NB(j + 1, s) + Geometric(g), with weight rho^j (1 - rho). Success is that of the path walk, `solved`.

    Parameters
    ----------
    K, m, r, h : tensor-like
        As for `expected_steps`; h is the probability of a slip.
    g : tensor-like
        Probability in [0, 1] that a step of a lost walk commits to a wrong answer.

    Returns
    -------
    tensor
        `wrong` minus the walks that are lost but still under way. That difference is accurate to about 1e-13 times
        `wrong`, not to its own size; where it is below its rounding error it may be 0, never negative.
    """
    K, m, r, h, g = (as_float(x) for x in (K, m, r, h, g))
    slipped = wrong(K, m, r, h)
    finite = slipped - _still_lost(K, m, r, h, g)
    return pt.switch(pt.isinf(K), pt.switch(pt.gt(g, 0.0), slipped, 0.0), pt.maximum(finite, 0.0))


def lost_truncated(K: Any, m: Any, r: Any, h: Any, g: Any) -> Any:
    """Probability that a walk whose slips make it lost is still under way after K steps, on its path or lost.

    Parameters
    ----------
    K, m, r, h, g : tensor-like
        As for `lost_wrong`.

    Returns
    -------
    tensor
        One minus `solved` minus `lost_wrong`, without that subtraction.
    """
    K, m, r, h, g = (as_float(x) for x in (K, m, r, h, g))
    on_path = truncated(K, m, r, h)
    endless = pt.switch(pt.gt(g, 0.0), 0.0, wrong(K, m, r, h))
    return on_path + pt.switch(pt.isinf(K), endless, _still_lost(K, m, r, h, g))


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
    """Logarithm of `solved`, m log(r/(r + h)) + log I_s(m, K - m + 1), also where the probability underflows.

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
        Natural logarithm, -inf where K <= m - 1 or r = 0. Near certain success it keeps its own relative
        accuracy. Gradients in r and h are finite and exact wherever the value is finite; those in m are right
        but slow.
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    reached, endless, b = _reach(K, m)
    positive = pt.gt(r, 0.0)
    possible = pt.and_(reached, positive)
    inner = pt.and_(possible, pt.invert(endless))
    s, rate = pt.switch(inner, r + h, 0.5), pt.switch(positive, r, 0.5)
    tail, scaled, elsewhere = log_beta_parts(pt.switch(inner, m, 1.0), b, s, 1.0 - s)
    direct = m * _log_right_share(r, h) + pt.switch(inner, elsewhere, 0.0)
    value = pt.switch(pt.and_(inner, tail), m * pt.log(rate) + scaled, direct)
    return pt.switch(possible, value, -np.inf)


def log_truncated(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Logarithm of `truncated`, K log(1-h) + log[1 - I_{r/(1-h)}(m, K-m+1)], also where that underflows.

    Parameters
    ----------
    K, m, r, h : tensor-like
        As for `truncated`.

    Returns
    -------
    tensor
        Natural logarithm, -inf where the walk must have ended. Gradients as for `log_solved`.
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    reached, endless, b = _reach(K, m)
    certain = pt.eq(h, 1.0)
    inner = pt.and_(reached, pt.invert(pt.or_(endless, certain)))
    p, q = _conditional(pt.switch(inner, r, 0.5), pt.switch(inner, h, 0.0))
    late = pt.switch(inner, log_beta_cdf(b, pt.switch(inner, m, 1.0), q, p), 0.0)
    value = pt.switch(endless, 0.0, K) * pt.log1p(-pt.switch(certain, 0.5, h)) + late
    value = pt.switch(certain, pt.switch(pt.gt(K, 0.0), -np.inf, 0.0), value)
    return pt.switch(endless, pt.switch(pt.gt(r + h, 0.0), -np.inf, 0.0), value)


def log_unsolved(K: Any, m: Any, r: Any, h: Any) -> Any:
    """Logarithm of 1 - `solved`, the probability of failure, without the subtraction where failure is rare.

    Failure is the sum of `truncated` and `wrong`. Its logarithm times n is that of the failure of n attempts.

    Parameters
    ----------
    K, m, r, h : tensor-like
        As for `solved`.

    Returns
    -------
    tensor
        Natural logarithm, -inf where the task is solved for certain. Gradients as for `log_solved`.
    """
    K, m, r, h = (as_float(x) for x in (K, m, r, h))
    right = solved(K, m, r, h)
    rare = pt.lt(right, 0.5)
    late = log_truncated(K, m, r, h)
    some = pt.gt(K, 0.0)
    steps = pt.switch(some, expected_steps(pt.switch(some, K, 1.0), m, r, h), 0.0)
    # wrong = h E[min(T, K)] on top of truncated, exact also at h = 0 unless the ratio of the two would overflow.
    near = pt.gt(late, -600.0)
    by_ratio = pt.switch(near, late, 0.0) + pt.log1p(
        h * pt.switch(near, steps, 0.0) * pt.exp(-pt.switch(near, late, 0.0))
    )
    committed = pt.and_(pt.invert(near), pt.and_(some, pt.gt(h, 0.0)))
    log_wrong = pt.log(pt.switch(committed, h * steps, 1.0))
    failed = pt.switch(near, by_ratio, pt.switch(committed, _log_add(late, log_wrong), late))
    return pt.switch(rare, pt.log1p(-pt.switch(rare, right, 0.0)), failed)


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


def _log_add(*terms: Any) -> Any:
    """Return the log of a sum of exponentials; where all are -inf it is -inf with gradient 0."""
    top: Any = terms[0]
    for term in terms[1:]:
        top = pt.maximum(top, term)
    top = pytensor.gradient.disconnected_grad(pt.switch(pt.isinf(top), 0.0, top))
    total: Any = sum(pt.exp(term - top) for term in terms)
    some = pt.gt(total, 0.0)
    return pt.switch(some, pt.log(pt.switch(some, total, 1.0)) + top, -np.inf)


def _log_cumulative(terms: Any, size: int) -> Any:
    """Return the log of the cumulative sums of exponentials over the last axis, by doubling: nothing underflows."""
    span = 1
    while span < size:
        terms = pt.concatenate([terms[..., :span], _log_add(terms[..., span:], terms[..., :-span])], axis=-1)
        span *= 2
    return terms


def _mixture_block(first: int, weights: Any, total: Any, before: Any, K: Any, s: Any, log_rho: Any) -> tuple[Any, Any]:
    """Add one block to log sum_j Phi(j) Bin(j; K, s), and return that and log Phi at the block's end.

    Phi(j) is the weight, times rho^m, of path lengths m <= j; ``weights`` are the log weights of the lengths first,
    first + 1, ... and ``before`` is log Phi(first - 1).
    """
    size = weights.type.shape[-1]
    j = first + np.arange(size, dtype=float)
    within = _log_cumulative(weights + j * pt.expand_dims(log_rho, -1), size)
    log_cdf = _log_add(within, pt.expand_dims(before, -1))
    n, pace = pt.expand_dims(K, -1), pt.expand_dims(s, -1)
    possible = pt.le(j, n)
    k = pt.switch(possible, j, 0.0)
    inside = pt.lt(pace, 1.0)
    safe = pt.switch(inside, pace, 0.5)
    log_mass = log_binomial(n, k) + k * pt.log(safe) + (n - k) * pt.log1p(-safe)
    log_mass = pt.switch(inside, log_mass, pt.switch(pt.eq(j, n), 0.0, -np.inf))
    terms = log_cdf + pt.switch(possible, log_mass, -np.inf)
    top = terms.max(axis=-1)
    top = pytensor.gradient.disconnected_grad(pt.switch(pt.isinf(top), 0.0, top))
    summed = pt.exp(terms - pt.expand_dims(top, -1)).sum(axis=-1)
    some = pt.gt(summed, 0.0)
    block = pt.switch(some, pt.log(pt.switch(some, summed, 1.0)) + top, -np.inf)
    return _log_add(total, block), log_cdf[..., -1]


def log_mixture_solved(log_weights: Any, K: Any, r: Any, h: Any = 0.0, *, size: int | None = None) -> Any:
    """Logarithm of success averaged over random path lengths, log sum_m phi(m) P(solved within K | m).

    The binomial dual with positive terms: with Phi(j) = sum_{m<=j} phi(m) (r/s)^m and s = r + h the average is
    sum_{j<J} Phi(j) Bin(j; K, s) + Phi(J) I_s(J, K - J + 1), which needs one incomplete beta function whatever J
    is, and no sum cancels.

    Parameters
    ----------
    log_weights : tensor-like, shape (..., J)
        log phi(1), ..., log phi(J); -inf is allowed. At most 1024 path lengths are handled at a time, so that
        evaluation needs memory for 1024 numbers per element of the batch whatever J is; a gradient keeps all J.
    K : tensor-like, shape (...)
        Step budget, whole numbers >= 0; may be inf.
    r : tensor-like, shape (...)
        Probability in (0, 1] that a step completes the next needed skill.
    h : tensor-like, shape (...), default 0
        Probability in [0, 1 - r] that a step commits to a wrong answer.
    size : int, optional
        J, needed where the shape of ``log_weights`` does not tell it.

    Returns
    -------
    tensor, shape (...)
        Finite far below the smallest positive number; -inf where no path can be completed. Gradients in
        ``log_weights``, r and h are exact.

    Raises
    ------
    ValueError
        If the length of the last axis is unknown, or is not ``size``.
    """
    log_weights, K, r, h = (as_float(x) for x in (log_weights, K, r, h))
    known = log_weights.type.shape[-1]
    size = known if size is None else size
    if size is None or size < 1 or (known is not None and known != size):
        raise ValueError(f"the last axis of log_weights must have a known length >= 1, got {known} and size={size}")
    log_weights = pt.specify_shape(log_weights, (*log_weights.type.shape[:-1], size))
    positive = pt.gt(r, 0.0)
    pace = pt.switch(positive, r + h, 0.5)
    log_rho = _log_right_share(r, h)
    budget = pt.switch(pt.isinf(K), 0.0, K)
    total: Any = -np.inf
    log_cdf: Any = -np.inf
    for first in range(1, size + 1, _BLOCK):
        block = log_weights[..., first - 1 : min(first - 1 + _BLOCK, size)]
        total, log_cdf = _mixture_block(first, block, total, log_cdf, budget, pace, log_rho)
    beyond = log_solved(K, size + 1.0, pace, 0.0)
    return pt.switch(positive, _log_add(total, log_cdf + beyond), -np.inf)


def mixture_solved(log_weights: Any, K: Any, r: Any, h: Any = 0.0, *, size: int | None = None) -> Any:
    """Success averaged over random path lengths, sum_m phi(m) P(solved within K | m).

    For long paths, for h > 0 and for success near 0; `binomial_dual` is faster where J is short and h = 0.

    Parameters
    ----------
    log_weights, K, r, h : tensor-like
        As for `log_mixture_solved`.
    size : int, optional
        As for `log_mixture_solved`.

    Returns
    -------
    tensor, shape (...)
        Accurate relative to its own size.
    """
    return pt.exp(log_mixture_solved(log_weights, K, r, h, size=size))
