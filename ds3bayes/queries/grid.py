"""`predict_grid`: success and cost of many strategies at many token budgets, fast and in little memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from ds3bayes.cluster import workers
from ds3bayes.engine.library import MachineError, load
from ds3bayes.errors import InputError
from ds3bayes.generative.design import Arm
from ds3bayes.kernels.prediction_grid import GridInputs, fill_grid
from ds3bayes.progress import doing
from ds3bayes.queries.predict import View, as_dataset, expand
from ds3bayes.strategies import Strategy, parse_strategy
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.path import finish_within, mean_steps_within

Array = np.ndarray

#: Success of a grid is within this of what `predict` gives, and tokens within this share of theirs.
TOLERANCE = 2e-4
# Nodes in log tokens, in log path length and in success of an attempt: at first, and after each refinement.
_NODES = ((192, 10, 1025), (384, 20, 2049), (768, 20, 2049))
# A chunk of draws holds about this many (draw, task) pairs, some 60 bytes each.
_PAIRS = 200_000
_CHECKED_DRAWS, _CHECKED_BUDGETS = 6, 12
# Cores that this process may use; before Python 3.13 those of the machine.
_cores: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)


def predict_grid(
    fit: xr.DataTree,
    strategies: Sequence[Strategy | str],
    budgets: Sequence[int],
    *,
    tasks: Literal["observed", "new"] | Sequence[str] = "observed",
    new_tasks: int = 256,
    seed: int = 0,
    scheduler: str | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Predict success and cost of every strategy at every token budget.

    The same numbers as `predict` for each pair, made for thousands of pairs: the chance that a path is finished
    within a budget, and what a selector makes of attempts, are tabulated once and interpolated for each task of
    each draw. How far that is from the exact numbers is measured on a sample of draws and budgets: tables are
    refined until success is within 0.0002 and tokens within 0.02 %, where that fails the formulas themselves are
    used, and ``attrs["largest_error"]`` holds the larger of what was measured.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    strategies : sequence of Strategy or str
        Without ``max_tokens``; repeated attempts (chain of thought, best-of-n, votes) are fast, others are predicted
        one by one.
    budgets : sequence of int
        Cuts: tokens after which an attempt ends, at least one step each.
    tasks : {"observed", "new"} or sequence of str, default "observed"
    new_tasks, seed : int
        As for `predict`.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``, whose workers have this package; draws are
        spread over them. Needs the extra ``distributed``. Without it all cores of this machine are used.
    progress : bool, default False
        Show how far it is.

    Returns
    -------
    xarray.Dataset
        As from `predict`: dims (chain, draw, model, benchmark, strategy), the strategy's label including its cut,
        with coordinates ``family`` (label without the cut) and ``max_tokens`` along ``strategy``. `best`,
        `cheapest` and `frontier` take it. ``usd`` that depends on prompts, FLOP with attention
        and ``truncated`` do not follow from mean tokens and are absent; `predict` has them.

    Raises
    ------
    InputError
        If a budget is not a whole number, a strategy has a cut already, or cannot be predicted from this fit; if the
        cluster has no scheduler, no worker or other versions.
    ImportError
        If ``scheduler`` is given and Dask is not installed.
    """
    parsed = [parse_strategy(one) if isinstance(one, str) else one for one in strategies]
    wanted = _checked(parsed, budgets)
    view = View.of(fit, tasks, True, new_tasks, seed)
    families: dict[str, tuple[str, int]] = {}
    chosen: dict[str, dict[Arm, Strategy]] = {}
    jobs: dict[Arm, list[tuple[str, Strategy]]] = {}
    for strategy in parsed:
        for budget in wanted:
            for label, arms in expand(view, [replace(strategy, max_tokens=budget)]).items():
                chosen.setdefault(label, {}).update(arms)
                for arm, set_strategy in arms.items():
                    families[label] = (str(replace(set_strategy, max_tokens=None)), budget)
                    jobs.setdefault(arm, []).append((label, set_strategy))
    labels = list(families)
    places = {label: place for place, label in enumerate(labels)}
    # Draws last while it is filled, so that a column lies in one piece.
    shape = (len(view.models), len(view.design.benchmarks), len(labels), view.samples)
    found: dict[str, Array] = {}
    absent: dict[str, str] = {}
    error = 0.0

    def put(name: str, arm: Arm, label: str, values: Array) -> None:
        if name not in found:
            found[name] = np.full(shape, np.nan)
        found[name][(*view.place(arm), places[label])] = values

    total = sum(len(pairs) for pairs in jobs.values()) * view.samples
    with workers(scheduler) as spread, doing("predicting", total, unit="predictions", show=progress) as told:
        # A worker fills a chunk in each of its threads; here one chunk takes all cores.
        fill = partial(_fill, threads=(_cores() or 1) if scheduler is None else 1)
        for arm, pairs in jobs.items():
            cut = [pair for pair in pairs if _is_cut(pair[1], arm)]
            sheet = _Sheet.of(view, arm, [strategy for _, strategy in cut]) if cut else None
            if sheet is None or sheet.error > TOLERANCE:
                # Paths of thousands of skills end so sharply that no table holds them.
                cut, sheet = [], None
            for label, strategy in pairs:
                if sheet is not None and _is_cut(strategy, arm):
                    continue
                quantities, reasons = view.evaluate(strategy, arm)
                absent |= reasons
                # Tables do not hold the share that is cut, so that no part of a grid has it.
                quantities.pop("truncated", None)
                for name, (values, _) in quantities.items():
                    put(name, arm, label, values.mean(axis=1))
                told(told.done + view.samples)
            if sheet is None:
                continue
            error = max(error, sheet.error)
            filled = sheet.fill(partial(spread, fill))
            success, tokens = sheet.empty()
            for rows, (some_success, some_tokens) in filled:
                success[rows], tokens[rows] = some_success, some_tokens
                told(told.done + len(cut) * (rows.stop - rows.start))
            index = view.design.arms.index(arm)
            curved = view.curved_costs(index)
            for label, strategy in cut:
                column = sheet.budgets.index(strategy.max_tokens or 0)
                put("success", arm, label, success[:, column, sheet.families.index(_family(strategy))])
                costs, reasons = view.costs_of_attempts(strategy, index, tokens[:, column, None])
                absent |= reasons | {name: why for name, why in curved.items() if name in costs}
                for name, values in costs.items():
                    if name not in curved:
                        put(name, arm, label, values[:, 0])
    drawn = {name: np.moveaxis(values, -1, 0) for name, values in found.items()}
    return _dataset(view, drawn, absent, chosen, families, error)


def _checked(strategies: Sequence[Strategy], budgets: Sequence[int]) -> list[int]:
    faults = [
        f"{strategy}: has a cut of its own; leave max_tokens out, the grid's budgets take its place"
        for strategy in strategies
        if strategy.max_tokens is not None
    ]
    faults += [
        f"budget {budget!r}: must be a whole number of tokens, at least 1"
        for budget in budgets
        if isinstance(budget, bool) or budget != int(budget) or budget < 1
    ]
    if not len(strategies) or not len(budgets):
        faults.append("give at least one strategy and one budget")
    if faults:
        raise InputError.of_faults("predict_grid", faults)
    return sorted({int(budget) for budget in budgets})


def _is_cut(strategy: Strategy, arm: Arm) -> bool:
    """Whether a fixed number of attempts is cut elsewhere than the arm was observed to be."""
    return not (strategy.is_search or strategy.random_units) and strategy.max_tokens != arm.max_tokens


def _family(strategy: Strategy) -> Strategy:
    return replace(strategy, max_tokens=None)


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the kernel interpolates in; P nodes of log tokens, M of path length, K budgets, S strategies, J of success.

    Parameters
    ----------
    finished : array, shape (M, P, K)
        Probability that a path is finished within a budget.
    spent : array, shape (M, P, K)
        Expected steps within a budget.
    answers : array, shape (1 or draws, J, S), float32
        Success of each strategy at the nodes of an attempt's success; see `_position`.
    start, spacing : float
        Of the nodes of log tokens.
    """

    finished: Array
    spent: Array
    answers: Array
    start: float
    spacing: float


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """One arm's strategies at their budgets, ready to be filled in."""

    families: list[Strategy]
    budgets: list[int]
    success: Array
    log_tokens: Array
    length: Array
    forced: Array
    tables: Tables
    lengths: Array
    tokens_per_step: float
    error: float

    @classmethod
    def of(cls, view: View, arm: Arm, strategies: Sequence[Strategy]) -> _Sheet:
        """Prepare what the kernel needs, with tables fine enough."""
        index = view.design.arms.index(arm)
        families = list(dict.fromkeys(_family(strategy) for strategy in strategies))
        budgets = sorted({int(strategy.max_tokens or 0) for strategy in strategies})
        omega = view.design.tokens_per_step
        if budgets[0] < omega:
            raise InputError(f"budget {budgets[0]}: a budget must allow at least one step, {omega:g} tokens")
        q, tokens, length, forced = view.attempts(strategies[0], arm)
        rng = np.random.default_rng([view.seed, 9, index])
        draws = np.sort(rng.choice(view.samples, min(_CHECKED_DRAWS, view.samples), replace=False))
        columns = np.unique(np.linspace(0, len(budgets) - 1, min(_CHECKED_BUDGETS, len(budgets))).astype(int))
        exact = _exact(view, index, families, np.array(budgets)[columns], draws, q, tokens, length, forced)
        for nodes in _NODES:
            lengths = _length_nodes(length, nodes[1])
            sheet = cls(
                families=families,
                budgets=budgets,
                success=q,
                log_tokens=np.log(tokens),
                length=length,
                forced=forced,
                tables=_tables(view, index, families, budgets, tokens, lengths, nodes),
                lengths=lengths,
                tokens_per_step=omega,
                error=np.inf,
            )
            filled = _fill(sheet._arrays(draws)._asdict(), {}, threads=_cores() or 1)
            success, steps = (values[:, columns] for values in filled)
            errors = np.abs(success - exact[0]).max(), np.abs(steps / exact[1] - 1.0).max()
            sheet = replace(sheet, error=float(max(errors)))
            if sheet.error <= TOLERANCE:
                break
        return sheet

    def _arrays(self, rows: Array | slice) -> GridInputs:
        """Return what the kernel needs for some draws."""
        t = self.tables
        answers = t.answers if len(t.answers) == 1 else t.answers[rows]
        position = (self.log_tokens[rows] - t.start) / t.spacing
        one_length = self.length.shape[0] > 1
        if one_length:
            place = np.interp(np.log(self.length[rows, 0]), np.log(self.lengths), np.arange(self.lengths.size))
        else:
            place = np.searchsorted(self.lengths, self.length[0]).astype(float)
        return GridInputs(
            attempt=self.success[rows],
            position=position,
            place=place,
            one_length=one_length,
            forced=self.forced[rows, 0],
            answers=answers,
            finished=t.finished,
            spent=t.spent,
        )

    def empty(self) -> tuple[Array, Array]:
        """Room for success (samples, K, S) and mean tokens of an attempt (samples, K)."""
        shape = (len(self.success), len(self.budgets), len(self.families))
        return np.empty(shape), np.empty(shape[:2])

    def fill(self, run: Callable[..., Iterator[tuple[int, Any]]]) -> Iterator[tuple[slice, tuple[Array, Array]]]:
        """Yield success and mean tokens of an attempt, chunks of draws as they come."""
        samples, tasks = self.success.shape
        size = max(1, _PAIRS // tasks)
        parts = [slice(first, min(first + size, samples)) for first in range(0, samples, size)]
        budgets = np.array(self.budgets, dtype=float)
        # The tables are the same for all chunks, and so are answers that do not depend on what a fit learned.
        names = ["finished", "spent", *(["answers"] if len(self.tables.answers) == 1 else [])]
        shared = {name: getattr(self.tables, name) for name in names}
        arrays = (self._arrays(part)._asdict() for part in parts)
        chunks = ({name: one for name, one in chunk.items() if name not in shared} for chunk in arrays)
        for number, (success, steps) in run(chunks, shared=shared):
            yield parts[number], (success, np.minimum(steps * self.tokens_per_step, budgets))


def _length_nodes(length: Array, most: int) -> Array:
    """Path lengths of the tables: those that occur, if each task has a known one, else nodes over their range."""
    if length.shape[0] == 1:
        return np.unique(length)
    low, high = float(length.min()), float(length.max())
    if low == high:
        return np.array([low])
    return np.geomspace(low, high, most)


def _tables(
    view: View,
    index: int,
    families: Sequence[Strategy],
    budgets: Sequence[int],
    tokens: Array,
    lengths: Array,
    nodes: tuple[int, int, int],
) -> Tables:
    omega = view.design.tokens_per_step
    low, high = np.log(tokens.min()), np.log(tokens.max())
    x = np.linspace(low, max(high, low + 1e-6), nodes[0])
    pace = np.minimum(lengths[:, None, None] * omega / np.exp(x)[None, :, None], 1.0)
    shape = (lengths.size, x.size, len(budgets))
    steps, length, pace = (
        np.broadcast_to(values, shape) for values in (np.array(budgets) / omega, lengths[:, None, None], pace)
    )
    grid = _attempt_success(nodes[2])
    answers = [_answers(view, strategy, index, grid) for strategy in families]
    rows = max(len(one) for one in answers)
    return Tables(
        finished=evaluate(finish_within, steps, length, pace, core=(0, 0, 0), block=1 << 18),
        spent=evaluate(mean_steps_within, steps, length, pace, core=(0, 0, 0), block=1 << 18),
        answers=np.stack([np.broadcast_to(one, (rows, grid.size)) for one in answers], axis=2),
        start=float(x[0]),
        spacing=float(x[1] - x[0]),
    )


def _attempt_success(nodes: int) -> Array:
    """Nodes of an attempt's success, dense at both ends, where many attempts tell small differences apart."""
    u = np.linspace(0.0, 1.0, nodes)
    return np.where(u < 0.5, 2.0 * u**2, 1.0 - 2.0 * (1.0 - u) ** 2)


def _answers(view: View, strategy: Strategy, index: int, grid: Array) -> Array:
    """Success of a strategy at the nodes, (1, J), or (draws, J) where it depends on what a fit learned."""
    q = np.broadcast_to(grid, (view.samples if strategy.depends_on else 1, grid.size))
    return np.asarray(view.answer(strategy, q, index), dtype=np.float32)


def _exact(
    view: View,
    index: int,
    families: Sequence[Strategy],
    budgets: Array,
    draws: Array,
    q: Array,
    tokens: Array,
    length: Array,
    forced: Array,
) -> tuple[Array, Array]:
    """Success (draws, K, S) and steps (draws, K) of some draws by the formulas themselves."""
    omega = view.design.tokens_per_step
    pace = np.minimum(length * omega / tokens, 1.0)[draws]
    length = np.broadcast_to(length, tokens.shape)[draws]
    result = np.empty((draws.size, budgets.size, len(families)))
    walked = np.empty(result.shape[:2])
    for column, budget in enumerate(budgets):
        steps = np.full(pace.shape, budget / omega)
        finished = evaluate(finish_within, steps, length, pace)
        walked[:, column] = evaluate(mean_steps_within, steps, length, pace).mean(axis=1)
        right = q[draws] * (finished + (1.0 - finished) * forced[draws])
        for row, strategy in enumerate(families):
            result[:, column, row] = view.answer(strategy, right, index, draws).mean(axis=1)
    return result, walked


def _machine() -> ctypes.CDLL | None:
    """Return the compiled kernels, or None where they cannot be loaded: NumPy then does their work."""
    try:
        return load()
    except MachineError:
        return None


def _fill(chunk: Mapping[str, Any], shared: Mapping[str, Any], threads: int) -> tuple[Array, Array]:
    """Run the kernel on the inputs of a chunk and those of all chunks."""
    return fill_grid(GridInputs(**chunk, **shared), _machine(), threads=threads)


def _dataset(
    view: View,
    found: dict[str, Array],
    absent: dict[str, str],
    chosen: Mapping[str, Mapping[Arm, Strategy]],
    families: dict[str, tuple[str, int]],
    error: float,
) -> xr.Dataset:
    pred = as_dataset(view, found, absent, chosen, None)
    pred.attrs["largest_error"] = error
    family, budget = zip(*families.values(), strict=True)
    return pred.assign_coords(
        family=("strategy", np.array(family, dtype=object)),
        max_tokens=("strategy", np.array(budget), {"units": "tokens", "long_name": "cut of an attempt"}),
    )
