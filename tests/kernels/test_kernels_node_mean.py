"""The kernel that averages likelihoods over nodes, against SciPy, PyTensor's derivatives and differences."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from ds3bayes.kernels.node_mean import LogMeanOverNodes, log_mean_over_nodes

SETTINGS = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
OP = LogMeanOverNodes()
#: Sizes of one number, of more nodes than are taken at a time, and with rows that do not fill a vector.
SHAPES = [(1, 1), (3, 2500), (100, 46), (7, 30)]


def case(seed: int, shape=SHAPES[-1]):
    rng = np.random.default_rng(seed)
    # Neither far below nor far above 0 does a mean lose what differs between nodes.
    far = rng.choice([0.0, -1e5, 1e5, -700.0, 700.0], (shape[0], 1))
    return [rng.normal(0.0, 40.0, shape) + far, rng.normal(0.0, 3.0, shape[1])]


@pytest.mark.parametrize("shape", SHAPES)
def test_output_is_that_of_logsumexp(kernel_at, level, performed, shape):
    for seed in range(20):
        inputs = case(seed, shape)
        found = kernel_at(OP, level, inputs).forward()
        np.testing.assert_allclose(found, logsumexp(inputs[0] + inputs[1], axis=1), rtol=1e-14)
        np.testing.assert_allclose(found, performed(OP, inputs), rtol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_are_those_of_pytensor(kernel_at, level, defined, shape):
    for seed in range(20):
        inputs, weight = case(seed, shape), np.random.default_rng(seed).normal(size=shape[0])
        kernel, (result, expected) = kernel_at(OP, level, inputs), defined(OP, inputs, weight, (0, 1))
        np.testing.assert_allclose(kernel.forward(), result, rtol=1e-14)
        slopes, more = kernel.reverse(weight), kernel.reverse(weight, start=1.0)
        share = weight[:, None] * softmax(inputs[0] + inputs[1], axis=1)
        for k, exact in enumerate((share, share.sum(axis=0))):
            np.testing.assert_allclose(slopes[k], expected[k], rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(slopes[k], exact, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(more[k], 1.0 + exact, rtol=1e-12)


def test_derivatives_are_differences(kernel_at, level):
    step = 1e-4
    for seed in range(20):
        rng = np.random.default_rng(seed)
        inputs = [rng.normal(0.0, 2.0, (7, 30)), rng.normal(size=30)]
        kernel, weight = kernel_at(OP, level, inputs), rng.normal(size=7)
        kernel.forward()
        slopes = kernel.reverse(weight)
        for k in range(2):
            way = rng.normal(size=inputs[k].shape) * step
            sides = []
            for sign in (1.0, -1.0):
                kernel.put(*inputs[:k], inputs[k] + sign * way, *inputs[k + 1 :])
                sides.append((weight * kernel.forward()).sum())
            kernel.put(*inputs)
            assert (slopes[k] * way).sum() == pytest.approx((sides[0] - sides[1]) / 2.0, rel=1e-6, abs=1e-11)


def test_only_derivatives_that_are_wanted_are_added(kernel_at, level):
    for wanted in range(2):
        kernel = kernel_at(OP, level, case(0), (wanted,))
        kernel.forward()
        slopes = kernel.reverse(np.ones(7))
        assert slopes[wanted].any()
        assert not slopes[1 - wanted].any()


@SETTINGS
@given(seed=st.integers(0, 10**6), shift=st.floats(-1e3, 1e3))
def test_nodes_and_rows_are_independent(kernel_at, seed, shift):
    values, weight = case(seed)
    rng = np.random.default_rng(seed)
    rows, nodes = rng.permutation(7), rng.permutation(30)
    first = kernel_at(OP, "x86-64", [values, weight])
    moved = kernel_at(OP, "x86-64", [values[rows][:, nodes] + shift, weight[nodes]])
    np.testing.assert_allclose(moved.forward(), first.forward()[rows] + shift, rtol=1e-12, atol=1e-9)


@SETTINGS
@given(seed=st.integers(0, 10**6), share=st.floats(1e-6, 1.0 - 1e-6))
def test_a_node_is_the_sum_of_its_parts(kernel_at, seed, share):
    values, weight = case(seed)
    parts = np.append(weight, weight[-1] + np.log(share))
    parts[-2] += np.log1p(-share)
    whole = kernel_at(OP, "x86-64", [values, weight]).forward()
    split = kernel_at(OP, "x86-64", [values[:, [*range(30), -1]], parts]).forward()
    np.testing.assert_allclose(split, whole, rtol=1e-13, atol=1e-12)


def test_extremes_are_as_defined(kernel_at, level, performed):
    values, weight = case(3)
    values[0, 5], values[1], values[2, 4], values[3], values[4, :-1] = np.nan, -np.inf, -np.inf, -1e308, -np.inf
    values[5, 2] = np.inf
    found, expected = kernel_at(OP, level, [values, weight]).forward(), performed(OP, [values, weight])
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert np.isnan(found[0])
    assert found[1] == -np.inf
    assert found[4] == pytest.approx(values[4, -1] + weight[-1])
    assert found[5] == np.inf


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("value[row * n + j] + weight[j]", "value[row * n + j] - weight[j]"),
        ("of_weight[j] += slope * term[j]", "of_weight[j] -= slope * term[j]"),
        ("OF_OUTPUT[row] / of.sum[row]", "OF_OUTPUT[row] / of.sum[0]"),
    ],
)
def test_a_wrong_kernel_is_found_out(kernel_at, defined, right, wrong):
    def change(text):
        assert right in text
        return text.replace(right, wrong)

    inputs, weight = case(0), np.random.default_rng(0).normal(size=7)
    result, expected = defined(OP, inputs, weight, (0, 1))
    kernel = kernel_at(OP, "x86-64", inputs, change=change)
    with pytest.raises(AssertionError):  # noqa: PT012
        np.testing.assert_allclose(kernel.forward(), result, rtol=1e-14)
        for k, mine in enumerate(expected):
            np.testing.assert_allclose(kernel.reverse(weight)[k], mine, rtol=1e-10, atol=1e-14)


@pytest.mark.filterwarnings("ignore:Numba will use object mode")
@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
def test_means_and_slopes_are_those_of_pytensors_logsumexp(mode):
    rng = np.random.default_rng(3)
    at, weight_at, of_result = rng.normal(0.0, 40.0, (7, 30)), rng.normal(0.0, 3.0, 30), rng.normal(size=7)
    # Neither far below nor far above 0 does a mean lose what differs between nodes.
    at += np.array([0.0, -1e5, 1e5, 0.0, -700.0, 700.0, 1.0])[:, None]
    values, weight = pt.matrix("values"), pt.vector("weight")
    outputs = []
    for mean in (log_mean_over_nodes(values, weight), pt.logsumexp(values + weight, axis=1)):
        outputs += [mean, *pytensor.grad((of_result * mean).sum(), [values, weight])]
    found = pytensor.function([values, weight], outputs, mode=mode)(at, weight_at)
    np.testing.assert_allclose(found[0], logsumexp(at + weight_at, axis=1), rtol=1e-14)
    for mine, plain in zip(found[:3], found[3:], strict=True):
        # At 1e5, rounding alone is 1e-11.
        np.testing.assert_allclose(mine, plain, rtol=1e-10, atol=1e-15)
