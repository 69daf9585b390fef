"""What a kind of observation must say: what it takes from a table, its parameters and its likelihood."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ds3bayes.deferred import pm
from ds3bayes.generative.priors import Parameter

if TYPE_CHECKING:
    import pandas as pd

    from ds3bayes.generative.design import Arm, Design
    from ds3bayes.generative.spec import ModelSpec
    from ds3bayes.generative.terms import Terms

Tensor = Any


class Observation[Data](ABC):
    """A quantity of an evaluation table that informs the model beside the counts of each task.

    Parameters
    ----------
    Data
        What `collect` takes from a table.
    """

    #: Name by which specifications choose it.
    name: ClassVar[str]
    #: Parameters that it adds, by name; every prior can be overridden in a spec.
    parameters: ClassVar[Mapping[str, Parameter]] = {}

    @abstractmethod
    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: ModelSpec) -> Data | None:
        """Take what this kind needs from the rows of a fit, or None if they have nothing of it.

        Parameters
        ----------
        rows : pandas.DataFrame
            Rows of the table, held-out ones left out, with the number of their arm in column ``arm``.
        arms : sequence of Arm
        spec : ModelSpec
        """

    def coords(self, data: Data, design: Design) -> Mapping[str, Sequence[str]]:
        """Return labels of the dimensions that its parameters have beyond those of every model."""
        del data, design
        return {}

    def pointwise(
        self, data: Data, design: Design, spec: ModelSpec, given: Mapping[str, Tensor]
    ) -> tuple[Sequence[str], Tensor] | None:
        """Return labels and log-likelihoods of its points, shape (point,), if they depend on parameters alone.

        A kind that has this need not have `add`; a fit keeps its points in ``log_likelihood``, for `arviz.compare`.
        """
        del data, design, spec, given
        return None

    def add(
        self, data: Data, design: Design, spec: ModelSpec, given: Mapping[str, Tensor], terms: Sequence[Terms]
    ) -> None:
        """Add its likelihood to the model in context, as `pymc.Potential`: the sum of its points.

        Parameters
        ----------
        data
            From `collect`.
        design : Design
        spec : ModelSpec
        given : mapping of str to tensor
            All parameters by name, along their dims.
        terms : sequence of Terms
            The task laws and likelihoods of the design's blocks.
        """
        del terms
        points = self.pointwise(data, design, spec, given)
        if points is None:
            raise TypeError(f"observation {self.name!r} has neither points nor a likelihood: define one of them")
        pm.Potential(self.name, points[1].sum())
