"""`fit`: from evaluations and a specification to posterior draws of the population and of every task."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from scipy.special import gammaln, xlog1py, xlogy

from ds3bayes.errors import InputError
from ds3bayes.evals import data_sha256
from ds3bayes.evals.cuts import name_cuts
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Design
from ds3bayes.generative.observation.aggregates import Aggregates
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_effects import points_at_draws, task_effects
from ds3bayes.inference.artifact import SCHEMA, log_prior, prior_draws
from ds3bayes.inference.bounds import FEW_TASKS, MIN_DRAWS_OF_K
from ds3bayes.inference.compiled import compile_model
from ds3bayes.inference.notebook import show_in_notebooks
from ds3bayes.terminal import Terminal

_PACKAGES = ("ds3bayes", "pymc", "pytensor", "nutpie", "arviz", "numpy", "xarray")


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
    progress: bool = True,
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
    progress : bool, default True
        Show what is being done.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` and ``sample_stats`` (chain, draw, ...), ``prior``, ``log_prior`` (per parameter),
        ``log_likelihood`` (per task and per aggregated row, at about ``task_draws`` draws), ``task_effects`` (chain,
        draw, cell), ``observed_data`` and ``constant_data`` (row). Root attrs: schema number, model id, spec as JSON,
        data hash, package versions, seed and times in seconds.

    Raises
    ------
    InputError
        If the evaluations or the spec cannot be used; before anything is compiled.

    Warns
    -----
    FitWarning
        One for each fault of the draws (divergences, chains that disagree, too few effective draws, tree depth, energy)
        and one if many tasks are influential; each names the parameter or task, by how much, and what to set.
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
    with _stages(progress) as stage:
        started = time.perf_counter()
        stage("compiling the model")
        # One data set: its numbers stay constants of the code.
        compiled = compile_model(design, spec, swap=False)
        times["compile_seconds"] = time.perf_counter() - started
        started = time.perf_counter()
        update = stage("sampling", (sampling.draws + compiled.tune(sampling)) * sampling.chains)
        tree = compiled.sample(sampling, cores=cores, progress=update)
        times["sample_seconds"] = time.perf_counter() - started
        started = time.perf_counter()
        stage("drawing task effects")
        posterior = tree["posterior"].to_dataset()
        most = _task_draws(design) if task_draws is None else task_draws
        step = max(1, -(-posterior.sizes["chain"] * posterior.sizes["draw"] // most))
        effects = task_effects(design, spec, posterior.isel(draw=slice(None, None, step)), sampling.seed)
        times["effects_seconds"] = time.perf_counter() - started

    result = xr.DataTree.from_dict(
        {
            "posterior": posterior,
            "sample_stats": tree["sample_stats"].to_dataset(),
            "prior": prior_draws(design, spec, sampling.seed),
            "log_likelihood": _log_likelihood(design, spec, posterior, effects),
            "log_prior": log_prior(spec, posterior),
            "task_effects": effects.drop_vars(["log_likelihood", "task"]),
            "observed_data": evals[["successes"]].drop_attrs(deep=False),
            "constant_data": evals.drop_vars("successes").assign(held_out=("row", held_out)),
        }
    )
    result.attrs = {
        "schema": SCHEMA,
        "model_id": spec.model_id,
        "spec": spec.model_dump_json(),
        "data_sha256": data_sha256(evals),
        "versions": json.dumps({name: version(name) for name in _PACKAGES}),
        "seed": sampling.seed,
        **{name: round(value, 3) for name, value in times.items()},
    }
    warn_of_faults(result)
    show_in_notebooks()
    return result


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


class _Rate(ProgressColumn):
    """Draws per second of a stage that counts them."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        counted = (task.total or 1) > 1
        return Text(f"{speed:,.0f}/s" if speed and counted else "")


@contextmanager
def _stages(show: bool) -> Iterator[Any]:
    """Show one line per stage of the work; yield a function that starts a stage and returns its updater."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Terminal(stderr=True), disable=not show) as progress:
        current: list[Any] = []

        def stage(what: str, total: int | None = None) -> Any:
            if current:
                # A stage without a count has done its one thing.
                last = progress.tasks[current[-1]]
                progress.update(current[-1], total=last.total or 1, completed=last.total or 1)
            current.append(progress.add_task(what, total=total))
            return lambda done: progress.update(current[-1], completed=done)

        yield stage
        stage_done = progress.tasks[current[-1]]
        progress.update(current[-1], total=stage_done.total or 1, completed=stage_done.total or 1)


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
