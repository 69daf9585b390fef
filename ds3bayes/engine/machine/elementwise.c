// Functions of single numbers, applied along a loop over inputs that broadcast against each other.
//
// Each is stated once: its value, and its derivatives by its inputs a, b, c, given the value v and the result's slope d.
#include "elementary.h"
#include "machine.h"

// log(1 + e) for e from 0 to 1: what rounding 1 + e lost moves the logarithm by that over 1 + e.
static inline double log_of_one_plus_share(double e) {
  double u = 1 + e;
  return fast_log(u) + (e - (u - 1)) / u;
}

static inline double softplus(double x) { return (x > 0 ? x : 0) + log_of_one_plus_share(fast_exp(x > 0 ? -x : x)); }

static inline double sigmoid(double x) {
  double e = fast_exp(x > 0 ? -x : x);
  return (x > 0 ? 1.0 : e) / (1 + e);
}

// log(1 - exp(x)) for x < 0.
static inline double log1mexp(double x) { return x < -0.6931471805599453 ? log1p(-exp(x)) : log(-expm1(x)); }

// log(exp(a) + exp(b)); either may be -infinity.
static inline double logaddexp(double a, double b) {
  double top = a > b ? a : b, gap = a > b ? b - a : a - b;
  double result = top + log_of_one_plus_share(fast_exp(gap));
  // Two infinities of one sign have no gap.
  result = a == b ? a + 0.6931471805599453 : result;
  return b != b ? b : result;
}

// The share of exp(a) in exp(v) = exp(a) + exp(b).
static inline double share(double a, double v) { return a == v ? 1.0 : fast_exp(a - v); }

static double log_gamma(double x) {
#if defined(__GLIBC__) || defined(__APPLE__)
  int sign;
  extern double lgamma_r(double, int *);
  // The plain function writes the sign to a variable that all threads share.
  return lgamma_r(x, &sign);
#else
  return lgamma(x);
#endif
}

// Derivative of log_gamma: by its recurrence up to 10, then its asymptotic series.
static double digamma(double x) {
  double sum = 0;
  if (x <= 0) {
    if (x == floor(x)) return NAN;
    // Reflection.
    return digamma(1 - x) - 3.141592653589793 / tan(3.141592653589793 * x);
  }
  for (; x < 10; x += 1) sum -= 1 / x;
  double z = 1 / (x * x);
  double series = z * (1 / 12. - z * (1 / 120. - z * (1 / 252. - z * (1 / 240. - z * (1 / 132. - z * 691 / 32760.)))));
  return sum + log(x) - 0.5 / x - series;
}

// exp(x^2) erfc(x): the product where it loses nothing, else Laplace's continued fraction from its far end.
static double scaled_erfc(double x) {
  // Not a number, too: as a count of terms it would be any number.
  if (!(x >= 2)) return exp(x * x) * erfc(x);
  double fraction = x;
  for (int k = 20 + (int)(400 / (x * x)); k > 0; k--) fraction = x + 0.5 * k / fraction;
  return 0.5641895835477563 / fraction;
}

// Continued fraction of the incomplete beta function, by the modified Lentz method; converges for x < (a+1)/(a+b+2).
static double beta_fraction(double a, double b, double x) {
  const double tiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (fabs(d) < tiny ? tiny : d);
  double h = d;
  for (int m = 1; m < 20000; m++) {
    double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + even * d;
    c = 1 + even / c;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    c = fabs(c) < tiny ? tiny : c;
    h *= d * c;
    d = 1 + odd * d;
    c = 1 + odd / c;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    c = fabs(c) < tiny ? tiny : c;
    h *= d * c;
    if (fabs(d * c - 1) < 1e-16) break;
  }
  return h;
}

// Regularised incomplete beta function I_x(a, b).
static double beta_share(double a, double b, double x) {
  if (!(x >= 0 && x <= 1 && a > 0 && b > 0)) return NAN;
  if (x == 0 || x == 1) return x;
  double front = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

// Derivative of I_x(a, b) by x.
static double beta_density(double a, double b, double x) {
  return exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + (a - 1) * log(x) + (b - 1) * log1p(-x));
}

// A place in a loop: how many rows (runs along the last axis) are left, and where each input's row starts.
typedef struct {
  int64_t left, place[MOST_DIMS], at[3], out;
} Rows;

static Rows first_row(const Instruction *it) {
  Rows rows = {.left = 1};
  for (int d = 0; d + 1 < it->dims; d++) rows.left *= it->shape[d];
  for (int k = 0; k < 3 && k < it->inputs; k++) rows.at[k] = it->input[k];
  rows.out = it->output;
  return rows;
}

// Go to the next row: the last axis but one moves first.
static void next_row(const Instruction *it, Rows *rows) {
  rows->left--;
  for (int64_t d = it->dims - 2; d >= 0; d--) {
    bool whole = ++rows->place[d] == it->shape[d];
    int64_t step = whole ? 1 - it->shape[d] : 1;
    for (int k = 0; k < 3 && k < it->inputs; k++) rows->at[k] += step * it->stride[k][d];
    rows->out += step * it->output_stride[d];
    if (!whole) return;
    rows->place[d] = 0;
  }
}

#define EACH_ROW for (Rows row = first_row(it); row.left > 0; next_row(it, &row))
// Loops run in vectors where strides are constants of the code: for these, each loop is written out.
#define LAST(k) it->stride[k][it->dims - 1]
#define LENGTH it->shape[it->dims - 1]
#define EACH VECTOR for (int64_t i = 0; i < n; i++)

// Nothing passes where the result does not count, not even infinity or NaN: what a choice leaves out may be anything.
#define THROUGH(SLOPE) (d == 0 ? 0.0 : (SLOPE))

#define UNARY(name, VALUE, SLOPE)                                              \
  FORWARD(name) {                                                              \
    int64_t n = LENGTH, sa = LAST(0);                                          \
    EACH_ROW {                                                                 \
      const double *restrict as = at.value + row.at[0];                        \
      double *restrict out = at.value + row.out;                               \
      if (sa == 1)                                                             \
        EACH {                                                                 \
          double a = as[i];                                                    \
          out[i] = VALUE;                                                      \
        }                                                                      \
      else                                                                     \
        EACH {                                                                 \
          double a = as[i * sa];                                               \
          out[i] = VALUE;                                                      \
        }                                                                      \
    }                                                                          \
  }                                                                            \
  REVERSE(name) {                                                              \
    int64_t n = LENGTH, sa = LAST(0);                                          \
    EACH_ROW {                                                                 \
      const double *restrict as = at.value + row.at[0];                        \
      const double *restrict vs = at.value + row.out;                          \
      const double *restrict ds = at.slope + row.out;                          \
      double *of_a = at.slope + row.at[0];                                     \
      if (sa == 1)                                                             \
        EACH {                                                                 \
          double a = as[i], v = vs[i], d = ds[i];                              \
          (void)a, (void)v;                                                    \
          of_a[i] += THROUGH(SLOPE);                                                    \
        }                                                                      \
      else                                                                     \
        for (int64_t i = 0; i < n; i++) {                                      \
          double a = as[i * sa], v = vs[i], d = ds[i];                         \
          (void)a, (void)v;                                                    \
          of_a[i * sa] += THROUGH(SLOPE);                                               \
        }                                                                      \
    }                                                                          \
  }

#define BINARY_LOOP(SA, SB, VALUE)                                             \
  EACH {                                                                       \
    double a = as[i * (SA)], b = bs[i * (SB)];                                 \
    (void)a, (void)b;                                                          \
    out[i] = VALUE;                                                            \
  }

// Add slopes along a row to an input that moves along it, or their sum to one that does not.
#define BINARY_SLOPES(SA, SB, SX, SLOPE)                                       \
  if ((SX) == 0) {                                                             \
    double sum = 0;                                                            \
    VECTOR_SUM(sum) for (int64_t i = 0; i < n; i++) {                          \
      double a = as[i * (SA)], b = bs[i * (SB)], v = vs[i], d = ds[i];         \
      (void)a, (void)b, (void)v;                                               \
      sum += THROUGH(SLOPE);                                                            \
    }                                                                          \
    *of_x += sum;                                                              \
  } else                                                                       \
    EACH {                                                                     \
      double a = as[i * (SA)], b = bs[i * (SB)], v = vs[i], d = ds[i];         \
      (void)a, (void)b, (void)v;                                               \
      of_x[i * (SX)] += THROUGH(SLOPE);                                                 \
    }

#define BINARY_REVERSE(k, SLOPE)                                               \
  if (needs(it, k)) {                                                          \
    EACH_ROW {                                                                 \
      const double *restrict as = at.value + row.at[0];                        \
      const double *restrict bs = at.value + row.at[1];                        \
      const double *restrict vs = at.value + row.out;                          \
      const double *restrict ds = at.slope + row.out;                          \
      double *of_x = at.slope + row.at[k];                                     \
      if (sa == 1 && sb == 1) {                                                \
        BINARY_SLOPES(1, 1, 1, SLOPE)                                          \
      } else if (sa == 1 && sb == 0) {                                         \
        BINARY_SLOPES(1, 0, (k == 0 ? 1 : 0), SLOPE)                           \
      } else if (sa == 0 && sb == 1) {                                         \
        BINARY_SLOPES(0, 1, (k == 0 ? 0 : 1), SLOPE)                           \
      } else {                                                                 \
        int64_t sx = k == 0 ? sa : sb;                                         \
        for (int64_t i = 0; i < n; i++) {                                      \
          double a = as[i * sa], b = bs[i * sb], v = vs[i], d = ds[i];         \
          (void)a, (void)b, (void)v;                                           \
          of_x[i * sx] += THROUGH(SLOPE);                                               \
        }                                                                      \
      }                                                                        \
    }                                                                          \
  }

#define BINARY(name, VALUE, SLOPE_A, SLOPE_B)                                  \
  FORWARD(name) {                                                              \
    int64_t n = LENGTH, sa = LAST(0), sb = LAST(1);                            \
    EACH_ROW {                                                                 \
      const double *restrict as = at.value + row.at[0];                        \
      const double *restrict bs = at.value + row.at[1];                        \
      double *restrict out = at.value + row.out;                               \
      if (sa == 1 && sb == 1)                                                  \
        BINARY_LOOP(1, 1, VALUE)                                               \
      else if (sa == 1 && sb == 0)                                             \
        BINARY_LOOP(1, 0, VALUE)                                               \
      else if (sa == 0 && sb == 1)                                             \
        BINARY_LOOP(0, 1, VALUE)                                               \
      else                                                                     \
        BINARY_LOOP(sa, sb, VALUE)                                             \
    }                                                                          \
  }                                                                            \
  REVERSE(name) {                                                              \
    int64_t n = LENGTH, sa = LAST(0), sb = LAST(1);                            \
    BINARY_REVERSE(0, SLOPE_A)                                                 \
    BINARY_REVERSE(1, SLOPE_B)                                                 \
  }

#define TERNARY(name, VALUE, SLOPE_A, SLOPE_B, SLOPE_C)                        \
  FORWARD(name) {                                                              \
    int64_t n = LENGTH, sa = LAST(0), sb = LAST(1), sc = LAST(2);              \
    EACH_ROW {                                                                 \
      const double *restrict as = at.value + row.at[0];                        \
      const double *restrict bs = at.value + row.at[1];                        \
      const double *restrict cs = at.value + row.at[2];                        \
      double *restrict out = at.value + row.out;                               \
      EACH {                                                                   \
        double a = as[i * sa], b = bs[i * sb], c = cs[i * sc];                 \
        out[i] = VALUE;                                                        \
      }                                                                        \
    }                                                                          \
  }                                                                            \
  REVERSE(name) {                                                              \
    int64_t n = LENGTH, sa = LAST(0), sb = LAST(1), sc = LAST(2);              \
    bool of_a = needs(it, 0), of_b = needs(it, 1), of_c = needs(it, 2);        \
    EACH_ROW {                                                                 \
      for (int64_t i = 0; i < n; i++) {                                        \
        double a = at.value[row.at[0] + i * sa];                               \
        double b = at.value[row.at[1] + i * sb];                               \
        double c = at.value[row.at[2] + i * sc];                               \
        double d = at.slope[row.out + i];                                      \
        (void)a, (void)b, (void)c;                                             \
        if (of_a) at.slope[row.at[0] + i * sa] += THROUGH(SLOPE_A);                     \
        if (of_b) at.slope[row.at[1] + i * sb] += THROUGH(SLOPE_B);                     \
        if (of_c) at.slope[row.at[2] + i * sc] += THROUGH(SLOPE_C);                     \
      }                                                                        \
    }                                                                          \
  }

// Without a derivative: comparisons and roundings.
#define STEP1(name, VALUE) UNARY(name, VALUE, 0 * d)
#define STEP2(name, VALUE) BINARY(name, VALUE, 0 * d, 0 * d)

UNARY(negative, -a, -d)
UNARY(absolute, fabs(a), a > 0 ? d : a < 0 ? -d : 0 * d)
UNARY(square, a *a, 2 * d * a)
UNARY(square_root, sqrt(a), 0.5 * d / v)
UNARY(reciprocal, 1 / a, -d * v * v)
UNARY(exponential, fast_exp(a), d *v)
UNARY(exponential_less_one, expm1(a), d *(v + 1))
UNARY(logarithm, any_log(a), d / a)
UNARY(logarithm_of_one_plus, fast_log1p(a), d / (1 + a))
UNARY(logarithm_of_one_less_exponential, log1mexp(a), -d *exp(a - v))
UNARY(softplus, softplus(a), d *sigmoid(a))
UNARY(sigmoid, sigmoid(a), d *v *(1 - v))
UNARY(sine, sin(a), d *cos(a))
UNARY(cosine, cos(a), -d *sin(a))
UNARY(tangent, tan(a), d *(1 + v * v))
UNARY(hyperbolic_tangent, tanh(a), d *(1 - v * v))
UNARY(error_function, erf(a), d * 1.1283791670955126 * exp(-a * a))
UNARY(complementary_error_function, erfc(a), -d * 1.1283791670955126 * exp(-a * a))
UNARY(scaled_complementary_error_function, scaled_erfc(a), d *(2 * a * v - 1.1283791670955126))
UNARY(arctangent, atan(a), d / (1 + a * a))
UNARY(log_gamma, log_gamma(a), d *digamma(a))
UNARY(log_base_2, log2(a), d / (a * 0.6931471805599453))
UNARY(log_base_10, log10(a), d / (a * 2.302585092994046))

STEP1(floor, floor(a))
STEP1(ceiling, ceil(a))
STEP1(truncate, trunc(a))
STEP1(round_to_even, rint(a))
STEP1(sign, a != a ? a : (double)((a > 0) - (a < 0)))
STEP1(is_infinite, (double)(fabs(a) > 1.7976931348623157e308))
STEP1(is_nan, (double)(a != a))
STEP1(not, (double)(a == 0))

BINARY(add, a + b, d, d)
BINARY(subtract, a - b, d, -d)
BINARY(multiply, a *b, d *b, d *a)
BINARY(divide, a / b, d / b, -d *v / b)
BINARY(power, pow(a, b), b == 0 ? 0 * d : d *b *pow(a, b - 1), v == 0 ? 0 * d : d *v *log(a))
BINARY(maximum, a != a || a > b ? a : b, a > b ? d : 0 * d, a > b ? 0 * d : d)
BINARY(minimum, a != a || a < b ? a : b, a < b ? d : 0 * d, a < b ? 0 * d : d)
BINARY(logaddexp, logaddexp(a, b), d *share(a, v), d *share(b, v))
BINARY(angle, atan2(a, b), d *b / (a * a + b * b), -d *a / (a * a + b * b))

BINARY(modulo, a - b * floor(a / b), d, -d *floor(a / b))

STEP2(greater, (double)(a > b))
STEP2(at_least, (double)(a >= b))
STEP2(less, (double)(a < b))
STEP2(at_most, (double)(a <= b))
STEP2(equal, (double)(a == b))
STEP2(unequal, (double)(a != b))
STEP2(both, (double)(a != 0 && b != 0))
STEP2(either, (double)(a != 0 || b != 0))
STEP2(exclusive_either, (double)((a != 0) != (b != 0)))
STEP2(floor_divide, floor(a / b))

TERNARY(choose, a != 0 ? b : c, 0 * d, a != 0 ? d : 0 * d, a != 0 ? 0 * d : d)
TERNARY(clip, a < b ? b : a > c ? c : a, a >= b && a <= c ? d : 0 * d, a < b ? d : 0 * d, a > c ? d : 0 * d)
// Derivatives by the first two are not written: models have them constant, and a tape that needs them is refused.
TERNARY(beta_share, beta_share(a, b, c), NAN, NAN, d *beta_density(a, b, c))

// Copy an array into a part of another: an output stride says where along each axis it goes.
FORWARD(copy) {
  int64_t n = LENGTH, from = LAST(0), to = it->output_stride[it->dims - 1];
  EACH_ROW {
    const double *restrict as = at.value + row.at[0];
    double *restrict out = at.value + row.out;
    if (from == 1 && to == 1)
      EACH out[i] = as[i];
    else
      for (int64_t i = 0; i < n; i++) out[i * to] = as[i * from];
  }
}

REVERSE(copy) {
  int64_t n = LENGTH, from = LAST(0), to = it->output_stride[it->dims - 1];
  EACH_ROW {
    for (int64_t i = 0; i < n; i++) at.slope[row.at[0] + i * from] += at.slope[row.out + i * to];
  }
}
