"""Read evaluations of any kind: the reader is found by what the source holds, not by its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from ds3bayes import files
from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals.read import read_table
from ds3bayes.evals.readers.attempts import AttemptsReader, read_attempts
from ds3bayes.evals.readers.base import READERS, Reader
from ds3bayes.evals.readers.records import describe_text, first_record, kind_of, shown

_TABLES = (".csv", ".parquet")


def read_evals(source: str | os.PathLike[str] | pd.DataFrame, **options: Any) -> xr.Dataset:
    """Read evaluations: a table of counts, or logs of any kind that a reader recognises.

    Parameters
    ----------
    source : path or pandas.DataFrame
        A table of evaluations: a ``.csv`` file (UTF-8, comma-separated, with a header), a ``.parquet`` file or a
        frame, with one row per model, benchmark, task, strategy and its parameters; `describe_columns` lists the
        columns. Rows of one attempt each may repeat their cell: they are added up. In text columns only an empty
        cell is blank (``NA`` is a name); in number columns ``NaN``, ``NA``, ``null`` and ``None`` are blank too.
        Or a folder of such tables, or a file or folder of logs: the first reader that recognises its content reads
        it, and one that reads any table of attempts (`read_attempts`) comes last. A frame is read as its ``.csv``
        would be: with a column for the outcome of an attempt (``correct``, ``score``, ...) in place of counts, by
        `read_attempts`.
    **options
        For the reader of logs. A table of counts takes none. Where a folder holds several files of a benchmark program
        that need different values, a mapping gives them by a part of a file's path:
        ``benchmark={"retail": "tau-retail", "airline": "tau-airline"}``.

    Returns
    -------
    xarray.Dataset
        Dimension ``row``, sorted by the columns that name a cell, so that the order of the input's rows and
        columns does not matter. ``attempts`` and ``successes`` are int64, other numbers float64 with NaN for
        "not given", text is ``str`` objects with ``""`` for "not given". There are the columns that the input
        has, and always ``task``, ``effort``, ``n_samples``, ``budget_tokens``, ``max_tokens``, ``branching``,
        ``kept_states`` and ``verifier``. Of a table without ``max_tokens`` those budgets become cuts whose rows
        count attempts that they truncated, if none is longer than its budget. ``votes`` becomes ``n_samples`` and
        ``completion_tokens`` becomes ``tokens_mean``.
        Where rows were added up and hold tokens, every cell of single attempts gets the log-token moments by
        outcome. Attributes: ``source`` (file name), ``data_sha256`` (of the content, whatever the order),
        ``rows_read``, ``ignored_columns`` (headers left out, joined by ``", "``), and for logs ``account``
        (JSON: files, counts, what was left out and why, how columns were understood).

    Raises
    ------
    InputError
        If the source cannot be read, no reader recognises it, or any cell, row or cell of rows is at fault. All
        faults are found at once.

    Warns
    -----
    UserWarning
        Once for headers that are no column of the table, and once where some of the attempts that were added
        up lack a number that others have.

    Examples
    --------
    >>> table = {"model": ["a"], "benchmark": ["b"], "task": ["007"], "strategy": ["cot"]}
    >>> evals = read_evals(pd.DataFrame({**table, "attempts": [8], "successes": [5]}))
    >>> int(evals["successes"][0]), evals["task"].item()
    (5, '007')
    """
    if isinstance(source, pd.DataFrame) and AttemptsReader.has_attempts(source.columns):
        return read_attempts(source, **options)
    path = _existing(source)
    _check_exists(source)
    if path is not None and not path.is_dir():
        files.readable(path, "table of evaluations, or log,")
    reader = _reader_of(path) if path is not None else None
    if reader is not None and path is not None:
        _check_options(reader, path, options)
        return reader.read(path, **options)
    if path is not None and (path.is_dir() or path.suffix.lower() not in _TABLES):
        raise _unrecognised(path)
    if options:
        names = ", ".join(options)
        raise InputError(f"{path or 'the source'}: a table of counts takes no options; got {names}. They are for logs")
    try:
        return read_table(source)
    except InputError as error:
        understood = describe_text(path) if path is not None and path.suffix.lower() == ".csv" else ""
        if not understood or understood == "UTF-8 text, cut by ','":
            raise
        raise InputError(f"{error} It looks like {understood}") from error


def _existing(source: object) -> Path | None:
    if not isinstance(source, str | os.PathLike) or "\0" in str(source):
        return None
    # Not Path.exists(): it raises for names that are too long.
    return Path(source) if os.path.exists(source) else None


def _check_exists(source: object) -> None:
    """Say of a log that is not there that it is not; of tables, their own reader says it."""
    if not isinstance(source, str | os.PathLike) or "\0" in str(source) or os.path.exists(source):
        return
    path = Path(source)
    if path.suffix.lower() not in _TABLES:
        try:
            near = did_you_mean(path.name, os.listdir(path.parent))
        except OSError:
            near = ""
        raise InputError(f"{path}: no such file; a table of evaluations, a log or a folder of logs is needed.{near}")


def _reader_of(path: Path) -> Reader | None:
    if path.suffix.lower() in _TABLES and path.is_file():
        record = first_record(path)
        if record is None or {"attempts", "successes"} & set(record):
            return None
    for reader in sorted(READERS.values(), key=lambda reader: reader.last):
        if reader.recognises(path):
            return reader
    return None


def _check_options(reader: Reader, path: Path, options: dict[str, Any]) -> None:
    """Refuse options that the reader lacks, and say which it has."""
    allowed = reader.options()
    unknown = [] if allowed is None else [name for name in options if name not in allowed]
    if allowed is not None and unknown:
        raise InputError(
            f"{path}: read by {reader.name!r} ({reader.title}), which has no option {', '.join(unknown)}; allowed: "
            f"{', '.join(allowed) or 'none'}"
        )


def _unrecognised(path: Path) -> InputError:
    readers = "; ".join(f"{name} ({reader.title})" for name, reader in READERS.items())
    if path.is_dir():
        names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        found = f"is a directory, in which no reader recognised anything; it holds {', '.join(names[:10]) or 'nothing'}"
        return InputError(f"{path}: {found}{more}. Readers: {readers}")
    kind = kind_of(path)
    record = first_record(path)
    content = {"csv": "text", "empty": "nothing", "binary": "bytes that are no text"}.get(kind, kind)
    if record:
        content += " with the fields " + ", ".join(shown(name) for name in list(record)[:10])
    suffix = path.suffix.lower() or "(no suffix)"
    return InputError(
        f"{path}: unknown file type {suffix!r}; allowed: .csv, .parquet with a table of counts, or what one of these "
        f"readers recognises: {readers}. Found: {content}"
    )
