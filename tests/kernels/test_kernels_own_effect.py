"""The kernel that sums out own effects, against its definition in NumPy, PyTensor's derivatives and differences."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from ds3bayes.kernels.own_effect import LogExpectedMass, interaction_density, log_expected_mass

NODES = np.linspace(-16.0, 11.0, 109)
#: Location and scale.
MOVING = (1, 2)
SETTINGS = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def masses(arms: int, cells: int, attempts: int, rng: np.random.Generator) -> np.ndarray:
    """Binomial likelihoods at the nodes, over the largest of each cell; the last cell of each arm is empty."""
    solved = rng.integers(0, attempts + 1, (arms, cells, 1))
    log_mass = stats.binom.logpmf(solved, attempts, 1 / (1 + np.exp(-NODES)))
    log_mass[:, -1] = 0.0
    return np.exp(log_mass - log_mass.max(axis=-1, keepdims=True))


def inputs_of(location, scale, mass, dof=7.0):
    """Return the operation and its inputs, as `log_expected_mass` makes them."""
    node = log_expected_mass(NODES, location, scale, mass, dof).owner
    return node.op, [NODES, location, scale, mass, *(one.data for one in node.inputs[4:])]


def case(seed: int, dof: float = 7.0, shape: tuple[int, int, int] | None = None):
    """Return the operation and inputs of some shape: arms, cells, locations."""
    rng = np.random.default_rng(seed)
    arms, cells, size = shape or rng.integers(1, [4, 12, 40])
    attempts = int(rng.choice([1, 10, 100, 1000]))
    location = rng.normal(0.0, 6.0, (arms, size))
    return inputs_of(location, rng.uniform(0.1, 3.0, arms), masses(arms, cells, attempts, rng), dof)


@pytest.mark.parametrize("dof", [7.0, 4.0, 5.3])
def test_output_is_the_definition(kernel_at, level, performed, dof):
    for seed in range(24):
        op, inputs = case(seed, dof)
        kernel = kernel_at(op, level, inputs)
        np.testing.assert_allclose(kernel.forward(), performed(op, inputs), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dof", [7.0, 5.3])
def test_derivatives_are_those_of_pytensor(kernel_at, level, defined, dof):
    for seed in range(20):
        op, inputs = case(seed, dof, shape=(3, 6, 21))
        kernel, weight = kernel_at(op, level, inputs, MOVING), np.random.default_rng(seed).normal(size=(3, 6, 21))
        result, expected = defined(op, inputs, weight, MOVING)
        np.testing.assert_allclose(kernel.forward(), result, rtol=1e-12, atol=1e-14)
        found = kernel.reverse(weight)
        for k, mine in zip(MOVING, expected, strict=True):
            # Sums of terms that cancel, of the size of the largest derivative.
            np.testing.assert_allclose(found[k], mine, rtol=1e-10, atol=1e-12 * abs(mine).max())


def test_derivatives_are_differences(kernel_at, level):
    step = 1e-5
    for seed in range(20):
        op, inputs = case(seed)
        kernel, rng = kernel_at(op, level, inputs, MOVING), np.random.default_rng(seed)
        weight = rng.normal(size=kernel.forward().shape)
        slopes = kernel.reverse(weight)
        for k in MOVING:
            way = rng.normal(size=inputs[k].shape) * step
            sides = []
            for sign in (1.0, -1.0):
                kernel.put(*inputs[:k], inputs[k] + sign * way, *inputs[k + 1 :])
                sides.append((weight * kernel.forward()).sum())
            kernel.put(*inputs)
            assert (slopes[k] * way).sum() == pytest.approx((sides[0] - sides[1]) / 2.0, rel=1e-5, abs=1e-9)


def test_masses_that_move_have_derivatives(kernel_at, level, performed, defined):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 5, 13))
    for seed in range(20):
        op, inputs = case(seed, shape=(2, 5, 13))
        # Masses are not known beforehand: any node may have some.
        inputs[4:] = np.zeros((2, 5)), np.full((2, 5), NODES.size), np.tile(np.arange(5), (2, 1))
        kernel = kernel_at(op, level, inputs, (1, 2, 3))
        np.testing.assert_allclose(kernel.forward(), performed(op, inputs), rtol=1e-12, atol=1e-14)
        _, expected = defined(op, inputs, weight, (1, 2, 3))
        for mine, other in zip(kernel.reverse(weight)[1:4], expected, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12 * abs(other).max())


def test_derivatives_are_added_where_they_are_wanted(kernel_at, level):
    op, inputs = case(3, shape=(2, 5, 11))
    kernel = kernel_at(op, level, inputs, MOVING)
    weight = np.random.default_rng(3).normal(size=kernel.forward().shape)
    slopes, more = kernel.reverse(weight), kernel.reverse(weight, start=2.0)
    for k in MOVING:
        np.testing.assert_allclose(more[k], 2.0 + slopes[k], rtol=1e-12)
        alone = kernel_at(op, level, inputs, (k,))
        alone.forward()
        found = alone.reverse(weight)
        np.testing.assert_array_equal(found[k], slopes[k])
        assert slopes[k].any()
        assert not any(found[other].any() for other in range(4) if other != k)


def test_where_cells_have_mass_only_saves_time(kernel_at, level):
    rng = np.random.default_rng(1)
    op, inputs = inputs_of(rng.normal(0.0, 6.0, (3, 19)), rng.uniform(0.2, 2.0, 3), masses(3, 11, 1000, rng))
    known = kernel_at(op, level, inputs, MOVING)
    arms, cells, _ = inputs[3].shape
    anywhere = [np.zeros((arms, cells)), np.full((arms, cells), NODES.size), np.tile(np.arange(cells), (arms, 1))]
    unknown = kernel_at(op, level, [*inputs[:4], *anywhere], MOVING)
    assert (inputs[5] - inputs[4]).sum() < 0.5 * NODES.size * arms * cells
    np.testing.assert_allclose(known.forward(), unknown.forward(), rtol=1e-12, atol=2e-15)
    weight = rng.normal(size=(arms, cells, 19))
    for mine, other in zip(known.reverse(weight)[1:3], unknown.reverse(weight)[1:3], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)


@SETTINGS
@given(seed=st.integers(0, 10**6), share=st.floats(0.01, 0.99))
def test_a_cell_is_the_sum_of_its_parts(kernel_at, seed, share):
    op, inputs = case(seed)
    weight = share * np.random.default_rng(seed).uniform(size=NODES.size)
    parts = [inputs_of(*inputs[1:3], one)[1] for one in (inputs[3] * weight, inputs[3] * (1.0 - weight))]
    whole, *each = (np.exp(kernel_at(op, "x86-64", one).forward()) for one in (inputs, *parts))
    np.testing.assert_allclose(sum(each), whole, rtol=1e-12)


@SETTINGS
@given(seed=st.integers(0, 10**6))
def test_arms_cells_and_locations_are_independent(kernel_at, seed):
    op, inputs = case(seed)
    _, location, scale, mass, *_ = inputs
    rng = np.random.default_rng(seed)
    arms, cells, places = map(rng.permutation, (*mass.shape[:2], location.shape[1]))
    moved = inputs_of(location[arms][:, places], scale[arms], mass[arms][:, cells])[1]
    first, second = kernel_at(op, "x86-64", inputs), kernel_at(op, "x86-64", moved)
    there = np.ix_(arms, cells, places)
    np.testing.assert_allclose(second.forward(), first.forward()[there], rtol=1e-12, atol=2e-15)
    weight = rng.normal(size=mass.shape[:2] + places.shape)
    before, after = first.reverse(weight), second.reverse(weight[there])
    np.testing.assert_allclose(after[1], before[1][arms][:, places], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(after[2], before[2][arms], rtol=1e-10, atol=1e-11)


def test_a_cell_without_attempts_says_nothing_of_the_parameters(kernel_at, level, performed):
    op, inputs = case(11, shape=(3, 4, 25))
    assert (inputs[4][:, -1] == NODES.size).all()
    weight = np.zeros((3, 4, 25))
    weight[:, -1] = 1.0
    kernel = kernel_at(op, level, inputs, MOVING)
    for found in (kernel.forward(), performed(op, inputs)):
        assert (found[:, -1] == 0.0).all()
        assert found[:, :-1].any()
    assert not any(slope.any() for slope in kernel.reverse(weight)[1:3])


@pytest.mark.parametrize("which", ["location", "scale", "mass"])
def test_what_is_no_number_stays_so(kernel_at, level, performed, which):
    """A sampler must see that a point has no likelihood."""
    op, (_, location, scale, mass, *_) = case(5, shape=(2, 4, 9))
    given = {"location": location, "scale": scale, "mass": mass}
    place = {"location": (1, 3), "scale": 1, "mass": (1, 2, 7)}[which]
    given[which][place] = np.nan
    op, inputs = inputs_of(**given)
    kernel, expected = kernel_at(op, level, inputs, MOVING), np.zeros((2, 4, 9), dtype=bool)
    expected[{"location": (1, slice(None), 3), "scale": 1, "mass": (1, 2)}[which]] = True
    np.testing.assert_array_equal(np.isnan(kernel.forward()), expected)
    np.testing.assert_array_equal(np.isnan(performed(op, inputs)), expected)
    slopes = kernel.reverse(np.ones((2, 4, 9)))
    assert np.isnan(slopes[2][1])
    assert np.isnan(slopes[1][1]).any()
    assert all(np.isfinite(slope[0]).all() for slope in slopes[1:3])


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_extremes_are_as_defined(kernel_at, level, performed, defined, scale):
    rng = np.random.default_rng(7)
    location = rng.normal(0.0, 5.0, (3, 18))
    # Beyond either end of the nodes nothing changes any more.
    location[:, :4] = -1e6, 1e6, NODES[0] - 1e-9, NODES[-1] + 1e-9
    # At a node, where a scale this small resolves nothing else.
    location[:, 4] = NODES[40]
    mass = masses(3, 7, 1000, rng)
    # As unlikely as can be at all nodes but the last, and impossible at all of them.
    mass[0, 0], mass[0, 1] = np.append(np.full(NODES.size - 1, 1e-320), 1.0), 0.0
    op, inputs = inputs_of(location, np.full(3, scale), mass)
    kernel, weight = kernel_at(op, level, inputs, MOVING), rng.normal(size=(3, 7, 18))
    np.testing.assert_allclose(kernel.forward(), performed(op, inputs), rtol=1e-12, atol=1e-14)
    found = kernel.forward()
    assert np.isfinite(found).all()
    assert found.min() == found[0, 1].min() < -690.0
    slopes, (_, expected) = kernel.reverse(weight), defined(op, inputs, weight, MOVING)
    for k, mine in zip(MOVING, expected, strict=True):
        # At 1e3 scales the density is even to 1e-6, and what it moves cancels.
        np.testing.assert_allclose(slopes[k], mine, rtol=1e-8, atol=1e-10 * abs(mine).max())
    assert (slopes[1][:, :4] == 0.0).all()


def test_a_sum_that_counts_as_the_least_does_not_move(kernel_at, level, performed):
    mass = np.zeros((1, 1, NODES.size))
    op, inputs = inputs_of(np.zeros((1, 5)), np.ones(1), mass)
    kernel = kernel_at(op, level, inputs, MOVING)
    np.testing.assert_allclose(kernel.forward(), performed(op, inputs), rtol=1e-12)
    step = 1e-3
    sides = [kernel_at(op, level, inputs_of(np.full((1, 5), x), np.ones(1), mass)[1]).forward() for x in (step, -step)]
    slopes = kernel.reverse(np.ones((1, 1, 5)))
    np.testing.assert_allclose(slopes[1], (sides[0] - sides[1])[0] / (2 * step), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("(0.5 * excess - 1));", "(0.5 * excess + 1));"),
        ("through_near += slope * far", "through_near -= slope * far"),
        ("through_gap[v] += slope * gap", "through_gap[v] -= slope * gap"),
        ("for (int64_t g = start; g < stop; g++)", "for (int64_t g = start; g < stop - 4; g++)"),
        ("sum[n][v] += mass[n] * slope[v]", "sum[n][v] += mass[0] * slope[v]"),
        ("of_total[lane] -= row", "of_total[lane] += row"),
    ],
)
def test_a_wrong_kernel_is_found_out(kernel_at, defined, right, wrong):
    op, inputs = case(0, shape=(3, 6, 21))

    def change(text):
        assert right in text
        return text.replace(right, wrong)

    weight = np.random.default_rng(0).normal(size=(3, 6, 21))
    result, expected = defined(op, inputs, weight, MOVING)
    kernel = kernel_at(op, "x86-64", inputs, MOVING, change)
    with pytest.raises(AssertionError):  # noqa: PT012
        np.testing.assert_allclose(kernel.forward(), result, rtol=1e-12, atol=1e-14)
        for k, mine in zip(MOVING, expected, strict=True):
            np.testing.assert_allclose(kernel.reverse(weight)[k], mine, rtol=1e-10, atol=1e-12 * abs(mine).max())


def test_an_operation_is_what_its_properties_say():
    assert LogExpectedMass(dof=7.0) == LogExpectedMass(dof=7.0) != LogExpectedMass(dof=8.0)


def test_threads_do_not_disturb_each_other(kernel_at, level):
    cases = [case(seed, shape=(3, 9, 33)) for seed in range(4)]
    kernels = [kernel_at(op, level, inputs, MOVING) for op, inputs in cases]
    weight = np.random.default_rng(0).normal(size=(3, 9, 33))

    def both(kernel):
        for _ in range(50):
            found = [kernel.forward(), *kernel.reverse(weight)[1:3]]
        return found

    alone = list(map(both, kernels))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(both, kernels))
    for one, other in zip(alone, together, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.filterwarnings("ignore:Numba will use object mode")
@pytest.mark.parametrize("mode", [pytest.param("NUMBA", marks=pytest.mark.slow), "FAST_COMPILE"])
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


def test_inputs_may_depend_on_each_other():
    """A derivative is that by an input alone, even where another input is computed from it."""
    mass, at = masses(2, 3, 10, np.random.default_rng(0)), np.random.default_rng(1).normal(size=(2, 4))
    location = pt.matrix("location", shape=(2, 4))
    scale = pt.exp(location[:, 0])
    density = interaction_density(NODES, location, scale[:, None, None], 7.0)
    plain = pt.log(pt.as_tensor(mass) @ density.swapaxes(1, 2) / density.sum(axis=-1)[:, None])
    results = [log_expected_mass(NODES, location, scale, mass, 7.0), plain]
    slopes = [pytensor.grad(one.sum(), location) for one in results]
    found, expected = pytensor.function([location], slopes, mode="FAST_COMPILE")(at)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("location", "scale"), [(np.nan, 1.0), (0.0, np.nan)])
def test_pytensor_sees_what_is_no_number(location, scale):
    at = [pt.as_tensor(np.full((1, 3), location)), pt.as_tensor(np.array([scale]))]
    result = log_expected_mass(NODES, *at, masses(1, 2, 1000, np.random.default_rng(0)), 7.0)
    assert np.isnan(pytensor.function([], result, mode="FAST_COMPILE")()).all()
