"""What a table of evaluations may hold: one declaration that validation, messages and documentation share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Literal

import pandas as pd

from ds3bayes.errors import InputError
from ds3bayes.strategies import STRATEGIES
from ds3bayes.strategies.base import ROW_COLUMNS

Kind = Literal["text", "parts", "shares", "counts", "count", "number"]
Merge = Literal["key", "sum", "mean", "max", "same", "moment", "join", "votes", "never", "drop"]

#: The benchmark of a file that names none.
UNNAMED = "unnamed"
#: The largest count that a float64 holds exactly.
LARGEST_COUNT = 2.0**53


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of an evaluation table.

    Parameters
    ----------
    name : str
        Its header.
    kind : {"text", "parts", "shares", "counts", "count", "number"}
        ``parts`` is text cut by ``|`` into non-empty parts, ``shares`` positive integers and ``counts`` integers from 0
        up cut by ``|``.
    unit : str
        Unit of its numbers, empty for text.
    meaning : str
        One line for people.
    low, high : float
        Closed range of its numbers.
    required : bool
        Whether every row must hold a value.
    merge : str
        What becomes of it when per-attempt rows of one cell are collapsed. ``key`` columns name the cell; one to
        ``drop`` serves checks alone, and is not in the read dataset.
    about : {"row", "task", "model"}
        What it describes. A column about a task or a model must not contradict itself between rows.
    read_as : str
        The column of the read dataset that takes its values, where that is another one.
    """

    name: str
    kind: Kind
    unit: str = ""
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    required: bool = False
    merge: Merge = "same"
    about: Literal["row", "task", "model"] = "row"
    read_as: str = ""

    @property
    def is_text(self) -> bool:
        """Whether its values are text in the read dataset."""
        return self.kind in ("text", "parts", "shares", "counts")

    @property
    def allowed(self) -> str:
        """What a cell may hold, in words."""
        if self.kind == "text":
            return "text" if not self.required else "text that is not blank"
        if self.kind == "parts":
            return "names cut by '|', such as 'algebra|counting'"
        if self.kind == "shares":
            return "positive integers cut by '|', such as '3|1|1'"
        if self.kind == "counts":
            return "integers >= 0 cut by '|', such as '3|0|5'"
        noun = "an integer" if self.kind == "count" else "a finite number"
        if self.low > -math.inf and self.high <= 1:
            return f"{noun} in [{self.low:g}, {self.high:g}]"
        return noun if self.low == -math.inf else f"{noun} >= {self.low:g}"


#: An upper end that no real evaluation reaches; it keeps sums over many rows finite.
LARGEST = 1e18

#: Every column, in the order of documentation; `add_columns` adds those of observations from elsewhere.
COLUMNS: list[Column] = [
    Column(name="model", kind="text", required=True, merge="key", meaning="name of the LLM"),
    Column(name="benchmark", kind="text", required=True, merge="key", meaning="name of the set of tasks"),
    Column(
        name="task",
        kind="text",
        merge="key",
        meaning="name of the task in its benchmark; blank = aggregated over `tasks` tasks, one attempt each",
    ),
    Column(
        name="strategy",
        kind="text",
        required=True,
        merge="key",
        meaning="inference strategy, one of `strategy_names()`",
    ),
    Column(
        name="n_samples",
        kind="count",
        unit="samples",
        low=1,
        high=LARGEST_COUNT,
        merge="key",
        meaning="samples that one attempt (one decision) selects from",
    ),
    Column(
        name="votes",
        kind="count",
        unit="samples",
        low=1,
        high=LARGEST_COUNT,
        merge="key",
        read_as="n_samples",
        meaning="another name of n_samples",
    ),
    Column(
        name="branching",
        kind="count",
        unit="candidates",
        low=1,
        high=LARGEST_COUNT,
        merge="key",
        meaning="candidates proposed at each step of a tree search",
    ),
    Column(
        name="kept_states",
        kind="count",
        unit="states",
        low=1,
        high=LARGEST_COUNT,
        merge="key",
        meaning="partial solutions kept at each step of a tree search",
    ),
    Column(
        name="outputs",
        kind="count",
        unit="attempts",
        low=1,
        high=LARGEST_COUNT,
        merge="key",
        meaning="answers that one tree search wrote out, each an attempt; blank = all attempts of the row are of one "
        "search, up to its kept_states",
    ),
    Column(
        name="budget_tokens",
        kind="count",
        unit="tokens",
        low=1,
        high=LARGEST_COUNT,
        merge="key",
        meaning="tokens that the LLM was asked to think for, and paces itself by; blank = not asked",
    ),
    Column(
        name="max_tokens",
        kind="count",
        unit="tokens",
        low=1,
        high=LARGEST_COUNT,
        merge="key",
        meaning="generated tokens at which each sample (a whole tree search) is cut off; blank = no cut",
    ),
    Column(name="effort", kind="text", merge="key", meaning="reasoning effort asked of the LLM"),
    Column(name="verifier", kind="text", merge="key", meaning="what scores or checks the samples"),
    Column(name="run", kind="text", merge="key", meaning="name of the run, where one evaluation was run several times"),
    Column(
        name="attempt",
        kind="text",
        merge="drop",
        meaning="name of the one attempt of the row, such as its epoch or uuid; no two of a cell may have the same",
    ),
    Column(
        name="attempts",
        kind="count",
        unit="attempts",
        low=1,
        high=LARGEST_COUNT,
        required=True,
        merge="sum",
        meaning="attempts of the row; one attempt is one final answer of the strategy",
    ),
    Column(
        name="successes",
        kind="count",
        unit="attempts",
        low=0,
        high=LARGEST_COUNT,
        required=True,
        merge="sum",
        meaning="attempts whose final answer was right",
    ),
    Column(
        name="tasks",
        kind="count",
        unit="tasks",
        low=1,
        high=LARGEST_COUNT,
        merge="sum",
        meaning="tasks of an aggregated row, equal to its attempts",
    ),
    Column(
        name="no_answer",
        kind="count",
        unit="attempts",
        low=0,
        high=LARGEST_COUNT,
        merge="sum",
        meaning="attempts that ended without an answer: they fail, and do not vote",
    ),
    Column(
        name="truncated",
        kind="count",
        unit="attempts",
        low=0,
        high=LARGEST_COUNT,
        merge="sum",
        meaning="attempts cut off at max_tokens",
    ),
    Column(
        name="steps_before_error",
        kind="counts",
        unit="steps",
        merge="join",
        meaning="right steps before the first wrong one, of each wrong attempt that was checked, such as '3|0|5'",
    ),
    Column(
        name="answer",
        kind="text",
        merge="votes",
        meaning="answer of a single attempt (attempts = 1), blank for none: read as wrong_answer_counts and no_answer",
    ),
    Column(
        name="wrong_answer_counts",
        kind="shares",
        unit="attempts",
        merge="never",
        meaning="how often each distinct wrong answer was given, such as '3|1|1'",
    ),
    Column(
        name="grades",
        kind="counts",
        unit="grades",
        merge="join",
        meaning="score of each attempt that was graded, such as '10|7|0'; full credit, grade_max, is a success",
    ),
    Column(
        name="grade_max",
        kind="count",
        unit="grades",
        low=1,
        high=20,
        merge="same",
        meaning="score of full credit; the same in all graded rows of a benchmark",
    ),
    Column(
        name="tokens_mean",
        kind="number",
        unit="tokens",
        low=0,
        high=LARGEST,
        merge="mean",
        meaning="mean generated tokens of one attempt, hidden reasoning included",
    ),
    Column(
        name="completion_tokens",
        kind="number",
        unit="tokens",
        low=0,
        high=LARGEST,
        merge="mean",
        read_as="tokens_mean",
        meaning="generated tokens of the row, over all its attempts",
    ),
    Column(
        name="tokens_max",
        kind="number",
        unit="tokens",
        low=0,
        high=LARGEST,
        merge="max",
        meaning="generated tokens of the longest attempt",
    ),
    Column(
        name="log_tokens_mean_correct",
        kind="number",
        unit="log tokens",
        low=0,
        high=50,
        merge="moment",
        meaning="mean of the natural log of generated tokens over attempts that succeeded",
    ),
    Column(
        name="log_tokens_sd_correct",
        kind="number",
        unit="log tokens",
        low=0,
        high=50,
        merge="moment",
        meaning="standard deviation (divisor n) of the same",
    ),
    Column(
        name="log_tokens_mean_wrong",
        kind="number",
        unit="log tokens",
        low=0,
        high=50,
        merge="moment",
        meaning="mean of the natural log of generated tokens over attempts that failed",
    ),
    Column(
        name="log_tokens_sd_wrong",
        kind="number",
        unit="log tokens",
        low=0,
        high=50,
        merge="moment",
        meaning="standard deviation (divisor n) of the same",
    ),
    Column(
        name="prompt_tokens",
        kind="number",
        unit="tokens",
        low=0,
        high=LARGEST,
        merge="sum",
        meaning="prompt tokens of the row, over all its attempts",
    ),
    Column(
        name="cost_usd",
        kind="number",
        unit="USD",
        low=0,
        high=LARGEST,
        merge="sum",
        meaning="cost of the row, over all its attempts",
    ),
    # "s", not "seconds": xarray would decode a variable in "seconds" as a time span when it reads a file.
    Column(
        name="seconds",
        kind="number",
        unit="s",
        low=0,
        high=LARGEST,
        merge="sum",
        meaning="time of the row, over all its attempts",
    ),
    Column(
        name="states_evaluated",
        kind="count",
        unit="states",
        low=0,
        high=LARGEST_COUNT,
        merge="sum",
        meaning="partial solutions that a tree search scored, over all attempts of the row",
    ),
    Column(
        name="accuracy",
        kind="number",
        unit="1",
        low=0,
        high=1,
        merge="mean",
        meaning="success rate as published, where the counts are a rounding of it",
    ),
    Column(
        name="agreement",
        kind="number",
        unit="1",
        low=0,
        high=1,
        merge="mean",
        meaning="share of the votes that the chosen answer got",
    ),
    Column(name="family", kind="text", about="model", meaning="family of the LLM, such as 'Pythia'"),
    Column(
        name="params",
        kind="number",
        unit="parameters",
        low=1,
        high=LARGEST,
        about="model",
        meaning="parameters of the LLM",
    ),
    Column(
        name="train_tokens",
        kind="number",
        unit="tokens",
        low=1,
        high=1e24,
        about="model",
        meaning="tokens that the LLM was trained on",
    ),
    Column(
        name="steps",
        kind="count",
        unit="steps",
        low=1,
        high=LARGEST_COUNT,
        about="task",
        meaning="known number of skills on the task's path",
    ),
    Column(
        name="level",
        kind="number",
        unit="1",
        low=0,
        high=LARGEST_COUNT,
        about="task",
        meaning="difficulty level of the task as its benchmark states it",
    ),
    Column(name="category", kind="text", about="task", meaning="kind of task, such as 'algebra'"),
    Column(name="language", kind="text", about="task", meaning="language of the task, human or of programs"),
    Column(name="skills", kind="parts", about="task", meaning="skills the task needs, such as 'algebra|counting'"),
]

#: The same by name.
COLUMN: dict[str, Column] = {column.name: column for column in COLUMNS}


def fact_columns(about: str) -> tuple[str, ...]:
    """Return the columns that put tasks (``"task"``) or LLMs (``"model"``) into groups: texts, and levels."""
    return tuple(
        column.name for column in COLUMNS if column.about == about and (column.kind == "text" or column.name == "level")
    )


def add_columns(columns: Iterable[Column]) -> None:
    """Add columns to the evaluation table, so that readers keep and check them.

    Parameters
    ----------
    columns : iterable of Column
        One that is there already, in the same words, stays as it is.

    Raises
    ------
    ValueError
        If a name is taken by another column, or if a column would name cells.
    """
    for column in columns:
        if COLUMN.get(column.name, column) != column:
            raise ValueError(f"column {column.name!r} exists ({COLUMN[column.name].meaning}); choose another name")
        if column.merge == "key":
            raise ValueError(f"column {column.name!r}: what names a cell is fixed; let it merge in another way")
        if column.name not in COLUMN:
            COLUMNS.append(column)
            COLUMN[column.name] = column


def keep_columns(names: Iterable[str], *, about: Literal["task", "model"]) -> None:
    """Let readers keep further columns of text about tasks or LLMs, such as ``topic`` or ``licence``.

    Parameters
    ----------
    names : iterable of str
        Headers; one that is kept already stays as it is.
    about : {"task", "model"}
        What they describe: their value must be the same in all rows of a task, or of an LLM.

    Raises
    ------
    InputError
        If a name is that of a column with another meaning.
    """
    whose = {"task": "tasks", "model": "LLMs"}[about]
    taken = [name for name in names if name in COLUMN and COLUMN[name].about != about]
    if taken:
        raise InputError(
            f"columns {', '.join(taken)} have a meaning of their own ({COLUMN[taken[0]].meaning}); to keep others "
            f"about {whose}, give them other names"
        )
    add_columns(
        Column(name=name, kind="text", about=about, meaning=f"kept of {whose} because it was asked for")
        for name in names
        if name not in COLUMN
    )


def remove_columns(columns: Iterable[Column]) -> None:
    """Take back what `add_columns` added."""
    for column in columns:
        COLUMNS.remove(COLUMN.pop(column.name))


#: Columns of the read dataset that are there even if the input has none of them.
ALWAYS: tuple[str, ...] = (
    "task",
    "n_samples",
    "branching",
    "kept_states",
    "outputs",
    "budget_tokens",
    "max_tokens",
    "effort",
    "verifier",
    "run",
)

#: Columns that name a cell, in the order in which rows of a read dataset are sorted.
KEY: tuple[str, ...] = ("model", "benchmark", *ROW_COLUMNS, "run", "task")

#: Two headers for one quantity: giving either is enough.
SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "votes": "n_samples",
        "n_samples": "votes",
        "completion_tokens": "tokens_mean",
        "tokens_mean": "completion_tokens",
    }
)

#: Columns that tables of other tools call by another name, by that name; the one most likely meant first.
OTHER_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("llm", "model_name", "model_id"), ("model",)),
        **dict.fromkeys(("dataset", "eval", "eval_name"), ("benchmark",)),
        **dict.fromkeys(("question_id", "problem_id", "sample_id", "item_id", "doc_id", "problem"), ("task",)),
        **dict.fromkeys(("method", "inference_strategy"), ("strategy",)),
        **dict.fromkeys(("correct", "n_correct", "num_correct", "is_correct", "passed", "solved"), ("successes",)),
        **dict.fromkeys(("score", "reward"), ("successes", "grades", "accuracy")),
        **dict.fromkeys(("trials", "total", "n", "num_samples"), ("attempts",)),
        **dict.fromkeys(("epoch", "uuid", "trial", "attempt_id", "rollout"), ("attempt",)),
        **dict.fromkeys(("tokens", "output_tokens", "generated_tokens"), ("completion_tokens", "tokens_mean")),
        "input_tokens": ("prompt_tokens",),
        **dict.fromkeys(("cost", "usd", "price", "total_cost"), ("cost_usd",)),
        **dict.fromkeys(("latency", "duration", "time"), ("seconds",)),
        **dict.fromkeys(("reasoning_effort", "thinking_effort"), ("effort",)),
        **dict.fromkeys(("thinking_budget", "reasoning_budget", "token_budget"), ("budget_tokens",)),
    }
)


def strategy_names() -> tuple[str, ...]:
    """Return the names that the ``strategy`` column may hold.

    Returns
    -------
    tuple of str
        The registered strategies.
    """
    # Asked anew each time: strategies that a user registers later count too.
    return tuple(STRATEGIES)


def describe_columns() -> pd.DataFrame:
    """Return the evaluation table's columns as a table for people.

    Returns
    -------
    pandas.DataFrame
        One row per column: ``column``, ``required``, ``allowed``, ``unit``, ``meaning``.

    Examples
    --------
    >>> describe_columns().set_index("column").loc["attempts", "allowed"]
    'an integer >= 1'
    """
    return pd.DataFrame(
        {
            "column": [column.name for column in COLUMNS],
            "required": [column.required for column in COLUMNS],
            "allowed": [column.allowed for column in COLUMNS],
            "unit": [column.unit for column in COLUMNS],
            "meaning": [column.meaning for column in COLUMNS],
        }
    )


def misspelt(header: str, absent: tuple[str, ...]) -> str:
    """Return the absent column that a header almost spells, or an empty string.

    Parameters
    ----------
    header : str
        A header that is no column.
    absent : tuple of str
        The columns that the table lacks.

    Notes
    -----
    Refusing a table is dearer than a warning, so this is stricter than a "did you mean": the same letters in
    another order, case or punctuation, or a similarity above .82 (``notes`` is .8 from ``votes``).
    """
    plain = _letters(header)
    same = [name for name in absent if plain and sorted(plain) == sorted(_letters(name))]
    if same:
        return same[0]
    scores = {name: SequenceMatcher(None, plain, _letters(name)).ratio() for name in absent}
    near = max(scores, key=lambda name: scores[name], default="")
    return near if near and scores[near] > 0.82 else ""


def other_name(header: str, absent: tuple[str, ...]) -> tuple[str, ...]:
    """Return the absent columns that other tools call by a header, the likeliest first; empty if there are none."""
    plain = "_".join(header.lower().replace("-", " ").replace("_", " ").split())
    return tuple(name for name in OTHER_NAMES.get(plain, ()) if name in absent)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
