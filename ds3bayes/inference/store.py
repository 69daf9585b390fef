"""`save` and `load`: a fit as one netCDF file, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ds3bayes import files
from ds3bayes.errors import InputError
from ds3bayes.evals import data_sha256
from ds3bayes.generative.rows import searches
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.artifact import DIGEST_SINCE, SCHEMA, evals_of, stored_evals
from ds3bayes.inference.notebook import show_in_notebooks
from ds3bayes.inference.unfinished import remove_unfinished, unfinished_of

_GROUPS = ("posterior", "sample_stats", "prior", "log_likelihood", "task_effects", "observed_data", "constant_data")
_REQUIRED = ("schema", "model_id", "spec", "data_sha256", "versions", "seed")


def save_dataset(dataset: xr.Dataset, path: str | Path) -> Path:
    """Write a dataset, such as predictions, to a netCDF file (`.nc`) atomically."""
    return files.write(path, "dataset", lambda temporary: _to_netcdf(xr.DataTree(dataset), temporary))


def save(fit: xr.DataTree, path: str | Path) -> Path:
    """Write a fit to a netCDF file (`.nc`) atomically, with a digest of its values.

    Draws that `fit` kept in the folder ``PATH.unfinished`` are then removed.

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
        If the suffix is not ``.nc``, the tree is not a fit, or what is there is not one (a table, predictions, ...).
    OutputError
        If it cannot be written there (an OSError). The fit is then kept in the system's folder of temporary files or
        in the home folder, if one of them can be written; the message says where.
    """
    _check_attrs(fit, "the tree")
    whole = fit.copy()
    whole.attrs = {**fit.attrs, "digest": digest(fit)}
    try:
        written = _write_fit(whole, Path(path))
        remove_unfinished(unfinished_of(path))
        return written
    except files.OutputError as error:
        kept = _kept_elsewhere(whole, Path(path))
        where = (
            "it could be kept nowhere else" if kept is None else f"the fit is kept in {kept}: move it where you want"
        )
        raise files.OutputError(f"{error}; {where}") from error


def _write_fit(fit: xr.DataTree, path: Path) -> Path:
    return files.write(path, "fit", lambda temporary: _to_netcdf(fit, temporary))


def _kept_elsewhere(fit: xr.DataTree, path: Path) -> Path | None:
    for folder in dict.fromkeys((tempfile.gettempdir(), os.path.expanduser("~"))):
        with suppress(OSError, InputError):
            return _write_fit(fit, Path(tempfile.mkdtemp(prefix="ds3bayes-kept-", dir=folder)) / path.name)
    return None


def _to_netcdf(tree: xr.DataTree, path: str) -> None:
    files.need_room(Path(path).parent, tree.nbytes)
    _storable(tree).to_netcdf(path, engine="netcdf4")


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
    if (path / "run.nc").is_file():
        raise InputError(f"{path}: is the folder of a fit, which is {path / 'run.nc'}")
    sealed = files.seal(files.readable(path, "fit (.nc)"))
    if sealed and not sealed[1]:
        raise InputError(f"{path}: does not match the digest at its end (the file was altered); refit")
    try:
        with xr.open_datatree(path, engine="netcdf4") as opened:
            tree = opened.load()
    except Exception as error:
        # What a damaged file raises in the libraries that read it is not documented.
        hint = "" if path.suffix == ".nc" else f"; a fit is needed: `ds3bayes run {path}` writes one, run.nc"
        raise InputError(f"{path}: not a readable netCDF file: {_first_line(error)}{hint}") from None
    _check_attrs(tree, str(path))
    schema = tree.attrs["schema"]
    if not isinstance(schema, int | np.integer) or schema < 1:
        raise InputError(f"{path}: its schema is {schema!r}, which is none (the file was altered); refit")
    if schema > SCHEMA:
        raise InputError(
            f"{path}: written by a newer ds3bayes (schema {schema}; this one reads up to {SCHEMA}): upgrade"
        )
    stored = tree.attrs.pop("digest", None)
    if stored is None and schema >= DIGEST_SINCE:
        raise InputError(f"{path}: has no digest of its values (the file was altered); refit")
    if stored is not None and stored != digest(tree):
        raise InputError(f"{path}: its values do not match their digest (the file was altered); refit")
    try:
        if schema < SCHEMA:
            _migrate(tree, path)
        found = data_sha256(stored_evals(tree)[0])
    except InputError:
        raise
    except Exception as error:
        # Before there was a digest, nothing said that a fit is whole.
        raise InputError(f"{path}: damaged ({type(error).__name__}: {_first_line(error)}); refit") from error
    if found != tree.attrs["data_sha256"]:
        raise InputError(f"{path}: its data do not match their hash (the file was altered); refit")
    show_in_notebooks()
    if spec is None:
        return tree
    tree = answering(tree, spec, str(path))
    if spec.model_id != tree.attrs["model_id"]:
        raise InputError(f"{path}: fitted with the default priors of another version of ds3bayes; refit")
    return tree


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def digest(fit: xr.DataTree) -> str:
    """Return the SHA-256 of all that a fit holds, the same before and after it was written to a file.

    Parameters
    ----------
    fit : xarray.DataTree

    Returns
    -------
    str
        64 hexadecimal digits, of every group's variables (names, dims, values, attributes) and attributes.
    """
    found = hashlib.sha256()
    for name, group in sorted(fit.children.items()):
        dataset = group.to_dataset()
        found.update(f"group {name!r} {_plain_attrs(dataset.attrs)}\n".encode())
        for label, variable in sorted(dataset.variables.items(), key=lambda item: str(item[0])):
            kind, content = _plain_values(variable.values)
            found.update(f"{label!r} {variable.dims} {variable.shape} {kind} {_plain_attrs(variable.attrs)}\n".encode())
            found.update(content)
    found.update(_plain_attrs({name: one for name, one in fit.attrs.items() if name != "digest"}).encode())
    return found.hexdigest()


def _plain_values(values: np.ndarray) -> tuple[str, bytes]:
    """Return the kind and content of an array, whatever width and byte order a file gives them."""
    if values.dtype.kind in "OUST":
        texts = [str(one) for one in values.ravel().tolist()]
        return "text", "".join(f"{len(one)}:{one}" for one in texts).encode(errors="surrogatepass")
    if values.dtype.kind == "f":
        # All NaN are one.
        numbers = np.where(np.isnan(values), np.nan, values).astype("<f8")
        return "real", numbers.tobytes()
    if values.dtype.kind in "biu":
        return "whole", values.astype("<i8").tobytes()
    return values.dtype.str, np.ascontiguousarray(values).tobytes()


def _plain_attrs(attrs: Mapping[Any, Any]) -> str:
    """Write attributes, in which netCDF knows no difference between one number and a list of it."""
    plain = {str(name): [str(one) for one in np.asarray(value).ravel().tolist()] for name, value in attrs.items()}
    return json.dumps(plain, sort_keys=True)


def _migrate(tree: xr.DataTree, path: Path) -> None:
    """Bring a fit of an older schema to this one.

    The model of schema 1 did not ask whether tasks are sound, or told cuts apart; those of 1 and 2 had another law of
    tree searches, so that its parameters mean something else. Schema 3 had no digest. Up to schema 4 candidates of tree
    searches were independent: their overlap is 0.
    """
    evals = evals_of(tree)[0]
    if tree.attrs["schema"] < 3 and searches(evals["strategy"].to_series()).any():
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
    for name in ("posterior", "prior"):
        draws = tree[name].to_dataset() if name in tree else xr.Dataset()
        if "step_discrimination" in draws and "candidate_overlap" not in draws:
            tree[name] = draws.assign(candidate_overlap=xr.zeros_like(draws["step_discrimination"]))
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
