"""Laws of the task population on a grid, as PyTensor expressions that the model and the queries share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ds3bayes.deferred import pt
from ds3bayes.generative.counts.grid import EasinessNodes

Tensor = Any

# Path lengths beyond this hold less than 1e-6 of a Poisson law of mean 40.
_LONGEST_PATH = 80


def split_normal_logp(easiness: Tensor, skew: Tensor) -> Tensor:
    """Unnormalised log density of a two-piece normal with mean 0 and sd 1.

    Parameters
    ----------
    easiness : tensor
        Where, in sds from the mean.
    skew : tensor
        Log ratio of the left to the right scale; 0 gives the normal law.

    Returns
    -------
    tensor

    Notes
    -----
    With scales s1 = exp(skew/2) left and s2 = exp(-skew/2) right of the mode, the mean lies
    sqrt(2/pi) (s2 - s1) from the mode and the variance is (1 - 2/pi)(s2 - s1)^2 + s1 s2.
    """
    left, right = pt.exp(skew / 2), pt.exp(-skew / 2)
    gap = right - left
    from_mode = easiness * pt.sqrt((1 - 2 / np.pi) * gap**2 + 1) + np.sqrt(2 / np.pi) * gap
    return -0.5 * (from_mode / pt.switch(from_mode < 0, left, right)) ** 2


def easiness_log_weight(at: EasinessNodes, skew: Tensor) -> Tensor:
    """Log probability (J,) of each node of the standardised easiness, whose law is a two-piece normal."""
    log_weight = split_normal_logp(at.nodes, skew) + at.log_width
    return log_weight - pt.logsumexp(log_weight)


def path_logp(x: np.ndarray, location: Tensor, spread: Tensor, length_mean: Tensor) -> Tensor:
    """Unnormalised log density, in x = logit q, of DS3's path law q = rho^m.

    logit rho is normal over tasks and m - 1 is Poisson.

    Parameters
    ----------
    x : array, shape (G,)
        Logit eventual success.
    location, spread : scalar tensors
        Mean and sd of logit rho.
    length_mean : scalar tensor
        Mean of m - 1.

    Returns
    -------
    tensor, shape (G,)
    """
    m = np.arange(1, _LONGEST_PATH + 1)[:, None]
    log_q = -np.logaddexp(0.0, -x)
    log_rho = log_q / m
    log_miss = np.log(-np.expm1(log_rho))
    # d logit(rho) / d logit(q) = (1 - q) / (m (1 - rho))
    log_slope = -np.logaddexp(0.0, x) - np.log(m) - log_miss
    log_normal = -0.5 * ((log_rho - log_miss - location) / spread) ** 2 + log_slope
    log_length = (m - 1) * pt.log(length_mean) - pt.gammaln(pt.as_tensor(m.astype(float)))
    return pt.logsumexp(log_length + log_normal, axis=0)
