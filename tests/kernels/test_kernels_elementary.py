"""Exponentials and logarithms that loops of the machine run in vectors, against NumPy."""

import ctypes

import numpy as np
import pytest

LOOPS = """
#include "elementary.h"
#include "machine.h"
void exp_each(int64_t n, const double *restrict x, double *restrict out) {
  VECTOR for (int64_t j = 0; j < n; j++) out[j] = fast_exp(x[j]);
}
void log_each(int64_t n, const double *restrict x, double *restrict out) {
  VECTOR for (int64_t j = 0; j < n; j++) out[j] = fast_log(x[j]);
}
"""


@pytest.fixture
def each(compiled_kernel, tmp_path, level):
    """Return a function that applies a loop to numbers."""
    source = tmp_path / "loops.c"
    source.write_text(LOOPS)
    library = compiled_kernel(tmp_path, source, level)

    def apply(name: str, values: np.ndarray) -> np.ndarray:
        values, out = np.ascontiguousarray(values), np.empty_like(values)
        addresses = [ctypes.c_void_p(one.ctypes.data) for one in (values, out)]
        getattr(library, name)(ctypes.c_int64(values.size), *addresses)
        return out

    return apply


def test_exponentials_and_logarithms_are_exact_to_rounding(each):
    x = np.concatenate([np.linspace(-708.0, 700.0, 200_001), np.linspace(-1.0, 1.0, 20_001)])
    np.testing.assert_allclose(each("exp_each", x), np.exp(x), rtol=5e-16)
    y = np.concatenate([10 ** np.linspace(-299.9, 299.0, 200_001), np.linspace(0.5, 2.0, 20_001)])
    np.testing.assert_allclose(each("log_each", y), np.log(y), rtol=1e-15)
    back = each("log_each", each("exp_each", x))
    np.testing.assert_allclose(back, x, rtol=1e-15, atol=5e-16)


def test_ends_and_what_is_no_number(each):
    found = each("exp_each", np.array([-np.inf, -709.0, 0.0, 709.6, np.inf, np.nan]))
    np.testing.assert_array_equal(found, [0.0, 0.0, 1.0, np.inf, np.inf, np.nan])
    found = each("log_each", np.array([1.0, 2.3e-308, 1.7e308, np.nan]))
    np.testing.assert_allclose(found, [0.0, np.log(2.3e-308), np.log(1.7e308), np.nan], rtol=1e-15)
