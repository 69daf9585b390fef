"""What priors believe about success and tokens, before any data and after."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Design
from ds3bayes.generative.observation.tokens import tokens_of
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_effects import new_task_effects, success_of_attempts
from ds3bayes.inference.artifact import design_of, prior_draws, spec_of

#: Tasks on which an LLM succeeds less (or fails less) often than this count as never (always) solved.
_HARDLY = 0.01
_TASKS = 256


def prior_beliefs(evals: xr.Dataset, spec: ModelSpec | None = None, *, draws: int = 300, seed: int = 0) -> pd.DataFrame:
    """Say what a spec's priors believe about every sampler of a table, without a fit.

    Parameters
    ----------
    evals : xarray.Dataset
        From `read_evals`; its counts and tokens are not used, only which LLMs, samplers and tasks there are.
    spec : ModelSpec, optional
        Defaults to ``ModelSpec()``.
    draws : int, default 300
        Draws of the parameters, each with 256 fresh tasks.
    seed : int, default 0

    Returns
    -------
    pandas.DataFrame
        One row per sampler and quantity: ``sampler``, ``quantity`` (success per attempt, mean over tasks; share of
        tasks on which it is below 0.01 and above 0.99; generated tokens per attempt, mean over tasks), the 5 %, 50 %
        and 95 % quantiles of the prior, and what was ``observed``.

    Raises
    ------
    InputError
        If evaluations or spec cannot be used.
    """
    spec = spec or ModelSpec()
    design = make_design(evals, spec, spec.held_out_rows(evals))
    return _beliefs(design, spec, prior_draws(design, spec, seed, draws), seed)


def beliefs_of_fit(fit: xr.DataTree, *, seed: int = 0) -> pd.DataFrame:
    """Return what the priors of a fit believed, as `prior_beliefs` does, from the prior draws that it stores."""
    return _beliefs(design_of(fit), spec_of(fit), fit["prior"].to_dataset().isel(draw=slice(0, 300)), seed)


def _beliefs(design: Design, spec: ModelSpec, prior: xr.Dataset, seed: int) -> pd.DataFrame:
    fresh = new_task_effects(design, spec, prior, _TASKS, seed)
    success = success_of_attempts(design, fresh, prior).isel(chain=0)
    fresh = fresh.isel(chain=0)
    rows = []
    for index, arm in enumerate(design.arms):
        cells = np.flatnonzero(fresh["cell_arm"].values == index)
        mine, q = fresh.isel(cell=cells), success.isel(cell=cells).values
        block = design.blocks[int(design.population_of_arm[index])]
        column = block.arms.index(index)
        n, c = block.attempts[:, column], block.successes[:, column]
        seen = c[n > 0] / n[n > 0]
        enough = seen.size > 0
        quantities = {
            "success per attempt": (q.mean(axis=1), c.sum() / n.sum() if enough else np.nan),
            "tasks hardly ever solved": ((q < _HARDLY).mean(axis=1), (seen == 0).mean() if enough else np.nan),
            "tasks almost always solved": ((q > 1 - _HARDLY).mean(axis=1), (seen == 1).mean() if enough else np.nan),
        }
        if design.has_tokens[index]:
            log_tokens, weight = (one[:, column] for one in tokens_of(block))
            tokens = np.exp(log_tokens[weight > 0])
            with np.errstate(over="ignore"):
                believed = np.exp(mine["log_tokens"].values).mean(axis=1)
            quantities["tokens per unit"] = (believed, tokens.mean() if tokens.size else np.nan)
        for name, (values, observed) in quantities.items():
            rows.append((str(arm), name, *np.quantile(values, [0.05, 0.5, 0.95]), float(observed)))
    return pd.DataFrame(rows, columns=["sampler", "quantity", "5%", "50%", "95%", "observed"])
