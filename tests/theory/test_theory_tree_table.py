"""The tabulated response of a tree search against the theory's own formula."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from ds3bayes.theory.evaluate import evaluate, python_mode
from ds3bayes.theory.tree_table import log_tree_success
from ds3bayes.theory.trees import kept_states, tree_outputs


def _exact(rho, gap, *, length, b, w):
    return tree_outputs(rho, length, b, w, gap)


@pytest.mark.parametrize(("b", "w"), [(5, 1), (5, 5), (3, 2)])
@pytest.mark.parametrize("length", [1, 3])
def test_interpolation_is_within_a_thousandth(b, w, length):
    rng = np.random.default_rng(17)
    logit = rng.uniform(-24.0, 16.0, 250)
    gap = np.concatenate([rng.uniform(0.0, 10.0, 200), rng.uniform(0.0, 1.0, 50)])
    found = evaluate(log_tree_success, logit, gap, branching=b, kept=tuple(kept_states(length, b, w)))
    rho = np.exp(-np.logaddexp(0.0, -logit) / length)
    exact = np.log([float(evaluate(_exact, r, g, length=length, b=b, w=w)) for r, g in zip(rho, gap, strict=True)])
    np.testing.assert_allclose(found, exact, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("b", "w"), [(5, 1), (5, 5), (3, 2)])
def test_gradient_is_finite_and_success_rises(b, w):
    logit, gap = pt.dvector("logit"), pt.dvector("gap")
    value = log_tree_success(logit, gap, branching=b, kept=tuple(kept_states(3, b, w)))
    gradient = pytensor.function([logit, gap], pytensor.grad(value.sum(), [logit, gap]), mode=python_mode())
    at = np.meshgrid(np.linspace(-26.0, 18.0, 89), np.array([0.0, 1e-9, 0.3, 1.0, 2.5, 9.99, 10.0, 14.0]))
    by_logit, by_gap = gradient(at[0].ravel(), at[1].ravel())
    assert np.isfinite(by_logit).all()
    assert np.isfinite(by_gap).all()
    # An easier task and a better scorer never do worse; a cubic may undershoot by its error of 1e-3.
    assert by_logit.min() > -1e-3
    assert by_gap.min() > -1e-2


def test_a_tree_without_choice_is_the_walk():
    logit = np.linspace(-12.0, 6.0, 19)
    found = evaluate(log_tree_success, logit, np.full(19, 2.0), branching=1, kept=(1, 1, 1))
    np.testing.assert_allclose(found, -np.logaddexp(0.0, -logit), atol=1e-3)


@pytest.mark.parametrize(("b", "w"), [(5, 1), (5, 5), (20, 1), (20, 5)])
def test_success_is_a_probability(b, w):
    # A cubic overshoots where it turns flat, and the logit of more than 1 is not a number.
    logit, gap = np.meshgrid(np.linspace(-30.0, 30.0, 2401), [0.0, 1.0, 3.3, 8.0, 10.0, 1e6])
    found = evaluate(log_tree_success, logit.ravel(), gap.ravel(), branching=b, kept=tuple(kept_states(3, b, w)))
    assert found.max() <= 0.0
