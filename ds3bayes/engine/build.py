"""Compile the machine when the package is installed: a build hook of hatchling.

The C files become one shared library per level of the x86-64 instruction set (one in all on other processors), and go
into the wheel as the folder ``ds3bayes_machine``, also into the wheel of an editable installation: an installer that
takes it from its cache has the libraries too, and the clone stays clean. `ds3bayes.engine.library` chooses among them
when the machine is first used; nothing is tuned to the machine that compiles.

**The compiler** is the one in ``CC``, else the first of `cc`, `gcc` and `clang` that makes a shared library from a
program with ``math.h``. Where none does, on Windows, and with ``CC=ziglang``, the build asks for ``ziglang``: Clang and
the libraries that it needs, as a wheel (100 MB, used for the build only). The other ways:

* Requiring a compiler: the two commands of the README would fail on a machine that has Python and pip only.
* Always ``ziglang``: where there is a compiler, it saves the download and about half of the time.
* Shipping binaries: what runs would no longer be what the sources say, each platform would need a machine to build on,
  and a clone would still have nothing to run.

**The backend** stays hatchling: one file of hooks does it. scikit-build-core and meson-python need CMake or Meson and
Ninja at every build, by default rebuild an editable installation at import (with a compiler that an isolated build
has thrown away by then), and neither asks for a compiler only where there is none. setuptools takes its compiler and
flags from how Python was built, and has no levels of one library.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

ENGINE = Path(__file__).resolve().parent
# By its path: the package cannot be imported before what it depends on is installed.
LIBRARY = runpy.run_path(str(ENGINE / "library.py"))

ZIGLANG = "ziglang>=0.13,<0.18"
ZIG = (sys.executable, "-m", "ziglang", "cc")
# Multiplications and additions are fused where the level can: gcc would not under -std=c11, and is a quarter slower.
FLAGS = (
    "-std=c11",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-fopenmp-simd",
    "-shared",
    *(() if sys.platform == "win32" else ("-fPIC",)),
)
PROBE = "#include <math.h>\ndouble probe(double x);\ndouble probe(double x) { return exp(x); }\n"


class CompilerError(Exception):
    """There is no compiler, or it failed: the message names the command and holds the compiler's own words."""


class MachineHook(BuildHookInterface):
    """Puts the machine's libraries into a wheel."""

    def dependencies(self) -> list[str]:
        """Return what the build needs besides hatchling: a compiler, where there is none."""
        return [] if find_compiler() else [ZIGLANG]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the machine, and add its libraries to the wheel.

        Parameters
        ----------
        version : str
            ``"standard"`` or ``"editable"``.
        build_data : dict
            What goes into the wheel; changed.
        """
        del version
        self.folder = TemporaryDirectory(prefix="ds3bayes-")
        try:
            files = compile_machine(Path(self.folder.name))
        except CompilerError as error:
            self.folder.cleanup()
            self.app.abort(str(error))
        inside = {str(path): f"{LIBRARY['FOLDER']}/{path.name}" for path in files}
        build_data["force_include"].update(inside)
        build_data["force_include_editable"].update(inside)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled: it is in the wheel now."""
        del version, build_data, artifact_path
        self.folder.cleanup()


def platform_tag() -> str:
    """Return the wheel's platform: plain ``linux_x86_64`` on Linux, since it is made where it is installed."""
    return next(tag.platform for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux")))


def levels_here() -> tuple[str, ...]:
    """Return the levels to compile for this kind of processor."""
    is_x86_64 = platform.machine().lower() in {"x86_64", "amd64"} and sys.maxsize > 2**32
    return LIBRARY["X86_LEVELS"] if is_x86_64 else (LIBRARY["GENERIC"],)


def find_compiler() -> tuple[str, ...] | None:
    """Return the command of the compiler to use, or None if it must be ``ziglang``.

    What the environment variable ``CC`` names is taken as it is: if it fails, the build says so.
    """
    named = shlex.split(os.environ.get("CC", ""))
    if named == ["ziglang"]:
        return None
    if named:
        return tuple(named)
    # On Windows, what is called so may make libraries that export nothing.
    names = () if sys.platform == "win32" else ("cc", "gcc", "clang")
    return next(((name,) for name in names if shutil.which(name) and is_working((name,))), None)


def is_working(command: Sequence[str]) -> bool:
    """Return whether a compiler makes a shared library at the highest level from a program with ``math.h``.

    One without headers or a linker, or too old to know the levels, does not.

    Parameters
    ----------
    command : sequence of str
        How it is called.
    """
    with TemporaryDirectory(prefix="ds3bayes-") as folder:
        source = Path(folder) / "probe.c"
        source.write_text(PROBE, encoding="utf-8")
        try:
            run_compiler(command, levels_here()[-1], [source], Path(folder) / "probe.so")
        except CompilerError:
            return False
    return True


def compile_machine(
    folder: Path, *, levels: Sequence[str] | None = None, extra: Sequence[str] = (), package: Path = ENGINE.parent
) -> list[Path]:
    """Compile the machine, as many levels at once as there are processors.

    Parameters
    ----------
    folder : Path
        Where the libraries go, all of them or none.
    levels : sequence of str, optional
        Levels to compile; all for this kind of processor if not given.
    extra : sequence of str
        Further flags, for instance of sanitizers.
    package : Path
        Folder of the package ``ds3bayes``.

    Returns
    -------
    list of Path
        The libraries, and ``digests.txt``.

    Raises
    ------
    CompilerError
        If there is no compiler, or it fails.
    """
    command = find_compiler()
    if command is None and importlib.util.find_spec("ziglang") is None:
        raise CompilerError(
            "ds3bayes: no C compiler. CC names none, and none of cc, gcc and clang can compile a program with math.h.\n"
            f"Install one, or {ZIGLANG!r} beside hatchling; without --no-build-isolation, that is done for you."
        )
    levels = levels or levels_here()
    sources = LIBRARY["c_files"](package)
    flags = [*(f"-I{path}" for path in LIBRARY["source_folders"](package)), *extra]
    # Beside the libraries, compilers leave files that are nobody's.
    with TemporaryDirectory(prefix="ds3bayes-") as work, ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [Path(work) / LIBRARY["library_name"](level) for level in levels]
        # The highest level takes longest, and is begun first.
        jobs = [
            pool.submit(run_compiler, command or ZIG, level, sources, path, flags)
            for level, path in reversed(list(zip(levels, made, strict=True)))
        ]
        for job in jobs:
            job.result()
        libraries = [Path(shutil.copy(path, folder)) for path in made]
    LIBRARY["write_digests"](folder, package, levels)
    return [*libraries, folder / LIBRARY["DIGESTS"]]


def run_compiler(
    command: Sequence[str], level: str, sources: Sequence[Path], output: Path, extra: Sequence[str] = ()
) -> None:
    """Compile C files into one shared library.

    Parameters
    ----------
    command : sequence of str
        The compiler.
    level : str
        What the library may ask of a processor.
    sources : sequence of Path
        The C files.
    output : Path
        The library, in a folder that the compiler may use for itself.
    extra : sequence of str
        Further flags.

    Raises
    ------
    CompilerError
        If the compiler cannot be started, or fails.
    """
    flags = [*FLAGS, *level_flags(command, level), *extra]
    whole = [*command, *flags, *map(str, sources), "-o", str(output), "-lm"]
    # zig keeps parts of the C library there: by default in the user's home, which may not be there to write to.
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(output.parent / "zig"), **os.environ}
    try:
        done = subprocess.run(
            whole, cwd=output.parent, env=environment, capture_output=True, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise CompilerError(failure(whole, str(error))) from error
    if done.returncode:
        raise CompilerError(failure(whole, f"{done.stderr}{done.stdout}(exit code {done.returncode})"))


def failure(command: Sequence[str], words: str) -> str:
    """Return what to tell a user whose compiler failed.

    Parameters
    ----------
    command : sequence of str
        What was run.
    words : str
        What came of it.
    """
    return (
        f"ds3bayes: the C compiler failed, so nothing was installed.\n{shlex.join(command)}\n{words}\n"
        "Set the environment variable CC to another compiler; with CC=ziglang, one is installed for the build."
    )


def level_flags(command: Sequence[str], level: str) -> list[str]:
    """Return the flags that set a level, as the compiler spells them.

    Parameters
    ----------
    command : sequence of str
        The compiler.
    level : str
        What the library may ask of a processor.
    """
    generic = level == LIBRARY["GENERIC"]
    if any(Path(word).stem in {"zig", "ziglang"} for word in command):
        # Without -mcpu, zig takes all that this very processor has; without -s, it adds 800 kB of symbols.
        return ["-s", "-mcpu=baseline" if generic else f"-mcpu={level.replace('-', '_')}"]
    return [] if generic else [f"-march={level}"]
