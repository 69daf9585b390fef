"""Scores that attempts will get, where evaluations have ordered ones."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import expit

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.generative.design import Design
from ds3bayes.generative.observation.graded import Graded, cut_points
from ds3bayes.generative.task_effects import new_task_effects
from ds3bayes.inference.artifact import design_of, spec_of


def predict_grades(
    fit: xr.DataTree, *, tasks: str = "observed", per_task: bool = False, new_tasks: int = 256, seed: int = 0
) -> xr.Dataset:
    """Predict the score of one attempt, for evaluations with ``grades``.

    Parameters
    ----------
    fit : xarray.DataTree
        Of a table with ``grades`` and ``grade_max``.
    tasks : {"observed", "new"}, default "observed"
        These very tasks, or fresh ones of the same population.
    per_task : bool, default False
        Keep a dimension ``task`` instead of the mean over tasks; for observed tasks.
    new_tasks : int, default 256
        Fresh tasks per draw, a power of 2.
    seed : int, default 0
        Of the fresh tasks.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, sampler[, task]); coordinates ``model``, ``benchmark`` and ``strategy`` of each sampler.

        ``grade``
            Expected score, from 0 to ``grade_max``.
        ``at_least``, with dim ``threshold`` (1, 2, ...)
            Probability of a score of at least the threshold; NaN above the benchmark's full credit. That of full
            credit is the success that `predict` gives.
        ``grade_max``, dims (sampler,)
            Full credit.

    Raises
    ------
    InputError
        If the fit holds no grades, or ``tasks`` is something else.

    Notes
    -----
    Within reach, a score of at least k has probability logistic(x + d_k) at logit success x; out of reach it is that of
    an attempt that misses full credit, (logistic(x + d_k) - logistic(x)) / (1 - logistic(x)).
    """
    if tasks not in ("observed", "new"):
        raise InputError(f"tasks = {tasks!r}; allowed: 'observed', 'new'." + did_you_mean(tasks, ["observed", "new"]))
    if per_task and tasks == "new":
        raise InputError("per_task = True names tasks, and new tasks have no names; take tasks='observed'")
    design, spec = design_of(fit), spec_of(fit)
    tops = Graded.seen(design)
    if not tops:
        raise InputError("this fit holds no grades: give columns grades ('10|7|0') and grade_max, and fit again")
    effects = fit["task_effects"].to_dataset()
    posterior = fit["posterior"].to_dataset().sel(draw=effects["draw"].values)
    if tasks == "new":
        effects = new_task_effects(design, spec, posterior, new_tasks, seed)
    graded = [place for place, arm in enumerate(design.arms) if arm.benchmark in tops and not arm.is_tree]
    parts = [_of_arm(arm, design, effects, posterior, max(tops.values()), per_task) for arm in graded]
    arms = [design.arms[arm] for arm in graded]
    labels = [design.labels[arm] for arm in graded]
    result = xr.concat(parts, xr.DataArray(labels, dims="sampler", name="sampler"), join="outer")
    result["grade_max"] = ("sampler", [tops[arm.benchmark] for arm in arms])
    result = result.assign_coords(
        model=("sampler", [arm.model for arm in arms]),
        benchmark=("sampler", [arm.benchmark for arm in arms]),
        strategy=("sampler", [str(arm.strategy) for arm in arms]),
    )
    result["grade"].attrs = {"long_name": "expected score of one attempt", "units": "grades"}
    result["at_least"].attrs = {"long_name": "probability of a score of at least the threshold", "units": "1"}
    return result.transpose("chain", "draw", "sampler", ...).assign_attrs(tasks=tasks)


def _of_arm(
    arm: int, design: Design, effects: xr.Dataset, posterior: xr.Dataset, most: int, per_task: bool
) -> xr.Dataset:
    """Scores of one sampler, dims (chain, draw[, task])."""
    benchmark = design.arms[arm].benchmark
    top = (Graded.seen(design) or {})[benchmark]
    cells = effects.isel(cell=np.flatnonzero(effects["cell_arm"].values == arm))
    x, reachable = (cells[name].transpose("chain", "draw", "cell").values for name in ("logit_success", "reachable"))
    given = {"grade_gap": posterior["grade_gap"].transpose("chain", "draw", ...).values} if top > 1 else {}
    gaps = np.broadcast_to(Graded().gaps(benchmark, design, given), (*x.shape[:2], top - 1))
    cuts = cut_points(gaps, np)
    chance = np.full((*x.shape, most), np.nan)
    for k in range(top):
        cut = cuts[..., k, None]
        # Of the failed: logistic(x + d) (1 - exp(-d)), which does not cancel where full credit is nearly certain.
        failed = expit(x + cut) * -np.expm1(-cut)
        chance[..., k] = np.where(reachable == 1, expit(x + cut), failed)
    dims = ("chain", "draw", "task")
    names = {"task": cells["cell_task"].values.astype(str)}
    coords = {"chain": effects["chain"], "draw": effects["draw"], "threshold": np.arange(1, most + 1)}
    found = xr.Dataset({"at_least": ((*dims, "threshold"), chance)}, coords | (names if per_task else {}))
    found["grade"] = found["at_least"].sum("threshold")
    return found if per_task else found.mean("task")
