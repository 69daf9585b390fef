"""`build_model`: a specification and evaluations become a plain PyMC model."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ds3bayes.deferred import pm, pt
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Design
from ds3bayes.generative.likelihood import log_marginal
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.observation.tokens import (
    TOKEN_TRENDS,
    TOKEN_VARIATION,
    add_log_tokens,
    add_token_variation,
    attempt_variance,
    ranked_llms,
    token_rungs,
)
from ds3bayes.generative.priors import DEFAULTS
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.terms import block_terms


def build_model(spec: ModelSpec, evals: xr.Dataset) -> pm.Model:
    """Build the generative model of a set of evaluations.

    A task has an easiness z, shared by all arms (an arm is an LLM on a benchmark with one sampler setting);
    the logit of its eventual success under a walk is ``location + spread z`` plus the arm's own Student t
    effect. A tree search has a walk of its own, with an offset and a slope on z and an effect of its own; by its
    step probability rho = q^(1/m) states are right, an evaluator ranks them, and its outputs are the best-ranked ones,
    each right with the answer fidelity if its state is. With probability 1 - reachability the
    task lies outside what the LLM's skills reach, and every attempt fails. Where LLMs share tasks, a task is unsound
    with probability 1 - soundness, and every attempt of every LLM fails. Counts are binomial given those;
    mean generated tokens are log-normal, longer for harder tasks; wrong answers partition by a Chinese
    restaurant process. Task effects are summed out on grids, so the sampler sees the population only;
    `ds3bayes.generative.density` is the joint density of one task in equations and plain NumPy.

    Parameters
    ----------
    spec : ModelSpec
    evals : xarray.Dataset
        From `read_evals`. Rows that ``spec.holdout`` names do not enter the likelihood.

    Returns
    -------
    pymc.Model
        With named dims ``walk, arm, population, model_benchmark, tree, ...``; extend it as any other model.

    Raises
    ------
    InputError
        If the evaluations cannot be used by this model.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney (2025), arXiv 2507.00004: the walk; its orthogonal form (eventual success and
    pace as separate parameters), the two-piece normal population and the summing-out are this package's own.
    """
    return assemble(spec, make_design(evals, spec, spec.held_out_rows(evals)))


def coordinates(spec: ModelSpec, design: Design) -> dict[str, list[str]]:
    """Return the model's coordinates: labels of every dimension that its parameters have, none of them empty."""
    subsets = design.subsets
    labels = design.labels
    every = {
        "population": list(design.populations),
        "model_benchmark": list(design.pairs),
        "shared_benchmark": design.shared_benchmarks if spec.population.soundness else [],
        "tree": list(design.trees),
        **{name: [labels[arm] for arm in getattr(subsets, name)] for name in subsets.__dataclass_fields__},
        "token_trend": ["all LLMs"] if ranked_llms(design) else [],
        **token_trends(design),
        "token_trend_llm": [design.pairs[pair] for pair in ranked_llms(design)],
        **{name: list(members) for name, members in spec.capability.coords(design, spec).items()},
    }
    for name, data in design.observed.items():
        every |= {dim: list(members) for dim, members in OBSERVATIONS[name].coords(data, design).items()}
    return {name: members for name, members in every.items() if members}


def token_trends(design: Design) -> dict[str, list[str]]:
    """Return labels of the trends of tokens over efforts and budgets, and of the rungs that follow them."""
    rungs = token_rungs(design)
    by_budget = {one.by_budget for one in rungs.steps}
    return {
        "token_trend_by_effort": ["all LLMs"] if False in by_budget else [],
        "token_trend_by_budget": ["all LLMs"] if True in by_budget else [],
        "anchor_timed_arm": [design.labels[arm] for arm in rungs.anchors] if rungs.steps else [],
        "timed_rung": rungs.labels(design),
    }


def assemble(spec: ModelSpec, design: Design) -> pm.Model:
    """Build the model of a design that is already made; see `build_model`."""
    with pm.Model(coords=coordinates(spec, design)) as model:
        given = parameters(spec, design)
        readable(design, spec, given)
        every = [block_terms(block, index, design, spec, given) for index, block in enumerate(design.blocks)]
        for index, (block, terms) in enumerate(zip(design.blocks, every, strict=True)):
            if block.tasks:
                of_task = log_marginal(block, terms, design, given)
                pm.Potential(f"tasks_{index}", (block.distinct[2] * of_task).sum())
        for name, data in design.observed.items():
            OBSERVATIONS[name].add(data, design, spec, given, every)
    return model


def parameters(spec: ModelSpec, design: Design) -> dict[str, Any]:
    """Add a model's parameters, with their priors, to the model in context; return them by name."""
    coords = coordinates(spec, design)
    given = spec.capability.add(design, spec)
    candidates = dict(DEFAULTS)
    for name in design.observed:
        candidates |= OBSERVATIONS[name].parameters
    for name, parameter in candidates.items():
        if name == "log_tokens":
            if "timed_arm" in coords:
                given[name] = add_log_tokens(design, spec)
        elif any(name in names for names in TOKEN_TRENDS):
            # Added with log_tokens.
            continue
        elif name in TOKEN_VARIATION and "token_trend" in coords and parameter.dims[0] in coords:
            given[name] = add_token_variation(name, design, spec, given["effort_variation_sd"])
        elif all(dim in coords for dim in parameter.dims) and (name != "reachability" or spec.population.reachability):
            given[name] = spec.prior(name).variable(name, dims=parameter.dims)
    return given


def readable(design: Design, spec: ModelSpec, given: dict[str, Any]) -> None:
    """Add the DS3 parameters that follow from the sampled ones to the model in context."""
    subsets = design.subsets
    if len(subsets.free_path_arm):
        arms = subsets.free_path_arm.tolist()
        mean_steps = pt.exp(given["log_tokens"][subsets.places("timed_arm", arms)]) / design.tokens_per_step
        variance = attempt_variance(design, arms, given)
        length = 1.0 / (variance + 1.0 / mean_steps)
        pm.Deterministic("path_length", length, dims="free_path_arm")
        pm.Deterministic("pace", length / mean_steps, dims="free_path_arm")
    if spec.population.reachability:
        # A task of m skills is reachable when each of them is.
        length_of_pair = np.ones(len(design.pairs))
        for pair in range(len(design.pairs)):
            lengths = np.unique(design.path_length[design.pair_of_arm == pair])
            length_of_pair[pair] = lengths[0] if lengths.size == 1 and np.isfinite(lengths[0]) else np.nan
        if np.isfinite(length_of_pair).all():
            pm.Deterministic(
                "skill_reachability", given["reachability"] ** (1.0 / length_of_pair), dims="model_benchmark"
            )
