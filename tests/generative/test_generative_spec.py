"""Specifications: identity of the model, the way to TOML and back, and what faults say."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import ds3bayes as ds3
from ds3bayes.generative.capability import known_parameters
from ds3bayes.generative.priors import FAMILIES, Prior


def complete(cost):
    """Give layers a width; what needs the number of parameters comes with it."""
    known = cost.pop("architecture", {})
    return cost | known | ({"d_attn": 64} if "n_layer" in known else {})


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
positive = st.floats(1e-6, 1e12)
costs = st.fixed_dictionaries(
    {},
    optional={
        "input_usd": st.floats(0, 1e4),
        "output_usd": st.floats(0, 1e4),
        "tokens_per_second": positive,
        "architecture": st.fixed_dictionaries(
            {"params": positive}, optional={"flop_per_joule": positive, "n_layer": st.integers(1, 200)}
        ),
    },
).map(complete)
priors = st.fixed_dictionaries(
    {},
    optional={
        "location": st.fixed_dictionaries(
            {"family": st.just("Normal"), "mu": st.floats(-50, 50), "sigma": st.floats(0.01, 50)}
        ),
        "spread": st.fixed_dictionaries({"family": st.just("HalfNormal"), "sigma": st.floats(0.01, 50)}),
        "reachability": st.fixed_dictionaries(
            {"family": st.just("Beta"), "alpha": st.floats(0.1, 50), "beta": st.floats(0.1, 50)}
        ),
    },
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "description": names,
        "holdout": st.lists(
            st.fixed_dictionaries(
                {"seed": st.integers(0, 9)}, optional={"where": names, "fraction": st.floats(0.01, 1.0)}
            ),
            max_size=2,
        ),
        "population": st.fixed_dictionaries(
            {"family": st.sampled_from(["split_normal", "normal", "path"]), "reachability": st.booleans()},
            optional={"path_length": st.integers(1, 50), "interaction_dof": st.floats(2.5, 100)},
        ),
        "tokens": st.fixed_dictionaries({}, optional={"tokens_per_step": positive}),
        "priors": priors,
        "costs": st.dictionaries(names, costs, max_size=3),
        "sampling": st.fixed_dictionaries({}, optional={"draws": st.integers(1, 9999), "seed": st.integers(0, 99)}),
        "query": st.fixed_dictionaries(
            {},
            optional={
                "strategies": st.lists(
                    st.sampled_from(
                        ["cot", "majority(n=8)", "best_of_n(n=16, verifier=noisy(d=1.5))", "tot(branching=5)"]
                    ),
                    max_size=3,
                ),
                "max_cost": positive,
                "cost": st.sampled_from(["tokens", "usd"]),
            },
        ),
    },
)


@settings(deadline=None, max_examples=150)
@given(specs)
def test_toml_and_back_is_the_same_spec(tmp_path_factory, content):
    spec = ds3.ModelSpec.from_dict(content)
    path = tmp_path_factory.getbasetemp() / "spec.toml"
    path.write_text(spec.to_toml(), encoding="utf-8")
    assert ds3.ModelSpec.from_toml(path) == spec


@pytest.mark.parametrize("name", ["gpt-4.1", 'a "b"', "a\\b", "日本", "\U0001f600", "del\x7f", "", "a.b", "*", "x\ny"])
def test_odd_model_names_survive_toml(tmp_path, name):
    spec = ds3.ModelSpec.from_dict({"costs": {name: {"output_usd": 1.0}}})
    path = tmp_path / "spec.toml"
    path.write_text(spec.to_toml(), encoding="utf-8")
    assert ds3.ModelSpec.from_toml(path) == spec


def test_a_model_without_costs_stays_without_costs(tmp_path):
    # An empty entry is not nothing: it keeps the price of "*" from a model.
    spec = ds3.ModelSpec.from_dict({"costs": {"*": {"output_usd": 1.0}, "free": {}}})
    path = tmp_path / "spec.toml"
    path.write_text(spec.to_toml(), encoding="utf-8")
    assert ds3.ModelSpec.from_toml(path).cost("free").output_usd is None


@pytest.mark.parametrize("shipped", sorted(path.stem for path in (Path(__file__).parents[2] / "models").glob("*.toml")))
def test_shipped_specs_survive_toml(root, tmp_path, shipped):
    spec = ds3.ModelSpec.from_toml(root / "models" / f"{shipped}.toml")
    assert spec.data is not None
    # Written with the table's place made absolute, since that is relative to the spec's own folder.
    data = spec.data.model_copy(update={"path": str((root / "models" / spec.data.path).resolve())})
    spec = spec.model_copy(update={"data": data})
    path = tmp_path / "spec.toml"
    path.write_text(spec.to_toml(), encoding="utf-8")
    again = ds3.ModelSpec.from_toml(path)
    assert again == spec
    assert again.model_id == spec.model_id


def test_model_id_is_of_the_model_only():
    base = ds3.ModelSpec()
    same = [
        {"name": "another", "description": "words"},
        {"data": {"path": "elsewhere.csv", "where": "attempts > 1"}},
        {"sampling": {"draws": 7}},
        {"query": {"strategies": ["cot"], "success": 0.5}},
        {"costs": {"m": {"output_usd": 3.0}}},
        # The default, spelt out.
        {"priors": {"skew": {"family": "Normal", "mu": 0.0, "sigma": 0.7}}},
    ]
    for content in same:
        assert ds3.ModelSpec.from_dict(content).model_id == base.model_id, content
    other = [
        {"priors": {"skew": {"family": "Normal", "mu": 0.0, "sigma": 0.8}}},
        {"priors": {"location": {"family": "Normal", "mu": 1e-9, "sigma": 3.0}}},
        {"priors": {"location": {"family": "Normal", "mu": -1.0000001, "sigma": 3.0}}},
        {"population": {"family": "normal"}},
        {"population": {"reachability": False}},
        {"population": {"path_length": 3}},
        {"tokens": {"tokens_per_step": 20.0}},
        {"holdout": [{"where": "strategy == 'tot'"}]},
    ]
    ids = [ds3.ModelSpec.from_dict(content).model_id for content in other]
    assert len({base.model_id, *ids}) == len(other) + 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"prior": {}}, ["unknown key 'prior'", "Did you mean 'priors'"]),
        ({"population": {"famly": "normal"}}, ["population.famly", "Did you mean 'family'"]),
        ({"population": {"family": "norml"}}, ["population.family", "'normal'", "got 'norml'"]),
        ({"priors": {"locatoin": {"family": "Normal", "mu": 0, "sigma": 1}}}, ["locatoin", "Did you mean 'location'"]),
        ({"priors": {"location": {"family": "Norml", "mu": 0, "sigma": 1}}}, ["Norml", "Did you mean 'Normal'"]),
        ({"priors": {"location": {"family": "Normal", "mu": 0, "sd": 1}}}, ["Normal takes mu, sigma; got mu, sd"]),
        ({"priors": {"location": {"family": "Normal", "mu": 0, "sigma": 0}}}, ["sigma = 0", "> 0"]),
        (
            {"priors": {"reachability": {"family": "Normal", "mu": 0.8, "sigma": 0.1}}},
            [
                "priors: reachability: Normal(mu=0.8, sigma=0.1)",
                "it is 0 to 1",
                "Allowed: Beta, or Uniform with lower >= 0",
            ],
        ),
        ({"priors": {"reachability": {"family": "Uniform", "lower": 0.5, "upper": 1.5}}}, ["0 to 1", "upper <= 1"]),
        ({"priors": {"slip": {"family": "HalfNormal", "sigma": 0.1}}}, ["slip", "0 to 1", "Allowed: Beta"]),
        (
            {"priors": {"spread": {"family": "StudentT", "nu": 3, "mu": 2, "sigma": 1}}},
            ["spread", "above 0", "Allowed: Beta, Exponential, Gamma, HalfNormal, LogNormal, or Uniform"],
        ),
        ({"priors": {"location": {"family": "Uniform", "lower": 1, "upper": 0}}}, ["lower must be below upper"]),
        ({"sampling": {"draws": 0}}, ["sampling.draws", "got 0"]),
        ({"costs": {"m": {"input": 1.0}}}, ["costs.m.input", "Did you mean 'input_usd'"]),
        ({"query": {"strategies": ["majorty(n=8)"]}}, ["majorty", "Did you mean 'majority'"]),
        ({"query": {"success": 1.5}}, ["query.success", "1.5"]),
        ({"holdout": [{"fraction": 0.0}]}, ["holdout.0.fraction", "got 0.0"]),
    ],
)
def test_faults_name_key_value_and_nearest_name(content, said):
    with pytest.raises(ds3.InputError) as caught:
        ds3.ModelSpec.from_dict(content)
    for part in said:
        assert part in str(caught.value)


def test_every_fault_is_found_at_once():
    with pytest.raises(ds3.InputError, match="3 faults"):
        ds3.ModelSpec.from_dict({"nam": 1, "sampling": {"draws": -1}, "population": {"family": "x"}})


@pytest.mark.parametrize(
    "content",
    [
        {"population": {"interaction_dof": math.inf}},
        {"costs": {"m": {"output_usd": math.inf}}},
        {"tokens": {"tokens_per_step": math.inf}},
    ],
)
def test_infinite_numbers_are_refused(content):
    # A fit stores its spec as JSON, which has no infinity: it could not be loaded again.
    with pytest.raises(ds3.InputError):
        ds3.ModelSpec.from_dict(content)


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        ({"n_layer": 2, "params": 1.0}, "both n_layer and d_attn"),
        ({"n_layer": 2, "d_attn": 3}, "need params"),
        ({"cached_input_usd": 1.0}, "cached_input_usd needs input_usd"),
        ({"flop_per_joule": 1.0}, "flop_per_joule needs params"),
        ({"flop_per_joule": 0.0, "params": 1.0}, "flop_per_joule"),
        ({"output_usd": -1.0}, "output_usd"),
        ({"outputusd": 1.0}, "Did you mean 'output_usd'"),
    ],
)
def test_costs_are_checked(cost, said):
    with pytest.raises(ds3.InputError, match=said):
        ds3.ModelSpec.from_dict({"costs": {"m": cost}})


def test_priors_draw_from_their_law():
    rng = np.random.default_rng(2)
    for name, (prior, _, meaning, *_) in known_parameters().items():
        drawn = prior.draw((4000,), rng)
        assert np.isfinite(drawn).all()
        assert meaning, name
    given = {
        "Beta": (stats.beta(2.0, 3.0), {"alpha": 2.0, "beta": 3.0}),
        "Exponential": (stats.expon(scale=2.0), {"scale": 2.0}),
        "Gamma": (stats.gamma(2.0, scale=1 / 3.0), {"alpha": 2.0, "beta": 3.0}),
        "HalfNormal": (stats.halfnorm(scale=2.0), {"sigma": 2.0}),
        "LogNormal": (stats.lognorm(0.5, scale=np.exp(1.0)), {"mu": 1.0, "sigma": 0.5}),
        "Normal": (stats.norm(1.0, 2.0), {"mu": 1.0, "sigma": 2.0}),
        "StudentT": (stats.t(5.0, 1.0, 2.0), {"nu": 5.0, "mu": 1.0, "sigma": 2.0}),
        "Uniform": (stats.uniform(-1.0, 3.0), {"lower": -1.0, "upper": 2.0}),
    }
    assert set(given) == set(FAMILIES)
    import pymc as pm

    for family, (law, parameters) in given.items():
        prior = Prior(family=family, **parameters)
        # PyMC's density of the same parameters is that of SciPy's law; its constant may be of single precision.
        x = law.ppf([0.1, 0.5, 0.8])
        found = pm.logp(getattr(pm, family).dist(**prior.parameters), x).eval(mode="FAST_COMPILE")
        wanted = law.logpdf(x)
        np.testing.assert_allclose(found - found[0], wanted - wanted[0], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        # A false alarm once in 10^5.
        assert stats.kstest(prior.draw((2000,), rng), law.cdf).pvalue > 1e-5


@pytest.mark.parametrize(
    ("stated", "law"),
    [
        ({"family": "Beta", "alpha": 2.0, "beta": 3.0}, stats.beta(2.0, 3.0)),
        ({"family": "Exponential", "scale": 2.0}, stats.expon(scale=2.0)),
        ({"family": "Gamma", "alpha": 2.0, "beta": 3.0}, stats.gamma(2.0, scale=1 / 3.0)),
        ({"family": "HalfNormal", "sigma": 2.0}, stats.halfnorm(scale=2.0)),
        ({"family": "LogNormal", "mu": 0.3, "sigma": 2.0}, stats.lognorm(2.0, scale=np.exp(0.3))),
        ({"family": "Normal", "mu": 0.3, "sigma": 2.0}, stats.norm(0.3, 2.0)),
        ({"family": "StudentT", "nu": 4.0, "mu": 0.3, "sigma": 2.0}, stats.t(4.0, 0.3, 2.0)),
        ({"family": "Uniform", "lower": -1.0, "upper": 2.0}, stats.uniform(-1.0, 3.0)),
    ],
)
def test_log_densities_and_draws_of_priors_are_those_of_scipy(stated, law):
    prior = Prior.model_validate(stated)
    at = np.array([-0.5, 0.1, 0.5, 0.9, 3.0])
    np.testing.assert_allclose(prior.log_density(at), law.logpdf(at), rtol=1e-12)
    assert stats.kstest(prior.draw((4000,), np.random.default_rng(0)), law.cdf).pvalue > 1e-5
