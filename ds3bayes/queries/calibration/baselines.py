"""Rival forecasts of pass@k on the very tasks that were sampled: lines, beta laws, and a logit-normal law.

Every forecaster maps counts of successes out of m attempts per task to draws of pass@k as it will be measured, by
`pass_at_k`, when each task has n attempts in all, the m among them. What is forecast is about these very tasks: no
forecast holds the luck of which tasks a benchmark has, and every one the binomial noise of the attempts that remain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, digamma, expit, log_expit

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


#: From counts, k, draws wanted and a generator to draws of pass@k: of the benchmark, shape (S,), or of each of its
#: tasks, shape (S, T), whose mean is meant. The latter costs less, as tasks can be left out without asking again.
Forecaster = Callable[[Counts, int, int, np.random.Generator], Floats]


def power_law_line(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Extrapolate the straight line of log(-log pass@k) on log k.

    The line is fitted by least squares to the unbiased estimates at k = 1..m, where they lie strictly between 0 and 1.
    Its only spread is the noise of what remains to be measured.

    References
    ----------
    Brown et al. (2024), arXiv 2407.21787, fit log(pass@k) = -a k^-b.
    """
    return _as_measured(np.repeat(_line(counts, k), draws), counts, k, rng)


def line_of_resampled_attempts(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Extrapolate that line from resampled attempts at each task, centred on the line of the data.

    A task without successes has none in any resample either, so that resampled curves lie too low; their mean on the
    line's own scale, log(-log pass@k), is therefore moved to where the line of the data stands.
    """
    drawn = rng.binomial(counts.samples, counts.successes / counts.samples, (draws, counts.successes.size))
    resampled = _on_line_scale(_extrapolate(_mean_curves(drawn, counts.samples), counts.samples, k))
    centred = resampled - resampled.mean() + _on_line_scale(_line(counts, k))
    return _as_measured(np.exp(-np.exp(centred)), counts, k, rng)


def beta_population(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Take the mean pass@k under a beta law of success over tasks, fitted by maximum likelihood (beta-binomial)."""
    a, b = fit_beta(counts.successes, counts.samples)
    mean = -np.expm1(betaln(a, b + k) - betaln(a, b))
    return _as_measured(np.full(draws, mean), counts, k, rng)


def empirical_bayes(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Draw every task's success from its posterior under the beta law fitted by maximum likelihood."""
    return _measured(_conjugate(counts, draws, rng, *fit_beta(counts.successes, counts.samples)), counts, k, rng)


def independent_tasks(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Draw every task's success from its posterior under a uniform prior, Beta(1, 1)."""
    return _measured(_conjugate(counts, draws, rng, 1.0, 1.0), counts, k, rng)


def logit_normal(counts: Counts, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """Draw every task's success from its posterior under a logit-normal law with a point mass at 0.

    Mean, sd and mass are fitted to as many resamples of the tasks as `RESAMPLES`, so that the forecast knows how little
    few tasks say of them; every task is then forecast from its own counts.

    References
    ----------
    Laird, Louis (1987), JASA 82, 739-750: bootstrapped empirical Bayes.
    """
    found, which, often = np.unique(counts.successes, return_inverse=True, return_counts=True)
    tasks = counts.successes.size
    resampled = rng.multinomial(tasks, often / tasks, size=RESAMPLES)
    density, zero = fit_logit_normal(found, counts.samples, np.concatenate([often[None], resampled]))
    likelihood = _binomial(found, counts.samples)
    # One resample for each draw; of each task a node by its posterior, the last one standing for 0.
    law = rng.integers(0, RESAMPLES, draws)
    node = np.empty((draws, tasks), dtype=np.int64)
    for place, count in enumerate(found):
        cumulative = ((1.0 - zero) * density.T * likelihood[place][:, None]).T[1:].cumsum(axis=1)
        total = cumulative[:, -1] + (zero[1:] if count == 0 else 0.0)
        upto = np.append(cumulative / np.maximum(total, 1e-300)[:, None], np.ones((RESAMPLES, 1)), axis=1)
        mine = np.flatnonzero(which == place)
        # All laws in one ascending row, each from its number on.
        row = (upto + np.arange(RESAMPLES)[:, None]).ravel()
        at = law[:, None] + rng.random((draws, mine.size))
        node[:, mine] = np.searchsorted(row, at, side="right") - law[:, None] * upto.shape[1]
    logit = np.append(_LOGITS, -np.inf)[np.minimum(node, _LOGITS.size)]
    q = expit(logit + _JITTER * rng.uniform(-1.0, 1.0, logit.shape))
    return _measured(q, counts, k, rng)


#: The rivals by the names that tables show.
BASELINES: dict[str, Forecaster] = {
    "power-law line": power_law_line,
    "line, attempts resampled": line_of_resampled_attempts,
    "beta-binomial": beta_population,
    "beta-binomial, empirical Bayes": empirical_bayes,
    "logit-normal + 0, empirical Bayes": logit_normal,
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
    return _beta_of(tuple(found.tolist()), tuple(often.tolist()), samples)


# Several forecasts, and forecasts of several k, rest on the same fit.
@lru_cache(maxsize=256)
def _beta_of(distinct: tuple[int, ...], number: tuple[int, ...], samples: int) -> tuple[float, float]:
    found, often = np.array(distinct), np.array(number)

    def loss(log_shape: Floats) -> tuple[float, Floats]:
        a, b = np.exp(log_shape)
        value = -(often * (betaln(a + found, b + samples - found) - betaln(a, b))).sum()
        both = digamma(a + b + samples) - digamma(a + b)
        slope = often @ np.stack(
            [both - digamma(a + found) + digamma(a), both - digamma(b + samples - found) + digamma(b)], axis=1
        )
        return float(value), slope * np.array([a, b])

    # The likelihood may have a ridge where tasks hardly differ: the best of several starts.
    starts = [(-1.0, 0.0), (0.0, 2.0), (1.0, 1.0), (-3.0, -1.0)]
    fits = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[_LOG_BOUNDS] * 2) for start in starts]
    a, b = np.exp(min(fits, key=lambda one: one.fun).x)
    return float(a), float(b)


def fit_logit_normal(successes: Ints, samples: int, often: Ints) -> tuple[Floats, Floats]:
    """Fit logit-normal laws of success with a point mass at 0 to counts of equally many attempts, by EM.

    What is maximised is the likelihood times weak priors, without which ten attempts at a few tasks are often fitted
    best by a law of no width: N(-2, 3) for the mean, a scaled inverse chi-square of 2 degrees of freedom and scale 2.5
    for the variance, Beta(1, 2) for the mass. On public counts the rival is better for them.

    Parameters
    ----------
    successes : int array, shape (C,)
        Distinct counts.
    samples : int
        Attempts m at each task.
    often : int array, shape (B, C)
        How many tasks have each count, for each of B sets of tasks.

    Returns
    -------
    tuple of array
        Weight of each node of `_LOGITS` in the logit-normal law, shape (B, J), and the mass at 0, shape (B,).
    """
    likelihood = _binomial(successes, samples)
    tasks = often.sum(axis=1)
    zero = np.full(len(often), 0.1) * ((often > 0) & (successes == 0)).any(axis=1)
    start = np.log((successes + 0.5) / (samples - successes + 0.5))
    mean = often @ start / tasks
    sd = np.sqrt(np.maximum((often * (start - mean[:, None]) ** 2).sum(axis=1) / tasks, 0.25))
    for _ in range(_STEPS):
        density = _node_weights(mean, sd)
        inside = (1.0 - zero)[:, None] * (density @ likelihood.T)
        total = inside + zero[:, None] * (successes == 0)
        # Tasks expected at each node, and in the point mass.
        at_node = (1.0 - zero)[:, None] * density * ((often / np.maximum(total, 1e-300)) @ likelihood)
        number = at_node.sum(axis=1)
        zero = (tasks - number) / (tasks + _MASS - 1.0)
        mean = (at_node @ _LOGITS / sd**2 + _MEAN / _MEAN_SD**2) / (number / sd**2 + 1.0 / _MEAN_SD**2)
        squares = (at_node * (_LOGITS - mean[:, None]) ** 2).sum(axis=1)
        sd = np.sqrt((squares + _DOF * _SCALE**2) / (number + _DOF + 2.0))
    return _node_weights(mean, sd), np.clip(zero, 0.0, 1.0)


#: Resamples of the tasks behind the logit-normal forecast.
RESAMPLES = 50
# Nodes of the logit of success, half of their distance, and steps of EM, after which three digits stand.
_LOGITS = np.linspace(-14.0, 14.0, 141)
_JITTER = (_LOGITS[1] - _LOGITS[0]) / 2
_STEPS = 300
# Priors of the mean, of the variance, and of the mass at 0, Beta(1, _MASS).
_MEAN, _MEAN_SD = -2.0, 3.0
_DOF, _SCALE = 2.0, 2.5
_MASS = 2.0


def _node_weights(mean: Floats, sd: Floats) -> Floats:
    """Normal weight of each node, shape (B, J), each row adding up to 1."""
    log_weight = -0.5 * ((_LOGITS - mean[:, None]) / sd[:, None]) ** 2
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _binomial(successes: Ints, samples: int) -> Floats:
    """Binomial likelihood of counts at each node up to a factor of each count, shape (C, J), at most 1."""
    log_likelihood = successes[:, None] * log_expit(_LOGITS) + (samples - successes)[:, None] * log_expit(-_LOGITS)
    # The factor is that of the count itself, so that the mass at 0 stays comparable: 1 for no success.
    return np.asarray(np.exp(log_likelihood - np.where(successes > 0, log_likelihood.max(axis=1), 0.0)[:, None]))


def _conjugate(counts: Counts, draws: int, rng: np.random.Generator, a: float, b: float) -> Floats:
    c, m = counts.successes, counts.samples
    return rng.beta(a + c, b + m - c, size=(draws, c.size))


def _measured(q: Floats, counts: Counts, k: int, rng: np.random.Generator) -> Floats:
    """Measure pass@k of tasks of success q (S, T) by the attempts seen and those that remain, shape (S, T)."""
    c, n = counts.successes, counts.in_all
    full = c + rng.binomial(n - counts.samples, q)
    # Tasks of equally many attempts have few distinct counts.
    if (n == n[0]).all():
        return pass_at_k(np.arange(n[0] + 1), n[0], k)[full]
    return pass_at_k(full, n, k)


def _as_measured(forecast: Floats, counts: Counts, k: int, rng: np.random.Generator) -> Floats:
    """Add to forecasts (S,) of expected pass@k the noise of the attempts that remain.

    It is that of two measurements of tasks whose success is drawn from the fitted beta law given their counts:
    (one - other) / sqrt(2) has the variance of one of them and mean 0.
    """
    q = _conjugate(counts, forecast.size, rng, *fit_beta(counts.successes, counts.samples))
    one, other = (_measured(q, counts, k, rng).mean(axis=1) for _ in range(2))
    return np.clip(forecast + (one - other) / np.sqrt(2.0), 0.0, 1.0)


def _line(counts: Counts, k: int) -> Floats:
    """Read the line of the data at k, shape (1,)."""
    return _extrapolate(_mean_curves(counts.successes[None], counts.samples), counts.samples, k)


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
