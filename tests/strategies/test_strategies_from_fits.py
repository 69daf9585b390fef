"""Every strategy is predicted from a fit, as by its laws; one from outside is a single class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest

import ds3bayes as ds3
from ds3bayes.deferred import pt
from ds3bayes.queries.predict import View
from ds3bayes.strategies import STRATEGIES, AttemptStrategy, PathTask, parse_strategy, register
from ds3bayes.strategies.lengths import Lengths, law_of_walks
from ds3bayes.strategies.walks import SOLVED
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.path import solved_at, truncated, wrong_at


def both(fit, one: str, other: str, name: str = "success") -> tuple[np.ndarray, np.ndarray]:
    pred = ds3.predict(fit, [one, other], per_task=True)[name]
    return pred.isel(strategy=0).values, pred.isel(strategy=1).values


@pytest.mark.parametrize(
    ("strategy", "twin"),
    [
        # A search of one path is the tree that keeps one state; a step that proposes one candidate is a walk.
        ("beam(branching=5, width=1)", "tot(branching=5)"),
        ("step_search(branching=1)", "cot"),
        ("revision(n=4)", "best_of_n(n=4)"),
        ("early_stopping_majority(n=2)", "majority(n=2)"),
        ("g_pass(n=6, right=6)", "pass_power(n=6)"),
    ],
)
def test_twins_succeed_alike(game24_fit, strategy, twin):
    np.testing.assert_allclose(*both(game24_fit, strategy, twin), rtol=2e-6, atol=1e-9)


def test_wider_beams_and_better_steps_succeed_more(game24_fit):
    wide, narrow = both(game24_fit, "beam(branching=5, width=5)", "beam(branching=5, width=1)")
    assert wide.mean() > narrow.mean()
    several, one = both(game24_fit, "step_search(branching=3)", "step_search(branching=1)")
    assert (several >= one - 1e-9).all()


def test_a_vote_that_stops_is_the_vote_and_cheaper(simulated_fit):
    """Without a confidence it stops when nothing can change any more; by Wald its tokens are those of the attempts."""
    stopped, vote = both(simulated_fit, "early_stopping_majority(n=5)", "majority(n=5)")
    np.testing.assert_allclose(stopped, vote, rtol=0, atol=1e-9)
    spent, all_of_them = both(simulated_fit, "early_stopping_majority(n=5)", "majority(n=5)", "tokens")
    seen = np.isfinite(spent)
    assert (spent[seen] < all_of_them[seen]).all()
    assert (spent[seen] >= 0.6 * all_of_them[seen] - 1e-6).all()


def test_attempts_in_a_row_cost_what_is_made_of_them(game24_fit):
    """Attempts until an oracle accepts one: 1 + (1 - q) + (1 - q)^2 of them on average."""
    q, _ = both(game24_fit, "cot", "revision(n=3)")
    tokens, spent = both(game24_fit, "cot", "revision(n=3)", "tokens")
    np.testing.assert_allclose(spent, tokens * (1 + (1 - q) + (1 - q) ** 2), rtol=1e-6)


def test_walks_have_the_success_and_the_tokens_they_are_asked_for():
    rng = np.random.default_rng(3)
    q, tokens = rng.uniform(0.01, 0.999, (5, 4)), rng.uniform(300.0, 5000.0, (5, 4))
    lengths = Lengths(tokens=tokens, spent=tokens, path_length=np.array([[1.0, 3.0, 7.0, 20.0]]), tokens_per_step=10.0)
    cot = parse_strategy("cot")
    walks = lengths.walks(q, cot)
    np.testing.assert_allclose(law_of_walks(cot.success, walks), q, rtol=1e-9)
    np.testing.assert_allclose(law_of_walks(cot.expected_tokens, walks), tokens, rtol=1e-9)


def test_what_is_not_known_is_named():
    none = Lengths(tokens=None, spent=None, path_length=np.full((1, 1), np.nan), tokens_per_step=10.0)
    some = Lengths(tokens=np.ones((1, 1)), spent=None, path_length=np.full((1, 1), np.nan), tokens_per_step=10.0)
    strategy = parse_strategy("step_search(branching=2)")
    with pytest.raises(ds3.InputError, match="needs observed tokens"):
        none.walks(np.ones((1, 1)), strategy)
    with pytest.raises(ds3.InputError, match=r"how many skills a task takes; set population\.path_length"):
        some.walks(np.ones((1, 1)), strategy)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_rows_say_which_strategy_they_are_of(name):
    """What columns hold is read back; the rest of a strategy is as by default."""
    fields: dict[str, Any] = {
        "n": 3,
        "branching": 4,
        "kept_states": 2,
        "width": 2,
        "right": 2,
        "verifier": "noisy(d=1)",
    }
    known = {key: value for key, value in fields.items() if key in STRATEGIES[name].__dataclass_fields__}
    strategy = STRATEGIES[name](**known, effort="high", budget_tokens=100)
    row = strategy.to_row()
    if name == "g_pass":
        with pytest.raises(TypeError, match="right"):
            STRATEGIES[name].from_row(row)
    else:
        assert STRATEGIES[name].from_row(row) == strategy


# --- from outside -------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True)
class ShortestOfN(AttemptStrategy):
    """The answer of the shortest of n attempts: it looks at steps, so that its law is one of paths."""

    name: ClassVar[str] = "shortest_of_n"

    def selector_faults(self) -> list[str]:
        return [] if self.max_tokens else ["max_tokens is needed"]

    @property
    def depends_on(self) -> frozenset[str]:
        return frozenset({"lengths"})

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        raise ds3.InputError(f"{self}: which attempt is the shortest does not follow from their success")

    def success(self, task: PathTask) -> Any:
        k = np.arange(1.0, 161.0)
        within = pt.le(k, pt.expand_dims(task.steps_within(self.limit_tokens), -1))
        m, r, h = (pt.expand_dims(pt.as_tensor(x), -1) for x in (task.path_length, task.advance, task.commit))
        right, wrong = solved_at(k, m, r, h), wrong_at(k, m, r, h)
        share = right / pt.maximum(right + wrong, 1e-300)
        ends = truncated(k - 1.0, m, r, h) ** self.n - truncated(k, m, r, h) ** self.n
        return (share * pt.switch(within, ends, 0.0)).sum(axis=-1)

    def decide(self, outcome: np.ndarray, answers: Any, rng: np.random.Generator) -> Any:
        raise NotImplementedError

    def decide_walks(self, walks: Any, answers: Any, rng: np.random.Generator) -> Any:
        first = (walks.steps + rng.random(walks.steps.shape)).argmin(axis=1)
        return walks.outcome[np.arange(len(first)), first] == SOLVED, np.full(len(first), self.n)


@pytest.fixture
def shortest():
    register(ShortestOfN)
    yield "shortest_of_n(n=3, max_tokens=4000)"
    del STRATEGIES["shortest_of_n"]


def test_a_strategy_that_needs_steps_by_its_law(shortest):
    task = PathTask(path_length=3, advance=0.2, commit=0.1, tokens_per_step=25.0)
    law = float(ds3.strategy_laws([shortest], task)["success"].item())
    drawn = parse_strategy(shortest).simulate(task, np.random.default_rng(5), size=20_000)
    assert abs(drawn.success.mean() - law) < 4 * np.sqrt(law * (1 - law) / 20_000)
    # A walk that slips ends early, so that the shortest one is wrong more often.
    assert law < float(ds3.strategy_laws(["cot(max_tokens=4000)"], task)["success"].item())


def test_a_strategy_that_needs_steps_from_a_fit(shortest, game24_fit):
    pred = ds3.predict(game24_fit, [shortest, "cot(max_tokens=4000)"], per_task=True)
    view = View.of(game24_fit, "observed", True, 256, 0)
    arm = next(arm for arm in view.design.arms if arm.walk == "cot")
    q, tokens, length, _ = view.attempts(parse_strategy("cot"), arm)
    lengths = Lengths(tokens=tokens, spent=tokens, path_length=length, tokens_per_step=view.design.tokens_per_step)
    strategy = parse_strategy(shortest)
    walks = lengths.walks(q, strategy)
    wanted = evaluate(_shortest, walks.path_length, walks.advance, walks.commit, core=(0, 0, 0), strategy=strategy)
    found = pred["success"].isel(model=0, benchmark=0, strategy=0).values.reshape(q.shape)
    # Predictions are stored in single precision.
    np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=1e-9)
    spent = pred["tokens"].isel(model=0, benchmark=0).values
    assert (spent[..., 0, :] > 2.9 * spent[..., 1, :]).all()
    assert "shortest_of_n" in str(pred["strategy"].values[0])


def _shortest(length: Any, advance: Any, commit: Any, *, strategy: Any) -> Any:
    return strategy.success(PathTask(path_length=length, advance=advance, commit=commit, tokens_per_step=25.0))
