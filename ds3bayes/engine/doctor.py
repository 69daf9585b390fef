"""What is installed, and which engine samples: what to look at first when something is odd."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from ds3bayes.engine import library, nuts
from ds3bayes.engine.tape import Unsupported

_PACKAGES = ("ds3bayes", "pymc", "pytensor", "nutpie", "arviz", "xarray", "numpy", "scipy", "pandas")
# What needs an extra, by the extra's name.
_EXTRAS = {
    "distributed": "distributed",
    "excel": "openpyxl",
    "inspect": "inspect_ai",
    "yaml": "yaml",
    "zstd": "zstandard",
}


def doctor() -> dict[str, str]:
    """Say what is installed, which engine runs and where files go, by what it is about.

    Returns
    -------
    dict of str to str
        ``engine`` begins with "ok" where models run on the machine, and says otherwise what to do; ``sampler``
        likewise.
    """
    try:
        loaded = library.load()
        levels = (*library.X86_LEVELS, library.GENERIC)
        built = loaded.machine_built_level()
        level = levels[built] if platform.machine().lower() in ("x86_64", "amd64") else library.GENERIC
        engine = f"ok: the machine, at level {level}"
    except library.MachineError as error:
        engine = f"models are compiled by numba, in a minute each, for {error}"
    try:
        nuts.core()
        sampler = f"ok: nutpie {nuts.VERSION}"
    except Unsupported as error:
        sampler = f"slow: {error}"
    return {
        "engine": engine,
        "sampler": sampler,
        "Python": f"{platform.python_version()} on {platform.platform()}",
        "cores": str(os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()),
        **{name: _version(name) for name in _PACKAGES},
        "extras": ", ".join(f"{extra} {'yes' if find_spec(module) else 'no'}" for extra, module in _EXTRAS.items()),
        "package": str(Path(library.__file__).parents[1]),
        "results": "runs/NAME in the working folder, unless -o says otherwise; nothing is cached",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


__all__ = ["doctor"]
