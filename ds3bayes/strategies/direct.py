"""Direct answer: one attempt without a chain of thought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from ds3bayes.strategies.attempts import SingleAttempt
from ds3bayes.strategies.base import Walk, register


@final
@register
@dataclass(frozen=True, kw_only=True)
class Direct(SingleAttempt):
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
    other_names: ClassVar[tuple[str, ...]] = ("zero_shot", "greedy", "answer_only")

    @property
    def walk(self) -> Walk:
        """Direct answers."""
        return "direct"
