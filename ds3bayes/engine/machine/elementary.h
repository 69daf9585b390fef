// Exponentials and logarithms that loops can run in vectors: the C library's are called for one number at a time.
#ifndef DS3BAYES_ELEMENTARY_H
#define DS3BAYES_ELEMENTARY_H

#include <math.h>
#include <stdint.h>
#include <string.h>

// exp(x), relative error below 5e-16 between -708.3 and 709.4; 0 below, infinity above, NaN stays.
//
// x is k log 2 + r with r within log(2)/2 of 0, and exp r its Taylor series. What this gives beyond the range is thrown
// away at the end: compilers see through a range set at the start, and then do not run the loop in vectors (SSE2).
static inline double fast_exp(double x) {
  // Adding 1.5 * 2^52 rounds to a whole number, which then stands in the low bits.
  double rounded = x * 1.4426950408889634 + 6755399441055744.0;
  uint64_t bits;
  memcpy(&bits, &rounded, 8);
  double power = rounded - 6755399441055744.0;
  // log 2 in two parts, of which the first times a whole number is exact.
  double r = (x - power * 0.693147180369123816490) - power * 1.90821492927058770002e-10;
  double last = 1 / 39916800. + r * (1 / 479001600. + r * (1 / 6227020800.));
  double high = 1 / 362880. + r * (1 / 3628800. + r * last);
  double low = 1 / 24. + r * (1 / 120. + r * (1 / 720. + r * (1 / 5040. + r * (1 / 40320. + r * high))));
  double series = 1 + r * (1 + r * (0.5 + r * (1 / 6. + r * low)));
  // A power of two is its exponent's bits; 1024 gives those of infinity.
  bits = (bits + 1023) << 52;
  double scale;
  memcpy(&scale, &bits, 8);
  double result = series * scale;
  result = x < -708.3 ? 0.0 : result;
  return x > 709.5 ? INFINITY : result;
}

// log(x) of a normal number above 0, relative error below 1e-15; NaN stays.
//
// x is 2^k y with y within a factor sqrt(2) of 1; log y = 2 (s + s^3/3 + s^5/5 + ...) for s = (y - 1)/(y + 1).
static inline double fast_log(double x) {
  uint64_t bits;
  memcpy(&bits, &x, 8);
  // The high bits are the exponent, here 1023 more than it, so that nothing is negative: processors without AVX-512
  // have no vector instructions for shifts with a sign, nor for whole numbers of 64 bits to double. What is taken off
  // are the bits of sqrt(1/2).
  const uint64_t one = (uint64_t)1023 << 52;
  uint64_t shifted = (bits - 0x3FE6A09E667F3BCD + one) >> 52;
  bits = bits - (shifted << 52) + one;
  double y;
  memcpy(&y, &bits, 8);
  // As the low bits of 2^52.
  shifted |= 0x4330000000000000;
  double power;
  memcpy(&power, &shifted, 8);
  power -= 4503599627370496.0 + 1023.0;
  double s = (y - 1) / (y + 1), z = s * s;
  double tail = 1 / 11. + z * (1 / 13. + z * (1 / 15. + z * (1 / 17. + z * (1 / 19.))));
  double series = 1 + z * (1 / 3. + z * (1 / 5. + z * (1 / 7. + z * (1 / 9. + z * tail))));
  // The bits of NaN would pass for a number's.
  return x != x ? x : power * 0.6931471805599453 + 2 * s * series;
}

// log(x) of any number: -infinity at 0, NaN below, infinity at infinity, and numbers too small to be normal as they are.
static inline double any_log(double x) {
  double shifted = x < 2.3e-308 ? x * 18014398509481984.0 : x;
  double result = fast_log(shifted) - (x < 2.3e-308 ? 37.42994775023705 : 0.0);
  result = x > 1.7976931348623157e308 ? x : result;
  result = x == 0 ? -INFINITY : result;
  return x < 0 ? NAN : result;
}

// log(1 + x), of relative error below 1e-15 for any x > -1; -infinity at -1, NaN below.
static inline double fast_log1p(double x) {
  double u = 1 + x;
  // What rounding 1 + x lost moves the logarithm by that over u.
  double lost = x - (u - 1);
  double result = any_log(u) + (u > 0 && u < 1e300 ? lost / u : 0.0);
  return result;
}

#endif
