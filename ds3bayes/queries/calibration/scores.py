"""Scores of a forecast given as draws: absolute error, CRPS, log score, probability integral transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]


def crps(draws: Floats, truth: float) -> float:
    """Return the continuous ranked probability score of equally likely draws, 0 at best.

    It is E|X - y| - E|X - X'|/2, with X and X' drawn anew from the draws (S,). Of a point it is the absolute error.

    References
    ----------
    Gneiting, Raftery (2007), JASA 102, 359-378.
    """
    ordered = np.sort(draws)
    size = ordered.size
    spread = ((2.0 * np.arange(1, size + 1) - size - 1.0) * ordered).sum() / size**2
    return float(np.abs(ordered - truth).mean() - spread)


def log_score(draws: Floats, truth: float) -> float:
    """Return the log density that draws give to a truth in [0, 1], larger is better; NaN for a point.

    The density is estimated from the draws (S,) by Gaussian kernels of Silverman's width, 0.9 min(sd, IQR/1.34) S^-1/5
    (the sd alone where half of the draws agree), and mixed with 1 % of a uniform one: a miss by any distance then
    scores -4.6 at worst, where kernels alone would be guesses about their tails.
    """
    quartiles = np.quantile(draws, [0.25, 0.75])
    scales = [scale for scale in (draws.std(), (quartiles[1] - quartiles[0]) / 1.34) if scale > 0]
    if not scales:
        return float("nan")
    width = 0.9 * min(scales) * draws.size**-0.2
    exponent = -0.5 * ((truth - draws) / width) ** 2
    kernels = logsumexp(exponent) - np.log(draws.size * width * np.sqrt(2.0 * np.pi))
    return float(np.logaddexp(np.log(0.99) + kernels, np.log(0.01)))


def pit(draws: Floats, truth: float) -> float:
    """Return the share of draws below the truth, ties half: uniform over well calibrated forecasts."""
    return float((draws < truth).mean() + 0.5 * (draws == truth).mean())
