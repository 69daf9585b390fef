"""The parts of a block's likelihood, as expressions of its parameters.

`build_model` puts them together inside a PyMC model; `task_effects` evaluates the very same expressions at
posterior draws. No formula of the model stands anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt

from ds3bayes.generative.design import Block, Design
from ds3bayes.generative.population import interaction_density
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.tree import log_tree_success

Tensor = Any
Parameters = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Subsets:
    """Which arms each parameter belongs to: positions into `Design.arms`."""

    walk: np.ndarray
    linked_arm: np.ndarray
    tree_arm: np.ndarray
    timed_arm: np.ndarray
    linked_timed_arm: np.ndarray
    free_path_arm: np.ndarray
    prompted_arm: np.ndarray
    voted_arm: np.ndarray

    @classmethod
    def of(cls, design: Design) -> Subsets:
        """Find the subsets in a design."""
        arms = np.arange(len(design.arms))
        tree = np.array([arm.is_tree for arm in design.arms])
        linked = np.isin(arms, [arm for block in design.blocks if block.easiness is not None for arm in block.arms])
        timed = design.has_tokens
        return cls(
            walk=arms[~tree],
            linked_arm=arms[linked & ~tree],
            tree_arm=arms[tree],
            timed_arm=arms[timed],
            linked_timed_arm=arms[timed & linked],
            free_path_arm=arms[timed & ~tree & ~np.isfinite(design.path_length)],
            prompted_arm=arms[design.has_prompts & timed],
            voted_arm=np.array([wrong.arm for wrong in design.wrong_answers], dtype=int),
        )

    def place(self, subset: str, arm: int) -> int:
        """Return the position of an arm in a subset, which must hold it."""
        return int(np.flatnonzero(getattr(self, subset) == arm)[0])

    def places(self, subset: str, arms: Sequence[int]) -> list[int]:
        """Return the positions of several arms in a subset, which must hold them."""
        return [self.place(subset, arm) for arm in arms]

    def has(self, subset: str, arm: int) -> bool:
        """Whether a subset holds an arm."""
        return bool(np.isin(arm, getattr(self, subset)))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A block's task law and its cells' likelihood at the nodes.

    Parameters
    ----------
    log_weight : tensor, shape (J,)
        Log probability of each node of the task law.
    easiness : tensor or array, shape (1 or U, J)
        Standardised easiness at the nodes: the shared one, or that of a lone arm's own task law.
    location : tensor, shape (1 or U, A, J)
        Mean logit success of each arm at the nodes.
    log_cell : tensor, shape (U, A, J)
        Log-likelihood of each distinct task's cells at the nodes, the arm's own task effect summed out.
    """

    log_weight: Tensor
    easiness: Tensor
    location: Tensor
    log_cell: Tensor


def logit_tree_output(
    logit_walk: Tensor,
    *,
    length: int,
    branching: int,
    kept_states: int,
    discrimination: Tensor,
    fidelity: Tensor,
) -> Tensor:
    """Logit success of one output of a tree search, from the logit eventual success of the walk it searches over.

    The walk's success is rho^m, so a step is right with probability rho = q^(1/m); the tree proposes
    ``branching`` steps per kept state and keeps ``kept_states`` by a score that is N(d, 1) for right and
    N(0, 1) for wrong steps; an output of a right kept state is right with probability ``fidelity``.
    """
    log_success = pt.log(fidelity) + log_tree_success(
        logit_walk, discrimination, length=length, branching=branching, kept_states=kept_states
    )
    return log_success - pt.log1mexp(log_success)


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
    columns = np.arange(len(block.arms))[None, :]
    if block.easiness is None:
        by_cell = np.ascontiguousarray(block.tables[0].log_mass)[block.cell[first]]
        return Terms(
            log_weight=law.log_weight, easiness=law.easiness, location=law.location, log_cell=pt.as_tensor(by_cell)
        )
    subsets = Subsets.of(design)
    trees = [arm for arm in block.arms if design.arms[arm].is_tree]
    walks = [arm for arm in block.arms if not design.arms[arm].is_tree]
    # Rows of walks, then of trees, then put into the block's order.
    order = np.argsort(np.argsort([design.arms[arm].is_tree for arm in block.arms], kind="stable"))
    location = law.location
    scale = given["interaction_sd"][subsets.places("linked_arm", walks)]
    if trees:
        searched = pt.stack([tree_location(design, arm, law.easiness[0], given) for arm in trees])
        location = pt.concatenate([location, searched[None]], axis=1)[:, order]
        scale = pt.concatenate([scale, given["tree_interaction_sd"][subsets.places("tree_arm", trees)]])[order]
    nodes = block.tables[0].grid.nodes
    density = interaction_density(nodes - location[..., None], scale[:, None, None], spec.population.interaction_dof)
    log_total = pt.log(density.sum(axis=-1))
    log_mass = _padded([table.log_mass for table in block.tables])
    top = log_mass.max(axis=2, keepdims=True)
    mass = np.exp(log_mass - top)
    if spec.capability.exchangeable:
        # Every distinct cell at every node once; tasks then look theirs up.
        swapped = np.ascontiguousarray(mass.swapaxes(1, 2))
        table = pt.log(density[0] @ pt.as_tensor(swapped)) - log_total[0][:, :, None] + top[:, :, 0][:, None, :]
        log_cell = table.dimshuffle(0, 2, 1)[columns, block.cell[first]]
    else:
        mine = (columns, block.cell[first])
        log_cell = pt.log((density * mass[mine][:, :, None, :]).sum(axis=-1)) - log_total + top[mine]
    return Terms(log_weight=law.log_weight, easiness=law.easiness, location=location, log_cell=log_cell)


def tree_location(design: Design, arm: int, easiness: Tensor, given: Parameters) -> Tensor:
    """Mean logit success of an output of a tree arm, which searches over its walk with its own offset and slope."""
    walk = Subsets.of(design).place("walk", int(design.base[arm]))
    what = design.arms[arm]
    tree = design.tree_of_pair(int(design.pair_of_arm[arm]))
    return logit_tree_output(
        given["location"][walk]
        + given["tree_offset"][tree]
        + given["tree_slope"][tree] * given["spread"][walk] * easiness,
        length=int(design.path_length[arm]),
        branching=what.branching,
        kept_states=what.kept_states,
        discrimination=given["step_discrimination"][tree],
        fidelity=given["answer_fidelity"][tree],
    )


def own_effect_scale(subsets: Subsets, arm: int, given: Mapping[str, Any]) -> Any:
    """Scale of an arm's own task effect, for an arm that shares its tasks; of tensors or of one draw's arrays."""
    if subsets.has("tree_arm", arm):
        return given["tree_interaction_sd"][subsets.place("tree_arm", arm)]
    return given["interaction_sd"][subsets.place("linked_arm", arm)]


def log_likelihood(block: Block, terms: Terms, design: Design, spec: ModelSpec, given: Parameters) -> Tensor:
    """Log-likelihood of each distinct task signature and node, shape (U, J); task law not yet included."""
    first, _, _ = block.distinct
    total = 0.0
    for pair, mine in reach_groups(block, design):
        reached = terms.log_cell[:, mine].sum(axis=1)
        if spec.population.reachability and pair >= 0:
            log_reach = pt.log(given["reachability"][pair])
            log_miss = pt.log1p(-given["reachability"][pair])
            unsolved = (block.successes[first][:, mine].sum(axis=1) == 0)[:, None]
            # Out of reach, every attempt fails: that explains a task without successes, and no other.
            reached = log_reach + reached
            reached = pt.switch(unsolved, pt.logaddexp(reached, log_miss), reached)
        total = total + reached
    tokens = token_terms(block, terms.easiness, design, given)
    return total if tokens is None else total + tokens.log_likelihood


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


def timed_columns(block: Block, design: Design) -> np.ndarray:
    """Columns of a block whose arms have tokens, shape (B,)."""
    return np.flatnonzero(design.has_tokens[list(block.arms)])


def token_law(design: Design, arms: Sequence[int], easiness: Tensor, given: Parameters) -> tuple[Tensor, Tensor]:
    """Mean (1 or U, B, J) and sd (B,) over tasks of log tokens per unit of some timed arms, at given easiness."""
    place = Subsets.of(design).places("timed_arm", arms)
    mean = given["log_tokens"][place][:, None] - given["token_slope"][place][:, None] * easiness[:, None, :]
    return mean, given["token_sd"][place]


def length_spread(design: Design, arms: Sequence[int], given: Mapping[str, Any]) -> Any:
    """Spread (B,) of log tokens by the tasks' own path lengths; 0 for arms that share no tasks."""
    subsets = Subsets.of(design)
    if not all(subsets.has("linked_timed_arm", arm) for arm in arms):
        return np.zeros(len(arms))
    return given["length_spread"][subsets.places("linked_timed_arm", arms)]


def attempt_variance(design: Design, arms: Sequence[int], given: Parameters) -> Tensor:
    """Relative variance of generated tokens between attempts on one task, for some timed arms, shape (B,).

    A path of m skills at pace s takes NB(m, s) steps: relative variance (1 - s)/m = 1/m - 1/(mean steps).
    With m known it follows from the mean tokens; otherwise it is learned, and m follows from it. Trees are
    single runs, whose spread is part of that between tasks.
    """
    subsets = Subsets.of(design)
    free = np.array([subsets.has("free_path_arm", arm) for arm in arms])
    known = ~free & np.array([not design.arms[arm].is_tree for arm in arms])
    variance: Tensor = pt.zeros(len(arms))
    if free.any():
        place = subsets.places("free_path_arm", [arm for arm, one in zip(arms, free, strict=True) if one])
        variance = pt.set_subtensor(variance[np.flatnonzero(free)], given["attempt_cv"][place] ** 2)
    if known.any():
        chosen = [arm for arm, one in zip(arms, known, strict=True) if one]
        mean_tokens = pt.exp(given["log_tokens"][subsets.places("timed_arm", chosen)])
        # An attempt takes at least one step per skill.
        least = pt.maximum(1.0 / design.path_length[chosen] - design.tokens_per_step / mean_tokens, 0.0)
        variance = pt.set_subtensor(variance[np.flatnonzero(known)], least)
    return variance


@dataclass(frozen=True, kw_only=True)
class TokenTerms:
    """A block's token data at the nodes, the tasks' own path lengths summed out.

    Log mean tokens of a task in an arm are normal around the arm's mean at the task's easiness, moved by the
    task's standard normal path-length effect times the arm's ``length_spread``, with the arm's own variance.
    Given easiness, that is a normal law with a covariance of rank one plus a diagonal.

    Parameters
    ----------
    log_likelihood : tensor, shape (U, J)
        Of each signature at the nodes.
    length_mean : tensor, shape (U, J)
        Conditional mean of the path-length effect.
    length_variance : tensor, shape (U,)
        Its conditional variance.
    """

    log_likelihood: Tensor
    length_mean: Tensor
    length_variance: Tensor


def token_terms(block: Block, easiness: Tensor, design: Design, given: Parameters) -> TokenTerms | None:
    """Build a block's token terms, or None if it has no tokens."""
    columns = timed_columns(block, design)
    if not columns.size:
        return None
    first, _, _ = block.distinct
    arms = [block.arms[column] for column in columns]
    mean, sd = token_law(design, arms, easiness, given)
    weight = block.token_weight[np.ix_(first, columns)]
    precision = (weight > 0) / (sd**2 + attempt_variance(design, arms, given) / np.maximum(weight, 1.0))
    error = block.log_tokens[np.ix_(first, columns)][:, :, None] - mean
    spread = length_spread(design, arms, given)
    squares = (precision[:, :, None] * error**2).sum(axis=1)
    logs = pt.switch(weight > 0, np.log(2 * np.pi) - pt.log(pt.maximum(precision, 1e-300)), 0.0).sum(axis=1)
    pull = ((precision * spread)[:, :, None] * error).sum(axis=1)
    length_variance = 1.0 / (1.0 + (precision * spread**2).sum(axis=1))
    exponent = squares - length_variance[:, None] * pull**2
    return TokenTerms(
        log_likelihood=-0.5 * (exponent + (logs - pt.log(length_variance))[:, None]),
        length_mean=length_variance[:, None] * pull,
        length_variance=length_variance,
    )


def _padded(tables: list[np.ndarray]) -> np.ndarray:
    """Stack tables of unequal numbers of cells; the padding is never looked up."""
    most = max(table.shape[0] for table in tables)
    return np.stack([np.pad(table, ((0, most - table.shape[0]), (0, 0))) for table in tables])
