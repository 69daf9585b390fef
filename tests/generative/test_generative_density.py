"""The page of the joint density is the integral that it says, and its nodes are fine enough."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from ds3bayes.generative import density
from ds3bayes.generative.counts.grid import easiness_nodes, easiness_spacing, success_grid

COUNTS = [(8, 3), (8, 0), (40, 37)]


def arm(llm: str, location: float, spread: float, own_sd: float = 0.7, **more) -> density.ArmLaw:
    return density.ArmLaw(llm=llm, mean_logit=lambda z: location + spread * z, own_sd=own_sd, **more)


def nodes(spacing: float, finer: int = 1) -> density.Nodes:
    easy = easiness_nodes(spacing / finer)
    grid = success_grid(2).nodes
    logit = np.linspace(grid[0], grid[-1], (grid.size - 1) * finer + 1)
    return density.Nodes(easiness=easy.nodes, width=np.exp(easy.log_width), logit=logit)


def of_two(z_nodes: density.Nodes, n: int, c: int, gamma: float = 0.8) -> float:
    data = [
        density.Counts(attempts=n, successes=c, log_tokens=6.1, timed=n),
        density.Counts(attempts=10, successes=4, log_tokens=5.0, timed=10),
    ]
    arms = [
        arm("a", 0.5, 2.0, log_tokens=6.0, token_slope=0.3, token_sd=0.4, length_spread=0.3, attempt_variance=0.1),
        arm("b", -0.5, 1.5, log_tokens=5.0, token_slope=0.2, token_sd=0.5, length_spread=0.2, attempt_variance=0.2),
    ]
    return density.log_density(data, arms, skew=0.4, gamma={"a": gamma, "b": 0.9}, nodes=z_nodes, dof=7.0)


@pytest.mark.parametrize(("n", "c"), COUNTS)
def test_finer_nodes_change_little(n, c):
    spacing = easiness_spacing([n, 10])
    assert of_two(nodes(spacing), n, c) == pytest.approx(of_two(nodes(spacing, 4), n, c), abs=2e-3)


@pytest.mark.parametrize(("n", "c"), COUNTS)
def test_it_is_the_integral(n, c):
    """Over easiness and both own effects, by fine quadrature of the laws as SciPy has them."""
    left, right = math.exp(0.2), math.exp(-0.2)
    norm, _ = integrate.quad(lambda z: float(density.two_piece_normal(np.array([z]), 0.4)[0]), -12, 12)
    assert norm == pytest.approx(math.sqrt(2 * math.pi) * 0.5 * (left + right) * sd_of(left, right) ** -1, rel=1e-6)

    def counts(attempts: int, successes: int, mean: float, gamma: float) -> float:
        x = np.linspace(mean - 60, mean + 60, 24001)
        law = stats.t.pdf((x - mean) / 0.7, 7) / 0.7 * stats.binom.pmf(successes, attempts, special.expit(x))
        return gamma * np.trapezoid(law, x) + (1 - gamma) * (successes == 0)

    def at(z: float) -> float:
        covariance = np.diag([0.4**2 + 0.1 / n, 0.5**2 + 0.2 / 10]) + np.outer([0.3, 0.2], [0.3, 0.2])
        tokens = stats.multivariate_normal.pdf([6.1, 5.0], [6.0 - 0.3 * z, 5.0 - 0.2 * z], covariance)
        law = float(density.two_piece_normal(np.array([z]), 0.4)[0]) / norm
        return law * tokens * counts(n, c, 0.5 + 2.0 * z, 0.8) * counts(10, 4, -0.5 + 1.5 * z, 0.9)

    z = np.linspace(-7, 5, 601)
    whole = np.trapezoid([at(one) for one in z], z)
    assert of_two(nodes(easiness_spacing([n, 10])), n, c) == pytest.approx(math.log(whole), abs=3e-3)


def sd_of(left: float, right: float) -> float:
    return math.sqrt((1 - 2 / math.pi) * (right - left) ** 2 + left * right)


def test_out_of_reach_explains_failure_only():
    of = nodes(easiness_spacing([8, 10]))
    assert of_two(of, 8, 0, gamma=0.3) > of_two(of, 8, 0, gamma=0.99)
    assert of_two(of, 8, 3, gamma=0.3) == pytest.approx(of_two(of, 8, 3, gamma=0.6) - math.log(2), rel=1e-9)
