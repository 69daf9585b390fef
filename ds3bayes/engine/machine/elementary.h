// Exponentials and logarithms that loops can run in vectors: the C library's are called for one number at a time.
#ifndef DS3BAYES_ELEMENTARY_H
#define DS3BAYES_ELEMENTARY_H

#include <math.h>
#include <stdint.h>
#include <string.h>

// exp(x), relative error below 5e-16 between -708 and 709; exp(-708) (3e-308) below, infinity above, NaN stays.
//
// x is k log 2 + r with r within log(2)/2 of 0, and exp r its Taylor series.
static inline double fast_exp(double x) {
  double v = x < -708.0 ? -708.0 : x > 710.0 ? 710.0 : x;
  // Adding 1.5 * 2^52 rounds to a whole number, which then stands in the low bits.
  double rounded = v * 1.4426950408889634 + 6755399441055744.0;
  int64_t bits;
  memcpy(&bits, &rounded, 8);
  double power = rounded - 6755399441055744.0;
  // log 2 in two parts, of which the first times a whole number is exact.
  double r = (v - power * 0.693147180369123816490) - power * 1.90821492927058770002e-10;
  double high = 1 / 362880. + r * (1 / 3628800. + r * (1 / 39916800. + r * (1 / 479001600. + r / 6227020800.)));
  double low = 1 / 24. + r * (1 / 120. + r * (1 / 720. + r * (1 / 5040. + r * (1 / 40320. + r * high))));
  double series = 1 + r * (1 + r * (0.5 + r * (1 / 6. + r * low)));
  // In two halves, so that 2^1024 does not overflow before it is due.
  int64_t first = bits << 12 >> 12 >> 1, second = (bits << 12 >> 12) - first;
  first = (first + 1023) << 52;
  second = (second + 1023) << 52;
  double a, b;
  memcpy(&a, &first, 8);
  memcpy(&b, &second, 8);
  return x != x ? x : series * a * b;
}

// log(x) of a number of at least 1e-307, relative error below 1e-15; NaN stays.
//
// x is 2^k y with y within a factor sqrt(2) of 1; log y = 2 (s + s^3/3 + s^5/5 + ...) for s = (y - 1)/(y + 1).
static inline double fast_log(double x) {
  int64_t bits;
  memcpy(&bits, &x, 8);
  // The high bits are the exponent; the number taken off are the bits of sqrt(1/2).
  int64_t power = (bits - 0x3FE6A09E667F3BCD) >> 52;
  bits -= power << 52;
  double y;
  memcpy(&y, &bits, 8);
  double s = (y - 1) / (y + 1), z = s * s;
  double tail = 1 / 11. + z * (1 / 13. + z * (1 / 15. + z * (1 / 17. + z / 19.)));
  double series = 1 + z * (1 / 3. + z * (1 / 5. + z * (1 / 7. + z * (1 / 9. + z * tail))));
  // The bits of NaN would pass for a number's.
  return x != x ? x : (double)power * 0.6931471805599453 + 2 * s * series;
}

#endif
