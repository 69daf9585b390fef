"""How rows of a table tell the success of a strategy: its own decisions, or attempts from which these follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

Array = np.ndarray


def share(successes: Array, attempts: Array) -> Array:
    """Return the share of attempts that succeeded."""
    return successes / attempts


@dataclass(frozen=True, kw_only=True)
class ToldBy:
    """Rows that tell a strategy's success at the tasks that they are about.

    Parameters
    ----------
    rows : str
        Text form of the strategy of these rows.
    size : int, default 1
        Attempts at a task that it takes.
    together : bool, default False
        Whether just as many attempts at a task are one try, a success if any is right: outputs of one search.
    success : callable
        Unbiased estimate of the success at each task, from successes and tries at it.
    """

    rows: str
    size: int = 1
    together: bool = False
    success: Callable[[Array, Array], Array] = share

    @classmethod
    def any_right(cls, rows: str, size: int) -> ToldBy:
        """Tell whether any of some attempts is right: 1 - C(n - c, k) / C(n, k)."""
        return cls(rows=rows, size=size, success=lambda c, n: 1.0 - none_of(c, n, size))

    @classmethod
    def any_output(cls, rows: str, outputs: int) -> ToldBy:
        """Tell whether any of the outputs of a search is right, from rows of one search each."""
        return cls(rows=rows, size=outputs, together=True)

    @classmethod
    def all_right(cls, rows: str, size: int) -> ToldBy:
        """Tell whether all of some attempts are right: C(c, k) / C(n, k)."""
        return cls(rows=rows, size=size, success=lambda c, n: none_of(n - c, n, size))

    def tries(self, successes: Array, attempts: Array) -> tuple[Array, Array]:
        """Return the successes and the tries at each task."""
        if not self.together:
            return successes, attempts
        return np.minimum(successes, 1), np.ones_like(attempts)

    def enough(self, attempts: Array, named: Array) -> bool:
        """Whether rows with these attempts, of tasks that are named or not, tell it."""
        if self.size == 1:
            return True
        told = attempts == self.size if self.together else attempts >= self.size
        return bool(told.all() and named.all())


def none_of(hits: Array, attempts: Array, k: int) -> Array:
    """Chance that k attempts, drawn without replacement, hold none of the hits: C(n - hits, k) / C(n, k).

    Parameters
    ----------
    hits, attempts : array
        Counts by task, attempts at least k.
    k : int
    """
    others = attempts - hits
    possible = others >= k
    logs = gammaln(others + 1) - gammaln(np.where(possible, others - k, 0) + 1)
    logs = logs - gammaln(attempts + 1) + gammaln(attempts - k + 1)
    return np.where(possible, np.exp(logs), 0.0)
