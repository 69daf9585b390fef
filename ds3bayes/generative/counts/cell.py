"""Counts of right attempts: the likelihood of one cell given the success of one attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammaln, xlogy

from ds3bayes.generative.counts.traces import Traces

Array = np.ndarray
Selector = Callable[[Array, float | None], Array]

# What is left of a selector's failure next to 1 below this is rounding: 0 or not, by chance, and a table that falls to
# log 0 and rises again cannot be interpolated.
_LEAST_FAILURE = 1e-13


@dataclass(frozen=True, kw_only=True)
class LogLikelihood:
    """Log-likelihood of one cell as a function of the logit success of one attempt.

    Parameters
    ----------
    attempts : int
        Attempts in the cell; sets how finely it is integrated.
    rows : tuple of (success function, attempts, successes)
        Independent rows; the function maps an attempt's success probability, and the concentration of wrong
        answers, to the row's (a selector), None stands for the attempt itself.
    traces : Traces, optional
        Where wrong attempts went wrong.
    """

    attempts: int
    rows: tuple[tuple[Selector | None, int, int], ...]
    traces: Traces | None = None

    def at(
        self, x: Array, *, wrong_answer_concentration: float | None = None, overdispersion: float | None = None
    ) -> Array:
        """Evaluate at logits ``x`` (any shape), binomial coefficients included.

        Parameters
        ----------
        x : array
        wrong_answer_concentration : float, optional
            For votes.
        overdispersion : float, optional
            Correlation of the attempts of one row, in (0, 1): they are beta-binomial instead of binomial.
        """
        total = np.zeros_like(x) if self.traces is None else self.traces.log_likelihood(x)
        for selector, attempts, successes in self.rows:
            failures = attempts - successes
            total += gammaln(attempts + 1) - gammaln(successes + 1) - gammaln(failures + 1)
            if selector is None and overdispersion is None:
                total += -successes * np.logaddexp(0.0, -x) - failures * np.logaddexp(0.0, x)
                continue
            if selector is None:
                success, failure = expit(x), expit(-x)
            else:
                success = selector(expit(x), wrong_answer_concentration)
                failure = np.maximum(1.0 - success, _LEAST_FAILURE)
            if overdispersion is None:
                total += xlogy(successes, success) + xlogy(failures, failure)
            else:
                size = (1.0 - overdispersion) / overdispersion
                total += _log_rising(size * success, successes) + _log_rising(size * failure, failures)
                total -= _log_rising(np.asarray(size), attempts)
        return total

    def out_of_reach(self, x: Array) -> Array:
        """Evaluate for tasks out of reach, where every attempt fails, at logits ``x`` of their success within reach."""
        return np.zeros_like(x) if self.traces is None else self.traces.log_likelihood_out_of_reach(x)


def _log_rising(start: Array, factors: int) -> Array:
    """Log of start (start + 1) ... (start + factors - 1); gammaln of tiny arguments would cancel."""
    if not factors:
        return np.zeros_like(start)
    with np.errstate(divide="ignore"):
        return np.log(start) + gammaln(start + factors) - gammaln(start + 1.0)
