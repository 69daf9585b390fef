"""Free capability: what each LLM can do is learned from its evaluations alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ds3bayes.deferred import pm, pt
from ds3bayes.generative.capability.base import SharedEasiness, Tensor
from ds3bayes.generative.design import Arm, Design, Ladder, Rungs
from ds3bayes.generative.ladder import rise
from ds3bayes.generative.priors import Parameter, Quantity, log, prior
from ds3bayes.generative.settings import Settings

_POOL = ("location_mean", "location_sd")
#: Parameters of a trend: the rise of one step from rank 0 on, how fast rises shrink, and how far LLMs and steps differ.
_OF_RISES = (
    ("gain", "rise of location {step}", "logit"),
    ("decay", "how fast that shrinks: a step further up it is exp(-decay) times as large", "per step"),
    ("location_sd", "sd of an LLM's rise of location {step} around that", "logit"),
)
# Prefix of the names, what is asked for, the step, and the priors. Words were given their meaning by providers, so that
# a step among them is as large as they chose; a doubling of a budget is a doubling.
_RISES = (
    (
        "effort",
        "effort",
        "from medium to high effort",
        (
            prior("Normal", mu=0.7, sigma=0.5),
            prior("LogNormal", mu=log(0.5), sigma=0.5),
            prior("LogNormal", mu=log(0.4), sigma=0.5),
        ),
    ),
    (
        "doubling",
        "budget",
        "by doubling an asked budget of 16,000 tokens",
        (
            prior("Normal", mu=0.4, sigma=0.3),
            prior("LogNormal", mu=log(0.15), sigma=0.5),
            prior("LogNormal", mu=log(0.2), sigma=0.5),
        ),
    ),
)
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


def _trend(
    ladder: Ladder, given: Mapping[str, Tensor], coords: Mapping[str, Sequence[str]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gain, decay and sd of the trend that a ladder follows."""
    prefix, what, *_ = _RISES[ladder.by_budget]
    place = list(coords[f"benchmark_by_{what}"]).index(ladder.benchmark)
    return tuple(given[f"{prefix}_{name}"][place] for name, *_ in _OF_RISES)  # type: ignore[return-value]


def _benchmarks(design: Design, *, by_budget: bool) -> list[str]:
    """Benchmarks that have ladders of one kind."""
    return list(dict.fromkeys(one.benchmark for one in design.ladders if one.by_budget == by_budget))


def _own_spread(design: Design, rungs: Rungs) -> list[int]:
    """Walks with a spread of their own: aggregates tell none, so bare rungs of a ladder have that of its anchor."""
    bare = dict(zip(design.walk_arms, bare_walks(design), strict=True))
    return [arm for arm in rungs.arms if arm in rungs.anchors or not bare[arm]]


def bare_walks(design: Design) -> list[bool]:
    """Say of every walk whether it is known from aggregates alone."""
    return [not design.blocks[int(design.population_of_arm[arm])].tasks for arm in design.walk_arms]


class Free(SharedEasiness):
    """An LLM's capability is learned from its evaluations alone.

    On a benchmark with few walks each ``location``, the mean logit success of a walk, has its own wide prior. With
    ``pool_from`` walks or more they are drawn from one normal law per benchmark, around the effect of the LLM's
    family where families are given: LLMs with little data borrow from the others. So is the log of ``spread``: how far
    a benchmark's tasks differ is much alike for all LLMs, and few attempts tell little of it. Where LLMs ran at several
    reasoning efforts or asked budgets, it is their level at medium effort (16,000 tokens) that is pooled. Location
    rises from one effort to the next, or by doubling a budget, by an amount of the LLM's own around the benchmark's
    trend, whose steps shrink towards the top by exp(-decay) each: so an effort at which an LLM was not evaluated is
    predicted from its others. Named efforts and budgets have trends and priors of their own. A prior for
    ``location`` in the spec switches pooling off (along efforts and budgets it is one of the level at medium effort),
    one for ``spread`` that of spreads. Of a walk that is known from aggregates alone the data tell the mean success
    over tasks; there the prior of ``location`` is one of ``mean_logit``, about the logit of that mean, from which
    ``location`` follows.

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
            prior("Normal", mu=-1.0, sigma=3.0),
            ("walk",),
            "mean logit of a task's eventual success",
            unit="logit",
        ),
        "location_mean": Parameter(
            prior("Normal", mu=-1.0, sigma=3.0),
            ("pooled_benchmark",),
            "mean over walks of their location",
            unit="logit",
        ),
        "location_sd": Parameter(
            prior("LogNormal", mu=log(1.5), sigma=0.7),
            ("pooled_benchmark",),
            "sd over walks of their location, within a family where families are given",
            unit="logit",
        ),
        "spread_median": Parameter(
            SharedEasiness.parameters["spread"].prior,
            ("pooled_benchmark",),
            "median over walks of their spread",
            unit="logit",
        ),
        "spread_log_sd": Parameter(
            prior("LogNormal", mu=log(0.2), sigma=0.5),
            ("pooled_benchmark",),
            "sd over walks of the log of their spread",
            unit="log ratio",
        ),
        **{
            f"{prefix}_{name}": Parameter(law, (f"benchmark_by_{what}",), meaning.format(step=step), unit=unit)
            for prefix, what, step, laws in _RISES
            for (name, meaning, unit), law in zip(_OF_RISES, laws, strict=True)
        },
        "family_effect": Parameter(
            prior("Normal", mu=0.0, sigma=1.0),
            ("family",),
            "how much better LLMs of a family are, on the logit",
            unit="logit",
        ),
    }
    derived: ClassVar[Mapping[str, Quantity]] = {
        "anchor_location": Quantity("location of the effort or budget from which an LLM's others rise", "logit"),
        "location_rise": Quantity("rise of an LLM's location between neighbouring efforts or budgets", "logit"),
        "mean_logit": Quantity("logit of the mean success over tasks, of walks that are known by aggregates", "logit"),
        "anchor_mean_logit": Quantity(
            "logit of the mean success over tasks at the effort or budget from which others rise", "logit"
        ),
        "own_spread": Quantity(
            "sd over tasks of the logit of eventual success, one for all rungs of a ladder", "logit"
        ),
    }

    def coords(self, design: Design, spec: Settings) -> Mapping[str, Sequence[str]]:
        """Return the pooled benchmarks, those with trends and their rungs and, if there are several, the families."""
        benchmarks = [design.arms[arm].benchmark for arm in design.walk_arms]
        pooled = [name for name in dict.fromkeys(benchmarks) if benchmarks.count(name) >= self.pool_from]
        if "location" in spec.priors:
            pooled = []
        families = sorted(set(design.family) - {""}) if pooled else []
        rungs = Rungs.of(design, design.walk_arms)
        climbs = bool(rungs.steps)
        return {
            "pooled_benchmark": pooled,
            "benchmark_by_effort": _benchmarks(design, by_budget=False),
            "benchmark_by_budget": _benchmarks(design, by_budget=True),
            "anchor_walk": [design.labels[arm] for arm in rungs.anchors] if climbs else [],
            "walk_rung": rungs.labels(design),
            "spread_walk": [design.labels[arm] for arm in _own_spread(design, rungs)] if climbs and not pooled else [],
            "family": families if len(families) > 1 else [],
        }

    def walk_shift(self, walks: Sequence[Arm], design: Design, spec: Settings) -> tuple[Tensor, dict[str, Tensor]]:
        """Return how much the mean of some walks' pooled location differs, and the variables it adds to the model."""
        del walks, design, spec
        return 0.0, {}

    def add(self, design: Design, spec: Settings) -> dict[str, Tensor]:
        """Add location with its own prior, or pooled; along efforts and budgets by its rises."""
        coords = self.coords(design, spec)
        pooled, families = coords["pooled_benchmark"], coords["family"]
        alone = spec.prior("location")
        rungs = Rungs.of(design, design.walk_arms)
        climbs = bool(rungs.steps)
        # Locations are those of the ladders' anchors and of walks in none, from which the others rise.
        walks = [design.arms[arm] for arm in rungs.anchors]
        name, dim = ("anchor_location", "anchor_walk") if climbs else ("location", "walk")
        given: dict[str, Tensor] = {}
        for prefix, what, *_ in _RISES:
            if coords[f"benchmark_by_{what}"]:
                given |= {
                    f"{prefix}_{of}": spec.prior(f"{prefix}_{of}").variable(
                        f"{prefix}_{of}", dims=f"benchmark_by_{what}"
                    )
                    for of, *_ in _OF_RISES
                }
        if not pooled:
            if climbs:
                own = _own_spread(design, rungs)
                of_own = spec.prior("spread").variable("own_spread", dims="spread_walk")
                owner = [
                    own.index(arm if arm in own else rungs.anchors[start])
                    for arm, start in zip(rungs.arms, rungs.anchor, strict=True)
                ]
                given["spread"] = pm.Deterministic("spread", of_own[owner], dims="walk")
            given = self.add_population(spec, **given)
            bare = bare_walks(design)
            if any(bare) and spec.population.family != "path":
                # Aggregates tell the mean success over tasks; the location that gives it moves with the spread.
                anchor = alone.variable("anchor_mean_logit" if climbs else "mean_logit", dims=dim)
                stretch = pt.switch(bare, mean_stretch(given["spread"]), 1.0)
                if climbs:
                    rises = self._rises(design, rungs, given, coords)
                    location = stretch * anchor[rungs.anchor] + pt.dot(rungs.climbed, rises)
                else:
                    location = anchor * stretch
                return {**given, "location": pm.Deterministic("location", location, dims="walk")}
            anchor = alone.variable(name, dims=dim)
        else:
            place = np.array([pooled.index(arm.benchmark) if arm.benchmark in pooled else -1 for arm in walks])
            every = [design.arms[arm].benchmark for arm in design.walk_arms]
            of_spread = np.array([pooled.index(one) if one in pooled else -1 for one in every])
            given |= {one: spec.prior(one).variable(one, dims="pooled_benchmark") for one in _POOL}
            given = self.add_population(spec, **given, **_pooled_spread(spec, of_spread))
            mean, sd = _around(place, given["location_mean"], given["location_sd"], alone.parameters)
            if families:
                given["family_effect"] = spec.prior("family_effect").variable("family_effect", dims="family")
                names = [design.family[design.llms.index(arm.model)] for arm in walks]
                member = np.array([families.index(name) if name else -1 for name in names])
                mean = mean + pt.switch((place < 0) | (member < 0), 0.0, given["family_effect"][member])
            shift, effects = self.walk_shift(walks, design, spec)
            given |= effects
            mean = mean + pt.switch(place < 0, 0.0, shift)
            if climbs:
                # LLMs are pooled at medium effort, or at 16,000 tokens; the trend says what an anchor lacks.
                mean = mean + self._below(rungs, place, given, coords)
            anchor = pm.Normal(name, mean, sd, dims=dim)
        if not climbs:
            return {**given, "location": anchor}
        location = anchor[rungs.anchor] + pt.dot(rungs.climbed, self._rises(design, rungs, given, coords))
        return {**given, "location": pm.Deterministic("location", location, dims="walk")}

    def _rises(
        self, design: Design, rungs: Rungs, given: Mapping[str, Tensor], coords: Mapping[str, Sequence[str]]
    ) -> Tensor:
        """Add the rises of location between neighbouring rungs, each LLM's own around the trend, (step,)."""
        low, high = rungs.ranks(design)
        parts = [_trend(one, given, coords) for one in rungs.steps]
        gain, decay, sd = (pt.stack([part[place] for part in parts]) for place in range(3))
        return pm.Normal("location_rise", rise(gain, decay, low, high), sd * np.sqrt(high - low), dims="walk_rung")

    @staticmethod
    def _below(
        rungs: Rungs, place: np.ndarray, given: Mapping[str, Tensor], coords: Mapping[str, Sequence[str]]
    ) -> Tensor:
        """What the trend says of the anchors of pooled walks, relative to medium effort."""
        terms: list[Tensor] = []
        for at, ladder in zip(place, rungs.ladder, strict=True):
            rank = 0.0 if ladder is None else ladder.rank[ladder.arms.index(ladder.anchor)]
            if at < 0 or ladder is None or rank == 0.0:
                terms.append(pt.as_tensor(0.0))
            else:
                gain, decay, _ = _trend(ladder, given, coords)
                terms.append(rise(gain, decay, 0.0, rank))
        return pt.stack(terms)
