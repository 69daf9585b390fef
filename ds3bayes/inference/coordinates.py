"""Coordinates in which the sampler moves freely: along ridges that data leave open, and out of funnels."""

from __future__ import annotations

from typing import Any

import numpy as np
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.basic import LogNormalRV

from ds3bayes.deferred import pm, pt
from ds3bayes.generative.capability.free import bare_walks, mean_stretch
from ds3bayes.generative.design import Design

_RIDGE = ("ridge_logit", "ridge_split")
# By the variable, which may be drawn around a mean.
_HALF_CENTRED = {name: f"{name}_half_centred" for name in ("anchor_location", "location_rise", "location", "spread")}

#: Variables that exist for the sampler alone; posteriors do not hold them.
COORDINATES = (*_RIDGE, *_HALF_CENTRED.values())


def for_sampler(model: pm.Model, design: Design) -> pm.Model:
    """Return the same model in the coordinates in which it is sampled: `along_ridges` and `half_centred`."""
    return half_centred(along_ridges(model, design))


def half_centred(model: pm.Model) -> pm.Model:
    """Return the same model with other coordinates for locations and spreads that are drawn around a mean of theirs.

    Where data tell a value x ~ Normal(m, s) well, NUTS moves freely in x itself; where they tell little, in
    (x - m) / s, for otherwise x is held to m as s falls, a funnel. Of pooled LLMs some are told well and others not at
    all (all tasks solved), and s is unknown too. So the coordinate stands half way, z ~ Normal(m / 2, sqrt(s)) with
    x = m + sqrt(s) (z - m / 2): either trouble is left with its root. For a log-normal value x is its log.

    Parameters
    ----------
    model : pymc.Model

    Returns
    -------
    pymc.Model
        The model itself where no such value has an unknown scale.

    Notes
    -----
    Measured on five pooled LLMs that solve everything, 3 fits of 4,000 draws: 7 divergences and an effective sample
    size of 212 in x, 55 and 1,300 in (x - m) / s, none and 737 half way. Where data tell much (ten LLMs, a million
    attempts), half way gives as many effective draws per gradient as x, twice as many as spreads in (x - m) / s.
    """
    moved = {}
    free = set(model.free_RVs)
    for variable in model.free_RVs:
        if variable.name not in _HALF_CENTRED:
            continue
        *_, mean, sd = variable.owner.inputs
        if not free & set(ancestors([sd])):
            continue
        root = pt.sqrt(sd)
        with model:
            half = pm.Normal(_HALF_CENTRED[variable.name], mean / 2, root, dims=model.named_vars_to_dims[variable.name])
        value = mean + root * (half - mean / 2)
        moved[variable.name] = pt.exp(value) if isinstance(variable.owner.op, LogNormalRV) else value
    return pm.do(model, moved) if moved else model


def along_ridges(model: pm.Model, design: Design) -> pm.Model:
    """Return the same model with other coordinates for ``location`` and ``reachability``, where a ridge joins them.

    Counts of few attempts tell little more than the share of attempts solved: the probability that a task is reachable
    times the mean success on reachable tasks. Where the one rises the other falls, along a curve with two arms at right
    angles, on which NUTS creeps. With a and b the negative logs of the two factors, the product p = exp(-a - b) is what
    the data tell and a / (a + b) what they leave open, so the sampler gets the logits of these two. The priors stay
    those of ``location`` and ``reachability``; the Jacobian of the map is part of the density.

    Parameters
    ----------
    model : pymc.Model
        From `assemble`.
    design : Design

    Returns
    -------
    pymc.Model
        The model itself where an LLM has several walks on a benchmark, which one reachability joins, where either is
        not sampled, and where locations are drawn around a mean of theirs: LLMs that share their tasks tell each
        other which of them are out of reach, so that there is no such ridge.

    Notes
    -----
    Mean success is taken as the logistic of location / sqrt(1 + c spread^2), which a normal law of logits has up to
    .02; any such function gives the same posterior.
    """
    free = {variable.name for variable in model.free_RVs}
    # Of walks known from aggregates alone, mean success itself is sampled.
    sampled = "mean_logit" if "mean_logit" in free else "location"
    one_walk_each = np.array_equal(design.pair_of_arm[design.walk_arms], np.arange(len(design.pairs)))
    if not {sampled, "reachability", "spread"} <= free or "location_mean" in free or not one_walk_each:
        return model
    with model:
        overall = pm.Flat(_RIDGE[0], dims="walk")
        split = pm.Flat(_RIDGE[1], dims="walk")
        total = pt.softplus(-overall)
        of_success, of_reach = total * pt.sigmoid(split), total * pt.sigmoid(-split)
        stretch = mean_stretch(model["spread"])
        if sampled == "mean_logit":
            stretch = pt.switch(bare_walks(design), 1.0, stretch)
        location = -stretch * _log_expm1(of_success)
        reachability = pt.exp(-of_reach)
        log_slopes = (
            # Of the two parts by the coordinates, of location and of reachability by the parts.
            pt.log(total)
            + pt.log(pt.sigmoid(-overall))
            + pt.log(pt.sigmoid(split))
            + pt.log(pt.sigmoid(-split))
            + pt.log(stretch)
            - pt.log1mexp(-of_success)
            - of_reach
        )
        priors = pm.logp(model[sampled], location).sum() + pm.logp(model["reachability"], reachability).sum()
        pm.Potential("along_ridges", priors + log_slopes.sum())
    return pm.do(model, {sampled: location, "reachability": reachability})


def _log_expm1(x: Any) -> Any:
    """Logarithm of exp(x) - 1 for x > 0, of any size."""
    return x + pt.log1mexp(-x)
