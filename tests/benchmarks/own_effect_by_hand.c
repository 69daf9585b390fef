// What log_expected_mass is timed against: the loops one would write by hand for 7 degrees of freedom, over arrays.
// Inputs and sizes are those of the kernel; its hints where cells have mass are used, and so are cells that are even.
#include "elementary.h"
#include "machine.h"

typedef struct {
  int64_t arms, cells, nodes, size;
  const double *node;
  const int64_t *start, *stop;
  double *density, *total, *sums, *of_sums, *of_total;
} Arrays;

static Arrays arrays_of(const Instruction *it, Memory at) {
  Arrays a = {.arms = it->size[0], .cells = it->size[1], .nodes = it->size[2], .size = it->size[3]};
  a.node = INPUT(0);
  a.start = WHOLE;
  a.stop = WHOLE + a.arms * a.cells;
  a.density = SCRATCH;
  a.total = a.density + a.nodes * a.size;
  a.sums = a.total + a.arms * a.size;
  a.of_sums = a.sums + a.arms * a.cells * a.size;
  a.of_total = a.of_sums + a.cells * a.size;
  return a;
}

FORWARD(log_expected_mass) {
  Arrays a = arrays_of(it, at);
  double spacing = a.node[1] - a.node[0], lower = a.node[0], upper = a.node[a.nodes - 1];
  for (int64_t arm = 0; arm < a.arms; arm++) {
    double scale = INPUT(2)[arm], per_square = 1 / (scale * scale * 7);
    double bend = spacing * spacing / 12 * 8 / 7 / (scale * scale + spacing * spacing / 10);
    const double *restrict location = INPUT(1) + arm * a.size;
    double *restrict total = a.total + arm * a.size;
    for (int64_t j = 0; j < a.size; j++) total[j] = 0;
    for (int64_t g = 0; g < a.nodes; g++) {
      double *restrict density = a.density + g * a.size, node = a.node[g];
      VECTOR for (int64_t j = 0; j < a.size; j++) {
        double x = location[j] < lower ? lower : location[j] > upper ? upper : location[j];
        double near = 1 / (1 + per_square * (node - x) * (node - x)), excess = bend * near * (9 - 10 * near);
        density[j] = near * near * near * near * (1 - excess + 0.5 * excess * excess);
        total[j] += density[j];
      }
    }
    for (int64_t c = 0; c < a.cells; c++) {
      int64_t cell = arm * a.cells + c;
      const double *restrict mass = INPUT(3) + cell * a.nodes;
      double *restrict sums = a.sums + cell * a.size, *restrict result = OUTPUT + cell * a.size;
      if (a.start[cell] == a.nodes) {
        double even = log(mass[0]);
        for (int64_t j = 0; j < a.size; j++) result[j] = even;
        continue;
      }
      for (int64_t j = 0; j < a.size; j++) sums[j] = 0;
      for (int64_t g = a.start[cell]; g < a.stop[cell]; g++) {
        const double *restrict density = a.density + g * a.size;
        VECTOR for (int64_t j = 0; j < a.size; j++) sums[j] += mass[g] * density[j];
      }
      VECTOR for (int64_t j = 0; j < a.size; j++) {
        double sum = sums[j] < 1e-300 ? 1e-300 : sums[j];
        sums[j] = sum;
        result[j] = fast_log(sum / total[j]);
      }
    }
  }
}

REVERSE(log_expected_mass) {
  Arrays a = arrays_of(it, at);
  double spacing = a.node[1] - a.node[0], lower = a.node[0], upper = a.node[a.nodes - 1];
  for (int64_t arm = 0; arm < a.arms; arm++) {
    double scale = INPUT(2)[arm], per_square = 1 / (scale * scale * 7), square = scale * scale + spacing * spacing / 10;
    double bend = spacing * spacing / 12 * 8 / 7 / square, through_near = 0, through_bend = 0;
    const double *restrict location = INPUT(1) + arm * a.size, *restrict total = a.total + arm * a.size;
    double *restrict of_total = a.of_total, *restrict of_location = OF_INPUT(1) + arm * a.size;
    for (int64_t j = 0; j < a.size; j++) of_total[j] = 0;
    for (int64_t c = 0; c < a.cells; c++) {
      int64_t cell = arm * a.cells + c;
      if (a.start[cell] == a.nodes) continue;
      const double *restrict slope = OF_OUTPUT + cell * a.size, *restrict sums = a.sums + cell * a.size;
      double *restrict of_sums = a.of_sums + c * a.size;
      VECTOR for (int64_t j = 0; j < a.size; j++) {
        of_sums[j] = slope[j] / sums[j];
        of_total[j] -= slope[j];
      }
    }
    for (int64_t j = 0; j < a.size; j++) of_total[j] /= total[j];
    for (int64_t g = 0; g < a.nodes; g++) {
      double *restrict weight = a.density + g * a.size;
      for (int64_t j = 0; j < a.size; j++) weight[j] = of_total[j];
      for (int64_t c = 0; c < a.cells; c++) {
        int64_t cell = arm * a.cells + c;
        if (g < a.start[cell] || g >= a.stop[cell] || a.start[cell] == a.nodes) continue;
        double mass = INPUT(3)[cell * a.nodes + g];
        const double *restrict of_sums = a.of_sums + c * a.size;
        VECTOR for (int64_t j = 0; j < a.size; j++) weight[j] += mass * of_sums[j];
      }
      double node = a.node[g];
      VECTOR_SUM(through_near, through_bend) for (int64_t j = 0; j < a.size; j++) {
        double x = location[j] < lower ? lower : location[j] > upper ? upper : location[j];
        double gap = node - x, near = 1 / (1 + per_square * gap * gap), excess = bend * near * (9 - 10 * near);
        double by_near = 4 * (1 - excess + 0.5 * excess * excess) + near * (excess - 1) * bend * (9 - 20 * near);
        double weighed = weight[j] * near * near * near * near;
        double slope = weighed * by_near;
        of_location[j] += x == location[j] ? slope * near * gap * 2 * per_square : 0;
        through_near += slope * (1 - near);
        through_bend += weighed * (1 - excess) * excess;
      }
    }
    OF_INPUT(2)[arm] += 2 * through_near / scale + 2 * through_bend * scale / square;
  }
}
