"""Tables that inform little: fits stay sound, predictions sensible, and checks say what the data cannot tell."""

import warnings
from contextlib import contextmanager

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

import ds3bayes as ds3
from ds3bayes.inference import fit as fitting
from ds3bayes.inference.compiled import compile_model


def table(successes, attempts, model: str = "a") -> pd.DataFrame:
    successes = np.atleast_1d(successes)
    return pd.DataFrame(
        {
            "model": model,
            "benchmark": "b",
            "task": [f"t{i}" for i in range(successes.size)],
            "strategy": "cot",
            "attempts": attempts,
            "successes": successes,
        }
    )


def five_llms(successes, attempts) -> pd.DataFrame:
    """Enough LLMs for their locations and spreads to be pooled."""
    return pd.concat([table(solved, attempts, f"m{llm}") for llm, solved in enumerate(successes)])


def logits(tasks: int) -> np.ndarray:
    """Success of tasks of a known population."""
    return expit(-1.0 + 2.5 * np.random.default_rng(3).standard_normal(tasks))


@pytest.fixture(scope="module")
def fitted():
    """Return a function that fits a table, checks and predicts; tables of one shape share compiled code."""
    kept = {}

    def compiled(design, spec, *, swap):
        del swap
        shape = (len(design.arms), len(design.blocks[0].tasks) == 1)
        kept[shape] = kept[shape].of(design) if shape in kept else compile_model(design, spec)
        return kept[shape]

    @contextmanager
    def sharing():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fitting, "compile_model", compiled)
            yield

    def run(rows: pd.DataFrame, spec: ds3.ModelSpec | None = None, **sampling: int):
        evals = ds3.read_evals(rows)
        settings = {"draws": 500, "tune": 500, "chains": 4, "seed": 0, "task_draws": 250} | sampling
        # Warnings are errors: a fit of these data has nothing to warn of.
        with sharing():
            fit = ds3.fit(evals, spec, progress=False, **settings)
        said = {result.name: result for result in ds3.check(fit)}
        return fit, said, {kind: ds3.predict(fit, ["cot"], tasks=kind) for kind in ("observed", "new")}

    return run


def interval(pred, model: str = "a") -> np.ndarray:
    return np.quantile(pred.success.sel(model=model), [0.05, 0.95])


def test_all_solved(fitted):
    fit, said, pred = fitted(table([8] * 20, 8))
    assert not fit["sample_stats"]["diverging"].any()
    assert said["convergence"].passed
    low, _ = interval(pred["observed"])
    # 160 successes in 160 attempts: below this, they would be 1 % likely.
    assert low > 0.01 ** (1 / 160)
    # Of 20 tasks none is even hard; that half of new ones would fail is out of question.
    assert interval(pred["new"])[0] > 0.5
    assert "every attempt succeeded" in said["what was learned"].sentence
    assert "add harder tasks" in said["what was learned"].sentence


def test_none_solved(fitted):
    fit, said, pred = fitted(table([0] * 20, 8))
    assert not fit["sample_stats"]["diverging"].any()
    assert said["convergence"].passed
    _, high = interval(pred["observed"])
    assert high < 1 - 0.01 ** (1 / 160)
    many = ds3.predict(fit, ["best_of_n(n=1000)"], tasks="observed").success
    # A thousand attempts may or may not be enough: nothing is known of that.
    assert np.quantile(many, 0.95) - np.quantile(many, 0.05) > 0.2
    assert "cannot tell tasks out of reach (reachability) from hard ones" in said["what was learned"].sentence


def test_one_attempt_each(fitted):
    solved = np.random.default_rng(5).binomial(1, logits(300))
    fit, said, pred = fitted(table(solved, 1))
    assert not fit["sample_stats"]["diverging"].any()
    assert said["convergence"].passed
    low, high = interval(pred["new"])
    # The interval is that of a share of 300, which knows no more.
    share, se = solved.mean(), np.sqrt(solved.mean() * (1 - solved.mean()) / 300)
    assert low < share < high
    # The width of an interval of 250 draws is known within 6 %: four times that.
    assert high - low == pytest.approx(2 * 1.645 * se, rel=0.24)
    assert "one attempt per task" in said["what was learned"].sentence
    assert "add attempts on the same tasks" in said["what was learned"].sentence
    # And yet all that moves along the ridge is drawn well; in the model's own coordinates about one draw in ten was
    # effective.
    assert said["convergence"].table["ess_bulk"].min() > 800


def test_many_tasks_with_few_attempts(fitted):
    solved = np.random.default_rng(6).binomial(4, logits(2000))
    # How far success falls short by reach or by difficulty, four attempts hardly tell: that mixes slowest. With the
    # default target one of the 6,000 draws diverges, of twelve other seeds none; the warning says what helps.
    spec = ds3.ModelSpec.from_dict({"sampling": {"target_accept": 0.95}})
    fit, said, pred = fitted(table(solved, 4), spec, draws=1500, task_draws=400)
    assert not fit["sample_stats"]["diverging"].any()
    assert said["convergence"].passed
    low, high = interval(pred["new"])
    se = (solved / 4).std() / np.sqrt(2000)
    assert low - 2 * se < (solved / 4).mean() < high + 2 * se
    assert high - low < 6 * se
    assert said["posterior prediction"].passed


@pytest.mark.parametrize("beside", [False, True])
def test_a_million_attempts_on_one_task(fitted, beside):
    rows = table(400_000, 1_000_000)
    if beside:
        few = table(np.random.default_rng(7).binomial(5, logits(20)), 5)
        rows = pd.concat([rows, few.assign(task="x" + few["task"])])
    # With the default target, 9 of 80,000 draws diverge where a task is alone, and the warning says what helps.
    fit, said, _ = fitted(rows, ds3.ModelSpec.from_dict({"sampling": {"target_accept": 0.99}}))
    assert not fit["sample_stats"]["diverging"].any()
    assert said["convergence"].passed
    success = ds3.predict(fit, ["cot"], tasks="observed", per_task=True).success.sel(task="t0")
    # The share's binomial error, whose mean and sd are known from 250 draws within 6 % and 5 % of it: four times that.
    error = np.sqrt(0.4 * 0.6 / 1e6)
    assert float(success.mean()) == pytest.approx(0.4, abs=0.25 * error)
    assert float(success.std()) == pytest.approx(error, rel=0.2)
    assert ("a single task" in said["what was learned"].sentence) == (not beside)


def test_one_task(fitted, prior_fit):
    fit, said, pred = fitted(table(3, 10))
    assert not fit["sample_stats"]["diverging"].any()
    assert said["convergence"].passed
    low, high = interval(pred["observed"])
    # What the prior expects of a task, weighted by the chance of what was seen.
    expected = ds3.predict(prior_fit(ds3.read_evals(table(3, 10)), draws=2000), ["cot"], tasks="new", per_task=True)
    expected = expected.success.values.ravel()
    weight = stats.binom.pmf(3, 10, expected)
    below = [(weight * (expected < end)).sum() / weight.sum() for end in (low, high)]
    # 250 draws know either end within .014, in probability: four times that.
    assert below == pytest.approx([0.05, 0.95], abs=0.055)
    # New tasks may be anything.
    low, high = interval(pred["new"])
    assert high - low > 0.5
    assert "a single task" in said["what was learned"].sentence
    assert {"spread", "skew"} <= set(said["what was learned"].table.query("`sd ratio` > 0.8")["parameter"])


def test_one_row_with_one_attempt(fitted):
    fit, said, pred = fitted(table(1, 1))
    assert not fit["sample_stats"]["diverging"].any()
    assert said["convergence"].passed
    for kind in ("observed", "new"):
        low, high = interval(pred[kind])
        assert high - low > 0.5
    assert float(pred["observed"].success.mean()) > float(pred["new"].success.mean())


@pytest.mark.slow
def test_one_llm_solves_all_and_another_none(fitted):
    fit, said, pred = fitted(pd.concat([table([8] * 20, 8, "good"), table([0] * 20, 8, "bad")]))
    assert not fit["sample_stats"]["diverging"].any()
    assert said["convergence"].passed
    assert interval(pred["observed"], "good")[0] > 0.95
    assert interval(pred["observed"], "bad")[1] < 0.05
    sentence = said["what was learned"].sentence
    assert "good | b | cot: every attempt succeeded" in sentence
    assert "bad | b | cot: no attempt succeeded" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "rows",
    [
        table([8] * 20, 8),
        table([0] * 20, 8),
        table(np.random.default_rng(5).binomial(1, logits(300)), 1),
        table(np.random.default_rng(6).binomial(4, logits(2000)), 4),
        table(3, 10),
        table(1, 1),
        table(0, 1),
        five_llms([[8] * 20] * 5, 8),
        five_llms([[0] * 20] * 5, 8),
        five_llms(np.random.default_rng(8).binomial(1, logits(60), (5, 60)), 1),
        five_llms([2, 3, 4, 5, 6], 8),
    ],
    ids=[
        *("all", "none", "one attempt", "2,000 tasks", "one task", "one success", "one failure"),
        *("all pooled", "none pooled", "one attempt pooled", "one task pooled"),
    ],
)
def test_no_divergences_whatever_the_seed(fitted, rows, seed):
    fit, _, _ = fitted(rows, draws=1000, tune=1000, chains=4, seed=seed, task_draws=40)
    assert not fit["sample_stats"]["diverging"].any()


@pytest.mark.slow
def test_tokens_beside_all_or_nothing_tasks_leave_one_answer():
    """Three LLMs at three asked budgets, on tasks that nearly all attempts solve or none does, with tokens.

    Whether a task is easy is told by counts, and how long it takes by tokens, which have a factor of their own: chains
    agree on both. Where the mass matrix lost slow directions, r-hat of locations was 1.14.
    """
    rng = np.random.default_rng(2)
    tasks = 198
    easiness = np.where(rng.random(tasks) < 0.35, -1.2, 0.8) + 0.35 * rng.normal(size=tasks)
    easiness = (easiness - easiness.mean()) / easiness.std()
    length = -0.5 * easiness + np.sqrt(0.75) * rng.normal(size=tasks)
    sound = rng.random(tasks) > 0.05
    rows = []
    for llm, (location, spread) in enumerate([(1.5, 5.0), (2.5, 6.0), (3.5, 7.0)]):
        reached = sound & (rng.random(tasks) > 0.08)
        own = 0.6 * rng.standard_t(4, size=tasks)
        for rung, (budget, log_tokens) in enumerate([(1024, 7.0), (8192, 8.3), (32768, 9.0)]):
            logit = location + 0.5 * rung + spread * easiness + own + 0.3 * rng.standard_t(4, size=tasks)
            solved = rng.binomial(4, expit(logit) * reached)
            log_mean = log_tokens + 0.1 * llm + 0.45 * length + 0.25 * rng.normal(size=tasks)
            made = table(solved, 4, f"m{llm}").assign(budget_tokens=budget)
            rows.append(made.assign(tokens_mean=np.exp(log_mean + 0.15 * rng.normal(size=tasks))))
    with warnings.catch_warnings():
        # How long a path is is hardly told by means over four attempts.
        warnings.simplefilter("ignore", ds3.FitWarning)
        fit = ds3.fit(ds3.read_evals(pd.concat(rows)), seed=2, progress=False)
    # One of 4,000 draws did when this was written.
    assert float(fit["sample_stats"]["diverging"].mean()) <= 1e-3
    told = fit["posterior"].to_dataset()[["location", "spread", "skew", "token_slope", "length_spread"]]
    agreement = az.rhat(told)
    assert max(float(agreement[name].max()) for name in agreement) < 1.03
    # Tokens have a factor of their own beside easiness.
    assert (told["length_spread"].mean(("chain", "draw")) > 0.3).all()
