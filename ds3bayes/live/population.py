"""Draws of the law of the tasks from the attempts made so far: the part of a posterior that needs a sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals import read_evals
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.counts.grid import Grid
from ds3bayes.generative.design import Design
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_effects import PopulationAtDraws, by_draw
from ds3bayes.inference.bounds import MAX_RHAT_OF_REFIT
from ds3bayes.inference.compiled import CompiledModel, compile_model
from ds3bayes.kernels.own_effect import interaction_density

Array = np.ndarray

_TUNE, _CHAINS = 300, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """The law of the tasks at S posterior draws.

    Parameters
    ----------
    grid : Grid
        Nodes (G,) of an attempt's logit success.
    weight : array, shape (S, J)
        Probability of each node of the tasks' shared easiness; where there is one arm, of its logit success (J = G).
    own : array, shape (A, S, J, G), optional
        Probability of each node of an arm's logit success given the easiness; None where there is one arm.
    reachable : array, shape (S, A)
        Probability that a task is within the reach of an arm.
    sound : array, shape (S,)
        Probability that a task can be solved at all.
    compiled : CompiledModel
        What drew them, for the next draws.
    """

    grid: Grid
    weight: Array
    own: Array | None
    reachable: Array
    sound: Array
    compiled: CompiledModel | None


def learn_population(
    arms: Sequence[str],
    successes: Array,
    attempts: Array,
    spec: ModelSpec,
    *,
    draws: int = 400,
    seed: int = 0,
    compiled: CompiledModel | None = None,
) -> Population:
    """Sample the law of the tasks given counts.

    Parameters
    ----------
    arms : sequence of str
        What was evaluated; each at least at one task.
    successes, attempts : int arrays, shape (A, T)
        An attempt of 0 says that an arm was not tried at a task.
    spec : ModelSpec
        Its population and priors count.
    draws : int, default 400
        Of all chains together.
    seed : int
    compiled : CompiledModel, optional
        Of earlier counts.

    Returns
    -------
    Population

    Raises
    ------
    InputError
        If the chains disagree, or the model cannot be sampled.
    """
    arm, task = np.nonzero(attempts)
    table = pd.DataFrame(
        {
            "model": [arms[place] for place in arm],
            "benchmark": "tasks",
            "task": [f"{place}" for place in task],
            "strategy": "cot",
            "attempts": attempts[arm, task],
            "successes": successes[arm, task],
        }
    )
    design = make_design(read_evals(table), spec)
    compiled = compile_model(design, spec) if compiled is None else compiled.of(design)
    sampling = spec.sampling.model_copy(
        update={"draws": -(-draws // _CHAINS), "tune": _TUNE, "chains": _CHAINS, "seed": seed}
    )
    posterior = compiled.sample(sampling, cores=1)["posterior"].to_dataset()
    worst, name = max((_rhat(posterior[name].values), str(name)) for name in posterior.data_vars)
    if not worst < MAX_RHAT_OF_REFIT:
        raise InputError(f"the chains of a refit disagree on {name} (R-hat {worst:.2f}; allowed: {MAX_RHAT_OF_REFIT})")
    return population_at(design, spec, posterior, arms, compiled)


def population_at(
    design: Design, spec: ModelSpec, posterior: xr.Dataset, arms: Sequence[str], compiled: CompiledModel | None = None
) -> Population:
    """Return the law of the tasks at posterior draws.

    Parameters
    ----------
    design : Design
        Of one benchmark, on which each arm is the only walk of an LLM of its name.
    spec : ModelSpec
    posterior : xarray.Dataset
        Dims (chain, draw, ...).
    arms : sequence of str
        LLMs, in the order wanted.
    compiled : CompiledModel, optional
    """
    drawn = by_draw(posterior)
    (block,) = design.blocks
    terms = list(PopulationAtDraws(design, spec, posterior).each(0, drawn))
    names = [design.arms[one].model for one in block.arms]
    columns = [names.index(name) for name in arms]
    grid = block.tables[0].grid
    log_weight = np.stack([one["log_weight"] for one in terms])
    own = None
    if block.easiness is not None:
        location = np.stack([one["location"][0] for one in terms]).transpose(1, 0, 2)[columns]
        linked = [design.subsets.place("linked_arm", block.arms[column]) for column in columns]
        scale = drawn["interaction_sd"][:, linked].T
        own = np.stack(
            [
                interaction_density(grid.nodes, at, sd[:, None, None], spec.population.interaction_dof)
                for at, sd in zip(location, scale, strict=True)
            ]
        )
        own = (own / own.sum(axis=-1, keepdims=True)).astype(np.float32)
    size = len(log_weight)
    reachable = np.ones((size, len(arms)))
    if "reachability" in drawn:
        pairs = design.pair_of_arm[[block.arms[column] for column in columns]]
        reachable = drawn["reachability"].reshape(size, -1)[:, pairs]
    sound = np.ones(size)
    if len(arms) > 1 and "soundness" in drawn:
        sound = drawn["soundness"].reshape(size, -1)[:, 0]
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return Population(
        grid=grid,
        weight=weight / weight.sum(axis=1, keepdims=True),
        own=own,
        reachable=reachable,
        sound=sound,
        compiled=compiled,
    )


def _rhat(values: Array) -> float:
    """Largest split R-hat of a variable (chain, draw, ...).

    Not by `ds3bayes.inference.checks.largest_rhat`: what that imports takes seconds, beside a running evaluation.
    """
    half = values.shape[1] // 2
    split = np.concatenate([values[:, :half], values[:, half : 2 * half]]).reshape(2 * len(values), half, -1)
    within = split.var(axis=1, ddof=1).mean(axis=0)
    between = split.mean(axis=1).var(axis=0, ddof=1)
    # A parameter that does not move agrees with itself.
    return float(np.sqrt((half - 1) / half + between / np.maximum(within, 1e-300)).max(initial=0.0))
