"""`strategy_laws`: what the theory says that strategies succeed at and cost, as a labelled table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.strategies.attempts import RepeatedSampling
from ds3bayes.strategies.base import Strategy
from ds3bayes.strategies.task import ARRAYS, PathTask
from ds3bayes.strategies.text import parse_strategy
from ds3bayes.theory.evaluate import evaluate

_UNITS = {
    "success": ("1", "probability that the final answer is right"),
    "tokens": ("tokens per task", "expected generated tokens of all attempts, which is the latency one after another"),
    "parallel_tokens": ("tokens per task", "expected tokens one after another when all that can runs side by side"),
}


def strategy_laws(strategies: Strategy | str | Sequence[Strategy | str], task: PathTask) -> xr.Dataset:
    """Success and cost of strategies on a path of skills, in closed form.

    Parameters
    ----------
    strategies : Strategy, str or sequence of them
        Objects or text forms.
    task : PathTask
        Its fields may be numbers or xarray.DataArray, which broadcast by their dimensions' names.

    Returns
    -------
    xarray.Dataset
        ``success``, ``tokens`` (expected total, also the latency if everything runs one after another) and
        ``parallel_tokens`` (latency if all that can run side by side does), with dims (strategy, ...the dims of
        the task). NaN where a quantity has no closed form; ``attrs["absent"]`` says which and why. Multiply
        tokens by a price for USD, divide by a speed for seconds (`ds3bayes.theory.cost`).

    Raises
    ------
    InputError
        If a text is no strategy, a task field is an array without names, or a success law is unknown.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004.

    Examples
    --------
    >>> import xarray as xr
    >>> from ds3bayes.strategies import BestOfN, CoT, PathTask
    >>> task = PathTask(path_length=2, advance=xr.DataArray([0.5, 1.0], dims="skill"), tokens_per_step=10)
    >>> table = strategy_laws([CoT(budget_tokens=20), BestOfN(n=2, budget_tokens=20)], task)
    >>> table["success"].values.round(4).tolist()
    [[0.25, 1.0], [0.4375, 1.0]]
    """
    listed = [strategies] if isinstance(strategies, str | Strategy) else list(strategies)
    parsed = [parse_strategy(one) if isinstance(one, str) else one for one in listed]
    if not parsed:
        raise InputError("no strategies; give at least one, such as CoT() or 'best_of_n(n=8)'")
    wide = [
        name for name in ARRAYS if np.ndim(getattr(task, name)) and not isinstance(getattr(task, name), xr.DataArray)
    ]
    if wide:
        raise InputError(f"{', '.join(wide)}: arrays of a task need names for their dimensions; give xarray.DataArray")
    numbers = xr.broadcast(*(xr.DataArray(getattr(task, name)) for name in ARRAYS))
    columns: dict[str, list[xr.DataArray]] = {name: [] for name in _UNITS}
    absent: dict[str, None] = {}
    for strategy in parsed:
        for name, law in (("success", _success), ("tokens", _tokens), ("parallel_tokens", _latency)):
            try:
                values = _evaluate(law, strategy, task, numbers)
            except InputError as error:
                if name == "success":
                    raise
                absent[f"{name}: {error}"] = None
                values = numbers[0] * np.nan
            columns[name].append(values)
    labels = xr.DataArray([str(one) for one in parsed], dims="strategy", name="strategy")
    table = xr.Dataset({name: xr.concat(found, dim=labels) for name, found in columns.items()})
    for name, (unit, meaning) in _UNITS.items():
        table[name].attrs = {"units": unit, "long_name": meaning}
    return table.assign_attrs(absent="; ".join(absent) or "none")


def _evaluate(
    law: Callable[..., Any], strategy: Strategy, task: PathTask, numbers: tuple[xr.DataArray, ...]
) -> xr.DataArray:
    """Evaluate a law over arrays; each path length on its own, as trees need it as one number."""
    result = numbers[0] * np.nan
    flat = [one.values.astype(float).reshape(-1) for one in numbers]
    values = np.empty(flat[0].size)
    certain = bool((flat[ARRAYS.index("reachability")] == 1.0).all())
    for length in np.unique(flat[0]):
        at = flat[0] == length
        known: dict[str, Any] = {}
        if law is _latency and isinstance(strategy, RepeatedSampling) and strategy.budget_tokens is None:
            fields = {name: one[at] for name, one in zip(ARRAYS, flat, strict=True)}
            known["horizon"] = strategy.horizon(replace(task, **fields)) if strategy.attempts > 1 else 1
        values[at] = evaluate(
            law,
            *(one[at] for one in flat[1:]),
            core=(0,) * (len(flat) - 1),
            strategy=strategy,
            path_length=int(length),
            certain=certain,
            concentration=task.wrong_answer_concentration,
            independent=task.independent_reachability,
            **known,
        )
    return result.copy(data=values.reshape(result.shape))


def _task(
    r: Any, h: Any, gamma: Any, omega: Any, path_length: int, certain: bool, concentration: Any, independent: bool
) -> PathTask:
    return PathTask(
        path_length=path_length,
        advance=r,
        commit=h,
        reachability=1.0 if certain else gamma,
        tokens_per_step=omega,
        wrong_answer_concentration=concentration,
        independent_reachability=independent,
    )


def _success(*fields: Any, strategy: Strategy, **known: Any) -> Any:
    return strategy.success(_task(*fields, **known)) + 0.0 * fields[0]


def _tokens(*fields: Any, strategy: Strategy, **known: Any) -> Any:
    return strategy.expected_tokens(_task(*fields, **known)) + 0.0 * fields[0]


def _latency(*fields: Any, strategy: Strategy, horizon: int | None = None, **known: Any) -> Any:
    return strategy.expected_latency(_task(*fields, **known), horizon) + 0.0 * fields[0]
