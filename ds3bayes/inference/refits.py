"""`TaskRefits`: a fit's model without some of its tasks, for ArviZ's exact cross-validation."""

from __future__ import annotations

from typing import Any, Literal

import arviz as az
import numpy as np
import xarray as xr
from scipy import stats

from ds3bayes.engine.evaluate import AtPoints
from ds3bayes.errors import InputError
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Design
from ds3bayes.generative.model import assemble, coordinates
from ds3bayes.generative.observation.aggregates import Aggregates
from ds3bayes.generative.observation.cut_attempts import CutAttempts
from ds3bayes.generative.task_effects import PopulationAtDraws, by_draw, each_draw
from ds3bayes.inference.artifact import design_of, evals_of, spec_of
from ds3bayes.inference.compiled import CompiledModel, compile_model
from ds3bayes.inference.fit import warn_of_faults


class TaskRefits(az.SamplingWrapper):
    """Refits the model of a fit without some tasks, or aggregated rows, so that ArviZ can leave them out exactly.

    ``az.loo_kfold(fit, ds3.TaskRefits(fit), var_name="tasks", k=5)`` leaves out a fifth of the tasks at a time and asks
    how well the others predict all they were observed to do: counts and tokens, every LLM and strategy at once. It is
    what ``az.loo(fit, var_name="tasks")`` approximates, and holds where Pareto k are high.
    The model is compiled once, for the first fold; the others only get other data.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit`.
    draws, tune, chains, seed : int, optional
        Of every refit; those of the fit's spec if absent.
    cores : int, default 2
        Chains sampled at the same time.
    task_draws : int, default 1000
        About how many draws of a refit the left-out tasks are judged at, evenly thinned.
    var_name : {"tasks", "aggregates"}, default "tasks"
        What is left out, as the fit's log-likelihood names it: tasks, or rows without a task.

    Raises
    ------
    InputError
        If the fit has none of them, or tasks whose attempts a budget cut: their latent tokens are part of the
        posterior, which a refit without the task lacks.

    Warns
    -----
    FitWarning
        If the draws of a refit cannot be trusted.

    References
    ----------
    Vehtari, Gelman, Gabry (2017), Statistics and Computing 27: K-fold cross-validation.
    """

    def __init__(
        self,
        fit: xr.DataTree,
        *,
        draws: int | None = None,
        tune: int | None = None,
        chains: int | None = None,
        seed: int | None = None,
        cores: int = 2,
        task_draws: int = 1000,
        var_name: Literal["tasks", "aggregates"] = "tasks",
    ) -> None:
        super().__init__(model=None, idata_orig=fit)
        self.evals, self.held_out = evals_of(fit)
        self.spec, self.design = spec_of(fit), design_of(fit)
        self.unit = {"tasks": "task", "aggregates": "aggregate"}[var_name]
        if self.unit == "task" and not any(block.tasks for block in self.design.blocks):
            raise InputError("the fit has no tasks to leave out: its table holds aggregated rows only")
        if self.unit == "aggregate" and Aggregates.seen(self.design) is None:
            raise InputError("the fit has no rows without a task to leave out")
        if CutAttempts.seen(self.design) is not None:
            raise InputError(
                "attempts at some tasks were cut by a budget, and such tasks cannot be left out: use `az.loo`, or fit "
                "without the column `truncated`"
            )
        given = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
        self.sampling = self.spec.sampling.model_copy(
            update={name: value for name, value in given.items() if value is not None}
        )
        self.cores, self.task_draws = cores, task_draws
        self._posterior = fit["posterior"].to_dataset()
        # Without a few tasks, the posterior is near: chains start at draws of it.
        self._points = fit["sampler_points"].to_dataset()["unconstrained"].values if "sampler_points" in fit else None
        self._population = (
            None if self.unit == "aggregate" else PopulationAtDraws(self.design, self.spec, self._posterior)
        )
        self._compiled: CompiledModel | None = None

    def sel_observations(self, idx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows a refit must not see, shape (row,), and the tasks that this leaves out.

        Parameters
        ----------
        idx : int or int array
            Places along the dim ``task`` (or ``aggregate``) of the fit's log-likelihood.
        """
        places = np.atleast_1d(idx)
        if self.unit == "aggregate":
            without = self.held_out.copy()
            without[np.flatnonzero((self.evals["task"].values == "") & ~self.held_out)[places]] = True
            return without, places
        # A task of a benchmark belongs to one block, whichever arms try it.
        known = [
            (self.design.arms[block.arms[0]].benchmark, task) for block in self.design.blocks for task in block.tasks
        ]
        left_out = {known[place] for place in places}
        rows = zip(self.evals["benchmark"].values, self.evals["task"].values, strict=True)
        return self.held_out | np.array([(str(one), str(task)) in left_out for one, task in rows]), places

    def sample(self, modified_observed_data: np.ndarray) -> xr.DataTree:
        """Sample the posterior without some rows, and warn of its faults: groups ``posterior`` and ``sample_stats``."""
        drawn = self.draw(modified_observed_data)
        warn_of_faults(drawn, f"refit without {int((modified_observed_data & ~self.held_out).sum())} rows: ")
        return drawn

    def draw(self, modified_observed_data: np.ndarray, *, others: bool = True) -> xr.DataTree:
        """Sample the posterior without some rows, as `sample` does, for a caller that judges the draws itself.

        A model that other refits will not follow is made faster.
        """
        design = make_design(self.evals, self.spec, modified_observed_data)
        self._same_parameters(design)
        if self._compiled is None:
            self._compiled = compile_model(design, self.spec, swap=others)
        else:
            self._compiled = self._compiled.of(design)
        drawn = self._compiled.sample(self.sampling, cores=self.cores, near=self._points)
        drawn.attrs = dict(self.idata_orig.attrs)
        return drawn

    def get_inference_data(self, fitted_model: xr.DataTree) -> xr.DataTree:
        """Return what `sample` drew."""
        return fitted_model

    def log_likelihood__i(self, excluded_obs: np.ndarray, idata__i: xr.DataTree) -> xr.DataArray:
        """Log-likelihood of left-out tasks, their effects summed out: dims (chain, draw, task), or of rows."""
        posterior = idata__i["posterior"].to_dataset()
        step = max(1, -(-posterior.sizes["chain"] * posterior.sizes["draw"] // self.task_draws))
        posterior = posterior.isel(draw=slice(None, None, step))
        if self.unit == "aggregate":
            values = self._aggregates(posterior)[:, excluded_obs]
        else:
            values = np.stack([self._at(draw)[excluded_obs] for draw in each_draw(posterior)])
        return xr.DataArray(
            values.reshape(posterior.sizes["chain"], posterior.sizes["draw"], -1),
            dims=("chain", "draw", self.unit),
            coords={
                "chain": posterior["chain"],
                "draw": posterior["draw"],
                self.unit: self.idata_orig["log_likelihood"][self.unit].values[excluded_obs],
            },
        )

    def _aggregates(self, posterior: xr.Dataset) -> np.ndarray:
        """Log-likelihood of every row without a task of the fit at draws: (sample, aggregate)."""
        model = assemble(self.spec, self.design)
        given = {str(name): model[name] for name in posterior.data_vars if name != "aggregate_success"}
        shapes = {name: posterior[name].shape[2:] for name in given}
        at_points = AtPoints(given, shapes, {"success": model["aggregate_success"]})
        expected = at_points(by_draw(posterior[list(given)]))["success"]
        attempts, successes = np.array(
            [[one.attempts, one.successes] for one in (Aggregates.seen(self.design) or ())]
        ).T
        return np.asarray(stats.binom.logpmf(successes, attempts, np.clip(expected, 0.0, 1.0)))

    def _at(self, draw: Any) -> np.ndarray:
        """Log-likelihood of every task of the fit at one draw."""
        assert self._population is not None
        parts = [
            self._population(index, draw)["log_marginal"][block.distinct[1]]
            for index, block in enumerate(self.design.blocks)
            if block.tasks
        ]
        return np.concatenate(parts)

    def _same_parameters(self, design: Design) -> None:
        """Refuse a refit that lacks a parameter, since nothing was left to inform it; before it is sampled."""
        coords = coordinates(self.spec, design)
        gone = [
            str(name)
            for name, values in self._posterior.data_vars.items()
            # One expected success for each row that is left.
            if str(name) != "aggregate_success"
            if any(len(coords.get(str(dim), ())) != values.sizes[dim] for dim in values.dims[2:])
        ]
        if gone:
            raise InputError(
                f"without the {self.unit}s of one fold there is nothing that {', '.join(gone)} belongs to: use more "
                "folds, or give `folds` that spread over each fold what only some tasks were observed with"
            )
