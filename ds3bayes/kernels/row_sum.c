// Rows of tables, one per task and arm, summed over groups of arms.
//
// Inputs: table (A, C, J), and of whole numbers cell (U, A), group (A,), -1 for none, and order (A, U), the tasks by
// their cell of an arm. Output (U, P, J): sum over the arms of a group of table[a, cell[u, a], j]. Sizes: A, C, J, U, P.
//
// What is added up stays in registers: in the forward pass a task's sums over arms that follow one another in a group,
// in the reverse pass the derivatives by a row over the tasks that have it.
#include "machine.h"
#include "vectors.h"

typedef struct {
  int64_t arms, cells, nodes, tasks, groups;
  const int64_t *cell, *group, *order;
} Layout;

static Layout layout_of(const Instruction *it, Memory at) {
  Layout of = {
      .arms = it->size[0], .cells = it->size[1], .nodes = it->size[2], .tasks = it->size[3], .groups = it->size[4]};
  of.cell = WHOLE;
  of.group = of.cell + of.tasks * of.arms;
  of.order = of.group + of.arms;
  return of;
}

// Where the row of a task's cell of an arm starts in the table, and the sum that it is part of in the output.
static int64_t row_of(const Layout *of, int64_t task, int64_t arm) {
  return (arm * of->cells + of->cell[task * of->arms + arm]) * of->nodes;
}

static int64_t sum_of_arm(const Layout *of, int64_t task, int64_t arm) {
  return (task * of->groups + of->group[arm]) * of->nodes;
}

// Columns that a block of vectors covers: the last vector ends with the block, and may overlap the one before.
enum { MOST_VECTORS = 12, COLUMNS = MOST_VECTORS * LANES };

INLINE int64_t place_of(int vector, int64_t columns) {
  int64_t place = vector * LANES;
  return place + LANES <= columns ? place : columns - LANES;
}

// Sums of a block of columns over a task's arms; vectors: a constant.
INLINE void add_arms(
    const Layout *of, const double *table, int64_t task, int64_t first, int64_t columns, int vectors, double *result) {
  for (int64_t arm = 0; arm < of->arms;) {
    int64_t group = of->group[arm];
    if (group < 0) {
      arm++;
      continue;
    }
    double *sums = result + sum_of_arm(of, task, arm) + first;
    Vector sum[MOST_VECTORS];
    for (int v = 0; v < vectors; v++) sum[v] = load(sums + place_of(v, columns));
    for (; arm < of->arms && of->group[arm] == group; arm++) {
      const double *row = table + row_of(of, task, arm) + first;
      for (int v = 0; v < vectors; v++) sum[v] += load(row + place_of(v, columns));
    }
    for (int v = 0; v < vectors; v++) store(sums + place_of(v, columns), sum[v]);
  }
}

// Adds a block of columns of tasks' sums to the rows that they have of an arm; vectors: a constant.
INLINE void add_tasks(
    const Layout *of, const double *sums, int64_t arm, int64_t first, int64_t columns, int vectors, double *table) {
  const int64_t *order = of->order + arm * of->tasks;
  for (int64_t k = 0; k < of->tasks;) {
    int64_t start = row_of(of, order[k], arm);
    Vector sum[MOST_VECTORS];
    for (int v = 0; v < vectors; v++) sum[v] = load(table + start + first + place_of(v, columns));
    for (; k < of->tasks && row_of(of, order[k], arm) == start; k++) {
      const double *row = sums + sum_of_arm(of, order[k], arm) + first;
      for (int v = 0; v < vectors; v++) sum[v] += load(row + place_of(v, columns));
    }
    for (int v = 0; v < vectors; v++) store(table + start + first + place_of(v, columns), sum[v]);
  }
}

// Calls a function with the constant number of vectors that columns take.
#define WITH_VECTORS(call)        \
  switch ((columns + LANES - 1) / LANES) { \
    case 1: call(1); break;       \
    case 2: call(2); break;       \
    case 3: call(3); break;       \
    case 4: call(4); break;       \
    case 5: call(5); break;       \
    case 6: call(6); break;       \
    case 7: call(7); break;       \
    case 8: call(8); break;       \
    case 9: call(9); break;       \
    case 10: call(10); break;     \
    case 11: call(11); break;     \
    default: call(12);            \
  }

static int64_t columns_from(const Layout *of, int64_t first) {
  int64_t rest = of->nodes - first;
  return rest < COLUMNS ? rest : COLUMNS;
}

FORWARD(sum_of_rows) {
  Layout of = layout_of(it, at);
  memset(OUTPUT, 0, (size_t)(of.tasks * of.groups * of.nodes) * sizeof(double));
  for (int64_t first = 0; first < of.nodes; first += COLUMNS) {
    int64_t columns = columns_from(&of, first);
    for (int64_t task = 0; task < of.tasks; task++) {
      if (columns < LANES) {
        for (int64_t arm = 0; arm < of.arms; arm++)
          if (of.group[arm] >= 0)
            add_to(columns, INPUT(0) + row_of(&of, task, arm) + first, OUTPUT + sum_of_arm(&of, task, arm) + first);
        continue;
      }
#define SUMS(vectors) add_arms(&of, INPUT(0), task, first, columns, vectors, OUTPUT)
      WITH_VECTORS(SUMS)
    }
  }
}

// An arm at a time, so that its rows stay in the nearest cache.
REVERSE(sum_of_rows) {
  Layout of = layout_of(it, at);
  for (int64_t arm = 0; arm < of.arms; arm++) {
    if (of.group[arm] < 0) continue;
    for (int64_t first = 0; first < of.nodes; first += COLUMNS) {
      int64_t columns = columns_from(&of, first);
      if (columns < LANES) {
        for (int64_t task = 0; task < of.tasks; task++)
          add_to(columns, OF_OUTPUT + sum_of_arm(&of, task, arm) + first, OF_INPUT(0) + row_of(&of, task, arm) + first);
        continue;
      }
#define ROWS(vectors) add_tasks(&of, OF_OUTPUT, arm, first, columns, vectors, OF_INPUT(0))
      WITH_VECTORS(ROWS)
    }
  }
}
