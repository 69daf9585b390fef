"""How many answers each tree search of a row wrote out, where a table does not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from ds3bayes.strategies import STRATEGIES

Array = np.ndarray


def searches_with_outputs(strategies: Sequence[str] | Array) -> Array:
    """Say for each name of a strategy whether it is a search that may write out several answers."""
    several = {
        name for name, cls in STRATEGIES.items() if cls.is_search and "outputs" in {one.name for one in fields(cls)}
    }
    return np.array([name in several for name in strategies], dtype=bool)


def fill_outputs(search: Array, attempts: Array, kept_states: Array, outputs: Array) -> Array:
    """Fill in the outputs of searches where they are blank.

    A row is one search, its attempts being the outputs, if it has no more of them than states are kept; where one state
    is kept a search has one output. Else it cannot be told, and they stay blank.

    Parameters
    ----------
    search : bool array, shape (row,)
        Whether a row is of a search that may write out several answers.
    attempts, kept_states, outputs : array, shape (row,)
        Columns of the table, NaN where blank.

    Returns
    -------
    array, shape (row,)
        NaN for rows of other strategies.
    """
    kept = np.where(np.isnan(kept_states), 1.0, kept_states)
    told = np.where(attempts <= kept, attempts, np.where(kept == 1.0, 1.0, np.nan))
    return np.where(np.isnan(outputs) & search, told, outputs)
