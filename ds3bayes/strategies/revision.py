"""Sequential revision: attempts in a row, until a check accepts one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from scipy.special import ndtr

from ds3bayes.deferred import pt
from ds3bayes.strategies.attempts import AttemptStrategy
from ds3bayes.strategies.base import ORACLE, Verifier, as_verifier, read_verifier, register
from ds3bayes.strategies.walks import SOLVED, TRUNCATED, Bools, Ints
from ds3bayes.theory._special import as_float


@final
@register
@dataclass(frozen=True, kw_only=True)
class Revision(AttemptStrategy):
    """Attempts in a row until one passes a check; text form ``revision(n=4, check=noisy(d=2), threshold=1)``.

    A check scores each answer, N(d, 1) if it is right and N(0, 1) if it is wrong, and accepts a score above
    the threshold: a right one with probability Phi(d - threshold), a wrong one with probability
    Phi(-threshold). A truncated attempt has nothing to accept. The first accepted answer is final; if none of
    n attempts is accepted, the last one is.

    Parameters
    ----------
    n : int
        Largest number of attempts, at least 1.
    check : Verifier or str, default "oracle"
        ``"oracle"`` accepts right answers only, ``"noisy(d=2)"`` errs both ways.
    threshold : float, default 0
        Score above which a noisy check accepts.
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
    >>> Revision(n=2).answer_array([0.0, 0.5])
    array([0.  , 0.75])
    """

    name: ClassVar[str] = "revision"
    other_names: ClassVar[tuple[str, ...]] = ("self_refine",)
    always_printed: ClassVar[tuple[str, ...]] = ("n", "check")
    fitted_from: ClassVar[frozenset[str]] = frozenset()
    in_sequence: ClassVar[bool] = True

    check: Verifier | str = ORACLE
    threshold: float = 0.0

    def selector_faults(self) -> list[str]:
        """Check ``check`` and ``threshold``; a text ``check`` becomes a `Verifier`."""
        found = read_verifier(self, "check")
        t = self.threshold
        if isinstance(t, bool) or not isinstance(t, int | float) or not np.isfinite(t):
            found.append(f"threshold must be a finite number, got {t!r}")
        return found

    @property
    def acceptance(self) -> tuple[float, float]:
        """Probability that the check accepts a right answer, and a wrong one."""
        d = as_verifier(self.check).discrimination
        if np.isinf(d):
            return 1.0, 0.0
        return float(ndtr(d - self.threshold)), float(ndtr(-self.threshold))

    def _rejected(self, right: Any, wrong: Any, blank: Any) -> Any:
        accept_right, accept_wrong = self.acceptance
        return (1.0 - accept_right) * right + (1.0 - accept_wrong) * wrong + blank

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability that the final answer is right: accepted among the first n - 1, or right in the last."""
        del concentration
        q = as_float(q)
        u = 1.0 - q if wrong is None else as_float(wrong)
        rejected = self._rejected(q, u, 1.0 - q - u)
        return q * (self.acceptance[0] * _geometric(rejected, self.n - 1) + pt.power(rejected, float(self.n - 1)))

    def expected_attempts(self, right: Any, wrong: Any, concentration: Any = None) -> Any:
        """Expected number of attempts, sum over i < n of P(the first i are rejected)."""
        del concentration
        right, wrong = as_float(right), as_float(wrong)
        return _geometric(self._rejected(right, wrong, 1.0 - right - wrong), self.n)

    def steps_transform(self, right: Any, wrong: Any, blank: Any, concentration: Any = None) -> Any:
        """Generating function of the steps of the attempts made."""
        del concentration
        rejected = self._rejected(right, wrong, blank)
        accepted = right + wrong + blank - rejected
        total = right + wrong + blank
        for _ in range(self.n - 1):
            total = accepted + rejected * total
        return total

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Score the attempts in turn and take the first that passes."""
        del answers
        d = as_verifier(self.check).discrimination
        solved = outcome == SOLVED
        if np.isinf(d):
            passed = solved.copy()
        else:
            passed = (rng.standard_normal(outcome.shape) + d * solved > self.threshold) & (outcome != TRUNCATED)
        passed[:, -1] = True
        last = passed.argmax(axis=1)
        return solved[np.arange(len(outcome)), last], last + 1


def _geometric(x: Any, terms: int) -> Any:
    """1 + x + ... + x^(terms - 1), by doubling, so that no digit is lost near x = 1."""
    if terms == 0:
        return 0.0 * x
    if terms == 1:
        return 1.0 + 0.0 * x
    half = _geometric(x, terms // 2) * (1.0 + pt.power(x, float(terms // 2)))
    return half if terms % 2 == 0 else half + pt.power(x, float(terms - 1))
