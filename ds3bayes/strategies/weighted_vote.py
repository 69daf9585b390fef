"""Weighted vote: votes count as much as a verifier believes in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from scipy.special import expit

from ds3bayes.strategies.base import Learned, LearnedVerifier, Verifier, as_verifier, read_verifier, register
from ds3bayes.strategies.learned import answer_at_draws, answered_vote_weights, of_cases, vote_weights
from ds3bayes.strategies.lengths import Lengths
from ds3bayes.strategies.voting import Vote
from ds3bayes.strategies.walks import SOLVED, Bools, Ints, plurality
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.selectors import any_right, bernstein
from ds3bayes.theory.votes import (
    answered_weights,
    vote,
    weighted_vote_table,
    weighted_vote_table_partition,
    weighted_vote_weights,
    weighted_vote_weights_partition,
)


@final
@register
@dataclass(frozen=True, kw_only=True)
class WeightedBestOfN(Vote):
    """The answer with the largest sum of verifier weights; text form ``weighted_best_of_n(n=16, verifier=noisy(d=1))``.

    A vote whose score is s weighs 1 / (1 + exp(d^2/2 - d s)), the probability that it is right at even odds.
    A verifier that knows nothing (d = 0) makes this the majority vote, an oracle makes it best-of-n.

    Parameters
    ----------
    n : int
        Number of votes, at least 1.
    verifier : Verifier or str
        ``"oracle"`` or ``"noisy(d=1.5)"``.
    wrong_shares : tuple of float, optional
        Shares of the distinct wrong answers among wrong attempts, each in [0, 1], summing to 1 within 1e-9.
        None: a fit learns from answer counts how wrong answers agree (the ``concentration`` of `answer`).
    sampler : {"cot", "direct"}, default "cot"
        What one attempt is.
    effort : str, optional
        Reasoning effort asked of the LLM.
    budget_tokens : int, optional
        Largest number of generated tokens of one attempt, at least 1. A truncated attempt does not vote.

    Raises
    ------
    InputError
        If a field is outside its range.

    Examples
    --------
    >>> WeightedBestOfN(n=2, verifier="oracle", wrong_shares=(1.0,)).answer_array([0.0, 0.5])
    array([0.  , 0.75])
    """

    name: ClassVar[str] = "weighted_best_of_n"
    curve_name: ClassVar[str] = "weighted vote"
    # The tables of one number of attempts take a minute to make beyond that.
    curve_end: ClassVar[int] = 16
    most_votes: ClassVar[int] = 128
    always_printed: ClassVar[tuple[str, ...]] = ("n", "verifier")
    needs: ClassVar[tuple[str, ...]] = ("n_samples",)
    # An aggregate of a weighted vote says how good its verifier is; decisions on single tasks do not.
    fitted_from: ClassVar[frozenset[str]] = frozenset({"aggregates"})

    verifier: Verifier | LearnedVerifier | str

    def vote_faults(self) -> list[str]:
        """Check ``verifier``; a text becomes a `Verifier`."""
        return read_verifier(self, "verifier")

    @property
    def _gap(self) -> float:
        return as_verifier(self.verifier).discrimination

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability that the right answer has the largest weight; arguments as for `Majority.answer`."""
        if np.isinf(self._gap):
            return any_right(q, self.n)
        shares, alpha = self._agreement(concentration)
        if wrong is None:
            return bernstein(q, self._weights(shares, alpha))
        if shares:
            return vote(q, wrong, weighted_vote_table(self.n, self._gap, shares))
        return vote(q, wrong, weighted_vote_table_partition(self.n, self._gap, alpha))

    def _weights(self, shares: tuple[float, ...] | None, alpha: Any) -> np.ndarray:
        if shares:
            return weighted_vote_weights(self.n, self._gap, shares)
        return weighted_vote_weights_partition(self.n, self._gap, alpha)

    @property
    def depends_on(self) -> frozenset[str]:
        """How wrong answers agree and how many give none, unless an oracle weighs them; what a verifier knows."""
        if self.learned_verifier:
            return super().depends_on | {"discrimination"}
        return frozenset() if np.isinf(self._gap) else super().depends_on

    def answer_learned(self, q: Any, learned: Learned, *, q_of_cases: bool = False) -> Any:
        """Probability that the right answer has the largest weight, interpolated in what is learned."""
        if not self.depends_on:
            return self.answer(q)
        gap = learned.discrimination if self.learned_verifier else self._gap
        concentration = 1.0 if learned.concentration is None else learned.concentration
        shares = self._known_shares
        if learned.no_answer is None:
            if shares is not None and not self.learned_verifier:
                return self.answer(q)
            if self.wrong_shares is None:
                return of_cases(q, vote_weights(self.n, concentration, gap), q_of_cases)
        weights = answered_vote_weights(
            self.n,
            0.0 if learned.no_answer is None else learned.no_answer,
            concentration=None if shares else concentration,
            wrong_shares=shares,
            discrimination=gap,
        )
        return of_cases(q, weights, q_of_cases)

    def answer_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> np.ndarray:
        """Probability that the right answer has the largest weight, at posterior draws."""
        if self.wrong_shares is None:
            # A vote that lacks this says so itself.
            self._agreement(learned.concentration)
        return answer_at_draws(self, q, learned) if self.depends_on else super().answer_given(q, lengths, learned)

    def answer_array(self, q: Any, concentration: Any = None, no_answer: Any = None) -> np.ndarray:
        """Evaluate `answer` on arrays, with weights per entry of ``concentration`` and ``no_answer``, as `Majority`."""
        if np.isinf(self._gap):
            return evaluate(any_right, q, n=self.n)
        shares, alpha = self._agreement(concentration)
        if no_answer is None:
            return evaluate(bernstein, q, self._weights(shares, alpha), core=(0, 1))
        if shares:
            table = weighted_vote_table(self.n, self._gap, shares)
        else:
            table = weighted_vote_table_partition(self.n, self._gap, alpha)
        return evaluate(bernstein, q, answered_weights(table, no_answer), core=(0, 1))

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Draw scores and add up the weights of each answer."""
        made = np.full(len(outcome), self.n)
        if np.isinf(self._gap):
            return (outcome == SOLVED).any(axis=1), made
        scores = rng.standard_normal(outcome.shape) + self._gap * (outcome == SOLVED)
        return plurality(outcome, answers, rng, expit(self._gap * scores - self._gap**2 / 2)), made
