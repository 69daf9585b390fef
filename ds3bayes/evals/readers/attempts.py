"""Tables with one row per attempt: which column means what, and what counts as a success."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import Faults, InputError, did_you_mean
from ds3bayes.evals.choose import to_table
from ds3bayes.evals.read import BLANKS, as_number, as_text, read_table
from ds3bayes.evals.readers.base import READERS, Account, Reader, as_evals
from ds3bayes.evals.readers.grades import SCORE, check_full_credit, grades_of
from ds3bayes.evals.readers.records import Float, Records, describe_text, first_record, flat, records_of, shown
from ds3bayes.evals.schema import COLUMN, COLUMNS, KEY, UNNAMED
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER, single_attempt

COLUMNS_SHOWN = 40
MOST_NAMES = 10_000
#: Warnings point at who called into this part of the package.
_HERE = (str(Path(__file__).parents[1]) + os.sep,)

#: What is known by which names, in letters, digits and underscores; a name of the table comes first.
NAMES: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "llm", "model_name", "model_id", "llm_name"),
    "benchmark": ("benchmark", "dataset", "benchmark_name", "dataset_name", "eval_name"),
    "task": (
        *("task", "task_id", "question_id", "problem_id", "problem_idx", "problem", "doc_id", "item_id", "instance_id"),
        *("example_id", "case_id", "prompt_id", "task_name"),
    ),
    "strategy": ("strategy",),
    "success": (
        *("success", "correct", "is_correct", "score", "passed", "pass", "reward", "resolved", "is_resolved", "solved"),
        *("exact_match", "acc", "successful", "correctness"),
    ),
    "tokens": (
        *("completion_tokens", "output_tokens", "tokens", "tokens_mean", "generated_tokens", "tokens_out", "n_tokens"),
        *("num_tokens", "num_output_tokens", "num_completion_tokens", "total_output_tokens", "response_tokens"),
    ),
    "attempt": (
        *(
            "attempt",
            "epoch",
            "trial",
            "attempt_id",
            "trial_id",
            "uuid",
            "repeat",
            "repetition",
            "replicate",
            "rollout",
        ),
        *("sample_index", "sample_idx", "attempt_index", "idx_answer", "generation_id", "completion_id"),
    ),
    "error": ("error", "exception", "error_message"),
    "effort": ("effort", "reasoning_effort", "thinking_effort"),
    "budget_tokens": ("budget_tokens", "thinking_budget", "reasoning_budget", "token_budget", "thinking_tokens_budget"),
    "truncated": ("truncated", "is_truncated", "finish_reason", "stop_reason"),
    "prompt_tokens": ("prompt_tokens", "input_tokens", "tokens_in", "num_prompt_tokens", "total_input_tokens"),
    "cost_usd": ("cost_usd", "cost", "total_cost_usd", "usd"),
    "seconds": ("seconds", "duration_seconds", "duration_s", "latency_s", "elapsed_seconds", "time_s"),
}
#: Names of an item or of one of its attempts, by what else there is.
WEAK_TASKS = ("sample_id", "id", "item", "idx", "index", "question")
#: Objects in whose fields numbers are looked for.
CONTAINERS = frozenset({"usage", "token_usage", "response", "metrics", "metadata"})
#: Columns that hold the answers or the reference: which, only their owner knows.
ANSWERS = frozenset({"answer", "extracted_answer", "parsed_answer", "prediction", "pred", "final_answer", "filtered"})
REQUIRED = ("model", "benchmark", "task", "success")

_RIGHT = frozenset(
    {"true", "t", "yes", "y", "pass", "passed", "correct", "right", "c", "success", "successful", "resolved", "solved"}
)
_WRONG = frozenset(
    {"false", "f", "no", "n", "fail", "failed", "incorrect", "wrong", "i", "failure", "unresolved", "unsolved"}
)
_CUT = frozenset({"length", "max_tokens", "token_limit", "max_output_tokens", "model_length"})
_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})*|\d+),\d+", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
_DOTS = re.compile(r"[+-]?(\d{1,3}(\.\d{3})*|\d+)(,\d+)?", re.ASCII)


# --- the public verb ----------------------------------------------------------------------------------------


def read_attempts(
    source: str | os.PathLike[str] | pd.DataFrame | Iterable[Any],
    *,
    model: str | None = None,
    benchmark: str | None = None,
    task: str | None = None,
    strategy: str | None = None,
    success: str | None = None,
    tokens: str | None = None,
    answer: str | None = None,
    attempt: str | None = None,
    error: str | None = None,
    effort: str | None = None,
    budget_tokens: str | None = None,
    truncated: str | None = None,
    prompt_tokens: str | None = None,
    cost_usd: str | None = None,
    seconds: str | None = None,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    ignore: Sequence[str] = (),
    threshold: float | None = None,
    grades: float | None = None,
    errors: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
) -> xr.Dataset:
    """Read a table with one row per attempt, say how it was understood, and collapse it to counts.

    Columns are found by the names that people give them (``correct``, ``score``, ``passed``; ``output_tokens``,
    ``usage.completion_tokens``; ``epoch``, ``trial``; ``question_id``, ``doc_id``). Where that is not certain,
    because there are two candidates or none, the source is refused with the candidates and what to pass.

    Parameters
    ----------
    source : path, list of paths, pandas.DataFrame or iterable of mapping
        JSONL, a JSON list of objects, a table cut by any delimiter (each of them also compressed by gzip or zstd),
        Parquet or Excel, found by content. Fields of objects in objects are named with dots. A table of counts
        (columns ``attempts`` and ``successes``) is read as `read_evals` does.
    model, benchmark, task, strategy, effort, budget_tokens : str, optional
        Columns that name a cell. Without a strategy the attempts are ``cot``. Ids stay text: "007" is not 7.
    success : str, optional
        Column with the outcome: true or false, words for it, 0 and 1, 0 and 100, or numbers with a ``threshold``.
        Blank and NaN are attempts that nobody scored: they are left out.
    tokens, prompt_tokens, cost_usd, seconds : str, optional
        Columns with what the attempt took. ``tokens`` are all generated ones, hidden reasoning included.
    answer : str, optional
        Column with the answer given, never found by its name, as it can be the reference. How often each wrong
        answer was given becomes ``wrong_answer_counts``, and failures with a blank answer become ``no_answer``.
    attempt : str, optional
        Column that tells attempts at one task apart. Identical rows with one id are copies, and left out but one;
        different rows with one id are refused. Without it every row is an attempt of its own.
    error : str, optional
        Column that is not blank where something failed that is not the LLM. Such attempts are left out.
    truncated : str, optional
        Column that says whether the attempt was cut off, or why it ended (``finish_reason``). A success counts as
        not cut off.
    columns : mapping of str to str, optional
        Columns of the source for further columns of the table, such as ``{"level": "difficulty"}``.
    constants : mapping of str to value, optional
        What holds for all rows and has no column, such as ``{"model": "gpt-4o", "benchmark": "gsm8k"}``.
    ignore : sequence of str
        Columns of the source that are not to be used.
    threshold : float, optional
        Scores of at least this are successes.
    grades : float, optional
        Score of full credit, where scores are ordered and of equal steps (10 for points of 10, 1 for fractions). An
        attempt with it is a success, and lesser scores are kept as the column ``grades``.
    errors : {"leave_out", "count"}, optional
        What becomes of attempts that hold an error and a score. They are refused where it is not given.
    decimal : {".", ","}, optional
        The decimal mark of a table in text; found where it can be.
    encoding, delimiter, sheet : str, optional
        Of a text file, of a table in text, and of a spreadsheet with several sheets.

    Returns
    -------
    xarray.Dataset
        As from `read_evals` of a table. ``attrs["account"]`` is JSON: files with their SHA-256, attempts counted
        and left out with reasons, which column was taken for what, decisions, and versions.

    Raises
    ------
    InputError
        If the source cannot be read, is not certain, or holds rows at fault.

    Notes
    -----
    Logs that need more than a mapping have readers of their own, which `read_evals` finds: see
    ``ds3bayes.evals.readers.recipes``. The answers of MathArena are read so::

        read_attempts("train.parquet", task="problem_idx", attempt="idx_answer", answer="parsed_answer",
                      constants={"benchmark": "aime_2025"})

    Examples
    --------
    >>> rows = [{"llm": "a", "question_id": "007", "correct": c, "output_tokens": 90} for c in (True, False)]
    >>> evals = read_attempts(rows, constants={"benchmark": "b"})
    >>> int(evals["successes"][0]), int(evals["attempts"][0]), evals["task"].item()
    (1, 2, '007')
    """
    asked = {
        "model": model,
        "benchmark": benchmark,
        "task": task,
        "strategy": strategy,
        "success": success,
        "tokens": tokens,
        "answer": answer,
        "attempt": attempt,
        "error": error,
        "effort": effort,
        "budget_tokens": budget_tokens,
        "truncated": truncated,
        "prompt_tokens": prompt_tokens,
        "cost_usd": cost_usd,
        "seconds": seconds,
        **(columns or {}),
    }
    wanted = {role: name for role, name in asked.items() if name is not None}
    rules = _Rules(
        wanted=wanted,
        constants=dict(constants or {}),
        ignore=frozenset([ignore] if isinstance(ignore, str) else ignore),
        threshold=threshold,
        grades=grades,
        errors=errors,
        decimal=decimal,
    )
    rules.check()
    account = Account(reader="attempts", versions={"ds3bayes": version("ds3bayes"), "pandas": version("pandas")})
    options = {"encoding": encoding, "delimiter": delimiter, "sheet": sheet}
    sources = _sources(source)
    for one in sources:
        _refuse_other_logs(one)
    table = _Attempts(rules=rules)
    for one in sources:
        records = records_of(one, **options)
        if isinstance(one, Path):
            account.source(one)
        counts = table.add(records, alone=len(sources) == 1)
        if counts is not None:
            return _of_counts(one, records, counts, account)
        # What reads it: what is imported only where it is needed.
        account.versions |= {name: version(name) for name in records.libraries}
    return table.evals(account)


@final
class AttemptsReader(Reader):
    """Tables with one row per attempt, as `read_attempts` reads them."""

    name: ClassVar[str] = "attempts"
    title: ClassVar[str] = "a table with one row per attempt (JSONL, JSON, CSV, Parquet, Excel)"
    last: ClassVar[bool] = True
    is_table: ClassVar[bool] = True
    function = staticmethod(read_attempts)

    def recognises(self, source: Path) -> bool:
        """Return whether the records of a file, or of all files of a folder, have an outcome."""
        if source.is_dir():
            files = _files(source)
            return bool(files) and all(self.recognises(path) for path in files)
        record = first_record(source)
        if record is None:
            return False
        return self.has_attempts(flat(record)) or _is_counts(flat(record))

    @staticmethod
    def has_attempts(names: Iterable[Any]) -> bool:
        """Return whether columns are those of attempts: none with counts, and one with an outcome by its name."""
        texts = [name for name in names if isinstance(name, str)]
        return not {"attempts", "successes"} & set(texts) and any(_role_of(name) == "success" for name in texts)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError:
        return []


def _sources(source: Any) -> list[Any]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return (_files(path) or [path]) if os.path.isdir(path) else [path]
    if isinstance(source, Sequence) and source and all(isinstance(one, str | os.PathLike) for one in source):
        twice = [str(path) for path, count in Counter(Path(one) for one in source).items() if count > 1]
        if twice:
            raise InputError(f"{twice[0]}: given more than once; a file read twice counts its attempts twice")
        return [Path(one) for one in source]
    return [source]


def _refuse_other_logs(source: Any) -> None:
    """Refuse logs whose columns look plain but do not mean what they say, a crash that is written as a failure."""
    if not isinstance(source, Path) or not os.path.exists(source):
        return
    for reader in list(READERS.values()):
        if not reader.is_table and reader.recognises(source):
            raise InputError(
                f"{source}: looks like {reader.title}, which has a reader of its own ({reader.name}): "
                "ds3.read_evals(path) finds it. To read it as a plain table all the same, pass its rows as a list"
            )


# --- what was asked -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Rules:
    wanted: dict[str, str]
    constants: dict[str, Any]
    ignore: frozenset[str]
    threshold: float | None
    grades: float | None
    errors: str | None
    decimal: str | None

    def check(self) -> None:
        check_full_credit(self.grades, *(["threshold"] if self.threshold is not None else []))
        faults = []
        known = {**dict.fromkeys(NAMES), **dict.fromkeys(COLUMN), "answer": None}
        for role, name in self.wanted.items():
            if role not in known or role in ("attempts", "successes"):
                faults.append(f"columns: got {role!r}; allowed: columns of an evaluation table")
            if not isinstance(name, str):
                faults.append(f"{role}: got {shown(name)}; allowed: the name of a column")
        for role in self.constants:
            if role not in COLUMN or role in ("attempts", "successes"):
                near = did_you_mean(role, COLUMN) if isinstance(role, str) else ""
                faults.append(f"constants: got {role!r}; allowed: columns of an evaluation table.{near}")
            elif role in self.wanted:
                faults.append(f"{role}: given as a column and as a constant; allowed: one of them")
        if self.threshold is not None and not (
            isinstance(self.threshold, int | float)
            and not isinstance(self.threshold, bool)
            and math.isfinite(self.threshold)
        ):
            faults.append(f"threshold: got {shown(self.threshold)}; allowed: a finite number")
        if self.errors not in (None, "leave_out", "count"):
            faults.append(f"errors: got {self.errors!r}; allowed: 'leave_out', 'count'")
        if self.decimal not in (None, ".", ","):
            faults.append(f"decimal: got {self.decimal!r}; allowed: '.', ','")
        if faults:
            raise InputError.of_faults("read_attempts", faults)


def _plain(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


_ROLE = {name: role for role, names in NAMES.items() for name in names}
_NUMBERS = frozenset({"tokens", "prompt_tokens", "cost_usd", "seconds"})
#: Columns of the table that are found by their own name alone.
_OWN = frozenset(COLUMN) - set(_ROLE) - {"attempts", "successes", "wrong_answer_counts", "votes"} | {"votes"}


def _role_of(name: str) -> str:
    """Return what a column means by its name, or an empty string."""
    *parents, leaf = name.split(".")
    plain = _plain(leaf)
    role = _ROLE.get(plain, "")
    if parents:
        return role if role in _NUMBERS and {_plain(parent) for parent in parents} <= CONTAINERS else ""
    if plain in WEAK_TASKS:
        return "weak task"
    if plain in ANSWERS:
        return "maybe answer"
    return role or (plain if plain in _OWN else "")


def _is_counts(names: Iterable[str]) -> bool:
    return {"attempts", "successes"} <= set(names)


# --- rows ---------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    number: int
    source: int
    #: Where each column stands in the cells; shared by the rows that have the same columns.
    layout: dict[str, int]
    cells: tuple[Any, ...]
    digest: bytes

    def get(self, name: str) -> Any:
        place = self.layout.get(name)
        return None if place is None else self.cells[place]


@dataclass(kw_only=True)
class _Faults:
    where: str
    found: Faults = field(default_factory=Faults)

    def add(self, line: str) -> None:
        self.found.add(line)

    def stop(self) -> None:
        if len(self.found):
            raise self.found.error(self.where)


@dataclass(kw_only=True)
class _Attempts:
    """Rows of all sources, of which only what may be used is kept."""

    rules: _Rules
    rows: list[_Row] = field(default_factory=list)
    #: Columns seen, in order, with what each may be.
    names: dict[str, str] = field(default_factory=dict)
    sources: list[Records] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    layouts: dict[tuple[str, ...], tuple[dict[str, int], bool]] = field(default_factory=dict)

    def add(self, records: Records, alone: bool) -> Iterator[dict[str, Any]] | None:
        """Take the records of a source; where they are counts, return them instead."""
        self.sources.append(records)
        asked = set(self.rules.wanted.values())
        rows = iter(records.rows)
        for number, record, raw in rows:
            values = flat(record)
            if not self.rows and not asked and alone and _is_counts(values):
                return chain([values], (flat(other) for _, other, _ in rows))
            layout, identified = self._layout(values, asked)
            digest = _digest(raw, values) if identified else b""
            # Names repeat from row to row; one of each is enough.
            cells = tuple(
                [
                    self.words.setdefault(value, value) if type(value) is str and len(value) < 200 else value
                    for value in map(values.__getitem__, layout)
                ]
            )
            self.rows.append(_Row(number, len(self.sources) - 1, layout, cells, digest))
        return None

    def _layout(self, values: Mapping[str, Any], asked: set[str]) -> tuple[dict[str, int], bool]:
        """Return which columns of a row are kept, and whether one of them can tell attempts apart."""
        seen = tuple(values)
        if seen in self.layouts:
            return self.layouts[seen]
        kept: list[str] = []
        identified = False
        for name in seen:
            role = self.names.get(name)
            if role is None:
                role = "ignored" if name in self.rules.ignore else _role_of(name)
                if len(self.names) < MOST_NAMES:
                    self.names[name] = role
            if name in asked or (role and role not in ("ignored", "maybe answer")):
                kept.append(name)
                identified |= role in ("attempt", "weak task") or name in asked
        layout = {name: place for place, name in enumerate(kept)}, identified
        if len(self.layouts) < 100:
            self.layouts[seen] = layout
        return layout

    @property
    def where(self) -> str:
        return self.sources[0].where if len(self.sources) == 1 else f"{len(self.sources)} files"

    def place(self, row: _Row) -> str:
        source = self.sources[row.source]
        text = f"{source.unit} {row.number}"
        return text if len(self.sources) == 1 else f"{Path(source.where).name}, {text}"

    def example(self, row: _Row, cell: Mapping[str, Any], attempt: str) -> str:
        return f"{self.place(row)} (task {cell['task']}{f', attempt {attempt}' if attempt else ''})"

    # --- columns ---

    def column(self, name: str) -> list[Any]:
        return [row.get(name) for row in self.rows]

    def mapping(self, account: Account) -> dict[str, str]:
        """Return the column of the source for each role that has one; refuse where that is not certain."""
        rules, faults = self.rules, _Faults(where=self.where)
        found: dict[str, str] = {}
        for role, name in rules.wanted.items():
            if name in self.names:
                found[role] = name
            else:
                faults.add(
                    f"{role}: no column {name!r}.{did_you_mean(name, self.names)} To give a value for all rows, pass "
                    f"constants={{{role!r}: {name!r}}}"
                )
        taken = set(found.values())
        free = {name: role for name, role in self.names.items() if role and name not in taken}
        candidates: dict[str, list[str]] = {}
        for name, role in free.items():
            if role not in ("ignored", "maybe answer"):
                candidates.setdefault(role, []).append(name)
        weak = candidates.pop("weak task", [])
        self._weak(weak, candidates, found)
        for role in sorted(candidates, key=_order):
            if role in found or role in rules.wanted:
                continue
            if role in rules.constants:
                faults.add(
                    f"{role}: a constant is given, and there is a column for it ({_listed(candidates[role])}). Pass "
                    f"ignore= with that column to use the constant"
                )
                continue
            name = self._choice(role, candidates[role], account)
            if name:
                found[role] = name
            else:
                faults.add(
                    f"{role}: could be {_listed(candidates[role])}, which differ. Pass {_keyword(role)} with one of "
                    "them, or ignore= with those that are something else"
                )
        for role in REQUIRED:
            if role not in found and role not in rules.wanted and role not in rules.constants:
                what = "the outcome" if role == "success" else COLUMN[role].meaning
                if role == "benchmark" and len(self.sources) == 1:
                    rules.constants[role] = UNNAMED
                    continue
                constant = "" if role in ("success", "task") else f", or constants={{{role!r}: ...}}"
                if not faults.found.tells(f"{role}:"):
                    faults.add(f"{role} ({what}): no column found. Pass {_keyword(role)} with a column{constant}")
        if len(faults.found):
            names = [shown(name) for name in list(self.names)[:COLUMNS_SHOWN]]
            more = f" and {len(self.names) - COLUMNS_SHOWN} more" if len(self.names) > COLUMNS_SHOWN else ""
            faults.add(f"the columns are: {', '.join(names)}{more}")
            if _is_counts(self.names):
                faults.add("it looks like a table of counts; such tables are read one at a time, without options")
            for source in self.sources:
                if source.kind == "csv":
                    faults.add(f"read as {describe_text(Path(source.where))}")
                    break
        faults.stop()
        return found

    def _weak(self, weak: list[str], candidates: dict[str, list[str]], found: dict[str, str]) -> None:
        """Place names such as ``id``, which can be an item's or an attempt's."""
        if not weak:
            return
        tasks = candidates.get("task", [])
        named = "task" in found or [name for name in tasks if _plain(name) != "task"]
        if named and "task" in found:
            # Where the item is stated, the rest can only tell attempts apart.
            spare = [name for name in weak if _plain(name) in ("sample_id", "id")]
        elif named:
            spare = [name for name in weak if _plain(name) in ("sample_id", "id")]
        else:
            # ``task`` beside ``id``: the first may be the benchmark, and the second the task.
            candidates["task"] = [*tasks, *weak]
            return
        if spare and "attempt" not in candidates and "attempt" not in found:
            # Only if it tells all rows apart: else it is something else.
            distinct = [name for name in spare if self._distinct(name)]
            if distinct:
                candidates["attempt"] = distinct

    def _distinct(self, name: str) -> bool:
        digests: dict[Any, bytes] = {}
        for row in self.rows:
            word = as_text(row.get(name))
            if word is None or (word and digests.setdefault(word, row.digest) != row.digest):
                return False
        return True

    def _choice(self, role: str, names: list[str], account: Account) -> str:
        """Return the one column for a role, also where several say the same; an empty string where they differ."""
        if len(names) == 1:
            return names[0]
        if role == "success":
            outcomes = []
            for name in names:
                try:
                    outcomes.append(_outcomes(self.column(name), self.rules, self._decimal([name]))[:2])
                except _UnclearError:
                    return ""
            same = all(one == outcomes[0] for one in outcomes)
        else:
            same = all(
                [_word(row.get(name)) for name in names[1:]] == [_word(row.get(names[0]))] * (len(names) - 1)
                for row in self.rows
            )
        if same:
            account.note(f"{_listed(names)} say the same; {names[0]!r} was read as {role}")
        return names[0] if same else ""

    def _decimal(self, names: Sequence[str]) -> str:
        """Return the decimal mark of numbers in text; refuse where both are possible."""
        if self.rules.decimal or all(source.kind not in ("csv", "excel") for source in self.sources):
            return self.rules.decimal or "."
        texts = [
            text.strip()
            for row in self.rows
            for name in names
            if isinstance(text := row.get(name), str) and "," in text
        ]
        comma = next((text for text in texts if _COMMA.fullmatch(text) and not _GROUPED.fullmatch(text)), "")
        dot = next((text for text in texts if _GROUPED.fullmatch(text) and not _COMMA.fullmatch(text)), "")
        if comma and dot:
            raise InputError(f"{self.where}: {comma!r} has a decimal comma and {dot!r} a decimal point; pass decimal=")
        if texts and not comma and not dot and any(_GROUPED.fullmatch(text) for text in texts):
            raise InputError(
                f"{self.where}: is {texts[0]!r} more than a thousand, or has it a decimal comma? Pass decimal='.' or "
                "decimal=','"
            )
        return "," if comma else "."

    # --- rows ---

    def evals(self, account: Account) -> xr.Dataset:
        """Count the attempts."""
        if not self.rows:
            raise InputError(f"{self.where}: holds no attempts")
        found = self.mapping(account)
        rules = self.rules
        faults = _Faults(where=self.where)
        for source in self.sources:
            for note in source.notes:
                account.note(note)
        numeric = [name for role, name in found.items() if _kind(role) in ("count", "number", "success")]
        decimal = self._decimal(numeric)
        if decimal == ",":
            account.note("numbers have a decimal comma")
        try:
            outcomes, scores, rule = _outcomes(self.column(found["success"]), rules, decimal)
        except _UnclearError as unclear:
            raise InputError(f"{self.where}: column {found['success']!r}: {unclear}") from None
        account.columns = {role: f"column {name!r}" for role, name in found.items()}
        account.columns["success"] += f", {rule}"
        account.columns |= {role: f"{shown(value)}, as stated" for role, value in rules.constants.items()}
        if rules.constants.get("benchmark") == UNNAMED:
            account.columns["benchmark"] = f"{UNNAMED}, as no column says which"
        if "strategy" not in found and "strategy" not in rules.constants:
            account.columns["strategy"] = "cot, as no column names another"
        self._note_unused(found, account)
        rows, votes = self._counted(found, outcomes, scores, decimal, faults, account)
        faults.stop()
        if SCORE in rows:
            _grade(rows, float(rules.grades or 0), self.where)
        try:
            evals = evals_from(rows, account, self.where)
        except InputError as error:
            guessed = [name for role, name in found.items() if role not in rules.wanted and role not in REQUIRED]
            hint = f"\n  - Found by their names: {_listed(guessed)}; leave out by ignore= what is something else"
            raise InputError(f"{error}{hint if guessed and rows else ''}") from None
        return with_votes(evals, votes) if "answer" in found else evals

    def _note_unused(self, found: Mapping[str, str], account: Account) -> None:
        used = set(found.values())
        unused = [name for name, role in self.names.items() if name not in used and role != "ignored"]
        if unused:
            more = f" and {len(unused) - COLUMNS_SHOWN} more" if len(unused) > COLUMNS_SHOWN else ""
            account.note(f"columns not used: {', '.join(map(shown, unused[:COLUMNS_SHOWN]))}{more}")
        answers = [name for name in unused if self.names[name] == "maybe answer"]
        if answers and "answer" not in found:
            account.note(f"{_listed(answers)} may hold the answers; pass answer= to count votes")

    def _counted(
        self,
        found: dict[str, str],
        outcomes: list[bool | None],
        scores: list[float],
        decimal: str,
        faults: _Faults,
        account: Account,
    ) -> tuple[dict[str, list[Any]], dict[tuple[Any, ...], Counter[str]]]:
        keys = [name for name in KEY if name in found or name in self.rules.constants or name == "strategy"]
        keys += ["votes"] if "votes" in found else []
        seen: dict[tuple[Any, ...], _Row] = {}
        table: dict[str, list[Any]] = {}
        votes: dict[tuple[Any, ...], Counter[str]] = {}
        cut_successes = 0
        right: dict[tuple[Any, ...], set[str]] = {}
        wrong: dict[tuple[Any, ...], set[str]] = {}
        for place, (row, outcome) in enumerate(zip(self.rows, outcomes, strict=True)):
            cell = self._cell(row, found, decimal, faults)
            if cell is None:
                continue
            attempt = _word(row.get(found["attempt"])) if "attempt" in found else ""
            key = (*[cell.get(name, "") for name in keys], attempt)
            if attempt:
                first = seen.setdefault(key, row)
                if first is not row:
                    if first.digest == row.digest:
                        account.leave_out("copies of another row", self.example(row, cell, attempt))
                    else:
                        apart = [n for n in row.layout if _word(row.get(n)) != _word(first.get(n))]
                        faults.add(
                            f"{self.place(row)}: the same attempt ({found['attempt']} {attempt}) at task "
                            f"{cell['task']!r} as {self.place(first)}, with other "
                            f"{', '.join(apart) or 'columns that are not used'}. Remove one; pass "
                            "columns={'run': ...} if they are of different runs, or "
                            f"ignore=[{found['attempt']!r}] if every row is an attempt of its own"
                        )
                    continue
            failed = "error" in found and _has_error(row.get(found["error"]))
            if failed and (outcome is None or self.rules.errors == "leave_out"):
                why = (
                    "errored before they were scored" if outcome is None else "errored, with a score that was not used"
                )
                account.leave_out(why, self.example(row, cell, attempt))
                continue
            if failed and self.rules.errors is None:
                faults.add(
                    f"{self.place(row)}: holds an error ({shown(row.get(found['error']))}) and an outcome "
                    f"({shown(row.get(found['success']))}). Pass errors='leave_out' if such outcomes were never "
                    "scored, or errors='count'"
                )
                continue
            if outcome is None:
                account.leave_out("not scored", self.example(row, cell, attempt))
                continue
            cell |= {"attempts": 1, "successes": int(outcome)}
            if scores:
                cell[SCORE] = scores[place]
            if cell.get("truncated") and outcome:
                cut_successes += 1
                cell["truncated"] = 0
            if "answer" in found:
                answer = _answer(row.get(found["answer"]))
                group = key[:-1]
                if outcome:
                    right.setdefault(group, set()).add(answer)
                else:
                    wrong.setdefault(group, set()).add(answer)
                cell["no_answer"] = int(not outcome and not answer)
                if answer and not outcome:
                    votes.setdefault(_key(cell), Counter())[answer] += 1
            for name, value in cell.items():
                table.setdefault(name, []).append(value)
        if cut_successes:
            account.note(f"{cut_successes} successes were cut off, and count as not cut off")
        mixed = sum(len((answers & wrong.get(group, set())) - {""}) for group, answers in right.items())
        if mixed:
            account.note(f"{mixed} answers were right in one attempt and wrong in another at the same task")
        return table, votes

    def _cell(self, row: _Row, found: dict[str, str], decimal: str, faults: _Faults) -> dict[str, Any] | None:
        """Return the table's columns of one row, or None where one is at fault."""
        cell: dict[str, Any] = {"strategy": DEFAULT_SAMPLER}
        good = True
        for role, value in self.rules.constants.items():
            cell[role] = value if _kind(role) in ("count", "number") else as_text(value)
        for role, name in found.items():
            if role in ("success", "attempt", "error", "answer"):
                continue
            value, column = row.get(name), "completion_tokens" if role == "tokens" else role
            kind = _kind(role)
            if role in ("truncated", "no_answer"):
                cell[column] = _flag(value)
            elif kind in ("count", "number"):
                cell[column] = _amount(value, kind == "count", COLUMN[column].low, decimal)
            elif type(value) is str and not value.isspace() and value:
                cell[column] = value
            else:
                word = value.text if isinstance(value, Float) else as_text(value)
                if role == "strategy" and word == "":
                    word = DEFAULT_SAMPLER
                cell[column] = word if word or (word == "" and not COLUMN[column].required and role != "task") else None
            if cell[column] is None:
                good = False
                got = "nothing (blank)" if _word(value) == "" else shown(value)
                if role in ("truncated", "no_answer"):
                    allowed = "true, false or why the attempt ended"
                elif kind in ("count", "number"):
                    allowed = f"{COLUMN[column].allowed}, or blank"
                else:
                    allowed = "text or a number" if role == "task" else COLUMN[column].allowed
                # What was found by its name can be something else.
                hint = (
                    "" if role in self.rules.wanted or role in REQUIRED else f". If it is not that: ignore=[{name!r}]"
                )
                faults.add(f"{self.place(row)}, column {name!r}: got {got}; allowed: {allowed}{hint}")
        return cell if good else None


def _digest(raw: bytes | None, values: Mapping[str, Any]) -> bytes:
    try:
        content = (
            raw
            if raw is not None
            else repr(sorted(values.items(), key=lambda item: item[0])).encode(errors="surrogatepass")
        )
    except (ValueError, RecursionError):
        # Python refuses to print integers of more than some thousand digits; such rows are like no other.
        content = os.urandom(16)
    return hashlib.blake2b(content, digest_size=16).digest()


def _order(role: str) -> int:
    return list(NAMES).index(role) if role in NAMES else len(NAMES)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(shown(name)) for name in names[:8])


def _keyword(role: str) -> str:
    return f"{role}=" if role in NAMES else f"columns={{{role!r}: ...}}"


def _kind(role: str) -> str:
    if role in ("success", "attempt", "error", "answer"):
        return role
    column = COLUMN["completion_tokens" if role == "tokens" else role]
    return column.kind


def _word(value: object) -> str:
    if isinstance(value, Float):
        return value.text
    word = as_text(value)
    return shown(value) if word is None else word


def _answer(value: object) -> str:
    return _word(value).strip()


def _has_error(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in BLANKS | {"false", "no", "0"}
    if isinstance(value, Mapping | list | tuple | np.ndarray):
        return len(value) > 0
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return bool(value)
    return as_text(value) != ""


def _flag(value: object) -> int | None:
    """Return whether an attempt was cut off, by a flag or by why it ended."""
    if value is None or isinstance(value, bool | np.bool_):
        return int(bool(value))
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("1", "0"):
            return int(word)
        return int(word in _CUT or word in ("true", "t", "yes", "y"))
    number = as_number(value)
    return None if number is None else 0 if math.isnan(number) else int(number) if number in (0, 1) else None


def _amount(value: object, whole: bool, low: float, decimal: str) -> float | None:
    """Return a number, NaN for blank, or None where it is not allowed."""
    if isinstance(value, bool | np.bool_):
        return None
    number = _number(value, decimal)
    if number is None or math.isnan(number):
        return number
    return number if low <= number <= 1e18 and (not whole or number == math.floor(number)) else None


def _number(value: object, decimal: str) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if decimal == "," and text.lower() not in BLANKS:
            # 1.234,5 and 1.234 are more than a thousand; 12.5 is no number of this table.
            return as_number(text.replace(".", "").replace(",", ".")) if _DOTS.fullmatch(text) else None
        return as_number(text.replace(",", "") if _GROUPED.fullmatch(text) else text)
    return as_number(value)


# --- outcomes -----------------------------------------------------------------------------------------------


class _UnclearError(Exception):
    """Outcomes that need a rule."""


def _grade(rows: dict[str, list[Any]], full: float, where: str) -> None:
    """Turn the scores of attempts into grades, in place; each benchmark has its own steps."""
    scores = rows.pop(SCORE)
    of_benchmark: dict[Any, list[int]] = {}
    for place, benchmark in enumerate(rows["benchmark"]):
        of_benchmark.setdefault(benchmark, []).append(place)
    grades: list[Any] = [None] * len(scores)
    most: list[Any] = [None] * len(scores)
    for benchmark, places in of_benchmark.items():
        found, steps = grades_of([scores[place] for place in places], full, f"{where}: {benchmark}")
        for place, grade in zip(places, found, strict=True):
            if steps > 1:
                grades[place], most[place] = str(grade), steps
    rows |= {"grades": grades, "grade_max": most}


def _outcomes(values: Sequence[Any], rules: _Rules, decimal: str) -> tuple[list[bool | None], list[float], str]:
    """Return whether each attempt succeeded (None: not scored), scores that are graded, and the rule in words."""
    parsed: list[bool | float | None] = []
    for value in values:
        if isinstance(value, bool | np.bool_):
            parsed.append(bool(value))
            continue
        if isinstance(value, str):
            word = value.strip().lower()
            if word in _RIGHT or word in _WRONG:
                parsed.append(word in _RIGHT)
                continue
        number = _number(value, decimal)
        if number is None:
            raise _UnclearError(
                f"got {shown(value)}, which is no outcome; allowed: true or false, yes or no, pass or fail, correct or "
                "incorrect, 0 and 1, 0 and 100, numbers with threshold=, or blank for attempts that were not scored"
            )
        parsed.append(None if math.isnan(number) else number)
    numbers = {value for value in parsed if isinstance(value, float)}
    if rules.grades is not None:
        full = float(rules.grades)
        scores = [full * value if isinstance(value, bool) else math.nan if value is None else value for value in parsed]
        outcomes = [None if score != score else score >= full for score in scores]
        return outcomes, scores, f"{full:g} is a success, lesser scores are grades"
    if rules.threshold is not None:
        limit = float(rules.threshold)
        test: Callable[[float], bool] = lambda number: number >= limit  # noqa: E731
        rule = f"at least {limit:g} is a success"
    elif numbers <= {0.0, 1.0}:
        test, rule = bool, "1 is a success"
    elif numbers <= {0.0, 100.0} and not any(isinstance(value, bool) for value in parsed):
        test, rule = bool, "100 is a success"
    else:
        some = ", ".join(f"{number:g}" for number in sorted(numbers)[:5]) + (", ..." if len(numbers) > 5 else "")
        raise _UnclearError(
            f"its numbers are {some}: scores, not outcomes. Pass threshold= with the least score that is a success, "
            f"such as threshold={max(numbers):g} for full marks, or grades= with the score of full credit to keep "
            "ordered scores as grades"
        )
    if not numbers:
        rule = "true or a word for it is a success"
    return [value if isinstance(value, bool | None) else test(value) for value in parsed], [], rule


# --- evaluations --------------------------------------------------------------------------------------------


def evals_from(rows: Sequence[Mapping[str, Any]] | Mapping[str, list[Any]], account: Account, where: str) -> xr.Dataset:
    """Turn rows of the evaluation table into evaluations; errors name the source.

    Parameters
    ----------
    rows : sequence of mapping, or mapping of str to list
        As in `as_evals`, or its columns.
    account : Account
    where : str
        The source, for messages.

    Returns
    -------
    xarray.Dataset
    """
    if not rows:
        left = "; ".join(f"{entry.count} {entry.why}" for entry in account.left_out)
        raise InputError(f"{where}: no attempt is left to count ({left or 'there are none'})")
    try:
        if not isinstance(rows, Mapping):
            # By column: a frame of a million dictionaries is slow.
            names = list(dict.fromkeys(name for row in rows for name in row))
            rows = {name: [row.get(name) for row in rows] for name in names}
        table = pd.DataFrame({name: _series(values) for name, values in rows.items()})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            evals = as_evals(table, account)
    except InputError as error:
        text = str(error).removeprefix("the DataFrame: ")
        raise InputError(f"{where}: as a table (rows are those that were counted): {text}") from None
    for warning in caught:
        # It speaks of a frame that the user does not know.
        sentence = str(warning.message).removeprefix("the DataFrame: ")
        account.note(sentence)
        warnings.warn(f"{where}: {sentence}", warning.category, skip_file_prefixes=_HERE)
    return evals.assign_attrs(source=Path(where).name, account=json.dumps(asdict(account)))


def _series(values: list[Any]) -> pd.Series:
    # Only text that UTF-8 can hold can become a column of strings, and texts are not the only odd values.
    plain = all(type(value) in (int, float) and -(2**53) <= value <= 2**53 for value in values)
    return pd.Series(values, dtype=None if plain else object)


def with_votes(evals: xr.Dataset, votes: Mapping[tuple[Any, ...], Counter[str]]) -> xr.Dataset:
    """Add how often each distinct wrong answer was given in each cell.

    Parameters
    ----------
    evals : xarray.Dataset
        The collapsed attempts.
    votes : mapping
        Wrong answers and how often each was given, by what names their cell.

    Returns
    -------
    xarray.Dataset
        With ``wrong_answer_counts``, such as "3|1|1", the largest first.
    """
    table = to_table(evals)
    records: list[Mapping[str, Any]] = table[[name for name in KEY if name in table]].to_dict("records")  # type: ignore[assignment]
    table["wrong_answer_counts"] = [
        "|".join(str(count) for count in sorted(votes.get(_key(record), Counter()).values(), reverse=True))
        for record in records
    ]
    again = read_table(table)
    return again.assign_attrs({**evals.attrs, "data_sha256": again.attrs["data_sha256"]})


def _key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what names a cell, in one form for an attempt's row and for its cell."""
    parts: list[Any] = []
    for name in KEY:
        value = cell.get(name)
        if name == "n_samples" and value is None:
            value = cell.get("votes")
        if COLUMN[name].is_text:
            parts.append(as_text(value) or "")
        else:
            number = as_number(value)
            blank = number is None or math.isnan(number) or (name == "n_samples" and single_attempt(cell["strategy"]))
            parts.append(None if blank else number)
    return tuple(parts)


def _of_counts(source: Any, records: Records, counts: Iterator[dict[str, Any]], account: Account) -> xr.Dataset:
    """Read a table of counts, by the reader of such tables."""
    account.columns = {column.name: "column of the same name" for column in COLUMNS}
    account.note("a table of counts, not of attempts")
    plain = isinstance(source, pd.DataFrame)
    if isinstance(source, Path):
        # Tables in another encoding or cut by something else are read here.
        plain = source.suffix.lower() == f".{records.kind}" and records.kind in ("csv", "parquet") and not records.notes
    if plain:
        evals = read_table(source)
        account.columns = {name: how for name, how in account.columns.items() if name in evals}
        return _with_account(evals, account)
    rows = list(counts)
    names = {name for row in rows for name in row}
    account.columns = {name: how for name, how in account.columns.items() if name in names}
    for note in records.notes:
        account.note(note)
    return evals_from(rows, account, records.where)


def _with_account(evals: xr.Dataset, account: Account) -> xr.Dataset:
    account.counted = int(evals["attempts"].sum())
    return evals.assign_attrs(account=json.dumps(asdict(account)))
