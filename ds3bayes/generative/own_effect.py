"""An arm's own task effect summed out of the likelihoods of its cells, in one pass of compiled code.

The density of the effect at (arm, location, node of success) is the largest array of a model whose arms share tasks.
As an expression of single operations it and its derivatives are written to memory many times over, which takes most of
a gradient; here they stay in the processor's cache, and cells of many attempts are summed over the few nodes where they
have any mass.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply

from ds3bayes.generative.compiled_op import CompiledOp
from ds3bayes.generative.elementary import compiled, log_each
from ds3bayes.generative.population import interaction_density

Array = np.ndarray
Tensor = Any

# Scale of an own effect down to which the nodes that are left out of a sum change nothing.
_SMALLEST = 0.1
# Share of the nodes up to which it pays to leave any out, as measured.
_NARROW = 0.25


def log_expected_mass(nodes: Array, location: Tensor, scale: Tensor, mass: Tensor, dof: float) -> Tensor:
    """Expect masses at the nodes of logit success over an arm's own task effect, whose law is `interaction_density`.

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
    tensor, shape (A, C, J)
        ``log(density @ mass.T / density.sum())`` for each arm; at least -690.
    """
    start: Tensor
    stop: Tensor
    if isinstance(mass, np.ndarray):
        # How much larger the density can be at one node than at another.
        ratio = (1.0 + ((nodes[-1] - nodes[0]) / _SMALLEST) ** 2 / dof) ** ((dof + 1.0) / 2.0)
        there = mass > max(1e-16 / ratio, 1e-300) * mass.max(axis=-1, keepdims=True)
        start, stop = there.argmax(axis=-1), nodes.size - there[..., ::-1].argmax(axis=-1)
    else:
        start, stop = pt.zeros(mass.shape[:2], dtype="int64"), pt.full(mass.shape[:2], nodes.size)
    return LogExpectedMass(dof=float(dof)).make_node(nodes, location, scale, mass, start, stop).outputs[0]


class _OverNodes(CompiledOp):
    """What the expectation and its derivative have in common."""

    __props__ = ("dof",)

    def __init__(self, dof: float) -> None:
        self.dof = dof


class LogExpectedMass(_OverNodes):
    """See `log_expected_mass`; a cell has mass from its node ``start`` to before its node ``stop``.

    Takes nodes, location, scale, mass, start and stop. Sums of mass times density (A, C, J) and of density (A, J),
    which is not normalised, are kept for the derivative.
    """

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _expect(self.dof)

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """Of each cell at each location twice, then of each location."""
        _, location, _, mass, _, _ = inputs
        shape = (*mass.type.shape[:2], location.type.shape[1])
        return [*(pt.tensor(dtype="float64", shape=shape) for _ in range(2)), location.type()]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves which output: nothing is derived from what is kept for the derivative."""
        del node
        return [[moves, False, False] for moves in (False, True, True, True, False, False)]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by location, scale and mass."""
        nodes, location, scale, _, _, _ = inputs
        _, sums, total = outputs
        fixed = DisconnectedType()
        of_location, of_scale = (
            SlopesOfExpectedMass(dof=self.dof).make_node(*inputs, sums, total, cotangents[0]).outputs
        )
        of_mass = (cotangents[0] / sums) @ interaction_density(nodes, location, scale[:, None, None], self.dof)
        return [fixed(), of_location, of_scale, of_mass, fixed(), fixed()]


class SlopesOfExpectedMass(_OverNodes):
    """Of the inputs of the expectation, the sums it kept and derivatives by its result: those by location and scale."""

    @property
    def function(self) -> Any:
        """Its compiled code."""
        return _slopes(self.dof)

    def outputs_of(self, inputs: Any) -> list[Tensor]:
        """As location (A, J) and scale (A,)."""
        return [inputs[1].type(), inputs[2].type()]


@compiled
def _clip(values: Array, lower: float, upper: float, out: Array) -> None:
    """Move numbers beyond either end to it; NaN stays, which `min` and `max` would lose."""
    for j in range(values.size):
        out[j] = lower if values[j] < lower else upper if values[j] > upper else values[j]


@compiled
def _add_rows(share: Array, rows: Array, start: int, stop: int, out: Array) -> None:
    """Add to ``out`` (size,) the rows (n, size) from ``start`` to before ``stop``, times their shares (n,).

    Four at a time: reading and writing ``out`` takes longer than adding.
    """
    whole = start + (stop - start) // 4 * 4
    for first in range(start, whole, 4):
        a, b, c, d = share[first], share[first + 1], share[first + 2], share[first + 3]
        for j in range(out.size):
            out[j] += a * rows[first, j] + b * rows[first + 1, j] + c * rows[first + 2, j] + d * rows[first + 3, j]
    for row in range(whole, stop):
        for j in range(out.size):
            out[j] += share[row] * rows[row, j]


def _power(exponent: float) -> Any:
    """Return a compiled power: products and a root where the exponent is a multiple of a half, which loops can use."""
    whole = int(exponent)
    if exponent not in (whole, whole + 0.5):
        return compiled(lambda base: base**exponent)
    half = exponent != whole

    # The exponent is a constant of the code, so that the loop here is unrolled, and one over arrays runs in vectors.
    @compiled
    def power(base: float) -> float:
        result = 1.0
        for _ in range(whole):
            result *= base
        return result * np.sqrt(base) if half else result

    return power


@compiled
def _narrow(start: Array, stop: Array, nodes: int) -> bool:
    """Whether cells have mass at so few nodes that adding node by node beats a product of matrices over all."""
    return (stop - start).sum() < _NARROW * nodes * start.size


@compiled
def _closeness(t: float, linear: float, quadratic: float, dof: float) -> tuple[float, float]:
    """1 / (1 + t^2 / dof) at a distance of t scales, and how far the log density there exceeds that of a hat."""
    near = 1.0 / (1.0 + t * t / dof)
    return near, near * (linear - quadratic * near)


@lru_cache(maxsize=16)
def _expect(dof: float) -> Any:
    """Return the compiled expectation for some degrees of freedom."""
    power = _power((dof + 1.0) / 2.0)

    @compiled
    def expect(
        nodes: Array, location: Array, scale: Array, mass: Array, start: Array, stop: Array
    ) -> tuple[Array, Array, Array]:
        rows, size = location.shape
        cells = mass.shape[1]
        spacing = nodes[1] - nodes[0]
        sums, total = np.empty((rows, cells, size)), np.zeros((rows, size))
        result, log_total = np.empty((rows, cells, size)), np.empty(size)
        at, density = np.empty(size), np.empty((nodes.size, size))
        for row in range(rows):
            _clip(location[row], nodes[0], nodes[-1], at)
            per_scale = 1.0 / scale[row]
            bend = spacing**2 / 12.0 * (dof + 1.0) / dof / (scale[row] ** 2 + spacing**2 / 10.0)
            linear, quadratic = bend * (dof + 2.0), bend * (dof + 3.0)
            for g in range(nodes.size):
                node = nodes[g]
                for j in range(size):
                    near, excess = _closeness((node - at[j]) * per_scale, linear, quadratic, dof)
                    density[g, j] = power(near) * (1.0 - excess + 0.5 * excess**2)
                    total[row, j] += density[g, j]
            if _narrow(start[row], stop[row], nodes.size):
                sums[row] = 0.0
                for cell in range(cells):
                    _add_rows(mass[row, cell], density, start[row, cell], stop[row, cell], sums[row, cell])
            else:
                np.dot(mass[row], density, sums[row])
            log_each(total[row], log_total)
            for cell in range(cells):
                for j in range(size):
                    if sums[row, cell, j] < 1e-300:
                        sums[row, cell, j] = 1e-300
                log_each(sums[row, cell], result[row, cell])
                for j in range(size):
                    result[row, cell, j] -= log_total[j]
        return result, sums, total

    return expect


@lru_cache(maxsize=16)
def _slopes(dof: float) -> Any:
    """Return the compiled derivative for some degrees of freedom."""
    exponent = (dof + 1.0) / 2.0
    power = _power(exponent - 1.0)

    @compiled
    def slopes(
        nodes: Array,
        location: Array,
        scale: Array,
        mass: Array,
        start: Array,
        stop: Array,
        sums: Array,
        total: Array,
        of_result: Array,
    ) -> tuple[Array, Array]:
        rows, size = location.shape
        cells = mass.shape[1]
        spacing = nodes[1] - nodes[0]
        of_location, of_scale = np.zeros((rows, size)), np.zeros(rows)
        at, weight = np.empty(size), np.empty((nodes.size, size))
        of_sums, of_total = np.empty((cells, size)), np.empty(size)
        for row in range(rows):
            _clip(location[row], nodes[0], nodes[-1], at)
            of_total[:] = 0.0
            for cell in range(cells):
                for j in range(size):
                    of_sums[cell, j] = of_result[row, cell, j] / sums[row, cell, j]
                    of_total[j] -= of_result[row, cell, j]
            for j in range(size):
                of_total[j] /= total[row, j]
            if _narrow(start[row], stop[row], nodes.size):
                weight[:] = 0.0
                for cell in range(cells):
                    for g in range(start[row, cell], stop[row, cell]):
                        share = mass[row, cell, g]
                        for j in range(size):
                            weight[g, j] += share * of_sums[cell, j]
            else:
                np.dot(mass[row].T, of_sums, weight)
            per_scale = 1.0 / scale[row]
            squared = scale[row] ** 2 + spacing**2 / 10.0
            bend = spacing**2 / 12.0 * (dof + 1.0) / dof / squared
            linear, quadratic = bend * (dof + 2.0), bend * (dof + 3.0)
            through_near, through_bend = 0.0, 0.0
            for g in range(nodes.size):
                node = nodes[g]
                for j in range(size):
                    # The density is near * power(near) * factor, with a factor of 1 - excess + excess^2 / 2.
                    near, excess = _closeness((node - at[j]) * per_scale, linear, quadratic, dof)
                    factor = 1.0 - excess + 0.5 * excess**2
                    of_near = exponent * factor + near * (excess - 1.0) * (linear - 2.0 * quadratic * near)
                    weighed = (weight[g, j] + of_total[j]) * power(near) * near
                    of_location[row, j] += weighed * of_near * near * (node - at[j])
                    through_near += weighed * of_near * (1.0 - near)
                    through_bend += weighed * (1.0 - excess) * excess
            for j in range(size):
                inside = at[j] == location[row, j]
                of_location[row, j] = of_location[row, j] * 2.0 / (scale[row] ** 2 * dof) if inside else 0.0
            of_scale[row] = 2.0 * through_near / scale[row] + 2.0 * through_bend * scale[row] / squared
        return of_location, of_scale

    return slopes
