"""An arm's own task effect summed out of the likelihoods of its cells, by one kernel.

The density of the effect at (arm, location, node of success) is the largest array of a model whose arms share tasks.
As an expression of single operations it and its derivatives are written to memory many times over, which takes most of
a gradient; the kernel keeps a part of it in the processor's cache, and sums cells of many attempts over the few nodes
where they have any mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.replace import graph_replace

from ds3bayes.kernels.base import Array, KernelOp, Shape, Tensor

# Scale of an own effect down to which the nodes that are left out of a sum change nothing.
_SMALLEST = 0.1
# Sums below count as this, so that their logarithm is finite; as in own_effect.c.
_LEAST_SUM = 1e-300
# Most locations that the kernel takes at a time, and to how many doubles it may align its scratch.
_BLOCK, _ALIGNED = 16, 8


def interaction_density(nodes: Array, location: Tensor, scale: Tensor, dof: float) -> Tensor:
    """Unnormalised Student t density of an arm's own task effect, as values at the nodes of logit success.

    Heavier tails than the normal's let one task be unexpectedly hard for one arm without dragging the rest. A location
    beyond the nodes counts as the last of them: the part of a Student t that far from its centre is nearly even, so
    that an LLM with a location of 50 would pass for one of which nothing is known.

    Parameters
    ----------
    nodes : array, shape (G,)
        Logit success, rising, equally spaced.
    location : tensor or array, shape (...)
        Logit success that the shared difficulty gives.
    scale : tensor or array, broadcasts with (..., G)
        Scale of the effect, > 0.
    dof : float
        Degrees of freedom, > 2.

    Returns
    -------
    tensor or array, shape (..., G)

    Notes
    -----
    `Grid.table` takes a density as linear between nodes, which lies above one that is convex there and below one that
    is concave, by h^2/12 times the second derivative on average over a spacing h. That is taken off here: with a
    thousand attempts at each of many tasks, log-likelihoods would else be off by tenths that vary with the parameters.
    """
    spacing = nodes[1] - nodes[0]
    gap = nodes - location.clip(nodes[0], nodes[-1])[..., None]
    near = 1.0 / (1.0 + (gap / scale) ** 2 / dof)
    # Second derivative over density; bounded where a scale is below a third of the spacing and nodes do not resolve it.
    curvature = (dof + 1.0) / dof * near * (dof + 2.0 - (dof + 3.0) * near) / (scale**2 + spacing**2 / 10.0)
    excess = spacing**2 / 12.0 * curvature
    # exp(-excess), to second order and positive.
    return near ** ((dof + 1.0) / 2.0) * (1.0 - excess + 0.5 * excess**2)


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
    op, given = LogExpectedMass(dof=float(dof)), (nodes, location, scale, mass)
    if not isinstance(mass, np.ndarray):
        first = pt.zeros(mass.shape[:2], dtype="int64")
        return op.make_node(*given, first, first + nodes.size, first + pt.arange(mass.shape[1])).outputs[0]
    # How much larger the density can be at one node than at another.
    ratio = (1.0 + ((nodes[-1] - nodes[0]) / _SMALLEST) ** 2 / dof) ** ((dof + 1.0) / 2.0)
    top = mass.max(axis=-1)
    there = mass > max(1e-16 / ratio, _LEAST_SUM) * top[..., None]
    even = (mass.min(axis=-1) == top) & (top > 1e-100)
    start = np.where(even, nodes.size, there.argmax(axis=-1))
    stop = np.where(even, nodes.size, nodes.size - there[..., ::-1].argmax(axis=-1))
    return op.make_node(*given, start, stop, start.argsort(axis=-1, kind="stable")).outputs[0]


class LogExpectedMass(KernelOp):
    """See `log_expected_mass`.

    Takes nodes, location, scale and mass, and what saves the kernel time: a cell has mass from its node ``start`` to
    before its node ``stop``, or the same constant mass at every node if it starts beyond the last; ``order`` has the
    cells of an arm by their start. All three have the shape (A, C).

    Parameters
    ----------
    dof : float
        Degrees of freedom.
    """

    __props__ = ("dof",)
    kernel: ClassVar[str] = "log_expected_mass"
    whole_inputs: ClassVar[frozenset[int]] = frozenset({4, 5, 6})

    def __init__(self, *, dof: float) -> None:
        self.dof = dof

    def shape_of(self, shapes: Sequence[Shape]) -> Shape:
        """Arms, cells, locations."""
        return (*shapes[3][:2], shapes[1][1])

    def sizes(self, shapes: Sequence[Shape]) -> Sequence[int]:
        """Arms, cells, nodes, locations."""
        return (*shapes[3], shapes[1][1])

    def reals(self) -> Sequence[float]:
        """Degrees of freedom."""
        return (self.dof,)

    def scratch(self, shapes: Sequence[Shape]) -> int:
        """Sums of each cell and of the density; the density and logarithms of sums for a block of locations."""
        arms, cells, nodes, size = self.sizes(shapes)
        rounded = size + _BLOCK - 1
        return arms * rounded * (cells + 1) + _BLOCK * (nodes + cells) + cells + _ALIGNED

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the expectation, over all nodes."""
        del node
        nodes, location, scale, mass, start, *_ = inputs
        result = _expected(np, nodes, location, scale, mass, self.dof)
        # Exactly: a task that was not seen must have the same likelihood whatever the parameters. NaN stays.
        even = start == nodes.size
        result[even] = np.where(np.isnan(result[even]), np.nan, np.log(mass[even][:, :1]))
        output_storage[0][0] = result

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say which input moves the output by derivatives: location, scale and mass."""
        del node
        return [[moves] for moves in (False, True, True, True, False, False, False)]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derive by location, scale and mass."""
        del outputs
        # Of variables of its own: those of the model may depend on each other.
        location, scale, mass = moving = [one.type() for one in inputs[1:4]]
        result = _expected(pt, inputs[0], location, scale, mass, self.dof)
        slopes: Any = pytensor.grad(None, moving, known_grads={result: cotangents[0]})
        given = dict(zip(moving, inputs[1:4], strict=True))
        fixed = DisconnectedType()
        return [fixed(), *graph_replace(slopes, given, strict=False), fixed(), fixed(), fixed()]


def _expected(library: Any, nodes: Tensor, location: Tensor, scale: Tensor, mass: Tensor, dof: float) -> Tensor:
    """Return `log_expected_mass` as an expression of NumPy or of PyTensor."""
    density = interaction_density(nodes, location, scale[:, None, None], dof)
    sums = library.maximum(mass @ density.swapaxes(1, 2), _LEAST_SUM)
    total = library.maximum(density.sum(axis=2), _LEAST_SUM)
    return library.log(sums) - library.log(total)[:, None]
