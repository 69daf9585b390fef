"""Scores with partial credit as ordered grades: the columns ``grades`` and ``grade_max``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ds3bayes.errors import InputError
from ds3bayes.evals.readers.records import shown
from ds3bayes.evals.schema import COLUMN

#: Key of a row, no column: its score and that of full credit.
SCORE = "score"
_MOST = int(COLUMN["grade_max"].high)


def check_full_credit(grades: Any, *others: str) -> None:
    """Refuse an option ``grades`` that is no score of full credit, or beside options that say otherwise."""
    if grades is None:
        return
    number = isinstance(grades, int | float) and not isinstance(grades, bool)
    if not number or not 0 < grades < math.inf:
        raise InputError(f"grades: got {shown(grades)}; allowed: the score of full credit, a number above 0")
    if others:
        raise InputError(
            f"grades={grades:g}: keeps scores, of which full credit is a success, but {others[0]}= was given too; pass "
            "one of them"
        )


def grades_of(scores: Sequence[float], full: float, where: str) -> tuple[list[int], int]:
    """Return scores as steps from 0 up to full credit, and how many steps these are.

    Parameters
    ----------
    scores : sequence of float
        Of all attempts at a benchmark: 0, full credit, or an equal step between.
    full : float
        Score of full credit.
    where : str
        What the scores are of, for messages.

    Returns
    -------
    grades : list of int
    grade_max : int
        The fewest steps with which every score is a whole number of them.

    Raises
    ------
    InputError
        If a score is below 0 or above full credit, or they are no equal steps.
    """
    distinct = sorted(set(scores))
    outside = [score for score in distinct if not 0 <= score <= full]
    if outside:
        raise InputError(f"{where}: holds the score {outside[0]:g}; allowed with grades={full:g}: from 0 to that")
    for steps in range(1, _MOST + 1):
        if all(abs(score / full * steps - round(score / full * steps)) < 1e-6 for score in distinct):
            return [round(score / full * steps) for score in scores], steps
    some = ", ".join(f"{score:g}" for score in distinct[:8]) + (", ..." if len(distinct) > 8 else "")
    raise InputError(
        f"{where}: scores {some} are no equal steps up to grades={full:g}, of which {_MOST} are allowed; say from "
        "which score on an attempt is a success instead, or round the scores"
    )


def graded(rows: list[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    """Return rows whose `SCORE` has become successes, grades and grade_max; a benchmark has one of the latter."""
    by_benchmark: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        if SCORE in row:
            by_benchmark.setdefault(row["benchmark"], []).append(row)
    told: dict[int, Mapping[str, Any]] = {}
    for benchmark, mine in by_benchmark.items():
        fulls = {row[SCORE][1] for row in mine}
        if len(fulls) > 1:
            listed = ", ".join(f"{full:g}" for full in sorted(fulls))
            raise InputError(f"{where}: full credit on {benchmark} is said to be {listed}; allowed: one number")
        (full,) = fulls
        grades, most = grades_of([row[SCORE][0] for row in mine], full, f"{where}: {benchmark}")
        for row, grade in zip(mine, grades, strict=True):
            told[id(row)] = graded_columns(grade, most)
    return [{**{k: v for k, v in row.items() if k != SCORE}, **told.get(id(row), {})} for row in rows]


def graded_columns(grade: int, most: int) -> dict[str, Any]:
    """Return the columns of one attempt; where there is no partial credit its success says all."""
    success = {"successes": int(grade == most)}
    return success if most == 1 else {**success, "grades": str(grade), "grade_max": most}
