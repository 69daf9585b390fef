"""Bayesian calibration of LLM inference strategies as directed stochastic skill search."""

from ds3bayes.errors import InputError
from ds3bayes.evals import read_evals
from ds3bayes.evals.simulate import Simulation, simulate
from ds3bayes.generative.build import build_model
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.checks import CheckResult, check
from ds3bayes.inference.fit import FitWarning, fit
from ds3bayes.inference.prior import prior_beliefs
from ds3bayes.inference.store import load, save
from ds3bayes.queries.calibration import calibration_table, held_out_calibration, sbc, sbc_check
from ds3bayes.queries.compare import observed_vs_predicted
from ds3bayes.queries.decide import best, cheapest, frontier
from ds3bayes.queries.learned_graph import learned_graph
from ds3bayes.queries.new_llms import predict_llms
from ds3bayes.queries.predict import predict
from ds3bayes.report import report
from ds3bayes.strategies import (
    Architecture,
    Beam,
    BestOfN,
    CoT,
    Direct,
    EarlyStoppingMajority,
    GPass,
    Majority,
    PassPower,
    PathTask,
    Rates,
    Revision,
    StepSearch,
    TreeOfThought,
    WeightedBestOfN,
    strategy_laws,
)
from ds3bayes.theory.graph import SkillGraph, traverse

__all__ = [
    "Architecture",
    "Beam",
    "BestOfN",
    "CheckResult",
    "CoT",
    "Direct",
    "EarlyStoppingMajority",
    "FitWarning",
    "GPass",
    "InputError",
    "Majority",
    "ModelSpec",
    "PassPower",
    "PathTask",
    "Rates",
    "Revision",
    "Simulation",
    "SkillGraph",
    "StepSearch",
    "TreeOfThought",
    "WeightedBestOfN",
    "best",
    "build_model",
    "calibration_table",
    "cheapest",
    "check",
    "fit",
    "frontier",
    "held_out_calibration",
    "learned_graph",
    "load",
    "observed_vs_predicted",
    "predict",
    "predict_llms",
    "prior_beliefs",
    "read_evals",
    "report",
    "save",
    "sbc",
    "sbc_check",
    "simulate",
    "strategy_laws",
    "traverse",
]
