"""What a kind of observation must say: what it takes from a table, its parameters and its likelihood."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pm
from ds3bayes.evals.schema import Column
from ds3bayes.generative.design import Arm, Block, Design
from ds3bayes.generative.priors import Parameter, Quantity
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import Terms

Tensor = Any


class Observation[Data](ABC):
    """A quantity of an evaluation table that informs the model.

    Parameters
    ----------
    Data
        What `collect` takes from a table.
    """

    #: Name by which specifications choose it.
    name: ClassVar[str]
    #: Parameters that it adds, by name; every prior can be overridden in a spec.
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    #: What else it adds to a model, latent or following from its parameters, by name.
    derived: ClassVar[Mapping[str, Quantity]] = {}
    #: Columns of its own in the evaluation table; `register` makes readers keep and check them.
    columns: ClassVar[tuple[Column, ...]] = ()

    @abstractmethod
    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> Data | None:
        """Take what this kind needs from the rows of a fit, or None if they have nothing of it.

        Parameters
        ----------
        rows : pandas.DataFrame
            Rows of the table, held-out ones left out, with the number of their arm in column ``arm``.
        arms : sequence of Arm
        spec : Settings
        """

    @classmethod
    def seen(cls, design: Design) -> Data | None:
        """Return what it took from the table of a design, None if it is not in use there."""
        return design.observed.get(cls.name)

    def informs(self, data: Data) -> Mapping[str, Sequence[int]]:
        """Say of which arms it tells what parameters of every model are about, by the arms' places in a design.

        Arms have these parameters only if some kind tells of them: under ``tokens`` those of generated tokens, under
        ``prompts`` those of prompts, under ``votes`` how wrong answers agree. Parameters of the kind's own are not
        meant: these go by `coords`.
        """
        del data
        return {}

    def of_tasks(self, data: Data, block: Block) -> Mapping[str, np.ndarray] | None:
        """Say what was observed of a block's tasks, as numbers that `at_nodes` is given; None if nothing was.

        Parameters
        ----------
        data
            From `collect`.
        block : Block
            Of its tasks (T,) and arms (A,).

        Returns
        -------
        mapping of str to array, shape (T, A), optional
            Finite numbers, 0 where nothing was seen, say, with another array that tells so. Tasks for which all of
            every kind says the same are taken once.
        """
        del data, block
        return None

    def at_nodes(
        self,
        told: Mapping[str, np.ndarray],
        block: Block,
        design: Design,
        law: Terms,
        given: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the log-likelihood of a block's tasks at the nodes of their law, for what depends on it.

        The sum over kinds is the log-likelihood of a task, and nodes are summed out of it: so what counts, tokens and
        every other kind say of a task informs each other.

        Parameters
        ----------
        told : mapping of str to array, shape (U, A)
            From `of_tasks`, of the distinct tasks.
        block : Block
        design : Design
        law : Terms
            Of the block: ``law.easiness``, shape (1 or U, J), is the standardised easiness at the nodes.
        given : mapping of str to tensor
            All parameters by name, along their dims.

        Returns
        -------
        tensor, shape (U, J)
        """
        raise NotImplementedError(f"observation {self.name!r} says what it saw of tasks, but not how likely that is")

    def summed_out(
        self,
        told: Mapping[str, np.ndarray],
        block: Block,
        design: Design,
        law: Terms,
        given: Mapping[str, Tensor],
    ) -> Tensor | None:
        """Return the log-likelihood (U,) of tasks of which it alone tells, or None if that needs the nodes."""
        del told, block, design, law, given
        return None

    def of_cell(self, rows: pd.DataFrame) -> Hashable | None:
        """Say what rows tell of the success of attempts beyond their counts, as a value to compare; None if nothing.

        Parameters
        ----------
        rows : pandas.DataFrame
            Of one task in one arm. Only asked where the table has one of the kind's `columns`.
        """
        del rows
        return None

    def at_success(
        self,
        seen: Sequence[Hashable | None],
        arm: int,
        x: np.ndarray,
        design: Design,
        given: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the log-likelihood of what cells tell, given their counts, at nodes of logit success.

        An arm's own effect at a task is summed out over it, together with the counts. It holds for tasks out of reach,
        too, where x is what success would have been.

        Parameters
        ----------
        seen : sequence of length C
            From `of_cell`, of an arm's distinct cells.
        arm : int
            Place in ``design.arms``.
        x : array, shape (G,)
        design : Design
        given : mapping of str to tensor
            All parameters by name, along their dims.

        Returns
        -------
        tensor, shape (C, G)
        """
        raise NotImplementedError(f"observation {self.name!r} says what it saw of cells, but not how likely that is")

    def draw_rows(
        self,
        rows: pd.DataFrame,
        logit: np.ndarray,
        arms: Sequence[int],
        design: Design,
        draw: Mapping[str, np.ndarray],
        rng: np.random.Generator,
    ) -> Mapping[str, Sequence[Any]]:
        """Draw its columns anew for rows of a table, for calibration by simulation; none of them by default.

        Parameters
        ----------
        rows : pandas.DataFrame
            With the counts that were drawn.
        logit : array, shape (row,)
            Logit success of an attempt at the row's task, were it within reach.
        arms : sequence of int
            Place of each row's arm in ``design.arms``.
        design : Design
        draw : mapping of str to array
            All parameters by name, along their dims.
        rng : numpy.random.Generator
        """
        del rows, logit, arms, design, draw, rng
        return {}

    def draw(
        self,
        told: Mapping[str, np.ndarray],
        block: Block,
        design: Design,
        easiness: np.ndarray,
        draw: Mapping[str, np.ndarray],
        rng: np.random.Generator,
    ) -> Mapping[str, np.ndarray]:
        """Replicate what was observed of a block's tasks at one posterior draw, for `ds3bayes.posterior_predictive`.

        Parameters
        ----------
        told : mapping of str to array, shape (T, A)
            From `of_tasks`.
        block : Block
        design : Design
        easiness : array, shape (T,)
            Of the tasks, at this draw.
        draw : mapping of str to array
            All parameters by name, along their dims.
        rng : numpy.random.Generator

        Returns
        -------
        mapping of str to array, shape (T, A)
            Of those numbers that vary, NaN where nothing was seen; none of them by default.
        """
        del told, block, design, easiness, draw, rng
        return {}

    def coords(self, data: Data, design: Design) -> Mapping[str, Sequence[str]]:
        """Return labels of the dimensions that its parameters have beyond those of every model."""
        del data, design
        return {}

    def pointwise(
        self, data: Data, design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> tuple[Sequence[str], Tensor] | None:
        """Return labels and log-likelihoods of its points, shape (point,), if they depend on parameters alone.

        A kind that has this, or `of_tasks`, need not have `add`; a fit keeps its points in ``log_likelihood``, for
        `arviz.compare`.
        """
        del data, design, spec, given
        return None

    def add(
        self, data: Data, design: Design, spec: Settings, given: Mapping[str, Tensor], terms: Sequence[Terms]
    ) -> None:
        """Add its likelihood to the model in context, as `pymc.Potential`: the sum of its points.

        Parameters
        ----------
        data
            From `collect`.
        design : Design
        spec : Settings
        given : mapping of str to tensor
            All parameters by name, along their dims.
        terms : sequence of Terms
            The task laws and likelihoods of the design's blocks.
        """
        del terms
        points = self.pointwise(data, design, spec, given)
        if points is None:
            of_tasks, of_cell = type(self).of_tasks, type(self).of_cell
            if (of_tasks, of_cell) == (Observation.of_tasks, Observation.of_cell):
                raise TypeError(f"observation {self.name!r}: define one of of_tasks, of_cell, pointwise and add")
            # What it says of tasks and cells is in their likelihood already.
            return
        pm.Potential(self.name, points[1].sum())
