"""`strategy_laws`: what the theory says that strategies succeed at and cost, as a labelled table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.strategies.attempts import RepeatedSampling
from ds3bayes.strategies.base import Architecture, Strategy
from ds3bayes.strategies.task import ARRAYS, PathTask
from ds3bayes.strategies.text import parse_strategy
from ds3bayes.theory.cost import joules, seconds, usd
from ds3bayes.theory.evaluate import evaluate

_UNITS = {
    "success": ("1", "probability that the final answer is right"),
    "tokens": ("tokens per task", "expected generated tokens of all attempts, which is the latency one after another"),
    "parallel_tokens": ("tokens per task", "expected tokens one after another when all that can runs side by side"),
    "flops": ("FLOP per task", "expected inference compute of one task"),
    "joules": ("J per task", "expected energy of one task"),
    "usd": ("USD per task", "expected price of one task"),
    "seconds": ("s per task", "expected time if everything runs one after another"),
    "parallel_seconds": ("s per task", "expected time when all that can runs side by side"),
}


# The rate that each further quantity needs.
_RATES = {
    "flops": "architecture",
    "joules": "flop_per_joule",
    "usd": "output_usd",
    "seconds": "tokens_per_second",
    "parallel_seconds": "tokens_per_second",
}


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What tokens cost, for `strategy_laws`; a quantity whose rate is left out is not computed.

    Parameters
    ----------
    architecture : Architecture, optional
        For FLOP; with layers and width they count attention.
    flop_per_joule : float, optional
        Inference FLOP that one joule pays for, > 0; needs ``architecture``.
    input_usd, output_usd : float, optional
        USD per million prompt and generated tokens, >= 0; both or neither. The prompt is that of ``architecture``,
        of no tokens without one.
    cached_input_usd : float, optional
        USD per million prompt tokens of every attempt after the first, >= 0; that of ``input_usd`` if absent.
    tokens_per_second : float, optional
        Speed of one attempt, > 0.

    Raises
    ------
    InputError
        If a number is out of range or one needs another that is missing.
    """

    architecture: Architecture | None = None
    flop_per_joule: float | None = None
    input_usd: float | None = None
    output_usd: float | None = None
    cached_input_usd: float | None = None
    tokens_per_second: float | None = None

    def __post_init__(self) -> None:
        found = []
        for name in ("flop_per_joule", "tokens_per_second"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                found.append(f"{name} must be a positive number, got {value!r}")
        for name in ("input_usd", "output_usd", "cached_input_usd"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < np.inf:
                found.append(f"{name} must be a number of at least 0, got {value!r}")
        if (self.input_usd is None) != (self.output_usd is None):
            found.append("give both input_usd and output_usd, or neither")
        if self.cached_input_usd is not None and self.input_usd is None:
            found.append("cached_input_usd needs input_usd")
        if self.flop_per_joule is not None and self.architecture is None:
            found.append("flop_per_joule needs an architecture")
        if found:
            raise InputError.of_faults("Rates", found)


def strategy_laws(
    strategies: Strategy | str | Sequence[Strategy | str], task: PathTask, rates: Rates | None = None
) -> xr.Dataset:
    """Success and cost of strategies on a path of skills, in closed form.

    Parameters
    ----------
    strategies : Strategy, str or sequence of them
        Objects or text forms.
    task : PathTask
        Its fields may be numbers or xarray.DataArray, which broadcast by their dimensions' names.
    rates : Rates, optional
        Architecture, prices and speed, for FLOP, joules, USD and seconds.

    Returns
    -------
    xarray.Dataset
        ``success``, ``tokens`` (expected total, also the latency if everything runs one after another) and
        ``parallel_tokens`` (latency if all that can run side by side does), with dims (strategy, ...the dims of
        the task), and of ``flops``, ``joules``, ``usd``, ``seconds`` and ``parallel_seconds`` those that ``rates``
        determine. NaN where a quantity has no closed form; ``attrs["absent"]`` says which and why, and which
        quantities ``rates`` lack something for.

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
    asked = rates is not None
    rates = rates or Rates()
    laws: dict[str, Callable[..., Any]] = {"success": _success, "tokens": _tokens, "parallel_tokens": _latency}
    if rates.architecture is not None:
        laws["flops"] = _flops
    if rates.output_usd is not None:
        laws["usd"] = _usd
    columns: dict[str, list[xr.DataArray]] = {name: [] for name in laws}
    absent: dict[str, None] = {}
    for strategy in parsed:
        for name, law in laws.items():
            known = {"rates": rates} if name in ("flops", "usd") else {}
            try:
                values = _evaluate(law, strategy, task, numbers, known)
            except InputError as error:
                if name == "success":
                    raise
                absent[f"{name}: {error}"] = None
                values = numbers[0] * np.nan
            columns[name].append(values)
    labels = xr.DataArray([str(one) for one in parsed], dims="strategy", name="strategy")
    table = xr.Dataset({name: xr.concat(found, dim=labels) for name, found in columns.items()})
    if rates.flop_per_joule is not None:
        table["joules"] = _scaled(joules, table["flops"], rates.flop_per_joule)
    if rates.tokens_per_second is not None:
        table["seconds"] = _scaled(seconds, table["tokens"], rates.tokens_per_second)
        table["parallel_seconds"] = _scaled(seconds, table["parallel_tokens"], rates.tokens_per_second)
    for name, (unit, meaning) in _UNITS.items():
        if name in table:
            table[name].attrs = {"units": unit, "long_name": meaning}
    for name, rate in _RATES.items():
        if asked and name not in table:
            absent[f"{name}: rates have no {rate}"] = None
    return table.assign_attrs(absent="; ".join(absent) or "none")


def _scaled(formula: Callable[..., Any], values: xr.DataArray, rate: float) -> xr.DataArray:
    return values.copy(data=evaluate(formula, values.values, rate))


def _evaluate(
    law: Callable[..., Any],
    strategy: Strategy,
    task: PathTask,
    numbers: tuple[xr.DataArray, ...],
    rates: Mapping[str, Rates],
) -> xr.DataArray:
    """Evaluate a law over arrays; each path length on its own, as trees need it as one number."""
    result = numbers[0] * np.nan
    flat = [one.values.astype(float).reshape(-1) for one in numbers]
    values = np.empty(flat[0].size)
    certain = bool((flat[ARRAYS.index("reachability")] == 1.0).all())
    for length in np.unique(flat[0]):
        at = flat[0] == length
        known: dict[str, Any] = {**rates}
        if law is _latency and isinstance(strategy, RepeatedSampling) and strategy.limit_tokens is None:
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


def _flops(*fields: Any, strategy: Strategy, rates: Rates, **known: Any) -> Any:
    assert rates.architecture is not None
    return strategy.expected_flops(_task(*fields, **known), rates.architecture) + 0.0 * fields[0]


def _usd(*fields: Any, strategy: Strategy, rates: Rates, **known: Any) -> Any:
    task = _task(*fields, **known)
    prompt = rates.architecture.prompt_tokens if rates.architecture else 0.0
    generated = strategy.expected_tokens(task)
    if not prompt or not rates.input_usd:
        return usd(0.0, generated, 0.0, rates.output_usd) + 0.0 * fields[0]
    if not isinstance(strategy, RepeatedSampling):
        raise InputError(f"{strategy}: how often it reads a prompt is not known; give an architecture without prompt")
    again = rates.input_usd if rates.cached_input_usd is None else rates.cached_input_usd
    later = prompt * (strategy.mean_attempts(task) - 1.0)
    return usd(prompt, generated, rates.input_usd, rates.output_usd, later, again) + 0.0 * fields[0]


def _latency(*fields: Any, strategy: Strategy, horizon: int | None = None, **known: Any) -> Any:
    return strategy.expected_latency(_task(*fields, **known), horizon) + 0.0 * fields[0]
