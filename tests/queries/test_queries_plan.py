"""Plans against Miller's closed form, simulated evaluations, exact integrals, and fits of what was planned."""

import json

import jsonschema
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, ndtr, ndtri
from typer.testing import CliRunner

import ds3bayes as ds3
from ds3bayes.answers import schema
from ds3bayes.cli import app
from ds3bayes.deferred import pt
from ds3bayes.engine.evaluate import AtPoints
from ds3bayes.generative.task_effects import _symbols, by_draw
from ds3bayes.generative.terms import block_terms
from ds3bayes.inference.artifact import design_of, spec_of
from ds3bayes.queries.plan import _accuracies, sampling_variance

Z = float(ndtri(0.95))
PUBLISHED = {"acme-1": (0.62, 50), "acme-2": (0.48, 100)}


def paired(tasks: int, rng: np.random.Generator, runs: int = 1) -> np.ndarray:
    """Success (LLM, run, task) of two LLMs on tasks of one population."""
    easiness, own = rng.normal(scale=1.6, size=(runs, tasks)), rng.normal(scale=0.8, size=(2, runs, tasks))
    return expit(np.array([0.4, 0.1])[:, None, None] + easiness + own)


def components(rng: np.random.Generator) -> tuple[float, float, float]:
    """Difference of that population's means, variance of the difference over tasks, and within them."""
    q = paired(2_000_000, rng)[:, 0]
    return float((q[0] - q[1]).mean()), float((q[0] - q[1]).var()), float((q * (1 - q)).mean(axis=1).sum())


def counts(tasks: int, attempts: int, seed: int) -> pd.DataFrame:
    """Counts of both, by task."""
    rng = np.random.default_rng(seed)
    names = [f"t{i}" for i in range(tasks)]
    frame = pd.DataFrame({"model": np.repeat(["a", "b"], tasks), "task": names * 2})
    frame["successes"] = rng.binomial(attempts, paired(tasks, rng).ravel())
    return frame.assign(benchmark="b", strategy="cot", attempts=attempts)


@pytest.fixture(scope="module")
def pair(prior_fit):
    """Two LLMs that share tasks, at draws of the prior, with tokens."""
    return prior_fit(ds3.read_evals(counts(12, 4, 0).assign(tokens_mean=300.0)), draws=60)


@pytest.fixture(scope="module")
def published():
    return ds3.plan(PUBLISHED, difference=0.05)


def test_variance_is_millers_and_that_of_simulated_evaluations():
    rng = np.random.default_rng(1)
    mean, between, within = components(rng)
    runs, tasks, attempts = 20_000, 40, 3
    seen = rng.binomial(attempts, paired(tasks, rng, runs)) / attempts
    differences = (seen[0] - seen[1]).mean(axis=1)
    # The variance of a variance is 2 / runs of its square; five of its sds.
    wanted = sampling_variance(between, within, tasks, attempts)
    assert differences.var() == pytest.approx(float(wanted), rel=5 * np.sqrt(2 / runs))
    # Miller's formula, term by term: (var(s_a) + var(s_b) - 2 cov(s_a, s_b) + (E[v_a] + E[v_b]) / K) / n.
    q = paired(500_000, rng)[:, 0]
    cov = np.cov(q, ddof=0)
    noise = (q * (1 - q)).mean(axis=1).sum()
    miller = (cov[0, 0] + cov[1, 1] - 2 * cov[0, 1] + noise / attempts) / tasks
    own = sampling_variance((q[0] - q[1]).var(), noise, tasks, attempts)
    assert float(own) == pytest.approx(miller, rel=1e-12)
    assert mean == pytest.approx(differences.mean(), abs=5 * np.sqrt(float(wanted) / runs))


def test_power_is_that_of_simulated_comparisons():
    """Of many evaluations, with the standard error that each estimates: clustered by task, paired."""
    rng = np.random.default_rng(2)
    mean, between, within = components(rng)
    runs, attempts = 8000, 2
    for tasks in (100, 300):
        sd = np.sqrt(sampling_variance(between, within, tasks, attempts))
        seen = rng.binomial(attempts, paired(tasks, rng, runs)) / attempts
        difference = seen[0] - seen[1]
        error = difference.std(axis=1, ddof=1) / np.sqrt(tasks)
        told = float(np.mean(difference.mean(axis=1) / error > Z))
        planned = float(ndtr(mean / sd - Z))
        # Four binomial standard errors, and .01 for that the error is estimated from so many tasks.
        assert told == pytest.approx(planned, abs=0.01 + 4 * np.sqrt(planned * (1 - planned) / runs))


def test_components_are_those_of_the_grid(pair):
    """Variances summed over the model's own nodes of success, against the points that stand for new tasks."""
    design, spec, posterior = design_of(pair), spec_of(pair), pair["posterior"].to_dataset()
    (block,), draws = design.blocks, by_draw(posterior)
    given, shapes = _symbols(posterior)
    marginal = {"weight": pt.exp(block_terms(block, 0, design, spec, given).log_marginal)}
    weight = AtPoints(given, shapes, marginal)(draws)["weight"]
    weight /= weight.sum(axis=2, keepdims=True)
    for column, model in enumerate("ab"):
        q = expit(block.tables[column].grid.nodes)
        there = draws["soundness"][:, 0] * draws["reachability"][:, column]
        first, second = there * (weight[:, column] @ q), there * (weight[:, column] @ q**2)
        found = ds3.plan(pair, model, width=0.1, new_tasks=2048)
        for name, exact in (("between", second - first**2), ("within", first - second)):
            # The nodes are as coarse as four attempts allow: a percent of the variance.
            np.testing.assert_allclose(found[name], exact, rtol=0.08, atol=5e-4, err_msg=name)
            assert float((found[name] / exact).mean()) == pytest.approx(1.0, abs=0.02)


def test_one_attempt_per_task_has_the_binomial_law(published):
    """Whatever of it is between tasks: between + within = p (1 - p)."""
    one = ds3.plan({"acme-1": PUBLISHED["acme-1"]}, width=0.1)
    total = (one["between"] + one["within"]).values
    assert np.all(total <= 0.25)
    # 31 of 50 right, give or take: p (1 - p) is .22 to .25.
    assert total.mean() == pytest.approx(0.62 * 0.38, abs=0.015)
    # How alike two LLMs are is not in accuracies: the prior says it, and that it is not sure.
    alike = published["correlation"].values
    assert 0.2 < alike.mean() < 0.95
    assert alike.std() > 0.02
    assert published.attrs["options"] == "acme-1 | cot; acme-2 | cot"


def surely(found, tasks, attempts, observed=False):
    """The sd that is not exceeded with the plan's assurance."""
    between = 0.0 if observed else found["between"].values
    variance = sampling_variance(between, found["within"].values, tasks, attempts)
    return float(np.sqrt(np.quantile(variance, found.attrs["assurance"])))


@pytest.mark.parametrize("given", [{"width": 0.1}, {"difference": 0.08, "power": 0.9}, {"width": 0.2, "level": 0.95}])
def test_the_plan_is_the_least_that_suffices(pair, given):
    found = ds3.plan(pair, "a", "b", **given, assurance=0.8, cost="attempts")
    z = float(ndtri(0.5 + found.attrs["level"] / 2))
    wanted = given["width"] / (2 * z) if "width" in given else given["difference"] / (z + float(ndtri(0.9)))
    tasks, attempts = int(found["chosen_tasks"]), int(found["chosen_attempts"])
    # Tasks cost nothing beside their attempts, so that one attempt at each is best.
    assert attempts == 1
    assert surely(found, tasks, 1) <= wanted < surely(found, tasks - 1, 1)
    assert float(found["chosen_cost"]) == 2 * tasks
    for number, needed in zip(found["attempts"].values, found["tasks_needed"].values, strict=True):
        assert surely(found, needed, number) <= wanted < surely(found, needed - 1, number)
    at = found.sel(tasks=100, attempts=4)
    sd = np.sqrt(sampling_variance(found["between"], found["within"], 100, 4))
    assert float(at["width"]) == pytest.approx(2 * z * float(np.median(sd)), rel=1e-3)
    assert float(at["width_upper"]) == pytest.approx(2 * z * surely(found, 100, 4))
    if "difference" in given:
        power = ndtr(0.08 / sd - z)
        assert float(at["power"]) == pytest.approx(float(np.median(power)), rel=1e-3)
        assert float(at["power_lower"]) <= float(at["power"]) <= float(at["power_upper"])


def test_attempts_pay_where_tasks_cost(pair):
    found = ds3.plan(pair, "a", "b", width=0.1, price=0.01, task_cost=0.2)
    tasks, attempts = (float(found[name]) for name in ("chosen_tasks", "chosen_attempts"))
    cost = {}
    for number in range(1, 33):
        least = next(n for n in range(2, 10**6) if surely(found, n, number) <= 0.1 / (2 * Z))
        cost[number] = least * (0.2 + 0.01 * number)
    assert float(found["chosen_cost"]) == pytest.approx(min(cost.values()))
    assert cost[int(attempts)] == min(cost.values())
    assert tasks * (0.2 + 0.01 * attempts) == pytest.approx(min(cost.values()))
    best = np.sqrt(0.2 * found["within"] / (0.01 * found["between"]))
    assert best.min() < attempts < best.max()
    assert found["cost"].attrs["units"] == "USD"


def test_a_budget_buys_the_most_telling_design(pair):
    found = ds3.plan(pair, "a", "b", max_cost=30.0, price=0.01, task_cost=0.1, max_tasks=120)
    designs = {
        (tasks, number): surely(found, tasks, number)
        for number in range(1, 33)
        for tasks in range(2, 121)
        if tasks * (0.1 + 0.01 * number) <= 30
    }
    chosen = int(found["chosen_tasks"]), int(found["chosen_attempts"])
    assert designs[chosen] == pytest.approx(min(designs.values()))
    assert float(found["chosen_cost"]) <= 30
    shown = (Z + float(ndtri(0.8))) * designs[chosen]
    assert f"a difference of {shown:.3f} with power 0.8" in found.attrs["sentence"]
    none = ds3.plan(pair, "a", max_cost=0.01, price=0.01)
    assert np.isnan(none["chosen_tasks"])
    assert "buy no evaluation" in none.attrs["sentence"]
    over = ds3.plan(pair, "a", width=0.05, max_cost=1.0, price=0.01)
    assert "over the budget" in over.attrs["sentence"]


def test_of_these_very_tasks_only_attempts_matter(pair):
    found = ds3.plan(pair, "a", width=0.1, tasks="observed", attempts=[1, 200])
    assert found.sizes["tasks"] == 1
    assert float(found["chosen_tasks"]) == 12
    attempts = int(found["chosen_attempts"])
    assert surely(found, 12, attempts, observed=True) <= 0.1 / (2 * Z)
    assert surely(found, 12, attempts - 1, observed=True) > 0.1 / (2 * Z)
    # Success on new tasks is not known so well from twelve, however often each is tried.
    new = ds3.plan(pair, "a", width=0.1, max_tasks=12)
    assert np.isnan(new["chosen_tasks"])
    assert "12 tasks do not suffice: no number of attempts at them does" in new.attrs["sentence"]
    few = ds3.plan(pair, "a", width=0.1, tasks="observed", attempts=[2])
    assert "it takes more than 2 attempts at each" in few.attrs["sentence"]
    budget = ds3.plan(pair, "a", max_cost=100, cost="attempts", tasks="observed")
    assert (int(budget["chosen_tasks"]), int(budget["chosen_attempts"])) == (12, 8)


def test_costs_are_those_of_the_source(pair):
    found = ds3.plan(pair, "a", "b", width=0.1)
    assert found.attrs["cost"] == "tokens"
    pred = ds3.predict(pair, ["cot"], tasks="new", new_tasks=1024)["tokens"].sum(("model", "strategy"))
    assert found.attrs["price"] == pytest.approx(float(pred.median()))
    assert found.attrs["price_lower"] < found.attrs["price"] < found.attrs["price_upper"]
    assert "What an attempt costs is not well known" in found.attrs["sentence"]
    assert "not well known" not in ds3.plan(pair, "a", "b", width=0.1, price=0.01).attrs["sentence"]
    votes = ds3.plan(pair, "a | majority(n=8, wrong_shares=[0.5, 0.5])", width=0.1)
    assert votes.attrs["price"] == pytest.approx(8 * ds3.plan(pair, "a", width=0.1).attrs["price"])


def test_what_is_known_before_any_evaluation():
    """The priors of a spec; with a table of aggregates, what its accuracies say."""
    prior = ds3.plan(ds3.ModelSpec(), difference=0.05)
    assert prior.attrs["options"] == "a | cot; b | cot"
    again = ds3.plan(ds3.ModelSpec(), "b", "a", difference=0.05)
    assert float(again["chosen_tasks"]) == pytest.approx(float(prior["chosen_tasks"]), rel=0.2)
    table = pd.DataFrame({"model": ["m"], "attempts": [50], "successes": [31], "tasks": [50]})
    evals = ds3.read_evals(table.assign(benchmark="b", strategy="cot"))
    assert _accuracies(ds3.evals.to_table(evals)) == {"m": (0.62, 50)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nothing is asked"),
        ({"width": 0.1, "difference": 0.1}, "two questions"),
        ({"width": 1.5, "power": 0.2, "assurance": 1.0, "level": 0.0}, r"4 faults(?s:.)*width = 1\.5(?s:.)*level = 0"),
        ({"width": 0.1, "tasks": "nwe", "max_tasks": 1}, r"Did you mean 'new'(?s:.)*max_tasks = 1"),
        ({"width": 0.1, "attempts": []}, "attempts must be whole numbers"),
        ({"width": 0.1, "cost": "euros"}, "cost = 'euros'; allowed: attempts, tokens"),
        ({"width": 0.1, "price": 0.0, "task_cost": -1.0}, r"2 faults(?s:.)*price = 0(?s:.)*task_cost = -1"),
        ({"width": 0.1}, "name a, each 'LLM' or 'LLM | strategy', of the LLMs: a, b"),
        ({"width": 0.1, "b": "b"}, "which is a"),
        ({"difference": 0.1, "a": "a"}, "name a and b"),
        ({"difference": 0.1, "a": "a", "b": "a"}, "compared with itself"),
        ({"width": 0.1, "a": "a", "cost": "usd"}, "not known of an attempt.*say it by price"),
        ({"width": 0.1, "a": "z"}, "there is no LLM 'z'"),
    ],
)
def test_what_is_no_question_is_refused(pair, given, said):
    with pytest.raises(ds3.InputError, match=said):
        ds3.plan(pair, **given)


def test_sources_that_do_not_tell_are_refused(prior_fit):
    apart = counts(8, 2, 0)
    apart["task"] = apart["model"] + apart["task"]
    with pytest.raises(ds3.InputError, match="share no task of b in this source"):
        ds3.plan(prior_fit(ds3.read_evals(apart), draws=5), difference=0.1)
    with pytest.raises(ds3.InputError, match=r"2 faults(?s:.)*m: got 0\.6(?s:.)*n: got \(2\.0, 10\)"):
        ds3.plan({"m": 0.6, "n": (2.0, 10)}, difference=0.1)
    with pytest.raises(ds3.InputError, match="got list; allowed: a fit"):
        ds3.plan([0.6], width=0.1)
    rows = pd.DataFrame({"model": ["m", "m"], "effort": ["low", "high"], "attempts": 10, "successes": 5, "tasks": 10})
    with pytest.raises(ds3.InputError, match="'m' has several rows"):
        ds3.plan(ds3.read_evals(rows.assign(benchmark="b", strategy="cot")), width=0.1)
    with pytest.raises(ds3.InputError, match="say by max_tasks how many tasks"):
        ds3.plan(ds3.ModelSpec(), width=0.1, tasks="observed")


def test_the_command_line(pair, tmp_path):
    ds3.save(pair, tmp_path / "run.nc")
    drawn = tmp_path / "plan.png"
    asked = ["plan", str(tmp_path / "run.nc"), "a", "b", "--difference", "0.05", "-n", "1", "-n", "4"]
    result = CliRunner().invoke(app, [*asked, "--json", "-o", str(drawn)])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    jsonschema.validate(found, schema("plan"))
    wanted = ds3.plan(pair, "a", "b", difference=0.05, attempts=[1, 4])
    assert found["chosen_tasks"] == float(wanted["chosen_tasks"])
    assert len(found["designs"]) == wanted.sizes["tasks"] * 2
    assert drawn.stat().st_size > 10_000
    spec, page = tmp_path / "spec.toml", tmp_path / "plan.html"
    spec.write_text('name = "before any data"')
    prior = CliRunner().invoke(app, ["plan", str(spec), "--width", "0.1", "-o", str(page)])
    assert prior.exit_code == 0, prior.output
    assert "To know the success of a | cot on new tasks of benchmark" in prior.output
    assert "<svg" in page.read_text(encoding="utf-8")
    for wrong in (
        ["plan", "--width", "0.1"],
        ["plan", "--accuracy", "m=0.6", "--width", "0.1"],
        [*asked, "-o", "p.gif"],
    ):
        refused = CliRunner().invoke(app, wrong)
        assert isinstance(refused.exception, ds3.InputError), wrong


@pytest.mark.slow
def test_fitted_intervals_are_as_wide_as_planned(short_fit):
    """Of simulated evaluations, the fit's interval for new tasks against the plan from the true population."""
    _, between, within = components(np.random.default_rng(3))
    for tasks, attempts in ((60, 1), (60, 6), (200, 4)):
        widths = []
        for seed in range(8):
            fit = short_fit(ds3.read_evals(counts(tasks, attempts, 50 + seed)), draws=500, tune=300)
            found = ds3.compare(fit, "a", "b", tasks="new")
            widths.append(float(found["upper"] - found["lower"]))
        planned = 2 * Z * float(np.sqrt(sampling_variance(between, within, tasks, attempts)))
        assert np.mean(widths) == pytest.approx(planned, rel=0.15)
