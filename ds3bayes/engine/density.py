"""A PyMC model on two tapes: its log density with the gradient, and its variables as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
from pymc.initial_point import make_initial_point_expression
from pytensor.graph.rewriting.utils import rewrite_graph

from ds3bayes.engine.tape import Tape, Unsupported
from ds3bayes.engine.translate import known, translate

Array = np.ndarray
Tensor = Any

# PyTensor's canonical and numerically stable forms; its checks of parameters are left out, as samplers do.
_REWRITES = ("canonicalize", "stabilize", "local_remove_check_parameter")


@dataclass(frozen=True, kw_only=True, eq=False)
class Density:
    """A model's log density over its unconstrained parameters.

    Parameters
    ----------
    tape : Tape
        Log density, with its gradient.
    variables : Tape
        Every variable of the posterior at a point: parameters in their own units, and what follows from them.
    names : tuple of str
        Of these variables.
    dims : mapping of str to tuple of str
        Named dims of those that have some.
    start : array, shape (dim,)
        Where PyMC would start: the support points of the priors.
    parameters : tuple of (name, shape)
        What the point is made of, in its order.
    """

    tape: Tape
    variables: Tape
    names: tuple[str, ...]
    dims: dict[str, tuple[str, ...]]
    start: Array
    parameters: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def dim(self) -> int:
        """Number of unconstrained parameters."""
        return self.tape.dim

    def parameter_at(self, place: int) -> str:
        """Name the parameter that a place of the point belongs to."""
        for name, shape in self.parameters:
            size = int(np.prod(shape, dtype=int))
            if place < size:
                return name if size == 1 else f"{name}[{', '.join(map(str, np.unravel_index(place, shape)))}]"
            place -= size
        raise IndexError(place)


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """A model's graphs in stable form, which are put on tapes once the numbers of their data are given.

    Rewriting takes most of the time between a model and its tapes, and does not depend on these numbers: many data
    sets of one structure share it.

    Parameters
    ----------
    inputs : tuple of variable
        The unconstrained parameters.
    data : tuple of variable
        What stands for arrays of data.
    log_density : variable
    shown : tuple of variable
        Every variable of the posterior, in the order of ``names``.
    names : tuple of str
    dims : dict of str to tuple of str
    """

    inputs: tuple[Tensor, ...]
    data: tuple[Tensor, ...]
    log_density: Tensor
    shown: tuple[Tensor, ...]
    names: tuple[str, ...]
    dims: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, model: pm.Model, data: Sequence[Tensor] = ()) -> Program:
        """Rewrite a model's graphs; ``data`` are free variables in them whose numbers come later."""
        read = [*model.free_RVs, *model.deterministics]
        discrete = [str(one.name) for one in model.free_RVs if not str(one.dtype).startswith("float")]
        if discrete:
            raise Unsupported(f"discrete parameters: {', '.join(discrete)}")
        graphs: Any = rewrite_graph([model.logp(), *model.replace_rvs_by_values(read)], include=_REWRITES)
        log_density, *shown = graphs
        names = tuple(str(one.name) for one in read)
        return cls(
            inputs=tuple(model.rvs_to_values[one] for one in model.free_RVs),
            data=tuple(data),
            log_density=log_density,
            shown=tuple(shown),
            names=names,
            dims={name: _dims(model, name) for name in names if name in model.named_vars_to_dims},
        )

    def on_tapes(self, start: Sequence[Array], data: Sequence[Array] = ()) -> Density:
        """Put the graphs on tapes.

        Parameters
        ----------
        start : sequence of array
            From `start_of`; gives the parameters' shapes.
        data : sequence of array
            Numbers of the program's ``data``.

        Raises
        ------
        Unsupported
        """
        inputs = [(variable, value.shape) for variable, value in zip(self.inputs, start, strict=True)]
        given = list(zip(self.data, data, strict=True))
        return Density(
            tape=translate(inputs, [self.log_density], derived=True, given=given),
            variables=translate(inputs, self.shown, given=given),
            names=self.names,
            dims=self.dims,
            start=np.concatenate([np.zeros(0), *map(np.ravel, start)]).astype(float),
            parameters=tuple((str(variable.name), tuple(shape)) for variable, shape in inputs),
        )


def density_of(model: pm.Model) -> Density:
    """Put a model on tapes.

    Parameters
    ----------
    model : pymc.Model
        Any model of continuous parameters, `pymc.Potential` and users' own variables included.

    Returns
    -------
    Density

    Raises
    ------
    Unsupported
        If the machine lacks an operation of it, a shape is not static, or a parameter is discrete; the message names
        it.
    """
    return Program.of(model).on_tapes(start_of(model))


def _dims(model: pm.Model, name: str) -> tuple[str, ...]:
    return tuple(str(dim) for dim in model.named_vars_to_dims[name] if dim is not None)


def start_of(model: pm.Model) -> Sequence[Array]:
    """Return the unconstrained support point of each free variable, in the model's order."""
    return known(
        make_initial_point_expression(
            free_rvs=model.free_RVs,
            rvs_to_transforms=model.rvs_to_transforms,
            initval_strategies=model.rvs_to_initial_values,
            default_strategy="support_point",
            return_transformed=True,
        )
    )
