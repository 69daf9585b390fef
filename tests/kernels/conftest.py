"""Compile kernels of ds3bayes/kernels and run single instructions of them, until the engine does."""

import ctypes
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "ds3bayes"
MATH = ["-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fopenmp-simd", "-ffp-contract=fast"]
FLAGS = ["-std=c11", "-O3", *MATH, "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
#: Levels of x86-64 that kernels are compiled for, and what a processor must have for each.
LEVELS = {"x86-64": "sse2", "x86-64-v3": "avx2", "x86-64-v4": "avx512dq"}
LONG, REAL = ctypes.c_int64, ctypes.c_double
#: More room than any test here needs: what a kernel writes beyond its own is seen there.
GUARD = 16


class Instruction(ctypes.Structure):
    """As in machine.h."""

    _fields_ = (
        ("code", LONG),
        ("inputs", LONG),
        ("needs", LONG),
        ("dims", LONG),
        ("shape", LONG * 6),
        ("input", LONG * 10),
        ("stride", LONG * 6 * 10),
        ("output", LONG),
        ("output_size", LONG),
        ("output_stride", LONG * 6),
        ("scratch", LONG),
        ("size", LONG * 12),
        ("real", REAL * 4),
        ("index", LONG),
    )


class Memory(ctypes.Structure):
    """As in machine.h."""

    _fields_ = (("value", ctypes.c_void_p), ("slope", ctypes.c_void_p), ("whole", ctypes.c_void_p))


def compile_kernel(
    folder: Path, source: Path, level: str, change: Callable[[str], str] = lambda text: text
) -> ctypes.CDLL:
    """Compile a kernel for a level of x86-64 into a folder, its text changed if wanted."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler is found")
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or LEVELS[level] not in cpu.read_text().split():
        pytest.skip(f"this processor is not an {level}")
    copy, library = folder / source.name, folder / f"{source.stem}.so"
    copy.write_text(change(source.read_text()))
    repeat = folder / "repeat.c"
    repeat.write_text(
        '#include "machine.h"\n'
        "void repeat(Pass pass, const Instruction *it, Memory at, int64_t times) {\n"
        "  for (int64_t i = 0; i < times; i++) pass(it, at);\n"
        "}\n"
    )
    include = [f"-I{PACKAGE / part}" for part in ("engine/machine", "kernels")]
    command = [compiler, *FLAGS, f"-march={level}", *include, str(copy), str(repeat), "-o", str(library), "-lm"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


class Kernel:
    """One instruction: an operation of the package's own at inputs of some shapes.

    All that it may write is checked, and so is that it reads nothing but its inputs: the rest is NaN.
    """

    def __init__(self, op: Any, library: ctypes.CDLL, inputs: Sequence[np.ndarray], needs: Sequence[int] | None = None):
        shapes = [np.shape(one) for one in inputs]
        self.real = [k for k in range(len(inputs)) if k not in op.whole_inputs]
        self.op, self.library, self.shape = op, library, op.shape_of(shapes)
        it = self.it = Instruction(inputs=len(inputs), output_size=int(np.prod(self.shape)))
        for which, numbers in ((it.size, op.sizes(shapes)), (it.real, op.reals())):
            which[: len(numbers)] = list(numbers)
        # An odd place, as values have in a tape.
        end = 3
        for k in self.real:
            it.input[k], end = end, end + int(np.prod(shapes[k])) + 1
        it.output, it.scratch = end, end + it.output_size
        it.needs = sum(1 << k for k in (self.real if needs is None else needs))
        self.end = it.scratch + op.scratch(shapes)
        self.value, self.slope = np.full((2, self.end + GUARD), np.nan)
        whole = [np.ravel(inputs[k]) for k in sorted(op.whole_inputs)]
        # From the second number on: a tape has others before.
        it.index, self.whole = 1, np.concatenate([[-1], *whole]).astype(np.int64)
        self.shapes = shapes
        self.put(*inputs)

    def put(self, *inputs: np.ndarray) -> None:
        """Set the inputs that are not whole."""
        for k in self.real:
            first = self.it.input[k]
            self.value[first : first + np.size(inputs[k])] = np.ravel(inputs[k])

    def forward(self) -> np.ndarray:
        """Return the output."""
        before = self.value.copy()
        self._call("forward", 1)
        np.testing.assert_array_equal(self.value[: self.it.output], before[: self.it.output])
        assert np.isnan(self.value[self.end :]).all()
        return self.value[self.it.output : self.it.scratch].reshape(self.shape).copy()

    def reverse(self, of_output: np.ndarray, start: float = 0.0) -> list[np.ndarray]:
        """Return derivatives by the inputs, which are added to a number; None for inputs that are whole."""
        place = {k: slice(self.it.input[k], self.it.input[k] + int(np.prod(self.shapes[k]))) for k in self.real}
        self.slope[:] = np.nan
        for here in place.values():
            self.slope[here] = start
        self.slope[self.it.output : self.it.scratch] = of_output.ravel()
        values, slopes = self.value[: self.it.scratch].copy(), self.slope.copy()
        self._call("reverse", 1)
        np.testing.assert_array_equal(self.value[: self.it.scratch], values)
        found = [self.slope[place[k]].reshape(self.shapes[k]) if k in place else None for k in range(len(self.shapes))]
        found = [None if one is None else one.copy() for one in found]
        for here in place.values():
            self.slope[here] = start
        np.testing.assert_array_equal(self.slope, slopes)
        return found

    def microseconds(self, of_output: np.ndarray, rounds: int = 100, times: int = 10) -> tuple[float, float]:
        """Return the time of a forward and of a reverse pass, the least of some rounds."""
        self.reverse(of_output)
        spent = {"forward": [], "reverse": []}
        for _ in range(rounds):
            for way, all_of_them in spent.items():
                start = time.perf_counter()
                self._call(way, times)
                all_of_them.append((time.perf_counter() - start) / times * 1e6)
        return min(spent["forward"]), min(spent["reverse"])

    def _call(self, way: str, times: int) -> None:
        slope = self.slope.ctypes.data if way == "reverse" else None
        memory = Memory(self.value.ctypes.data, slope, self.whole.ctypes.data)
        function = ctypes.cast(getattr(self.library, f"{way}_{self.op.kernel}"), ctypes.c_void_p)
        self.library.repeat.argtypes = [ctypes.c_void_p, ctypes.POINTER(Instruction), Memory, LONG]
        self.library.repeat.restype = None
        self.library.repeat(function, ctypes.byref(self.it), memory, times)


@pytest.fixture(params=LEVELS)
def level(request) -> str:
    """A level of x86-64."""
    return request.param


@pytest.fixture
def compiled_kernel() -> Callable[..., ctypes.CDLL]:
    """See `compile_kernel`."""
    return compile_kernel


@pytest.fixture(scope="session")
def kernel_at(tmp_path_factory) -> Callable[..., Kernel]:
    """Return a function of an operation's output and a level that gives its kernel at constant inputs."""

    @cache
    def library(source: str, level: str, change: Callable[[str], str]) -> ctypes.CDLL:
        return compile_kernel(tmp_path_factory.mktemp("kernel"), PACKAGE / "kernels" / source, level, change)

    def at(
        op: Any,
        level: str,
        inputs: Sequence[np.ndarray],
        needs: Sequence[int] | None = None,
        change: Callable[[str], str] = str,
    ) -> Kernel:
        source = f"{type(op).__module__.rsplit('.', 1)[1]}.c"
        return Kernel(op, library(source, level, change), inputs, needs)

    return at


@pytest.fixture(scope="session")
def performed() -> Callable[[Any, Sequence[np.ndarray]], np.ndarray]:
    """Return a function that gives what an operation's `perform` does."""

    def of(op: Any, inputs: Sequence[np.ndarray]) -> np.ndarray:
        storage = [[None]]
        op.perform(None, inputs, storage)
        return storage[0][0]

    return of


@pytest.fixture(scope="session")
def defined() -> Callable[..., tuple[np.ndarray, list[np.ndarray]]]:
    """Return a function that gives an operation's output and derivatives by some inputs, by PyTensor and `perform`."""
    import pytensor
    import pytensor.tensor as pt

    @cache
    def compiled(op: Any, types: tuple[Any, ...], moving: tuple[int, ...]) -> Any:
        symbols = [one() for one in types]
        result = op.make_node(*symbols).outputs[0]
        weight = result.type()
        slopes = pytensor.grad((weight * result).sum(), [symbols[k] for k in moving])
        function = pytensor.function(
            [*symbols, weight], [result, *slopes], mode="FAST_COMPILE", on_unused_input="ignore"
        )
        function.trust_input = True
        return function

    def of(op: Any, inputs: Sequence[np.ndarray], weight: np.ndarray, moving: Sequence[int]) -> Any:
        arrays = [np.asarray(one) for one in inputs]
        types = tuple(pt.TensorType(one.dtype, one.shape) for one in arrays)
        result, *slopes = compiled(op, types, tuple(moving))(*arrays, weight)
        return result, slopes

    return of
