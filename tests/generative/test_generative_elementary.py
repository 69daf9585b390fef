"""Vector exponentials and logarithms of compiled code, against NumPy."""

import numpy as np
import pytest

from ds3bayes.generative.elementary import exp_each, log_each


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
