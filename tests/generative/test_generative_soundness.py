"""Tasks that no attempt of any LLM can solve: against enumeration of who is sound, in draws, predictions and fits."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.task_effects import PopulationAtDraws, new_task_effects, task_effects
from ds3bayes.inference.artifact import prior_draws
from ds3bayes.theory.evaluate import python_mode


def rows(model: str, strategy: str = "cot", attempts: int = 8, **more: Any) -> pd.DataFrame:
    """Counts of one LLM at eight tasks, of which the first two are never solved."""
    rng = np.random.default_rng([*model.encode(), *strategy.encode()])
    solved = rng.binomial(attempts, rng.beta(0.5, 0.5, 8))
    solved[:2] = 0
    table = pd.DataFrame({"task": [f"t{task}" for task in range(8)], "successes": solved, "attempts": attempts})
    return table.assign(model=model, strategy=strategy, benchmark="b", steps=3, **more)


TWO = pd.concat([rows("a"), rows("b", attempts=30)])
# An LLM with two samplers, one with a tree, and one that did not try the first task.
MIXED = pd.concat([rows("a"), rows("a", "direct"), rows("b"), rows("b", "tot", 5, branching=5.0, kept_states=5.0)])
MIXED = pd.concat([MIXED, rows("c").iloc[1:]])
TRACES = TWO.assign(steps_before_error=np.where(TWO["successes"] == 0, "0|1|1|2", ""))
POOLED = pd.concat([rows(model) for model in "abcde"])
TABLES = {
    "two": (TWO, {}),
    "all within reach": (TWO, {"population": {"reachability": False}}),
    "mixed": (MIXED, {}),
    "pooled": (POOLED, {}),
    "latent skills": (POOLED, {"capability": "latent_skills"}),
    "runs": (TWO, {"population": {"overdispersion": True}}),
}


def spec_of(content: dict[str, Any], *, soundness: bool = True) -> ds3.ModelSpec:
    population = content.get("population", {}) | {"soundness": soundness}
    return ds3.ModelSpec.from_dict(content | {"population": population})


def at_prior(table: pd.DataFrame, content: dict[str, Any], draws: int) -> Any:
    """Design, spec and draws of the prior of a table's model, and the log-likelihood of its tasks if all are sound."""
    spec, sure = spec_of(content), spec_of(content, soundness=False)
    evals = ds3.read_evals(table)
    design, posterior = make_design(evals, spec), prior_draws(make_design(evals, spec), spec, 3, draws)
    known = posterior.drop_vars("soundness")
    population = PopulationAtDraws(design, sure, known)
    (block,) = design.blocks
    if_sound = [
        population(0, {str(name): known[name].values[0, at] for name in known.data_vars})["log_marginal"]
        for at in range(draws)
    ]
    return design, spec, posterior, np.stack(if_sound)[:, block.distinct[1]]


@pytest.mark.parametrize("name", TABLES)
def test_the_likelihood_sums_over_who_is_sound(name):
    design, spec, posterior, if_sound = at_prior(*TABLES[name], 5)
    population = PopulationAtDraws(design, spec, posterior)
    (block,) = design.blocks
    never = block.successes.sum(axis=1) == 0
    assert never.sum() == 2
    for at in range(5):
        draw = {str(key): posterior[key].values[0, at] for key in posterior.data_vars}
        sound = float(draw["soundness"][0])
        found = population(0, draw)["log_marginal"][block.distinct[1]]
        expected = np.log(sound * np.exp(if_sound[at]) + (1.0 - sound) * never)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def repeated(posterior: xr.Dataset, draws: int) -> xr.Dataset:
    """Return the first draw, so many times."""
    return posterior.isel(draw=np.zeros(draws, dtype=int)).assign_coords(draw=np.arange(draws))


@pytest.mark.parametrize("name", ["two", "all within reach", "mixed", "latent skills"])
def test_draws_follow_bayes_rule(name):
    table, content = TABLES[name]
    # Hard tasks and failing LLMs, so that either explanation has its share.
    hard = {"location": {"family": "Normal", "mu": -4.0, "sigma": 0.5}} if name == "mixed" else {}
    content = content | {"priors": hard | {"soundness": {"family": "Beta", "alpha": 700.0, "beta": 300.0}}}
    design, spec, posterior, if_sound = at_prior(table, content, 1)
    draws = 4000
    effects = task_effects(design, spec, repeated(posterior, draws), seed=2)
    sound = float(posterior["soundness"].values[0, 0, 0])
    (block,) = design.blocks
    shape = (draws, len(block.tasks), len(block.arms))
    found, reach = (effects[key].values[0].reshape(shape) for key in ("sound", "reachable"))
    assert (found == found[:, :, :1]).all()
    assert (reach <= found).all()
    tree = [design.arms[arm].is_tree for arm in block.arms]
    np.testing.assert_array_equal(reach[:, :, tree], found[:, :, tree])
    solved = block.successes.sum(axis=1) > 0
    assert found[:, solved].min() == 1
    for task in np.flatnonzero(~solved):
        within = sound * math.exp(if_sound[0, task])
        share = within / (within + 1.0 - sound)
        assert 0.01 < share < 0.99
        assert abs(found[:, task, 0].mean() - share) < 4 * math.sqrt(share * (1 - share) / draws)


def test_of_an_unsound_task_counts_say_nothing():
    content = {"priors": {"soundness": {"family": "Beta", "alpha": 300.0, "beta": 700.0}}}
    design, spec, posterior, _ = at_prior(TWO, content, 1)
    effects = task_effects(design, spec, repeated(posterior, 8000), seed=2)
    untouched = new_task_effects(design, spec, posterior, 4096, seed=4)
    for arm in (0, 1):
        at = np.flatnonzero((effects["cell_arm"].values == arm) & (effects["cell_task"].values == "t0"))[0]
        drawn = effects["logit_success"].values[0, :, at][effects["sound"].values[0, :, at] == 0]
        law = untouched["logit_success"].values[0, 0, untouched["cell_arm"].values == arm]
        assert drawn.size > 2000
        # The law of all tasks, of which two are compared: heavy tails, hence the middle of both.
        for p in (0.25, 0.5, 0.75):
            below = (drawn < np.quantile(law, p)).mean()
            assert abs(below - p) < 4 * math.sqrt(p * (1 - p) / drawn.size) + 0.02


def test_traces_of_unsound_tasks_say_where_attempts_fail_within_them():
    """As out of reach: step-level outcomes tell what success would have been."""
    spec = spec_of({})
    design = make_design(ds3.read_evals(TRACES), spec)
    posterior = prior_draws(design, spec, 3, 1)
    draw = {str(name): posterior[name].values[0, 0] for name in posterior.data_vars}
    population = PopulationAtDraws(design, spec, posterior)
    (block,) = design.blocks
    signature = block.distinct[1]

    def of_tasks(soundness: float, reach: float) -> np.ndarray:
        changed = draw | {"soundness": np.array([soundness]), "reachability": np.full(2, reach)}
        return np.exp(population(0, changed)["log_marginal"][signature])

    # Hardly ever within reach of either LLM, or hardly ever sound: the same.
    np.testing.assert_allclose(of_tasks(1 - 1e-12, 1e-9)[:2], of_tasks(1e-9, 0.5)[:2], rtol=1e-6)
    # Linear in soundness.
    one, none = of_tasks(1 - 1e-12, 0.6), of_tasks(1e-12, 0.6)
    np.testing.assert_allclose(of_tasks(0.3, 0.6), 0.3 * one + 0.7 * none, rtol=1e-9)


def test_new_tasks_are_unsound_as_often_as_said():
    design, spec, posterior, _ = at_prior(MIXED, {}, 30)
    fresh = new_task_effects(design, spec, posterior, 256, seed=1)
    shape = (30, 256, len(design.arms))
    sound, reach = (fresh[name].values[0].reshape(shape) for name in ("sound", "reachable"))
    assert (sound == sound[:, :, :1]).all()
    np.testing.assert_allclose(sound[:, :, 0].mean(axis=1), posterior["soundness"].values[0, :, 0], atol=0.02)
    expected = posterior["soundness"].values[0] * posterior["reachability"].values[0]
    pair = design.pair_of_arm
    for place, arm in enumerate(design.blocks[0].arms):
        share = posterior["soundness"].values[0, :, 0] if design.arms[arm].is_tree else expected[:, pair[arm]]
        assert abs(reach[:, :, place].mean(axis=1) - share).max() < 0.04
        assert abs((reach[:, :, place].mean(axis=1) - share).mean()) < 0.005


def test_trees_fail_at_unsound_tasks(prior_fit):
    spec = spec_of({"priors": {"soundness": {"family": "Beta", "alpha": 1.0, "beta": 9.0}}})
    fit = prior_fit(ds3.read_evals(MIXED), spec)
    broken = ds3.suspect_tasks(fit)["broken"].sel(task="t0").item()
    assert broken > 0.5
    tree = "tot(branching=5, kept_states=5)"
    for model in ("a", "b"):
        # Of LLM a no tree was run: it is told from its walk.
        pred = ds3.predict(fit, [tree, "cot"], tasks=["t0"], per_task=True)["success"].sel(model=model)
        nothing = (pred == 0).mean(("chain", "draw")).squeeze()
        assert float(nothing.sel(strategy=tree)) == pytest.approx(broken)
        assert float(nothing.sel(strategy="cot")) >= broken


def test_aggregates_come_from_tasks_of_which_some_are_unsound():
    aggregated = pd.DataFrame(
        {"model": ["a"], "benchmark": "b", "strategy": "cot", "tasks": 30, "attempts": 30, "successes": 9, "steps": 3}
    )
    table = pd.concat([TWO, aggregated], ignore_index=True)
    evals, made = ds3.read_evals(table), {}
    for soundness in (True, False):
        model = ds3.build_model(spec_of({}, soundness=soundness), evals)
        at = {"location": np.zeros(2), "spread": np.array([1.5, 1.2]), "reachability": np.array([0.9, 0.8])}
        at |= {"skew": np.array([0.3]), "interaction_sd": np.array([0.5, 0.4])}
        at |= {"soundness": np.array([0.7])} if soundness else {}
        function = pytensor.function([model[name] for name in at], model["aggregate_success"], mode=python_mode())
        made[soundness] = float(function(*at.values())[0])
    assert made[True] == pytest.approx(0.7 * made[False], rel=1e-9)


def test_it_is_asked_where_llms_share_tasks():
    def model(table: pd.DataFrame, content: dict[str, Any] | None = None) -> Any:
        return ds3.build_model(ds3.ModelSpec.from_dict(content or {}), ds3.read_evals(table))

    several = pd.concat([TWO, rows("a").assign(benchmark="alone"), TWO.assign(benchmark="c")])
    assert list(model(several).coords["shared_benchmark"]) == ["b", "c"]
    assert "soundness" not in model(rows("a")).named_vars
    # Two samplers of one LLM.
    assert "soundness" not in model(pd.concat([rows("a"), rows("a", "direct")])).named_vars
    # Two LLMs with tasks of their own.
    apart = pd.concat([rows("a"), rows("b").assign(task=[f"u{i}" for i in range(8)])])
    assert "soundness" not in model(apart).named_vars
    assert "soundness" not in model(TWO, {"population": {"soundness": False}}).named_vars


# --- what a fit says ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(short_fit) -> tuple[ds3.Simulation, xr.DataTree]:
    simulation = ds3.simulate(
        tasks=60, attempts=10, models=4, location=1.6, spread=1.6, interaction_sd=0.4, soundness=0.88, seed=3
    )
    return simulation, short_fit(simulation.evals)


def test_broken_tasks_are_found(found):
    simulation, fit = found
    sound = simulation.truth["sound"]
    assert 3 <= int((~sound).sum()) <= 12
    drawn = fit["posterior"]["soundness"].values.ravel()
    low, high = np.quantile(drawn, [0.005, 0.995])
    assert low < 0.88 < high
    result = ds3.suspect_tasks(fit)
    assert result.attrs["absent"] == "none"
    broken = result["broken"].sel(task=sound["task"].values)
    # Of tasks that are solved now and then by right, hardly one is never solved by four LLMs in ten attempts each.
    assert float(broken.values[~sound.values].min()) > 0.5
    assert float(broken.values[sound.values].mean()) < 0.05
    solved = result["successes"].sum("model") > 0
    assert float(result["broken"].where(solved).max()) == 0.0
    table = ds3.evals.to_table(simulation.evals)
    counts = table.set_index(["task", "model"])[["attempts", "successes"]]
    for name in counts:
        np.testing.assert_array_equal(result[name].to_series().loc[counts.index], counts[name])


def test_spent_tasks_are_those_that_all_are_sure_to_solve(found):
    _, fit = found
    result = ds3.suspect_tasks(fit, level=0.9)
    share = result["successes"].sum("model") / result["attempts"].sum("model")
    spent = result["spent"]
    assert float(spent.where(share < 0.8).max()) < 0.02
    assert float(spent.where(share == 1).mean()) > 0.3
    assert (ds3.suspect_tasks(fit, level=0.999)["spent"] <= spent).all()


def test_success_of_new_tasks_holds_the_unsound(found):
    _, fit = found
    pred = ds3.predict(fit, ["cot", "pass_power(n=2)", "best_of_n(n=64)"], tasks="new")["success"]
    soundness = float(fit["posterior"]["soundness"].mean())
    assert float(pred.mean(("chain", "draw")).max()) < soundness + 0.01


def test_a_lone_llm_is_not_asked(prior_fit):
    fit = prior_fit(ds3.read_evals(rows("a")))
    result = ds3.suspect_tasks(fit)
    assert np.isnan(result["broken"]).all()
    assert "a lone LLM" in result.attrs["absent"]
    assert np.isfinite(result["spent"]).all()
    off = ds3.suspect_tasks(prior_fit(ds3.read_evals(TWO), spec_of({}, soundness=False)))
    assert "population.soundness = false" in off.attrs["absent"]
    with pytest.raises(ds3.InputError, match="level = 1"):
        ds3.suspect_tasks(fit, level=1.0)


def of_before(fit: xr.DataTree) -> xr.DataTree:
    """Return a fit as a release stored it that did not ask who is sound."""
    content = json.loads(fit.attrs["spec"])
    del content["population"]["soundness"]
    old = fit.copy()
    old["task_effects"] = old["task_effects"].to_dataset().drop_vars("sound")
    old.attrs |= {"schema": 1, "spec": json.dumps(content)}
    return old


def test_a_kept_fit_of_before_loads(prior_fit, tmp_path):
    """The same model, with the same answers."""
    spec = spec_of({}, soundness=False)
    fit = prior_fit(ds3.read_evals(TWO), spec)
    asked = ds3.predict(fit, ["cot"], tasks="new")
    loaded = ds3.load(ds3.save(of_before(fit), tmp_path / "old.nc"), spec)
    xr.testing.assert_allclose(asked, ds3.predict(loaded, ["cot"], tasks="new"))
    seen = ds3.predict(loaded, ["cot"])
    assert float(seen["success"].min()) >= 0
    assert "soundness" not in loaded["posterior"]
    assert "before that was asked" in ds3.suspect_tasks(loaded).attrs["absent"]
    with pytest.raises(ds3.InputError, match=r"population\.soundness: fitted with False, spec has True"):
        ds3.load(tmp_path / "old.nc", ds3.ModelSpec())


def test_a_kept_fit_of_searches_is_refused(prior_fit, tmp_path):
    """What its parameters of trees mean has changed."""
    old = of_before(prior_fit(ds3.read_evals(MIXED), spec_of({}, soundness=False)))
    with pytest.raises(ds3.InputError, match=r"took the outputs of one tree search for independent attempts: refit"):
        ds3.load(ds3.save(old, tmp_path / "old.nc"))


def test_a_kept_fit_of_independent_candidates_loads(prior_fit, tmp_path):
    """Before candidates of tree searches could overlap, a fit was one without overlap."""
    fit = prior_fit(ds3.read_evals(MIXED), spec_of({}))
    for name in ("posterior", "prior"):
        if name in fit:
            fit[name] = fit[name].to_dataset().drop_vars("candidate_overlap")
    fit.attrs = fit.attrs | {"schema": 4}
    loaded = ds3.load(ds3.save(fit, tmp_path / "old.nc"))
    assert (loaded["posterior"]["candidate_overlap"] == 0).all()
    texts = ["tot(branching=5, kept_states=5)", "tot(branching=5, kept_states=5, candidate_overlap=0)"]
    as_it_was, stated = ds3.predict(loaded, texts)["success"].sel(model="b").transpose("strategy", ...)
    np.testing.assert_allclose(as_it_was, stated)
