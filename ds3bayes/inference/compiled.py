"""A design's model, ready to be sampled, for one data set or for many that share their structure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from pytensor.compile.builders import SymbolicOp
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import toposort

from ds3bayes.deferred import pm, pt
from ds3bayes.engine import nuts
from ds3bayes.engine.chains import Chain, Drawn, chain_seed, run
from ds3bayes.engine.density import Density, Program, start_of
from ds3bayes.engine.fallback import EngineWarning, Fallback
from ds3bayes.engine.laplace import NotNormal, laplace
from ds3bayes.engine.library import MachineError
from ds3bayes.engine.starting import Climb, climb
from ds3bayes.engine.tape import Unsupported
from ds3bayes.generative.design import Design
from ds3bayes.generative.model import assemble
from ds3bayes.generative.spec import ModelSpec, Sampling
from ds3bayes.inference.coordinates import COORDINATES, for_sampler
from ds3bayes.inference.nowhere import refuse_nowhere
from ds3bayes.inference.unfinished import Unfinished

Array = np.ndarray
Tensor = Any


#: Sampled parameters up to which chains start at a typical point, from which a short warm-up serves.
_FEW_PARAMETERS = 50
# Draws of each chain that are kept as the sampler sees them, and the warm-up of chains that start at such draws.
_POINTS, _TUNE_NEAR = 10, 200


@dataclass(frozen=True, kw_only=True, eq=False)
class CompiledModel:
    """A model that can be sampled, and given other data.

    Parameters
    ----------
    spec : ModelSpec
    structure : tuple
        Everything about the model but the numbers that come from data; models of equal structure share their program.
        Empty if the data are not to be swapped.
    coords : mapping of str to sequence of str
        Labels of the design at hand.
    program : Program or None
        The model's graphs; None where the machine cannot run them.
    density : Density or Fallback
        What is sampled.
    """

    spec: ModelSpec
    structure: tuple[Any, ...]
    coords: Mapping[str, Sequence[str]]
    program: Program | None
    density: Density | Fallback

    @property
    def code(self) -> Any:
        """What models that share their program have in common: one object."""
        return self.density if self.program is None else self.program

    def of(self, design: Design) -> CompiledModel:
        """Return this model for another design of the same spec.

        Designs of equally many LLMs, samplers and tasks usually share the program, whatever the counts and tokens are;
        with another parameter, or a single task, they do not, and it is made anew.
        """
        model = for_sampler(assemble(self.spec, design), design)
        structure, arrays = _structure(model)
        if self.program is None or structure != self.structure:
            return compile_model(design, self.spec)
        return replace(self, coords=_coords(model), density=self.program.on_tapes(start_of(model), arrays))

    def tune(self, sampling: Sampling) -> int:
        """Return how many draws a chain warms up with: as said, or by the number of parameters.

        From a typical point 300 serve every shipped model of up to 50 parameters. The skill graph (170) needs 600 from
        the middle of its priors.
        """
        if sampling.tune is not None:
            return sampling.tune
        return 300 if self.starts_typically else 600

    @property
    def starts_typically(self) -> bool:
        """Whether chains start near a typical point, found by climbing, and not around the middle of the priors.

        Among many parameters, climbing may lead into a spike: in 20 fits of the skill graph, one chain stayed for all
        of its draws where many spreads vanish at once, at a density e^300 times that of where the posterior's mass is,
        and one more crept out of it. From the middle of the priors none does.
        """
        return isinstance(self.density, Density) and self.density.dim <= _FEW_PARAMETERS

    @cached_property
    def climbed(self) -> Climb:
        """Where climbing the log density leads.

        Raises
        ------
        NotNormal
            If the machine cannot run the model.
        """
        if isinstance(self.density, Fallback):
            raise NotNormal("the machine cannot run this model")
        return climb(self.density)

    def near_mode(self, draws: int, seed: int) -> xr.Dataset:
        """Draw from the normal law that the posterior is like at its mode, as one chain.

        Parameters
        ----------
        draws, seed : int

        Returns
        -------
        xarray.Dataset
            As the group ``posterior`` of `sample`.

        Raises
        ------
        NotNormal
            If it is not like one.
        """
        mode = self.climbed.mode
        assert isinstance(self.density, Density)
        points = laplace(self.density, mode, draws=draws, seed=seed)
        variables = self.density.variables.evaluate(points)
        drawn = dict(zip(self.density.names, variables, strict=True))
        return self.tree({0: (drawn, {})})["posterior"].to_dataset()

    def sample(
        self,
        sampling: Sampling,
        *,
        cores: int = 2,
        brief: bool = False,
        near: Array | None = None,
        progress: Callable[[int, int], Any] | None = None,
        unfinished: Unfinished | None = None,
    ) -> xr.DataTree:
        """Draw from the posterior: groups ``posterior``, ``sample_stats`` and ``sampler_points``.

        The last holds a few draws as the sampler sees them: ``unconstrained`` (point, coordinate).

        Parameters
        ----------
        sampling : Sampling
        cores : int, default 2
            Chains sampled at the same time.
        brief : bool, default False
            Spend little on a short warm-up: most of it would go into long trajectories before scales are known.
        near : array, shape (point, dim), optional
            Draws of much the same posterior, one of which each chain starts at: its warm-up is 200 then, if the number
            is not said.
        progress : callable, optional
            Called now and then with the number of draws done, warm-up included, and of those that diverged after it.
        unfinished : Unfinished, optional
            Where draws are kept as they come, and found again.
        """
        drawn = dict(
            self.chains(
                range(sampling.chains),
                sampling,
                cores=cores,
                brief=brief,
                near=near,
                progress=progress,
                unfinished=unfinished,
            )
        )
        return self.tree(drawn)

    def chains(
        self,
        numbers: Iterable[int],
        sampling: Sampling,
        *,
        cores: int = 2,
        brief: bool = False,
        near: Array | None = None,
        progress: Callable[[int, int], Any] | None = None,
        unfinished: Unfinished | None = None,
    ) -> Iterator[tuple[int, Drawn]]:
        """Sample some of the chains, and yield each as it is done: the same ones as together with the others.

        Parameters
        ----------
        numbers : iterable of int
            Which chains, from 0.
        sampling, cores, brief, near, progress, unfinished
            As for `sample`.
        """
        if isinstance(self.density, Fallback) or (near is not None and near.shape[-1:] != (self.density.dim,)):
            near = None
        tune = self.tune(sampling) if near is None or sampling.tune is not None else _TUNE_NEAR
        length = sampling.draws + tune
        settings: dict[str, Any] = {
            "draws": sampling.draws,
            "tune": tune,
            "target_accept": sampling.target_accept,
            # Arms on the same tasks move together; a low-rank mass matrix follows that. What the first few draws say of
            # it is shrunk more than by default (1e-5), and trajectories end after 255 steps: else half of all steps of
            # a fit go into its first fifty draws. Shrunk more (1e-2), slow directions are lost: of three LLMs at three
            # budgets on tasks that most attempts solve or none does, 20 effective draws of 1,600 instead of 159. If
            # brief, after 63 steps, and the matrix is renewed every 5 draws at first, not every 10: a quarter fewer.
            "mass_matrix_gamma": 1e-4,
            "maxdepth": 6 if brief else 8,
            "early_window_switch_freq": 5 if brief else 10,
        }
        numbers = list(numbers)
        # Filled before threads read it.
        done = dict.fromkeys(numbers, (0, 0))

        def of_chain(number: int) -> Callable[[int, int], Any] | None:
            def tell(draws: int, divergences: int) -> None:
                done[number] = (draws, divergences)
                if progress is not None:
                    progress(*(sum(counts) for counts in zip(*done.values(), strict=True)))

            return None if progress is None else tell

        missing = []
        for number in numbers:
            found = None if unfinished is None else unfinished.chain(number)
            if found is None:
                missing.append(number)
            else:
                done[number] = (length, int(found[1]["diverging"].sum()))
                yield number, found
        if not missing:
            return
        start = self._start() if near is None else _one_of(near)

        def begin(number: int) -> Chain:
            own: dict[str, Any] = {
                **settings,
                "seed": chain_seed(sampling.seed, number),
                "progress": of_chain(number),
            }
            if isinstance(self.density, Fallback):
                return self.density.chain(**own)
            journal = None if unfinished is None else unfinished.journal(number, self.density.tape)
            return nuts.NutsChain(self.density, start=start, journal=journal, **own)

        with Fallback.beside_others() if isinstance(self.density, Fallback) else nullcontext():
            for number, drawn in run(begin, missing, cores):
                if unfinished is not None:
                    unfinished.keep_chain(number, drawn)
                yield number, drawn

    def _start(self) -> Callable[[int], Array]:
        """Return what makes the point at which a chain starts, given a seed."""
        if isinstance(self.density, Fallback):
            return lambda seed: np.zeros(0)
        if not self.starts_typically:
            return _moved(self.density.start, 1.0)
        return _moved(self.climbed.typical, 0.1)

    def tree(self, chains: Mapping[int, Drawn]) -> xr.DataTree:
        """Return all chains as the groups that `sample` returns.

        Parameters
        ----------
        chains : mapping of int to (posterior, statistics)
            By their numbers.
        """
        inorder = [chains[number] for number in sorted(chains)]
        posterior, stats = (
            {name: np.stack([chain[part][name] for chain in inorder]) for name in inorder[0][part]} for part in (0, 1)
        )
        return _as_tree(self.density.dims, self.coords, posterior, stats)


def _one_of(points: Array) -> Callable[[int], Array]:
    """Return a function that takes one of some points, given a chain's seed."""
    return lambda seed: points[np.random.default_rng(seed).integers(len(points))].copy()


def _moved(start: Array, by: float) -> Callable[[int], Array]:
    """Return a function that moves a point by up to so much in every coordinate, given a chain's seed."""
    return lambda seed: start + np.random.default_rng(seed).uniform(-by, by, start.size)


def _as_tree(
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[str]],
    posterior: Mapping[str, Array],
    stats: Mapping[str, Array],
) -> xr.DataTree:
    """Label draws: named dims where a model names them, with its coordinates."""
    variables = {}
    for name, values in posterior.items():
        if name not in COORDINATES:
            own = dims.get(name) or [f"{name}_dim_{axis}" for axis in range(values.ndim - 2)]
            variables[name] = (("chain", "draw", *own), values)
    shape = next(iter(posterior.values())).shape
    places = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    used = {dim for own, _ in variables.values() for dim in own}
    labels = {dim: list(members) for dim, members in coords.items() if dim in used}
    renamed = {
        # The name that ArviZ looks for.
        {"maxdepth_reached": "reached_max_treedepth"}.get(name, name): (("chain", "draw"), values)
        for name, values in stats.items()
        if name not in ("chain", "draw", "unconstrained_draw")
    }
    groups = {"posterior": xr.Dataset(variables, {**places, **labels}), "sample_stats": xr.Dataset(renamed, places)}
    if "unconstrained_draw" in stats:
        points = stats["unconstrained_draw"][:, :: -(-shape[1] // _POINTS)]
        flat = points.reshape(-1, points.shape[-1])
        groups["sampler_points"] = xr.Dataset({"unconstrained": (("point", "coordinate"), flat)})
    return xr.DataTree.from_dict(groups)


def compile_model(design: Design, spec: ModelSpec, *, swap: bool = True) -> CompiledModel:
    """Make the model of a design ready to be sampled.

    Parameters
    ----------
    design : Design
    spec : ModelSpec
    swap : bool, default True
        So that `CompiledModel.of` can give it other data.

    Raises
    ------
    InputError
        If the log density is not a number where sampling starts; it names the parameters, or the tasks.

    Warns
    -----
    EngineWarning
        If the machine cannot run the model, which nutpie then compiles; it says why.
    """
    model = for_sampler(assemble(spec, design), design)
    structure: tuple[Any, ...] = ()
    arrays: list[Array] = []
    density: Density | Fallback
    program: Program | None = None
    try:
        start = start_of(model)
        places: list[Tensor] = []
        lifted = model
        if swap:
            structure, arrays = _structure(model)
            lifted, places = _lifted(for_sampler(assemble(spec, design), design), arrays)
        program = Program.of(lifted, places)
        density = program.on_tapes(start, arrays)
        refuse_nowhere(density, model, design, spec)
    except (Unsupported, MachineError) as error:
        warnings.warn(EngineWarning.of(error), stacklevel=2)
        program, density = None, Fallback(model)
    return CompiledModel(spec=spec, structure=structure, coords=_coords(model), program=program, density=density)


def _coords(model: pm.Model) -> dict[str, list[str]]:
    return {name: list(members or ()) for name, members in model.coords.items()}


def _structure(model: pm.Model) -> tuple[tuple[Any, ...], list[Array]]:
    """Describe a model without the arrays in its potentials and deterministics; return those arrays, in that order."""
    named = {id(variable): name for name, variable in model.named_vars.items()}
    arrays: list[Array] = []
    parts: list[Any] = [tuple((name, len(members or ())) for name, members in model.coords.items())]
    swapped = {id(variable) for variable in [*model.potentials, *model.deterministics]}
    for name, variable in model.named_vars.items():
        lifted = arrays if id(variable) in swapped else None
        others = {key: value for key, value in named.items() if key != id(variable)}
        parts.append((name, tuple(model.named_vars_to_dims.get(name, ())), _describe(variable, others, lifted)))
    return tuple(parts), arrays


def _describe(output: Tensor, named: dict[int, str], lifted: list[Array] | None) -> tuple[Any, ...]:
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


def _leaf(variable: Tensor, named: dict[int, str], lifted: list[Array] | None) -> Any:
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


def _lifted(model: pm.Model, arrays: Sequence[Array]) -> tuple[pm.Model, list[Tensor]]:
    """Put variables in the place of the arrays in a model's potentials and deterministics; the model is changed."""
    places: list[Tensor] = []

    def put(values: Array) -> Tensor:
        # Lengths may change with the data, except where an axis of length 1 stands for any.
        shape = tuple(1 if size == 1 else None for size in values.shape)
        places.append(pt.tensor(f"data_{len(places)}", dtype=values.dtype.name, shape=shape))
        return places[-1]

    _replace_arrays(model, put)
    assert len(places) == len(arrays)
    return model, places


def _replace_arrays(model: pm.Model, put: Callable[[Array], Tensor]) -> None:
    """Replace the arrays in a model's potentials and deterministics by what ``put`` returns for them."""
    named = {id(variable): name for name, variable in model.named_vars.items()}
    # What now stands for a variable, by the variable's identity; arrays anew for every named variable.
    changed: dict[int, Any] = {}
    constants: dict[int, Any] = {}

    def now(variable: Tensor) -> Tensor:
        if _is_array(variable) and id(variable) not in constants:
            constants[id(variable)] = put(variable.data)
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
