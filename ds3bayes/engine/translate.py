"""Translate PyTensor graphs to tapes: one function per kind of operation, found by its class.

A graph's shapes are known when it is translated, since its inputs' are: whatever depends on constants alone is computed
there and then, views (transposing, slicing, broadcasting) cost nothing, and only the rest becomes instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor.scalar
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.ops import DeepCopyOp, TypeCastingOp
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import toposort
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import (
    Alloc,
    AllocEmpty,
    ExtractDiag,
    Join,
    MakeVector,
    ScalarFromTensor,
    TensorFromScalar,
)
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.special import LogAddExp, LogSoftmax, LogSumExp, Softmax
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
)

from ds3bayes.engine.tape import (
    Tape,
    Unsupported,
    Value,
    Writer,
    broadcast,
    collapsed,
    constant,
    contiguous_strides,
    reshaped,
    transposed,
)
from ds3bayes.kernels.base import KernelOp

Array = np.ndarray
Tensor = Any
# Its functions are made of classes, which type checkers take for modules' missing names.
scalar: Any = pytensor.scalar
_Translator = Callable[[Writer, Apply, list[Any]], "Value | list[Value]"]

_translators: dict[type, _Translator] = {}


def translates(*kinds: type) -> Callable[[_Translator], _Translator]:
    """Register a function that writes an operation's instructions, given its node and the values of its inputs."""

    def register(function: _Translator) -> _Translator:
        _translators.update(dict.fromkeys(kinds, function))
        return function

    return register


def translate(
    inputs: Sequence[tuple[Variable, tuple[int, ...]]],
    outputs: Sequence[Variable],
    *,
    derived: bool = False,
    given: Sequence[tuple[Variable, Array]] = (),
) -> Tape:
    """Write the tape of a graph.

    Parameters
    ----------
    inputs : sequence of (variable, shape)
        What the point holds, one after the other, each in C order.
    outputs : sequence of variable
        Anything that depends on inputs, constants and shared variables, whose values at this moment count.
    derived : bool, default False
        The only output is a number, and its gradient is wanted.
    given : sequence of (variable, array), optional
        Variables whose numbers are known.

    Returns
    -------
    Tape

    Raises
    ------
    Unsupported
        If the machine has no instruction for an operation, or a shape depends on the inputs' values; the message names
        the operation and the variable.
    """
    writer = Writer()
    dim = sum(int(np.prod(shape, dtype=np.int64)) for _, shape in inputs)
    start = at = writer.reserve(dim)
    values: dict[Variable, Any] = {variable: constant(numbers) for variable, numbers in given}
    for variable, shape in inputs:
        values[variable] = Value(shape=tuple(shape), strides=contiguous_strides(shape), offset=at, moves=derived)
        at += values[variable].size
    found = _graph(writer, list(outputs), values)
    if derived:
        (result,) = found
        if result.size != 1:
            raise Unsupported(f"a log density of shape {result.shape}; it must be one number")
        # A constant density stands among the constants, which have no slopes.
        return writer.finish(dim, start, result=result if result.constant is None else _own(writer, result))
    return writer.finish(dim, start, outputs=found)


def known(outputs: Sequence[Variable]) -> list[Array]:
    """Return the values of a graph that has no inputs.

    Parameters
    ----------
    outputs : sequence of variable

    Returns
    -------
    list of array

    Raises
    ------
    Unsupported
        If it depends on an unknown variable or on chance.
    """
    return [np.asarray(one.numbers) for one in _graph(Writer(), list(outputs), {})]


def _own(writer: Writer, value: Value) -> Value:
    return writer.copy(value, writer.new(value.shape))


def _graph(writer: Writer, outputs: list[Variable], values: dict[Variable, Any]) -> list[Value]:
    """Translate what outputs depend on, in order; ``values`` holds what is known and takes what is found."""
    for node in _needed(outputs, values):
        given = [_value(one, values) for one in _read(node)]
        try:
            found = _node(writer, node, given)
        except Unsupported as error:
            raise _named(error, node) from None
        for variable, value in zip(node.outputs, found, strict=True):
            values[variable] = value
    return [_value(one, values) for one in outputs]


def _needed(outputs: Sequence[Variable], known: Collection[Variable]) -> list[Apply]:
    """Return the nodes that outputs depend on, in order, as far as what is known; not those that are only checked."""
    order = list(toposort(outputs, blockers=list(known)))
    if not any(_is_check(node) for node in order):
        return order
    wanted, found = set(outputs), []
    for node in reversed(order):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(_read(node))
            found.append(node)
    return found[::-1]


def _is_check(node: Apply) -> bool:
    # PyMC's checks of parameters, which samplers leave out; anything else that may raise is not for a tape.
    return isinstance(node.op, CheckAndRaise) and type(node.op).__name__ == "CheckParameterValue"


def _read(node: Apply) -> Sequence[Variable]:
    """Return the inputs of a node that are read: what is checked is not."""
    return node.inputs[:1] if _is_check(node) else node.inputs


def _named(error: Unsupported, node: Apply) -> Unsupported:
    """Say where in a graph it was, once."""
    if getattr(error, "located", False):
        return error
    name = next((one.name for one in node.outputs if one.name), None)
    where = f" at variable {name!r}" if name else ""
    result = Unsupported(f"{error} ({node.op}{where})")
    result.located = True  # type: ignore[attr-defined]
    return result


def _value(variable: Variable, values: dict[Variable, Any]) -> Any:
    if variable not in values:
        if isinstance(variable, Constant):
            data = variable.data
            plain = isinstance(data, slice | type(None) | str) or not hasattr(variable.type, "dtype")
            values[variable] = data if plain else constant(data)
        elif isinstance(variable, SharedVariable) and hasattr(variable.type, "dtype"):
            values[variable] = constant(variable.get_value(borrow=True))
        else:
            raise Unsupported(f"variable {variable.name or variable!s}, which is neither an input nor known")
    return values[variable]


def _node(writer: Writer, node: Apply, given: list[Any]) -> list[Value]:
    translator = _translator_of(node)
    arrays = [one for one in given if isinstance(one, Value)]
    if arrays and all(one.constant is not None for one in arrays) and not _inlined(node.op):
        return _computed(node, given)
    if translator is None:
        if not arrays:
            return _computed(node, given)
        raise Unsupported("an operation that the machine lacks")
    found = translator(writer, node, given)
    return found if isinstance(found, list) else [found]


def _translator_of(node: Apply) -> _Translator | None:
    return next((_translators[kind] for kind in type(node.op).__mro__ if kind in _translators), None)


def _inlined(op: Any) -> bool:
    return isinstance(op, OpFromGraph | Shape | Shape_i)


def _computed(node: Apply, given: list[Any]) -> list[Value]:
    """Compute a node of known numbers by the operation itself."""
    if any(not hasattr(one.type, "dtype") and not _is_index(one) for one in node.inputs):
        raise Unsupported("an operation on something other than numbers, such as a draw of random numbers")
    storage: list[list[Any]] = [[None] for _ in node.outputs]
    node.op.prepare_node(node, None, None, "py")
    arrays = [
        np.asarray(one.constant, dtype=variable.type.dtype) if isinstance(one, Value) else one
        for one, variable in zip(given, node.inputs, strict=True)
    ]
    with np.errstate(all="ignore"):
        node.op.perform(node, arrays, storage)
    return [constant(cell[0]) for cell in storage]


def _is_index(variable: Variable) -> bool:
    return isinstance(variable, Constant) and isinstance(variable.data, slice | type(None))


# Functions of single numbers

_SCALAR: dict[type, str] = {
    scalar.Neg: "negative",
    scalar.Abs: "absolute",
    scalar.Sqr: "square",
    scalar.Sqrt: "square_root",
    scalar.Reciprocal: "reciprocal",
    scalar.Exp: "exponential",
    scalar.Expm1: "exponential_less_one",
    scalar.Log: "logarithm",
    scalar.Log1p: "logarithm_of_one_plus",
    scalar.Log2: "log_base_2",
    scalar.Log10: "log_base_10",
    scalar.Sin: "sine",
    scalar.Cos: "cosine",
    scalar.Tan: "tangent",
    scalar.Tanh: "hyperbolic_tangent",
    scalar.ArcTan2: "angle",
    scalar.Floor: "floor",
    scalar.Ceil: "ceiling",
    scalar.Trunc: "truncate",
    scalar.RoundHalfToEven: "round_to_even",
    scalar.Sign: "sign",
    scalar.IsInf: "is_infinite",
    scalar.IsNan: "is_nan",
    scalar.Sub: "subtract",
    scalar.TrueDiv: "divide",
    scalar.IntDiv: "floor_divide",
    scalar.Mod: "modulo",
    scalar.GT: "greater",
    scalar.GE: "at_least",
    scalar.LT: "less",
    scalar.LE: "at_most",
    scalar.EQ: "equal",
    scalar.NEQ: "unequal",
    scalar.Switch: "choose",
    scalar.Clip: "clip",
    scalar.ScalarMaximum: "maximum",
    scalar.ScalarMinimum: "minimum",
    scalar.math.Softplus: "softplus",
    scalar.math.Sigmoid: "sigmoid",
    scalar.math.Log1mexp: "logarithm_of_one_less_exponential",
    scalar.math.GammaLn: "log_gamma",
    scalar.math.Erf: "error_function",
    scalar.math.Erfc: "complementary_error_function",
    scalar.math.Erfcx: "scaled_complementary_error_function",
    scalar.ArcTan: "arctangent",
    scalar.math.BetaInc: "beta_share",
}
# Of any number of inputs, taken two by two; on whole numbers "and" and "or" are of bits, which the machine has not.
_MANY: dict[type, str] = {
    scalar.Add: "add",
    scalar.Mul: "multiply",
    scalar.AND: "both",
    scalar.OR: "either",
    scalar.XOR: "exclusive_either",
}
_POWERS = {2.0: "square", 0.5: "square_root", -1.0: "reciprocal"}


@translates(Elemwise)
def _elementwise(writer: Writer, node: Apply, given: list[Value]) -> Value:
    op = node.op.scalar_op
    kind = type(op)
    if kind is scalar.Second:
        return broadcast(given[1], np.broadcast_shapes(*[one.shape for one in given]))
    if kind is scalar.Identity:
        return given[0]
    if kind is scalar.Cast:
        return _cast(writer, node, given[0])
    if kind is scalar.Invert and node.inputs[0].type.dtype == "bool":
        return writer.elementwise("not", given)
    if kind is scalar.Pow:
        return _power(writer, given)
    if kind in (scalar.AND, scalar.OR, scalar.XOR) and node.outputs[0].type.dtype != "bool":
        raise Unsupported("an operation on the bits of whole numbers")
    if kind in _MANY:
        return _two_by_two(writer, _MANY[kind], given)
    if kind is scalar.math.BetaInc and (given[0].moves or given[1].moves):
        raise Unsupported("derivatives of the incomplete beta function by its shape parameters")
    if kind not in _SCALAR:
        raise Unsupported(f"the function {kind.__name__}, which the machine lacks")
    return writer.elementwise(_SCALAR[kind], given)


def _cast(writer: Writer, node: Apply, value: Value) -> Value:
    """Whole and logical numbers are real ones to the machine; only what changes a number is done."""
    was, now = (np.dtype(one.type.dtype).kind for one in (node.inputs[0], node.outputs[0]))
    if now == "b" and was != "b":
        return writer.elementwise("unequal", [value, constant(0.0)])
    if was == "f" and now in "iu":
        return writer.elementwise("truncate", [value])
    return value


def _power(writer: Writer, given: list[Value]) -> Value:
    base, exponent = given
    shape = np.broadcast_shapes(base.shape, exponent.shape)
    if exponent.constant is not None and exponent.size and shape == base.shape:
        distinct = np.unique(exponent.constant)
        if distinct.size == 1 and float(distinct[0]) in _POWERS:
            return writer.elementwise(_POWERS[float(distinct[0])], [base])
    return writer.elementwise("power", given)


def _two_by_two(writer: Writer, name: str, given: list[Value]) -> Value:
    """Small arrays first: what depends on few axes is not computed along many."""
    rest = sorted(given, key=lambda one: (one.size, one.constant is None))
    result = rest[0]
    for other in rest[1:]:
        result = writer.elementwise(name, [result, other])
    return result


@translates(LogAddExp)
def _logaddexp(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del node
    return _two_by_two(writer, "logaddexp", given)


# Views


@translates(DimShuffle)
def _dimshuffle(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del writer
    order = node.op.new_order
    value = transposed(
        _without(given[0], [axis for axis in range(len(given[0].shape)) if axis not in order]),
        np.argsort(np.argsort([axis for axis in order if axis != "x"])).tolist(),
    )
    if value.constant is not None:
        return constant(np.expand_dims(value.constant, tuple(axis for axis, one in enumerate(order) if one == "x")))
    shape, strides = iter(value.shape), iter(value.strides)
    return replace(
        value,
        shape=tuple(1 if one == "x" else next(shape) for one in order),
        strides=tuple(0 if one == "x" else next(strides) for one in order),
    )


def _without(value: Value, axes: list[int]) -> Value:
    """Drop axes of length 1."""
    if value.constant is not None:
        return constant(value.constant.squeeze(tuple(axes)))
    kept = [axis for axis in range(len(value.shape)) if axis not in axes]
    return replace(
        value, shape=tuple(value.shape[axis] for axis in kept), strides=tuple(value.strides[axis] for axis in kept)
    )


@translates(SpecifyShape, TypeCastingOp, DeepCopyOp, TensorFromScalar, ScalarFromTensor)
def _same(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del writer, node
    return given[0]


@translates(CheckAndRaise)
def _checked(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del writer
    if not _is_check(node):
        raise Unsupported("an operation that may raise an error")
    return given[0]


@translates(Shape)
def _shape(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del writer, node
    return constant(np.array(given[0].shape, dtype=np.int64))


@translates(Shape_i)
def _length(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del writer
    return constant(np.array(given[0].shape[node.op.i], dtype=np.int64))


@translates(Alloc)
def _alloc(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del writer, node
    return broadcast(given[0], [int(one.numbers) for one in given[1:]])


@translates(AllocEmpty)
def _alloc_empty(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del writer, node
    return constant(np.zeros([int(one.numbers) for one in given]))


@translates(ExtractDiag)
def _diagonal(writer: Writer, node: Apply, given: list[Value]) -> Value:
    """Walk two axes at once: a view, whose last axis is the diagonal."""
    del writer
    value, op = given[0], node.op
    one, other = (axis % len(value.shape) for axis in (op.axis1, op.axis2))
    down, right = max(-op.offset, 0), max(op.offset, 0)
    length = max(0, min(value.shape[one] - down, value.shape[other] - right))
    kept = [axis for axis in range(len(value.shape)) if axis not in (one, other)]
    return replace(
        value,
        shape=(*(value.shape[axis] for axis in kept), length),
        strides=(*(value.strides[axis] for axis in kept), value.strides[one] + value.strides[other]),
        offset=value.offset + down * value.strides[one] + right * value.strides[other],
    )


@translates(Reshape)
def _reshape(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del node
    value, wanted = writer.contiguous(given[0]), [int(length) for length in given[1].numbers]
    if -1 in wanted:
        rest = int(np.prod([length for length in wanted if length != -1], dtype=np.int64))
        wanted[wanted.index(-1)] = value.size // max(rest, 1)
    return reshaped(value, wanted)


# Parts of arrays


def _indices(op: Any, given: Sequence[Any]) -> list[Any]:
    """Put the inputs into an operation's list of indices: slices of numbers, and values."""

    def number(place: Any) -> Any:
        if place is None:
            return None
        one = given[place]
        return int(one.numbers) if isinstance(one, Value) else one

    return [
        slice(number(one.start), number(one.stop), number(one.step)) if isinstance(one, slice) else given[one]
        for one in op.idx_list
    ]


@translates(Subtensor)
def _subtensor(writer: Writer, node: Apply, given: list[Any]) -> Value:
    del writer
    return _view(given[0], _indices(node.op, given[1:]))


def _view(value: Value, indices: list[Any]) -> Value:
    """Slice and index by known numbers: a view of the same memory."""
    shape, strides, offset = [], [], value.offset
    for axis, length in enumerate(value.shape):
        index = indices[axis] if axis < len(indices) else slice(None)
        step = value.strides[axis]
        if isinstance(index, slice):
            start, stop, by = index.indices(length)
            count = len(range(start, stop, by))
            offset += start * step if count else 0
            shape.append(count)
            strides.append(step * by)
        else:
            place = int(index.numbers)
            if not -length <= place < length:
                raise IndexError(f"index {place} of an axis of length {length}")
            offset += place % length * step
    return replace(value, shape=tuple(shape), strides=tuple(strides), offset=offset)


def _places(shape: Sequence[int], indices: list[Any]) -> Array:
    """Flat places, in C order, that known indices choose of an array of a shape."""
    flat = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    return flat[tuple(one if isinstance(one, slice) else _index_array(one) for one in indices)]


def _index_array(value: Value) -> Array:
    array = np.asarray(value.numbers)
    return array if array.dtype == bool else array.astype(np.int64)


@translates(AdvancedSubtensor)
def _advanced_subtensor(writer: Writer, node: Apply, given: list[Any]) -> Value:
    indices = _indices(node.op, given[1:])
    value = writer.contiguous(given[0])
    if all(isinstance(one, slice) or one.constant is not None for one in indices):
        # Whole trailing axes are copied as blocks.
        leading = len(indices)
        while leading and isinstance(indices[leading - 1], slice) and indices[leading - 1] == slice(None):
            leading -= 1
        block = int(np.prod(value.shape[leading:], dtype=np.int64))
        places = _places(value.shape[:leading], indices[:leading])
        shape = (*places.shape, *value.shape[leading:])
        return writer.emit("gather", [value], shape, sizes=[places.size, block], whole=places.ravel() * block)
    leading = next((axis for axis, one in enumerate(indices) if isinstance(one, slice)), len(indices))
    if any(not isinstance(one, slice) or one != slice(None) for one in indices[leading:]):
        raise Unsupported("computed indices that do not stand first")
    chosen = indices[:leading]
    outer = np.broadcast_shapes(*[one.shape for one in chosen])
    columns = [writer.contiguous(broadcast(one, outer)) for one in chosen]
    count, block = (int(np.prod(part, dtype=np.int64)) for part in (outer, value.shape[leading:]))
    return writer.emit(
        "gather_computed",
        [value, *columns],
        (*outer, *value.shape[leading:]),
        sizes=[count, block, *value.shape[:leading]],
        scratch=count,
    )


@translates(IncSubtensor, AdvancedIncSubtensor)
def _changed(writer: Writer, node: Apply, given: list[Any]) -> Value:
    base, part, *rest = given
    indices = _indices(node.op, rest)
    if any(not isinstance(one, slice) and one.constant is None for one in indices):
        raise Unsupported("numbers that are written at computed places")
    places = _places(base.shape, indices)
    result = writer.copy(base, writer.new(base.shape))
    name = "scatter_set" if node.op.set_instead_of_inc else "scatter_add"
    written = writer.contiguous(broadcast(part, places.shape))
    # What is overwritten no longer moves the result: the base is named for that.
    return writer.emit(name, [written, base], result, sizes=[places.size], whole=places.ravel())


@translates(Join)
def _join(writer: Writer, node: Apply, given: list[Any]) -> Value:
    return _joined(writer, given, node.op.axis)


@translates(MakeVector)
def _vector(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del node
    return _joined(writer, [broadcast(one, (1,)) for one in given], 0)


def _joined(writer: Writer, parts: list[Value], axis: int) -> Value:
    axis %= len(parts[0].shape)
    shape = list(parts[0].shape)
    shape[axis] = sum(one.shape[axis] for one in parts)
    result, at, moves = writer.new(shape), 0, False
    for one in parts:
        piece = _view(result, [slice(None)] * axis + [slice(at, at + one.shape[axis])])
        if one.size:
            moves |= writer.copy(one, piece).moves
        at += one.shape[axis]
    return replace(result, moves=moves)


# Many numbers to one


def _axes(axis: Any, ndim: int) -> list[int]:
    if axis is None:
        return list(range(ndim))
    return sorted(one % ndim for one in (axis if isinstance(axis, tuple | list) else (axis,)))


@translates(CAReduce)
def _reduced(writer: Writer, node: Apply, given: list[Value]) -> Value:
    kind, value = type(node.op.scalar_op), given[0]
    axes = _axes(node.op.axis, len(value.shape))
    if kind is scalar.Add:
        return _sum(writer, value, axes)
    names = {scalar.ScalarMaximum: "row_maximum", scalar.ScalarMinimum: "row_maximum", scalar.Mul: "row_product"}
    if kind not in names:
        raise Unsupported(f"reducing by {kind.__name__}")
    lowest = kind is scalar.ScalarMinimum
    rows, outer = writer.rows(writer.elementwise("negative", [value]) if lowest else value, axes)
    result = writer.emit(names[kind], [rows], outer, sizes=rows.shape)
    return writer.elementwise("negative", [result]) if lowest else result


def _sum(writer: Writer, value: Value, axes: list[int]) -> Value:
    outer = tuple(length for axis, length in enumerate(value.shape) if axis not in axes)
    steps = iter(contiguous_strides(outer))
    to = tuple(0 if axis in axes else next(steps) for axis in range(len(value.shape)))
    loop, (own, out) = collapsed(value.shape, [writer.place(value)[1], to])
    return writer.emit("sum", [value], outer, shape=loop, strides=[own], output_strides=out)


@translates(LogSumExp)
def _log_sum(writer: Writer, node: Apply, given: list[Value]) -> Value:
    value = given[0]
    axes = _axes(node.op.axis, len(value.shape))
    rows, outer = writer.rows(value, axes)
    result = writer.emit("row_log_sum", [rows], outer, sizes=rows.shape)
    if node.outputs[0].type.ndim == len(value.shape):
        kept = tuple(1 if axis in axes else length for axis, length in enumerate(value.shape))
        return reshaped(result, kept)
    return result


@translates(Softmax, LogSoftmax)
def _softmax(writer: Writer, node: Apply, given: list[Value]) -> Value:
    value = given[0]
    ndim = len(value.shape)
    axes = _axes(node.op.axis, ndim)
    rows, outer = writer.rows(value, axes)
    name = "row_log_softmax" if isinstance(node.op, LogSoftmax) else "row_softmax"
    flat = writer.emit(name, [rows], rows.shape, sizes=rows.shape)
    order = [axis for axis in range(ndim) if axis not in axes] + axes
    shaped = reshaped(flat, (*outer, *(value.shape[axis] for axis in axes)))
    return transposed(shaped, np.argsort(order).tolist())


@translates(CumOp)
def _running(writer: Writer, node: Apply, given: list[Value]) -> Value:
    value = given[0]
    if node.op.mode != "add":
        raise Unsupported("running products")
    axis = node.op.axis
    if axis is None:
        value, axis = reshaped(writer.contiguous(value), (value.size,)), 0
    ndim = len(value.shape)
    rows, outer = writer.rows(value, [axis % ndim])
    flat = writer.emit("row_running_sum", [rows], rows.shape, sizes=rows.shape)
    order = [one for one in range(ndim) if one != axis % ndim] + [axis % ndim]
    return transposed(reshaped(flat, (*outer, value.shape[axis])), np.argsort(order).tolist())


# Products of matrices


@translates(Dot)
def _dot(writer: Writer, node: Apply, given: list[Value]) -> Value:
    del node
    return _product(writer, given[0], given[1])


@translates(Blockwise)
def _batched(writer: Writer, node: Apply, given: list[Value]) -> Value:
    if not isinstance(node.op.core_op, Dot):
        raise Unsupported("an operation on stacks of matrices that the machine lacks")
    a, b = given
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    flat = [
        reshaped(writer.contiguous(broadcast(one, (*batch, *one.shape[-2:]))), (_count(batch), *one.shape[-2:]))
        for one in given
    ]
    return reshaped(_product(writer, *flat), (*batch, a.shape[-2], b.shape[-1]))


def _count(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _product(writer: Writer, a: Value, b: Value) -> Value:
    """Product of matrices, of matrix and vector, or of two stacks of matrices."""
    left, right = list(writer.place(a)[1]), list(writer.place(b)[1])
    rows, inner = (1, a.shape[0]) if len(a.shape) == 1 else a.shape[-2:]
    columns = 1 if len(b.shape) == 1 else b.shape[-1]
    left = [0] * (3 - len(left)) + left
    right = [0, right[0], 0] if len(b.shape) == 1 else [0] * (3 - len(right)) + right
    batch = a.shape[0] if len(a.shape) == 3 else 1
    shape = [] if len(a.shape) == 1 else [rows]
    shape += [] if len(b.shape) == 1 else [columns]
    return writer.emit(
        "matrix_product",
        [a, b],
        ([batch] if len(a.shape) == 3 else []) + shape,
        strides=[left, right],
        sizes=[batch, rows, inner, columns],
    )


# Graphs within graphs, and kernels


@translates(OpFromGraph)
def _inner_graph(writer: Writer, node: Apply, given: list[Any]) -> list[Value]:
    inner = node.op.fgraph
    return _graph(writer, list(inner.outputs), dict(zip(inner.inputs, given, strict=True)))


@translates(KernelOp)
def _kernel(writer: Writer, node: Apply, given: list[Value]) -> Value:
    op = node.op
    shapes = [one.shape for one in given]
    whole = [np.ravel(given[k].numbers) for k in sorted(op.whole_inputs)]
    real = [writer.contiguous(one) for k, one in enumerate(given) if k not in op.whole_inputs]
    return writer.emit(
        op.kernel,
        real,
        op.shape_of(shapes),
        sizes=op.sizes(shapes),
        reals=op.reals(),
        whole=np.concatenate(whole) if whole else None,
        scratch=op.scratch(shapes),
    )


def unsupported(outputs: Sequence[Variable]) -> Iterator[str]:
    """Name the operations of a graph that no function here translates, by class."""
    for node in toposort(list(outputs)):
        if _translator_of(node) is None:
            yield type(node.op).__name__


__all__ = ["Unsupported", "known", "pt", "translate", "translates", "unsupported"]
