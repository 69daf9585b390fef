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

from ds3bayes.engine.chains import Drawn, plain
from ds3bayes.engine.density import Density
from ds3bayes.engine.journal import Journal
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


class NutsChain:
    """A chain of NUTS on a density; see `Chain`.

    Parameters
    ----------
    density : Density
    draws, tune, seed : int
    start : callable
        Takes a seed, returns the point (dim,) at which the chain starts.
    progress : callable, optional
        Called now and then with the number of draws done, warm-up included, and how many of those after it diverged.
    journal : Journal, optional
        Answers what it knows of the density, and keeps the rest; closed with the chain.
    **settings
        Further settings of nutpie's low-rank NUTS.

    Raises
    ------
    Unsupported
        If nutpie's core cannot be used.
    """

    def __init__(
        self,
        density: Density,
        *,
        draws: int,
        tune: int,
        seed: int,
        start: Callable[[int], Array],
        progress: Callable[[int, int], Any] | None = None,
        journal: Journal | None = None,
        **settings: Any,
    ) -> None:
        lib = core()
        sizes: dict[str, int] = {}
        variables = density.variables
        asked: Any = density.tape if journal is None else journal
        model = lib.PyMcModel(
            lib.LogpFunc(asked.log_density_address, asked.handle, asked),
            lib.ExpandFunc(density.dim, variables.outputs, variables.expand_address, variables.handle, variables),
            lib.PyVariable.new_variables(
                list(density.names),
                ["float64"] * len(density.names),
                [list(one) for one in variables.shapes],
                sizes,
                {},
            ),
            density.dim,
            sizes,
            {},
            start,
            _no_adapter,
        )
        chosen = lib.PyNutsSettings.LowRank(seed)
        # One sampler for each chain: the core gives those that it runs together streams of one seed by their order.
        chosen.update({"num_tune": tune, "num_draws": draws, "num_chains": 1, **settings})
        callback = None if progress is None else reports(progress)
        self._journal = journal
        self._sampler = lib.PySampler.from_pymc(
            chosen, 1, model, lib.ProgressType.none(), callback, 100, lib.PyStorage.arrow()
        )

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; return whether the chain is done."""
        try:
            self._sampler.wait(seconds)
        except TimeoutError:
            return False
        return True

    def take(self) -> Drawn:
        """Return its variables and its statistics, (draw, ...) each, without warm-up."""
        (drawn,), (stats,) = self._sampler.take_results().get_arrow_trace()
        tuned = int(stats.column("tuning").to_numpy().sum())
        return _arrays(drawn, tuned), _arrays(stats, tuned, skip=_LONG)

    def stop(self) -> None:
        """End it, and write what its journal holds."""
        try:
            self._sampler.abort()
        finally:
            # Nothing asks any more.
            if self._journal is not None:
                self._journal.close()


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


def _arrays(batch: Any, tuned: int, skip: tuple[str, ...] = ()) -> dict[str, Array]:
    """Return a chain's columns without warm-up: (draw, ...)."""
    return {name: plain(_values(batch.column(name)))[tuned:] for name in batch.column_names if name not in skip}


def _values(column: Any) -> Array:
    """A column of numbers or texts, or of arrays of one shape, as an array whose first axis counts draws."""
    shape = (column.field.metadata or {}).get(b"shape", b"").decode()
    inner = tuple(int(length) for length in shape.split(",")) if shape else ()
    values = pyarrow.array(column)
    flat = values.flatten() if hasattr(values, "flatten") else values
    return flat.to_numpy(zero_copy_only=False).reshape(len(values), *inner)
