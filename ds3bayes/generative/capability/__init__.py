"""Kinds of capability: how an LLM's capability becomes its success on tasks.

What is latent in each, and what it predicts besides:

* ``"free"`` (default): location and spread of each sampler, pooled over LLMs, families and reasoning efforts; efforts
  at which an LLM was not run
* ``"grouped"``: what groups of tasks, and classes of LLMs, have in common, and what an LLM is good at; success by
  group: ``ds3.predict_by``
* ``"loss_bridge"``: how the loss left by size, and by training tokens, limits skill; families; LLMs never evaluated:
  ``ds3.predict_llms``
* ``"skill_graph"``: mastery of every skill by every LLM, weights of prerequisites; tasks never tried, from their
  skills
* ``"latent_skills"``: a second skill that no table names, in which LLMs differ; tasks an LLM was not run on, from
  LLMs like it
* ``"skill_hierarchy"``: how training compute becomes concepts and levels of skills; levels and lengths of tasks; how
  levels rise with compute

Groups are columns: ``capability = { kind = "grouped", tasks = ["category"], llms = ["family"] }``; groups with few
tasks borrow from the others. ``ds3.predict_by(fit, ["cot"], by="category")`` (``ds3bayes predict run.nc --by
category``) gives success by group beside what was observed; other columns are kept by ``data.task_columns`` and
``data.model_columns`` in the spec.

A skill graph takes options: ``[capability]`` with ``kind = "skill_graph"`` and ``edges = [["counting", "algebra"]]``
(known prerequisites; a cycle is refused and printed) or ``order = [...]`` (to be learned). ``ds3.learned_graph(fit)``
returns masteries and edge probabilities beside those of the prior;
``ds3bayes.reports.graph_figure.plot_learned_graph`` draws them. ``ds3bayes.generative.capability.register`` and
``ds3bayes.generative.observation.register`` add your own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds3bayes.errors import did_you_mean
from ds3bayes.generative.capability.base import Capability, SharedEasiness
from ds3bayes.generative.capability.free import Free
from ds3bayes.generative.capability.grouped import Grouped
from ds3bayes.generative.capability.latent_skills import LatentSkills
from ds3bayes.generative.capability.loss_bridge import LossBridge
from ds3bayes.generative.capability.skill_graph import SkillMastery
from ds3bayes.generative.capability.skill_hierarchy import SkillHierarchy
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.priors import DEFAULTS, DERIVED, Parameter, Quantity
from ds3bayes.generative.task_law import TaskLaw

#: Kinds that a specification can name.
CAPABILITIES: dict[str, type[Capability]] = {}


def register(kind: type[Capability]) -> type[Capability]:
    """Make a kind of capability known to specifications; usable as a class decorator.

    Parameters
    ----------
    kind : type of Capability
        Its field ``kind`` has its name as the default; a kind of the same name is replaced.

    Returns
    -------
    type of Capability
        The same class.

    Raises
    ------
    ValueError
        If one of its parameters has the name of a parameter that all models have.
    """
    taken = sorted(set(kind.parameters) & set(DEFAULTS))
    if taken:
        raise ValueError(f"{kind.__name__}: parameters {', '.join(taken)} exist in every model; choose other names")
    CAPABILITIES[str(kind.model_fields["kind"].default)] = kind
    return kind


for _kind in (Free, Grouped, LatentSkills, LossBridge, SkillMastery, SkillHierarchy):
    register(_kind)


def parse_capability(given: Any) -> Capability:
    """Make a capability from its name, or from a table with its ``kind`` and options.

    Parameters
    ----------
    given : str, mapping or Capability

    Raises
    ------
    ValueError
        If no kind has that name or an option is wrong.
    """
    if isinstance(given, Capability):
        return given
    content = {"kind": given} if isinstance(given, str) else dict(given) if isinstance(given, Mapping) else {}
    name = content.setdefault("kind", "free") if isinstance(given, Mapping) else content.get("kind")
    if name not in CAPABILITIES:
        raise ValueError(
            f"got {given!r}; allowed: {', '.join(CAPABILITIES)}." + did_you_mean(str(name), list(CAPABILITIES))
        )
    return CAPABILITIES[str(name)].model_validate(content)


def known_parameters() -> dict[str, Parameter]:
    """Return every parameter that some model can have, by name."""
    result = dict(DEFAULTS)
    for kind in CAPABILITIES.values():
        result |= kind.parameters
    for observation in OBSERVATIONS.values():
        result |= observation.parameters
    return result


def described(name: str) -> Quantity:
    """Return what a variable of some model means, and its unit; never blank.

    Parameters
    ----------
    name : str
        Of a parameter, or of what a model has beside them.
    """
    known = known_parameters()
    if name in known:
        return Quantity(known[name].meaning, known[name].unit)
    of_parts = [kind.derived for kind in CAPABILITIES.values()] + [one.derived for one in OBSERVATIONS.values()]
    for part in (DERIVED, *of_parts):
        if name in part:
            return part[name]
    return Quantity("follows from other parameters; the part of the model that adds it does not say how", "not stated")


__all__ = [
    "CAPABILITIES",
    "Capability",
    "Free",
    "Grouped",
    "LatentSkills",
    "LossBridge",
    "SharedEasiness",
    "SkillHierarchy",
    "SkillMastery",
    "TaskLaw",
    "described",
    "known_parameters",
    "parse_capability",
    "register",
]
