"""The law of a block's tasks at nodes, and the likelihood of its cells there: expressions that parts hand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Tensor = Any
OfTasks = Callable[[Tensor, Sequence[np.ndarray]], Tensor]


@dataclass(frozen=True, kw_only=True)
class TaskLaw:
    """The law of a block's tasks: what differs between them and is summed out, at nodes.

    Parameters
    ----------
    log_weight : tensor, shape (J,)
        Log probability of each node.
    easiness : tensor or array, shape (1 or U, J)
        Standardised easiness at the nodes; it moves tokens. U counts distinct tasks (`Block.distinct`).
    location : tensor, shape (1 or U, W, J)
        Mean logit success of an attempt of each of the W walks at the nodes.
    extra : mapping of str to tensor
        What else `Capability.new_tasks` needs of the distinct tasks, by names of the kind's own.
    """

    log_weight: Tensor
    easiness: Tensor
    location: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A block's task law and its cells' likelihood at the nodes.

    Parameters
    ----------
    log_weight : tensor, shape (J,)
        Log probability of each node of the task law.
    easiness : tensor or array, shape (1 or U, J)
        Standardised easiness at the nodes: the shared one, or that of a lone arm's own task law.
    location : tensor, shape (1 or U, A, J)
        Mean logit success of each arm at the nodes.
    log_cells : tensor, shape (A, C, L)
        Log-likelihood of each arm's distinct cells, the arm's own task effect summed out, at L locations.
    at_nodes : bool
        Whether these locations are those at the nodes, of all tasks one after another, and not some to interpolate
        between.
    log_missed : tensor, shape (A, C, L), optional
        The same if the task is out of reach and so every attempt fails; None if that says nothing of the rest.
    of_tasks : callable
        Takes a table like these two and P groups of arms; returns what stands there of each distinct task's cells at
        the nodes, summed over the arms of each group: (U, P, J).
    log_mass : list of tensor or array, shape (C, G)
        Of each arm, the log-likelihood of each distinct cell at the nodes of logit success.
    log_mass_missed : list of tensor or array, shape (C, G)
        The same if the task is out of reach; empty if that says nothing of the rest.
    log_marginal : tensor, shape (A, G)
        Log probability of each node of logit success, over the task law and the arm's own task effect.
    mean_easiness : tensor, shape (A, G)
        Mean easiness of the tasks with that success.
    extra : mapping of str to tensor
        As in `TaskLaw`.
    """

    log_weight: Tensor
    easiness: Tensor
    location: Tensor
    log_cells: Tensor
    at_nodes: bool
    log_missed: Tensor | None
    of_tasks: OfTasks
    log_mass: list[Any]
    log_mass_missed: list[Any]
    log_marginal: Tensor
    mean_easiness: Tensor
    extra: Mapping[str, Tensor]
