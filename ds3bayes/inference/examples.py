"""The shipped calibrations: specifications with their data, from a clone or from an installed package."""

from __future__ import annotations

import tomllib
from pathlib import Path

from ds3bayes import files
from ds3bayes.errors import InputError, did_you_mean


def _folder() -> Path:
    """Return the folder that holds ``models`` and ``data``: within the package, or around it in a clone."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "examples", package.parent):
        if (place / "models").is_dir() and (place / "data").is_dir():
            return place
    raise InputError(f"the shipped calibrations are not beside {package}: install ds3bayes anew")


def examples() -> dict[str, str]:
    """Return the names of the shipped calibrations, and what each is."""
    found = {}
    for path in sorted((_folder() / "models").glob("*.toml")):
        found[path.stem] = " ".join(tomllib.loads(path.read_text(encoding="utf-8")).get("description", "").split())
    return found


def copy_example(name: str, folder: str | Path = ".") -> tuple[Path, Path]:
    """Copy a shipped calibration into a folder: its specification ``NAME.toml``, and its data beside it.

    Parameters
    ----------
    name : str
        One of `examples`.
    folder : path, default "."
        Made if needed.

    Returns
    -------
    tuple of Path
        The specification and the table.

    Raises
    ------
    InputError
        If there is no such calibration, or the folder holds another file of one of these names.
    """
    known = examples()
    if name not in known:
        raise InputError(f"no example {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}")
    spec = (_folder() / "models" / f"{name}.toml").read_text(encoding="utf-8")
    source = tomllib.loads(spec)["data"]["path"]
    table = _folder() / "models" / source
    written = {f"{name}.toml": spec.replace(f'"{source}"', f'"{table.name}"').encode(), table.name: table.read_bytes()}
    others = [
        str(Path(folder) / file)
        for file, content in written.items()
        if (Path(folder) / file).exists() and (Path(folder) / file).read_bytes() != content
    ]
    if others:
        raise InputError(f"{' and '.join(others)}: there is another file of that name; give another folder (-o)")
    first, second = (Path(folder) / file for file in written)
    for path in (first, second):
        # What is there already is the same.
        if not path.exists():
            files.write(path, "copy", written[path.name])
    return first, second


__all__ = ["copy_example", "examples"]
