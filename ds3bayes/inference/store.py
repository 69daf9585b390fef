"""`save` and `load`: a fit as one netCDF file, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals import data_sha256
from ds3bayes.generative.rows import searches
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.artifact import SCHEMA, evals_of, stored_evals

_GROUPS = ("posterior", "sample_stats", "prior", "log_likelihood", "task_effects", "observed_data", "constant_data")
_REQUIRED = ("schema", "model_id", "spec", "data_sha256", "versions", "seed")


def write_atomically(path: str | Path, content: bytes) -> Path:
    """Write a file so that a reader, or a crash, only ever sees the old or the new content.

    Parameters
    ----------
    path : path
        Its folder is made if needed.
    content : bytes

    Returns
    -------
    Path
    """
    return _replace(Path(path), lambda temporary: Path(temporary).write_bytes(content))


def save_dataset(dataset: xr.Dataset, path: str | Path) -> Path:
    """Write a dataset, such as predictions, to a netCDF file (`.nc`) atomically."""
    return _write_netcdf(xr.DataTree(dataset), Path(path))


def save(fit: xr.DataTree, path: str | Path) -> Path:
    """Write a fit to a netCDF file (`.nc`) atomically.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit`.
    path : path
        Ends in ``.nc``; its folder is made if needed.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If the suffix is not ``.nc`` or the tree is not a fit.
    """
    _check_attrs(fit, "the tree")
    return _write_netcdf(fit, Path(path))


def _write_netcdf(tree: xr.DataTree, path: Path) -> Path:
    if path.suffix != ".nc":
        raise InputError(f"{path}: results are saved as netCDF; let the name end in .nc")
    return _replace(path, lambda temporary: _storable(tree).to_netcdf(temporary, engine="netcdf4"))


def _replace(path: Path, write: Callable[[str], object]) -> Path:
    """Write a temporary file beside a path, flush it to disk, and give it its name in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; an artifact gets the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def load(path: str | Path, spec: ModelSpec | None = None) -> xr.DataTree:
    """Read a fit that `save` wrote, and check that it is whole.

    Parameters
    ----------
    path : path
    spec : ModelSpec, optional
        If given, the fit must have been made with the same model, and answers the questions of this spec at its
        prices: those that it was made with are forgotten, and nothing is sampled.

    Returns
    -------
    xarray.DataTree
        In memory; the file is closed.

    Raises
    ------
    InputError
        If the file is missing, not a fit, of a newer schema, altered, or made with another model than ``spec``
        (the message lists what differs).
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such fit; make one with `ds3bayes fit SPEC`")
    try:
        with xr.open_datatree(path, engine="netcdf4") as opened:
            tree = opened.load()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable netCDF file: {error}") from None
    _check_attrs(tree, str(path))
    if tree.attrs["schema"] > SCHEMA:
        raise InputError(
            f"{path}: written by a newer ds3bayes (schema {tree.attrs['schema']}; this one reads up to {SCHEMA}): "
            "upgrade"
        )
    if tree.attrs["schema"] < SCHEMA:
        _migrate(tree, path)
    found = data_sha256(stored_evals(tree)[0])
    if found != tree.attrs["data_sha256"]:
        raise InputError(f"{path}: its data do not match their hash (the file was altered); refit")
    if spec is None:
        return tree
    tree = answering(tree, spec, str(path))
    if spec.model_id != tree.attrs["model_id"]:
        raise InputError(f"{path}: fitted with the default priors of another version of ds3bayes; refit")
    return tree


def _migrate(tree: xr.DataTree, path: Path) -> None:
    """Bring a fit of an older schema to this one.

    The model of schema 1 did not ask whether tasks are sound, or told cuts apart; that of schema 2 had another law of
    tree searches, so that its parameters mean something else.
    """
    evals = evals_of(tree)[0]
    if searches(evals["strategy"].to_series()).any():
        raise InputError(
            f"{path}: written by an older ds3bayes (schema {tree.attrs['schema']}), which took the outputs of one tree "
            "search for independent attempts: refit"
        )
    if tree.attrs["schema"] == 1:
        content = json.loads(tree.attrs["spec"])
        content["population"].setdefault("soundness", False)
        asked = content.get("query", {}).get("strategies", [])
        if asked and not np.isfinite(evals["budget_tokens"]).any():
            # What it asks about budgets is about cuts, as all that it saw.
            content["query"]["strategies"] = [text.replace("budget_tokens=", "max_tokens=") for text in asked]
        effects = tree["task_effects"].to_dataset()
        tree["task_effects"] = effects.assign(sound=xr.ones_like(effects["reachable"]))
        tree.attrs["spec"] = json.dumps(content)
    tree.attrs["schema"] = SCHEMA


def answering(fit: xr.DataTree, spec: ModelSpec, where: str = "the fit") -> xr.DataTree:
    """Return a fit that answers the questions of a spec at its prices, in place of those that it was made with.

    Parameters
    ----------
    fit : xarray.DataTree
    spec : ModelSpec
        May differ from that of the fit in questions, prices, name, description and sampling.
    where : str
        Said in errors.

    Raises
    ------
    InputError
        If it states another model, or uses other rows; the message lists what differs.
    """
    old, new = (_of_model(one) for one in (ModelSpec.from_dict(json.loads(fit.attrs["spec"]), where), spec))
    if spec.data is None:
        del old["where"], new["where"]
    if old != new:
        raise InputError.of_faults(f"{where}: fitted with another model than the spec", _differences(old, new))
    result = fit.copy()
    result.attrs = {**fit.attrs, "spec": spec.model_dump_json()}
    return result


def _of_model(spec: ModelSpec) -> dict[str, object]:
    """Return what a spec says of the model and its rows, as plain values."""
    parts = {"capability", "population", "tokens", "holdout", "priors"}
    content = json.loads(spec.model_dump_json(include=parts))
    return {**content, "where": None if spec.data is None else spec.data.where}


def _check_attrs(tree: xr.DataTree, where: str) -> None:
    missing = [name for name in _REQUIRED if name not in tree.attrs]
    missing += [f"group {name}" for name in _GROUPS if name not in tree.children]
    if missing:
        raise InputError(f"{where} is not a fit of ds3bayes: it has no {', '.join(missing)}")


def _storable(fit: xr.DataTree) -> xr.DataTree:
    """Return the tree with text as fixed-width strings where netCDF wants them, and no object arrays."""

    def plain(dataset: xr.Dataset) -> xr.Dataset:
        changed = {
            name: (variable.dims, np.asarray(variable.values, dtype=str), variable.attrs)
            for name, variable in dataset.variables.items()
            if variable.dtype == object
        }
        return dataset.assign_coords({k: v for k, v in changed.items() if k in dataset.coords}).assign(
            {k: v for k, v in changed.items() if k not in dataset.coords}
        )

    return fit.map_over_datasets(plain)


def _differences(old: object, new: object, at: str = "") -> list[str]:
    """List the keys at which two nested structures differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in _differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
        ]
    return [] if old == new else [f"{at}: fitted with {old!r}, spec has {new!r}"]
