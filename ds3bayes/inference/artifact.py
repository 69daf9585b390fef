"""What a fit holds, read back: its evaluations, spec, design, and draws of its priors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from ds3bayes.deferred import pm
from ds3bayes.evals import data_sha256
from ds3bayes.evals.cuts import name_cuts
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Design
from ds3bayes.generative.model import coordinates, parameters, readable
from ds3bayes.generative.prices import LearnedPrices, learned_prices
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.theory.evaluate import python_mode

#: Number of the artifact's layout; `load` refuses a newer one and migrates older ones.
SCHEMA = 5
#: The first schema whose fits carry a digest of their values.
DIGEST_SINCE = 4
_PACKAGES = ("ds3bayes", "pymc", "pytensor", "nutpie", "arviz", "numpy", "xarray")


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
    above = {
        "location": ("location_mean", "mean_logit", "anchor_mean_logit"),
        "spread": ("spread_median", "own_spread"),
    }.get(name, ())
    return any(one in posterior for one in (*above, f"llm_{name}", f"anchor_{name}"))


def about(spec: ModelSpec, evals: xr.Dataset, seed: int) -> dict[str, Any]:
    """Return what the attributes of a fit say of how it was made."""
    return {
        "schema": SCHEMA,
        "model_id": spec.model_id,
        "spec": spec.model_dump_json(),
        "data_sha256": data_sha256(evals),
        "versions": json.dumps({name: version(name) for name in _PACKAGES}),
        "seed": seed,
    }


def data_groups(evals: xr.Dataset, held_out: np.ndarray) -> dict[str, xr.Dataset]:
    """Return the groups of a fit that hold its evaluations."""
    return {
        "observed_data": evals[["successes"]].drop_attrs(deep=False),
        "constant_data": evals.drop_vars("successes").assign(held_out=("row", held_out)),
    }


def evals_of(fit: xr.DataTree) -> tuple[xr.Dataset, np.ndarray]:
    """Return the evaluations that a fit was made from, and which rows it held out."""
    evals, held_out = stored_evals(fit)
    if "max_tokens" not in evals:
        # Schema 1 knew one column, and took the budgets of aggregates, and those with truncated attempts, for cuts.
        evals = name_cuts(evals, as_schema_1=True)
    if "run" not in evals:
        evals["run"] = ("row", np.full(evals.sizes["row"], "", dtype=object))
    if "outputs" not in evals:
        evals["outputs"] = ("row", np.full(evals.sizes["row"], np.nan))
    return evals, held_out


def stored_evals(fit: xr.DataTree) -> tuple[xr.Dataset, np.ndarray]:
    """Return the evaluations of a fit, of whatever schema, as they are stored, and which rows it held out."""
    constant = fit["constant_data"].to_dataset()
    evals = constant.drop_vars("held_out").assign(successes=fit["observed_data"]["successes"])
    return evals, constant["held_out"].values.astype(bool)


def spec_of(fit: xr.DataTree) -> ModelSpec:
    """Return the specification that a fit was made with."""
    return ModelSpec.from_dict(json.loads(fit.attrs["spec"]), "fit")


def prices_of(fit: xr.DataTree) -> LearnedPrices:
    """Return the prices that the costs of a fit's rows tell, where its spec leaves them open."""
    evals, held_out = evals_of(fit)
    return _prices(_Stored(fit.attrs["spec"], fit.attrs["data_sha256"], held_out.tobytes(), evals))


def design_of(fit: xr.DataTree) -> Design:
    """Rebuild the design of a fit from what it stores: once for a spec and data, however many questions are asked."""
    evals, held_out = evals_of(fit)
    return _design(_Stored(fit.attrs["spec"], fit.attrs["data_sha256"], held_out.tobytes(), evals))


@dataclass(frozen=True)
class _Stored:
    """What a design follows from; equal if spec, data and held-out rows are."""

    spec: str
    data_sha256: str
    held_out: bytes
    evals: xr.Dataset = field(compare=False)


@lru_cache(maxsize=8)
def _design(stored: _Stored) -> Design:
    spec = ModelSpec.from_dict(json.loads(stored.spec), "fit")
    return make_design(stored.evals, spec, np.frombuffer(stored.held_out, dtype=bool))


@lru_cache(maxsize=8)
def _prices(stored: _Stored) -> LearnedPrices:
    return learned_prices(ModelSpec.from_dict(json.loads(stored.spec), "fit"), stored.evals)


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
