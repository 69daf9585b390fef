"""A capability and an observation that are written outside the package."""

from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import pymc as pm
import pytest

import ds3bayes as ds3
from ds3bayes.generative import capability, observation
from ds3bayes.generative.capability import SharedEasiness
from ds3bayes.generative.observation import Observation
from ds3bayes.generative.priors import Parameter, prior

ROWS = [
    {"model": f"m{i}", "benchmark": "b", "task": f"t{j}", "strategy": "cot", "attempts": 6, "successes": (i + j) % 7}
    for i in range(3)
    for j in range(8)
]


@pytest.fixture
def evals():
    return ds3.read_evals(pd.DataFrame([row | {"tokens_max": 100.0 + row["successes"]} for row in ROWS]))


class Equal(SharedEasiness):
    """All LLMs are equally capable."""

    kind: Literal["equal_for_test"] = "equal_for_test"
    shift: float = 0.0
    parameters: ClassVar = {
        **SharedEasiness.parameters,
        "level": Parameter(prior("Normal", mu=0.0, sigma=2.0), ("benchmark",), "mean logit success of every LLM"),
    }

    def coords(self, design, spec):
        return {"benchmark": sorted({arm.benchmark for arm in design.arms})}

    def add(self, design, spec):
        given = self.add_population(spec)
        given["level"] = spec.prior("level").variable("level", dims="benchmark")
        given["location"] = pm.Deterministic(
            "location", given["level"][np.zeros(len(design.walk_arms), dtype=int)] + self.shift, dims="walk"
        )
        return given


class Longest(Observation[float]):
    """The longest attempt of all, normal around a mean of its own."""

    name = "longest_for_test"
    parameters: ClassVar = {
        "longest": Parameter(prior("Normal", mu=100.0, sigma=1.0), ("longest_dim",), "mean of the longest attempt")
    }

    def collect(self, rows, arms, spec):
        return float(rows["tokens_max"].max()) if "tokens_max" in rows else None

    def coords(self, data, design):
        return {"longest_dim": ["all"]}

    def add(self, data, design, spec, given, terms):
        pm.Potential("longest_seen", pm.logp(pm.Normal.dist(given["longest"][0], 1.0), data))


@pytest.mark.filterwarnings("ignore::ds3bayes.inference.fit.FitWarning")
def test_a_capability_from_outside(evals):
    capability.register(Equal)
    try:
        spec = ds3.ModelSpec.from_dict({"capability": {"kind": "equal_for_test", "shift": 0.5}})
        assert "level" in spec.parameters
        assert ds3.ModelSpec.from_dict({"capability": "equal_for_test"}).model_id != spec.model_id
        fit = ds3.fit(evals, spec, draws=60, tune=120, chains=2, progress=False)
        location = fit["posterior"]["location"]
        assert (location == location.isel(walk=0)).all()
        np.testing.assert_allclose(location.isel(walk=0), fit["posterior"]["level"].isel(benchmark=0) + 0.5)
        assert set(fit["prior"].data_vars) == set(fit["posterior"].data_vars)
        for tasks in ("observed", "new"):
            pred = ds3.predict(fit, ["cot", "best_of_n(n=4)"], tasks=tasks)
            assert np.isfinite(pred["success"]).all()
        with pytest.raises(ds3.InputError, match="Did you mean 'equal_for_test'"):
            ds3.ModelSpec.from_dict({"capability": "equal_for_tset"})
    finally:
        del capability.CAPABILITIES["equal_for_test"]


@pytest.mark.filterwarnings("ignore::ds3bayes.inference.fit.FitWarning")
def test_an_observation_from_outside(evals):
    observation.register(Longest())
    try:
        spec = ds3.ModelSpec.from_dict({"priors": {"longest": {"family": "Normal", "mu": 90.0, "sigma": 1.0}}})
        fit = ds3.fit(evals, spec, draws=200, tune=200, chains=2, progress=False)
        longest = fit["posterior"]["longest"].values
        # Normal prior times normal likelihood of equal width: half way, with sd sqrt(1/2).
        assert abs(longest.mean() - 98.0) < 4 * np.sqrt(0.5 / 100)
        assert "longest" in fit["prior"]
    finally:
        del observation.OBSERVATIONS["longest_for_test"]
    with pytest.raises(ds3.InputError, match="unknown prior 'longest'"):
        ds3.ModelSpec.from_dict({"priors": {"longest": {"family": "Normal", "mu": 90.0, "sigma": 1.0}}})


def test_names_of_parameters_are_taken_once():
    class Clash(Equal):
        kind: Literal["clash_for_test"] = "clash_for_test"
        parameters: ClassVar = {"reachability": Parameter(prior("Normal", mu=0.0, sigma=2.0), ("benchmark",), "clash")}

    with pytest.raises(ValueError, match="reachability exist in every model"):
        capability.register(Clash)
    assert "clash_for_test" not in capability.CAPABILITIES


def test_llms_are_pooled_by_benchmark_and_family():
    families = {"m0": "x", "m1": "x", "m2": "y", "m3": "y", "m4": ""}
    rows = [
        row | {"model": name, "family": family}
        for row in ROWS
        if row["model"] == "m0"
        for name, family in families.items()
    ]
    evals = ds3.read_evals(pd.DataFrame(rows))
    model = ds3.build_model(ds3.ModelSpec(), evals)
    pooled = {"location_mean", "location_sd", "spread_median", "spread_log_sd"}
    assert pooled | {"family_effect"} <= {one.name for one in model.free_RVs}
    assert list(model.coords["family"]) == ["x", "y"]
    fixed = {"priors": {"location": {"family": "Normal", "mu": 0.0, "sigma": 1.0}}}
    for changes in ({"capability": {"kind": "free", "pool_from": 6}}, fixed):
        model = ds3.build_model(ds3.ModelSpec.from_dict(changes), evals)
        assert not pooled & {one.name for one in model.free_RVs}
