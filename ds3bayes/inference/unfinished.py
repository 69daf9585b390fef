"""`Unfinished`: what was done of long work, kept in a folder as it comes, so that a killed process loses seconds."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ds3bayes import files
from ds3bayes.cluster import Spread
from ds3bayes.engine.chains import Drawn
from ds3bayes.engine.journal import Journal
from ds3bayes.engine.library import MachineError, load
from ds3bayes.engine.tape import Tape
from ds3bayes.errors import InputError
from ds3bayes.evals import data_sha256
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.terminal import Terminal, plain

_ABOUT = "about.json"
_PART = re.compile(r"[a-z]+-\d+\.(npz|journal)")
_SEAL = f"{files.MARK}; SHA-256 of what follows: "
_PACKAGES = ("ds3bayes", "pymc", "pytensor", "nutpie", "numpy", "scipy")
# A journal takes at most so much of what is free on its disk, and so many bytes.
_SHARE, _MOST = 0.2, 8 << 30


def unfinished_of(output: str | os.PathLike[str]) -> Path:
    """Return the folder that keeps what is done of an output until it is written.

    Parameters
    ----------
    output : path
    """
    return Path(f"{os.fspath(output)}.unfinished")


def about_fit(spec: ModelSpec, evals: xr.Dataset, **more: object) -> dict[str, str]:
    """Return all that decides what a fit's numbers are, by what it is called.

    Parameters
    ----------
    spec : ModelSpec
    evals : xarray.Dataset
    **more
        Whatever else does; its text counts.
    """
    try:
        # Last digits depend on the processor's instructions.
        machine = Path(load()._name).name
    except MachineError:
        machine = "none"
    return {
        "model": spec.model_id,
        "data": data_sha256(evals),
        **{name: str(value) for name, value in more.items()},
        "versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "engine": machine,
    }


class Unfinished:
    """What was done of a fit, or of many: whole chains or fits by their numbers, and journals of chains under way.

    A part is written under a temporary name and renamed, with a digest; a journal closes each of its records. So
    whatever a killed process left is either whole or not used.

    Parameters
    ----------
    folder : Path
        Which this process holds; see `keeping_in`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journals: dict[int, Journal] = {}
        #: Why not all is kept, if it is not.
        self.fault = ""

    def get(self, kind: str, number: int) -> dict[str, np.ndarray] | None:
        """Return the arrays of a part; None if it is not there, or not whole.

        Parameters
        ----------
        kind : str
            Lower-case letters.
        number : int
        """
        try:
            content = (self.folder / f"{kind}-{number}.npz").read_bytes()
        except OSError:
            return None
        seal, _, packed = content.partition(b"\n")
        if seal.decode(errors="replace") != _SEAL + hashlib.sha256(packed).hexdigest():
            return None
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            return dict(arrays)

    def keep(self, kind: str, number: int, arrays: Mapping[str, np.ndarray]) -> bool:
        """Keep the arrays of a part; return whether they could be.

        Parameters
        ----------
        kind, number
            As for `get`.
        arrays : mapping of str to array
            Of numbers or text.
        """
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(values), allow_pickle=False)
        content = packed.getvalue()
        seal = (_SEAL + hashlib.sha256(content).hexdigest() + "\n").encode()
        try:
            files.replace(self.folder / f"{kind}-{number}.npz", seal + content)
        except OSError as error:
            self.fault = str(error)
            return False
        return True

    def chain(self, number: int) -> Drawn | None:
        """Return what a chain drew, if it was done."""
        found = self.get("chain", number)
        if found is None:
            return None
        parts: Drawn = ({}, {})
        for name, values in found.items():
            which, _, own = name.partition("/")
            parts[which == "stats"][own] = values
        return parts

    def keep_chain(self, number: int, drawn: Drawn) -> None:
        """Keep what a chain drew, in place of its journal."""
        named = zip(("posterior", "stats"), drawn, strict=True)
        arrays = {f"{part}/{name}": one for part, own in named for name, one in own.items()}
        journal = self._journals.pop(number, None)
        if journal is not None and journal.told.lost and not self.fault:
            self.fault = "no room on its disk"
        if self.keep("chain", number, arrays):
            (self.folder / f"chain-{number}.journal").unlink(missing_ok=True)

    def journal(self, number: int, tape: Tape) -> Journal | None:
        """Return the journal of a chain under way; None if it cannot be kept."""
        most = min(_MOST, int(_SHARE * shutil.disk_usage(self.folder).free))
        try:
            self._journals[number] = Journal(self.folder / f"chain-{number}.journal", tape, most)
        except OSError as error:
            self.fault = str(error)
        return self._journals.get(number)

    def summary(self) -> str:
        """Say what there is, in words; empty if there is nothing."""
        found: dict[str, int] = {}
        size = 0
        for path in self.folder.iterdir():
            kind = path.name.partition("-")[0]
            if path.suffix == ".npz":
                found[kind] = found.get(kind, 0) + 1
            elif path.suffix == ".journal":
                size += path.stat().st_size
        said = [f"{count} {kind}{'s' if count > 1 else ''} done" for kind, count in sorted(found.items())]
        return ", ".join([*said, *([f"{size / 1e6:,.1f} MB of chains under way"] if size > 100 else [])])


@contextmanager
def keeping_in(folder: str | os.PathLike[str] | None, about: Mapping[str, str]) -> Iterator[Unfinished | None]:
    """Hold a folder of unfinished work; one line says what it held, if anything.

    Parameters
    ----------
    folder : path, optional
        Made if it is not there. What it holds of other work is removed. If absent, nothing is kept.
    about : mapping of str to str
        What decides the work's numbers.

    Yields
    ------
    Unfinished or None

    Raises
    ------
    InputError
        If the folder is one of something else, cannot be written to, or another process works there.

    Warns
    -----
    UserWarning
        In the end, if not all could be kept.
    """
    if folder is None:
        yield None
        return
    folder = Path(folder)
    if folder.is_dir() and not _is_ours(folder):
        raise InputError(f"{folder}: is a folder of something else; name another one for unfinished work")
    with files.holding(folder):
        files.sweep(folder)
        before, kept = _about(folder), Unfinished(folder)
        done = kept.summary()
        if done:
            others = [name for name in {**about, **(before or {})} if (before or {}).get(name) != about.get(name)]
            said = (
                f"starting anew: what {folder} holds ({done}) is of another {', '.join(others)}"
                if others
                else f"going on from {folder}: {done}"
            )
            Terminal(stderr=True).print(plain(said))
        if before != about:
            _clear(folder)
            files.replace(folder / _ABOUT, json.dumps({"": files.MARK, **about}, indent=1).encode())
        yield kept
    if kept.fault:
        warnings.warn(f"{folder}: not all that was done could be kept ({kept.fault})", stacklevel=3)


def with_kept[Item, Result](
    spread: Spread,
    function: Callable[[Item, Any], Result],
    items: Sequence[Item],
    kept: Unfinished | None,
    kind: str,
    *,
    packed: Callable[[Result], Mapping[str, np.ndarray]],
    unpacked: Callable[[Mapping[str, np.ndarray]], Result],
    **given: Any,
) -> Iterator[tuple[int, Result]]:
    """Yield the place of each item and what the function makes of it: first what was kept, then the others.

    Parameters
    ----------
    spread : Spread
        From `workers`.
    function, items, **given
        As for it.
    kept : Unfinished, optional
        Where results are kept as they come.
    kind : str
        What an item is called there.
    packed, unpacked : callable
        From a result to arrays by name, and back.
    """
    missing = []
    for place in range(len(items)):
        found = None if kept is None else kept.get(kind, place)
        if found is None:
            missing.append(place)
        else:
            yield place, unpacked(found)
    for at, result in spread(function, (items[place] for place in missing), **given) if missing else ():
        if kept is not None:
            kept.keep(kind, missing[at], packed(result))
        yield missing[at], result


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove a folder of unfinished work that no process holds; no other folder, and nothing else in it.

    Parameters
    ----------
    folder : path
    """
    folder = Path(folder)
    if not (folder.is_dir() and _about(folder) is not None):
        return
    with suppress(InputError), files.holding(folder):
        _clear(folder)
    with suppress(OSError):
        folder.rmdir()


def _about(folder: Path) -> dict[str, Any] | None:
    """Return what a folder says of itself; None if it is none of unfinished work."""
    try:
        found = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.pop("", None) == files.MARK else None


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds unfinished work, or nothing."""
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".ds3bayes-")]
    return not names or _about(folder) is not None


def _clear(folder: Path) -> None:
    """Remove all parts, and last what says whose they were."""
    for path in folder.iterdir():
        if _PART.fullmatch(path.name):
            path.unlink()
    (folder / _ABOUT).unlink(missing_ok=True)
