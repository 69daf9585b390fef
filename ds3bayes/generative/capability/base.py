"""What a kind of capability must say: its parameters, and the logit success of every LLM on every task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from ds3bayes.deferred import pt
from ds3bayes.generative.design import Block, Design
from ds3bayes.generative.population import easiness_log_weight, path_logp, split_normal_logp
from ds3bayes.generative.priors import Parameter, Quantity, log, prior
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import TaskLaw

Tensor = Any


class Capability(BaseModel, ABC):
    """How an LLM's capability enters the model; one subclass per kind, its fields are the kind's options.

    A subclass names itself in ``kind``, lists its ``parameters``, adds them to a model and gives the law of a
    block's tasks. `register` makes a kind known to specifications.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: str
    #: Parameters of this kind by name; every prior can be overridden in a spec.
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    #: What else it adds to a model, latent or following from its parameters, by name.
    derived: ClassVar[Mapping[str, Quantity]] = {}
    #: Whether all tasks of a block have one law; a lone arm's then stands on the grid of its success.
    exchangeable: ClassVar[bool] = True

    def faults(self, table: pd.DataFrame) -> Sequence[str]:
        """Say, one sentence each, what a table of evaluations lacks for this kind of capability."""
        del table
        return ()

    def coords(self, design: Design, spec: Settings) -> Mapping[str, Sequence[str]]:
        """Return labels of the dimensions that this kind's parameters have beyond those of every model."""
        del design, spec
        return {}

    @abstractmethod
    def add(self, design: Design, spec: Settings) -> dict[str, Tensor]:
        """Add this kind's variables to the model in context; return them by name, ``location`` among them."""

    def task_class(self, facts: Mapping[str, Sequence[Any]]) -> Sequence[int]:
        """Return a number per task; tasks whose law may differ have different numbers.

        Parameters
        ----------
        facts : mapping of str to sequence
            What is known of each task: its name (``task``), and the columns about tasks.
        """
        return [0] * len(facts["task"])

    @abstractmethod
    def task_law(
        self, block: Block, index: int, design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> TaskLaw:
        """Return the law of a block's tasks.

        Parameters
        ----------
        block : Block
        index : int
            Its number.
        design : Design
        spec : Settings
        given : mapping of str to tensor
            All parameters by name, along their dims.
        """

    def restated(self, draw: Mapping[str, np.ndarray], design: Design) -> Mapping[str, np.ndarray]:
        """Return the parameters of one draw as the model of a design states them.

        They are the same, unless a kind states its parameters by directions that it finds in the data.
        """
        del design
        return draw

    @abstractmethod
    def new_tasks(
        self, terms: Mapping[str, np.ndarray], draw: Mapping[str, np.ndarray], uniform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return easiness (n,) and mean logit success (n, A) of fresh tasks at one posterior draw.

        Parameters
        ----------
        terms : mapping of str to array
            The block's ``log_weight``, ``easiness`` and ``location`` at the draw, as in `TaskLaw`, with the
            locations of all A arms, and the law's ``extra``.
        draw : mapping of str to array
            The parameters.
        uniform : array, shape (n, 2)
            Evenly spread numbers in (0, 1) that decide the tasks.
        """


class SharedEasiness(Capability):
    """Tasks differ by one easiness, which all arms share; subclasses say where each walk's mean comes from.

    The logit of a task's eventual success is ``location + spread z`` with z two-piece normal or normal over tasks,
    or, for a lone arm, any law on the grid of that logit.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "spread": Parameter(
            prior("LogNormal", mu=log(3.0), sigma=0.35),
            ("walk",),
            "sd over tasks of that logit (of its shared part, where arms share tasks)",
            unit="logit",
        ),
        "skew": Parameter(
            prior("Normal", mu=0.0, sigma=0.7),
            ("population",),
            "log ratio of left to right scale of the task law (> 0: heavy left tail)",
            unit="log ratio",
        ),
        "path_length_mean": Parameter(
            prior("LogNormal", mu=log(4.0), sigma=0.6),
            ("walk",),
            "path family: mean of the Poisson law of path length minus 1",
            unit="skills beyond the first",
        ),
    }

    def add_population(self, spec: Settings, **given: Tensor) -> dict[str, Tensor]:
        """Add the parameters of the law of easiness to the model in context, except those that are given."""
        names = {"split_normal": ["spread", "skew"], "normal": ["spread"], "path": ["spread", "path_length_mean"]}
        return given | {
            name: spec.prior(name).variable(name, dims=SharedEasiness.parameters[name].dims)
            for name in names[spec.population.family]
            if name not in given
        }

    def task_law(
        self, block: Block, index: int, design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> TaskLaw:
        """Put the easiness on its grid, or a lone arm's task law on the grid of its success."""
        skew = given["skew"][index] if spec.population.family == "split_normal" else pt.as_tensor(0.0)
        walks = design.walks_of(block)
        location, spread = given["location"][walks], given["spread"][walks]
        if block.easiness is not None:
            easiness = block.easiness.nodes
            return TaskLaw(
                log_weight=easiness_log_weight(block.easiness, skew),
                easiness=easiness[None, :],
                location=(location[:, None] + spread[:, None] * easiness)[None],
            )
        nodes = block.tables[0].grid.nodes
        if spec.population.family == "path":
            log_weight = path_logp(nodes, location[0], spread[0], given["path_length_mean"][walks[0]])
        else:
            log_weight = split_normal_logp((nodes - location[0]) / spread[0], skew)
        log_weight = log_weight - pt.logsumexp(log_weight)
        weight = pt.exp(log_weight)
        mean = (weight * nodes).sum()
        easiness = (nodes - mean) / pt.sqrt((weight * (nodes - mean) ** 2).sum())
        return TaskLaw(log_weight=log_weight, easiness=easiness[None, :], location=pt.as_tensor(nodes[None, None, :]))

    def new_tasks(
        self, terms: Mapping[str, np.ndarray], draw: Mapping[str, np.ndarray], uniform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw easiness through the law at the nodes, linear in between."""
        del draw
        node = place_in_law(np.exp(terms["log_weight"]), uniform[:, 0])
        nodes = np.arange(terms["log_weight"].size)
        location = [np.interp(node, nodes, at_nodes) for at_nodes in terms["location"][0]]
        return np.interp(node, nodes, terms["easiness"][0]), np.stack(location, axis=1)


def place_in_law(weight: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return where between the nodes of a law its quantiles lie, as a number of nodes with a fraction.

    Parameters
    ----------
    weight : array, shape (J,)
        Of the nodes; half of each lies on either side of its node.
    uniform : array, shape (n,)
        Probabilities in (0, 1).
    """
    cumulative = (np.cumsum(weight) - 0.5 * weight) / weight.sum()
    return np.interp(uniform, cumulative, np.arange(weight.size))
