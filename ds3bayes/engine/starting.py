"""Where chains start: at a point as likely as draws of the posterior are, found by climbing the log density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from ds3bayes.engine.density import Density

Array = np.ndarray

# Evaluations that climbing may take.
_MOST = 1000
# What stands for the negative log density where it is not a number: L-BFGS steps back from it.
_NOWHERE = 1e300


@dataclass(frozen=True, kw_only=True, eq=False)
class Climb:
    """Where climbing a log density led.

    Parameters
    ----------
    mode : array, shape (dim,)
        Where it was highest.
    typical : array, shape (dim,)
        The first point at which it was about what it is at draws of the posterior.
    """

    mode: Array
    typical: Array


def climb(density: Density) -> Climb:
    """Climb from the priors' support points to the mode, by L-BFGS.

    Draws of a posterior of d parameters do not lie at its mode, but about d/2 below it in log density. Of the points
    that are visited on the way, the first that lies no more than that below the best is the typical one. The mode
    itself is no place to start from: where LLMs are pooled, it may have no spread at all.

    Parameters
    ----------
    density : Density

    Returns
    -------
    Climb
        Both are the support points where the log density cannot be climbed from them.
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
        return Climb(mode=density.start, typical=density.start)
    highest, mode = max(visited, key=lambda one: one[0])
    enough = highest - density.dim / 2
    return Climb(mode=mode, typical=next(point for value, point in visited if value >= enough))
