"""Logs of which each file is read by itself: one file, or a folder of several that add up."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals.readers.attempts import evals_from
from ds3bayes.evals.readers.base import Account, Reader
from ds3bayes.evals.readers.grades import graded
from ds3bayes.evals.readers.records import MOST_FILES, files_below, shown

#: Key of a row, no column, that tells entries which several files hold: texts, of which the first is the entry's own.
#: An entry is a copy if an earlier file has one with its own text, or any other file one that has it among the others.
IDENTITY = "identity"


class FileReader(Reader):
    """A kind of log of which each file is read by itself.

    Of a folder all files of the kind are read, at any depth, and add up. A copy of a file counts once, and so does an
    entry that several files hold, where the kind can tell (`IDENTITY`). An option may be a mapping from a part of a
    file's path (or a pattern of it) to a value, where files need different ones::

        ds3.read_evals("results", benchmark={"retail*": "retail", "airline*": "airline"})
    """

    #: Names of such files in a folder, as `pathlib.Path.rglob` takes them.
    pattern: ClassVar[str] = "*"

    @abstractmethod
    def is_one(self, path: Path) -> bool:
        """Return whether a file is of this kind, by its content; never raises."""

    @abstractmethod
    def rows(self, path: Path, account: Account, **options: Any) -> list[dict[str, Any]]:
        """Return rows of the evaluation table, one or more, and say in the account what was left out.

        Parameters
        ----------
        path : Path
            Of a file.
        account : Account
        **options
            The reader's own.
        """

    def recognises(self, source: Path) -> bool:
        """Return whether a file, or one in a folder, is of this kind."""
        try:
            return any(self.is_one(path) for path in self._files(source))
        except (InputError, OSError):
            return False

    def options(self) -> list[str] | None:
        """Return the names of the options that `rows` takes."""
        return list(inspect.signature(self.rows).parameters)[2:]

    def read(self, source: Path, **options: Any) -> xr.Dataset:
        """Read a file or a folder, with the options of `rows`."""
        account = Account(reader=self.name, versions={"ds3bayes": version("ds3bayes")})
        found: list[tuple[Path, dict[str, Any], tuple[str, ...]]] = []
        first: dict[str, Path] = {}
        passed = []
        for path in self._files(source):
            if path != source and not self.is_one(path):
                passed.append(path.name)
                continue
            account.source(path)
            digest = account.sources[str(path)]
            chosen = {name: _of_file(name, value, path, source) for name, value in options.items()}
            if digest in first:
                copies = self.rows(path, Account(reader=self.name), **chosen)
                attempts = sum(int(row["attempts"]) for row in copies)
                account.leave_out(f"in a copy of {first[digest].name}", str(path), attempts)
                continue
            first[digest] = path
            found += [(path, row, row.pop(IDENTITY, None) or ()) for row in self.rows(path, account, **chosen)]
        rows = []
        files: dict[str, list[Path]] = {}
        for path, _, texts in found:
            for text in texts[1:]:
                files.setdefault(text, []).append(path)
        seen: dict[str, Path] = {}
        for path, row, texts in found:
            own = texts[0] if texts else ""
            if own and (seen.setdefault(own, path) != path or any(other != path for other in files.get(own, ()))):
                account.leave_out("in entries that another file holds too", str(path), int(row["attempts"]))
                continue
            rows.append(row)
        if passed and source.is_dir():
            more = f" and {len(passed) - 3} more" if len(passed) > 3 else ""
            account.note(f"Not read, as they are no {self.title}: {', '.join(passed[:3])}{more}")
        return evals_from(graded(rows, str(source)), account, str(source))

    def _files(self, source: Path) -> list[Path]:
        found = files_below(source, self.pattern, f"holds no {self.title}", MOST_FILES)
        return [path for path in found if path == source or not path.name.startswith(".")]


def _of_file(name: str, value: Any, path: Path, source: Path) -> Any:
    """Return an option for a file, which a mapping gives by a part of the file's path."""
    if not isinstance(value, Mapping):
        return value
    place = path.relative_to(source) if source.is_dir() else Path(path.name)
    texts = (place.as_posix(), *place.parts, place.stem)
    for key, one in value.items():
        if any(fnmatch(text, str(key)) for text in texts):
            return one
    keys = ", ".join(shown(key) for key in value)
    raise InputError(
        f"{path}: no key of {name}= ({keys or 'none'}) is a part of its path, or a pattern of one; add one"
    )
