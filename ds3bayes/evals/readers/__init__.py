"""Readers of evaluation logs, one file each."""

from __future__ import annotations

from ds3bayes.evals.readers.attempts import AttemptsReader, read_attempts
from ds3bayes.evals.readers.base import READERS, Account, LeftOut, Reader, as_evals, register
from ds3bayes.evals.readers.find import read_evals

register(AttemptsReader())

__all__ = [
    "READERS",
    "Account",
    "AttemptsReader",
    "LeftOut",
    "Reader",
    "as_evals",
    "read_attempts",
    "read_evals",
    "register",
]
