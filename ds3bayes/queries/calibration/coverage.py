"""Coverage of repeated sampling: the unbiased estimator of pass@k."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]


def pass_at_k(successes: ArrayLike, attempts: ArrayLike, k: ArrayLike) -> Floats:
    """Estimate without bias the probability that at least one of k attempts at a task succeeds.

    Parameters
    ----------
    successes, attempts : array of int
        Counts c of n, 0 <= c <= n.
    k : array of int
        1 <= k <= n; all three broadcast together.

    Returns
    -------
    array of float
        ``1 - C(n - c, k) / C(n, k)``: the share of subsets of k of the n attempts that hold a success.

    References
    ----------
    Chen et al. (2021), arXiv 2107.03374.
    """
    c, n, k = np.broadcast_arrays(np.asarray(successes, float), np.asarray(attempts, float), np.asarray(k, float))
    left = np.maximum(n - c - k, 0.0)
    log_none = gammaln(n - c + 1.0) - gammaln(left + 1.0) - gammaln(n + 1.0) + gammaln(n - k + 1.0)
    # Rounding must not make a chance of none above 1.
    return np.where(n - c >= k, -np.expm1(np.minimum(log_none, 0.0)), 1.0)
