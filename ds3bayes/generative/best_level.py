"""Success of tasks that can be executed at several levels, in one pass of compiled code.

What attempts achieve at (arm, task, level) is the largest array of a skill hierarchy. As an expression of single
operations it is written to memory dozens of times, which takes most of a gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ds3bayes.generative.compiled_op import CompiledOp
from ds3bayes.generative.elementary import compiled, exp_each, log_each
from ds3bayes.generative.interpolate import node_below, padded, place_neighbours

Array = np.ndarray
Tensor = Any

# Smoothness of the choice of the level, in success.
_CHOICE = 0.05
# Chance that skills are reachable below which a level is not looked up: it achieves nothing.
_UNREACHABLE = 1e-15


def success_at_best_level(
    table: Array,
    nodes: Array,
    llm: Array,
    budget: Array,
    skills: Tensor,
    log_step: Tensor,
    log_edges: Tensor,
    log_component: Tensor,
) -> Tensor:
    """Success of an attempt that executes its task at about the level where it succeeds most.

    At a level it succeeds if all skills are reachable and the walk finishes them in time. Levels count by a softmax of
    what they achieve, with a temperature of .05.

    Parameters
    ----------
    table : array, shape (B, K, X)
        Chance to finish 1, 2, ... K skills in time, for B budgets and at the nodes of logit step success. Between two
        whole numbers of skills it is taken as linear, between nodes as cubic, and beyond either end as there.
    nodes : array, shape (X,)
        Rising, equally spaced.
    llm, budget : array of int, shape (W,)
        Which LLM and which budget each walk has.
    skills : tensor, shape (J, L, D)
        Skills, at least 1, that tasks of J levels and L lengths take when executed at D levels.
    log_step : tensor, shape (J, L, D)
        Log success of a step along edges that are there, at most 0.
    log_edges : tensor, shape (M, J, D)
        Log probability that the edges of a step are there, for each of M LLMs.
    log_component : tensor, shape (M, J, D)
        Log probability that a skill of the level is reachable.

    Returns
    -------
    tensor, shape (W, J, L)
    """
    by_logit = np.moveaxis(padded(np.moveaxis(table, -1, 0)), 0, -1)
    scale = np.array([nodes[0], 1.0 / (nodes[1] - nodes[0])])
    return (
        SuccessAtBestLevel()
        .make_node(by_logit, scale, llm, budget, skills, log_step, log_edges, log_component)
        .outputs[0]
    )


class SuccessAtBestLevel(CompiledOp):
    """See `success_at_best_level`.

    Takes the table padded, the first node with the nodes per unit, LLMs, budgets and the four tensors.
    """

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _success

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """Walks, task levels, lengths."""
        return [pt.tensor(dtype="float64", shape=(inputs[2].type.shape[0], *inputs[4].type.shape[:2]))]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves the output by derivatives: the tensors."""
        del node
        return [[moves] for moves in [False] * 4 + [True] * 4]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by the four tensors."""
        del outputs
        fixed = [DisconnectedType()() for _ in range(4)]
        return [*fixed, *SlopesAtBestLevel().make_node(*inputs, cotangents[0]).outputs]


class SlopesAtBestLevel(CompiledOp):
    """Of the inputs of the success and derivatives by it: derivatives by the four tensors."""

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _slopes

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """As the tensors."""
        return [one.type() for one in inputs[4:8]]


@compiled
def _split(skills: Array, size: int) -> tuple[Array, Array]:
    """Return the row of a table of ``size`` rows below each number of skills (n,) and how far it is to the next."""
    below, above = np.empty(skills.size, np.int64), np.empty(skills.size)
    for k in range(skills.size):
        position, whole = node_below(skills[k] - 1.0, size)
        below[k] = int(whole)
        above[k] = position - whole
    return below, above


@compiled
def _room(size: int) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """Make room for neighbours in the table, their weights and slopes, and what `_achievement` gives."""
    place, weight, slope = np.empty(size, np.int64), np.empty((4, size)), np.empty((4, size))
    return place, weight, slope, np.empty(size), np.empty(size), np.empty(size), np.empty(size)


@compiled
def _at_level(
    skills: Array, log_step: Array, log_edges: Array, log_component: Array, logit: Array, failure: Array, reach: Array
) -> None:
    """Put a step's logit success, its failure, and the chance that all skills are reachable into the last three.

    One LLM's edges and component (J, D) count for tasks (J, L, D).
    """
    for j in range(skills.shape[0]):
        for length in range(skills.shape[1]):
            for d in range(skills.shape[2]):
                logit[j, length, d] = log_step[j, length, d] + log_edges[j, d]
                failure[j, length, d] = skills[j, length, d] * log_component[j, d]
    # Never in place: a loop that writes what it reads does not run in vectors.
    exp_each(failure.ravel(), reach.ravel())
    exp_each(logit.ravel(), failure.ravel())
    flat = failure.ravel()
    for k in range(flat.size):
        flat[k] = 1.0 - flat[k]
        if flat[k] < 1e-16:
            flat[k] = 1e-16
    log_failure = np.empty(flat.size)
    log_each(flat, log_failure)
    of_steps = logit.ravel()
    for k in range(flat.size):
        of_steps[k] -= log_failure[k]


def _achievement(slopes: bool) -> Any:
    """Return compiled code for what levels achieve, with its derivatives or without."""

    @compiled
    def achieve(
        rows: Array,
        below: Array,
        above: Array,
        place: Array,
        weight: Array,
        slope: Array,
        reach: Array,
        achieved: Array,
        by_logit: Array,
        by_skills: Array,
        counted: Array,
    ) -> None:
        """Put what levels achieve, its derivatives, and how much the levels count into the last four, each (n,)."""
        flat, size = rows.ravel(), np.uint64(rows.shape[1])
        for k in range(reach.size):
            if reach[k] < _UNREACHABLE:
                achieved[k] = 0.0
                if slopes:
                    by_logit[k], by_skills[k] = 0.0, 0.0
                continue
            # Unsigned: whether an index counts from the end need not be asked.
            first = np.uint64(below[k]) * size + np.uint64(place[k])
            second, third, fourth = first + np.uint64(1), first + np.uint64(2), first + np.uint64(3)
            a, b, c, d = flat[first], flat[second], flat[third], flat[fourth]
            rise_a, rise_b = flat[first + size] - a, flat[second + size] - b
            rise_c, rise_d = flat[third + size] - c, flat[fourth + size] - d
            a, b, c, d = a + above[k] * rise_a, b + above[k] * rise_b, c + above[k] * rise_c, d + above[k] * rise_d
            p, q, r, s = weight[0, k], weight[1, k], weight[2, k], weight[3, k]
            achieved[k] = reach[k] * (p * a + q * b + r * c + s * d)
            if slopes:
                by_logit[k] = reach[k] * (slope[0, k] * a + slope[1, k] * b + slope[2, k] * c + slope[3, k] * d)
                by_skills[k] = reach[k] * (p * rise_a + q * rise_b + r * rise_c + s * rise_d)
        tempered = (achieved - 1.0) / _CHOICE
        exp_each(tempered, counted)

    return achieve


_achieve, _achieve_with_slopes = _achievement(slopes=False), _achievement(slopes=True)


@compiled
def _mean(weight: Array, values: Array, first: int, stop: int) -> tuple[float, float]:
    """Sum of weights, and mean of values by them, from a first place to before the last."""
    total, weighed = 0.0, 0.0
    for k in range(first, stop):
        total += weight[k]
        weighed += weight[k] * values[k]
    return total, weighed / total


@compiled
def _success(
    table: Array,
    scale: Array,
    llm: Array,
    budget: Array,
    skills: Array,
    log_step: Array,
    log_edges: Array,
    log_component: Array,
) -> Array:
    levels, lengths, downs = skills.shape
    result = np.empty((llm.size, levels, lengths))
    below, above = _split(skills.ravel(), table.shape[1])
    place, weight, slope, achieved, by_logit, by_skills, counted = _room(skills.size)
    logit, failure, reach = np.empty(skills.shape), np.empty(skills.shape), np.empty(skills.shape)
    for m in range(log_edges.shape[0]):
        _at_level(skills, log_step, log_edges[m], log_component[m], logit, failure, reach)
        place_neighbours(logit.ravel(), scale[0], scale[1], table.shape[2] - 2, place, weight, slope)
        for walk in range(llm.size):
            if llm[walk] != m:
                continue
            rows = table[budget[walk]]
            _achieve(rows, below, above, place, weight, slope, reach.ravel(), achieved, by_logit, by_skills, counted)
            of_tasks = result[walk].ravel()
            for task in range(of_tasks.size):
                of_tasks[task] = _mean(counted, achieved, task * downs, (task + 1) * downs)[1]
    return result


@compiled
def _slopes(
    table: Array,
    scale: Array,
    llm: Array,
    budget: Array,
    skills: Array,
    log_step: Array,
    log_edges: Array,
    log_component: Array,
    of_result: Array,
) -> tuple[Array, Array, Array, Array]:
    levels, lengths, downs = skills.shape
    of_skills, of_step = np.zeros(skills.shape), np.zeros(skills.shape)
    of_edges, of_component = np.zeros(log_edges.shape), np.zeros(log_edges.shape)
    below, above = _split(skills.ravel(), table.shape[1])
    place, weight, slope, achieved, by_logit, by_skills, counted = _room(skills.size)
    logit, failure, reach = np.empty(skills.shape), np.empty(skills.shape), np.empty(skills.shape)
    of_logit, of_reach, of_finish = np.empty(skills.size), np.empty(skills.size), np.zeros(skills.size)
    for m in range(log_edges.shape[0]):
        _at_level(skills, log_step, log_edges[m], log_component[m], logit, failure, reach)
        place_neighbours(logit.ravel(), scale[0], scale[1], table.shape[2] - 2, place, weight, slope)
        of_logit[:], of_reach[:] = 0.0, 0.0
        for walk in range(llm.size):
            if llm[walk] != m:
                continue
            rows = table[budget[walk]]
            _achieve_with_slopes(
                rows, below, above, place, weight, slope, reach.ravel(), achieved, by_logit, by_skills, counted
            )
            of_tasks = of_result[walk].ravel()
            for task in range(of_tasks.size):
                total, mean = _mean(counted, achieved, task * downs, (task + 1) * downs)
                for k in range(task * downs, (task + 1) * downs):
                    # The derivative by what the level achieves.
                    counted[k] *= of_tasks[task] / total * (1.0 + (achieved[k] - mean) / _CHOICE)
            for k in range(counted.size):
                of_reach[k] += counted[k] * achieved[k]
                of_logit[k] += counted[k] * by_logit[k]
                of_finish[k] += counted[k] * by_skills[k]
        k = 0
        for j in range(levels):
            for length in range(lengths):
                for d in range(downs):
                    through = of_logit[k] / failure[j, length, d]
                    of_step[j, length, d] += through
                    of_edges[m, j, d] += through
                    of_component[m, j, d] += of_reach[k] * skills[j, length, d]
                    of_skills[j, length, d] += of_reach[k] * log_component[m, j, d]
                    k += 1
    flat = of_skills.ravel()
    for k in range(flat.size):
        # Beyond the ends of the table nothing moves.
        if 0.0 < below[k] + above[k] < table.shape[1] - 1.0:
            flat[k] += of_finish[k]
    return of_skills, of_step, of_edges, of_component
