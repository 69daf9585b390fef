"""The sampler's coordinates: the same density as the model's own, times the slope of the map between them."""

import numpy as np
import pandas as pd
import pytensor
import pytest

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.model import assemble
from ds3bayes.inference.coordinates import COORDINATES, along_ridges, half_centred
from ds3bayes.theory.evaluate import python_mode


def evals(*models: str, aggregated: bool = False, strategies: tuple[str, ...] = ("cot",)):
    rng = np.random.default_rng(2)
    rows = [
        {"model": model, "benchmark": "b", "task": "" if aggregated else f"t{j}", "strategy": strategy, "attempts": 4}
        for model in models
        for strategy in strategies
        for j in range(1 if aggregated else 6)
    ]
    table = pd.DataFrame(rows).assign(successes=rng.integers(0, 5, len(rows)))
    return ds3.read_evals(table.assign(tasks=4) if aggregated else table)


def at_points(model, outputs):
    """Return a function of a point, by names of the model's values, that evaluates expressions of these values."""
    function = pytensor.function(model.value_vars, outputs, mode=python_mode(), on_unused_input="ignore")
    return lambda point: function(*[point[one.name] for one in model.value_vars])


@pytest.mark.parametrize(
    ("data", "name"),
    [(evals("a"), "location"), (evals("a", "b"), "location"), (evals("a", aggregated=True), "mean_logit")],
)
def test_density_is_the_models_times_the_slope(data, name):
    spec = ds3.ModelSpec()
    design = make_design(data, spec)
    plain = assemble(spec, design)
    moved = along_ridges(assemble(spec, design), design)
    assert name not in {variable.name for variable in moved.free_RVs}
    outputs = moved.replace_rvs_by_values([moved[name], moved["reachability"]])
    places = at_points(moved, outputs)
    densities = {model: at_points(model, model.logp()) for model in (plain, moved)}
    rng = np.random.default_rng(0)
    for _ in range(5):
        point = {
            value.name: 1.5 * rng.standard_normal(moved.initial_point()[value.name].shape) for value in moved.value_vars
        }

        def at(point=point, **shift):
            location, reach = places({one: value + shift.get(one, 0.0) for one, value in point.items()})
            # PyMC samples reachability on the logit.
            return np.stack([location, np.log(reach) - np.log1p(-reach)])

        step = 1e-5
        # Each walk's two coordinates move its own location and reachability only.
        slopes = [(at(**{one: step}) - at(**{one: -step})) / (2 * step) for one in COORDINATES if one in point]
        log_slope = np.log(np.abs(slopes[0][0] * slopes[1][1] - slopes[0][1] * slopes[1][0])).sum()
        location, logit = at()
        own = point | {name: location, "reachability_logodds__": logit}
        expected = float(densities[plain](own)) + log_slope
        # Central differences err by a relative step^2.
        assert float(densities[moved](point)) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_models_without_such_a_ridge_stay_as_they_are():
    for data, content in (
        (evals("a", strategies=("cot", "direct")), {}),
        (evals("a"), {"population": {"reachability": False}}),
    ):
        spec = ds3.ModelSpec.from_dict(content)
        design = make_design(data, spec)
        model = assemble(spec, design)
        assert along_ridges(model, design) is model


def efforts() -> pd.DataFrame:
    """Counts of two LLMs of two families at three efforts on a benchmark, and of one of them on another."""
    rng = np.random.default_rng(3)
    rows = [
        {"model": f"m{llm}", "family": f"f{llm}", "benchmark": "b", "task": f"t{j}", "effort": effort}
        for llm in range(2)
        for effort in ("low", "medium", "high")
        for j in range(4)
    ]
    rows += [{"model": "m0", "family": "f0", "benchmark": "c", "task": f"u{j}"} for j in range(4)]
    table = pd.DataFrame(rows).assign(strategy="cot", attempts=5)
    return table.assign(successes=rng.integers(0, 6, len(rows)))


@pytest.mark.parametrize(
    ("data", "moves"),
    [(evals("a", "b", "c", "d"), 2), (ds3.read_evals(efforts()), 3)],
    ids=["pooled", "efforts"],
)
def test_half_centred_density_is_the_models_times_the_slope(data, moves):
    spec = ds3.ModelSpec()
    design = make_design(data, spec)
    plain = assemble(spec, design)
    moved = half_centred(assemble(spec, design))
    names = {"anchor_location", "location_rise", "location", "spread"} & {variable.name for variable in plain.free_RVs}
    assert len(names) == moves
    assert not names & {variable.name for variable in moved.free_RVs}
    order = sorted(names)
    scales = at_points(plain, plain.replace_rvs_by_values([plain[name].owner.inputs[-1] for name in order]))
    places = at_points(moved, moved.replace_rvs_by_values([moved[name] for name in order]))
    densities = {model: at_points(model, model.logp()) for model in (plain, moved)}
    start = moved.initial_point()
    rng = np.random.default_rng(0)
    for _ in range(5):
        point = {name: value + rng.standard_normal(np.shape(value)) for name, value in start.items()}
        values = dict(zip(order, places(point), strict=True))
        # PyMC samples spread by its log.
        own = point | values | {"spread_log__": np.log(values["spread"])}
        # A value moves by the root of its scale when its coordinate moves by one.
        log_slope = sum(
            0.5 * np.log(np.broadcast_to(scale, values[name].shape)).sum()
            for name, scale in zip(order, scales(own), strict=True)
        )
        expected = float(densities[plain](own)) + log_slope
        assert float(densities[moved](point)) == pytest.approx(expected, rel=1e-10)


def test_values_of_known_scale_stay_as_they_are():
    for data, content in (
        (evals("a", "b"), {}),
        (
            evals("a", "b", "c", "d"),
            {
                "priors": {
                    "location": {"family": "Normal", "mu": 0, "sigma": 1},
                    "spread": {"family": "HalfNormal", "sigma": 3},
                }
            },
        ),
    ):
        spec = ds3.ModelSpec.from_dict(content)
        model = assemble(spec, make_design(data, spec))
        assert half_centred(model) is model
