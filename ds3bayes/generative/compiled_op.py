"""Operations of a model that are compiled functions of ours, to NumPy and within compiled models alike."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from ds3bayes.generative import elementary, interpolate

Tensor = Any

# Functions of operations outside of models, with their machine code on disk as in models: compiling it takes seconds.
_on_disk: dict[tuple[Any, ...], Callable[..., Any]] = {}


class CompiledOp(Op):
    """An operation that a compiled function computes; subclasses say which, of how many arguments as it has inputs."""

    __props__: tuple[str, ...] = ()

    @property
    @abstractmethod
    def function(self) -> Callable[..., Any]:
        """The compiled function of the inputs, which returns the output, or a tuple where there are several."""

    @abstractmethod
    def outputs_of(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return variables of the outputs' types."""

    def make_node(self, *inputs: Any) -> Apply:
        """Apply it to tensors or arrays."""
        given = list(map(pt.as_tensor, inputs))
        return Apply(self, given, self.outputs_of(given))

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the outputs."""
        key = (self, *((one.type.dtype, one.type.ndim) for one in node.inputs))
        if key not in _on_disk:
            given = [pt.tensor(dtype=one.type.dtype, shape=(None,) * one.type.ndim) for one in node.inputs]
            # The machine code alone: it keeps no intermediate results, and threads may share it.
            _on_disk[key] = pytensor.function(given, self.make_node(*given).outputs, mode="NUMBA").vm.jit_fn
        for storage, value in zip(output_storage, _on_disk[key](*inputs), strict=True):
            storage[0] = value


@register_funcify_default_op_cache_key(CompiledOp)
def _funcify(op: CompiledOp, node: Apply | None = None, **kwargs: Any) -> tuple[Callable[..., Any], int]:
    """Return the function, and a number that changes with its source: machine code is kept on disk by that."""
    del node, kwargs
    files = [inspect.getfile(module) for module in (type(op), elementary, interpolate)]
    text = b"".join(Path(file).read_bytes() for file in files)
    return op.function, int.from_bytes(sha256(text).digest()[:7])
