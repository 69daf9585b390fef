"""G-pass: at least so many of n attempts must be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from ds3bayes.strategies.attempts import REPEATED_SAMPLING, AttemptStrategy
from ds3bayes.strategies.base import check_whole, register
from ds3bayes.strategies.references import Reference
from ds3bayes.strategies.walks import SOLVED, Bools, Ints
from ds3bayes.theory.selectors import at_least, bernstein


@final
@register
@dataclass(frozen=True, kw_only=True)
class GPass(AttemptStrategy):
    """At least ``right`` of n attempts right (a measure of stability), text form ``g_pass(n=16, right=8)``.

    Parameters
    ----------
    n : int
        Number of attempts, at least 1.
    right : int
        Attempts that must be right, 1..n. 1 is best-of-n with an oracle, n is `PassPower`.
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
    >>> GPass(n=2, right=2).answer_array([0.5, 1.0])
    array([0.25, 1.  ])
    """

    name: ClassVar[str] = "g_pass"
    fitted_from: ClassVar[frozenset[str]] = frozenset()
    source: ClassVar[Reference | None] = REPEATED_SAMPLING

    right: int

    def selector_faults(self) -> list[str]:
        """Check ``right``."""
        found = check_whole("right", self.right, 1)
        if not found and isinstance(self.n, int) and self.right > self.n:
            found.append(f"right must lie in 1..n = 1..{self.n}, got {self.right}")
        return found

    @property
    def assumes_perfect_check(self) -> bool:
        """Whether fewer than a majority need to be right, which no vote would find."""
        return 2 * self.right <= self.n and self.n > 1

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability that at least ``right`` of the attempts are right."""
        del concentration, wrong
        return bernstein(q, at_least(self.n, self.right))

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Count the right attempts."""
        del answers, rng
        return (outcome == SOLVED).sum(axis=1) >= self.right, np.full(len(outcome), self.n)
