"""Special functions with exact values and gradients at the edges of their domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from ds3bayes.deferred import pt, pytensor

_LOG_FLOOR = 1e-250  # below this a probability is computed in log space
_FRACTION_TERMS = 10  # of a continued fraction, used where these terms are enough
_HALF_LOG_TWO_PI = 0.5 * float(np.log(2.0 * np.pi))
# Nodes of the double-exponential rule for an integral over the half line whose integrand decays like exp(-v).
_NODES = np.arange(-3.9, 6.3, 0.085)


def as_float(value: Any) -> Any:
    """Return ``value`` as a floating-point tensor; plain numbers in double precision."""
    # PyTensor would make a number such as 2.0 or 0.25 single precision, and so the logarithms taken of it.
    if isinstance(value, int | float):
        value = np.float64(value)
    tensor = pt.as_tensor_variable(value)
    return tensor if tensor.dtype.startswith("float") else tensor.astype("float64")


def normal_cdf(x: Any) -> Any:
    """Return the standard normal distribution function, accurate in its left tail."""
    return 0.5 * pt.erfc(-x / np.sqrt(2.0))


def beta_cdf(a: Any, b: Any, x: Any) -> Any:
    """Regularised incomplete beta function I_x(a, b) for a, b >= 1, whose edges have the right gradient in x.

    At x = 0 the function is b x if a = 1 and flat otherwise; at x = 1 it is 1 + a (x - 1) if b = 1 and flat
    otherwise. Outside [0, 1] it is NaN.
    """
    inside = pt.and_(pt.gt(x, 0.0), pt.lt(x, 1.0))
    body = pt.betainc(a, b, pt.switch(inside, x, 0.5))
    low = pt.switch(pt.eq(a, 1.0), b * x, 0.0)
    high = 1.0 + pt.switch(pt.eq(b, 1.0), a * (x - 1.0), 0.0)
    edge = pt.switch(pt.eq(x, 0.0), low, pt.switch(pt.eq(x, 1.0), high, np.nan))
    return pt.switch(inside, body, edge)


def _log1p_minus(t: Any, ratio: Any) -> Any:
    """Return log(1 + t) - t given t and 1 + t, to full relative accuracy also near t = 0."""
    near = pt.lt(pt.abs(t), 0.1)
    z = pt.switch(near, t, 0.0)
    z = z / (2.0 + z)
    square = z * z
    # log(1 + t) = 2 artanh(z) and t = 2 z/(1 - z): the leading terms cancel by hand.
    tail: Any = 1.0 / 15.0
    for odd in range(13, 1, -2):
        tail = 1.0 / odd + square * tail
    series = 2.0 * square * (z * tail - 1.0 / (1.0 - z))
    return pt.switch(near, series, pt.log(pt.switch(near, 1.0, ratio)) - t)


def _stirling_error(a: Any) -> Any:
    """Return log(a!) minus Stirling's formula, for a > 0."""
    large = pt.ge(a, 16.0)
    inverse = 1.0 / pt.switch(large, a, 16.0)
    square = inverse * inverse
    series: Any = 1.0 / 1188.0
    for term in (-1.0 / 1680.0, 1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0):
        series = term + square * series
    small = pt.switch(large, 1.0, a)
    exact = pt.gammaln(small + 1.0) - (small + 0.5) * pt.log(small) + small - _HALF_LOG_TWO_PI
    return pt.switch(large, inverse * series, exact)


def log_binomial(n: Any, k: Any) -> Any:
    """Logarithm of the binomial coefficient, -inf where k > n.

    Written with Stirling's formula and its error, so that the relative error stays near 1e-16 for large n;
    a difference of log-gamma functions loses 1e-9 absolutely at n = 1e6.
    """
    inner = pt.and_(pt.gt(k, 0.0), pt.lt(k, n))
    top, low = pt.switch(inner, n, 2.0), pt.switch(inner, k, 1.0)
    rest = top - low
    # log1p of the smaller share keeps the small logarithm exact.
    share_low = pt.switch(pt.lt(low, rest), pt.log(low / top), pt.log1p(-rest / top))
    share_rest = pt.switch(pt.lt(low, rest), pt.log1p(-low / top), pt.log(rest / top))
    entropy = -low * share_low - rest * share_rest
    width = 0.5 * (pt.log(top / low) - pt.log(rest)) - _HALF_LOG_TWO_PI
    value = entropy + width + _stirling_error(top) - _stirling_error(low) - _stirling_error(rest)
    return pt.switch(inner, value, pt.switch(pt.le(k, n), 0.0, -np.inf))


def binomial_terms(k: Any, n: Any, p: Any, log_coefficient: Any) -> Any:
    """Binomial probabilities of k of n for p strictly inside (0, 1), given the log coefficients."""
    return pt.exp(log_coefficient + k * pt.log(p) + (n - k) * pt.log1p(-p))


def log_binomial_mass(k: Any, n: Any, x: Any, y: Any) -> Any:
    """Logarithm of C(n, k) x^k y^{n-k} for 0 <= k <= n, n >= 1, and x, y = 1 - x inside (0, 1).

    Saddle-point form: Stirling errors and deviances, so that no large logarithms cancel.
    """
    inner = pt.and_(pt.gt(k, 0.0), pt.lt(k, n))
    top, low = pt.switch(inner, n, 2.0), pt.switch(inner, k, 1.0)
    rest = top - low
    # The excess n x - k from the smaller of x and y, whose rounding matters least.
    excess = pt.switch(pt.le(x, y), top * x - low, rest - top * y)
    deviance = low * _log1p_minus(excess / low, top * x / low) + rest * _log1p_minus(-excess / rest, top * y / rest)
    width = 0.5 * (pt.log(top / low) - pt.log(rest)) - _HALF_LOG_TWO_PI
    value = deviance + width + _stirling_error(top) - _stirling_error(low) - _stirling_error(rest)
    # The logarithm of the larger of the two from the smaller.
    small_x = pt.le(x, y)
    log_small, log_large = pt.log(pt.switch(small_x, x, y)), pt.log1p(-pt.switch(small_x, x, y))
    log_x, log_y = pt.switch(small_x, log_small, log_large), pt.switch(small_x, log_large, log_small)
    return pt.switch(inner, value, pt.switch(pt.eq(k, n), n * log_x, n * log_y))


def binomial_mass(k: Any, n: Any, x: Any, y: Any) -> Any:
    """Binomial probability C(n, k) x^k y^{n-k} for y = 1 - x, with exact value and gradient at x = 0 and y = 0."""
    inside = pt.and_(pt.gt(x, 0.0), pt.gt(y, 0.0))
    body = pt.exp(log_binomial_mass(k, n, pt.switch(inside, x, 0.5), pt.switch(inside, y, 0.5)))
    none = pt.switch(pt.eq(k, 0.0), 1.0 - n * x, pt.switch(pt.eq(k, 1.0), n * x, 0.0))
    full = pt.switch(pt.eq(k, n), 1.0 - n * y, pt.switch(pt.eq(k, n - 1.0), n * y, 0.0))
    edge = pt.switch(pt.eq(x, 0.0), none, pt.switch(pt.eq(y, 0.0), full, np.nan))
    return pt.switch(inside, body, edge)


def beta_tails(a: Any, b: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Return I_x(a, b) and its complement I_y(b, a) for y = 1 - x, both free of the rounding of the larger of x, y.

    The error of y = 1 - x, at most 1e-16, is multiplied by b/y in the complement, which matters for b near 1e6.
    It is known exactly, and removed to first order.
    """
    lower, upper = beta_cdf(a, b, x), beta_cdf(b, a, y)
    small_x = pt.le(x, y)
    missing = pt.switch(small_x, (1.0 - y) - x, (1.0 - x) - y)
    inside = pt.and_(pt.gt(x, 0.0), pt.gt(y, 0.0))
    safe_x, safe_y = pt.switch(inside, x, 0.5), pt.switch(inside, y, 0.5)
    # A correction needs no more than a few digits of the density.
    log_beta = pt.gammaln(a) + pt.gammaln(b) - pt.gammaln(a + b)
    density = pt.exp((a - 1.0) * pt.log(safe_x) + (b - 1.0) * pt.log(safe_y) - log_beta)
    shift = pytensor.gradient.disconnected_grad(pt.switch(inside, missing * density, 0.0))
    left = pt.le(x * (a + b), a)
    lower, upper = pt.switch(small_x, lower, lower + shift), pt.switch(small_x, upper + shift, upper)
    return (
        pt.switch(pt.and_(small_x, pt.invert(left)), 1.0 - upper, lower),
        pt.switch(pt.or_(small_x, pt.invert(left)), upper, 1.0 - lower),
    )


def beta_fraction(a: Any, b: Any, x: Any, terms: int = _FRACTION_TERMS) -> Any:
    """Return the continued fraction F in I_x(a, b) = x^a (1-x)^b / (a B(a, b) F), to a fixed number of terms.

    Coefficients d_{2i+1} = -(a+i)(a+b+i) x/((a+2i)(a+2i+1)) and d_{2i} = i (b-i) x/((a+2i-1)(a+2i)). It converges
    fast far to the left of x = a/(a + b), where it must be used only.
    """
    fraction: Any = 1.0
    for term in range(terms, 0, -1):
        i = term // 2
        if term % 2:
            d = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1))
        else:
            d = i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i))
        fraction = 1.0 + d / fraction
    return fraction


def log_beta_parts(a: Any, b: Any, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return whether x lies in the far left tail of I_x(a, b), log I there less a log x, and log I elsewhere.

    In the tail I_x(a, b) = x^a y^b C(a+b-1, a)/F with a continued fraction F; that form neither underflows nor lets
    the power of x cancel against other terms. Elsewhere the function is evaluated directly, near 1 through its
    complement. Where a part does not apply it is a finite number. Arguments as for `log_beta_cdf`, x > 0.
    """
    direct = beta_cdf(a, b, x)
    tail = pt.or_(pt.le(direct, _LOG_FLOOR), pt.lt(x * (a + b), 0.02 * a))
    upper = pt.and_(pt.gt(direct, 0.5), pt.invert(tail))
    by_value = pt.log(pt.switch(pt.or_(tail, upper), 1.0, direct))
    complement = pt.log1p(-pt.switch(upper, beta_cdf(b, a, y), 0.0))
    # Where it is not used the tail gets harmless arguments, so that no NaN enters the gradient.
    tail_a, tail_b = pt.switch(tail, a, 2.0), pt.switch(tail, b, 2.0)
    tail_x, tail_y = pt.switch(tail, x, 0.01), pt.switch(tail, y, 0.99)
    small = pt.le(tail_x, tail_y)
    log_y = pt.switch(small, pt.log1p(-pt.switch(small, tail_x, 0.5)), pt.log(tail_y))
    log_front = tail_b * log_y + log_binomial(tail_a + tail_b - 1.0, tail_a)
    return tail, log_front - pt.log(beta_fraction(tail_a, tail_b, tail_x)), by_value + complement


def log_beta_cdf(a: Any, b: Any, x: Any, y: Any) -> Any:
    """Logarithm of I_x(a, b) for a, b >= 1, finite where the function itself underflows.

    Parameters
    ----------
    a, b : tensor-like
        At least 1; gradients with respect to these are right but slow.
    x, y : tensor-like
        x in [0, 1] and y = 1 - x, both given so that neither loses digits.

    Returns
    -------
    tensor
        Accurate relative to its own size at both ends: near 0 it is log1p of minus the complement. -inf at x = 0.
    """
    positive = pt.gt(x, 0.0)
    safe_x, safe_y = pt.switch(positive, x, 0.5), pt.switch(positive, y, 0.5)
    tail, scaled, elsewhere = log_beta_parts(a, b, safe_x, safe_y)
    small = pt.le(safe_x, safe_y)
    log_x = pt.switch(small, pt.log(safe_x), pt.log1p(-pt.switch(small, 0.5, safe_y)))
    value = pt.switch(tail, a * log_x + scaled, elsewhere)
    # An x outside [0, 1] stays visible as NaN.
    return pt.switch(positive, value, pt.switch(pt.eq(x, 0.0), -np.inf, np.nan))


def decreasing_integral(a: Any, b: Any, w: Any) -> Any:
    """Integral of (1 - t)^{a-1} (1 - w t)^{b-1} over t in [0, 1], for a, b >= 1 and w in [0, 1].

    The substitution 1 - t = exp(-v) gives a log-concave integrand that decays at least like exp(-a v); it is
    integrated by the double-exponential rule, error below 1e-13.
    """
    a, b, w = (pt.expand_dims(part, -1) for part in (a, b, w))
    scale = a + (b - 1.0) * w
    stretch = np.exp(_NODES - np.exp(-_NODES))
    weight = (_NODES[1] - _NODES[0]) * stretch * (1.0 + np.exp(-_NODES))
    v = stretch / scale
    below = pt.expm1(-v)
    body = pt.exp(-a * v + (b - 1.0) * pt.log1p(w * below))
    return (weight * body).sum(axis=-1) / pt.squeeze(scale, axis=-1)
