"""Where chains start: at a point as likely as draws of the posterior are, found by climbing the log density."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from ds3bayes.engine.density import Density

Array = np.ndarray

# Evaluations that climbing may take.
_MOST = 1000
# What stands for the negative log density where it is not a number: L-BFGS steps back from it.
_NOWHERE = 1e300


def typical_point(density: Density) -> Array:
    """Return a point at which the log density is about what it is at draws of the posterior.

    Draws of a posterior of d parameters do not lie at its mode, but about d/2 below it in log density. Of the points
    that L-BFGS visits on its way from the priors' support points to the mode, the first that lies no more than that
    below the best is taken. The mode itself is no place to start from: where LLMs are pooled, it has no spread at all.

    Parameters
    ----------
    density : Density

    Returns
    -------
    array, shape (dim,)
        The support points themselves where the log density cannot be climbed from them.
    """
    visited: list[tuple[float, Array]] = []

    def descend(point: Array) -> tuple[float, Array]:
        value, slopes = density.tape.log_density(point)
        if not (np.isfinite(value) and np.isfinite(slopes).all()):
            return _NOWHERE, np.zeros_like(slopes)
        visited.append((value, point.copy()))
        return -value, -slopes

    # Its vectors are short: threads of BLAS would wait for one another, and round otherwise where there are more.
    with threadpool_limits(limits=1, user_api="blas"):
        minimize(descend, density.start, jac=True, method="L-BFGS-B", options={"maxfun": _MOST, "maxiter": _MOST})
    if not visited:
        return density.start
    enough = max(value for value, _ in visited) - density.dim / 2
    return next(point for value, point in visited if value >= enough)
