"""Compile a model once and sample it for many data sets: the numbers in its likelihood are swapped, not the code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import nutpie
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
from pytensor.compile.builders import SymbolicOp
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import toposort
from threadpoolctl import threadpool_limits

from ds3bayes.generative.build import assemble
from ds3bayes.generative.design import Design
from ds3bayes.generative.spec import ModelSpec, Sampling
from ds3bayes.inference.coordinates import COORDINATES, for_sampler
from ds3bayes.inference.linking import compile_for_nutpie

Tensor = Any

# Bytes up to which numba writes an array into machine code that it keeps.
_LARGEST_CONSTANT = 10**6


@dataclass(frozen=True, kw_only=True)
class CompiledModel:
    """A compiled model whose data can be swapped.

    Parameters
    ----------
    spec : ModelSpec
    structure : tuple
        Everything about the model but the numbers that come from data; models of equal structure share the code.
    coords : mapping of str to sequence of str
        Labels of the design at hand.
    compiled : nutpie model
        Its shared variables ``reals``, ``wholes`` and ``layout`` hold those numbers, see `_packed`.
    """

    spec: ModelSpec
    structure: tuple[Any, ...]
    coords: Mapping[str, Sequence[str]]
    compiled: Any

    @property
    def code(self) -> Any:
        """The compiled log density: one object for all data sets that share it."""
        return self.compiled.compiled_logp_func

    def of(self, design: Design) -> CompiledModel:
        """Return this model for another design of the same spec, compiled anew if the two do not share their code.

        Designs of equally many LLMs, samplers and tasks usually do, whatever the counts and tokens are; with another
        parameter, or a single task, they do not.
        """
        model = for_sampler(assemble(self.spec, design), design)
        structure, arrays = _structure(model)
        if structure != self.structure:
            return compile_model(design, self.spec)
        return replace(self, coords=_coords(model), compiled=self.compiled.with_data(**_packed(arrays)))

    def sample(
        self,
        sampling: Sampling,
        *,
        cores: int = 2,
        brief: bool = False,
        progress: Callable[[int], Any] | None = None,
    ) -> xr.DataTree:
        """Draw from the posterior: groups ``posterior`` and ``sample_stats``.

        Parameters
        ----------
        sampling : Sampling
        cores : int, default 2
            Chains sampled at the same time.
        brief : bool, default False
            Spend little on a short warm-up: most of it would go into long trajectories before scales are known.
        progress : callable, optional
            Called now and then with the number of draws done, warm-up included.
        """
        report = (
            {}
            if progress is None
            else {"progress_callback": lambda chains: progress(sum(chain.finished_draws for chain in chains))}
        )
        # Chains run side by side; threads of BLAS within each would wait for one another, up to 30 times as long.
        with threadpool_limits(limits=1, user_api="blas"):
            drawn = nutpie.sample(
                self.compiled,
                draws=sampling.draws,
                tune=sampling.tune,
                chains=sampling.chains,
                cores=cores,
                seed=sampling.seed,
                target_accept=sampling.target_accept,
                # Arms on the same tasks move together; a low-rank mass matrix follows that. What the first few draws
                # say of it is shrunk more than by default (1e-5), and trajectories end after 255 steps: else half of
                # all steps of a fit go into its first fifty draws, and estimating takes longer than stepping. If brief,
                # after 63, and the matrix is renewed every 5 draws at first, not every 10: a quarter fewer steps.
                adaptation="low_rank",
                mass_matrix_gamma=1e-2,
                maxdepth=6 if brief else 8,
                early_window_switch_freq=5 if brief else 10,
                save_warmup=False,
                progress_bar=False,
                **report,
            )
        posterior = drawn["posterior"].to_dataset().drop_vars(COORDINATES, errors="ignore")
        labels = {dim: list(members) for dim, members in self.coords.items() if dim in posterior.dims}
        # The name that ArviZ looks for.
        stats = drawn["sample_stats"].to_dataset().rename(maxdepth_reached="reached_max_treedepth")
        return xr.DataTree.from_dict({"posterior": posterior.assign_coords(labels), "sample_stats": stats})


def compile_model(design: Design, spec: ModelSpec, *, swap: bool = True) -> CompiledModel:
    """Compile the model of a design; with ``swap``, so that `CompiledModel.of` can give it other data."""
    model = for_sampler(assemble(spec, design), design)
    structure: tuple[Any, ...] = ()
    if swap:
        structure, arrays = _structure(model)
        _lift(model, arrays)
    else:
        _share_large(model)
    return CompiledModel(spec=spec, structure=structure, coords=_coords(model), compiled=compile_for_nutpie(model))


def _coords(model: pm.Model) -> dict[str, list[str]]:
    return {name: list(members or ()) for name, members in model.coords.items()}


def _structure(model: pm.Model) -> tuple[tuple[Any, ...], list[np.ndarray]]:
    """Describe a model without the arrays in its potentials and deterministics; return those arrays, in that order."""
    named = {id(variable): name for name, variable in model.named_vars.items()}
    arrays: list[np.ndarray] = []
    parts: list[Any] = [tuple((name, len(members or ())) for name, members in model.coords.items())]
    swapped = {id(variable) for variable in [*model.potentials, *model.deterministics]}
    for name, variable in model.named_vars.items():
        lifted = arrays if id(variable) in swapped else None
        others = {key: value for key, value in named.items() if key != id(variable)}
        parts.append((name, tuple(model.named_vars_to_dims.get(name, ())), _describe(variable, others, lifted)))
    return tuple(parts), arrays


def _describe(output: Tensor, named: dict[int, str], lifted: list[np.ndarray] | None) -> tuple[Any, ...]:
    """List an expression's operations and what each is applied to; arrays go to ``lifted``, if there is one."""
    # By identity: constants of equal value compare as equal, which is an accident of the data.
    number: dict[int, int] = {}
    leaves: list[Any] = []

    def place(variable: Tensor) -> int:
        if id(variable) not in number:
            number[id(variable)] = len(number)
            leaves.append((len(number), _leaf(variable, named, lifted)))
        return number[id(variable)]

    steps = []
    for node in _steps(output, named):
        inputs = tuple(place(variable) for variable in node.inputs)
        for variable in node.outputs:
            number[id(variable)] = len(number)
        steps.append((_name(node.op), inputs))
    return (tuple(steps), tuple(leaves), place(output))


def _leaf(variable: Tensor, named: dict[int, str], lifted: list[np.ndarray] | None) -> Any:
    if id(variable) in named:
        return named[id(variable)]
    if not isinstance(variable, Constant):
        return variable.type
    values = np.asarray(variable.data) if not isinstance(variable.data, slice | type(None)) else None
    if values is None:
        return str(variable.data)
    if lifted is not None and _is_array(variable):
        lifted.append(values)
        return ("array", values.dtype.str, tuple(size == 1 for size in values.shape))
    return ("value", values.dtype.str, values.shape, values.tobytes())


def _steps(output: Tensor, named: Collection[int]) -> list[Any]:
    """Return the operations behind an expression, in order, as far as the model's other named variables."""
    blockers = []
    pending, seen = [output], set()
    while pending:
        variable = pending.pop()
        if id(variable) in seen:
            continue
        seen.add(id(variable))
        if id(variable) in named:
            blockers.append(variable)
        elif variable.owner is not None:
            pending.extend(variable.owner.inputs)
    return list(toposort([output], blockers=blockers))


def _name(op: Any) -> Any:
    """Return what makes an operation what it is; symbolic ones are built anew for every length of their inputs."""
    if isinstance(op, SymbolicOp):
        return (type(op), tuple(getattr(op, name) for name in getattr(op, "__props__", ())))
    return op


def _apply(node: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    if isinstance(node.op, SymbolicOp):
        return list(node.op(*inputs, return_list=True))
    return list(node.clone_with_new_inputs(inputs, strict=False).outputs)


def _is_array(variable: Tensor) -> bool:
    return isinstance(variable, Constant) and getattr(variable.type, "ndim", 0) > 0


def _packed(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Lay arrays one after the other: all reals, all whole numbers, and a layout of where each starts and its shape.

    Three variables rather than one per array, since nutpie unpacks shared variables in code that it unrolls: for sixty
    of them, that took longer to compile than the model.
    """
    flat: dict[bool, list[np.ndarray]] = {True: [np.empty(0)], False: [np.empty(0, np.int64)]}
    start = {True: 0, False: 0}
    layout = []
    for values in arrays:
        real = values.dtype.kind == "f"
        flat[real].append(values.ravel())
        layout += [start[real], *values.shape]
        start[real] += values.size
    packed = {
        "reals": np.concatenate(flat[True]).astype(np.float64),
        "wholes": np.concatenate(flat[False]).astype(np.int64),
        "layout": np.array(layout, dtype=np.int64),
    }
    # A variable that nothing is read from would be no part of the code: a single task has no whole numbers.
    return {name: values for name, values in packed.items() if values.size}


def _lift(model: pm.Model, arrays: Sequence[np.ndarray]) -> None:
    """Put views of shared variables in the place of the arrays in a model's potentials and deterministics."""
    shared = {name: pytensor.shared(values, name=name, shape=(None,)) for name, values in _packed(arrays).items()}
    lifted, place = 0, 0

    def view(values: np.ndarray) -> Tensor:
        nonlocal lifted, place
        layout = shared["layout"]
        # Lengths may change with the data, except where an axis of length 1 stands for any.
        shape = [1 if size == 1 else layout[place + 1 + axis] for axis, size in enumerate(values.shape)]
        flat = shared["reals" if values.dtype.kind == "f" else "wholes"]
        start = layout[place]
        lifted += 1
        place += 1 + values.ndim
        return flat[start : start + pt.prod(pt.stack(shape))].reshape(shape).astype(values.dtype)

    _replace_arrays(model, view)
    assert lifted == len(arrays)


def _share_large(model: pm.Model) -> None:
    """Keep large arrays out of a model's code: it could not be kept on disk, and takes half a minute with each fit."""
    shared: dict[int, Any] = {}

    def put(values: np.ndarray) -> Tensor | None:
        if values.nbytes > _LARGEST_CONSTANT and id(values) not in shared:
            shared[id(values)] = pytensor.shared(values, name=f"table_{len(shared)}", shape=values.shape)
        return shared.get(id(values))

    _replace_arrays(model, put)


def _replace_arrays(model: pm.Model, put: Callable[[np.ndarray], Tensor | None]) -> None:
    """Replace the arrays in a model's potentials and deterministics by what ``put`` returns for them, unless None."""
    named = {id(variable): name for name, variable in model.named_vars.items()}
    # What now stands for a variable, by the variable's identity; arrays anew for every named variable.
    changed: dict[int, Any] = {}
    constants: dict[int, Any] = {}

    def now(variable: Tensor) -> Tensor:
        if _is_array(variable) and id(variable) not in constants:
            new = put(variable.data)
            constants[id(variable)] = variable if new is None else new
        return constants.get(id(variable), changed.get(id(variable), variable))

    swapped = {id(variable) for variable in [*model.potentials, *model.deterministics]}
    for name, variable in list(model.named_vars.items()):
        if id(variable) not in swapped:
            continue
        constants.clear()
        for node in _steps(variable, {key for key in named if key != id(variable)}):
            inputs = [now(one) for one in node.inputs]
            if any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
                changed.update(zip(map(id, node.outputs), _apply(node, inputs), strict=True))
        model.named_vars[name] = changed.get(id(variable), variable)
        model.named_vars[name].name = name
    for kind in ("potentials", "deterministics"):
        before = getattr(model, kind)
        setattr(model, kind, type(before)([model.named_vars[variable.name] for variable in before]))
