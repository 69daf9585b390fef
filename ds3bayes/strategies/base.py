"""What every inference strategy offers, and the registry that finds a strategy by its name."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.strategies.grammar import format_call, parse_call
from ds3bayes.theory.evaluate import evaluate

Walk = Literal["cot", "direct", "tot"]

STRATEGIES: dict[str, type[Strategy]] = {}

# Printed after a strategy's own fields.
_COMMON = ("sampler", "effort", "budget_tokens")


def _answer_of(q: Any, *, strategy: Strategy) -> Any:
    return strategy.answer(q)


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A way to turn one task into one answer: a sampler of attempts, a selector, and a budget.

    Subclasses are final, frozen, keyword-only and hashable dataclasses that state their name, check their
    own fields in `faults`, and give the probability of a right final answer in `answer`.

    Parameters
    ----------
    effort : str, optional
        Reasoning effort asked of the LLM, in its provider's words (``"high"``). None: not set.
    budget_tokens : int, optional
        Largest number of generated tokens of one attempt, at least 1. None: no limit is set.

    Raises
    ------
    InputError
        If a field is outside its range; every fault is listed.
    """

    name: ClassVar[str]
    always_printed: ClassVar[tuple[str, ...]] = ()

    effort: str | None = None
    budget_tokens: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        found = []
        if self.effort is not None and (not isinstance(self.effort, str) or not self.effort):
            found.append(f"effort must be a text of at least one character, got {self.effort!r}")
        if self.budget_tokens is not None:
            found += check_whole("budget_tokens", self.budget_tokens, 1)
        found += self.faults()
        if found:
            raise InputError.of_faults(self.name, found)

    @abstractmethod
    def faults(self) -> list[str]:
        """Return one sentence per field of this class that is outside its range."""

    @property
    @abstractmethod
    def walk(self) -> Walk:
        """Which observed sampler the attempts come from."""

    @property
    @abstractmethod
    def attempts(self) -> int:
        """Number of attempts, or of outputs of one tree search, that the answer is chosen from."""

    @abstractmethod
    def token_units(self, path_length: Any = None) -> Any:
        """Return how many units of tokens are spent on one task.

        The unit is one attempt, or for tree search one proposed candidate.

        Parameters
        ----------
        path_length : array-like, optional
            Number of steps of the task, at least 1; used by tree search only.

        Returns
        -------
        float or numpy.ndarray
        """

    @abstractmethod
    def answer(self, q: Any, concentration: Any = None) -> Any:
        """Probability that the final answer to a task is right.

        Parameters
        ----------
        q : tensor-like
            Probability that one attempt (one output of a tree search) at the task is right.
        concentration : array-like, optional
            Concentration alpha > 0 of the wrong answers, as an array that broadcasts against ``q``; used by
            votes that do not state the shares of wrong answers, ignored by all others.

        Returns
        -------
        PyTensor variable
            In the broadcast shape.
        """

    def answer_array(self, q: Any, concentration: Any = None) -> np.ndarray:
        """Evaluate `answer` on arrays.

        Parameters
        ----------
        q : array-like
            Probabilities, for instance of shape (draws, tasks).
        concentration : array-like, optional
            As for `answer`, for instance of shape (draws, 1).

        Returns
        -------
        numpy.ndarray
            In the broadcast shape.
        """
        return evaluate(_answer_of, q, core=(0,), strategy=self)

    def __str__(self) -> str:
        order = [f for f in fields(self) if f.name not in _COMMON]
        order += [f for name in _COMMON for f in fields(self) if f.name == name]
        shown = {
            f.name: getattr(self, f.name)
            for f in order
            if f.name in self.always_printed or getattr(self, f.name) != f.default
        }
        return format_call(self.name, shown)


@dataclass(frozen=True, kw_only=True)
class AttemptStrategy(Strategy):
    """A strategy that draws n whole attempts at a task and selects among them.

    Parameters
    ----------
    n : int
        Number of attempts, at least 1.
    sampler : {"cot", "direct"}, default "cot"
        What one attempt is: a chain of thought or a direct answer.
    effort, budget_tokens
        As for `Strategy`.
    """

    n: int
    sampler: Literal["cot", "direct"] = "cot"

    def faults(self) -> list[str]:
        """Check ``n`` and ``sampler``, then what the subclass adds."""
        found = check_whole("n", self.n, 1)
        if self.sampler not in ("cot", "direct"):
            hint = did_you_mean(str(self.sampler), ("cot", "direct"))
            found.append(f"sampler must be 'cot' or 'direct', got {self.sampler!r}.{hint}")
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

    def token_units(self, path_length: Any = None) -> Any:
        """Return n: every attempt is one unit, whatever the path length."""
        return float(self.n)


def plain(value: Any) -> Any:
    """Return NumPy scalars as Python numbers and lists as tuples, so that strategies hash and print alike."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    return value


def check_whole(field: str, value: Any, low: int) -> list[str]:
    """Return the fault of a field that must be a whole number of at least ``low``, if there is one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        return [f"{field} must be a whole number of at least {low}, got {value!r}"]
    return []


def check_share(field: str, value: Any) -> list[str]:
    """Return the fault of a field that must be a number in [0, 1], if there is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        return [f"{field} must be a number in [0, 1], got {value!r}"]
    return []


@dataclass(frozen=True)
class Verifier:
    """A scorer of attempts or of steps: scores are N(d, 1) for right and N(0, 1) for wrong ones.

    Parameters
    ----------
    discrimination : float
        d >= 0, in standard deviations. 0 knows nothing, ``inf`` is an oracle.

    Raises
    ------
    InputError
        If d is not a number of at least 0.
    """

    discrimination: float

    def __post_init__(self) -> None:
        d = plain(self.discrimination)
        if isinstance(d, bool) or not isinstance(d, int | float) or not d >= 0:
            raise InputError(f"d of a verifier must be a number of at least 0, got {d!r}")
        object.__setattr__(self, "discrimination", float(d))

    def __str__(self) -> str:
        if math.isinf(self.discrimination):
            return "oracle"
        return format_call("noisy", {"d": self.discrimination})


def as_verifier(value: Any) -> Verifier:
    """Return the `Verifier` that ``"oracle"`` or ``"noisy(d=1.5)"`` means; a `Verifier` is returned as it is.

    Raises
    ------
    InputError
        If the value is none of these.
    """
    if isinstance(value, Verifier):
        return value
    hint = ""
    if isinstance(value, str):
        name, given = parse_call(value)
        if name == "oracle" and not given:
            return Verifier(math.inf)
        if name == "noisy" and set(given) == {"d"}:
            return Verifier(given["d"])
        hint = did_you_mean(name, ("oracle", "noisy"))
    raise InputError(f"must be oracle, noisy(d=NUMBER) or a Verifier, got {value!r}.{hint}")


def read_verifier(strategy: Strategy, field: str) -> list[str]:
    """Turn a field of a strategy under construction into a `Verifier`, or return its fault."""
    try:
        object.__setattr__(strategy, field, as_verifier(getattr(strategy, field)))
    except InputError as error:
        return [f"{field}: {error}"]
    return []


def register[T: type[Strategy]](cls: T) -> T:
    """Enter a strategy class into `STRATEGIES`, so that its text form is understood; use it as a decorator.

    Parameters
    ----------
    cls : type
        A final subclass of `Strategy` with a ``name``.

    Returns
    -------
    type
        ``cls``, unchanged.

    Raises
    ------
    InputError
        If it is no concrete strategy, has no valid name, or the name belongs to another class.
    """
    if not (isinstance(cls, type) and issubclass(cls, Strategy)) or inspect.isabstract(cls):
        raise InputError(f"register takes a concrete subclass of Strategy, got {cls!r}")
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise InputError(f"a strategy's name must be a word of letters, digits and '_', got {name!r}")
    if STRATEGIES.get(name, cls) is not cls:
        raise InputError(f"the strategy name {name!r} is taken by {STRATEGIES[name].__qualname__}")
    STRATEGIES[name] = cls
    return cls
