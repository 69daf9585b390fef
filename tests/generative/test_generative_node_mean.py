"""Vector exponentials and logarithms, and averages over nodes by them, against NumPy, SciPy and PyTensor."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp

from ds3bayes.generative.elementary import exp_each, log_each
from ds3bayes.generative.node_mean import log_mean_over_nodes


def each(function, values: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    function(values, out)
    return out


def test_exponentials_and_logarithms_are_exact_to_rounding():
    x = np.concatenate([np.linspace(-708.0, 700.0, 200_001), np.linspace(-1.0, 1.0, 20_001)])
    np.testing.assert_allclose(each(exp_each, x), np.exp(x), rtol=5e-16)
    y = np.concatenate([10 ** np.linspace(-299.9, 299.0, 200_001), np.linspace(0.5, 2.0, 20_001)])
    np.testing.assert_allclose(each(log_each, y), np.log(y), rtol=1e-15)
    below, missing = each(exp_each, np.array([-np.inf, np.nan]))
    assert below == pytest.approx(np.exp(-708.0))
    assert np.isnan(missing)
    back = each(log_each, each(exp_each, x))
    np.testing.assert_allclose(back, x, rtol=1e-15, atol=5e-16)


@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
def test_means_and_slopes_are_those_of_logsumexp(mode):
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
