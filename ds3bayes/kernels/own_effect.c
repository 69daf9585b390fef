// The log of the mass of cells expected over an arm's own task effect.
//
// Inputs: nodes (G,), location (A, J), scale (A,), mass (A, C, G), and of whole numbers start, stop and order (A, C).
// Output (A, C, J): the log of the sum over g of mass[a, c, g] density[a, g, j], over the sum of the density.
// Sizes: A, C, G, J. Real: degrees of freedom of the density's Student t law.
//
// An array of the density at (arm, location, node) would be large; here a block of locations at a time stays in the
// nearest cache. Products with the masses go over the nodes where cells have any, from `start` to before `stop`: some
// cells (forward) or some nodes (reverse) and one block of locations together, whose sums stay in registers. `order`
// has an arm's cells by their start, so that neighbours have most of their nodes in common. A cell that starts at G has
// the same mass at every node, which is then what is expected; these come last.
#include "elementary.h"
#include "machine.h"
#include "vectors.h"

enum {
  VECTORS = 2,              // of a block of locations
  BLOCK = VECTORS * LANES,  // locations at a time
  TILE = 4,                 // cells or nodes at a time
  USUAL_EXPONENT = 4        // of the density with 7 degrees of freedom
};

// Sums below count as this, so that their logarithm is finite.
static const double LEAST_SUM = 1e-300;

// Sizes, what is known of cells, and the parts of scratch.
typedef struct {
  int64_t arms, cells, nodes, locations, blocks;
  const double *node;
  const int64_t *start, *stop, *order;
  double *sums;      // (A, block, C, BLOCK) of mass times density, by order; kept for the reverse pass
  double *totals;    // (A, block, BLOCK) of density; kept for the reverse pass
  double *at_nodes;  // (G, BLOCK), the density, then derivatives by it
  double *of_cells;  // (C, BLOCK), logarithms, then derivatives by sums; by order
  double *even;      // (C,), logs of masses that are the same everywhere; by order
} Layout;

static Layout layout_of(const Instruction *it, Memory at) {
  Layout of = {.arms = it->size[0], .cells = it->size[1], .nodes = it->size[2], .locations = it->size[3]};
  of.blocks = (of.locations + BLOCK - 1) / BLOCK;
  of.node = INPUT(0);
  of.start = WHOLE;
  of.stop = of.start + of.arms * of.cells;
  of.order = of.stop + of.arms * of.cells;
  of.sums = aligned(SCRATCH);
  of.totals = of.sums + of.arms * of.blocks * of.cells * BLOCK;
  of.at_nodes = of.totals + of.arms * of.blocks * BLOCK;
  of.of_cells = of.at_nodes + of.nodes * BLOCK;
  of.even = of.of_cells + of.cells * BLOCK;
  return of;
}

// One arm: its part of the layout, its masses, and the law of its own effect.
//
// The density at a distance of gap is near^exponent (1 - excess + excess^2 / 2) where near is
// 1 / (1 + per_square gap^2), the Student t law's, and excess is near (linear - quadratic near): how far a density that
// is linear between nodes lies above it.
typedef struct {
  int64_t uneven;  // cells with other masses at some nodes than at others, first in order
  const int64_t *start, *stop, *order;
  const double *mass;
  double scale, exponent, per_square, linear, quadratic;
  double square;  // of the scale, but with room for the distance of nodes
} Arm;

static Arm arm_of(const Layout *of, int64_t arm, double scale, const double *mass, double dof) {
  double spacing = of->node[1] - of->node[0], square = scale * scale + spacing * spacing / 10;
  double bend = spacing * spacing / 12 * (dof + 1) / dof / square, per_square = 1 / (scale * scale * dof);
  Arm one = {
      .start = of->start + arm * of->cells,
      .stop = of->stop + arm * of->cells,
      .order = of->order + arm * of->cells,
      .mass = mass + arm * of->cells * of->nodes,
      .scale = scale,
      .exponent = (dof + 1) / 2,
      // Infinity times a gap of 0 would be no number.
      .per_square = per_square > 1e200 ? 1e200 : per_square,
      .linear = bend * (dof + 2),
      .quadratic = bend * (dof + 3),
      .square = square,
  };
  while (one.uneven < of->cells && one.start[one.order[one.uneven]] < of->nodes) one.uneven++;
  return one;
}

// base^exponent; a constant whole exponent, which `whole` then is, takes products alone.
INLINE Vector power(Vector base, double exponent, int whole) {
  if (whole == USUAL_EXPONENT) return (base * base) * (base * base);
  double each[LANES];
  store(each, base);
  VECTOR
  for (int lane = 0; lane < LANES; lane++) each[lane] = fast_exp(exponent * fast_log(each[lane]));
  return load(each);
}

// Locations of a block, moved to the nodes' ends if beyond; the last again where the block has more room. NaN stays.
static void clip(const Layout *of, const double *location, int64_t first, double *clipped) {
  double lower = of->node[0], upper = of->node[of->nodes - 1];
  for (int64_t lane = 0; lane < BLOCK; lane++) {
    double x = location[first + lane < of->locations ? first + lane : of->locations - 1];
    clipped[lane] = x < lower ? lower : x > upper ? upper : x;
  }
}

// The density at all nodes for a block of locations, and its sum over them.
INLINE void spread(const Layout *of, const Arm *arm, const double *location, double *total, int whole) {
  double exponent = arm->exponent, per_square = arm->per_square, linear = arm->linear, quadratic = arm->quadratic;
  Vector at[VECTORS], sum[VECTORS];
  for (int v = 0; v < VECTORS; v++) {
    at[v] = load(location + v * LANES);
    sum[v] = all(0);
  }
  for (int64_t g = 0; g < of->nodes; g++) {
    for (int v = 0; v < VECTORS; v++) {
      Vector gap = of->node[g] - at[v];
      Vector near = 1 / (1 + per_square * gap * gap);
      Vector excess = near * (linear - quadratic * near);
      Vector density = power(near, exponent, whole) * (1 + excess * (0.5 * excess - 1));
      store(of->at_nodes + g * BLOCK + v * LANES, density);
      sum[v] += density;
    }
  }
  for (int v = 0; v < VECTORS; v++) store(total + v * LANES, sum[v]);
}

// Sums of some cells' masses times the density over the nodes from start to before stop; cells: a constant.
INLINE void add_cells(
    const Layout *of, const Arm *arm, int64_t first, int cells, int64_t start, int64_t stop, double *sums) {
  const double *mass[TILE];
  Vector sum[TILE][VECTORS];
  for (int c = 0; c < cells; c++) {
    mass[c] = arm->mass + arm->order[first + c] * of->nodes;
    for (int v = 0; v < VECTORS; v++) sum[c][v] = all(0);
  }
  for (int64_t g = start; g < stop; g++) {
    Vector density[VECTORS];
    for (int v = 0; v < VECTORS; v++) density[v] = load(of->at_nodes + g * BLOCK + v * LANES);
    for (int c = 0; c < cells; c++)
      for (int v = 0; v < VECTORS; v++) sum[c][v] += mass[c][g] * density[v];
  }
  for (int c = 0; c < cells; c++)
    for (int v = 0; v < VECTORS; v++) store(sums + (first + c) * BLOCK + v * LANES, sum[c][v]);
}

// Sums of masses times density for all cells of an arm that are uneven.
static void add_up(const Layout *of, const Arm *arm, double *sums) {
  int64_t first = 0;
  for (; first + TILE <= arm->uneven; first += TILE) {
    int64_t start = arm->start[arm->order[first]], stop = 0;
    for (int c = 0; c < TILE; c++) {
      int64_t end = arm->stop[arm->order[first + c]];
      stop = end > stop ? end : stop;
    }
    add_cells(of, arm, first, TILE, start, stop, sums);
  }
  for (; first < arm->uneven; first++)
    add_cells(of, arm, first, 1, arm->start[arm->order[first]], arm->stop[arm->order[first]], sums);
}

// Logarithms of n numbers, which count as LEAST_SUM from now on if they are below. NaN stays.
static void take_logs(int64_t n, double *restrict number, double *restrict result) {
  VECTOR
  for (int64_t k = 0; k < n; k++) {
    double some = number[k] < LEAST_SUM ? LEAST_SUM : number[k];
    number[k] = some;
    result[k] = fast_log(some);
  }
}

// The output at a block of locations, `width` of them, from logarithms of sums and of the density's total.
static void put_results(
    const Layout *of, const Arm *arm, const double *total, const double *log_total, int64_t width, double *result) {
  for (int64_t k = 0; k < of->cells; k++) {
    double *row = result + arm->order[k] * of->locations;
    const double *logs = of->of_cells + k * BLOCK;
    if (k < arm->uneven)
      for (int64_t lane = 0; lane < width; lane++) row[lane] = logs[lane] - log_total[lane];
    else
      // NaN of a location or scale is NaN here, too. (A product with 0 would not do: gcc takes it for 0 in vectors.)
      for (int64_t lane = 0; lane < width; lane++) row[lane] = total[lane] != total[lane] ? total[lane] : of->even[k];
  }
}

static int64_t width_of(const Layout *of, int64_t block) {
  int64_t rest = of->locations - block * BLOCK;
  return rest < BLOCK ? rest : BLOCK;
}

FORWARD(log_expected_mass) {
  Layout of = layout_of(it, at);
  for (int64_t a = 0; a < of.arms; a++) {
    Arm arm = arm_of(&of, a, INPUT(2)[a], INPUT(3), it->real[0]);
    for (int64_t k = arm.uneven; k < of.cells; k++) of.even[k] = log(arm.mass[arm.order[k] * of.nodes]);
    for (int64_t block = 0; block < of.blocks; block++) {
      double *sums = of.sums + (a * of.blocks + block) * of.cells * BLOCK;
      double *total = of.totals + (a * of.blocks + block) * BLOCK;
      double location[BLOCK], log_total[BLOCK];
      clip(&of, INPUT(1) + a * of.locations, block * BLOCK, location);
      if (arm.exponent == USUAL_EXPONENT)
        spread(&of, &arm, location, total, USUAL_EXPONENT);
      else
        spread(&of, &arm, location, total, 0);
      add_up(&of, &arm, sums);
      take_logs(BLOCK, total, log_total);
      take_logs(arm.uneven * BLOCK, sums, of.of_cells);
      double *result = OUTPUT + a * of.cells * of.locations + block * BLOCK;
      put_results(&of, &arm, total, log_total, width_of(&of, block), result);
    }
  }
}

// Derivatives by sums and by the density's total, from those by `width` outputs per cell. A sum that counted as
// LEAST_SUM does not move.
static void of_sums(
    const Layout *of, const Arm *arm, const double *slope, int64_t width, const double *restrict sums,
    const double *restrict total, double *restrict of_total) {
  double *restrict row = of->of_cells;
  memset(row, 0, (size_t)(arm->uneven * BLOCK) * sizeof *row);
  memset(of_total, 0, BLOCK * sizeof *of_total);
  for (int64_t k = 0; k < arm->uneven; k++) {
    memcpy(row + k * BLOCK, slope + arm->order[k] * of->locations, (size_t)width * sizeof *row);
    for (int64_t lane = 0; lane < BLOCK; lane++) of_total[lane] -= row[k * BLOCK + lane];
  }
  VECTOR
  for (int64_t k = 0; k < arm->uneven * BLOCK; k++) row[k] = sums[k] == LEAST_SUM ? 0 : row[k] / sums[k];
  VECTOR
  for (int64_t lane = 0; lane < BLOCK; lane++)
    of_total[lane] = total[lane] == LEAST_SUM ? 0 : of_total[lane] / total[lane];
}

// Derivatives by the density at some nodes: through its total, and by masses through sums of the cells from lower to
// before upper, by order; nodes: a constant.
INLINE void add_nodes(
    const Layout *of, const Arm *arm, const double *of_total, int64_t first, int nodes, int64_t lower, int64_t upper) {
  Vector sum[TILE][VECTORS];
  for (int n = 0; n < nodes; n++)
    for (int v = 0; v < VECTORS; v++) sum[n][v] = load(of_total + v * LANES);
  for (int64_t k = lower; k < upper; k++) {
    const double *mass = arm->mass + arm->order[k] * of->nodes + first;
    Vector slope[VECTORS];
    for (int v = 0; v < VECTORS; v++) slope[v] = load(of->of_cells + k * BLOCK + v * LANES);
    for (int n = 0; n < nodes; n++)
      for (int v = 0; v < VECTORS; v++) sum[n][v] += mass[n] * slope[v];
  }
  for (int n = 0; n < nodes; n++)
    for (int v = 0; v < VECTORS; v++) store(of->at_nodes + (first + n) * BLOCK + v * LANES, sum[n][v]);
}

// Derivatives by the density at all nodes.
static void of_density(const Layout *of, const Arm *arm, const double *of_total) {
  int64_t lower = 0, upper = 0, nodes = TILE;
  for (int64_t g = 0; g < of->nodes; g += nodes) {
    if (g + TILE > of->nodes) nodes = 1;
    // Cells between these may have mass at the nodes, no others have.
    while (lower < arm->uneven && arm->stop[arm->order[lower]] <= g) lower++;
    while (upper < arm->uneven && arm->start[arm->order[upper]] < g + nodes) upper++;
    if (nodes == TILE)
      add_nodes(of, arm, of_total, g, TILE, lower, upper);
    else
      add_nodes(of, arm, of_total, g, 1, lower, upper);
  }
}

// Derivatives by locations and scale, through the density at all nodes.
INLINE void of_law(
    const Layout *of, const Arm *arm, const double *location, double *of_location, double *of_scale, int whole) {
  double exponent = arm->exponent, per_square = arm->per_square, linear = arm->linear, quadratic = arm->quadratic;
  double half = exponent / 2, twice = 2 * quadratic;
  Vector at[VECTORS], through_gap[VECTORS], through_near = all(0), through_bend = all(0);
  for (int v = 0; v < VECTORS; v++) {
    at[v] = load(location + v * LANES);
    through_gap[v] = all(0);
  }
  for (int64_t g = 0; g < of->nodes; g++) {
    for (int v = 0; v < VECTORS; v++) {
      Vector gap = of->node[g] - at[v];
      Vector far = per_square * gap * gap;
      Vector near = 1 / (1 + far);
      Vector excess = near * (linear - quadratic * near);
      // By near the density's derivative is near^(exponent - 1) times this.
      Vector by_near = exponent + excess * (half * excess - exponent) +
                       (near * excess - near) * (linear - twice * near);
      Vector weight = load(of->at_nodes + g * BLOCK + v * LANES) * power(near, exponent, whole);
      Vector slope = weight * near * by_near;
      through_gap[v] += slope * gap;
      through_near += slope * far;
      through_bend += weight * (excess - excess * excess);
    }
  }
  for (int v = 0; v < VECTORS; v++) store(of_location + v * LANES, 2 * per_square * through_gap[v]);
  *of_scale += 2 * sum_of(through_near) / arm->scale + 2 * sum_of(through_bend) * arm->scale / arm->square;
}

// Adds derivatives by masses: those by sums times the density.
static void of_mass(const Layout *of, const Arm *arm, double *slope) {
  for (int64_t k = 0; k < arm->uneven; k++) {
    for (int64_t g = 0; g < of->nodes; g++) {
      Vector sum = all(0);
      for (int v = 0; v < VECTORS; v++)
        sum += load(of->of_cells + k * BLOCK + v * LANES) * load(of->at_nodes + g * BLOCK + v * LANES);
      slope[arm->order[k] * of->nodes + g] += sum_of(sum);
    }
  }
}

REVERSE(log_expected_mass) {
  Layout of = layout_of(it, at);
  for (int64_t a = 0; a < of.arms; a++) {
    Arm arm = arm_of(&of, a, INPUT(2)[a], INPUT(3), it->real[0]);
    double of_scale = 0;
    for (int64_t block = 0; block < of.blocks; block++) {
      const double *sums = of.sums + (a * of.blocks + block) * of.cells * BLOCK;
      const double *total = of.totals + (a * of.blocks + block) * BLOCK;
      const double *slope = OF_OUTPUT + a * of.cells * of.locations + block * BLOCK;
      int64_t first = a * of.locations + block * BLOCK, width = width_of(&of, block);
      double location[BLOCK], of_total[BLOCK], of_location[BLOCK];
      clip(&of, INPUT(1) + a * of.locations, block * BLOCK, location);
      of_sums(&of, &arm, slope, width, sums, total, of_total);
      of_density(&of, &arm, of_total);
      if (arm.exponent == USUAL_EXPONENT)
        of_law(&of, &arm, location, of_location, &of_scale, USUAL_EXPONENT);
      else
        of_law(&of, &arm, location, of_location, &of_scale, 0);
      for (int64_t lane = 0; needs(it, 1) && lane < width; lane++) {
        double given = INPUT(1)[first + lane];
        bool moved = given < location[lane] || given > location[lane];
        if (!moved) OF_INPUT(1)[first + lane] += of_location[lane];
      }
      if (needs(it, 3)) {
        spread(&of, &arm, location, of_total, 0);
        of_mass(&of, &arm, OF_INPUT(3) + a * of.cells * of.nodes);
      }
    }
    if (needs(it, 2)) OF_INPUT(2)[a] += of_scale;
  }
}
