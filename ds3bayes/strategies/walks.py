"""Walks along paths of skills, one step at a time, and how their wrong answers agree: no closed form is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ds3bayes.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TRUNCATED, SOLVED, WRONG = 0, 1, 2

#: A path that never ends, which is what an unreachable skill makes of it.
ENDLESS = np.iinfo(np.int64).max

# Walks handled together: few enough for their arrays to stay in the processor's cache.
_BLOCK = 1 << 15

#: Given the task of each wrong attempt, returns which of that task's wrong answers each one gives.
WrongAnswers = Callable[[Ints, np.random.Generator], Ints]


@dataclass(frozen=True, kw_only=True)
class Walks:
    """How walks ended.

    Parameters
    ----------
    outcome : numpy.ndarray of int8
        `TRUNCATED` (0), `SOLVED` (1) or `WRONG` (2), one per walk.
    steps : numpy.ndarray of int64
        Steps taken, at most the budget.
    """

    outcome: NDArray[np.int8]
    steps: Ints


def walk(
    rho: ArrayLike,
    pace: ArrayLike,
    path_length: ArrayLike,
    budget_steps: ArrayLike | None,
    rng: np.random.Generator,
) -> Walks:
    """Walk paths of skills step by step, until solved, wrong or out of budget.

    At each step the current unit of work finishes with probability ``pace``; what finished is the next skill
    with probability ``rho`` and a wrong answer otherwise.

    Parameters
    ----------
    rho : array_like
        Probability in [0, 1] that a finished unit completes the skill, r / (r + h). All four broadcast
        together.
    pace : array_like
        Probability in (0, 1] that a step finishes its unit, r + h.
    path_length : array_like of int
        Skills on the path, >= 1; `ENDLESS` for a path whose end cannot be reached.
    budget_steps : array_like of int or None
        Most steps of a walk, >= 0; None for no limit, which needs walks that end: no `ENDLESS` path with rho
        = 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Walks
        Arrays of the broadcast shape. A walk that ends at its very last step is not truncated.

    Raises
    ------
    InputError
        If a value is out of range or a walk could never end.
    """
    unlimited = ENDLESS if budget_steps is None else budget_steps
    rhos, paces, lengths, budgets = np.broadcast_arrays(
        np.asarray(rho, dtype=np.float64),
        np.asarray(pace, dtype=np.float64),
        np.asarray(path_length, dtype=np.int64),
        np.asarray(unlimited, dtype=np.int64),
    )
    faults = []
    if not ((rhos >= 0) & (rhos <= 1)).all():
        faults.append("rho: allowed: probabilities in [0, 1]")
    if not ((paces > 0) & (paces <= 1)).all():
        faults.append("pace: allowed: probabilities in (0, 1]")
    if not (lengths >= 1).all():
        faults.append("path_length: allowed: integers >= 1")
    if not (budgets >= 0).all():
        faults.append("budget_steps: allowed: integers >= 0")
    if ((lengths == ENDLESS) & (rhos >= 1) & (budgets == ENDLESS)).any():
        faults.append("a walk without budget, end and wrong answers never stops; give budget_steps")
    if faults:
        raise InputError.of_faults("walk", faults)

    shape = rhos.shape
    rhos, paces, lengths, budgets = (np.ravel(array) for array in (rhos, paces, lengths, budgets))
    outcome = np.zeros(rhos.size, dtype=np.int8)
    steps = np.zeros(rhos.size, dtype=np.int64)
    for start in range(0, rhos.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        _walk_block(rhos[block], paces[block], lengths[block], budgets[block], outcome[block], steps[block], rng)
    return Walks(outcome=outcome.reshape(shape), steps=steps.reshape(shape))


def _walk_block(
    rho: Floats,
    pace: Floats,
    path_length: Ints,
    budget: Ints,
    outcome: NDArray[np.int8],
    steps: Ints,
    rng: np.random.Generator,
) -> None:
    """Walk, writing to ``outcome`` and ``steps``; arrays of the walks still going shrink as walks end."""
    going = np.flatnonzero(budget > 0)
    advance, finish = (rho * pace)[going], pace[going]
    left, budget = path_length[going], budget[going]
    step = 0
    while going.size:
        step += 1
        # One draw decides: below r the skill is completed, from r to r + h the answer is wrong.
        draw = rng.random(going.size)
        advanced = draw < advance
        left = left - advanced
        solved = left == 0
        wrong = (draw < finish) & ~advanced
        ended = solved | wrong | (budget == step)
        if ended.any():
            done = going[ended]
            steps[done] = step
            outcome[done] = np.where(solved[ended], SOLVED, np.where(wrong[ended], WRONG, TRUNCATED))
            keep = ~ended
            going, advance, finish, left, budget = (array[keep] for array in (going, advance, finish, left, budget))


class Restaurant:
    """Wrong answers that agree by one Chinese restaurant process per task.

    The i-th wrong attempt at a task gives a new answer with probability a / (a + i - 1) and otherwise repeats
    the answer of one of the attempts before, each equally likely. An instance remembers the answers it gave,
    so that several strategies meet the same wrong answers of a task.

    Parameters
    ----------
    concentration : float
        a >= 0; 0 makes all wrong answers of a task the same.
    """

    def __init__(self, concentration: float) -> None:
        self._concentration = concentration
        self._tasks: Ints = np.empty(0, dtype=np.int64)
        self._answers: Ints = np.empty(0, dtype=np.int64)

    def __call__(self, tasks: Ints, rng: np.random.Generator) -> Ints:
        """Answer of each wrong attempt, as a number that no other answer of any task has."""
        known = self._tasks.size
        groups = np.concatenate([self._tasks, tasks])
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=-1) != 0)
        begin = np.repeat(starts, np.diff(starts, append=groups.size))
        place = np.empty(groups.size, dtype=np.int64)
        place[order] = np.arange(groups.size)
        first, rank = begin[place], place - begin[place]
        opens = (rank == 0) | (rng.random(groups.size) * (self._concentration + rank) < self._concentration)
        friend = order[first + np.floor(rng.random(groups.size) * rank).astype(np.int64)]
        table = np.where(opens, np.arange(groups.size), friend)
        table[:known] = self._answers
        # Follow friends of friends until all point to the one who gave their answer first.
        while True:
            further = table[table]
            if np.array_equal(further, table):
                break
            table = further
        self._tasks, self._answers = groups, table
        return table[known:]


def shared_wrong_answers(shares: Sequence[float]) -> WrongAnswers:
    """Return wrong answers that every task shares out alike: answer j with probability ``shares[j]``."""
    cumulative = np.cumsum(shares)

    def draw(tasks: Ints, rng: np.random.Generator) -> Ints:
        return np.searchsorted(cumulative, rng.random(tasks.size) * cumulative[-1], side="right").astype(np.int64)

    return draw


def plurality(
    outcome: NDArray[np.int8], answers: Ints, rng: np.random.Generator, weights: Floats | None = None
) -> Bools:
    """Return whether the right answer has the most votes, ties broken at random.

    Parameters
    ----------
    outcome : numpy.ndarray of int8, shape (..., n)
        Outcomes of the attempts; truncated ones do not vote.
    answers : numpy.ndarray of int64, shape (..., n)
        Which wrong answer an attempt gave; read where the outcome is `WRONG`.
    rng : numpy.random.Generator
    weights : numpy.ndarray of float64, shape (..., n), optional
        Weight of each vote; 1 if absent.

    Returns
    -------
    numpy.ndarray of bool, shape (...)
    """
    shape, n = outcome.shape[:-1], outcome.shape[-1]
    outcome, answers = outcome.reshape(-1, n), answers.reshape(-1, n)
    votes = np.ones(outcome.shape) if weights is None else weights.reshape(-1, n)
    decisions = outcome.shape[0]
    right = (votes * (outcome == SOLVED)).sum(axis=1)
    decision, attempt = np.nonzero(outcome == WRONG)
    pairs = np.stack([decision, answers[decision, attempt]], axis=1)
    rivals, member = np.unique(pairs, axis=0, return_inverse=True)
    totals = np.bincount(member.reshape(-1), weights=votes[decision, attempt], minlength=len(rivals))
    leader = np.zeros(decisions)
    np.maximum.at(leader, rivals[:, 0], totals)
    tied = np.bincount(rivals[totals == leader[rivals[:, 0]], 0], minlength=decisions)
    lucky = rng.random(decisions) * (1 + tied) < 1
    voted = (outcome == SOLVED).any(axis=1)
    return ((voted & (right > leader)) | (voted & (right == leader) & lucky)).reshape(shape)
