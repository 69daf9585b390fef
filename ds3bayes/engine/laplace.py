"""Laplace's approximation of a posterior: a normal law at its mode, as curved as the log density is there."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from ds3bayes.engine.density import Density

Array = np.ndarray

# Unconstrained parameters up to which it is made: it takes two gradients for each.
_MOST_PARAMETERS = 500
# Of the central differences between gradients.
_STEP = 1e-4
# Directions in which the log density falls more slowly than any prior of ours lets it, or rises, and what stands for
# their curvature: a standard deviation of 2.
_FLAT, _REGULAR = 0.01, 0.25
# How far the log density may stray, over the middle half of the draws and in standard deviations, from that of the
# normal law. Of the shipped models it is 1 to 8 where means of predictions lie within a posterior standard deviation
# of those of NUTS, 100 of `training_runs` (within .9), 250 of `skill_graph`, whose mode is a spike.
_MOST_ASTRAY = 20.0
# The same of a normal law: the middle half of it is so many standard deviations wide.
_MIDDLE_HALF = 1.349


class NotNormal(Exception):  # noqa: N818
    """The posterior is not like a normal law at its mode; the message says how."""


def laplace(density: Density, mode: Array, *, draws: int, seed: int) -> Array:
    """Draw from the normal law that a log density is like at its mode.

    Parameters
    ----------
    density : Density
    mode : array, shape (dim,)
        From `ds3bayes.engine.starting.climb`.
    draws : int
    seed : int

    Returns
    -------
    array, shape (draws, dim)
        Unconstrained points. Directions in which the density is not curved have a standard deviation of 2.

    Raises
    ------
    NotNormal
        If there are too many parameters, the curvature is not a number, or the density at the draws is nothing like
        that of a normal law.

    References
    ----------
    Tierney and Kadane (1986), Accurate approximations for posterior moments and marginal densities, JASA 81, 82-86.
    """
    if density.dim > _MOST_PARAMETERS:
        raise NotNormal(f"{density.dim} parameters are too many for a first look")
    curvature = np.empty((density.dim, density.dim))
    for place in range(density.dim):
        step = np.zeros(density.dim)
        step[place] = _STEP
        ahead, behind = (density.tape.log_density(mode + side)[1] for side in (step, -step))
        # What is not a number is refused below.
        with np.errstate(invalid="ignore", over="ignore"):
            curvature[place] = (behind - ahead) / (2 * _STEP)
    if not np.isfinite(curvature).all():
        raise NotNormal("the log density has no curvature at its mode")
    normal = np.random.default_rng(seed).standard_normal((draws, density.dim))
    with threadpool_limits(limits=1, user_api="blas"):
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        values = np.where(values < _FLAT, _REGULAR, values)
        points: Array = mode + (normal / np.sqrt(values)) @ vectors.T
    found = np.array([density.tape.log_density(point)[0] for point in points])
    if not np.isfinite(found).all():
        raise NotNormal("the log density is not a number around its mode")
    low, high = np.quantile(found + 0.5 * (normal**2).sum(axis=1), [0.25, 0.75])
    if (high - low) / _MIDDLE_HALF > _MOST_ASTRAY:
        raise NotNormal("around its mode the posterior is nothing like a normal law")
    return points
