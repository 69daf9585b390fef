"""Attempt by attempt: what is answered so far, and whether one more attempt at a task is worth its price."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.compiled import CompiledModel
from ds3bayes.live.conditional import Conditional, Law
from ds3bayes.live.population import learn_population
from ds3bayes.live.questions import Answer, Belief, Contrast, Question, normal_points
from ds3bayes.strategies import Strategy, parse_strategy
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER

Array = np.ndarray

# An attempt is worth its price if it tells at least this share of what the best one left in the plan tells per price.
# If the plan would not suffice, it is a hundredth: only what tells nothing is then left out.
_SHARE, _SHARE_IF_SCARCE = 0.5, 0.01
# Attempts are worth nothing once the rest of the plan decides with a probability below this.
_HOPELESS = 0.02
# A verdict counts if the population was learned from all but this share of the attempts.
_STALE = 0.05
# Draws worth fewer than this share of them are learned anew, and no verdict rests on them.
_FEW_DRAWS = 0.3
# Second moments that are looked at to compare attempts, in a few milliseconds.
_MOST_MOMENTS = 3e5
# Tasks that each arm has to try before anything is left out, where not all have to be.
_FIRST_TASKS = 20


@dataclass(frozen=True, kw_only=True)
class Worth:
    """Whether an attempt is worth its price.

    Parameters
    ----------
    run : bool
    why : str
        In a word or two: ``"decided"``, ``"cannot be decided"``, ``"tells too little"``, or why it is run.
    gain : float
        Share of the variance of what is asked that the attempt is expected to remove; NaN before the first fit.
    """

    run: bool
    why: str
    gain: float = math.nan


class Stopper:
    """Decides attempt by attempt what an evaluation still has to run.

    It knows nothing of the harness: tell it of attempts (`observe`) and ask it of the next (`offer`).

    Parameters
    ----------
    question : Question
        `Success`, `Better`, `Best` or `Cheapest`.
    tasks : sequence of str
        Names of all tasks in the plan.
    epochs : int
        Most attempts of an arm at a task.
    arms : sequence of str, optional
        LLMs, or LLMs with their settings, that are evaluated; those of the question's options if absent.
    spec : ModelSpec, optional
        Whose population, capability and priors count. If absent, defaults; several arms are drawn from one law, whose
        sd of logit success has a median of .5 (.16 to 1.6 with probability .9), for those that are compared are seldom
        far apart. With a wide prior, one epoch at 30 tasks would decide too often, and wrongly, and the success of the
        best of several would be put too high.
    first_epochs : int, default 2
        Attempts of each arm at every task before anything is left out. Benchmarks are often ordered by difficulty, so
        that the first tasks do not stand for the rest; and after a single epoch much rests on the priors. 0 is right
        only where the order of the tasks says nothing.
    growth : float, default 1.5
        The population is learned anew when attempts are so many times those of the last time.
    draws : int, default 400
        Of the population, at each refit.
    seed : int, default 0
    compiled : CompiledModel, optional
        ``compiled`` of another stopper of as many arms and tasks, which spares the first refit making its own.

    Raises
    ------
    InputError
        If an option is of an unknown arm, or of a strategy whose success does not follow from that of one attempt.

    Notes
    -----
    An attempt's worth is the expected fall of the variance of what is asked: for one more answer, right or wrong,
    cov(d, q)^2 / (p (1 - p)), where d is the difference asked for and q the attempt's success of mean p, both over the
    posterior. It is compared per price with the best attempt left in the plan. Attempts in flight count as made.

    That attempts depend on those before does not bias the posterior: their probability, given what was seen, holds no
    unknown of the model, so it cancels (Rubin 1976: missing at random). Mean scores of such an evaluation are biased.

    Safe for threads. `observe` and `offer` take milliseconds; `refit` takes seconds, and may run beside them.
    """

    def __init__(
        self,
        question: Question,
        *,
        tasks: Sequence[str],
        epochs: int,
        arms: Sequence[str] | None = None,
        spec: ModelSpec | None = None,
        first_epochs: int = 2,
        growth: float = 1.5,
        draws: int = 400,
        seed: int = 0,
        compiled: CompiledModel | None = None,
    ) -> None:
        if epochs != int(epochs) or epochs < 1 or len(tasks) < 2 or len(set(tasks)) < len(tasks):
            raise InputError(
                f"a plan needs at least 2 different tasks and 1 epoch, got {len(tasks)} tasks "
                f"({len(set(tasks))} different) and epochs = {epochs}"
            )
        if not growth > 1.0 or draws < 100 or first_epochs < 0:
            raise InputError(
                "growth must be above 1, draws at least 100 and first_epochs at least 0, got "
                f"{growth}, {draws} and {first_epochs}"
            )
        self.question = question
        self.tasks, self.epochs, self.first_epochs = list(tasks), int(epochs), min(first_epochs, int(epochs))
        self.arms, self._options = options_of(question, arms)
        self.spec = spec or (ModelSpec() if len(self.arms) == 1 else _spec_of_several())
        self._task = {name: place for place, name in enumerate(self.tasks)}
        self._arm = {name: place for place, name in enumerate(self.arms)}
        self._growth, self._draws, self._seed = growth, draws, seed
        strategies: list[list[Strategy]] = [[] for _ in self.arms]
        for arm, strategy in self._options:
            if strategy.attempts > 1 and strategy not in strategies[arm]:
                strategies[arm].append(strategy)
        self._laws: list[list[Law]] = [[_attempt, *(one.answer_array for one in mine)] for mine in strategies]
        self._law_of_option = [
            (arm, 0 if strategy.attempts == 1 else 1 + strategies[arm].index(strategy))
            for arm, strategy in self._options
        ]
        shape = (len(self.arms), len(self.tasks))
        self._successes, self._attempts = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
        self._pending, self._offered = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
        self._tokens, self._counted = np.zeros(shape), np.zeros(shape)
        self._conditional: Conditional | None = None
        #: The model ready to be sampled, once it was.
        self.compiled = compiled
        # Attempts up to which the last fit serves a verdict, and those that the last try at one was made from.
        self._fresh_until = 0
        self._tried_with = 0
        self._closed = np.zeros(len(self.arms), dtype=bool)
        self._lock = threading.RLock()
        self._answer: Answer | None = None
        self._cached: _Plan | None = None
        self._since_plan = 0
        self.refits = 0
        self.failures: list[str] = []
        self.skipped: Counter[str] = Counter()

    # --- what happened ---

    def observe(self, arm: str, task: str, success: bool, tokens: float | None = None) -> None:
        """Take over the result of an attempt.

        Parameters
        ----------
        arm, task : str
        success : bool
        tokens : float, optional
            That it generated.
        """
        with self._lock:
            self.lost(arm, task)
            self.observe_counts(arm, task, int(bool(success)), 1, tokens)

    def observe_counts(self, arm: str, task: str, successes: int, attempts: int, tokens: float | None = None) -> None:
        """Take over attempts that were made before, outside the plan.

        Parameters
        ----------
        arm, task : str
        successes, attempts : int
        tokens : float, optional
            Mean generated tokens of an attempt.
        """
        with self._lock:
            place = self._at(arm, task)
            self._attempts[place] += attempts
            self._successes[place] += successes
            if tokens is not None and tokens > 0:
                self._tokens[place] += tokens * attempts
                self._counted[place] += attempts
            if self._conditional is not None:
                self._set(self._conditional, place[1])
            self._changed()

    def offer(self, arm: str, task: str) -> Worth:
        """Ask whether the next attempt of the plan is run, and take it off the plan.

        Parameters
        ----------
        arm, task : str

        Returns
        -------
        Worth
        """
        with self._lock:
            found = self.worth(arm, task)
            place = self._at(arm, task)
            self._offered[place] += 1
            if found.run:
                self._pending[place] += 1
            else:
                self.skipped[found.why] += 1
            return found

    def take(self, arm: str, task: str) -> None:
        """Take an attempt off the plan that runs, or has run, without having been offered.

        Parameters
        ----------
        arm, task : str
        """
        with self._lock:
            self._offered[self._at(arm, task)] += 1

    def close(self, arm: str) -> None:
        """Say that nothing more of an arm's plan will be offered, or that it has none.

        Parameters
        ----------
        arm : str
        """
        with self._lock:
            place, _ = self._at(arm, self.tasks[0])
            self._closed[place] = True
            self._offered[place] = np.maximum(self._offered[place], self.epochs)
            self._pending[place] = 0
            self._changed(at_once=True)

    def lost(self, arm: str, task: str) -> None:
        """Say that an attempt that was run ended without a result."""
        with self._lock:
            place = self._at(arm, task)
            self._pending[place] = max(self._pending[place] - 1, 0)

    def worth(self, arm: str, task: str) -> Worth:
        """Say whether one more attempt is worth its price; the plan stays as it is.

        Parameters
        ----------
        arm, task : str

        Returns
        -------
        Worth
        """
        with self._lock:
            place = self._at(arm, task)
            if self._attempts[place] + self._pending[place] < self.first_epochs:
                return Worth(run=True, why="first at its task")
            if self._conditional is None:
                return Worth(run=True, why="too little is known")
            plan = self._plan()
            if plan.verdict and self.is_fresh and self._has_begun:
                return Worth(run=False, why=plan.verdict, gain=0.0)
            gain = float(plan.gain[place] * self._repeat(plan, place))
            rate = gain / self._price[place]
            enough = plan.share * plan.best_rate
            if plan.best_rate > 0 and rate < enough:
                return Worth(run=False, why="tells too little", gain=gain)
            return Worth(run=True, why="worth its price", gain=gain)

    # --- what is known ---

    @property
    def option_laws(self) -> list[tuple[int, Law]]:
        """The arm of each option, and its success as a function of that of one attempt."""
        return [(arm, self._laws[arm][law]) for arm, law in self._law_of_option]

    @property
    def made(self) -> int:
        """Attempts made."""
        return int(self._attempts.sum())

    @property
    def tokens(self) -> float:
        """Tokens generated, where they are known."""
        return float(self._tokens.sum())

    @property
    def counts(self) -> tuple[Array, Array]:
        """Successes and attempts, copies of shape (arms, tasks)."""
        with self._lock:
            return self._successes.copy(), self._attempts.copy()

    @property
    def answer(self) -> Answer | None:
        """What is answered so far; None before the first fit."""
        with self._lock:
            if self._conditional is None:
                return None
            if self._answer is None:
                self._answer = self.question.answer(self._belief())
            return self._answer

    @property
    def is_fresh(self) -> bool:
        """Whether the population was learned from nearly all attempts, and its draws still count."""
        if self._conditional is None or self.made > self._fresh_until:
            return False
        return self._conditional.effective_draws >= _FEW_DRAWS * len(self._conditional.weight)

    @property
    def verdict(self) -> str:
        """``"decided"``, ``"cannot be decided"``, or empty while attempts are worth making."""
        with self._lock:
            return self._plan().verdict if self.is_fresh and self._has_begun else ""

    @property
    def _has_begun(self) -> bool:
        """Whether the first epochs are over; an attempt may have ended without a result."""
        least = self.first_epochs
        made = (self._attempts + self._pending >= least) | (self._offered >= least) | self._closed[:, None]
        return bool(made.all())

    @property
    def can_refit(self) -> bool:
        """Whether every arm was tried."""
        return bool((self._attempts.sum(axis=1) > 0).all())

    @property
    def needs_refit(self) -> bool:
        """Whether the population should be learned anew: it grew old, or a verdict waits for it."""
        with self._lock:
            made = self.made
            if made <= self._tried_with:
                return False
            if self._conditional is None:
                # Each arm at enough tasks to tell how they differ; an attempt may have ended without a result.
                seen = ((self._attempts > 0) | (self._offered > 1)).sum(axis=1)
                first = len(self.tasks) if self.first_epochs else min(len(self.tasks), _FIRST_TASKS)
                ready = (seen >= np.where(self._closed, 1, first)) & (self._attempts.sum(axis=1) > 0)
                return bool(ready.all() and made >= self._growth * self._tried_with)
            if made >= self._growth * self._tried_with:
                return True
            if made <= self._tried_with * (1 + _STALE):
                return False
            few = self._conditional.effective_draws < _FEW_DRAWS * len(self._conditional.weight)
            return few or (self._has_begun and bool(self._plan().verdict))

    # --- learning ---

    def refit(self) -> bool:
        """Learn the population from all attempts so far; the counts of the meantime are taken over, too.

        Returns
        -------
        bool
            Whether it succeeded. What failed is kept in ``failures``, and all goes on with what was known before.
        """
        with self._lock:
            successes, attempts = self.counts
            self._tried_with = int(attempts.sum())
            self.refits += 1
            number = self.refits
        try:
            population = learn_population(
                self.arms,
                successes,
                attempts,
                self.spec,
                draws=self._thinned_draws,
                seed=self._seed + number,
                compiled=self.compiled,
            )
            conditional = Conditional(population, self._laws, successes, attempts)
            self._catch_up(conditional)
            # What is made once is made here, where no attempt waits for it.
            normal_points(len(self._options))
        except Exception as error:
            # An evaluation costs more than what could be saved: whatever fails here must not end it.
            self.failures.append(f"refit {number}, after {int(attempts.sum())} attempts: {error}")
            return False
        with self._lock:
            self._catch_up(conditional)
            self._conditional, self.compiled = conditional, population.compiled
            # What landed in the meantime is taken over exactly, if not from draws of its own.
            self._fresh_until = int(self.made * (1 + _STALE))
            self._changed(at_once=True)
        return True

    @property
    def _thinned_draws(self) -> int:
        """Fewer draws where moments of many tasks and options would fill the memory (about 200 MB)."""
        functions = sum(len(one) for one in self._laws)
        return int(np.clip(2.5e7 / (len(self.tasks) * functions * (functions + 1)), 100, self._draws))

    def _catch_up(self, conditional: Conditional) -> None:
        """Take over what was seen since a population was learned."""
        with self._lock:
            differ = np.flatnonzero((conditional.attempts != self._attempts).any(axis=0))
        for task in differ:
            self._set(conditional, int(task))

    def _set(self, conditional: Conditional, task: int) -> None:
        conditional.set_counts(task, self._successes[:, task], self._attempts[:, task])

    def _changed(self, at_once: bool = False) -> None:
        self._answer = None
        self._since_plan += 1
        # Of many tasks, one attempt changes little: gains of all are looked at again now and then.
        if at_once or self._since_plan >= max(1, len(self.tasks) // 50):
            self._cached, self._since_plan = None, 0

    # --- what is worth what ---

    def _at(self, arm: str, task: str) -> tuple[int, int]:
        if arm not in self._arm:
            raise InputError(
                f"{arm!r} is not in the plan; allowed: {', '.join(self.arms)}." + did_you_mean(arm, self.arms)
            )
        if task not in self._task:
            raise InputError(f"task {task!r} is not in the plan of {len(self.tasks)} tasks")
        return self._arm[arm], self._task[task]

    @property
    def _price(self) -> Array:
        """Expected tokens (A, T) of an attempt, the mean of an arm counting as one more; 1 where none are known."""
        known = self._counted.sum(axis=1, keepdims=True)
        if not (known > 0).all():
            return np.ones(self._tokens.shape)
        mean = self._tokens.sum(axis=1, keepdims=True) / known
        return (self._tokens + mean) / (self._counted + 1)

    @property
    def costs(self) -> Array:
        """What each option costs per task, (O,)."""
        given = getattr(self.question, "costs", None)
        if given is not None:
            return np.array([float(given[name]) for name in self.question.names])
        price = self._price.mean(axis=1)
        return np.array([price[arm] * float(strategy.token_units(None)) for arm, strategy in self._options])

    def _belief(self) -> Belief:
        assert self._conditional is not None
        place = [self._conditional.of_law(arm, law) for arm, law in self._law_of_option]
        if self.question.tasks == "these":
            mean, covariance = self._conditional.of_all_tasks()
            mean, covariance = mean[:, place], covariance[:, place][:, :, place]
        else:
            mean = self._conditional.new_mean[:, place]
            covariance = np.zeros((len(mean), len(place), len(place)))
        return Belief(weight=self._conditional.weight, mean=mean, covariance=covariance, cost=self.costs)

    def _plan(self) -> _Plan:
        """What is left of the plan, and what it is worth."""
        if self._cached is None:
            self._cached = self._look()
        return self._cached

    def _look(self) -> _Plan:
        conditional = self._conditional
        assert conditional is not None
        belief = self._belief()
        answer = self._answer = self.question.answer(belief)
        contrasts = self.question.contrasts(belief)
        attempt = [conditional.of_attempt(arm) for arm in range(len(self.arms))]
        place = [conditional.of_law(arm, law) for arm, law in self._law_of_option]
        # Of many tasks, gains are looked at in some of the draws: they are compared with one another, no more.
        some = slice(None, None, max(1, round(conditional.second.size / _MOST_MOMENTS)))
        weight = conditional.weight[some]
        weight = weight / weight.sum()
        of_attempts = conditional.mean[:, some, attempt]
        of_options = conditional.mean[:, some, place]
        p = np.einsum("s,tsa->ta", weight, of_attempts)
        second = np.stack(
            [np.einsum("s,ts->t", weight, conditional.second[:, some, one, one]) for one in attempt], axis=1
        )
        spread = np.maximum(p * (1.0 - p), 1e-12)
        alike = np.clip((second - p**2) / spread, 0.0, 1.0)
        left = self.epochs - self._offered
        rest = (left + self._pending).T
        total, ends = np.zeros(p.shape), []
        importance = sum(one.weight for one in contrasts)
        for one in contrasts:
            mean = belief.of(one.vector)[0][some]
            centred = weight * (mean - weight @ mean)
            shared = np.einsum("s,tsa->ta", centred, of_attempts)
            if self.question.tasks == "these":
                # What an attempt tells of its own task, apart from what it tells of the population.
                own = np.zeros(p.shape)
                for option in np.flatnonzero(one.vector):
                    for column, arm in enumerate(attempt):
                        both = conditional.second[:, some, place[option], arm]
                        both = both - of_options[:, :, option] * of_attempts[:, :, column]
                        own[:, column] += one.vector[option] * (both @ weight)
                shared = shared + own / len(self.tasks)
            variance = belief.variance(one.vector)
            share = shared**2 / spread / variance
            total += share * (one.weight / importance if importance > 0 else 1.0 / len(contrasts))
            removed = float((share * _by_repeats(rest, alike)).sum())
            fraction = max(1.0 - removed, 1e-6) if self.question.tasks == "these" else 1.0 / (1.0 + removed)
            ends.append((one, variance, min(fraction, 1.0)))
        verdict = "decided" if answer.decided else ""
        hope, scarce = self._prospect(belief, ends)
        if not verdict and self.question.can_be_hopeless and hope < _HOPELESS:
            verdict = "cannot be decided"
        open_ = left.T > 0
        rate = total / self._price.T
        return _Plan(
            gain=total.T,
            alike=alike.T,
            best_rate=float(np.where(open_, rate, 0.0).max(initial=0.0)),
            share=_SHARE_IF_SCARCE if scarce else _SHARE,
            verdict=verdict,
            hope=hope,
        )

    def _prospect(self, belief: Belief, ends: Sequence[tuple[Contrast, float, float]]) -> tuple[float, bool]:
        """Return the probability that the rest of the plan decides, and whether it would not if all stays as it is.

        After the rest, the variance of each contrast is a fraction of what it is; its mean has moved by what the rest
        removed. Contrasts whose answer is hardly in doubt count as decided.
        """
        doubt = 1.0 - self.question.probability
        z = float(ndtri(self.question.probability))
        if not self.question.can_be_hopeless:
            z = float(ndtri((1.0 + self.question.probability) / 2.0))
        hope, scarce = 1.0, False
        for one, variance, fraction in ends:
            if one.weight < 0.1 * doubt:
                continue
            after = math.sqrt(variance * fraction)
            moved = math.sqrt(max(variance * (1.0 - fraction), 1e-18))
            needed = z * after - one.slack
            distance = abs(float(belief.estimate @ one.vector) - one.value)
            scarce |= distance < needed
            if needed > 0:
                hope = min(hope, float(ndtr((distance - needed) / moved) + ndtr((-distance - needed) / moved)))
        return hope, scarce

    def _repeat(self, plan: _Plan, place: tuple[int, int]) -> float:
        """What the attempt tells, relative to the first of those in flight at its task."""
        pending, alike = self._pending[place], plan.alike[place]
        return float(_by_repeats(pending + 1, alike) - _by_repeats(pending, alike))

    def report(self) -> dict[str, Any]:
        """What was done, and what is answered: plain values, as for JSON."""
        with self._lock:
            answer = self.answer
            return {
                "question": f"{self.question}",
                "answer": None if answer is None else answer.as_dict(),
                "state": self.verdict or ("open" if answer is None or not answer.decided else "decided"),
                "attempts": {name: int(self._attempts[place].sum()) for place, name in enumerate(self.arms)},
                "skipped": dict(self.skipped),
                "refits": self.refits,
                "failures": list(self.failures),
            }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """The worth of the next attempt of each arm at each task.

    Parameters
    ----------
    gain : array, shape (A, T)
        Share of the variance of what is open that it is expected to remove.
    alike : array, shape (A, T)
        Correlation of two attempts, in what is known.
    best_rate : float
        Largest gain per price among attempts left.
    share : float
        Of that, which an attempt must have.
    verdict : str
    hope : float
        Probability that the rest of the plan decides.
    """

    gain: Array
    alike: Array
    best_rate: float
    share: float
    verdict: str
    hope: float


def _spec_of_several() -> ModelSpec:
    """Return the model of arms that are compared with one another."""
    prior = {"family": "LogNormal", "mu": math.log(0.5), "sigma": 0.7}
    return ModelSpec.from_dict({"capability": {"kind": "free", "pool_from": 2}, "priors": {"location_sd": prior}})


def _attempt(q: Array) -> Array:
    return q


def _by_repeats(repeats: Any, alike: Any) -> Any:
    """What so many attempts tell, relative to one: as the linear estimate of their mean has it."""
    return repeats / np.maximum(1.0 + (repeats - 1.0) * alike, 1e-12)


def options_of(question: Question, arms: Sequence[str] | None) -> tuple[list[str], list[tuple[int, Strategy]]]:
    """Return the arms, and the arm and the strategy of each option.

    Parameters
    ----------
    question : Question
    arms : sequence of str, optional
        What is evaluated; what the question names if absent.

    Raises
    ------
    InputError
        As for `Stopper`.
    """
    pairs = [_arm_and_strategy(name, arms) for name in question.names]
    known = list(arms) if arms is not None else list(dict.fromkeys(name for name, _ in pairs))
    faults, result = [], []
    for name, (arm, strategy) in zip(question.names, pairs, strict=True):
        if arm not in known:
            faults.append(
                f"{name!r}: {arm!r} is not evaluated; allowed: {', '.join(known)}." + did_you_mean(arm, known)
            )
            continue
        if strategy.depends_on or strategy.is_search:
            faults.append(
                f"{name!r}: its success does not follow from that of one attempt; ask about single attempts, "
                "best_of_n with an oracle or a stated verifier, or pass_power"
            )
            continue
        result.append((known.index(arm), strategy))
    if len(set(known)) < len(known):
        faults.append(f"arms must differ, got {', '.join(known)}")
    if faults:
        raise InputError.of_faults(type(question).__name__, faults)
    return known, result


def _arm_and_strategy(name: str, arms: Sequence[str] | None) -> tuple[str, Strategy]:
    """Read ``"LLM"`` or ``"LLM | strategy"``; an empty name is the only LLM there is."""
    if arms is not None and len(arms) == 1 and not name:
        return arms[0], parse_strategy(DEFAULT_SAMPLER)
    if arms is not None and name in arms:
        return name, parse_strategy(DEFAULT_SAMPLER)
    arm, between, text = name.rpartition(" | ")
    if not between:
        if arms is not None and len(arms) == 1:
            return arms[0], parse_strategy(name)
        return name, parse_strategy(DEFAULT_SAMPLER)
    return arm, parse_strategy(text)
