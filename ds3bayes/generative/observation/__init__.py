"""Kinds of observation: what evaluation data say, counts and tokens of tasks among them."""

from __future__ import annotations

from typing import Any

from ds3bayes.evals.schema import add_columns, remove_columns
from ds3bayes.generative.observation.aggregates import Aggregates
from ds3bayes.generative.observation.base import Observation
from ds3bayes.generative.observation.counts import Counts
from ds3bayes.generative.observation.cut_attempts import CutAttempts
from ds3bayes.generative.observation.graded import Graded
from ds3bayes.generative.observation.no_answers import NoAnswers
from ds3bayes.generative.observation.outcome_tokens import OutcomeTokens
from ds3bayes.generative.observation.tokens import PromptTokens, Tokens, TokenSpreads
from ds3bayes.generative.observation.votes import Votes
from ds3bayes.generative.priors import DEFAULTS

#: Kinds in use, by name, in the order in which they enter a model.
OBSERVATIONS: dict[str, Observation[Any]] = {}


def register(kind: Observation[Any]) -> Observation[Any]:
    """Put a kind of observation to use in every model whose table has what it needs.

    Parameters
    ----------
    kind : Observation
        A kind of the same name is replaced.

    Returns
    -------
    Observation
        The same object.

    Raises
    ------
    ValueError
        If one of its parameters has the name of a parameter that all models have, or one of its columns that of another
        column.
    """
    taken = sorted(set(kind.parameters) & set(DEFAULTS))
    if taken:
        raise ValueError(f"{kind.name}: parameters {', '.join(taken)} exist in every model; choose other names")
    add_columns(kind.columns)
    OBSERVATIONS[kind.name] = kind
    return kind


def unregister(kind: Observation[Any]) -> None:
    """Take a kind of observation, and its columns, out of use again."""
    remove_columns(kind.columns)
    del OBSERVATIONS[kind.name]


for _kind in (
    *(Counts(), Tokens(), Votes(), NoAnswers(), TokenSpreads(), OutcomeTokens(), PromptTokens(), CutAttempts()),
    *(Aggregates(), Graded()),
):
    register(_kind)

__all__ = ["OBSERVATIONS", "Observation", "register", "unregister"]
