"""Groups of tasks and of LLMs: columns of the table that shift success, with partial pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from ds3bayes.deferred import pm, pt
from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals.schema import fact_columns
from ds3bayes.generative.capability.base import Tensor, place_in_law
from ds3bayes.generative.capability.free import Free
from ds3bayes.generative.design import Arm, Block, Design
from ds3bayes.generative.priors import Parameter, Quantity, log, prior
from ds3bayes.generative.rows import searches
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import TaskLaw


class Grouped(Free):
    """What is known of tasks (category, language, level) and of LLMs shifts success.

    The logit of a task's eventual success is that of capability 'free', ``location + spread z``, plus, for each column
    about tasks, ``group_effect`` of the task's group, which all LLMs share, and ``llm_group_effect``, what one LLM has
    beyond that. Both are drawn around 0 with an sd per column that is learned (``group_sd``, ``llm_group_sd``): groups
    with few tasks borrow from the others, and a column that says nothing shrinks away. A column about LLMs shifts the
    mean that pooled locations are drawn around by ``llm_class_effect``, likewise. A blank cell is in no group.
    `ds3bayes.predict_by` gives success by group.

    Parameters
    ----------
    tasks : tuple of str
        Columns about tasks, such as ``category``, ``language`` or ``level``.
    llms : tuple of str
        Columns of text about LLMs. They need as many walks on a benchmark as are pooled (``pool_from``).
    pool_from : int, default 4
        As for capability 'free'.

    Raises
    ------
    InputError
        If the table lacks a column, a column has one group only, there are rows of tree searches, the population's
        family is 'path', or LLMs with such columns are not pooled.

    References
    ----------
    Dubey et al. (2025), HiBayES, arXiv 2505.05602, for groups of tasks in evaluations; Gelman and Hill (2007) for
    partial pooling.
    """

    kind: Literal["grouped"] = "grouped"  # type: ignore[assignment]
    tasks: tuple[str, ...] = Field((), description="columns about tasks")
    llms: tuple[str, ...] = Field((), description="columns of text about LLMs")
    exchangeable: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter]] = {
        **Free.parameters,
        "group_sd": Parameter(
            prior("LogNormal", mu=log(0.5), sigma=0.7),
            ("task_column",),
            "sd over groups of tasks of how much easier they are, on the logit",
            unit="logit",
        ),
        "llm_group_sd": Parameter(
            prior("LogNormal", mu=log(0.3), sigma=0.7),
            ("task_column",),
            "sd over LLMs and groups of how much better an LLM is at a group than it is at all tasks",
            unit="logit",
        ),
        "llm_class_sd": Parameter(
            prior("LogNormal", mu=log(0.5), sigma=0.7),
            ("llm_column",),
            "sd over classes of LLMs of how much better they are, on the logit",
            unit="logit",
        ),
    }
    derived: ClassVar[Mapping[str, Quantity]] = {
        **Free.derived,
        "group_effect": Quantity("how much easier the tasks of a group are", "logit"),
        "llm_group_effect": Quantity("how much better an LLM is at a group of tasks than it is at all", "logit"),
        "llm_class_effect": Quantity("how much better the LLMs of a class are", "logit"),
    }

    @model_validator(mode="after")
    def _some_columns(self) -> Grouped:
        if not self.tasks and not self.llms:
            raise ValueError("capability 'grouped' needs columns: tasks = ['category'] or llms = ['family']")
        twice = sorted({name for name in (*self.tasks, *self.llms) if (*self.tasks, *self.llms).count(name) > 1})
        if twice:
            raise ValueError(f"columns {', '.join(twice)} are given twice")
        return self

    def faults(self, table: pd.DataFrame) -> Sequence[str]:
        """Say which columns are not there, not about tasks or LLMs, or tell nothing apart."""
        result = []
        for about, names in (("task", self.tasks), ("model", self.llms)):
            known = fact_columns(about)
            what = "tasks" if about == "task" else "LLMs"
            for name in names:
                if name not in known:
                    result.append(
                        f"capability.{what.lower()}: {name!r} is no column about {what}; allowed: {', '.join(known)}, "
                        f"and those that data.{about}_columns names." + did_you_mean(name, known)
                    )
                elif name not in table or not len(groups := _named(table[name])):
                    result.append(f"capability.{what.lower()}: the table has no column {name!r}, or it is blank")
                elif len(groups) == 1:
                    result.append(f"capability.{what.lower()}: column {name!r} has one group only ({groups[0]})")
        if searches(table["strategy"]).any():
            result.append(
                "capability 'grouped' does not explain tree search, of which there are rows: leave them out with "
                "data.where"
            )
        return result

    def task_class(self, facts: Mapping[str, Sequence[Any]]) -> Sequence[int]:
        """Tasks of the same groups have the same law."""
        groups = list(zip(*(facts[name] for name in self.tasks), strict=True)) if self.tasks else []
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        return [numbers[group] for group in groups] or [0] * len(facts["task"])

    def coords(self, design: Design, spec: Settings) -> Mapping[str, Sequence[str]]:
        """Return those of capability 'free', the columns, and the groups by column."""
        if spec.population.family == "path":
            raise InputError(
                "population.family = 'path' has one law for all tasks; with capability 'grouped' use 'split_normal' or "
                "'normal'"
            )
        free = super().coords(design, spec)
        pooled = set(free["pooled_benchmark"])
        loose = [benchmark for benchmark in design.benchmarks if benchmark not in pooled]
        if self.llms and loose:
            raise InputError(
                f"capability.llms = {list(self.llms)}: fewer than {self.pool_from} samplers ran on {loose[0]}, too few "
                "to tell what a class of LLMs has in common; leave it out, or lower capability.pool_from"
            )
        return {
            **free,
            # Families that are classes here have no further effect.
            "family": [] if "family" in self.llms else free["family"],
            "task_column": list(self.tasks),
            "task_group": [f"{column}: {one}" for column, one in self._groups(design)],
            "llm_column": list(self.llms),
            "llm_class": [f"{column}: {one}" for column, one in self._classes(design)],
            "llm": list(design.llms) if self.tasks else [],
        }

    def _groups(self, design: Design) -> list[tuple[str, str]]:
        return [
            (column, one)
            for column in self.tasks
            for one in sorted({str(name) for block in design.blocks for name in block.facts[column]} - {""})
        ]

    def _classes(self, design: Design) -> list[tuple[str, str]]:
        return [(column, one) for column in self.llms for one in sorted(set(design.llm_facts[column]) - {""})]

    def add(self, design: Design, spec: Settings) -> dict[str, Tensor]:
        """Add what capability 'free' has, and the effects of groups."""
        given = super().add(design, spec)
        if self.tasks:
            column = np.array([self.tasks.index(one) for one, _ in self._groups(design)])
            for name in ("group_sd", "llm_group_sd"):
                given[name] = spec.prior(name).variable(name, dims="task_column")
            given["group_effect"] = pm.Normal("group_effect", 0.0, given["group_sd"][column], dims="task_group")
            given["llm_group_effect"] = pm.Normal(
                "llm_group_effect", 0.0, given["llm_group_sd"][column], dims=("llm", "task_group")
            )
        return given

    def walk_shift(self, walks: Sequence[Arm], design: Design, spec: Settings) -> tuple[Tensor, dict[str, Tensor]]:
        """Shift the mean of pooled locations by the classes of their LLMs."""
        if not self.llms:
            return super().walk_shift(walks, design, spec)
        classes = self._classes(design)
        column = np.array([self.llms.index(one) for one, _ in classes])
        sd = spec.prior("llm_class_sd").variable("llm_class_sd", dims="llm_column")
        effect = pm.Normal("llm_class_effect", 0.0, sd[column], dims="llm_class")
        member = np.zeros((len(walks), len(classes)))
        for row, arm in enumerate(walks):
            llm = design.llms.index(arm.model)
            member[row] = [design.llm_facts[one][llm] == name for one, name in classes]
        return pt.dot(member, effect), {"llm_class_sd": sd, "llm_class_effect": effect}

    def task_law(
        self, block: Block, index: int, design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> TaskLaw:
        """Shift the law of capability 'free' by the groups of each distinct task."""
        law = super().task_law(block, index, design, spec, given)
        first, _, counts = block.distinct
        location = law.location + np.zeros((len(first), 1, 1))
        if self.tasks:
            groups = self._groups(design)
            member = np.array([[block.facts[one][task] == name for one, name in groups] for task in first], dtype=float)
            walks = [design.arms[design.walk_arms[walk]].model for walk in design.walks_of(block)]
            of_llm = given["llm_group_effect"][[design.llms.index(name) for name in walks]]
            location = location + pt.dot(member, (given["group_effect"] + of_llm).T)[:, :, None]
        return replace(law, location=location, extra={"tasks": pt.as_tensor(counts.astype(float))})

    def new_tasks(
        self, terms: Mapping[str, np.ndarray], draw: Mapping[str, np.ndarray], uniform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give a fresh task the groups of an observed one, each as likely, and an easiness of its own."""
        del draw
        share = np.cumsum(terms["tasks"]) / terms["tasks"].sum()
        like = np.minimum(np.searchsorted(share, uniform[:, 1]), len(share) - 1)
        node = place_in_law(np.exp(terms["log_weight"]), uniform[:, 0])
        below = np.minimum(node.astype(int), terms["log_weight"].size - 2)
        part = node - below
        easiness = terms["easiness"][0]
        locations = terms["location"][like]
        rows = np.arange(len(like))
        at = (1.0 - part)[:, None] * locations[rows, :, below] + part[:, None] * locations[rows, :, below + 1]
        return (1.0 - part) * easiness[below] + part * easiness[below + 1], at


def _named(column: pd.Series) -> list[str]:
    """Return the distinct values of a column that are not blank."""
    return sorted({str(one) for one in column.dropna()} - {""})
