"""What an evaluation is run to find out, and when enough is known to say it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, final

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from ds3bayes.errors import InputError
from ds3bayes.queries.words import LEVEL, chance

Array = np.ndarray
Tasks = Literal["these", "new"]

# Normal draws of an option's success around each draw of the population, evenly spread: what is asked of several
# options at once has no closed form.
_AROUND = 16


@dataclass(frozen=True, kw_only=True)
class Belief:
    """What is known of the options' success: a mixture of normal laws, one at each draw of the population.

    Parameters
    ----------
    weight : array, shape (S,)
        Of the draws, summing to 1.
    mean : array, shape (S, O)
        Mean success of each option over the tasks.
    covariance : array, shape (S, O, O)
        Of these means, from what is not known of single tasks.
    cost : array, shape (O,)
        Price of one use of each option at one task: tokens where they are known, else attempts.
    """

    weight: Array
    mean: Array
    covariance: Array
    cost: Array

    @property
    def estimate(self) -> Array:
        """Posterior mean of each option's success, shape (O,)."""
        return self.weight @ self.mean

    def of(self, contrast: Array) -> tuple[Array, Array]:
        """Mean (S,) and sd (S,) of a linear combination (O,) of the options' success at each draw."""
        variance = np.einsum("o,sop,p->s", contrast, self.covariance, contrast)
        return self.mean @ contrast, np.sqrt(np.maximum(variance, 1e-18))

    def variance(self, contrast: Array) -> float:
        """Posterior variance of a linear combination of the options' success."""
        mean, sd = self.of(contrast)
        centre = self.weight @ mean
        return float(self.weight @ ((mean - centre) ** 2 + sd**2))

    def below(self, contrast: Array, value: float) -> float:
        """Probability that a linear combination of the options' success is below a value."""
        mean, sd = self.of(contrast)
        return float(self.weight @ ndtr((value - mean) / sd))

    def interval(self, contrast: Array, level: float) -> tuple[float, float]:
        """Equal-tailed interval of a linear combination of the options' success."""
        mean, sd = self.of(contrast)
        if not self.covariance.any() and np.ptp(mean) == 0.0:
            # All is known.
            return float(mean[0]), float(mean[0])
        ends = float((mean - 8 * sd).min()) - 1e-9, float((mean + 8 * sd).max()) + 1e-9
        low, high = (
            brentq(lambda x, p=p: self.below(contrast, x) - p, *ends, xtol=1e-6)
            for p in ((1 - level) / 2, (1 + level) / 2)
        )
        return float(low), float(high)

    def draws(self) -> tuple[Array, Array]:
        """Weights (D,) and draws (D, O) of the options' success, the same normal numbers at every call."""
        if not self.covariance.any():
            return self.weight, self.mean
        options = self.mean.shape[1]
        root = np.linalg.cholesky(self.covariance + 1e-14 * np.eye(options))
        normal = normal_points(options)
        drawn = self.mean[:, None] + np.einsum("sop,rp->sro", root, normal)
        return np.repeat(self.weight / len(normal), len(normal)), drawn.reshape(-1, options)


@lru_cache(maxsize=32)
def normal_points(dims: int) -> Array:
    """Evenly spread standard normal points (R, dims)."""
    from scipy.stats import qmc

    points = ndtri(qmc.Sobol(dims, rng=np.random.default_rng(dims)).random(_AROUND))
    return (points - points.mean(axis=0)) / points.std(axis=0)


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A linear combination of the options' success that has to be told from a value.

    Parameters
    ----------
    vector : array, shape (O,)
    value : float
        It is decided once it is known on which side of this it is.
    slack : float
        How far on the wrong side of it does no harm.
    weight : float
        How much it matters: the probability that what would be said of it is wrong.
    """

    vector: Array
    value: float = 0.0
    slack: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What would be answered now.

    Parameters
    ----------
    choice : str
        The answer in a word: an option, ``"yes"``, ``"no"``, ``"none"`` or ``"estimate"``.
    p_right : float
        Probability that it is right, as the question defines that.
    decided : bool
        Whether that is as sure as the question asks.
    estimate, lower, upper : float
        Success of the chosen option, or the difference asked for, with its interval of probability .9.
    sentence : str
    """

    choice: str
    p_right: float
    decided: bool
    estimate: float
    lower: float
    upper: float
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as for JSON."""
        return {
            "choice": self.choice,
            "p_right": round(self.p_right, 4),
            "decided": self.decided,
            "estimate": round(self.estimate, 5),
            "lower": round(self.lower, 5),
            "upper": round(self.upper, 5),
            "sentence": self.sentence,
        }


@dataclass(frozen=True, kw_only=True)
class Question(ABC):
    """Abstract: what is asked, of which options, and how sure the answer must be.

    Parameters
    ----------
    probability : float
        That the answer is right, in (0.5, 1).
    tasks : {"these", "new"}, default "these"
        Whether it is asked of these very tasks, all that are in the plan, or of new tasks like them. On these tasks an
        attempt at a task whose success is certain tells nothing; on new ones, more attempts at the same tasks stop
        telling anything once what differs is the tasks.
    """

    probability: float = 0.95
    tasks: Tasks = "these"

    def __post_init__(self) -> None:
        faults = self._faults()
        if not 0.5 < self.probability < 1.0:
            faults.append(f"probability must be in (0.5, 1), got {self.probability}")
        if self.tasks not in ("these", "new"):
            faults.append(f"tasks = {self.tasks!r}; allowed: 'these', 'new'")
        if len(set(self.names)) < len(self.names):
            faults.append(f"options must differ, got {', '.join(self.names)}")
        if faults:
            raise InputError.of_faults(type(self).__name__, faults)

    @abstractmethod
    def _faults(self) -> list[str]:
        """Return one sentence per field that is out of range."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The options, ``"LLM"`` or ``"LLM | strategy"``; empty for the only LLM there is."""

    @abstractmethod
    def answer(self, belief: Belief) -> Answer:
        """Say what would be answered now, and how sure that is."""

    @abstractmethod
    def contrasts(self, belief: Belief) -> list[Contrast]:
        """Return what is still open, as linear combinations of the options' success."""

    @abstractmethod
    def is_right(self, choice: str, estimate: float, truth: Array, cost: Array) -> bool:
        """Whether an answer is right, given the options' true success and cost (O,)."""

    @property
    def can_be_hopeless(self) -> bool:
        """Whether attempts that cannot bring the decision are worth nothing."""
        return True


def _certain(estimate: Array, cost: Array) -> Belief:
    """Return the belief of one who knows the options' success."""
    options = len(estimate)
    return Belief(
        weight=np.ones(1), mean=estimate[None], covariance=np.full((1, options, options), 0.0), cost=np.asarray(cost)
    )


@final
@dataclass(frozen=True, kw_only=True)
class Success(Question):
    """How often an LLM succeeds, to plus or minus ``within``.

    Parameters
    ----------
    option : str, optional
        ``"LLM"`` or ``"LLM | strategy"``; the only LLM if absent.
    within : float
        In (0, 0.5).
    probability : float, default 0.9
        That the estimate is within that of the truth.
    tasks : {"these", "new"}
    """

    option: str = ""
    within: float = 0.02
    probability: float = LEVEL

    def _faults(self) -> list[str]:
        return [] if 0.0 < self.within < 0.5 else [f"within must be in (0, 0.5), got {self.within}"]

    @property
    def names(self) -> tuple[str, ...]:
        """The one option."""
        return (self.option,)

    @property
    def can_be_hopeless(self) -> bool:
        """No: a wider interval is worth having."""
        return False

    def answer(self, belief: Belief) -> Answer:
        """Estimate, with the probability that it is near enough."""
        one = np.ones(1)
        estimate = float(belief.estimate[0])
        near = belief.below(one, estimate + self.within) - belief.below(one, estimate - self.within)
        low, high = belief.interval(one, LEVEL)
        return Answer(
            choice="estimate",
            p_right=near,
            decided=near >= self.probability,
            estimate=estimate,
            lower=low,
            upper=high,
            sentence=f"Success {estimate:.3f} ({LEVEL:.0%} interval {low:.3f} to {high:.3f}); with probability "
            f"{chance(near)} it is within {self.within:g} of that.",
        )

    def contrasts(self, belief: Belief) -> list[Contrast]:
        """Its success."""
        return [Contrast(vector=np.ones(1), value=float(belief.estimate[0]), slack=self.within)]

    def is_right(self, choice: str, estimate: float, truth: Array, cost: Array) -> bool:
        """Whether the estimate is near enough."""
        del choice, cost
        return bool(abs(estimate - truth[0]) <= self.within)


@final
@dataclass(frozen=True, kw_only=True)
class Better(Question):
    """Whether one option succeeds more often than another by at least ``by``.

    Parameters
    ----------
    option, than : str
        ``"LLM"`` or ``"LLM | strategy"``.
    by : float, default 0
        Difference of success, in (-1, 1).
    margin : float, default 0
        Either answer is right where the difference is within that of ``by``, in [0, 0.5): two that are nearly alike are
        not told apart at any price.
    probability : float, default 0.95
        That yes, or no, is right.
    tasks : {"these", "new"}
    """

    option: str
    than: str
    by: float = 0.0
    margin: float = 0.0

    def _faults(self) -> list[str]:
        faults = [] if -1.0 < self.by < 1.0 else [f"by must be in (-1, 1), got {self.by}"]
        return faults if 0.0 <= self.margin < 0.5 else [*faults, f"margin must be in [0, 0.5), got {self.margin}"]

    @property
    def names(self) -> tuple[str, ...]:
        """The two options."""
        return (self.option, self.than)

    def answer(self, belief: Belief) -> Answer:
        """Say yes or no, whichever is likelier."""
        vector = np.array([1.0, -1.0])
        yes = 1.0 - belief.below(vector, self.by)
        low, high = belief.interval(vector, LEVEL)
        first, second = belief.estimate
        right = (
            1.0 - belief.below(vector, self.by - self.margin)
            if yes >= 0.5
            else belief.below(vector, self.by + self.margin)
        )
        said = "at least as often as" if self.by == 0 else f"more often by at least {self.by:g} than"
        return Answer(
            choice="yes" if yes >= 0.5 else "no",
            p_right=right,
            decided=right >= self.probability,
            estimate=float(first - second),
            lower=low,
            upper=high,
            sentence=f"{self.option} succeeds {said} {self.than} with probability {chance(yes)}: {first:.3f} against "
            f"{second:.3f}, difference {first - second:+.3f} ({LEVEL:.0%} interval {low:+.3f} to {high:+.3f}).",
        )

    def contrasts(self, belief: Belief) -> list[Contrast]:
        """Their difference."""
        del belief
        return [Contrast(vector=np.array([1.0, -1.0]), value=self.by, slack=self.margin)]

    def is_right(self, choice: str, estimate: float, truth: Array, cost: Array) -> bool:
        """Whether yes, or no, is true."""
        del estimate, cost
        above = truth[0] - truth[1] - self.by
        return bool(abs(above) <= self.margin or (above >= 0) == (choice == "yes"))


def _option_faults(options: Sequence[str], margin: float, costs: Mapping[str, float] | None) -> list[str]:
    faults = []
    if isinstance(options, str) or len(options) < 2:
        faults.append(f"options: at least two, got {options!r}")
    if not 0.0 <= margin < 0.5:
        faults.append(f"margin must be in [0, 0.5), got {margin}")
    if costs is not None:
        missing = [name for name in options if name not in costs]
        if missing:
            faults.append(f"costs must name every option; missing: {', '.join(missing)}")
        bad = [f"{name}: {value}" for name, value in costs.items() if not 0.0 < value < np.inf]
        if bad:
            faults.append(f"costs must be positive numbers, got {', '.join(bad)}")
    return faults


@final
@dataclass(frozen=True, kw_only=True)
class Best(Question):
    """Which option succeeds most, among those that cost at most ``max_cost``.

    Parameters
    ----------
    options : sequence of str
        ``"LLM"`` or ``"LLM | strategy"``, at least two.
    max_cost : float, optional
        Of one use at one task, in the unit of ``costs``.
    costs : mapping of str to float, optional
        What an option costs per task; its generated tokens if absent, or attempts where tokens are not known.
    margin : float, default 0.02
        An option within that of the best is as good an answer.
    probability : float, default 0.9
        That the answer is right in this sense.
    tasks : {"these", "new"}
    """

    options: Sequence[str]
    max_cost: float | None = None
    costs: Mapping[str, float] | None = field(default=None, hash=False)
    margin: float = 0.02
    probability: float = LEVEL

    def _faults(self) -> list[str]:
        faults = _option_faults(self.options, self.margin, self.costs)
        if self.max_cost is not None and not self.max_cost > 0:
            faults.append(f"max_cost must be positive, got {self.max_cost}")
        return faults

    @property
    def names(self) -> tuple[str, ...]:
        """The options."""
        return tuple(self.options)

    def _affordable(self, cost: Array) -> Array:
        return np.ones(len(cost), dtype=bool) if self.max_cost is None else np.asarray(cost) <= self.max_cost

    def answer(self, belief: Belief) -> Answer:
        """Choose the affordable option of highest expected success."""
        able = self._affordable(belief.cost)
        if not able.any():
            text = ", ".join(f"{name} {cost:,.4g}" for name, cost in zip(self.names, belief.cost, strict=True))
            return Answer(
                choice="none",
                p_right=1.0,
                decided=True,
                estimate=np.nan,
                lower=np.nan,
                upper=np.nan,
                sentence=f"No option costs at most {self.max_cost:,.4g} per task ({text}).",
            )
        chosen = int(np.where(able, belief.estimate, -1.0).argmax())
        weight, drawn = belief.draws()
        best = np.where(able, drawn, -np.inf).max(axis=1)
        right = float(weight @ (drawn[:, chosen] >= best - self.margin)) if able.sum() > 1 else 1.0
        vector = np.eye(len(able))[chosen]
        low, high = belief.interval(vector, LEVEL)
        name = self.names[chosen]
        return Answer(
            choice=name,
            p_right=right,
            decided=right >= self.probability,
            estimate=float(belief.estimate[chosen]),
            lower=low,
            upper=high,
            sentence=f"{name} is within {self.margin:g} of the best with probability {chance(right)}; its success is "
            f"{belief.estimate[chosen]:.3f} ({LEVEL:.0%} interval {low:.3f} to {high:.3f}).",
        )

    def contrasts(self, belief: Belief) -> list[Contrast]:
        """What the likely best has more than each rival."""
        able = self._affordable(belief.cost)
        if able.sum() < 2:
            return []
        chosen = int(np.where(able, belief.estimate, -1.0).argmax())
        result = []
        for rival in np.flatnonzero(able):
            if rival != chosen:
                vector = np.zeros(len(able))
                vector[chosen], vector[rival] = 1.0, -1.0
                wrong = belief.below(vector, -self.margin)
                result.append(Contrast(vector=vector, slack=self.margin, weight=wrong))
        return result

    def is_right(self, choice: str, estimate: float, truth: Array, cost: Array) -> bool:
        """Whether the choice is within the margin of the best."""
        del estimate
        able = self._affordable(cost)
        if choice == "none" or not able.any():
            return bool(choice == "none" and not able.any())
        return bool(truth[self.names.index(choice)] >= truth[able].max() - self.margin)


@final
@dataclass(frozen=True, kw_only=True)
class Cheapest(Question):
    """Which is the cheapest option that succeeds at least so often.

    Parameters
    ----------
    options : sequence of str
        ``"LLM"`` or ``"LLM | strategy"``, at least two.
    success : float
        The target, in (0, 1).
    costs : mapping of str to float, optional
        What an option costs per task; its generated tokens if absent, or attempts where tokens are not known.
    margin : float, default 0.02
        An option within that of the target may be said to reach it, or not to.
    probability : float, default 0.9
        That the answer is right in this sense.
    tasks : {"these", "new"}
    """

    options: Sequence[str]
    success: float
    costs: Mapping[str, float] | None = field(default=None, hash=False)
    margin: float = 0.02
    probability: float = LEVEL

    def _faults(self) -> list[str]:
        faults = _option_faults(self.options, self.margin, self.costs)
        return faults if 0.0 < self.success < 1.0 else [*faults, f"success must be in (0, 1), got {self.success}"]

    @property
    def names(self) -> tuple[str, ...]:
        """The options."""
        return tuple(self.options)

    def _right(self, chosen: int | None, success: Array, cost: Array) -> Array:
        """Whether an option (None: none) is a right answer, at success (..., O)."""
        cheaper = np.ones(len(cost), dtype=bool) if chosen is None else np.asarray(cost) < cost[chosen]
        right = (success[..., cheaper] < self.success + self.margin).all(axis=-1)
        if chosen is not None:
            right &= success[..., chosen] >= self.success - self.margin
        return right

    def answer(self, belief: Belief) -> Answer:
        """Choose what is most probably right: an option, or that none reaches the target."""
        weight, drawn = belief.draws()
        candidates: list[int | None] = [*range(len(self.names)), None]
        right = [float(weight @ self._right(one, drawn, belief.cost)) for one in candidates]
        # Of equally probable answers the cheaper one.
        order = sorted(candidates, key=lambda one: np.inf if one is None else belief.cost[one])
        chosen = max(order, key=lambda one: right[-1 if one is None else one])
        p = right[-1 if chosen is None else chosen]
        shown = int(belief.estimate.argmax()) if chosen is None else chosen
        low, high = belief.interval(np.eye(len(self.names))[shown], LEVEL)
        told = f"{self.names[shown]} has {belief.estimate[shown]:.3f} ({LEVEL:.0%} interval {low:.3f} to {high:.3f})"
        said = "No option reaches" if chosen is None else f"{self.names[chosen]} is the cheapest that reaches"
        return Answer(
            choice="none" if chosen is None else self.names[chosen],
            p_right=p,
            decided=p >= self.probability,
            estimate=float(belief.estimate[shown]),
            lower=low,
            upper=high,
            sentence=f"{said} {self.success:g} (within {self.margin:g}) with probability {chance(p)}; {told}.",
        )

    def contrasts(self, belief: Belief) -> list[Contrast]:
        """The success of each option that may be the answer."""
        result = []
        for option in range(len(self.names)):
            vector = np.eye(len(self.names))[option]
            below = belief.below(vector, self.success)
            cheaper = [
                belief.below(np.eye(len(self.names))[one], self.success) for one in self._cheaper(option, belief)
            ]
            # What is dearer than one that surely reaches the target does not matter.
            matters = float(np.prod(cheaper))
            result.append(
                Contrast(vector=vector, value=self.success, slack=self.margin, weight=matters * min(below, 1.0 - below))
            )
        return result

    @staticmethod
    def _cheaper(option: int, belief: Belief) -> Array:
        return np.flatnonzero(belief.cost < belief.cost[option])

    def is_right(self, choice: str, estimate: float, truth: Array, cost: Array) -> bool:
        """Whether the choice reaches the target, and nothing cheaper does, within the margin."""
        del estimate
        chosen = None if choice == "none" else self.names.index(choice)
        return bool(self._right(chosen, np.asarray(truth), np.asarray(cost)))


def certain_answer(question: Question, success: Array, cost: Array) -> Answer:
    """What the options' success, taken as known, answers: that of observed rates, for instance."""
    return question.answer(_certain(np.asarray(success, dtype=float), np.asarray(cost, dtype=float)))
