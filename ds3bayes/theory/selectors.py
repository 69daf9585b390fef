"""Selectors: how n attempts at one task become one answer.

With n exchangeable attempts, each right with probability q, a selector is the vector
w_c = P(the chosen answer is right | c of n are right), c = 0..n, and its success is the Bernstein polynomial
A(q) = sum_c Bin(c; n, q) w_c. The same algebra, applied to the candidates of one step instead of to whole
attempts, gives tree search.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, log_ndtr, ndtr

from ds3bayes.deferred import pt, pytensor
from ds3bayes.theory._special import as_float, binomial_terms, normal_cdf
from ds3bayes.theory.votes import plurality_weights as plurality_weights
from ds3bayes.theory.votes import plurality_weights_partition as plurality_weights_partition

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


def _log_rising(z: Any, a: Any) -> Any:
    """Logarithm of Gamma(z + a) / Gamma(z) for z, a > 0, by differences of Stirling's series for large z."""
    large = pt.ge(z, 16.0)
    low = pt.switch(large, z, 16.0)
    high = low + a

    def remainder(x: Any) -> Any:
        square = x * x
        return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / (1188 * square)) / square) / square) / square) / x

    ratio = a / low
    # a log z - a + (z + a - 1/2) log(1 + a/z), and what the series leaves.
    body = a * (pt.log(low) - 1.0) + (high - 0.5) * pt.log1p(ratio) + (remainder(high) - remainder(low))
    small = pt.switch(large, 1.0, z)
    return pt.switch(large, body, pt.gammaln(small + a) - pt.gammaln(small))


def any_right_beta(n: Any, a: Any, b: Any, reachable: Any = 1.0) -> Any:
    """Coverage averaged over tasks whose q is Beta(a, b), or 0 for a share of hopeless tasks.

    With A the share of tasks that are not hopeless, A [1 - B(a, b + n) / B(a, b)].

    Parameters
    ----------
    n : tensor-like
        Number of attempts, >= 0.
    a, b : tensor-like
        Parameters > 0 of the law of q.
    reachable : tensor-like, default 1
        Share A in [0, 1] of tasks with q > 0; coverage tends to it.

    Returns
    -------
    tensor
        In the broadcast shape. Computed from logarithms without cancellation, for n to 1e6 and beyond.

    References
    ----------
    Schaeffer et al. 2025, arXiv 2502.17578; Kazdan et al. 2025, arXiv 2510.05197.
    """
    n, a, b = as_float(n), as_float(a), as_float(b)
    log_failure = _log_rising(b, a) - _log_rising(b + n, a)
    return as_float(reachable) * -pt.expm1(log_failure)


def any_right_beta_tail(n: Any, a: Any, b: Any, reachable: Any = 1.0) -> Any:
    """Power law that the shortfall of coverage below its limit follows for many attempts.

    A - `any_right_beta` tends to A Gamma(a + b) / Gamma(b) n^-a, with relative error of order 1/n: hard tasks,
    with q near 0, decide it.

    Parameters
    ----------
    n : tensor-like
        Number of attempts, > 0.
    a, b : tensor-like
        Parameters > 0 of the law of q over tasks.
    reachable : tensor-like, default 1
        Share A in [0, 1] of tasks with q > 0.

    Returns
    -------
    tensor
        In the broadcast shape; may exceed 1 for small n.
    """
    n, a, b = as_float(n), as_float(a), as_float(b)
    return as_float(reachable) * pt.exp(_log_rising(b, a) - a * pt.log(n))


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
    constant = isinstance(q, np.ndarray) and bool(np.all((q > 0.0) & (q < 1.0)))
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
    safe = q if constant else pt.switch(inside, q, 0.5)
    terms = binomial_terms(c, n, pt.expand_dims(safe, -1), log_coefficient)
    body = pt.dot(terms, weights) if weights.ndim == 1 else (terms * weights).sum(axis=-1)
    if constant:
        return body
    # First-order expansions at the two ends: exact values and gradients there.
    at_zero = weights[..., 0] + n * (weights[..., 1] - weights[..., 0]) * q
    at_one = weights[..., -1] + n * (weights[..., -1] - weights[..., -2]) * (q - 1.0)
    edge = pt.switch(pt.eq(q, 0.0), at_zero, pt.switch(pt.eq(q, 1.0), at_one, np.nan))
    return pt.switch(inside, body, edge)


def _score_nodes(n: int) -> tuple[np.ndarray, float]:
    """Nodes and spacing of the trapezoidal rule for the best of n normal scores."""
    # The integrand sharpens with the number of scores; this step keeps the error near 1e-12 up to n = 4096.
    step = min(0.3, 1.25 / np.log2(max(n, 2)))
    return score_grid(step), step


def score_grid(step: float) -> np.ndarray:
    """Nodes of the trapezoidal rule for integrals over a score, ``step`` standard deviations apart."""
    half = int(np.ceil(_REACH / step))
    return step * np.arange(-half, half + 1)


def normal_density(x: np.ndarray) -> np.ndarray:
    """Return the standard normal density."""
    return np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)


def noisy_verifier(q: Any, n: int, discrimination: Any, wrong: Any = None) -> Any:
    """Success of best-of-n when the attempt with the top verifier score is chosen.

    Scores are N(d, 1) for right and N(0, 1) for wrong attempts; an attempt without an answer is chosen only if
    no other attempt has one, and then fails. With Phi the normal distribution function, u the chance of a
    wrong answer and t = 1 - q - u that of none,
    A = n q int phi(y) [q Phi(y) + u Phi(y + d) + t]^{n-1} dy, where y is the score of the chosen right
    attempt less d. d = 0 gives q/(q + u) (1 - t^n) (the verifier knows nothing; q without blanks), d = inf
    gives 1 - (1 - q)^n (an oracle). For any d > 0 and q > 0, A tends to 1 as n grows without bound, slowly for
    small d: the best of n scores is about sqrt(2 log n), where right answers outnumber wrong ones by a
    factor of exp(d sqrt(2 log n)).

    Parameters
    ----------
    q : tensor-like
        Probability in [0, 1] that one attempt is right.
    n : int
        Number of attempts, at least 1.
    discrimination : tensor-like
        d >= 0, in standard deviations of the scores; may be inf; broadcasts against ``q``.
    wrong : tensor-like, optional
        Probability u in [0, 1 - q] that one attempt gives a wrong answer; broadcasts against ``q``. None:
        1 - q, no attempt is without an answer.

    Returns
    -------
    tensor
        Relative error below 1e-11 for n up to 4096; differentiable in q, d and u.

    Raises
    ------
    ValueError
        If n < 1.
    """
    q, d = as_float(q), as_float(discrimination)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if n == 1:
        # The discrimination and the wrong answers do not matter, but their shapes do.
        shape = pt.switch(pt.isinf(d), 0.0, d) + (0.0 if wrong is None else as_float(wrong))
        return q + 0.0 * shape
    u = 1.0 - q if wrong is None else as_float(wrong)
    oracle, blind = pt.isinf(d), pt.eq(d, 0.0)
    y, step = _score_nodes(n)
    wrong_below = normal_cdf(y + pt.expand_dims(pt.switch(oracle, 1.0, d), -1))
    below = pt.expand_dims(q, -1) * ndtr(y) + pt.expand_dims(u, -1) * wrong_below
    if wrong is None:
        plain = q
    else:
        answered = q + u
        below = below + pt.expand_dims(1.0 - answered, -1)
        some = pt.gt(answered, 0.0)
        plain = q * pt.switch(some, any_right(answered, n) / pt.switch(some, answered, 1.0), float(n))
    body = n * q * pt.dot(pt.exp((n - 1.0) * pt.log(below)), step * normal_density(y))
    # At d = 0 the value is the closed form while the gradient stays that of the integral.
    at_zero = pytensor.gradient.disconnected_grad(plain) + (body - pytensor.gradient.disconnected_grad(body))
    return pt.switch(oracle, any_right(q, n), pt.switch(blind, at_zero, body))


def verifier_weights(n: int, discrimination: Any, agreement: Any = 0.0) -> np.ndarray:
    """Probability that the attempt with the top verifier score is right, given how many of n attempts are.

    Scores are N(d, 1) for right and N(0, 1) for wrong attempts. A share a of their variance is common to all right
    attempts on a task, and another draw of it to all wrong ones: a verifier that likes a task's wrong answer likes
    it every time. On a task the gap, in sds of what is left, is then g = (d + sqrt(2 a) z) / sqrt(1 - a) with z
    standard normal, and
    w_c = E_z c int phi(y) Phi(y)^(c-1) Phi(y + g)^(n-c) dy.
    A pair of a right and a wrong attempt is told apart with probability Phi(d / sqrt(2)) whatever a is; but with
    a > 0 more attempts help less, and as n grows success tends to Phi(d / sqrt(2 a)) instead of 1.

    Parameters
    ----------
    n : int
        Number of attempts, at least 1.
    discrimination : array-like
        d >= 0, in sds of the scores, finite.
    agreement : array-like, default 0
        a in [0, 1); broadcasts against ``discrimination``.

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1), to be used with `bernstein`; errors below 1e-6 for a up to 0.95.

    Raises
    ------
    ValueError
        If an argument is outside its range.
    """
    d, a = np.broadcast_arrays(np.asarray(discrimination, dtype=float), np.asarray(agreement, dtype=float))
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if not (np.isfinite(d).all() and (d >= 0).all()):
        raise ValueError("discrimination must be finite and at least 0")
    if not ((a >= 0) & (a < 1)).all():
        raise ValueError("agreement must be in [0, 1)")
    y, step = _score_nodes(n)
    z = np.linspace(-6.5, 6.5, 131)
    z_weight = normal_density(z) * (z[1] - z[0])
    log_right = log_ndtr(y)
    result = np.zeros((*d.shape, n + 1))
    for index in np.ndindex(d.shape):
        common = a[index] > 0
        gap = (d[index] + np.sqrt(2.0 * a[index]) * (z if common else np.zeros(1))) / np.sqrt(1.0 - a[index])
        log_wrong = log_ndtr(y + gap[:, None])
        share = z_weight if common else np.ones(1)
        for c in range(1, n + 1):
            chosen = np.exp((c - 1) * log_right + (n - c) * log_wrong) @ (c * step * normal_density(y))
            result[(*index, c)] = share @ chosen
    return result


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
