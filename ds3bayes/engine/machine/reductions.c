// Many numbers become one: sums, extremes, and sums of exponentials. Running sums too.
#include "elementary.h"
#include "machine.h"

// A place in a loop over the input's axes but the last: where the rows of input and output start.
typedef struct {
  int64_t left, place[MOST_DIMS], from, to;
} Walk;

static Walk first_run(const Instruction *it) {
  Walk walk = {.left = 1, .from = it->input[0], .to = it->output};
  for (int d = 0; d + 1 < it->dims; d++) walk.left *= it->shape[d];
  return walk;
}

static void next_run(const Instruction *it, Walk *walk) {
  walk->left--;
  for (int64_t d = it->dims - 2; d >= 0; d--) {
    bool whole = ++walk->place[d] == it->shape[d];
    int64_t step = whole ? 1 - it->shape[d] : 1;
    walk->from += step * it->stride[0][d];
    walk->to += step * it->output_stride[d];
    if (!whole) return;
    walk->place[d] = 0;
  }
}

#define EACH_RUN for (Walk run = first_run(it); run.left > 0; next_run(it, &run))

// Sum over the axes along which the output does not move.
FORWARD(sum) {
  int64_t n = it->shape[it->dims - 1], from = it->stride[0][it->dims - 1], to = it->output_stride[it->dims - 1];
  for (int64_t i = 0; i < it->output_size; i++) OUTPUT[i] = 0;
  EACH_RUN {
    const double *restrict a = at.value + run.from;
    double *restrict out = at.value + run.to;
    if (to == 0 && from == 1) {
      double sum = 0;
      VECTOR_SUM(sum) for (int64_t i = 0; i < n; i++) sum += a[i];
      *out += sum;
    } else if (to == 0) {
      double sum = 0;
      for (int64_t i = 0; i < n; i++) sum += a[i * from];
      *out += sum;
    } else if (to == 1 && from == 1) {
      VECTOR for (int64_t i = 0; i < n; i++) out[i] += a[i];
    } else {
      for (int64_t i = 0; i < n; i++) out[i * to] += a[i * from];
    }
  }
}

REVERSE(sum) {
  int64_t n = it->shape[it->dims - 1], from = it->stride[0][it->dims - 1], to = it->output_stride[it->dims - 1];
  EACH_RUN {
    double *restrict of_a = at.slope + run.from;
    const double *restrict d = at.slope + run.to;
    if (to == 0 && from == 1) {
      double slope = *d;
      VECTOR for (int64_t i = 0; i < n; i++) of_a[i] += slope;
    } else if (to == 1 && from == 1) {
      VECTOR for (int64_t i = 0; i < n; i++) of_a[i] += d[i];
    } else {
      for (int64_t i = 0; i < n; i++) of_a[i * from] += d[i * to];
    }
  }
}

// Of rows, contiguous, size[0] of them with size[1] numbers each.
#define ROWS int64_t rows = it->size[0], n = it->size[1]

static double top_of(const double *a, int64_t n) {
  double top = -INFINITY;
  for (int64_t i = 0; i < n; i++) top = a[i] > top || a[i] != a[i] ? a[i] : top;
  return top;
}

FORWARD(row_maximum) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) OUTPUT[r] = top_of(INPUT(0) + r * n, n);
}

// As PyTensor has it: every number that equals the maximum takes its slope.
REVERSE(row_maximum) {
  ROWS;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < n; i++)
      if (INPUT(0)[r * n + i] == RESULT[r]) OF_INPUT(0)[r * n + i] += OF_OUTPUT[r];
}

FORWARD(row_product) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) {
    double product = 1;
    for (int64_t i = 0; i < n; i++) product *= INPUT(0)[r * n + i];
    OUTPUT[r] = product;
  }
}

// The product of the others, one by one: a quotient would not do where one is 0.
REVERSE(row_product) {
  ROWS;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < n; i++) {
      double others = 1;
      for (int64_t j = 0; j < n; j++) others *= j == i ? 1 : INPUT(0)[r * n + j];
      OF_INPUT(0)[r * n + i] += OF_OUTPUT[r] * others;
    }
}

// Log of the sum of the exponentials of a row, whose largest number is taken out.
static double log_sum(const double *restrict a, int64_t n) {
  double top = top_of(a, n), sum = 0;
  if (!(fabs(top) < INFINITY)) return top;
  VECTOR_SUM(sum) for (int64_t i = 0; i < n; i++) sum += fast_exp(a[i] - top);
  return top + fast_log(sum);
}

FORWARD(row_log_sum) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) OUTPUT[r] = log_sum(INPUT(0) + r * n, n);
}

REVERSE(row_log_sum) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) {
    const double *restrict a = INPUT(0) + r * n;
    double *restrict of_a = OF_INPUT(0) + r * n, v = RESULT[r], d = OF_OUTPUT[r];
    VECTOR for (int64_t i = 0; i < n; i++) of_a[i] += d * fast_exp(a[i] - v);
  }
}

FORWARD(row_log_softmax) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) {
    const double *restrict a = INPUT(0) + r * n;
    double *restrict out = OUTPUT + r * n, total = log_sum(a, n);
    VECTOR for (int64_t i = 0; i < n; i++) out[i] = a[i] - total;
  }
}

REVERSE(row_log_softmax) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) {
    const double *restrict out = RESULT + r * n, *restrict d = OF_OUTPUT + r * n;
    double *restrict of_a = OF_INPUT(0) + r * n, sum = 0;
    VECTOR_SUM(sum) for (int64_t i = 0; i < n; i++) sum += d[i];
    VECTOR for (int64_t i = 0; i < n; i++) of_a[i] += d[i] - sum * fast_exp(out[i]);
  }
}

FORWARD(row_softmax) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) {
    const double *restrict a = INPUT(0) + r * n;
    double *restrict out = OUTPUT + r * n, total = log_sum(a, n);
    VECTOR for (int64_t i = 0; i < n; i++) out[i] = fast_exp(a[i] - total);
  }
}

REVERSE(row_softmax) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) {
    const double *restrict out = RESULT + r * n, *restrict d = OF_OUTPUT + r * n;
    double *restrict of_a = OF_INPUT(0) + r * n, sum = 0;
    VECTOR_SUM(sum) for (int64_t i = 0; i < n; i++) sum += d[i] * out[i];
    VECTOR for (int64_t i = 0; i < n; i++) of_a[i] += out[i] * (d[i] - sum);
  }
}

// Running sums of each row.
FORWARD(row_running_sum) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) OUTPUT[r * n + i] = sum += INPUT(0)[r * n + i];
  }
}

REVERSE(row_running_sum) {
  ROWS;
  for (int64_t r = 0; r < rows; r++) {
    double sum = 0;
    for (int64_t i = n - 1; i >= 0; i--) OF_INPUT(0)[r * n + i] += sum += OF_OUTPUT[r * n + i];
  }
}
