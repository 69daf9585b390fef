"""Tree search over thoughts: what trees whose candidates are completed skills have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from ds3bayes.deferred import is_symbolic, pt
from ds3bayes.errors import InputError
from ds3bayes.strategies.attempts import require_numbers
from ds3bayes.strategies.base import (
    Architecture,
    Decisions,
    Strategy,
    Verifier,
    Walk,
    as_verifier,
    check_whole,
    read_share,
    read_verifier,
    with_budget,
)
from ds3bayes.strategies.references import Reference, arxiv
from ds3bayes.strategies.task import ARRAYS, PathTask
from ds3bayes.strategies.walks import SOLVED, Bools, WrongAnswers, walk
from ds3bayes.theory._special import as_float
from ds3bayes.theory.cost import equal_flops_tree_tokens
from ds3bayes.theory.evaluate import evaluate, numbers
from ds3bayes.theory.path import finish_within, mean_steps_within, steps_tail
from ds3bayes.theory.tree_table import law_of_right_states

# Probability left out where the distribution of a search without budget is cut.
_TAIL = 1e-13
# Candidates up to which the longest is found by recursion; and -log(1-s) of a pace below which no sum is taken.
_FEW, _SLOW = 10, 0.1

#: Whom to cite for tree search.
TREE_OF_THOUGHT = arxiv(
    "yao2023tree",
    "Yao, Shunyu and Yu, Dian and Zhao, Jeffrey and Shafran, Izhak and others",
    "Tree of Thoughts: Deliberate Problem Solving with Large Language Models",
    2023,
    "2305.10601",
    "tree of thought",
)


@dataclass(frozen=True, kw_only=True)
class ThoughtSearch(Strategy):
    """Abstract: a search whose candidates are thoughts, each a completed skill of the path.

    Each level proposes ``branching`` candidates for every state kept before it. A candidate takes steps at the
    walk's pace s = r + h until it is complete; one that continues a right state is right with probability
    rho = r / s, one that continues a wrong state is wrong. So whether the answer is right and how long the
    search takes are independent: C candidates take NB(C, s) steps.

    Parameters
    ----------
    branching : int
        Candidates proposed per kept state and level, at least 1.
    evaluator : Verifier or str, optional
        Scorer of candidates, ``"oracle"`` or ``"noisy(d=2)"``. None: learned by a fit.
    candidate_overlap : float, optional
        Probability in [0, 1] that two right proposals of one state are the same thought, so that the state has one
        right candidate fewer (`ds3bayes.theory.trees.distinct_right`). None: learned by a fit, 0 in the laws from a
        path.
    evaluation_tokens : float, default 0
        Tokens generated to score one candidate, at least 0; they come on top of the budget.
    effort : str, optional
        Reasoning effort asked of the LLM.
    budget_tokens : int, optional
        Largest number of tokens generated in the candidates of one search, at least 1. A search that needs
        more gives no answer.
    """

    is_search: ClassVar[bool] = True
    #: The walks that are searched over, from which a search is predicted where none was observed.
    searches_over: ClassVar[Walk] = "cot"
    needs: ClassVar[tuple[str, ...]] = ("branching",)
    fitted_from: ClassVar[frozenset[str]] = frozenset({"tasks"})
    source: ClassVar[Reference | None] = TREE_OF_THOUGHT

    branching: int
    evaluator: Verifier | str | None = None
    candidate_overlap: float | None = None
    evaluation_tokens: float = 0.0

    def faults(self) -> list[str]:
        """Check the common fields, then what the subclass adds; a text ``evaluator`` becomes a `Verifier`."""
        found = check_whole("branching", self.branching, 1)
        if self.evaluator is not None:
            found += read_verifier(self, "evaluator")
        e = self.evaluation_tokens
        if isinstance(e, bool) or not isinstance(e, int | float) or not 0 <= e < math.inf:
            found.append(f"evaluation_tokens must be a number of at least 0, got {e!r}")
        return found + read_share(self, "candidate_overlap") + self.search_faults()

    @abstractmethod
    def search_faults(self) -> list[str]:
        """Return one sentence per field of the subclass that is outside its range."""

    @property
    def walk(self) -> Walk:
        """Tree searches."""
        return "tot"

    @abstractmethod
    def kept(self, levels: int) -> tuple[int, ...]:
        """Return the states kept after each level 1..levels."""

    @property
    def stated_fidelity(self) -> float | None:
        """Probability that a right last state is written out as a right answer; None: learned by a fit."""
        return None

    @property
    @abstractmethod
    def states(self) -> int:
        """Most states that are kept after a level."""

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability q that the answer is right, q being that of the search with all of its outputs."""
        del concentration, wrong
        return q + 0.0

    def writing(self, outputs: int) -> Self:
        """Return the search that writes out so many answers, for searches that have a field ``outputs``."""
        return replace(self, outputs=outputs) if outputs != self.attempts else self  # type: ignore[call-arg]

    def right_outputs(
        self,
        logit_walk: np.ndarray,
        discrimination: np.ndarray,
        overlap: np.ndarray,
        length: int,
        proposed: float | None = None,
    ) -> np.ndarray:
        """Law of the number of outputs that come from right states, where the walk is known by its success.

        Parameters
        ----------
        logit_walk : array, shape (draws, tasks)
            Logit eventual success rho^m of the walk that the tree searches over.
        discrimination : array, shape (draws,)
            Gap of the evaluator's scores between right and wrong candidates, in sds, at least 0.
        overlap : array, shape (draws,)
            Probability in [0, 1] that two right proposals of one state are the same thought.
        length : int
            Path length m.
        proposed : float, optional
            Mean candidates that a kept state proposes, at least 1, where that is not ``branching``: a search proposes
            one of the two whole numbers next to it.

        Returns
        -------
        array, shape (draws, tasks, attempts + 1)
            Probabilities that 0, 1, ... of the outputs come from right states.
        """
        mean = float(self.branching) if proposed is None else proposed
        below = math.floor(mean)
        law = np.zeros((*np.shape(logit_walk), self.attempts + 1))
        for branching, share in ((below, below + 1.0 - mean), (below + 1, mean - below)):
            if share > 0.0:
                kept = replace(self, branching=branching).kept(length)
                of_this = law_of_right_states(logit_walk, discrimination, overlap, branching=branching, kept=kept)
                law[..., : kept[-1] + 1] += share * of_this
        return law

    @abstractmethod
    def right_given_done(self, rho: Any, levels: Any, discrimination: Any) -> Any:
        """Probability that the final answer is right if the search is done and the task reachable, as a tensor.

        Parameters
        ----------
        rho : tensor-like
            Probability that a candidate continuing a right state is right.
        levels : int or tensor-like
            Levels; a tensor only where one state is kept.
        discrimination : float
            d >= 0 of the evaluator.
        """

    @abstractmethod
    def finish(self, right: Bools, scores: np.ndarray, rng: np.random.Generator) -> Bools:
        """Decide from the states kept after the last level, both arrays of shape (decisions, states)."""

    @abstractmethod
    def candidates(self, levels: Any) -> Any:
        """Return the number of candidates proposed in a search of some levels, as a tensor."""

    def token_units(self, path_length: Any = None) -> Any:
        """Return the number of candidates proposed in one search.

        Parameters
        ----------
        path_length : array-like or tensor
            Number of levels, at least 1; linear between whole numbers.

        Returns
        -------
        numpy.ndarray, or a tensor if ``path_length`` is one

        Raises
        ------
        InputError
            If no path length is given.
        """
        if path_length is None:
            raise InputError(
                f"{self}: the cost of a tree search needs one known path length of the tasks; set "
                "population.path_length in the spec, or give the column steps"
            )
        if is_symbolic(path_length):
            return self.candidates(path_length)
        return evaluate(_candidates_of, path_length, strategy=self)

    @property
    def gap(self) -> float:
        """The discrimination d of the stated evaluator."""
        if self.evaluator is None:
            raise InputError(f"{self}: its closed form needs an evaluator; write evaluator=oracle or noisy(d=...)")
        return as_verifier(self.evaluator).discrimination

    def success(self, task: PathTask) -> Any:
        """P(reachable) P(done within the budget) P(right | done)."""
        rho, pace, steps, total = self._pieces(task)
        right = self.right_given_done(rho, _levels(task, self.kept(2)[0] > 1, self), self.gap)
        return task.reachable * finish_within(steps, total, pace) * right

    def expected_tokens(self, task: PathTask) -> Any:
        """Expected tokens of the candidates, omega E[min(NB(C, s), K)], and of their evaluation."""
        _, pace, steps, total = self._pieces(task)
        endless = pt.isinf(steps)
        K = pt.switch(endless, 1.0, steps)
        mean = pt.switch(endless, total / pace, mean_steps_within(K, total, pace))
        # Candidates complete like successes of a Bernoulli process: E[min(C, Bin(K, s))] are scored.
        some = K * pace * steps_tail(K - 1.0, total - 1.0, pace)
        cut = pt.switch(pt.gt(total, 1.0), some, 0.0) + total * finish_within(K, total, pace)
        return task.tokens_per_step * mean + self.evaluation_tokens * pt.switch(endless, total, cut)

    def expected_latency(self, task: PathTask, horizon: int | None = None) -> Any:
        """Expected tokens of the longest candidate of each level, summed over levels, and one evaluation each."""
        if self.limit_tokens is not None:
            raise InputError(
                f"{self}: the latency of a search cut by a budget of all its candidates has no closed form; "
                "leave out budget_tokens, or simulate"
            )
        del horizon
        levels = _levels(task, True, self)
        _, pace, _, _ = self._pieces(task)
        before = (1, *self.kept(levels))[:levels]
        longest = sum(_expected_longest(pace, self.branching * kept) for kept in before)
        return task.tokens_per_step * longest + self.evaluation_tokens * levels

    def tokens_distribution(self, task: PathTask) -> xr.DataArray:
        """Distribution of the tokens of candidates and evaluation: NB(C, s) steps, cut at the budget."""
        require_numbers(task, self)
        _, pace, steps, total = numbers(*self._pieces(task))
        count = int(total)
        if not math.isfinite(steps) and pace <= 0:
            raise InputError(f"{self}: a step that does nothing never ends a candidate; give budget_tokens")
        # Loaded where it is used: it takes seconds, which no fit needs.
        from scipy.stats import binom, nbinom

        K = int(steps) if math.isfinite(steps) else int(nbinom.isf(_TAIL, count, pace)) + count
        k = np.arange(count, K + 1)
        done = nbinom.pmf(k - count, count, pace) if pace > 0 else np.zeros(k.size)
        tokens = task.tokens_per_step * k + self.evaluation_tokens * count
        chance = done
        if math.isfinite(steps):
            scored = np.arange(min(count, K + 1))
            tokens = np.concatenate([tokens, task.tokens_per_step * K + self.evaluation_tokens * scored])
            chance = np.concatenate([chance, binom.pmf(scored, K, pace)])
        values, place = np.unique(tokens, return_inverse=True)
        return xr.DataArray(
            np.bincount(place.reshape(-1), weights=chance, minlength=values.size),
            coords={"tokens": ("tokens", values, {"units": "tokens", "long_name": "generated tokens"})},
            name="probability",
            attrs={"units": "1", "long_name": f"probability of the tokens of {self}"},
        )

    def simulate(
        self,
        task: PathTask,
        rng: np.random.Generator,
        *,
        size: int | tuple[int, ...] = (),
        wrong_answers: WrongAnswers | None = None,
    ) -> Decisions:
        """Grow every tree level by level; each candidate walks step by step until it is complete."""
        del wrong_answers
        shape = np.broadcast_shapes(*(np.shape(getattr(task, name)) for name in ARRAYS), size)
        m, r, h, gamma, omega = (
            np.broadcast_to(np.asarray(getattr(task, name), dtype=float), shape).reshape(-1) for name in ARRAYS
        )
        number, gap = m.size, self.gap
        if not (r + h > 0.0).all():
            raise InputError(f"{self}: a candidate whose steps do nothing is never complete")
        left = np.full(number, np.inf)
        if self.limit_tokens is not None:
            left = np.floor(self.limit_tokens / omega + 1e-9)
        attempts, spent, chain = np.zeros(number, np.int64), np.zeros(number), np.zeros(number)
        success = np.zeros(number, dtype=bool)
        # A missing skill makes every candidate of its level wrong.
        missing = rng.geometric(np.where(gamma < 1.0, 1.0 - gamma, 0.5))
        missing = np.where(gamma < 1.0, missing, np.iinfo(np.int64).max)
        for length in np.unique(m):
            at = np.flatnonzero(m == length)
            right = np.ones((at.size, 1), dtype=bool)
            for level, keep in enumerate(self.kept(int(length)), start=1):
                parents = np.repeat(right, self.branching, axis=1)
                each = walk(
                    (r / (r + h))[at, None], (r + h)[at, None], np.ones(parents.shape, dtype=np.int64), None, rng
                )
                found = parents & (each.outcome == SOLVED) & (missing[at] != level)[:, None]
                if self.candidate_overlap:
                    found = _without_repeats(found, self.branching, self.candidate_overlap, rng)
                # Candidates are written one after another, so that a budget ends within one of them.
                ends = np.cumsum(each.steps, axis=1)
                taken = np.clip(left[at, None] - (ends - each.steps), 0, each.steps)
                complete = ends <= left[at, None]
                attempts[at] += complete.sum(axis=1)
                spent[at] += omega[at] * taken.sum(axis=1) + self.evaluation_tokens * complete.sum(axis=1)
                chain[at] += omega[at] * taken.max(axis=1) + self.evaluation_tokens * complete.any(axis=1)
                left[at] -= taken.sum(axis=1)
                scores = rng.standard_normal(found.shape) + np.where(found, min(gap, 1e6), 0.0)
                best = np.argsort(-scores, axis=1)[:, :keep]
                right, scores = np.take_along_axis(found, best, axis=1), np.take_along_axis(scores, best, axis=1)
                left[at[~complete.all(axis=1)]] = -1
            success[at] = self.finish(right, scores, rng) & (left[at] >= 0)
        return Decisions(
            success=success.reshape(shape),
            attempts=attempts.reshape(shape),
            tokens=spent.reshape(shape),
            parallel_tokens=chain.reshape(shape),
        )

    def with_equal_tokens(self, tokens: int) -> Self:
        """Give the search all the tokens: its budget is that of all candidates together."""
        return with_budget(self, tokens, f"{tokens} tokens")

    def with_equal_flops(self, tokens: int, architecture: Architecture, tokens_per_step: float = 25.0) -> Self:
        """Give the search the tokens that spend the FLOPs of the chain of thought.

        The states kept beside each other count as branches of one tree, from its first level on.
        """
        a, width = architecture, self.branching * self.kept(1 << 10)[-2]
        if a.n_layer is None or a.d_attn is None:
            return self.with_equal_tokens(tokens)
        branch = evaluate(
            equal_flops_tree_tokens, tokens, a.params, a.n_layer, a.d_attn, a.prompt_tokens, width, tokens_per_step
        )
        return with_budget(self, float(branch) * width, f"the FLOPs of {tokens} tokens in {width} branches")

    def _pieces(self, task: PathTask) -> tuple[Any, Any, Any, Any]:
        """Return rho, the pace s, the steps allowed and the candidates C, as tensors."""
        r, h = as_float(task.advance), as_float(task.commit)
        moving = pt.gt(r + h, 0.0)
        rho = r / pt.switch(moving, r + h, 1.0)
        return rho, r + h, task.steps_within(self.limit_tokens), as_float(self.candidates(as_float(task.path_length)))


def _levels(task: PathTask, whole: bool, strategy: Strategy) -> Any:
    """Return the path length as an int where the formula needs one number of levels."""
    m = task.path_length
    if not whole:
        return m
    if is_symbolic(m) or np.size(m) != 1:
        raise InputError(f"{strategy}: a tree with several kept states needs one whole path_length, got {m!r}")
    return int(np.asarray(m).reshape(()))


def _expected_longest(pace: Any, count: int) -> Any:
    """Expected maximum of ``count`` geometric numbers of steps: the sum over t from 0 of 1 - (1 - (1-s)^t)^count.

    Few of them by the recursion over which end in the next step, whose terms are all positive. Of many the sum itself,
    as far as its terms are above rounding; where steps are so many that this would be long, Euler and Maclaurin's
    formula, H / -log(1-s) + 1/2 with the harmonic number H of ``count``: the derivatives at 0 that it needs vanish up
    to the order of ``count``.
    """
    if count > _FEW:
        rate = -pt.log1p(-pt.minimum(pace, np.nextafter(1.0, 0.0)))
        shrinking = pt.exp(-pt.maximum(rate, _SLOW)[..., None] * np.arange(1.0, _terms(count)))
        summed = 1.0 - pt.expm1(count * pt.log1p(-shrinking)).sum(axis=-1)
        harmonic = float((1.0 / np.arange(1, count + 1)).sum())
        return pt.switch(rate < _SLOW, harmonic / rate + 0.5, summed)
    expected: list[Any] = [0.0 * pace]
    still = 1.0 - pace
    for n in range(1, count + 1):
        # After one step k of n are left, Bin(n, 1 - s).
        rest = sum(
            math.comb(n, k) * pt.power(still, float(k)) * pt.power(pace, float(n - k)) * expected[k]
            for k in range(1, n)
        )
        expected.append((1.0 + rest) / (1.0 - pt.power(still, float(n))))
    return expected[count]


def _without_repeats(found: Bools, branching: int, overlap: float, rng: np.random.Generator) -> Bools:
    """Make right candidates wrong that repeat an earlier one of their state."""
    of_state = found.reshape(len(found), -1, branching)
    kept = np.zeros_like(of_state)
    for place in range(branching):
        new = rng.random(kept.shape[:2]) < (1.0 - overlap) ** kept.sum(axis=-1)
        kept[..., place] = of_state[..., place] & new
    return kept.reshape(found.shape)


def _terms(count: int) -> int:
    """Return after how many terms of the sum for the slowest pace it is within rounding."""
    return math.ceil((math.log(count) + 37.0) / _SLOW)


def _candidates_of(path_length: Any, *, strategy: ThoughtSearch) -> Any:
    return strategy.candidates(path_length)
