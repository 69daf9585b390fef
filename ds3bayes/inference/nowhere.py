"""Where a model has no density at all: said before sampling, with the parameter or the data at fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from pytensor.graph.rewriting.utils import rewrite_graph

from ds3bayes.deferred import pm
from ds3bayes.engine.density import Density
from ds3bayes.engine.evaluate import AtPoints
from ds3bayes.errors import InputError
from ds3bayes.generative.design import Design
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_effects import PopulationAtDraws

Array = np.ndarray

# Names that a message lists.
_NAMED = 5


def refuse_nowhere(density: Density, model: pm.Model, design: Design, spec: ModelSpec) -> None:
    """Refuse a model whose log density, or its gradient, is not a number at the priors' support points.

    Parameters
    ----------
    density : Density
        Of the model.
    model : pymc.Model
    design : Design
    spec : ModelSpec

    Raises
    ------
    InputError
        It names the parameters whose prior has no density there, the tasks whose data are impossible there, or the
        parameters by which nothing can be derived.
    """
    value, slopes = density.tape.log_density(density.start)
    if np.isfinite(value) and np.isfinite(slopes).all():
        return
    faults = _terms(density, model, design, spec) if not np.isfinite(value) else []
    if not faults:
        places = np.flatnonzero(~np.isfinite(slopes))
        faults = [f"the derivative by {density.parameter_at(int(place))}" for place in places[:_NAMED]]
    raise InputError.of_faults(
        "the log density is not a number where sampling starts; change the prior, or correct the rows", faults
    )


def _terms(density: Density, model: pm.Model, design: Design, spec: ModelSpec) -> list[str]:
    """Say which of the terms that make up a log density are not finite at the start."""
    names = [str(one.name) for one in [*model.basic_RVs, *model.potentials]]
    terms: Any = rewrite_graph([term.sum() for term in model.logp(sum=False)], include=("canonicalize", "stabilize"))
    shapes = dict(density.parameters)
    cuts = np.cumsum([int(np.prod(shape, dtype=int)) for shape in shapes.values()])[:-1]
    parts = dict(zip(shapes, np.split(density.start, cuts), strict=True))
    given = {str(one.name): one for one in (model.rvs_to_values[variable] for variable in model.free_RVs)}
    at_start = AtPoints(given, shapes, dict(zip(names, terms, strict=True)))
    found = at_start.at({name: parts[name].reshape(shape) for name, shape in shapes.items()})
    faults = []
    for name in names:
        if np.isfinite(found[name]).all():
            continue
        index = name.removeprefix("tasks_")
        tasks = _tasks(int(index), density, design, spec) if name.startswith("tasks_") and index.isdigit() else []
        faults += tasks or [_of_parameter(name, density, spec)]
    return faults


def _shown(density: Density) -> dict[str, Array]:
    """The model's variables at the start, by name."""
    return dict(zip(density.names, density.variables.evaluate(density.start[None]), strict=True))


def _of_parameter(name: str, density: Density, spec: ModelSpec) -> str:
    at = _shown(density).get(name)
    stated = spec.prior(name) if name in spec.parameters else None
    value = "" if at is None else f" at {np.array2string(np.ravel(at)[:_NAMED], precision=4)}"
    return f"{name}{value}" + ("" if stated is None else f", whose prior is {stated}")


def _tasks(index: int, density: Density, design: Design, spec: ModelSpec) -> list[str]:
    """Name the tasks of a block whose data have no likelihood at the start."""
    block = design.blocks[index]
    drawn = xr.Dataset(
        {
            name: (("chain", "draw", *(f"{name}_{axis}" for axis in range(values.ndim - 1))), values[None])
            for name, values in _shown(density).items()
        }
    )
    values: dict[str, Any] = {str(name): one.values[0, 0] for name, one in drawn.data_vars.items()}
    marginal = PopulationAtDraws(design, spec, drawn)(index, values)["log_marginal"]
    _, signature, _ = block.distinct
    bad = np.flatnonzero(~np.isfinite(marginal[signature]))
    named = [f"the rows of task {block.tasks[place]!r} of {design.populations[index]}" for place in bad[:_NAMED]]
    return named + ([f"and those of {bad.size - _NAMED} more tasks"] if bad.size > _NAMED else [])
