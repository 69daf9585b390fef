from . import evals, generative, inference, live, queries, strategies, theory
from .errors import InputError
from .evals import read_attempts, read_evals, read_every_eval_ever, read_inspect, read_lm_eval
from .evals.simulate import Simulation, simulate
from .generative.model import build_model
from .generative.spec import ModelSpec
from .inference.artifact import thinned
from .inference.check import check
from .inference.checks import CheckResult
from .inference.fit import FitWarning, fit
from .inference.prior import prior_beliefs
from .inference.refits import TaskRefits
from .inference.store import load, save
from .queries.allocate import allocate
from .queries.bridge_rivals import bridge_against_rivals
from .queries.by_group import predict_by
from .queries.calibration import calibration_table, held_out_calibration, sampling_table, sbc, sbc_check
from .queries.choices import best, cheapest, frontier
from .queries.compare import compare
from .queries.cost_to_reach import cost_to_reach
from .queries.curves import attempts_curve, budget_curve
from .queries.decide import Decision, decide
from .queries.gate import Gate, gate
from .queries.grid import predict_grid
from .queries.learned_graph import learned_graph
from .queries.new_llms import predict_llms
from .queries.next_evals import next_evals
from .queries.observed_vs_predicted import observed_vs_predicted
from .queries.plan import plan
from .queries.posterior_predictive import posterior_predictive
from .queries.predict import predict
from .queries.predict_grades import predict_grades
from .queries.rank import rank
from .queries.samplers import samplers
from .queries.suspect_tasks import suspect_tasks
from .queries.variance import variance
from .reports import (
    plot_allocation,
    plot_cost_to_reach,
    plot_difference,
    plot_frontier,
    plot_learned_graph,
    plot_levels,
    plot_next_evals,
    plot_observed,
    plot_plan,
    plot_prior_posterior,
    plot_ranking,
    plot_skill_graph,
    plot_skills,
    plot_success_by_attempts,
    plot_success_by_budget,
    plot_success_by_compute,
    plot_variance,
    report,
    write_every_eval_ever,
)
from .strategies import (
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
from .theory.graph import SkillGraph, traverse

__all__ = [
    "Architecture",
    "Beam",
    "BestOfN",
    "CheckResult",
    "CoT",
    "Decision",
    "Direct",
    "EarlyStoppingMajority",
    "FitWarning",
    "GPass",
    "Gate",
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
    "bridge_against_rivals",
    "budget_curve",
    "build_model",
    "calibration_table",
    "cheapest",
    "check",
    "compare",
    "cost_to_reach",
    "decide",
    "evals",
    "fit",
    "frontier",
    "gate",
    "generative",
    "held_out_calibration",
    "inference",
    "learned_graph",
    "live",
    "load",
    "next_evals",
    "observed_vs_predicted",
    "plan",
    "plot_allocation",
    "plot_cost_to_reach",
    "plot_difference",
    "plot_frontier",
    "plot_learned_graph",
    "plot_levels",
    "plot_next_evals",
    "plot_observed",
    "plot_plan",
    "plot_prior_posterior",
    "plot_ranking",
    "plot_skill_graph",
    "plot_skills",
    "plot_success_by_attempts",
    "plot_success_by_budget",
    "plot_success_by_compute",
    "plot_variance",
    "posterior_predictive",
    "predict",
    "predict_by",
    "predict_grades",
    "predict_grid",
    "predict_llms",
    "prior_beliefs",
    "queries",
    "rank",
    "read_attempts",
    "read_evals",
    "read_every_eval_ever",
    "read_inspect",
    "read_lm_eval",
    "report",
    "samplers",
    "sampling_table",
    "save",
    "sbc",
    "sbc_check",
    "simulate",
    "strategies",
    "strategy_laws",
    "suspect_tasks",
    "theory",
    "thinned",
    "traverse",
    "variance",
    "write_every_eval_ever",
]
