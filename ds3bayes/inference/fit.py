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
from rich.console import Console
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

from ds3bayes.deferred import pm
from ds3bayes.errors import InputError
from ds3bayes.evals import data_sha256
from ds3bayes.generative.build import coordinates, parameters, readable
from ds3bayes.generative.design import Design, make_design
from ds3bayes.generative.effects import points_at_draws, task_effects
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.bounds import FEW_TASKS, MIN_DRAWS_OF_K
from ds3bayes.inference.compiled import compile_model
from ds3bayes.theory.evaluate import python_mode

#: Number of the artifact's layout; `load` refuses a newer one and migrates older ones.
SCHEMA = 1
_PACKAGES = ("ds3bayes", "pymc", "pytensor", "nutpie", "arviz", "numpy", "xarray")


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
    task_draws: int = 1000,
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
    task_draws : int, default 1000
        About how many posterior draws get task effects (and so predictions), evenly thinned per chain.
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
        step = max(1, -(-posterior.sizes["chain"] * posterior.sizes["draw"] // task_draws))
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
    return result


def _log_likelihood(design: Design, spec: ModelSpec, posterior: xr.Dataset, effects: xr.Dataset) -> xr.Dataset:
    """Pointwise log-likelihood: of each task with its effects summed out, of aggregated rows, of other kinds."""
    result = effects[["log_likelihood"]].rename(log_likelihood="tasks")
    if not result.sizes["task"]:
        result = result.drop_dims("task")
    for name, (labels, values) in points_at_draws(design, spec, posterior.sel(draw=effects["draw"].values)).items():
        result[name] = (("chain", "draw", f"{name}_point"), values)
        result = result.assign_coords({f"{name}_point": list(labels)})
    if "curves" in design.observed:
        curves = design.observed["curves"]
        attempts, successes = np.array([[curve.attempts, curve.successes] for curve in curves]).T
        expected = posterior["aggregate_success"].sel(draw=effects["draw"].values)
        ways = gammaln(attempts + 1.0) - gammaln(successes + 1.0) - gammaln(attempts - successes + 1.0)
        result["aggregates"] = ways + xlogy(successes, expected) + xlog1py(attempts - successes, -expected)
    return result


def thinned(fit: xr.DataTree) -> xr.DataTree:
    """Return a fit at the draws that have pointwise log-likelihoods, for tools that want all groups at the same draws.

    ``az.psense_summary(ds3.thinned(fit))`` is one; without it, likelihoods and draws would not match and it would say
    NaN. `az.loo`, `az.compare` and `az.loo_kfold` take a fit as it is.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit`; of it about ``task_draws`` draws have task effects and likelihoods, evenly spaced.

    Returns
    -------
    xarray.DataTree
        The same groups; ``posterior``, ``sample_stats`` and ``log_prior`` at those draws.
    """
    draws = fit["log_likelihood"]["draw"].values
    groups = {name: group.to_dataset() for name, group in fit.children.items()}
    for name in {"posterior", "sample_stats", "log_prior"} & set(groups):
        groups[name] = groups[name].sel(draw=draws)
    result = xr.DataTree.from_dict(groups)
    result.attrs = dict(fit.attrs)
    return result


def log_prior(spec: ModelSpec, posterior: xr.Dataset) -> xr.Dataset:
    """Log prior density of the parameters at the top of a model, at each posterior draw.

    Parameters
    ----------
    spec : ModelSpec
    posterior : xarray.Dataset
        Draws, dims (chain, draw, ...).

    Returns
    -------
    xarray.Dataset
        By parameter, of the same dims. What is drawn around other parameters (a pooled ``location`` or ``spread``),
        computed from them, or latent in single tasks is left out, so that power-scaling asks about what a user stated.
    """
    own = [
        name
        for name, one in spec.parameters.items()
        if name in posterior and not (one.of_a_task or _follows(name, posterior))
    ]
    return xr.Dataset({name: spec.prior(name).log_density(posterior[name]) for name in own})


def _follows(name: str, posterior: xr.Dataset) -> bool:
    """Whether a variable is drawn around others, or computed from them, in the model that was fitted."""
    above = {"location": ("location_mean", "mean_logit"), "spread": ("spread_median",)}.get(name, ())
    return any(one in posterior for one in (*above, f"llm_{name}"))


def evals_of(fit: xr.DataTree) -> tuple[xr.Dataset, np.ndarray]:
    """Return the evaluations that a fit was made from, and which rows it held out."""
    constant = fit["constant_data"].to_dataset()
    evals = constant.drop_vars("held_out").assign(successes=fit["observed_data"]["successes"])
    if "run" not in evals:
        evals["run"] = ("row", np.full(evals.sizes["row"], "", dtype=object))
    return evals, constant["held_out"].values.astype(bool)


def spec_of(fit: xr.DataTree) -> ModelSpec:
    """Return the specification that a fit was made with."""
    return ModelSpec.from_dict(json.loads(fit.attrs["spec"]), "fit")


def design_of(fit: xr.DataTree) -> Design:
    """Rebuild the design of a fit from what it stores."""
    evals, held_out = evals_of(fit)
    return make_design(evals, spec_of(fit), held_out)


def prior_draws(design: Design, spec: ModelSpec, seed: int, draws: int = 500) -> xr.Dataset:
    """Draw the model's parameters, sampled and derived, from their priors: dims (chain, draw, ...), one chain."""
    with pm.Model(coords=coordinates(spec, design)) as model:
        readable(design, spec, parameters(spec, design))
    variables = [*model.free_RVs, *model.deterministics]
    values = pm.draw(variables, draws, random_seed=seed, mode=python_mode())
    if draws == 1:
        # One draw comes without a dimension of draws.
        values = [value[None] for value in values]
    dims = model.named_vars_to_dims
    used = {dim for variable in variables for dim in dims.get(variable.name, ())}
    return xr.Dataset(
        {
            variable.name: (("chain", "draw", *dims.get(variable.name, ())), value[None])
            for variable, value in zip(variables, values, strict=True)
        },
        coords={"chain": [0], "draw": np.arange(draws), **{dim: list(model.coords[dim]) for dim in sorted(used)}},
    )


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
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
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
