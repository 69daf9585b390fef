"""Where the evaluations of a kept fit came from, and whether they have changed since."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals import data_sha256
from ds3bayes.inference.artifact import stored_evals


def listing(path: Path) -> str:
    """Return a digest of the names, sizes and times of a file, or of all files in a folder; empty if there is none."""
    if not path.exists():
        return ""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    found = [(str(one.relative_to(path)), (stat := one.stat()).st_size, stat.st_mtime_ns) for one in files]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def note_source(fit: xr.DataTree, path: Path, folder: Path, options: Mapping[str, Any] | None = None) -> xr.DataTree:
    """Return a fit that says where its evaluations came from.

    Parameters
    ----------
    fit : xarray.DataTree
    path : Path
        A table, a log or a folder of logs.
    folder : Path
        Where the fit is kept.
    options : mapping, optional
        Of the reader.
    """
    result = fit.copy()
    source = {"path": os.path.relpath(path, folder), "options": dict(options or {}), "listing": listing(path)}
    result.attrs = {**fit.attrs, "source": json.dumps(source)}
    return result


def changed_since(fit: xr.DataTree, folder: Path, read: Callable[[Path, Mapping[str, Any]], xr.Dataset]) -> str:
    """Say in a sentence that a fit's evaluations have changed since it was made; empty if they have not.

    Files are read again only where one of them was added, removed or written since.

    Parameters
    ----------
    fit : xarray.DataTree
        With a source from `note_source`; others are not asked.
    folder : Path
        Where the fit is kept.
    read : callable
        Reads a source with its options.

    Returns
    -------
    str
    """
    if "source" not in fit.attrs:
        return ""
    source = json.loads(fit.attrs["source"])
    path = folder / source["path"]
    now = listing(path)
    if now == source["listing"]:
        return ""
    shown = os.path.normpath(path)
    if not now:
        return f"{shown} is gone: this is of the evaluations that the fit holds"
    try:
        evals = read(path, source["options"])
    except InputError as error:
        return f"{shown} has changed since the fit, and cannot be read ({str(error).splitlines()[0]})"
    if data_sha256(evals) == fit.attrs["data_sha256"]:
        return ""
    before, after = (int(one["attempts"].sum()) for one in (stored_evals(fit)[0], evals))
    return (
        f"{shown} has changed since the fit ({before:,} attempts then, {after:,} now): this is of the older evaluations"
    )
