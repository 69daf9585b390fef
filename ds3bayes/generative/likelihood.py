"""The parts of a block's likelihood, as expressions of its parameters.

`build_model` puts them together inside a PyMC model; `task_effects` evaluates the very same expressions at
posterior draws. No formula of the model stands anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ds3bayes.deferred import pt
from ds3bayes.generative.counts.grid import Table
from ds3bayes.generative.design import Block, Design, Subsets
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.observation.tokens import timed_columns, token_terms
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_law import Terms
from ds3bayes.kernels.cell_sum import sum_of_cells
from ds3bayes.kernels.node_mean import log_mean_over_nodes
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
    a score that is N(d, 1) for right and N(0, 1) for wrong steps; what it writes out of a right kept state is right
    with probability ``answer_fidelity``. Its table of cells says what all that makes of the walk.
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


def log_likelihood(block: Block, terms: Terms, design: Design, spec: ModelSpec, given: Parameters) -> Tensor:
    """Log-likelihood of each distinct task signature and node, shape (U, J); task law not yet included."""
    total = log_likelihood_if_sound(block, terms, design, spec, given)
    soundness = design.soundness_of(block, given)
    if soundness is not None:
        first, _, _ = block.distinct
        every = [np.arange(len(block.arms))]
        missed = None if terms.log_missed is None else terms.of_tasks(terms.log_missed, every)
        solved = block.successes[first].sum(axis=1, keepdims=True)
        total = _or_missed(total[:, None], missed, soundness, solved, axis=1)[:, 0] + pt.log(soundness)
    tokens = token_terms(block, terms.easiness, design, given)
    if tokens is not None:
        total = total + tokens.log_likelihood
    first, _, _ = block.distinct
    for name, told in block.told.items():
        of_distinct = {key: array[first] for key, array in told.items()}
        total = total + OBSERVATIONS[name].at_nodes(of_distinct, block, design, terms.easiness, given)
    return total


def log_likelihood_if_sound(block: Block, terms: Terms, design: Design, spec: ModelSpec, given: Parameters) -> Tensor:
    """Log-likelihood (U, J) of the counts of each distinct task at each node, were it sound."""
    if spec.population.reachability:
        return _of_counts(block, terms, design, given)
    return terms.of_tasks(terms.log_cells, [np.arange(len(block.arms))])[:, 0]


def _of_counts(block: Block, terms: Terms, design: Design, given: Parameters) -> Tensor:
    """Log-likelihood (U, J) of counts where a task may be out of the reach of all walks of an LLM.

    Where an LLM has one walk, a task's cell tells whether it was ever solved: being out of reach goes into the table of
    cells, unless tasks are looked up between its locations, where that would change log-likelihoods by up to 5e-3.
    Where it has several, that takes the cells of all of them, and so is asked of tasks.
    """
    first, _, _ = block.distinct
    groups = [mine for pair, mine in reach_groups(block, design) if pair >= 0]
    alone = [int(mine[0]) for mine in groups if len(mine) == 1 and terms.at_nodes]
    several = [mine for mine in groups if mine[0] not in alone]
    others = np.delete(np.arange(len(block.arms)), [arm for mine in several for arm in mine])
    reach = given["reachability"][design.pair_of_arm[list(block.arms)]]
    table, total = terms.log_cells, pt.log(reach[[mine[0] for mine in groups]]).sum()
    if alone:
        solved = np.ones((len(block.arms), max(one.log_mass.shape[1] for one in block.tables)), dtype=int)
        solved[alone, block.cell[:, alone]] = block.successes[:, alone]
        table = _or_missed(table, terms.log_missed, reach, solved, axis=0)
    if others.size:
        total = total + terms.of_tasks(table, [others])[:, 0]
    if several:
        solved = np.stack([block.successes[first][:, mine].sum(axis=1) for mine in several], axis=1)
        reached = terms.of_tasks(terms.log_cells, several)
        missed = None if terms.log_missed is None else terms.of_tasks(terms.log_missed, several)
        of_groups = reach[[mine[0] for mine in several]]
        total = total + _or_missed(reached, missed, of_groups, solved, axis=1).sum(axis=1)
    return total


def _or_missed(reached: Tensor, missed: Tensor | None, reach: Tensor, solved: np.ndarray, axis: int) -> Tensor:
    """Add to the likelihood of tasks without successes that of being out of reach, or unsound; to no other's.

    There every attempt fails: that explains a task without successes, and no other. It is asked of those alone,
    for sums of exponentials are what a gradient spends its time on. All is relative to being within reach, whose
    probability is then one number for all tasks.

    Parameters
    ----------
    reached : tensor, shape (M, N, L)
        Log-likelihood within reach, of tasks or cells and groups of arms.
    missed : tensor, shape (M, N, L), optional
        The same out of reach; 0 if absent.
    reach : tensor, shape (M,) or (N,)
        Probability of being within reach, along ``axis``.
    solved : array, shape (M, N)
        Successes.
    axis : {0, 1}
    """
    *place, unsolved = _unsolved(solved)
    inside, outside = reached[tuple(place)], (pt.log1p(-reach) - pt.log(reach))[place[axis]][:, None]
    if missed is not None:
        outside = outside + missed[tuple(place)]
    return pt.set_subtensor(inside, pt.switch(unsolved[:, None], pt.logaddexp(inside, outside), inside))


def _unsolved(solved: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return where counts of solved attempts are 0: an index array per axis, and which of these places are meant.

    At least two places, of others if need be, so that compiled code can be given tables with any number of them.
    """
    unsolved = (solved == 0).ravel()
    flat = np.sort(np.argsort(~unsolved, kind="stable")[: max(2, int(unsolved.sum()))])
    return (*np.unravel_index(flat, solved.shape), unsolved[flat])


def log_marginal(block: Block, terms: Terms, design: Design, spec: ModelSpec, given: Parameters) -> Tensor:
    """Log-likelihood of each distinct task signature, shape (U,): counts and tokens, task effects summed out."""
    constant = block.easiness is None and block.tables[0].axis is None and not block.tables[0].told
    if not constant or timed_columns(block, design).size or block.told:
        return log_mean_over_nodes(log_likelihood(block, terms, design, spec, given), terms.log_weight)
    # A lone arm's likelihoods are numbers: a product of matrix and vector, and no exponential per task and node.
    first, _, _ = block.distinct
    table, cell = block.tables[0], block.cell[first][:, 0]
    total = _log_dot(table.log_mass[0][cell], terms.log_weight)
    (pair, _), *_ = reach_groups(block, design)
    if spec.population.reachability and pair >= 0:
        reach, solved = given["reachability"][[pair]], block.successes[first]
        missed = None if table.log_missed is None else _log_dot(table.log_missed[cell], terms.log_weight)[:, None, None]
        total = _or_missed(total[:, None, None], missed, reach, solved, axis=1)[:, 0, 0] + pt.log(reach)
    return total


def _log_dot(log_mass: np.ndarray, log_weight: Tensor) -> Tensor:
    """Log of the sums of exp(log_mass + log_weight) over the nodes (G,), shape (U,)."""
    top = log_mass.max(axis=1)
    # Weights below exp(-650) of the largest count as that: nothing else keeps the logarithm of a sum finite wherever
    # a sampler may start, and no draw ever sees it.
    weight = pt.exp(pt.maximum(log_weight, -650.0))
    return pt.log(pt.dot(np.exp(log_mass - top[:, None]), weight)) + top


def reach_groups(block: Block, design: Design) -> list[tuple[int, np.ndarray]]:
    """Return (LLM and benchmark, columns of its walks), and (-1, columns of all trees).

    All walks of an LLM reach the same tasks. A tree search also solves many tasks that hundreds of walks never
    did, so being out of a walk's reach says nothing about it; its failures are its own task effect.
    """
    arms = np.array(block.arms)
    tree = np.array([design.arms[arm].is_tree for arm in arms])
    pairs = design.pair_of_arm[arms]
    groups = [(int(pair), np.flatnonzero((pairs == pair) & ~tree)) for pair in np.unique(pairs[~tree])]
    return groups + ([(-1, np.flatnonzero(tree))] if tree.any() else [])


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


def search_parameters(design: Design, arm: int, given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the evaluator's gap and the fidelity of a tree arm, from tensors or one draw's arrays."""
    tree = design.tree_of_pair(int(design.pair_of_arm[arm]))
    return given["step_discrimination"][tree], given["answer_fidelity"][tree]


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
