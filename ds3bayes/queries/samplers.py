"""`samplers`: what was learned of every sampler, to be selected by LLM, benchmark, strategy, effort and budget."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ds3bayes.inference.artifact import design_of

_COORDINATES = ("model", "benchmark", "strategy", "effort", "budget_tokens", "max_tokens")


def samplers(fit: xr.DataTree) -> xr.Dataset:
    """Return the posterior of what belongs to samplers along one dimension, with their settings as coordinates.

    A sampler is an LLM on a benchmark with one way of making attempts. In ``fit["posterior"]`` a parameter has the
    samplers that it exists for as its own dimension; here all share one, so that ``samplers(fit).sel(model="gpt-4")``
    selects by LLM.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.

    Returns
    -------
    xarray.Dataset
        Dims (chain, draw, sampler): every parameter of samplers, and those of an LLM on a benchmark (``reachability``)
        for each of its samplers; NaN where a sampler has no such parameter. Coordinates of ``sampler``, each of them an
        index: ``model``, ``benchmark``, ``strategy`` (name), ``effort`` (empty if not set), ``budget_tokens`` (asked)
        and ``max_tokens`` (cut; both in tokens, NaN if not set). Select by one of them at a time:
        ``.sel(model="gpt-4").sel(strategy="cot")``.

    Notes
    -----
    The group ``posterior`` of a fit has no such coordinates because ``az.summary`` refuses variables of which only some
    have them (ArviZ 1, xarray 2025).

    Examples
    --------
    ``az.plot_forest(xr.DataTree.from_dict({"posterior": ds3.samplers(fit)}), coords={"model": "gpt-4"})``
    """
    design, posterior = design_of(fit), fit["posterior"].to_dataset()
    arms, labels = design.arms, design.labels
    pairs = [arm.pair for arm in arms]
    found: dict[str, xr.DataArray] = {}
    for name, values in posterior.data_vars.items():
        dim = str(values.dims[-1])
        if dim in ("chain", "draw"):
            continue
        members = [str(one) for one in values[dim].values]
        # A search has parameters of its own beside those of its LLM's walks.
        own = pairs if set(members) <= set(pairs) else labels
        if not set(members) <= set(own):
            continue
        place = np.array([members.index(one) if one in members else -1 for one in own])
        if own is pairs:
            search = np.array([arm.is_tree for arm in arms])
            place = np.where(search == (dim == "tree"), place, -1)
        taken = values.isel({dim: np.maximum(place, 0)}).drop_vars(dim).rename({dim: "sampler"})
        found[str(name)] = taken.where(xr.DataArray(place >= 0, dims="sampler"))

    def along(name: str) -> tuple[str, list[float], dict[str, str]]:
        values = [np.nan if arm.setting[name] is None else float(arm.setting[name]) for arm in arms]
        return "sampler", values, {"units": "tokens"}

    result = xr.Dataset(found).assign_coords(
        sampler=labels,
        model=("sampler", [arm.model for arm in arms]),
        benchmark=("sampler", [arm.benchmark for arm in arms]),
        strategy=("sampler", [arm.walk for arm in arms]),
        effort=("sampler", [arm.effort for arm in arms]),
        budget_tokens=along("budget_tokens"),
        max_tokens=along("max_tokens"),
    )
    for name in _COORDINATES:
        result = result.set_xindex(name)
    return result
