"""Observed evaluations: their table, its readers, and simulated ones."""

from ds3bayes.evals.choose import select, split, to_table
from ds3bayes.evals.read import data_sha256
from ds3bayes.evals.readers import (
    READERS,
    Account,
    Reader,
    read_attempts,
    read_evals,
    read_every_eval_ever,
    read_inspect,
    read_lm_eval,
    register,
)
from ds3bayes.evals.schema import COLUMNS, Column, describe_columns, keep_columns, strategy_names
from ds3bayes.evals.simulate import Simulation, simulate

__all__ = [
    "COLUMNS",
    "READERS",
    "Account",
    "Column",
    "Reader",
    "Simulation",
    "data_sha256",
    "describe_columns",
    "keep_columns",
    "read_attempts",
    "read_evals",
    "read_every_eval_ever",
    "read_inspect",
    "read_lm_eval",
    "register",
    "select",
    "simulate",
    "split",
    "strategy_names",
    "to_table",
]
