"""What the model needs to know of a table of evaluations: arms, the tasks they share, and their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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
        Tokens allowed per attempt.
    branching, kept_states : int
        Of a tree; 1 otherwise.
    """

    model: str
    benchmark: str
    walk: str
    effort: str = ""
    budget_tokens: int | None = None
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
    def effort_rank(self) -> float:
        """Place of the effort among those that have an order, 0 for medium; NaN for any other.

        A thinking budget without an effort counts as one: LLMs pace themselves by it, so that a doubling lengthens
        even attempts that stay far below it. 16,000 tokens stand at 0.
        """
        name = self.effort.lower()
        if name in EFFORTS:
            return float(EFFORTS.index(name) - EFFORTS.index("medium"))
        return float(np.log2(self.budget_tokens / 16000)) if self.budget_tokens and not name else np.nan

    @property
    def setting(self) -> dict[str, Any]:
        """Effort and budget as a strategy's fields."""
        return {"effort": self.effort or None, "budget_tokens": self.budget_tokens}

    @property
    def strategy(self) -> Strategy:
        """The strategy that makes one attempt of this arm."""
        budget = np.nan if self.budget_tokens is None else self.budget_tokens
        shape = {"branching": self.branching, "kept_states": self.kept_states} if self.is_tree else {}
        return STRATEGIES[self.walk].from_row({"effort": self.effort, "budget_tokens": budget} | shape)

    @property
    def search(self) -> ThoughtSearch:
        """The strategy of an arm whose attempts are outputs of a tree search."""
        strategy = self.strategy
        assert isinstance(strategy, ThoughtSearch), f"{self} is no tree search"
        return strategy

    def __str__(self) -> str:
        return f"{self.pair} | {self.strategy}"


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
    cell : int array, shape (T, A)
        Which row of its arm's table a task has.
    successes, attempts : int arrays, shape (T, A)
        What was observed and used in the fit (single attempts and decisions together); of a walk that budgets cut,
        the attempts that finished.
    cut : bool array, shape (T,)
        Whether attempts at the task were cut off, so that its tokens are latent.
    log_tokens, token_weight : arrays, shape (T, A)
        Log of mean generated tokens per unit, and the number of attempts behind it; 0 weight if none.
    log_prompt : array, shape (T, A)
        Log of mean prompt tokens per unit, NaN if none.
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
    cell: Array
    successes: Array
    attempts: Array
    cut: Array
    log_tokens: Array
    token_weight: Array
    log_prompt: Array
    told: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    @cached_property
    def distinct(self) -> tuple[Array, Array, Array]:
        """First task of each distinct signature (U,), signature of each task (T,), tasks per signature (U,).

        Tasks that look alike in every arm have the same likelihood, so it is taken once. Where all look alike, a
        second signature counts no task: compiled code can then take tables of any number of signatures.
        """
        own = np.where(self.cut, np.arange(len(self.tasks)), -1)
        told = [array for kind in self.told.values() for array in kind.values()]
        signature = np.concatenate(
            [self.cell, self.log_tokens, self.token_weight, self.task_class[:, None], own[:, None], *told], axis=1
        )
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

    @cached_property
    def subsets(self) -> Subsets:
        """Which arms each parameter belongs to."""
        return Subsets.of(self)

    @cached_property
    def has_votes(self) -> Array:
        """Whether anything observed tells how wrong answers agree in an arm, shape (arm,)."""
        seen = np.zeros(len(self.arms), dtype=bool)
        seen[[wrong.arm for wrong in self.observed.get("votes", ())]] = True
        seen[[curve.arm for curve in self.observed.get("curves", ()) if curve.votes]] = True
        return seen | self.depends_on(AGREEMENT)

    def depends_on(self, axis: Axis) -> Array:
        """Whether the likelihood of an arm's cells depends on a parameter beside success, shape (arm,)."""
        result = np.zeros(len(self.arms), dtype=bool)
        for block in self.blocks:
            result[list(block.arms)] = [table.axis is axis for table in block.tables]
        return result

    @cached_property
    def effort_rank(self) -> Array:
        """Place of each arm's reasoning effort or budget, 0 for medium, NaN without one or if no trend can be told.

        A trend is told by LLMs that ran at several efforts on one benchmark.
        """
        rank = np.array([arm.effort_rank if not arm.is_tree else np.nan for arm in self.arms])
        known: dict[str, set[float]] = {}
        for arm, place in zip(self.arms, rank, strict=True):
            if np.isfinite(place):
                known.setdefault(arm.pair, set()).add(float(place))
        told = any(len(places) > 1 for places in known.values())
        return rank if told else np.full(len(self.arms), np.nan)

    @cached_property
    def has_tokens(self) -> Array:
        """Whether generated tokens are modelled in an arm, shape (arm,).

        They are where they were observed, or where the same LLM's tokens at another effort were.
        """
        seen = np.zeros(len(self.arms), dtype=bool)
        for block in self.blocks:
            seen[list(block.arms)] |= (block.token_weight > 0).any(axis=0)
        budgeted = [curve.arm for curve in self.observed.get("curves", ()) if curve.strategy.budget_tokens is not None]
        seen[budgeted] = True
        seen[[cut.arm for cut in self.observed.get("attempts", ())]] = True
        ranked = np.isfinite(self.effort_rank)
        pairs = {int(pair) for pair in self.pair_of_arm[seen & ranked]}
        return seen | (ranked & np.isin(self.pair_of_arm, list(pairs)))

    @cached_property
    def has_traces(self) -> bool:
        """Whether step-level outcomes were observed."""
        return any(table.log_missed is not None for block in self.blocks for table in block.tables)

    @cached_property
    def has_prompts(self) -> Array:
        """Whether prompt tokens were observed in an arm, shape (arm,)."""
        seen = np.zeros(len(self.arms), dtype=bool)
        for block in self.blocks:
            seen[list(block.arms)] |= np.isfinite(block.log_prompt).any(axis=0)
        return seen

    def tree_of_pair(self, pair: int) -> int:
        """Return the index of a pair among the trees, -1 if it has no tree arm."""
        return self.trees.index(self.pairs[pair]) if self.pairs[pair] in self.trees else -1
