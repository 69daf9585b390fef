"""Search over steps: every step of the walk proposes several candidates and a scorer keeps one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, final

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.strategies.attempts import require_numbers
from ds3bayes.strategies.base import (
    ORACLE,
    Architecture,
    Decisions,
    Strategy,
    Verifier,
    Walk,
    as_verifier,
    check_whole,
    read_verifier,
    register,
    with_budget,
)
from ds3bayes.strategies.cot import CoT
from ds3bayes.strategies.references import Reference
from ds3bayes.strategies.task import ARRAYS, PathTask, mix
from ds3bayes.strategies.thoughts import TREE_OF_THOUGHT
from ds3bayes.strategies.walks import WrongAnswers
from ds3bayes.theory._special import as_float
from ds3bayes.theory.cost import equal_flops_tree_tokens
from ds3bayes.theory.evaluate import evaluate, numbers
from ds3bayes.theory.selectors import tree_step


@final
@register
@dataclass(frozen=True, kw_only=True)
class StepSearch(Strategy):
    """Selection at the level of steps, text form ``step_search(branching=3, evaluator=oracle)``.

    Each step of the walk proposes ``branching`` candidates and keeps the best-scored one, scores being N(d, 1)
    for a candidate that advances and N(0, 1) for any other. It is a path walk with r_b = A_b(r), the success of
    best-of-b, and h_b = (1 - r_b) h / (1 - r): what best-of-n does to attempts, done to steps.

    Parameters
    ----------
    branching : int
        Candidates b per step, at least 1.
    evaluator : Verifier or str, default "oracle"
        Scorer of steps, ``"oracle"`` or ``"noisy(d=2)"``.
    evaluation_tokens : float, default 0
        Tokens generated to score one candidate, at least 0.
    effort : str, optional
        Reasoning effort asked of the LLM.
    budget_tokens : int, optional
        Largest number of tokens of all candidates and their evaluation, at least 1: a budget of K steps of one
        walk is K / b steps of the search.

    Raises
    ------
    InputError
        If a field is outside its range.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (tree of thought with b branches); noisy scores are this
    package's own.

    Examples
    --------
    >>> str(StepSearch(branching=3))
    'step_search(branching=3, evaluator=oracle)'
    """

    name: ClassVar[str] = "step_search"
    always_printed: ClassVar[tuple[str, ...]] = ("branching", "evaluator")
    fitted_from: ClassVar[frozenset[str]] = frozenset()
    source: ClassVar[Reference | None] = TREE_OF_THOUGHT

    branching: int
    evaluator: Verifier | str = ORACLE
    evaluation_tokens: float = 0.0

    def faults(self) -> list[str]:
        """Check the fields; a text ``evaluator`` becomes a `Verifier`."""
        found = check_whole("branching", self.branching, 1) + read_verifier(self, "evaluator")
        e = self.evaluation_tokens
        if isinstance(e, bool) or not isinstance(e, int | float) or not 0 <= e < math.inf:
            found.append(f"evaluation_tokens must be a number of at least 0, got {e!r}")
        return found

    @property
    def walk(self) -> Walk:
        """Chains of thought: candidates are their steps."""
        return self._chain.walk

    @property
    def depends_on(self) -> frozenset[str]:
        """The lengths of attempts, without which it is not known which share of steps advances."""
        return frozenset({"lengths"})

    @property
    def attempts(self) -> int:
        """One answer."""
        return 1

    def token_units(self, path_length: Any = None) -> Any:
        """Refuse: how many candidates are proposed is random."""
        raise InputError(f"{self}: its candidates per task are random; see `expected_tokens`")

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability q that the answer is right, q being that of the search's one output."""
        del concentration, wrong
        return as_float(q)

    @property
    def _chain(self) -> CoT:
        return CoT(budget_tokens=self.limit_tokens)

    def _walks(self, task: PathTask) -> list[tuple[Any, PathTask]]:
        """Return the path walks that the search amounts to, with and without all skills, and their chances."""
        r, h = as_float(task.advance), as_float(task.commit)
        kept, commit = tree_step(r, h, self.branching, as_verifier(self.evaluator).discrimination)
        per_step = self.branching * (as_float(task.tokens_per_step) + self.evaluation_tokens)
        found = replace(task, advance=kept, commit=commit, reachability=1.0, tokens_per_step=per_step)
        # Where no candidate can advance, any of them is kept.
        lost = replace(task, advance=0.0 * r, commit=h + 0.0 * r, reachability=1.0, tokens_per_step=per_step)
        if isinstance(task.reachability, int | float) and task.reachability == 1.0:
            return [(as_float(1.0), found)]
        return [(task.reachable, found), (1.0 - task.reachable, lost)]

    def success(self, task: PathTask) -> Any:
        """Success of the path walk with the probabilities of the kept candidates."""
        return mix([(p, self._chain.success(walk)) for p, walk in self._walks(task)])

    def expected_tokens(self, task: PathTask) -> Any:
        """Expected tokens of all candidates and their evaluation."""
        return mix([(p, self._chain.expected_tokens(walk)) for p, walk in self._walks(task)])

    def expected_latency(self, task: PathTask, horizon: int | None = None) -> Any:
        """Expected tokens of one candidate and one evaluation per step: all candidates of a step run side by side."""
        del horizon
        return self.expected_tokens(task) / self.branching

    def tokens_distribution(self, task: PathTask) -> xr.DataArray:
        """Distribution of the tokens of all candidates and their evaluation."""
        require_numbers(task, self)
        parts = []
        for chance, walk in self._walks(task):
            share, *found = numbers(chance, *(as_float(getattr(walk, name)) for name in ARRAYS))
            known: dict[str, Any] = dict(zip(ARRAYS, found, strict=True))
            parts.append(share * self._chain.tokens_distribution(replace(walk, **known)))
        if len(parts) == 1:
            return parts[0]
        first, second = xr.align(*parts, join="outer", fill_value=0.0)
        return (first + second).assign_attrs(units="1", long_name=f"probability of the tokens of {self}")

    def simulate(
        self,
        task: PathTask,
        rng: np.random.Generator,
        *,
        size: int | tuple[int, ...] = (),
        wrong_answers: WrongAnswers | None = None,
    ) -> Decisions:
        """Propose, score and keep candidates step by step."""
        del wrong_answers
        shape = np.broadcast_shapes(*(np.shape(getattr(task, name)) for name in ARRAYS), size)
        m, r, h, gamma, omega = (
            np.broadcast_to(np.asarray(getattr(task, name), dtype=float), shape).reshape(-1) for name in ARRAYS
        )
        number, b, gap = m.size, self.branching, as_verifier(self.evaluator).discrimination
        reachable = rng.random(number) < gamma**m
        advance = np.where(reachable, r, 0.0)
        # The share of other steps that commit stays what it was.
        commit = np.where(reachable, h, h)
        limit = np.full(number, np.inf)
        if self.limit_tokens is not None:
            limit = np.floor(self.limit_tokens / (b * (omega + self.evaluation_tokens)) + 1e-9)
        elif (advance + commit <= 0.0).any():
            raise InputError(f"{self}: a search whose steps do nothing never ends; give budget_tokens")
        left, steps = m.copy(), np.zeros(number)
        success = np.zeros(number, dtype=bool)
        going = np.flatnonzero(limit > 0)
        while going.size:
            draw = rng.random((going.size, b))
            moves = draw < advance[going, None]
            scores = rng.standard_normal(moves.shape) + np.where(moves, min(gap, 1e6), 0.0)
            kept = scores.argmax(axis=1)
            rows = np.arange(going.size)
            moved = moves[rows, kept]
            ended = ~moved & (draw[rows, kept] < (advance + commit)[going])
            steps[going] += 1
            left[going] -= moved
            success[going[left[going] == 0]] = True
            going = going[(left[going] > 0) & ~ended & (steps[going] < limit[going])]
        tokens = steps * b * (omega + self.evaluation_tokens)
        return Decisions(
            success=success.reshape(shape),
            attempts=(steps * b).astype(np.int64).reshape(shape),
            tokens=tokens.reshape(shape),
            parallel_tokens=(tokens / b).reshape(shape),
        )

    def with_equal_tokens(self, tokens: int) -> Self:
        """Give the search all the tokens: its budget is that of all candidates together."""
        return with_budget(self, tokens, f"{tokens} tokens")

    def with_equal_flops(self, tokens: int, architecture: Architecture, tokens_per_step: float = 25.0) -> Self:
        """Give the search the tokens that spend the FLOPs of the chain of thought."""
        a = architecture
        if a.n_layer is None or a.d_attn is None:
            return self.with_equal_tokens(tokens)
        branch = evaluate(
            equal_flops_tree_tokens,
            tokens,
            a.params,
            a.n_layer,
            a.d_attn,
            a.prompt_tokens,
            self.branching,
            tokens_per_step,
        )
        return with_budget(
            self, float(branch) * self.branching, f"the FLOPs of {tokens} tokens in {self.branching} branches"
        )
