"""Special functions with exact values and gradients at the edges of their domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt


def as_float(value: Any) -> Any:
    """Return ``value`` as a floating-point tensor."""
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


def log_binomial(n: Any, k: Any) -> Any:
    """Logarithm of the binomial coefficient, -inf where k > n."""
    within = pt.le(k, n)
    rest = pt.switch(within, n - k, 0.0)
    value = pt.gammaln(n + 1.0) - pt.gammaln(k + 1.0) - pt.gammaln(rest + 1.0)
    return pt.switch(within, value, -np.inf)


def binomial_terms(k: Any, n: Any, p: Any, log_coefficient: Any) -> Any:
    """Binomial probabilities of k of n for p strictly inside (0, 1), given the log coefficients."""
    return pt.exp(log_coefficient + k * pt.log(p) + (n - k) * pt.log1p(-p))
