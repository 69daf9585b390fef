"""Which attempts are worth making."""

import time

import numpy as np
import pytest

import ds3bayes as ds3
from ds3bayes.live import Best, Better, Stopper, Success
from ds3bayes.live import stopper as module

TASKS = [f"t{task}" for task in range(10)]


def variance_of(stopper, contrast):
    return stopper._belief().variance(contrast)


@pytest.mark.parametrize(
    ("kind", "contrast"), [("these", [1.0]), ("new", [1.0]), ("pair", [1.0, -1.0])], ids=["these", "new", "pair"]
)
@pytest.mark.parametrize("task", ["t0", "t4", "t8"])
def test_gain_is_the_expected_fall_of_variance(learned, kind, contrast, task):
    contrast = np.array(contrast)
    stopper = learned(kind)
    before = variance_of(stopper, contrast)
    known = stopper._conditional
    p = float(known.weight @ known.mean[TASKS.index(task), :, 0])
    gain = stopper._plan().gain[0, TASKS.index(task)]
    after = 0.0
    for success, chance in [(True, p), (False, 1 - p)]:
        other = learned(kind)
        other.observe("a", task, success)
        after += chance * variance_of(other, contrast)
    # The law of total variance, up to single precision and to normal laws within a draw, which it does not need.
    assert gain == pytest.approx((before - after) / before, rel=5e-3, abs=2e-5)


def test_on_these_tasks_certain_ones_tell_nothing(learned):
    stopper = learned("these")
    for task in ("t0", "t1", "t2", "t3"):
        stopper.observe_counts("a", task, 0, 30)
    for task in ("t7", "t8", "t9"):
        stopper.observe_counts("a", task, 15, 30)
    gain = stopper._look().gain[0]
    assert gain[7:].min() > 5 * gain[:4].max()


def test_on_new_tasks_untried_ones_tell_most(learned):
    stopper = learned("new")
    stopper._offered[:] = 3
    untried = stopper._conditional
    mean = untried.new_mean[:, 0]
    p = untried.weight @ mean
    first = untried.weight @ (mean - p) ** 2 / (p * (1 - p)) / variance_of(stopper, np.ones(1))
    assert first * variance_of(stopper, np.ones(1)) > 0
    gain = stopper._plan().gain[0]
    assert first > gain.max()


def test_every_task_is_tried_first():
    stopper = Stopper(Success(within=0.4), tasks=TASKS, epochs=3, arms=["a"], draws=100, first_epochs=1)
    for name in TASKS[:-1]:
        assert stopper.offer("a", name).why == "first at its task"
        stopper.observe("a", name, success=True)
    assert not stopper.needs_refit
    assert stopper.offer("a", "t0").run
    stopper.observe("a", "t0", success=True)
    assert stopper.offer("a", TASKS[-1]).run
    stopper.observe("a", TASKS[-1], success=True)
    assert stopper.needs_refit
    assert stopper.refit()
    assert stopper.verdict == "decided"
    assert not stopper.needs_refit
    found = stopper.offer("a", "t1")
    assert (found.run, found.why) == (False, "decided")
    assert stopper.report()["skipped"] == {"decided": 1}


def test_nothing_is_left_out_of_the_first_epochs():
    stopper = Stopper(Success(within=0.4), tasks=TASKS, epochs=5, arms=["a"], draws=100, first_epochs=3)
    for epoch in range(3):
        for name in TASKS:
            assert stopper.verdict == ""
            assert stopper.offer("a", name).why == "first at its task"
            stopper.observe("a", name, success=epoch == 1)
            if stopper.needs_refit:
                assert stopper.refit(), stopper.failures
    assert stopper.needs_refit or stopper.verdict == "decided"
    assert stopper.refit(), stopper.failures
    assert stopper.offer("a", "t0").why == "decided"


def test_what_is_far_from_the_margin_stops_and_what_is_near_goes_on():
    stoppers = {}
    for by in (0.0, 0.95):
        question = Better(option="a", than="b", by=by)
        stoppers[by] = Stopper(question, tasks=TASKS, epochs=4, arms=["a", "b"], draws=200)
        for name in TASKS:
            stoppers[by].observe_counts("a", name, 2, 4)
            stoppers[by].observe_counts("b", name, 2, 4)
        assert stoppers[by].refit()
    assert stoppers[0.95].verdict == "decided"
    assert stoppers[0.95].answer.choice == "no"
    assert not stoppers[0.0].answer.decided


def test_a_plan_that_cannot_decide_is_given_up():
    stopper = Stopper(Better(option="a", than="b"), tasks=TASKS, epochs=1, arms=["a", "b"], draws=200)
    for task, name in enumerate(TASKS):
        for arm in ("a", "b"):
            stopper.observe_counts(arm, name, 10 + 8 * task, 100)
            stopper.take(arm, name)
    # One attempt is left, at one task, beside two thousand.
    stopper._offered[0, 0] = 0
    assert stopper.refit(), stopper.failures
    assert stopper.verdict == "cannot be decided"
    assert stopper.offer("a", "t0").why == "cannot be decided"
    # An estimate is better with every attempt.
    alone = Stopper(Success(within=0.001), tasks=TASKS, epochs=1, arms=["a"], draws=200)
    for task, name in enumerate(TASKS):
        alone.observe_counts("a", name, 10 + 8 * task, 100)
    assert alone.refit(), alone.failures
    assert alone.verdict == ""
    assert alone.offer("a", "t0").run


def test_attempts_in_flight_count_as_made(learned):
    stopper = learned("these")
    gains = []
    for _ in range(8):
        gains.append(stopper.worth("a", "t8").gain)
        stopper._pending[0, 8] += 1
    assert (np.diff(gains) < 0).all()
    stopper.lost("a", "t8")
    assert stopper.worth("a", "t8").gain == pytest.approx(gains[7])


def test_prices_make_dear_tasks_worth_less(learned):
    stopper = learned("these")
    assert stopper._price[0, 1] == pytest.approx((2 * 200.0 + 150.0) / 3)
    cheap = learned("these")
    dear = learned("these")
    # Two tasks of one law: of the dearer one, fewer attempts are worth their price.
    dear._tokens[0, 8] *= 100
    dear._cached = cheap._cached = None
    assert cheap.worth("a", "t8").run
    assert not dear.worth("a", "t8").run


def test_a_failed_refit_is_told_and_changes_nothing(learned, monkeypatch):
    stopper = learned("these")
    before = stopper.answer

    def fail(*_, **__):
        raise RuntimeError("no machine")

    monkeypatch.setattr(module, "learn_population", fail)
    assert not stopper.refit()
    assert stopper.answer == before
    assert "no machine" in stopper.report()["failures"][0]
    assert stopper.offer("a", "t8").why in ("worth its price", "tells too little")
    assert not stopper.needs_refit


def test_decisions_take_milliseconds(learned):
    stopper = learned("pair")
    took = []
    for number in range(60):
        started = time.thread_time()
        stopper.offer("a", TASKS[number % 10])
        stopper.observe("a", TASKS[number % 10], success=number % 3 == 0)
        took.append(time.thread_time() - started)
    # Both together; processor time, for the machine may be busy with other tests.
    assert np.median(took) < 0.005


def test_options_by_strategies_of_one_arm():
    question = Best(options=["a | cot", "a | best_of_n(n=4)", "b"], max_cost=300.0, margin=0.01)
    stopper = Stopper(question, tasks=TASKS, epochs=4, draws=200)
    assert stopper.arms == ["a", "b"]
    for task, name in enumerate(TASKS):
        stopper.observe_counts("a", name, task % 5, 4, tokens=100.0)
        stopper.observe_counts("b", name, 1, 4, tokens=200.0)
    assert stopper.refit()
    belief = stopper._belief()
    np.testing.assert_allclose(belief.cost, [100.0, 400.0, 200.0])
    assert belief.estimate[1] > belief.estimate[0]
    # Best of four is beyond the cost.
    assert stopper.answer.choice == "a | cot"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Stopper(Success(), tasks=["t"], epochs=1, arms=["a"]), "at least 2 different tasks"),
        (lambda: Stopper(Success(), tasks=["t", "t"], epochs=1, arms=["a"]), "1 different"),
        (lambda: Stopper(Success(), tasks=TASKS, epochs=0, arms=["a"]), "epochs = 0"),
        (lambda: Stopper(Success(), tasks=TASKS, epochs=1, arms=["a"], growth=1.0), "growth must be above 1"),
        (lambda: Stopper(Success(option="c"), tasks=TASKS, epochs=1, arms=["aa", "cc"]), "'c' is not evaluated"),
        (
            lambda: Stopper(Success(option="a | majority(n=5)"), tasks=TASKS, epochs=1, arms=["a"]),
            "does not follow from that of one attempt",
        ),
        (lambda: Stopper(Success(), tasks=TASKS, epochs=1, arms=["a"]).offer("b", "t1"), "'b' is not in the plan"),
        (lambda: Stopper(Success(), tasks=TASKS, epochs=1, arms=["a"]).offer("a", "x"), "'x' is not in the plan"),
    ],
)
def test_bad_plans(make, said):
    with pytest.raises(ds3.InputError, match=said):
        make()
