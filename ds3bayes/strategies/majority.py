"""Majority vote: the most frequent answer of n attempts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from ds3bayes.strategies.base import Learned, register
from ds3bayes.strategies.learned import of_cases, vote_weights
from ds3bayes.strategies.voting import Vote
from ds3bayes.strategies.walks import Bools, Ints, plurality
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.selectors import bernstein
from ds3bayes.theory.votes import (
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
    curve_name: ClassVar[str] = "majority vote"
    needs: ClassVar[tuple[str, ...]] = ("n_samples",)

    def vote_faults(self) -> list[str]:
        """Return nothing: there are no fields beyond those of any vote."""
        return []

    def _weights(self, concentration: Any) -> np.ndarray:
        shares, alpha = self._agreement(concentration)
        return plurality_weights(self.n, shares) if shares else plurality_weights_partition(self.n, alpha)

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

    def answer_array(self, q: Any, concentration: Any = None) -> np.ndarray:
        """Evaluate `answer` on arrays, with weights per entry of ``concentration``.

        Parameters
        ----------
        q : array-like
            Probabilities, for instance of shape (draws, tasks).
        concentration : array-like, optional
            For instance of shape (draws, 1): the weights are computed once per entry, so keep it small.

        Returns
        -------
        numpy.ndarray
            In the broadcast shape.
        """
        return evaluate(bernstein, q, self._weights(concentration), core=(0, 1))

    def answer_learned(self, q: Any, learned: Learned, *, q_of_cases: bool = False) -> Any:
        """Probability that the right answer wins, its weights interpolated in the concentration."""
        if not self.depends_on:
            return self.answer(q)
        return of_cases(q, vote_weights(self.n, learned.concentration), q_of_cases)

    def limit_array(self, q: np.ndarray, concentration: np.ndarray | None = None) -> np.ndarray | None:
        """Return the chance that the right answer is likelier than every wrong one."""
        if self.wrong_shares is not None:
            return evaluate(plurality_limit, q, wrong_shares=self.wrong_shares)
        return None if concentration is None else plurality_limit_partition(q, concentration)

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Count the votes."""
        return plurality(outcome, answers, rng), np.full(len(outcome), self.n)
