"""Readers of evaluation logs, one file each.

The reader is found by what a source holds, not by its name, a file or a folder of them. What is minded of each:

* Inspect logs (``.eval``, ``.json``, folders of them): ``read_inspect``: retries, repeats, edited and invalidated
  samples; a grader's tokens are not the LLM's; partial credit needs a rule (``success=``), or is kept as grades
  (``grades=``)
* LM Evaluation Harness samples: ``read_lm_eval``: only scored responses count; ``maj@k`` is a majority vote; filters
  are chosen
* Every Eval Ever records: ``read_every_eval_ever``: a mean over epochs is no success in each;
  ``ds3.write_every_eval_ever(fit, folder)`` writes intervals back
* HELM, EvalPlus, promptfoo, tau-bench, terminal-bench, Aider, MathArena, OpenCompass: cached repeats, crashes scored
  0, retries after feedback; a folder of files adds up, copies count once
* a folder of tables of counts: each is checked by itself, and no cell may be in two of them
* a row per attempt, as CSV, TSV, JSONL, Parquet, Excel: ``read_attempts``: columns by their usual names, or by yours;
  ids stay text

``read_evals`` says how it understood the columns and what it left out (errored, unscored or repeated attempts, with
the reason and the place). Where a column could mean two things it asks, rather than guess: ``--with scorer=match
--with success=0.5`` says what a reader asks for.
"""

from __future__ import annotations

from ds3bayes.evals.readers.attempts import AttemptsReader, read_attempts
from ds3bayes.evals.readers.base import READERS, Account, LeftOut, Reader, as_evals, register
from ds3bayes.evals.readers.count_tables import CountTables
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
    *(CountTables(), AttemptsReader()),
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
