"""What strategies that count the answers of attempts have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from ds3bayes.deferred import is_symbolic
from ds3bayes.errors import InputError
from ds3bayes.strategies.attempts import AttemptStrategy
from ds3bayes.strategies.base import check_share, check_whole
from ds3bayes.strategies.references import Reference, arxiv
from ds3bayes.strategies.task import PathTask
from ds3bayes.strategies.walks import WrongAnswers, shared_wrong_answers

_SELF_CONSISTENCY = arxiv(
    "wang2022selfconsistency",
    "Wang, Xuezhi and Wei, Jason and Schuurmans, Dale and Le, Quoc and others",
    "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
    2022,
    "2203.11171",
    "majority vote",
)


@dataclass(frozen=True, kw_only=True)
class Vote(AttemptStrategy):
    """Abstract: the answer of n attempts with the most votes, ties broken at random.

    Parameters
    ----------
    n : int
        Number of votes, at least 1; the most there can be if it may stop early.
    wrong_shares : tuple of float, optional
        Shares of the distinct wrong answers among wrong attempts, each in [0, 1], summing to 1 within 1e-9.
        None: they differ between tasks, and wrong answers agree by a concentration (the ``concentration`` of
        `answer`, learned by a fit from answer counts, or that of a `PathTask`).
    sampler, effort, budget_tokens
        As for `AttemptStrategy`. A truncated attempt does not vote.

    Notes
    -----
    Attempts without an answer do not vote, as far as a fit learned them (column ``no_answer``).
    """

    source: ClassVar[Reference | None] = _SELF_CONSISTENCY
    #: Most votes whose law is computed: in doubles, and in a second.
    most_votes: ClassVar[int] = 1800

    wrong_shares: tuple[float, ...] | None = None

    def selector_faults(self) -> list[str]:
        """Check ``wrong_shares``, then what the subclass adds."""
        many = isinstance(self.n, int) and self.n > self.most_votes
        found = check_whole("n", self.n, 1, self.most_votes) if many else []
        return found + self._share_faults() + self.vote_faults()

    @abstractmethod
    def vote_faults(self) -> list[str]:
        """Return one sentence per field of the subclass that is outside its range."""

    def _share_faults(self) -> list[str]:
        shares = self.wrong_shares
        if shares is None:
            return []
        if not isinstance(shares, tuple) or not shares:
            return [f"wrong_shares must be a list of at least one number, got {shares!r}"]
        found = [fault for i, share in enumerate(shares) for fault in check_share(f"wrong_shares[{i}]", share)]
        if not found and abs(math.fsum(shares) - 1.0) > 1e-9:
            found.append(f"wrong_shares must sum to 1, got {list(shares)} with the sum {math.fsum(shares):.10g}")
        if not found:
            object.__setattr__(self, "wrong_shares", tuple(float(share) for share in shares))
        return found

    @property
    def depends_on(self) -> frozenset[str]:
        """How many give no answer and, where that is not stated and there are enough votes, how wrong answers agree."""
        if self.n < 2:
            return frozenset()
        return frozenset({"no_answer", "concentration"} if self.wrong_shares is None and self.n > 2 else {"no_answer"})

    @property
    def _known_shares(self) -> tuple[float, ...] | None:
        """The shares of wrong answers, or None if these have to be learned."""
        # With one or two votes how wrong answers agree does not matter.
        return (1.0,) if self.wrong_shares is None and self.n <= 2 else self.wrong_shares

    def _agreement(self, concentration: Any) -> tuple[tuple[float, ...] | None, Any]:
        """Return the shares of wrong answers, or None and their concentration."""
        if self._known_shares is not None:
            return self._known_shares, None
        if concentration is None:
            raise InputError(
                f"{self}: the success of a vote depends on how often wrong answers agree; give wrong_shares, "
                "or answer counts (column wrong_answer_counts) in the evaluations, from which it is learned"
            )
        if is_symbolic(concentration):
            raise InputError(f"{self}: concentration must be an array of numbers, got the tensor {concentration}")
        return None, concentration

    def _wrong_answers(self, task: PathTask) -> WrongAnswers | None:
        shares, _ = self._agreement(task.wrong_answer_concentration)
        return shared_wrong_answers(shares) if shares else super()._wrong_answers(task)
