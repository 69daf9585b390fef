"""Step-level outcomes: how many right steps wrong attempts took before their first error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Traces(NamedTuple):
    """Where the checked attempts at tasks of one path length first went wrong, in one cell.

    A walk completes each of its m skills with probability rho = q^(1/m), else it goes wrong: given that it does, it
    took j right steps before with probability rho^j (1 - rho) / (1 - q), j < m. So attempts that fail late speak for a
    larger q than those that fail at once, even where none was ever right. At a task out of reach one of the m skills,
    each as likely, was never learned: every attempt fails there, if not before.

    Parameters
    ----------
    attempts : int
        Wrong attempts whose steps were checked.
    right_steps : int
        Right steps before the first wrong one, over those attempts.
    deepest : int
        Most right steps that one of them took.
    at_deepest : int
        How many of them took as many.
    path_length : int
        Skills m of the tasks.
    """

    attempts: int
    right_steps: int
    deepest: int
    at_deepest: int
    path_length: int

    @classmethod
    def of(cls, texts: Sequence[str], path_length: float) -> Traces | None:
        """Read column ``steps_before_error`` of all rows of a cell; None if nothing is given."""
        steps = [int(part) for text in texts if text for part in text.split("|")]
        if not steps:
            return None
        return cls(len(steps), sum(steps), max(steps), steps.count(max(steps)), int(path_length))

    def log_likelihood(self, x: Array) -> Array:
        """Log-likelihood at logits ``x`` of the eventual success q of an attempt at a task within reach, any shape."""
        log_rho, log_slip = self._of_a_step(x)
        # log (1 - rho) / (1 - q) tends to -log m as q tends to 1.
        return self.right_steps * log_rho + self.attempts * (log_slip + np.logaddexp(0.0, x))

    def log_likelihood_out_of_reach(self, x: Array) -> Array:
        """Log-likelihood at a task out of reach, whose other skills would give success q, at logits ``x`` of q."""
        log_rho, log_slip = self._of_a_step(x)
        # Attempts that came as far as any either met the missing skill there, or slipped before meeting it.
        met = (self.attempts - self.at_deepest) * log_slip
        later = self.path_length - 1 - self.deepest
        if later:
            met = np.logaddexp(met, np.log(later) + self.attempts * log_slip)
        return self.right_steps * log_rho + met - np.log(self.path_length)

    def _of_a_step(self, x: Array) -> tuple[Array, Array]:
        log_rho = -np.logaddexp(0.0, -x) / self.path_length
        return log_rho, np.log(-np.expm1(log_rho))
