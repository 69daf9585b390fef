"""Trends over reasoning efforts: an effort at which an LLM was not evaluated is predicted from the others."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.evals import to_table
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Rungs
from ds3bayes.generative.ladder import rise


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
        {
            "holdout": [{"where": "effort == 'high'"}],
            "population": {"reachability": False, "soundness": False, "family": "normal"},
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds3.FitWarning)
        fit = ds3.fit(data, spec, draws=250, tune=400, chains=2, seed=0, progress=False)
    gain = fit["posterior"]["effort_gain"].values.ravel()
    # Of 8,000 draws 1.235 is the quantile at .995; 500 tell that of .002 at best.
    assert np.quantile(gain, 0.002) < 1.2 < np.quantile(gain, 0.998)
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
                "population": {"reachability": False, "soundness": False},
                "priors": {"location": {"family": "Normal", "mu": 3.0, "sigma": 0.1}},
            }
        ),
        draws=100,
    )
    # It is a prior of medium effort, from which the others rise or fall.
    of_success = sure[(sure["quantity"] == "success per attempt") & sure["sampler"].str.contains("medium")]
    assert len(of_success) == 4
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


def test_values_of_rungs_are_those_of_the_anchor_and_the_rises_between() -> None:
    design = make_design(evals({"a": ("low", "medium", "high", "xhigh"), "b": ("high", "xhigh")}), ds3.ModelSpec())
    rungs = Rungs.of(design, design.walk_arms)
    assert [design.arms[arm].effort for arm in rungs.anchors] == ["medium", "high"]
    # Any values of the arms follow from those of the anchors and the differences between neighbours.
    values = np.random.default_rng(0).normal(size=len(design.arms))
    rises = values[rungs.high] - values[rungs.low]
    assert np.allclose(values[list(rungs.anchors)][rungs.anchor] + rungs.climbed @ rises, values[list(rungs.arms)])
    low, high = rungs.ranks(design)
    assert sorted(zip(low, high, strict=True)) == [(-1, 0), (0, 1), (1, 2), (1, 2)]


def test_efforts_and_budgets_are_trends_of_their_own() -> None:
    table = to_table(evals({"a": ("low", "medium"), "b": ("medium", "high")}))
    paced = to_table(evals({"c": ("medium", "high")})).assign(budget_tokens=lambda rows: 8000.0, effort="")
    paced["budget_tokens"] = np.repeat([8000.0, 32000.0], 30)
    data = ds3.read_evals(pd.concat([table, paced]))
    design = make_design(data, ds3.ModelSpec())
    assert sorted((ladder.by_budget, ladder.rank) for ladder in design.ladders) == [
        (False, (-1.0, 0.0)),
        (False, (0.0, 1.0)),
        (True, (-1.0, 1.0)),
    ]
    model = ds3.build_model(ds3.ModelSpec(), data)
    assert {"effort_gain", "doubling_gain", "effort_tokens", "doubling_tokens"} <= set(model.named_vars)
    assert "doubling_gain" not in ds3.build_model(ds3.ModelSpec(), ds3.read_evals(table)).named_vars


def test_rises_shrink_from_step_to_step() -> None:
    gain, decay = np.array([0.8]), np.array([0.5])
    steps = [rise(gain, decay, rank, rank + 1)[0] for rank in range(-2, 3)]
    assert steps[2] == pytest.approx(0.8)
    assert np.allclose(np.divide(steps[1:], steps[:-1]), np.exp(-0.5))
    # Two steps are one of twice the length, and half a step is part of it.
    assert rise(gain, decay, -1, 1)[0] == pytest.approx(steps[1] + steps[2])
    assert rise(gain, decay, 0, 0.5)[0] + rise(gain, decay, 0.5, 1)[0] == pytest.approx(0.8)
