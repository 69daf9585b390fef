"""What attempts come to, given the effects of their tasks: success of one attempt, and counts of a rerun."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy.special import expit

from ds3bayes.generative.design import Design
from ds3bayes.generative.task_effects import by_draw

Array = np.ndarray


def success_of_attempts(design: Design, effects: xr.Dataset, posterior: xr.Dataset) -> xr.DataArray:
    """Success of an attempt at each task; of a tree search, the mean over the outputs of most of its searches.

    Parameters
    ----------
    design : Design
    effects : xarray.Dataset
        From `task_effects` or `new_task_effects`.
    posterior : xarray.Dataset
        At the same draws.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, cell).
    """
    chance = xr.apply_ufunc(expit, effects["logit_success"])
    searched = [arm for arm, one in enumerate(design.arms) if one.is_tree]
    if searched:
        chance = chance.transpose("chain", "draw", "cell").copy()
        draws, of_cell = by_draw(posterior), effects["cell_arm"].values
        logit = effects["logit_success"].transpose("chain", "draw", "cell").values
        for arm in searched:
            cells = np.flatnonzero(of_cell == arm)
            of_arm = logit[..., cells].reshape(-1, cells.size)
            block, column = design.place(arm)
            found = block.tables[column].searches
            assert found is not None
            chance.values[..., cells] = found.success(of_arm, *search_draws(design, arm, draws)).reshape(
                *logit.shape[:2], cells.size
            )
    return chance * effects["reachable"]


def rerun(
    design: Design,
    arm: int,
    tasks: Array,
    logit: Array,
    solvable: Array,
    draws: Mapping[str, Array],
    rng: np.random.Generator,
) -> Array:
    """Draw the successes of the attempts of an arm at some tasks, made once more.

    Parameters
    ----------
    design : Design
    arm : int
    tasks : array of int, shape (T,)
        Places in the tasks of the arm's block, which say how many attempts are made and in which searches.
    logit, solvable : arrays, shape (draws, T)
        ``logit_success`` and ``reachable`` of the tasks that they are made at.
    draws : mapping of str to array, shape (draws, ...)
        Parameters, as `by_draw` returns them.
    rng : numpy.random.Generator

    Returns
    -------
    array of int, shape (draws, T)
    """
    block, column = design.place(arm)
    found = block.tables[column].searches
    if found is None:
        return rng.binomial(block.attempts[tasks, column], expit(logit) * solvable)
    return found.draw(block.cell[tasks, column], logit, *search_draws(design, arm, draws), solvable, rng)


def search_draws(design: Design, arm: int, draws: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return the draws (n,) of a tree arm's evaluator's gap and of its fidelity."""
    tree = design.tree_of_pair(int(design.pair_of_arm[arm]))
    return draws["step_discrimination"][:, tree], draws["answer_fidelity"][:, tree]
