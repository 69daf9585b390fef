"""Data swapped into a compiled model give the model of those data."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.engine import tape
from ds3bayes.engine.density import density_of
from ds3bayes.engine.fallback import EngineWarning
from ds3bayes.engine.library import MachineError
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.model import assemble
from ds3bayes.inference import compiled
from ds3bayes.inference.compiled import CompiledModel, compile_model
from ds3bayes.inference.coordinates import for_sampler
from ds3bayes.theory.evaluate import python_mode


def evals(seed: int, *, models: int = 1, tasks: int = 12, attempts: int = 6, tokens: bool = False, names: str = "m"):
    rng = np.random.default_rng(seed)
    rows = [
        {"model": f"{names}{i}", "benchmark": "b", "task": f"t{j}", "strategy": "cot", "attempts": attempts}
        for i in range(models)
        for j in range(tasks)
    ]
    table = pd.DataFrame(rows).assign(successes=rng.binomial(attempts, rng.beta(0.5, 0.5, len(rows))))
    if tokens:
        table["tokens_mean"] = np.exp(6 + 0.3 * rng.standard_normal(len(rows)))
    return ds3.read_evals(table)


def sampled(spec, design):
    """The model in the coordinates that it is sampled in."""
    return for_sampler(assemble(spec, design), design)


def log_density(model, seed: int) -> tuple[float, np.ndarray]:
    """A model's log density by PyTensor alone, and the point that it is at."""
    point = model.initial_point()
    rng = np.random.default_rng(seed)
    values = [point[one.name] + 0.3 * rng.standard_normal(np.shape(point[one.name])) for one in model.value_vars]
    function = pytensor.function(model.value_vars, model.logp(), mode=python_mode(), on_unused_input="ignore")
    return float(function(*values)), np.concatenate([np.ravel(value) for value in values])


def check(compiled: CompiledModel, spec, design, seed: int = 5) -> float:
    """Hold a compiled model against PyTensor's value of the design's own; return that."""
    expected, point = log_density(sampled(spec, design), seed)
    assert compiled.density.tape.log_density(point)[0] == pytest.approx(expected, rel=1e-12)
    return expected


@pytest.fixture
def programs(monkeypatch):
    """Count the programs that are made."""
    seen = []
    made = compiled.Program.of

    def of(model, data=()):
        seen.append(made(model, data))
        return seen[-1]

    monkeypatch.setattr(compiled.Program, "of", of)
    return seen


@pytest.mark.parametrize(
    ("layout", "spec"),
    [
        ({}, {}),
        ({}, {"population": {"family": "path"}}),
        ({"models": 3}, {}),
        ({"models": 2, "tokens": True}, {"population": {"path_length": 4}}),
        ({"models": 3}, {"capability": "latent_skills"}),
    ],
)
def test_swapped_data_are_the_models_own(programs, layout, spec):
    spec = ds3.ModelSpec.from_dict(spec)
    first, other = (make_design(evals(seed, **layout), spec) for seed in (1, 2))
    model = compile_model(first, spec)
    before = check(model, spec, first)
    after = check(model.of(other), spec, other)
    assert len(programs) == 1
    # The data matter.
    assert abs(after - before) > 1e-3


def test_numbers_of_distinct_tasks_and_names_may_change(programs):
    spec = ds3.ModelSpec()
    model = compile_model(make_design(evals(1), spec), spec)
    nobody = evals(1).assign(successes=("row", np.zeros(12, dtype=int)))
    for changed in (evals(2, attempts=40), evals(3, tasks=30), evals(4, names="other "), nobody):
        design = make_design(changed, spec)
        swapped = model.of(design)
        assert swapped.coords["walk"] == [design.labels[0]]
        check(swapped, spec, design)
    assert len(programs) == 1


def test_single_tasks_share_a_program(programs):
    # Their numbers are all real ones: no whole number is read.
    spec = ds3.ModelSpec()
    first, other = (make_design(evals(1, tasks=1).assign(successes=("row", [solved])), spec) for solved in (2, 4))
    check(compile_model(first, spec).of(other), spec, other)
    assert len(programs) == 1


def test_another_structure_is_made_anew(programs):
    spec = ds3.ModelSpec()
    model = compile_model(make_design(evals(1), spec), spec)
    for changed in (evals(1, models=2), evals(1, tokens=True)):
        other = model.of(make_design(changed, spec))
        assert isinstance(other, CompiledModel)
        assert other.structure != model.structure
    assert len(programs) == 3


def test_other_priors_are_another_structure():
    design = make_design(evals(1), ds3.ModelSpec())
    wide = ds3.ModelSpec.from_dict({"priors": {"location": {"family": "Normal", "mu": 0.0, "sigma": 9.0}}})
    structures = [compiled._structure(assemble(spec, design))[0] for spec in (ds3.ModelSpec(), wide, ds3.ModelSpec())]
    assert structures[0] != structures[1]
    assert structures[0] == structures[2]


def test_a_user_s_own_variables_run_on_the_machine():
    spec = ds3.ModelSpec()
    design = make_design(evals(1), spec)
    model = assemble(spec, design)
    with model:
        extra = pm.Normal("extra", 0.0, 1.0, shape=3)
        pm.Potential("mine", -pt.exp(extra).sum())
        pm.Data("given", np.arange(3.0))
        pm.Poisson("counts", pt.exp(extra + model["given"]), observed=[1, 2, 9])
    density = density_of(model)
    expected, point = log_density(model, 3)
    assert density.tape.log_density(point)[0] == pytest.approx(expected, rel=1e-12)
    assert "extra" in density.names


def test_what_the_machine_lacks_is_compiled_by_nutpie(monkeypatch):
    """One line names it, and the draws are of the same posterior."""

    def with_sorted(spec, design):
        model = assemble(spec, design)
        with model:
            pair = pt.stack([model["location"].sum(), 0.0])
            pm.Potential("sorted", (pt.sort(pair) * np.array([1e-9, 2e-9])).sum())
        return model

    # The smallest model: numba takes a minute for larger ones.
    spec = ds3.ModelSpec.from_dict({"population": {"family": "normal", "reachability": False}})
    design = make_design(evals(1), spec)
    sampling = spec.sampling.model_copy(update={"draws": 200, "tune": 200, "chains": 2})
    plain = compile_model(design, spec, swap=False).sample(sampling)["posterior"]
    monkeypatch.setattr(compiled, "assemble", with_sorted)
    with pytest.warns(EngineWarning, match="Sort"):
        other = compile_model(design, spec, swap=False)
    drawn = other.sample(sampling)["posterior"]
    assert set(drawn.data_vars) == set(plain.data_vars)
    for name in drawn.data_vars:
        assert drawn[name].dims == plain[name].dims
    apart = abs(float(drawn["location"].mean()) - float(plain["location"].mean()))
    assert apart < 0.5 * float(plain["location"].std())


def test_a_machine_that_cannot_be_loaded_falls_back(monkeypatch):
    def broken():
        raise MachineError("the library is damaged: reinstall ds3bayes")

    monkeypatch.setattr(tape, "load", broken)
    monkeypatch.setattr(compiled, "Fallback", lambda model: model)
    spec = ds3.ModelSpec()
    with pytest.warns(EngineWarning, match="damaged: reinstall"):
        compile_model(make_design(evals(1), spec), spec, swap=False)


def test_the_same_seed_gives_the_same_draws_on_any_number_of_cores():
    spec = ds3.ModelSpec()
    sampling = spec.sampling.model_copy(update={"draws": 50, "tune": 100, "chains": 3, "seed": 4})
    first, *others = (
        compile_model(make_design(evals(1), spec), spec, swap=False).sample(sampling, cores=cores)["posterior"]
        for cores in (1, 2, 2)
    )
    for other in others:
        xr.testing.assert_identical(first.to_dataset(), other.to_dataset())


def test_the_same_seed_gives_the_same_draws_in_another_process(capsys):
    code = """
import hashlib
import numpy as np, pandas as pd
import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.inference.compiled import compile_model
table = pd.DataFrame({"task": list("abcdef"), "successes": [0, 1, 2, 3, 1, 4]})
evals = ds3.read_evals(table.assign(model="m", benchmark="b", strategy="cot", attempts=4))
spec = ds3.ModelSpec()
sampling = spec.sampling.model_copy(update={"draws": 50, "tune": 100, "chains": 2, "seed": 4})
drawn = compile_model(make_design(evals, spec), spec, swap=False).sample(sampling)["posterior"]
whole = hashlib.sha256()
for name in sorted(drawn.data_vars):
    whole.update(np.ascontiguousarray(drawn[name].values).tobytes())
print(whole.hexdigest())
"""
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert len(other.strip()) == 64
    exec(code, {})
    assert capsys.readouterr().out == other
