"""Read a folder of tables of counts, which together are one table."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals.choose import to_table
from ds3bayes.evals.read import read_table
from ds3bayes.evals.readers.attempts import evals_from
from ds3bayes.evals.readers.base import Account, Reader
from ds3bayes.evals.readers.records import MOST_FILES, files_below, first_record
from ds3bayes.evals.schema import KEY

SUFFIXES = (".csv", ".parquet")


class CountTables(Reader):
    """A folder with tables of counts (``attempts``, ``successes``), at any depth; each is checked by itself.

    Their rows add up to one table. A copy of a file counts once, and two files that hold the same cell (LLM, benchmark,
    task, strategy, parameters and run) are refused: nobody but their owner knows whether these are two runs or one.
    """

    name = "counts"
    title = "tables of counts in a folder"

    def recognises(self, source: Path) -> bool:
        """Return whether a folder holds such a table; a file that is one needs no reader."""
        try:
            return source.is_dir() and any(map(is_counts, _tables_in(source)))
        except (InputError, OSError):
            return False

    def read(self, source: Path) -> xr.Dataset:
        """Read all of a folder's tables of counts."""
        account = Account(reader=self.name, versions={"ds3bayes": version("ds3bayes")})
        found = {path: is_counts(path) for path in _tables_in(source)}
        tables: dict[Path, pd.DataFrame] = {}
        first: dict[str, Path] = {}
        said: set[str] = set()
        for path in (path for path, counts in found.items() if counts):
            account.source(path)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                table = to_table(read_table(path))
            name = path.relative_to(source).as_posix()
            attempts = int(table["attempts"].sum())
            copied = first.setdefault(account.sources[str(path)], path)
            if copied != path:
                account.leave_out(f"in a copy of {copied.relative_to(source).as_posix()}", str(path), attempts)
                continue
            for warning in caught:
                sentence = str(warning.message).removeprefix(f"{path}: ")
                said.add(sentence)
                account.note(f"{name}: {sentence}")
                warnings.warn(f"{path}: {sentence}", warning.category, stacklevel=2)
            account.note(f"{name}: {len(table):,} rows, {attempts:,} attempts")
            tables[path] = table
        passed = [path.relative_to(source).as_posix() for path, counts in found.items() if not counts]
        if passed:
            more = f" and {len(passed) - 3} more" if len(passed) > 3 else ""
            account.note(f"Not read, as they have no columns attempts and successes: {', '.join(passed[:3])}{more}")
        _refuse_shared(tables)
        joined = pd.concat(tables.values(), ignore_index=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            evals = evals_from({name: _plain(joined[name]) for name in joined}, account, str(source))
        for warning in caught:
            sentence = str(warning.message).removeprefix(f"{source}: ")
            if sentence not in said:
                warnings.warn(f"{source}: {sentence}", warning.category, stacklevel=2)
        return evals


def is_counts(path: Path) -> bool:
    """Return whether a file is a table of counts, by its columns."""
    record = first_record(path)
    return record is not None and {"attempts", "successes"} <= set(record)


def _tables_in(folder: Path) -> list[Path]:
    found = files_below(folder, "*", "holds no file", MOST_FILES)
    return [path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]


def _plain(column: pd.Series) -> list[Any]:
    """Return values as a reader has them: what one table has and another lacks is blank there."""
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        return ["" if value is None or value != value else value for value in column]
    return [None if value is None or np.isnan(value) else value for value in column.tolist()]


def _refuse_shared(tables: dict[Path, pd.DataFrame]) -> None:
    """Refuse cells that are in several files."""
    keys = [name for name in KEY if any(name in table for table in tables.values())]
    parts = []
    for path, table in tables.items():
        texts = table.reindex(columns=keys).astype(object)
        parts.append(texts.where(texts.notna(), "").astype(str).assign(_file=str(path)))
    cells = pd.concat(parts)
    shared = cells[cells.duplicated(keys, keep=False)].groupby(keys, sort=False)["_file"].agg(list)
    if shared.empty:
        return
    faults = [
        f"{' and '.join(files)} both have {' | '.join(value for value in cell if value)}"
        for cell, files in shared.items()
        if isinstance(cell, tuple)
    ]
    where = (
        "tables of counts of one folder, of which no two may have the same cell (name runs in a column `run`, or take"
    )
    raise InputError.of_faults(f"{where} one of the files away)", faults)
