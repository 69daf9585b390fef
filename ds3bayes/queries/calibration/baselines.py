"""Rival forecasts of pass@k on the very tasks that were sampled: a line, and three beta models.

Every forecaster maps counts of successes out of m attempts per task to draws of the benchmark's pass@k as it will be
measured, by `pass_at_k`, when each task has n attempts in all, the m among them. A point forecast is one draw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln

from ds3bayes.queries.calibration.coverage import pass_at_k

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A fitted beta beyond these says that tasks do not differ, or are all solved or never solved.
_LOG_BOUNDS = (-9.0, 9.0)


class Counts(NamedTuple):
    """What a forecaster is given: successes (T,) of m attempts at each task, and attempts in all (T,)."""

    successes: Ints
    samples: int
    in_all: Ints


#: From counts, k, draws wanted and a generator to draws of pass@k, shape (S,).
Forecaster = Callable[[Counts, int, int, np.random.Generator], Floats]


def power_law_line(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Extrapolate the straight line of log(-log pass@k) on log k, as a point.

    The line is fitted by least squares to the unbiased estimates at k = 1..m, where they lie strictly between 0 and 1.

    References
    ----------
    Brown et al. (2024), arXiv 2407.21787, fit log(pass@k) = -a k^-b.
    """
    del draws, rng
    return _extrapolate(_mean_curves(counts.successes[None], counts.samples), counts.samples, k)


def line_of_resampled_tasks(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Extrapolate that line from resampled tasks, each with its counts (the bootstrap of clusters)."""
    tasks = counts.successes.size
    picked = counts.successes[rng.integers(0, tasks, (draws, tasks))]
    return _extrapolate(_mean_curves(picked, counts.samples), counts.samples, k)


def line_of_resampled_attempts(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Extrapolate that line from resampled tasks, each with resampled attempts, centred on the line of the data.

    A task without successes has none in any resample either, so that resampled curves lie too low; their mean on the
    line's own scale, log(-log pass@k), is therefore moved to where the line of the data stands.
    """
    tasks = counts.successes.size
    picked = counts.successes[rng.integers(0, tasks, (draws, tasks))]
    drawn = rng.binomial(counts.samples, picked / counts.samples)
    resampled = _on_line_scale(_extrapolate(_mean_curves(drawn, counts.samples), counts.samples, k))
    centre = _on_line_scale(power_law_line(counts, k, 1, rng))
    return np.exp(-np.exp(resampled - resampled.mean() + centre))


def beta_population(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Draw as many tasks from a beta law of success, fitted by maximum likelihood (beta-binomial)."""
    a, b = fit_beta(counts.successes, counts.samples)
    q = rng.beta(a, b, size=(draws, counts.successes.size))
    return pass_at_k(rng.binomial(counts.in_all, q), counts.in_all, k).mean(axis=1)


def empirical_bayes(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Draw every task's success from its posterior under the beta law fitted by maximum likelihood."""
    return _conjugate(counts, k, draws, rng, *fit_beta(counts.successes, counts.samples))


def independent_tasks(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Draw every task's success from its posterior under a uniform prior, Beta(1, 1)."""
    return _conjugate(counts, k, draws, rng, 1.0, 1.0)


#: The rivals by the names that tables show.
BASELINES: dict[str, Forecaster] = {
    "power-law line": power_law_line,
    "line, tasks resampled": line_of_resampled_tasks,
    "line, tasks and attempts resampled": line_of_resampled_attempts,
    "beta-binomial": beta_population,
    "beta-binomial, empirical Bayes": empirical_bayes,
    "Beta(1, 1) per task": independent_tasks,
}


def fit_beta(successes: Ints, samples: int) -> tuple[float, float]:
    """Fit a beta law of success over tasks to counts of equally many attempts, by maximum likelihood.

    Parameters
    ----------
    successes : int array, shape (T,)
    samples : int
        Attempts m at each task.

    Returns
    -------
    tuple of float
        ``alpha, beta``, each within exp(-9)..exp(9).
    """
    found, often = np.unique(successes, return_counts=True)

    def loss(log_shape: Floats) -> float:
        a, b = np.exp(log_shape)
        return float(-(often * (betaln(a + found, b + samples - found) - betaln(a, b))).sum())

    # The likelihood may have a ridge where tasks hardly differ: the best of several starts.
    starts = [(-1.0, 0.0), (0.0, 2.0), (1.0, 1.0), (-3.0, -1.0)]
    fits = [minimize(loss, start, method="L-BFGS-B", bounds=[_LOG_BOUNDS] * 2) for start in starts]
    a, b = np.exp(min(fits, key=lambda one: one.fun).x)
    return float(a), float(b)


def _conjugate(counts: Counts, k: int, draws: int, rng: np.random.Generator, a: float, b: float) -> Floats:
    c, m = counts.successes, counts.samples
    q = rng.beta(a + c, b + m - c, size=(draws, c.size))
    return pass_at_k(c + rng.binomial(counts.in_all - m, q), counts.in_all, k).mean(axis=1)


def _curve(samples: int) -> Floats:
    """Return pass@k of a task at k = 1..m for each count of successes, shape (m + 1, m)."""
    return pass_at_k(np.arange(samples + 1)[:, None], samples, np.arange(1, samples + 1))


def _mean_curves(successes: Ints, samples: int) -> Floats:
    """Return the mean curve of pass@k, k = 1..m, of each row of counts (S, T), shape (S, m)."""
    curve = _curve(samples)
    return np.stack([np.bincount(row, minlength=samples + 1) @ curve for row in successes]) / successes.shape[1]


def _on_line_scale(passes: Floats) -> Floats:
    """Return log(-log pass@k); what is never or always solved stands as far out as a float goes."""
    return np.log(-np.log(np.clip(passes, 1e-300, 1.0 - 1e-16)))


def _extrapolate(passes: Floats, samples: int, k: int) -> Floats:
    """Fit the line to each curve (S, m) and read it at k; a curve without a slope stays at its last value."""
    log_k = np.log(np.arange(1, samples + 1))
    inside = (passes > 0.0) & (passes < 1.0)
    with np.errstate(divide="ignore"):
        y = np.where(inside, np.log(-np.log(np.where(inside, passes, 0.5))), 0.0)
    number = inside.sum(axis=1)
    mean_x = (inside * log_k).sum(axis=1) / np.maximum(number, 1)
    mean_y = y.sum(axis=1) / np.maximum(number, 1)
    centred = inside * (log_k - mean_x[:, None])
    slope = (centred * y).sum(axis=1) / np.maximum((centred**2).sum(axis=1), 1e-300)
    line = np.exp(-np.exp(mean_y + slope * (np.log(k) - mean_x)))
    return np.where(number >= 2, line, passes[:, -1])
