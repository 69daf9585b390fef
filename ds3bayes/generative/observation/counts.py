"""Successes among attempts at each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pt
from ds3bayes.generative.design import Arm, Block, Design
from ds3bayes.generative.observation.base import Observation, Tensor
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import Terms

Parameters = Mapping[str, Tensor]


class Counts(Observation[bool]):
    """Successes among attempts, or decisions, at each task: binomial, were the task sound and within the LLM's reach.

    A task that is unsound fails every attempt of every LLM; one that is out of an LLM's reach fails all of its walks.
    """

    name: ClassVar[str] = "counts"

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> bool:
        """Take nothing: the blocks hold the counts."""
        del rows, arms, spec
        return True

    def of_tasks(self, data: bool, block: Block) -> Mapping[str, np.ndarray] | None:
        """Say which cell each task has in each arm: tasks of equal cells have equal counts."""
        del data
        return {"cell": block.cell} if block.tasks else None

    def at_nodes(
        self,
        told: Mapping[str, np.ndarray],
        block: Block,
        design: Design,
        law: Terms,
        given: Mapping[str, Tensor],
    ) -> Tensor:
        """Log-likelihood (U, J) of the counts, soundness and reachability summed out."""
        del told
        total = log_likelihood_if_sound(block, law, design, given)
        soundness = design.soundness_of(block, given)
        if soundness is None:
            return total
        first, _, _ = block.distinct
        every = [np.arange(len(block.arms))]
        missed = None if law.log_missed is None else law.of_tasks(law.log_missed, every)
        solved = block.successes[first].sum(axis=1, keepdims=True)
        return or_missed(total[:, None], missed, soundness, solved, axis=1)[:, 0] + pt.log(soundness)

    def summed_out(
        self,
        told: Mapping[str, np.ndarray],
        block: Block,
        design: Design,
        law: Terms,
        given: Mapping[str, Tensor],
    ) -> Tensor | None:
        """Log-likelihood (U,) of a lone arm's counts, whose likelihoods at the nodes are numbers.

        It is a product of matrix and vector: no exponential per task and node.
        """
        del told
        table = block.tables[0]
        if block.easiness is not None or table.axis is not None or table.told:
            return None
        first, _, _ = block.distinct
        cell = block.cell[first][:, 0]
        total = _log_dot(table.log_mass[0][cell], law.log_weight)
        (pair, _), *_ = reach_groups(block, design)
        if "reachability" in given and pair >= 0:
            reach, solved = given["reachability"][[pair]], block.successes[first]
            missed = None
            if table.log_missed is not None:
                missed = _log_dot(table.log_missed[cell], law.log_weight)[:, None, None]
            total = or_missed(total[:, None, None], missed, reach, solved, axis=1)[:, 0, 0] + pt.log(reach)
        return total


def _log_dot(log_mass: np.ndarray, log_weight: Tensor) -> Tensor:
    """Log of the sums of exp(log_mass + log_weight) over the nodes (G,), shape (U,)."""
    top = log_mass.max(axis=1)
    # Weights below exp(-650) of the largest count as that: nothing else keeps the logarithm of a sum finite wherever
    # a sampler may start, and no draw ever sees it.
    weight = pt.exp(pt.maximum(log_weight, -650.0))
    return pt.log(pt.dot(np.exp(log_mass - top[:, None]), weight)) + top


def log_likelihood_if_sound(block: Block, terms: Terms, design: Design, given: Parameters) -> Tensor:
    """Log-likelihood (U, J) of the counts of each distinct task at each node, were it sound."""
    if "reachability" in given:
        return _of_counts(block, terms, design, given)
    return terms.of_tasks(terms.log_cells, [np.arange(len(block.arms))])[:, 0]


def _of_counts(block: Block, terms: Terms, design: Design, given: Parameters) -> Tensor:
    """Log-likelihood (U, J) of counts where a task may be out of the reach of all walks of an LLM.

    Where an LLM has one walk, a task's cell tells whether it was ever solved: being out of reach goes into the table of
    cells, unless tasks are looked up between its locations, where that would change log-likelihoods by up to 5e-3.
    Where it has several, that takes the cells of all of them, and so is asked of tasks.
    """
    first, _, _ = block.distinct
    groups = [mine for pair, mine in reach_groups(block, design) if pair >= 0]
    alone = [int(mine[0]) for mine in groups if len(mine) == 1 and terms.at_nodes]
    several = [mine for mine in groups if mine[0] not in alone]
    others = np.delete(np.arange(len(block.arms)), [arm for mine in several for arm in mine])
    reach = given["reachability"][design.pair_of_arm[list(block.arms)]]
    table, total = terms.log_cells, pt.log(reach[[mine[0] for mine in groups]]).sum()
    if alone:
        solved = np.ones((len(block.arms), max(one.log_mass.shape[1] for one in block.tables)), dtype=int)
        solved[alone, block.cell[:, alone]] = block.successes[:, alone]
        table = or_missed(table, terms.log_missed, reach, solved, axis=0)
    if others.size:
        total = total + terms.of_tasks(table, [others])[:, 0]
    if several:
        solved = np.stack([block.successes[first][:, mine].sum(axis=1) for mine in several], axis=1)
        reached = terms.of_tasks(terms.log_cells, several)
        missed = None if terms.log_missed is None else terms.of_tasks(terms.log_missed, several)
        of_groups = reach[[mine[0] for mine in several]]
        total = total + or_missed(reached, missed, of_groups, solved, axis=1).sum(axis=1)
    return total


def or_missed(reached: Tensor, missed: Tensor | None, reach: Tensor, solved: np.ndarray, axis: int) -> Tensor:
    """Add to the likelihood of tasks without successes that of being out of reach, or unsound; to no other's.

    There every attempt fails: that explains a task without successes, and no other. It is asked of those alone,
    for sums of exponentials are what a gradient spends its time on. All is relative to being within reach, whose
    probability is then one number for all tasks.

    Parameters
    ----------
    reached : tensor, shape (M, N, L)
        Log-likelihood within reach, of tasks or cells and groups of arms.
    missed : tensor, shape (M, N, L), optional
        The same out of reach; 0 if absent.
    reach : tensor, shape (M,) or (N,)
        Probability of being within reach, along ``axis``.
    solved : array, shape (M, N)
        Successes.
    axis : {0, 1}
    """
    *place, unsolved = _unsolved(solved)
    inside, outside = reached[tuple(place)], (pt.log1p(-reach) - pt.log(reach))[place[axis]][:, None]
    if missed is not None:
        outside = outside + missed[tuple(place)]
    return pt.set_subtensor(inside, pt.switch(unsolved[:, None], pt.logaddexp(inside, outside), inside))


def _unsolved(solved: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return where counts of solved attempts are 0: an index array per axis, and which of these places are meant.

    At least two places, of others if need be, so that compiled code can be given tables with any number of them.
    """
    unsolved = (solved == 0).ravel()
    flat = np.sort(np.argsort(~unsolved, kind="stable")[: max(2, int(unsolved.sum()))])
    return (*np.unravel_index(flat, solved.shape), unsolved[flat])


def reach_groups(block: Block, design: Design) -> list[tuple[int, np.ndarray]]:
    """Return (LLM and benchmark, columns of its walks), and (-1, columns of all trees).

    All walks of an LLM reach the same tasks. A tree search also solves many tasks that hundreds of walks never
    did, so being out of a walk's reach says nothing about it; its failures are its own task effect.
    """
    arms = np.array(block.arms)
    tree = np.array([design.arms[arm].is_tree for arm in arms])
    pairs = design.pair_of_arm[arms]
    groups = [(int(pair), np.flatnonzero((pairs == pair) & ~tree)) for pair in np.unique(pairs[~tree])]
    return groups + ([(-1, np.flatnonzero(tree))] if tree.any() else [])
