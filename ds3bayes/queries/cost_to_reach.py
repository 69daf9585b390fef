"""`cost_to_reach`: how many attempts, or how large a budget, a target success takes, and what that costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.generative.design import Design
from ds3bayes.inference.artifact import design_of
from ds3bayes.queries.choices import COSTS
from ds3bayes.queries.grid import predict_grid
from ds3bayes.queries.predict import View, predict, predict_limit
from ds3bayes.queries.words import chance
from ds3bayes.strategies import Strategy, parse_strategy
from ds3bayes.strategies.attempts import AttemptStrategy

Array = np.ndarray

_DIAL = re.compile(r"(\w+)\s*=\s*\*")
#: Dials that are numbers of tokens: asked, and at which attempts are cut.
_TOKENS = ("budget_tokens", "max_tokens")
#: Tokens of an attempt that stand for no limit.
_ENDLESS = 10**12


def cost_to_reach(
    fit: xr.DataTree,
    family: str,
    *,
    success: float = 0.8,
    cost: Literal["tokens", "usd", "flops", "joules", "seconds"] = "tokens",
    values: Sequence[int] | None = None,
    tasks: Literal["observed", "new"] | Sequence[str] = "observed",
    new_tasks: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Find the smallest setting of a strategy that reaches a target success, and its cost, in every posterior draw.

    Parameters
    ----------
    fit : xarray.DataTree
    family : str
        A strategy's text form with ``*`` for the setting to find: ``"cot(budget_tokens=*)"`` (asked),
        ``"cot(max_tokens=*)"`` (cut), ``"best_of_n(n=*, verifier=oracle)"``, ``"majority(n=*)"``.
    success : float, default 0.8
        Target mean success over the tasks, in (0, 1).
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"
        Expected cost per task that is reported.
    values : sequence of int, optional
        Settings to try. By default numbers of attempts 1 to 16 and then, a fifth apart, to 1,000 for best-of-n and
        64 for others; budgets and cuts, a fifth apart, from one step to a million tokens (asked budgets, from a fourth
        of the smallest that was observed to four times the largest).
    tasks, new_tasks, seed
        As for `predict`.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, model, benchmark, strategy), a strategy being the family at an effort: ``setting`` smallest
        of the values that reaches the target, and ``cost`` there, both inf where none does. With dims (model,
        benchmark, strategy): ``p_reach``, and ``p_never`` probability that neither a setting tried nor one without
        limit reaches it (NaN where that limit is not known: weighted votes and learned verifiers).
        ``attrs["sentence"]`` says it in words, ``attrs["largest_error"]`` how far off success may be in a grid of
        budgets (`predict_grid`).

    Raises
    ------
    InputError
        If the family has not exactly one ``*``, the target or a value is out of range, or the cost is not predicted.
    """
    if not 0.0 < success < 1.0:
        raise InputError(f"success = {success}: it must be a probability between 0 and 1")
    if cost not in COSTS:
        raise InputError(f"cost = {cost!r}; allowed: {', '.join(COSTS)}." + did_you_mean(cost, COSTS))
    dial, base = _parse(family)
    given: dict[str, Any] = {"tasks": tasks, "new_tasks": new_tasks, "seed": seed}
    tried = _values(values, dial, base, design_of(fit))
    pred = _predictions(fit, dial, base, tried, cost, given)
    if cost not in pred:
        raise InputError(f"the predictions have no {cost} ({pred.attrs['absent']})")
    limit = _limit(fit, dial, base, given)
    limits = {} if limit is None else {str(label): limit.sel(strategy=label) for label in limit["strategy"].values}
    labels: dict[str, list[tuple[int, int]]] = {}
    for place, label in enumerate(str(name) for name in pred["strategy"].values):
        one = parse_strategy(label)
        labels.setdefault(_starred(one, dial), []).append((getattr(one, dial), place))
    dims = ("model", "benchmark", "strategy")
    parts: dict[str, list[xr.DataArray]] = {name: [] for name in ("setting", "cost", "p_reach", "p_never")}
    for name, places in labels.items():
        places.sort()
        at = pred.isel(strategy=[place for _, place in places])
        setting = np.array([value for value, _ in places], dtype=float)
        exists = at["success"].notnull().any("strategy")
        # The first that reaches it: a vote may do so and fall below again.
        reached = (at["success"] >= success).transpose(..., "strategy").values
        ever, first = reached.any(axis=-1), reached.argmax(axis=-1)
        costs = at[cost].transpose(..., "strategy").values
        costs = np.where(ever, np.take_along_axis(costs, first[..., None], axis=-1)[..., 0], np.inf)
        found = {"setting": np.where(ever, setting[first], np.inf), "cost": costs, "p_reach": ever.astype(float)}
        found["p_never"] = np.full(ever.shape, np.nan)
        if name in limits:
            endless = limits[name].transpose(*exists.dims).values
            found["p_never"] = np.where(np.isnan(endless), np.nan, ~ever & (endless < success))
        for key, drawn in found.items():
            parts[key].append(exists.copy(data=drawn).where(exists).assign_coords(strategy=name))
    joined = {key: xr.concat(arrays, "strategy").transpose("chain", "draw", *dims) for key, arrays in parts.items()}
    result = xr.Dataset(
        {
            "setting": joined["setting"].assign_attrs(
                units="tokens" if dial in _TOKENS else "1", long_name=f"smallest {dial} that reaches the target"
            ),
            "cost": joined["cost"].assign_attrs(units=pred[cost].attrs["units"], long_name=f"expected {cost} there"),
            "p_reach": joined["p_reach"]
            .mean(("chain", "draw"))
            .assign_attrs(units="1", long_name="probability that a setting tried reaches the target"),
            "p_never": joined["p_never"]
            .mean(("chain", "draw"))
            .assign_attrs(units="1", long_name="probability that no setting reaches the target"),
        },
        attrs={
            "family": family,
            "dial": dial,
            "target": success,
            "cost": cost,
            "tasks": str(pred.attrs["tasks"]),
            "smallest_tried": tried[0],
            "largest_tried": tried[-1],
            "largest_error": pred.attrs.get("largest_error", 0.0),
        },
    )
    return result.assign_attrs(sentence=_sentence(result))


def _parse(family: str) -> tuple[str, Strategy]:
    dials = _DIAL.findall(family)
    if len(dials) != 1:
        raise InputError(
            f"family = {family!r}: mark the one setting to find with *, as in 'cot(budget_tokens=*)' or "
            "'best_of_n(n=*, verifier=oracle)'"
        )
    text = _DIAL.sub(r"\1=1000", family) if dials[0] in _TOKENS else _DIAL.sub(r"\1=2", family)
    strategy = parse_strategy(text)
    if not isinstance(getattr(strategy, dials[0]), int):
        raise InputError(f"family = {family!r}: {dials[0]} is not a whole number, so it cannot be searched")
    return dials[0], strategy


def _values(values: Sequence[int] | None, dial: str, base: Strategy, design: Design) -> list[int]:
    if values is None:
        asked = [arm.budget_tokens for arm in design.arms if arm.budget_tokens is not None]
        if dial == "budget_tokens" and asked:
            # Far beyond what was asked nothing is known.
            return sorted({*asked, *(round(v) for v in np.geomspace(max(min(asked) / 4, 1), 4 * max(asked), 30))})
        if dial in _TOKENS:
            return sorted({int(v) for v in np.geomspace(np.ceil(design.tokens_per_step), 1e6, 60)})
        most = base.searched_up_to if isinstance(base, AttemptStrategy) else 64
        return sorted({*range(1, 17), *(round(v) for v in np.geomspace(16, most, 24))})
    wrong = [v for v in values if isinstance(v, bool) or v != int(v) or v < 1]
    if wrong or not len(values):
        raise InputError(f"values must be whole numbers of at least 1, got {list(values)[:5]}")
    return sorted({int(v) for v in values})


def _predictions(
    fit: xr.DataTree, dial: str, base: Strategy, values: Sequence[int], cost: str, given: dict[str, Any]
) -> xr.Dataset:
    if dial == "max_tokens":
        pred = predict_grid(fit, [replace(base, max_tokens=None)], values, **given)
        if cost in pred:
            return pred
    return predict(fit, [_set(base, dial, value) for value in values], **given)


def _set(strategy: Strategy, dial: str, value: int) -> Strategy:
    change: dict[str, Any] = {dial: value}
    return replace(strategy, **change)


def _limit(fit: xr.DataTree, dial: str, base: Strategy, given: dict[str, Any]) -> xr.DataArray | None:
    """Success without limit on the setting, by starred label, where it is known."""
    if dial == "max_tokens":
        success = predict(fit, [_set(base, dial, _ENDLESS)], **given)["success"]
    elif dial == "n" and isinstance(base, AttemptStrategy):
        view = View.of(fit, given["tasks"], True, given["new_tasks"], given["seed"])
        success = predict_limit(view, base)
    else:
        return None
    starred = [_starred(parse_strategy(str(label)), dial) for label in success["strategy"].values]
    return success.assign_coords(strategy=starred)


def _starred(strategy: Strategy, dial: str) -> str:
    return re.sub(rf"\b{dial}=\d+", f"{dial}=*", str(strategy))


def _sentence(result: xr.Dataset) -> str:
    dial, target = result.attrs["dial"], result.attrs["target"]
    unit = " tokens" if dial in _TOKENS else ""
    said = []
    flat = result.stack(option=("model", "benchmark", "strategy"), sample=("chain", "draw"))
    for at in (flat.isel(option=i) for i in range(flat.sizes["option"])):
        reach, never = float(at["p_reach"]), float(at["p_never"])
        if np.isnan(at["setting"].values).all():
            continue
        model, benchmark, strategy = at["option"].item()
        where = f"{model} on {benchmark}, {strategy}"
        beyond = f"{dial} up to {result.attrs['largest_tried']:,}"
        if reach == 0.0:
            text = f"{where}: success {target:g} is not reached in any draw with {beyond}"
        else:
            done = np.isfinite(at["setting"].values)
            setting, cost = (
                np.quantile(at[name].values[done], [0.5, 0.05, 0.95], method="inverted_cdf")
                for name in ("setting", "cost")
            )
            likely = "" if reach == 1.0 else f" with probability {chance(reach)}, then"
            text = (
                f"{where}: success {target:g} is reached{likely} at {dial} = {setting[0]:,.0f}{unit} "
                f"({setting[1]:,.0f} to {setting[2]:,.0f}) for {cost[0]:,.4g} {result['cost'].attrs['units']} "
                f"({cost[1]:,.4g} to {cost[2]:,.4g})"
            )
        if never > 0.0:
            text += f"; with probability {chance(never)} no {dial} however large reaches it"
        said.append(text)
    return "; ".join(said)
