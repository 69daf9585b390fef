"""`fit`: from evaluations and a specification to posterior draws of the population and of every task."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import xarray as xr
from scipy.special import gammaln, xlog1py, xlogy

from ds3bayes.errors import InputError
from ds3bayes.evals.cuts import name_cuts
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Design
from ds3bayes.generative.observation.aggregates import Aggregates
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_effects import points_at_draws, task_effects
from ds3bayes.inference.artifact import about, data_groups, log_prior, prior_draws
from ds3bayes.inference.bounds import FEW_TASKS, MIN_DRAWS_OF_K
from ds3bayes.inference.compiled import compile_model
from ds3bayes.inference.notebook import show_in_notebooks
from ds3bayes.inference.preliminary import FirstLook, first_look
from ds3bayes.inference.spread_chains import Order, sampled_there
from ds3bayes.inference.unfinished import about_fit, keeping_in
from ds3bayes.progress import Told, doing

# Task effects of all draws, tasks and samplers, beyond which fewer draws get them: 26 bytes each.
_EFFECTS = 2e7


class FitWarning(UserWarning):
    """Something about a fit that its user should act on; the message says how."""


def fit(
    evals: xr.Dataset,
    spec: ModelSpec | None = None,
    *,
    draws: int | None = None,
    tune: int | None = None,
    chains: int | None = None,
    cores: int = 2,
    seed: int | None = None,
    task_draws: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    scheduler: str | None = None,
    progress: bool = True,
    preliminary: Callable[[xr.DataTree], str] | None = None,
) -> xr.DataTree:
    """Sample the posterior of a model given evaluations.

    Parameters
    ----------
    evals : xarray.Dataset
        From `read_evals`.
    spec : ModelSpec, optional
        Defaults to ``ModelSpec()``, which works on any table of counts.
    draws, tune, chains, seed : int, optional
        Override ``spec.sampling``.
    cores : int, default 2
        Chains sampled at the same time.
    task_draws : int, optional
        About how many posterior draws get task effects (and so predictions), evenly thinned per chain: 1000, and fewer,
        down to 200, where tasks times samplers exceed 20,000, so that memory is bounded.
    resume : path, optional
        Folder in which draws are kept as they come. If this process is killed, the same call goes on from there: it
        loses at most the last second of sampling, and the draws are those of a call that was not interrupted, bit for
        bit. What it holds of another model, data, seed or version is removed, and a line says so. ``save(fit, PATH)``
        removes the folder ``PATH.unfinished``; any other is yours to remove. Of a model that numba must compile
        (`EngineWarning`), and with ``scheduler``, only whole chains are kept.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``, whose workers sample a chain each: the same
        draws, by the seed. Needs the extra ``distributed``.
    progress : bool, default True
        Show what is being done: on a terminal with the time left, draws per second and divergences as they come, else a
        line for every stage once it is done.
    preliminary : callable, optional
        Called as soon as the posterior's mode is known, in a thread beside the chains, with a fit that `predict` takes:
        150 draws of the normal law that the posterior is like there (Laplace's approximation). The text that it returns
        is shown with the progress. Where the posterior is nothing like a normal law, or once the chains are done, it is
        not called, and the draws are the same with or without it. On the shipped specifications for which it is called,
        mean predictions are at most .6 posterior standard deviations off.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` and ``sample_stats`` (chain, draw, ...), ``prior``, ``log_prior`` (per parameter),
        ``log_likelihood`` (per task and per aggregated row, at about ``task_draws`` draws), ``task_effects`` (chain,
        draw, cell), ``observed_data`` and ``constant_data`` (row), and ``sampler_points``: a few draws as the sampler
        sees them. Root attrs: schema number, model id, spec as JSON,
        data hash, package versions, seed and times in seconds.

    Raises
    ------
    InputError
        If the evaluations or the spec cannot be used; before anything is compiled. If the cluster has no scheduler, no
        worker or other versions.
    ClusterError
        If the cluster gave chains up.

    Warns
    -----
    FitWarning
        One for each fault of the draws (divergences, chains that disagree, too few effective draws, tree depth, energy)
        and one if many tasks are influential; each names the parameter or task, by how much, and what to set.
    UserWarning
        If ``resume`` could not keep all draws.
    """
    spec = spec or ModelSpec()
    changes = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    given = {name: value for name, value in changes.items() if value is not None}
    sampling = spec.sampling.model_copy(update=given)
    for name in ("draws", "tune", "chains"):
        if given.get(name, 1) < 1:
            raise InputError(f"{name} must be at least 1, got {given[name]}")
    if "max_tokens" not in evals:
        # Evaluations that were stored, or cut to some columns, before there was one.
        evals = name_cuts(evals)
    held_out = spec.held_out_rows(evals)
    design = make_design(evals, spec, held_out)

    times = {}
    with keeping_in(resume, about_fit(spec, evals, sampling=sampling.model_dump_json())) as kept:
        with doing("building the model", show=progress) as told:
            # One data set: its numbers stay constants of the code.
            compiled = compile_model(design, spec, swap=False)
            times["compile_seconds"] = told.seconds
        length = sampling.draws + compiled.tune(sampling)

        def look(told: Told) -> AbstractContextManager[FirstLook]:
            return first_look(preliminary, compiled, design, spec, evals, held_out, told)

        if scheduler is None:
            with doing("sampling", length * sampling.chains, show=progress) as told, look(told) as first:
                tree = compiled.sample(sampling, cores=cores, progress=told, unfinished=kept)
                times["sample_seconds"] = told.seconds
        else:
            with (
                doing("sampling on the cluster", sampling.chains, unit="chains", show=progress) as told,
                look(told) as first,
            ):
                order = Order(design=design, spec=spec, sampling=sampling, unfinished=kept)
                tree = compiled.tree(sampled_there([order], scheduler, told)[0])
                times["sample_seconds"] = told.seconds
    with doing("drawing task effects", show=progress) as told:
        posterior = tree["posterior"].to_dataset()
        most = _task_draws(design) if task_draws is None else task_draws
        step = max(1, -(-posterior.sizes["chain"] * posterior.sizes["draw"] // most))
        kept_draws = posterior.isel(draw=slice(None, None, step))
        effects = task_effects(design, spec, kept_draws, sampling.seed, first.population, told.share)
        times["effects_seconds"] = told.seconds
        drawn = {name: group.to_dataset() for name, group in tree.children.items()}
        result = xr.DataTree.from_dict(
            {
                **drawn,
                "prior": prior_draws(design, spec, sampling.seed),
                "log_likelihood": _log_likelihood(design, spec, posterior, effects),
                "log_prior": log_prior(spec, posterior),
                "task_effects": effects.drop_vars(["log_likelihood", "task"]),
                **data_groups(evals, held_out),
            }
        )
    seconds = {name: round(value, 3) for name, value in times.items()}
    result.attrs = about(spec, evals, sampling.seed) | seconds
    warn_of_faults(result)
    show_in_notebooks()
    return result


def sample_ahead(
    fits: Sequence[tuple[xr.Dataset, ModelSpec, str | os.PathLike[str]]], scheduler: str, *, progress: bool = True
) -> None:
    """Sample the chains of many fits on a cluster, all at once; `fit` with the same ``resume`` then finds them.

    Parameters
    ----------
    fits : sequence of (evaluations, spec, folder)
        The folder is that of ``resume``, one for each.
    scheduler, progress
        As for `fit`.

    Raises
    ------
    InputError, ClusterError
        As from `fit`. Chains that were done are kept.
    """
    with ExitStack() as held:
        orders = []
        for evals, spec, folder in fits:
            about = about_fit(spec, evals, sampling=spec.sampling.model_dump_json())
            kept = held.enter_context(keeping_in(folder, about))
            design = make_design(evals, spec, spec.held_out_rows(evals))
            orders.append(Order(design=design, spec=spec, sampling=spec.sampling, unfinished=kept))
        total = sum(order.sampling.chains for order in orders)
        with doing(f"sampling {len(orders)} fits on the cluster", total, unit="chains", show=progress) as told:
            sampled_there(orders, scheduler, told)


def _task_draws(design: Design) -> int:
    """Return about how many draws get task effects if nothing else is said."""
    cells = sum(len(block.tasks) * len(block.arms) for block in design.blocks)
    return int(np.clip(_EFFECTS / max(1, cells), 200, 1000))


def _log_likelihood(design: Design, spec: ModelSpec, posterior: xr.Dataset, effects: xr.Dataset) -> xr.Dataset:
    """Pointwise log-likelihood: of each task with its effects summed out, of aggregated rows, of other kinds."""
    result = effects[["log_likelihood"]].rename(log_likelihood="tasks")
    if not result.sizes["task"]:
        result = result.drop_dims("task")
    for name, (labels, values) in points_at_draws(design, spec, posterior.sel(draw=effects["draw"].values)).items():
        result[name] = (("chain", "draw", f"{name}_point"), values)
        result = result.assign_coords({f"{name}_point": list(labels)})
    curves = Aggregates.seen(design)
    if curves is not None:
        attempts, successes = np.array([[curve.attempts, curve.successes] for curve in curves]).T
        expected = posterior["aggregate_success"].sel(draw=effects["draw"].values)
        ways = gammaln(attempts + 1.0) - gammaln(successes + 1.0) - gammaln(attempts - successes + 1.0)
        result["aggregates"] = ways + xlogy(successes, expected) + xlog1py(attempts - successes, -expected)
    return result


def warn_of_faults(result: xr.DataTree, what: str = "") -> None:
    """Warn of what went wrong in sampling, and of tasks that decide too much; one warning each."""
    try:
        faults = _faults(result)
    except Exception as error:
        # An hour's draws outlast whatever fails in looking at them.
        faults = [f"looking for faults of the fit failed ({type(error).__name__}: {error}); it is kept all the same"]
    for fault in faults:
        warnings.warn(what + fault, FitWarning, stacklevel=3)


def _faults(result: xr.DataTree) -> list[str]:
    from ds3bayes.inference.checks import leave_one_out, sampling_faults

    faults, _ = sampling_faults(result)
    likelihood = result.get("log_likelihood")
    if likelihood is not None and likelihood.sizes["chain"] * likelihood.sizes["draw"] >= MIN_DRAWS_OF_K:
        influence = leave_one_out(result)
        # Where tasks are few, each is bound to matter; `check` says so.
        if not influence.passed and len(influence.table) >= FEW_TASKS:
            faults.append(influence.sentence)
    return faults
