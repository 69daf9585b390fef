"""How attempts that end at max_tokens ended: right, wrong or cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pm, pt
from ds3bayes.generative.design import Arm, Design
from ds3bayes.generative.observation.base import Observation, Tensor
from ds3bayes.generative.observation.tokens import attempt_variance, latent_log_tokens, tokens_over_tasks
from ds3bayes.generative.priors import Parameter, prior
from ds3bayes.generative.rows import finished_tokens, searches
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import Terms

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class CutTask:
    """A task some of whose attempts in one arm were cut off by a budget.

    Parameters
    ----------
    arm : int
    task : str
    log_cuts, truncated, unseen : arrays, shape (B,)
        Of each cut: its log tokens, the attempts that it cut, and those that finished without their tokens given.
    log_tokens : float
        Log of the mean generated tokens of the attempts that finished, 0 if not given.
    finished : float
        Number of those attempts.
    """

    arm: int
    task: str
    log_cuts: Array
    truncated: Array
    unseen: Array
    log_tokens: float
    finished: float


def mark_cut_rows(table: pd.DataFrame) -> Array:
    """Find the rows in which ``max_tokens`` cuts one and the same walk: bool, shape (row,).

    They are single attempts at tasks, of an LLM at an effort or asked budget some of whose attempts were truncated,
    with the number of truncated attempts given in every row of the same cut. Where that is not given, attempts within
    a cut are a walk of their own.

    Parameters
    ----------
    table : pandas.DataFrame
        Of all rows, with the column ``walk``.
    """
    if "truncated" not in table:
        return np.zeros(len(table), dtype=bool)
    keys = ["model", "benchmark", "walk", "effort", "budget_tokens"]
    truncated = table["truncated"]
    told = (table["task"] != "") & (table["strategy"] == table["walk"]) & ~searches(table["strategy"])
    told &= truncated.notna() & table["max_tokens"].notna()
    told = told.groupby([table[key] for key in [*keys, "max_tokens"]], dropna=False).transform("all")
    some = (truncated.fillna(0) * told).groupby([table[key] for key in keys], dropna=False).transform("sum") > 0
    return (told & some).to_numpy()


class CutAttempts(Observation[tuple[CutTask, ...]]):
    """Attempts that a budget cut off (``truncated``), beside those that ended right or wrong.

    Whether an attempt ends within its budget depends on the tokens it wants, and not on whether it would be right: with
    F the chance that it ends, it is right with q F, wrong with (1 - q) F and cut off with 1 - F. So the attempts that
    ended inform the eventual success q, free of the budget, and the cut ones the tokens that a task wants. All budgets
    of an LLM then share one walk, which further budgets are predicted from, and a task that is never solved because
    it is out of reach or because attempts slip is told apart from one that budgets are too small for.

    Tokens of one task are gamma distributed with the arm's variance between attempts (the law of a long path of
    steps); its chance of exceeding a budget is taken from Wilson and Hilferty's cube-root normal. The mean tokens of a
    task with cut attempts are a latent variable, ``cut_tokens``.
    """

    name: ClassVar[str] = "attempts"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "cut_tokens": Parameter(
            # Only a start: the law of a task's tokens takes its place.
            prior("Normal", mu=0.0, sigma=1.0),
            ("cut_task",),
            "log mean tokens of a task whose attempts were cut, in sds over tasks around its arm's mean",
            of_a_task=True,
            unit="sd over tasks",
        )
    }

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> tuple[CutTask, ...] | None:
        """Take the tasks that have cut attempts."""
        del arms, spec
        rows = rows[rows["cut"]]
        if rows.empty:
            return None
        mean, finished = finished_tokens(rows)
        rows = rows.assign(mean=mean, unseen=np.where(np.isnan(mean), finished, 0.0))
        found = []
        for (arm, task), mine in rows.groupby(["arm", "task"], sort=False):
            if mine["truncated"].sum() + mine["unseen"].sum() == 0:
                continue
            seen = mine[mine["mean"].notna() & (mine["finished"] > 0)]
            weight = float(seen["finished"].sum())
            found.append(
                CutTask(
                    arm=int(arm),
                    task=str(task),
                    log_cuts=np.log(mine["max_tokens"].to_numpy(dtype=float)),
                    truncated=mine["truncated"].to_numpy(dtype=float),
                    unseen=mine["unseen"].to_numpy(dtype=float),
                    log_tokens=float(np.log((seen["mean"] * seen["finished"]).sum() / weight)) if weight else 0.0,
                    finished=weight,
                )
            )
        return tuple(found) or None

    def informs(self, data: tuple[CutTask, ...]) -> Mapping[str, Sequence[int]]:
        """Say that the tokens of cut attempts are told of, if only from below."""
        return {"tokens": [cut.arm for cut in data]}

    def coords(self, data: tuple[CutTask, ...], design: Design) -> Mapping[str, Sequence[str]]:
        """Return the tasks with cut attempts, by arm."""
        return {"cut_task": [f"{design.labels[cut.arm]} | {cut.task}" for cut in data]}

    def add(
        self,
        data: tuple[CutTask, ...],
        design: Design,
        spec: Settings,
        given: Mapping[str, Tensor],
        terms: Sequence[Terms],
    ) -> None:
        """Add all tasks at once."""
        del spec, terms
        raw = given["cut_tokens"]
        _, scale = tokens_over_tasks(design, [cut.arm for cut in data], given)
        # The law of log tokens over tasks is part of the tasks' likelihood; the start's own law is taken out.
        total = cut_log_likelihood(data, design, given).sum() + (0.5 * raw**2 + pt.log(scale)).sum()
        pm.Potential("cut_attempts", total)


def cut_log_likelihood(data: Sequence[CutTask], design: Design, given: Mapping[str, Any]) -> Tensor:
    """Log-likelihood of how attempts ended and of the tokens of those that finished, shape (cut_task,)."""
    log_tokens = latent_log_tokens(design, given)
    variance = attempt_variance(design, [cut.arm for cut in data], given)
    task = np.repeat(np.arange(len(data)), [len(cut.truncated) for cut in data])
    budget, truncated, unseen = (
        np.concatenate([getattr(cut, name) for cut in data]) for name in ("log_cuts", "truncated", "unseen")
    )
    beyond = log_exceeding(budget, log_tokens[task], variance[task])
    within = log_exceeding(budget, log_tokens[task], variance[task], upper=False)
    ends = pt.zeros(len(data))
    ends = pt.inc_subtensor(ends[task], truncated * beyond + unseen * within)
    observed, finished = np.array([[cut.log_tokens, cut.finished] for cut in data]).T
    noise = variance / np.maximum(finished, 1.0)
    seen = -0.5 * ((observed - log_tokens) ** 2 / noise + pt.log(2 * np.pi * noise))
    return ends + pt.switch(finished > 0, seen, 0.0)


def log_exceeding(log_budget: Array, log_tokens: Tensor, variance: Tensor, *, upper: bool = True) -> Tensor:
    """Log probability that an attempt takes more tokens than a budget (or, not ``upper``, at most as many).

    Tokens are gamma distributed with mean exp(log_tokens) and squared coefficient of variation ``variance``; the cube
    root of a gamma variable is nearly normal (Wilson and Hilferty 1931): within .012 of a path's own law, the negative
    binomial, up to a variance of .5.
    """
    ratio = pt.exp((log_budget - log_tokens) / 3.0)
    z = (ratio - (1.0 - variance / 9.0)) / pt.sqrt(variance / 9.0)
    return pm.distributions.dist_math.normal_lcdf(0.0, 1.0, -z if upper else z)
