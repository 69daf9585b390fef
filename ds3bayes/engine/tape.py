"""A tape: a graph's operations in order, as the machine runs them, with the memory that they read and write."""

from __future__ import annotations

import ctypes
import itertools
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ds3bayes.engine.library import load

Array = np.ndarray
Shape = tuple[int, ...]

# Sizes of the arrays in machine.h's `Instruction`.
_DIMS, _INPUTS, _SIZES, _REALS = 6, 10, 12, 4
_INSTRUCTION = np.dtype(
    [
        ("code", "i8"),
        ("inputs", "i8"),
        ("needs", "i8"),
        ("dims", "i8"),
        ("shape", "i8", _DIMS),
        ("input", "i8", _INPUTS),
        ("stride", "i8", (_INPUTS, _DIMS)),
        ("output", "i8"),
        ("output_size", "i8"),
        ("output_stride", "i8", _DIMS),
        ("scratch", "i8"),
        ("size", "i8", _SIZES),
        ("real", "f8", _REALS),
        ("index", "i8"),
    ]
)
# Every array starts at a multiple of this many doubles, so that vectors are read whole.
_ALIGNED = 8
# Instructions whose results are steps: nothing is derived through them.
_STEPS = frozenset(
    {"floor", "ceiling", "truncate", "round_to_even", "sign", "is_infinite", "is_nan", "not", "floor_divide"}
    | {"greater", "at_least", "less", "at_most", "equal", "unequal", "both", "either", "exclusive_either"}
)


class Unsupported(Exception):  # noqa: N818
    """A graph has something that the machine cannot run; the message names it."""


@dataclass(frozen=True, eq=False)
class Value:
    """An array of a graph: a constant, or a view of what the machine computes.

    Parameters
    ----------
    shape : tuple of int
    strides : tuple of int
        In doubles, one per axis.
    offset : int
        Where it starts, in doubles, behind the constants.
    constant : array, optional
        Its numbers, if they are known when the tape is made.
    moves : bool
        Whether derivatives by it are wanted: it depends on the point.
    """

    shape: Shape
    strides: Shape = ()
    offset: int = -1
    constant: Array | None = None
    moves: bool = False

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def numbers(self) -> Array:
        """The numbers of a constant."""
        if self.constant is None:
            raise Unsupported("a shape or an index that depends on the parameters")
        return self.constant


def constant(array: Any) -> Value:
    """Return an array of known numbers."""
    given = np.asarray(array)
    return Value(shape=given.shape, constant=given)


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """Strides of an array in C order, in numbers."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def broadcast_strides(shape: Shape, strides: Shape, to: Shape) -> Shape:
    """Strides of an array seen as one of a larger shape."""
    missing = len(to) - len(shape)
    return (0,) * missing + tuple(0 if length == 1 else step for length, step in zip(shape, strides, strict=True))


def collapsed(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[Shape, list[Shape]]:
    """Join axes that are walked like one, so that loops are as long and as few as can be."""
    axes: list[tuple[int, list[int]]] = []
    for axis, length in enumerate(shape):
        if length == 1:
            continue
        steps = [one[axis] for one in strides]
        if axes and all(outer == inner * length for outer, inner in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = (axes[-1][0] * length, steps)
        else:
            axes.append((length, steps))
    if not axes:
        axes = [(1, [0] * len(strides))]
    if len(axes) > _DIMS:
        raise Unsupported(f"a loop over {len(axes)} axes (at most {_DIMS})")
    return tuple(length for length, _ in axes), [tuple(steps[k] for _, steps in axes) for k in range(len(strides))]


@dataclass(frozen=True, eq=False)
class _Step:
    """An instruction before it is written: places of inputs are ("c", offset) among constants or ("v", offset)."""

    name: str
    places: list[tuple[str, int]]
    needs: int
    shape: Shape
    strides: list[Shape]
    output: Value
    output_strides: Shape
    scratch: int
    sizes: tuple[int, ...]
    reals: tuple[float, ...]
    whole: int


class Writer:
    """Writes a tape instruction by instruction; equal instructions are written once."""

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self.length = 0
        self._constants: list[Array] = []
        self._constant_length = 0
        self._constant_places: dict[tuple[Shape, bytes], int] = {}
        self._held: dict[int, tuple[Array, tuple[int, Shape]]] = {}
        self._whole: list[Array] = []
        self._whole_length = 0
        self._whole_places: dict[bytes, int] = {}
        self._written: dict[tuple[Any, ...], Value] = {}

    def reserve(self, size: int) -> int:
        """Return where ``size`` doubles start that nothing else uses."""
        start = self.length
        self.length += -(-max(size, 1) // _ALIGNED) * _ALIGNED
        return start

    def new(self, shape: Sequence[int]) -> Value:
        """Reserve an array of a shape."""
        given = tuple(int(length) for length in shape)
        size = int(np.prod(given, dtype=np.int64))
        return Value(shape=given, strides=contiguous_strides(given), offset=self.reserve(size))

    def place(self, value: Value) -> tuple[tuple[str, int], Shape]:
        """Return where a value stands and its strides; a constant is put among the constants, once."""
        if value.constant is None:
            return ("v", value.offset), value.strides
        key = id(value.constant)
        if key not in self._held:
            # The array is held so that its identity stays its own.
            self._held[key] = (value.constant, self._store(value.constant))
        start, strides = self._held[key][1]
        return ("c", start), strides

    def _store(self, array: Array) -> tuple[int, Shape]:
        # An axis that repeats the same numbers is stored once.
        repeats = [step == 0 or length == 1 for step, length in zip(array.strides, array.shape, strict=True)]
        core = array[tuple(slice(0, 1) if one else slice(None) for one in repeats)]
        stored = np.ascontiguousarray(core, dtype=np.float64)
        strides = tuple(0 if one else step for one, step in zip(repeats, contiguous_strides(core.shape), strict=True))
        key = (stored.shape, stored.tobytes())
        if key not in self._constant_places:
            self._constant_places[key] = self._constant_length
            padded = np.zeros(-(-max(stored.size, 1) // _ALIGNED) * _ALIGNED)
            padded[: stored.size] = stored.ravel()
            self._constants.append(padded)
            self._constant_length += padded.size
        return self._constant_places[key], strides

    def whole(self, numbers: Array) -> int:
        """Put whole numbers on the tape; return where they start."""
        given = np.ascontiguousarray(numbers, dtype=np.int64).ravel()
        key = given.tobytes()
        if key not in self._whole_places:
            self._whole_places[key] = self._whole_length
            self._whole.append(given)
            self._whole_length += given.size
        return self._whole_places[key]

    def emit(
        self,
        name: str,
        inputs: Sequence[Value],
        output: Sequence[int] | Value,
        *,
        shape: Sequence[int] = (),
        strides: Sequence[Sequence[int]] = (),
        output_strides: Sequence[int] = (),
        sizes: Iterable[int] = (),
        reals: Iterable[float] = (),
        whole: Array | None = None,
        scratch: int = 0,
    ) -> Value:
        """Write an instruction.

        Parameters
        ----------
        name : str
            As in ``instructions.h``.
        inputs : sequence of Value
        output : shape, or Value
            Of the new array; or an array that earlier instructions wrote, of which this one changes a part.
        shape, strides, output_strides : sequence, optional
            Of the loop.
        sizes, reals, whole, scratch : optional
            What else the instruction takes.

        Returns
        -------
        Value
        """
        placed = [self.place(one) for one in inputs]
        places = [where for where, _ in placed]
        if not strides:
            strides = [own[:_DIMS] for _, own in placed]
        needs = 0 if name in _STEPS else sum(1 << k for k, one in enumerate(inputs) if one.moves)
        index = -1 if whole is None else self.whole(whole)
        size_list, real_list = tuple(map(int, sizes)), tuple(map(float, reals))
        fresh = not isinstance(output, Value)
        key = (
            name,
            tuple(places),
            tuple(shape),
            tuple(map(tuple, strides)),
            tuple(output_strides),
            size_list,
            real_list,
            index,
            () if isinstance(output, Value) else tuple(output),
        )
        if fresh and key in self._written:
            return self._written[key]
        target = self.new(output) if not isinstance(output, Value) else output
        self.steps.append(
            _Step(
                name=name,
                places=places,
                needs=needs,
                shape=tuple(shape),
                strides=[tuple(one) for one in strides],
                output=target,
                output_strides=tuple(output_strides),
                scratch=self.reserve(scratch) if scratch else 0,
                sizes=size_list,
                reals=real_list,
                whole=index,
            )
        )
        result = replace(target, moves=target.moves or bool(needs))
        if fresh:
            self._written[key] = result
        return result

    def elementwise(self, name: str, inputs: Sequence[Value]) -> Value:
        """Apply a function of single numbers to arrays that broadcast against each other."""
        shape = np.broadcast_shapes(*[one.shape for one in inputs])
        strides = [broadcast_strides(one.shape, self.place(one)[1], shape) for one in inputs]
        loop, steps = collapsed(shape, [*strides, contiguous_strides(shape)])
        return self.emit(name, inputs, shape, shape=loop, strides=steps[:-1], output_strides=steps[-1])

    def copy(self, value: Value, into: Value) -> Value:
        """Copy an array into a place of the same shape, which may be a part of a larger array."""
        shape = into.shape
        strides = broadcast_strides(value.shape, self.place(value)[1], shape)
        loop, (step, out) = collapsed(shape, [strides, into.strides])
        return self.emit("copy", [value], into, shape=loop, strides=[step], output_strides=out)

    def contiguous(self, value: Value) -> Value:
        """Return the same array in C order."""
        wanted = contiguous_strides(value.shape)
        own = self.place(value)[1]
        if all(one == other or length == 1 for one, other, length in zip(own, wanted, value.shape, strict=True)):
            return value
        if value.constant is not None:
            # Broadcast constants are stored once per repeated axis; here all numbers are wanted.
            return constant(np.array(value.constant, dtype=np.float64, order="C"))
        return self.copy(value, self.new(value.shape))

    def rows(self, value: Value, axes: Sequence[int]) -> tuple[Value, Shape]:
        """Move axes behind the others and lay the array out as rows over them: (R, N), and the shape of R."""
        kept = [axis for axis in range(len(value.shape)) if axis not in axes]
        moved = transposed(value, [*kept, *axes])
        flat = self.contiguous(moved)
        outer = tuple(value.shape[axis] for axis in kept)
        count = int(np.prod(outer, dtype=np.int64))
        return reshaped(flat, (count, value.size // max(count, 1))), outer

    def finish(self, inputs: int, point: int, *, result: Value | None = None, outputs: Sequence[Value] = ()) -> Tape:
        """Close the tape.

        Parameters
        ----------
        inputs : int
            Length of the point.
        point : int
            Where it starts.
        result : Value, optional
            The number that is derived.
        outputs : sequence of Value, optional
            Arrays to be read.
        """
        codes = _codes(load())
        # Outputs may be constants that nothing else reads: they are placed before the constants are counted.
        for one in [*outputs, *([] if result is None else [result])]:
            self.place(one)
        first = self._constant_length
        where = {"c": 0, "v": first}
        table = np.zeros(len(self.steps), dtype=_INSTRUCTION)
        for row, step in zip(table, self.steps, strict=True):
            row["code"] = codes[step.name]
            row["inputs"] = len(step.places)
            row["needs"] = step.needs
            row["dims"] = len(step.shape)
            row["shape"][: len(step.shape)] = step.shape
            for k, (kind, offset) in enumerate(step.places):
                row["input"][k] = offset + where[kind]
                row["stride"][k][: len(step.strides[k])] = step.strides[k]
            row["output"] = step.output.offset + first
            row["output_size"] = step.output.size
            row["output_stride"][: len(step.output_strides)] = step.output_strides
            row["scratch"] = step.scratch + first
            row["size"][: len(step.sizes)] = step.sizes
            row["real"][: len(step.reals)] = step.reals
            row["index"] = max(step.whole, 0)
        places = [self._flat_places(one, where) for one in outputs]
        return Tape(
            table=table,
            names=[step.name for step in self.steps],
            values=first + self.length,
            constants=np.concatenate(self._constants) if self._constants else np.zeros(_ALIGNED),
            constant_length=first,
            whole=np.concatenate(self._whole) if self._whole else np.zeros(1, dtype=np.int64),
            point=point + first,
            dim=inputs,
            result=-1 if result is None else int(self._flat_places(result, where)[0]),
            output=np.concatenate(places) if places else np.zeros(0, dtype=np.int64),
            shapes=[one.shape for one in outputs],
        )

    def _flat_places(self, value: Value, where: dict[str, int]) -> Array:
        """Where each number of a value stands, in C order."""
        (kind, offset), strides = self.place(value)
        places = np.zeros(value.shape, dtype=np.int64)
        for axis, (length, step) in enumerate(zip(value.shape, strides, strict=True)):
            along = [1] * len(value.shape)
            along[axis] = length
            places += (np.arange(length) * step).reshape(along)
        return (places + offset + where[kind]).ravel()


def transposed(value: Value, order: Sequence[int]) -> Value:
    """Return a view with its axes in another order."""
    if value.constant is not None:
        return constant(value.constant.transpose(order))
    return replace(
        value,
        shape=tuple(value.shape[axis] for axis in order),
        strides=tuple(value.strides[axis] for axis in order),
    )


def broadcast(value: Value, shape: Sequence[int]) -> Value:
    """Return a view that repeats an array along the axes of a larger shape."""
    to = tuple(int(length) for length in shape)
    if value.constant is not None:
        return constant(np.broadcast_to(value.constant, to))
    np.broadcast_shapes(value.shape, to)
    return replace(value, shape=to, strides=broadcast_strides(value.shape, value.strides, to))


def reshaped(value: Value, shape: Sequence[int]) -> Value:
    """Return an array that is in C order under another shape."""
    to = tuple(int(length) for length in shape)
    if value.constant is not None:
        return constant(value.constant.reshape(to))
    return replace(value, shape=to, strides=contiguous_strides(to))


class _Description(ctypes.Structure):
    """`Description` of run.c."""

    _fields_ = (
        ("instructions", ctypes.c_int64),
        ("instruction", ctypes.c_void_p),
        ("values", ctypes.c_int64),
        ("constants", ctypes.c_int64),
        ("constant", ctypes.c_void_p),
        ("whole", ctypes.c_void_p),
        ("point", ctypes.c_int64),
        ("dim", ctypes.c_int64),
        ("result", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("output", ctypes.c_void_p),
    )


def _codes(library: ctypes.CDLL) -> dict[str, int]:
    """Code of each instruction of a library, by name."""
    if library.machine_instruction_size() != _INSTRUCTION.itemsize:
        raise Unsupported("instructions of another layout than the machine's: reinstall ds3bayes")
    name = library.machine_instruction
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.c_int64]
    codes: dict[str, int] = {}
    while (found := name(len(codes))) is not None:
        codes[found.decode()] = len(codes)
    return codes


class Tape:
    """A finished tape, which any number of threads may run at once.

    Parameters
    ----------
    table : structured array
        Instructions.
    names : sequence of str
        Their names, for people.
    values, constant_length, point, dim, result : int
        As in run.c's `Description`.
    constants : array of float
    whole : array of int
    output : array of int
        Where each number of the outputs stands.
    shapes : sequence of tuple of int
        Of the outputs.
    """

    def __init__(
        self,
        *,
        table: Array,
        names: Sequence[str],
        values: int,
        constants: Array,
        constant_length: int,
        whole: Array,
        point: int,
        dim: int,
        result: int,
        output: Array,
        shapes: Sequence[Shape],
    ) -> None:
        self.names, self.dim, self.values = list(names), dim, values
        self.shapes = list(shapes)
        self._sizes = [int(np.prod(shape, dtype=np.int64)) for shape in self.shapes]
        # The machine reads these in place.
        self._arrays = (table, constants, whole, output)
        #: The machine that runs it.
        self.library = load()
        description = _Description(
            instructions=len(table),
            instruction=table.ctypes.data,
            values=values,
            constants=constant_length,
            constant=constants.ctypes.data,
            whole=whole.ctypes.data,
            point=point,
            dim=dim,
            result=result,
            outputs=output.size,
            output=output.ctypes.data,
        )
        opened = self.library.machine_open
        opened.restype, opened.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        handle = opened(ctypes.byref(description))
        if not handle:
            raise Unsupported("a tape that the machine does not take (an unknown instruction, or no memory)")
        self.handle: int = handle
        close = self.library.machine_close
        close.restype, close.argtypes = None, [ctypes.c_void_p]
        self._finalizer = weakref.finalize(self, close, ctypes.c_void_p(handle))

    @property
    def outputs(self) -> int:
        """How many numbers the outputs have together."""
        return int(self._arrays[3].size)

    @property
    def bytes(self) -> int:
        """Memory that one thread needs to run it."""
        return self.values * 16

    @property
    def log_density_address(self) -> int:
        """Address of the function of value and gradient; it takes `handle` as its data."""
        return address(self.library.machine_log_density)

    @property
    def expand_address(self) -> int:
        """Address of the function of the outputs; it takes `handle` as its data."""
        return address(self.library.machine_expand)

    def log_density(self, point: Array) -> tuple[float, Array]:
        """Return the result and its gradient (dim,) at a point (dim,); NaN and infinity come as they are."""
        x = np.ascontiguousarray(point, dtype=np.float64)
        if x.shape != (self.dim,):
            raise ValueError(f"a point of this tape has {self.dim} numbers, got an array of shape {x.shape}")
        slopes, value = np.empty(self.dim), ctypes.c_double()
        call = self.library.machine_log_density
        call.restype = ctypes.c_int64
        call.argtypes = [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        fault = call(self.dim, x.ctypes.data, slopes.ctypes.data, ctypes.addressof(value), self.handle)
        if fault < 0:
            raise MemoryError("no memory to run the tape") if fault == -2 else ValueError("the tape derives nothing")
        return value.value, slopes

    def evaluate(self, points: Array, threads: int = 1) -> list[Array]:
        """Return each output at many points.

        Parameters
        ----------
        points : array, shape (n, dim)
        threads : int, default 1
            Among which points are shared out.

        Returns
        -------
        list of array
            Of shape (n, *shape of the output).
        """
        x = np.ascontiguousarray(points, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"points of this tape have shape (n, {self.dim}), got {x.shape}")
        out = np.empty((len(x), self.outputs))
        call = self.library.machine_evaluate
        call.restype = ctypes.c_int64
        call.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]

        def run(rows: slice) -> int:
            mine, result = x[rows], out[rows]
            return int(call(self.handle, len(mine), mine.ctypes.data, result.ctypes.data))

        cuts = np.linspace(0, len(x), max(1, min(threads, len(x))) + 1).astype(int)
        parts = [slice(start, stop) for start, stop in itertools.pairwise(cuts)]
        if len(parts) == 1:
            faults = [run(parts[0])]
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                faults = list(pool.map(run, parts))
        if any(faults):
            raise MemoryError("no memory to run the tape")
        ends = np.cumsum([0, *self._sizes])
        return [
            out[:, start:stop].reshape(len(x), *shape)
            for (start, stop), shape in zip(itertools.pairwise(ends), self.shapes, strict=True)
        ]

    def profile(self, point: Array, repeats: int = 200) -> list[tuple[str, float, float]]:
        """Return (name, seconds forward, seconds in reverse) of every instruction at a point."""
        x = np.ascontiguousarray(point, dtype=np.float64)
        spent = np.zeros((len(self.names), 2))
        call = self.library.machine_profile
        call.restype = ctypes.c_int64
        call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
        call(self.handle, x.ctypes.data, repeats, spent.ctypes.data)
        return [(name, float(one), float(other)) for name, (one, other) in zip(self.names, spent, strict=True)]


def address(function: Any) -> int:
    """Return where a function of a library is."""
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)
