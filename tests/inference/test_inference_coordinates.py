"""The sampler's coordinates: the same density as the model's own, times the slope of the map between them."""

import numpy as np
import pandas as pd
import pytensor
import pytest

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.model import assemble
from ds3bayes.generative.observation.tokens import TOKEN_VARIATION, tokens_of
from ds3bayes.inference.coordinates import COORDINATES, along_ridges, around_lines, half_centred
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


def with_tokens() -> pd.DataFrame:
    """The same with tokens, whose variation the efforts of an LLM share."""
    table = efforts()
    return table.assign(tokens_mean=np.random.default_rng(5).uniform(100.0, 900.0, len(table)))


@pytest.mark.parametrize(
    ("data", "moves"),
    [(evals("a", "b", "c", "d"), 2), (ds3.read_evals(efforts()), 3), (ds3.read_evals(with_tokens()), 7)],
    ids=["pooled", "efforts", "tokens"],
)
def test_half_centred_density_is_the_models_times_the_slope(data, moves):
    spec = ds3.ModelSpec()
    design = make_design(data, spec)
    plain = assemble(spec, design)
    moved = half_centred(assemble(spec, design))
    wanted = {"anchor_location", "location_rise", "location", "spread", *TOKEN_VARIATION}
    names = wanted & {variable.name for variable in plain.free_RVs}
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
        # PyMC samples what is positive by its log.
        positive = [name for name in values if f"{name}_log__" in {one.name for one in plain.value_vars}]
        own = point | values | {f"{name}_log__": np.log(values[name]) for name in positive}
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


def prompted(prompts: list[float]) -> pd.DataFrame:
    """Counts of two LLMs on tasks with these prompt tokens; the second LLM's generated tokens do not vary."""
    rows = [
        {"model": model, "task": f"t{j}", "tokens_mean": 100.0 * (1 + j * (model == "a")), "prompt_tokens": 4 * at}
        for model in "ab"
        for j, at in enumerate(prompts)
    ]
    return pd.DataFrame(rows).assign(benchmark="b", strategy="cot", attempts=4, successes=2)


@pytest.mark.parametrize("prompts", [[1050.0, 1050.0, 1052.0], [10.0, 400.0, 90.0, 90.0], [7.0]])
def test_density_around_lines_is_the_models_times_the_slope(prompts):
    spec = ds3.ModelSpec()
    design = make_design(ds3.read_evals(prompted(prompts)), spec)
    plain = assemble(spec, design)
    moved = around_lines(assemble(spec, design), design)
    names = ["log_prompt", "prompt_slope"]
    assert not set(names) & {variable.name for variable in moved.free_RVs}
    places = at_points(moved, moved.replace_rvs_by_values([moved[name] for name in names]))
    densities = {model: at_points(model, model.logp()) for model in (plain, moved)}
    start = moved.initial_point()
    rng = np.random.default_rng(0)
    lines = ["log_prompt_standard", "prompt_slope_standard"]
    excess = []
    for _ in range(8):
        point = {name: value + rng.standard_normal(np.shape(value)) for name, value in start.items()}
        at, up, tilted = (
            np.stack(places({name: value + shift.get(name, 0.0) for name, value in point.items()}))
            for shift in ({}, {lines[0]: 1.0}, {lines[1]: 1.0})
        )
        # The map is linear given all else.
        log_slope = np.log(np.abs((up - at)[0] * (tilted - at)[1] - (up - at)[1] * (tilted - at)[0])).sum()
        own = {name: value for name, value in point.items() if name not in lines} | dict(zip(names, at, strict=True))
        assert float(densities[moved](point)) == pytest.approx(float(densities[plain](own)) + log_slope, rel=1e-9)
        # Standard, and independent of all else, whatever the spread is.
        at_zero = point | {name: np.zeros(2) for name in lines}
        excess.append(
            float(densities[moved](point) - densities[moved](at_zero))
            + 0.5 * sum(float((point[name] ** 2).sum()) for name in lines)
        )
    assert excess == pytest.approx([0.0] * 8, abs=1e-6)


def test_lines_with_other_priors_stay_as_they_are():
    spec = ds3.ModelSpec.from_dict({"priors": {"prompt_slope": {"family": "HalfNormal", "sigma": 1}}})
    model = assemble(spec, make_design(ds3.read_evals(prompted([9.0, 8.0])), spec))
    assert around_lines(model, make_design(ds3.read_evals(prompted([9.0, 8.0])), spec)) is model


def test_likelihood_of_prompts_is_that_of_each_task():
    spec = ds3.ModelSpec()
    design = make_design(ds3.read_evals(prompted([10.0, 400.0, 90.0])), spec)
    model = assemble(spec, design)
    (value,) = at_points(model, model.replace_rvs_by_values([model["prompt_tokens"]]))(point := model.initial_point())
    sd = np.hypot(np.exp(point["prompt_sd_log__"]), 0.01)
    total = 0.0
    (block,) = design.blocks
    for arm in range(2):
        mean = point["log_prompt"][arm] + point["prompt_slope"][arm] * (
            tokens_of(block)[0][:, arm] - point["log_tokens"][arm]
        )
        error = (np.log([10.0, 400.0, 90.0]) - mean) / sd[arm]
        total += (-0.5 * error**2 - np.log(sd[arm]) - 0.5 * np.log(2 * np.pi)).sum()
    assert float(value) == pytest.approx(total, rel=1e-12)


def test_prompts_of_one_length_are_no_funnel():
    """Three tasks with prompts of a length: their spread is told from above only, and sampling does not get stuck."""
    table = ds3.read_evals(prompted([1050.0, 1050.0, 1050.0]))
    fit = ds3.fit(table, draws=800, tune=300, chains=2, seed=1)
    assert int(fit["sample_stats"]["diverging"].sum()) == 0
    assert not set(COORDINATES) & set(fit["posterior"])
    # Where generated tokens do not vary either, their unknown slope and mean leave the prompts' mean open.
    assert (np.abs(fit["posterior"]["log_prompt"] - np.log(1050)).median(("chain", "draw")) < 0.1).all()
