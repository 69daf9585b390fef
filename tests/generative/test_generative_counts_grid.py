"""Hat-integrated likelihood tables, and draws between their nodes, against numerical integration."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, norm

from ds3bayes.generative.counts.cell import LogLikelihood
from ds3bayes.generative.counts.grid import Grid, easiness_nodes, easiness_spacing, success_grid
from ds3bayes.strategies import BestOfN, PassPower

CELLS = [
    (1, 0),
    (1, 1),
    (8, 0),
    (8, 3),
    (8, 8),
    (100, 1),
    (100, 50),
    (1000, 500),
    (10_000, 0),
    (10_000, 2500),
    (10_000, 9990),
]


def likelihood(n: int, c: int):
    return lambda x: float(binom.pmf(c, n, 1.0 / (1.0 + np.exp(-x))))


def cell(n: int, c: int) -> LogLikelihood:
    return LogLikelihood(attempts=n, rows=((None, n, c),))


def density_at(nodes: np.ndarray) -> np.ndarray:
    """A heavy-tailed density at the nodes, skewed so that its kinks do not cancel."""
    return 1.0 / (1.0 + ((nodes + 0.7) / 2.0) ** 2) ** 2 * (1.0 + 0.3 * np.tanh(nodes))


def between(nodes: np.ndarray, density: np.ndarray):
    """The piecewise linear density, which falls to 0 one spacing outside the ends."""
    h = nodes[1] - nodes[0]
    xs = np.concatenate([[nodes[0] - h], nodes, [nodes[-1] + h]])
    ps = np.concatenate([[0.0], density, [0.0]])
    return xs, ps


@pytest.mark.parametrize("grid", [success_grid(1), success_grid(2)], ids=["lone", "shared"])
@pytest.mark.parametrize(("n", "c"), CELLS)
def test_table_is_the_integral_of_likelihood_times_piecewise_linear_density(grid, n, c):
    density = density_at(grid.nodes)
    xs, ps = between(grid.nodes, density)
    of = likelihood(n, c)
    exact = sum(
        quad(lambda x: of(x) * np.interp(x, xs, ps), low, high, epsabs=0.0, epsrel=1e-9)[0]
        for low, high in pairwise(xs)
        if max(of(low), of(high), of(0.5 * (low + high))) > 0
    )
    table = grid.table([cell(n, c)])
    summed = grid.spacing * float(density @ np.exp(table.log_mass[0, 0]))
    # Euler-Maclaurin: the trapezoid rule with offsets d apart errs by d^2/12 times the jumps of the slope, which
    # sit at the nodes; the next term is d^2/20 times the curvature of the likelihood of it, at most 1 %.
    offsets, _ = grid.within(n)
    d = offsets[1] - offsets[0]
    jumps = np.abs(np.diff(np.diff(ps) / np.diff(xs)))
    bound = d**2 / 12 * float(jumps @ [of(x) for x in grid.nodes])
    # The outermost kinks, where the density reaches 0, add theirs.
    bound += d**2 / 12 * (of(xs[0]) * ps[1] + of(xs[-1]) * ps[-2]) / grid.spacing
    assert abs(summed - exact) <= 1.02 * bound + 1e-8 * exact
    assert summed == pytest.approx(exact, rel=1e-3)


def test_offsets_are_a_quarter_of_the_narrowest_likelihood():
    for grid in (success_grid(1), success_grid(3)):
        for n in (1, 8, 100, 10_000, 1_000_000):
            offsets, weights = grid.within(n)
            assert offsets[1] - offsets[0] <= 0.5 / np.sqrt(n) * (1 + 1e-12)
            assert weights.sum() == pytest.approx(1.0, abs=1e-12)
            assert (weights @ offsets) == pytest.approx(0.0, abs=1e-12)


def test_nodes_are_equally_spaced_from_lower():
    for grid in (success_grid(1), success_grid(2)):
        np.testing.assert_allclose(np.diff(grid.nodes), grid.spacing, rtol=1e-9)
        assert grid.nodes[0] == grid.lower
        assert abs(grid.nodes[-1] - grid.upper) <= grid.spacing / 2 + 1e-9


@pytest.mark.parametrize("attempts", [[1] * 2, [4] * 18, [1000] * 10, [50, 0, 4]])
def test_sums_over_easiness_are_integrals(attempts):
    # A task whose easiness the counts tell as well as they do with own effects of 0.6 and a spread of 3.5.
    known = sum(1.0 / (0.6**2 + 4.0 / n) for n in attempts if n)
    sd = 1.0 / (3.5 * np.sqrt(known))
    grid = easiness_nodes(easiness_spacing(attempts))
    for centre in np.linspace(-3.0, 2.0, 41):
        total = norm.pdf(grid.nodes, centre, sd) @ np.exp(grid.log_width)
        # Poisson summation with the spacing there is at the centre, and what of the law is beyond the nodes.
        spacing = np.interp(centre, grid.nodes, np.exp(grid.log_width))
        bound = 2.5 * np.exp(-2.0 * (np.pi * sd / spacing) ** 2) + 2 * norm.sf((4.6 - centre) / sd)
        assert abs(total - 1.0) < max(bound, 1e-4)
        if abs(centre) < 1.0:
            assert abs(total - 1.0) < 2e-3


def test_easiness_nodes_reach_both_ends():
    for spacing in (0.05, 0.13, 0.2):
        grid = easiness_nodes(spacing)
        np.testing.assert_allclose(grid.nodes[[0, -1]], [-7.0, 4.6])
        # Widths are those of the gaps between nodes, to the second order of the spacing.
        between = (grid.nodes[2:] - grid.nodes[:-2]) / 2
        np.testing.assert_allclose(np.exp(grid.log_width)[1:-1], between, rtol=spacing**2)
        assert np.diff(grid.nodes).min() <= spacing


def test_easiness_without_counts_has_the_fewest_nodes():
    assert easiness_spacing([]) == easiness_spacing([0, 0]) == 0.2


def test_the_empty_cell_has_likelihood_one():
    table = success_grid(1).table([LogLikelihood(attempts=0, rows=())])
    np.testing.assert_allclose(table.log_mass, 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("strategy", "success"),
    [
        (BestOfN(n=4), lambda q: 1 - (1 - q) ** 4),
        (PassPower(n=3), lambda q: q**3),
    ],
    ids=["best_of_n", "pass_power"],
)
def test_decisions_enter_through_their_selector(strategy, success):
    x = np.linspace(-6.0, 6.0, 41)
    q = 1.0 / (1.0 + np.exp(-x))
    both = LogLikelihood(attempts=20, rows=((None, 7, 2), (lambda q, _: strategy.answer_array(q), 5, 4)))
    expected = binom.logpmf(2, 7, q) + binom.logpmf(4, 5, success(q))
    np.testing.assert_allclose(both.at(x), expected, rtol=1e-10)


@pytest.mark.parametrize(("n", "c"), CELLS)
def test_draws_between_nodes_have_the_posterior_law(n, c):
    grid = success_grid(1)
    density = density_at(grid.nodes)
    table = grid.table([cell(n, c)])
    # The law of `place`, with the node chosen by its weight: every node, at evenly spread uniform numbers.
    weight = density * np.exp(table.log_mass[0, 0] - table.log_mass[0, 0].max())
    weight /= weight.sum()
    uniform = (np.arange(1000) + 0.5) / 1000
    nodes = np.repeat(np.flatnonzero(weight > 1e-12), uniform.size)
    drawn = table.place(np.zeros(nodes.size, dtype=int), nodes, np.tile(uniform, nodes.size // uniform.size))
    order = np.argsort(drawn)
    drawn, below = drawn[order], np.cumsum(weight[nodes][order] / uniform.size)

    # Brute force: the posterior on a grid fine enough for the narrowest likelihood.
    xs, ps = between(grid.nodes, density)
    fine = np.arange(grid.lower - grid.spacing, grid.upper + grid.spacing, 0.02 / np.sqrt(n))
    posterior = binom.pmf(c, n, 1.0 / (1.0 + np.exp(-fine))) * np.interp(fine, xs, ps)
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (posterior[1:] + posterior[:-1]))])
    cumulative /= cumulative[-1]
    mean = float(posterior @ fine / posterior.sum())
    sd = float(np.sqrt(posterior @ (fine - mean) ** 2 / posterior.sum()))

    levels = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    wanted = np.interp(levels, cumulative, fine)
    found = np.interp(levels, below, drawn)
    # Probability: 1/1000 from the uniform numbers, and less than 1/128 from straight lines between 33 quantiles
    # (the error at the foot of a triangular law).
    np.testing.assert_allclose(np.interp(found, fine, cumulative), levels, atol=1 / 128 + 1 / 1000)
    # Location: a tail must not be stretched, which probabilities cannot show.
    assert np.abs(found - wanted).max() < 0.25 * sd
    drawn_mean = float(drawn @ weight[nodes][order]) / uniform.size
    drawn_sd = float(np.sqrt((drawn - drawn_mean) ** 2 @ weight[nodes][order] / uniform.size))
    assert drawn_mean == pytest.approx(mean, abs=0.02 * sd)
    assert drawn_sd == pytest.approx(sd, rel=0.05)


def test_draws_stay_within_the_hat_of_their_node():
    grid = Grid(lower=-4.0, upper=4.0, spacing=0.5)
    table = grid.table([cell(8, 3)])
    rng = np.random.default_rng(0)
    node = rng.integers(0, grid.nodes.size, 500)
    drawn = table.place(np.zeros(500, dtype=int), node, rng.random(500))
    assert np.all(np.abs(drawn - grid.nodes[node]) <= grid.spacing * (1 + 1e-6))
