"""`learned_graph`: what a fit with annotated tasks learned of skills and prerequisites."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import expit

from ds3bayes.errors import InputError
from ds3bayes.generative.capability.skill_graph import SkillMastery
from ds3bayes.inference.artifact import spec_of


def learned_graph(fit: xr.DataTree, *, threshold: float = 0.2) -> xr.Dataset:
    """Return mastery of each skill by each LLM, and the weight of each prerequisite.

    Parameters
    ----------
    fit : xarray.DataTree
        With ``capability = "skill_graph"``.
    threshold : float, default 0.2
        Weight above which an edge counts as there: an LLM with half the mastery of the prerequisite has at least
        0.14 less on the logit of what builds on it.

    Returns
    -------
    xarray.Dataset
        ``mastery`` (chain, draw, llm, skill): probability that a step at the skill is right; ``weight`` (chain, draw,
        edge); ``edge_probability`` (edge): share of draws whose weight is above the threshold, and
        ``prior_edge_probability`` (edge), the same under the prior: where both are alike, the data say nothing of
        the edge. Coordinates ``parent`` and ``child`` of each edge.

    Raises
    ------
    InputError
        If the fit has another capability, or the threshold is negative.
    """
    spec = spec_of(fit)
    if not isinstance(spec.capability, SkillMastery):
        raise InputError(
            f"this fit has capability {spec.capability.kind!r}, which knows no skills; annotate tasks with a column "
            "skills and fit with capability = 'skill_graph'"
        )
    if not threshold >= 0:
        raise InputError(f"threshold = {threshold!r}; a weight is at least 0")
    posterior, prior = fit["posterior"].to_dataset(), fit["prior"].to_dataset()
    edges = spec.capability.all_edges()
    labels = [f"{first} -> {then}" for first, then in edges]
    empty = xr.DataArray(
        np.empty((posterior.sizes["chain"], posterior.sizes["draw"], 0)), dims=("chain", "draw", "edge")
    )
    weight = posterior["weight"].sel(edge=labels) if edges else empty
    before = prior["weight"].sel(edge=labels) if edges else empty
    return xr.Dataset(
        {
            "mastery": xr.apply_ufunc(expit, posterior["mastery_logit"]).assign_attrs(
                units="1", long_name="probability that a step at the skill is right"
            ),
            "weight": weight.assign_attrs(units="1", long_name="power of the prerequisite's mastery"),
            "edge_probability": (weight > threshold).mean(("chain", "draw")),
            "prior_edge_probability": (before > threshold).mean(("chain", "draw")),
        },
        coords={
            "parent": ("edge", np.array([first for first, _ in edges], dtype=object)),
            "child": ("edge", np.array([then for _, then in edges], dtype=object)),
        },
        attrs={"threshold": threshold},
    )
