"""Rows of a table of evaluations as strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ds3bayes.strategies import STRATEGIES, AttemptStrategy, Strategy, TreeOfThought
from ds3bayes.strategies.base import LearnedVerifier, as_verifier


def row_strategy(row: Mapping[str, Any]) -> Strategy:
    """Return the strategy of a row of a table, one attempt or decision of it.

    Parameters
    ----------
    row : mapping
        By column. A verifier that is neither ``oracle`` nor ``noisy(d=...)`` is one to be learned, by its name.

    Raises
    ------
    InputError
        If the row does not give what the strategy needs.
    """
    name = row["strategy"]
    fields: dict[str, Any] = {"effort": row["effort"] or None}
    for column in ("budget_tokens", "max_tokens"):
        if not np.isnan(row[column]):
            fields[column] = int(row[column])
    if name == TreeOfThought.name:
        fields["branching"] = int(row["branching"])
        if not np.isnan(row["kept_states"]):
            fields["kept_states"] = int(row["kept_states"])
    elif selects(name) and name in ("best_of_n", "majority", "pass_power", "weighted_best_of_n"):
        fields["n"] = int(row["n_samples"])
    if name in ("best_of_n", "weighted_best_of_n"):
        text = row["verifier"]
        known = text.split("(")[0] in ("oracle", "noisy")
        fields["verifier"] = as_verifier(text) if known else LearnedVerifier(text)
    return STRATEGIES[name](**fields)


def selects(strategy: str) -> bool:
    """Whether each attempt of a strategy is itself a decision over `n_samples` walks."""
    return issubclass(STRATEGIES[strategy], AttemptStrategy)
