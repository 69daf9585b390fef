"""Ordered scores of attempts: rubrics, letters, partial credit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pt
from ds3bayes.errors import InputError
from ds3bayes.evals.schema import COLUMN, Column
from ds3bayes.generative.design import Arm, Design
from ds3bayes.generative.observation.base import Observation, Tensor
from ds3bayes.generative.priors import Parameter, log, prior
from ds3bayes.generative.settings import Settings
from ds3bayes.strategies.attempts import single_attempt

Array = np.ndarray


class Graded(Observation[dict[str, int]]):
    """Ordered scores of attempts (``grades``, integers from 0 to ``grade_max``), full credit being success.

    With x the logit success of an attempt, at least grade k is reached with probability logistic(x + d_k): the cut
    points d_1 > d_2 > ... > d_max = 0 say by how much lower grades are easier to reach, in logits (the proportional
    odds model of McCullagh 1980). They are the benchmark's; x is the task's and the LLM's own. So counts of full credit
    keep their binomial, and what is added is how failed attempts are spread over the grades below it: tasks at which
    attempts fail with 7 of 10 points are nearer to success than those at which they fail with 1. Out of reach, full
    credit is impossible and grades are as those of failed attempts.

    Grades are taken at the nodes of x: 20 graded attempts at one task are wide enough for them, hundreds are not.
    """

    name: ClassVar[str] = "graded"
    columns: ClassVar[tuple[Column, ...]] = (COLUMN["grades"], COLUMN["grade_max"])
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "grade_gap": Parameter(
            prior("LogNormal", mu=log(0.7), sigma=0.8),
            ("grade_step",),
            "logits by which reaching a grade is easier than reaching the next one",
            unit="logit",
        )
    }

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> dict[str, int] | None:
        """Return the grade of full credit of each benchmark that has grades.

        Raises
        ------
        InputError
            If grades are not of single attempts at tasks, lie above full credit, or contradict the successes.
        """
        del arms, spec
        if "grades" not in rows:
            return None
        rows = rows[rows["grades"] != ""]
        faults = [fault for row in rows.to_dict("records") for fault in _faults(row)]
        tops = {} if rows.empty else rows.groupby("benchmark")["grade_max"].agg(["min", "max"]).to_dict("index")
        faults += [
            f"benchmark {name!r}: grade_max is {top['min']:g} in some rows and {top['max']:g} in others; allowed: one "
            "for all of a benchmark"
            for name, top in tops.items()
            if top["min"] != top["max"]
        ]
        if faults:
            raise InputError.of_faults("grades", faults)
        return {str(name): int(top["max"]) for name, top in tops.items()} or None

    def coords(self, data: dict[str, int], design: Design) -> Mapping[str, Sequence[str]]:
        """Return the grades between none and full credit, by benchmark."""
        del design
        return {"grade_step": [f"{name} | {k} instead of {k + 1}" for name, top in data.items() for k in range(1, top)]}

    def of_cell(self, rows: pd.DataFrame) -> Hashable | None:
        """Count the grades below full credit: (grade_max, count of 0, ..., count of grade_max - 1)."""
        rows = rows[rows["grades"] != ""]
        if rows.empty:
            return None
        top = int(rows["grade_max"].max())
        grades = [int(part) for text in rows["grades"] for part in text.split("|")]
        return (top, *np.bincount([one for one in grades if one < top], minlength=top).tolist())

    def at_success(
        self, seen: Sequence[Hashable | None], arm: int, x: Array, design: Design, given: Mapping[str, Tensor]
    ) -> Tensor:
        """Log-likelihood (C, G) of the grades of failed attempts at logit success x."""
        benchmark = design.arms[arm].benchmark
        top = design.observed["graded"][benchmark]
        counts = np.zeros((len(seen), top))
        for row, one in enumerate(seen):
            if isinstance(one, tuple):
                counts[row] = one[1:]
        return pt.dot(counts, log_grades_of_failures(x, self.gaps(benchmark, design, given)))

    def gaps(self, benchmark: str, design: Design, given: Mapping[str, Tensor]) -> Tensor:
        """Return a benchmark's gaps, from that of grade 1 to that below full credit, shape (..., grade_max - 1).

        ``given["grade_gap"]`` has those of all benchmarks along its last axis.
        """
        start = 0
        for name, top in design.observed["graded"].items():
            if name == benchmark:
                return given["grade_gap"][..., start : start + top - 1] if top > 1 else np.zeros(0)
            start += top - 1
        raise AssertionError(f"benchmark {benchmark!r} has no grades")

    def draw_rows(
        self,
        rows: pd.DataFrame,
        logit: Array,
        arms: Sequence[int],
        design: Design,
        draw: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> Mapping[str, Sequence[str]]:
        """Grade the attempts of rows that have grades, as many as they have successes getting full credit."""
        texts = []
        columns = (rows[name].to_numpy() for name in ("grades", "attempts", "successes"))
        for text, attempts, successes, x, arm in zip(*columns, logit, arms, strict=True):
            if text == "":
                texts.append("")
                continue
            benchmark = design.arms[arm].benchmark
            top = design.observed["graded"][benchmark]
            log_chance = log_grades_of_failures(np.array([x]), self.gaps(benchmark, design, draw), np)[:, 0]
            chance = np.exp(log_chance - log_chance.max())
            failed = rng.multinomial(int(attempts - successes), chance / chance.sum())
            grades = [*np.repeat(np.arange(top), failed), *[top] * int(successes)]
            texts.append("|".join(str(int(one)) for one in grades))
        return {"grades": texts}


def cut_points(gaps: Tensor, of: Any) -> Tensor:
    """Return d_1, ..., d_K = 0, by how many logits each grade is easier to reach than full credit, shape (..., K).

    Parameters
    ----------
    gaps : tensor of shape (K - 1,), or array of shape (..., K - 1)
    of : module
        Whose functions to use: `pytensor.tensor` or `numpy`.
    """
    none = np.zeros(1) if gaps.ndim == 1 else np.zeros((*gaps.shape[:-1], 1))
    return of.concatenate([of.cumsum(gaps[..., ::-1], axis=-1)[..., ::-1], none], axis=-1)


def log_grades_of_failures(x: Array, gaps: Tensor, of: Any = None) -> Tensor:
    """Log probability (K, G) of each grade below full credit K, given that it is not reached, at logits x (G,).

    Parameters
    ----------
    x : array, shape (G,)
    gaps : tensor or array, shape (K - 1,)
        Logits by which grade k = 1, ..., K - 1 is easier to reach than k + 1.
    of : module, optional
        Whose functions to use: `pytensor.tensor` if absent, or `numpy`.
    """
    of = pt if of is None else of
    # At least grade k is reached at x + cut.
    reached = x + cut_points(gaps, of)[:, None]
    softplus = of.logaddexp(0.0, reached)
    failed = np.logaddexp(0.0, x)
    none = failed - softplus[:1]
    # The difference of two logistic functions, a apart: logistic(u + a) (1 - logistic(u)) (1 - exp(-a)).
    between = (reached[:-1] - softplus[:-1]) - softplus[1:] + of.log(-of.expm1(-gaps))[:, None] + failed
    return of.concatenate([none, between], axis=0)


def _faults(row: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the grades of a row."""
    where = f"{row['model']}, {row['benchmark']}, task {row['task']!r}: grades {row['grades']!r}"
    if not single_attempt(row["strategy"]) or row["task"] == "":
        return [f"{where}: allowed in rows of single attempts (cot, direct) at a named task"]
    top = row.get("grade_max", np.nan)
    if np.isnan(top):
        return [f"{where} without grade_max: give the grade of full credit"]
    grades = [int(part) for part in row["grades"].split("|")]
    if max(grades) > top:
        return [f"{where}: the largest is {max(grades)}, above grade_max {top:g}"]
    full = sum(grade == top for grade in grades)
    failed = len(grades) - full
    if full > row["successes"] or failed > row["attempts"] - row["successes"]:
        return [
            f"{where}: {full} with full credit ({top:g}) and {failed} without, in a row of {row['attempts']:g} "
            f"attempts with {row['successes']:g} successes; a success is an attempt with full credit"
        ]
    return []
