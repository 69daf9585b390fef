"""Readers of evaluation logs, one file each."""

from __future__ import annotations

from ds3bayes.evals.readers.attempts import AttemptsReader, read_attempts
from ds3bayes.evals.readers.base import READERS, Account, LeftOut, Reader, as_evals, register
from ds3bayes.evals.readers.every_eval_ever import EveryEvalEver, read_every_eval_ever
from ds3bayes.evals.readers.file_by_file import FileReader
from ds3bayes.evals.readers.find import read_evals
from ds3bayes.evals.readers.inspect import InspectLogs, read_inspect
from ds3bayes.evals.readers.lm_eval import LMEval, read_lm_eval
from ds3bayes.evals.readers.recipes import (
    AiderPolyglot,
    EvalPlus,
    Helm,
    MathArena,
    OpenCompass,
    Promptfoo,
    TauBench,
    TerminalBench,
)

for _reader in (
    *(InspectLogs(), LMEval(), EveryEvalEver()),
    *(TauBench(), TerminalBench(), AiderPolyglot(), EvalPlus(), Promptfoo(), Helm(), OpenCompass(), MathArena()),
    AttemptsReader(),
):
    register(_reader)

__all__ = [
    "READERS",
    "Account",
    "AttemptsReader",
    "FileReader",
    "LeftOut",
    "Reader",
    "as_evals",
    "read_attempts",
    "read_evals",
    "read_every_eval_ever",
    "read_inspect",
    "read_lm_eval",
    "register",
]
