"""Coordinates along ridges: the same density as the model's own, times the slope of the map between them."""

import numpy as np
import pandas as pd
import pytensor
import pytest

import ds3bayes as ds3
from ds3bayes.generative.build import assemble
from ds3bayes.generative.design import make_design
from ds3bayes.inference.ridges import COORDINATES, along_ridges
from ds3bayes.theory.evaluate import MODE


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
    places = pytensor.function(moved.value_vars, outputs, mode=MODE, on_unused_input="ignore")
    densities = {
        model: pytensor.function(model.value_vars, model.logp(), mode=MODE, on_unused_input="ignore")
        for model in (plain, moved)
    }
    rng = np.random.default_rng(0)
    for _ in range(5):
        point = {
            value.name: 1.5 * rng.standard_normal(moved.initial_point()[value.name].shape) for value in moved.value_vars
        }

        def at(point=point, **shift):
            location, reach = places(*[point[one.name] + shift.get(one.name, 0.0) for one in moved.value_vars])
            # PyMC samples reachability on the logit.
            return np.stack([location, np.log(reach) - np.log1p(-reach)])

        step = 1e-5
        # Each walk's two coordinates move its own location and reachability only.
        slopes = [(at(**{one: step}) - at(**{one: -step})) / (2 * step) for one in COORDINATES]
        log_slope = np.log(np.abs(slopes[0][0] * slopes[1][1] - slopes[0][1] * slopes[1][0])).sum()
        location, logit = at()
        own = point | {name: location, "reachability_logodds__": logit}
        expected = float(densities[plain](*[own[one.name] for one in plain.value_vars])) + log_slope
        # Central differences err by a relative step^2.
        assert float(densities[moved](*[point[one.name] for one in moved.value_vars])) == pytest.approx(
            expected, rel=1e-6, abs=1e-6
        )


def test_models_without_such_a_ridge_stay_as_they_are():
    for data, content in (
        (evals("a", strategies=("cot", "direct")), {}),
        (evals("a"), {"population": {"reachability": False}}),
    ):
        spec = ds3.ModelSpec.from_dict(content)
        design = make_design(data, spec)
        model = assemble(spec, design)
        assert along_ridges(model, design) is model
