"""The default model of counts, written by hand in NumPyro: what a fit is timed against.

One LLM or several on one benchmark, free capability, two-piece normal tasks with reachability, task effects summed out
on the same grids. It is written as one would for speed: products of matrices, and sums of exponentials only where they
are needed. Only the constant tables of the cells' likelihood at the nodes are taken from the package.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp

from ds3bayes.generative.design import Design

jax.config.update("jax_enable_x64", True)


def two_piece_normal(z: jax.Array, skew: jax.Array) -> jax.Array:
    """Log density, up to a constant, of a two-piece normal law of mean 0 and sd 1."""
    left, right = jnp.exp(skew / 2), jnp.exp(-skew / 2)
    gap = right - left
    y = z * jnp.sqrt((1 - 2 / np.pi) * gap**2 + 1) + np.sqrt(2 / np.pi) * gap
    return -0.5 * (y / jnp.where(y < 0, left, right)) ** 2


def one_llm(design: Design) -> Callable[[], None]:
    """Return the model of a single LLM: its task law lives on the grid of logit success."""
    (block,) = design.blocks
    first, _, counts = block.distinct
    table, cell = block.tables[0], block.cell[first][:, 0]
    nodes = table.grid.nodes
    log_mass = table.log_mass[0][cell]
    top = log_mass.max(axis=1)
    mass = np.exp(log_mass - top[:, None])
    unsolved = np.flatnonzero(block.successes[first][:, 0] == 0)

    def model() -> None:
        spread = numpyro.sample("spread", dist.LogNormal(np.log(3.0), 0.35))
        skew = numpyro.sample("skew", dist.Normal(0.0, 0.7))
        location = numpyro.sample("location", dist.Normal(-1.0, 3.0))
        reachability = numpyro.sample("reachability", dist.Beta(4.0, 1.0))
        log_weight = two_piece_normal((nodes - location) / spread, skew)
        weight = jnp.exp(log_weight - logsumexp(log_weight))
        task = jnp.log(reachability) + jnp.log(mass @ weight) + top
        task = task.at[unsolved].set(jnp.logaddexp(task[unsolved], jnp.log1p(-reachability)))
        numpyro.factor("tasks", counts @ task)

    return model


def several_llms(design: Design) -> Callable[[], None]:
    """Return the model of four or more LLMs, pooled, that share their tasks."""
    (block,) = design.blocks
    llms = len(block.arms)
    first, _, counts = block.distinct
    cell, solved = block.cell[first], block.successes[first] > 0
    nodes, easiness = block.tables[0].grid.nodes, block.easiness.nodes
    spacing = nodes[1] - nodes[0]
    most = max(table.log_mass.shape[1] for table in block.tables)
    log_mass = np.stack([np.pad(t.log_mass[0], ((0, most - t.log_mass.shape[1]), (0, 0))) for t in block.tables])
    top = log_mass.max(axis=2)
    mass = np.exp(log_mass - top[..., None]).swapaxes(1, 2)
    unsolved = [np.flatnonzero(~solved[:, llm]) for llm in range(llms)]

    def model() -> None:
        median = numpyro.sample("spread_median", dist.LogNormal(np.log(3.0), 0.35))
        variation = numpyro.sample("spread_log_sd", dist.LogNormal(np.log(0.2), 0.5))
        spread = numpyro.sample("spread", dist.LogNormal(jnp.log(median), variation).expand([llms]))
        skew = numpyro.sample("skew", dist.Normal(0.0, 0.7))
        mean = numpyro.sample("location_mean", dist.Normal(-1.0, 3.0))
        sd = numpyro.sample("location_sd", dist.LogNormal(np.log(1.5), 0.7))
        location = numpyro.sample("location", dist.Normal(mean, sd).expand([llms]))
        scale = numpyro.sample("interaction_sd", dist.LogNormal(np.log(0.7), 0.5).expand([llms]))
        reachability = numpyro.sample("reachability", dist.Beta(4.0, 1.0).expand([llms]))
        log_weight = two_piece_normal(easiness, skew) + block.easiness.log_width
        log_weight = log_weight - logsumexp(log_weight)
        centre = location[:, None] + spread[:, None] * easiness
        centre = jnp.clip(centre, nodes[0], nodes[-1])
        apart = (nodes - centre[..., None]) / scale[:, None, None]
        base = 1.0 + apart**2 / 7.0
        # Student t of 7 degrees of freedom, (1 + u^2 / 7)^-4, less what its linear interpolation adds.
        second = 8.0 / 7.0 * (9.0 - 10.0 / base) / base / (scale[:, None, None] ** 2 + spacing**2 / 10.0)
        excess = spacing**2 / 12.0 * second
        density = (1.0 - excess + excess**2 / 2.0) / base**4
        of_cell = jnp.log(density @ mass) - jnp.log(density.sum(axis=-1))[..., None] + top[:, None, :]
        total = log_weight
        for llm in range(llms):
            task = jnp.log(reachability[llm]) + of_cell[llm].T[cell[:, llm]]
            rows = unsolved[llm]
            task = task.at[rows].set(jnp.logaddexp(task[rows], jnp.log1p(-reachability[llm])))
            total = total + task
        numpyro.factor("tasks", counts @ logsumexp(total, axis=1))

    return model
