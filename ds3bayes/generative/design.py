"""What the model needs to know of a table of evaluations: arms, the tasks they share, and their cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from ds3bayes.generative.counts.grid import (
    AGREEMENT,
    OVERDISPERSION,
    Axis,
    EasinessNodes,
    Table,
)
from ds3bayes.strategies import STRATEGIES, Strategy
from ds3bayes.strategies.thoughts import ThoughtSearch

Array = np.ndarray

#: Names of reasoning efforts in the order of what they spend; "none" (no reasoning at all) is no step below them.
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of drawing attempts whose success is learned: an LLM on a benchmark with one sampler setting.

    Parameters
    ----------
    model, benchmark : str
    walk : str
        The sampler, by the name of a strategy: one attempt, or a tree search, of which an attempt is one output.
    effort : str
        Reasoning effort, empty if not stated.
    budget_tokens : int, optional
        Tokens that the LLM was asked to think for.
    max_tokens : int, optional
        Tokens at which attempts were cut, where it is not known how many were: what is learned holds within them.
    branching, kept_states : int
        Of a tree; 1 otherwise.
    """

    model: str
    benchmark: str
    walk: str
    effort: str = ""
    budget_tokens: int | None = None
    max_tokens: int | None = None
    branching: int = 1
    kept_states: int = 1

    @property
    def is_tree(self) -> bool:
        """Whether attempts are outputs of a tree search."""
        return STRATEGIES[self.walk].is_search

    @property
    def pair(self) -> str:
        """The LLM and the benchmark, as a coordinate label."""
        return f"{self.model} | {self.benchmark}"

    @property
    def by_budget(self) -> bool:
        """Whether its place among the LLM's settings is that of an asked budget, and not of a named effort."""
        return self.budget_tokens is not None and self.effort.lower() not in EFFORTS

    @property
    def effort_rank(self) -> float:
        """Place of the effort among those that have an order, 0 for medium; NaN for any other.

        An asked budget stands by its doublings of 16,000 tokens: LLMs pace themselves by it, so that a doubling
        lengthens even attempts that stay far below it.
        """
        name = self.effort.lower()
        if name in EFFORTS:
            return float(EFFORTS.index(name) - EFFORTS.index("medium"))
        return budget_rank(self.budget_tokens) if self.budget_tokens is not None else np.nan

    @property
    def ladder(self) -> tuple[Any, ...]:
        """What it has in common with the other rungs of its ladder; see `Ladder`."""
        rest = self.effort if self.by_budget else self.budget_tokens
        return (self.by_budget, self.model, self.benchmark, self.walk, rest, self.max_tokens)

    @property
    def setting(self) -> dict[str, Any]:
        """Effort, budget and cut as a strategy's fields."""
        return {"effort": self.effort or None, "budget_tokens": self.budget_tokens, "max_tokens": self.max_tokens}

    @property
    def strategy(self) -> Strategy:
        """The strategy that makes one attempt of this arm."""
        limits = {name: np.nan if one is None else one for name, one in self.setting.items() if name != "effort"}
        shape = {"branching": self.branching, "kept_states": self.kept_states} if self.is_tree else {}
        return STRATEGIES[self.walk].from_row({"effort": self.effort} | limits | shape)

    @property
    def search(self) -> ThoughtSearch:
        """The strategy of an arm whose attempts are outputs of a tree search."""
        strategy = self.strategy
        assert isinstance(strategy, ThoughtSearch), f"{self} is no tree search"
        return strategy

    def __str__(self) -> str:
        return f"{self.pair} | {self.strategy}"


def budget_rank(budget_tokens: float) -> float:
    """Place of an asked budget: its doublings of 16,000 tokens."""
    return float(np.log2(budget_tokens / 16000))


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Walks of one LLM on one benchmark that differ in nothing but the effort, or the budget, that was asked for.

    Parameters
    ----------
    by_budget : bool
        Whether the rungs are budgets, a doubling apart from rank to rank, and not named efforts.
    benchmark : str
    arms : tuple of int
        Rungs from the least to the most, one or more: indices into `Design.arms`.
    rank : tuple of float
        Of each, 0 for medium effort or 16,000 tokens.
    """

    by_budget: bool
    benchmark: str
    arms: tuple[int, ...]
    rank: tuple[float, ...]

    @property
    def anchor(self) -> int:
        """The rung nearest to rank 0, the lower of two: an index into `Design.arms`."""
        return min(zip(self.arms, self.rank, strict=True), key=lambda rung: abs(rung[1]))[0]

    def among(self, arms: Collection[int]) -> Ladder | None:
        """The ladder of those of its rungs that are among some arms; None if none is."""
        kept = [(arm, rank) for arm, rank in zip(self.arms, self.rank, strict=True) if arm in arms]
        if not kept:
            return None
        return replace(self, arms=tuple(arm for arm, _ in kept), rank=tuple(rank for _, rank in kept))


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """How values of arms follow from those at one rung of each ladder and the rises between rungs.

    Parameters
    ----------
    arms : tuple of int
    anchors : tuple of int
        Of each ladder the rung nearest to rank 0, and the arms that are in no ladder: indices into `Design.arms`.
    ladder : tuple of Ladder or None
        Of each of `anchors`.
    anchor : int array, shape (arm,)
        Place in `anchors` of that of an arm's ladder, or of the arm itself.
    low, high : int arrays, shape (step,)
        The two neighbouring rungs that each rise is between.
    steps : tuple of Ladder
        The ladder of each rise.
    climbed : array, shape (arm, step)
        1 for the rises from the anchor up to an arm, -1 for those from an arm below up to the anchor, and else 0.
    """

    arms: tuple[int, ...]
    anchors: tuple[int, ...]
    ladder: tuple[Ladder | None, ...]
    anchor: Array
    low: Array
    high: Array
    steps: tuple[Ladder, ...]
    climbed: Array

    @classmethod
    def of(cls, design: Design, arms: Sequence[int]) -> Rungs:
        """Arrange some arms of a design."""
        ladders = [one for one in (ladder.among(set(arms)) for ladder in design.ladders) if one is not None]
        of_arm = {arm: one for one in ladders for arm in one.arms}
        anchors = tuple(arm for arm in arms if arm not in of_arm or of_arm[arm].anchor == arm)
        pairs = [(low, high, one) for one in ladders for low, high in pairwise(one.arms)]
        climbed = np.zeros((len(arms), len(pairs)))
        anchor = np.zeros(len(arms), dtype=int)
        for row, arm in enumerate(arms):
            ladder = of_arm.get(arm)
            anchor[row] = anchors.index(arm if ladder is None else ladder.anchor)
            for column, (low, high, one) in enumerate(pairs):
                if one is ladder:
                    at, start = one.arms.index(arm), one.arms.index(one.anchor)
                    upper, lower = one.arms.index(high), one.arms.index(low)
                    climbed[row, column] = float(start < upper <= at) - float(at <= lower < start)
        return cls(
            arms=tuple(arms),
            anchors=anchors,
            ladder=tuple(of_arm.get(arm) for arm in anchors),
            anchor=anchor,
            low=np.array([low for low, _, _ in pairs], dtype=int),
            high=np.array([high for _, high, _ in pairs], dtype=int),
            steps=tuple(one for _, _, one in pairs),
            climbed=climbed,
        )

    def ranks(self, design: Design) -> tuple[Array, Array]:
        """Ranks of the two rungs of each rise, shape (step,) each."""
        return design.effort_rank[self.low], design.effort_rank[self.high]

    def labels(self, design: Design) -> list[str]:
        """Coordinate labels of the rises."""
        return [
            f"{design.labels[low]} to {design.arms[high].strategy}"
            for low, high in zip(self.low, self.high, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Arms that share tasks, with the data of those tasks.

    Parameters
    ----------
    arms : tuple of int
        Indices into `Design.arms`, shape (A,).
    tasks : tuple of str
        Task names, shape (T,).
    steps : array
        Known path length of each task, NaN where not known, shape (T,).
    level : array
        Level of each task, NaN where not given, shape (T,).
    skills : tuple of tuple of str
        Skills each task needs, in order, empty where not given, shape (T,).
    facts : mapping of str to tuple of str
        By column about tasks, what it says of each task, as text, empty where it is blank, shape (T,).
    task_class : int array
        Tasks whose law may differ have different numbers, shape (T,).
    easiness : EasinessNodes, optional
        Nodes of the shared easiness; None for a lone arm, whose task law lives on `tables[0].grid`.
    tables : tuple of Table
        One per arm; the last cell of each is the empty one, of likelihood 1.
    proposed : array, shape (A,)
        Mean candidates that a kept state of a tree proposed, NaN of walks.
    cell : int array, shape (T, A)
        Which row of its arm's table a task has.
    successes, attempts : int arrays, shape (T, A)
        What was observed and used in the fit (single attempts and decisions together); of a walk that budgets cut,
        the attempts that finished.
    cut : bool array, shape (T,)
        Whether attempts at the task were cut off, so that its tokens are latent.
    told : mapping of str to mapping of str to array, shape (T, A)
        What kinds of observation say of the tasks, by the kind's name (`Observation.of_tasks`).
    """

    arms: tuple[int, ...]
    tasks: tuple[str, ...]
    steps: Array
    level: Array
    skills: tuple[tuple[str, ...], ...]
    facts: Mapping[str, tuple[str, ...]]
    task_class: Array
    easiness: EasinessNodes | None
    tables: tuple[Table, ...]
    proposed: Array
    cell: Array
    successes: Array
    attempts: Array
    cut: Array
    told: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    @cached_property
    def distinct(self) -> tuple[Array, Array, Array]:
        """First task of each distinct signature (U,), signature of each task (T,), tasks per signature (U,).

        Tasks that look alike in every arm have the same likelihood, so it is taken once. Where all look alike, a
        second signature counts no task: compiled code can then take tables of any number of signatures.
        """
        own = np.where(self.cut, np.arange(len(self.tasks)), -1)
        told = [array for kind in self.told.values() for array in kind.values()]
        signature = np.concatenate([self.cell, self.task_class[:, None], own[:, None], *told], axis=1)
        _, first, inverse, counts = np.unique(
            signature, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        if counts.size == 1 < len(self.tasks):
            first, counts = np.array([0, 1]), np.array([len(self.tasks), 0])
        return first, inverse.reshape(-1), counts


@dataclass(frozen=True, kw_only=True)
class Subsets:
    """Which arms each parameter belongs to: positions into `Design.arms`."""

    walk: np.ndarray
    linked_arm: np.ndarray
    tree_arm: np.ndarray
    timed_arm: np.ndarray
    linked_timed_arm: np.ndarray
    free_path_arm: np.ndarray
    prompted_arm: np.ndarray
    voted_arm: np.ndarray
    overdispersed_arm: np.ndarray

    @classmethod
    def of(cls, design: Design) -> Subsets:
        """Find the subsets in a design; `Design.subsets` has them."""
        arms = np.arange(len(design.arms))
        tree = np.array([arm.is_tree for arm in design.arms])
        linked = np.isin(arms, [arm for block in design.blocks if block.easiness is not None for arm in block.arms])
        timed = design.has_tokens
        return cls(
            walk=arms[~tree],
            linked_arm=arms[linked & ~tree],
            tree_arm=arms[tree],
            timed_arm=arms[timed],
            linked_timed_arm=arms[timed & linked],
            free_path_arm=arms[timed & ~tree & ~np.isfinite(design.path_length)],
            prompted_arm=arms[design.has_prompts & timed],
            voted_arm=arms[design.has_votes],
            overdispersed_arm=arms[design.depends_on(OVERDISPERSION)],
        )

    def place(self, subset: str, arm: int) -> int:
        """Return the position of an arm in a subset, which must hold it."""
        return int(np.flatnonzero(getattr(self, subset) == arm)[0])

    def places(self, subset: str, arms: Sequence[int]) -> list[int]:
        """Return the positions of several arms in a subset, which must hold them."""
        return [self.place(subset, arm) for arm in arms]

    def has(self, subset: str, arm: int) -> bool:
        """Whether a subset holds an arm."""
        return bool(np.isin(arm, getattr(self, subset)))


@dataclass(frozen=True, kw_only=True)
class Design:
    """Everything that `build_model` needs from the data.

    Parameters
    ----------
    arms : tuple of Arm
    base : int array
        For each arm the arm whose walk it searches over: itself, but for a tree the chain-of-thought arm.
    pairs : tuple of str
        Labels of (model, benchmark).
    pair_of_arm, population_of_arm : int arrays
    populations : tuple of str
        Labels of task laws: one per block.
    trees : tuple of str
        Labels of pairs that have a tree arm.
    blocks : tuple of Block
    observed : mapping of str to object
        What each kind of observation in use took from the table, by its name.
    informed : mapping of str to tuple of int
        Arms of which they tell what parameters of every model are about (`Observation.informs`).
    path_length : array
        Known common path length of each arm's tasks, NaN if unknown or unequal.
    tokens_per_step : float
        Generated tokens of one step.
    wrong_tokens : str
        Law of the tokens of wrong attempts.
    llms : tuple of str
        Names of the LLMs.
    family : tuple of str
        Family of each LLM, empty where not given.
    llm_facts : mapping of str to tuple of str
        By column of text about LLMs, what it says of each LLM, empty where it is blank.
    params, train_tokens : arrays, shape (llm,)
        Size and training tokens of each LLM, NaN where not given.
    """

    arms: tuple[Arm, ...]
    base: Array
    pairs: tuple[str, ...]
    pair_of_arm: Array
    populations: tuple[str, ...]
    population_of_arm: Array
    trees: tuple[str, ...]
    blocks: tuple[Block, ...]
    observed: Mapping[str, Any]
    informed: Mapping[str, tuple[int, ...]]
    path_length: Array
    tokens_per_step: float
    wrong_tokens: str
    llms: tuple[str, ...]
    family: tuple[str, ...]
    llm_facts: Mapping[str, tuple[str, ...]]
    params: Array
    train_tokens: Array

    @cached_property
    def walk_arms(self) -> list[int]:
        """Arms that are walks, in order: the members of the coordinate ``walk``."""
        return [index for index, arm in enumerate(self.arms) if not arm.is_tree]

    def walks_of(self, block: Block) -> list[int]:
        """Return the positions, among all walks, of the walks of a block."""
        return [self.walk_arms.index(arm) for arm in block.arms if not self.arms[arm].is_tree]

    @cached_property
    def labels(self) -> list[str]:
        """Coordinate labels of the arms."""
        return [str(arm) for arm in self.arms]

    @cached_property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks of the arms, in order of first appearance."""
        return list(dict.fromkeys(arm.benchmark for arm in self.arms))

    def has_several_llms(self, block: Block) -> bool:
        """Whether several LLMs share the tasks of a block: they then tell tasks that are unsound for all of them."""
        return np.unique(self.pair_of_arm[list(block.arms)]).size > 1

    @cached_property
    def shared_benchmarks(self) -> list[str]:
        """Names of the benchmarks of which several LLMs share tasks."""
        shared = [self.arms[block.arms[0]].benchmark for block in self.blocks if self.has_several_llms(block)]
        return list(dict.fromkeys(shared))

    def soundness_of(self, block: Block, given: Mapping[str, Any]) -> Any:
        """Probability (1,) that a task of a block is sound, from parameters by name, tensors or one draw's arrays.

        None where that is not asked: of a lone LLM, whose reachability says it already, or if the spec says so.
        """
        if "soundness" not in given or not self.has_several_llms(block):
            return None
        return given["soundness"][[self.shared_benchmarks.index(self.arms[block.arms[0]].benchmark)]]

    def place(self, arm: int) -> tuple[Block, int]:
        """Return the block of an arm, and its column there."""
        block = self.blocks[int(self.population_of_arm[arm])]
        return block, block.arms.index(arm)

    def proposed(self, arm: int, branching: int) -> float:
        """Mean candidates of a kept state of a search that is asked for so many, as a tree arm's LLM was seen to do.

        As many more or fewer as its kept states proposed for what they were asked for.
        """
        block, column = self.place(arm)
        return max(1.0, branching * float(block.proposed[column]) / self.arms[arm].branching)

    @cached_property
    def subsets(self) -> Subsets:
        """Which arms each parameter belongs to."""
        return Subsets.of(self)

    @cached_property
    def has_votes(self) -> Array:
        """Whether anything observed tells how wrong answers agree in an arm, shape (arm,)."""
        return self.is_told("votes") | self.depends_on(AGREEMENT)

    def is_told(self, about: str) -> Array:
        """Whether any kind of observation tells of an arm what some parameters are about, shape (arm,)."""
        return np.isin(np.arange(len(self.arms)), self.informed.get(about, ()))

    def depends_on(self, axis: Axis) -> Array:
        """Whether the likelihood of an arm's cells depends on a parameter beside success, shape (arm,)."""
        result = np.zeros(len(self.arms), dtype=bool)
        for block in self.blocks:
            result[list(block.arms)] = [table.axis is axis for table in block.tables]
        return result

    @cached_property
    def effort_rank(self) -> Array:
        """Place of each arm's reasoning effort or budget, 0 for medium, NaN without one or if no trend can be told.

        A trend over efforts is told by LLMs that ran at several on one benchmark, and so is one over budgets.
        """
        rank = np.full(len(self.arms), np.nan)
        for ladder in self.ladders:
            rank[list(ladder.arms)] = ladder.rank
        return rank

    @cached_property
    def ladders(self) -> tuple[Ladder, ...]:
        """Walks by LLM, benchmark and what else they have in common, along efforts and along asked budgets.

        Both kinds are left out where no LLM ran at two of its rungs, for nothing then tells of a trend.
        """
        found: dict[tuple[Any, ...], list[int]] = {}
        for index, arm in enumerate(self.arms):
            if not arm.is_tree and np.isfinite(arm.effort_rank):
                found.setdefault(arm.ladder, []).append(index)
        told = {key[0] for key, members in found.items() if len(members) > 1}
        result = []
        for (by_budget, *_), members in found.items():
            if by_budget in told:
                ordered = sorted(members, key=lambda index: self.arms[index].effort_rank)
                result.append(
                    Ladder(
                        by_budget=by_budget,
                        benchmark=self.arms[ordered[0]].benchmark,
                        arms=tuple(ordered),
                        rank=tuple(self.arms[index].effort_rank for index in ordered),
                    )
                )
        return tuple(result)

    @cached_property
    def has_tokens(self) -> Array:
        """Whether generated tokens are modelled in an arm, shape (arm,).

        They are where they were observed, or where the same LLM's tokens at another effort were.
        """
        seen = self.is_told("tokens")
        for ladder in self.ladders:
            seen[list(ladder.arms)] |= seen[list(ladder.arms)].any()
        return seen

    @cached_property
    def has_traces(self) -> bool:
        """Whether step-level outcomes were observed."""
        return any(table.log_missed is not None for block in self.blocks for table in block.tables)

    @cached_property
    def has_prompts(self) -> Array:
        """Whether prompt tokens were observed in an arm, shape (arm,)."""
        return self.is_told("prompts")

    def tree_of_pair(self, pair: int) -> int:
        """Return the index of a pair among the trees, -1 if it has no tree arm."""
        return self.trees.index(self.pairs[pair]) if self.pairs[pair] in self.trees else -1
