"""Observed evaluations: their table, its readers, and simulated ones."""

from ds3bayes.evals.account import describe_reading
from ds3bayes.evals.choose import select, short_names, split, to_table
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
from ds3bayes.evals.votes import replay_votes

__all__ = [
    "COLUMNS",
    "READERS",
    "Account",
    "Column",
    "Reader",
    "Simulation",
    "data_sha256",
    "describe_columns",
    "describe_reading",
    "keep_columns",
    "read_attempts",
    "read_evals",
    "read_every_eval_ever",
    "read_inspect",
    "read_lm_eval",
    "register",
    "replay_votes",
    "select",
    "short_names",
    "simulate",
    "split",
    "strategy_names",
    "to_table",
]
