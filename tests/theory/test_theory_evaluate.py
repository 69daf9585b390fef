import doctest
import importlib
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytensor.tensor as pt
import pytest

from ds3bayes.theory import evaluate as module
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.selectors import bernstein


def _mixed(a, b):
    return pt.switch(pt.gt(a, 0), a * b + pt.exp(a), b)


def _two(a, b, *, power):
    return a + b, pt.stack([a * b, (a + b) ** power], axis=-1)


def _scaled(a, *, factor):
    return a * factor


def test_broadcasts_like_numpy():
    a, b = np.array([0, 1, 2]), np.array([[1.0], [2.0]])
    np.testing.assert_allclose(evaluate(_mixed, a, b), np.where(a > 0, a * b + np.exp(a), b), rtol=1e-15)


def test_compiles_once_per_signature():
    module._compiled.cache_clear()
    for values in ([1.0, 2.0], [3.0, 4.0, 5.0]):
        evaluate(_mixed, values, 1.0)
    assert module._compiled.cache_info().misses == 1
    evaluate(_mixed, [[1.0, 2.0]], 1.0)
    assert module._compiled.cache_info().misses == 2


def test_static_values_are_told_apart_by_type():
    assert evaluate(_scaled, 3, factor=2).dtype == np.int64
    assert evaluate(_scaled, 3, factor=2.0).dtype == np.float64


@pytest.mark.parametrize("shapes", [((50, 30), (50, 1)), ((30,), (50, 1)), ((1, 200), (3, 1)), ((7, 1, 9), (5, 1))])
def test_blocks_equal_the_whole(shapes):
    rng = np.random.default_rng(1)
    q = rng.uniform(size=shapes[0])
    weights = rng.uniform(size=(*shapes[1], 4))
    whole = evaluate(bernstein, q, weights)
    np.testing.assert_array_equal(evaluate(bernstein, q, weights, core=(0, 1), block=64), whole)
    assert whole.shape == np.broadcast_shapes(*shapes)


def test_blocks_of_several_outputs():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(size=(40, 1)), rng.uniform(size=(40, 5))
    wholes = evaluate(_two, a, b, power=2)
    parts = evaluate(_two, a, b, core=(0, 0), block=8, power=2)
    assert [part.shape for part in parts] == [(40, 5), (40, 5, 2)]
    for part, whole in zip(parts, wholes, strict=True):
        np.testing.assert_array_equal(part, whole)


def _many_steps(x):
    for _ in range(30):
        x = pt.sqrt(x * x + 1.0)
    return x


def test_threads_do_not_disturb_one_another():
    """A compiled function keeps intermediate results: two threads in it at once would use each other's."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda size: evaluate(_many_steps, np.full(size, float(size))), range(2, 402)))
    finally:
        sys.setswitchinterval(interval)
    for size, values in enumerate(found, start=2):
        np.testing.assert_allclose(values, np.full(size, np.sqrt(size**2 + 30.0)))


def test_refuses_what_is_not_a_number():
    with pytest.raises(TypeError, match="expected numbers"):
        evaluate(_mixed, ["a"], [1.0])


@pytest.mark.parametrize(
    "name",
    [
        "theory.evaluate",
        "strategies.text",
        "strategies.cot",
        "strategies.direct",
        "strategies.best_of_n",
        "strategies.majority",
        "strategies.pass_power",
        "strategies.tot",
    ],
)
def test_docstrings_have_examples(name):
    # They are run with all others; here it counts that there are any.
    found = doctest.DocTestFinder().find(importlib.import_module(f"ds3bayes.{name}"))
    assert sum(len(one.examples) for one in found) > 0
