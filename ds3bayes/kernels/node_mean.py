"""Tasks' likelihoods averaged over the nodes of their law, by one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.tensor.special import softmax

from ds3bayes.kernels.base import KernelOp, Shape, Tensor


def log_mean_over_nodes(log_likelihood: Tensor, log_weight: Tensor) -> Tensor:
    """Average likelihoods over nodes: ``logsumexp(log_likelihood + log_weight, axis=1)``.

    Parameters
    ----------
    log_likelihood : tensor, shape (U, J)
        Of U tasks at J nodes.
    log_weight : tensor, shape (J,)
        Log probability of each node.

    Returns
    -------
    tensor, shape (U,)
    """
    return LogMeanOverNodes()(log_likelihood, log_weight)


class LogMeanOverNodes(KernelOp):
    """See `log_mean_over_nodes`."""

    kernel: ClassVar[str] = "log_mean_over_nodes"

    def shape_of(self, shapes: Sequence[Shape]) -> Shape:
        """Tasks."""
        return shapes[0][:1]

    def sizes(self, shapes: Sequence[Shape]) -> Sequence[int]:
        """Tasks, nodes."""
        return shapes[0]

    def scratch(self, shapes: Sequence[Shape]) -> int:
        """Every term of the sums, and these."""
        tasks, nodes = shapes[0]
        return tasks * nodes + tasks

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the means."""
        del node
        log_term = inputs[0] + inputs[1]
        top = log_term.max(axis=1, keepdims=True)
        top = np.where(np.isfinite(top), top, 0.0)
        # Sums of zeros have a logarithm, too, and so have those with an infinite term.
        with np.errstate(divide="ignore", over="ignore"):
            output_storage[0][0] = top[:, 0] + np.log(np.exp(log_term - top).sum(axis=1))

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by both inputs: the derivative by a term's logarithm is its share of the sum."""
        del outputs
        of_term = softmax(inputs[0] + inputs[1], axis=1) * cotangents[0][:, None]
        return [of_term, of_term.sum(axis=0)]
