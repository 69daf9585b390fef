// Products of matrices, one or a batch of them.
#include "machine.h"

// Sizes: batch, rows, inner, columns; each input has a stride for batch, rows, columns of its own.
typedef struct {
  int64_t batch, rows, inner, columns;
} Extent;

static Extent extent_of(const Instruction *it) {
  return (Extent){it->size[0], it->size[1], it->size[2], it->size[3]};
}

static double inner_product(const double *a, int64_t step_a, const double *b, int64_t step_b, int64_t n) {
  double sum = 0;
  if (step_a == 1 && step_b == 1) {
    VECTOR_SUM(sum) for (int64_t k = 0; k < n; k++) sum += a[k] * b[k];
  } else {
    for (int64_t k = 0; k < n; k++) sum += a[k * step_a] * b[k * step_b];
  }
  return sum;
}

// out[k * step] += share * a[k * step_a]
static void add_scaled(double share, const double *a, int64_t step_a, double *out, int64_t step, int64_t n) {
  if (step_a == 1 && step == 1) {
    VECTOR for (int64_t k = 0; k < n; k++) out[k] += share * a[k];
  } else {
    for (int64_t k = 0; k < n; k++) out[k * step] += share * a[k * step_a];
  }
}

FORWARD(matrix_product) {
  Extent of = extent_of(it);
  const int64_t *sa = it->stride[0], *sb = it->stride[1];
  for (int64_t q = 0; q < of.batch; q++)
    for (int64_t i = 0; i < of.rows; i++) {
      const double *a = INPUT(0) + q * sa[0] + i * sa[1], *b = INPUT(1) + q * sb[0];
      double *out = OUTPUT + (q * of.rows + i) * of.columns;
      if (sb[2] == 1 && of.columns > 1) {
        for (int64_t j = 0; j < of.columns; j++) out[j] = 0;
        for (int64_t k = 0; k < of.inner; k++) add_scaled(a[k * sa[2]], b + k * sb[1], 1, out, 1, of.columns);
      } else {
        for (int64_t j = 0; j < of.columns; j++) out[j] = inner_product(a, sa[2], b + j * sb[2], sb[1], of.inner);
      }
    }
}

REVERSE(matrix_product) {
  Extent of = extent_of(it);
  const int64_t *sa = it->stride[0], *sb = it->stride[1];
  for (int64_t q = 0; q < of.batch; q++)
    for (int64_t i = 0; i < of.rows; i++) {
      int64_t row = q * sa[0] + i * sa[1], matrix = q * sb[0];
      const double *d = OF_OUTPUT + (q * of.rows + i) * of.columns;
      if (of.columns == 1) {
        if (needs(it, 0)) add_scaled(d[0], INPUT(1) + matrix, sb[1], OF_INPUT(0) + row, sa[2], of.inner);
        if (needs(it, 1)) add_scaled(d[0], INPUT(0) + row, sa[2], OF_INPUT(1) + matrix, sb[1], of.inner);
        continue;
      }
      for (int64_t k = 0; k < of.inner; k++) {
        int64_t one = row + k * sa[2], line = matrix + k * sb[1];
        if (needs(it, 0)) OF_INPUT(0)[one] += inner_product(d, 1, INPUT(1) + line, sb[2], of.columns);
        if (needs(it, 1)) add_scaled(INPUT(0)[one], d, 1, OF_INPUT(1) + line, sb[2], of.columns);
      }
    }
}
