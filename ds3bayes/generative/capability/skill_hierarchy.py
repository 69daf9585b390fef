"""Skill hierarchy: training compute becomes concepts, levels of skills, and solved tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator
from scipy.special import betainc, expit

from ds3bayes.deferred import pm, pt
from ds3bayes.errors import InputError
from ds3bayes.generative.capability.base import Capability, Tensor
from ds3bayes.generative.design import Arm, Block, Design
from ds3bayes.generative.priors import Parameter, Quantity, log, prior
from ds3bayes.generative.rows import searches
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import TaskLaw
from ds3bayes.theory import hierarchy
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.interpolate import interpolate, neighbours, padded

_CONSTANTS = hierarchy.Hierarchy()
# Steps of an attempt without a budget: more than any task of these lengths takes.
_ENDLESS = 1e5
# Logit step probabilities at which the chance of finishing in time is tabulated: an eighth of the law's width at 300
# skills. Tasks that take more skills than that at a level are as good as not solved there.
_STEP_LOGITS = np.linspace(-10.0, 8.0, 361)
_MOST_SKILLS = 300
# Levels of tasks, in sds of their law from its mean. Counts tell a task's level to a tenth of an sd: sums over half of
# these nodes are off by .3 in the log, and rough.
_LEVELS = np.linspace(-3.0, 3.0, 76)
# Logs of mean degrees at which the giant component is tabulated.
_LOG_DEGREES = np.linspace(-12.0, 12.0, 1921)


class SkillHierarchy(Capability):
    """Capability from training compute through the graph of texts, concepts and levels of skills.

    An LLM of N parameters stores R = N / concept_scale concepts, times a factor of its own; at D / N tokens per
    parameter peeling learns nearly all or none of them. Skills need concepts, of which higher levels can draw on fewer:
    up to a real level, the LLM's ``frontier``, they are learned, and competence falls off there. Skills are linked
    where they and the level below are competent, and the giant component of the links is what can be reached. A task
    is a latent level and number of skills. It is executed at its own level or up to ``levels_down`` lower ones, where
    it takes sigma ln k times as many steps per level but is learned earlier, within the steps that the budget allows.
    All of the published steps (competence, roundings, start of the giant component, best level) are smooth. What an
    attempt achieves is mixed with a chance ``guess`` of being right without, and ``slip`` of being wrong in spite of,
    the skills.

    What LLMs of different training compute solve informs the levels that they reach: how fast these rise with compute
    (``decay``) and where tasks stand relative to them. ``concept_scale`` and ``skills`` move all LLMs' levels together
    and trade off with ``task_level``; budgets inform the steps a task takes, which ``sigma``, ``relevance`` and
    ``search`` share. Within each of these groups the single parameters rest on their priors.

    Parameters
    ----------
    task_lengths : tuple of int, default 1 to 15
        Numbers of skills that tasks may need, in rising order. Counts tell lengths apart: where a task needs 6 and the
        table has 5 and 8 only, the fit takes another level, or another ``search``, for the difference.
    levels_down : int, default 3
        How many levels below its own a task may be executed.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney (2025), arXiv 2507.00004, extending Nayak, Varshney (2024), arXiv 2410.01243.
    """

    kind: Literal["skill_hierarchy"] = "skill_hierarchy"
    task_lengths: tuple[int, ...] = tuple(range(1, 16))
    levels_down: int = Field(3, ge=0, le=6)
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "concept_scale": Parameter(
            prior("LogNormal", mu=log(_CONSTANTS.params_per_concept), sigma=0.3),
            (),
            "parameters that store a concept",
            unit="parameters per concept",
        ),
        "decay": Parameter(
            prior("LogNormal", mu=log(_CONSTANTS.decay), sigma=0.1),
            (),
            "rate at which concepts per skill fall over 100 levels",
            unit="per 100 levels",
        ),
        "skills": Parameter(
            prior("LogNormal", mu=log(_CONSTANTS.skills), sigma=0.2),
            (),
            "skills of a level",
            unit="number of skills",
        ),
        "sigma": Parameter(
            prior("LogNormal", mu=log(_CONSTANTS.sigma), sigma=0.1),
            (),
            "prerequisites of a skill per log level",
            unit="prerequisites per log level",
        ),
        "relevance": Parameter(
            prior("LogNormal", mu=log(_CONSTANTS.relevance), sigma=0.3),
            (),
            "relevant but not needed skills per needed one",
            unit="skills per needed skill",
        ),
        "search": Parameter(
            prior("Beta", alpha=4.0, beta=4.0),
            (),
            "blindness of the search for the next skill",
            unit="share",
        ),
        "task_level": Parameter(
            prior("Normal", mu=40.0, sigma=15.0),
            ("benchmark",),
            "mean level of tasks",
            unit="level",
        ),
        "task_level_sd": Parameter(
            prior("LogNormal", mu=log(3.0), sigma=0.5),
            ("benchmark",),
            "sd over tasks of their level",
            unit="level",
        ),
        "task_length": Parameter(
            prior("LogNormal", mu=log(5.0), sigma=0.4),
            ("benchmark",),
            "mean number of skills that a task needs",
            unit="skills",
        ),
        "concept_sd": Parameter(
            prior("LogNormal", mu=log(0.1), sigma=0.6),
            (),
            "sd over LLMs of log concepts beyond their size",
            unit="log of concepts",
        ),
        "guess": Parameter(
            prior("Beta", alpha=1.0, beta=60.0),
            (),
            "chance of a right answer without the skills",
            unit="probability",
        ),
        "slip": Parameter(
            prior("Beta", alpha=1.0, beta=60.0),
            (),
            "chance of a wrong answer in spite of them",
            unit="probability",
        ),
    }
    derived: ClassVar[Mapping[str, Quantity]] = {
        "concept_effect": Quantity("what an LLM has of log concepts beyond its size", "concept_sd"),
        "log_concepts": Quantity("concepts that an LLM holds", "log of concepts"),
        "frontier": Quantity("level of skills that an LLM reaches", "level"),
    }

    @field_validator("task_lengths")
    @classmethod
    def _rising(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(values) < 2 or min(np.diff(values)) <= 0 or values[0] < 1:
            raise ValueError(f"must be at least two rising numbers from 1 up, got {values}")
        return values

    def faults(self, table: pd.DataFrame) -> Sequence[str]:
        """Name the LLMs whose size or training tokens are not in the table."""
        result = []
        for column in ("params", "train_tokens"):
            known = table.groupby("model", sort=False)[column].any() if column in table else None
            lacking = [str(name) for name in table["model"].unique() if known is None or not known[name]]
            if lacking:
                result.append(
                    f"capability 'skill_hierarchy' needs {column} of every LLM; blank for {', '.join(lacking[:5])}"
                    + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
                )
        if searches(table["strategy"]).any():
            result.append(
                "capability 'skill_hierarchy' does not explain rows of tree search: leave them out with data.where"
            )
        return result

    def coords(self, design: Design, spec: Settings) -> Mapping[str, Sequence[str]]:
        """Return benchmarks and LLMs."""
        if any(len(block.arms) < 2 for block in design.blocks):
            raise InputError(
                "capability 'skill_hierarchy' compares LLMs (or budgets) on the same tasks; give each benchmark two or "
                "more of them"
            )
        return {
            "benchmark": design.benchmarks,
            "llm": list(design.llms),
        }

    def add(self, design: Design, spec: Settings) -> dict[str, Tensor]:
        """Add the hierarchy's constants, ``log_concepts`` of every LLM and ``frontier``, the level each reaches."""
        given = {
            name: spec.prior(name).variable(name, dims=parameter.dims) for name, parameter in self.parameters.items()
        }
        own = pm.Normal("concept_effect", 0.0, 1.0, dims="llm") * given["concept_sd"]
        concepts = np.log(design.params) - pt.log(given["concept_scale"]) + own
        given["log_concepts"] = pm.Deterministic("log_concepts", concepts, dims="llm")
        # How much peeling learns is nearly 1 or nearly 0, whatever the scale of a concept.
        kappa = design.train_tokens / design.params
        failure = evaluate(_log_failure, design.params / _CONSTANTS.params_per_concept, kappa)
        frontier = hierarchy.highest_level(
            pt.exp(concepts),
            given["decay"],
            given["skills"],
            learned=np.maximum(-np.expm1(failure), 1e-6),
            levels=_CONSTANTS.levels,
        )
        given["frontier"] = pm.Deterministic("frontier", frontier, dims="llm")
        return given

    def task_law(
        self, block: Block, index: int, design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> TaskLaw:
        """Sum over levels and lengths: normal over levels, Poisson over lengths, both on the given values."""
        arms = [design.arms[design.walk_arms[walk]] for walk in design.walks_of(block)]
        benchmark = design.benchmarks.index(arms[0].benchmark)
        lengths = np.array(self.task_lengths, dtype=float)
        # Nodes move with the population, so that a shift of all levels changes nothing but how far they are apart.
        level = given["task_level"][benchmark] + given["task_level_sd"][benchmark] * _LEVELS
        rate = given["task_length"][benchmark] - 0.999 * pt.minimum(given["task_length"][benchmark], 1.0)
        # The mean of a length counts from 1; gaps between lengths stand for the lengths in them.
        width = np.log(np.gradient(lengths))
        of_length = (lengths - 1.0) * pt.log(rate) - pt.gammaln(lengths) + width
        log_weight = (-0.5 * _LEVELS[:, None] ** 2 + of_length[None, :]).ravel()
        accuracy = self._accuracy(design, arms, level, given)
        mixed = given["guess"] + (1.0 - given["guess"] - given["slip"]) * accuracy
        easiness = np.repeat(-_LEVELS, len(lengths))
        return TaskLaw(
            log_weight=log_weight - pt.logsumexp(log_weight),
            easiness=easiness[None, :],
            location=pt.log(mixed / (1.0 - mixed))[None],
        )

    def _accuracy(self, design: Design, arms: Sequence[Arm], level: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Success of an attempt of each arm at each node, (walk, level x length)."""
        from ds3bayes.kernels.best_level import success_at_best_level

        llm = np.array([design.llms.index(arm.model) for arm in arms])
        steps = [(arm.max_tokens or np.inf) / design.tokens_per_step for arm in arms]
        budgets, which = np.unique(np.minimum(steps, _ENDLESS), return_inverse=True)
        length = np.array(self.task_lengths, dtype=float)[None, :, None]
        down = np.arange(self.levels_down + 1.0)
        executed = pt.maximum(level[:, None] - down, 2.0)
        # Each level down, sigma ln k skills stand for one; between two whole numbers of skills a task takes either.
        growth = pt.log(given["sigma"]) + pt.log(pt.log(executed[:, :-1]))
        rise = pt.concatenate([pt.zeros_like(executed[:, :1]), pt.cumsum(growth, axis=1)], axis=1)
        skills = pt.maximum(length * pt.exp(rise)[:, None, :], 1.0)
        log_p, log_gamma = hierarchy.smooth_levels(
            given["frontier"][:, None, None], executed, given["skills"], given["sigma"], _log_component
        )
        # Of a step along edges that are there; those to the needed skill and back both have to be.
        step = hierarchy.step_success(skills, 1.0, given["relevance"], given["search"], temperature=1.0)
        success = success_at_best_level(
            _finishing(budgets), _STEP_LOGITS, llm, which, skills, pt.log(step), 2.0 * log_p, log_gamma
        )
        return success.reshape((len(arms), -1))

    def new_tasks(
        self, terms: Mapping[str, np.ndarray], draw: Mapping[str, np.ndarray], uniform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw a level and a length."""
        del draw
        weight = np.exp(terms["log_weight"])
        node = np.minimum(np.searchsorted(np.cumsum(weight) / weight.sum(), uniform[:, 0]), weight.size - 1)
        return terms["easiness"][0, node], terms["location"][0][:, node].T


def _log_failure(concepts: Tensor, kappa: Tensor) -> Tensor:
    return hierarchy.peel(concepts, kappa, temperature=0.05).log_failure


def _log_component(log_degree: Tensor) -> Tensor:
    """`hierarchy.smooth_log_component` from a table, cubic in the log of the mean degree, within 5e-5 of it."""
    table = evaluate(hierarchy.smooth_log_component, _LOG_DEGREES)
    return interpolate(padded(table), neighbours(log_degree, _LOG_DEGREES))


def _finishing(budgets: np.ndarray) -> np.ndarray:
    """Chance that a walk finishes 1, 2, ... skills within budgets of steps, at the logits of a step's success.

    A cubic between the logits is within 2e-4 of the law up to 320 steps.
    """
    whole = np.arange(1.0, _MOST_SKILLS + 1.0)[None, :, None]
    allowed = budgets[:, None, None]
    possible = whole <= allowed
    return np.where(possible, betainc(whole, np.where(possible, allowed - whole + 1.0, 1.0), expit(_STEP_LOGITS)), 0.0)
