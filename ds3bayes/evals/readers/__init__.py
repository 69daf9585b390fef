"""Readers of evaluation logs, one file each."""

from __future__ import annotations

from ds3bayes.evals.readers.base import Account, LeftOut, Reader, as_evals
from ds3bayes.evals.readers.inspect import InspectLogs

#: Readers in use, by name; the first that recognises a source reads it.
READERS: dict[str, Reader] = {}


def register(reader: Reader) -> Reader:
    """Put a reader to use; one of the same name is replaced."""
    READERS[reader.name] = reader
    return reader


register(InspectLogs())

__all__ = ["READERS", "Account", "LeftOut", "Reader", "as_evals", "register"]
