"""Replays of attempts that were made: what stopping early would have saved, and whether its answers are right."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.cluster import workers
from ds3bayes.errors import InputError
from ds3bayes.evals import to_table
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.compiled import CompiledModel
from ds3bayes.live.conditional import Law
from ds3bayes.live.questions import Question, certain_answer
from ds3bayes.live.stopper import Stopper, options_of
from ds3bayes.strategies.base import ROW_COLUMNS

Array = np.ndarray


def replay(
    evals: xr.Dataset,
    question: Question,
    *,
    epochs: int,
    replays: int = 50,
    adaptive: bool = True,
    in_flight: int = 1,
    first_epochs: int = 2,
    spec: ModelSpec | None = None,
    growth: float = 1.5,
    draws: int = 400,
    seed: int = 0,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Run evaluations again, in other orders of the attempts that were made, and stop them early.

    In each replay every task's attempts come in a new random order, without replacement; the truth is what all of them
    together say.

    Parameters
    ----------
    evals : xarray.Dataset
        From `read_evals`: of one benchmark, task by task, with at least ``epochs`` attempts in every row; many more, or
        the truth is itself uncertain. An arm is an LLM, or ``"LLM | sampler"`` where an LLM has several.
    question : Question
        About these tasks.
    epochs : int
        Most attempts of an arm at a task.
    replays : int, default 50
    adaptive : bool, default True
        Whether attempts are left out; if not, all ``epochs`` are made and the same model answers.
    in_flight : int, default 1
        Attempts that run at the same time: results come as many attempts later.
    first_epochs, spec, growth, draws
        As for `Stopper`.
    seed : int, default 0
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``, whose workers run a replay each: the same rows.
        Needs the extra ``distributed``.

    Returns
    -------
    pandas.DataFrame
        One row per replay: ``attempts`` and ``tokens`` spent, ``share`` of the plan's attempts that is, ``state``
        (``"decided"``, ``"cannot be decided"`` or ``"open"``), ``choice``, whether it is ``right``, ``estimate``,
        ``lower``, ``upper`` (90 %), the ``truth`` of what they estimate, ``covered``, ``error``, ``pooled`` (the share
        of the attempts made that succeeded, of the first arm), ``refits`` and ``failures``.

    Raises
    ------
    InputError
        If the rows cannot be replayed, or the question is about new tasks, whose truth is not known; if the cluster has
        no scheduler, no worker or other versions.
    ClusterError
        If the cluster gave replays up.
    """
    if replays < 1 or in_flight < 1:
        raise InputError(f"replays and in_flight must be at least 1, got {replays} and {in_flight}")
    pool = _Pool.of(evals, question, epochs)
    settings = {"spec": spec, "first_epochs": first_epochs, "growth": growth, "draws": draws}
    asked = _Asked(question=question, pool=pool, adaptive=adaptive, in_flight=in_flight, seed=seed, settings=settings)
    with workers(scheduler) as spread:
        made = dict(spread(_replay_once, range(replays), shared=asked, prepare=_Compiled))
    return pd.DataFrame([made[number] for number in range(replays)])


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is replayed, and how; ``settings`` are those of `Stopper`."""

    question: Question
    pool: _Pool
    adaptive: bool
    in_flight: int
    seed: int
    settings: Mapping[str, Any]


@dataclass
class _Compiled:
    """That, with the model that this process compiled at its first replay."""

    asked: _Asked
    model: CompiledModel | None = None


def _replay_once(number: int, compiled: _Compiled) -> dict[str, Any]:
    """Make one replay; return its row of `replay`."""
    asked = compiled.asked
    question, pool, epochs = asked.question, asked.pool, asked.pool.epochs
    outcomes = pool.order(np.random.default_rng([asked.seed, number]))
    stopper = Stopper(
        question,
        tasks=pool.tasks,
        epochs=epochs,
        arms=pool.arms,
        compiled=compiled.model,
        seed=1000 * asked.seed + 10 * number,
        **asked.settings,
    )
    if asked.adaptive:
        _run(stopper, pool, outcomes, asked.in_flight)
    else:
        for arm, name in enumerate(pool.arms):
            for task, label in enumerate(pool.tasks):
                spent = float(pool.spent[arm, task])
                stopper.observe_counts(name, label, int(outcomes[arm, task].sum()), epochs, spent or None)
    if not stopper.is_fresh:
        stopper.refit()
    answer = stopper.answer
    if answer is None:
        raise InputError(f"replay {number}: no refit succeeded: {'; '.join(stopper.failures)}")
    compiled.model = stopper.compiled
    truth = pool.truth_of(question, answer.choice)
    successes, attempts = stopper.counts
    return {
        "attempts": stopper.made,
        "tokens": stopper.tokens,
        "share": stopper.made / outcomes.size,
        "state": "decided" if answer.decided else stopper.verdict or "open",
        "choice": answer.choice,
        "right": question.is_right(answer.choice, answer.estimate, pool.success, pool.cost),
        "estimate": answer.estimate,
        "lower": answer.lower,
        "upper": answer.upper,
        "truth": truth,
        "covered": bool(answer.lower <= truth <= answer.upper),
        "error": answer.estimate - truth,
        "pooled": float(successes[0].sum() / attempts[0].sum()),
        "refits": stopper.refits,
        "failures": len(stopper.failures),
    }


def fixed_epochs(
    evals: xr.Dataset,
    question: Question,
    *,
    epochs: int,
    replays: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Answer by observed rates after each fixed number of epochs: what early stopping is compared with.

    Parameters
    ----------
    evals, question, epochs, seed
        As for `replay`.
    replays : int, default 2000

    Returns
    -------
    pandas.DataFrame
        By ``epochs`` from 1: ``attempts`` and ``tokens``, ``wrong`` share of replays whose answer is wrong, ``rmse`` of
        the estimate.
    """
    pool = _Pool.of(evals, question, epochs)
    rng = np.random.default_rng(seed)
    wrong, squares = np.zeros(epochs), np.zeros(epochs)
    for _ in range(replays):
        rates = pool.order(rng).cumsum(axis=2) / np.arange(1, epochs + 1)
        for epoch in range(epochs):
            success = pool.success_at(rates[:, :, epoch])
            answer = certain_answer(question, success, pool.cost)
            wrong[epoch] += not question.is_right(answer.choice, answer.estimate, pool.success, pool.cost)
            squares[epoch] += (answer.estimate - pool.truth_of(question, answer.choice)) ** 2
    made = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "epochs": made,
            "attempts": made * len(pool.arms) * len(pool.tasks),
            "tokens": made * pool.spent.sum(),
            "wrong": wrong / replays,
            "rmse": np.sqrt(squares / replays),
        }
    )


def _run(stopper: Stopper, pool: _Pool, outcomes: Array, in_flight: int) -> None:
    """Offer a plan in the order of a harness: epoch by epoch, all tasks, the arms side by side."""
    running: deque[tuple[int, int]] = deque()
    used = np.zeros(outcomes.shape[:2], dtype=int)

    def land() -> None:
        arm, task = running.popleft()
        success = bool(outcomes[arm, task, used[arm, task]])
        used[arm, task] += 1
        stopper.observe(pool.arms[arm], pool.tasks[task], success, float(pool.spent[arm, task]) or None)
        if stopper.needs_refit:
            stopper.refit()

    for _ in range(stopper.epochs):
        for task, label in enumerate(pool.tasks):
            for arm, name in enumerate(pool.arms):
                if stopper.offer(name, label).run:
                    running.append((arm, task))
                if len(running) >= in_flight:
                    land()
        if stopper.verdict:
            break
    while running:
        land()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pool:
    """All attempts that were made.

    Parameters
    ----------
    arms, tasks : list of str
    successes, attempts : int arrays, shape (A, T)
    spent : array, shape (A, T)
        Tokens of an attempt, 0 where they are not known.
    epochs : int
    cost : array, shape (O,)
        Of the options.
    laws : tuple of (arm, callable)
        Each option's success from that of one attempt.
    """

    arms: list[str]
    tasks: list[str]
    successes: Array
    attempts: Array
    spent: Array
    epochs: int
    cost: Array
    laws: Sequence[tuple[int, Law]]

    @classmethod
    def of(cls, evals: xr.Dataset, question: Question, epochs: int) -> _Pool:
        """Arrange a table by arms and tasks."""
        if question.tasks != "these":
            raise InputError("a replay knows the truth of these tasks only; ask with tasks='these'")
        table = to_table(evals)
        names = arm_names(table)
        every = list(dict.fromkeys(names))
        used = {arm for arm, _ in options_of(question, every)[1]}
        # Arms that nobody asks about need not run.
        arms = [name for place, name in enumerate(every) if place in used]
        table = table.assign(arm=names)
        table = table[table["arm"].isin(arms)]
        faults = []
        if (table["task"] == "").any():
            faults.append(f"{int((table['task'] == '').sum())} rows have no task")
        if table["benchmark"].nunique() > 1:
            faults.append(f"there are several benchmarks: {', '.join(table['benchmark'].unique())}; keep one")
        few = table["attempts"] < epochs
        if few.any():
            faults.append(
                f"{int(few.sum())} rows have fewer than {epochs} attempts (the fewest: {table['attempts'].min()})"
            )
        if faults:
            raise InputError.of_faults("replay", faults)
        tasks = list(dict.fromkeys(table["task"].astype(str)))
        wide = table.assign(task=table["task"].astype(str), spent=tokens_of(table))
        wide = wide.pivot(index="arm", columns="task", values=["successes", "attempts", "spent"]).reindex(index=arms)
        successes, attempts, spent = (wide[name][tasks].to_numpy() for name in ("successes", "attempts", "spent"))
        if np.isnan(attempts.astype(float)).any():
            raise InputError("every arm must have been tried at every task; choose rows that were")
        asked = Stopper(question, tasks=tasks, epochs=epochs, arms=arms)
        for arm, name in enumerate(arms):
            for task, label in enumerate(tasks):
                asked.observe_counts(name, label, 0, 1, float(spent[arm, task]) or None)
        return cls(
            arms=arms,
            tasks=tasks,
            successes=successes.astype(int),
            attempts=attempts.astype(int),
            spent=spent.astype(float),
            epochs=epochs,
            cost=asked.costs,
            laws=asked.option_laws,
        )

    @cached_property
    def success(self) -> Array:
        """True success (O,) of the options."""
        return self.success_at(self.successes / self.attempts)

    def success_at(self, rates: Array) -> Array:
        """Success (O,) of the options, given that of one attempt (A, T)."""
        return np.array([law(rates[arm]).mean() for arm, law in self.laws])

    def order(self, rng: np.random.Generator) -> Array:
        """First outcomes (A, T, epochs) in a random order."""
        drawn = rng.hypergeometric(self.successes, self.attempts - self.successes, self.epochs)
        return rng.permuted(np.arange(self.epochs) < drawn[..., None], axis=2)

    def truth_of(self, question: Question, choice: str) -> float:
        """What an answer's estimate estimates."""
        if choice in question.names:
            return float(self.success[question.names.index(choice)])
        if choice in ("yes", "no"):
            return float(self.success[0] - self.success[1])
        # "None of them" is shown with the estimate of the most successful.
        return float(self.success.max() if choice == "none" else self.success[0])


def arm_names(table: pd.DataFrame) -> list[str]:
    """Name each row's arm: the LLM, with the sampler where it has several."""
    settings = [name for name in ROW_COLUMNS if name in table and name != "n_samples"]
    told = [
        " ".join(
            f"{value:g}" if isinstance(value, float) else str(value)
            for value in row
            if value == value and str(value) not in ("", "1.0", "1")
        )
        for row in table[settings].itertuples(index=False)
    ]
    several = pd.Series(told).groupby(table["model"].values).transform("nunique").values > 1
    return [
        f"{model} | {text}" if many else str(model)
        for model, text, many in zip(table["model"], told, several, strict=True)
    ]


def tokens_of(table: pd.DataFrame) -> Array:
    """Return the generated tokens of an attempt in each row, 0 where they are not known."""
    if "tokens_mean" not in table:
        return np.zeros(len(table))
    return np.nan_to_num(table["tokens_mean"].to_numpy(dtype=float))
