// Tables of cells looked up at the locations of arms and summed over groups of arms.
//
// Inputs: table (A, C, L), its first place with the places per unit (2,), location (A, J), and of whole numbers cell
// (U, A) and group (A,), -1 for none. Output (U, P, J): the sum over a group's arms of table[a, cell[u, a]] at
// location[a, j], cubic between places, flat beyond. Sizes: A, C, L, J, U, P.
//
// Tables are laid out again with the cells of a place side by side, so that a location reads four rows of them.
#include "cubic.h"
#include "machine.h"
#include "vectors.h"

// Locations at a time, and what the number of cells is rounded up to, a multiple of LANES.
enum { BLOCK = 64, ROUND = 8, NEIGHBOURS = 4 };

typedef struct {
  int64_t arms, cells, places, locations, tasks, groups, width;
  const int64_t *cell, *group;
  double *rows;     // (A, L + 2, width), tables with the first and the last place again at their ends; kept for reverse
  double *of_rows;  // the same of derivatives
  double *by_cell;  // (width, BLOCK), cells at locations, or derivatives by these
} Layout;

static Layout layout_of(const Instruction *it, Memory at) {
  Layout of = {.arms = it->size[0], .cells = it->size[1], .places = it->size[2], .locations = it->size[3]};
  of.tasks = it->size[4];
  of.groups = it->size[5];
  of.width = (of.cells + ROUND - 1) / ROUND * ROUND;
  of.cell = WHOLE;
  of.group = of.cell + of.tasks * of.arms;
  int64_t size = of.arms * (of.places + 2) * of.width;
  of.rows = aligned(SCRATCH);
  of.of_rows = of.rows + size;
  of.by_cell = of.of_rows + size;
  return of;
}

// Where an arm's rows start.
static double *rows_of(const Layout *of, double *rows, int64_t arm) {
  return rows + arm * (of->places + 2) * of->width;
}

// Rows of an arm's table.
static void lay_out(const Layout *of, const double *restrict table, double *restrict rows) {
  for (int64_t place = 0; place < of->places + 2; place++) {
    int64_t from = place == 0 ? 0 : place > of->places ? of->places - 1 : place - 1;
    for (int64_t c = 0; c < of->width; c++)
      rows[place * of->width + c] = c < of->cells ? table[c * of->places + from] : 0;
  }
}

// Adds derivatives by rows to those by an arm's table.
static void add_back(const Layout *of, const double *restrict rows, double *restrict table) {
  for (int64_t place = 0; place < of->places + 2; place++) {
    int64_t to = place == 0 ? 0 : place > of->places ? of->places - 1 : place - 1;
    for (int64_t c = 0; c < of->cells; c++) table[c * of->places + to] += rows[place * of->width + c];
  }
}

// Where a block's locations stand: the first of four rows, their weights, and derivatives of these.
typedef struct {
  int32_t row[BLOCK];
  double weight[NEIGHBOURS][BLOCK], slope[NEIGHBOURS][BLOCK];
} Places;

// Places of n locations; derivatives: a constant, whether those are wanted.
INLINE void find(
    const Layout *of, const double *scale, const double *restrict location, int64_t n, bool derivatives,
    Places *restrict to) {
  double share[BLOCK], moves[BLOCK], weight[NEIGHBOURS], slope[NEIGHBOURS];
  VECTOR for (int64_t j = 0; j < n; j++) {
    double position = within_nodes((location[j] - scale[0]) * scale[1], of->places);
    int32_t below = node_below(position, of->places);
    to->row[j] = below;
    share[j] = position - below;
    moves[j] = moves_within(position, of->places, scale[1]);
  }
  VECTOR for (int64_t j = 0; j < n; j++) {
    cubic_weights(share[j], weight);
    for (int k = 0; k < NEIGHBOURS; k++) to->weight[k][j] = weight[k];
  }
  if (!derivatives) return;
  VECTOR for (int64_t j = 0; j < n; j++) {
    cubic_slopes(share[j], slope);
    for (int k = 0; k < NEIGHBOURS; k++) to->slope[k][j] = slope[k] * moves[j];
  }
}

// All cells of an arm at n locations.
static void look_up(const Layout *of, const double *rows, const Places *places, int64_t n) {
  int64_t width = of->width;
  for (int64_t j = 0; j < n; j++)
    for (int64_t c = 0; c < width; c += LANES) {
      const double *from = rows + places->row[j] * width + c;
      Vector sum = all(0);
      for (int k = 0; k < NEIGHBOURS; k++) sum += places->weight[k][j] * load(from + k * width);
      for (int lane = 0; lane < LANES; lane++) of->by_cell[(c + lane) * BLOCK + j] = sum[lane];
    }
}

FORWARD(sum_of_cells) {
  Layout of = layout_of(it, at);
  memset(OUTPUT, 0, (size_t)it->output_size * sizeof(double));
  for (int64_t arm = 0; arm < of.arms; arm++)
    lay_out(&of, INPUT(0) + arm * of.cells * of.places, rows_of(&of, of.rows, arm));
  for (int64_t first = 0; first < of.locations; first += BLOCK) {
    int64_t n = of.locations - first < BLOCK ? of.locations - first : BLOCK;
    for (int64_t arm = 0; arm < of.arms; arm++) {
      if (of.group[arm] < 0) continue;
      Places places;
      find(&of, INPUT(1), INPUT(2) + arm * of.locations + first, n, false, &places);
      look_up(&of, rows_of(&of, of.rows, arm), &places, n);
      double *sum = OUTPUT + of.group[arm] * of.locations + first;
      for (int64_t task = 0; task < of.tasks; task++)
        add_to(n, of.by_cell + of.cell[task * of.arms + arm] * BLOCK, sum + task * of.groups * of.locations);
    }
  }
}

// Derivatives by rows, which are added to, and by n locations, from those by cells there.
static void look_back(
    const Layout *of, const double *rows, double *of_rows, const Places *places, int64_t n, double *of_location) {
  int64_t width = of->width;
  for (int64_t j = 0; j < n; j++) {
    Vector through = all(0);
    for (int64_t c = 0; c < width; c += LANES) {
      int64_t from = places->row[j] * width + c;
      Vector slope = all(0), moved = all(0);
      for (int lane = 0; lane < LANES; lane++) slope[lane] = of->by_cell[(c + lane) * BLOCK + j];
      for (int k = 0; k < NEIGHBOURS; k++) {
        double *row = of_rows + from + k * width;
        store(row, load(row) + places->weight[k][j] * slope);
        moved += places->slope[k][j] * load(rows + from + k * width);
      }
      through += moved * slope;
    }
    of_location[j] = sum_of(through);
  }
}

REVERSE(sum_of_cells) {
  Layout of = layout_of(it, at);
  memset(of.of_rows, 0, (size_t)(of.by_cell - of.of_rows) * sizeof(double));
  for (int64_t first = 0; first < of.locations; first += BLOCK) {
    int64_t n = of.locations - first < BLOCK ? of.locations - first : BLOCK;
    for (int64_t arm = 0; arm < of.arms; arm++) {
      if (of.group[arm] < 0) continue;
      Places places;
      double of_location[BLOCK];
      find(&of, INPUT(1), INPUT(2) + arm * of.locations + first, n, true, &places);
      memset(of.by_cell, 0, (size_t)(of.width * BLOCK) * sizeof(double));
      const double *of_sum = OF_OUTPUT + of.group[arm] * of.locations + first;
      for (int64_t task = 0; task < of.tasks; task++)
        add_to(n, of_sum + task * of.groups * of.locations, of.by_cell + of.cell[task * of.arms + arm] * BLOCK);
      look_back(&of, rows_of(&of, of.rows, arm), rows_of(&of, of.of_rows, arm), &places, n, of_location);
      if (needs(it, 2)) add_to(n, of_location, OF_INPUT(2) + arm * of.locations + first);
    }
  }
  for (int64_t arm = 0; needs(it, 0) && arm < of.arms; arm++)
    if (of.group[arm] >= 0)
      add_back(&of, rows_of(&of, of.of_rows, arm), OF_INPUT(0) + arm * of.cells * of.places);
}
