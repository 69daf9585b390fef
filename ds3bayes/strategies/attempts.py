"""Strategies that walk whole attempts at a task and select among them: their laws from the path of skills."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from ds3bayes.deferred import pt
from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.strategies.base import (
    STRATEGIES,
    Architecture,
    Decisions,
    Learned,
    LearnedVerifier,
    Strategy,
    Walk,
    check_whole,
    has_perfect_verifier,
    with_budget,
)
from ds3bayes.strategies.lengths import Lengths
from ds3bayes.strategies.references import arxiv
from ds3bayes.strategies.task import (
    ARRAYS,
    PathTask,
    attempt_laws,
    certainly_reachable,
    expected_longest,
    mix,
    unfinished,
)
from ds3bayes.strategies.walks import ENDLESS, SOLVED, WRONG, Bools, Ints, Restaurant, Walks, WrongAnswers, walk
from ds3bayes.theory.cost import equal_flops_attempt_tokens, flops
from ds3bayes.theory.evaluate import evaluate, numbers
from ds3bayes.theory.path import solved_at, wrong_at

#: Whom to cite for repeated sampling and its coverage.
REPEATED_SAMPLING = arxiv(
    "brown2024large",
    "Brown, Bradley and Juravsky, Jordan and Ehrlich, Ryan and Clark, Ronald and others",
    "Large Language Monkeys: Scaling Inference Compute with Repeated Sampling",
    2024,
    "2407.21787",
    "repeated sampling and coverage (best-of-n with an oracle)",
)

#: The sampler of attempts where nothing else is said: a chain of thought.
DEFAULT_SAMPLER = "cot"

# Probability that a walk without budget may still be under way where its distribution is cut.
_TAIL = 1e-13
_LONGEST = 1 << 20


@dataclass(frozen=True, kw_only=True)
class RepeatedSampling(Strategy):
    """Abstract: n attempts walk the task's path of skills, and a selector turns them into one answer.

    A subclass states how many `attempts` there are at most and how it selects (`answer`, and `decide` for
    simulated attempts). Attempts are independent given the task, whose reachability they share. A subclass
    that may stop early also says how many attempts it makes.
    """

    #: Whether each attempt waits for the one before.
    in_sequence: ClassVar[bool] = False

    @abstractmethod
    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Select among simulated attempts.

        Parameters
        ----------
        outcome : numpy.ndarray of int8, shape (decisions, n)
            How each attempt ended.
        answers : numpy.ndarray of int64, shape (decisions, n)
            Which wrong answer each wrong attempt gave, -1 elsewhere.
        rng : numpy.random.Generator

        Returns
        -------
        tuple of numpy.ndarray, shape (decisions,)
            Whether the final answer is right, and how many attempts were made.
        """

    def decide_walks(self, walks: Walks, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Select among simulated attempts by their outcomes and steps; by `decide` if lengths do not matter."""
        return self.decide(walks.outcome, answers, rng)

    def expected_attempts(self, right: Any, wrong: Any, concentration: Any = None) -> Any:
        """Expected number of attempts, given the chances that one is right and that it is wrong."""
        del right, wrong, concentration
        return float(self.attempts)

    @property
    def random_units(self) -> bool:
        """Whether attempts are made one after another until something stops them."""
        return self.in_sequence or super().random_units

    def units_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> Any:
        """Expected number of attempts at posterior draws; attempts that a budget cuts count as wrong ones."""
        del lengths, learned
        return evaluate(_attempts_of, q, core=(0,), strategy=self) if self.in_sequence else float(self.attempts)

    def steps_transform(self, right: Any, wrong: Any, blank: Any, concentration: Any = None) -> Any:
        """Generating function of the steps of all attempts, from that of one attempt by its outcome.

        Parameters
        ----------
        right, wrong, blank : numpy.ndarray of complex
            sum_k P(outcome, k steps) z^k of one attempt, at some points z.
        concentration : float, optional
            How wrong answers agree.

        Returns
        -------
        numpy.ndarray of complex
        """
        del concentration
        return (right + wrong + blank) ** self.attempts

    def success(self, task: PathTask) -> Any:
        """Probability that the final answer is right: the selector's success, averaged over reachability."""
        concentration = task.wrong_answer_concentration
        cases = attempt_laws(task, task.steps_within(self.limit_tokens))
        return mix([(p, self.answer(one.right, concentration, wrong=one.wrong)) for p, one in cases])

    def expected_tokens(self, task: PathTask) -> Any:
        """Expected generated tokens: those of one attempt times the expected number of attempts.

        Attempts are alike and whether to make one depends on those before it only, so that the means multiply
        (Wald's identity).
        """
        concentration = task.wrong_answer_concentration
        cases = attempt_laws(task, task.steps_within(self.limit_tokens))
        steps = [(p, self.expected_attempts(one.right, one.wrong, concentration) * one.steps) for p, one in cases]
        return mix(steps) * task.tokens_per_step

    def mean_attempts(self, task: PathTask) -> Any:
        """Expected number of attempts at a task."""
        concentration = task.wrong_answer_concentration
        cases = attempt_laws(task, task.steps_within(self.limit_tokens))
        return mix([(p, self.expected_attempts(one.right, one.wrong, concentration)) for p, one in cases])

    def expected_flops(self, task: PathTask, architecture: Architecture) -> Any:
        """Expected FLOP of all attempts; the prompt is read once (`ds3bayes.theory.cost.flops`)."""
        concentration, omega, a = task.wrong_answer_concentration, task.tokens_per_step, architecture
        cases = attempt_laws(task, task.steps_within(self.limit_tokens), squared=True)
        # The square of an attempt's tokens obeys Wald's identity as the tokens do.
        spent = [
            (
                probability,
                flops(
                    a.params,
                    omega * one.steps,
                    a.prompt_tokens,
                    a.n_layer,
                    a.d_attn,
                    attempts=self.expected_attempts(one.right, one.wrong, concentration),
                    squared=omega**2 * one.squared_steps,
                ),
            )
            for probability, one in cases
        ]
        return mix(spent)

    def expected_latency(self, task: PathTask, horizon: int | None = None) -> Any:
        """Expected tokens of the longest attempt; of all of them if each waits for the one before."""
        if self.in_sequence or self.attempts == 1:
            return self.expected_tokens(task)
        steps = task.steps_within(self.limit_tokens)
        if self.limit_tokens is None:
            steps = float(horizon or self.horizon(task))
        return expected_longest(task, steps, self.attempts) * task.tokens_per_step

    def horizon(self, task: PathTask) -> int:
        """Return the steps after which all attempts without a budget have ended, but for 1e-13 of the probability.

        Parameters
        ----------
        task : PathTask
            With numbers or arrays as fields.

        Raises
        ------
        InputError
            If that takes more than a million steps, or never comes.
        """
        fields = np.broadcast_arrays(*(np.asarray(getattr(task, name), dtype=float) for name in ARRAYS[:4]))
        steps = 1
        while steps <= _LONGEST:
            late = evaluate(_still_walking, np.array([float(steps)]), *(one.reshape(-1) for one in fields))
            if float(np.max(late)) * self.attempts < _TAIL:
                return steps
            steps *= 2
        raise InputError(
            f"{self}: attempts without a budget may take more than {_LONGEST} steps (or never end, where skills "
            "are unreachable and nothing commits); give budget_tokens"
        )

    def tokens_distribution(self, task: PathTask) -> xr.DataArray:
        """Distribution of the tokens of all attempts, by the discrete Fourier transform of their sum."""
        require_numbers(task, self)
        steps = math.inf if self.limit_tokens is None else numbers(task.steps_within(self.limit_tokens))[0]
        K = int(steps) if math.isfinite(steps) else self.horizon(task)
        size = self.attempts * K + 1
        total = np.zeros(size)
        for probability, right, wrong in _outcomes_at(task, K):
            blank = np.zeros(size)
            blank[K] = max(0.0, 1.0 - right.sum() - wrong.sum())
            first, second, third = (np.fft.rfft(part, size) for part in (right, wrong, blank))
            transform = self.steps_transform(first, second, third, task.wrong_answer_concentration)
            total += probability * np.fft.irfft(transform, size)
        # The transform leaves dust of 1e-17 around zero.
        total = np.where(total > 1e-16, total, 0.0)
        tokens = np.arange(size) * float(task.tokens_per_step)
        return xr.DataArray(
            total,
            coords={"tokens": ("tokens", tokens, {"units": "tokens", "long_name": "generated tokens"})},
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
        """Walk all attempts step by step, then let the selector decide."""
        shape = np.broadcast_shapes(*(np.shape(getattr(task, name)) for name in ARRAYS), size)
        n, number = self.attempts, int(np.prod(shape))
        m, r, h, gamma, omega = (
            np.broadcast_to(np.asarray(getattr(task, name), dtype=float), shape).reshape(-1, 1) for name in ARRAYS
        )
        # Chances of single skills, not of the path: nothing here uses a closed form.
        drawn = n if task.independent_reachability else 1
        reachable = rng.random((number, drawn)) < gamma**m
        lengths = np.where(reachable, m.astype(np.int64), ENDLESS)
        pace = r + h
        budget = None if self.limit_tokens is None else np.floor(self.limit_tokens / omega + 1e-9).astype(np.int64)
        still = pace <= 0.0
        if budget is None and still.any():
            raise InputError(f"{self}: a walk whose steps do nothing never ends; give budget_tokens")
        rho = np.broadcast_to(r / np.where(still, 1.0, pace), (number, n))
        walks = walk(rho, np.where(still, 1e-300, pace), lengths, budget, rng)
        answers = np.full((number, n), -1, dtype=np.int64)
        decision, attempt = np.nonzero(walks.outcome == WRONG)
        draw = wrong_answers or self._wrong_answers(task)
        if draw is not None:
            answers[decision, attempt] = draw(decision.astype(np.int64), rng)
        success, used = self.decide_walks(walks, answers, rng)
        made = np.arange(n) < used[:, None]
        tokens = walks.steps * omega
        total = (tokens * made).sum(axis=1)
        longest = total if self.in_sequence else tokens.max(axis=1)
        return Decisions(
            success=success.reshape(shape),
            attempts=used.reshape(shape),
            tokens=total.reshape(shape),
            parallel_tokens=longest.reshape(shape),
            outcome=walks.outcome.reshape(*shape, n),
            answers=answers.reshape(*shape, n),
        )

    def _wrong_answers(self, task: PathTask) -> WrongAnswers | None:
        """How wrong answers agree as far as the task says; a vote may say more."""
        return None if task.wrong_answer_concentration is None else Restaurant(task.wrong_answer_concentration)

    def with_equal_tokens(self, tokens: int) -> Self:
        """Share the tokens out equally among the attempts."""
        return with_budget(self, tokens / self.attempts, f"{tokens} tokens in {self.attempts} attempts")

    def with_equal_flops(self, tokens: int, architecture: Architecture, tokens_per_step: float = 25.0) -> Self:
        """Give every attempt the tokens at which all together spend the FLOPs of the chain of thought."""
        del tokens_per_step
        a = architecture
        if a.n_layer is None or a.d_attn is None:
            return self.with_equal_tokens(tokens)
        own = evaluate(
            equal_flops_attempt_tokens, tokens, a.params, a.n_layer, a.d_attn, a.prompt_tokens, self.attempts
        )
        return with_budget(self, float(own), f"the FLOPs of {tokens} tokens in {self.attempts} attempts")


@dataclass(frozen=True, kw_only=True)
class AttemptStrategy(RepeatedSampling):
    """A strategy that draws n whole attempts at a task and selects among them.

    Parameters
    ----------
    n : int
        Number of attempts, at least 1; the most there can be if it may stop early.
    sampler : str, default "cot"
        What one attempt is: the name of a strategy of one attempt, ``"cot"`` (chain of thought), ``"direct"`` or one
        that was registered.
    effort, budget_tokens
        As for `Strategy`.
    """

    #: Name in curves of success against the number of attempts; not drawn if empty.
    curve_name: ClassVar[str] = ""
    #: Most attempts at which such a curve is computed in seconds.
    curve_end: ClassVar[int] = 1 << 20

    n: int
    sampler: str = DEFAULT_SAMPLER

    def faults(self) -> list[str]:
        """Check ``n`` and ``sampler``, then what the subclass adds."""
        found = check_whole("n", self.n, 1)
        single = [name for name in STRATEGIES if single_attempt(name)]
        if self.sampler not in single:
            allowed, hint = " or ".join(map(repr, single)), did_you_mean(str(self.sampler), single)
            found.append(f"sampler must be {allowed}, got {self.sampler!r}.{hint}")
        return found + self.selector_faults()

    @abstractmethod
    def selector_faults(self) -> list[str]:
        """Return one sentence per field of the selector that is outside its range."""

    @property
    def walk(self) -> Walk:
        """The sampler of the attempts."""
        return self.sampler

    @property
    def attempts(self) -> int:
        """The number n of attempts."""
        return self.n

    @property
    def assumes_perfect_check(self) -> bool:
        """Whether an oracle picks among several attempts."""
        return self.n > 1 and has_perfect_verifier(self)

    @classmethod
    def variants(cls, verifiers: Sequence[LearnedVerifier]) -> list[Self]:
        """Return the strategy of one attempt in the ways it may select: as by default, and by learned verifiers."""
        verifier = next((field for field in fields(cls) if field.name == "verifier"), None)
        given: list[dict[str, Any]] = [{}] if verifier is None or verifier.default is not MISSING else []
        given += [{"verifier": one} for one in verifiers if verifier is not None]
        return [cls(n=1, **one) for one in given]

    @property
    def curve_label(self) -> str:
        """Name of its curve with the verifier that it trusts."""
        verifier = getattr(self, "verifier", None)
        return f"{self.curve_name}, {self.learned_verifier or verifier}" if verifier is not None else self.curve_name

    def token_units(self, path_length: Any = None) -> Any:
        """Return n: every attempt is one unit, whatever the path length."""
        return float(self.n)

    @property
    def searched_up_to(self) -> int:
        """Most attempts that are tried to reach a target."""
        return 64

    def limit_array(
        self, q: np.ndarray, concentration: np.ndarray | None = None, no_answer: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Success as the number of attempts grows without bound, or None where that is not known.

        Parameters
        ----------
        q : numpy.ndarray
            Probability that one attempt is right.
        concentration : numpy.ndarray, optional
            How wrong answers agree, broadcasts against ``q``.
        no_answer : numpy.ndarray, optional
            Probability that an attempt that is not right gives no answer, broadcasts against ``q``.
        """
        del q, concentration, no_answer
        return None


@dataclass(frozen=True, kw_only=True)
class SingleAttempt(RepeatedSampling):
    """Abstract: one attempt, whose answer is final."""

    def faults(self) -> list[str]:
        """Return nothing: there are no fields beyond the common ones."""
        return []

    @property
    def attempts(self) -> int:
        """One."""
        return 1

    def token_units(self, path_length: Any = None) -> Any:
        """Return 1: one attempt."""
        return 1.0

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability q that the attempt is right."""
        del concentration, wrong
        return pt.as_tensor_variable(q)

    def decide(self, outcome: np.ndarray, answers: Ints, rng: np.random.Generator) -> tuple[Bools, Ints]:
        """Take the one attempt."""
        del answers, rng
        return outcome[:, 0] == SOLVED, np.ones(len(outcome), dtype=np.int64)


def single_attempt(name: str) -> bool:
    """Whether the strategy of a name is one attempt, so that others can sample it."""
    return issubclass(STRATEGIES.get(name, Strategy), SingleAttempt)


def require_numbers(task: PathTask, strategy: Strategy) -> None:
    """Refuse a task with arrays or tensors, for laws that are distributions of one task."""
    wide = [name for name in ARRAYS if not isinstance(getattr(task, name), int | float | np.number)]
    if wide:
        raise InputError(f"{strategy}: a distribution is that of one task; give plain numbers for {', '.join(wide)}")


def _attempts_of(q: Any, *, strategy: RepeatedSampling) -> Any:
    return strategy.expected_attempts(q, 1.0 - q)


def _still_walking(k: Any, m: Any, r: Any, h: Any, gamma: Any) -> Any:
    cases = unfinished(PathTask(path_length=m, advance=r, commit=h, reachability=gamma), k)
    return mix(cases)


def _outcomes_at(task: PathTask, K: int) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Return (probability, P(right at k), P(wrong at k)) for k = 0..K, by shared case."""
    m, r, h = float(task.path_length), float(task.advance), float(task.commit)
    k = np.arange(1.0, K + 1.0)
    none = np.zeros(1)
    right = np.concatenate([none, evaluate(solved_at, k, m, r, h)])
    wrong = np.concatenate([none, evaluate(wrong_at, k, m, r, h)])
    if certainly_reachable(task):
        return [(1.0, right, wrong)]
    reachable = float(task.reachability) ** m
    lost = np.concatenate([none, h * (1.0 - h) ** (k - 1.0)])
    if task.independent_reachability:
        return [(1.0, reachable * right, reachable * wrong + (1.0 - reachable) * lost)]
    return [(reachable, right, wrong), (1.0 - reachable, np.zeros_like(right), lost)]
