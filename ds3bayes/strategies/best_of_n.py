"""Best-of-n: n attempts, of which a verifier picks one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

from ds3bayes.strategies.base import AttemptStrategy, Verifier, as_verifier, read_verifier, register
from ds3bayes.theory.selectors import any_right, noisy_verifier

_ORACLE = Verifier(math.inf)


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
        ``"oracle"`` or ``"noisy(d=1.5)"``.
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
    always_printed: ClassVar[tuple[str, ...]] = ("n", "verifier")

    verifier: Verifier | str = _ORACLE

    def selector_faults(self) -> list[str]:
        """Check ``verifier``; a text becomes a `Verifier`."""
        return read_verifier(self, "verifier")

    def answer(self, q: Any, concentration: Any = None) -> Any:
        """Probability that the attempt with the top score is right."""
        d = as_verifier(self.verifier).discrimination
        # noisy_verifier has this limit too, but not without its quadrature.
        return any_right(q, self.n) if math.isinf(d) else noisy_verifier(q, self.n, d)
