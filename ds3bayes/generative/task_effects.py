"""Task effects given the population: drawn exactly from their grids, for these tasks or for new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import expit, logsumexp, ndtri, stdtrit
from threadpoolctl import threadpool_limits

from ds3bayes.deferred import pt
from ds3bayes.engine.evaluate import AtPoints
from ds3bayes.generative.design import Block, Design
from ds3bayes.generative.likelihood import log_likelihood, log_marginal
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.observation.counts import log_likelihood_if_sound, reach_groups
from ds3bayes.generative.observation.cut_attempts import CutAttempts, cut_log_likelihood
from ds3bayes.generative.observation.tokens import (
    attempt_variance,
    latent_cells,
    latent_log_tokens,
    length_spread,
    timed_columns,
    token_law,
    token_terms,
    tokens_of,
    tokens_over_tasks,
)
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.terms import axis_place, block_terms, own_effect_scale, search_parameters
from ds3bayes.kernels.own_effect import interaction_density

Array = np.ndarray

# Points of the lattice on which latent tokens are integrated out for the pointwise likelihood: a prime, of which 5 is a
# primitive root.
_LATENT_POINTS = 37


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
        given, shapes = _symbols(posterior)
        self._terms: list[AtPoints] = []
        self._joint: list[AtPoints | None] = []
        for index, block in enumerate(design.blocks):
            terms = block_terms(block, index, design, spec, given)
            timed = [block.arms[column] for column in timed_columns(block, design)]
            outputs = {
                "log_weight": terms.log_weight,
                "easiness": pt.as_tensor(terms.easiness),
                "location": terms.location,
                "log_task": log_likelihood(block, terms, design, given),
                "log_marginal": log_marginal(block, terms, design, given),
            }
            outputs |= {name: pt.as_tensor(value) for name, value in terms.extra.items()}
            sound = design.soundness_of(block, given) is not None
            if sound:
                outputs["log_sound"] = log_likelihood_if_sound(block, terms, design, given)
            alone = [np.array([column]) for column in range(len(block.arms))]
            if spec.population.reachability:
                outputs["log_cell"] = terms.of_tasks(terms.log_cells, alone)
            if (spec.population.reachability or sound) and terms.log_missed is not None:
                outputs["log_missed"] = terms.of_tasks(terms.log_missed, alone)
            for column, table in enumerate(block.tables):
                if table.axis is not None or table.searches is not None or table.told:
                    outputs[f"log_mass_{column}"] = terms.log_mass[column]
                if table.told:
                    outputs[f"log_mass_missed_{column}"] = terms.log_mass_missed[column]
            lengths = token_terms(block, terms.easiness, design, given)
            if lengths is not None:
                outputs["token_mean"], outputs["token_sd"] = token_law(design, timed, terms.easiness, given)
                outputs["length_mean"] = lengths.length_mean
                outputs["length_variance"] = lengths.length_variance
                outputs["attempt_variance"] = attempt_variance(design, timed, given)
                outputs["length_spread"] = pt.as_tensor(length_spread(design, timed, given))
            self._joint.append(None)
            places, tasks, _ = latent_cells(block, design)
            if places:
                outputs["latent_log_tokens"] = latent_log_tokens(design, given)[places]
                data = CutAttempts.seen(design) or ()
                _, sd = tokens_over_tasks(design, [cut.arm for cut in data], given)
                own = cut_log_likelihood(data, design, given) + pt.log(sd)
                _, signature, _ = block.distinct
                joint = pt.inc_subtensor(outputs["log_marginal"][signature][tasks], own[places])
                self._joint[index] = AtPoints(given, shapes, {"joint": joint})
            self._terms.append(AtPoints(given, shapes, outputs))

    def __call__(self, block: int, draw: Mapping[str, Array]) -> dict[str, Array]:
        """Evaluate one block at one draw."""
        return self._terms[block].at(draw)

    def each(self, block: int, draws: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        """Evaluate one block at draws (n, ...) of every variable, one after the other."""
        return self._terms[block].each(draws)

    def joint(self, block: int, draw: Mapping[str, Array]) -> Array:
        """Log density (T,) of each task's data and, per unit of ``cut_tokens``, of its latent tokens."""
        evaluate = self._joint[block]
        assert evaluate is not None, "no task of this block has latent tokens"
        return evaluate.at(draw)["joint"]


def points_at_draws(design: Design, spec: ModelSpec, posterior: xr.Dataset) -> dict[str, tuple[Sequence[str], Array]]:
    """Return labels and log-likelihoods (chain, draw, point) of the kinds of observation that have points of their own.

    Parameters
    ----------
    design : Design
    spec : ModelSpec
    posterior : xarray.Dataset
    """
    given, shapes = _symbols(posterior)
    found = {name: OBSERVATIONS[name].pointwise(data, design, spec, given) for name, data in design.observed.items()}
    points = {name: one for name, one in found.items() if one is not None}
    if not points:
        return {}
    drawn = AtPoints(given, shapes, {name: values for name, (_, values) in points.items()})(by_draw(posterior))
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    return {name: (labels, drawn[name].reshape(*shape, len(labels))) for name, (labels, _) in points.items()}


def _symbols(posterior: xr.Dataset) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """A tensor for each variable of the posterior, and its shape, by name."""
    shapes = {str(name): values.shape[2:] for name, values in posterior.data_vars.items()}
    return {name: pt.tensor(name, dtype="float64", shape=shape) for name, shape in shapes.items()}, shapes


def by_draw(posterior: xr.Dataset) -> dict[str, Array]:
    """Return each variable's draws, chains one after another: (n, ...)."""
    ordered = posterior.transpose("chain", "draw", ...)
    return {
        str(name): np.asarray(values.values, dtype=float).reshape(-1, *values.shape[2:])
        for name, values in ordered.data_vars.items()
    }


def each_draw(posterior: xr.Dataset) -> Iterator[dict[str, Array]]:
    """Yield the variables of each draw, chains one after another."""
    columns = by_draw(posterior)
    for index in range(posterior.sizes["chain"] * posterior.sizes["draw"]):
        yield {name: values[index] for name, values in columns.items()}


# The products of one draw are small: threads of BLAS would wait for one another for longer than they work.
@threadpool_limits.wrap(limits=1, user_api="blas")
def task_effects(
    design: Design,
    spec: ModelSpec,
    posterior: xr.Dataset,
    seed: int,
    population: PopulationAtDraws | None = None,
    progress: Callable[[float], object] = lambda _: None,
) -> xr.Dataset:
    """Draw every observed task's effects from their exact conditional law at each posterior draw.

    Parameters
    ----------
    design : Design
    spec : ModelSpec
    posterior : xarray.Dataset
        Dims (chain, draw, ...).
    seed : int
    population : PopulationAtDraws, optional
        Of other draws of the same model, to be used again.
    progress : callable, optional
        Called with the share of draws that is done, in [0, 1].

    Returns
    -------
    xarray.Dataset
        With dims (chain, draw, cell), a cell being a (task, arm) of the design, tasks within a block outermost:
        ``logit_success`` logit of an attempt's eventual success on a reachable task, of a tree search that of the walk
        that it searches over (`success_of_attempts` says what its outputs make of it); ``sound`` 0 or 1,
        whether the task can be solved at all; ``reachable`` 0 or 1, whether it is sound and, for walks, within the
        LLM's reach;
        ``log_tokens`` log of the task's mean generated tokens per unit, where tokens were observed in the arm,
        else NaN; ``easiness`` of the task; with dims (chain, draw, task) ``log_likelihood`` of the task's
        counts and tokens with its effects summed out.
    """
    population = population or PopulationAtDraws(design, spec, posterior)
    rng = np.random.default_rng(seed)
    draws, columns = list(each_draw(posterior)), by_draw(posterior)
    parts = []
    for index, block in enumerate(design.blocks):
        drawn = []
        for terms, draw in zip(population.each(index, columns), draws, strict=True):
            drawn.append(_draw_block(block, design, spec, terms, draw, rng))
            progress((index + len(drawn) / len(draws)) / len(design.blocks))
        parts.append({name: np.stack([one[name] for one in drawn]) for name in drawn[0]})
        if latent_cells(block, design)[0]:
            _sum_out_latent_tokens(parts[-1]["log_likelihood"], index, design, population, draws)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    cells = cell_coordinates(design)
    variables: dict[str, Any] = {
        name: (
            ("chain", "draw", "cell"),
            np.concatenate([part[name].reshape(len(draws), -1) for part in parts], axis=1).reshape(shape),
        )
        for name in ("logit_success", "sound", "reachable", "log_tokens", "easiness")
    }
    variables["log_likelihood"] = (
        ("chain", "draw", "task"),
        np.concatenate([part["log_likelihood"] for part in parts], axis=1).reshape(shape),
    )
    tasks = [f"{design.populations[i]} | {task}" for i, block in enumerate(design.blocks) for task in block.tasks]
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "task": tasks, **cells}
    return xr.Dataset(variables, coords=coords)


def _sum_out_latent_tokens(
    log_likelihood: Array,
    index: int,
    design: Design,
    population: PopulationAtDraws,
    draws: Sequence[Mapping[str, Array]],
) -> None:
    """Put the likelihood of tasks with latent tokens, which are integrated out, into ``log_likelihood`` (draw, T).

    Importance sampling from normal laws of a task's log tokens, a third wider than the posterior's, on a lattice: for
    tasks with latent tokens in one arm within .03 (.010 was the largest error of three fits).
    """
    block = design.blocks[index]
    places, tasks, columns = latent_cells(block, design)
    # Tokens themselves: how many sds they are from the mean of all tasks follows what a draw takes that mean to be.
    size = draws[0]["cut_tokens"].shape
    mean, upper = (
        np.stack([population(index, {**draw, "cut_tokens": np.full(size, at)})["latent_log_tokens"] for draw in draws])
        for at in (0.0, 1.0)
    )
    unit = upper - mean
    latent = mean + unit * np.stack([draw["cut_tokens"][places] for draw in draws])
    centre, sd = latent.mean(axis=0), latent.std(axis=0) * 4.0 / 3.0
    # One coordinate per arm in which a task's tokens are latent.
    arms = np.unique(columns)
    multipliers = np.array([pow(5, power, _LATENT_POINTS) for power in range(arms.size)])
    points = (np.arange(_LATENT_POINTS)[:, None] * multipliers % _LATENT_POINTS + 0.5) / _LATENT_POINTS
    normal = ndtri(points)[:, np.searchsorted(arms, columns)]
    log_density = np.zeros((_LATENT_POINTS, len(block.tasks)))
    np.add.at(log_density.T, tasks, (-0.5 * normal**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).T)
    cut = np.unique(tasks)
    for row, draw in enumerate(draws):
        joint, at = [], draw["cut_tokens"].copy()
        for point in normal:
            at[places] = (centre + sd * point - mean[row]) / unit[row]
            joint.append(population.joint(index, {**draw, "cut_tokens": at}))
        total = logsumexp(np.stack(joint) - log_density, axis=0) - np.log(_LATENT_POINTS)
        # The joint density is per unit of ``cut_tokens``.
        np.subtract.at(total, tasks, np.log(unit[row]))
        log_likelihood[row, cut] = total[cut]


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
    node = _categorical(_relative(log_node)[signature], rng)
    # Where all tasks have one law, its first axis is of length 1.
    distinct = len(terms["log_task"])
    easiness, location = (
        np.broadcast_to(terms[name], (distinct, *terms[name].shape[1:])) for name in ("easiness", "location")
    )
    sound = _sound(block, design, terms, draw, node, rng)
    # What is unsound is out of reach of trees, too.
    reachable = _reachable(block, design, spec, terms, draw, node, rng) & sound[:, None]
    logit = np.empty((tasks, arms))
    subsets = design.subsets
    for column, arm in enumerate(block.arms):
        table = block.tables[column]
        value = 1.0
        if table.axis is not None:
            value = float(draw[table.axis.parameter][axis_place(design, table, arm)])
        # Out of reach, the counts say nothing about what success would have been.
        empty = table.log_mass.shape[1] - 1
        cell = np.where(reachable[:, column], block.cell[:, column], empty)
        log_mass = terms.get(f"log_mass_{column}", table.log_mass[0])[cell]
        missed = terms.get(f"log_mass_missed_{column}", table.log_missed)
        if missed is not None:
            log_mass = np.where(reachable[:, [column]], log_mass, missed[block.cell[:, column]])
        if block.easiness is None:
            log_prior = terms["log_weight"] + log_mass
            place = np.where(reachable[:, column], node, _categorical(_relative(log_prior), rng))
        else:
            scale = own_effect_scale(subsets, arm, draw)
            nodes = table.grid.nodes
            centre = location[signature, column, node]
            density = interaction_density(nodes, centre, scale, spec.population.interaction_dof)
            place = _categorical(density * _relative(log_mass), rng)
        logit[:, column] = table.place(cell, place, rng.random(tasks), value)
    tokens = np.full((tasks, arms), np.nan)
    timed = timed_columns(block, design)
    length = np.zeros(tasks)
    if timed.size:
        length = terms["length_mean"][signature, node]
        length = length + np.sqrt(terms["length_variance"][signature]) * rng.standard_normal(tasks)
    log_tokens, weights = tokens_of(block)
    for row, column in enumerate(timed):
        # Normal prior over tasks times normal error of a mean over attempts: conjugate.
        mean = np.broadcast_to(terms["token_mean"], (distinct, *terms["token_mean"].shape[1:]))
        mean = mean[signature, row, node] + terms["length_spread"][row] * length
        sd = terms["token_sd"][row]
        weight = weights[:, column]
        error = terms["attempt_variance"][row]
        share = np.where(weight > 0, sd**2 / (sd**2 + error / np.maximum(weight, 1.0)), 0.0)
        centre = mean + share * (log_tokens[:, column] - mean)
        tokens[:, column] = centre + sd * np.sqrt(1.0 - share) * rng.standard_normal(tasks)
    if "latent_log_tokens" in terms:
        _, rows, latent = latent_cells(block, design)
        tokens[rows, latent] = terms["latent_log_tokens"]
    easiness = np.repeat(easiness[signature, node][:, None], arms, axis=1)
    return {
        "logit_success": logit,
        "sound": np.repeat(sound[:, None], arms, axis=1).astype(np.int8),
        "reachable": reachable.astype(np.int8),
        "log_tokens": tokens,
        "easiness": easiness,
        "log_likelihood": terms["log_marginal"][signature],
    }


def _sound(
    block: Block,
    design: Design,
    terms: dict[str, Array],
    draw: Mapping[str, Array],
    node: Array,
    rng: np.random.Generator,
) -> Array:
    """Draw whether each task is sound, given its node, (T,): any that was ever solved is."""
    soundness = design.soundness_of(block, draw)
    if soundness is None:
        return np.ones(len(block.tasks), dtype=bool)
    _, signature, _ = block.distinct
    log_odds = np.log(soundness) - np.log1p(-soundness) + terms["log_sound"][signature, node]
    if "log_missed" in terms:
        log_odds = log_odds - terms["log_missed"][signature, :, node].sum(axis=1)
    odds = np.where(block.successes.sum(axis=1) > 0, 1.0, expit(log_odds))
    return rng.random(len(odds)) < odds


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
        at = (signature[:, None], mine[None, :], node[:, None])
        log_odds = np.log(prior) - np.log1p(-prior) + terms["log_cell"][at].sum(axis=1)
        if "log_missed" in terms:
            log_odds -= terms["log_missed"][at].sum(axis=1)
        odds = np.where(block.successes[:, mine].sum(axis=1) > 0, 1.0, expit(log_odds))
        reachable[:, mine] = (rng.random(tasks) < odds)[:, None]
    return reachable


def _relative(log_weight: Array) -> Array:
    """Weights, the largest of each row being 1."""
    return np.exp(log_weight - log_weight.max(axis=1, keepdims=True))


def _categorical(weight: Array, rng: np.random.Generator) -> Array:
    """Draw one index per row of unnormalised weights, shape (T, J) -> (T,)."""
    cumulative = np.cumsum(weight, axis=1)
    return (cumulative < rng.random((len(weight), 1)) * cumulative[:, -1:]).sum(axis=1)


@threadpool_limits.wrap(limits=1, user_api="blas")
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
    # Loaded where it is used: it takes seconds, which no fit needs.
    from scipy.stats import qmc

    population = PopulationAtDraws(design, spec, posterior)
    subsets = design.subsets
    most = max(len(block.arms) for block in design.blocks)
    parts: dict[str, list[Array]] = {
        name: [] for name in ("logit_success", "sound", "reachable", "log_tokens", "easiness")
    }
    asked = "soundness" in posterior
    columns = by_draw(posterior)
    at_draws = zip(*(population.each(number, columns) for number in range(len(design.blocks))), strict=True)
    for index, (draw, terms_of) in enumerate(zip(each_draw(posterior), at_draws, strict=True)):
        # Columns: two for the task, reachability, path length, two per arm for its own effect and tokens, soundness.
        points = qmc.Sobol(4 + 2 * most + asked, rng=np.random.default_rng([seed, index])).random(tasks)
        points = np.clip(points, 1e-9, 1 - 1e-9)
        row: dict[str, list[Array]] = {name: [] for name in parts}
        for number, block in enumerate(design.blocks):
            terms = terms_of[number]
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
            soundness = design.soundness_of(block, draw)
            sound = np.ones(tasks, dtype=bool) if soundness is None else points[:, -1] < soundness
            reach = np.ones((tasks, arms), dtype=bool)
            if spec.population.reachability:
                for pair, mine in reach_groups(block, design):
                    if pair >= 0:
                        reach[:, mine] = (points[:, 2] < draw["reachability"][pair])[:, None]
            row["logit_success"].append(logit.ravel())
            row["sound"].append(np.repeat(sound, arms).astype(np.int8))
            row["reachable"].append((reach & sound[:, None]).astype(np.int8).ravel())
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


def success_of_attempts(design: Design, effects: xr.Dataset, posterior: xr.Dataset) -> xr.DataArray:
    """Success of an attempt at each task; of a tree search, the mean over the outputs of most of its searches.

    Parameters
    ----------
    design : Design
    effects : xarray.Dataset
        From `task_effects` or `new_task_effects`.
    posterior : xarray.Dataset
        At the same draws.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, cell).
    """
    chance = xr.apply_ufunc(expit, effects["logit_success"])
    searched = [arm for arm, one in enumerate(design.arms) if one.is_tree]
    if searched:
        chance = chance.transpose("chain", "draw", "cell").copy()
        draws, of_cell = by_draw(posterior), effects["cell_arm"].values
        logit = effects["logit_success"].transpose("chain", "draw", "cell").values
        for arm in searched:
            cells = np.flatnonzero(of_cell == arm)
            of_arm = logit[..., cells].reshape(-1, cells.size)
            block, column = design.place(arm)
            found = block.tables[column].searches
            assert found is not None
            chance.values[..., cells] = found.success(of_arm, *search_parameters(design, arm, draws)).reshape(
                *logit.shape[:2], cells.size
            )
    return chance * effects["reachable"]


def rerun(
    design: Design,
    arm: int,
    tasks: Array,
    logit: Array,
    solvable: Array,
    draws: Mapping[str, Array],
    rng: np.random.Generator,
) -> Array:
    """Draw the successes of the attempts of an arm at some tasks, made once more.

    Parameters
    ----------
    design : Design
    arm : int
    tasks : array of int, shape (T,)
        Places in the tasks of the arm's block, which say how many attempts are made and in which searches.
    logit, solvable : arrays, shape (draws, T)
        ``logit_success`` and ``reachable`` of the tasks that they are made at.
    draws : mapping of str to array, shape (draws, ...)
        Parameters, as `by_draw` returns them.
    rng : numpy.random.Generator

    Returns
    -------
    array of int, shape (draws, T)
    """
    block, column = design.place(arm)
    found = block.tables[column].searches
    if found is None:
        return rng.binomial(block.attempts[tasks, column], expit(logit) * solvable)
    return found.draw(block.cell[tasks, column], logit, *search_parameters(design, arm, draws), solvable, rng)
