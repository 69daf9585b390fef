import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy.stats import binom

from ds3bayes.errors import InputError
from ds3bayes.strategies import (
    STRATEGIES,
    AttemptStrategy,
    BestOfN,
    CoT,
    Direct,
    Majority,
    PassPower,
    PathTask,
    TreeOfThought,
    parse_strategy,
    register,
    strategy_laws,
)
from ds3bayes.strategies.attempts import SingleAttempt
from ds3bayes.strategies.walks import SOLVED
from ds3bayes.theory import selectors, trees
from ds3bayes.theory.evaluate import evaluate

Q = np.array([[0.0, 0.2, 0.5], [0.7, 1.0, 1e-9]])

ALL = [
    CoT(),
    Direct(),
    BestOfN(n=4),
    BestOfN(n=4, verifier="noisy(d=1)"),
    Majority(n=5, wrong_shares=(0.6, 0.4)),
    PassPower(n=3),
    TreeOfThought(branching=3, kept_states=4, outputs=2),
]


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_answer_is_a_probability_that_rises_with_q(strategy):
    q = np.linspace(0.0, 1.0, 51)
    values = strategy.answer_array(q)
    assert values[0] == 0.0
    assert values[-1] == pytest.approx(1.0, abs=1e-14)
    assert np.all(np.diff(values) >= 0.0)


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_expression_and_arrays_agree(strategy):
    q = pt.dmatrix("q")
    compiled = pytensor.function([q], strategy.answer(q), mode=Mode("py", "merge"))
    np.testing.assert_array_equal(compiled(Q), strategy.answer_array(Q))
    assert strategy.answer_array(Q).shape == Q.shape


def test_laws():
    np.testing.assert_array_equal(CoT().answer_array(Q), Q)
    np.testing.assert_allclose(BestOfN(n=4).answer_array(Q), 1 - (1 - Q) ** 4, atol=1e-15)
    np.testing.assert_allclose(PassPower(n=3).answer_array(Q), Q**3, rtol=1e-14)
    voters = Majority(n=3, wrong_shares=(1.0,)).answer_array(Q)
    np.testing.assert_allclose(voters, binom.sf(1, 3, Q), rtol=1e-12)
    tree = TreeOfThought(branching=3, kept_states=4, outputs=2)
    np.testing.assert_allclose(tree.answer_array(Q[0]), 1 - (1 - Q[0]) ** 2, rtol=1e-14)


@pytest.mark.parametrize(
    ("strategy", "walk", "attempts", "units"),
    [
        (CoT(), "cot", 1, 1.0),
        (Direct(), "direct", 1, 1.0),
        (BestOfN(n=7), "cot", 7, 7.0),
        (Majority(n=7, sampler="direct"), "direct", 7, 7.0),
        (PassPower(n=2), "cot", 2, 2.0),
        (TreeOfThought(branching=5), "tot", 1, 15.0),
        (TreeOfThought(branching=2, kept_states=3, outputs=3), "tot", 3, 12.0),
    ],
    ids=str,
)
def test_walk_attempts_and_tokens(strategy, walk, attempts, units):
    assert strategy.walk == walk
    assert strategy.attempts == attempts
    assert strategy.token_units(3) == units


def test_tree_tokens_need_the_path_length():
    tree = TreeOfThought(branching=2, kept_states=3)
    np.testing.assert_allclose(tree.token_units([1, 2, 3, 3.5]), [2, 6, 12, 15])
    assert isinstance(tree.token_units(pt.dscalar("m")), pt.TensorVariable)
    with pytest.raises(InputError, match="path length"):
        tree.token_units()


# Votes


def test_vote_with_learned_agreement():
    alpha = np.array([[0.2], [5.0]])
    q = np.array([[0.3, 0.6], [0.3, 0.6]])
    got = Majority(n=6).answer_array(q, alpha)
    weights = selectors.plurality_weights_partition(6, alpha[:, 0])
    wanted = [[(binom.pmf(np.arange(7), 6, p) * w).sum() for p in row] for row, w in zip(q, weights, strict=True)]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    assert got[1, 0] > got[0, 0]
    np.testing.assert_allclose(evaluate(_vote, q), Majority(n=6).answer_array(q, 0.2), rtol=1e-14)


def _vote(q):
    return Majority(n=6).answer(q, 0.2)


def test_stated_shares_come_before_learned_ones():
    strategy = Majority(n=5, wrong_shares=(0.6, 0.4))
    np.testing.assert_array_equal(strategy.answer_array(Q, np.array([[1.0], [2.0]])), strategy.answer_array(Q))


def test_vote_without_shares_says_what_is_needed():
    for call in (Majority(n=3).answer, Majority(n=3).answer_array):
        with pytest.raises(InputError, match=r"majority\(n=3\).*wrong_shares.*wrong_answer_counts"):
            call(Q)
    with pytest.raises(InputError, match="array of numbers"):
        Majority(n=3).answer(Q, pt.dscalar("alpha"))
    # One or two votes do not depend on it.
    np.testing.assert_allclose(Majority(n=1).answer_array(Q), Q, rtol=1e-15)
    np.testing.assert_allclose(Majority(n=2).answer_array(Q), Q, rtol=1e-14)


# Trees


def test_tree_output_success():
    rho, d = np.array([[0.2, 0.6]]), np.array([[1.0], [2.0]])
    tree = TreeOfThought(branching=3, kept_states=2)
    got = tree.output_success_array(rho, 4, d, 0.9)
    wanted = 0.9 * evaluate(lambda r, x: trees.tree_outputs(r, 4, 3, 2, x), rho, d)
    np.testing.assert_allclose(got, wanted, rtol=1e-13)
    per_task = tree.output_success_array(rho, np.array([4, 1]), d, 0.9)
    np.testing.assert_allclose(per_task[:, 0], got[:, 0], rtol=1e-13)
    assert np.all(per_task[:, 1] > got[:, 1])
    graph = tree.output_success(pt.dscalar("rho"), 4, 1.0, 0.9)
    assert graph.ndim == 0


def test_one_kept_state_takes_real_path_lengths():
    tree = TreeOfThought(branching=3, evaluator="oracle", answer_fidelity=0.5)
    got = tree.output_success_array(0.4, [1.0, 2.5])
    np.testing.assert_allclose(got, 0.5 * (1 - 0.6**3) ** np.array([1.0, 2.5]), rtol=1e-14)


def test_stated_evaluator_and_fidelity_come_first():
    stated = TreeOfThought(branching=3, kept_states=2, evaluator="noisy(d=2)", answer_fidelity=0.8)
    free = TreeOfThought(branching=3, kept_states=2)
    got = stated.output_success_array(0.4, 3, 0.0, 0.1)
    assert got == free.output_success_array(0.4, 3, 2.0, 0.8)
    with pytest.raises(InputError, match="evaluator is not stated"):
        free.output_success(0.4, 3, fidelity=0.8)
    with pytest.raises(InputError, match="answer_fidelity is not stated"):
        free.output_success_array(0.4, 3, 1.0)


# From outside the package


def test_a_strategy_from_outside():
    @register
    @dataclass(frozen=True, kw_only=True)
    class AtLeast(AttemptStrategy):
        name: ClassVar[str] = "at_least_for_test"
        needed: int = 1

        def selector_faults(self) -> list[str]:
            return [] if 1 <= self.needed <= self.n else [f"needed must lie in 1..{self.n}, got {self.needed}"]

        def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
            return selectors.bernstein(q, selectors.at_least(self.n, self.needed))

        def decide(self, outcome, answers, rng):
            return (outcome == SOLVED).sum(axis=1) >= self.needed, np.full(len(outcome), self.n)

    try:
        strategy = parse_strategy("at_least_for_test(n=5, needed=3)")
        assert strategy == AtLeast(n=5, needed=3)
        assert str(strategy) == "at_least_for_test(n=5, needed=3)"
        np.testing.assert_allclose(strategy.answer_array(0.4), binom.sf(2, 5, 0.4), rtol=1e-13)
        with pytest.raises(InputError, match=r"needed must lie in 1\.\.2"):
            parse_strategy("at_least_for_test(n=2, needed=3)")
        assert register(AtLeast) is AtLeast
        # Its laws from a path and its simulation follow.
        task = PathTask(path_length=2, advance=0.3, commit=0.1)
        assert strategy_laws(strategy, task)["success"].item() == pytest.approx(binom.sf(2, 5, 0.75**2), rel=1e-12)
        drawn = strategy.simulate(task, np.random.default_rng(0), size=20_000).success.mean()
        assert abs(drawn - binom.sf(2, 5, 0.75**2)) < 4 * 0.5 / np.sqrt(20_000)
    finally:
        del STRATEGIES["at_least_for_test"]


def test_register_refuses_clashes_and_half_strategies():
    with pytest.raises(InputError, match="concrete subclass"):
        register(AttemptStrategy)
    with pytest.raises(InputError, match="concrete subclass"):
        register(int)

    def built(name):
        return type("Other", (SingleAttempt,), {"name": name, "walk": property(lambda self: "cot")})

    with pytest.raises(InputError, match="'cot' is taken by CoT"):
        register(built("cot"))
    with pytest.raises(InputError, match="must be a word"):
        register(built("a b"))
    assert STRATEGIES["cot"] is CoT


@pytest.mark.slow
def test_large_grids_are_quick():
    q = np.random.default_rng(0).uniform(size=(1000, 500))
    for strategy in (
        BestOfN(n=100),
        BestOfN(n=100, verifier="noisy(d=1.5)"),
        Majority(n=100),
        PassPower(n=100),
        Majority(n=100, wrong_shares=(0.7, 0.3)),
    ):
        begin = time.perf_counter()
        assert strategy.answer_array(q, np.full((1000, 1), 2.0)).shape == q.shape
        assert time.perf_counter() - begin < 20.0
