"""An arm's own task effect summed out of the likelihoods of its cells, in one pass of compiled code.

The density of the effect at (arm, location, node of success) is the largest array of a model whose arms share tasks.
As an expression of single operations it and its derivatives are written to memory many times over, which takes most of
a gradient; here they stay in the processor's cache, and cells of many attempts are summed over the few nodes where they
have any mass.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from ds3bayes.generative.population import interaction_density

Array = np.ndarray
Tensor = Any

# Mass below this share of a cell's largest changes no sum: densities of an own effect differ by far less than 10^9.
_NEGLIGIBLE = 1e-25
# The share of nodes up to which that is so, as measured.
_NARROW = 0.25
# Sums may be reordered to use vector instructions; NaN and infinity keep their meaning.
_compiled = numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})


def sums_over_own_effect(
    nodes: Array, location: Tensor, scale: Tensor, mass: Tensor, dof: float
) -> tuple[Tensor, Tensor]:
    """Sum masses over the nodes of logit success, weighted by `interaction_density`.

    Parameters
    ----------
    nodes : array, shape (G,)
        Logit success, rising, equally spaced.
    location : tensor or array, shape (A, J)
        Logit success that the shared difficulty gives each arm, at J nodes of it.
    scale : tensor, shape (A,)
        Scale of the arms' own task effects, > 0.
    mass : tensor or array, shape (A, C, G)
        Of C cells, at least 0; the largest of a cell is of a size near 1.
    dof : float
        Degrees of freedom of the effects' Student t law, > 2.

    Returns
    -------
    sums : tensor, shape (A, C, J)
        ``density @ mass.T`` for each arm, of a density that is not normalised.
    total : tensor, shape (A, J)
        Sum of the density over the nodes.
    """
    start: Tensor
    stop: Tensor
    if isinstance(mass, np.ndarray):
        there = mass > _NEGLIGIBLE * mass.max(axis=-1, keepdims=True)
        start, stop = there.argmax(axis=-1), nodes.size - there[..., ::-1].argmax(axis=-1)
    else:
        start, stop = pt.zeros(mass.shape[:2], dtype="int64"), pt.full(mass.shape[:2], nodes.size)
    sums, total = SumsOverOwnEffect(dof=float(dof)).make_node(nodes, location, scale, mass, start, stop).outputs
    return sums, total


class _OverNodes(Op):
    """What the sums and their derivative have in common."""

    __props__ = ("dof",)

    def __init__(self, dof: float) -> None:
        self.dof = dof


class SumsOverOwnEffect(_OverNodes):
    """See `sums_over_own_effect`; a cell has mass from its node ``start`` to before its node ``stop``."""

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to the nodes, location, scale, mass, start and stop."""
        nodes, location, scale, mass, start, stop = map(pt.as_tensor, inputs)
        shape = (mass.type.shape[0], mass.type.shape[1], location.type.shape[1])
        sums = pt.tensor(dtype="float64", shape=shape)
        return Apply(self, [nodes, location, scale, mass, start, stop], [sums, location.type()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute sums and total."""
        del node
        output_storage[0][0], output_storage[1][0] = _sums(*inputs, self.dof)  # type: ignore[call-arg]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves which output."""
        del node
        return [[False, False], [True, True], [True, True], [True, False], [False, False], [False, False]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by location, scale and mass."""
        nodes, location, scale, _, _, _ = inputs
        fixed = DisconnectedType()
        absent = [isinstance(given.type, DisconnectedType) for given in cotangents]
        of_sums, of_total = (
            output.zeros_like() if gone else given
            for output, given, gone in zip(outputs, cotangents, absent, strict=True)
        )
        of_location, of_scale = SlopesOfOwnEffect(dof=self.dof).make_node(*inputs, of_sums, of_total).outputs
        density = interaction_density(nodes, location, scale[:, None, None], self.dof)
        return [fixed(), of_location, of_scale, fixed() if absent[0] else of_sums @ density, fixed(), fixed()]


class SlopesOfOwnEffect(_OverNodes):
    """What derivatives by ``sums`` and ``total`` give by ``location`` (A, J) and ``scale`` (A,)."""

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to the inputs of the sums and the derivatives by both outputs."""
        given = list(map(pt.as_tensor, inputs))
        return Apply(self, given, [given[1].type(), given[2].type()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute both derivatives."""
        del node
        output_storage[0][0], output_storage[1][0] = _slopes(*inputs, self.dof)  # type: ignore[call-arg]


@_compiled
def _raise(near: Array, power: float, out: Array) -> None:
    """Powers of numbers in (0, 1]: by products and a root where the power is a multiple of a half."""
    whole = int(power)
    if power == whole:
        out[:] = 1.0
    elif power == whole + 0.5:
        for j in range(near.size):
            out[j] = np.sqrt(near[j])
    else:
        for j in range(near.size):
            out[j] = near[j] ** power
        return
    for _ in range(whole):
        for j in range(near.size):
            out[j] *= near[j]


@_compiled
def _nearness(node: float, location: Array, scale: float, dof: float, out: Array) -> None:
    """1 / (1 + t^2 / dof) at a node, for t how far it is from each location, in scales."""
    per_scale = 1.0 / scale
    for j in range(location.size):
        t = (node - location[j]) * per_scale
        out[j] = 1.0 / (1.0 + t * t / dof)


@_compiled
def _narrow(start: Array, stop: Array, nodes: int) -> bool:
    """Whether cells have mass at so few nodes that adding node by node beats a product of matrices over all."""
    return (stop - start).sum() < _NARROW * nodes * start.size


@_compiled
def _sums(
    nodes: Array, location: Array, scale: Array, mass: Array, start: Array, stop: Array, dof: float
) -> tuple[Array, Array]:
    rows, size = location.shape
    cells = mass.shape[1]
    spacing = nodes[1] - nodes[0]
    sums, total = np.empty((rows, cells, size)), np.zeros((rows, size))
    near, at, density = np.empty(size), np.empty(size), np.empty((nodes.size, size))
    for row in range(rows):
        for j in range(size):
            at[j] = min(max(location[row, j], nodes[0]), nodes[-1])
        bend = spacing**2 / 12.0 * (dof + 1.0) / dof / (scale[row] ** 2 + spacing**2 / 10.0)
        for g in range(nodes.size):
            _nearness(nodes[g], at, scale[row], dof, near)
            _raise(near, (dof + 1.0) / 2.0, density[g])
            for j in range(size):
                excess = bend * near[j] * (dof + 2.0 - (dof + 3.0) * near[j])
                density[g, j] *= 1.0 - excess + 0.5 * excess**2
                total[row, j] += density[g, j]
        if _narrow(start[row], stop[row], nodes.size):
            sums[row] = 0.0
            for cell in range(cells):
                for g in range(start[row, cell], stop[row, cell]):
                    share = mass[row, cell, g]
                    for j in range(size):
                        sums[row, cell, j] += share * density[g, j]
        else:
            np.dot(mass[row], density, sums[row])
    return sums, total


@_compiled
def _slopes(
    nodes: Array,
    location: Array,
    scale: Array,
    mass: Array,
    start: Array,
    stop: Array,
    of_sums: Array,
    of_total: Array,
    dof: float,
) -> tuple[Array, Array]:
    rows, size = location.shape
    spacing = nodes[1] - nodes[0]
    power = (dof + 1.0) / 2.0
    of_location, of_scale = np.zeros((rows, size)), np.zeros(rows)
    near, at, less, weight = np.empty(size), np.empty(size), np.empty(size), np.empty((nodes.size, size))
    for row in range(rows):
        for j in range(size):
            at[j] = min(max(location[row, j], nodes[0]), nodes[-1])
        if _narrow(start[row], stop[row], nodes.size):
            weight[:] = 0.0
            for cell in range(mass.shape[1]):
                for g in range(start[row, cell], stop[row, cell]):
                    share = mass[row, cell, g]
                    for j in range(size):
                        weight[g, j] += share * of_sums[row, cell, j]
        else:
            np.dot(mass[row].T, of_sums[row], weight)
        squared = scale[row] ** 2 + spacing**2 / 10.0
        bend = spacing**2 / 12.0 * (dof + 1.0) / dof / squared
        through_near, through_bend = 0.0, 0.0
        for g in range(nodes.size):
            _nearness(nodes[g], at, scale[row], dof, near)
            # The density is near * less * factor(excess), with excess = bend near (dof + 2 - (dof + 3) near).
            _raise(near, power - 1.0, less)
            for j in range(size):
                one = near[j]
                excess = bend * one * (dof + 2.0 - (dof + 3.0) * one)
                of_near = power * (1.0 - excess + 0.5 * excess**2) + one * (excess - 1.0) * bend * (
                    dof + 2.0 - 2.0 * (dof + 3.0) * one
                )
                weighed = (weight[g, j] + of_total[row, j]) * less[j] * one
                of_location[row, j] += weighed * of_near * one * (nodes[g] - at[j])
                through_near += weighed * of_near * (1.0 - one)
                through_bend += weighed * (1.0 - excess) * excess
        for j in range(size):
            inside = at[j] == location[row, j]
            of_location[row, j] = of_location[row, j] * 2.0 / (scale[row] ** 2 * dof) if inside else 0.0
        of_scale[row] = 2.0 * through_near / scale[row] + 2.0 * through_bend * scale[row] / squared
    return of_location, of_scale


# PyTensor keeps machine code on disk by operation and this number, which changes with this file.
_VERSION = int.from_bytes(sha256(Path(__file__).read_bytes()).digest()[:7])


@register_funcify_default_op_cache_key(SumsOverOwnEffect)
def _funcify_sums(op: SumsOverOwnEffect, node: Apply | None = None, **kwargs: Any) -> Any:
    del node, kwargs
    dof = op.dof

    @numba_njit
    def sums(nodes, location, scale, mass, start, stop):  # type: ignore[no-untyped-def]
        return _sums(nodes, location, scale, mass, start, stop, dof)

    return sums, _VERSION


@register_funcify_default_op_cache_key(SlopesOfOwnEffect)
def _funcify_slopes(op: SlopesOfOwnEffect, node: Apply | None = None, **kwargs: Any) -> Any:
    del node, kwargs
    dof = op.dof

    @numba_njit
    def slopes(nodes, location, scale, mass, start, stop, of_sums, of_total):  # type: ignore[no-untyped-def]
        return _slopes(nodes, location, scale, mass, start, stop, of_sums, of_total, dof)

    return slopes, _VERSION
