"""Inference strategies: how attempts at a task are drawn, selected and paid for.

Strategies have a text form: ``cot(budget_tokens=16000)`` (asked), ``cot(max_tokens=4000)`` (cut), ``best_of_n(n=16,
verifier=noisy(d=1.5))``, ``best_of_n(n=16, verifier=learned(name=prm))`` (its discrimination comes from the fit),
``majority(n=8, wrong_shares=[0.5, 0.3, 0.2])``, ``pass_power(n=4)``, ``tot(branching=5, kept_states=5, outputs=5,
evaluator=noisy(d=2))``. One that leaves the effort open is predicted at every effort observed.

Beside those there are ``weighted_best_of_n(n=16, verifier=noisy(d=1))``, ``early_stopping_majority(n=16,
confidence=0.95)``, ``g_pass(n=16, right=8)``, ``revision(n=4, check=noisy(d=2), threshold=1)``, ``beam(branching=4,
width=4, evaluator=noisy(d=2))`` and ``step_search(branching=4)``.
"""

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
