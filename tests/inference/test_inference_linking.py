"""Functions called by address are the functions themselves: values, exceptions, memory, and draws of nutpie."""

import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt
import pytest
from numba import njit
from numba.core.runtime import _nrt_python, rtsys

from ds3bayes.inference.linking import by_address, compile_for_nutpie


@njit
def summary(x, weight):
    if x.size == 0:
        raise ValueError("nothing to sum up")
    return (x * weight).sum(), x + weight


@njit
def of_any(*arrays):
    return arrays[0] + arrays[1]


def test_a_call_by_address_returns_what_the_function_does():
    x, weight = np.arange(5.0), np.arange(10.0, 15.0)
    total, moved = by_address(summary)(x, weight)
    assert total == (x * weight).sum()
    np.testing.assert_array_equal(moved, x + weight)
    np.testing.assert_array_equal(by_address(of_any)(x, weight), x + weight)


def test_exceptions_come_through():
    with pytest.raises(ValueError, match="nothing to sum up"):
        by_address(summary)(np.empty(0), np.empty(0))


def test_what_is_returned_is_freed():
    call, x = by_address(summary), np.arange(1000.0)
    call(x, x)
    _nrt_python.memsys_enable_stats()
    before = rtsys.get_allocation_stats()
    for _ in range(50):
        call(x, x)
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc >= 50
    assert after.alloc - before.alloc == after.free - before.free


def test_draws_are_those_of_a_model_that_nutpie_links():
    with pm.Model() as model:
        centre = pm.Data("centre", np.array([1.0, -2.0]))
        x = pm.Normal("x", centre, 1.0, shape=2)
        pm.Deterministic("twice", 2.0 * x)
        # No number beyond an edge: such steps end a trajectory.
        pm.Potential("edge", pt.log(x + 3.0).sum())
    settings = {"draws": 50, "tune": 50, "chains": 2, "seed": 3, "progress_bar": False}
    ours = compile_for_nutpie(model)
    for change in ({}, {"centre": np.array([5.0, 6.0])}):
        drawn = [
            nutpie.sample(compiled.with_data(**change), **settings)
            for compiled in (ours, nutpie.compile_pymc_model(model))
        ]
        one, other = (each["posterior"].to_dataset() for each in drawn)
        assert one.equals(other)
        diverging = [each["sample_stats"]["diverging"].values for each in drawn]
        np.testing.assert_array_equal(*diverging)
        assert diverging[0].any() == (not change)
        np.testing.assert_array_equal(one["twice"], 2.0 * one["x"])
    # nutpie is as it was.
    assert nutpie.compile_pymc._make_c_logp_func.__module__ == "nutpie.compile_pymc"
