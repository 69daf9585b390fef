"""Task effects given the population: drawn exactly from their grids, for these tasks or for new ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import xarray as xr
from scipy.special import ndtri, stdtrit
from scipy.stats import qmc

from ds3bayes.generative.build import task_log_likelihood
from ds3bayes.generative.design import Block, Design
from ds3bayes.generative.observation.tokens import (
    attempt_variance,
    length_spread,
    timed_columns,
    token_law,
    token_terms,
)
from ds3bayes.generative.population import interaction_density
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.terms import (
    axis_place,
    block_terms,
    log_likelihood,
    own_effect_scale,
    reach_groups,
)
from ds3bayes.theory.evaluate import MODE

Array = np.ndarray


class PopulationAtDraws:
    """Evaluates a block's terms at posterior draws, by the model's own expressions.

    Parameters
    ----------
    design : Design
    spec : ModelSpec
    posterior : xarray.Dataset
        Draws of all of the model's variables, dims (chain, draw, ...).
    """

    def __init__(self, design: Design, spec: ModelSpec, posterior: xr.Dataset) -> None:
        self.names = [str(name) for name in posterior.data_vars]
        given = {name: pt.TensorType("float64", (None,) * (posterior[name].ndim - 2))(name) for name in self.names}
        self._functions = []
        for index, block in enumerate(design.blocks):
            terms = block_terms(block, index, design, spec, given)
            timed = [block.arms[column] for column in timed_columns(block, design)]
            outputs = {
                "log_weight": terms.log_weight,
                "easiness": pt.as_tensor(terms.easiness),
                "location": terms.location,
                "log_cell": terms.log_cell,
                "log_task": log_likelihood(block, terms, design, spec, given),
                "log_marginal": task_log_likelihood(block, terms, design, spec, given),
            }
            outputs |= {name: pt.as_tensor(value) for name, value in terms.extra.items()}
            for column, table in enumerate(block.tables):
                if table.axis is not None:
                    outputs[f"log_mass_{column}"] = terms.log_mass[column]
            lengths = token_terms(block, terms.easiness, design, given)
            if lengths is not None:
                outputs["token_mean"], outputs["token_sd"] = token_law(design, timed, terms.easiness, given)
                outputs["length_mean"] = lengths.length_mean
                outputs["length_variance"] = lengths.length_variance
                outputs["attempt_variance"] = attempt_variance(design, timed, given)
                outputs["length_spread"] = pt.as_tensor(length_spread(design, timed, given))
            function = pytensor.function(
                list(given.values()), list(outputs.values()), mode=MODE, on_unused_input="ignore"
            )
            self._functions.append((function, list(outputs)))

    def __call__(self, block: int, draw: Mapping[str, Array]) -> dict[str, Array]:
        """Evaluate one block at one draw."""
        function, names = self._functions[block]
        values = function(*[np.asarray(draw[name], dtype=float) for name in self.names])
        return dict(zip(names, values, strict=True))


def each_draw(posterior: xr.Dataset) -> Iterator[dict[str, Array]]:
    """Yield the variables of each draw, chains one after another."""
    stacked = posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    columns = {str(name): np.asarray(values.values) for name, values in stacked.data_vars.items()}
    for index in range(stacked.sizes["sample"]):
        yield {name: values[index] for name, values in columns.items()}


def task_effects(design: Design, spec: ModelSpec, posterior: xr.Dataset, seed: int) -> xr.Dataset:
    """Draw every observed task's effects from their exact conditional law at each posterior draw.

    Parameters
    ----------
    design : Design
    spec : ModelSpec
    posterior : xarray.Dataset
        Dims (chain, draw, ...).
    seed : int

    Returns
    -------
    xarray.Dataset
        With dims (chain, draw, cell), a cell being a (task, arm) of the design, tasks within a block outermost:
        ``logit_success`` logit of an attempt's eventual success on a reachable task; ``reachable`` 0 or 1;
        ``log_tokens`` log of the task's mean generated tokens per unit, where tokens were observed in the arm,
        else NaN; ``easiness`` of the task; with dims (chain, draw, task) ``log_likelihood`` of the task's
        counts and tokens with its effects summed out.
    """
    population = PopulationAtDraws(design, spec, posterior)
    rng = np.random.default_rng(seed)
    draws = list(each_draw(posterior))
    parts = []
    for index, block in enumerate(design.blocks):
        drawn = [_draw_block(block, design, spec, population(index, draw), draw, rng) for draw in draws]
        parts.append({name: np.stack([one[name] for one in drawn]) for name in drawn[0]})
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    cells = cell_coordinates(design)
    variables: dict[str, Any] = {
        name: (
            ("chain", "draw", "cell"),
            np.concatenate([part[name].reshape(len(draws), -1) for part in parts], axis=1).reshape(shape),
        )
        for name in ("logit_success", "reachable", "log_tokens", "easiness")
    }
    variables["log_likelihood"] = (
        ("chain", "draw", "task"),
        np.concatenate([part["log_likelihood"] for part in parts], axis=1).reshape(shape),
    )
    tasks = [f"{design.populations[i]} | {task}" for i, block in enumerate(design.blocks) for task in block.tasks]
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "task": tasks, **cells}
    return xr.Dataset(variables, coords=coords)


def cell_coordinates(design: Design) -> dict[str, Any]:
    """Return the coordinates of the ``cell`` dimension: block, task and arm of each."""
    task, arm, block_of = [], [], []
    for index, block in enumerate(design.blocks):
        for name in block.tasks:
            for member in block.arms:
                task.append(name)
                arm.append(int(member))
                block_of.append(index)
    return {
        "cell_task": ("cell", np.array(task, dtype=object)),
        "cell_arm": ("cell", np.array(arm, dtype=int)),
        "cell_block": ("cell", np.array(block_of, dtype=int)),
    }


def _draw_block(
    block: Block,
    design: Design,
    spec: ModelSpec,
    terms: dict[str, Array],
    draw: Mapping[str, Array],
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Draw node, reachability, logit success and tokens of every task of a block at one posterior draw."""
    _, signature, _ = block.distinct
    tasks, arms = len(block.tasks), len(block.arms)
    log_node = terms["log_weight"] + terms["log_task"]
    node = _categorical(np.exp(log_node - log_node.max(axis=1, keepdims=True))[signature], rng)
    # Where all tasks have one law, its first axis is of length 1.
    distinct = len(terms["log_task"])
    easiness, location = (
        np.broadcast_to(terms[name], (distinct, *terms[name].shape[1:])) for name in ("easiness", "location")
    )
    reachable = _reachable(block, design, spec, terms, draw, node, rng)
    logit = np.empty((tasks, arms))
    subsets = design.subsets
    for column, arm in enumerate(block.arms):
        table = block.tables[column]
        # Out of reach, the counts say nothing about what success would have been.
        empty = table.log_mass.shape[1] - 1
        value = 1.0
        if table.axis is not None:
            value = float(draw[table.axis.parameter][axis_place(design, table, arm)])
        cell = np.where(reachable[:, column], block.cell[:, column], empty)
        if block.easiness is None:
            place = np.where(
                reachable[:, column],
                node,
                _categorical(np.exp(terms["log_weight"])[None].repeat(tasks, 0), rng),
            )
        else:
            scale = own_effect_scale(subsets, arm, draw)
            nodes = table.grid.nodes
            density = interaction_density(
                nodes - location[signature, column, node][:, None], scale, spec.population.interaction_dof
            )
            log_mass = terms.get(f"log_mass_{column}", table.log_mass[0])[cell]
            place = _categorical(density * np.exp(log_mass - log_mass.max(axis=1, keepdims=True)), rng)
        logit[:, column] = table.place(cell, place, rng.random(tasks), value)
    tokens = np.full((tasks, arms), np.nan)
    timed = timed_columns(block, design)
    length = np.zeros(tasks)
    if timed.size:
        length = terms["length_mean"][signature, node]
        length = length + np.sqrt(terms["length_variance"][signature]) * rng.standard_normal(tasks)
    for row, column in enumerate(timed):
        # Normal prior over tasks times normal error of a mean over attempts: conjugate.
        mean = np.broadcast_to(terms["token_mean"], (distinct, *terms["token_mean"].shape[1:]))
        mean = mean[signature, row, node] + terms["length_spread"][row] * length
        sd = terms["token_sd"][row]
        weight = block.token_weight[:, column]
        error = terms["attempt_variance"][row]
        share = np.where(weight > 0, sd**2 / (sd**2 + error / np.maximum(weight, 1.0)), 0.0)
        centre = mean + share * (block.log_tokens[:, column] - mean)
        tokens[:, column] = centre + sd * np.sqrt(1.0 - share) * rng.standard_normal(tasks)
    easiness = np.repeat(easiness[signature, node][:, None], arms, axis=1)
    return {
        "logit_success": logit,
        "reachable": reachable.astype(np.int8),
        "log_tokens": tokens,
        "easiness": easiness,
        "log_likelihood": terms["log_marginal"][signature],
    }


def _reachable(
    block: Block,
    design: Design,
    spec: ModelSpec,
    terms: dict[str, Array],
    draw: Mapping[str, Array],
    node: Array,
    rng: np.random.Generator,
) -> Array:
    _, signature, _ = block.distinct
    tasks, arms = block.cell.shape
    reachable = np.ones((tasks, arms), dtype=bool)
    if not spec.population.reachability:
        return reachable
    for pair, mine in reach_groups(block, design):
        if pair < 0:
            continue
        prior = draw["reachability"][pair]
        log_seen = terms["log_cell"][signature[:, None], mine[None, :], node[:, None]].sum(axis=1)
        in_reach = prior * np.exp(log_seen)
        odds = np.where(block.successes[:, mine].sum(axis=1) > 0, 1.0, in_reach / (in_reach + 1.0 - prior))
        reachable[:, mine] = (rng.random(tasks) < odds)[:, None]
    return reachable


def _categorical(weight: Array, rng: np.random.Generator) -> Array:
    """Draw one index per row of unnormalised weights, shape (T, J) -> (T,)."""
    cumulative = np.cumsum(weight, axis=1)
    return (cumulative < rng.random((len(weight), 1)) * cumulative[:, -1:]).sum(axis=1)


def new_task_effects(design: Design, spec: ModelSpec, posterior: xr.Dataset, tasks: int, seed: int) -> xr.Dataset:
    """Draw effects of fresh tasks of the same populations, spread evenly (scrambled Sobol points).

    Parameters
    ----------
    design : Design
    spec : ModelSpec
    posterior : xarray.Dataset
    tasks : int
        New tasks per population and draw; a power of 2.
    seed : int

    Returns
    -------
    xarray.Dataset
        As `task_effects`, without the likelihood; the tasks are named ``new-1`` and so on.
    """
    population = PopulationAtDraws(design, spec, posterior)
    subsets = design.subsets
    most = max(len(block.arms) for block in design.blocks)
    parts: dict[str, list[Array]] = {"logit_success": [], "reachable": [], "log_tokens": [], "easiness": []}
    for index, draw in enumerate(each_draw(posterior)):
        # Columns: two for the task, reachability, path length, then two per arm for its own effect and tokens.
        points = qmc.Sobol(4 + 2 * most, rng=np.random.default_rng([seed, index])).random(tasks)
        points = np.clip(points, 1e-9, 1 - 1e-9)
        row: dict[str, list[Array]] = {name: [] for name in parts}
        for number, block in enumerate(design.blocks):
            terms = population(number, draw)
            easiness, location = spec.capability.new_tasks(terms, draw, points[:, :2])
            arms = len(block.arms)
            logit, tokens = location.copy(), np.full((tasks, arms), np.nan)
            if block.easiness is not None:
                for column, arm in enumerate(block.arms):
                    scale = own_effect_scale(subsets, arm, draw)
                    logit[:, column] += scale * stdtrit(spec.population.interaction_dof, points[:, 4 + 2 * column])
            timed = timed_columns(block, design)
            if timed.size:
                mean, sd = token_law(design, [block.arms[column] for column in timed], easiness[None, :], draw)
            for place, column in enumerate(timed):
                own = mean[0, place] + terms["length_spread"][place] * ndtri(points[:, 3])
                tokens[:, column] = own + sd[place] * ndtri(points[:, 5 + 2 * column])
            reach = np.ones((tasks, arms), dtype=np.int8)
            if spec.population.reachability:
                for pair, mine in reach_groups(block, design):
                    if pair >= 0:
                        reach[:, mine] = (points[:, 2] < draw["reachability"][pair])[:, None]
            row["logit_success"].append(logit.ravel())
            row["reachable"].append(reach.ravel())
            row["log_tokens"].append(tokens.ravel())
            row["easiness"].append(np.repeat(easiness, arms))
        for name, pieces in row.items():
            parts[name].append(np.concatenate(pieces))
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    renamed = [
        (
            np.repeat([f"new-{i + 1}" for i in range(tasks)], len(block.arms)),
            np.tile(block.arms, tasks),
            np.full(tasks * len(block.arms), number),
        )
        for number, block in enumerate(design.blocks)
    ]
    return xr.Dataset(
        {name: (("chain", "draw", "cell"), np.stack(values).reshape(shape)) for name, values in parts.items()},
        coords={
            "chain": posterior["chain"],
            "draw": posterior["draw"],
            "cell_task": ("cell", np.concatenate([one[0] for one in renamed]).astype(object)),
            "cell_arm": ("cell", np.concatenate([one[1] for one in renamed]).astype(int)),
            "cell_block": ("cell", np.concatenate([one[2] for one in renamed])),
        },
    )
