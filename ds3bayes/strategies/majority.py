"""Majority vote: the most frequent answer of n attempts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, final

import numpy as np
from pytensor.graph.basic import Variable

from ds3bayes.errors import InputError
from ds3bayes.strategies.base import AttemptStrategy, check_share, register
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.selectors import bernstein, plurality_weights, plurality_weights_partition


@lru_cache(maxsize=64)
def _fixed_weights(n: int, wrong_shares: tuple[float, ...]) -> np.ndarray:
    weights = plurality_weights(n, wrong_shares)
    weights.flags.writeable = False
    return weights


@final
@register
@dataclass(frozen=True, kw_only=True)
class Majority(AttemptStrategy):
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
        Largest number of generated tokens of one attempt, at least 1.

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

    wrong_shares: tuple[float, ...] | None = None

    def selector_faults(self) -> list[str]:
        """Check ``wrong_shares``."""
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

    def _weights(self, concentration: Any) -> np.ndarray:
        if self.wrong_shares is not None:
            return _fixed_weights(self.n, self.wrong_shares)
        if self.n <= 2:
            # With one or two votes how wrong answers agree does not matter.
            return _fixed_weights(self.n, (1.0,))
        if concentration is None:
            raise InputError(
                f"{self}: the success of a vote depends on how often wrong answers agree; give wrong_shares, "
                "or answer counts (column wrong_answer_counts) in the evaluations, from which it is learned"
            )
        if isinstance(concentration, Variable):
            raise InputError(f"{self}: concentration must be an array of numbers, got the tensor {concentration}")
        return plurality_weights_partition(self.n, concentration)

    def answer(self, q: Any, concentration: Any = None) -> Any:
        """Probability that the right answer wins the vote.

        Parameters
        ----------
        q : tensor-like
            Probability that one attempt is right.
        concentration : array-like, optional
            Concentration alpha > 0 of the wrong answers, an array that broadcasts against ``q``; used if
            ``wrong_shares`` is None.

        Raises
        ------
        InputError
            If neither ``wrong_shares`` nor ``concentration`` is given and n > 2, or if ``concentration`` is
            symbolic.
        """
        return bernstein(q, self._weights(concentration))

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
