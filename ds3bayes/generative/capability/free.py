"""Free capability: what each LLM can do is learned from its evaluations alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ds3bayes.deferred import pm, pt
from ds3bayes.generative.capability.base import SharedEasiness, Tensor
from ds3bayes.generative.design import Design
from ds3bayes.generative.priors import Parameter, log, prior
from ds3bayes.generative.settings import Settings

_POOL = ("location_mean", "location_sd")
# The mean of a logistic of Normal(a, b^2) is about that of a / sqrt(1 + _PROBIT b^2).
_PROBIT = (16.0 * np.sqrt(3.0) / (15.0 * np.pi)) ** 2


def mean_stretch(spread: Tensor) -> Tensor:
    """By how much the mean of normal logits is further from 0 than the logit of their mean success, given their sd."""
    return pt.sqrt(1.0 + _PROBIT * spread**2)


def _around(place: np.ndarray, mean: Tensor, sd: Tensor, alone: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Mean and sd of each walk's law: those of its pooled benchmark, or of the prior of a walk alone (place -1)."""
    return pt.switch(place < 0, alone["mu"], mean[place]), pt.switch(place < 0, alone["sigma"], sd[place])


def _pooled_spread(spec: Settings, place: np.ndarray) -> dict[str, Tensor]:
    """Add spreads drawn around their benchmark's, given each walk's pooled benchmark (-1: none), unless a spec says."""
    if "spread" in spec.priors:
        return {}
    median, sd = (
        spec.prior(name).variable(name, dims="pooled_benchmark") for name in ("spread_median", "spread_log_sd")
    )
    law = _around(place, pt.log(median), sd, spec.prior("spread").parameters)
    return {"spread": pm.LogNormal("spread", *law, dims="walk")}


def bare_walks(design: Design) -> list[bool]:
    """Say of every walk whether it is known from aggregates alone."""
    return [not design.blocks[int(design.population_of_arm[arm])].tasks for arm in design.walk_arms]


class Free(SharedEasiness):
    """An LLM's capability is learned from its evaluations alone.

    On a benchmark with few walks each ``location``, the mean logit success of a walk, has its own wide prior. With
    ``pool_from`` walks or more they are drawn from one normal law per benchmark, around the effect of the LLM's
    family where families are given: LLMs with little data borrow from the others. So is the log of ``spread``: how far
    a benchmark's tasks differ is much alike for all LLMs, and few attempts tell little of it. Where LLMs ran at several
    reasoning efforts, it is their level at medium effort that is pooled, and location rises by ``effort_gain`` from one
    effort to the next, so that an effort at which an LLM was not evaluated is predicted from the others. A prior for
    ``location`` in the spec switches pooling off, one for ``spread`` that of spreads. Of a walk that is known from
    aggregates alone the data tell the mean success over tasks; there the prior of ``location`` is one of
    ``mean_logit``, about the logit of that mean, from which ``location`` follows.

    Parameters
    ----------
    pool_from : int, default 4
        Number of walks (LLMs times sampler settings) on a benchmark from which on their locations are pooled.
    """

    kind: Literal["free"] = "free"
    pool_from: int = Field(4, ge=2, description="walks on a benchmark from which on their means are pooled")
    parameters: ClassVar[Mapping[str, Parameter]] = {
        **SharedEasiness.parameters,
        "location": Parameter(
            prior("Normal", mu=-1.0, sigma=3.0), ("walk",), "mean logit of a task's eventual success"
        ),
        "location_mean": Parameter(
            prior("Normal", mu=-1.0, sigma=3.0), ("pooled_benchmark",), "mean over walks of their location"
        ),
        "location_sd": Parameter(
            prior("LogNormal", mu=log(1.5), sigma=0.7),
            ("pooled_benchmark",),
            "sd over walks of their location, within a family where families are given",
        ),
        "spread_median": Parameter(
            SharedEasiness.parameters["spread"].prior, ("pooled_benchmark",), "median over walks of their spread"
        ),
        "spread_log_sd": Parameter(
            prior("LogNormal", mu=log(0.2), sigma=0.5),
            ("pooled_benchmark",),
            "sd over walks of the log of their spread",
        ),
        "effort_location_sd": Parameter(
            prior("LogNormal", mu=log(0.4), sigma=0.5),
            ("pooled_benchmark_by_effort",),
            "sd of location around its trend over an LLM's efforts",
        ),
        "effort_gain": Parameter(
            prior("Normal", mu=0.7, sigma=0.7),
            ("pooled_benchmark_by_effort",),
            "rise of location from one reasoning effort (low, medium, high, ...) to the next, or by doubling a budget",
        ),
        "family_effect": Parameter(
            prior("Normal", mu=0.0, sigma=1.0), ("family",), "how much better LLMs of a family are, on the logit"
        ),
    }

    def coords(self, design: Design, spec: Settings) -> Mapping[str, Sequence[str]]:
        """Return the pooled benchmarks and, if there are several, the families."""
        benchmarks = [design.arms[arm].benchmark for arm in design.walk_arms]
        pooled = [name for name in dict.fromkeys(benchmarks) if benchmarks.count(name) >= self.pool_from]
        if "location" in spec.priors:
            pooled = []
        families = sorted(set(design.family) - {""}) if pooled else []
        trend = [design.arms[arm] for arm in np.flatnonzero(np.isfinite(design.effort_rank))]
        ranked = {arm.benchmark for arm in trend}
        return {
            "pooled_benchmark": pooled,
            "pooled_benchmark_by_effort": [name for name in pooled if name in ranked],
            "ranked_llm": list(dict.fromkeys(arm.pair for arm in trend if arm.benchmark in pooled)),
            "family": families if len(families) > 1 else [],
        }

    def walk_shift(self, design: Design, spec: Settings) -> tuple[Tensor, dict[str, Tensor]]:
        """Return how much the mean of each walk's pooled location differs, and the variables it adds to the model."""
        del design, spec
        return 0.0, {}

    def add(self, design: Design, spec: Settings) -> dict[str, Tensor]:
        """Add location with its own prior, or pooled."""
        coords = self.coords(design, spec)
        pooled, families = coords["pooled_benchmark"], coords["family"]
        alone = spec.prior("location")
        if not pooled:
            given = self.add_population(spec)
            bare = bare_walks(design)
            if any(bare) and spec.population.family != "path":
                # Aggregates tell the mean success over tasks; the location that gives it moves with the spread.
                mean = alone.variable("mean_logit", dims="walk")
                stretch = pt.switch(bare, mean_stretch(given["spread"]), 1.0)
                return {**given, "location": pm.Deterministic("location", mean * stretch, dims="walk")}
            return {**given, "location": alone.variable("location", dims="walk")}
        walks = [design.arms[arm] for arm in design.walk_arms]
        place = np.array([pooled.index(arm.benchmark) if arm.benchmark in pooled else -1 for arm in walks])
        given = {name: spec.prior(name).variable(name, dims="pooled_benchmark") for name in _POOL}
        given |= self.add_population(spec, **_pooled_spread(spec, place))
        mean, sd = _around(place, given["location_mean"], given["location_sd"], alone.parameters)
        if families:
            given["family_effect"] = spec.prior("family_effect").variable("family_effect", dims="family")
            names = [design.family[design.llms.index(arm.model)] for arm in walks]
            member = np.array([families.index(name) if name else -1 for name in names])
            mean = mean + pt.switch((place < 0) | (member < 0), 0.0, given["family_effect"][member])
        shift, effects = self.walk_shift(design, spec)
        given |= effects
        mean = mean + pt.switch(place < 0, 0.0, shift)
        by_effort, llms = coords["pooled_benchmark_by_effort"], list(coords["ranked_llm"])
        if by_effort:
            for name in ("effort_location_sd", "effort_gain"):
                given[name] = spec.prior(name).variable(name, dims="pooled_benchmark_by_effort")
            # LLMs are pooled at medium effort; their efforts stand around a line through that.
            first = [next(i for i, arm in enumerate(walks) if arm.pair == pair) for pair in llms]
            level = pm.Normal("llm_location", mean[first], sd[first], dims="ranked_llm")
            rank = np.where([arm.pair in llms for arm in walks], design.effort_rank[design.walk_arms], np.nan)
            ranked = np.isfinite(rank)
            llm = np.array([llms.index(arm.pair) if one else 0 for arm, one in zip(walks, ranked, strict=True)])
            where = np.array([by_effort.index(arm.benchmark) if arm.benchmark in by_effort else 0 for arm in walks])
            line = level[llm] + given["effort_gain"][where] * np.nan_to_num(rank)
            mean = pt.switch(ranked, line, mean)
            sd = pt.switch(ranked, given["effort_location_sd"][where], sd)
        given["location"] = pm.Normal("location", mean, sd, dims="walk")
        return given
