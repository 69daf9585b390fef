"""The simulator against closed forms that it does not use, and against itself."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.special import betainc, expit
from scipy.stats import binom, norm

from ds3bayes.errors import InputError
from ds3bayes.evals import read_evals, to_table
from ds3bayes.evals.simulate import simulate
from ds3bayes.strategies.walks import ENDLESS, SOLVED, TRUNCATED, WRONG, Restaurant, walk

# (r, h, m, K): no slips, slips, one step, tight and loose budgets, a sure step, a long path.
GRID = [
    (0.12, 0.01, 6, 90),
    (0.12, 0.0, 6, 60),
    (0.3, 0.1, 1, 4),
    (0.05, 0.02, 3, 40),
    (0.5, 0.2, 4, 4),
    (0.7, 0.3, 5, 20),
    (0.2, 0.005, 20, 110),
]
# Four standard errors for each of 28 numbers: a false alarm in about 600 runs, and the seed is fixed.
SIGMAS = 4.0


def chances(r: float, h: float, m: int, budget: int) -> tuple[float, float]:
    """Return P(solved) and P(truncated), by the closed forms of the path."""
    s = r + h
    solved = (r / s) ** m * betainc(m, budget - m + 1, s) if budget >= m else 0.0
    cut = (1 - h) ** budget * (1 - betainc(m, budget - m + 1, r / (1 - h))) if budget >= m else (1 - h) ** budget
    return float(solved), float(cut)


def mean_steps(r: float, h: float, m: int, budget: int) -> float:
    s = r + h
    return float(sum(r**j / s ** (j + 1) * betainc(j + 1, budget - j, s) for j in range(min(m, budget))))


def compare(number: int) -> None:
    for index, (r, h, m, budget) in enumerate(GRID):
        walks = walk(np.full(number, r / (r + h)), r + h, m, budget, np.random.default_rng(index))
        solved, cut = chances(r, h, m, budget)
        for outcome, chance in ((SOLVED, solved), (TRUNCATED, cut), (WRONG, 1 - solved - cut)):
            error = np.sqrt(max(chance * (1 - chance), 0.0) / number)
            share = np.mean(walks.outcome == outcome)
            assert abs(share - chance) <= SIGMAS * error + 1e-12, (r, h, m, budget, outcome, share, chance)
        spread = walks.steps.std() / np.sqrt(number)
        assert abs(walks.steps.mean() - mean_steps(r, h, m, budget)) <= SIGMAS * spread
        assert walks.steps.max() <= budget
        assert (walks.steps[walks.outcome == TRUNCATED] == budget).all()
        assert walks.steps[walks.outcome == SOLVED].min(initial=m) >= m


def test_walks_follow_the_closed_forms() -> None:
    compare(50_000)


@pytest.mark.slow
def test_a_million_walks_follow_the_closed_forms() -> None:
    compare(1_000_000)


def test_walks_without_a_reachable_end() -> None:
    number, r, h, budget = 50_000, 0.1, 0.02, 30
    walks = walk(np.full(number, r / (r + h)), r + h, ENDLESS, budget, np.random.default_rng(0))
    assert not (walks.outcome == SOLVED).any()
    chance = 1 - (1 - h) ** budget
    assert abs(np.mean(walks.outcome == WRONG) - chance) < SIGMAS * np.sqrt(chance * (1 - chance) / number)


def test_walks_at_the_edges() -> None:
    rng = np.random.default_rng(0)
    assert walk(1, 1, 3, 3, rng).outcome == SOLVED
    assert walk(1, 1, 3, 2, rng).outcome == TRUNCATED
    assert walk(0, 1, 3, None, rng).steps == 1
    assert walk(1, 1, 3, 0, rng).steps == 0
    many = walk(np.ones((2, 3)), [0.5, 0.5, 1.0], [[1], [2]], None, rng)
    assert many.outcome.shape == many.steps.shape == (2, 3)
    assert (many.outcome == SOLVED).all()
    assert many.steps[:, 2].tolist() == [1, 2]


def test_bad_walks() -> None:
    with pytest.raises(InputError, match="4 faults"):
        walk([2], [0], [0], [-1], np.random.default_rng(0))
    with pytest.raises(InputError, match="never stops"):
        walk(1, 0.5, ENDLESS, None, np.random.default_rng(0))


def test_restaurant_seats_by_its_law() -> None:
    # Chance that n customers share one table: product of i / (a + i); mean tables: sum of a / (a + i).
    groups, customers, concentration = 20_000, 4, 0.7
    # Half of them come later: the restaurant remembers who sits where.
    restaurant, rng = Restaurant(concentration), np.random.default_rng(1)
    half = np.tile(np.arange(groups), customers // 2)
    seats = np.concatenate([restaurant(half, rng), restaurant(half, rng)]).reshape(customers, groups)
    tables = np.array([len(set(column)) for column in seats.T])
    later = np.arange(1, customers)
    one = np.prod(later / (concentration + later))
    assert abs(np.mean(tables == 1) - one) < SIGMAS * np.sqrt(one * (1 - one) / groups)
    opening = concentration / (concentration + np.arange(customers))
    error = np.sqrt(np.sum(opening * (1 - opening)) / groups)
    assert abs(tables.mean() - opening.sum()) < SIGMAS * error
    assert len({*seats[:, 0]} & {*seats[:, 1]}) == 0


def test_simulated_evaluations_are_what_would_be_read() -> None:
    simulation = simulate(
        tasks=12,
        attempts=5,
        models={"small": -1, "large": 1.0},
        strategies=["cot", "direct", "best_of_n(n=3)", "majority( n = 4 )", "pass_power(n=2)"],
        reachability=0.95,
        max_tokens=[500, None],
        interaction_sd=0.3,
        skew=0.5,
        difficulty_effect=0.0,
        seed=7,
    )
    evals, truth = simulation.evals, simulation.truth
    assert evals.sizes["row"] == 2 * 12 * 5 * 2
    xr.testing.assert_identical(read_evals(to_table(evals)).drop_attrs(), evals.drop_attrs())
    assert evals.attrs["source"] == "simulated (seed 7)"
    assert dict(truth.sizes) == {"model": 2, "task": 12}
    assert truth["location"].values.tolist() == [-0.5, 1.5]
    single = evals.where(evals["strategy"].isin(["cot", "direct"]), drop=True)
    wrong = [sum(map(int, text.split("|"))) if text else 0 for text in single["wrong_answer_counts"].values]
    np.testing.assert_array_equal(single["attempts"] - single["successes"] - single["no_answer"], wrong)
    assert (single["tokens_max"].where(single["max_tokens"] == 500) <= 500).sum() == 2 * 2 * 12
    many = evals["strategy"].isin(["best_of_n", "majority", "pass_power"])
    assert evals["n_samples"].notnull().values.tolist() == many.values.tolist()


def test_same_seed_same_evaluations() -> None:
    one, other, third = (simulate(tasks=5, seed=seed).evals for seed in (3, 3, 4))
    assert one.identical(other)
    assert one.attrs["data_sha256"] != third.attrs["data_sha256"]


def test_task_law_is_two_half_normals() -> None:
    number, location, spread, skew = 20_000, 0.4, 1.2, 0.8
    truth = simulate(
        tasks=number, attempts=1, path_length=1, pace=0.9, location=location, spread=spread, skew=skew
    ).truth
    left, right = spread * np.exp(skew / 2), spread * np.exp(-skew / 2)
    values = np.sort(truth["logit_eventual_success"].values[0]) - location
    share = left / (left + right)
    law = np.where(
        values < 0,
        2 * share * norm.cdf(values / left),
        share + (1 - share) * (2 * norm.cdf(values / right) - 1),
    )
    # Kolmogorov-Smirnov: 2.2 / sqrt(n) is passed by chance once in 8,000.
    assert np.abs(law - (np.arange(number) + 0.5) / number).max() < 2.2 / np.sqrt(number)
    np.testing.assert_allclose(truth["eventual_success"], expit(truth["logit_eventual_success"]))


def test_strategies_follow_from_their_walks() -> None:
    # One task, no spread: every decision of a strategy has one known chance.
    number, q, n = 40_000, 0.6, 3
    evals = simulate(
        tasks=1,
        attempts=number,
        location=float(np.log(q / (1 - q))),
        spread=0,
        path_length=2,
        pace=0.8,
        strategies=["cot", f"best_of_n(n={n})", f"pass_power(n={n})", f"majority(n={n})"],
        wrong_answer_concentration=0,
        seed=11,
    ).evals.to_dataframe()
    # All wrong answers are the same here, so the majority of three is right when two are.
    expected = {"cot": q, "best_of_n": 1 - (1 - q) ** n, "pass_power": q**n, "majority": binom.sf(1, n, q)}
    for strategy, chance in expected.items():
        share = evals.set_index("strategy").loc[strategy, "successes"] / number
        assert abs(share - chance) < SIGMAS * np.sqrt(chance * (1 - chance) / number), strategy


def test_majority_breaks_ties_at_random() -> None:
    # Two votes, wrong answers never alike: 1-1 is a tie, and so is the right answer against nobody.
    number, q = 40_000, 0.5
    evals = simulate(
        tasks=1,
        attempts=number,
        location=0.0,
        spread=0,
        pace=0.8,
        strategies=["majority(n=2)"],
        wrong_answer_concentration=1e9,
    ).evals
    chance = q**2 + 2 * q * (1 - q) / 2
    share = float(evals["successes"][0]) / number
    assert abs(share - chance) < SIGMAS * np.sqrt(chance * (1 - chance) / number)


def test_unreachable_tasks_are_never_solved() -> None:
    simulation = simulate(tasks=50, reachability=0.9, path_length=6, seed=2)
    solved = simulation.evals["successes"].values > 0
    reachable = simulation.truth["reachable"].values[0]
    assert not (solved & ~reachable).any()
    assert 0 < reachable.sum() < 50


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"tasks": 0}, "tasks=0; allowed: an integer >= 1"),
        ({"attempts": 1.5}, "attempts=1.5"),
        ({"seed": True}, "seed=True"),
        ({"pace": 1.0}, "pace=1.0; allowed: a number in (0, 1)"),
        ({"spread": float("nan")}, "spread=nan"),
        ({"reachability": 2}, "reachability=2"),
        ({"tokens_per_step": 0.5}, "tokens_per_step=0.5; allowed: a number >= 1"),
        ({"models": {}}, "models={}"),
        ({"models": {"a": "b"}}, "models={'a': 'b'}"),
        ({"benchmark": " "}, "benchmark=' '"),
        ({"strategies": ["cott"]}, "Did you mean 'cot'?"),
        ({"strategies": ["majority"]}, "n is missing; write majority(n=...)"),
        ({"strategies": ["cot(n=2)"]}, "unknown key 'n'"),
        ({"strategies": ["cot(max_tokens=100)"]}, "states a budget, a cut or an effort"),
        ({"strategies": ["tot(branching=2, kept_states=2, outputs=2)"]}, "leave out outputs"),
        ({"strategies": ["g_pass(n=4, right=2)", "g_pass(n=4, right=3)"]}, "a table cannot tell it"),
        ({"strategies": ["cot", "cot()"]}, "given twice"),
        ({"strategies": "cot"}, "allowed: a list"),
        ({"path_length": [1, 2]}, "or one for each of 100 tasks"),
        ({"path_length": 0}, "path_length=0"),
        ({"max_tokens": 10}, "from one step (25 tokens) up"),
        ({"max_tokens": [100, 100]}, "all different"),
        ({"tasks": 10**6, "attempts": 100}, "walks; allowed: at most"),
        ({"pace": 1e-9}, "a walk without a cut would take about"),
        ({"tasks": 0, "attempts": 0}, "2 faults"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], part: str) -> None:
    with pytest.raises(InputError) as error:
        simulate(**arguments)
    assert part in str(error.value)


def test_no_attempt_at_an_unsound_task_counts() -> None:
    given = {
        "tasks": 40,
        "attempts": 6,
        "models": 2,
        "location": 2.0,
        "strategies": ["cot", "majority(n=3)", "tot(branching=2, evaluator=oracle)"],
    }
    some = simulate(**given, soundness=0.5, seed=2)
    table, sound = to_table(some.evals), some.truth["sound"].to_series()
    assert 10 <= sound.sum() <= 30
    broken = table["task"].map(~sound)
    assert (table.loc[broken, "successes"] == 0).all()
    assert table.loc[~broken, "successes"].sum() > 0.5 * table.loc[~broken, "attempts"].sum()
    # Right attempts agree on what the key says is wrong.
    single = table[broken & (table["strategy"] == "cot")]
    counts = [[int(part) for part in text.split("|")] for text in single["wrong_answer_counts"]]
    assert [sum(parts) for parts in counts] == (single["attempts"] - single["no_answer"]).tolist()
    assert np.mean([parts[0] for parts in counts]) > 4
    assert simulate(**given, seed=2).truth["sound"].all()
    with pytest.raises(InputError, match=r"soundness=1\.5"):
        simulate(soundness=1.5)


def test_asked_budgets_pace_walks_and_cut_none() -> None:
    given = {"tasks": 40, "attempts": 200, "spread": 0.5, "path_length": 4, "seed": 5}
    made = simulate(**given, budget_tokens=[4000, 16000, 64000], budget_gain=0.5, budget_lengthening=0.3)
    table = to_table(made.evals).set_index(["budget_tokens", "task"])
    assert (table["truncated"] == 0).all()
    assert table["max_tokens"].isna().all()
    for budget in (4000, 16000, 64000):
        doublings = np.log2(budget / 16000)
        logits = made.truth["logit_eventual_success"].values[0] + 0.5 * doublings
        # Success of the tasks, each of 200 attempts, has a standard error below .5 / sqrt(40 * 200).
        expected = (1 / (1 + np.exp(-logits))).mean()
        assert abs(table.loc[budget, "successes"].sum() / 8000 - expected) < SIGMAS * 0.5 / np.sqrt(8000)
    right = table["log_tokens_mean_correct"].unstack("task").mean(axis=1)
    assert np.allclose(right.diff().dropna(), 2 * 0.3, atol=0.05)
