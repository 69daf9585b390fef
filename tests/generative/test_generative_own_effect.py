"""Own effects summed out by compiled code: what the expression of their density gives, and PyTensor's derivatives."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from ds3bayes.generative.grid import success_grid
from ds3bayes.generative.own_effect import sums_over_own_effect
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
    expected = (pt.as_tensor(mass) @ density.swapaxes(1, 2), density.sum(axis=-1))
    weights = (rng.normal(size=(3, 6, 8)), rng.normal(size=(3, 8)))

    def values_and_slopes(sums: pt.TensorVariable, total: pt.TensorVariable) -> list[pt.TensorVariable]:
        whole = (weights[0] * pt.log(sums)).sum() + (weights[1] * pt.log(total)).sum()
        return [sums, total, *pytensor.grad(whole, [location, scale])]

    constant = values_and_slopes(*sums_over_own_effect(NODES, location, scale, mass, dof))
    moving, total = sums_over_own_effect(NODES, location, scale, variable, dof)
    of_mass = pytensor.grad((weights[0] * pt.log(moving)).sum(), variable)
    by_hand = (weights[0] / moving) @ density
    function = pytensor.function(
        [location, scale, variable],
        [*constant, *values_and_slopes(moving, total), of_mass, *values_and_slopes(*expected), by_hand],
        mode=mode,
    )
    found = function(at, widths, mass)
    for one, other in zip(found[:9], [*found[9:13], *found[9:13], found[13]], strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12 * abs(other).max())
    assert (found[2][0, :2] == 0.0).all()


def test_one_cotangent_suffices():
    """Of sums without their total, and of the total alone."""
    location, scale = pt.matrix("location"), pt.vector("scale")
    mass = masses(2, 3, 10, np.random.default_rng(0))
    density = interaction_density(NODES, location, scale[:, None, None], 7.0)
    for mine, plain in zip(
        sums_over_own_effect(NODES, location, scale, mass, 7.0),
        (pt.as_tensor(mass) @ density.swapaxes(1, 2), density.sum(axis=-1)),
        strict=True,
    ):
        slopes = [pytensor.grad(pt.log(one).sum(), [location, scale]) for one in (mine, plain)]
        found = pytensor.function([location, scale], slopes[0] + slopes[1])(np.ones((2, 4)), np.array([0.5, 1.0]))
        for one, other in zip(found[:2], found[2:], strict=True):
            # Terms near 1 cancel in the total's, to rounding.
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)
