"""The machine's shared library: which files it is made of, where it is, and loading the best one for this processor.

Installing the package compiles the machine (``build.py`` beside this file) into the folder ``ds3bayes_machine`` next to
the package: one library per level of the x86-64 instruction set, or a single one on other processors. ``digests.txt``
in it says from which sources they were made, and what each library must be: the operating system would end the whole
process when it opens a library of which a part is missing.

Only the standard library is used here: the build runs this file before anything is installed.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

#: Levels of the x86-64 instruction set, in the order of the C function ``machine_level``: the second has AVX2, the
#: third AVX-512.
X86_LEVELS = ("x86-64", "x86-64-v3", "x86-64-v4")
#: The only level elsewhere.
GENERIC = "generic"
#: Folder in site-packages that holds the libraries.
FOLDER = "ds3bayes_machine"
DIGESTS = "digests.txt"
#: Entry of ``digests.txt`` that stands for the sources.
SOURCES = "sources"

_PACKAGE = Path(__file__).resolve().parents[1]
_REINSTALL = "reinstall ds3bayes (in a clone: `uv sync --reinstall-package ds3bayes`)"


class MachineError(Exception):
    """The machine cannot be used: the message is one line that says what is wrong and what to do."""


def source_folders(package: Path) -> list[Path]:
    """Return the folders of the machine's C files, headers among them.

    Parameters
    ----------
    package : Path
        Folder of the package ``ds3bayes``.
    """
    return [package / "engine" / "machine", package / "kernels"]


def c_files(package: Path, pattern: str = "*.c") -> list[Path]:
    """Return the machine's C files, in a fixed order; none where only Python files were installed.

    Parameters
    ----------
    package : Path
        Folder of the package ``ds3bayes``.
    pattern : str
        Names to return.
    """
    return [path for folder in source_folders(package) for path in sorted(folder.glob(pattern))]


def digest_of_sources(package: Path) -> str | None:
    """Return the SHA-256 of the machine's C files and headers, with their names; None where there are none.

    Parameters
    ----------
    package : Path
        Folder of the package ``ds3bayes``.
    """
    paths = c_files(package, "*.[ch]")
    if not paths:
        return None
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def library_name(level: str) -> str:
    """Return the file name of the library of a level.

    Parameters
    ----------
    level : str
        One of `X86_LEVELS`, or `GENERIC`.
    """
    suffix = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
    return f"machine-{level}{suffix}"


def write_digests(folder: Path, package: Path, levels: Sequence[str]) -> None:
    """Write ``digests.txt`` for the libraries in a folder, in the form that ``sha256sum`` prints.

    Parameters
    ----------
    folder : Path
        Where the libraries are.
    package : Path
        Folder of the package ``ds3bayes`` from whose sources they were made.
    levels : sequence of str
        Their levels.
    """
    lines = [f"{digest_of_sources(package)}  {SOURCES}"]
    for name in map(library_name, levels):
        lines.append(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}")
    (folder / DIGESTS).write_text("\n".join(lines) + "\n", encoding="utf-8")


@cache
def load() -> ctypes.CDLL:
    """Load the machine at the highest level that this processor has, once per process.

    The environment variable ``DS3BAYES_MACHINE`` names another folder of libraries, ``DS3BAYES_MACHINE_LEVEL`` a lower
    level.

    Returns
    -------
    ctypes.CDLL
        The library.

    Raises
    ------
    MachineError
        If there is no library, it is damaged, for another platform, or older than the sources beside the package, or
        if the level asked for cannot be had. A later call tries again.
    """
    folder = _find_folder()
    digests = _read_digests(folder)
    sources = digest_of_sources(_PACKAGE)
    if sources not in (None, digests.get(SOURCES)):
        raise MachineError(f"the machine in {folder} is older than the C files in {_PACKAGE}: {_REINSTALL}")
    built = [level for level in (*X86_LEVELS, GENERIC) if library_name(level) in digests]
    if not built:
        raise MachineError(f"{folder / DIGESTS} names no library for this platform: {_REINSTALL}")
    lowest = _open(folder, built[0], digests)
    able = [level for level in built if level in (built[0], *X86_LEVELS[: lowest.machine_level() + 1])]
    asked = os.environ.get("DS3BAYES_MACHINE_LEVEL") or able[-1]
    if asked not in able:
        raise MachineError(f"DS3BAYES_MACHINE_LEVEL is {asked!r}; this processor and build allow {', '.join(able)}")
    return lowest if asked == able[0] else _open(folder, asked, digests)


def _find_folder() -> Path:
    """Return the folder that the environment names, else the one that was installed with the package."""
    named = os.environ.get("DS3BAYES_MACHINE")
    if named:
        if not (Path(named) / DIGESTS).is_file():
            raise MachineError(
                f"DS3BAYES_MACHINE is {named!r}, which has no {DIGESTS}: name another folder or unset it"
            )
        return Path(named)
    spec = importlib.util.find_spec(FOLDER)
    for place in (spec and spec.submodule_search_locations) or ():
        if (Path(place) / DIGESTS).is_file():
            return Path(place)
    raise MachineError(f"the machine is not installed (no folder {FOLDER} beside the package): {_REINSTALL}")


def _read_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 that each library in the folder must have, by its file name, and that of the sources."""
    try:
        lines = (folder / DIGESTS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise MachineError(f"the machine cannot be read ({error}): {_REINSTALL}") from error
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _open(folder: Path, level: str, digests: dict[str, str]) -> ctypes.CDLL:
    """Return the library of a level, after making sure that its file is whole."""
    path = folder / library_name(level)
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != digests[path.name]:
            raise MachineError(f"{path} is damaged (its SHA-256 is not that of {DIGESTS}): {_REINSTALL}")
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise MachineError(f"the machine cannot be loaded ({error}): {_REINSTALL}") from error
