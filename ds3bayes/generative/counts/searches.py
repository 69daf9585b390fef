"""Counts of right outputs of tree searches: the likelihood of one cell given the walk that is searched over.

The outputs of one search share its tree. How many of them come from right states is the law of right kept states
(`ds3bayes.theory.trees`), each of these is written out as a right answer by itself, and searches are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.special import comb, expit, gammaln, xlogy

from ds3bayes.deferred import pt
from ds3bayes.theory.interpolate import interpolate, neighbours, padded

Array = np.ndarray
#: Takes the outputs of a search, logits of the walk (draws, tasks), gaps of scores and overlaps of candidates (draws,);
#: returns the law of right outputs, (draws, tasks, outputs + 1), as `ThoughtSearch.right_outputs` gives it.
Law = Callable[[int, Array, Array, Array], Array]

# Where likelihoods are tabulated: gaps of scores and overlaps of candidates, closer together where they matter more,
# and logit fidelities.
_LOG_GAPS = np.linspace(0.0, np.log1p(10.0), 15)
_REPEATS = np.linspace(0.0, 1.9, 10)
_LOGIT_FIDELITIES = np.linspace(-4.0, 6.5, 15)
GAPS, OVERLAPS, FIDELITIES = np.expm1(_LOG_GAPS), -np.expm1(-(_REPEATS**2)), expit(_LOGIT_FIDELITIES)
# Those at which places between nodes are drawn: what the law within a node is like hardly depends on them.
_TYPICAL = (6, 4, 8)
# Less likely counts count as this likely, so that logarithms of impossible ones can be interpolated.
_LEAST = 1e-40


class Searches(NamedTuple):
    """Independent searches with as many outputs each, and how many of all the outputs were right."""

    outputs: int
    searches: int
    successes: int

    @property
    def attempts(self) -> int:
        """Outputs of all the searches."""
        return self.outputs * self.searches


@dataclass(frozen=True, kw_only=True)
class SearchMass:
    """Likelihood of the distinct cells of one tree arm, by what is learned of it and nodes of its walk's logit.

    Parameters
    ----------
    cells : tuple of tuple of Searches
        What is in each cell; the last one is empty.
    law : callable
        As `Law`.
    outputs : int
        Outputs of most of the arm's searches: what an attempt of it is, where a cell is empty.
    log_mass : array, shape (D, O, F, C, G)
        Log of the hat-weighted integral of the likelihood at D gaps, O overlaps and F fidelities.
    """

    cells: tuple[tuple[Searches, ...], ...]
    law: Law = field(compare=False)
    outputs: int
    log_mass: Array = field(compare=False)

    @cached_property
    def _padded(self) -> Array:
        return padded(self.log_mass, axes=3, even=(1,))

    def at(self, discrimination: Any, overlap: Any, fidelity: Any) -> Any:
        """Log mass (C, G) at scalar tensors.

        Cubic in the log of 1 + the gap, the root of -log(1 - overlap), and the logit of the fidelity. Beyond gaps of
        10, overlaps of .97 and fidelities from .018 to .9985 it is that at the end.
        """
        by_gap = neighbours(pt.log1p(discrimination), _LOG_GAPS)
        by_overlap = neighbours(pt.sqrt(-pt.log1p(-overlap)), _REPEATS)
        by_fidelity = neighbours(pt.log(fidelity) - pt.log1p(-fidelity), _LOGIT_FIDELITIES)
        return interpolate(self._padded, by_gap, by_overlap, by_fidelity)

    def success(self, x: Array, discrimination: Array, overlap: Array, fidelity: Array) -> Array:
        """Mean success (draws, tasks) of an output, given the walk's logit x; the others of shape (draws,)."""
        n = self.outputs
        law = self.law(n, x, discrimination, overlap)
        return fidelity[:, None] * (law @ np.arange(n + 1.0)) / n

    def draw(
        self,
        cell: Array,
        x: Array,
        discrimination: Array,
        overlap: Array,
        fidelity: Array,
        solvable: Array,
        rng: np.random.Generator,
    ) -> Array:
        """Draw right outputs (draws, tasks) of reruns of all searches of the tasks' cells (tasks,)."""
        result = np.zeros(x.shape, dtype=np.int64)
        for number in np.unique(cell):
            tasks = np.flatnonzero(cell == number)
            for rows in self.cells[int(number)]:
                law = self.law(rows.outputs, x[:, tasks], discrimination, overlap)
                result[:, tasks] += draw_right(law, rows.searches, fidelity[:, None], rng)
        return result * solvable


def draw_right(law: Array, searches: int, fidelity: Array, rng: np.random.Generator) -> Array:
    """Draw the right outputs of some searches together, from the law (..., outputs + 1) of those from right states.

    One uniform number per search decides: better searches then have no fewer right outputs by the same numbers.
    """
    outputs = law.shape[-1] - 1
    right = np.matmul(law[..., None, :], written_out(outputs, np.asarray(fidelity)))[..., 0, :]
    cumulative = np.cumsum(right, axis=-1)
    cumulative /= cumulative[..., -1:]
    total = np.zeros(law.shape[:-1], dtype=np.int64)
    for _ in range(searches):
        total += (cumulative < rng.random(law.shape[:-1])[..., None]).sum(axis=-1)
    return total


def searches_of(attempts: Sequence[int], successes: Sequence[int], outputs: Sequence[int]) -> tuple[Searches, ...]:
    """Return the searches of the rows of one cell, sorted: rows of single outputs are one."""
    found: dict[int, list[int]] = {}
    several = []
    for n, c, o in zip(attempts, successes, outputs, strict=True):
        if o == 1:
            one = found.setdefault(1, [0, 0])
            one[0] += n
            one[1] += c
        else:
            several.append(Searches(o, n // o, c))
    several += [Searches(1, n, c) for n, c in found.values()]
    return tuple(sorted(several))


def _given_laws(
    cells: Sequence[tuple[Searches, ...]], laws: Mapping[int, Array], fidelity: float, shape: tuple[int, ...]
) -> list[Array]:
    single = {outputs: right @ written_out(outputs, fidelity) for outputs, right in laws.items()}
    known: dict[Searches, Array] = {}
    result = []
    for cell in cells:
        total = np.zeros(shape)
        for rows in cell:
            if rows not in known:
                known[rows] = _log_of_searches(single[rows.outputs], rows)
            total = total + known[rows]
        result.append(total)
    return result


def written_out(outputs: int, fidelity: Any) -> Array:
    """Probability that c of k right states are written out as right answers, shape (..., outputs + 1, outputs + 1)."""
    share = np.asarray(fidelity, dtype=float)[..., None, None]
    right, written = np.arange(outputs + 1)[:, None], np.arange(outputs + 1)[None, :]
    return np.asarray(comb(right, written) * share**written * (1.0 - share) ** np.maximum(right - written, 0))


def _log_of_searches(one: Array, rows: Searches) -> Array:
    """Log-likelihood of several searches from the law (..., outputs + 1) of right outputs of each."""
    n, c = rows.searches, rows.successes
    if rows.outputs == 1:
        ways = gammaln(n + 1) - gammaln(c + 1) - gammaln(n - c + 1)
        return np.asarray(
            ways + xlogy(c, np.maximum(one[..., 1], _LEAST)) + xlogy(n - c, np.maximum(one[..., 0], _LEAST))
        )
    law = one
    for _ in range(n - 1):
        longer = np.zeros((*law.shape[:-1], law.shape[-1] + rows.outputs))
        for right in range(rows.outputs + 1):
            longer[..., right : right + law.shape[-1]] += one[..., right, None] * law
        law = longer
    return np.log(np.maximum(law[..., c], _LEAST))


def search_mass(
    cells: Sequence[tuple[Searches, ...]], law: Law, outputs: int, nodes: Array, within: tuple[Array, Array]
) -> tuple[SearchMass, Array]:
    """Tabulate the likelihood of cells.

    Parameters
    ----------
    cells : sequence of tuples of Searches
    law : callable
    outputs : int
        Of most searches of the arm.
    nodes : array, shape (G,)
        Of the walk's logit.
    within : tuple of arrays, shape (S,)
        Offsets around a node and their weights in its hat (`Grid.within`).

    Returns
    -------
    SearchMass
    array, shape (C, G, S)
        Relative masses around each node, at a typical gap, overlap and fidelity.
    """
    offsets, weights = within
    x = (nodes[:, None] + offsets).ravel()
    points = np.broadcast_to(x, (GAPS.size * OVERLAPS.size, x.size))
    gaps, overlaps = np.repeat(GAPS, OVERLAPS.size), np.tile(OVERLAPS, GAPS.size)
    laws = {o: law(o, points, gaps, overlaps) for o in {rows.outputs for cell in cells for rows in cell}}
    log_mass = np.empty((GAPS.size, OVERLAPS.size, FIDELITIES.size, len(cells), nodes.size))
    around = np.empty((len(cells), nodes.size, offsets.size))
    for place, fidelity in enumerate(FIDELITIES.tolist()):
        for number, values in enumerate(_given_laws(cells, laws, fidelity, points.shape)):
            by_node = values.reshape(GAPS.size, OVERLAPS.size, nodes.size, offsets.size)
            top = by_node.max(axis=-1, keepdims=True)
            mass = np.exp(by_node - top) * weights
            log_mass[:, :, place, number] = np.log(mass.sum(axis=-1)) + top[..., 0]
            if place == _TYPICAL[2]:
                around[number] = mass[_TYPICAL[:2]]
    return SearchMass(cells=tuple(cells), law=law, outputs=outputs, log_mass=log_mass), around
