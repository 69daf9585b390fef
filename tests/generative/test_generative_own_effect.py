"""Own effects summed out by compiled code: what the expression of their density gives, and PyTensor's derivatives."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from ds3bayes.generative.grid import success_grid
from ds3bayes.generative.own_effect import log_expected_mass
from ds3bayes.generative.population import interaction_density

NODES = success_grid(2).nodes


def masses(arms: int, cells: int, attempts: int, rng: np.random.Generator) -> np.ndarray:
    """Binomial likelihoods at the nodes, over the largest of each cell; the last cell of each arm is empty."""
    solved = rng.integers(0, attempts + 1, (arms, cells, 1))
    log_mass = stats.binom.logpmf(solved, attempts, 1 / (1 + np.exp(-NODES)))
    log_mass[:, -1] = 0.0
    return np.exp(log_mass - log_mass.max(axis=-1, keepdims=True))


@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
# Cells of a thousand attempts have mass at a few nodes each, those of one attempt at nearly all.
@pytest.mark.parametrize(("attempts", "dof"), [(1000, 7.0), (1, 7.0), (100, 4.0), (1000, 5.3)])
def test_sums_are_those_of_the_density(attempts, dof, mode):
    rng = np.random.default_rng(attempts)
    mass = masses(3, 6, attempts, rng)
    at = rng.normal(0.0, 5.0, (3, 8))
    # Beyond either end of the nodes nothing changes any more.
    at[0, :2] = NODES[0] - 3.0, NODES[-1] + 4.0
    widths = np.array([0.15, 0.8, 2.5])
    location, scale, variable = pt.matrix("location", shape=(3, 8)), pt.vector("scale", shape=(3,)), pt.tensor3("mass")
    density = interaction_density(NODES, location, scale[:, None, None], dof)
    plain = pt.log(pt.as_tensor(mass) @ density.swapaxes(1, 2) / density.sum(axis=-1)[:, None])
    moving = log_expected_mass(NODES, location, scale, variable, dof)
    weights = rng.normal(size=(3, 6, 8))
    results = [log_expected_mass(NODES, location, scale, mass, dof), moving, plain]
    slopes = [pytensor.grad((weights * result).sum(), [location, scale]) for result in results]
    of_mass = pytensor.grad((weights * moving).sum(), variable)
    expected = (weights / (variable @ density.swapaxes(1, 2))) @ density
    outputs = [one for result, slope in zip(results, slopes, strict=True) for one in (result, *slope)]
    function = pytensor.function([location, scale, variable], [*outputs, of_mass, expected], mode=mode)
    found = function(at, widths, mass)
    for one, other in zip(found[:6] + found[9:10], found[6:9] * 2 + found[10:], strict=True):
        assert np.isfinite(one).all()
        # Logarithms near 0 and slopes at nodes that hardly matter are sums of terms that cancel.
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12 * abs(other).max())
    assert (found[1][0, :2] == 0.0).all()


@pytest.mark.parametrize(("location", "scale"), [(np.nan, 1.0), (0.0, np.nan)])
def test_what_is_no_number_stays_so(location, scale):
    """A sampler must see that a point has no likelihood."""
    at = [pt.as_tensor(np.full((1, 3), location)), pt.as_tensor(np.array([scale]))]
    result = log_expected_mass(NODES, *at, masses(1, 2, 1000, np.random.default_rng(0)), 7.0)
    assert np.isnan(pytensor.function([], result, mode="FAST_COMPILE")()).all()
