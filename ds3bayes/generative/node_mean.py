"""Tasks' likelihoods averaged over the nodes of their law, in one pass of compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from ds3bayes.generative.elementary import code_version, compiled, exp_each

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


class LogMeanOverNodes(Op):
    """See `log_mean_over_nodes`."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to the log-likelihood and the log weights."""
        values, weight = map(pt.as_tensor, inputs)
        return Apply(self, [values, weight], [pt.tensor(dtype="float64", shape=values.type.shape[:1])])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the means."""
        del node
        output_storage[0][0] = _log_mean(*inputs)  # type: ignore[call-arg]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by both inputs."""
        return list(SlopesOfLogMean().make_node(*inputs, outputs[0], cotangents[0]).outputs)


class SlopesOfLogMean(Op):
    """What derivatives by the means give by the log-likelihood and by the log weights."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to the inputs of the mean, its result and the derivatives by that."""
        given = list(map(pt.as_tensor, inputs))
        return Apply(self, given, [given[0].type(), given[1].type()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute both derivatives."""
        del node
        output_storage[0][0], output_storage[1][0] = _slopes(*inputs)  # type: ignore[call-arg]


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


_VERSION = code_version(__file__)


@register_funcify_default_op_cache_key(LogMeanOverNodes)
def _funcify_log_mean(op: LogMeanOverNodes, node: Apply | None = None, **kwargs: Any) -> Any:
    del op, node, kwargs

    @numba_njit
    def log_mean(values, weight):  # type: ignore[no-untyped-def]
        return _log_mean(values, weight)

    return log_mean, _VERSION


@register_funcify_default_op_cache_key(SlopesOfLogMean)
def _funcify_slopes(op: SlopesOfLogMean, node: Apply | None = None, **kwargs: Any) -> Any:
    del op, node, kwargs

    @numba_njit
    def slopes(values, weight, result, of_result):  # type: ignore[no-untyped-def]
        return _slopes(values, weight, result, of_result)

    return slopes, _VERSION
