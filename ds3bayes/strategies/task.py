"""The task that closed forms of strategies are asked about, and the law of one attempt at it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from ds3bayes.deferred import is_symbolic, pt
from ds3bayes.errors import InputError
from ds3bayes.theory._special import as_float
from ds3bayes.theory.path import (
    expected_squared_steps,
    expected_steps,
    solved,
    steps_and_squares,
    truncated,
    wrong_unreachable,
)
from ds3bayes.theory.selectors import any_right

# A budget of 100 tokens holds 4 steps of 25 even where the division says 3.9999999999.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class PathTask:
    """A task as a path of skills that an LLM walks step by step.

    Parameters
    ----------
    path_length : int or array-like
        Skills m >= 1 that the task needs, in order.
    advance : float or array-like
        Probability r in [0, 1] that one step completes the next needed skill.
    commit : float or array-like, default 0
        Probability h in [0, 1 - r] that one step commits to a wrong answer.
    reachability : float or array-like, default 1
        Probability gamma in [0, 1] that one needed skill was learned. All m skills are with probability
        gamma^m; otherwise an attempt wanders to its budget or commits to a wrong answer.
    tokens_per_step : float or array-like, default 25
        Generated tokens omega > 0 of one step.
    wrong_answer_concentration : float, optional
        Concentration a > 0 of the Chinese restaurant process by which wrong answers agree; needed by votes
        that do not state the shares of wrong answers.
    independent_reachability : bool, default False
        True draws reachability anew for each attempt instead of once per task. Attempts of one LLM share
        what it learned, so this is for comparison only.

    Raises
    ------
    InputError
        If a number is outside its range; every fault is listed. Tensors are not checked.

    Notes
    -----
    Array fields broadcast against each other.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004; the commit probability is this package's own.
    """

    path_length: Any
    advance: Any
    commit: Any = 0.0
    reachability: Any = 1.0
    tokens_per_step: Any = 25.0
    wrong_answer_concentration: float | None = None
    independent_reachability: bool = False

    def __post_init__(self) -> None:
        found: list[str] = []
        numbers = {}
        for name in ARRAYS:
            value = getattr(self, name)
            if is_symbolic(value):
                continue
            try:
                numbers[name] = np.asarray(value, dtype=float)
            except (TypeError, ValueError):
                found.append(f"{name} must be a number or an array of numbers, got {value!r}")
        m = numbers.get("path_length")
        if m is not None and not (np.isfinite(m) & (m >= 1) & (m == np.floor(m))).all():
            found.append(f"path_length must be whole and at least 1, got {self.path_length!r}")
        for name in ("advance", "commit", "reachability"):
            if name in numbers and not ((numbers[name] >= 0) & (numbers[name] <= 1)).all():
                found.append(f"{name} must lie in [0, 1], got {getattr(self, name)!r}")
        if not found and "advance" in numbers and "commit" in numbers:
            total = numbers["advance"] + numbers["commit"]
            if not (total <= 1.0 + 1e-12).all():
                found.append(f"advance + commit must not exceed 1, got {float(np.max(total)):.6g}")
        omega = numbers.get("tokens_per_step")
        if omega is not None and not (np.isfinite(omega) & (omega > 0)).all():
            found.append(f"tokens_per_step must be a positive number, got {self.tokens_per_step!r}")
        a = self.wrong_answer_concentration
        if a is not None and not (isinstance(a, int | float) and 0 < a < np.inf):
            found.append(f"wrong_answer_concentration must be a positive number, got {a!r}")
        if found:
            raise InputError.of_faults("PathTask", found)

    @property
    def reachable(self) -> Any:
        """Probability gamma^m that every needed skill was learned."""
        return pt.power(as_float(self.reachability), as_float(self.path_length))

    @property
    def eventual_success(self) -> Any:
        """Probability (r / (r + h))^m that a walk without budget solves the task, given that it is reachable."""
        r, h = as_float(self.advance), as_float(self.commit)
        moving = pt.gt(r + h, 0.0)
        return pt.power(r / pt.switch(moving, r + h, 1.0), as_float(self.path_length))

    def steps_within(self, tokens: Any) -> Any:
        """Whole steps that a budget of tokens holds, as a tensor; inf if ``tokens`` is None."""
        if tokens is None:
            return pt.as_tensor_variable(np.inf)
        return pt.floor(as_float(tokens) / as_float(self.tokens_per_step) + _ROUNDING)


#: The fields of `PathTask` that may be arrays.
ARRAYS = tuple(
    field.name
    for field in fields(PathTask)
    if field.name not in ("wrong_answer_concentration", "independent_reachability")
)


class Attempt(NamedTuple):
    """Law of one attempt: P(right), P(wrong), and the expectations of its steps and, if asked for, of their square."""

    right: Any
    wrong: Any
    steps: Any
    squared_steps: Any = None


def attempt_laws(task: PathTask, steps: Any, squared: bool = False) -> list[tuple[Any, Attempt]]:
    """Return the cases that the attempts at a task share, as (probability, law of one attempt).

    Parameters
    ----------
    task : PathTask
    steps : tensor-like
        Steps allowed per attempt; may be inf.
    squared : bool, default False
        Whether the square of the steps is wanted: its formula is long.

    Returns
    -------
    list of (tensor, Attempt)
        Reachable and unreachable; only one mixed case where reachability is independent or certain.
    """
    m, r, h = task.path_length, task.advance, task.commit
    taken, squares = steps_and_squares(steps, m, r, h) if squared else (expected_steps(steps, m, r, h), None)
    # Every step taken commits with probability h; an endless walk has r = h = 0.
    committed = pt.switch(pt.isinf(taken), 0.0, as_float(h) * taken)
    inside = Attempt(solved(steps, m, r, h), committed, taken, squares)
    if certainly_reachable(task):
        return [(as_float(1.0), inside)]
    # Nothing is added where the task is certainly reachable, even if a lost walk would never end.
    reachable = task.reachable
    missing = pt.switch(pt.lt(reachable, 1.0), 1.0 - reachable, 0.0)
    lost = Attempt(
        as_float(0.0) * inside.right,
        wrong_unreachable(steps, h),
        _steps_unreachable(steps, h),
        # A path that never advances.
        expected_squared_steps(steps, 1.0, 0.0, h) if squared else None,
    )
    if task.independent_reachability:
        mixed = [
            None if a is None else reachable * a + _weighted(missing, b) for a, b in zip(inside, lost, strict=True)
        ]
        return [(as_float(1.0), Attempt(*mixed))]
    return [(reachable, inside), (missing, lost)]


def mix(cases: list[tuple[Any, Any]]) -> Any:
    """Return the mean of a quantity over cases (probability, value); an impossible case counts nothing."""
    total = _weighted(*cases[0])
    for probability, value in cases[1:]:
        total = total + _weighted(probability, value)
    return total


def certainly_reachable(task: PathTask) -> bool:
    """Return whether the reachability is the plain number 1."""
    return not is_symbolic(task.reachability) and bool(np.all(np.asarray(task.reachability) == 1.0))


def unfinished(task: PathTask, k: Any) -> list[tuple[Any, Any]]:
    """Return P(an attempt is still under way after k steps), by shared case as in `attempt_laws`."""
    m, r, h = (pt.expand_dims(as_float(x), -1) for x in (task.path_length, task.advance, task.commit))
    inside = truncated(k, m, r, h)
    if certainly_reachable(task):
        return [(as_float(1.0), inside)]
    reachable, lost = task.reachable, 1.0 - wrong_unreachable(k, h)
    missing = 1.0 - reachable
    if task.independent_reachability:
        return [(as_float(1.0), pt.expand_dims(reachable, -1) * inside + pt.expand_dims(missing, -1) * lost)]
    return [(reachable, inside), (missing, lost)]


def expected_longest(task: PathTask, steps: Any, n: int) -> Any:
    """Return the expected steps of the longest of n parallel attempts, sum_{k<K} [1 - F(k)^n].

    F(k) is the probability that one attempt has ended within k steps; the attempts share whether the task is
    reachable.

    Parameters
    ----------
    task : PathTask
    steps : tensor-like
        Finite steps K allowed per attempt; memory grows with the largest one.
    n : int
        Attempts, at least 1.

    Returns
    -------
    tensor
    """
    K = as_float(steps)
    k = pt.arange(pt.max(K).astype("int64"), dtype="float64")
    within = pt.lt(k, pt.expand_dims(K, -1))
    cases = [
        (probability, pt.switch(within, any_right(late, float(n)), 0.0).sum(axis=-1))
        for probability, late in unfinished(task, k)
    ]
    return mix(cases)


def _weighted(probability: Any, value: Any) -> Any:
    possible = pt.gt(probability, 0.0)
    return probability * pt.switch(possible, value, 0.0)


def _steps_unreachable(steps: Any, h: Any) -> Any:
    """Expected steps (1 - (1-h)^K) / h of a walk that cannot solve its task."""
    K, h = as_float(steps), as_float(h)
    committing = pt.gt(h, 0.0)
    never = pt.switch(pt.isinf(K), K, K - 0.5 * pt.switch(pt.isinf(K), 0.0, K * (K - 1.0)) * h)
    return pt.switch(committing, wrong_unreachable(K, h) / pt.switch(committing, h, 1.0), never)
