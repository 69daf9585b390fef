// Likelihoods of tasks averaged over nodes.
//
// Inputs: log likelihoods (U, J) and log weights (J,). Output (U,): the log of the sum over nodes of the exponential of
// both. Sizes: U, J. Each term over the largest of its row is kept for the reverse pass, and so are their sums.
#include "elementary.h"
#include "machine.h"

enum {
  AT_ONCE = 2048,  // terms whose exponentials are taken together: one loop, so that no row leaves a vector half empty
  TOPS = 8         // of which the largest number of a row is found
};

typedef struct {
  int64_t rows, nodes, batch;
  double *term;  // (U, J)
  double *sum;   // (U,)
} Layout;

static Layout layout_of(const Instruction *it, Memory at) {
  Layout of = {.rows = it->size[0], .nodes = it->size[1], .term = SCRATCH};
  of.sum = of.term + of.rows * of.nodes;
  of.batch = of.nodes < AT_ONCE ? AT_ONCE / of.nodes : 1;
  return of;
}

// The largest of n numbers, NaN aside; 0 if that is infinite.
static double largest(const double *restrict number, int64_t n) {
  double top[TOPS];
  for (int k = 0; k < TOPS; k++) top[k] = -INFINITY;
  int64_t whole = n / TOPS * TOPS;
  for (int64_t j = 0; j < whole; j += TOPS)
    VECTOR for (int k = 0; k < TOPS; k++) top[k] = number[j + k] > top[k] ? number[j + k] : top[k];
  for (int64_t j = whole; j < n; j++) top[0] = number[j] > top[0] ? number[j] : top[0];
  for (int k = 1; k < TOPS; k++) top[0] = top[k] > top[0] ? top[k] : top[0];
  return fabs(top[0]) < INFINITY ? top[0] : 0;
}

// Rows of terms from first to before last, their sums and the output.
static void average(
    const Layout *of, const double *restrict value, const double *restrict weight, int64_t first, int64_t last,
    double *restrict result) {
  int64_t n = of->nodes;
  double *restrict term = of->term, *restrict sum = of->sum;
  for (int64_t row = first; row < last; row++) {
    double *restrict mine = term + row * n;
    VECTOR for (int64_t j = 0; j < n; j++) mine[j] = value[row * n + j] + weight[j];
    double top = largest(mine, n);
    VECTOR for (int64_t j = 0; j < n; j++) mine[j] -= top;
    result[row] = top;
  }
  VECTOR for (int64_t k = first * n; k < last * n; k++) term[k] = fast_exp(term[k]);
  for (int64_t row = first; row < last; row++) {
    double total = 0;
    VECTOR_SUM(total) for (int64_t j = 0; j < n; j++) total += term[row * n + j];
    sum[row] = total;
  }
  VECTOR for (int64_t row = first; row < last; row++) result[row] += any_log(sum[row]);
}

FORWARD(log_mean_over_nodes) {
  Layout of = layout_of(it, at);
  for (int64_t first = 0; first < of.rows; first += of.batch) {
    int64_t last = first + of.batch < of.rows ? first + of.batch : of.rows;
    average(&of, INPUT(0), INPUT(1), first, last, OUTPUT);
  }
}

// The derivative by a term's logarithm is its share of the sum.
REVERSE(log_mean_over_nodes) {
  Layout of = layout_of(it, at);
  for (int64_t row = 0; row < of.rows; row++) {
    const double *restrict term = of.term + row * of.nodes;
    double slope = OF_OUTPUT[row] / of.sum[row];
    if (needs(it, 0)) {
      double *restrict of_value = OF_INPUT(0) + row * of.nodes;
      VECTOR for (int64_t j = 0; j < of.nodes; j++) of_value[j] += slope * term[j];
    }
    if (needs(it, 1)) {
      double *restrict of_weight = OF_INPUT(1);
      VECTOR for (int64_t j = 0; j < of.nodes; j++) of_weight[j] += slope * term[j];
    }
  }
}
