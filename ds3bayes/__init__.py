"""Bayesian calibration of LLM inference strategies as directed stochastic skill search."""

from ds3bayes.errors import InputError
from ds3bayes.evals import read_evals
from ds3bayes.evals.simulate import Simulation, simulate
from ds3bayes.generative.build import build_model
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.checks import CheckResult, check
from ds3bayes.inference.fit import FitWarning, fit, thinned
from ds3bayes.inference.prior import prior_beliefs
from ds3bayes.inference.refits import TaskRefits
from ds3bayes.inference.store import load, save
from ds3bayes.queries.allocate import allocate
from ds3bayes.queries.calibration import calibration_table, held_out_calibration, sbc, sbc_check
from ds3bayes.queries.compare import observed_vs_predicted
from ds3bayes.queries.cost_to_reach import cost_to_reach
from ds3bayes.queries.curves import attempts_curve, budget_curve
from ds3bayes.queries.decide import best, cheapest, frontier
from ds3bayes.queries.difference import compare
from ds3bayes.queries.grid import predict_grid
from ds3bayes.queries.learned_graph import learned_graph
from ds3bayes.queries.new_llms import predict_llms
from ds3bayes.queries.next_evals import next_evals
from ds3bayes.queries.predict import predict
from ds3bayes.queries.variance import variance
from ds3bayes.report import (
    plot_allocation,
    plot_cost_to_reach,
    plot_difference,
    plot_frontier,
    plot_learned_graph,
    plot_levels,
    plot_next_evals,
    plot_observed,
    plot_prior_posterior,
    plot_skill_graph,
    plot_skills,
    plot_success_by_attempts,
    plot_success_by_budget,
    plot_success_by_compute,
    plot_variance,
    report,
)
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
    "TaskRefits",
    "TreeOfThought",
    "WeightedBestOfN",
    "allocate",
    "attempts_curve",
    "best",
    "budget_curve",
    "build_model",
    "calibration_table",
    "cheapest",
    "check",
    "compare",
    "cost_to_reach",
    "fit",
    "frontier",
    "held_out_calibration",
    "learned_graph",
    "load",
    "next_evals",
    "observed_vs_predicted",
    "plot_allocation",
    "plot_cost_to_reach",
    "plot_difference",
    "plot_frontier",
    "plot_learned_graph",
    "plot_levels",
    "plot_next_evals",
    "plot_observed",
    "plot_prior_posterior",
    "plot_skill_graph",
    "plot_skills",
    "plot_success_by_attempts",
    "plot_success_by_budget",
    "plot_success_by_compute",
    "plot_variance",
    "predict",
    "predict_grid",
    "predict_llms",
    "prior_beliefs",
    "read_evals",
    "report",
    "save",
    "sbc",
    "sbc_check",
    "simulate",
    "strategy_laws",
    "thinned",
    "traverse",
    "variance",
]
