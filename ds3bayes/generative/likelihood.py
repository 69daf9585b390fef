"""The likelihood of tasks: what all kinds of observation say of them, summed over the nodes of their law.

`build_model` puts it into a PyMC model; `task_effects` evaluates the very same expressions at posterior draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds3bayes.deferred import pt
from ds3bayes.generative.design import Block, Design
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.task_law import Terms
from ds3bayes.kernels.node_mean import log_mean_over_nodes

Tensor = Any
Parameters = Mapping[str, Tensor]


def log_likelihood(block: Block, terms: Terms, design: Design, given: Parameters) -> Tensor:
    """Log-likelihood of each distinct task signature and node, shape (U, J); task law not yet included."""
    first, _, _ = block.distinct
    total: Tensor = pt.zeros((len(first), terms.log_weight.shape[0]))
    for name, told in block.told.items():
        of_distinct = {key: array[first] for key, array in told.items()}
        total = total + OBSERVATIONS[name].at_nodes(of_distinct, block, design, terms, given)
    return total


def log_marginal(block: Block, terms: Terms, design: Design, given: Parameters) -> Tensor:
    """Log-likelihood of each distinct task signature, shape (U,): of all kinds of observation, nodes summed out."""
    if len(block.told) == 1:
        ((name, told),) = block.told.items()
        at_once = OBSERVATIONS[name].summed_out(told, block, design, terms, given)
        if at_once is not None:
            return at_once
    return log_mean_over_nodes(log_likelihood(block, terms, design, given), terms.log_weight)
