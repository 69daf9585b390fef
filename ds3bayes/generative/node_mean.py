"""Tasks' likelihoods averaged over the nodes of their law, in one pass of compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from ds3bayes.generative.compiled_op import CompiledOp
from ds3bayes.generative.elementary import compiled, exp_each

Array = np.ndarray
Tensor = Any


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


class LogMeanOverNodes(CompiledOp):
    """See `log_mean_over_nodes`."""

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _log_mean

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """One mean per row."""
        return [pt.tensor(dtype="float64", shape=inputs[0].type.shape[:1])]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by both inputs."""
        return list(SlopesOfLogMean().make_node(*inputs, outputs[0], cotangents[0]).outputs)


class SlopesOfLogMean(CompiledOp):
    """Of the inputs of the mean, its result and derivatives by that: derivatives by the inputs."""

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _slopes

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """As the inputs of the mean."""
        return [inputs[0].type(), inputs[1].type()]


@compiled
def _log_mean(values: Array, weight: Array) -> Array:
    rows, size = values.shape
    result, shifted, terms = np.empty(rows), np.empty(size), np.empty(size)
    for row in range(rows):
        top = -np.inf
        for j in range(size):
            shifted[j] = values[row, j] + weight[j]
            top = max(top, shifted[j])
        for j in range(size):
            shifted[j] -= top
        exp_each(shifted, terms)
        result[row] = top + np.log(terms.sum())
    return result


@compiled
def _slopes(values: Array, weight: Array, result: Array, of_result: Array) -> tuple[Array, Array]:
    rows, size = values.shape
    of_values, of_weight, shifted = np.empty((rows, size)), np.zeros(size), np.empty(size)
    for row in range(rows):
        for j in range(size):
            shifted[j] = values[row, j] + weight[j] - result[row]
        exp_each(shifted, of_values[row])
        for j in range(size):
            of_values[row, j] *= of_result[row]
            of_weight[j] += of_values[row, j]
    return of_values, of_weight
