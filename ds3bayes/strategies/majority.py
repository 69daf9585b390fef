"""Majority vote: the most frequent answer of n attempts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from ds3bayes.strategies.base import Learned, register
from ds3bayes.strategies.learned import answered_vote_weights, of_cases, vote_weights
from ds3bayes.strategies.lengths import Lengths
from ds3bayes.strategies.voting import Vote
from ds3bayes.strategies.walks import Bools, Ints, plurality
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.selectors import bernstein
from ds3bayes.theory.votes import (
    answered_plurality_weights,
    answered_plurality_weights_partition,
    plurality_limit,
    plurality_limit_partition,
    plurality_table,
    plurality_table_partition,
    plurality_weights,
    plurality_weights_partition,
    vote,
)


@final
@register
@dataclass(frozen=True, kw_only=True)
class Majority(Vote):
    """The answer with the most votes, ties broken at random; text form ``majority(n=8)``.

    Parameters
    ----------
    n : int
        Number of votes, at least 1.
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
    >>> Majority(n=3, wrong_shares=(1.0,)).answer_array([0.5, 1.0])
    array([0.5, 1. ])
    """

    name: ClassVar[str] = "majority"
    other_names: ClassVar[tuple[str, ...]] = ("maj", "cons", "self_consistency", "majority_vote", "vote")
    curve_name: ClassVar[str] = "majority vote"
    needs: ClassVar[tuple[str, ...]] = ("n_samples",)

    def vote_faults(self) -> list[str]:
        """Return nothing: there are no fields beyond those of any vote."""
        return []

    def _weights(self, concentration: Any, no_answer: Any = None) -> np.ndarray:
        shares, alpha = self._agreement(concentration)
        if no_answer is None:
            return plurality_weights(self.n, shares) if shares else plurality_weights_partition(self.n, alpha)
        if shares:
            return answered_plurality_weights(self.n, shares, no_answer)
        return answered_plurality_weights_partition(self.n, alpha, no_answer)

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability that the right answer wins the vote.

        Parameters
        ----------
        q : tensor-like
            Probability that one attempt is right.
        concentration : array-like, optional
            Concentration alpha > 0 of the wrong answers, an array that broadcasts against ``q``; used if
            ``wrong_shares`` is None.
        wrong : tensor-like, optional
            Probability that one attempt votes for a wrong answer; 1 - q if absent.

        Raises
        ------
        InputError
            If neither ``wrong_shares`` nor ``concentration`` is given and n > 2, or if ``concentration`` is
            symbolic.
        """
        if wrong is None:
            return bernstein(q, self._weights(concentration))
        shares, alpha = self._agreement(concentration)
        return vote(q, wrong, plurality_table(self.n, shares) if shares else plurality_table_partition(self.n, alpha))

    def answer_array(self, q: Any, concentration: Any = None, no_answer: Any = None) -> np.ndarray:
        """Evaluate `answer` on arrays, with weights per entry of ``concentration`` and ``no_answer``.

        Parameters
        ----------
        q : array-like
            Probabilities, for instance of shape (draws, tasks).
        concentration : array-like, optional
            For instance of shape (draws, 1): the weights are computed once per entry, so keep it small.
        no_answer : array-like, optional
            Probability that an attempt that is not right gives no answer, broadcasting against ``concentration``;
            all attempts vote if absent.

        Returns
        -------
        numpy.ndarray
            In the broadcast shape.
        """
        return evaluate(bernstein, q, self._weights(concentration, no_answer), core=(0, 1))

    def answer_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> np.ndarray:
        """Probability that the right answer wins, at posterior draws; attempts without an answer do not vote."""
        del lengths
        return self.answer_array(q, learned.concentration, learned.no_answer)

    def answer_learned(self, q: Any, learned: Learned, *, q_of_cases: bool = False) -> Any:
        """Probability that the right answer wins, its weights interpolated in what is learned."""
        if learned.no_answer is not None:
            shares = self._known_shares
            weights = answered_vote_weights(
                self.n, learned.no_answer, concentration=None if shares else learned.concentration, wrong_shares=shares
            )
            return of_cases(q, weights, q_of_cases)
        if "concentration" not in self.depends_on:
            return self.answer(q)
        return of_cases(q, vote_weights(self.n, learned.concentration), q_of_cases)

    def limit_array(
        self, q: np.ndarray, concentration: np.ndarray | None = None, no_answer: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return the chance that the right answer is likelier than every wrong one."""
        if no_answer is not None:
            # Of the attempts that answer; where none does, none is right.
            q = q / np.maximum(q + (1.0 - q) * (1.0 - no_answer), np.finfo(float).tiny)
        if self.wrong_shares is not None:
            return evaluate(plurality_limit, q, wrong_shares=self.wrong_shares)
        return None if concentration is None else plurality_limit_partition(q, concentration)

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Count the votes."""
        return plurality(outcome, answers, rng), np.full(len(outcome), self.n)
