"""Coordinates in which the sampler moves freely: along ridges that data leave open, and out of funnels."""

from __future__ import annotations

from typing import Any

import numpy as np
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.basic import LogNormalRV, NormalRV

from ds3bayes.deferred import pm, pt
from ds3bayes.generative.capability.free import bare_walks, mean_stretch
from ds3bayes.generative.design import Design
from ds3bayes.generative.observation.tokens import TOKEN_VARIATION, PromptRegressions, prompt_precision

_RIDGE = ("ridge_logit", "ridge_split")
# By the variable, which may be drawn around a mean.
_POOLED = (
    "anchor_location",
    "location_rise",
    "location",
    "spread",
    "group_effect",
    "llm_group_effect",
    "llm_class_effect",
)
_HALF_CENTRED = {name: f"{name}_half_centred" for name in (*_POOLED, *TOKEN_VARIATION)}

_LINE = ("log_prompt_standard", "prompt_slope_standard")

#: Variables that exist for the sampler alone; posteriors do not hold them.
COORDINATES = (*_RIDGE, *_HALF_CENTRED.values(), *_LINE)


def for_sampler(model: pm.Model, design: Design) -> pm.Model:
    """Return the model in the coordinates in which it is sampled: `along_ridges`, `half_centred`, `around_lines`."""
    return around_lines(half_centred(along_ridges(model, design)), design)


def half_centred(model: pm.Model) -> pm.Model:
    """Return the same model with other coordinates for values that are drawn around a mean of theirs.

    Those are locations and spreads of pooled LLMs, and how tokens vary at the efforts of an LLM.

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
    attempts), half way gives as many effective draws per gradient as x, twice as many as spreads in (x - m) / s. Two
    LLMs at two efforts on five tasks (eight small logs): 240 effective draws of ``effort_variation_sd`` from 85,000
    gradients in x, 764 from 60,000 half way.
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


def around_lines(model: pm.Model, design: Design) -> pm.Model:
    """Return the same model with other coordinates for the lines of prompt tokens over generated ones.

    How well ``log_prompt`` and ``prompt_slope`` are told depends on ``prompt_sd``: they are pinned down as it falls,
    which of prompts of one length on a few tasks it does, from as wide as its prior to none, a funnel. Given it, their
    posterior is normal, of known mean and covariance; the sampler gets them standardised by these.

    Parameters
    ----------
    model : pymc.Model
        From `assemble`.
    design : Design

    Returns
    -------
    pymc.Model
        The model itself where either is not sampled with a normal prior.

    Notes
    -----
    Measured on four Inspect logs of two or three tasks whose prompts differ by a token in a thousand, fits of 4,000
    draws: 36 and 109 divergences and 117,000 gradients without, 0 to 3 and 62,000 with.
    """
    free = {variable.name: variable for variable in model.free_RVs}
    if not all(name in free and isinstance(free[name].owner.op, NormalRV) for name in ("log_prompt", "prompt_slope")):
        return model
    told = PromptRegressions.of(design)
    with model:
        level, slope = (pm.Flat(name, dims="prompted_arm") for name in _LINE)
        (level_mean, level_sd), (slope_mean, slope_sd) = (
            free[name].owner.inputs[-2:] for name in ("log_prompt", "prompt_slope")
        )
        precision, past = prompt_precision(model.named_vars), told.past_mean(design, model.named_vars)
        level_prior, slope_prior = 1.0 / level_sd**2, 1.0 / slope_sd**2
        of_level = told.tasks * precision + level_prior
        # Once the level is summed out, the lever of the mean is worth what its prior leaves of it.
        lever = told.tasks * precision * past * level_prior / of_level
        of_slope = told.squares * precision + slope_prior + lever * past
        told_slope = told.squares * precision * told.slope + slope_prior * slope_mean
        slopes = (told_slope + lever * (told.mean_prompt - level_mean)) / of_slope + slope / pt.sqrt(of_slope)
        at_mean = told.tasks * precision * (told.mean_prompt - slopes * past) + level_prior * level_mean
        levels = at_mean / of_level + level / pt.sqrt(of_level)
        priors = pm.logp(free["log_prompt"], levels).sum() + pm.logp(free["prompt_slope"], slopes).sum()
        pm.Potential("around_lines", priors - 0.5 * (pt.log(of_level) + pt.log(of_slope)).sum())
    return pm.do(model, {"log_prompt": levels, "prompt_slope": slopes})


def _log_expm1(x: Any) -> Any:
    """Logarithm of exp(x) - 1 for x > 0, of any size."""
    return x + pt.log1mexp(-x)
