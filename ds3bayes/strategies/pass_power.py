"""pass^n: all of n attempts must be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from ds3bayes.strategies.attempts import REPEATED_SAMPLING, AttemptStrategy
from ds3bayes.strategies.base import register
from ds3bayes.strategies.references import Reference
from ds3bayes.strategies.told_by import ToldBy
from ds3bayes.strategies.walks import SOLVED, Bools, Ints
from ds3bayes.theory.selectors import all_right


@final
@register
@dataclass(frozen=True, kw_only=True)
class PassPower(AttemptStrategy):
    """All n attempts right (a measure of reliability), text form ``pass_power(n=4)``.

    Parameters
    ----------
    n : int
        Number of attempts, at least 1.
    sampler : {"cot", "direct"}, default "cot"
        What one attempt is.
    effort : str, optional
        Reasoning effort asked of the LLM.
    budget_tokens : int, optional
        Largest number of generated tokens of one attempt, at least 1.

    Raises
    ------
    InputError
        If a field is outside its range.

    Examples
    --------
    >>> PassPower(n=2).answer_array([0.5, 1.0])
    array([0.25, 1.  ])
    """

    name: ClassVar[str] = "pass_power"
    other_names: ClassVar[tuple[str, ...]] = ("pass_hat", "all")
    needs: ClassVar[tuple[str, ...]] = ("n_samples",)
    source: ClassVar[Reference | None] = REPEATED_SAMPLING

    def selector_faults(self) -> list[str]:
        """Return nothing: the selector has no fields of its own."""
        return []

    @property
    def told_by(self) -> tuple[ToldBy, ...]:
        """Its own decisions, or n attempts at every task."""
        return (*super().told_by, ToldBy.all_right(str(self.one_attempt), self.n))

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability q^n that all attempts are right."""
        del concentration, wrong
        return all_right(q, self.n)

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Look whether all attempts are right."""
        del answers, rng
        return (outcome == SOLVED).all(axis=1), np.full(len(outcome), self.n)
