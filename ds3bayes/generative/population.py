"""Laws of the task population on a grid, as PyTensor expressions that the model and the queries share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from ds3bayes.generative.grid import EasinessNodes

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


def interaction_density(nodes: np.ndarray, location: Tensor, scale: Tensor, dof: float) -> Tensor:
    """Unnormalised Student t density of an arm's own task effect, as values at the nodes of logit success.

    Heavier tails than the normal's let one task be unexpectedly hard for one arm without dragging the rest. A location
    beyond the nodes counts as the last of them: the part of a Student t that far from its centre is nearly even, so
    that an LLM with a location of 50 would pass for one of which nothing is known.

    Parameters
    ----------
    nodes : array, shape (G,)
        Logit success, rising, equally spaced.
    location : tensor or array, shape (...)
        Logit success that the shared difficulty gives.
    scale : tensor or array, broadcasts with (..., G)
        Scale of the effect, > 0.
    dof : float
        Degrees of freedom, > 2.

    Returns
    -------
    tensor or array, shape (..., G)

    Notes
    -----
    `Grid.table` takes a density as linear between nodes, which lies above one that is convex there and below one that
    is concave, by h^2/12 times the second derivative on average over a spacing h. That is taken off here: with a
    thousand attempts at each of many tasks, log-likelihoods would else be off by tenths that vary with the parameters.
    """
    spacing = nodes[1] - nodes[0]
    gap = nodes - location.clip(nodes[0], nodes[-1])[..., None]
    near = 1.0 / (1.0 + (gap / scale) ** 2 / dof)
    # Second derivative over density; bounded where a scale is below a third of the spacing and nodes do not resolve it.
    curvature = (dof + 1.0) / dof * near * (dof + 2.0 - (dof + 3.0) * near) / (scale**2 + spacing**2 / 10.0)
    excess = spacing**2 / 12.0 * curvature
    # exp(-excess), to second order and positive.
    return near ** ((dof + 1.0) / 2.0) * (1.0 - excess + 0.5 * excess**2)
