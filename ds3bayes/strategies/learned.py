"""Weights of votes as functions of what a fit learns: how wrong answers scatter, and how well a verifier tells."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from ds3bayes.deferred import pt, pytensor
from ds3bayes.strategies.base import Learned, Strategy
from ds3bayes.theory.evaluate import python_mode
from ds3bayes.theory.interpolate import interpolate, neighbours, padded
from ds3bayes.theory.selectors import bernstein, verifier_weights
from ds3bayes.theory.votes import (
    answered_plurality_weights,
    answered_plurality_weights_partition,
    answered_weights,
    plurality_weights_partition,
    weighted_vote_table,
    weighted_vote_table_partition,
    weighted_vote_weights_partition,
)

Tensor = Any

# Draws of which `answer_at_draws` holds all terms at the same time.
_DRAWS_AT_ONCE = 64
_LOG_CONCENTRATIONS = np.linspace(np.log(0.02), np.log(50.0), 17)
_GAPS = np.linspace(0.0, 5.0, 21)
_AGREEMENTS = np.linspace(0.0, 0.96, 13)
_NO_ANSWERS = np.linspace(0.0, 1.0, 17)


@lru_cache(maxsize=32)
def _plurality(n: int) -> np.ndarray:
    """Tabulate the weights of a vote, shape (concentration, n + 1), padded by one row at each end."""
    return padded(plurality_weights_partition(n, np.exp(_LOG_CONCENTRATIONS)))


@lru_cache(maxsize=32)
def _answered(n: int, wrong_shares: tuple[float, ...] | None) -> np.ndarray:
    """Tabulate the weights of a vote (no answer, n + 1), or (no answer, concentration, n + 1), padded in these axes."""
    if wrong_shares is not None:
        return padded(answered_plurality_weights(n, wrong_shares, _NO_ANSWERS))
    return padded(answered_plurality_weights_partition(n, np.exp(_LOG_CONCENTRATIONS), _NO_ANSWERS[:, None]), axes=2)


@lru_cache(maxsize=32)
def _weighted(n: int) -> np.ndarray:
    """Tabulate the weights of a weighted vote, shape (gap, concentration, n + 1), padded in both axes."""
    table = np.stack([weighted_vote_weights_partition(n, gap, np.exp(_LOG_CONCENTRATIONS)) for gap in _GAPS])
    return padded(table, axes=2)


@lru_cache(maxsize=32)
def _weighted_answered(n: int, wrong_shares: tuple[float, ...] | None) -> np.ndarray:
    """Tabulate the weights of a weighted vote, shape (gap, no answer[, concentration], n + 1), padded in these axes."""
    if wrong_shares is not None:
        of_gaps = [answered_weights(weighted_vote_table(n, gap, wrong_shares), _NO_ANSWERS) for gap in _GAPS]
        return padded(np.stack(of_gaps), axes=2)
    alpha = np.exp(_LOG_CONCENTRATIONS)
    of_gaps = [answered_weights(weighted_vote_table_partition(n, gap, alpha), _NO_ANSWERS[:, None]) for gap in _GAPS]
    return padded(np.stack(of_gaps), axes=3)


@lru_cache(maxsize=32)
def _chosen(n: int) -> np.ndarray:
    """Tabulate the weights of best-of-n, shape (gap, agreement, n + 1), padded in both axes."""
    table = verifier_weights(n, _GAPS[:, None], _AGREEMENTS)
    return padded(table, axes=2)


def vote_weights(n: int, concentration: Tensor, discrimination: Tensor | None = None) -> Tensor:
    """Probability that a vote is right given how many of its n attempts are.

    Parameters
    ----------
    n : int
        Number of attempts, 1..128.
    concentration : tensor, shape (...)
        Concentration of the Chinese restaurant process by which wrong answers agree; beyond [0.02, 50] its end.
    discrimination : tensor, shape (...), optional
        Gap of a verifier's scores between right and wrong attempts, in sds, by which votes are weighted; beyond
        5 it is 5. Without it all votes weigh the same.

    Returns
    -------
    tensor, shape (..., n + 1)
        Cubic (Catmull-Rom) interpolation of `plurality_weights_partition` or `weighted_vote_weights_partition`,
        within 1e-3 of them at n = 4 and 0.02 at n = 16 (a single weight; what a vote achieves is nearer).
    """
    column = neighbours(pt.log(concentration), _LOG_CONCENTRATIONS)
    if discrimination is None:
        return _between(_plurality(n), column)
    return _between(_weighted(n), neighbours(discrimination, _GAPS), column)


def answered_vote_weights(
    n: int,
    no_answer: Tensor,
    *,
    concentration: Tensor | None = None,
    wrong_shares: tuple[float, ...] | None = None,
    discrimination: Tensor | None = None,
) -> Tensor:
    """Probability that a vote is right given how many of its n attempts are, where others may give no answer.

    Parameters
    ----------
    n : int
        Number of attempts.
    no_answer : tensor, shape (...)
        Probability that an attempt that is not right gives no answer.
    concentration : tensor, shape (...), optional
        As for `vote_weights`.
    wrong_shares : tuple of float, optional
        Shares of the distinct wrong answers instead.
    discrimination : tensor, shape (...), optional
        Of a weighted vote, as for `vote_weights`.

    Returns
    -------
    tensor, shape (..., n + 1)
        Cubic (Catmull-Rom) interpolation of `answered_plurality_weights`, `answered_plurality_weights_partition` or, of
        a weighted vote, of `answered_weights`.
    """
    places = [neighbours(no_answer, _NO_ANSWERS)]
    if concentration is not None:
        wrong_shares = None
        places.append(neighbours(pt.log(concentration), _LOG_CONCENTRATIONS))
    if discrimination is None:
        return _between(_answered(n, wrong_shares), *places)
    return _between(_weighted_answered(n, wrong_shares), neighbours(discrimination, _GAPS), *places)


def chosen_weights(n: int, discrimination: Tensor, agreement: Tensor) -> Tensor:
    """Probability that best-of-n is right given how many of its n attempts are, as `verifier_weights` gives it.

    Parameters
    ----------
    n : int
    discrimination : tensor, shape (...)
        Beyond 5 it is 5.
    agreement : tensor, shape (...)
        Beyond 0.96 it is 0.96.

    Returns
    -------
    tensor, shape (..., n + 1)
        Cubic (Catmull-Rom) interpolation in a table.
    """
    return _between(_chosen(n), neighbours(discrimination, _GAPS), neighbours(agreement, _AGREEMENTS))


def _between(table: np.ndarray, *places: tuple[Tensor, Tensor]) -> Tensor:
    """Interpolate probabilities, shape (..., n + 1): a cubic may leave [0, 1] by its own error."""
    return pt.clip(interpolate(table, *places), 0.0, 1.0)


def of_cases(q: Tensor, weights: Tensor, own: bool) -> Tensor:
    """Success of a selector, or of k selectors whose weights are (k, n + 1), at the same q or each at its own."""
    if weights.ndim == 1:
        return bernstein(q, weights)
    return bernstein(q, pt.expand_dims(weights, tuple(range(1, 1 + np.ndim(q) - own))))


def answer_at_draws(strategy: Strategy, q: np.ndarray, learned: Learned) -> np.ndarray:
    """Evaluate `Strategy.answer_learned` at draws, each with its own success of attempts.

    Parameters
    ----------
    strategy : Strategy
    q : array, shape (draws, tasks)
    learned : Learned
        Arrays of shape (draws, 1).

    Returns
    -------
    array, shape (draws, tasks)
    """
    given = {field.name: getattr(learned, field.name) for field in fields(learned)}
    columns = {name: np.broadcast_to(values, (len(q), 1))[:, 0] for name, values in given.items() if values is not None}
    symbols = {name: pt.vector(name) for name in columns}
    rows = pt.matrix("q")
    answer = strategy.answer_learned(rows, Learned(**symbols), q_of_cases=True)
    function = pytensor.function([rows, *symbols.values()], answer, mode=python_mode(), on_unused_input="ignore")
    # In parts, so that what selectors make of every draw and task stays small.
    parts = range(0, len(q), _DRAWS_AT_ONCE)
    return np.concatenate(
        [function(*(values[start : start + _DRAWS_AT_ONCE] for values in (q, *columns.values()))) for start in parts]
    )
