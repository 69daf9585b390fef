"""Inference strategies: how attempts at a task are drawn, selected and paid for."""

from ds3bayes.strategies.attempts import AttemptStrategy
from ds3bayes.strategies.base import STRATEGIES, Architecture, Decisions, Strategy, Verifier, register
from ds3bayes.strategies.beam import Beam
from ds3bayes.strategies.best_of_n import BestOfN
from ds3bayes.strategies.cot import CoT
from ds3bayes.strategies.direct import Direct
from ds3bayes.strategies.early_stopping import EarlyStoppingMajority
from ds3bayes.strategies.g_pass import GPass
from ds3bayes.strategies.laws import Rates, strategy_laws
from ds3bayes.strategies.majority import Majority
from ds3bayes.strategies.pass_power import PassPower
from ds3bayes.strategies.revision import Revision
from ds3bayes.strategies.step_search import StepSearch
from ds3bayes.strategies.task import PathTask
from ds3bayes.strategies.text import parse_strategy
from ds3bayes.strategies.tot import TreeOfThought
from ds3bayes.strategies.weighted_vote import WeightedBestOfN

__all__ = [
    "STRATEGIES",
    "Architecture",
    "AttemptStrategy",
    "Beam",
    "BestOfN",
    "CoT",
    "Decisions",
    "Direct",
    "EarlyStoppingMajority",
    "GPass",
    "Majority",
    "PassPower",
    "PathTask",
    "Rates",
    "Revision",
    "StepSearch",
    "Strategy",
    "TreeOfThought",
    "Verifier",
    "WeightedBestOfN",
    "parse_strategy",
    "register",
    "strategy_laws",
]
