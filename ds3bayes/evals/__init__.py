"""Observed evaluations: their table, its readers, and simulated ones."""

from ds3bayes.evals.choose import select, split, to_table
from ds3bayes.evals.read import data_sha256, read_evals
from ds3bayes.evals.readers.inspect import read_inspect
from ds3bayes.evals.schema import COLUMNS, Column, describe_columns, strategy_names
from ds3bayes.evals.simulate import Simulation, simulate

__all__ = [
    "COLUMNS",
    "Column",
    "Simulation",
    "data_sha256",
    "describe_columns",
    "read_evals",
    "read_inspect",
    "select",
    "simulate",
    "split",
    "strategy_names",
    "to_table",
]
