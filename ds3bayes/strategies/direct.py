"""Direct answer: one attempt without a chain of thought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from ds3bayes.strategies.base import Strategy, Walk, register
from ds3bayes.theory.selectors import single


@final
@register
@dataclass(frozen=True, kw_only=True)
class Direct(Strategy):
    """One answer without reasoning, text form ``direct``.

    Parameters
    ----------
    effort : str, optional
        Reasoning effort asked of the LLM.
    budget_tokens : int, optional
        Largest number of generated tokens, at least 1.

    Examples
    --------
    >>> str(Direct(budget_tokens=16000))
    'direct(budget_tokens=16000)'
    """

    name: ClassVar[str] = "direct"

    def faults(self) -> list[str]:
        """Return nothing: there are no fields beyond the common ones."""
        return []

    @property
    def walk(self) -> Walk:
        """Direct answers."""
        return "direct"

    @property
    def attempts(self) -> int:
        """One."""
        return 1

    def token_units(self, path_length: Any = None) -> Any:
        """Return 1: one attempt."""
        return 1.0

    def answer(self, q: Any, concentration: Any = None) -> Any:
        """Probability q that the attempt is right."""
        return single(q)
