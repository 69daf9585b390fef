"""Laplace's approximation: exact for normal laws, and refused where a posterior is nothing like one."""

import numpy as np
import pymc as pm
import pytest

from ds3bayes.engine import laplace as module
from ds3bayes.engine.density import density_of
from ds3bayes.engine.laplace import NotNormal, laplace
from ds3bayes.engine.starting import climb

MEAN = np.array([0.3, -1.2, 2.0])
SDS = np.array([1.5, 0.05, 0.6])


@pytest.fixture(scope="module")
def normal():
    """The density of a normal law of three parameters, the last two of which hang together."""
    with pm.Model() as model:
        x = pm.Normal("x", MEAN, SDS, shape=3)
        pm.Potential("tie", -0.5 * ((x[2] - 2.0) / 0.6 - (x[1] + 1.2) / 0.05) ** 2)
    return density_of(model)


def test_a_normal_law_is_found_as_it_is(normal):
    points = laplace(normal, climb(normal).mode, draws=4000, seed=3)
    # In standard units the last two have precision [[2, -1], [-1, 2]]: variance 2/3, covariance 1/3.
    standard = (points - MEAN) / SDS
    covariance = np.array([[1, 0, 0], [0, 2 / 3, 1 / 3], [0, 1 / 3, 2 / 3]])
    error = np.sqrt(np.diag(covariance) / len(points))
    # Of three means, and of six covariances, four standard errors: a false alarm in 2,000.
    assert (np.abs(standard.mean(axis=0)) < 4 * error).all()
    assert (np.abs(np.cov(standard.T) - covariance) < 4 * np.sqrt(2 / len(points))).all()
    assert np.array_equal(points, laplace(normal, climb(normal).mode, draws=4000, seed=3))


def test_climbing_ends_at_the_mode_and_passes_a_typical_point(normal):
    found = climb(normal)
    np.testing.assert_allclose(found.mode, MEAN, atol=1e-3)
    top, typical = (normal.tape.log_density(point)[0] for point in (found.mode, found.typical))
    assert top - normal.dim / 2 <= typical <= top


def test_a_direction_without_curvature_gets_a_finite_width():
    with pm.Model() as model:
        pm.Normal("x", 0.0, 1.0)
        # Flat, as far as one can see from here.
        pm.Normal("y", 0.0, 1000.0)
    density = density_of(model)
    points = laplace(density, climb(density).mode, draws=4000, seed=1)
    # A standard deviation is known to 1 in sqrt(8,000).
    assert points.std(axis=0) == pytest.approx([1.0, 2.0], rel=4 / np.sqrt(8000))


def test_a_funnel_is_refused():
    with pm.Model() as model:
        log_sd = pm.Normal("log_sd", 0.0, 3.0)
        pm.Normal("x", 0.0, pm.math.exp(log_sd), shape=40)
    density = density_of(model)
    with pytest.raises(NotNormal, match=r"no curvature|nothing like a normal law"):
        laplace(density, climb(density).mode, draws=100, seed=0)


def test_what_has_no_curvature_or_too_many_parameters_is_refused(normal, monkeypatch):
    with pytest.raises(NotNormal, match="no curvature"):
        laplace(normal, np.array([np.nan, 0.0, 0.0]), draws=10, seed=0)
    monkeypatch.setattr(module, "_MOST_PARAMETERS", 2)
    with pytest.raises(NotNormal, match="3 parameters are too many"):
        laplace(normal, MEAN, draws=10, seed=0)
