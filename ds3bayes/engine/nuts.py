"""NUTS by nutpie's Rust core, which calls a tape by its address; nothing else of nutpie is used, or imported.

nutpie's Python front end imports ArviZ, matplotlib and a compiler (4 s here), and compiles models. Its core takes
the addresses of two C functions. What is taken of it is all in this file: the classes named in `_USED` of the one
version named in `VERSION`, which ``pyproject.toml`` pins.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from ds3bayes.engine.density import Density
from ds3bayes.engine.tape import Unsupported

Array = np.ndarray

#: The version of nutpie whose core this file knows.
VERSION = "0.16.11"
_USED = (
    "LogpFunc",
    "ExpandFunc",
    "PyVariable",
    "PyMcModel",
    "PyNutsSettings",
    "PySampler",
    "PyStorage",
    "ProgressType",
)
# Statistics of single steps that are as long as the point, which nobody asked for.
_LONG = (
    "gradient",
    "unconstrained_draw",
    "mass_matrix_inv",
    "mass_matrix_eigvals",
    "mass_matrix_stds",
    "divergence_start",
    "divergence_end",
    "divergence_momentum",
    "divergence_start_gradient",
    "transformed_position",
    "transformed_gradient",
    "transformation_mu",
    "tuning",
)


@cache
def core() -> Any:
    """Return nutpie's compiled core.

    Raises
    ------
    Unsupported
        If nutpie is not installed in the version that this file knows.
    """
    try:
        found = version("nutpie")
    except PackageNotFoundError:
        raise Unsupported("nutpie is not installed") from None
    if found != VERSION:
        raise Unsupported(f"nutpie {found} is installed; its core is known of version {VERSION}")
    if "nutpie._lib" in sys.modules:
        return sys.modules["nutpie._lib"]
    package = importlib.util.find_spec("nutpie")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    for folder in folders:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder) / f"_lib{suffix}"
            if path.exists():
                return _loaded(path)
    raise Unsupported("nutpie's core was not found where nutpie is installed")


def _loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("nutpie._lib", path)
    if spec is None or spec.loader is None:
        raise Unsupported(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [name for name in _USED if not hasattr(module, name)]
    if missing:
        raise Unsupported(f"nutpie's core lacks {', '.join(missing)}")
    return module


def sample(
    density: Density,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int,
    seed: int,
    start: Callable[[int], Array],
    progress: Callable[[int, int], Any] | None = None,
    **settings: Any,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Draw from a density.

    Parameters
    ----------
    density : Density
    draws, tune, chains, cores, seed : int
    start : callable
        Takes a seed, returns the point (dim,) at which a chain starts.
    progress : callable, optional
        Called now and then with the number of draws done, warm-up included, and how many of those after it diverged.
    **settings
        Further settings of nutpie's low-rank NUTS.

    Returns
    -------
    posterior, sample_stats : dict of str to array
        Of shape (chain, draw, ...), without warm-up.

    Raises
    ------
    Unsupported
        If nutpie's core cannot be used.
    """
    lib = core()
    sizes: dict[str, int] = {}
    tape, variables = density.tape, density.variables
    model = lib.PyMcModel(
        lib.LogpFunc(tape.log_density_address, tape.handle, tape),
        lib.ExpandFunc(density.dim, variables.outputs, variables.expand_address, variables.handle, variables),
        lib.PyVariable.new_variables(
            list(density.names), ["float64"] * len(density.names), [list(one) for one in variables.shapes], sizes, {}
        ),
        density.dim,
        sizes,
        {},
        start,
        _no_adapter,
    )
    chosen = lib.PyNutsSettings.LowRank(seed)
    chosen.update({"num_tune": tune, "num_draws": draws, "num_chains": chains, **settings})
    callback = None if progress is None else reports(progress)
    sampler = lib.PySampler.from_pymc(
        chosen, cores, model, lib.ProgressType.none(), callback, 100, lib.PyStorage.arrow()
    )
    try:
        sampler.wait(None)
    except BaseException:
        sampler.abort()
        raise
    drawn, stats = sampler.take_results().get_arrow_trace()
    tuned = [int(one.column("tuning").to_numpy().sum()) for one in stats]
    return _arrays(drawn, tuned), _arrays(stats, tuned, skip=_LONG)


def reports(progress: Callable[[int, int], Any]) -> Callable[[list[Any]], None]:
    """Return what nutpie calls with the state of every chain, given a function of draws done and divergences.

    Parameters
    ----------
    progress : callable
    """
    return lambda states: progress(
        sum(one.finished_draws for one in states), sum(one.divergences for one in states if not one.tuning)
    )


def _no_adapter(*arguments: Any, **named: Any) -> None:
    """The core asks for a maker of normalising flows, which low-rank adaptation never calls."""
    raise NotImplementedError


def _arrays(batches: list[Any], tuned: list[int], skip: tuple[str, ...] = ()) -> dict[str, Array]:
    """Put the chains' columns together, without warm-up: (chain, draw, ...)."""
    return {
        name: np.stack([_numbers(batch.column(name))[warm:] for batch, warm in zip(batches, tuned, strict=True)])
        for name in batches[0].column_names
        if name not in skip
    }


def _numbers(column: Any) -> Array:
    """A column of numbers, or of arrays of one shape, as an array whose first axis counts draws."""
    shape = (column.field.metadata or {}).get(b"shape", b"").decode()
    inner = tuple(int(length) for length in shape.split(",")) if shape else ()
    values = pyarrow.array(column)
    flat = values.flatten() if hasattr(values, "flatten") else values
    return flat.to_numpy(zero_copy_only=False).reshape(len(values), *inner)
