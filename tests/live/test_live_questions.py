"""When a question is answered, and how surely."""

import numpy as np
import pytest
from scipy.special import ndtr

import ds3bayes as ds3
from ds3bayes.live import Best, Better, Cheapest, Success
from ds3bayes.live.questions import Belief, certain_answer


def belief(mean, sd, cost=None):
    mean = np.atleast_2d(mean).astype(float)
    covariance = np.tile(np.diag(np.square(np.broadcast_to(sd, mean.shape[1]))), (len(mean), 1, 1))
    return Belief(
        weight=np.full(len(mean), 1.0 / len(mean)),
        mean=mean,
        covariance=covariance,
        cost=np.ones(mean.shape[1]) if cost is None else np.asarray(cost, dtype=float),
    )


def test_success_within():
    answer = Success(within=0.03).answer(belief([0.4], 0.02))
    assert answer.p_right == pytest.approx(2 * ndtr(1.5) - 1)
    assert not answer.decided
    assert (answer.lower, answer.upper) == pytest.approx((0.4 - 1.6449 * 0.02, 0.4 + 1.6449 * 0.02), abs=1e-4)
    assert Success(within=0.04).answer(belief([0.4], 0.02)).decided
    # What is not known of the population counts, too.
    assert not Success(within=0.04).answer(belief([[0.35], [0.45]], 0.02)).decided


def test_better_by():
    yes = Better(option="a", than="b", by=0.02).answer(belief([0.5, 0.4], 0.03))
    assert yes.p_right == pytest.approx(ndtr((0.1 - 0.02) / np.hypot(0.03, 0.03)))
    assert (yes.choice, yes.decided) == ("yes", True)
    no = Better(option="a", than="b", by=0.18).answer(belief([0.5, 0.4], 0.03))
    assert (no.choice, no.decided) == ("no", True)
    assert not Better(option="a", than="b", by=0.1).answer(belief([0.5, 0.4], 0.03)).decided
    # Where they may be told apart by no more than a margin, either answer is right.
    alike = Better(option="a", than="b", by=0.1, margin=0.08).answer(belief([0.5, 0.4], 0.03))
    assert alike.p_right == pytest.approx(ndtr(0.08 / np.hypot(0.03, 0.03)))
    assert alike.decided
    assert Better(option="a", than="b", margin=0.02).is_right("no", 0.0, np.array([0.51, 0.5]), np.ones(2))
    assert not Better(option="a", than="b", margin=0.02).is_right("no", 0.0, np.array([0.53, 0.5]), np.ones(2))


def test_best_within_a_cost():
    known = belief([0.5, 0.4, 0.7], 0.02, [1, 1, 9])
    assert Best(options=["a", "b", "c"]).answer(known).choice == "c"
    answer = Best(options=["a", "b", "c"], max_cost=2.0).answer(known)
    assert (answer.choice, answer.decided) == ("a", True)
    # Two that are alike are both right answers.
    assert Best(options=["a", "b"], margin=0.05).answer(belief([0.5, 0.501], 0.01)).decided
    assert not Best(options=["a", "b"], margin=0.001).answer(belief([0.5, 0.501], 0.01)).decided
    none = Best(options=["a", "b"], max_cost=0.5).answer(belief([0.5, 0.4], 0.02))
    assert (none.choice, none.decided) == ("none", True)
    assert "No option costs at most 0.5" in none.sentence


def test_cheapest_that_reaches():
    known = belief([0.3, 0.6, 0.8], 0.02, [1, 3, 9])
    ask = {"options": ["a", "b", "c"]}
    assert Cheapest(success=0.55, **ask).answer(known).choice == "b"
    assert Cheapest(success=0.25, **ask).answer(known).choice == "a"
    assert Cheapest(success=0.9, **ask).answer(known).choice == "none"
    open_ = Cheapest(success=0.6, margin=0.0, **ask).answer(known)
    assert open_.p_right == pytest.approx(0.5, abs=0.05)
    assert not open_.decided


def test_certain_answers_are_right():
    rng = np.random.default_rng(1)
    asked = [
        Success(within=0.05),
        Better(option="a", than="b", by=0.1),
        Best(options=list("abc"), max_cost=2.0),
        Cheapest(options=list("abc"), success=0.5),
    ]
    for question in asked:
        for _ in range(20):
            success, cost = rng.random(len(question.names)), rng.random(len(question.names)) * 3
            answer = certain_answer(question, success, cost)
            assert answer.p_right == pytest.approx(1.0)
            assert question.is_right(answer.choice, answer.estimate, success, cost)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Success(within=0.6), "within must be in"),
        (lambda: Success(probability=0.4), "probability must be in"),
        (lambda: Success(tasks="old"), "allowed: 'these', 'new'"),
        (lambda: Better(option="a", than="a"), "options must differ"),
        (lambda: Better(option="a", than="b", by=2.0), "by must be in"),
        (lambda: Better(option="a", than="b", margin=-0.1), "margin must be in"),
        (lambda: Best(options=["a"]), "at least two"),
        (lambda: Best(options=["a", "b"], margin=0.7), "margin must be in"),
        (lambda: Best(options=["a", "b"], max_cost=-1.0), "max_cost must be positive"),
        (lambda: Best(options=["a", "b"], costs={"a": 1.0}), "missing: b"),
        (lambda: Cheapest(options=["a", "b"], success=1.5), "success must be in"),
        (lambda: Cheapest(options=["a", "b"], success=0.5, costs={"a": 0.0, "b": 1.0}), "a: 0.0"),
    ],
)
def test_bad_questions(make, said):
    with pytest.raises(ds3.InputError, match=said):
        make()
