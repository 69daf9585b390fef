"""The report of a fit: one page with the decision, the evidence for it and what it rests on; and its plots."""

from ds3bayes.report.decision_figures import (
    plot_allocation,
    plot_cost_to_reach,
    plot_difference,
    plot_next_evals,
    plot_variance,
)
from ds3bayes.report.graph_figure import plot_learned_graph, plot_skill_graph
from ds3bayes.report.html import report
from ds3bayes.report.plots import (
    plot_frontier,
    plot_levels,
    plot_observed,
    plot_prior_posterior,
    plot_skills,
    plot_success_by_attempts,
    plot_success_by_budget,
    plot_success_by_compute,
)

__all__ = [
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
    "report",
]
