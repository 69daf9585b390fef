"""Data swapped into a compiled model give the model of those data."""

import numpy as np
import nutpie
import pandas as pd
import pytensor
import pytest
from pytensor.graph.basic import Constant
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import graph_inputs

import ds3bayes as ds3
from ds3bayes.generative.build import assemble
from ds3bayes.generative.design import make_design
from ds3bayes.inference import compiled
from ds3bayes.inference.compiled import CompiledModel, _share_large, compile_model
from ds3bayes.inference.coordinates import for_sampler
from ds3bayes.theory.evaluate import MODE


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


class Uncompiled:
    """Stands for a compiled model: keeps the PyMC model and the data it was given."""

    def __init__(self, model, data=None):
        self.model, self.data = model, data or {}

    def with_data(self, **data):
        return Uncompiled(self.model, data)

    def log_density(self, seed: int) -> float:
        return log_density(self.model, seed, self.data)


def log_density(model, seed: int, data=None) -> float:
    output = model.logp()
    shared = [one for one in graph_inputs([output]) if one not in model.value_vars]
    shared = [one for one in shared if isinstance(one, pytensor.compile.SharedVariable)]
    for one in shared:
        if data and one.name in data:
            one.set_value(np.asarray(data[one.name], dtype=one.dtype))
    point = model.initial_point()
    rng = np.random.default_rng(seed)
    values = [point[one.name] + 0.3 * rng.standard_normal(np.shape(point[one.name])) for one in model.value_vars]
    return float(pytensor.function(model.value_vars, output, mode=MODE, on_unused_input="ignore")(*values))


@pytest.fixture
def uncompiled(monkeypatch):
    """Count what would be compiled."""
    seen = []
    monkeypatch.setattr(nutpie, "compile_pymc_model", lambda model: seen.append(model) or Uncompiled(model))
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
def test_swapped_data_are_the_models_own(uncompiled, layout, spec):
    spec = ds3.ModelSpec.from_dict(spec)
    first, other = (make_design(evals(seed, **layout), spec) for seed in (1, 2))
    model = compile_model(first, spec)
    assert model.compiled.log_density(5) == pytest.approx(log_density(sampled(spec, first), 5), rel=1e-11)
    swapped = model.of(other)
    assert len(uncompiled) == 1
    expected = log_density(sampled(spec, other), 5)
    assert swapped.compiled.log_density(5) == pytest.approx(expected, rel=1e-11)
    # The data matter.
    assert abs(expected - log_density(sampled(spec, first), 5)) > 1e-3


def test_numbers_of_distinct_tasks_and_names_may_change(uncompiled):
    spec = ds3.ModelSpec()
    model = compile_model(make_design(evals(1), spec), spec)
    for changed in (evals(2, attempts=40), evals(3, tasks=30), evals(4, names="other ")):
        design = make_design(changed, spec)
        swapped = model.of(design)
        assert swapped.coords["walk"] == [design.labels[0]]
        assert swapped.compiled.log_density(1) == pytest.approx(log_density(sampled(spec, design), 1), rel=1e-11)
    nobody = evals(1).assign(successes=("row", np.zeros(12, dtype=int)))
    design = make_design(nobody, spec)
    assert model.of(design).compiled.log_density(1) == pytest.approx(log_density(sampled(spec, design), 1), rel=1e-11)
    assert len(uncompiled) == 1


def test_single_tasks_share_code(uncompiled):
    # Their numbers are all real ones: no whole number is read.
    spec = ds3.ModelSpec()
    first, other = (make_design(evals(1, tasks=1).assign(successes=("row", [solved])), spec) for solved in (2, 4))
    model = compile_model(first, spec).of(other)
    assert len(uncompiled) == 1
    assert model.compiled.log_density(5) == pytest.approx(log_density(sampled(spec, other), 5), rel=1e-11)


@pytest.mark.parametrize(("largest", "kept_out"), [(10**6, False), (500, True)])
def test_large_arrays_are_kept_out_of_the_code(uncompiled, monkeypatch, largest, kept_out):
    monkeypatch.setattr(compiled, "_LARGEST_CONSTANT", largest)
    spec = ds3.ModelSpec()
    design = make_design(evals(1, models=3), spec)
    model = compile_model(design, spec, swap=False)
    arrays = graph_inputs([uncompiled[0].logp()])
    shared = [one for one in arrays if one.name and one.name.startswith("table_")]
    assert (len(shared) > 0) == kept_out
    assert all(one.get_value().nbytes > largest for one in shared)
    assert not [one for one in arrays if isinstance(one, Constant) and np.asarray(one.data).nbytes > largest]
    assert model.compiled.log_density(5) == pytest.approx(log_density(sampled(spec, design), 5), rel=1e-11)


def test_another_structure_is_compiled_anew(uncompiled):
    spec = ds3.ModelSpec()
    model = compile_model(make_design(evals(1), spec), spec)
    for changed in (evals(1, models=2), evals(1, tokens=True)):
        other = model.of(make_design(changed, spec))
        assert isinstance(other, CompiledModel)
        assert other.structure != model.structure
    assert len(uncompiled) == 3


def test_other_priors_are_another_structure():
    design = make_design(evals(1), ds3.ModelSpec())
    wide = ds3.ModelSpec.from_dict({"priors": {"location": {"family": "Normal", "mu": 0.0, "sigma": 9.0}}})
    structures = [compiled._structure(assemble(spec, design))[0] for spec in (ds3.ModelSpec(), wide, ds3.ModelSpec())]
    assert structures[0] != structures[1]
    assert structures[0] == structures[2]


def test_compiling_makes_no_large_constants():
    """Rows of 900 tasks at 161 nodes are 1.2 MB: code that holds them is compiled anew by every process."""
    design = make_design(evals(6, tasks=900, tokens=True), ds3.ModelSpec())
    model = sampled(ds3.ModelSpec(), design)
    _share_large(model)
    inputs = graph_inputs([rewrite_graph(model.logp(), include=("canonicalize",))])
    assert max(np.asarray(one.data).nbytes for one in inputs if isinstance(one, Constant)) < 10**6
