"""Replicated data at the draws of a fit, in the groups that ArviZ reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.evals import to_table
from ds3bayes.generative.design import Design
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.rows import row_strategy
from ds3bayes.generative.task_effects import by_draw, each_draw, new_task_effects, rerun
from ds3bayes.inference.artifact import design_of, evals_of, spec_of, thinned
from ds3bayes.queries.predict import outputs_again, predict
from ds3bayes.strategies import AttemptStrategy
from ds3bayes.strategies.thoughts import ThoughtSearch

# Fresh tasks per population and draw that replicated ones are taken from.
_FRESH = 256


def posterior_predictive(fit: xr.DataTree, *, seed: int = 0) -> xr.DataTree:
    """Replicate the data of a fit, so that ``az.plot_ppc_dist``, ``az.plot_ppc_pit`` and ``az.loo_pit`` take it.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    seed : int, default 0

    Returns
    -------
    xarray.DataTree
        The fit at the draws that have task effects, as `thinned` gives it, with a group ``posterior_predictive``:

        ``successes``, dims (chain, draw, row)
            Successes of every row of the table, held-out ones too, were its attempts made again **at these very
            tasks**; of a row without a task, at fresh tasks of its population. It stands beside
            ``observed_data["successes"]``.
        ``tasks``, dims (chain, draw, task)
            Successes of all fitted attempts at a task, were the task **drawn anew** from its population. It goes with
            ``log_likelihood["tasks"]``, in which a task's effects are summed out, and with ``observed_data["tasks"]``,
            which is added: this is what ``az.loo_pit(tree, var_names="tasks")`` asks about. Absent, with the reason in
            the group's ``attrs["absent"]``, where rows are decisions among several samples, whose successes are not a
            sum of attempts, and where tasks differ in law (they need other skills).
        what other kinds of observation replicate, dims (chain, draw, cell)
            By their own names, at these very tasks (`Observation.draw`), with what was observed in ``observed_data``.

    Examples
    --------
    >>> replicated = ds3.posterior_predictive(fit)  # doctest: +SKIP
    >>> az.plot_ppc_dist(replicated, var_names="successes")  # doctest: +SKIP
    """
    tree = thinned(fit)
    evals, held = evals_of(fit)
    design, spec = design_of(fit), spec_of(fit)
    table = to_table(evals)
    rng = np.random.default_rng([seed, 8])
    attempts = table["attempts"].to_numpy(dtype=np.int64)
    success = _success_of_rows(fit, table, seed)
    again = rng.binomial(attempts, success)
    for strategy, where, rows in _searches(table):
        runs = attempts[rows] // strategy.attempts
        tasks = [str(name) for name in table["task"].iloc[rows]]
        again[:, rows] = outputs_again(fit, strategy, where, tasks, runs, rng, seed=seed)
    groups = {name: group.to_dataset() for name, group in tree.children.items()}
    drawn = groups["task_effects"]
    sizes = {name: drawn[name] for name in ("chain", "draw")}
    shape = (drawn.sizes["chain"], drawn.sizes["draw"])
    replicated = xr.Dataset({"successes": (("chain", "draw", "row"), again.reshape(*shape, -1))}, sizes)
    observed = groups["observed_data"]
    reason = _not_a_sum(table[~held], spec.capability.exchangeable)
    if reason:
        replicated.attrs["absent"] = f"tasks: {reason}"
    else:
        fresh = new_task_effects(design, spec, groups["posterior"], _FRESH, seed)
        names = groups["log_likelihood"]["task"].values
        counts = _counts_of_tasks(design, fresh, by_draw(groups["posterior"]), rng).reshape(*shape, -1)
        replicated["tasks"] = (("chain", "draw", "task"), counts)
        observed["tasks"] = ("task", np.concatenate([block.successes.sum(axis=1) for block in design.blocks]))
        replicated, observed = (one.assign_coords(task=names) for one in (replicated, observed))
    for name, (seen, drawn_again) in _of_kinds(design, drawn, groups["posterior"], rng).items():
        cells = {coord: drawn[coord] for coord in ("cell_task", "cell_arm", "cell_block")}
        observed[name] = ("cell", seen)
        replicated[name] = (("chain", "draw", "cell"), drawn_again.reshape(*shape, -1))
        replicated, observed = (one.assign_coords(cells) for one in (replicated, observed))
    groups |= {"posterior_predictive": replicated, "observed_data": observed}
    result = xr.DataTree.from_dict(groups)
    result.attrs = dict(fit.attrs)
    return result


def _success_of_rows(fit: xr.DataTree, table: pd.DataFrame, seed: int) -> np.ndarray:
    """Success of one attempt, or decision, of each row at every draw of task effects: (sample, row)."""
    strategies = [row_strategy(row) for row in table.to_dict("records")]
    labels = np.array([str(one) for one in strategies])
    effects = fit["task_effects"]
    result = np.full((effects.sizes["chain"] * effects.sizes["draw"], len(table)), np.nan)
    aggregated = (table["task"] == "").to_numpy()
    for label in dict.fromkeys(labels):
        strategy = strategies[int(np.flatnonzero(labels == label)[0])]
        for of_population in (False, True):
            mine = np.flatnonzero((labels == label) & (aggregated == of_population))
            if not mine.size:
                continue
            if of_population:
                pred = predict(fit, [strategy], tasks="new", seed=seed)
            else:
                pred = predict(fit, [strategy], tasks=sorted(set(table["task"].iloc[mine])), per_task=True, seed=seed)
            names = ("model", "benchmark") if of_population else ("model", "benchmark", "task")
            at = {name: xr.DataArray(table[name].to_numpy()[mine], dims="row") for name in names}
            of_rows = pred["success"].sel(strategy=label).sel(at).stack(sample=("chain", "draw"))
            result[:, mine] = of_rows.transpose("sample", "row").values
    return result


def _searches(table: pd.DataFrame) -> list[tuple[ThoughtSearch, tuple[str, str], np.ndarray]]:
    """Return the rows of tree searches, by strategy, and LLM and benchmark."""
    found: dict[tuple[ThoughtSearch, tuple[str, str]], list[int]] = {}
    for place, row in enumerate(table.to_dict("records")):
        strategy = row_strategy(row)
        if isinstance(strategy, ThoughtSearch) and row["task"]:
            found.setdefault((strategy, (row["model"], row["benchmark"])), []).append(place)
    return [(strategy, where, np.array(rows)) for (strategy, where), rows in found.items()]


def _not_a_sum(rows: pd.DataFrame, exchangeable: bool) -> str:
    """Say why successes of a task are not a sum of attempts at a fresh one, if so."""
    if not exchangeable:
        return "tasks need skills of their own, so a fresh task is not like a given one"
    strategies = dict.fromkeys(row_strategy(row) for row in rows.to_dict("records"))
    deciding = [str(one) for one in strategies if isinstance(one, AttemptStrategy) and one.attempts > 1]
    return f"rows of {deciding[0]} are decisions among several samples" if deciding else ""


def _counts_of_tasks(
    design: Design, fresh: xr.Dataset, draws: Mapping[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Successes of every task's attempts at a fresh task of its block, (sample, task)."""
    logit, reachable = (
        fresh[name].stack(sample=("chain", "draw")).transpose("sample", "cell").values
        for name in ("logit_success", "reachable")
    )
    parts = []
    for index, block in enumerate(design.blocks):
        mine = fresh["cell_block"].values == index
        which = rng.integers(0, _FRESH, (len(logit), len(block.tasks)))
        x, solvable = (
            np.take_along_axis(one[:, mine].reshape(len(one), _FRESH, len(block.arms)), which[:, :, None], axis=1)
            for one in (logit, reachable)
        )
        every = np.arange(len(block.tasks))
        counts = [
            rerun(design, arm, every, x[..., column], solvable[..., column], draws, rng)
            for column, arm in enumerate(block.arms)
        ]
        parts.append(np.sum(counts, axis=0, initial=0))
    return np.concatenate(parts, axis=1)


def _of_kinds(
    design: Design, effects: xr.Dataset, posterior: xr.Dataset, rng: np.random.Generator
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What kinds of observation saw of every cell (cell,), NaN for nothing, and replicate of it, (sample, cell)."""
    easiness = effects["easiness"].stack(sample=("chain", "draw")).transpose("sample", "cell").values
    draws, of_cell = list(each_draw(posterior)), effects["cell_block"].values
    result: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for index, block in enumerate(design.blocks):
        mine = np.flatnonzero(of_cell == index)
        of_tasks = easiness[:, mine].reshape(len(draws), len(block.tasks), -1)[:, :, 0]
        for name, told in block.told.items():
            kind = OBSERVATIONS[name]
            for row, draw in enumerate(draws):
                for key, again in kind.draw(told, block, design, of_tasks[row], draw, rng).items():
                    empty = np.full(of_cell.size, np.nan), np.full((len(draws), of_cell.size), np.nan)
                    seen, replicated = result.setdefault(key, empty)
                    seen[mine] = np.where(np.isnan(again), np.nan, told[key]).ravel()
                    replicated[row, mine] = again.ravel()
    return result
