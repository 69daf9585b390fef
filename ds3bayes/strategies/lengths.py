"""How long attempts at tasks are, as far as a fit knows: what strategies need that look at more than success."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds3bayes.errors import InputError
from ds3bayes.strategies.task import PathTask
from ds3bayes.theory.evaluate import evaluate


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Generated tokens of attempts at some tasks, at posterior draws.

    Parameters
    ----------
    tokens : array, shape (draws, tasks), optional
        Mean tokens of an attempt that no budget cuts, or of a candidate of a search. None: never observed.
    spent : array, shape (draws, tasks), optional
        The same within the strategy's budget.
    path_length : array, shape (draws, 1) or (1, tasks)
        Skills m that each task needs, NaN where not known.
    tokens_per_step : float
        Generated tokens omega > 0 of one step.
    """

    tokens: np.ndarray | None
    spent: np.ndarray | None
    path_length: np.ndarray
    tokens_per_step: float

    @property
    def common_path_length(self) -> float | None:
        """The one path length of all tasks, None where it is not known or not the same."""
        length = np.unique(self.path_length)
        return float(length[0]) if length.size == 1 and np.isfinite(length[0]) else None

    def walks(self, q: np.ndarray, strategy: Any) -> PathTask:
        """Return the tasks as paths that are walked step by step with this success and these mean tokens.

        A step advances with probability r and commits to a wrong answer with probability h, where (r / (r + h))^m is
        the success and the mean number of steps of an attempt is that of the observed tokens, at least one a skill.

        Parameters
        ----------
        q : array, shape (draws, tasks)
            Success of an attempt that no budget cuts.
        strategy : Strategy
            Named in errors.

        Raises
        ------
        InputError
            If tokens or path lengths are not known.
        """
        if self.tokens is None:
            raise InputError(
                f"{strategy}: a strategy that looks at the steps of attempts needs observed tokens; give "
                "completion_tokens or tokens_mean in the table"
            )
        if not np.isfinite(self.path_length).all():
            raise InputError(
                f"{strategy}: a strategy that looks at the steps of attempts needs to know how many skills a task "
                "takes; set population.path_length in the spec, or give the column steps"
            )
        # Path walks have whole lengths.
        length = np.maximum(np.rint(np.broadcast_to(self.path_length, q.shape)), 1.0)
        rho = np.clip(q, 1e-300, 1.0) ** (1.0 / length)
        # E[steps] of a path walk is (1 + rho + ... + rho^(m-1)) / (r + h).
        units = np.where(rho < 1.0, (1.0 - rho**length) / np.where(rho < 1.0, 1.0 - rho, 1.0), length)
        pace = np.minimum(units * self.tokens_per_step / self.tokens, 1.0)
        return PathTask(
            path_length=length, advance=rho * pace, commit=(1.0 - rho) * pace, tokens_per_step=self.tokens_per_step
        )


def law_of_walks(law: Callable[[PathTask], Any], task: PathTask) -> np.ndarray:
    """Evaluate a strategy's law of paths at draws.

    Parameters
    ----------
    law : method of a strategy
        From a task with tensors as fields to a tensor.
    task : PathTask
        With arrays (draws, tasks), from `Lengths.walks`.

    Returns
    -------
    array, shape (draws, tasks)
    """
    arrays = (task.path_length, task.advance, task.commit)
    return evaluate(_law, *arrays, core=(0, 0, 0), block=1 << 14, law=law, tokens_per_step=task.tokens_per_step)


def _law(length: Any, advance: Any, commit: Any, *, law: Callable[[PathTask], Any], tokens_per_step: float) -> Any:
    task = PathTask(path_length=length, advance=advance, commit=commit, tokens_per_step=tokens_per_step)
    return law(task) + 0.0 * advance
