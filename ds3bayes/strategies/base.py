"""What every inference strategy offers, and the registry that finds a strategy by its name."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.strategies.grammar import format_call, parse_call
from ds3bayes.strategies.lengths import Lengths, law_of_walks
from ds3bayes.strategies.references import Reference, arxiv
from ds3bayes.strategies.task import PathTask
from ds3bayes.strategies.told_by import ToldBy
from ds3bayes.strategies.walks import Bools, Floats, Ints, WrongAnswers
from ds3bayes.theory.evaluate import evaluate

#: Names of samplers: a strategy of one attempt, such as ``"cot"``, or ``"tot"`` for outputs of tree searches.
Walk = str

#: Columns of a table of evaluations that hold a strategy's fields under another name.
COLUMN_OF = {"n": "n_samples", "width": "kept_states"}

#: Columns of a table of evaluations that say which strategy a row is of.
ROW_COLUMNS = (
    "strategy",
    "n_samples",
    "branching",
    "kept_states",
    "outputs",
    "budget_tokens",
    "max_tokens",
    "effort",
    "verifier",
)

STRATEGIES: dict[str, type[Strategy]] = {}

# Printed after a strategy's other fields, in this order.
_COMMON = (
    "evaluator",
    "candidate_overlap",
    "answer_fidelity",
    "evaluation_tokens",
    "sampler",
    "effort",
    "budget_tokens",
    "max_tokens",
)


def _answer_of(q: Any, *, strategy: Strategy) -> Any:
    return strategy.answer(q)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a fit learned of a strategy beside the success and the lengths of its attempts.

    Parameters
    ----------
    concentration : array or tensor, optional
        How widely wrong answers scatter, > 0; as draws of shape (draws, 1), as a tensor of shape (k,).
    discrimination : array or tensor, optional
        Gap between the scores that the strategy's learned verifier gives to right and wrong attempts, in score sds.
    agreement : array or tensor, optional
        Share in [0, 1] of the variance of these scores that a task's wrong (or right) attempts have in common.
    no_answer : array or tensor, optional
        Probability in [0, 1] that an attempt that is not right gives no answer, and so no vote.
    """

    concentration: Any = None
    discrimination: Any = None
    agreement: Any = None
    no_answer: Any = None


#: Whom to cite for verifiers that err.
NOISY_VERIFIER = arxiv(
    "cobbe2021training",
    "Cobbe, Karl and Kosaraju, Vineet and Bavarian, Mohammad and Chen, Mark and others",
    "Training Verifiers to Solve Math Word Problems",
    2021,
    "2110.14168",
    "best-of-n with a verifier that errs",
)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What the FLOPs of a transformer's inference depend on.

    Parameters
    ----------
    params : float
        Parameters N that are active per token, > 0.
    n_layer, d_attn : int, optional
        Layers and width of attention, >= 1; both or neither. Without them attention is left out.
    prompt_tokens : float, default 0
        Prompt tokens of the task, >= 0.
    """

    params: float
    n_layer: int | None = None
    d_attn: int | None = None
    prompt_tokens: float = 0.0

    def __post_init__(self) -> None:
        found = []
        if not 0 < self.params < math.inf:
            found.append(f"params must be a positive number, got {self.params!r}")
        if (self.n_layer is None) != (self.d_attn is None):
            found.append("give both n_layer and d_attn, or neither")
        for field in ("n_layer", "d_attn"):
            if getattr(self, field) is not None:
                found += check_whole(field, getattr(self, field), 1)
        if not 0 <= self.prompt_tokens < math.inf:
            found.append(f"prompt_tokens must be a number of at least 0, got {self.prompt_tokens!r}")
        if found:
            raise InputError.of_faults("Architecture", found)


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Simulated decisions of a strategy; all arrays have the shape of the decisions, (...).

    Parameters
    ----------
    success : numpy.ndarray of bool
        Whether the final answer is right.
    attempts : numpy.ndarray of int64
        Attempts made, or candidates proposed by a tree search.
    tokens : numpy.ndarray of float64
        Generated tokens of all of them.
    parallel_tokens : numpy.ndarray of float64
        Tokens generated one after another when all that can run side by side does.
    outcome : numpy.ndarray of int8, shape (..., n), optional
        How each attempt ended (see `ds3bayes.strategies.walks`); absent for tree search.
    answers : numpy.ndarray of int64, shape (..., n), optional
        Which wrong answer each wrong attempt gave, -1 elsewhere.
    """

    success: Bools
    attempts: Ints
    tokens: Floats
    parallel_tokens: Floats
    outcome: np.ndarray | None = None
    answers: Ints | None = None


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A way to turn one task into one answer: a sampler of attempts, a selector, and a budget.

    Subclasses are frozen, keyword-only and hashable dataclasses that state their name and check their own
    fields in `faults`. Each gives the probability of a right final answer (`answer`, from the success of one
    attempt; `success`, from the path of skills), the generated tokens (`expected_tokens`,
    `tokens_distribution`), the tokens on the longest chain (`expected_latency`) and a simulation that walks
    step by step (`simulate`).

    Parameters
    ----------
    effort : str, optional
        Reasoning effort asked of the LLM, in its provider's words (``"high"``). None: not set.
    budget_tokens : int, optional
        Tokens that the LLM is asked to think for, at least 1; it paces itself by them. None: not asked.
    max_tokens : int, optional
        Generated tokens at which one attempt, or one tree search, is cut off, at least 1. None: no cut.

    Raises
    ------
    InputError
        If a field is outside its range; every fault is listed.
    """

    name: ClassVar[str]
    always_printed: ClassVar[tuple[str, ...]] = ()
    #: What it is called elsewhere, such as ``pass`` in ``pass@5``: words that its text form may begin with.
    other_names: ClassVar[tuple[str, ...]] = ()
    #: Columns of a table of evaluations that say how the strategy is set: a row must give at least one of them.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Rows of a table that a fit can learn from: those of single ``"tasks"``, and ``"aggregates"`` over tasks.
    fitted_from: ClassVar[frozenset[str]] = frozenset({"tasks", "aggregates"})
    #: Whether an attempt is an output of a search over steps rather than a walk of its own.
    is_search: ClassVar[bool] = False
    #: The publication that the strategy comes from.
    source: ClassVar[Reference | None] = None

    effort: str | None = None
    budget_tokens: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        found = []
        if self.effort is not None and (not isinstance(self.effort, str) or not self.effort):
            found.append(f"effort must be a text of at least one character, got {self.effort!r}")
        for name in ("budget_tokens", "max_tokens"):
            if getattr(self, name) is not None:
                found += check_whole(name, getattr(self, name), 1)
        found += self.faults()
        if found:
            raise InputError.of_faults(self.name, found)

    @abstractmethod
    def faults(self) -> list[str]:
        """Return one sentence per field of this class that is outside its range."""

    @property
    def limit_tokens(self) -> int | None:
        """Tokens at which a bare path ends: nothing says there how an LLM paces itself, so a budget cuts it too."""
        given = [one for one in (self.budget_tokens, self.max_tokens) if one is not None]
        return min(given, default=None)

    @property
    @abstractmethod
    def walk(self) -> Walk:
        """Which observed sampler the attempts come from."""

    @property
    @abstractmethod
    def attempts(self) -> int:
        """Number of attempts, or of outputs of one tree search, that the answer is chosen from."""

    @property
    def assumes_perfect_check(self) -> bool:
        """Whether something picks that never errs: where no such check exists, success is an upper bound."""
        return has_perfect_verifier(self)

    @abstractmethod
    def token_units(self, path_length: Any = None) -> Any:
        """Return how many units of tokens are spent on one task, at most where that is random.

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
    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability that the final answer to a task is right.

        Parameters
        ----------
        q : tensor-like
            Probability that one attempt (one output of a tree search) at the task is right.
        concentration : array-like, optional
            Concentration alpha > 0 of the wrong answers, as an array that broadcasts against ``q``; used by
            votes that do not state the shares of wrong answers, ignored by all others.
        wrong : tensor-like, optional
            Probability that one attempt is wrong, at most 1 - q; what remains gives no answer. 1 - q if absent.

        Returns
        -------
        PyTensor variable
            In the broadcast shape.
        """

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Return the strategy that a row of a table of evaluations is one attempt, or one decision, of.

        Fields are taken from the columns of their names (``n`` from ``n_samples``); blank ones are left out. A verifier
        that is neither ``oracle`` nor ``noisy(d=...)`` is one to be learned, by its name.

        Parameters
        ----------
        row : mapping
            By column.

        Raises
        ------
        InputError
            If the row does not give what the strategy needs.
        """
        given: dict[str, Any] = {}
        for field in fields(cls):
            column = COLUMN_OF.get(field.name, field.name)
            if column not in ROW_COLUMNS or column not in row:
                continue
            value = row[column]
            if column == "verifier":
                known = str(value).split("(")[0] in ("oracle", "noisy")
                given["verifier"] = as_verifier(value) if known else LearnedVerifier(value)
            elif isinstance(value, str):
                given |= {field.name: value} if value else {}
            elif not np.isnan(value):
                given[field.name] = int(value)
        return cls(**given)

    def to_row(self) -> dict[str, Any]:
        """Return the columns of a table of evaluations that say which strategy a row is of, as `from_row` reads them.

        Returns
        -------
        dict
            ``strategy, n_samples, branching, kept_states, outputs, budget_tokens, max_tokens, effort, verifier``; NaN
            or empty where the strategy has no such field or leaves it open.
        """
        row: dict[str, Any] = dict.fromkeys(ROW_COLUMNS, np.nan) | {"effort": "", "verifier": ""}
        for field in fields(self):
            column, value = COLUMN_OF.get(field.name, field.name), getattr(self, field.name)
            if column in row and value is not None:
                row[column] = (
                    (value.name if isinstance(value, LearnedVerifier) else str(value))
                    if (column == "verifier")
                    else value
                )
        return row | {"strategy": self.name}

    @property
    def one_attempt(self) -> Strategy:
        """The strategy of one of its attempts, at the same effort, budget and cut."""
        return STRATEGIES[self.walk](effort=self.effort, budget_tokens=self.budget_tokens, max_tokens=self.max_tokens)

    @property
    def told_by(self) -> tuple[ToldBy, ...]:
        """Rows of a table that tell its success, those of its own decisions first."""
        return (ToldBy(rows=str(self)),)

    @property
    def depends_on(self) -> frozenset[str]:
        """What decides its success beside that of attempts: fields of `Learned`, or ``"lengths"``.

        A strategy that depends on the lengths of attempts is predicted from a fit by its laws of paths (`success` and
        `expected_tokens`), unless it overrides `answer_given` and `tokens_given`.
        """
        return frozenset()

    @property
    def learned_verifier(self) -> str:
        """Name of the verifier whose discrimination only a fit knows; empty if there is none."""
        verifier = getattr(self, "verifier", None)
        return verifier.name if isinstance(verifier, LearnedVerifier) else ""

    @property
    def verifier_errs(self) -> bool:
        """Whether it trusts a verifier that is no oracle."""
        verifier = getattr(self, "verifier", None)
        return verifier is not None and verifier != ORACLE

    def answer_learned(self, q: Any, learned: Learned, *, q_of_cases: bool = False) -> Any:
        """Probability that the final answer is right as a function of parameters that are being learned.

        Parameters
        ----------
        q : tensor
            Success of one attempt.
        learned : Learned
            Tensors of shape (k,), one for each of k cases.
        q_of_cases : bool, default False
            Whether each case has a ``q`` of its own, along its first axis.

        Returns
        -------
        tensor
            In the shape of ``q``; with learned parameters of k cases, (k, ...).
        """
        del learned, q_of_cases
        return self.answer(q)

    def answer_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> np.ndarray:
        """Probability that the final answer is right, at posterior draws: what `ds3bayes.predict` shows.

        Parameters
        ----------
        q : array, shape (draws, tasks)
            Success of one attempt within the strategy's budget, of one output for a search; without a budget if the
            strategy depends on the lengths of attempts.
        lengths : Lengths
            How long attempts are that no budget cuts.
        learned : Learned
            Arrays of shape (draws, 1).

        Returns
        -------
        array, shape (draws, tasks)
        """
        if "lengths" in self.depends_on:
            return law_of_walks(self.success, lengths.walks(q, self))
        return self.answer_array(q, learned.concentration)

    def tokens_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> np.ndarray:
        """Expected generated tokens of everything done for one task, at posterior draws.

        Arguments as for `answer_given`. `Lengths.spent` are the tokens of one attempt, or of one candidate of a search,
        within the strategy's budget.
        """
        if "lengths" in self.depends_on:
            return law_of_walks(self.expected_tokens, lengths.walks(q, self))
        return lengths.spent * self.units_given(q, lengths, learned)

    def units_given(self, q: np.ndarray, lengths: Lengths, learned: Learned) -> Any:
        """Expected number of token units (attempts; for a search candidates), at posterior draws.

        Each unit reads the prompt once. A number, or an array of shape (draws, tasks); arguments as for `answer_given`.
        """
        del q, learned
        return float(self.token_units(lengths.common_path_length))

    @property
    def random_units(self) -> bool:
        """Whether how many units of tokens are spent on a task is random."""
        return "lengths" in self.depends_on

    def answer_array(self, q: Any, concentration: Any = None, no_answer: Any = None) -> np.ndarray:
        """Evaluate `answer` on arrays.

        Parameters
        ----------
        q : array-like
            Probabilities, for instance of shape (draws, tasks).
        concentration : array-like, optional
            As for `answer`, for instance of shape (draws, 1).
        no_answer : array-like, optional
            As in `Learned`, of that shape; strategies that count no votes do not depend on it.

        Returns
        -------
        numpy.ndarray
            In the broadcast shape.
        """
        del concentration, no_answer
        return evaluate(_answer_of, q, core=(0,), strategy=self)

    @abstractmethod
    def success(self, task: PathTask) -> Any:
        """Probability that the final answer is right, from the task's path of skills.

        Parameters
        ----------
        task : PathTask

        Returns
        -------
        PyTensor variable
            In the broadcast shape of the task's fields.

        Raises
        ------
        InputError
            If the task lacks what the strategy needs, such as how wrong answers agree.
        """

    @abstractmethod
    def expected_tokens(self, task: PathTask) -> Any:
        """Expected generated tokens of everything done for one task, as a tensor; inf if a walk may never end."""

    @abstractmethod
    def expected_latency(self, task: PathTask, horizon: int | None = None) -> Any:
        """Expected tokens generated one after another when all that can run side by side does, as a tensor.

        Run one after another instead, latency is `expected_tokens`.

        Parameters
        ----------
        task : PathTask
        horizon : int, optional
            Steps after which attempts without a budget are taken to have ended; needed for tasks of tensors.
        """

    @abstractmethod
    def tokens_distribution(self, task: PathTask) -> xr.DataArray:
        """Distribution of the generated tokens of everything done for one task.

        Parameters
        ----------
        task : PathTask
            With plain numbers as fields.

        Returns
        -------
        xarray.DataArray
            Probabilities with dim ``tokens`` and its coordinate in tokens. Without a budget it ends where less
            than 1e-13 of the probability is left.

        Raises
        ------
        InputError
            If a field of the task is an array, or if walks may never end.
        """

    @abstractmethod
    def simulate(
        self,
        task: PathTask,
        rng: np.random.Generator,
        *,
        size: int | tuple[int, ...] = (),
        wrong_answers: WrongAnswers | None = None,
    ) -> Decisions:
        """Make decisions by walking every attempt step by step; no closed form is used.

        Parameters
        ----------
        task : PathTask
            With numbers or arrays as fields; they broadcast against ``size``. Each decision meets a task of
            its own: what it can reach is drawn for it.
        rng : numpy.random.Generator
        size : int or tuple of int, default ()
            Shape of the decisions.
        wrong_answers : callable, optional
            How wrong answers agree: called with the number of the decision of each wrong attempt. By default
            what the strategy or the task states.

        Returns
        -------
        Decisions

        Raises
        ------
        InputError
            If a walk could never end.
        """

    @abstractmethod
    def with_equal_tokens(self, tokens: int) -> Self:
        """Return the strategy whose budget makes it generate at most ``tokens`` in all.

        Raises
        ------
        InputError
            If that leaves less than one token for an attempt.
        """

    def expected_flops(self, task: PathTask, architecture: Architecture) -> Any:
        """Expected FLOP of one task.

        Parameters
        ----------
        task : PathTask
        architecture : Architecture
            Without layers and width attention is left out: 2 N FLOP per generated token.

        Returns
        -------
        tensor

        Raises
        ------
        InputError
            If attention is asked for and has no closed form for this strategy.
        """
        if architecture.n_layer is not None:
            raise InputError(f"{self}: no closed form of FLOP with attention; leave n_layer and d_attn out")
        return 2.0 * architecture.params * self.expected_tokens(task)

    @abstractmethod
    def with_equal_flops(self, tokens: int, architecture: Architecture, tokens_per_step: float = 25.0) -> Self:
        """Return the strategy whose budget spends the FLOPs of one chain of thought of ``tokens`` tokens.

        The prompt is read once by either. Where parameters dominate, all attempts together get as many tokens
        as the chain; where attention dominates, they get more, since each is shorter.

        Parameters
        ----------
        tokens : int
            Generated tokens of the chain of thought, at least 1.
        architecture : Architecture
        tokens_per_step : float, default 25
            Generated tokens of one step; used by tree search.
        """

    def __str__(self) -> str:
        order = [f for f in fields(self) if f.name not in _COMMON]
        order += [f for name in _COMMON for f in fields(self) if f.name == name]
        shown = {
            f.name: getattr(self, f.name)
            for f in order
            if f.name in self.always_printed or getattr(self, f.name) != f.default
        }
        return format_call(self.name, shown)


def with_budget[T: Strategy](strategy: T, tokens: float, what: str) -> T:
    """Return the strategy with a budget of whole tokens, or say that ``what`` leaves none."""
    if tokens < 1.0:
        raise InputError(f"{strategy}: {what} leaves {tokens:.3g} tokens for one attempt; at least 1 is needed")
    return replace(strategy, budget_tokens=math.floor(tokens))


def plain(value: Any) -> Any:
    """Return NumPy scalars as Python numbers and lists as tuples, so that strategies hash and print alike."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    return value


def check_whole(field: str, value: Any, low: int, high: int = 10**12) -> list[str]:
    """Return the fault of a field that must be a whole number from ``low`` to ``high``, if there is one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        return [f"{field} must be a whole number of at least {low}, got {value!r}"]
    if value > high:
        return [f"{field} must be at most {high:,}, got {value if value < 10**30 else 'a larger number'}"]
    return []


def check_share(field: str, value: Any) -> list[str]:
    """Return the fault of a field that must be a number in [0, 1], if there is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        return [f"{field} must be a number in [0, 1], got {value!r}"]
    return []


def read_share(strategy: Strategy, field: str) -> list[str]:
    """Turn a field that is a number in [0, 1], or None, into a float; return its fault, if there is one."""
    value = getattr(strategy, field)
    found = [] if value is None else check_share(field, value)
    if value is not None and not found:
        object.__setattr__(strategy, field, float(value))
    return found


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


@dataclass(frozen=True)
class LearnedVerifier:
    """A scorer whose discrimination a fit learns from the rows that name it, text form ``learned(name=prm)``.

    Parameters
    ----------
    name : str
        As in the column ``verifier`` of the table of evaluations.

    Raises
    ------
    InputError
        If the name is empty, or if its discrimination is asked for where no fit has learned it.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"the name of a learned verifier must be a text, got {self.name!r}")

    @property
    def discrimination(self) -> float:
        """Refuse: only a fit knows it."""
        raise InputError(
            f"the discrimination of verifier {self.name!r} is known to fits of rows that name it; elsewhere give "
            "noisy(d=NUMBER)"
        )

    def __str__(self) -> str:
        return format_call("learned", {"name": self.name})


#: A verifier that never errs.
ORACLE = Verifier(math.inf)


def as_verifier(value: Any) -> Verifier | LearnedVerifier:
    """Return the verifier that ``oracle``, ``noisy(d=1.5)`` or ``learned(name=prm)`` means, or one as it is.

    Raises
    ------
    InputError
        If the value is none of these.
    """
    if isinstance(value, Verifier | LearnedVerifier):
        return value
    hint = ""
    if isinstance(value, str):
        name, given = parse_call(value)
        if name == "oracle" and not given:
            return ORACLE
        if name == "noisy" and set(given) == {"d"}:
            return Verifier(given["d"])
        if name == "learned" and set(given) == {"name"}:
            return LearnedVerifier(given["name"])
        hint = did_you_mean(name, ("oracle", "noisy", "learned"))
    raise InputError(f"must be oracle, noisy(d=NUMBER), learned(name=NAME) or a Verifier, got {value!r}.{hint}")


def has_perfect_verifier(strategy: Strategy) -> bool:
    """Whether a field of a strategy is an oracle."""
    found = (getattr(strategy, field.name) for field in fields(strategy))
    return any(isinstance(one, Verifier) and math.isinf(one.discrimination) for one in found)


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
