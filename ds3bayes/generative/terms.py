"""The task law of a block and the likelihood of its cells, as expressions of the parameters.

Kinds of observation take from them what they say of tasks; `ds3bayes.generative.likelihood` adds that up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ds3bayes.deferred import pt
from ds3bayes.generative.counts.grid import Table
from ds3bayes.generative.design import Block, Design, Subsets
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_law import Terms
from ds3bayes.kernels.cell_sum import sum_of_cells
from ds3bayes.kernels.own_effect import interaction_density, log_expected_mass
from ds3bayes.kernels.row_sum import sum_of_rows
from ds3bayes.theory.interpolate import neighbours

Tensor = Any
Parameters = Mapping[str, Tensor]

# Most locations of an arm at which its own effect is summed out one by one.
_FEW = 181
# Where there are more, it is summed out at these and looked up between them: at logit success x where x is
# squeezed as in `_squeezed`, .2 apart at 0 and further towards both ends.
_SQUEEZED = np.linspace(-10.2, 9.6, 100)
_LOCATIONS = _SQUEEZED / np.sqrt(1.0 - (_SQUEEZED / 12.0) ** 2)


def block_terms(block: Block, index: int, design: Design, spec: ModelSpec, given: Parameters) -> Terms:
    """Build the expressions of one block.

    Parameters
    ----------
    block : Block
    index : int
        The block's number.
    design : Design
    spec : ModelSpec
    given : mapping of str to tensor
        The model's parameters by name, along their dims.
    """
    law = spec.capability.task_law(block, index, design, spec, given)
    first, _, _ = block.distinct
    masses = cell_log_mass(block, design, given)
    missed = cell_log_missed(block, design, given)
    if block.easiness is None:
        return Terms(
            log_weight=law.log_weight,
            easiness=law.easiness,
            location=law.location,
            log_cells=pt.as_tensor(masses[0])[None],
            at_nodes=True,
            log_missed=pt.as_tensor(missed[0])[None] if missed else None,
            of_tasks=lambda table, _: table[0][block.cell[first][:, 0]][:, None],
            log_mass=masses,
            log_mass_missed=missed,
            log_marginal=law.log_weight[None, :],
            mean_easiness=law.easiness,
            extra=law.extra,
        )
    subsets = design.subsets
    is_tree = np.array([design.arms[arm].is_tree for arm in block.arms])
    trees = [arm for arm in block.arms if design.arms[arm].is_tree]
    walks = [arm for arm in block.arms if not design.arms[arm].is_tree]
    # Rows of walks, then of trees, then put into the block's order.
    order = np.argsort(np.argsort(is_tree, kind="stable"))
    location = law.location
    scale = given["interaction_sd"][subsets.places("linked_arm", walks)]
    if trees:
        searched = pt.stack([tree_location(design, arm, law.easiness[0], given) for arm in trees])
        location = pt.concatenate([location, searched[None]], axis=1)[:, order]
        scale = pt.concatenate([scale, given["tree_interaction_sd"][subsets.places("tree_arm", trees)]])[order]
    nodes = block.tables[0].grid.nodes
    dof = spec.population.interaction_dof
    cell = block.cell[first]
    # Every distinct cell at every location of its arm once; tasks then look theirs up. Where there are more locations
    # than it takes to interpolate between some, they are looked up between those.
    size = location.type.shape[2]
    rows = 1 if spec.capability.exchangeable else len(first)
    between = size is None or rows * size > _FEW
    classes = block.task_class[first]
    alike = [np.flatnonzero(classes == one) for one in np.unique(classes)]
    if between:
        at = np.tile(_LOCATIONS, (len(block.arms), 1))
    else:
        at = location.dimshuffle(1, 0, 2).reshape((len(block.arms), rows * size))

    def over_own_effect(tables: list[Any]) -> Tensor:
        """Sum out the arms' own task effects from the likelihood of their cells."""
        if not trees:
            return of_arms(tables, slice(None))
        # Apart, for the kernel leaves out nodes where likelihoods that are numbers have no mass.
        parts = [np.flatnonzero(kind) for kind in (~is_tree, is_tree)]
        sums = [of_arms([tables[column] for column in part], part) for part in parts if part.size]
        most = max(one.type.shape[1] for one in sums)
        filled = [_filled(one, most - one.type.shape[1]) for one in sums]
        return pt.concatenate(filled, axis=0)[order]

    def of_arms(tables: list[Any], which: Any) -> Tensor:
        log_mass = _padded(tables)
        top = log_mass.max(axis=2, keepdims=True)
        return log_expected_mass(nodes, at[which], scale[which], np.exp(log_mass - top), dof) + top

    def looked_up(table: Tensor, arms: np.ndarray) -> Tensor:
        """What stands in a table of some arms' cells of each distinct task at the nodes."""
        if between:
            return _between_locations(table[arms], location[:, arms], cell[:, arms])
        return table[arms[:, None], cell[:, arms, None], np.arange(rows * size).reshape(rows, 1, size)]

    def of_tasks(table: Tensor, groups: Sequence[np.ndarray]) -> Tensor:
        if rows == 1 and between:
            return sum_of_cells(table, _SQUEEZED, _squeezed(location[0]), cell, groups)
        if rows == 1:
            return sum_of_rows(table, cell, groups)
        if between and len(alike) < len(first):
            # Tasks of one class have one law: each class as if it were alone.
            of_classes = [
                sum_of_cells(table, _SQUEEZED, _squeezed(location[tasks[0]]), cell[tasks], groups) for tasks in alike
            ]
            return pt.concatenate(of_classes, axis=0)[np.argsort(np.concatenate(alike))]
        return pt.stack([looked_up(table, mine).sum(axis=1) for mine in groups], axis=1)

    # Where tasks differ in law, each of the observed ones is as likely.
    density = interaction_density(nodes, location, scale[:, None, None], dof)
    joint = pt.exp(law.log_weight)[:, None] * density / density.sum(axis=-1, keepdims=True)
    marginal = joint.sum(axis=2).mean(axis=0)
    return Terms(
        log_weight=law.log_weight,
        easiness=law.easiness,
        location=location,
        log_cells=over_own_effect(masses),
        at_nodes=not between,
        log_missed=over_own_effect(missed) if missed else None,
        of_tasks=of_tasks,
        log_mass=masses,
        log_mass_missed=missed,
        log_marginal=pt.log(marginal),
        mean_easiness=(joint * pt.as_tensor(law.easiness)[:, None, :, None]).sum(axis=2).mean(axis=0) / marginal,
        extra=law.extra,
    )


def _filled(table: Tensor, cells: int) -> Tensor:
    """Append cells that nobody looks up, even if none, to a table (A, C, L): graphs are then alike for other data."""
    arms, _, places = table.type.shape
    return pt.concatenate([table, np.zeros((arms, cells, places))], axis=1)


def _squeezed(location: Tensor) -> Tensor:
    """Bring locations within 12 of 0, ever closer together the further out they are."""
    return location / pt.sqrt(1.0 + (location / 12.0) ** 2)


def _between_locations(table: Tensor, location: Tensor, cell: np.ndarray) -> Tensor:
    """Interpolate tables (A, C, L) over `_LOCATIONS` at the locations (U, A, J) of cells (U, A)."""
    near, weight = neighbours(_squeezed(location), _SQUEEZED)
    # Beyond the ends, where success or failure is certain for any count, the table is flat.
    padded = pt.concatenate([table[..., :1], table, table[..., -1:]], axis=-1)
    return (padded[np.arange(cell.shape[1])[:, None, None], cell[..., None, None], near] * weight).sum(axis=-1)


def tree_location(design: Design, arm: int, easiness: Tensor, given: Parameters) -> Tensor:
    """Mean logit success of the walk that a tree arm searches over: its LLM's, with an offset and slope of its own.

    That success is rho^m, so a step is right with probability rho = q^(1/m); the tree proposes steps and keeps some by
    a score that is N(d, 1) for right and N(0, 1) for wrong steps; two right proposals of one state are the same with
    probability ``candidate_overlap``; what it writes out of a right kept state is right with probability
    ``answer_fidelity``. Its table of cells says what all that makes of the walk.
    """
    walk = design.subsets.place("walk", int(design.base[arm]))
    tree = design.tree_of_pair(int(design.pair_of_arm[arm]))
    return (
        given["location"][walk]
        + given["tree_offset"][tree]
        + given["tree_slope"][tree] * given["spread"][walk] * easiness
    )


def own_effect_scale(subsets: Subsets, arm: int, given: Mapping[str, Any]) -> Any:
    """Scale of an arm's own task effect, for an arm that shares its tasks; of tensors or of one draw's arrays."""
    if subsets.has("tree_arm", arm):
        return given["tree_interaction_sd"][subsets.place("tree_arm", arm)]
    return given["interaction_sd"][subsets.place("linked_arm", arm)]


def cell_log_mass(block: Block, design: Design, given: Parameters) -> list[Any]:
    """Log-likelihood (C, G) of each arm's distinct cells: constants, or cubic in what else they depend on."""
    result = []
    for arm, table in zip(block.arms, block.tables, strict=True):
        value: Any = None
        if table.axis is not None:
            value = given[table.axis.parameter][axis_place(design, table, arm)]
        elif table.searches is not None:
            value = search_parameters(design, arm, given)
        result.append(_with_what_is_told(table.log_mass_at(value), table, arm, design, given))
    return result


def cell_log_missed(block: Block, design: Design, given: Parameters) -> list[Any]:
    """Log-likelihood (C, G) of each arm's distinct cells if their tasks are out of reach; none if that says nothing."""
    if all(table.log_missed is None and not table.told for table in block.tables):
        return []
    return [
        _with_what_is_told(table.log_mass_out_of_reach, table, arm, design, given)
        for arm, table in zip(block.arms, block.tables, strict=True)
    ]


def _with_what_is_told(log_mass: Any, table: Table, arm: int, design: Design, given: Parameters) -> Any:
    """Add what kinds of observation say of an arm's cells beyond their counts."""
    for name, seen in table.told.items():
        log_mass = log_mass + OBSERVATIONS[name].at_success(seen, arm, table.grid.nodes, design, given)
    return log_mass


#: What is learned of a tree search beside its walk: the evaluator's gap, its candidates' overlap, and its fidelity.
SEARCH_PARAMETERS = ("step_discrimination", "candidate_overlap", "answer_fidelity")


def search_parameters(design: Design, arm: int, given: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return `SEARCH_PARAMETERS` of a tree arm, from tensors or arrays of shape (..., tree)."""
    tree = design.tree_of_pair(int(design.pair_of_arm[arm]))
    gap, overlap, fidelity = (given[name][..., tree] for name in SEARCH_PARAMETERS)
    return gap, overlap, fidelity


def axis_place(design: Design, table: Table, arm: int) -> int:
    """Return the position of an arm among those that have the parameter of their table's axis."""
    subset = {"wrong_answer_concentration": "voted_arm", "overdispersion": "overdispersed_arm"}
    assert table.axis is not None
    return design.subsets.place(subset[table.axis.parameter], arm)


def _padded(tables: list[Any]) -> Any:
    """Stack tables of unequal numbers of cells; the padding is never looked up."""
    constant = all(isinstance(table, np.ndarray) for table in tables)
    if not constant:
        tables = [pt.as_tensor(table) for table in tables]
    sizes = [int(table.shape[0]) if constant else table.type.shape[0] for table in tables]
    most = max(sizes)
    if constant:
        return np.stack([np.pad(table, ((0, most - size), (0, 0))) for table, size in zip(tables, sizes, strict=True)])
    filled = [
        pt.concatenate([table, np.zeros((most - size, table.type.shape[1]))])
        for table, size in zip(tables, sizes, strict=True)
    ]
    return pt.stack(filled)
