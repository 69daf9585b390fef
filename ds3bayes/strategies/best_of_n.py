"""Best-of-n: n attempts, of which a verifier picks one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from ds3bayes.strategies.attempts import REPEATED_SAMPLING, AttemptStrategy
from ds3bayes.strategies.base import ORACLE, Learned, LearnedVerifier, Verifier, as_verifier, read_verifier, register
from ds3bayes.strategies.learned import answer_at_draws, chosen_weights, of_cases
from ds3bayes.strategies.lengths import Lengths
from ds3bayes.strategies.references import Reference
from ds3bayes.strategies.told_by import ToldBy
from ds3bayes.strategies.walks import SOLVED, TRUNCATED, Bools, Ints
from ds3bayes.theory.selectors import any_right, noisy_verifier


@final
@register
@dataclass(frozen=True, kw_only=True)
class BestOfN(AttemptStrategy):
    """The attempt with the top verifier score, text form ``best_of_n(n=16, verifier=oracle)``.

    With an oracle its success is the coverage 1 - (1 - q)^n; with a noisy verifier see
    `ds3bayes.theory.selectors.noisy_verifier`.

    Parameters
    ----------
    n : int
        Number of attempts, at least 1.
    verifier : Verifier or str, default "oracle"
        ``"oracle"``, ``"noisy(d=1.5)"``, or ``"learned(name=prm)"`` for one whose discrimination a fit learned.
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
    >>> str(BestOfN(n=16, verifier="noisy(d=1.5)"))
    'best_of_n(n=16, verifier=noisy(d=1.5))'
    >>> BestOfN(n=2).answer_array([0.0, 0.5])
    array([0.  , 0.75])
    """

    name: ClassVar[str] = "best_of_n"
    other_names: ClassVar[tuple[str, ...]] = ("pass", "coverage", "any")
    curve_name: ClassVar[str] = "best of n"
    always_printed: ClassVar[tuple[str, ...]] = ("n", "verifier")
    needs: ClassVar[tuple[str, ...]] = ("n_samples",)
    source: ClassVar[Reference | None] = REPEATED_SAMPLING

    verifier: Verifier | LearnedVerifier | str = ORACLE

    def selector_faults(self) -> list[str]:
        """Check ``verifier``; a text becomes a `Verifier`."""
        return read_verifier(self, "verifier")

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability that the attempt with the top score is right."""
        d = as_verifier(self.verifier).discrimination
        # noisy_verifier has this limit too, but not without its quadrature.
        return any_right(q, self.n) if math.isinf(d) else noisy_verifier(q, self.n, d, wrong)

    @property
    def searched_up_to(self) -> int:
        """Most attempts that are tried to reach a target: an oracle gains from a thousand, and takes no time."""
        return 1000 if self.verifier == ORACLE else super().searched_up_to

    @property
    def told_by(self) -> tuple[ToldBy, ...]:
        """Its own decisions, or with an oracle n attempts at every task."""
        if self.verifier != ORACLE:
            return super().told_by
        return (*super().told_by, ToldBy.any_right(str(self.one_attempt), self.n))

    @property
    def depends_on(self) -> frozenset[str]:
        """How good a verifier is that has to be learned."""
        return frozenset({"discrimination", "agreement"} if self.learned_verifier else ())

    def answer_learned(self, q: Any, learned: Learned, *, q_of_cases: bool = False) -> Any:
        """Probability that the attempt with the top score is right, interpolated in what is learned of the verifier."""
        if not self.depends_on:
            return self.answer(q)
        return of_cases(q, chosen_weights(self.n, learned.discrimination, learned.agreement), q_of_cases)

    def answer_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> np.ndarray:
        """Probability that the attempt with the top score is right, at posterior draws."""
        return answer_at_draws(self, q, learned) if self.depends_on else super().answer_given(q, lengths, learned)

    def limit_array(
        self, q: np.ndarray, concentration: np.ndarray | None = None, no_answer: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return whether an attempt can be right at all: among endless normal scores any lead wins; q without one."""
        del concentration, no_answer
        if isinstance(self.verifier, LearnedVerifier):
            return None
        return (q > 0.0).astype(float) if as_verifier(self.verifier).discrimination > 0.0 else q

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Draw scores and take the top one; a truncated attempt is taken last."""
        del answers
        solved, made = outcome == SOLVED, np.full(len(outcome), self.n)
        d = as_verifier(self.verifier).discrimination
        if math.isinf(d):
            return solved.any(axis=1), made
        scores = np.where(outcome == TRUNCATED, -np.inf, rng.standard_normal(outcome.shape) + d * solved)
        return solved[np.arange(len(outcome)), scores.argmax(axis=1)], made
