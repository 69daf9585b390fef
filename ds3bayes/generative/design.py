"""What the model needs to know of a table of evaluations: arms, the tasks they share, and their cells."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import to_table
from ds3bayes.generative.grid import (
    AGREEMENT,
    OVERDISPERSION,
    Axis,
    EasinessNodes,
    Grid,
    Table,
    easiness_nodes,
    easiness_spacing,
    success_grid,
)
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.observation.counts import LogLikelihood, Selector
from ds3bayes.generative.observation.cut_attempts import finished_tokens, mark_cut_rows
from ds3bayes.generative.observation.traces import Traces
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.strategies import (
    STRATEGIES,
    AttemptStrategy,
    Majority,
    Strategy,
    TreeOfThought,
    WeightedBestOfN,
    parse_strategy,
)
from ds3bayes.strategies.base import LearnedVerifier, as_verifier

Array = np.ndarray

#: Names of reasoning efforts in the order of what they spend; "none" (no reasoning at all) is no step below them.
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")

_ARM_KEYS = ["model", "benchmark", "walk", "effort", "budget_tokens", "branching", "kept_states"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of drawing attempts whose success is learned: an LLM on a benchmark with one sampler setting.

    Parameters
    ----------
    model, benchmark : str
    walk : {"cot", "direct", "tot"}
        The sampler; for a tree an attempt is one of its outputs.
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
        return self.walk == "tot"

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
        if self.is_tree:
            return TreeOfThought(branching=self.branching, kept_states=self.kept_states, **self.setting)  # type: ignore[arg-type]
        return STRATEGIES[self.walk](**self.setting)

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


def make_design(evals: xr.Dataset, spec: ModelSpec, held_out: Array | None = None) -> Design:
    """Arrange evaluations for the model.

    Parameters
    ----------
    evals : xarray.Dataset
        From `read_evals`.
    spec : ModelSpec
    held_out : bool array, optional
        Rows whose counts and tokens the model must not see; their tasks and arms are known to it.

    Returns
    -------
    Design

    Raises
    ------
    InputError
        If rows cannot be used: no task, a strategy that a table does not determine, an unknown verifier, a path
        family where arms share tasks, a tree without a known path length, no rows left for the fit.
    """
    table = to_table(evals)
    table["held_out"] = False if held_out is None else np.asarray(held_out, dtype=bool)
    _refuse(table, spec)
    if table["held_out"].all():
        raise InputError("no rows are left for the fit; hold out fewer (spec: holdout)")
    table["walk"] = [_walk(strategy) for strategy in table["strategy"]]
    tree = table["walk"] == "tot"
    for column in ("branching", "kept_states"):
        table[column] = table[column].where(tree, 1).fillna(1).astype(int)
    table["budget_tokens"] = table["budget_tokens"].astype(float)

    table["cut"] = mark_cut_rows(table)
    table["finished"] = table["attempts"] - (table["truncated"].where(table["cut"], 0) if table["cut"].any() else 0)
    table["finished"] = table["finished"].astype(int)

    arms, arm_of_row = _arms(table)
    table["arm"] = arm_of_row
    pairs = tuple(dict.fromkeys(arm.pair for arm in arms))
    base = np.array([_base(arms, arm) for arm in arms])
    if "steps" not in table:
        table["steps"] = np.nan
    if spec.population.path_length is not None:
        table["steps"] = table["steps"].fillna(spec.population.path_length)

    # First of all, for here kinds refuse what they cannot use.
    fitted = table[~table["held_out"]]
    collected = {name: kind.collect(fitted, arms, spec) for name, kind in OBSERVATIONS.items()}
    observed = {name: data for name, data in collected.items() if data is not None}
    groups = _sharing(table, arms, base)
    _check_family(spec, groups, arms)
    blocks = tuple(_block(table, arms, group, spec) for group in groups)
    population_of_arm = np.zeros(len(arms), dtype=int)
    path_length = np.full(len(arms), np.nan)
    for index, block in enumerate(blocks):
        population_of_arm[list(block.arms)] = index
        if np.unique(block.steps).size == 1:
            path_length[list(block.arms)] = block.steps[0]
        elif not block.tasks and spec.population.path_length is not None:
            path_length[list(block.arms)] = spec.population.path_length
    for arm, length in zip(arms, path_length, strict=True):
        if arm.is_tree and not np.isfinite(length):
            raise InputError(
                f"{arm}: tree search needs one known path length for its tasks; give a `steps` column with the "
                "same value for them, or set population.path_length in the spec"
            )
    blocks = tuple(replace(block, told=_told(block, observed)) for block in blocks)
    return Design(
        arms=arms,
        base=base,
        pairs=pairs,
        pair_of_arm=np.array([pairs.index(arm.pair) for arm in arms]),
        populations=tuple(
            arms[block.arms[0]].benchmark if len(block.arms) > 1 else str(arms[block.arms[0]]) for block in blocks
        ),
        population_of_arm=population_of_arm,
        trees=tuple(dict.fromkeys(arm.pair for arm in arms if arm.is_tree)),
        blocks=blocks,
        observed=observed,
        path_length=path_length,
        tokens_per_step=_tokens_per_step(spec, blocks, arms, path_length),
        wrong_tokens=spec.tokens.wrong,
        **_facts_of_llms(table),
    )


def _told(block: Block, observed: Mapping[str, Any]) -> dict[str, Mapping[str, Array]]:
    """Return what each kind of observation says of a block's tasks, by name."""
    every = {name: OBSERVATIONS[name].of_tasks(data, block) for name, data in observed.items()}
    return {name: told for name, told in every.items() if told is not None}


def _facts_of_llms(table: pd.DataFrame) -> dict[str, Any]:
    """Return names, families, sizes and training tokens of the LLMs in order of first appearance."""
    rows = table.drop_duplicates("model")

    def numbers(column: str) -> Array:
        return rows[column].to_numpy(dtype=float) if column in rows else np.full(len(rows), np.nan)

    return {
        "llms": tuple(rows["model"]),
        "family": tuple(rows["family"]) if "family" in rows else ("",) * len(rows),
        "params": numbers("params"),
        "train_tokens": numbers("train_tokens"),
    }


def _tokens_per_step(spec: ModelSpec, blocks: Sequence[Block], arms: Sequence[Arm], path_length: Array) -> float:
    """Return the tokens of one step: from the spec, else the published 25 or what short attempts allow."""
    longest, shortest_arm = np.inf, ""
    for block in blocks:
        for column, member in enumerate(block.arms):
            seen = block.token_weight[:, column] > 0
            if seen.any() and not arms[member].is_tree and np.isfinite(path_length[member]):
                longest_here = float(np.exp(block.log_tokens[seen, column].mean()) / path_length[member])
                if longest_here < longest:
                    longest, shortest_arm = longest_here, str(arms[member])
    if spec.tokens.tokens_per_step is None:
        return min(25.0, longest / 2.0)
    if spec.tokens.tokens_per_step >= longest:
        raise InputError(
            f"tokens.tokens_per_step = {spec.tokens.tokens_per_step:g}: attempts of {shortest_arm} generate "
            f"{longest:.3g} tokens per needed skill, and a skill takes at least one step; set it below that, or "
            "leave it out"
        )
    return spec.tokens.tokens_per_step


def row_strategy(row: Mapping[str, Any]) -> Strategy:
    """Return the strategy of a row of a table, one attempt or decision of it.

    Parameters
    ----------
    row : mapping
        By column. A verifier that is neither ``oracle`` nor ``noisy(d=...)`` is one to be learned, by its name.

    Raises
    ------
    InputError
        If the row does not give what the strategy needs.
    """
    name = row["strategy"]
    fields: dict[str, Any] = {"effort": row["effort"] or None}
    if not np.isnan(row["budget_tokens"]):
        fields["budget_tokens"] = int(row["budget_tokens"])
    if name == TreeOfThought.name:
        fields["branching"] = int(row["branching"])
        if not np.isnan(row["kept_states"]):
            fields["kept_states"] = int(row["kept_states"])
    elif _selects(name) and name in ("best_of_n", "majority", "pass_power", "weighted_best_of_n"):
        fields["n"] = int(row["n_samples"])
    if name in ("best_of_n", "weighted_best_of_n"):
        text = row["verifier"]
        known = text.split("(")[0] in ("oracle", "noisy")
        fields["verifier"] = as_verifier(text) if known else LearnedVerifier(text)
    return STRATEGIES[name](**fields)


def _refuse(table: pd.DataFrame, spec: ModelSpec) -> None:
    """Refuse rows that the counts model cannot use, and costs of LLMs that are not there, all at once."""
    models = sorted(set(table["model"]))
    faults = [
        f"costs names model {name!r}, which has no rows; present: {', '.join(models)}, or '*' for all."
        + did_you_mean(name, models)
        for name in spec.costs
        if name != "*" and name not in models
    ]
    aggregated = table["task"] == ""
    if aggregated.any() and not spec.capability.exchangeable:
        faults.append(
            f"{int(aggregated.sum())} rows have no task (aggregates), but capability {spec.capability.kind!r} needs to "
            "know each task: select other rows with data.where in the spec"
        )
    usable = [name for name, cls in STRATEGIES.items() if cls.told_by_table]
    # An aggregate of a weighted vote says how good its verifier is.
    wanted = table["strategy"].isin(usable) | (aggregated & (table["strategy"] == WeightedBestOfN.name))
    wanted &= ~(aggregated & (table["strategy"] == TreeOfThought.name))
    for name in sorted(set(table.loc[~wanted, "strategy"])):
        faults.append(
            f"{int((table.loc[~wanted, 'strategy'] == name).sum())} rows have strategy {name!r}, which can be recorded "
            f"but of which a table does not say enough to learn from it; usable: {', '.join(usable)}: leave them out "
            "with data.where"
        )
    faults.extend(spec.capability.faults(table))
    faults.extend(_trace_faults(table, spec))
    votes = (table["strategy"] == "majority") & ~aggregated & (table["n_samples"] > 2)
    if spec.population.overdispersion and votes.any():
        faults.append(
            f"population.overdispersion = true, but {int(votes.sum())} rows are votes on single tasks, for which it is "
            "not known how runs differ: leave them out with data.where, or set it to false"
        )
    for text in sorted(set(table.loc[(table["strategy"] == "best_of_n") & ~aggregated, "verifier"])):
        try:
            parse_strategy(f"best_of_n(n=2, verifier={text or 'none'})")
        except InputError:
            faults.append(
                f"best_of_n rows have verifier {text!r}; rows of single tasks need `oracle` or `noisy(d=...)`, only "
                "aggregated ones tell how good a verifier is: leave them out with data.where"
            )
    if faults:
        raise InputError.of_faults("evaluations", faults)


def _trace_faults(table: pd.DataFrame, spec: ModelSpec) -> list[str]:
    """Say what keeps a table's step-level outcomes from being used."""
    traced = table[table["steps_before_error"] != ""] if "steps_before_error" in table else table[:0]
    if traced.empty:
        return []
    faults = []
    single = (traced["task"] != "") & traced["strategy"].map(lambda name: not _selects(name) and name != "tot")
    if not single.all():
        faults.append(
            f"{int((~single).sum())} rows have steps_before_error without being single attempts at one task: blank it "
            "there"
        )
    length = traced["steps"] if "steps" in traced else pd.Series(np.nan, index=traced.index)
    length = length.fillna(np.nan if spec.population.path_length is None else spec.population.path_length)
    if length.isna().any():
        faults.append(
            f"{int(length.isna().sum())} rows have steps_before_error, but it is not known how many steps their tasks "
            "take: give column steps, or set population.path_length in the spec"
        )
    deepest = traced["steps_before_error"].map(lambda text: max(int(part) for part in text.split("|")))
    if (deepest >= length).any():
        faults.append(
            f"steps_before_error of {int(deepest.max())}, but a path has {int(length[deepest >= length].iloc[0])} "
            "steps, all of which would be right: correct population.path_length or the column"
        )
    return faults


def _walk(strategy: str) -> str:
    return "cot" if _selects(strategy) else strategy


def _selects(strategy: str) -> bool:
    """Whether each attempt of a strategy is itself a decision over `n_samples` walks."""
    return issubclass(STRATEGIES[strategy], AttemptStrategy)


def _arms(table: pd.DataFrame) -> tuple[tuple[Arm, ...], Array]:
    """List the arms in order of first appearance, and each row's arm; give every tree the walk it needs."""
    codes: dict[Arm, int] = {}
    rows = []
    # Aggregates at several budgets are of one walk, which each budget cuts.
    one_walk = (table["task"] == "") | table["cut"]
    for shared, row in zip(one_walk, table[_ARM_KEYS].itertuples(index=False), strict=True):
        fields = row._asdict()
        budget = np.nan if shared else fields["budget_tokens"]
        del fields["budget_tokens"]
        arm = Arm(**fields, budget_tokens=None if np.isnan(budget) else int(budget))
        rows.append(codes.setdefault(arm, len(codes)))
    for arm in list(codes):
        if arm.is_tree:
            codes.setdefault(_walk_under(arm), len(codes))
    return tuple(codes), np.array(rows)


def _walk_under(tree: Arm) -> Arm:
    return Arm(
        model=tree.model,
        benchmark=tree.benchmark,
        walk="cot",
        effort=tree.effort,
        budget_tokens=tree.budget_tokens,
    )


def _base(arms: Sequence[Arm], arm: Arm) -> int:
    return arms.index(_walk_under(arm) if arm.is_tree else arm)


def _sharing(table: pd.DataFrame, arms: Sequence[Arm], base: Array) -> list[tuple[list[int], list[str]]]:
    """Group arms that share a task, directly or through others; return (arms, tasks) of each group."""
    group = {index: {index} for index in range(len(arms))}

    def join(one: int, other: int) -> None:
        if group[one] is not group[other]:
            group[one] |= group[other]
            for member in group[other]:
                group[member] = group[one]

    first: dict[tuple[str, str], int] = {}
    tasks: dict[int, dict[str, None]] = {index: {} for index in range(len(arms))}
    for row in table.loc[table["task"] != "", ["benchmark", "task", "arm"]].drop_duplicates().itertuples(index=False):
        join(row.arm, first.setdefault((row.benchmark, row.task), row.arm))
        tasks[row.arm][row.task] = None
    for index in range(len(arms)):
        join(index, int(base[index]))
    result = []
    for members in {id(members): members for members in group.values()}.values():
        ordered = sorted(members)
        names: dict[str, None] = {}
        for member in ordered:
            names |= tasks[member]
        result.append((ordered, list(names)))
    return result


def _check_family(spec: ModelSpec, groups: list[tuple[list[int], list[str]]], arms: Sequence[Arm]) -> None:
    if spec.population.family != "path":
        return
    for members, _ in groups:
        if len(members) > 1:
            raise InputError(
                "population.family = 'path' is for one arm per task, but these share tasks: "
                + "; ".join(str(arms[member]) for member in members[:6])
                + ". Use 'split_normal' or 'normal', or fit them one at a time with data.where"
            )


def _block(table: pd.DataFrame, arms: Sequence[Arm], group: tuple[list[int], list[str]], spec: ModelSpec) -> Block:
    members, tasks = group
    rows = table[table["arm"].isin(members) & (table["task"] != "")]
    row_of_task = {name: index for index, name in enumerate(tasks)}
    shape = (len(tasks), len(members))
    grid = success_grid(len(members))
    cell = np.zeros(shape, dtype=int)
    successes, attempts = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    token_sum, token_weight = np.zeros(shape), np.zeros(shape)
    prompt_sum, prompt_weight = np.zeros(shape), np.zeros(shape)
    steps = np.full(len(tasks), np.nan)
    tables = []
    known = rows[rows["steps"].notna()]
    steps[[row_of_task[name] for name in known["task"]]] = known["steps"]
    facts = rows.drop_duplicates("task").set_index("task").loc[list(tasks)]
    level = facts["level"].to_numpy(dtype=float) if "level" in facts else np.full(len(tasks), np.nan)
    skills = tuple(tuple(filter(None, str(text).split("|"))) for text in facts.get("skills", [""] * len(tasks)))
    for column, member in enumerate(members):
        arm = arms[member]
        units = _units(arm, steps)
        mine = rows[(rows["arm"] == member) & ~rows["held_out"]]
        at = mine["task"].map(row_of_task).to_numpy(dtype=int)
        np.add.at(successes[:, column], at, mine["successes"].to_numpy())
        np.add.at(attempts[:, column], at, mine["finished"].to_numpy())
        cell[:, column], table_ = _cells(mine, at, steps, grid, spec)
        tables.append(table_)
        single = mine[mine["strategy"] == arm.walk]
        at = single["task"].map(row_of_task).to_numpy(dtype=int)
        runs = np.ones(len(single)) if arm.is_tree else single["attempts"].to_numpy(dtype=float)
        mean, finished = finished_tokens(single)
        if arm.is_tree:
            mean, finished = mean * single["attempts"].to_numpy(dtype=float), runs
        _accumulate(token_sum[:, column], token_weight[:, column], at, finished, mean)
        if "prompt_tokens" in single:
            prompt = single["prompt_tokens"].to_numpy(dtype=float) / runs
            _accumulate(prompt_sum[:, column], prompt_weight[:, column], at, runs, prompt)
        token_sum[:, column] /= units
        prompt_sum[:, column] /= units
    with np.errstate(divide="ignore", invalid="ignore"):
        log_tokens = np.where(token_weight > 0, np.log(token_sum / token_weight), 0.0)
        log_prompt = np.where(prompt_weight > 0, np.log(prompt_sum / prompt_weight), np.nan)
    return Block(
        arms=tuple(members),
        tasks=tuple(tasks),
        steps=steps,
        level=level,
        skills=skills,
        task_class=np.asarray(spec.capability.task_class(tasks, level, skills)),
        easiness=_easiness(attempts) if len(members) > 1 or not spec.capability.exchangeable else None,
        tables=tuple(tables),
        cell=cell,
        successes=successes,
        attempts=attempts,
        cut=np.isin(tasks, list(rows.loc[rows["cut"] & ~rows["held_out"], "task"])),
        log_tokens=log_tokens,
        token_weight=token_weight,
        log_prompt=log_prompt,
    )


def _easiness(attempts: Array) -> EasinessNodes:
    """Return nodes of easiness for attempts (T, A), of each arm the median over the tasks that it tried."""
    typical = [float(np.median(column[column > 0])) if column.any() else 0.0 for column in attempts.T]
    return easiness_nodes(easiness_spacing(typical))


def _units(arm: Arm, steps: Array) -> Array:
    """Token units of one run on each task: 1 for a walk, the candidates proposed for a tree."""
    if not arm.is_tree:
        return np.ones_like(steps)
    lengths = np.unique(steps[np.isfinite(steps)])
    units = {float(length): arm.strategy.token_units(int(length)) for length in lengths}
    return np.array([units.get(float(length), np.nan) for length in steps])


def _accumulate(total: Array, weight: Array, at: Array, runs: Array, mean: Array) -> None:
    given = np.isfinite(mean) & (mean > 0) & (runs > 0)
    np.add.at(total, at[given], (mean * runs)[given])
    np.add.at(weight, at[given], runs[given])


def _cells(rows: pd.DataFrame, at: Array, steps: Array, grid: Grid, spec: ModelSpec) -> tuple[Array, Table]:
    """Number the distinct cells of an arm; return each task's and their table, the empty cell last."""
    counts: list[list[tuple[str, int, int]]] = [[] for _ in steps]
    columns = (rows[name].to_numpy() for name in ("strategy", "n_samples", "verifier", "finished", "successes"))
    for task, strategy, n, verifier, finished, solved in zip(at, *columns, strict=True):
        counts[task].append((_selector_text(strategy, n, verifier), int(finished), int(solved)))
    traces: list[Traces | None] = [None] * len(steps)
    for task, mine in rows.groupby(at) if "steps_before_error" in rows else ():
        traces[task] = Traces.of(list(mine["steps_before_error"]), steps[task])  # type: ignore[call-overload]
    told: dict[str, list[Hashable | None]] = {}
    for name, kind in OBSERVATIONS.items():
        if any(column.name in rows for column in kind.columns):
            told[name] = [None] * len(steps)
            for task, mine in rows.groupby(at):
                told[name][task] = kind.of_cell(mine)  # type: ignore[call-overload]
    told = {name: seen for name, seen in told.items() if any(one is not None for one in seen)}
    beyond = list(zip(*told.values(), strict=True)) if told else [()] * len(steps)
    codes: dict[tuple[tuple[tuple[str, int, int], ...], Traces | None, tuple[Hashable, ...]], int] = {}
    empty = -1
    cell = np.array(
        [
            codes.setdefault((tuple(sorted(found)), traced, seen), len(codes)) if found else empty
            for found, traced, seen in zip(counts, traces, beyond, strict=True)
        ]
    )
    likelihoods = [
        LogLikelihood(
            attempts=sum(attempts * _walks(text) for text, attempts, _ in signature),
            rows=tuple((_selector(text), attempts, successes) for text, attempts, successes in signature),
            traces=traced,
        )
        for signature, traced, _ in codes
    ]
    cell[cell == empty] = len(codes)
    texts = {text for signature, _, _ in codes for text, _, _ in signature}
    repeated = any(attempts > 1 for signature, _, _ in codes for _, attempts, _ in signature)
    axis: Axis | None = None
    if spec.population.overdispersion and repeated:
        axis = OVERDISPERSION
    elif any(_scatters(text) for text in texts):
        axis = AGREEMENT
    table = grid.table([*likelihoods, LogLikelihood(attempts=0, rows=())], axis)
    of_cells = {name: (*(seen[place] for _, _, seen in codes), None) for place, name in enumerate(told)}
    return cell, replace(table, told=of_cells)


def _scatters(text: str) -> bool:
    """Whether it matters to a selector how widely wrong answers scatter."""
    strategy = parse_strategy(text) if text else None
    return isinstance(strategy, Majority) and strategy.n > 2


def _selector_text(strategy: str, n: float, verifier: str) -> str:
    """Return the text of a row's selector, empty if its attempts are single walks."""
    if not _selects(strategy) or n == 1:
        return ""
    told = f", verifier={verifier}" if strategy == "best_of_n" else ""
    return f"{strategy}(n={int(n)}{told})"


def _walks(text: str) -> int:
    return parse_strategy(text).attempts if text else 1


# One function per text, so that cells of the same counts are equal and `Grid.table` knows them again.
@lru_cache(maxsize=64)
def _selector(text: str) -> Selector | None:
    """Return the map from attempt success to decision success, or None for single walks."""
    if not text:
        return None
    strategy = parse_strategy(text)

    def decide(q: Array, concentration: float | None) -> Array:
        given = None if concentration is None else np.full((1,) * np.ndim(q), concentration)
        return strategy.answer_array(q, concentration=given if _scatters(text) else None)

    return decide
