"""Success, tokens and latency of every strategy on a path of skills, against walks step by step."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy.stats import nbinom

from ds3bayes.errors import InputError
from ds3bayes.strategies import (
    STRATEGIES,
    Architecture,
    Beam,
    BestOfN,
    CoT,
    Direct,
    EarlyStoppingMajority,
    GPass,
    Majority,
    PassPower,
    PathTask,
    Rates,
    Revision,
    StepSearch,
    TreeOfThought,
    WeightedBestOfN,
    strategy_laws,
    thoughts,
)
from ds3bayes.theory.cost import flops
from ds3bayes.theory.evaluate import evaluate, numbers, python_mode
from ds3bayes.theory.traversal import absorbed_within, path_matrices

SHARES = (0.5, 0.3, 0.2)
STRATEGY_LIST = [
    CoT(),
    Direct(),
    BestOfN(n=4),
    BestOfN(n=4, verifier="noisy(d=1)"),
    Majority(n=5, wrong_shares=SHARES),
    Majority(n=6),
    WeightedBestOfN(n=5, verifier="noisy(d=1.5)", wrong_shares=SHARES),
    WeightedBestOfN(n=4, verifier="oracle"),
    EarlyStoppingMajority(n=7, wrong_shares=SHARES),
    EarlyStoppingMajority(n=8, confidence=0.8),
    PassPower(n=3),
    GPass(n=5, right=2),
    Revision(n=4),
    Revision(n=4, check="noisy(d=2)", threshold=1.0),
    TreeOfThought(branching=3, evaluator="noisy(d=1)"),
    TreeOfThought(branching=2, kept_states=3, outputs=2, evaluator="noisy(d=2)", answer_fidelity=0.9),
    TreeOfThought(branching=2, kept_states=2, evaluator="oracle", evaluation_tokens=10),
    TreeOfThought(branching=3, kept_states=2, evaluator="noisy(d=1)", candidate_overlap=0.5),
    TreeOfThought(branching=3, evaluator="noisy(d=2)", candidate_overlap=0.8),
    Beam(branching=3, width=2, evaluator="noisy(d=1)"),
    Beam(branching=2, width=1, evaluator="oracle"),
    Beam(branching=3, width=2, evaluator="noisy(d=2)", candidate_overlap=0.6),
    StepSearch(branching=3),
    StepSearch(branching=2, evaluator="noisy(d=1)", evaluation_tokens=5),
]
EASY = PathTask(path_length=3, advance=0.3, commit=0.06, tokens_per_step=10, wrong_answer_concentration=1.5)
TASKS = {
    "no budget": (EASY, None),
    "budget": (EASY, 150),
    "unreachable skills": (replace(EASY, reachability=0.9), 150),
    "no slips": (replace(EASY, commit=0.0, reachability=0.9), 150),
}
# Four standard errors each: a false alarm in some 16,000 comparisons, and the seed is fixed.
SIGMAS = 4.0
NUMBER = 20_000


def success_of(strategy, task):
    """Its law by itself: laws of tokens and latencies are longer."""
    return numbers(strategy.success(task))[0]


def set_budget(strategy, budget):
    if budget is None:
        return strategy
    searched = strategy.is_search or isinstance(strategy, StepSearch)
    return replace(strategy, budget_tokens=budget * (4 if searched else 1))


def test_rates_turn_tokens_into_costs():
    architecture = Architecture(params=1e9, n_layer=8, d_attn=512, prompt_tokens=40)
    rates = Rates(
        architecture=architecture,
        flop_per_joule=1e10,
        input_usd=3.0,
        cached_input_usd=0.3,
        output_usd=15.0,
        tokens_per_second=50.0,
    )
    task = replace(EASY, reachability=0.9)
    listed = ["cot(budget_tokens=150)", "best_of_n(n=4, budget_tokens=150)", "step_search(branching=3)"]
    table = strategy_laws(listed, task, rates)
    one, four, tree = (table.isel(strategy=i) for i in range(3))
    drawn = CoT(budget_tokens=150).simulate(task, np.random.default_rng(2), size=NUMBER).tokens
    spent = 2e9 * drawn + 2 * 8 * 512 * (40**2 + 40 * drawn + drawn * (drawn - 1) / 2)
    assert abs(spent.mean() - float(one["flops"])) < SIGMAS * spent.std() / np.sqrt(NUMBER)
    prompt = 2 * 8 * 512 * 40**2
    assert float(four["flops"]) == pytest.approx(4 * (float(one["flops"]) - prompt) + prompt, rel=1e-12)
    np.testing.assert_allclose(table["joules"], table["flops"] / 1e10, rtol=1e-14)
    assert float(one["usd"]) == pytest.approx((40 * 3 + 15 * float(one["tokens"])) / 1e6, rel=1e-12)
    assert float(four["usd"]) == pytest.approx((40 * 3 + 120 * 0.3 + 15 * float(four["tokens"])) / 1e6, rel=1e-12)
    np.testing.assert_allclose(table["seconds"], table["tokens"] / 50, rtol=1e-14)
    np.testing.assert_allclose(table["parallel_seconds"], table["parallel_tokens"] / 50, rtol=1e-14)
    assert np.isnan(tree["flops"])
    assert np.isnan(tree["usd"])
    assert "step_search(branching=3, evaluator=oracle): no closed form of FLOP with attention" in table.attrs["absent"]
    assert "how often it reads a prompt" in table.attrs["absent"]
    dense = strategy_laws(listed, task, Rates(architecture=Architecture(params=1e9), output_usd=1.0, input_usd=1.0))
    np.testing.assert_allclose(dense["flops"], 2e9 * dense["tokens"], rtol=1e-14)
    np.testing.assert_allclose(dense["usd"], dense["tokens"] / 1e6, rtol=1e-14)
    assert "joules: rates have no flop_per_joule" in dense.attrs["absent"]
    assert table["flops"].attrs["units"] == "FLOP per task"


def test_flops_of_a_vote_that_stops_early_follow_wald():
    task, n = replace(EASY, reachability=0.9), 6
    architecture = Architecture(params=1e6, n_layer=8, d_attn=512)
    vote = EarlyStoppingMajority(n=n, wrong_shares=(1.0,), budget_tokens=150)
    wanted = float(strategy_laws(vote, task, Rates(architecture=architecture))["flops"].item())
    rng = np.random.default_rng(9)
    reachable = rng.random(NUMBER) < 0.9**3
    advance = np.where(reachable, 0.3, 0.0)[:, None].repeat(n, 1)
    spent = np.zeros(NUMBER)
    right, wrong, going = np.zeros(NUMBER, int), np.zeros(NUMBER, int), np.ones(NUMBER, bool)
    for attempt in range(n):
        steps, done, slipped = np.zeros(NUMBER), np.zeros(NUMBER, int), np.zeros(NUMBER, bool)
        for _ in range(15):
            walking = (done < 3) & ~slipped
            steps += walking
            draw = rng.random(NUMBER)
            done += walking & (draw < advance[:, attempt])
            slipped |= walking & (draw > 1 - 0.06)
        tokens = 10 * steps
        spent += np.where(going, 2e6 * tokens + 8 * 512 * (tokens**2 - tokens), 0.0)
        right += going & (done == 3)
        wrong += going & slipped
        going &= np.abs(right - wrong) <= n - attempt - 1
    assert abs(spent.mean() - wanted) < SIGMAS * spent.std() / np.sqrt(NUMBER), (spent.mean(), wanted)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tokens_per_second": 0.0}, "tokens_per_second must be a positive"),
        ({"input_usd": 1.0}, "both input_usd and output_usd"),
        ({"flop_per_joule": 1.0}, "needs an architecture"),
        ({"cached_input_usd": 1.0}, "needs input_usd"),
        ({"output_usd": -1.0, "input_usd": 0.0}, "output_usd must be a number of at least 0"),
    ],
)
def test_impossible_rates_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        Rates(**given)


def test_every_strategy_is_tested():
    assert {type(strategy) for strategy in STRATEGY_LIST} >= set(STRATEGIES.values())


def compare(strategy, task, number, seed):
    drawn = strategy.simulate(task, np.random.default_rng(seed), size=number)
    laws = strategy_laws(strategy, task).isel(strategy=0)
    success = float(laws["success"])
    assert 0.0 <= success <= 1.0
    error = np.sqrt(max(success * (1 - success), 1e-12) / number)
    assert abs(drawn.success.mean() - success) <= SIGMAS * error, (drawn.success.mean(), success)
    for name, values in (("tokens", drawn.tokens), ("parallel_tokens", drawn.parallel_tokens)):
        expected = float(laws[name])
        if np.isnan(expected):
            assert name in laws.attrs["absent"]
            continue
        bound = SIGMAS * values.std() / np.sqrt(number) + 1e-9
        assert abs(values.mean() - expected) <= bound, (name, values.mean(), expected)
    law = strategy.tokens_distribution(task)
    assert float(law.sum()) == pytest.approx(1.0, abs=1e-11)
    assert float((law * law["tokens"]).sum()) == pytest.approx(float(laws["tokens"]), rel=1e-9)
    # Kolmogorov-Smirnov: 2.2 / sqrt(n) is passed by chance once in 8,000.
    below = np.searchsorted(np.sort(drawn.tokens), law["tokens"].values + 1e-6) / number
    assert np.abs(below - law.cumsum().values).max() < 2.2 / np.sqrt(number)


@pytest.mark.parametrize("strategy", STRATEGY_LIST, ids=str)
def test_laws_are_those_of_the_walks(strategy):
    task, budget = TASKS["unreachable skills"]
    compare(set_budget(strategy, budget), task, NUMBER, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGY_LIST, ids=str)
def test_laws_are_those_of_many_walks(strategy):
    for index, (task, budget) in enumerate(TASKS.values()):
        compare(set_budget(strategy, budget), task, 400_000, seed=50 + index)


def test_independent_reachability_is_another_law():
    task = replace(EASY, reachability=0.9, independent_reachability=True)
    strategy = BestOfN(n=4, budget_tokens=150)
    compare(strategy, task, NUMBER, seed=6)
    shared = success_of(strategy, replace(task, independent_reachability=False))
    one = success_of(CoT(budget_tokens=150), replace(task, reachability=1.0))
    assert shared == pytest.approx(0.9**3 * (1 - (1 - one) ** 4), rel=1e-12)
    assert success_of(strategy, task) == pytest.approx(1 - (1 - 0.9**3 * one) ** 4, rel=1e-12)


def test_one_attempt_is_the_general_traversal():
    m, r, h, K = 5, 0.23, 0.04, 40
    Q, ends = path_matrices(m, r, h)
    exact = numbers(*absorbed_within(Q, ends, np.eye(m)[0], K))
    laws = strategy_laws(CoT(budget_tokens=K * 25), PathTask(path_length=m, advance=r, commit=h)).isel(strategy=0)
    assert float(laws["success"]) == pytest.approx(exact[0], rel=1e-12)
    assert float(laws["tokens"]) == pytest.approx(25 * exact[3], rel=1e-12)


def test_selection_of_steps_is_selection_of_attempts():
    # One code path: b candidates per step advance as often as one of b attempts is right.
    task = PathTask(path_length=1, advance=0.2, commit=0.8)
    for d in ("oracle", "noisy(d=1.5)"):
        step = success_of(StepSearch(branching=4, evaluator=d), task)
        thought = success_of(TreeOfThought(branching=4, evaluator=d), task)
        attempt = success_of(BestOfN(n=4, verifier=d), task)
        assert step == pytest.approx(attempt, rel=1e-12)
        assert thought == pytest.approx(attempt, rel=1e-12)


def test_stopping_early_keeps_the_answer_and_saves_tokens():
    task = replace(EASY, reachability=0.95)
    whole = strategy_laws(Majority(n=9, wrong_shares=SHARES, budget_tokens=120), task).isel(strategy=0)
    early = strategy_laws(EarlyStoppingMajority(n=9, wrong_shares=SHARES, budget_tokens=120), task).isel(strategy=0)
    assert float(early["success"]) == pytest.approx(float(whole["success"]), rel=1e-10)
    assert float(early["tokens"]) < 0.95 * float(whole["tokens"])


def test_limits_join_strategies():
    task, budget = TASKS["unreachable skills"]

    def success(strategy):
        return success_of(set_budget(strategy, budget), task)

    assert success(WeightedBestOfN(n=5, verifier="noisy(d=0)")) == pytest.approx(success(Majority(n=5)), rel=1e-9)
    assert success(WeightedBestOfN(n=5, verifier="oracle")) == pytest.approx(success(BestOfN(n=5)), rel=1e-12)
    assert success(GPass(n=5, right=1)) == pytest.approx(success(BestOfN(n=5)), rel=1e-12)
    assert success(GPass(n=5, right=5)) == pytest.approx(success(PassPower(n=5)), rel=1e-12)
    assert success(Revision(n=5)) == pytest.approx(success(BestOfN(n=5)), rel=1e-12)
    assert success(Beam(branching=3, width=1, evaluator="noisy(d=1)")) == pytest.approx(
        success(TreeOfThought(branching=3, evaluator="noisy(d=1)")), rel=1e-12
    )
    for one in (BestOfN(n=1), Majority(n=1), PassPower(n=1), Revision(n=1), EarlyStoppingMajority(n=1)):
        assert success(one) == pytest.approx(success(CoT()), rel=1e-12)
    assert success(StepSearch(branching=1, evaluator="noisy(d=2)", budget_tokens=None)) == pytest.approx(
        success_of(CoT(budget_tokens=4 * budget), task), rel=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGY_LIST, ids=str)
def test_more_budget_never_hurts(strategy):
    steps = [3, 13, 34, 200]
    found = [strategy_laws(set_budget(strategy, 10 * k), EASY)["success"].item() for k in steps]
    assert np.all(np.diff(found) >= -1e-12)
    unlimited = strategy_laws(strategy, EASY)["success"].item()
    assert found[-1] == pytest.approx(unlimited, abs=1e-6)


@pytest.mark.parametrize(
    "strategy",
    [
        one if index in (0, 3, 4, 15) else pytest.param(one, marks=pytest.mark.slow)
        for index, one in enumerate(STRATEGY_LIST)
    ],
    ids=str,
)
def test_gradients_are_right(strategy):
    limited = set_budget(strategy, 150)
    r, h, gamma = pt.dscalars("r", "h", "gamma")
    task = replace(EASY, advance=r, commit=h, reachability=gamma)
    cost = limited.success(task) + 1e-3 * limited.expected_tokens(task)
    value = pytensor.function([r, h, gamma], cost, mode=python_mode())
    gradient = pytensor.function([r, h, gamma], pt.grad(cost, [r, h, gamma]), mode=python_mode())
    at, step = np.array([0.27, 0.05, 0.93]), 1e-5
    for index, got in enumerate(gradient(*at)):
        move = step * np.eye(3)[index]
        # Fourth-order differences: truncation and rounding are both below 1e-9 here.
        wanted = (
            8 * (value(*(at + move)) - value(*(at - move))) - (value(*(at + 2 * move)) - value(*(at - 2 * move)))
        ) / (12 * step)
        assert got == pytest.approx(wanted, rel=1e-6)


def test_edges_are_exact():
    sure = PathTask(path_length=4, advance=1.0, tokens_per_step=25)
    laws = strategy_laws(STRATEGY_LIST[:1], sure).isel(strategy=0)
    assert (float(laws["success"]), float(laws["tokens"])) == (1.0, 100.0)
    assert success_of(CoT(budget_tokens=99), sure) == 0.0
    assert success_of(CoT(budget_tokens=100), sure) == 1.0
    never = PathTask(path_length=4, advance=0.0, commit=0.5)
    for strategy in (CoT(), BestOfN(n=3), Majority(n=3, wrong_shares=SHARES), StepSearch(branching=2)):
        assert success_of(strategy, never) == 0.0
    nothing = PathTask(path_length=2, advance=0.5, reachability=0.0)
    laws = strategy_laws(CoT(budget_tokens=250), nothing).isel(strategy=0)
    assert (float(laws["success"]), float(laws["tokens"])) == (0.0, 250.0)
    assert np.isinf(strategy_laws(CoT(), nothing)["tokens"].item())


def test_arrays_by_name():
    task = PathTask(
        path_length=xr.DataArray([1, 4], dims="task"),
        advance=xr.DataArray([0.1, 0.5, 1.0], dims="skill"),
        commit=0.0,
    )
    table = strategy_laws(
        ["cot(budget_tokens=200)", TreeOfThought(branching=2, kept_states=2, evaluator="oracle")], task
    )
    assert dict(table.sizes) == {"strategy": 2, "task": 2, "skill": 3}
    assert table["success"].attrs["units"] == "1"
    got = table["success"].sel(strategy="cot(budget_tokens=200)", task=1, skill=1)
    assert float(got) == pytest.approx(nbinom.cdf(8 - 4, 4, 0.5), rel=1e-12)


def test_what_has_no_closed_form_says_so():
    table = strategy_laws(TreeOfThought(branching=2, evaluator="oracle", budget_tokens=500), EASY)
    assert np.isnan(table["parallel_tokens"].item())
    assert "simulate" in table.attrs["absent"]
    assert strategy_laws(CoT(), EASY).attrs["absent"] == "none"


# Equal budgets


def test_equal_tokens():
    assert BestOfN(n=4).with_equal_tokens(1000).budget_tokens == 250
    assert TreeOfThought(branching=4).with_equal_tokens(1000).budget_tokens == 1000
    assert StepSearch(branching=4).with_equal_tokens(1000).budget_tokens == 1000
    with pytest.raises(InputError, match=r"leaves 0\.5 tokens"):
        BestOfN(n=4).with_equal_tokens(2)


@pytest.mark.parametrize("chain", [100, 10_000, 1_000_000])
def test_equal_flops_of_attempts(chain):
    known = Architecture(params=1e10, n_layer=96, d_attn=12288, prompt_tokens=200)
    own = Majority(n=4).with_equal_flops(chain, known).budget_tokens
    prompt = evaluate(flops, 1e10, 0, 200, 96, 12288)

    def spent(n, tokens):
        # The prompt is read once.
        return n * (evaluate(flops, 1e10, tokens, 200, 96, 12288) - prompt)

    assert spent(4, own) <= spent(1, chain) <= spent(4, own + 1)
    assert chain / 4 <= own <= chain / 2


def test_equal_flops_of_searches():
    known = Architecture(params=1e10, n_layer=96, d_attn=12288, prompt_tokens=200)
    # An independent computation gave 3309.49 tokens on each of four branches.
    assert StepSearch(branching=4).with_equal_flops(10_000, known).budget_tokens == int(4 * 3309.4910811650716)
    assert Beam(branching=2, width=2).with_equal_flops(10_000, known).budget_tokens == int(4 * 3309.4910811650716)
    dense = Architecture(params=1e10)
    for strategy in (StepSearch(branching=4), Majority(n=2), CoT(), TreeOfThought(branching=3)):
        assert strategy.with_equal_flops(1000, dense) == strategy.with_equal_tokens(1000)


# Refusals


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"path_length": 0}, "path_length must be whole and at least 1, got 0"),
        ({"path_length": 2.5}, "got 2.5"),
        ({"advance": 1.2}, "advance must lie in"),
        ({"advance": "x"}, "advance must be a number"),
        ({"advance": 0.6, "commit": 0.6}, "advance + commit must not exceed 1, got 1.2"),
        ({"reachability": -1}, "reachability must lie in"),
        ({"tokens_per_step": 0}, "tokens_per_step must be a positive number"),
        ({"wrong_answer_concentration": 0}, "wrong_answer_concentration must be a positive number"),
        ({"path_length": 0, "advance": 2}, "2 faults"),
    ],
)
def test_bad_tasks(fields, part):
    with pytest.raises(InputError) as error:
        PathTask(**{"path_length": 2, "advance": 0.5, **fields})
    assert part in str(error.value)


def test_refusals_say_what_to_do():
    with pytest.raises(InputError, match="wrong_shares"):
        strategy_laws(Majority(n=5), replace(EASY, wrong_answer_concentration=None))
    with pytest.raises(InputError, match="wrong_shares"):
        Majority(n=5).simulate(replace(EASY, wrong_answer_concentration=None), np.random.default_rng(0))
    with pytest.raises(InputError, match="needs an evaluator"):
        strategy_laws(Beam(branching=2, width=2), EASY)
    with pytest.raises(InputError, match="need names"):
        strategy_laws(CoT(), replace(EASY, advance=np.array([0.1, 0.2])))
    with pytest.raises(InputError, match="give budget_tokens"):
        CoT().tokens_distribution(replace(EASY, commit=0.0, reachability=0.5))
    with pytest.raises(InputError, match="plain numbers for advance"):
        CoT().tokens_distribution(replace(EASY, advance=np.array([0.1, 0.2])))
    with pytest.raises(InputError, match="no strategies"):
        strategy_laws([], EASY)
    with pytest.raises(InputError, match="right must lie in"):
        GPass(n=3, right=4)
    with pytest.raises(InputError, match="confidence"):
        EarlyStoppingMajority(n=3, confidence=0.5)
    with pytest.raises(InputError, match="threshold"):
        Revision(n=3, threshold=np.inf)


@pytest.mark.parametrize("count", [2, 10, 11, 125])
def test_longest_of_many_candidates(count):
    # Exactly, by inclusion and exclusion in whole numbers; around the pace at which the way it is computed changes.
    paces = [0.001, 0.0948, 0.0952, 0.3, 0.9, 1.0]
    got = evaluate(thoughts._expected_longest, np.array(paces), count=count)
    for pace, one in zip(paces, got, strict=True):
        still = 1 - Fraction(pace)
        exact = sum(Fraction((-1) ** (j + 1) * math.comb(count, j)) / (1 - still**j) for j in range(1, count + 1))
        assert one == pytest.approx(float(exact), rel=1e-13)
