"""Grids on which the task effects are summed out, and the constant likelihood tables on them.

A task's logit success x has a density that is known at equally spaced nodes and taken as linear in between.
The likelihood of a task's counts is integrated against each node's hat function beforehand, finely enough
for its own width, so a task with a million attempts and one with a single attempt are equally exact and the
sampler only ever takes a dot product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytensor.tensor as pt
from scipy.special import expit, gammaln, xlog1py, xlogy

from ds3bayes.generative.interpolate import before, neighbours

Array = np.ndarray
Selector = Callable[[Array, float | None], Array]

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
        count, size = len(log_likelihoods), self.nodes.size
        values_on_axis: Sequence[float | None] = [None] if axis is None else axis.values.tolist()
        log_mass = np.zeros((len(values_on_axis), count, size))
        quantiles = np.zeros((len(values_on_axis), count, size, _QUANTILES), dtype=np.float32)
        for place, index in np.ndindex(len(values_on_axis), count):
            likelihood = log_likelihoods[index]
            offsets, weights = self.within(likelihood.attempts)
            given = {} if axis is None else {axis.parameter: values_on_axis[place]}
            values = likelihood.at(self.nodes[:, None] + offsets, **given)
            top = values.max(axis=1, keepdims=True)
            top = np.where(np.isfinite(top), top, 0.0)
            mass = np.exp(values - top) * weights
            total = mass.sum(axis=1)
            with np.errstate(divide="ignore"):
                log_mass[place, index] = np.log(total) + top[:, 0]
            quantiles[place, index] = _inverse(offsets, mass)
        return Table(grid=self, axis=axis, log_mass=log_mass, quantiles=quantiles)


@dataclass(frozen=True, kw_only=True)
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
class LogLikelihood:
    """Log-likelihood of one cell as a function of the logit success of one attempt.

    Parameters
    ----------
    attempts : int
        Attempts in the cell; sets how finely it is integrated.
    rows : tuple of (success function, attempts, successes)
        Independent rows; the function maps an attempt's success probability, and the concentration of wrong
        answers, to the row's (a selector), None stands for the attempt itself.
    """

    attempts: int
    rows: tuple[tuple[Selector | None, int, int], ...]

    def at(
        self, x: Array, *, wrong_answer_concentration: float | None = None, overdispersion: float | None = None
    ) -> Array:
        """Evaluate at logits ``x`` (any shape), binomial coefficients included.

        Parameters
        ----------
        x : array
        wrong_answer_concentration : float, optional
            For votes.
        overdispersion : float, optional
            Correlation of the attempts of one row, in (0, 1): they are beta-binomial instead of binomial.
        """
        total = np.zeros_like(x)
        for selector, attempts, successes in self.rows:
            failures = attempts - successes
            total += gammaln(attempts + 1) - gammaln(successes + 1) - gammaln(failures + 1)
            if selector is None and overdispersion is None:
                total += -successes * np.logaddexp(0.0, -x) - failures * np.logaddexp(0.0, x)
                continue
            success = expit(x) if selector is None else selector(expit(x), wrong_answer_concentration)
            if overdispersion is None:
                total += xlogy(successes, success) + xlog1py(failures, -success)
            else:
                size = (1.0 - overdispersion) / overdispersion
                total += _log_rising(size * success, successes) + _log_rising(size * (1.0 - success), failures)
                total -= _log_rising(np.asarray(size), attempts)
        return total


def _log_rising(start: Array, factors: int) -> Array:
    """Log of start (start + 1) ... (start + factors - 1); gammaln of tiny arguments would cancel."""
    if not factors:
        return np.zeros_like(start)
    with np.errstate(divide="ignore"):
        return np.log(start) + gammaln(start + factors) - gammaln(start + 1.0)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Likelihood of distinct cells at the nodes.

    Parameters
    ----------
    grid : Grid
    axis : Axis, optional
        Parameter that the likelihood depends on beside success; R = 1 without one.
    log_mass : array, shape (R, C, G)
        Log of the hat-weighted integral of the likelihood (mean likelihood around a node).
    quantiles : array, shape (R, C, G, Q)
        Quantiles, at equal probability steps, of x minus node given that x belongs to the node's hat.
    """

    grid: Grid
    axis: Axis | None = None
    log_mass: Array
    quantiles: Array

    def log_mass_at(self, value: Any = None) -> Any:
        """Log mass (C, G) at a value of the axis's parameter, a scalar tensor: cubic in its log."""
        if self.axis is None:
            return self.log_mass[0]
        first, weights = neighbours(pt.log(value), self.axis.nodes)
        # Impossible cells stay so: nothing is as unlikely as exp(-700), and infinities do not interpolate.
        finite = np.maximum(self.log_mass, -700.0)
        padded = pt.as_tensor(np.concatenate([before(finite), finite, before(finite[::-1])]))
        return sum(weight * padded[first + right] for right, weight in enumerate(weights))

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
    return Grid(lower=-16.0, upper=11.0, spacing=0.25 if arms <= 6 else 0.3)


def difficulty_grid(arms: int) -> Grid:
    """Return the grid of the shared, standardised easiness; finer when more arms pin a task down."""
    return Grid(lower=-7.0, upper=4.6, spacing=float(np.clip(0.55 / np.sqrt(arms), 0.08, 0.2)))
