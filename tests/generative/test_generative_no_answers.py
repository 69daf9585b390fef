"""Attempts without an answer: their share is learned, and votes are predicted without them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import ds3bayes as ds3
from ds3bayes.evals import to_table
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.counts.cell import LogLikelihood
from ds3bayes.generative.counts.grid import AGREEMENT
from ds3bayes.generative.model import assemble
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.strategies.base import Learned
from ds3bayes.strategies.learned import answer_at_draws
from ds3bayes.strategies.walks import Restaurant
from ds3bayes.theory.evaluate import python_mode

SHARE, ALPHA, TASKS, ATTEMPTS = 0.27, 0.4, 80, 24
SPEC = ds3.ModelSpec.from_dict({"population": {"family": "normal", "reachability": False, "soundness": False}})


def made(seed: int = 3, tasks: int = TASKS, attempts: int = ATTEMPTS) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw a table with attempts that give no answer, and every answer (tasks, attempts): 0 right, -1 none."""
    rng = np.random.default_rng(seed)
    q = 1.0 / (1.0 + np.exp(-rng.normal(-0.3, 1.2, tasks)))
    right = rng.random((tasks, attempts)) < q[:, None]
    silent = ~right & (rng.random((tasks, attempts)) < SHARE)
    answers = np.where(right, 0, -1)
    task, attempt = np.nonzero(~right & ~silent)
    answers[task, attempt] = 1 + Restaurant(ALPHA)(task.astype(np.int64), rng)
    rows = []
    for name, given in enumerate(answers):
        wrong = np.unique(given[given > 0], return_counts=True)[1]
        rows.append(
            {"model": "m", "benchmark": "b", "task": f"t{name}", "strategy": "cot", "attempts": attempts}
            | {"successes": int((given == 0).sum()), "no_answer": int((given == -1).sum())}
            | {"wrong_answer_counts": "|".join(str(one) for one in sorted(wrong)[::-1])}
        )
    return pd.DataFrame(rows), answers


def observed_majority(answers: np.ndarray, n: int, rng: np.random.Generator, draws: int = 400) -> float:
    """Share of votes of n of a task's attempts, drawn without replacement, that its right answer wins."""
    won = 0.0
    for given in answers:
        for _ in range(draws):
            votes = rng.choice(given, n, replace=False)
            values, counts = np.unique(votes[votes >= 0], return_counts=True)
            if counts.size and values[0] == 0 and counts[0] == counts.max():
                won += 1.0 / (counts == counts.max()).sum()
    return won / (len(answers) * draws)


def fitted(table: pd.DataFrame) -> object:
    with warnings.catch_warnings():
        # Few draws suffice where inference is not under test.
        warnings.simplefilter("ignore", ds3.FitWarning)
        return ds3.fit(ds3.read_evals(table), SPEC, draws=300, tune=300, chains=2, seed=0, progress=False)


@pytest.fixture(scope="module")
def fits():
    table, answers = made()
    return fitted(table), fitted(table.drop(columns="no_answer")), answers


def test_the_share_is_learned(fits) -> None:
    told, untold, answers = fits
    draws = told["posterior"]["no_answer_share"].values.ravel()
    silent, failures = int((answers == -1).sum()), int((answers != 0).sum())
    # Conjugate: Beta(0.5 + silent, 2 + answered). 4 standard errors of 600 draws.
    law = stats.beta(0.5 + silent, 2.0 + failures - silent)
    assert abs(draws.mean() - law.mean()) < 4.0 * law.std() / np.sqrt(draws.size / 4)
    assert law.ppf(0.001) < SHARE < law.ppf(0.999)
    assert draws.std() == pytest.approx(law.std(), rel=0.2)
    assert "no_answer_share" not in untold["posterior"]
    # Success of attempts is told by the same counts as before.
    one, other = (fit["posterior"]["location"].values.ravel() for fit in (told, untold))
    assert abs(one.mean() - other.mean()) < 0.25 * one.std()


@pytest.mark.parametrize("n", [5, 9])
def test_majority_is_right_with_them_and_too_low_without(fits, n: int) -> None:
    told, untold, answers = fits
    truth = observed_majority(answers, n, np.random.default_rng(1))
    right, low = (ds3.predict(fit, [f"majority(n={n})"])["success"].values.ravel() for fit in (told, untold))
    assert abs(right.mean() - truth) < 2.0 * right.std()
    assert abs(right.mean() - truth) < 0.02
    assert low.mean() < truth - 0.04


def test_a_vote_that_stops_early_is_the_vote(fits) -> None:
    strategies = ["majority(n=5)", "early_stopping_majority(n=5)"]
    found = ds3.predict(fits[0], strategies)["success"]
    np.testing.assert_allclose(*(found.sel(strategy=one).values for one in strategies), atol=1e-9)


def test_density_of_the_model() -> None:
    table, _ = made(tasks=4, attempts=6)
    table.loc[0, "no_answer"] = np.nan
    design = make_design(ds3.read_evals(table), SPEC)
    model = assemble(SPEC, design)
    told = table[table["no_answer"].notna()]
    silent, failures = told["no_answer"].sum(), (told["attempts"] - told["successes"]).sum()
    value = model["no_answers"].eval({model["no_answer_share"]: [0.3]}, mode=python_mode())
    assert float(value) == pytest.approx(stats.binom.logpmf(silent, failures, 0.3), rel=1e-12)


def test_rows_are_drawn_anew() -> None:
    table = pd.concat([made(tasks=400, attempts=10)[0]], ignore_index=True)
    table.loc[0, "no_answer"] = np.nan
    design = make_design(ds3.read_evals(table), SPEC)
    rows = to_table(ds3.read_evals(table))
    drawn = OBSERVATIONS["no_answers"].draw_rows(
        rows, np.zeros(400), [0] * 400, design, {"no_answer_share": np.array([0.25])}, np.random.default_rng(0)
    )["no_answer"]
    drawn = np.array(drawn)
    failures = (rows["attempts"] - rows["successes"]).to_numpy()
    assert np.isnan(drawn[0])
    assert (drawn[1:] <= failures[1:]).all()
    # 4 standard errors.
    total = failures[1:].sum()
    assert abs(drawn[1:].sum() - 0.25 * total) < 4.0 * np.sqrt(0.1875 * total)


@pytest.mark.parametrize("shares", [None, (0.5, 0.3, 0.2)])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_what_is_interpolated_while_sampling_is_the_vote(n: int, shares: tuple[float, ...] | None) -> None:
    rng = np.random.default_rng(n)
    strategy, q = ds3.Majority(n=n, wrong_shares=shares), rng.random((20, 6))
    learned = Learned(concentration=rng.lognormal(0.0, 1.2, (20, 1)), no_answer=rng.random((20, 1)))
    exact = strategy.answer_given(q, None, learned)
    np.testing.assert_allclose(answer_at_draws(strategy, q, learned), exact, atol=2e-3)
    # By the law with blanks, which is written for any chances of right and wrong.
    for draw in range(3):
        alpha, silent = (float(one[draw, 0]) for one in (learned.concentration, learned.no_answer))
        law = strategy.answer(q[draw], np.array(alpha), wrong=(1.0 - q[draw]) * (1.0 - silent))
        np.testing.assert_allclose(exact[draw], law.eval(mode=python_mode()), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shares", [None, (0.5, 0.3, 0.2)])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_votes_that_a_verifier_weighs_are_of_attempts_that_answer(n: int, shares: tuple[float, ...] | None) -> None:
    rng = np.random.default_rng(n)
    strategy = ds3.WeightedBestOfN(n=n, verifier="noisy(d=1.25)", wrong_shares=shares)
    q, silent = rng.random((6, 4)), rng.random((6, 1))
    learned = Learned(concentration=rng.lognormal(0.0, 1.0, (6, 1)), no_answer=silent)
    exact = strategy.answer_array(q, learned.concentration, silent)
    for draw in range(6):
        alpha = np.array(float(learned.concentration[draw, 0]))
        law = strategy.answer(q[draw], alpha, wrong=(1.0 - q[draw]) * (1.0 - silent[draw, 0]))
        np.testing.assert_allclose(exact[draw], law.eval(mode=python_mode()), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(strategy.answer_given(q, None, learned), exact, atol=2e-3)
    # Where no fit learned blanks, all attempts vote.
    np.testing.assert_allclose(
        strategy.answer_given(q, None, Learned(concentration=learned.concentration)),
        strategy.answer_array(q, learned.concentration),
        atol=2e-3,
    )
    # Fewer wrong votes help; if all answer, blanks make no difference.
    assert (exact >= strategy.answer_array(q, learned.concentration) - 1e-9).all()
    np.testing.assert_allclose(
        strategy.answer_array(q, learned.concentration, 0.0 * silent),
        strategy.answer_array(q, learned.concentration),
        atol=1e-12,
    )


def test_endless_votes_among_those_that_answer() -> None:
    strategy, q = ds3.Majority(n=3, wrong_shares=(0.6, 0.4)), np.array([[0.0, 0.2, 0.3, 0.5, 1.0]])
    # A wrong answer has 0.6 of (1 - q) (1 - 0.5): q wins from 3/13 on.
    np.testing.assert_array_equal(strategy.limit_array(q, None, np.array([[0.5]])), [[0.0, 0.0, 1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(strategy.limit_array(q, None), [[0.0, 0.0, 0.0, 1.0, 1.0]])


def test_observed_votes_are_told_by_the_attempts_that_answer() -> None:
    """Decisions of a vote at a task, beside single attempts: their cell has the likelihood of the vote with blanks."""
    single = {"model": "m", "benchmark": "b", "strategy": "cot", "attempts": 8, "successes": 4, "no_answer": 3}
    votes = {"model": "m", "benchmark": "b", "strategy": "majority", "n_samples": 3, "attempts": 10, "successes": 7}
    rows = [one | {"task": task} for task in ("s", "t") for one in (single, votes)]
    table = make_design(ds3.read_evals(pd.DataFrame(rows)), SPEC).blocks[0].tables[0]

    def vote(q: np.ndarray, alpha: float | None) -> np.ndarray:
        one = (1,) * q.ndim
        return ds3.Majority(n=3).answer_array(q, np.full(one, alpha), np.full(one, 0.75))

    cell = LogLikelihood(attempts=38, rows=((None, 8, 4), (vote, 10, 7)))
    wanted = table.grid.table([cell, LogLikelihood(attempts=0, rows=())], AGREEMENT)
    np.testing.assert_allclose(table.log_mass, wanted.log_mass, rtol=1e-10)
