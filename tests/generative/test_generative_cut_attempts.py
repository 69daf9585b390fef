"""Attempts cut by budgets: their likelihood against plain integration, and recovery from step-by-step walks."""

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.special import logsumexp

import ds3bayes as ds3
from ds3bayes.evals import to_table
from ds3bayes.evals.scenarios import budgeted_runs
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.observation.cut_attempts import log_exceeding
from ds3bayes.generative.observation.tokens import latent_cells
from ds3bayes.generative.task_effects import PopulationAtDraws, each_draw
from ds3bayes.inference.artifact import design_of, prior_draws, spec_of
from ds3bayes.theory.evaluate import python_mode


def test_exceeding_a_budget_is_the_law_of_a_path_of_steps() -> None:
    for length, pace in ((2, 0.05), (6, 0.1), (15, 0.2), (60, 0.3)):
        steps = np.unique(np.geomspace(length, 8 * length / pace, 60).astype(int))
        # Negative binomial: failures before the last success, so that `length` steps are the fewest.
        exact = stats.nbinom.sf(steps - length, length, pace)
        mean, variance = length / pace, (1 - pace) / length
        # Half a step more, as steps are whole.
        given = (np.log(steps + 0.5), pt.as_tensor(np.log(mean)), pt.as_tensor(variance))
        found = np.exp(log_exceeding(*given).eval(mode=python_mode()))
        np.testing.assert_allclose(found, exact, atol=0.012)
        below = np.exp(log_exceeding(*given, upper=False).eval(mode=python_mode()))
        np.testing.assert_allclose(found + below, 1.0, rtol=1e-8)


def table(**more) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": "m",
            "benchmark": "b",
            "task": ["t1", "t2", "t1", "t2", "t3"],
            "strategy": "cot",
            "max_tokens": [500, 500, 2000, 2000, 2000],
            "attempts": [8, 8, 8, 8, 6],
            "successes": [1, 0, 5, 0, 6],
            "truncated": [6, 8, 1, 3, 0],
            "tokens_mean": [480.0, 500.0, 700.0, 1500.0, 400.0],
            **more,
        }
    )


def test_budgets_cut_one_walk_where_attempts_were_truncated() -> None:
    design = make_design(ds3.read_evals(table()), ds3.ModelSpec())
    assert [arm.max_tokens for arm in design.arms] == [None]
    block = design.blocks[0]
    # What finished: 8 - 6 + 8 - 1 attempts at the first task, 5 at the second, 6 at the third.
    assert block.attempts[:, 0].tolist() == [9, 5, 6]
    assert block.successes[:, 0].tolist() == [6, 0, 6]
    assert block.cut.tolist() == [True, True, True]
    assert [cut.task for cut in design.observed["attempts"]] == ["t1", "t2"]
    first = design.observed["attempts"][0]
    assert first.truncated.tolist() == [6.0, 1.0]
    finished = (8 * 480.0 - 6 * 500) + (8 * 700.0 - 2000)
    assert first.log_tokens == pytest.approx(np.log(finished / 9))


@pytest.mark.parametrize(
    "more",
    [
        {"truncated": 0},  # nothing was cut: a budget is part of how the LLM was asked
        {"truncated": [6, 8, np.nan, np.nan, np.nan]},  # not told of a budget
    ],
)
def test_elsewhere_a_budget_is_a_walk_of_its_own(more: dict) -> None:
    budgets = {arm.max_tokens for arm in make_design(ds3.read_evals(table(**more)), ds3.ModelSpec()).arms}
    assert 2000 in budgets or 500 in budgets
    if more == {"truncated": 0}:
        assert budgets == {500, 2000}


def test_one_row_does_not_switch_off_that_its_budget_cuts() -> None:
    # Else the eight cut attempts of the others would count as wrong answers at that budget.
    with pytest.raises(ds3.InputError, match=r"row 3, column 'truncated': got nan, but row 4, .* got 3.0 at the same"):
        ds3.read_evals(table(truncated=[6, 8, np.nan, 3, 0]))
    # Where nothing was cut, a blank decides nothing.
    ds3.read_evals(table(truncated=[0, 0, np.nan, 0, 0]))


def test_a_truncated_attempt_is_no_success() -> None:
    with pytest.raises(ds3.InputError, match="column 'truncated'"):
        ds3.read_evals(table(successes=[3, 0, 5, 0, 6]))


# (budget, truncated, finished, right) of the first two tasks.
BUDGETS = {"t1": [(500, 6, 2, 1), (2000, 1, 7, 5)], "t2": [(500, 8, 0, 0), (2000, 3, 5, 0)]}


@pytest.mark.parametrize("tokens", [True, False])
def test_likelihood_is_the_plain_product(tokens: bool) -> None:
    rows = table() if tokens else table().drop(columns="tokens_mean")
    spec = ds3.ModelSpec.from_dict(
        {"priors": {"log_tokens": {"family": "Normal", "mu": 6.5, "sigma": 0.4}}, "population": {"path_length": 6}}
    )
    design = make_design(ds3.read_evals(rows), spec)
    block, posterior = design.blocks[0], prior_draws(design, spec, 3, 4)
    population = PopulationAtDraws(design, spec, posterior)
    nodes = block.tables[0].grid.nodes
    offsets, weights = block.tables[0].grid.within(9)
    q = 1 / (1 + np.exp(-(nodes[:, None] + offsets)))
    for draw in each_draw(posterior):
        terms, joint = population(0, draw), population.joint(0, draw)
        level, slope, sd = (float(draw[name][0]) for name in ("log_tokens", "token_slope", "token_sd"))
        variance = max(1 / 6 - design.tokens_per_step / np.exp(level), 0.0)
        reach, scale = float(draw["reachability"][0]), np.hypot(sd, slope)
        for task, cuts in enumerate(BUDGETS.values()):
            wanted = level + scale * draw["cut_tokens"][task]
            within = np.prod([stats.binom.pmf(right, finished, q) for _, _, finished, right in cuts], axis=0)
            counts = reach * (within @ weights) + (1 - reach) * (block.successes[task, 0] == 0)
            law = stats.norm.pdf(wanted, level - slope * terms["easiness"][0], sd)
            expected = np.log(np.exp(terms["log_weight"]) @ (counts * law)) + np.log(scale)
            for budget, truncated, finished, _ in cuts:
                z = ((budget / np.exp(wanted)) ** (1 / 3) - (1 - variance / 9)) / np.sqrt(variance / 9)
                expected += truncated * stats.norm.logsf(z) + (0 if tokens else finished * stats.norm.logcdf(z))
            seen = design.observed["attempts"][task]
            if tokens:
                expected += stats.norm.logpdf(seen.log_tokens, wanted, np.sqrt(variance / seen.finished))
            # Numba's error function is good to 1e-8; up to 16 attempts add up.
            assert joint[task] == pytest.approx(expected, rel=1e-6)


@pytest.fixture(scope="module")
def cut_fit(short_fit):
    made = budgeted_runs(llms=1, tasks=40, seed=4)
    return made, short_fit(made.evals, ds3.ModelSpec())


def test_a_fit_follows_cut_attempts(cut_fit) -> None:
    made, fit = cut_fit
    assert int(fit["sample_stats"]["diverging"].sum()) == 0
    table = ds3.observed_vs_predicted(fit)
    shown = table[table["quantity"] == "success per attempt"]
    assert shown["strategy"].tolist() == [f"cot(max_tokens={budget})" for budget in (500, 1500, 6000)]
    assert shown["inside"].all()
    drawn = fit["task_effects"]["log_tokens"].mean(("chain", "draw")).values
    assert np.corrcoef(drawn, made.truth["log_tokens"].values[0])[0, 1] > 0.85


def test_latent_tokens_are_summed_out_of_the_pointwise_likelihood(cut_fit) -> None:
    _, fit = cut_fit
    design, spec = design_of(fit), spec_of(fit)
    posterior = fit["posterior"].to_dataset().isel(draw=slice(None, None, 30))
    population = PopulationAtDraws(design, spec, posterior)
    latent = fit["posterior"]["cut_tokens"].values
    centre, sd = latent.mean((0, 1)), latent.std((0, 1))
    steps = np.linspace(-9.0, 9.0, 201)
    found = fit["log_likelihood"]["tasks"].sel(draw=posterior["draw"]).values.reshape(-1, 40)
    _, tasks, _ = latent_cells(design.blocks[0], design)
    for draw, stored in zip(each_draw(posterior), found, strict=True):
        joint = [population.joint(0, {**draw, "cut_tokens": centre + step * sd})[tasks] for step in steps]
        exact = logsumexp(joint, axis=0) + np.log(sd * (steps[1] - steps[0]))
        # As the docstring says.
        assert np.abs(stored[tasks] - exact).max() < 0.03


def test_a_budget_never_tried_is_predicted(cut_fit) -> None:
    made, fit = cut_fit
    pred = ds3.predict(fit, [f"cot(max_tokens={budget})" for budget in (500, 1000, 1500, 3000, 6000)])
    assert (np.diff(pred["success"].mean(("chain", "draw")).values.ravel()) > 0).all()
    assert (pred["tokens"].values.ravel() <= np.tile([500, 1000, 1500, 3000, 6000], pred["tokens"].size // 5)).all()
    cut = pred["truncated"].squeeze()
    assert (np.diff(cut.mean(("chain", "draw")).values) < 0).all()
    for budget, rows in to_table(made.evals).groupby("max_tokens"):
        drawn = cut.sel(strategy=f"cot(max_tokens={budget:g})")
        seen, n = rows["truncated"].sum(), rows["attempts"].sum()
        # What was counted, within 3 sds of the posterior and of the counts.
        noise = np.sqrt(float(drawn.var()) + float((drawn * (1 - drawn)).mean()) / n)
        assert abs(seen / n - float(drawn.mean())) < 3 * noise


@pytest.mark.slow
def test_truths_are_recovered(short_fit) -> None:
    inside = []
    for seed in range(20):
        made = budgeted_runs(llms=1, seed=seed)
        posterior = short_fit(made.evals, ds3.ModelSpec(), draws=300, tune=400, seed=seed)["posterior"]
        truth = made.truth
        z = (np.log(truth["eventual_success"] / (1 - truth["eventual_success"])) - 1.0).values / 1.5
        pairs = {
            "location": 1.0,
            "spread": 1.5,
            "reachability": 0.85,
            "log_tokens": np.log(1500.0),
            "token_slope": 0.3,
            "token_sd": 0.3,
        }
        assert abs(z.mean()) < 1
        for name, value in pairs.items():
            low, high = np.quantile(posterior[name].values, [0.05, 0.95])
            inside.append(low <= value <= high)
    print(f"{len(inside)} intervals, {np.mean(inside):.3f} hold the truth")
    # 90 % of 120, with a false alarm once in 1000 on either side (parameters of one data set taken as independent).
    assert stats.binom.ppf(0.001, len(inside), 0.9) <= sum(inside) <= stats.binom.ppf(0.999, len(inside), 0.9)


def test_held_out_budgets_do_not_inform() -> None:
    made = budgeted_runs(llms=1, tasks=5, seed=2)
    spec = ds3.ModelSpec.from_dict({"holdout": [{"where": "max_tokens == 1500"}]})
    rows = to_table(made.evals)
    held = (rows["max_tokens"] == 1500).to_numpy()
    design = make_design(made.evals, spec, held)
    assert all(np.log(1500) not in cut.log_cuts for cut in design.observed["attempts"])
    assert [arm.max_tokens for arm in design.arms] == [None]


def test_tasks_whose_cut_attempts_are_held_out_have_no_latent_tokens(prior_fit) -> None:
    spec = ds3.ModelSpec.from_dict({"holdout": [{"where": "truncated > 0"}]})
    fit = prior_fit(ds3.read_evals(table()), spec, draws=3)
    assert "cut_tokens" not in fit["posterior"]
    assert np.isfinite(fit["log_likelihood"]["tasks"]).all()
