"""Rows of a table of evaluations as strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ds3bayes.strategies import STRATEGIES, AttemptStrategy, Strategy
from ds3bayes.strategies.attempts import single_attempt


def row_strategy(row: Mapping[str, Any]) -> Strategy:
    """Return the strategy of a row of a table, one attempt or decision of it.

    Parameters
    ----------
    row : mapping
        By column.

    Raises
    ------
    InputError
        If the row does not give what the strategy needs.
    """
    return STRATEGIES[row["strategy"]].from_row(row)


def selects(strategy: str) -> bool:
    """Whether each attempt of a strategy is itself a decision over `n_samples` walks."""
    return issubclass(STRATEGIES[strategy], AttemptStrategy)


def searches(strategies: pd.Series) -> pd.Series:
    """Say for each row, by its strategy, whether its attempts are outputs of a search over steps."""
    return strategies.isin([name for name, cls in STRATEGIES.items() if cls.is_search])


def attempts_alone(strategies: pd.Series) -> pd.Series:
    """Say for each row, by its strategy, whether its attempts are single walks that nothing selects among."""
    return strategies.isin([name for name in STRATEGIES if single_attempt(name)])


def group_of(value: Any) -> str:
    """Write what a column says of a task as the name of a group: numbers as short as can be, blanks as nothing."""
    return value if isinstance(value, str) else "" if np.isnan(value) else f"{value:g}"


def sampler_of_rows(strategy: str) -> str:
    """Return the sampler that the attempts of a strategy's rows come from."""
    cls = STRATEGIES[strategy]
    # A table has no column for it: attempts that are selected among are those of the default sampler.
    return cls.sampler if issubclass(cls, AttemptStrategy) else strategy


def runs_of(rows: pd.DataFrame) -> np.ndarray:
    """Return how many attempts rows have, or searches, each of which wrote out some of the attempts, shape (row,)."""
    attempts = rows["attempts"].to_numpy(dtype=float)
    return attempts / rows["outputs"].fillna(1.0).to_numpy()


def finished_tokens(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean tokens of the attempts that finished, NaN where not given, and their number, shape (row,)."""
    finished = rows["finished"].to_numpy(dtype=float)
    if "tokens_mean" not in rows:
        return np.full(len(rows), np.nan), finished
    mean = rows["tokens_mean"].to_numpy(dtype=float)
    if not rows["cut"].any():
        return mean, finished
    cut, budget = rows["truncated"].to_numpy(dtype=float), rows["max_tokens"].to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = (mean * rows["attempts"].to_numpy(dtype=float) - cut * budget) / finished
    # Budgets are not kept to the token: what is left over for the others may be off.
    return np.where(rows["cut"] & (cut > 0), np.clip(rest, 1.0, budget), mean), finished
