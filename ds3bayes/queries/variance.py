"""`variance`: what makes the success that an evaluation will read uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.generative.task_effects import task_effects
from ds3bayes.queries.predict import View, expand
from ds3bayes.strategies import Strategy

PARTS = ("parameters", "tasks", "attempts")


def variance(
    fit: xr.DataTree,
    strategies: Sequence[Strategy | str] | None = None,
    *,
    tasks: Literal["observed", "new"] = "new",
    evaluated: int | None = None,
    attempts: int = 1,
    new_tasks: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Split the predictive variance of the success that a finite evaluation reads.

    The evaluation runs a strategy ``attempts`` times on each of its tasks and reads the share of right answers. By
    the law of total variance that share varies because the population's parameters are not known, because its tasks
    are a sample (or, for observed ones, because their difficulties are not known), and because an attempt succeeds
    by chance. More data of the fit shrink the first, more tasks the second and third, more attempts the third.

    Parameters
    ----------
    fit : xarray.DataTree
    strategies : sequence of Strategy or str, optional
        All samplers seen in the data if absent.
    tasks : {"observed", "new"}, default "new"
        An evaluation on the observed tasks again, or on new ones.
    evaluated : int, optional
        Number of new tasks, at least 1; as many as were observed if absent.
    attempts : int, default 1
        Decisions of the strategy per task, at least 1.
    new_tasks, seed : int
        As for `predict`.

    Returns
    -------
    xarray.Dataset
        ``variance`` and ``share`` with dims (model, benchmark, strategy, part), part being ``parameters``, ``tasks``
        and ``attempts``; ``sd`` and ``mean`` of the share of right answers, ``tasks_evaluated``, with dims (model,
        benchmark, strategy). ``attrs["sentence"]`` names the largest part of each. Success is in [0, 1], variances
        in its square.

    Raises
    ------
    InputError
        If a number is below 1, or a strategy cannot be predicted from this fit.

    Notes
    -----
    For observed tasks the effects of the tasks are drawn a second time at each posterior draw: half the mean
    squared difference of the two means over tasks is the part of the tasks.
    """
    if attempts < 1 or (evaluated is not None and evaluated < 1):
        raise InputError(f"attempts and evaluated must be at least 1, got {attempts} and {evaluated}")
    if tasks == "observed" and evaluated is not None:
        raise InputError("evaluated is for new tasks; the observed ones are all evaluated")
    view = View.of(fit, tasks, True, new_tasks, seed)
    chosen = expand(view, strategies)
    again = view
    if view.which == "observed":
        effects = task_effects(view.design, view.spec, view.posterior, seed + 1)
        again = replace(view, effects=effects.drop_vars(["log_likelihood", "task"]), seed=seed + 1)
    shape = (len(view.models), len(view.design.benchmarks), len(chosen))
    parts = np.full((*shape, len(PARTS)), np.nan)
    mean, count = np.full(shape, np.nan), np.full(shape, np.nan)
    for column, arms in enumerate(chosen.values()):
        for arm, strategy in arms.items():
            place = (*view.place(arm), column)
            success = view.evaluate(strategy, arm)[0]["success"][0]
            of_tasks = success.mean(axis=1)
            chance = (success * (1.0 - success)).mean()
            if view.which == "observed":
                n = success.shape[1]
                other = again.evaluate(strategy, arm)[0]["success"][0].mean(axis=1)
                between = 0.5 * (of_tasks.var() + other.var())
                sampled = min(0.5 * np.mean((of_tasks - other) ** 2), between)
                known = between - sampled
            else:
                block = view.design.blocks[int(view.design.population_of_arm[view.design.arms.index(arm)])]
                n = evaluated or len(block.tasks)
                known, sampled = of_tasks.var(), success.var(axis=1).mean() / n
            parts[place] = known, sampled, chance / (n * attempts)
            mean[place], count[place] = success.mean(), n
    total = parts.sum(axis=-1)
    dims = ("model", "benchmark", "strategy")
    result = xr.Dataset(
        {
            "variance": ((*dims, "part"), parts, {"units": "1", "long_name": "variance of the share of right answers"}),
            "share": ((*dims, "part"), parts / total[..., None], {"units": "1", "long_name": "share of the variance"}),
            "sd": (dims, np.sqrt(total), {"units": "1", "long_name": "predictive sd of the share of right answers"}),
            "mean": (dims, mean, {"units": "1", "long_name": "expected share of right answers"}),
            "tasks_evaluated": (dims, count, {"units": "tasks", "long_name": "tasks in the evaluation"}),
        },
        coords={
            "model": view.models,
            "benchmark": view.design.benchmarks,
            "strategy": list(chosen),
            "part": list(PARTS),
        },
        attrs={"tasks": view.which, "attempts": attempts},
    )
    return result.assign_attrs(sentence=_sentence(result))


def _sentence(result: xr.Dataset) -> str:
    what = {
        "parameters": "what is not known of the population",
        "tasks": "which tasks it has" if result.attrs["tasks"] == "new" else "what is not known of the tasks",
        "attempts": "the chance of the attempts",
    }
    said = []
    flat = result.stack(option=("model", "benchmark", "strategy"))
    for at in (flat.isel(option=i) for i in range(flat.sizes["option"])):
        if not np.isfinite(at["sd"]):
            continue
        model, benchmark, strategy = at["option"].item()
        largest = PARTS[int(at["share"].values.argmax())]
        said.append(
            f"{model} | {strategy} on {int(at['tasks_evaluated'])} tasks of {benchmark}: {float(at['mean']):.3f} with "
            f"sd {float(at['sd']):.3f}, {float(at['share'].max()):.0%} of its variance from {what[largest]}"
        )
    return "; ".join(said)
