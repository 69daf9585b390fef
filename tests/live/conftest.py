"""A stopper that learned, from attempts of known success."""

import copy

import numpy as np
import pytest

from ds3bayes.live import Better, Stopper, Success

TASKS = [f"t{task}" for task in range(10)]
SUCCESS = {"a": np.repeat([0.02, 0.95, 0.5], [4, 3, 3]), "b": np.repeat([0.02, 0.7, 0.2], [4, 3, 3])}


def first_epochs(question, arms, epochs=2, **settings):
    """Return a stopper that saw a few attempts at every task, and learned from them."""
    stopper = Stopper(question, tasks=TASKS, epochs=12, arms=arms, draws=200, **settings)
    rng = np.random.default_rng(2)
    for _ in range(epochs):
        for task, name in enumerate(TASKS):
            for arm in arms:
                assert stopper.offer(arm, name).run
                stopper.observe(arm, name, bool(rng.random() < SUCCESS[arm][task]), tokens=100.0 * (1 + task % 2))
    assert stopper.needs_refit
    assert stopper.refit(), stopper.failures
    return stopper


@pytest.fixture(scope="session")
def _learned():
    return {
        "these": first_epochs(Success(within=0.05), ["a"]),
        "new": first_epochs(Success(within=0.05, tasks="new"), ["a"]),
        "pair": first_epochs(Better(option="a", than="b", by=0.25), ["a", "b"]),
    }


@pytest.fixture
def learned(_learned):
    """Return a function that gives such a stopper, to be changed at will."""

    def give(kind: str) -> Stopper:
        stopper = copy.copy(_learned[kind])
        for name in ("_successes", "_attempts", "_pending", "_offered", "_tokens", "_counted"):
            setattr(stopper, name, getattr(stopper, name).copy())
        known = copy.copy(stopper._conditional)
        for name, value in vars(known).items():
            if isinstance(value, np.ndarray):
                setattr(known, name, value.copy())
        stopper._conditional, stopper.skipped, stopper.failures = known, copy.copy(stopper.skipped), []
        return stopper

    return give
