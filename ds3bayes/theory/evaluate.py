"""Evaluate a formula of this package on NumPy arrays, from the very expression that the model uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ds3bayes.deferred import pt, pytensor

_Signature = tuple[tuple[str, tuple[bool, ...]], ...]


@cache
def python_mode() -> Any:
    """Return the mode in which PyTensor evaluates an expression by NumPy, node by node.

    The graphs are small and written in stable form, so no rewriting is wanted except merging equal nodes: fusion and
    the flattening of sums would replace NumPy's vectorised functions by element-wise Python calls.
    """
    return pytensor.compile.mode.Mode(linker="py", optimizer="merge")


@lru_cache(maxsize=512)
def _compiled(
    function: Callable[..., Any], signature: _Signature, static: tuple[tuple[str, type, Hashable], ...]
) -> Callable[..., Any]:
    # Where each node was made is for debugging, and takes a third of the time.
    with pytensor.config.change_flags(traceback__limit=0):
        inputs = [
            pt.tensor(f"argument_{i}", dtype=dtype, shape=tuple(1 if one else None for one in ones))
            for i, (dtype, ones) in enumerate(signature)
        ]
        result = function(*inputs, **{name: value for name, _, value in static})
    outputs = (
        [pt.as_tensor_variable(part) for part in result] if isinstance(result, tuple) else pt.as_tensor_variable(result)
    )
    compiled = pytensor.function(inputs, outputs, mode=python_mode(), on_unused_input="ignore")
    compiled.trust_input = True
    lock = threading.Lock()

    def locked(*arrays: np.ndarray) -> Any:
        # Threads would write over one another's intermediate results, which the function keeps for its next step.
        with lock:
            return compiled(*arrays)

    return locked


def _call(function: Callable[..., Any], arrays: Sequence[np.ndarray], static: dict[str, Hashable]) -> Any:
    signature = tuple((array.dtype.name, tuple(size == 1 for size in array.shape)) for array in arrays)
    # The cache compares by equality, and 1 == 1.0 may build different graphs: the type is part of the key.
    key = tuple((name, type(static[name]), static[name]) for name in sorted(static))
    result = _compiled(function, signature, key)(*arrays)
    return tuple(result) if isinstance(result, list) else result


def numbers(*expressions: Any) -> list[float]:
    """Return the values of expressions of constants alone, each of which is one number.

    Parameters
    ----------
    *expressions : tensor

    Returns
    -------
    list of float
    """
    compiled = pytensor.function([], [pt.as_tensor_variable(one) for one in expressions], mode=python_mode())
    return [float(value) for value in compiled()]


def _as_numeric(array: Any) -> np.ndarray:
    result = np.asarray(array)
    if result.dtype.kind in "biu":
        return result.astype(np.int64)
    if result.dtype.kind == "f":
        return result.astype(np.float64)
    raise TypeError(f"expected numbers, got an array of dtype {result.dtype}")


def evaluate(
    function: Callable[..., Any],
    *arrays: Any,
    core: Sequence[int] | None = None,
    block: int = 2048,
    **static: Hashable,
) -> Any:
    """Evaluate a PyTensor formula on NumPy arrays, compiling it once per signature.

    The compiled function runs each node as one vectorised NumPy or SciPy call: it starts within
    milliseconds (nothing is compiled to machine code) and it is as fast as hand-written NumPy.

    Parameters
    ----------
    function : callable
        A function of module level that takes tensors and returns a tensor or a tuple of tensors.
    *arrays : array-like of numbers
        Its positional arguments; booleans and integers become int64, floats float64.
    core : sequence of int, optional
        For each argument, the number of trailing axes that the formula consumes as a whole. The remaining
        leading axes are batch axes, which the formula broadcasts. When given, a large batch is evaluated in
        blocks along its longest axis, so that temporary arrays with extra axes stay small. Every output
        must have all batch axes in front.
    block : int, default 2048
        Largest number of batch elements of one block; used only with ``core``.
    **static : hashable
        Keyword arguments of ``function`` that choose the graph (sizes, modes) and are not data.

    Returns
    -------
    numpy.ndarray or tuple of numpy.ndarray
        What ``function`` returns, evaluated.

    Raises
    ------
    TypeError
        If an argument does not hold numbers.

    Examples
    --------
    >>> from ds3bayes.theory.evaluate import evaluate
    >>> from ds3bayes.theory.selectors import any_right
    >>> evaluate(any_right, [0.0, 0.5, 1.0], n=2)
    array([0.  , 0.75, 1.  ])
    """
    numeric = [_as_numeric(array) for array in arrays]
    if core is None:
        return _call(function, numeric, static)
    leading = [array.shape[: array.ndim - size] for array, size in zip(numeric, core, strict=True)]
    batch = np.broadcast_shapes(*leading)
    total = int(np.prod(batch))
    if total <= block:
        return _call(function, numeric, static)
    axis = int(np.argmax(batch))
    length = batch[axis]
    rows = max(1, block * length // total)

    def part(array: np.ndarray, lead: tuple[int, ...], begin: int) -> np.ndarray:
        own = axis - (len(batch) - len(lead))
        if own < 0 or lead[own] == 1:
            return array
        return array[(slice(None),) * own + (slice(begin, begin + rows),)]

    pieces = [
        _call(function, [part(a, lead, begin) for a, lead in zip(numeric, leading, strict=True)], static)
        for begin in range(0, length, rows)
    ]
    if isinstance(pieces[0], tuple):
        return tuple(np.concatenate(group, axis=axis) for group in zip(*pieces, strict=True))
    return np.concatenate(pieces, axis=axis)
