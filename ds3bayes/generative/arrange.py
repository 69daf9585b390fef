"""A table of evaluations becomes a design: arms, the tasks that they share, and the likelihood of their cells."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import to_table
from ds3bayes.evals.cuts import name_cuts
from ds3bayes.evals.outputs import fill_outputs, searches_with_outputs
from ds3bayes.evals.schema import fact_columns
from ds3bayes.generative.counts.cell import LogLikelihood, Selector
from ds3bayes.generative.counts.grid import (
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
from ds3bayes.generative.counts.searches import Searches, searches_of
from ds3bayes.generative.counts.traces import Traces
from ds3bayes.generative.design import Arm, Block, Design
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.observation.cut_attempts import mark_cut_rows
from ds3bayes.generative.observation.no_answers import share_without_answer
from ds3bayes.generative.observation.tokens import tokens_of
from ds3bayes.generative.rows import (
    attempts_alone,
    group_of,
    row_strategy,
    runs_of,
    sampler_of_rows,
    searches,
    selects,
)
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.strategies import STRATEGIES, parse_strategy
from ds3bayes.strategies.thoughts import ThoughtSearch

Array = np.ndarray

_OF_OUTPUTS = ("attempts", "kept_states", "outputs")
_ARM_KEYS = ["model", "benchmark", "walk", "effort", "budget_tokens", "max_tokens", "branching", "kept_states"]


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
    table = to_table(evals if "max_tokens" in evals else name_cuts(evals))
    table["held_out"] = False if held_out is None else np.asarray(held_out, dtype=bool)
    given = (table[name].to_numpy() if name in table else np.full(len(table), np.nan) for name in _OF_OUTPUTS)
    table["outputs"] = fill_outputs(searches_with_outputs(table["strategy"]), *given)
    _refuse(table, spec)
    if table["held_out"].all():
        raise InputError("no rows are left for the fit; hold out fewer (spec: holdout)")
    table["walk"] = table["strategy"].map(sampler_of_rows)
    tree = searches(table["strategy"])
    for column in ("branching", "kept_states"):
        table[column] = table[column].where(tree, 1).fillna(1).astype(int)
    for column in ("budget_tokens", "max_tokens"):
        table[column] = table[column].astype(float)

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
        informed=_informed(observed),
        path_length=path_length,
        tokens_per_step=_tokens_per_step(spec, blocks, arms, path_length),
        wrong_tokens=spec.tokens.wrong,
        **_facts_of_llms(table),
    )


def _told(block: Block, observed: Mapping[str, Any]) -> dict[str, Mapping[str, Array]]:
    """Return what each kind of observation says of a block's tasks, by name."""
    every = {name: OBSERVATIONS[name].of_tasks(data, block) for name, data in observed.items()}
    return {name: told for name, told in every.items() if told is not None}


def _informed(observed: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the arms of which any kind of observation tells, by what they are told."""
    found: dict[str, set[int]] = {}
    for name, data in observed.items():
        for about, arms in OBSERVATIONS[name].informs(data).items():
            found.setdefault(about, set()).update(arms)
    return {about: tuple(sorted(arms)) for about, arms in found.items()}


def _facts_of_llms(table: pd.DataFrame) -> dict[str, Any]:
    """Return names, families, sizes and training tokens of the LLMs in order of first appearance."""
    rows = table.drop_duplicates("model")

    def numbers(column: str) -> Array:
        return rows[column].to_numpy(dtype=float) if column in rows else np.full(len(rows), np.nan)

    return {
        "llms": tuple(rows["model"]),
        "family": tuple(rows["family"]) if "family" in rows else ("",) * len(rows),
        "llm_facts": {name: tuple(rows[name]) for name in fact_columns("model") if name in rows},
        "params": numbers("params"),
        "train_tokens": numbers("train_tokens"),
    }


def _tokens_per_step(spec: ModelSpec, blocks: Sequence[Block], arms: Sequence[Arm], path_length: Array) -> float:
    """Return the tokens of one step: from the spec, else the published 25 or what short attempts allow."""
    longest, shortest_arm = np.inf, ""
    for block in blocks:
        log_tokens, weight = tokens_of(block)
        for column, member in enumerate(block.arms):
            seen = weight[:, column] > 0
            if seen.any() and not arms[member].is_tree and np.isfinite(path_length[member]):
                longest_here = float(np.exp(log_tokens[seen, column].mean()) / path_length[member])
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
    for kind, rows in (("tasks", ~aggregated), ("aggregates", aggregated)):
        usable = [name for name, cls in STRATEGIES.items() if kind in cls.fitted_from]
        unwanted = table.loc[rows & ~table["strategy"].isin(usable), "strategy"].value_counts()
        faults.extend(
            f"{count} rows of {'single ' if kind == 'tasks' else ''}{kind} have strategy {name!r}, which can be "
            f"recorded but of which such rows do not say enough to learn from it; usable: {', '.join(usable)}: leave "
            "them out with data.where"
            for name, count in sorted(unwanted.items())
        )
    faults.extend(spec.capability.faults(table))
    faults.extend(_trace_faults(table, spec))
    faults.extend(_output_faults(table))
    decisions, unclear = _decisions(table[~aggregated])
    faults.extend(unclear)
    votes = sum(rows for text, rows in decisions.items() if _scatters(text))
    if spec.population.overdispersion and votes:
        faults.append(
            f"population.overdispersion = true, but {votes} rows are votes on single tasks, for which it is "
            "not known how runs differ: leave them out with data.where, or set it to false"
        )
    if faults:
        raise InputError.of_faults("evaluations", faults)


def _decisions(table: pd.DataFrame) -> tuple[dict[str, int], list[str]]:
    """Return the selectors of rows of single tasks with their numbers of rows, and what is wrong with others."""
    deciding = [name for name, cls in STRATEGIES.items() if selects(name) and "tasks" in cls.fitted_from]
    rows = table[table["strategy"].isin(deciding)]
    found: dict[str, int] = {}
    faults = []
    for key, count in rows.groupby(["strategy", "n_samples", "verifier"], dropna=False).size().items():
        name, n, verifier = key  # type: ignore[misc]
        one = row_strategy({"strategy": name, "n_samples": n, "verifier": verifier or "none"})
        if one.learned_verifier:
            faults.append(
                f"{name} rows have verifier {verifier!r}; rows of single tasks need `oracle` or `noisy(d=...)`, only "
                "aggregated ones tell how good a verifier is: leave them out with data.where"
            )
        else:
            found[_selector_text(name, n, verifier)] = found.get(_selector_text(name, n, verifier), 0) + int(count)
    return found, list(dict.fromkeys(faults))


def _output_faults(table: pd.DataFrame) -> list[str]:
    """Say which rows of searches do not tell how many answers each search wrote out."""
    rows = table[searches(table["strategy"])]
    kept, outputs = rows["kept_states"].fillna(1.0), rows["outputs"].fillna(1.0)
    several = searches_with_outputs(rows["strategy"])
    faults = []
    untold = several & rows["outputs"].isna().to_numpy()
    if untold.any():
        first = rows[untold].iloc[0]
        faults.append(
            f"{int(untold.sum())} rows of searches have more attempts than states are kept (first: {first['attempts']} "
            f"and {kept[untold].iloc[0]:g}), so that it is not known how many answers each search wrote out: say so in "
            "column outputs, 1 if every attempt is a search of its own"
        )
    more = (outputs > kept).to_numpy()
    if more.any():
        faults.append(
            f"{int(more.sum())} rows of searches have more outputs than kept_states (first: {outputs[more].iloc[0]:g} "
            f"and {kept[more].iloc[0]:g}); allowed: at most kept_states"
        )
    uneven = (rows["attempts"] % outputs != 0).to_numpy()
    if uneven.any():
        faults.append(
            f"{int(uneven.sum())} rows of searches have attempts that are no multiple of outputs (first: "
            f"{rows['attempts'][uneven].iloc[0]} and {outputs[uneven].iloc[0]:g}): give all outputs of each search"
        )
    return faults


def _trace_faults(table: pd.DataFrame, spec: ModelSpec) -> list[str]:
    """Say what keeps a table's step-level outcomes from being used."""
    traced = table[table["steps_before_error"] != ""] if "steps_before_error" in table else table[:0]
    if traced.empty:
        return []
    faults = []
    single = (traced["task"] != "") & attempts_alone(traced["strategy"])
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


def _arms(table: pd.DataFrame) -> tuple[tuple[Arm, ...], Array]:
    """List the arms in order of first appearance, and each row's arm; give every tree the walk it needs."""
    keys = table[_ARM_KEYS]
    # Aggregates with several cuts are of one walk, and so are attempts that were cut.
    keys = keys.assign(max_tokens=keys["max_tokens"].mask((table["task"] == "") | table["cut"]))
    # Numbers of groups are in order of first appearance.
    of_row = keys.groupby(_ARM_KEYS, dropna=False, sort=False).ngroup().to_numpy()
    codes: dict[Arm, int] = {}
    for fields in keys.drop_duplicates().to_dict("records"):
        for name in ("budget_tokens", "max_tokens"):
            fields[name] = None if np.isnan(fields[name]) else int(fields[name])
        codes[Arm(**fields)] = len(codes)  # type: ignore[misc]
    for arm in list(codes):
        if arm.is_tree:
            codes.setdefault(_walk_under(arm), len(codes))
    return tuple(codes), of_row


def _walk_under(tree: Arm) -> Arm:
    return Arm(
        model=tree.model,
        benchmark=tree.benchmark,
        walk=tree.search.searches_over,
        effort=tree.effort,
        budget_tokens=tree.budget_tokens,
        max_tokens=tree.max_tokens,
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
    steps = np.full(len(tasks), np.nan)
    tables = []
    proposed = np.full(len(members), np.nan)
    known = rows[rows["steps"].notna()]
    steps[[row_of_task[name] for name in known["task"]]] = known["steps"]
    facts = rows.drop_duplicates("task").set_index("task").loc[list(tasks)]
    level = facts["level"].to_numpy(dtype=float) if "level" in facts else np.full(len(tasks), np.nan)
    skills = tuple(tuple(filter(None, str(text).split("|"))) for text in facts.get("skills", [""] * len(tasks)))
    known_of_tasks = {name: tuple(map(group_of, facts[name])) for name in fact_columns("task") if name in facts}
    for column, member in enumerate(members):
        mine = rows[(rows["arm"] == member) & ~rows["held_out"]]
        at = mine["task"].map(row_of_task).to_numpy(dtype=int)
        np.add.at(successes[:, column], at, mine["successes"].to_numpy())
        np.add.at(attempts[:, column], at, mine["finished"].to_numpy())
        if arms[member].is_tree:
            length = _one_length(arms[member], steps)
            proposed[column] = _proposed(arms[member].search, length, mine)
            every = rows.loc[rows["arm"] == member, "outputs"].fillna(1.0)
            usual = int(every.mode().iloc[0]) if len(every) else 1
            cell[:, column], table_ = _search_cells(
                mine, at, arms[member], length, proposed[column], usual, len(tasks), grid
            )
        else:
            cell[:, column], table_ = _cells(mine, at, steps, grid, spec)
        tables.append(table_)
    return Block(
        arms=tuple(members),
        tasks=tuple(tasks),
        steps=steps,
        level=level,
        skills=skills,
        facts=known_of_tasks,
        task_class=np.asarray(spec.capability.task_class({"task": tasks, **known_of_tasks})),
        easiness=_easiness(attempts) if len(members) > 1 or not spec.capability.exchangeable else None,
        tables=tuple(tables),
        proposed=proposed,
        cell=cell,
        successes=successes,
        attempts=attempts,
        cut=np.isin(tasks, list(rows.loc[rows["cut"] & ~rows["held_out"], "task"])),
    )


def _one_length(arm: Arm, steps: Array) -> int:
    """Return the path length of a tree's tasks, or refuse."""
    lengths = np.unique(steps)
    if lengths.size != 1 or not np.isfinite(lengths[0]):
        raise InputError(
            f"{arm}: tree search needs one known path length for its tasks; give a `steps` column with the "
            "same value for them, or set population.path_length in the spec"
        )
    return int(lengths[0])


def _proposed(search: ThoughtSearch, length: int, rows: pd.DataFrame) -> float:
    """Return the mean candidates that a kept state proposed: by the states that searches scored, else as stated."""
    scored = rows["states_evaluated"].to_numpy() if "states_evaluated" in rows else np.full(len(rows), np.nan)
    given = np.isfinite(scored)
    if not given.any():
        return float(search.branching)
    runs = runs_of(rows)
    mean, below = scored[given].sum() / runs[given].sum(), 1

    def in_all(branching: int) -> float:
        return float(replace(search, branching=branching).token_units(length))

    while in_all(below + 1) <= mean:
        below += 1
    return below + float(np.clip((mean - in_all(below)) / (in_all(below + 1) - in_all(below)), 0.0, 1.0))


def _search_cells(
    rows: pd.DataFrame, at: Array, arm: Arm, length: int, proposed: float, outputs: int, tasks: int, grid: Grid
) -> tuple[Array, Table]:
    """Number the distinct cells of a tree; return each task's and their table, the empty cell last."""
    codes: dict[tuple[Searches, ...], int] = {}
    cell = np.full(tasks, -1)
    for task, mine in rows.groupby(at):
        attempts, successes = (mine[name].astype(int).tolist() for name in ("attempts", "successes"))
        found = searches_of(attempts, successes, mine["outputs"].fillna(1.0).astype(int).tolist())
        cell[task] = codes.setdefault(found, len(codes))
    cell[cell < 0] = len(codes)
    return cell, _search_table(grid, (*codes, ()), arm.search, length, proposed, outputs)


@lru_cache(maxsize=16)
def _search_table(
    grid: Grid,
    cells: tuple[tuple[Searches, ...], ...],
    search: ThoughtSearch,
    length: int,
    proposed: float,
    outputs: int,
) -> Table:
    plain = replace(search, effort=None, budget_tokens=None, max_tokens=None)

    def law(written: int, x: Array, gaps: Array, overlaps: Array) -> Array:
        return plain.writing(written).right_outputs(x, gaps, overlaps, length, proposed)

    return grid.search_table(cells, law, outputs)


def _easiness(attempts: Array) -> EasinessNodes:
    """Return nodes of easiness for attempts (T, A), of each arm the median over the tasks that it tried."""
    typical = [float(np.median(column[column > 0])) if column.any() else 0.0 for column in attempts.T]
    return easiness_nodes(easiness_spacing(typical))


def _cells(rows: pd.DataFrame, at: Array, steps: Array, grid: Grid, spec: ModelSpec) -> tuple[Array, Table]:
    """Number the distinct cells of an arm; return each task's and their table, the empty cell last."""
    counts: list[list[tuple[str, int, int]]] = [[] for _ in steps]
    columns = (rows[name].to_numpy() for name in ("strategy", "n_samples", "verifier", "finished", "successes"))
    for task, strategy, n, verifier, finished, solved in zip(at, *columns, strict=True):
        counts[task].append((_selector_text(strategy, n, verifier), int(finished), int(solved)))
    no_answer = share_without_answer(rows)
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
            rows=tuple((_selector(text, no_answer), attempts, successes) for text, attempts, successes in signature),
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
    return bool(text) and "concentration" in parse_strategy(text).depends_on


@lru_cache(maxsize=256)
def _selector_text(strategy: str, n: float, verifier: str) -> str:
    """Return the text of a row's selector, empty if its attempts are single walks."""
    if not selects(strategy) or n == 1:
        return ""
    return str(row_strategy({"strategy": strategy, "n_samples": n, "verifier": verifier}))


def _walks(text: str) -> int:
    return parse_strategy(text).attempts if text else 1


# One function per text, so that cells of the same counts are equal and `Grid.table` knows them again.
@lru_cache(maxsize=64)
def _selector(text: str, no_answer: float | None) -> Selector | None:
    """Return the map from attempt success to decision success, or None for single walks.

    Attempts without an answer do not vote; their share is that of the arm's counts, which leave little open of it.
    """
    if not text:
        return None
    strategy = parse_strategy(text)

    def decide(q: Array, concentration: float | None) -> Array:
        given = None if concentration is None else np.full((1,) * np.ndim(q), concentration)
        silent = None if no_answer is None else np.full((1,) * np.ndim(q), no_answer)
        return strategy.answer_array(q, given if _scatters(text) else None, silent)

    return decide
