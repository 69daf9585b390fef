from .decision_figures import (
    plot_allocation,
    plot_cost_to_reach,
    plot_difference,
    plot_next_evals,
    plot_plan,
    plot_ranking,
    plot_variance,
)
from .every_eval_ever import write_every_eval_ever
from .graph_figure import plot_learned_graph, plot_skill_graph
from .plots import (
    plot_frontier,
    plot_levels,
    plot_observed,
    plot_prior_posterior,
    plot_skills,
    plot_success_by_attempts,
    plot_success_by_budget,
    plot_success_by_compute,
)
from .write import report

__all__ = [
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
    "report",
    "write_every_eval_ever",
]
