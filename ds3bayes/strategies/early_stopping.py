"""Early-stopping vote: attempts are drawn one after another until the vote is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from scipy.special import betainc

from ds3bayes.errors import InputError
from ds3bayes.strategies.base import Learned, register
from ds3bayes.strategies.lengths import Lengths
from ds3bayes.strategies.voting import Vote
from ds3bayes.strategies.walks import SOLVED, WRONG, Bools, Ints
from ds3bayes.theory.stopping import (
    MOST_ATTEMPTS,
    StoppedVote,
    mean_stopped_attempts,
    stopped_success,
    stopped_vote,
    stopped_vote_partition,
)

# Draws whose laws of stopping are held at the same time.
_DRAWS_AT_ONCE = 64


@final
@register
@dataclass(frozen=True, kw_only=True)
class EarlyStoppingMajority(Vote):
    """A vote that stops once it is decided; text form ``early_stopping_majority(n=16, confidence=0.95)``.

    After each attempt it stops if the leading answer cannot be caught by the attempts that remain or, with a
    ``confidence``, if the posterior probability that the leader is the most frequent answer, P(p1 > p2) of the
    two top answers under a uniform prior, reaches it. Its answer is that of the vote so far.

    Parameters
    ----------
    n : int
        Largest number of votes, at least 1.
    confidence : float, optional
        In (0.5, 1). None: stop only when the leader cannot be caught, which never changes the answer.
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

    References
    ----------
    Aggarwal, Madaan, Yang, Mausam 2023, arXiv 2305.11860 (adaptive consistency).

    Examples
    --------
    >>> vote = EarlyStoppingMajority(n=3, wrong_shares=(1.0,))
    >>> vote.answer_array([0.5, 1.0])
    array([0.5, 1. ])
    """

    name: ClassVar[str] = "early_stopping_majority"
    fitted_from: ClassVar[frozenset[str]] = frozenset()
    in_sequence: ClassVar[bool] = True

    confidence: float | None = None

    def vote_faults(self) -> list[str]:
        """Check ``confidence``."""
        c = self.confidence
        if c is None:
            return []
        if isinstance(c, bool) or not isinstance(c, int | float) or not 0.5 < c < 1.0:
            return [f"confidence must be a number above 0.5 and below 1, got {c!r}"]
        return []

    def _law(self, concentration: Any) -> StoppedVote:
        if self.n > MOST_ATTEMPTS:
            raise InputError(f"{self}: a vote that stops early is computed up to n = {MOST_ATTEMPTS}")
        shares, alpha = self._agreement(concentration)
        if shares:
            return stopped_vote(self.n, shares, confidence=self.confidence)
        return stopped_vote_partition(self.n, alpha, confidence=self.confidence)

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability that the right answer wins; arguments as for `Majority.answer`."""
        return stopped_success(q, 1.0 - q if wrong is None else wrong, self._law(concentration))

    def answer_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> np.ndarray:
        """Probability that the right answer wins, at posterior draws."""
        del lengths
        return self._mean_of_stops(q, learned, lambda law: law.chosen)

    def units_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> np.ndarray:
        """Expected number of attempts at posterior draws, those without an answer among them."""
        del lengths
        made = lambda law: law.stopped * (law.right_votes + law.wrong_votes + law.blanks)  # noqa: E731
        return self._mean_of_stops(q, learned, made)

    def _mean_of_stops(self, q: np.ndarray, learned: Learned, value: Callable[[StoppedVote], np.ndarray]) -> np.ndarray:
        """Sum a value of stops over the attempts that they come at, shape (draws, tasks)."""
        result = np.empty(q.shape)
        for start in range(0, len(q), _DRAWS_AT_ONCE):
            rows = slice(start, start + _DRAWS_AT_ONCE)
            concentration, no_answer = (
                None if one is None else np.broadcast_to(one, (len(q), 1))[rows]
                for one in (learned.concentration, learned.no_answer)
            )
            law = self._law(concentration)
            # A stop is a number of right attempts and one of others, which vote or give no answer.
            voted = law.blanks >= 0 if learned.no_answer is not None else law.blanks == 0
            others = law.wrong_votes[voted] + law.blanks[voted]
            stops, member = np.unique(law.right_votes[voted] * (self.n + 1) + others, return_inverse=True)
            weight = np.broadcast_to(value(law), (*np.shape(law.chosen)[:-1], voted.size))[..., voted]
            if no_answer is not None:
                silent = no_answer[..., None]
                weight = weight * (1.0 - silent) ** law.wrong_votes * silent**law.blanks
            total = weight @ (member[:, None] == np.arange(stops.size)).astype(float)
            right = [q[rows] ** count for count in range(self.n + 1)]
            wrong = [(1.0 - q[rows]) ** count for count in range(self.n + 1)]
            result[rows] = sum(
                total[..., place] * right[stop // (self.n + 1)] * wrong[stop % (self.n + 1)]
                for place, stop in enumerate(stops)
            )
        return result

    def expected_attempts(self, right: Any, wrong: Any, concentration: Any = None) -> Any:
        """Expected number of attempts until the vote stops."""
        return mean_stopped_attempts(right, wrong, self._law(concentration))

    def steps_transform(self, right: Any, wrong: Any, blank: Any, concentration: Any = None) -> Any:
        """Generating function of the steps of the attempts made."""
        law = self._law(concentration)
        total = np.zeros_like(right)
        powers = [[np.ones_like(one)] for one in (right, wrong, blank)]
        for column, one in zip(powers, (right, wrong, blank), strict=True):
            for _ in range(self.n):
                column.append(column[-1] * one)
        for weight, c, w, b in zip(law.stopped, law.right_votes, law.wrong_votes, law.blanks, strict=True):
            total += weight * powers[0][c] * powers[1][w] * powers[2][b]
        return total

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Count the votes as they come in, and stop."""
        decisions, n = outcome.shape
        label = np.where(outcome == SOLVED, -2, answers)
        counts = np.zeros((decisions, n), dtype=np.int64)
        used = np.full(decisions, n)
        right = np.zeros(decisions, dtype=bool)
        going = np.ones(decisions, dtype=bool)
        # Each answer is counted at the place of the attempt that gave it first.
        place = np.argmax(label[:, :, None] == label[:, None, :], axis=2) if n > 1 else np.zeros((decisions, 1), int)
        votes = (outcome == SOLVED) | (outcome == WRONG)
        first_right = np.argmax(outcome == SOLVED, axis=1)
        rows = np.arange(decisions)
        for j in range(n):
            counts[rows, place[:, j]] += votes[:, j]
            ordered = np.sort(counts, axis=1)
            lead, second = ordered[:, -1], ordered[:, -2] if n > 1 else np.zeros(decisions, dtype=np.int64)
            stop = (lead - second > n - 1 - j) | (j == n - 1)
            if self.confidence is not None:
                # The slack of the closed form, so that both stop alike at exact equality.
                stop |= betainc(second + 1.0, lead + 1.0, 0.5) >= self.confidence - 1e-12
            now = going & stop
            tied = (counts == lead[:, None]).sum(axis=1)
            mine = np.where((outcome[:, : j + 1] == SOLVED).any(axis=1), counts[rows, first_right], 0)
            won = (mine > 0) & (mine == lead) & (rng.random(decisions) * tied < 1)
            right[now], used[now] = won[now], j + 1
            going &= ~now
        return right, used
