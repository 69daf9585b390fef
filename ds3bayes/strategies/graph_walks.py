"""Walks over a skill graph, one step and one action at a time: no transition matrix or closed form is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ds3bayes.errors import InputError
from ds3bayes.strategies.walks import SOLVED, TRUNCATED, WRONG
from ds3bayes.theory.graph import ACTIONS, SkillGraph

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Walks handled together: few enough for their arrays to stay in the processor's cache.
_BLOCK = 1 << 14


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphWalks:
    """How walks over a skill graph ended, and where they spent their steps.

    Parameters
    ----------
    outcome : numpy.ndarray of int8
        0 (truncated), 1 (solved) or 2 (wrong), one per walk.
    steps : numpy.ndarray of int64
        Steps taken, at most the budget.
    visits : xarray.DataArray of int64
        Steps begun at each skill, summed over all walks, dim ``skill``.
    solved_visits : xarray.DataArray of int64
        The same over the walks that ended solved.
    """

    outcome: NDArray[np.int8]
    steps: Ints
    visits: xr.DataArray
    solved_visits: xr.DataArray


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rules:
    """What a `SkillGraph` says, as tables to draw from.

    ``action_below[a, i]`` is the probability at skill i of the actions up to a. The tables ``forward``,
    ``around`` and ``back`` say where advancing, wandering and backtracking lead to.
    """

    action_below: Floats
    goal: NDArray[np.bool_]
    guess: Floats
    forward: _Targets
    around: _Targets
    back: _Targets


@dataclass(frozen=True, kw_only=True, eq=False)
class _Targets:
    """Where to go from each skill: ``skill[i, c]`` if c of the cumulated weights ``below[i]`` are at most the draw."""

    below: Floats
    skill: Ints

    @classmethod
    def of(cls, weights: Floats) -> _Targets:
        """Read the rows of a table of weights; a row without any leads nowhere else."""
        chosen = [np.flatnonzero(row) if row.any() else np.array([i]) for i, row in enumerate(weights)]
        most = max(len(targets) for targets in chosen)
        below = np.full((len(weights), most - 1), np.inf)
        skill = np.zeros((len(weights), most), dtype=np.int64)
        for i, targets in enumerate(chosen):
            skill[i, : len(targets)] = targets
            if len(targets) > 1:
                cumulated = np.cumsum(weights[i, targets])
                below[i, : len(targets) - 1] = cumulated[:-1] / cumulated[-1]
        return cls(below=below, skill=skill)

    def draw(self, at: Ints, rng: np.random.Generator) -> Ints:
        """Draw the next skill of walks that are at some skills."""
        if self.skill.shape[1] == 1:
            return self.skill[at, 0]
        passed = self.below[at] <= rng.random(len(at))[:, None]
        return self.skill[at, passed.sum(axis=1)]


def walk_graph(graph: SkillGraph, budget_steps: int, size: int, rng: np.random.Generator) -> GraphWalks:
    """Walk a skill graph step by step, until solved, wrong or out of budget.

    At each step the action is drawn, then the skill it leads to: what `SkillGraph` says of advancing, wandering,
    backtracking and committing is carried out as it stands there.

    Parameters
    ----------
    graph : SkillGraph
        The graph.
    budget_steps : int
        Most steps of a walk, >= 0.
    size : int
        Number of walks, >= 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    GraphWalks
        Outcome and steps of each walk and visits summed over walks. A walk that ends at its very last step is
        not truncated.

    Raises
    ------
    InputError
        If ``budget_steps`` or ``size`` is out of range.
    """
    faults = [
        f"{name}={value!r}; allowed: an integer >= {least}"
        for name, value, least in (("budget_steps", budget_steps, 0), ("size", size, 1))
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least
    ]
    if faults:
        raise InputError.of_faults("walk_graph", faults)
    rules = _rules(graph)
    begin = np.cumsum(graph.start.values)
    # Rounding must not leave a draw beyond the last skill with any probability.
    begin[np.flatnonzero(graph.start.values)[-1] :] = 1.0
    outcome = np.full(size, TRUNCATED, dtype=np.int8)
    steps = np.full(size, budget_steps, dtype=np.int64)
    visits = np.zeros((2, len(graph.skills)), dtype=np.int64)
    for first in range(0, size, _BLOCK):
        block = slice(first, min(first + _BLOCK, size))
        at = np.searchsorted(begin, rng.random(block.stop - first), side="right")
        seen = _walk_block(rules, at, int(budget_steps), outcome[block], steps[block], rng)
        visits += [seen.sum(axis=0), seen[outcome[block] == SOLVED].sum(axis=0)]
    counts = [
        xr.DataArray(row, dims="skill", coords={"skill": list(graph.skills)}, attrs={"units": "steps"})
        for row in visits
    ]
    return GraphWalks(outcome=outcome, steps=steps, visits=counts[0], solved_visits=counts[1])


def _rules(graph: SkillGraph) -> _Rules:
    edges = graph.edges.values
    joined = ((edges > 0) | (edges.T > 0)) & ~np.eye(len(edges), dtype=bool)
    return _Rules(
        action_below=np.cumsum(graph.policy.sel(action=list(ACTIONS)).values, axis=0),
        goal=np.isin(graph.skills, graph.goals),
        guess=graph.luck.values,
        forward=_Targets.of(edges),
        around=_Targets.of(joined.astype(float)),
        back=_Targets.of(edges.T),
    )


def _walk_block(
    rules: _Rules, at: Ints, budget: int, outcome: NDArray[np.int8], steps: Ints, rng: np.random.Generator
) -> Ints:
    """Walk, writing to ``outcome`` and ``steps``; return the steps begun at each skill, shape (walk, skill).

    ``since`` is the step at which a walk last came to its skill: steps are counted when it leaves.
    """
    count = len(at)
    seen = np.zeros((count, len(rules.goal)), dtype=np.int64)
    going, since = np.arange(count), np.zeros(count, dtype=np.int64)
    acts_below = rules.action_below[-1]
    for step in range(1, budget + 1):
        draw = rng.random(going.size)
        acting = np.flatnonzero(draw < acts_below[at])
        if not acting.size:
            continue
        here, draw, walk = at[acting], draw[acting], going[acting]
        action = (draw >= rules.action_below[:-1, here]).sum(axis=0)
        seen[walk, here] += step - since[acting]
        since[acting] = step
        advances, wanders, backtracks, commits = (np.flatnonzero(action == code) for code in range(len(ACTIONS)))
        done = rules.goal[here[advances]]
        outcome[walk[advances[done]]] = SOLVED
        onward = advances[~done]
        for chosen, targets in ((onward, rules.forward), (wanders, rules.around), (backtracks, rules.back)):
            if chosen.size:
                at[acting[chosen]] = targets.draw(here[chosen], rng)
        if commits.size:
            right = rng.random(commits.size) < rules.guess[here[commits]]
            outcome[walk[commits]] = np.where(right, SOLVED, WRONG)
        ended = acting[np.concatenate([advances[done], commits])]
        if ended.size:
            steps[going[ended]] = step
            keep = np.ones(going.size, dtype=bool)
            keep[ended] = False
            going, at, since = going[keep], at[keep], since[keep]
            if not going.size:
                break
    seen[going, at] += budget - since
    return seen
