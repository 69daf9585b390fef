"""Trends over reasoning efforts: an effort at which an LLM was not evaluated is predicted from the others."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.evals import to_table
from ds3bayes.generative.arrange import make_design


def evals(efforts: dict[str, tuple[str, ...]], gain: float = 1.2, seed: int = 0) -> xr.Dataset:
    """Counts and tokens of LLMs whose logit rises by a gain, and tokens by half, from one effort to the next."""
    rng = np.random.default_rng(seed)
    ease = rng.normal(0.0, 1.5, 30)
    order = ["low", "medium", "high", "xhigh"]
    rows = []
    for llm, named in efforts.items():
        level = rng.normal(-0.5, 0.5)
        for effort in named:
            place = order.index(effort) - 1 if effort in order else 0
            q = 1 / (1 + np.exp(-(level + gain * place + ease)))
            tokens = np.exp(8.0 + 0.5 * place - 0.3 * ease / 1.5 + 0.1 * rng.standard_normal(30))
            rows += [
                (llm, f"t{task}", effort, 8, int(rng.binomial(8, q[task])), float(tokens[task])) for task in range(30)
            ]
    columns = ["model", "task", "effort", "attempts", "successes", "tokens_mean"]
    return ds3.read_evals(pd.DataFrame(rows, columns=columns).assign(benchmark="b", strategy="cot"))


FOUR = {"a": ("low", "medium", "high"), "b": ("low", "medium"), "c": ("low", "medium"), "d": ("medium",)}


def test_only_named_efforts_of_llms_that_ran_at_several_make_a_trend() -> None:
    design = make_design(evals(FOUR), ds3.ModelSpec())
    places = {"low": -1, "medium": 0, "high": 1}
    assert design.effort_rank.tolist() == [places[arm.effort] for arm in design.arms]
    table = to_table(evals({"a": ("medium", "high")}))
    table["budget_tokens"] = np.where(table["effort"] == "high", 32000, 8000)
    by_budget = make_design(ds3.read_evals(table.assign(effort="")), ds3.ModelSpec())
    assert sorted(by_budget.effort_rank) == [-1, 1]
    for efforts in ({"a": ("medium",), "b": ("high",)}, {"a": ("8k", "32k")}):
        assert np.isnan(make_design(evals(efforts), ds3.ModelSpec()).effort_rank).all()


def test_an_effort_that_was_held_out_is_predicted_from_the_others() -> None:
    data = evals(FOUR)
    spec = ds3.ModelSpec.from_dict(
        {"holdout": [{"where": "effort == 'high'"}], "population": {"reachability": False, "family": "normal"}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds3.FitWarning)
        fit = ds3.fit(data, spec, draws=250, tune=400, chains=2, seed=0, progress=False)
    gain = fit["posterior"]["effort_gain"].values.ravel()
    assert np.quantile(gain, 0.005) < 1.2 < np.quantile(gain, 0.995)
    assert np.mean(gain > 0) > 0.95
    held = ds3.observed_vs_predicted(fit).query("rows == 'held out'")
    assert set(held["quantity"]) == {"success per attempt", "any of 8 attempts right", "tokens per attempt"}
    assert held["inside"].all(), held
    # How far an LLM's tokens vary over tasks and attempts comes from its other efforts, so that no few draws rule the
    # mean: it would be 1.5 medians if draws had a log-sd of .9, more than twice that of the trend over efforts.
    tokens = ds3.predict(fit, ["cot(effort=high)"])["tokens"].sel(model="a").squeeze()
    assert float(tokens.mean()) < 1.5 * float(tokens.median())
    # A prediction, not a shrug: intervals of success are narrower than half of all there is.
    of_success = held[held["quantity"] == "success per attempt"]
    assert (of_success["upper"] - of_success["lower"]).max() < 0.5


def test_what_priors_believe_needs_no_fit() -> None:
    data = evals(FOUR)
    beliefs = ds3.prior_beliefs(data, draws=100)
    assert set(beliefs["quantity"]) == {
        "success per attempt",
        "tasks hardly ever solved",
        "tasks almost always solved",
        "tokens per unit",
    }
    assert (beliefs["5%"] <= beliefs["50%"]).all()
    assert (beliefs["50%"] <= beliefs["95%"]).all()
    sure = ds3.prior_beliefs(
        data,
        ds3.ModelSpec.from_dict(
            {
                "population": {"reachability": False},
                "priors": {"location": {"family": "Normal", "mu": 3.0, "sigma": 0.1}},
            }
        ),
        draws=100,
    )
    of_success = sure[sure["quantity"] == "success per attempt"]
    assert (of_success["5%"] > 0.6).all()


def test_predictions_that_rest_on_the_prior_are_named(prior_fit) -> None:
    table = pd.DataFrame([("t1", 2, 1), ("t2", 2, 0)], columns=["task", "attempts", "successes"])
    few = ds3.read_evals(table.assign(model="a", benchmark="b", strategy="cot"))
    spec = ds3.ModelSpec.from_dict(
        {"population": {"reachability": False}, "priors": {"location": {"family": "Normal", "mu": 5.0, "sigma": 1.0}}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds3.FitWarning)
        fit = ds3.fit(few, spec, draws=400, tune=400, chains=2, seed=0, progress=False)
    outcome = next(one for one in ds3.check(fit) if one.name == "dependence on the prior")
    assert outcome.passed
    assert outcome.table["prior"].max() > 0.05
    assert outcome.sentence.startswith("1 of 1 predictions depend on the prior")
    assert outcome.table["prediction"].tolist() == ["success of a | b | cot"]


@pytest.mark.parametrize("json", [False, True])
def test_the_command_line_draws_from_priors(json: bool, root) -> None:
    from typer.testing import CliRunner

    from ds3bayes.cli import app

    arguments = ["validate", str(root / "models" / "gsm8k_voting.toml"), "--prior", *(["--json"] if json else [])]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "tasks hardly ever solved" in result.output
