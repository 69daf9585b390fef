"""A first answer while chains are sampled: what predictions are under a normal law at the posterior's mode."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from ds3bayes.engine.laplace import NotNormal
from ds3bayes.errors import InputError
from ds3bayes.generative.design import Design
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_effects import PopulationAtDraws, task_effects
from ds3bayes.inference.artifact import about, data_groups
from ds3bayes.inference.compiled import CompiledModel
from ds3bayes.progress import Told
from ds3bayes.terminal import plain

#: What a first answer is called wherever it is shown.
MARK = "preliminary (Laplace approximation at the mode, will be replaced)"
_DRAWS = 150


@dataclass(kw_only=True)
class FirstLook:
    """What was made for a first answer.

    Parameters
    ----------
    population : PopulationAtDraws, optional
        Serves the final draws, too.
    """

    population: PopulationAtDraws | None = None
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def first_look(
    show: Callable[[xr.DataTree], str] | None,
    compiled: CompiledModel,
    design: Design,
    spec: ModelSpec,
    evals: xr.Dataset,
    held_out: np.ndarray,
    told: Told,
) -> Iterator[FirstLook]:
    """Make a first answer in a thread, beside what is done within.

    It is none of the work's business: draws do not depend on it, and where it fails, a line says why.

    Parameters
    ----------
    show : callable, optional
        Takes a fit of draws from the normal law; what it returns is said. Without it, nothing is done.
    compiled, design, spec, evals, held_out
        Of the model that is being sampled.
    told : Told
        Of the stage during which it is made.

    Yields
    ------
    FirstLook
        To be looked into afterwards.
    """
    found = FirstLook()
    if show is None:
        yield found
        return

    def answer() -> str:
        posterior = compiled.near_mode(_DRAWS, spec.sampling.seed)
        found.population = PopulationAtDraws(design, spec, posterior)
        if found.over.is_set():
            return ""
        effects = task_effects(design, spec, posterior, spec.sampling.seed, found.population)
        drawn = {"posterior": posterior, "task_effects": effects.drop_vars(["log_likelihood", "task"])}
        fit = xr.DataTree.from_dict({**drawn, **data_groups(evals, held_out)})
        fit.attrs = about(spec, evals, spec.sampling.seed)
        return "" if found.over.is_set() else show(fit)

    def look() -> None:
        try:
            said = answer()
        except (NotNormal, InputError) as error:
            said = f"no preliminary answer: {error}"
        except Exception as error:
            # Sampling goes on whatever happens to a first look at it.
            said = f"no preliminary answer ({type(error).__name__}: {error})"
        # Once there are draws, nobody needs it.
        if said and not found.over.is_set():
            with suppress(OSError):
                told.say("\n".join(map(plain, said.split("\n"))))

    if compiled.starts_typically:
        # Chains need it, too: not twice at once.
        _ = compiled.climbed
    # A process that is told to end does not wait for it.
    thread = threading.Thread(target=look, name="first look", daemon=True)
    thread.start()
    try:
        yield found
    except BaseException:
        found.over.set()
        raise
    found.over.set()
    # Graphs are no business of two threads at once.
    thread.join()
