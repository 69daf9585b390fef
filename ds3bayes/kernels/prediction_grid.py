"""Success and steps of many strategies at many budgets, means over tasks, from tables: in C, or in NumPy without it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray

# As in prediction_grid.c.
_GROUP = 4
# Slices of draws for each thread: one that is held up does not hold up all.
_SLICES = 4


class GridInputs(NamedTuple):
    """What a grid is computed from: N draws of T tasks, M path lengths, P nodes, K budgets, J points, S strategies.

    Parameters
    ----------
    attempt : array, shape (N, T)
        Success of an attempt that ends by itself.
    position : array, shape (N, T)
        Where each task's tokens stand among the nodes of the tables, 0 for the first.
    place : array, shape (N,) or (T,)
        Where the path length of a draw or of a task stands among those of the tables; of tasks a whole number.
    one_length : bool
        Whether all tasks of a draw have the same path length, that is, whether ``place`` is of draws.
    forced : array, shape (N,)
        Success of an attempt that is cut, as a share of that of one that ends by itself.
    answers : array, shape (1 or N, J, S), float32
        Success of strategies at the points of an attempt's success: (j / (J - 1)) ** 2 * 2 up to 1/2, the same from 1
        downward above.
    finished, spent : array, shape (M, P, K)
        Chance that an attempt ends within a budget, and its expected steps.
    """

    attempt: Array
    position: Array
    place: Array
    one_length: bool
    forced: Array
    answers: Array
    finished: Array
    spent: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Draws, budgets, strategies."""
        return len(self.attempt), self.finished.shape[2], self.answers.shape[2]


class GridTask(ctypes.Structure):
    """A slice of the draws and where arrays are, as in prediction_grid.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("first", "stop", "tasks", "lengths", "nodes", "budgets", "points")),
        *((name, ctypes.c_int64) for name in ("strategies", "one_length", "own_answers")),
        *((name, ctypes.c_void_p) for name in ("attempt", "position", "place", "forced", "answers")),
        *((name, ctypes.c_void_p) for name in ("finished", "spent", "success", "steps", "scratch")),
    )


def fill_grid(inputs: GridInputs, library: ctypes.CDLL | None, threads: int = 1) -> tuple[Array, Array]:
    """Return success (N, K, S) and steps of an attempt (N, K), means over tasks.

    Parameters
    ----------
    inputs : GridInputs
    library : ctypes.CDLL, optional
        With the compiled kernel; without it NumPy does the same, some times slower.
    threads : int, default 1
        How many share the draws; with 1 it all runs in the caller's.
    """
    draws, budgets, strategies = inputs.shape
    success, steps = np.empty((draws, budgets, strategies)), np.empty((draws, budgets))
    held = _in_c_order(inputs)

    def fill(part: slice) -> None:
        if library is not None:
            _fill_by_kernel(library, held, part, success, steps)
        else:
            for draw in range(part.start, part.stop):
                success[draw], steps[draw] = _of_draw(held, draw)

    if threads == 1:
        fill(slice(0, draws))
    else:
        with ThreadPoolExecutor(threads) as pool:
            # The list raises what a thread raised.
            list(pool.map(fill, _slices(draws, threads * _SLICES)))
    return success, steps


def _slices(draws: int, most: int) -> Iterator[slice]:
    ends = np.unique(np.linspace(0, draws, most + 1).astype(int))
    for first, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        yield slice(first, stop)


def _in_c_order(inputs: GridInputs) -> GridInputs:
    """Give arrays the types and order that the kernel reads."""
    arrays: dict[str, Any] = {
        name: np.ascontiguousarray(value, np.float32 if name == "answers" else np.float64)
        for name, value in inputs._asdict().items()
        if name != "one_length"
    }
    return inputs._replace(**arrays)


def _fill_by_kernel(library: ctypes.CDLL, inputs: GridInputs, part: slice, success: Array, steps: Array) -> None:
    lengths, nodes, budgets = inputs.finished.shape
    rows, points, strategies = inputs.answers.shape
    padded = -(-strategies // _GROUP) * _GROUP
    # Tables of one path length, sums, shares; half as wide: answers, rows.
    tables = 2 * nodes * budgets if inputs.one_length else 0
    scratch = np.empty(tables + budgets * (padded + 1) + (points * padded + budgets + 1) // 2)
    arrays = {name: value.ctypes.data for name, value in inputs._asdict().items() if name != "one_length"}
    task = GridTask(
        first=part.start,
        stop=part.stop,
        tasks=inputs.attempt.shape[1],
        lengths=lengths,
        nodes=nodes,
        budgets=budgets,
        points=points,
        strategies=strategies,
        one_length=bool(inputs.one_length),
        own_answers=rows > 1,
        success=success.ctypes.data,
        steps=steps.ctypes.data,
        scratch=scratch.ctypes.data,
        **arrays,
    )
    kernel = library.ds3_prediction_grid
    kernel.argtypes, kernel.restype = [ctypes.POINTER(GridTask)], None
    kernel(ctypes.byref(task))


def _of_draw(inputs: GridInputs, draw: int) -> tuple[Array, Array]:
    """Success (K, S) and steps (K,) of one draw: what the kernel does, in NumPy."""
    attempt, position = inputs.attempt[draw], inputs.position[draw]
    nodes = inputs.finished.shape[1]
    first = _first_of(4, position, nodes)
    weight = _through(4, position - first)
    around = first[:, None] + np.arange(4)
    if inputs.one_length:
        finished, spent = (_blended(tables, inputs.place[draw])[around] for tables in (inputs.finished, inputs.spent))
    else:
        length = _whole_below(inputs.place, len(inputs.finished) - 1)[:, None]
        finished, spent = (tables[length, around] for tables in (inputs.finished, inputs.spent))
    steps = np.einsum("tn,tnk->k", weight, spent) / attempt.size
    ends = np.einsum("tn,tnk->tk", weight, finished)
    right = np.clip(attempt[:, None] * (ends + (1.0 - ends) * inputs.forced[draw]), 0.0, 1.0)

    table = inputs.answers[draw if len(inputs.answers) > 1 else 0]
    near = np.sqrt(0.5 * np.minimum(right, 1.0 - right))
    place = np.where(right < 0.5, near, 1.0 - near) * (len(table) - 1)
    # A task that never succeeds is at the first point.
    place[attempt <= 0.0] = 0.0
    row = _whole_below(place, len(table) - 2)
    # A strategy at a time: an array of tasks, budgets and strategies would be large.
    success = [(one[row] + (place - row) * (one[row + 1] - one[row])).mean(axis=0) for one in table.T]
    return np.stack(success, axis=-1), steps


def _whole_below(x: Array, most: int) -> Array:
    """Whole numbers from 0 to a largest: the one below x where that is between, 0 for NaN."""
    return np.clip(np.where(np.isnan(x), 0.0, x), 0, most).astype(np.int64)


def _first_of(count: int, position: Array, nodes: int) -> Array:
    """Return the first of the nearest nodes around positions, of which there are at least so many."""
    return _whole_below(position - 1.0, nodes - count)


def _through(count: int, x: Array) -> Array:
    """Weights of nodes 0, 1, ... for values at x (...): of the polynomial through them, (..., count)."""
    others = [[j for j in range(count) if j != i] for i in range(count)]
    return np.stack([np.prod([(x - j) / (i - j) for j in others[i]], axis=0) for i in range(count)], axis=-1)


def _blended(tables: Array, place: float) -> Array:
    """Table (P, K) of a path length between those of the tables (M, P, K)."""
    count = min(len(tables), 4)
    first = int(_first_of(count, np.asarray(place), len(tables)))
    return np.tensordot(_through(count, np.asarray(place - first)), tables[first : first + count], axes=1)
