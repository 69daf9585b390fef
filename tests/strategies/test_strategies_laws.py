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
    # Outputs of one search are no attempts to choose from: q is the success of the search as a whole.
    np.testing.assert_array_equal(TreeOfThought(branching=3, kept_states=4, outputs=2).answer_array(Q[0]), Q[0])


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


def test_right_outputs_of_the_best_ranked_states():
    """Fewer outputs than kept states are the best-scored ones; between two numbers of candidates searches are mixed."""
    tree = TreeOfThought(branching=3, kept_states=4, outputs=2)
    x, d, o = np.array([[-1.0, 0.5]]), np.array([1.5]), np.array([0.2])
    law = tree.right_outputs(x, d, o, 3)
    assert law.shape == (1, 2, 3)
    np.testing.assert_allclose(law.sum(axis=-1), 1.0, rtol=1e-12)
    rho = (1 / (1 + np.exp(-x))) ** (1 / 3)
    wanted = evaluate(lambda r, g: trees.right_kept_states(r, (3, 4, 2), 3, g, 0.2)[-1], rho, d[:, None])
    np.testing.assert_allclose(law, wanted, atol=5e-4)
    # The best-ranked output is right more often than one of all that are kept.
    best, every = (tree.writing(n).right_outputs(x, d, o, 3) for n in (1, 4))
    assert (best[..., 1] > every @ np.arange(5) / 4).all()
    mixed = tree.right_outputs(x, d, o, 3, 3.25)
    more = TreeOfThought(branching=4, kept_states=4, outputs=2).right_outputs(x, d, o, 3)
    np.testing.assert_allclose(mixed, 0.75 * law + 0.25 * more, rtol=1e-12)
    # One candidate at each of two levels leaves a single state to write out.
    few = TreeOfThought(branching=1, kept_states=4, outputs=2).right_outputs(x, d, o, 2)
    assert (few[..., 2] == 0).all()


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
