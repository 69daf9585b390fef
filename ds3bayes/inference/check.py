"""`check`: every check of a fit, and the refits that some of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from ds3bayes.cluster import keeping, workers
from ds3bayes.errors import InputError
from ds3bayes.generative.task_effects import new_task_effects, success_of_attempts
from ds3bayes.inference.artifact import design_of, spec_of
from ds3bayes.inference.bounds import MAX_REFITS, MAX_RHAT_OF_REFIT, REFIT_DRAWS
from ds3bayes.inference.checks import (
    CheckResult,
    LeftOut,
    convergence,
    informed,
    largest_rhat,
    leave_one_out,
    posterior_prediction,
    sensitivity,
)
from ds3bayes.inference.refits import TaskRefits

# Of the time that checks take on the shipped specifications, what is over once draws are replicated, and once tasks are
# left out.
_REPLICATED, _LEFT_OUT = 0.2, 0.95


def check(
    fit: xr.DataTree,
    *,
    refits: int | None = None,
    seed: int = 0,
    scheduler: str | None = None,
    progress: Callable[[float], object] = lambda _: None,
) -> list[CheckResult]:
    """Run every check on a fit, and note what it rests on.

    Parameters
    ----------
    fit : xarray.DataTree
    refits : int, optional
        Most tasks (or aggregated rows) that the model is fitted again without, where importance sampling cannot leave
        them out; 20 if not said, 0 for none. Each takes 500 draws.
    seed : int, default 0
        Of the replicated data.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``, whose workers make a refit each: the same ones,
        by the seed. Needs the extra ``distributed``.
    progress : callable, optional
        Called now and then with the share of the work that is done, in [0, 1].

    Returns
    -------
    list of CheckResult
        Checks: convergence, posterior prediction of the task population, leave-one-task-out. Notes, which cannot fail:
        prior contraction, sensitivity of predictions to the prior.

    Raises
    ------
    InputError
        If the cluster has no scheduler, no worker or other versions.
    """
    results = [convergence(fit), posterior_prediction(fit, seed=seed)]
    progress(_REPLICATED)
    results.append(
        leave_out_by_refits(
            fit,
            refits=MAX_REFITS if refits is None else refits,
            seed=seed,
            scheduler=scheduler,
            progress=lambda share: progress(_REPLICATED + share * (_LEFT_OUT - _REPLICATED)),
        )
    )
    progress(_LEFT_OUT)
    return [*results, informed(fit), sensitivity(fit)]


def leave_out_by_refits(
    fit: xr.DataTree,
    *,
    refits: int,
    seed: int = 0,
    scheduler: str | None = None,
    progress: Callable[[float], object] = lambda _: None,
) -> CheckResult:
    """Check `leave_one_out` with refits, of two chains of 250 draws, for what importance sampling cannot leave out."""
    return leave_one_out(
        fit, refits=refits, leave_out=partial(_left_out, fit=fit, seed=seed, scheduler=scheduler, progress=progress)
    )


def _left_out(
    group: str,
    places: np.ndarray,
    *,
    fit: xr.DataTree,
    seed: int,
    scheduler: str | None,
    progress: Callable[[float], object] = lambda _: None,
) -> tuple[dict[int, LeftOut], str]:
    """Leave tasks out by refits, by their order; and the reason why some, or all, could not be."""
    found: dict[int, LeftOut] = {}
    reasons: dict[int, str] = {}
    # On a cluster every thread has a refit of its own.
    cores = 2 if scheduler is None else 1
    shared = _Refitted(fit, group, seed, draws=REFIT_DRAWS, cores=cores, several=len(places) > 1)
    with workers(scheduler) as spread, keeping(found):
        for row, one in spread(_refit, places.tolist(), shared=shared, prepare=_ready):
            if isinstance(one, LeftOut):
                found[row] = one
            else:
                reasons[row] = one
            progress((len(found) + len(reasons)) / len(places))
    return found, "; ".join(dict.fromkeys(reasons[row] for row in sorted(reasons)))


@dataclass(frozen=True)
class _Refitted:
    """What every refit needs."""

    fit: xr.DataTree
    group: str
    seed: int
    draws: int
    cores: int
    several: bool


@dataclass(frozen=True)
class _Refits:
    """That, with the model, which a process compiles once, and what the fit itself expects."""

    refitted: _Refitted
    wrapper: TaskRefits
    before: dict[str, tuple[float, float]]


def _ready(refitted: _Refitted) -> _Refits | str:
    """Prepare for refits; return why there can be none, if so."""
    fit, seed = refitted.fit, refitted.seed
    group: Any = refitted.group
    try:
        wrapper = TaskRefits(fit, draws=refitted.draws, chains=2, seed=seed, cores=refitted.cores, var_name=group)
    except InputError as error:
        return str(error)
    return _Refits(refitted, wrapper, _expected_success(fit, fit["posterior"].to_dataset(), seed))


def _refit(place: int, refits: _Refits | str) -> LeftOut | str:
    """Fit without a task; return what that changes, or why it cannot be said."""
    if isinstance(refits, str):
        return refits
    fit, before = refits.refitted.fit, refits.before
    without, left = refits.wrapper.sel_observations(np.array(place))
    try:
        refit = refits.wrapper.draw(without, others=refits.refitted.several)
    except InputError as error:
        return str(error)
    posterior = refit["posterior"].to_dataset()
    if largest_rhat(posterior) > MAX_RHAT_OF_REFIT:
        return "their chains disagree"
    likelihood = refits.wrapper.log_likelihood__i(left, refit).values
    after = _expected_success(fit, posterior, refits.refitted.seed)
    sds = {label: abs(after[label][0] - mean) / max(sd, 1e-12) for label, (mean, sd) in before.items()}
    most = max(sds, key=lambda label: sds[label])
    return LeftOut(
        elpd=float(logsumexp(likelihood) - np.log(likelihood.size)),
        sds=sds[most],
        by=abs(after[most][0] - before[most][0]),
        words=f"{most} from {before[most][0]:.3f} to {after[most][0]:.3f}",
    )


def _expected_success(
    fit: xr.DataTree, posterior: xr.Dataset, seed: int, draws: int = 200
) -> dict[str, tuple[float, float]]:
    """Mean and sd over draws of each sampler's expected success at new tasks, the same ones for every posterior."""
    design = design_of(fit)
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    thin = posterior.isel(draw=slice(None, None, max(1, total // draws)))
    fresh = new_task_effects(design, spec_of(fit), thin, 256, seed)
    q = success_of_attempts(design, fresh, thin)
    means = {
        label: q.isel(cell=np.flatnonzero(fresh["cell_arm"].values == arm)).mean("cell").values
        for arm, label in enumerate(design.labels)
    }
    return {label: (float(values.mean()), float(values.std())) for label, values in means.items()}
