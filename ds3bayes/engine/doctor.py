"""What is installed, and which engine samples: what to look at first when something is odd."""

from __future__ import annotations

import os
import platform
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def licenses() -> list[dict[str, str]]:
    """List every installed package that ds3bayes depends on, itself or through others, extras included.

    Returns
    -------
    list of dict
        ``name``, ``version`` and ``license`` of each, by name: the licence as the package states it, in SPDX or its own
        words, "not stated" if it does not.
    """
    found: dict[str, dict[str, str]] = {}
    pending = [("ds3bayes", frozenset(_EXTRAS))]
    seen = set(pending)
    while pending:
        name, extras = pending.pop()
        try:
            known = distribution(name)
        except PackageNotFoundError:
            continue
        own = canonicalize_name(known.metadata["Name"])
        found[own] = {"name": own, "version": known.version, "license": _license(known)}
        for text in known.requires or ():
            wanted = Requirement(text)
            markers = [{"extra": extra} for extra in ("", *extras)]
            if wanted.marker is None or any(wanted.marker.evaluate(one) for one in markers):
                following = (canonicalize_name(wanted.name), frozenset(wanted.extras))
                if following not in seen:
                    seen.add(following)
                    pending.append(following)
    return [found[name] for name in sorted(found)]


def _license(package: Distribution) -> str:
    """Return the licence that a package states: an expression, else classifiers, else how its own text begins."""
    metadata = package.metadata
    stated = metadata.get("License-Expression", "")
    classes = [one.rpartition(" :: ")[2] for one in metadata.get_all("Classifier", []) if one.startswith("License ::")]
    texts: list[str | None] = [metadata.get("License", "")]
    texts += [package.read_text(f"licenses/{name}") for name in metadata.get_all("License-File", [])]
    own = next((text.strip().partition("\n")[0].strip() for text in texts if text), "")
    return stated or ", ".join(one for one in classes if one != "OSI Approved") or own or "not stated"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


__all__ = ["doctor", "licenses"]
