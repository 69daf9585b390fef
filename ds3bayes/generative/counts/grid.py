"""Grids on which the task effects are summed out, and the constant likelihood tables on them.

A task's logit success x has a density that is known at equally spaced nodes and taken as linear in between.
The likelihood of a task's counts is integrated against each node's hat function beforehand, finely enough
for its own width, so a task with a million attempts and one with a single attempt are equally exact and the
sampler only ever takes a dot product.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from ds3bayes.deferred import pt
from ds3bayes.generative.counts.cell import LogLikelihood
from ds3bayes.generative.counts.searches import Law, Searches, SearchMass, search_mass
from ds3bayes.theory.interpolate import interpolate, neighbours, padded

Array = np.ndarray

# How many quantiles of the within-node law are kept for drawing x between nodes.
_QUANTILES = 129


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Equally spaced nodes ``lower, lower + spacing, ..., upper``.

    Parameters
    ----------
    lower, upper : float
        Ends, on the logit scale.
    spacing : float
        Distance of nodes.
    """

    lower: float
    upper: float
    spacing: float

    @cached_property
    def nodes(self) -> Array:
        """The nodes, shape (G,)."""
        count = round((self.upper - self.lower) / self.spacing) + 1
        return np.linspace(self.lower, self.lower + (count - 1) * self.spacing, count)

    def within(self, attempts: int) -> tuple[Array, Array]:
        """Return offsets (S,) around a node and their hat weights (S,), fine enough for a count of attempts.

        A binomial likelihood of n attempts is at least 2/sqrt(n) wide on the logit scale; a quarter of that
        is the largest distance of offsets.
        """
        width = 2.0 / np.sqrt(max(attempts, 1))
        half = int(np.clip(np.ceil(4.0 * self.spacing / width), 8, 1024))
        offsets = self.spacing * np.arange(-half, half + 1) / half
        weights = (1.0 - np.abs(offsets) / self.spacing) / half
        return offsets, weights

    def table(self, log_likelihoods: list[LogLikelihood], axis: Axis | None = None) -> Table:
        """Integrate each likelihood against each node's hat.

        Parameters
        ----------
        log_likelihoods : list of LogLikelihood
            One per distinct cell.
        axis : Axis, optional
            A parameter that the likelihoods depend on beside success.

        Returns
        -------
        Table
        """
        cells = [_cell(self, likelihood, axis) for likelihood in log_likelihoods]
        missed = None
        if any(likelihood.traces is not None for likelihood in log_likelihoods):
            missed = np.stack([self._log_mass(one.out_of_reach, one.attempts)[0] for one in log_likelihoods])
        log_mass, quantiles = (np.stack(parts, axis=1) for parts in zip(*cells, strict=True))
        return Table(grid=self, axis=axis, log_mass=log_mass, quantiles=quantiles, log_missed=missed)

    def search_table(self, cells: Sequence[tuple[Searches, ...]], law: Law, outputs: int) -> Table:
        """Integrate the likelihood of each cell of a tree search against each node's hat, the nodes being its walk's.

        Parameters
        ----------
        cells : sequence of tuples of Searches
            The distinct cells, an empty one last.
        law : callable
            As `ds3bayes.generative.counts.searches.Law`.
        outputs : int
            Outputs of most searches of the arm.

        Returns
        -------
        Table
        """
        most = max((sum(rows.attempts for rows in cell) for cell in cells), default=0)
        offsets, weights = self.within(most)
        searches, around = search_mass(cells, law, outputs, self.nodes, (offsets, weights))
        quantiles = np.stack([_inverse(offsets, mass) for mass in around]).astype(np.float32)
        with np.errstate(divide="ignore"):
            log_mass = np.log(around.sum(axis=-1))
        return Table(grid=self, searches=searches, log_mass=log_mass[None], quantiles=quantiles[None])

    def _log_mass(self, log_likelihood: Callable[[Array], Array], attempts: int) -> tuple[Array, Array, Array]:
        """Integrate a log-likelihood against the nodes' hats: log mass (G,), offsets (S,), relative masses (G, S)."""
        offsets, weights = self.within(attempts)
        values = log_likelihood(self.nodes[:, None] + offsets)
        top = values.max(axis=1, keepdims=True)
        top = np.where(np.isfinite(top), top, 0.0)
        mass = np.exp(values - top) * weights
        with np.errstate(divide="ignore"):
            return np.log(mass.sum(axis=1)) + top[:, 0], offsets, mass


# Small data sets, as calibration by simulation draws them, have the same few cells again and again.
@lru_cache(maxsize=64)
def _cell(grid: Grid, likelihood: LogLikelihood, axis: Axis | None) -> tuple[Array, Array]:
    """Return a cell's log mass (R, G) and quantiles (R, G, Q), as `Table` has them."""
    log_mass, quantiles = [], []
    for given in [{}] if axis is None else [{axis.parameter: value} for value in axis.values.tolist()]:
        at_nodes, offsets, mass = grid._log_mass(partial(likelihood.at, **given), likelihood.attempts)
        log_mass.append(at_nodes)
        quantiles.append(_inverse(offsets, mass).astype(np.float32))
    return np.stack(log_mass), np.stack(quantiles)


# There are two of them, told apart by identity: arrays neither hash nor compare to one answer.
@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """A parameter, beside a task's success, that the likelihood of a cell depends on.

    Parameters
    ----------
    parameter : {"wrong_answer_concentration", "overdispersion"}
    nodes : array, shape (R,)
        Evenly spaced logs of the values at which the likelihood is tabulated.
    """

    parameter: str
    nodes: Array

    @property
    def values(self) -> Array:
        """The values at the nodes, shape (R,)."""
        return np.exp(self.nodes)


#: How widely wrong answers scatter, where votes are decisions on single tasks.
AGREEMENT = Axis(parameter="wrong_answer_concentration", nodes=np.linspace(np.log(0.02), np.log(50.0), 17))
#: Correlation between the attempts of one run.
OVERDISPERSION = Axis(parameter="overdispersion", nodes=np.linspace(np.log(1e-3), np.log(0.6), 27))


@dataclass(frozen=True, kw_only=True)
class Table:
    """Likelihood of distinct cells at the nodes.

    Parameters
    ----------
    grid : Grid
    axis : Axis, optional
        Parameter that the likelihood depends on beside success; R = 1 without one.
    searches : SearchMass, optional
        The likelihood of cells of a tree search, which depends on its evaluator and fidelity; `log_mass` is then that
        at typical ones, up to a factor, and the nodes are those of the walk that is searched over.
    log_mass : array, shape (R, C, G)
        Log of the hat-weighted integral of the likelihood (mean likelihood around a node).
    quantiles : array, shape (R, C, G, Q)
        Quantiles, at equal probability steps, of x minus node given that x belongs to the node's hat.
    log_missed : array, shape (C, G), optional
        As ``log_mass`` for tasks out of reach, at which every attempt fails; 0 everywhere if absent.
    told : mapping of str to tuple
        What kinds of observation say of each cell (C,) beyond its counts, by the kind's name (`Observation.of_cell`).
    """

    grid: Grid
    axis: Axis | None = None
    searches: SearchMass | None = None
    log_mass: Array
    quantiles: Array
    log_missed: Array | None = None
    told: Mapping[str, tuple[Hashable | None, ...]] = field(default_factory=dict)

    @property
    def log_mass_out_of_reach(self) -> Array:
        """Log mass (C, G) of tasks out of reach."""
        return np.zeros(self.log_mass.shape[1:]) if self.log_missed is None else self.log_missed

    def log_mass_at(self, value: Any = None) -> Any:
        """Log mass (C, G) at a value of the axis's parameter, a scalar tensor: cubic in its log.

        Of a tree search the value are its evaluator's gap, its candidates' overlap and its fidelity.
        """
        if self.searches is not None:
            return self.searches.at(*value)
        if self.axis is None:
            return self.log_mass[0]
        # Impossible cells stay so: nothing is as unlikely as exp(-700), and infinities do not interpolate.
        return interpolate(padded(np.maximum(self.log_mass, -700.0)), neighbours(pt.log(value), self.axis.nodes))

    def place(self, cell: Array, node: Array, uniform: Array, value: float = 1.0) -> Array:
        """Draw x given its cell and node: exact for the piecewise linear density.

        Parameters
        ----------
        cell, node : int arrays
            Indices, broadcast together.
        uniform : array
            Uniform numbers in [0, 1) of the result's shape.
        value : float, optional
            Of the axis's parameter; the law within a node's hat is that of the nearest tabulated value.
        """
        nearest = 0 if self.axis is None else int(np.abs(self.axis.nodes - np.log(value)).argmin())
        quantiles = self.quantiles[nearest]
        position = uniform * (_QUANTILES - 1)
        left = position.astype(int)
        share = position - left
        below = quantiles[cell, node, left]
        above = quantiles[cell, node, left + 1]
        return self.grid.nodes[node] + below + share * (above - below)


def _inverse(offsets: Array, mass: Array) -> Array:
    """Return quantiles (G, Q) of each node's law on the offsets, given unnormalised masses (G, S)."""
    steps = np.linspace(0.0, 1.0, _QUANTILES)
    # The outermost quantiles stand for the ends: a narrow likelihood fills little of a hat.
    steps[0], steps[-1] = 1e-4, 1.0 - 1e-4
    cumulative = np.cumsum(mass, axis=1)
    # An interval's mass is spread evenly over it, so the cumulative is taken at midpoints.
    cumulative = np.where(cumulative[:, -1:] > 0, cumulative, np.arange(1.0, mass.shape[1] + 1))
    cumulative = (cumulative - 0.5 * np.diff(cumulative, axis=1, prepend=0.0)) / cumulative[:, -1:]
    return np.stack([np.interp(steps, row, offsets) for row in cumulative])


def success_grid(arms: int) -> Grid:
    """Return the grid of logit success for ``arms`` arms that share their tasks.

    A lone arm carries the whole task law, whose left tail decides coverage at many attempts: 161 nodes on
    [-20, 12]. Where arms share a difficulty, the grid only has to carry an arm's own effect, so it can be
    shorter and coarser.
    """
    if arms == 1:
        return Grid(lower=-20.0, upper=12.0, spacing=0.2)
    return Grid(lower=-16.0, upper=11.0, spacing=0.25)


@dataclass(frozen=True, kw_only=True)
class EasinessNodes:
    """Where the law of the shared, standardised easiness is summed: close in the middle, further apart in its tails.

    Parameters
    ----------
    nodes : array, shape (J,)
        From -7 to 4.6.
    log_width : array, shape (J,)
        Log of the part of the axis that each node stands for.
    """

    nodes: Array
    log_width: Array


def easiness_nodes(spacing: float) -> EasinessNodes:
    """Return nodes that are ``spacing`` apart at 0, and sqrt(1 + (z/3)^2) times that at an easiness of z."""
    first, last = np.arcsinh(-7.0 / 3.0), np.arcsinh(4.6 / 3.0)
    intervals = int(np.ceil(3.0 * (last - first) / spacing))
    t, step = np.linspace(first, last, intervals + 1, retstep=True)
    return EasinessNodes(nodes=3.0 * np.sinh(t), log_width=np.log(3.0 * step * np.cosh(t)))


def easiness_spacing(attempts: Sequence[float]) -> float:
    """Return how close nodes of the shared easiness have to be: the closer, the more a task's counts tell of it.

    A sum over nodes misses an integral by 2 exp(-2 (pi sd / spacing)^2), sd being that of the task's easiness given its
    counts, and the misses of all tasks add up. An arm with n attempts tells logit success to about 2/sqrt(n), and
    easiness to that and the arm's own effect, over the arm's spread. Spacing is 1.6 sd for own effects of 0.6 and a
    spread of 3.5; where LLMs with many attempts have much smaller effects of their own, sums are less exact.

    Parameters
    ----------
    attempts : sequence of float
        At one task, of each of the arms that share the tasks.

    Returns
    -------
    float
        Between 0.05 and 0.2.
    """
    known = sum(1.0 / (0.6**2 + 4.0 / n) for n in attempts if n > 0)
    return float(np.clip(1.6 / (3.5 * np.sqrt(known)), 0.05, 0.2)) if known else 0.2
