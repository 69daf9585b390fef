"""Inference strategies: how attempts at a task are drawn, selected and paid for."""

from ds3bayes.strategies.base import STRATEGIES, AttemptStrategy, Strategy, Verifier, register
from ds3bayes.strategies.best_of_n import BestOfN
from ds3bayes.strategies.cot import CoT
from ds3bayes.strategies.direct import Direct
from ds3bayes.strategies.majority import Majority
from ds3bayes.strategies.pass_power import PassPower
from ds3bayes.strategies.text import parse_strategy
from ds3bayes.strategies.tot import TreeOfThought

__all__ = [
    "STRATEGIES",
    "AttemptStrategy",
    "BestOfN",
    "CoT",
    "Direct",
    "Majority",
    "PassPower",
    "Strategy",
    "TreeOfThought",
    "Verifier",
    "parse_strategy",
    "register",
]
