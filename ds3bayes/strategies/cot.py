"""Chain of thought: one attempt that reasons before it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from ds3bayes.strategies.attempts import SingleAttempt
from ds3bayes.strategies.base import Walk, register
from ds3bayes.strategies.references import Reference, arxiv

_SOURCE = arxiv(
    "wei2022chain",
    "Wei, Jason and Wang, Xuezhi and Schuurmans, Dale and Bosma, Maarten and others",
    "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models",
    2022,
    "2201.11903",
    "chain of thought",
)


@final
@register
@dataclass(frozen=True, kw_only=True)
class CoT(SingleAttempt):
    """One chain of thought, text form ``cot``.

    Parameters
    ----------
    effort : str, optional
        Reasoning effort asked of the LLM.
    budget_tokens : int, optional
        Largest number of generated tokens, at least 1.

    Examples
    --------
    >>> str(CoT(budget_tokens=16000))
    'cot(budget_tokens=16000)'
    """

    name: ClassVar[str] = "cot"
    other_names: ClassVar[tuple[str, ...]] = ("chain_of_thought", "zero_shot_cot")
    source: ClassVar[Reference | None] = _SOURCE

    @property
    def walk(self) -> Walk:
        """Chains of thought."""
        return "cot"
