"""`suspect_tasks`: which tasks are broken, and which no longer tell LLMs apart."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.generative.design import Block
from ds3bayes.generative.task_effects import success_of_attempts
from ds3bayes.inference.artifact import design_of

_LONE = (
    "a lone LLM tells no broken task from one out of its own reach: P(broken) takes two or more LLMs on the same tasks"
)
_OFF = "the spec takes every task as sound (population.soundness = false), or the fit is from before that was asked"


def suspect_tasks(fit: xr.DataTree, *, level: float = 0.99) -> xr.Dataset:
    """Say of every task how likely it is broken, and how likely every LLM is sure to solve it.

    A broken task (a wrong key, an impossible test) is failed by every attempt of every LLM, however easy it is for its
    kind. So only tasks that nobody ever solved can be; how likely that is, beside bad luck at a task that is merely
    hard, follows from how hard tasks get for these LLMs, from how often this one was tried, and from its tokens, where
    there are any: a task that looks easy and is never solved is the most suspect. A task that every LLM solves for
    certain is not broken, but spent: it no longer tells LLMs apart.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit`.
    level : float, default 0.99
        Success of one attempt, in (0, 1), above which an LLM solves a task for certain.

    Returns
    -------
    xarray.Dataset
        With dim ``task`` (coordinates ``task`` and ``benchmark``): ``broken``, the posterior probability that the task
        is unsound, NaN where that is not asked (``attrs["absent"]`` says why); ``spent``, the posterior probability
        that every LLM, in every setting in which it tried the task, succeeds in more than ``level`` of its attempts;
        with dims (task, model) ``attempts`` and ``successes``, decisions and outputs of searches among them.
        Probabilities are means over the draws of task effects, some 1,000: good to .02.

    Raises
    ------
    InputError
        If ``level`` is out of range or all rows of the fit are aggregates, which name no task.
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"level = {level}; allowed: a success above 0 and below 1, such as 0.99")
    design = design_of(fit)
    blocks = [(index, block) for index, block in enumerate(design.blocks) if block.tasks]
    if not blocks:
        raise InputError("all rows of this fit are aggregates, which name no task: fit rows with a task")
    asked, effects = "soundness" in fit["posterior"], fit["task_effects"].to_dataset()
    posterior = fit["posterior"].to_dataset().sel(draw=effects["draw"].values)
    every = success_of_attempts(design, effects, posterior)
    flat = effects.assign(success=every).stack(sample=("chain", "draw")).transpose("sample", ...)
    llms, of_block = list(design.llms), effects["cell_block"].values
    parts = []
    absent: dict[str, None] = {}
    for index, block in blocks:
        mine = flat.isel(cell=np.flatnonzero(of_block == index))
        shape = (mine.sizes["sample"], len(block.tasks), len(block.arms))
        sound, success = (mine[name].values.reshape(shape) for name in ("sound", "success"))
        tried = block.attempts > 0
        certain = (success > level) | ~tried
        broken = np.full(len(block.tasks), np.nan)
        if asked and design.has_several_llms(block):
            broken = 1.0 - sound[:, :, 0].mean(axis=0)
        else:
            absent[_OFF if design.has_several_llms(block) else _LONE] = None
        spent = np.where(tried.any(axis=1), certain.all(axis=2).mean(axis=0), np.nan)
        attempts, successes = (
            _by_llm(counts, block, [design.arms[arm].model for arm in block.arms], llms)
            for counts in (block.attempts, block.successes)
        )
        parts.append(
            xr.Dataset(
                {
                    "broken": ("task", broken),
                    "spent": ("task", spent),
                    "attempts": (("task", "model"), attempts),
                    "successes": (("task", "model"), successes),
                },
                coords={
                    "task": list(block.tasks),
                    "benchmark": ("task", [design.arms[block.arms[0]].benchmark] * len(block.tasks)),
                    "model": llms,
                },
            )
        )
    result = xr.concat(parts, "task")
    result["broken"].attrs = {"long_name": "probability that the task is broken", "units": "1"}
    result["spent"].attrs = {"long_name": f"probability that every LLM solves it at more than {level:g}", "units": "1"}
    return result.assign_attrs(level=level, absent="; ".join(absent) or "none")


def _by_llm(counts: np.ndarray, block: Block, models: list[str], llms: list[str]) -> np.ndarray:
    """Add up counts (task, arm) over the arms of each LLM: (task, llm)."""
    total = np.zeros((len(block.tasks), len(llms)), dtype=np.int64)
    for column, model in enumerate(models):
        total[:, llms.index(model)] += counts[:, column]
    return total
