"""Task laws against their definitions: moments, explicit enumeration over path lengths, Student t."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from ds3bayes.generative.counts.cell import LogLikelihood
from ds3bayes.generative.counts.grid import success_grid
from ds3bayes.generative.population import path_logp, split_normal_logp
from ds3bayes.kernels.own_effect import interaction_density
from ds3bayes.theory.evaluate import evaluate


@pytest.mark.parametrize("skew", [-2.0, -0.7, 0.0, 0.3, 1.5, 3.0])
def test_split_normal_has_mean_0_and_sd_1(skew):
    def density(x: float) -> float:
        return float(np.exp(evaluate(split_normal_logp, np.array([x]), np.array([skew]))[0]))

    left, right = np.exp(skew / 2), np.exp(-skew / 2)
    gap = right - left
    scale = np.sqrt((1 - 2 / np.pi) * gap**2 + 1)
    mode = -np.sqrt(2 / np.pi) * gap / scale
    ends = (mode - 12 * left / scale, mode, mode + 12 * right / scale)

    def moment(power: int) -> float:
        return sum(
            quad(lambda x: x**power * density(x), low, high, epsabs=1e-11, epsrel=1e-10)[0]
            for low, high in itertools.pairwise(ends)
        )

    total = moment(0)
    assert moment(1) / total == pytest.approx(0.0, abs=1e-8)
    assert moment(2) / total == pytest.approx(1.0, abs=1e-8)
    # The ratio of scales is what the skew says.
    assert np.log(density(mode + 1e-3) / density(mode - 1e-3)) * scale**-2 == pytest.approx(
        -0.5e-6 * (right**-2 - left**-2), rel=1e-3, abs=1e-12
    )


def test_no_skew_is_the_normal_law():
    x = np.linspace(-5, 5, 21)
    np.testing.assert_allclose(evaluate(split_normal_logp, x, 0.0), -0.5 * x**2, atol=1e-12)


@pytest.mark.parametrize(("location", "spread", "length"), [(1.0, 0.8, 4.0), (-0.5, 1.5, 0.5), (3.0, 2.0, 12.0)])
def test_path_law_enumerates_path_lengths(location, spread, length):
    x = np.linspace(-12.0, 8.0, 81)

    def logit_rho(x: np.ndarray, m: int) -> np.ndarray:
        log_rho = -np.logaddexp(0.0, -x) / m
        return log_rho - np.log(-np.expm1(log_rho))

    expected = np.zeros_like(x)
    step = 1e-5
    for m in range(1, 81):
        # Change of variables by numerical differentiation.
        slope = (logit_rho(x + step, m) - logit_rho(x - step, m)) / (2 * step)
        expected += stats.poisson.pmf(m - 1, length) * stats.norm.pdf(logit_rho(x, m), location, spread) * slope
    found = path_logp_at(x, location, spread, length)
    ratio = found - np.log(expected)
    # Central differences err by step^2 of the slope, and by rounding of 1e-16 over the step.
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-8)


def path_logp_at(x, location, spread, length):
    return evaluate(_path, location, spread, length, nodes=tuple(x.tolist()))


def _path(location, spread, length, *, nodes):
    return path_logp(np.array(nodes), location, spread, length)


def test_path_law_of_one_step_is_logit_normal():
    x = np.linspace(-6.0, 6.0, 25)
    found = path_logp_at(x, 0.5, 1.2, 1e-12)
    expected = stats.norm.logpdf(x, 0.5, 1.2)
    np.testing.assert_allclose(found - found[12], expected - expected[12], atol=1e-8)


def _own_effect(location, scale, *, nodes, dof):
    return interaction_density(np.array(nodes), location, scale, dof)


@pytest.mark.parametrize("dof", [2.5, 7.0, 30.0])
@pytest.mark.parametrize("scale", [0.05, 0.7, 3.0])
# Beyond the nodes, a location counts as the last of them.
@pytest.mark.parametrize(("location", "centre"), [(0.0, 0.0), (2.3, 2.3), (50.0, 20.0), (-50.0, -20.0)])
def test_own_effect_is_student_t(dof, scale, location, centre):
    nodes = np.linspace(-20.0, 20.0, 40_001)
    found = evaluate(_own_effect, location, scale, nodes=tuple(nodes.tolist()), dof=dof)
    expected = stats.t.pdf(nodes - centre, dof, scale=scale)
    # What is taken off for nodes 0.001 apart is spacing^2/12 times a curvature from -1.4 to 8 over scale^2.
    atol = 1e-12 * expected.max()
    np.testing.assert_allclose(
        found / found.max() * expected.max(), expected, rtol=9.5 / 12 * (1e-3 / scale) ** 2, atol=atol
    )


@pytest.mark.parametrize(("scale", "most"), [(0.35, 0.006), (0.7, 0.003), (1.5, 0.0006)])
@pytest.mark.parametrize("attempts", [4, 100, 1000])
def test_hats_integrate_likelihoods_of_own_effects(scale, most, attempts):
    """Expected likelihoods of counts, against integrals; values of the Student t itself are off by four times more."""
    grid, dof = success_grid(2), 7.0
    counts = sorted({0, 1, attempts // 2, attempts - 1})
    mass = np.exp(
        grid.table([LogLikelihood(attempts=attempts, rows=((None, attempts, c),)) for c in counts]).log_mass[0]
    )
    x = np.linspace(grid.lower, grid.upper, 54_001)
    likelihood = np.exp(stats.binom.logpmf(np.array(counts)[:, None], attempts, 1 / (1 + np.exp(-x))))
    errors, plain = [], []
    for location in np.linspace(-3.0, 3.0, 61):
        law = stats.t.pdf(x - location, dof, scale=scale)
        exact = likelihood @ law / law.sum()
        mine = interaction_density(grid.nodes, np.array(location), scale, dof)
        errors.append(np.log(mass @ mine / mine.sum() / exact))
        student = stats.t.pdf(grid.nodes - location, dof, scale=scale)
        plain.append(np.log(mass @ student / student.sum() / exact))
    # By root mean square over locations, for what is the same at all of them does no harm.
    error, of_plain = np.std(errors, axis=0).max(), np.std(plain, axis=0).max()
    assert error < most
    assert error < 0.25 * of_plain
