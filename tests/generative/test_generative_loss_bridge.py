"""The loss bridge: its location against plain numbers, what it recovers, and LLMs that were never evaluated."""

import warnings

import arviz as az
import numpy as np
import pytensor
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit, logit

import ds3bayes as ds3
from ds3bayes.evals import select, to_table
from ds3bayes.evals.scenarios import training_runs
from ds3bayes.evals.simulate import Simulation
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.capability.loss_bridge import eventual, location_of_new
from ds3bayes.generative.model import assemble
from ds3bayes.theory.evaluate import python_mode

SPEC = ds3.ModelSpec.from_dict(
    {
        "capability": "loss_bridge",
        "population": {"family": "normal", "reachability": False},
        "holdout": [{"where": "train_tokens >= 4e11 and params >= 1e10"}],
    }
)
BEST = "alder-11b-400bt"


def test_location_follows_from_size_and_tokens() -> None:
    evals = training_runs(tasks=3, attempts=2).evals
    design = make_design(evals, SPEC, evals["model"].values == BEST)
    model = assemble(SPEC, design)
    rng = np.random.default_rng(0)
    given = {v.name: rng.uniform(0.5, 1.5, size=v.eval(mode=python_mode()).shape) for v in model.free_RVs}
    given |= {"size_exponent": np.array(0.31), "tokens_exponent": np.array(0.26), "overtraining_onset": np.array(60.0)}
    function = pytensor.function(
        model.free_RVs,
        [model["location"], model["spread"], model["loss"]],
        mode=python_mode(),
        on_unused_input="ignore",
    )
    location, spread, loss = function(*given.values())
    N, D = design.params, design.train_tokens
    size = 406.4 * stats.gmean(N) ** -0.34 * (N / stats.gmean(N)) ** -0.31
    tokens = 410.7 * stats.gmean(D) ** -0.28 * (D / stats.gmean(D)) ** -0.26
    np.testing.assert_allclose(loss, 1.69 + size + tokens, rtol=1e-12)
    step = given["ease"]
    for kind, lost in (("size", size), ("tokens", tokens)):
        margin = given[f"{kind}_margin"]
        enough = expit(margin + given[f"{kind}_slope"] * (lost.mean() - lost))
        step = step + np.log(enough) - np.log(expit(margin))
    kin = np.array([["alder", "birch"].index(name) for name in design.family])
    decline = given["overtraining"] * 0.5 * np.log1p((D / N / 60.0) ** 2)
    step = step + given["family_effect"][kin] - decline
    # The logit of LLMs with counts is the variable; that of the others is drawn around what the bridge says.
    unseen = np.array(design.llms) == BEST
    mine = np.where(unseen, step + given["llm_sd"] * given["llm_effect"], given["llm_effect"])
    np.testing.assert_allclose(location, logit(expit(mine) ** 4), rtol=1e-9)
    variable = model["llm_effect"].owner
    law = pytensor.function(
        model.free_RVs, variable.op.dist_params(variable), mode=python_mode(), on_unused_input="ignore"
    )
    mean, sd = law(*given.values())
    np.testing.assert_allclose(mean, np.where(unseen, 0.0, step), rtol=1e-9)
    np.testing.assert_allclose(sd, np.where(unseen, 1.0, given["llm_sd"]))
    np.testing.assert_allclose(spread, given["task_spread"][0])


def test_what_limits_an_llm_and_what_saturates() -> None:
    """Size does not help an LLM that saw little, nor tokens a small one; both saturate, and decline sets in."""
    design = make_design(training_runs(tasks=3, attempts=2).evals, SPEC)
    given = {name: np.array([value]) for name, value in {
        "ease": 0.3, "size_slope": 20.0, "size_margin": 1.0, "size_exponent": 0.34, "tokens_slope": 20.0,
        "tokens_margin": 1.0, "tokens_exponent": 0.28, "overtraining": 0.0, "overtraining_onset": 1e3, "effect": 0.0,
    }.items()}  # fmt: skip

    def location(params: float, tokens: float, **changed: float) -> float:
        at = given | {name: np.array([value]) for name, value in changed.items()}
        return float(location_of_new(params, tokens, 1.0, design, at)[0])

    # Unlimited, odds are those at the mean losses over the chances that size and tokens suffice there.
    assert location(1e15, 1e18) == pytest.approx(0.3 - 2.0 * np.log(expit(1.0)), abs=0.01)
    # Each tenfold is worth little where the other limits, and much where it limits itself.
    assert location(1e12, 5e9) - location(1e11, 5e9) < 0.1 * (location(1e11, 5e10) - location(1e11, 5e9))
    assert location(1e8, 1e14) - location(1e8, 1e13) < 0.1 * (location(1e9, 1e13) - location(1e8, 1e13))
    # Far below a limit, the logit is linear in the loss due to it.
    tiny = [location(5e7 * x, 1e13) for x in (1.0, 1.1, 1.21)]
    by_size = [406.4 * stats.gmean(design.params) ** 0.0 * (5e7 * x) ** -0.34 for x in (1.0, 1.1, 1.21)]
    np.testing.assert_allclose(np.diff(tiny), -20.0 * np.diff(by_size), rtol=0.02)
    # A thousand tokens per parameter and more: a fall of 0.4 per log.
    long, longer = (location(4e8, ratio * 4e8, overtraining=0.4) - location(4e8, ratio * 4e8) for ratio in (1e5, 1e6))
    assert long - longer == pytest.approx(0.4 * np.log(10.0), rel=1e-3)
    assert location(4e8, 4e8, overtraining=0.4) == pytest.approx(location(4e8, 4e8), abs=1e-3)


@pytest.mark.parametrize("step", [-40.0, 40.0, 700.0])
def test_location_is_finite_far_out(step: float) -> None:
    x = pytensor.tensor.scalar("x")
    value, slope = pytensor.function([x], [eventual(x, 5.0), pytensor.grad(eventual(x, 5.0), x)], mode=python_mode())(
        step
    )
    assert np.isfinite([value, slope]).all()
    assert slope == pytest.approx(5.0 if step < 0 else 1.0, abs=1e-9)


def test_what_a_table_must_say() -> None:
    table = to_table(training_runs(tasks=2, attempts=2).evals)
    with pytest.raises(ds3.InputError, match=r"needs params of every LLM; blank for .* and 7 more"):
        ds3.build_model(ds3.ModelSpec(capability="loss_bridge"), ds3.read_evals(table.drop(columns="params")))
    blank = table.copy()
    blank.loc[blank["model"] == BEST, "train_tokens"] = np.nan
    with pytest.raises(ds3.InputError, match=f"needs train_tokens of every LLM; blank for {BEST}$"):
        ds3.build_model(ds3.ModelSpec(capability="loss_bridge"), ds3.read_evals(blank))
    path = SPEC.model_copy(update={"population": SPEC.population.model_copy(update={"family": "path"}), "holdout": ()})
    with pytest.raises(ds3.InputError, match="with capability 'loss_bridge' use 'split_normal'"):
        ds3.build_model(path, select(ds3.read_evals(table), f"model == '{BEST}'"))


def recovered(made: Simulation, posterior: xr.Dataset) -> dict[str, bool]:
    """Whether the truth lies in the 90 % interval of each parameter that data can tell."""
    truth = made.truth
    family = posterior["family_effect"]
    draws = {
        "task_spread": (posterior["task_spread"][..., 0], truth["spread"]),
        "ease": (posterior["ease"][..., 0] + family.mean("family"), truth["ease"]),
        "size_slope": (posterior["size_slope"], truth["size_slope"]),
        "size_margin": (posterior["size_margin"][..., 0], truth["size_margin"]),
        "tokens_slope": (posterior["tokens_slope"], truth["tokens_slope"]),
        "tokens_margin": (posterior["tokens_margin"][..., 0], truth["tokens_margin"]),
        "family": (family.sel(family="birch") - family.sel(family="alder"), truth["family_difference"]),
        "llm_sd": (posterior["llm_sd"], truth["llm_sd"]),
    }
    for index, name in enumerate(truth["model"].values):
        walk = next(label for label in posterior["walk"].values if str(label).startswith(f"{name} |"))
        draws[f"location {name}"] = (posterior["location"].sel(walk=walk), truth["location"][index])
    inside = {}
    for name, (values, true) in draws.items():
        low, high = np.quantile(values.values, [0.05, 0.95])
        inside[name] = bool(low <= float(true) <= high)
    return inside


def quick_fit(made: Simulation, spec: ds3.ModelSpec = SPEC, draws: int = 250) -> xr.DataTree:
    with warnings.catch_warnings():
        # Few draws suffice where inference is not under test.
        warnings.simplefilter("ignore", ds3.FitWarning)
        return ds3.fit(made.evals, spec, draws=draws, tune=400, chains=2, seed=0, progress=False)


@pytest.fixture(scope="module")
def made() -> Simulation:
    return training_runs(tasks=24, attempts=6, seed=5)


@pytest.fixture(scope="module")
def fit(made: Simulation) -> xr.DataTree:
    return quick_fit(made)


def test_most_truths_lie_in_their_intervals(made: Simulation, fit: xr.DataTree) -> None:
    inside = recovered(made, fit["posterior"].to_dataset())
    # 20 intervals of 90 %: fewer than 14 inside happens once in 400 times if they were independent.
    assert sum(inside.values()) >= 14, inside
    assert int(fit["sample_stats"]["diverging"].sum()) == 0


def test_an_llm_never_seen_is_like_one_held_out(made: Simulation, fit: xr.DataTree) -> None:
    strategies = ["cot", "best_of_n(n=6, verifier=oracle)"]
    row = to_table(made.evals).query("model == @BEST").iloc[0]
    facts = {"params": row["params"], "train_tokens": row["train_tokens"], "family": row["family"]}
    for tasks in ("observed", "new"):
        seen = ds3.predict(fit, strategies, tasks=tasks)["success"].sel(model=BEST)
        unseen = ds3.predict_llms(fit, {"it": facts, "other": facts | {"family": "cedar"}}, strategies, tasks=tasks)
        new = unseen["success"].sel(model="it")
        assert new.dims == ("chain", "draw", "benchmark", "strategy")
        for strategy in strategies:
            a, b = (values.sel(strategy=strategy).squeeze("benchmark", drop=True) for values in (seen, new))
            # Two independent sets of draws: 4 standard errors of each of 8 numbers, a false alarm in 2,000.
            for method, statistic in (("mean", np.mean), ("sd", np.std)):
                error = np.hypot(*(float(az.mcse(values, method=method)) for values in (a, b)))
                assert abs(statistic(a.values) - statistic(b.values)) < 4 * error, method
        spread = unseen["success"].sel(strategy="cot").std(("chain", "draw"))
        assert float(spread.sel(model="other").squeeze()) > float(spread.sel(model="it").squeeze())
    assert "tokens" in unseen.attrs["absent"]
    assert "bridge_against_rivals" in unseen.attrs["evidence"]


def test_more_training_predicts_more_before_the_onset(fit: xr.DataTree) -> None:
    llms = {f"{tokens:g}": {"params": 5e9, "train_tokens": tokens, "family": "alder"} for tokens in (1e10, 5e10, 4e11)}
    mean = ds3.predict_llms(fit, llms, ["cot"], tasks="new")["success"].mean(("chain", "draw")).values.ravel()
    assert (np.diff(mean) > 0).all()


@pytest.mark.parametrize(
    ("llms", "strategies", "said"),
    [
        ({}, ["cot"], "no LLMs; give at least one"),
        ({"a": {"params": 1e9}}, ["cot"], "a: train_tokens must be a number > 0, got None"),
        ({"a": {"params": -1.0, "train_tokens": 1e9}}, ["cot"], "params must be a number > 0, got -1.0"),
        ({"a": {"params": 1e9, "train_tokens": 1e9, "familly": "x"}}, ["cot"], "unknown fact 'familly'.*family"),
        ({"a": {"params": 1e9, "train_tokens": 1e9}}, ["direct"], "no LLM in this fit ran with that setting"),
        ({"a": {"params": 1e9, "train_tokens": 1e9}}, ["tot(branching=2)"], "does not explain tree search"),
    ],
)
def test_what_is_refused(fit: xr.DataTree, llms: dict, strategies: list[str], said: str) -> None:
    with pytest.raises(ds3.InputError, match=said):
        ds3.predict_llms(fit, llms, strategies)


def test_a_fit_of_an_older_form_is_refused(fit: xr.DataTree) -> None:
    older = xr.DataTree.from_dict(
        {
            "/" + name: node.to_dataset() if name != "posterior" else node.to_dataset().drop_vars("size_slope")
            for name, node in fit.children.items()
        }
    )
    older.attrs = fit.attrs
    with pytest.raises(ds3.InputError, match="older form of the loss bridge, without limits; fit its"):
        ds3.predict_llms(older, {"a": {"params": 1e9, "train_tokens": 1e10}}, ["cot"])


@pytest.mark.slow
def test_recovery_over_many_data_sets(posteriors) -> None:
    """Truths differ from data set to data set: intervals that hold one favoured truth too often show nothing."""
    open_spec = SPEC.model_copy(update={"holdout": ()})
    inside: dict[str, list[bool]] = {}
    made = []
    for seed in range(20):
        rng = np.random.default_rng([seed, 3])
        truth = {
            "ease": rng.normal(1.0, 0.7),
            "size_slope": rng.lognormal(np.log(5), 0.4),
            "size_margin": rng.normal(1.0, 0.7),
            "tokens_slope": rng.lognormal(np.log(5), 0.4),
            "tokens_margin": rng.normal(1.0, 0.7),
            "family_difference": rng.normal(0, 0.7),
            "llm_sd": rng.lognormal(np.log(0.25), 0.7),
        }
        made.append(training_runs(tasks=24, attempts=6, seed=100 + seed, **truth))
    for one, posterior in zip(made, posteriors((one.evals for one in made), open_spec), strict=True):
        for name, held in recovered(one, posterior).items():
            inside.setdefault(name.split()[0], []).append(held)
    print({name: round(float(np.mean(held)), 3) for name, held in inside.items()})
    share = np.mean(np.concatenate(list(inside.values())))
    print(f"{sum(map(len, inside.values()))} intervals, {share:.3f} hold the truth")
    # Intervals of one data set are dependent: as if 5 of its 20 were independent, 3 standard errors are .09.
    assert 0.81 <= share <= 0.97
