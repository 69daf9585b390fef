"""What every reader of evaluation logs shares: how it is found, and the account that it gives of what it read."""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.evals.read import read_table

#: Examples that an account names of each kind of attempts left out.
EXAMPLES = 5


@dataclass(kw_only=True)
class LeftOut:
    """Attempts of one kind that were not counted.

    Parameters
    ----------
    why : str
        One sentence without a full stop, such as "errored before they were scored".
    count : int
        How many attempts.
    examples : list of str
        Where the first few are: file, task and attempt.
    """

    why: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Account:
    """What a reader did: it travels with the evaluations, as JSON in ``attrs["account"]``.

    Parameters
    ----------
    reader : str
        Name of the reader.
    sources : dict of str to str
        SHA-256 of each file that was read, by its path as it was given.
    counted : int
        Attempts counted.
    left_out : list of LeftOut
    columns : dict of str to str
        How columns or fields of the source were understood: the table's column, and from what it was taken.
    notes : list of str
        Decisions that a person should know, one sentence each.
    versions : dict of str to str
        Of the libraries that read.
    """

    reader: str
    sources: dict[str, str] = field(default_factory=dict)
    counted: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def leave_out(self, why: str, where: str, count: int = 1) -> None:
        """Add attempts that are not counted, with the place of one of them."""
        entry = next((one for one in self.left_out if one.why == why), None)
        if entry is None:
            entry = LeftOut(why=why)
            self.left_out.append(entry)
        entry.count += count
        if len(entry.examples) < EXAMPLES:
            entry.examples.append(where)

    def note(self, sentence: str) -> None:
        """Add a decision, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def source(self, path: Path, content: bytes | None = None, *, name: str = "") -> None:
        """Add a file with the hash of its content, which is read in pieces unless given; by its path unless named."""
        if content is not None:
            self.sources[name or str(path)] = hashlib.sha256(content).hexdigest()
            return
        with path.open("rb") as file:
            self.sources[name or str(path)] = hashlib.file_digest(file, "sha256").hexdigest()


class Reader(ABC):
    """A kind of log; one subclass and one file per kind."""

    #: By which `read_evals` and the command line name it.
    name: ClassVar[str]
    #: What people call such logs, for messages.
    title: ClassVar[str]
    #: Whether it is asked after all others, as it reads tables of any kind.
    last: ClassVar[bool] = False
    #: Whether such logs are tables that `read_attempts` may read as well, as their columns mean what they say.
    is_table: ClassVar[bool] = False
    #: The public function that reads such logs (a ``staticmethod``), where there is one; its options are the reader's.
    function: ClassVar[Callable[..., xr.Dataset] | None] = None

    @abstractmethod
    def recognises(self, source: Path) -> bool:
        """Return whether a file or folder is of this kind, by its content and not by its name; never raises."""

    def read(self, source: Path, **options: Any) -> xr.Dataset:
        """Read it, with options of the kind's own: by `function`, unless a subclass says how."""
        if self.function is None:
            raise NotImplementedError(f"reader {self.name!r} has neither a function nor a way to read")
        return self.function(source, **options)

    def options(self) -> list[str] | None:
        """Return the names of the options that `read` takes; None if it takes any."""
        parameters = list(inspect.signature(self.function or self.read).parameters.values())[1:]
        if any(one.kind is one.VAR_KEYWORD for one in parameters):
            return None
        return [one.name for one in parameters]


#: Readers in use, by name; the first that recognises a source reads it.
READERS: dict[str, Reader] = {}


def register(reader: Reader) -> Reader:
    """Put a reader to use; one of the same name is replaced."""
    READERS[reader.name] = reader
    return reader


def as_evals(attempts: pd.DataFrame | Iterable[Mapping[str, Any]], account: Account) -> xr.Dataset:
    """Turn rows of the evaluation table, usually one per attempt, into evaluations with their account.

    Parameters
    ----------
    attempts : pandas.DataFrame or iterable of mapping
        Columns as in `describe_columns`; ids are text. Budgets are what was asked: a reader that knows where attempts
        were cut says so in ``max_tokens``.
    account : Account

    Returns
    -------
    xarray.Dataset
        As from `read_evals` of a table, with ``attrs["account"]``.
    """
    frame = attempts if isinstance(attempts, pd.DataFrame) else pd.DataFrame(list(attempts))
    if "max_tokens" not in frame:
        frame = frame.assign(max_tokens=np.nan)
    evals = read_table(frame)
    account.counted = int(evals["attempts"].sum())
    return evals.assign_attrs(account=json.dumps(asdict(account)))
