"""Every shipped spec and capability runs on the machine, with PyTensor's log density and gradient."""

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest

import ds3bayes as ds3
from ds3bayes.engine.density import density_of
from ds3bayes.engine.tape import Tape
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.model import assemble
from ds3bayes.inference.coordinates import for_sampler
from ds3bayes.theory.evaluate import python_mode

SPECS = [
    *("game24", "math500_selection", "gsm8k_voting", "claude37_budget", "training_runs", "skill_graph", "aime_effort"),
    # Its graph takes PyTensor half a minute.
    pytest.param("training_grid", marks=pytest.mark.slow),
]
POINTS = 20


def model_of(spec, evals):
    design = make_design(evals, spec, spec.held_out_rows(evals))
    return for_sampler(assemble(spec, design), design)


def joint(models: int, attempts: int):
    rng = np.random.default_rng(models)
    table = pd.DataFrame(
        [(f"m{i}", f"t{j}") for i in range(models) for j in range(12)], columns=["model", "task"]
    ).assign(benchmark="b", strategy="cot", attempts=attempts)
    return ds3.read_evals(table.assign(successes=rng.binomial(attempts, rng.beta(0.5, 0.5, len(table)))))


def compare(model, points: int = POINTS):
    """Value to 1e-12, gradient to 1e-10 and along a line by finite differences, at points around the start."""
    density = density_of(model)
    # PyTensor's Python mode adds no more than 32 terms at once.
    total = pt.stack([term.sum() for term in model.logp(sum=False)]).sum()
    oracle = pytensor.function(
        model.value_vars, [total, *pytensor.grad(total, model.value_vars)], mode=python_mode(), on_unused_input="ignore"
    )
    shapes = [value.shape for value in model.initial_point().values()]
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    rng = np.random.default_rng(0)
    for _ in range(points):
        point = density.start + 0.5 * rng.normal(size=density.dim)
        parts = [point[i:j].reshape(shape) for i, j, shape in zip(ends[:-1], ends[1:], shapes, strict=True)]
        value, *slopes = oracle(*parts)
        found, gradient = density.tape.log_density(point)
        assert found == pytest.approx(float(value), rel=1e-12)
        wanted = np.concatenate([np.ravel(one) for one in slopes])
        np.testing.assert_allclose(gradient, wanted, rtol=1e-10, atol=1e-10 * np.abs(wanted).max())
    direction = rng.normal(size=density.dim)
    above, below = (density.tape.log_density(point + step * direction)[0] for step in (1e-6, -1e-6))
    size = np.abs(gradient) @ np.abs(direction) + abs(found)
    assert abs((above - below) / 2e-6 - gradient @ direction) < 1e-5 * size
    return density


@pytest.mark.parametrize("name", SPECS)
def test_shipped_specs(root, name):
    spec = ds3.ModelSpec.from_toml(root / f"models/{name}.toml")
    density = compare(model_of(spec, spec.data.read()))
    point = density.start[None] + 0.1
    values = dict(zip(density.names, density.variables.evaluate(point), strict=True))
    assert all(np.isfinite(one).all() for one in values.values())


@pytest.mark.parametrize(
    ("models", "attempts", "spec"),
    [
        (1, 5, {}),
        (1, 5, {"population": {"family": "path"}}),
        (2, 5, {}),
        (5, 5, {}),
        (3, 4000, {}),
        (3, 5, {"capability": "latent_skills"}),
        (2, 5, {"population": {"family": "normal", "reachability": False}}),
    ],
)
def test_other_models(models, attempts, spec):
    compare(model_of(ds3.ModelSpec.from_dict(spec), joint(models, attempts)))


def test_a_wrong_model_is_found(monkeypatch):
    """One instruction of game24-like models done by another's code."""
    made = Tape.__init__

    def wrong(self, *, table, **others):
        codes = dict(zip(others["names"], table["code"], strict=True))
        table["code"][others["names"].index("softplus")] = codes["exponential"]
        made(self, table=table, **others)

    model = model_of(ds3.ModelSpec(), joint(2, 5))
    monkeypatch.setattr(Tape, "__init__", wrong)
    with pytest.raises(AssertionError):
        compare(model, 1)
