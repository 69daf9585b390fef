"""Skill graph: tasks name the skills they need; each LLM masters each skill, and some build on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import field_validator, model_validator
from scipy.special import ndtri

from ds3bayes.deferred import pm, pt
from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.generative.capability.base import Capability, Tensor
from ds3bayes.generative.design import Block, Design
from ds3bayes.generative.priors import Parameter, Quantity, log, prior
from ds3bayes.generative.rows import searches
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import TaskLaw


class SkillMastery(Capability):
    """Latent mastery of each skill by each LLM, and how much each skill builds on its prerequisites.

    Tasks are annotated with the skills they need (column ``skills``, such as ``"counting|algebra"``; a skill that
    is needed twice stands there twice). A step at skill s is right with the logistic of

        u_is = ability_i + skill_ease_s + deviation_is + sum_p weight_ps (log mastery_ip - its mean over LLMs),

    summed over the prerequisites p of s: an LLM that masters a prerequisite less than others is held back in what
    builds on it. Weights are positive and shrunk towards 0. An attempt solves a task if all its steps are right;
    tasks with the same skills differ by a residual on the logit, and each LLM by its own task effect.

    Which skills may build on which is said by ``edges`` (then all of these have a weight), or by ``order`` (then
    every earlier skill may be a prerequisite of every later one, and the data decide); with neither there are none.

    Counts inform mastery, which is what predictions use. Weights are told from as many numbers as there are LLMs:
    with few LLMs they rest on their prior, and what an LLM lacks may as well be its own deviation.

    Parameters
    ----------
    edges : tuple of (str, str)
        Prerequisite and the skill that builds on it.
    order : tuple of str
        All skills, each before those that may build on it.

    Raises
    ------
    ValueError
        If both are given, a name stands twice in ``order``, or edges form a cycle, which is printed.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney (2025), arXiv 2507.00004: skills whose mastery rests on lower ones, p_l = t_l times a
    power of the mastery of the level below; here on the log scale, with learned weights as the powers.
    """

    kind: Literal["skill_graph"] = "skill_graph"
    edges: tuple[tuple[str, str], ...] = ()
    order: tuple[str, ...] = ()
    exchangeable: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "ability": Parameter(
            prior("Normal", mu=0.0, sigma=1.0),
            ("llm",),
            "how much better an LLM is at every skill",
            unit="logit",
        ),
        "skill_ease": Parameter(
            prior("Normal", mu=2.0, sigma=1.5),
            ("skill",),
            "logit that a step at a skill is right, mean over LLMs",
            unit="logit",
        ),
        "deviation_sd": Parameter(
            prior("LogNormal", mu=log(0.4), sigma=0.5),
            (),
            "sd of what an LLM has at one skill beyond that",
            unit="logit",
        ),
        "weight": Parameter(
            prior("Gamma", alpha=0.4, beta=0.8),
            ("edge",),
            "how much a skill builds on another: power of the prerequisite's mastery",
            unit="power",
        ),
        "task_sd": Parameter(
            prior("LogNormal", mu=log(0.5), sigma=0.5),
            (),
            "sd over tasks of what their skills do not explain",
            unit="logit",
        ),
        "sampler_offset": Parameter(
            prior("Normal", mu=0.0, sigma=1.0),
            ("other_sampler",),
            "how much better the steps of a sampler are than those of the first one, on the logit",
            unit="logit",
        ),
    }
    derived: ClassVar[Mapping[str, Quantity]] = {
        "deviation": Quantity("what an LLM has at one skill beyond its ability and the skill's ease", "deviation_sd"),
        "mastery_logit": Quantity("logit that a step of an LLM at a skill is right, prerequisites included", "logit"),
        "task_residual": Quantity("what a task has beyond its skills", "logit"),
    }

    @field_validator("order")
    @classmethod
    def _once(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in order if order.count(name) > 1})
        if twice:
            raise ValueError(f"order names {', '.join(twice)} twice; each skill stands once")
        return order

    @model_validator(mode="after")
    def _acyclic(self) -> SkillMastery:
        if self.edges and self.order:
            raise ValueError("give edges (known prerequisites) or order (prerequisites to be learned), not both")
        self.sorted_skills(())
        return self

    def sorted_skills(self, skills: Sequence[str]) -> list[str]:
        """Sort skills so that prerequisites come first."""
        if self.order:
            return list(self.order)
        before: dict[str, list[str]] = {name: [] for name in skills}
        for first, then in self.edges:
            before.setdefault(then, []).append(first)
        try:
            return list(TopologicalSorter(before).static_order())
        except CycleError as error:
            cycle = " -> ".join(error.args[1])
            raise ValueError(f"edges form a cycle: {cycle}; take one of them out") from None

    def all_edges(self) -> list[tuple[str, str]]:
        """List the edges that have a weight."""
        if self.order:
            return [(first, then) for place, then in enumerate(self.order) for first in self.order[:place]]
        return list(dict.fromkeys(self.edges))

    def faults(self, table: pd.DataFrame) -> Sequence[str]:
        """Say which tasks have no skills, which names no task has, and that there is no tree search."""
        result = []
        named = table["skills"] if "skills" in table else table["task"].map(lambda _: "")
        bare = sorted(set(table.loc[named == "", "task"]))
        if bare:
            result.append(
                "capability 'skill_graph' needs the column skills, such as 'counting|algebra', for every task; blank "
                f"for {', '.join(bare[:5])}" + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
            )
        present = sorted({skill for text in named for skill in str(text).split("|") if skill})
        mentioned = list(dict.fromkeys([*self.order, *(name for edge in self.edges for name in edge)]))
        for name in mentioned:
            if present and name not in present:
                result.append(
                    f"capability.{'order' if self.order else 'edges'} names skill {name!r}, which no task needs; "
                    f"present: {', '.join(present)}." + did_you_mean(name, present)
                )
        missing = sorted(set(present) - set(self.order)) if self.order else []
        if missing:
            result.append(f"capability.order leaves out {', '.join(missing)}; it must name every skill that tasks need")
        if searches(table["strategy"]).any():
            result.append(
                "capability 'skill_graph' does not explain tree search, of which there are rows: leave them out with "
                "data.where"
            )
        return result

    def task_class(self, facts: Mapping[str, Sequence[Any]]) -> Sequence[int]:
        """Every task has a law of its own."""
        return list(range(len(facts["task"])))

    def coords(self, design: Design, spec: Settings) -> Mapping[str, Sequence[str]]:
        """Return LLMs, skills (prerequisites first), edges, tasks, and samplers beyond the first."""
        if spec.population.family == "path":
            raise InputError(
                "population.family = 'path' is for tasks that all have one law; with capability 'skill_graph' leave it "
                "out"
            )
        needed = sorted({skill for block in design.blocks for task in block.skills for skill in task})
        return {
            "llm": list(design.llms),
            "skill": self.sorted_skills(needed),
            "edge": [f"{first} -> {then}" for first, then in self.all_edges()],
            "task": [
                f"{design.populations[i]} | {task}" for i, block in enumerate(design.blocks) for task in block.tasks
            ],
            "other_sampler": _samplers(design)[1:],
        }

    def add(self, design: Design, spec: Settings) -> dict[str, Tensor]:
        """Add mastery and the tasks' residuals."""
        coords = self.coords(design, spec)
        given = {
            name: spec.prior(name).variable(name, dims=parameter.dims)
            for name, parameter in self.parameters.items()
            if all(coords[dim] for dim in parameter.dims)
        }
        own = pm.Normal("deviation", 0.0, 1.0, dims=("llm", "skill")) * given["deviation_sd"]
        base = given["ability"][:, None] + given["skill_ease"] + own
        skills, edges = list(coords["skill"]), self.all_edges()
        logits: list[Tensor] = []
        lead: list[Tensor] = []
        for place, skill in enumerate(skills):
            into = [edge for edge, (_, then) in enumerate(edges) if then == skill]
            logit = base[:, place]
            if into:
                parents = pt.stack([lead[skills.index(edges[edge][0])] for edge in into])
                logit = logit + pt.dot(given["weight"][into], parents)
            log_mastery = -pt.softplus(-logit)
            # Centred, so that weights say nothing of the mean, which is the skill's ease.
            lead.append(log_mastery - log_mastery.mean())
            logits.append(logit)
        stacked = pt.stack(logits, axis=1)
        given["mastery_logit"] = pm.Deterministic("mastery_logit", stacked, dims=("llm", "skill"))
        given["task_residual"] = pm.Normal("task_residual", 0.0, given["task_sd"], dims="task")
        return given

    def task_law(
        self, block: Block, index: int, design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> TaskLaw:
        """Cross the skills of each task; nothing is left to sum out but each walk's own effect."""
        first, _, _ = block.distinct
        walks = [design.arms[design.walk_arms[walk]] for walk in design.walks_of(block)]
        samplers = _samplers(design)
        sampler = np.array([samplers.index(str(arm.strategy)) for arm in walks])
        offset: Tensor = np.zeros(len(walks))
        if len(samplers) > 1:
            offset = pt.concatenate([np.zeros(1), given["sampler_offset"]])[sampler]
        llm = np.array([design.llms.index(arm.model) for arm in walks])
        skills = list(self.coords(design, spec)["skill"])
        needed = np.zeros((len(first), len(skills)))
        for row, task in enumerate(first):
            for skill in block.skills[task]:
                needed[row, skills.index(skill)] += 1
        steps = -pt.softplus(-(given["mastery_logit"][llm] + offset[:, None]))
        log_success = pt.dot(needed, steps.T)
        earlier = sum(len(other.tasks) for other in design.blocks[:index])
        residual = given["task_residual"][earlier + first]
        location = log_success - pt.log1mexp(log_success) + residual[:, None]
        mean = location.mean(axis=1)
        easiness = (mean - mean.mean()) / (mean.std() + 1e-6)
        return TaskLaw(
            log_weight=pt.zeros(1),
            easiness=easiness[:, None],
            location=location[:, :, None],
            extra={"residual": residual},
        )

    def new_tasks(
        self, terms: Mapping[str, np.ndarray], draw: Mapping[str, np.ndarray], uniform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give a fresh task the skills of an observed one, each as likely, and a residual of its own."""
        like = (uniform[:, 0] * len(terms["residual"])).astype(int)
        residual = draw["task_sd"] * ndtri(uniform[:, 1])
        location = terms["location"][like, :, 0] + (residual - terms["residual"][like])[:, None]
        return np.broadcast_to(terms["easiness"], (len(terms["residual"]), 1))[like, 0], location


def _samplers(design: Design) -> list[str]:
    """List the settings in which LLMs walked, in order of first appearance."""
    return list(dict.fromkeys(str(design.arms[arm].strategy) for arm in design.walk_arms))
