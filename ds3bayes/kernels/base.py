"""What an operation of the package's own has to say so that the machine runs its kernel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

Array = np.ndarray
Shape = tuple[int, ...]
Tensor = Any


class KernelOp(Op):
    """A PyTensor operation with one output that the machine runs as one instruction.

    `perform` defines it in NumPy: what PyTensor runs, and what the kernel is held against. The kernel is the pair of C
    functions ``forward_NAME`` and ``reverse_NAME`` in the file of the same name beside the operation's. The machine
    hands it its inputs in C order (an input that is whole is a row of the tape's whole numbers instead, one after the
    other in the order of the inputs), its `sizes` and its `reals`.
    """

    __props__: tuple[str, ...] = ()
    #: Name of the C functions, as in ``instructions.h``.
    kernel: ClassVar[str]
    #: Inputs that are constant whole numbers.
    whole_inputs: ClassVar[frozenset[int]] = frozenset()

    @abstractmethod
    def shape_of(self, shapes: Sequence[Shape]) -> Shape:
        """Return the output's shape, given those of the inputs; None stands for an unknown size in either."""

    @abstractmethod
    def sizes(self, shapes: Sequence[Shape]) -> Sequence[int]:
        """Return the whole numbers ``it->size`` that the kernel takes, at most 12, given its inputs' shapes."""

    def reals(self) -> Sequence[float]:
        """Return the real numbers ``it->real`` that the kernel takes, at most 4."""
        return ()

    def scratch(self, shapes: Sequence[Shape]) -> int:
        """Return how many doubles the kernel keeps from its forward to its reverse pass."""
        del shapes
        return 0

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to tensors or arrays."""
        given = list(map(pt.as_tensor, inputs))
        shape = self.shape_of([one.type.shape for one in given])
        return Apply(self, given, [pt.tensor(dtype="float64", shape=shape)])
