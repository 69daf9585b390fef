"""Compile a kernel and run one instruction of it, until the engine does."""

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import ds3bayes

SOURCES = Path(ds3bayes.__file__).parent
MATH = ["-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fopenmp-simd"]
FLAGS = ["-std=c11", "-O3", *MATH, "-fPIC", "-shared"]


def constants(name: str) -> dict[str, int]:
    """Return the numbers that an enum of a header gives names to."""
    return {key: int(value) for key, value in re.findall(r"(MOST_\w+) = (\d+)", (SOURCES / name).read_text())}


MOST = constants("engine/machine/machine.h")
DIMS, INPUTS = MOST["MOST_DIMS"], MOST["MOST_INPUTS"]
LONG, REAL = ctypes.c_int64, ctypes.c_double


class Instruction(ctypes.Structure):
    _fields_ = (
        ("code", LONG),
        ("inputs", LONG),
        ("needs", LONG),
        ("dims", LONG),
        ("shape", LONG * DIMS),
        ("input", LONG * INPUTS),
        ("stride", LONG * DIMS * INPUTS),
        ("output", LONG),
        ("output_size", LONG),
        ("output_stride", LONG * DIMS),
        ("scratch", LONG),
        ("size", LONG * MOST["MOST_SIZES"]),
        ("real", REAL * MOST["MOST_REALS"]),
        ("index", LONG),
    )


class Memory(ctypes.Structure):
    _fields_ = (("value", ctypes.c_void_p), ("slope", ctypes.c_void_p), ("whole", ctypes.c_void_p))


def compiler() -> str | None:
    """Return a C compiler, if one is found."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def processor_flags(level: str) -> list[str]:
    """Return flags for a level of x86-64 that this machine can run, or skip the test."""
    wanted = {"x86-64": "sse2", "x86-64-v3": "avx2", "x86-64-v4": "avx512dq"}[level]
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or wanted not in cpu.read_text().split():
        pytest.skip(f"this processor is not an {level}")
    return [f"-march={level}"]


def compiled(
    folder: Path, source: str, change: Callable[[str], str] = lambda text: text, flags: Sequence[str] = ()
) -> ctypes.CDLL:
    """Compile a kernel of ds3bayes/kernels into a folder, changed if wanted.

    Sources and headers are copied, so that a change of a header counts too.
    """
    for part in ("kernels", "engine/machine"):
        (folder / part).mkdir(parents=True)
        for file in (SOURCES / part).glob("*.[ch]"):
            (folder / part / file.name).write_text(change(file.read_text()))
    library = folder / "library.so"
    command = [compiler(), *FLAGS, *flags, "-Wall", "-Wextra", "-Werror", folder / "kernels" / source, "-o", library]
    subprocess.run([*map(str, command), "-lm"], check=True)
    return ctypes.CDLL(str(library))


@dataclass(frozen=True)
class Kernel:
    """An operation and a library that has its kernel."""

    op: object
    library: ctypes.CDLL

    def run(
        self, inputs: Sequence[np.ndarray], of_result: np.ndarray | None = None, needs: int = -1, start: float = 0.0
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the output and derivatives by the real inputs, which start at a number and are added to."""
        whole = [inputs[k] for k in sorted(self.op.whole_inputs)]
        real = [one for k, one in enumerate(inputs) if k not in self.op.whole_inputs]
        shapes = [one.shape for one in inputs]
        shape = self.op.shape_of(shapes)
        it = Instruction(inputs=len(real), needs=0 if of_result is None else needs, output_size=int(np.prod(shape)))
        it.size[: len(self.op.sizes(shapes))] = list(map(int, self.op.sizes(shapes)))
        it.real[: len(self.op.reals())] = list(self.op.reals())
        ends = np.cumsum([8] + [one.size for one in real] + [it.output_size, self.op.scratch(shapes)])
        it.input[: len(real)] = ends[: len(real)].tolist()
        it.output, it.scratch, end = ends[-3:].tolist()
        # What is not a kernel's to write stays NaN.
        value, slope = np.full(end + 8, np.nan), np.full(end + 8, np.nan)
        for first, one in zip(it.input, real, strict=False):
            value[first : first + one.size] = one.ravel()
            slope[first : first + one.size] = start
        numbers = np.concatenate([one.ravel() for one in whole]).astype(np.int64)
        before = value.copy()
        memory = Memory(value.ctypes.data, None, numbers.ctypes.data)
        self._call("forward", it, memory)
        np.testing.assert_array_equal(value[: it.output], before[: it.output])
        output = value[it.output : it.scratch].reshape(shape).copy()
        if of_result is not None:
            slope[it.output : it.scratch] = of_result.ravel()
            memory.slope = slope.ctypes.data
            self._call("reverse", it, memory)
            np.testing.assert_array_equal(slope[it.output : it.scratch], of_result.ravel())
        assert np.isnan(value[-8:]).all()
        assert np.isnan(slope[-8:]).all()
        slopes = [
            slope[first : first + one.size].reshape(one.shape) for first, one in zip(it.input, real, strict=False)
        ]
        return output, slopes

    def _call(self, way: str, it: Instruction, memory: Memory) -> None:
        function = getattr(self.library, f"{way}_{self.op.kernel}")
        function.argtypes, function.restype = [ctypes.POINTER(Instruction), Memory], None
        function(ctypes.byref(it), memory)
