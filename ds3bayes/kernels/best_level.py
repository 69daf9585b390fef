"""Success of tasks that can be executed at several levels, by one kernel.

What attempts achieve at (arm, task, level) is the largest array of a skill hierarchy. As an expression of single
operations it is written to memory dozens of times, which takes most of a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from scipy.special import softmax

from ds3bayes.kernels.base import Array, KernelOp, Shape, Tensor
from ds3bayes.kernels.cubic import cubic_weights, node_below
from ds3bayes.theory.interpolate import padded

# As in best_level.c. Smoothness of the choice of the level, in success.
_CHOICE = 0.05
# Chance that skills are reachable below which it counts as 0.
_UNREACHABLE = 1e-15
# Least failure of a step.
_LEAST_FAILURE = 1e-16
# Tensors among the inputs, which move the output by derivatives.
_TENSORS = slice(1, 5)


def success_at_best_level(
    table: Array,
    nodes: Array,
    llm: Array,
    budget: Array,
    skills: Tensor,
    log_step: Tensor,
    log_edges: Tensor,
    log_component: Tensor,
) -> Tensor:
    """Success of an attempt that executes its task at about the level where it succeeds most.

    At a level it succeeds if all skills are reachable and the walk finishes them in time. Levels count by a softmax of
    what they achieve, with a temperature of .05.

    Parameters
    ----------
    table : array, shape (B, K, X)
        Chance to finish 1, 2, ... K skills in time, for B budgets and at the nodes of logit step success. Between two
        whole numbers of skills it is taken as linear, between nodes as cubic, and beyond either end as there.
    nodes : array, shape (X,)
        Rising, equally spaced.
    llm, budget : array of int, shape (W,)
        Which LLM and which budget each walk has.
    skills : tensor, shape (J, L, D)
        Skills, at least 1, that tasks of J levels and L lengths take when executed at D levels.
    log_step : tensor, shape (J, L, D)
        Log success of a step along edges that are there, at most 0.
    log_edges : tensor, shape (M, J, D)
        Log probability that the edges of a step are there, for each of M LLMs.
    log_component : tensor, shape (M, J, D)
        Log probability that a skill of the level is reachable.

    Returns
    -------
    tensor, shape (W, J, L)

    Raises
    ------
    ValueError
        If a walk has an LLM or a budget that is not there.
    """
    by_logit = np.moveaxis(padded(np.moveaxis(table, -1, 0)), 0, -1)
    op = SuccessAtBestLevel(first=float(nodes[0]), per_unit=float(1.0 / (nodes[1] - nodes[0])))
    return op.make_node(by_logit, skills, log_step, log_edges, log_component, llm, budget).outputs[0]


class SuccessAtBestLevel(KernelOp):
    """See `success_at_best_level`.

    Takes the table, padded along the nodes, the four tensors, LLMs and budgets.

    Parameters
    ----------
    first, per_unit : float
        The first node, and how many nodes there are per unit.
    """

    __props__ = ("first", "per_unit")
    kernel: ClassVar[str] = "success_at_best_level"
    whole_inputs: ClassVar[frozenset[int]] = frozenset({5, 6})

    def __init__(self, *, first: float, per_unit: float) -> None:
        self.first = first
        self.per_unit = per_unit

    def shape_of(self, shapes: Sequence[Shape]) -> Shape:
        """Walks, task levels, lengths."""
        return (shapes[5][0], *shapes[1][:2])

    def sizes(self, shapes: Sequence[Shape]) -> Sequence[int]:
        """Rows and columns of the table, walks, LLMs, task levels, lengths, levels of execution."""
        return (*shapes[0][1:], shapes[5][0], shapes[3][0], *shapes[1])

    def reals(self) -> Sequence[float]:
        """Where the table's nodes are."""
        return (self.first, self.per_unit)

    def scratch(self, shapes: Sequence[Shape]) -> int:
        """14 planes of all cells and 4 of one level, and three planes of derivatives of each walk."""
        levels, lengths, downs = shapes[1]
        return levels * lengths * ((14 + 3 * shapes[5][0]) * downs + 4)

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to tensors or arrays; LLMs and budgets that are known have to be there."""
        result = super().make_node(*inputs)
        table, _, _, log_edges, _, llm, budget = result.inputs
        for what, which, there in (("LLM", llm, log_edges.type.shape[0]), ("budget", budget, table.type.shape[0])):
            known = getattr(which, "data", None)
            if known is not None and there is not None and known.size and not 0 <= known.min() <= known.max() < there:
                raise ValueError(
                    f"{what}s of walks must be from 0 to {there - 1}, got {known.min()} to {known.max()}; "
                    f"give one row of the inputs per {what}"
                )
        return result

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the success."""
        del node
        output_storage[0][0] = _Levels.of(self, *inputs).mean

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves the output by derivatives: the tensors."""
        return [[k in range(len(node.inputs))[_TENSORS]] for k in range(len(node.inputs))]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by the four tensors."""
        del outputs
        slopes = SlopesAtBestLevel(self).make_node(*inputs, cotangents[0]).outputs
        return [DisconnectedType()(), *slopes, DisconnectedType()(), DisconnectedType()()]


class SlopesAtBestLevel(Op):
    """Of the inputs of the success and derivatives by it: derivatives by the four tensors."""

    __props__ = ("success",)

    def __init__(self, success: SuccessAtBestLevel) -> None:
        self.success = success

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to tensors."""
        return Apply(self, list(inputs), [one.type() for one in inputs[_TENSORS]])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the derivatives."""
        del node
        *given, of_result = inputs
        for storage, value in zip(output_storage, _Levels.of(self.success, *given).slopes(of_result), strict=True):
            storage[0] = value


@dataclass(frozen=True, kw_only=True)
class _Levels:
    """What W walks achieve at D levels of execution of tasks of J levels and L lengths, arrays of shape (W, J, L, D).

    Parameters
    ----------
    achieved, share : array
        Success at each level, and how much of the mean over levels it makes up.
    by_log_success, by_skills, by_log_component : array
        Derivatives of what is achieved by the log success of a step, by skills, and by log_component.
    llm : array of int, shape (W,)
    llms : int
    """

    achieved: Array
    share: Array
    by_log_success: Array
    by_skills: Array
    by_log_component: Array
    llm: Array
    llms: int

    @classmethod
    def of(
        cls,
        op: SuccessAtBestLevel,
        table: Array,
        skills: Array,
        log_step: Array,
        log_edges: Array,
        log_component: Array,
        llm: Array,
        budget: Array,
    ) -> _Levels:
        """Look up what walks achieve."""
        # What is no number passes through, and products of infinity and 0 are no number.
        with np.errstate(all="ignore"):
            log_success = log_step + log_edges[llm][:, :, None, :]
            component = log_component[llm][:, :, None, :]
            failure = np.maximum(-np.expm1(log_success), _LEAST_FAILURE)
            reach = np.exp(skills * component)
            reach = np.where(reach < _UNREACHABLE, 0.0, reach)

            row, above, rises = node_below(skills - 1.0, table.shape[1])
            position = (log_success - np.log(failure) - op.first) * op.per_unit
            column, across, moves = node_below(position, table.shape[2] - 2)
            weight, slope = cubic_weights(across)
            places = column[..., None] + np.arange(4)
            walk_budget = budget[:, None, None, None, None]
            low = table[walk_budget, row[..., None], places]
            rise = table[walk_budget, row[..., None] + 1, places] - low
            between = low + above[..., None] * rise

            achieved = reach * (weight * between).sum(axis=-1)
            # The logit moves by 1 / failure per unit of log success.
            by_log_success = reach * (slope * between).sum(axis=-1) * np.where(moves, op.per_unit, 0.0) / failure
            by_row = reach * (weight * rise).sum(axis=-1) * rises
            return cls(
                achieved=achieved,
                share=softmax(achieved / _CHOICE, axis=-1),
                by_log_success=by_log_success,
                by_skills=by_row + achieved * component,
                by_log_component=achieved * skills,
                llm=llm,
                llms=len(log_edges),
            )

    @property
    def mean(self) -> Array:
        """Success, (W, J, L)."""
        return (self.share * self.achieved).sum(axis=-1)

    def slopes(self, of_result: Array) -> list[Array]:
        """Derivatives by the four tensors, given those (W, J, L) by the success."""
        by_achieved = self.share * (1.0 + (self.achieved - self.mean[..., None]) / _CHOICE)
        of_achieved = of_result[..., None] * by_achieved
        of_log_success = of_achieved * self.by_log_success
        of_skills = (of_achieved * self.by_skills).sum(axis=0)
        of_log_step = of_log_success.sum(axis=0)
        of_component = of_achieved * self.by_log_component
        return [of_skills, of_log_step, self._by_llm(of_log_success), self._by_llm(of_component)]

    def _by_llm(self, values: Array) -> Array:
        """Sum over lengths and each LLM's walks, (M, J, D)."""
        over_lengths = values.sum(axis=2)
        result = np.zeros((self.llms, *over_lengths.shape[1:]))
        np.add.at(result, self.llm, over_lengths)
        return result
