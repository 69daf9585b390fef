"""Read a table of evaluations: one table in, one validated and collapsed dataset out."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import xarray as xr
from numpy.typing import NDArray

from ds3bayes import files
from ds3bayes.errors import LIKE_SHOWN, InputError, counted, did_you_mean, listed
from ds3bayes.evals.cuts import name_cuts
from ds3bayes.evals.outputs import fill_outputs, searches_with_outputs
from ds3bayes.evals.schema import (
    ALWAYS,
    COLUMN,
    COLUMNS,
    KEY,
    SYNONYMS,
    UNNAMED,
    Column,
    misspelt,
    other_name,
    strategy_names,
)
from ds3bayes.strategies import STRATEGIES
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER, single_attempt

#: Rows of one kind of fault that are looked at for values that differ.
_LOOKED_AT = 200
#: How far tokens_mean and completion_tokens / attempts may differ, relative to the larger.
TOKENS_TOLERANCE = 0.005

#: Warnings point at who called into this part of the package.
_HERE = (str(Path(__file__).parent) + os.sep,)
#: Words that stand for nothing in a column of numbers.
BLANKS = frozenset({"", "na", "nan", "n/a", "null", "none", "<na>"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_COUNTS = re.compile(r"\d{1,15}(\|\d{1,15})*", re.ASCII)
_SHARES = re.compile(r"[1-9]\d{0,14}(\|[1-9]\d{0,14})*", re.ASCII)

#: Characters that nobody sees.
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
#: Names that no two attempts anywhere have: a UUID, or a short one.
_UNIQUE = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9A-Za-z]{22}", re.IGNORECASE | re.ASCII)
#: What pandas calls an index without a name.
_INDEX = re.compile(r"__index_level_\d+__")
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
#: What to do about scores between wrong and right; sums of them that happen to be whole are no counts either.
_PARTIAL = (
    ". Partial credit does not add up to successes, in no row of this table: count the attempts with full credit, and "
    "give the score of each in `grades` (such as '10|7|0') with `grade_max`"
)
#: Fewest tasks at which two runs that agree in everything are one run under two names, and how many of them must be
#: neither never nor always solved where no tokens tell.
_SAME_TASKS, _SAME_MIXED = 20, 10
#: How far mean tokens may exceed the budget that cuts them: budgets are not kept to the token.
_OVER_BUDGET = 0.05

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


# --- the public verbs ---------------------------------------------------------------------------------------


def read_table(source: str | os.PathLike[str] | pd.DataFrame) -> xr.Dataset:
    """Read a table of evaluations, check all of it, and collapse per-attempt rows to counts.

    What `ds3bayes.read_evals` does with a table of counts, and what every reader of logs ends in. Parameters, returned
    dataset, errors and warnings are those of `read_evals`, without options.

    Parameters
    ----------
    source : path or pandas.DataFrame

    Returns
    -------
    xarray.Dataset

    Examples
    --------
    >>> table = {"model": ["a"], "benchmark": ["b"], "task": ["007"], "strategy": ["cot"]}
    >>> evals = read_table(pd.DataFrame({**table, "attempts": [8], "successes": [5]}))
    >>> int(evals["successes"][0]), evals["task"].item()
    (5, '007')
    """
    table, assumed = _completed(_load(source))
    faults = _Faults(table)
    columns, ignored = _match_headers(table, faults)
    typed = _type_columns(table, columns, faults)
    if any(column.required and not typed.has(column.name) for column in COLUMNS):
        faults.stop()
    _check_rows(typed, faults)
    _fill_outputs(typed)
    group, first = _cells(typed, faults)
    _check_attempt_names(typed, group, faults)
    faults.stop()
    cells, thinned = _collapse(typed, group, first)
    if typed.has("answer"):
        cells |= _votes(typed, group, len(first), cells)
        del cells["answer"]
    if assumed:
        warnings.warn(f"{table.where}: {'; '.join(assumed)}", UserWarning, skip_file_prefixes=_HERE)
    if ignored:
        hints = [f"{name!r}{_hint(name, columns.absent)}" for name in ignored]
        warnings.warn(
            f"{table.where}: left out, not columns of an evaluation table: {'; '.join(hints)}",
            UserWarning,
            skip_file_prefixes=_HERE,
        )
    if thinned:
        warnings.warn(
            f"{table.where}: {', '.join(thinned)}: given for some attempts of a cell and not for others. "
            "Means and log-token moments are over the attempts that have it; totals of such cells are left "
            "blank.",
            UserWarning,
            skip_file_prefixes=_HERE,
        )
    tokens = np.asarray(cells.get("tokens_mean", np.array([])), dtype=float)
    free = bool(tokens.size) and np.nanmax(tokens, initial=-1.0) == 0.0
    if free:
        cells["tokens_mean"] = np.full(tokens.shape, np.nan)
    for sentence in [*_suspicions(cells, free), *_runs_under_two_names(typed, cells)]:
        warnings.warn(f"{table.where}: {sentence}", UserWarning, skip_file_prefixes=_HERE)
    return _dataset(cells, source=table.name, rows_read=typed.rows, ignored=", ".join(ignored))


def _fill_outputs(typed: _Typed) -> None:
    """Say of rows of searches how many answers each wrote out, before attempts of one row each are counted together."""
    codes, words = typed.texts["strategy"]
    search = searches_with_outputs(words)[codes]
    if search.any():
        given = (typed.number(name) for name in ("attempts", "kept_states", "outputs"))
        typed.numbers["outputs"] = fill_outputs(search, *given)


def _suspicions(cells: dict[str, Any], free: bool) -> list[str]:
    """Say what is possible, and is hardly ever what was evaluated: copies of attempts, and tokens that are free."""
    attempts, successes = (np.asarray(cells[name], dtype=float) for name in ("attempts", "successes"))
    found = []
    rows = pd.DataFrame({name: cells[name] for name in ("model", "benchmark")})
    rows["none"], rows["whole"] = successes == 0, successes == attempts
    named = np.asarray(cells["task"]) != "" if "task" in cells else False
    for (model, benchmark), mine in rows[(attempts >= 4) & named].groupby(["model", "benchmark"], sort=False):
        # An LLM may well solve nothing, or everything; to solve each task always or never is another matter.
        if len(mine) >= 10 and mine["none"].any() and mine["whole"].any() and (mine["none"] | mine["whole"]).all():
            found.append(
                f"all {len(mine)} rows of 4 attempts or more of {model} on {benchmark} have none or all of them right: "
                "is a score that was reduced over epochs, or a cached answer, counted several times? Copies make "
                "intervals far too narrow"
            )
    if free:
        found.append("tokens are 0 in all rows: taken as not known, not as free")
    return found


def _runs_under_two_names(typed: _Typed, cells: dict[str, Any]) -> list[str]:
    """Say which runs agree in all their attempts' names, or in all counts and tokens, as one run does with itself."""
    told = {name: cells[name] for name in KEY if name != "task" and name in cells}
    rows = pd.DataFrame({**told, "task": cells.get("task", ""), "attempts": cells["attempts"]})
    rows["successes"], rows["tokens"] = cells["successes"], cells.get("tokens_mean", np.nan)
    found: dict[tuple[str, str], str] = {}
    first: dict[Any, str] = {}
    named = rows[rows["task"] != ""]
    for _, mine in named.groupby(list(told), dropna=False, sort=False):
        if len(mine) < _SAME_TASKS:
            continue
        mixed = int(((mine["successes"] > 0) & (mine["successes"] < mine["attempts"])).sum())
        if max(mixed, mine["tokens"].nunique()) < _SAME_MIXED:
            continue
        ordered = mine.sort_values("task")
        counts = ordered[["attempts", "successes", "tokens"]].to_numpy(dtype=float)
        signature = (mine["benchmark"].iloc[0], *ordered["task"], counts.tobytes())
        label = _run_label(mine.iloc[0])
        if (other := first.setdefault(signature, label)) != label:
            found[other, label] = f"the same counts and tokens at all {len(mine)} tasks"
    for (other, label), number in _shared_attempts(typed).items():
        found.setdefault((other, label), f"{number} attempts of the same name")
    return [
        f"{other} and {label} have {what}: is one run there under two names, and so counted twice? Leave one out"
        for (other, label), what in found.items()
    ]


def _shared_attempts(typed: _Typed) -> dict[tuple[str, str], int]:
    """Count the attempts of each two runs that have one name, where names tell attempts apart all over a run."""
    if not typed.has("attempt"):
        return {}
    codes, words = typed.texts["attempt"]
    # Epochs start anew with every task.
    telling = np.array([bool(word) and not word.isdigit() for word in words])[codes] & ~typed.lost
    if not telling.any():
        return {}
    at = np.flatnonzero(telling)
    rows = pd.DataFrame(
        {"row": at, "run": _setting(typed)[at], "name": codes[at], "right": typed.number("successes")[at]}
    )
    rows = rows[~rows.duplicated(["run", "name"], keep=False).groupby(rows["run"]).transform("any")]
    rows = rows[rows.duplicated("name", keep=False)]
    unique = np.array([bool(_UNIQUE.fullmatch(word)) for word in words])
    shared: dict[tuple[str, str], int] = {}
    pairs = rows.merge(rows, on="name", suffixes=("", "_other"))
    for _, mine in pairs[pairs["run"] < pairs["run_other"]].groupby(["run", "run_other"], sort=False):
        same = bool((mine["right"] == mine["right_other"]).all())
        if unique[mine["name"]].all() or (same and len(mine) >= _SAME_MIXED):
            one, other = (
                _run_label({key: typed.text(key, mine[side].to_numpy()[:1])[0] for key in typed.texts if key in KEY})
                for side in ("row", "row_other")
            )
            shared[one, other] = len(mine)
    return shared


def _run_label(row: Any) -> str:
    """Name a run by what its rows share."""
    parts = [row[name] for name in KEY if name in row and name != "task"]
    return " | ".join(str(part) for part in parts if part == part and part not in ("", None))


def data_sha256(evals: xr.Dataset) -> str:
    """Return the SHA-256 of the content of evaluations, whatever the order of rows and columns.

    Parameters
    ----------
    evals : xarray.Dataset
        What `read_table` or any reader returned; dimension ``row``. Columns without any value do not count;
        numbers count to twelve significant digits.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    arrays = {column.name: evals[column.name].to_numpy() for column in COLUMNS if column.name in evals.data_vars}
    order = _canonical_order(arrays)
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = arrays[name][order]
        if values.dtype.kind == "f":
            if np.isnan(values).all():
                continue
            words = ["" if value != value else f"{value:.12g}" for value in values.tolist()]
        else:
            words = [str(value) for value in values.tolist()]
            if not any(words):
                continue
        # Text may hold anything but NUL.
        digest.update("\0".join([name, *words, "\0"]).encode())
    return digest.hexdigest()


# --- loading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table as it was found: headers, untyped columns, and how to name a row to its owner."""

    frame: pd.DataFrame
    headers: tuple[str, ...]
    where: str
    name: str
    is_csv: bool = False
    is_file: bool = True

    def place(self, row: int) -> str:
        return f"row {row + 1} (line {row + 2})" if self.is_csv else f"row {row + 1}"


def _completed(table: _Table) -> tuple[_Table, list[str]]:
    """Add what a file of counts may leave out, its benchmark and that attempts are single ones; and say so."""
    assumed = []
    frame, headers = table.frame, table.headers
    if table.is_file and {"attempts", "successes"} <= set(headers):
        for name, value, why in (
            ("benchmark", UNNAMED, f"no column 'benchmark', so that it is called {UNNAMED!r}"),
            (
                "strategy",
                DEFAULT_SAMPLER,
                f"no column 'strategy', so that attempts are single ones ({DEFAULT_SAMPLER!r})",
            ),
        ):
            unlike = [one for one in headers if one not in COLUMN]
            if name not in headers and not any(
                misspelt(one, (name,)) or name in other_name(one, (name,)) for one in unlike
            ):
                frame = frame.assign(**{f"\0{name}": value})
                headers = (*headers, name)
                assumed.append(why)
    return replace(table, frame=frame, headers=headers), assumed


def _load(source: str | os.PathLike[str] | pd.DataFrame) -> _Table:
    if isinstance(source, pd.DataFrame):
        headers = tuple(str(label) for label in source.columns)
        return _Table(frame=source, headers=headers, where="the DataFrame", name="DataFrame", is_file=False)
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            f"evaluations: got {type(source).__name__}; allowed: a path to a .csv or .parquet file, or a DataFrame"
        )
    path = Path(source)
    suffix = path.suffix.lower()
    if "\0" in str(path):
        raise InputError(f"{str(path)!r}: a path must not hold a NUL character")
    if suffix not in (".csv", ".parquet"):
        raise InputError(f"{path}: unknown file type {suffix or '(no suffix)'!r}; allowed: .csv, .parquet")
    files.readable(path, "table of evaluations (.csv or .parquet)")
    try:
        frame, headers = _load_csv(path) if suffix == ".csv" else _load_parquet(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}. Save it as UTF-8.") from error
    except InputError:
        raise
    except (OSError, ValueError, TypeError, csv.Error, pa.ArrowException, pd.errors.ParserWarning) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{path}: cannot be read as {suffix[1:]}: {reason[0]}") from error
    return _Table(frame=frame, headers=headers, where=str(path), name=path.name, is_csv=suffix == ".csv")


def _load_csv(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    ours = files.kind_of(path) == "table"
    with path.open(newline="", encoding="utf-8-sig") as lines:
        headers = next(csv.reader(lines), [])
    if not any(header.strip() for header in headers):
        raise InputError(f"{path}: the first line is empty; it must name the columns")
    with warnings.catch_warnings():
        # pandas only warns when every row is longer than the header; that loses data.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            path,
            header=0,
            # Numbered: pandas would rename headers that repeat, and take the first column for an index.
            names=list(range(len(headers))),
            index_col=False,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
        )
    # Blank lines at the end of a file are not rows.
    rows = len(frame)
    while rows and not any(str(cell).strip() for cell in frame.iloc[rows - 1] if cell == cell):
        rows -= 1
    frame = frame.iloc[:rows]
    return files.without_apostrophes(frame) if ours else frame, tuple(headers)


def _load_parquet(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    # What pandas notes of its own says nothing that the columns do not, and may be damaged.
    table = pq.read_table(path).replace_schema_metadata(None)
    frame = table.drop_columns([name for name in table.column_names if _INDEX.fullmatch(name)]).to_pandas()
    return frame, tuple(str(label) for label in frame.columns)


# --- faults -------------------------------------------------------------------------------------------------


@dataclass
class _Faults:
    """Faults of one table, as rows and how to describe them: a million bad rows cost twenty sentences."""

    table: _Table
    groups: list[tuple[Ints, Callable[[int], str]]] = field(default_factory=list)
    about_table: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.about_table.append(text)

    def add_rows(self, bad: Mask, say: Callable[[int], str]) -> None:
        rows = np.flatnonzero(bad)
        if rows.size:
            self.groups.append((rows, say))

    def cell(self, row: int, name: str) -> object:
        """Return what a cell holds."""
        return self.table.frame.iloc[row, self.table.headers.index(name)]

    def got(self, row: int, name: str) -> str:
        """Return a row's place, a column and the value found there."""
        return f"{self.table.place(row)}, column {name!r}: got {_shown(self.cell(row, name))}"

    def stop(self) -> None:
        """Raise what was found, if anything was: some of every kind, and how many more are like them."""
        total = len(self.about_table) + sum(rows.size for rows, _ in self.groups)
        if not total:
            return
        lines = [f"  - {text}" for text in self.about_table]
        for rows, say in sorted(self.groups, key=lambda group: group[0][0]):
            told: dict[str, str] = {}
            for row in rows[:_LOOKED_AT].tolist():
                text = say(row)
                told.setdefault(text.replace(self.table.place(row), ""), text)
            # Where all are told, as they are; else those that differ.
            few = rows.size <= LIKE_SHOWN + 1
            lines += listed([say(row) for row in rows.tolist()] if few else list(told.values()), rows.size)
        raise InputError("\n".join([f"{self.table.where}: {counted(total)}", *lines]))


def _shown(value: object) -> str:
    if isinstance(value, str):
        if not value.strip():
            return "nothing (blank)"
        text = value if _NUMBER.fullmatch(value.strip()) else repr(value)
    else:
        text = str(value) if isinstance(value, int | float | np.number) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


# --- headers and cells --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Headers:
    position: dict[str, int]
    absent: tuple[str, ...]


def _match_headers(table: _Table, faults: _Faults) -> tuple[_Headers, list[str]]:
    position: dict[str, int] = {}
    unknown: list[str] = []
    for index, header in enumerate(table.headers):
        if header in position:
            faults.add(f"column {header!r} appears more than once")
        elif header in COLUMN:
            position[header] = index
        elif header not in unknown:
            unknown.append(header)
    present = set(position) | {SYNONYMS[name] for name in position if name in SYNONYMS}
    absent = tuple(name for name in COLUMN if name not in present)
    spelt: set[str] = set()
    ignored = []
    for header in unknown:
        name = misspelt(header, absent)
        if name:
            spelt.add(name)
            faults.add(f"column {header!r} is not a column. Did you mean {name!r}? Rename the column, or remove it.")
        else:
            ignored.append(header)
    for column in COLUMNS:
        if column.required and column.name in absent and column.name not in spelt:
            called = [h for h in ignored if column.name in other_name(h, absent)]
            called += [h for h in ignored if not other_name(h, absent) and did_you_mean(h, [column.name])]
            near = f" Did you mean to rename {called[0]!r}?" if called else ""
            if column.name == "attempts":
                near += " In a table with a row per attempt it is 1."
            faults.add(f"column {column.name!r} ({column.meaning}) is missing and required.{near}")
    if len(table.headers) == 1 and any(mark in table.headers[0] for mark in ";\t"):
        faults.add(f"the header is {_shown(table.headers[0])}: is the file cut by something else than commas?")
    if not len(table.frame):
        faults.add("the table has no rows")
    return _Headers(position, absent), ignored


def _hint(header: str, absent: tuple[str, ...]) -> str:
    """Say which column a header may stand for, if any, with what the column holds."""
    names = other_name(header, absent)
    if not names:
        return did_you_mean(header, absent)
    return " Did you mean " + " or ".join(f"{name!r} ({COLUMN[name].meaning})" for name in names) + "?"


@dataclass
class _Typed:
    """Columns as arrays: numbers as float64, text as codes into words."""

    rows: int
    numbers: dict[str, Floats] = field(default_factory=dict)
    texts: dict[str, tuple[Ints, list[str]]] = field(default_factory=dict)
    #: Cells at fault, of the columns that name a cell and of those that rows are compared by.
    wrong: dict[str, Mask] = field(default_factory=dict)

    @property
    def lost(self) -> Mask:
        """Rows that cannot be compared with others, as it is unknown what they are about."""
        return np.any([*self.wrong.values(), np.zeros(self.rows, dtype=bool)], axis=0)

    def has(self, name: str) -> bool:
        return name in self.numbers or name in self.texts

    def number(self, name: str) -> Floats:
        return self.numbers.get(name, np.full(self.rows, np.nan))

    def given(self, name: str) -> Mask:
        if name in self.numbers:
            return ~np.isnan(self.numbers[name])
        if name not in self.texts:
            return np.zeros(self.rows, dtype=bool)
        codes, words = self.texts[name]
        return np.array([word != "" for word in words], dtype=bool)[codes]

    def text(self, name: str, rows: Ints) -> NDArray[np.object_]:
        codes, words = self.texts[name]
        return _objects(words)[codes[rows]]


def _objects(words: Sequence[str]) -> NDArray[np.object_]:
    array = np.empty(len(words), dtype=object)
    array[:] = words
    return array


def _type_columns(table: _Table, headers: _Headers, faults: _Faults) -> _Typed:
    typed = _Typed(rows=len(table.frame))
    for name, position in headers.position.items():
        series = table.frame.iloc[:, position]
        column = COLUMN[name]
        (_type_text if column.is_text else _type_number)(column, series, typed, faults)
    return typed


def _type_text(column: Column, series: pd.Series, typed: _Typed, faults: _Faults) -> None:
    name = column.name
    codes, words = _text_codes(series)
    problems = [_text_problem(column, word) for word in words]
    wrong = np.array([bool(problem) for problem in problems], dtype=bool)[codes]
    faults.add_rows(wrong, lambda row: f"{faults.got(row, name)}; allowed: {problems[codes[row]]}")
    if column.merge == "key" or name == "attempts":
        typed.wrong[name] = wrong
    # A strategy at fault stays, as its parameters are checked by what it says.
    drop = column.kind != "text"
    clean = ["" if word is None or (drop and problem) else word for word, problem in zip(words, problems, strict=True)]
    typed.texts[name] = (codes, clean)


def _text_problem(column: Column, word: str | None) -> str:
    """Return what is allowed where a word is not, or an empty string."""
    if word is None:
        return column.allowed
    if not word:
        return column.allowed if column.required else ""
    if _UNWRITABLE.search(word):
        return f"{column.allowed}, without NUL characters or lone surrogates"
    if column.kind == "shares" and not _SHARES.fullmatch(word):
        return column.allowed
    if column.kind == "counts" and not _COUNTS.fullmatch(word):
        return column.allowed
    if column.kind == "parts" and not all(part.strip() for part in word.split("|")):
        return column.allowed
    if column.name == "strategy":
        names = strategy_names()
        return "" if word in names else f"{', '.join(names)}.{did_you_mean(word, names)}"
    return ""


def _text_codes(series: pd.Series) -> tuple[Ints, list[str | None]]:
    """Return a column as codes into distinct words; None stands for what is no text."""
    if series.dtype == object:
        raw: list[str | None] = [as_text(value) for value in series]
        codes, uniques = pd.factorize(_objects(["" if word is None else "t" + word for word in raw]))
        found: list[str | None] = [word[1:] if word else None for word in uniques]
    else:
        codes, distinct = pd.factorize(series)
        found = [as_text(value) for value in distinct] + [""]
        codes = np.where(codes < 0, len(found) - 1, codes)
    # Distinct values may be one word, as NaN and "" are.
    words = list(dict.fromkeys(found))
    return np.array([words.index(word) for word in found] if len(words) != len(found) else range(len(found)))[
        codes
    ].astype(np.int64), words


def as_text(value: object) -> str | None:
    """Return a value as text, blank as an empty one, and None for what is no text."""
    if isinstance(value, str):
        return str(value) if value.strip() else ""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, int | np.integer):
        # Python refuses to print integers of more than some thousand digits.
        return str(int(value)) if abs(int(value)) < 10**300 else None
    if isinstance(value, float | np.floating):
        number = float(value)
        if math.isnan(number):
            return ""
        # A column of integers with a blank arrives as floats: 7.0 was 7.
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
    return None


def _type_number(column: Column, series: pd.Series, typed: _Typed, faults: _Faults) -> None:
    name = column.name
    values, readable = _number_values(series)
    blank = np.isnan(values) & readable
    with np.errstate(invalid="ignore"):
        fine = np.isfinite(values) & (values >= column.low) & (values <= column.high)
        if column.kind == "count":
            fine &= np.floor(values) == values
    wrong = ~fine & ~blank if not column.required else ~fine
    high = column.high

    def say(row: int) -> str:
        large = readable[row] and high < values[row] < np.inf and high > 1
        partial = name == "successes" and 0 < values[row] < np.inf and values[row] % 1 > 0
        return (
            f"{faults.got(row, name)}; allowed: "
            + (f"at most {high:.16g}" if large else column.allowed)
            + (_PARTIAL if partial else "")
        )

    faults.add_rows(wrong, say)
    if column.merge == "key" or name in ("attempts", "truncated"):
        typed.wrong[name] = wrong
    # Cells at fault become blank, so that one bad cell is one fault.
    typed.numbers[name] = np.where(fine, values, np.nan)


def _number_values(series: pd.Series) -> tuple[Floats, Mask]:
    """Return a column as float64 (NaN for blank), and which of its cells are numbers or blank."""
    dtype = series.dtype
    everything = np.ones(len(series), dtype=bool)
    plain = not isinstance(dtype, pd.CategoricalDtype | pd.SparseDtype)
    real = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
    if plain and (real or pd.api.types.is_bool_dtype(dtype)):
        return series.to_numpy(dtype=np.float64, na_value=np.nan), everything
    if isinstance(dtype, pd.StringDtype):
        codes, distinct = pd.factorize(series)
        parsed = [as_number(text) for text in distinct] + [np.nan]
    else:
        parsed = [as_number(value) for value in series.astype(object)]
        codes = np.arange(len(parsed))
    readable = np.array([number is not None for number in parsed], dtype=bool)
    values = np.array([np.nan if number is None else number for number in parsed], dtype=np.float64)
    return values[codes], readable[codes]


def as_number(value: object) -> float | None:
    """Return a value as a number, blank as NaN, and None for what is no number."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in BLANKS:
            return math.nan
        # Not float(): it also takes 1_000 and digits of other scripts.
        if _NUMBER.fullmatch(text):
            return float(text)
        return math.copysign(math.inf, -1 if text[0] == "-" else 1) if _INFINITE.fullmatch(text) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return math.nan
    if isinstance(value, bool | np.bool_ | int | np.integer | float | np.floating):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return None


# --- checks between cells -----------------------------------------------------------------------------------


def _check_rows(typed: _Typed, faults: _Faults) -> None:
    attempts, successes = typed.number("attempts"), typed.number("successes")

    def at_most(name: str, values: Floats, limit: Floats, what: str) -> None:
        faults.add_rows(
            values > limit, lambda row: f"{faults.got(row, name)}; allowed: at most {what} = {limit[row]:g}"
        )

    at_most("successes", successes, attempts, "attempts")
    for name in ("no_answer", "truncated"):
        # An attempt without an answer, or cut off before it, is no success.
        at_most(name, typed.number(name), attempts - successes, "attempts - successes")
    _check_accuracy(typed, faults)
    _check_sizes(typed, faults)
    _check_names(typed, faults)
    if typed.has("answer"):
        _check_answers(typed, faults)
    if typed.has("wrong_answer_counts"):
        codes, words = typed.texts["wrong_answer_counts"]
        sums = np.array([sum(map(int, word.split("|"))) if word else np.nan for word in words], dtype=np.float64)
        failures = np.maximum(attempts - successes, 0)
        faults.add_rows(
            sums[codes] > failures,
            lambda row: (
                f"{faults.got(row, 'wrong_answer_counts')}, {sums[codes[row]]:g} in all; allowed: at most "
                f"attempts - successes = {failures[row]:g}"
            ),
        )
    _check_synonyms(typed, faults)
    _check_tokens(typed, faults)
    _check_truncated(typed, faults)
    _check_traces(typed, faults)
    _check_tasks(typed, faults)
    _check_aggregates(typed, faults)
    _check_parameters(typed, faults)
    for column in COLUMNS:
        if column.about != "row" and typed.has(column.name):
            _check_constant(column, typed, faults)


def _check_answers(typed: _Typed, faults: _Faults) -> None:
    """Check that answers are of single attempts, said once, and no references."""
    given, attempts = typed.given("answer"), typed.number("attempts")
    faults.add_rows(
        given & (attempts != 1),
        lambda row: (
            f"{faults.got(row, 'answer')} in a row of {attempts[row]:g} attempts; allowed: blank. An answer is of one "
            "attempt; give wrong_answer_counts instead"
        ),
    )
    counted = typed.given("wrong_answer_counts")
    silent = typed.number("no_answer") > 0
    for name, twice in (("wrong_answer_counts", counted), ("no_answer", silent)):
        faults.add_rows(
            given & twice,
            lambda row, name=name: (  # type: ignore[misc]
                f"{faults.got(row, 'answer')} and {faults.got(row, name)}; allowed: one of them"
            ),
        )
    if not typed.has("task"):
        return
    # A reference is the same for right and for wrong attempts at a task.
    parts = [typed.texts[name][0] for name in ("benchmark", "task", "answer")]
    owner = _joined(parts)
    successes = typed.number("successes")
    right, wrong = (np.bincount(owner, weights=given & (successes == k)) > 0 for k in (1, 0))
    both = (right & wrong)[owner] & given & (successes == 0)
    faults.add_rows(
        both,
        lambda row: (
            f"{faults.got(row, 'answer')} in a wrong attempt, and in a right one at the same task: is it the right "
            "answer, rather than the one given? Rename or remove the column then, and correct the scores otherwise"
        ),
    )


def _check_accuracy(typed: _Typed, faults: _Faults) -> None:
    """Check a published success rate against the counts that are a rounding of it."""
    attempts, successes, accuracy = (typed.number(name) for name in ("attempts", "successes", "accuracy"))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = successes / attempts
    off = np.abs(accuracy - share) > 0.5 / np.maximum(attempts, 1.0) + 0.0005
    faults.add_rows(
        off,
        lambda row: (
            f"{faults.got(row, 'accuracy')}, but successes / attempts = {share[row]:.4g}; allowed: what rounding the "
            "counts leaves open"
        ),
    )


def _check_sizes(typed: _Typed, faults: _Faults) -> None:
    """Refuse sizes in billions, which no LLM is as small as."""
    for name, least, example in (("params", 1e4, "7e9 for 7B"), ("train_tokens", 1e4, "1.4e12 for 1.4T")):
        faults.add_rows(
            typed.number(name) < least,
            lambda row, name=name, example=example: (  # type: ignore[misc]
                f"{faults.got(row, name)}; allowed: the number itself, as in {example}"
            ),
        )


def _check_names(typed: _Typed, faults: _Faults) -> None:
    """Refuse names that only look alike: they would be taken for two LLMs, two benchmarks or two tasks."""
    for name in ("model", "benchmark", "effort", "task"):
        if not typed.has(name):
            continue
        codes, words = typed.texts[name]
        first: dict[str, int] = {}
        twin = np.full(len(words), -1, dtype=np.int64)
        for code, word in enumerate(words):
            # Ids of tasks may differ by case alone.
            plain = "".join(unicodedata.normalize("NFKC", word).translate(_UNSEEN).split())
            other = first.setdefault(plain if name == "task" else plain.casefold(), code)
            twin[code] = other if other != code and word and words[other] else -1
        rows = twin[codes] >= 0
        # Where a name first stands in the table.
        later = np.zeros(typed.rows, dtype=bool)
        later[np.unique(codes, return_index=True)[1]] = True
        faults.add_rows(
            rows & later,
            lambda row, name=name, codes=codes, words=words, twin=twin: (  # type: ignore[misc]
                f"{faults.got(row, name)}, which looks like {words[twin[codes[row]]]!a} (this is "
                f"{words[codes[row]]!a}); allowed: one spelling of a name"
            ),
        )


def _check_synonyms(typed: _Typed, faults: _Faults) -> None:
    """Bring two headers for one quantity together."""
    if typed.has("votes"):
        votes, samples = typed.numbers.pop("votes"), typed.number("n_samples")
        both = ~np.isnan(votes) & ~np.isnan(samples) & (votes != samples)
        faults.add_rows(
            both,
            lambda row: f"{faults.got(row, 'votes')}, but n_samples = {samples[row]:g}; they mean the same",
        )
        typed.numbers["n_samples"] = np.where(np.isnan(samples), votes, samples)
    if typed.has("completion_tokens"):
        total, mean = typed.numbers.pop("completion_tokens"), typed.number("tokens_mean")
        implied = total / typed.number("attempts")
        with np.errstate(invalid="ignore"):
            apart = np.abs(implied - mean) > TOKENS_TOLERANCE * np.maximum(implied, mean)
        faults.add_rows(
            apart,
            lambda row: (
                f"{faults.got(row, 'completion_tokens')}, which is {implied[row]:g} per attempt, but "
                f"tokens_mean = {mean[row]:g}; allowed: the same to {TOKENS_TOLERANCE:.1%}. "
                "completion_tokens is the row's total"
            ),
        )
        typed.numbers["tokens_mean"] = np.where(np.isnan(mean), implied, mean)


def _check_tokens(typed: _Typed, faults: _Faults) -> None:
    """Check mean tokens against those of the longest attempt, and against the cut of attempts that were cut off."""
    # A budget that attempts exceed was asked, and is no cut (`ds3bayes.evals.cuts`).
    tokens, limit = typed.number("tokens_mean"), typed.number("max_tokens")
    cut, samples = typed.number("truncated"), np.nan_to_num(typed.number("n_samples"), nan=1.0)

    def got(row: int) -> str:
        said = "tokens_mean" in faults.table.headers and not math.isnan(
            as_number(faults.cell(row, "tokens_mean")) or 0.0
        )
        return faults.got(row, "tokens_mean" if said else "completion_tokens")

    longest = typed.number("tokens_max")
    # A mean of totals may be off by its rounding.
    faults.add_rows(
        tokens > longest * (1 + 1e-9), lambda row: f"{got(row)}; allowed: at most tokens_max = {longest[row]:g}"
    )
    faults.add_rows(
        (cut > 0) & (tokens > limit * samples * (1 + _OVER_BUDGET)),
        lambda row: (
            f"{got(row)}, but attempts were cut off (truncated = {cut[row]:g}) at max_tokens = {limit[row]:g}; "
            "allowed: no more than that on average. If it is what the LLM was asked for, give it in `budget_tokens`, "
            "and in `max_tokens` the limit that cut its attempts"
        ),
    )


def _check_truncated(typed: _Typed, faults: _Faults) -> None:
    """Refuse rows that do not say how many attempts a budget cut, where others of the same budget do."""
    told = typed.given("truncated")
    there = (typed.given("budget_tokens") | typed.given("max_tokens")) & typed.given("task") & ~typed.lost
    if not (there & told).any() or "truncated" not in faults.table.headers:
        return
    names = ("model", "benchmark", "strategy", "n_samples", "effort")
    walk = _joined(_codes(typed, names))
    setting = _joined(_codes(typed, (*names, "budget_tokens", "max_tokens")))
    cuts = np.isin(walk, walk[there & (typed.number("truncated") > 0)])
    first = np.full(setting.max() + 1, -1, dtype=np.int64)
    rows = np.flatnonzero(there & told)[::-1]
    first[setting[rows]] = rows
    faults.add_rows(
        there & ~told & cuts & (first[setting] >= 0),
        lambda row: (
            f"{faults.got(row, 'truncated')}, but {faults.got(int(first[setting[row]]), 'truncated')} at the same "
            "budget; allowed: a count in every row of a budget, 0 where it cut no attempt, or in none"
        ),
    )


def _check_tasks(typed: _Typed, faults: _Faults) -> None:
    """Refuse rows without a task that may be about any: among others that name theirs, or of single attempts."""
    named, lost = typed.given("task"), typed.lost
    setting = _setting(typed)
    first = np.full(setting.max(initial=0) + 1, -1, dtype=np.int64)
    rows = np.flatnonzero(named & ~lost)[::-1]
    first[setting[rows]] = rows
    silent = ~named & ~lost & np.isnan(typed.number("tasks"))
    among = silent & (first[setting] >= 0)
    faults.add_rows(
        among,
        lambda row: (
            f"{faults.got(row, 'task')}, but {faults.got(int(first[setting[row]]), 'task')} of the same model, "
            "benchmark, strategy and parameters; allowed: a task in each of them. If the row adds up other tasks, say "
            "how many in `tasks`"
        ),
    )
    single = silent & ~among & (typed.number("attempts") == 1)
    several = np.bincount(setting[single], minlength=setting.max(initial=0) + 1)
    leading = np.zeros(typed.rows, dtype=bool)
    rows = np.flatnonzero(single & (several[setting] > 1))
    leading[rows[np.unique(setting[rows], return_index=True)[1]]] = True
    faults.add_rows(
        leading,
        lambda row: (
            f"{faults.table.place(row)} and {several[setting[row]] - 1} more hold one attempt each without a task, so "
            "that it is not known which are attempts at one task; allowed: a `task` in each row, or tasks = 1 in each "
            "where every attempt is at another task"
        ),
    )


def _check_attempt_names(typed: _Typed, group: Ints, faults: _Faults) -> None:
    """Check that what names one attempt names no other one of its cell."""
    if not typed.has("attempt"):
        return
    given, attempts = typed.given("attempt") & ~typed.lost, typed.number("attempts")
    faults.add_rows(
        given & (attempts > 1),
        lambda row: (
            f"{faults.got(row, 'attempt')} in a row of {attempts[row]:g} attempts; allowed: blank, or attempts = 1"
        ),
    )
    rows, codes = np.flatnonzero(given), typed.texts["attempt"][0]
    names = pd.DataFrame({"cell": group[rows], "name": codes[rows]})
    again = np.zeros(typed.rows, dtype=bool)
    again[rows[names.duplicated().to_numpy()]] = True
    first = dict(zip(map(tuple, names[::-1].to_numpy().tolist()), rows[::-1].tolist(), strict=True))
    faults.add_rows(
        again,
        lambda row: (
            f"{faults.got(row, 'attempt')}, as in {faults.table.place(first[group[row], codes[row]])} of the same "
            "model, benchmark, task, strategy and parameters; allowed: each attempt once"
        ),
    )


def _check_traces(typed: _Typed, faults: _Faults) -> None:
    """Check where wrong attempts went wrong against how many there were and how many steps their task has."""
    if not typed.has("steps_before_error"):
        return
    codes, words = typed.texts["steps_before_error"]
    steps = [[int(part) for part in word.split("|")] if word else [] for word in words]
    traced = np.array([len(found) for found in steps], dtype=np.float64)[codes]
    failures = typed.number("attempts") - typed.number("successes") - np.nan_to_num(typed.number("truncated"))
    faults.add_rows(
        traced > failures,
        lambda row: (
            f"{faults.got(row, 'steps_before_error')}, of {traced[row]:g} attempts; allowed: at most attempts - "
            f"successes - truncated = {failures[row]:g}, as only attempts that went wrong have a first wrong step"
        ),
    )
    deepest = np.array([max(found, default=0) for found in steps], dtype=np.float64)[codes]
    length = typed.number("steps")
    faults.add_rows(
        (traced > 0) & (deepest >= length),
        lambda row: (
            f"{faults.got(row, 'steps_before_error')}, but steps = {length[row]:g}; allowed: less than that, as an "
            "attempt with all its steps right is no wrong one"
        ),
    )


def _check_aggregates(typed: _Typed, faults: _Faults) -> None:
    if not typed.has("tasks"):
        return
    tasks, attempts, named = typed.number("tasks"), typed.number("attempts"), typed.given("task")
    faults.add_rows(
        named & (tasks > 1),
        lambda row: f"{faults.got(row, 'tasks')} in a row about one task; allowed: 1 or blank",
    )
    faults.add_rows(
        ~named & ~np.isnan(tasks) & (tasks != attempts),
        lambda row: (
            f"{faults.got(row, 'tasks')}, but attempts = {attempts[row]:g}; allowed: tasks = attempts, as a "
            "row without a task holds one attempt of each task. Give a row per task if they had several "
            "attempts"
        ),
    )


def _check_parameters(typed: _Typed, faults: _Faults) -> None:
    codes, words = typed.texts["strategy"]
    samples = typed.number("n_samples")

    def lacking(row: int) -> str:
        strategy = words[codes[row]]
        names = ["n_samples (or votes)" if name == "n_samples" else name for name in STRATEGIES[strategy].needs]
        return f"{faults.table.place(row)}: strategy {strategy!r} needs {' or '.join(names)}; got nothing"

    def needless(row: int) -> str:
        return (
            f"{faults.table.place(row)}, column 'n_samples': got {samples[row]:g} for strategy "
            f"{words[codes[row]]!r}; allowed: 1 or blank. best_of_n and majority choose among samples"
        )

    def no_search(row: int) -> str:
        return (
            f"{faults.got(row, 'outputs')} for strategy {words[codes[row]]!r}; allowed: 1 or blank. Only a tree search "
            "writes out several answers"
        )

    if typed.has("outputs"):
        faults.add_rows((typed.number("outputs") > 1) & ~searches_with_outputs(words)[codes], no_search)
    for code, strategy in enumerate(words):
        rows = codes == code
        # Names of no strategy have been named already.
        needs = STRATEGIES[strategy].needs if strategy in STRATEGIES else ()
        if needs:
            # A parameter at fault was given, and has been named already.
            there = [typed.given(name) for name in needs]
            there += [typed.wrong[name] for name in ("votes", *needs) if name in typed.wrong]
            faults.add_rows(rows & ~np.any(there, axis=0), lacking)
        if single_attempt(strategy):
            faults.add_rows(rows & (samples > 1), needless)


def _check_constant(column: Column, typed: _Typed, faults: _Faults) -> None:
    """Check that what is known of a task or a model is the same in all its rows."""
    given = typed.given(column.name)
    if column.about == "task":
        owner = _joined([typed.texts["benchmark"][0], typed.texts["task"][0]]) if typed.has("task") else None
        given &= typed.given("task")
    else:
        owner = typed.texts["model"][0]
    rows = np.flatnonzero(given)
    if owner is None or not rows.size:
        return
    values = typed.numbers[column.name] if column.name in typed.numbers else typed.texts[column.name][0]
    codes, owners = pd.factorize(owner[rows])
    first = np.full(len(owners), typed.rows, dtype=np.int64)
    np.minimum.at(first, codes, rows)
    reference = np.full(typed.rows, -1, dtype=np.int64)
    reference[rows] = first[codes]
    differs = given & (values != values[reference])
    faults.add_rows(
        differs,
        lambda row: (
            f"{faults.got(row, column.name)}, but {faults.got(int(reference[row]), column.name)} for the "
            f"same {column.about}; allowed: one value per {column.about}"
        ),
    )


def _joined(codes: Iterable[Ints]) -> Ints:
    """Return one code per distinct combination of codes."""
    result: Ints | None = None
    for code in codes:
        if result is None:
            result = code.astype(np.int64)
        else:
            result = pd.factorize(result * (int(code.max(initial=0)) + 1) + code)[0].astype(np.int64)
    assert result is not None
    return result


def _codes(typed: _Typed, names: Iterable[str]) -> list[Ints]:
    """Return columns that name a cell as codes, those that there are."""
    parts = []
    for name in names:
        if name in typed.texts:
            parts.append(typed.texts[name][0])
        elif name in typed.numbers:
            values = typed.numbers[name]
            if name == "n_samples":
                codes, words = typed.texts["strategy"]
                single = np.array([single_attempt(word) for word in words])[codes]
                # One sample, said or not, is the same setting where an attempt is one sample.
                values = np.where(single, np.nan, values)
            parts.append(pd.factorize(values)[0].astype(np.int64) + 1)
    return parts


def _setting(typed: _Typed) -> Ints:
    """Return one code per LLM, benchmark, strategy with its parameters, and run."""
    return _joined(_codes(typed, [name for name in KEY if name != "task"]))


# --- cells --------------------------------------------------------------------------------------------------


def _cells(typed: _Typed, faults: _Faults) -> tuple[Ints, Ints]:
    """Return the cell of each row and each cell's first row; cells that repeat wrongly are faults."""
    group, distinct = pd.factorize(_joined(_codes(typed, KEY)))
    group = group.astype(np.int64)
    first = np.full(len(distinct), typed.rows, dtype=np.int64)
    known = np.flatnonzero(~typed.lost)
    np.minimum.at(first, group[known], known)
    sizes = np.bincount(group, minlength=len(distinct))
    attempts = typed.number("attempts")
    mixed = np.bincount(group[known], weights=attempts[known] != 1, minlength=len(distinct)) > 0
    later = np.isin(np.arange(typed.rows), known) & (np.arange(typed.rows) != first[group])

    def say(row: int) -> str:
        other = int(first[group[row]])
        apart = [
            header
            for header, cell, twin in zip(
                faults.table.headers,
                faults.table.frame.iloc[row],
                faults.table.frame.iloc[other],
                strict=True,
            )
            if header in COLUMN and str(cell) != str(twin)
        ]
        values = f"but other {', '.join(apart)}" if apart else "and the same values"
        return (
            f"{faults.table.place(row)}: the same model, benchmark, task, strategy and parameters as "
            f"{faults.table.place(other)} {values}; rows must be distinct, except per-attempt rows (attempts "
            "= 1)"
        )

    faults.add_rows(later & mixed[group], say)
    repeats = (sizes > 1)[group] & ~mixed[group]
    for column in COLUMNS:
        if column.merge == "never":
            _check_alone(column.name, repeats, typed, faults)
    return group, first


def _check_alone(name: str, repeats: Mask, typed: _Typed, faults: _Faults) -> None:
    faults.add_rows(
        repeats & typed.given(name),
        lambda row: (
            f"{faults.got(row, name)} in a row of one attempt among several of its cell; allowed: blank, as "
            "it cannot be added up. Give the cell as one row of counts"
        ),
    )


def _collapse(typed: _Typed, group: Ints, first: Ints) -> tuple[dict[str, Any], list[str]]:
    """Return one value per cell and column, and the columns that only some attempts of a cell have."""
    cells: dict[str, Any] = {}
    if len(first) == typed.rows:
        # Nothing repeats: cell i is row i.
        cells |= typed.numbers
        cells |= {name: typed.text(name, first) for name in typed.texts if COLUMN[name].merge != "drop"}
        return cells, []
    number = len(first)
    sizes = np.bincount(group, minlength=number)
    thinned = []
    for column in COLUMNS:
        name = column.name
        if column.merge == "drop":
            continue
        if column.merge == "join" and name in typed.texts:
            cells[name] = _joined_texts(typed, name, group, number)
            continue
        if name in typed.texts:
            # A key is the same all over its cell, and so is what was checked to be; take the last word given.
            rows = first.copy()
            given = np.flatnonzero(typed.given(name))
            rows[group[given]] = given
            cells[name] = typed.text(name, rows)
            continue
        if name not in typed.numbers or column.merge == "moment":
            continue
        values = typed.numbers[name]
        given = np.flatnonzero(~np.isnan(values))
        counts = np.bincount(group[given], minlength=number)
        if column.merge in ("sum", "mean"):
            if np.any((counts > 0) & (counts < sizes)):
                thinned.append(name)
            total = _total(values[given], group[given], number)
            if column.merge == "sum":
                cells[name] = np.where(counts == sizes, total, np.nan)
            else:
                cells[name] = _ratio(total, counts)
        else:
            top = np.full(number, -np.inf)
            np.maximum.at(top, group[given], values[given])
            cells[name] = np.where(counts > 0, top, np.nan)
    cells |= _moments(typed, group, number)
    return cells, thinned


def _votes(typed: _Typed, group: Ints, number: int, cells: dict[str, Any]) -> dict[str, Any]:
    """Return how often each wrong answer of a cell was given, and how many attempts gave none.

    A cell without any answer, a right one among them, logged none: its votes are those that the table states, if any.
    """
    codes, words = typed.texts["answer"]
    blank = np.array([word == "" for word in words], dtype=bool)[codes]
    failed = typed.number("successes") == 0
    logged = np.bincount(group[~blank], minlength=number) > 0
    given = pd.DataFrame({"cell": group, "answer": codes})[failed & ~blank]
    sizes = given.groupby(["cell", "answer"]).size().sort_values(ascending=False, kind="stable")
    counts: list[list[str]] = [[] for _ in range(number)]
    for (cell, _), size in sizes.items():
        counts[cell].append(str(size))
    none = np.bincount(group, weights=failed & blank, minlength=number)
    stated = cells.get("wrong_answer_counts", _objects([""] * number))
    votes = ["|".join(parts) if known else text for parts, known, text in zip(counts, logged, stated, strict=True)]
    return {
        "wrong_answer_counts": _objects(votes),
        "no_answer": np.where(logged, none, cells.get("no_answer", np.full(number, np.nan))),
    }


def _joined_texts(typed: _Typed, name: str, group: Ints, number: int) -> NDArray[Any]:
    """Put the integers of all rows of a cell together, the smallest first: the order of rows must not matter."""
    codes, words = typed.texts[name]
    found: list[list[int]] = [[] for _ in range(number)]
    for row in np.flatnonzero(typed.given(name)):
        found[group[row]] += [int(part) for part in words[codes[row]].split("|")]
    return _objects(["|".join(map(str, sorted(parts))) for parts in found])


def _moments(typed: _Typed, group: Ints, number: int) -> dict[str, Floats]:
    """Return log-token moments by outcome: from single attempts where there are, else as given."""
    names = [column.name for column in COLUMNS if column.merge == "moment"]
    if not typed.has("tokens_mean") and not any(typed.has(name) for name in names):
        return {}
    tokens = typed.number("tokens_mean")
    right = typed.numbers["successes"] == 1
    single = typed.numbers["attempts"] == 1
    # Attempts without a token have no logarithm; they count in the other columns.
    logs = np.log(np.where(tokens > 0, tokens, np.nan))
    said = np.where(right, typed.number("log_tokens_mean_correct"), typed.number("log_tokens_mean_wrong"))
    logs = np.where(single, np.where(np.isnan(logs), said, logs), np.nan)
    moments = {}
    for outcome, chosen in (("correct", right), ("wrong", ~right)):
        rows = np.flatnonzero(chosen & ~np.isnan(logs))
        counts = np.bincount(group[rows], minlength=number)
        mean = _ratio(_total(logs[rows], group[rows], number), counts)
        spread = np.sqrt(_ratio(_total((logs[rows] - mean[group[rows]]) ** 2, group[rows], number), counts))
        # Equal tokens have no spread; rounding of their mean must not invent one.
        spread = np.where(spread < 1e-12, 0.0, spread)
        for moment, values in (("mean", mean), ("sd", spread)):
            name = f"log_tokens_{moment}_{outcome}"
            result = values.copy()
            whole = np.flatnonzero(~single)
            result[group[whole]] = typed.number(name)[whole]
            moments[name] = result
    return moments


def _total(values: Floats, group: Ints, number: int) -> Floats:
    # In order of value: a sum of floats depends on its order, and the order of rows must not matter.
    order = np.argsort(values, kind="stable")
    return np.bincount(group[order], weights=values[order], minlength=number).astype(np.float64)


def _ratio(total: Floats, counts: Ints) -> Floats:
    return np.divide(total, counts, out=np.full(len(total), np.nan), where=counts > 0)


# --- the dataset --------------------------------------------------------------------------------------------


def _dataset(cells: dict[str, Any], *, source: str, rows_read: int, ignored: str) -> xr.Dataset:
    number = len(cells["attempts"])
    arrays: dict[str, NDArray[Any]] = {}
    for column in COLUMNS:
        name = column.name
        if name not in cells and name not in ALWAYS:
            continue
        if column.is_text:
            arrays[name] = cells[name] if name in cells else _objects([""] * number)
        else:
            values = cells[name] if name in cells else np.full(number, np.nan)
            arrays[name] = values.astype(np.int64) if column.required else values
    order = _canonical_order(arrays)
    variables = {}
    for name, array in arrays.items():
        attrs = {"long_name": COLUMN[name].meaning}
        if COLUMN[name].unit:
            attrs["units"] = COLUMN[name].unit
        variables[name] = ("row", array[order], attrs)
    evals = xr.Dataset(variables)
    if "max_tokens" not in cells:
        evals = name_cuts(evals)
    return evals.assign_attrs(
        source=_writable(source),
        data_sha256=data_sha256(evals),
        rows_read=rows_read,
        ignored_columns=_writable(ignored),
    )


def _writable(text: str) -> str:
    # Names of files and headers may hold what no file format takes.
    return _UNWRITABLE.sub("\ufffd", text)


def _canonical_order(arrays: dict[str, NDArray[Any]]) -> Ints:
    ranks = []
    for name in KEY:
        if name not in arrays:
            # Fits keep evaluations as they were read, before there was such a column.
            continue
        values = arrays[name]
        if values.dtype.kind not in "fiu":
            codes, words = pd.factorize(values)
            rank = np.empty(len(words), dtype=np.int64)
            rank[sorted(range(len(words)), key=lambda index: words[index])] = np.arange(len(words))
            ranks.append(rank[codes])
        else:
            # Blank after every number.
            ranks.append(np.where(np.isnan(values), np.inf, values))
    return np.lexsort(ranks[::-1]).astype(np.int64)
