"""Predictions: laws that hold whatever the fit, and arithmetic of costs."""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit
from scipy.stats import kstest

import ds3bayes as ds3
from ds3bayes.inference.artifact import design_of, evals_of

DIMS = ("chain", "draw", "model", "benchmark", "strategy")
# What rounding may do to a probability.
EPS = 1e-9


def success(pred: xr.Dataset, label: str) -> np.ndarray:
    return pred["success"].sel(strategy=label).values


@pytest.fixture(scope="module")
def efforts(prior_fit) -> xr.DataTree:
    """Two LLMs, one at two efforts and one at a budget, on shared tasks."""
    rng = np.random.default_rng(0)
    rows = []
    settings = [("a", "low", None), ("a", "high", None), ("b", "", 4000)]
    for model, effort, budget in settings:
        for task in range(6):
            row = {"model": model, "benchmark": "aime", "task": f"p{task}", "strategy": "cot", "effort": effort}
            rows.append(
                row
                | {"max_tokens": budget, "attempts": 8, "successes": int(rng.integers(0, 9))}
                | {"tokens_mean": float(rng.uniform(500, 3000))}
            )
    return prior_fit(ds3.read_evals(pd.DataFrame(rows)))


# --- success ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", ["observed", "new"])
def test_success_is_a_probability_and_dims_are_named(game24_fit, tasks):
    strategies = ["cot", "direct", "best_of_n(n=5)", "best_of_n(n=100, verifier=noisy(d=2))", "pass_power(n=3)"]
    strategies += ["tot(branching=5, kept_states=5)", "tot(branching=3)", "majority(n=2)"]
    pred = ds3.predict(game24_fit, strategies, tasks=tasks)
    assert pred["success"].dims == DIMS
    assert pred.sizes["strategy"] == len(strategies)
    for name in ("success", "tokens", "usd"):
        values = pred[name].values
        assert np.isfinite(values).all(), name
        assert values.min() >= 0
        assert pred[name].attrs["units"]
    assert pred["success"].max() <= 1
    assert pred.attrs["tasks"] == tasks


def test_tasks_that_only_others_were_tried_at(prior_fit):
    """They tell how easy a task is; what is left of an LLM's success there follows the law of its own effects."""
    tried = {"a": [8, 8, 0, 0, 5], "b": [8, 7, 0, 1, 6], "c": [6, None, 1, None, None]}
    rows = [
        {"model": model, "benchmark": "b", "task": f"t{task}", "strategy": "cot", "attempts": 8, "successes": right}
        for model, counts in tried.items()
        for task, right in enumerate(counts)
        if right is not None
    ]
    fit = prior_fit(ds3.read_evals(pd.DataFrame(rows)), draws=2000)
    predicted = ds3.predict(fit, ["cot"], per_task=True)["success"].isel(benchmark=0, strategy=0).sel(model="c")
    assert predicted.notnull().all()
    assert predicted.sel(task="t1").mean() > predicted.sel(task="t3").mean() + 0.2
    effects, posterior = fit["task_effects"].to_dataset(), fit["posterior"].to_dataset()
    arm = [one.model for one in design_of(fit).arms].index("c")
    mine = effects.isel(cell=np.flatnonzero(effects["cell_arm"].values == arm))
    mine = mine.assign_coords(cell=mine["cell_task"].values)
    xr.testing.assert_allclose(
        predicted.drop_vars(["model", "benchmark", "strategy", "extrapolated"]).rename(task="cell"),
        (expit(mine["logit_success"]) * mine["reachable"]).drop_vars(["cell_task", "cell_arm", "cell_block"]),
    )
    own = posterior.sel(walk="c | b | cot", linked_arm="c | b | cot", drop=True)
    for task in ("t1", "t3"):
        at = mine.sel(cell=task)
        centre = own["location"] + own["spread"] * at["easiness"]
        apart = ((at["logit_success"] - centre) / own["interaction_sd"]).values
        # Further out the nodes of logit success end.
        assert kstest(apart[np.abs(centre.values) < 12], "t", args=(7,)).pvalue > 1e-3


def test_best_of_n_rises_and_pass_power_falls(game24_fit):
    n = [1, 2, 5, 20, 100, 1000]
    strategies = ["cot", *[f"best_of_n(n={k})" for k in n], *[f"pass_power(n={k})" for k in n]]
    pred = ds3.predict(game24_fit, strategies)
    cot = success(pred, "cot")
    best = [success(pred, f"best_of_n(n={k}, verifier=oracle)") for k in n]
    power = [success(pred, f"pass_power(n={k})") for k in n]
    np.testing.assert_allclose(best[0], cot, rtol=1e-12)
    np.testing.assert_allclose(power[0], cot, rtol=1e-12)
    for low, high in itertools.pairwise(best):
        assert np.all(high >= low - EPS)
    for high, low in itertools.pairwise(power):
        assert np.all(low <= high + EPS)


def test_a_better_verifier_never_hurts(game24_fit):
    gaps = [0.0, 0.5, 1.0, 2.0, 4.0]
    pred = ds3.predict(game24_fit, ["cot", *[f"best_of_n(n=8, verifier=noisy(d={d}))" for d in gaps], "best_of_n(n=8)"])
    values = pred["success"].values[..., 1:]
    np.testing.assert_allclose(values[..., 0], success(pred, "cot"), rtol=1e-8)
    assert np.all(np.diff(values, axis=-1) >= -EPS)


def test_coverage_is_the_mean_over_tasks_of_the_formula(simulated_fit):
    pred = ds3.predict(simulated_fit, ["cot", "best_of_n(n=7)"], per_task=True)
    effects = simulated_fit["task_effects"]
    q = 1 / (1 + np.exp(-effects["logit_success"])) * effects["reachable"]
    at = pred["success"].squeeze(["model", "benchmark"], drop=True).sel(task=effects["cell_task"].values)
    np.testing.assert_allclose(at.sel(strategy="cot").transpose("chain", "draw", "task"), q, rtol=1e-12)
    covered = at.sel(strategy="best_of_n(n=7, verifier=oracle)").transpose("chain", "draw", "task")
    np.testing.assert_allclose(covered, 1 - (1 - q) ** 7, rtol=1e-9, atol=1e-15)


def test_majority_wins_where_attempts_are_mostly_right(simulated_fit):
    pred = ds3.predict(simulated_fit, ["cot", "majority(n=1)", "majority(n=9)"], per_task=True)
    np.testing.assert_allclose(success(pred, "majority(n=1)"), success(pred, "cot"), rtol=1e-12)
    likely = success(pred, "cot") > 0.5
    # Above one half the right answer is the likeliest, so an odd vote can only gain.
    assert np.all(success(pred, "majority(n=9)")[likely] >= success(pred, "cot")[likely] - EPS)


def test_majority_needs_answer_counts(game24_fit):
    with pytest.raises(ds3.InputError, match="wrong_answer_counts"):
        ds3.predict(game24_fit, ["majority(n=8)"])
    ds3.predict(game24_fit, ["majority(n=8, wrong_shares=[0.5, 0.5])"])


@pytest.mark.parametrize("which", ["simulated_fit", "game24_fit"])
def test_per_task_mean_is_the_mean(request, which):
    fit = request.getfixturevalue(which)
    whole = ds3.predict(fit, per_task=False)
    tasks = ds3.predict(fit, per_task=True)
    assert tasks["success"].dims == (*DIMS, "task")
    for name in whole.data_vars:
        np.testing.assert_allclose(tasks[name].mean("task"), whole[name], rtol=1e-12)


def test_named_tasks(game24_fit):
    every = ds3.predict(game24_fit, ["cot"], per_task=True)
    names = [str(every["task"].values[3]), str(every["task"].values[70])]
    some = ds3.predict(game24_fit, ["cot"], tasks=names, per_task=True)
    assert sorted(some["task"].values) == sorted(names)
    xr.testing.assert_equal(some["success"].sel(task=names), every["success"].sel(task=names))
    mean = ds3.predict(game24_fit, ["cot"], tasks=names)
    np.testing.assert_allclose(mean["success"], every["success"].sel(task=names).mean("task"), rtol=1e-12)


def test_new_tasks_are_the_population(simulated_fit):
    new = ds3.predict(simulated_fit, ["cot"], tasks="new", new_tasks=1024)["success"]
    posterior = simulated_fit["posterior"].to_dataset()
    rng = np.random.default_rng(0)
    chain, draw = 1, 17
    at = posterior.isel(chain=chain, draw=draw).squeeze(drop=True)
    left, right = np.exp(at["skew"].item() / 2), np.exp(-at["skew"].item() / 2)
    size = 200_000
    half = np.abs(rng.standard_normal(size))
    from_mode = np.where(rng.random(size) < left / (left + right), -left * half, right * half)
    centre, sd = np.sqrt(2 / np.pi) * (right - left), np.sqrt((1 - 2 / np.pi) * (right - left) ** 2 + 1)
    logit = at["location"].item() + at["spread"].item() * (from_mode - centre) / sd
    q = at["reachability"].item() / (1 + np.exp(-logit))
    # 4 standard errors of the check, and of 1024 points were they random: scrambled Sobol points do better.
    spread = np.hypot(q.std(), q.mean() * np.sqrt((1 - at["reachability"].item()) / at["reachability"].item()))
    assert abs(new.isel(chain=chain, draw=draw).item() - q.mean()) < 4 * q.std() / np.sqrt(size) + 2 * spread / np.sqrt(
        1024
    )


def test_outcomes_are_noisier_than_expectations(simulated_fit):
    expected = ds3.predict(simulated_fit, ["cot"])["success"]
    read = ds3.predict(simulated_fit, ["cot"], outcome=True)["success"]
    assert np.allclose(read * 60 % 1, 0) or np.allclose((read * 60).round(), read * 60)
    # Variance of a mean of 60 Bernoulli outcomes on top, within 4 standard errors of the mean of 300 draws.
    noise = float((expected * (1 - expected)).mean() / 60)
    assert abs(float((read - expected).mean())) < 4 * np.sqrt(noise / read.size)
    each = ds3.predict(simulated_fit, ["cot"], outcome=True, per_task=True)["success"]
    assert set(np.unique(each)) <= {0.0, 1.0}


def test_an_evaluation_has_as_many_tasks_and_attempts_as_asked_for(simulated_fit):
    expected = ds3.predict(simulated_fit, ["cot"], tasks="new")["success"]
    made = {
        size: ds3.predict(
            simulated_fit, ["cot"], tasks="new", outcome=True, outcome_tasks=size[0], outcome_attempts=size[1]
        )["success"]
        for size in ((10, 1), (10, 20), (1000, 1))
    }
    for (tasks, attempts), read in made.items():
        counts = read * tasks * attempts
        np.testing.assert_allclose(counts, counts.round(), atol=1e-8)
    spreads = {size: float((read - expected).std()) for size, read in made.items()}
    # More attempts tell each task's own success, and leave how tasks differ; more tasks shrink both.
    assert spreads[10, 1] > spreads[10, 20] > 4 * spreads[1000, 1]
    # 10 tasks of one attempt each: binomial noise of the expected success; 4 standard errors of a variance.
    noise = float((expected * (1 - expected)).mean() / 10)
    assert spreads[10, 1] ** 2 == pytest.approx(noise, rel=4 * np.sqrt(2 / expected.size))
    tried = ds3.predict(simulated_fit, ["cot"], outcome=True, outcome_attempts=4, per_task=True)["success"]
    assert set(np.unique(tried)) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    for wrong, said in (
        ({"outcome_tasks": 5}, "outcome_tasks = 5: says how an evaluation is made; ask for one by outcome=True"),
        ({"outcome": True, "outcome_tasks": 5}, "is for the mean over fresh tasks"),
        ({"outcome": True, "outcome_attempts": 0}, "outcome_attempts = 0; allowed: 1 or more"),
    ):
        with pytest.raises(ds3.InputError, match=said):
            ds3.predict(simulated_fit, ["cot"], **wrong)


def test_seeds_decide_what_is_drawn(simulated_fit):
    one, two, other = (ds3.predict(simulated_fit, ["cot"], tasks="new", seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(one, two)
    assert not one["success"].equals(other["success"])


# --- budgets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["simulated_fit", "game24_fit"])
def test_a_larger_budget_never_hurts(request, which):
    fit = request.getfixturevalue(which)
    budgets = [50, 100, 200, 400, 1000, 5000, 1_000_000]
    pred = ds3.predict(fit, ["cot", *[f"cot(max_tokens={b})" for b in budgets]])
    assert list(pred["strategy"].values) == ["cot", *[f"cot(max_tokens={b})" for b in budgets]]
    for name in ("success", "tokens"):
        values = pred[name].values[..., 1:]
        assert np.all(np.diff(values, axis=-1) >= -EPS * values.max())
        np.testing.assert_allclose(values[..., -1], pred[name].sel(strategy="cot"), rtol=1e-6)
    assert np.all(pred["tokens"].values[..., 1:] <= np.array(budgets) * (1 + EPS))


def test_budget_and_selection_combine(simulated_fit):
    pred = ds3.predict(simulated_fit, ["cot(max_tokens=400)", "best_of_n(n=3, max_tokens=400)"], per_task=True)
    one = success(pred, "cot(max_tokens=400)")
    three = success(pred, "best_of_n(n=3, verifier=oracle, max_tokens=400)")
    np.testing.assert_allclose(three, 1 - (1 - one) ** 3, rtol=1e-9, atol=1e-14)


def test_a_budget_below_one_step_is_refused(simulated_fit):
    with pytest.raises(ds3.InputError, match="at least one step"):
        ds3.predict(simulated_fit, ["cot(max_tokens=3)"])


def test_a_budget_needs_tokens(prior_fit):
    row = {"model": "m", "benchmark": "b", "strategy": "cot", "attempts": 4}
    fit = prior_fit(ds3.read_evals(pd.DataFrame([row | {"task": f"t{i}", "successes": i} for i in range(4)])))
    with pytest.raises(ds3.InputError, match="needs observed tokens"):
        ds3.predict(fit, ["cot(max_tokens=1000)"])
    pred = ds3.predict(fit, ["cot"])
    assert list(pred.data_vars) == ["success"]
    for name in ("tokens", "usd", "flops", "joules", "seconds"):
        assert f"{name}: the table has no completion_tokens" in pred.attrs["absent"]


# --- costs --------------------------------------------------------------------------------------------------


def test_cost_arithmetic(simulated_fit):
    pred = ds3.predict(simulated_fit, ["cot", "best_of_n(n=4)"])
    tokens = pred["tokens"]
    np.testing.assert_allclose(pred["usd"], tokens * 8.0 / 1e6, rtol=1e-12)
    np.testing.assert_allclose(pred["seconds"], tokens / 50.0, rtol=1e-12)
    # Without an architecture: 2 N per generated token.
    np.testing.assert_allclose(pred["flops"], 2 * 7e9 * tokens, rtol=1e-12)
    for name in ("tokens", "usd", "flops", "seconds"):
        one, four = (pred[name].isel(strategy=i) for i in (0, 1))
        np.testing.assert_allclose(four, 4 * one, rtol=1e-12)
    assert pred.attrs["absent"].startswith("joules: the spec has no flop_per_joule for ")


def test_prompt_and_generated_tokens_have_their_prices(game24_fit):
    pred = ds3.predict(game24_fit, ["cot"], per_task=True).squeeze(["model", "benchmark", "strategy"], drop=True)
    posterior = game24_fit["posterior"].to_dataset().sel(draw=pred["draw"])
    arm = "gpt-4-2023-05 | game-of-24 | cot"
    log_prompt = posterior["log_prompt"].sel(prompted_arm=arm) + posterior["prompt_slope"].sel(prompted_arm=arm) * (
        np.log(pred["tokens"]) - posterior["log_tokens"].sel(timed_arm=arm)
    )
    prompt = np.exp(log_prompt + 0.5 * posterior["prompt_sd"].sel(prompted_arm=arm) ** 2)
    wanted = (30.0 * prompt + 60.0 * pred["tokens"]) / 1e6
    np.testing.assert_allclose(pred["usd"], wanted.transpose(*pred["usd"].dims), rtol=1e-10)


def test_missing_prices_are_named(game24_fit):
    pred = ds3.predict(game24_fit, ["cot"])
    assert "flops: the spec has no params for gpt-4-2023-05" in pred.attrs["absent"]
    assert "seconds: the spec has no tokens_per_second" in pred.attrs["absent"]
    assert set(pred.data_vars) == {"success", "tokens", "usd"}


def test_partly_absent_costs_are_named(prior_fit, efforts):
    spec = ds3.ModelSpec.from_dict({"costs": {"a": {"input_usd": 0.0, "output_usd": 1.0}}})
    pred = ds3.predict(prior_fit(evals_of(efforts)[0], spec), ["cot"])
    assert "usd: the spec has no prices for b" in pred.attrs["partly_absent"]
    assert np.isfinite(pred["usd"].sel(model="a", strategy="cot(effort=high)")).all()
    assert np.isnan(pred["usd"].sel(model="b")).all()


def test_flops_use_the_architecture_when_known(prior_fit, simulation):
    costs = {"*": {"params": 7e9, "n_layer": 32, "d_attn": 4096, "flop_per_joule": 1e11}}
    fit = prior_fit(simulation.evals, ds3.ModelSpec.from_dict({"costs": costs}))
    pred = ds3.predict(fit, ["cot", "best_of_n(n=4)"], per_task=True)
    tokens = pred["tokens"].isel(strategy=0).values
    cv = fit["posterior"]["attempt_cv"].values[..., 0][..., None, None, None]
    # The square of an attempt's tokens is that of their mean and their variance.
    pairs = (tokens**2 * (1 + cv**2) - tokens) / 2
    wanted = 2 * 7e9 * tokens + 2 * 32 * 4096 * pairs
    np.testing.assert_allclose(pred["flops"].isel(strategy=0), wanted, rtol=1e-12)
    np.testing.assert_allclose(pred["flops"].isel(strategy=1), 4 * wanted, rtol=1e-12)
    np.testing.assert_allclose(pred["joules"], pred["flops"] / 1e11, rtol=1e-12)
    assert pred["joules"].attrs["units"] == "J per task"


def test_later_attempts_read_the_prompt_from_a_cache(prior_fit):
    row = {"model": "m", "benchmark": "b", "strategy": "cot", "attempts": 4, "prompt_tokens": 100.0}
    rows = [row | {"task": f"t{i}", "successes": i, "tokens_mean": 200.0 + i} for i in range(5)]
    prices = {"input_usd": 3.0, "output_usd": 10.0}
    for extra, share in (({}, 1.0), ({"cached_input_usd": 0.3}, (1 + 3 * 0.1) / 4)):
        spec = ds3.ModelSpec.from_dict({"costs": {"m": prices | extra}})
        pred = ds3.predict(prior_fit(ds3.read_evals(pd.DataFrame(rows)), spec), ["cot", "best_of_n(n=4)"])
        prompt = pred["usd"] - 10.0 * pred["tokens"] / 1e6
        one, four = (prompt.isel(strategy=i) for i in (0, 1))
        np.testing.assert_allclose(four, 4 * share * one, rtol=1e-9)


# --- efforts and settings -----------------------------------------------------------------------------------


def test_an_open_setting_is_every_observed_one(efforts):
    pred = ds3.predict(efforts, ["cot", "best_of_n(n=3)"])
    assert set(pred["strategy"].values) == {
        "cot(effort=low)",
        "cot(effort=high)",
        "cot(max_tokens=4000)",
        "best_of_n(n=3, verifier=oracle, effort=low)",
        "best_of_n(n=3, verifier=oracle, effort=high)",
        "best_of_n(n=3, verifier=oracle, max_tokens=4000)",
    }
    at = pred["success"].sel(benchmark="aime")
    assert np.isfinite(at.sel(model="a", strategy=["cot(effort=low)", "cot(effort=high)"])).all()
    assert np.isnan(at.sel(model="b", strategy=["cot(effort=low)", "cot(effort=high)"])).all()
    assert np.isfinite(at.sel(model="b", strategy="cot(max_tokens=4000)")).all()
    alone = ds3.predict(efforts, ["cot(effort=high)"])
    assert list(alone["strategy"].values) == ["cot(effort=high)"]
    np.testing.assert_array_equal(
        alone["success"].sel(strategy="cot(effort=high)"), pred["success"].sel(strategy="cot(effort=high)")
    )
    decision = ds3.best(pred)
    assert "a | cot(effort=low)" in decision["option"].values
    assert "b | cot(effort=low)" not in decision["option"].values


def test_a_larger_budget_than_observed_extrapolates(efforts):
    pred = ds3.predict(efforts, ["cot(max_tokens=2000)", "cot(max_tokens=4000)", "cot(max_tokens=9000)"])
    at = pred["success"].sel(model="b", benchmark="aime")
    values = [at.sel(strategy=f"cot(max_tokens={b})").values for b in (2000, 4000, 9000)]
    assert np.all(values[0] <= values[1] + EPS)
    assert np.all(values[1] <= values[2] + EPS)
    assert values[2].max() <= 1.0


def test_everything_observed_is_predicted_if_nothing_is_asked(efforts, game24_fit):
    assert ds3.predict(efforts).sizes["strategy"] == 3
    assert list(ds3.predict(game24_fit)["strategy"].values) == ["cot", "direct", "tot(branching=5, kept_states=5)"]


def test_text_and_objects_agree(game24_fit):
    pairs = [
        ("cot", ds3.CoT()),
        ("direct", ds3.Direct()),
        ("best_of_n(n=4, verifier=noisy(d=1))", ds3.BestOfN(n=4, verifier="noisy(d=1)")),
        ("majority(n=3, wrong_shares=[1.0])", ds3.Majority(n=3, wrong_shares=(1.0,))),
        ("pass_power(n=2)", ds3.PassPower(n=2)),
        ("tot(branching=5, kept_states=5, outputs=5)", ds3.TreeOfThought(branching=5, kept_states=5, outputs=5)),
        ("cot(max_tokens=60)", ds3.CoT(max_tokens=60)),
    ]
    texts, objects = zip(*pairs, strict=True)
    xr.testing.assert_identical(ds3.predict(game24_fit, texts), ds3.predict(game24_fit, objects))


# --- trees --------------------------------------------------------------------------------------------------


def test_an_observed_tree_is_its_own_prediction(game24_fit):
    """By the law of outputs that come from right states, each of which is written out as a right answer by itself."""
    effects, posterior = game24_fit["task_effects"], game24_fit["posterior"]
    texts = ["tot(branching=5, kept_states=5)", "tot(branching=5, kept_states=5, outputs=5)"]
    pred = ds3.predict(game24_fit, texts, per_task=True)
    design = design_of(game24_fit)
    (arm,) = [index for index, one in enumerate(design.arms) if one.is_tree]
    tree = effects["cell_arm"].values == arm
    x = effects["logit_success"].transpose("chain", "draw", "cell").values[..., tree]
    names = ("step_discrimination", "candidate_overlap", "answer_fidelity")
    gap, overlap, fidelity = (posterior[name].sel(draw=effects["draw"]).values.ravel() for name in names)
    for text, outputs in zip(texts, (1, 5), strict=True):
        search = ds3.TreeOfThought(branching=5, kept_states=5, outputs=outputs)
        law = search.right_outputs(x.reshape(gap.size, -1), gap, overlap, 3, design.proposed(arm, 5))
        wanted = sum(law[..., k] * (1 - (1 - fidelity[:, None]) ** k) for k in range(outputs + 1))
        at = pred["success"].sel(strategy=text, task=effects["cell_task"].values[tree]).squeeze(drop=True)
        found = at.transpose("chain", "draw", "task").values
        np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-9, atol=1e-12)
    best, every = (pred["success"].sel(strategy=text) for text in texts)
    assert (best <= every + 1e-9).all()
    tokens = pred["tokens"].transpose("strategy", ...).values
    np.testing.assert_allclose(tokens[0], tokens[1], rtol=1e-12)


def test_trees_gain_from_better_scorers_and_more_candidates(game24_fit):
    gaps = [0.0, 1.0, 3.0, 9.0]
    texts = [f"tot(branching=5, kept_states=2, evaluator=noisy(d={d}))" for d in gaps]
    values = ds3.predict(game24_fit, [*texts, "tot(branching=5, kept_states=2, evaluator=oracle)"])["success"].values
    # The response is interpolated within a thousandth of its logarithm.
    assert np.all(np.diff(values, axis=-1) >= -1e-3)
    more = [f"tot(branching={b}, evaluator=oracle)" for b in (2, 4, 8)]
    assert np.all(np.diff(ds3.predict(game24_fit, more)["success"].values, axis=-1) >= -1e-3)


@pytest.mark.parametrize("calibrated", [True, False])
def test_certain_trees_stay_finite(game24_fit, calibrated):
    texts = [
        "tot(branching=5, kept_states=5, evaluator=oracle, answer_fidelity=1)",
        "tot(branching=20, kept_states=1, evaluator=noisy(d=8), answer_fidelity=1)",
        "tot(branching=5, kept_states=5, answer_fidelity=0)",
    ]
    pred = ds3.predict(game24_fit, texts, calibrated=calibrated, per_task=True)["success"]
    assert np.isfinite(pred).all()
    assert float(pred.min()) >= 0
    assert float(pred.max()) <= 1
    assert float(pred.isel(strategy=2).max()) < 1e-9


def test_without_trees_they_come_from_the_prior(prior_fit):
    made = ds3.simulate(tasks=8, attempts=6, path_length=3, seed=4)
    spec = ds3.ModelSpec.from_dict({"population": {"path_length": 3}})
    fit = prior_fit(made.evals, spec)
    pred = ds3.predict(fit, ["cot", "tot(branching=4, kept_states=2)"])
    assert np.isfinite(pred["success"]).all()
    # 4 candidates at the first step, 4 from each of 2 states at the later two: 20 of a third of a walk each.
    np.testing.assert_allclose(pred["tokens"].isel(strategy=1), pred["tokens"].isel(strategy=0) * 20 / 3, rtol=1e-9)
    unknown = prior_fit(made.evals)
    with pytest.raises(ds3.InputError, match="path_length"):
        ds3.predict(unknown, ["tot(branching=4)"])


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategies", "options", "said"),
    [
        (["cott"], {}, "Did you mean 'cot'"),
        (["best_of_n"], {}, "n"),
        ([], {}, "no strategies to predict"),
        (["cot(effort=high)"], {}, "effort 'high'; observed: cot, direct, tot"),
        (["cot"], {"tasks": "observd"}, "Did you mean 'observed'"),
        (
            ["cot"],
            {"tasks": ["game24-901", "game24-9011"]},
            "1 of the tasks asked for are not in the fit, first 'game24-9011'",
        ),
        (["cot"], {"tasks": []}, "tasks"),
        (["cot"], {"tasks": "new", "new_tasks": 100}, "power of 2"),
        (["tot(branching=0)"], {}, "branching"),
    ],
)
def test_unknown_names_are_refused(game24_fit, strategies, options, said):
    with pytest.raises(ds3.InputError) as caught:
        ds3.predict(game24_fit, strategies, **options)
    assert said in str(caught.value)


def test_one_strategy_may_stand_alone(game24_fit):
    xr.testing.assert_identical(ds3.predict(game24_fit, "cot"), ds3.predict(game24_fit, ["cot"]))
    xr.testing.assert_identical(ds3.predict(game24_fit, ds3.CoT()), ds3.predict(game24_fit, ["cot"]))


# --- observed beside predicted ------------------------------------------------------------------------------


def test_observed_beside_predicted(game24_fit, game24_evals):
    table = ds3.observed_vs_predicted(game24_fit)
    assert list(table["rows"][:1]) == ["held out"]
    assert set(table["rows"]) == {"held out", "fitted"}
    fitted = table[(table["rows"] == "fitted") & (table["quantity"] == "success per attempt")]
    frame = pd.DataFrame({name: game24_evals[name].values for name in ("strategy", "attempts", "successes")})
    for walk in ("cot", "direct"):
        mine = frame[frame["strategy"] == walk]
        (line,) = fitted[fitted["strategy"] == walk].itertuples()
        assert line.tasks == len(mine)
        assert line.observed == pytest.approx(mine["successes"].sum() / mine["attempts"].sum())
        assert line.lower <= line.mean <= line.upper
        # The fit saw these very counts.
        assert line.inside
    for line in table.itertuples():
        assert line.inside == (line.lower <= line.observed <= line.upper)


def test_what_a_strategy_costs_is_said_or_why_not(game24_fit):
    """How often a search over steps reads the prompt is random, so that its price is not known; its tokens are."""
    pred = ds3.predict(game24_fit, ["step_search(branching=2)"])
    assert np.isfinite(pred["tokens"]).all()
    assert "usd" not in pred
    assert "its candidates per task are random" in pred.attrs["absent"]
    assert np.isfinite(ds3.predict(game24_fit, ["revision(n=3)"])["usd"]).all()


@pytest.mark.slow
def test_a_search_of_which_the_table_has_none(game24_evals, game24_spec):
    """Yao et al. (2023) report 45 of 100 problems solved if one state is kept; the table has searches of 5."""
    spec = game24_spec.model_copy(update={"holdout": ()})
    independent = ds3.ModelSpec.from_dict(
        {
            **spec.model_dump(exclude_defaults=True),
            "priors": {"candidate_overlap": {"family": "Beta", "alpha": 1.0, "beta": 1000.0}},
        }
    )
    inside = []
    for one in (spec, independent):
        fit = ds3.fit(game24_evals, one, draws=1500, seed=0, progress=False)
        success = ds3.predict(fit, ["tot(branching=5)"], tasks="observed")["success"].values.ravel()
        low, high = np.quantile(np.random.default_rng(0).binomial(100, success), [0.05, 0.95])
        inside.append(low <= 45 <= high)
    # Were the candidates of a state independent, it would not be expected.
    assert inside == [True, False]
