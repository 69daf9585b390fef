"""Curves: success against the number of attempts, with its limits, and against the tokens of an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.generative.design import Arm
from ds3bayes.generative.observation.aggregates import Aggregates
from ds3bayes.queries.predict import UNITS, View
from ds3bayes.strategies import STRATEGIES, Strategy
from ds3bayes.strategies.attempts import AttemptStrategy
from ds3bayes.strategies.base import LearnedVerifier

Array = np.ndarray

#: Numbers of attempts at which curves are drawn.
ATTEMPTS = (1, 2, 4, 8, 16, 32, 64)
#: Draws that are enough for the mean and the 90 % band of a curve, to a tenth of the band's width.
DRAWS = 240
_NO_BUDGETS = (
    "no sampler of this fit was asked to think for a budget, nor has one both tokens and a path length, without which "
    "a cut means nothing; give completion_tokens or tokens_mean in the table, and population.path_length in the spec "
    "or steps in the table"
)
# How far beyond the asked budgets that were observed a curve goes: beyond that, nothing is known.
_FURTHEST = 4.0


def thinned(fit: xr.DataTree, draws: int = DRAWS) -> xr.DataTree:
    """Return a fit with fewer draws of task effects, evenly thinned, which makes its predictions as much faster.

    Parameters
    ----------
    fit : xarray.DataTree
    draws : int, default 240
        About how many, over all chains.

    Returns
    -------
    xarray.DataTree
        Shares everything but the task effects with ``fit``.
    """
    effects = fit["task_effects"].to_dataset()
    step = max(1, effects.sizes["chain"] * effects.sizes["draw"] // draws)
    result = fit.copy()
    result["task_effects"] = xr.DataTree(effects.isel(draw=slice(None, None, step)))
    return result


def attempts_curve(
    fit: xr.DataTree,
    *,
    attempts: Sequence[int] = ATTEMPTS,
    tasks: Literal["observed", "new"] = "observed",
    samplers: Sequence[str] | Literal["all"] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> xr.Dataset:
    """Predict how success grows with the number of attempts, by the way one of them is selected.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    attempts : sequence of int
        Numbers of attempts n, each at least 1.
    tasks : {"observed", "new"}, default "observed"
        These very tasks, or fresh ones of the same population.
    samplers : sequence of str or "all", optional
        Labels ``LLM | benchmark | strategy`` of what makes one attempt, or all of them. For each LLM and benchmark the
        one that succeeds most often if absent.
    draws : int, default 240
        About how many posterior draws.
    seed : int, default 0

    Returns
    -------
    xarray.Dataset
        ``success`` (chain, draw, sampler, selector, attempts), NaN where the fit knows nothing of a selector and for
        weighted votes of more than 16 attempts (or where no such vote was observed), and
        ``limit`` (chain, draw, sampler, selector), its value for endlessly many attempts: for an oracle verifier
        the share of tasks that can be solved at all, for a majority vote the share whose right answer is likelier
        than every wrong one; NaN where no closed form is known. Coordinates ``model``, ``benchmark`` and ``walk``
        (the strategy of one attempt) of each sampler.

    Raises
    ------
    InputError
        If there are no such tasks or samplers, or a number of attempts is below 1.
    """
    if not attempts or min(attempts) < 1:
        raise InputError(f"attempts = {list(attempts)}; give at least one number, each 1 or more")
    view = View.of(thinned(fit, draws), tasks, True, 256, seed)
    arms = _chosen(view, samplers)
    kinds = {str(arm): _selectors(view, arm) for arm in arms}
    selectors = list(dict.fromkeys(name for found in kinds.values() for name in found))
    shape = (view.samples, len(arms), len(selectors))
    success, limit = np.full((*shape, len(attempts)), np.nan), np.full(shape, np.nan)
    for place, arm in enumerate(arms):
        for name, strategy in kinds[str(arm)].items():
            column = selectors.index(name)
            for step, n in enumerate(attempts):
                if n > strategy.curve_end:
                    continue
                values = view.evaluate(replace(strategy, n=n), arm)[0]["success"][0]
                success[:, place, column, step] = values.mean(axis=1)
            endless = view.limit(strategy, arm)
            if endless is not None:
                limit[:, place, column] = endless.mean(axis=1)
    dims = ("chain", "draw", "sampler", "selector")
    unit, meaning = UNITS["success"]
    return xr.Dataset(
        {
            "success": ((*dims, "attempts"), _by_chain(view, success), {"units": unit, "long_name": meaning}),
            "limit": (dims, _by_chain(view, limit), {"units": unit, "long_name": "success of endlessly many attempts"}),
        },
        coords=_coords(view, arms)
        | {"selector": selectors, "attempts": ("attempts", list(attempts), {"units": "attempts per task"})},
        attrs={"tasks": view.which},
    )


def budget_curve(
    fit: xr.DataTree,
    *,
    budgets: Sequence[int] | None = None,
    points: int = 14,
    tasks: Literal["observed", "new"] = "observed",
    draws: int = DRAWS,
    seed: int = 0,
) -> xr.Dataset:
    """Predict how success of one attempt grows with the budget that it is asked for, or with where it is cut.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    budgets : sequence of int, optional
        In tokens. By default from half the smallest asked budget to twice the largest, or from where few attempts
        finish to where nearly all do, and the observed ones.
    points : int, default 14
        How many budgets there are by default, beside the observed ones.
    tasks : {"observed", "new"}, default "observed"
        These very tasks, or fresh ones of the same population.
    draws : int, default 240
        About how many posterior draws.
    seed : int, default 0

    Returns
    -------
    xarray.Dataset
        ``success`` and ``tokens`` (chain, draw, sampler, budget), one sampler per LLM, benchmark, walk and reasoning
        effort; coordinates ``model``, ``benchmark``, ``walk`` and ``effort`` of each sampler, and ``dial``: a budget is
        ``budget_tokens``, asked for, where the LLM was observed so, and else ``max_tokens``, a cut. NaN where nothing
        is known: tokens that were never observed, and asked budgets more than a factor of 4 beyond the observed ones.
        ``extrapolated`` (sampler, budget) is true beyond what was observed. A cut is predicted from the nearest
        evidence: the smallest observed cut that suffices, or attempts without one.

    Raises
    ------
    InputError
        If there are no such tasks, or the fit lacks what budgets need (tokens and path lengths).
    """
    view = View.of(thinned(fit, draws), tasks, True, 256, seed)
    found: dict[tuple[str, str, str, str], list[Arm]] = {}
    for arm in view.design.arms:
        if not arm.is_tree and view.has_tasks(arm) and _budgetable(view, arm):
            found.setdefault((arm.model, arm.benchmark, arm.walk, arm.effort), []).append(arm)
    if not found:
        raise InputError(_NO_BUDGETS)
    chosen = _grid(view, [arm for arms in found.values() for arm in arms], points) if budgets is None else budgets
    omega = view.design.tokens_per_step
    dials = ["budget_tokens" if any(arm.by_budget for arm in arms) else "max_tokens" for arms in found.values()]
    if "max_tokens" in dials and min(chosen) < omega:
        raise InputError(f"budgets = {list(chosen)}; each must allow at least one step, {omega:g} tokens")
    shape = (view.samples, len(found), len(chosen))
    values = {name: np.full(shape, np.nan) for name in ("success", "tokens")}
    beyond = np.zeros(shape[1:], dtype=bool)
    for place, (dial, arms) in enumerate(zip(dials, found.values(), strict=True)):
        asked = [arm.budget_tokens for arm in arms if arm.budget_tokens and arm.by_budget]
        for column, budget in enumerate(chosen):
            if asked and not min(asked) / _FURTHEST <= budget <= max(asked) * _FURTHEST:
                continue
            limit: dict[str, Any] = {"budget_tokens": None, "max_tokens": None, dial: int(budget)}
            strategy: Strategy = replace(arms[0].strategy, **limit)
            # Settings are those of all efforts where the sampler states none.
            arm, strategy = next(
                one for one in view.settings(strategy, arms[0].pair) if one[0].effort == arms[0].effort
            )
            quantities, _ = view.evaluate(strategy, arm)
            beyond[place, column] = view.extrapolates(strategy, arm)
            for name, store in values.items():
                if name in quantities:
                    store[:, place, column] = quantities[name][0].mean(axis=1)
    first = [arms[0] for arms in found.values()]
    dims = ("chain", "draw", "sampler", "budget")
    return xr.Dataset(
        {
            name: (dims, _by_chain(view, store), dict(zip(("units", "long_name"), UNITS[name], strict=True)))
            for name, store in values.items()
        },
        coords=_coords(view, first)
        | {
            "effort": ("sampler", [arm.effort for arm in first]),
            "dial": ("sampler", dials),
            "extrapolated": (("sampler", "budget"), beyond, {"long_name": "beyond what was observed"}),
            "budget": ("budget", [int(one) for one in chosen], {"units": "tokens per attempt"}),
        },
        attrs={"tasks": view.which},
    )


def _by_chain(view: View, values: Array) -> Array:
    return values.reshape(view.effects.sizes["chain"], view.effects.sizes["draw"], *values.shape[1:])


def _coords(view: View, arms: Sequence[Arm]) -> dict[str, Any]:
    return {
        "chain": view.effects["chain"].values,
        "draw": view.effects["draw"].values,
        "sampler": [str(arm) for arm in arms],
        "model": ("sampler", [arm.model for arm in arms]),
        "benchmark": ("sampler", [arm.benchmark for arm in arms]),
        "walk": ("sampler", [str(arm.strategy) for arm in arms]),
    }


def _chosen(view: View, samplers: Sequence[str] | Literal["all"] | None) -> list[Arm]:
    """Return the arms asked for, all of them, or for each LLM and benchmark the one that succeeds most often."""
    walks = {str(arm): arm for arm in view.design.arms if not arm.is_tree and view.has_tasks(arm)}
    if not walks:
        raise InputError(
            "no sampler of this fit has tasks to predict for: its rows are aggregates; ask for tasks='new', fresh ones "
            "of the same population"
        )
    if samplers == "all":
        return list(walks.values())
    if samplers is not None:
        unknown = [name for name in samplers if name not in walks]
        if unknown or not samplers:
            raise InputError(f"samplers {unknown}; this fit has: {', '.join(walks)}")
        return [walks[name] for name in samplers]
    best: dict[tuple[str, str], tuple[float, Arm]] = {}
    for arm in walks.values():
        mean = float(view.evaluate(arm.strategy, arm)[0]["success"][0].mean())
        key = (arm.model, arm.benchmark)
        if key not in best or mean > best[key][0]:
            best[key] = (mean, arm)
    return [arm for _, arm in best.values()]


def _selectors(view: View, arm: Arm) -> dict[str, AttemptStrategy]:
    """Return the selectors over attempts of an arm that the fit can predict, by name."""
    index = view.design.arms.index(arm)
    known = {"discrimination", "agreement", "no_answer"} | (
        {"concentration"} if view.concentration(index) is not None else set()
    )
    aggregated = {curve.strategy.name for curve in (Aggregates.seen(view.design) or ())}
    # Learned verifiers are labelled "LLM | name".
    verifiers = [name for llm, _, name in (label.rpartition(" | ") for label in view.verifiers) if llm == arm.model]
    found: dict[str, AttemptStrategy] = {}
    for name, cls in STRATEGIES.items():
        if not issubclass(cls, AttemptStrategy) or not cls.curve_name:
            continue
        # What is learned from aggregates alone is drawn where there are some.
        drawn = "tasks" in cls.fitted_from or name in aggregated
        for strategy in cls.variants([LearnedVerifier(one) for one in verifiers] if drawn else []):
            if replace(strategy, n=3).depends_on <= known:
                found[strategy.curve_label] = replace(strategy, sampler=arm.walk, **arm.setting)
    return found


def _budgetable(view: View, arm: Arm) -> bool:
    index = view.design.arms.index(arm)
    if arm.by_budget:
        return True
    if not view.design.has_tokens[index]:
        return False
    cut = 4 * int(max(view.design.tokens_per_step, arm.max_tokens or 0)) + 1
    values, _ = view.evaluate(replace(arm.strategy, max_tokens=cut), arm)
    return bool(np.isfinite(values["success"][0]).all())


def _grid(view: View, arms: Sequence[Arm], points: int) -> list[int]:
    """Budgets, rising by equal factors, around those asked for, or from where few attempts finish to where most do."""
    aggregated = [curve.strategy.max_tokens for curve in (Aggregates.seen(view.design) or ())]
    asked = [arm.budget_tokens for arm in arms if arm.by_budget]
    observed = sorted({one for one in (*asked, *(arm.max_tokens for arm in arms), *aggregated) if one})
    lows, highs = [one / 2 for one in asked if one], [2 * one for one in asked if one]
    for arm in arms:
        if arm.by_budget:
            continue
        tokens = view.evaluate(arm.strategy, arm)[0]["tokens"][0].mean(axis=0)
        low, high = np.quantile(tokens, [0.1, 0.95])
        lows.append(0.4 * low)
        highs.append(3.0 * high)
    low = max(min(*lows, np.inf, *(0.8 * one for one in observed)), 2.0 * view.design.tokens_per_step)
    high = max(*highs, 2.0 * low, *(1.5 * one for one in observed))
    steps = np.geomspace(low, high, points)
    return sorted({*np.round(steps).astype(int).tolist(), *observed})


__all__ = ["ATTEMPTS", "attempts_curve", "budget_curve", "thinned"]
