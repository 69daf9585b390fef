// Rows of tables, one per task and arm, summed over groups of arms.
//
// Inputs: table (A, C, J), and of whole numbers cell (U, A) and group (A,), -1 for none. Output (U, P, J): sum over the
// arms of a group of table[a, cell[u, a], j]. Sizes: A, C, J, U, P.
#include "machine.h"
#include "vectors.h"

typedef struct {
  int64_t arms, cells, nodes, tasks, groups;
  const int64_t *cell, *group;
} Layout;

static Layout layout_of(const Instruction *it, Memory at) {
  Layout of = {
      .arms = it->size[0], .cells = it->size[1], .nodes = it->size[2], .tasks = it->size[3], .groups = it->size[4]};
  of.cell = WHOLE;
  of.group = of.cell + of.tasks * of.arms;
  return of;
}

// Where the row of a task's cell of an arm starts in the table, and the sum that it is part of in the output.
static int64_t row_of(const Layout *of, int64_t task, int64_t arm) {
  return (arm * of->cells + of->cell[task * of->arms + arm]) * of->nodes;
}

static int64_t sum_of_arm(const Layout *of, int64_t task, int64_t arm) {
  return (task * of->groups + of->group[arm]) * of->nodes;
}

FORWARD(sum_of_rows) {
  Layout of = layout_of(it, at);
  for (int64_t task = 0; task < of.tasks; task++) {
    memset(OUTPUT + task * of.groups * of.nodes, 0, (size_t)(of.groups * of.nodes) * sizeof(double));
    for (int64_t arm = 0; arm < of.arms; arm++)
      if (of.group[arm] >= 0)
        add_to(of.nodes, INPUT(0) + row_of(&of, task, arm), OUTPUT + sum_of_arm(&of, task, arm));
  }
}

REVERSE(sum_of_rows) {
  Layout of = layout_of(it, at);
  for (int64_t task = 0; task < of.tasks; task++)
    for (int64_t arm = 0; arm < of.arms; arm++)
      if (of.group[arm] >= 0)
        add_to(of.nodes, OF_OUTPUT + sum_of_arm(&of, task, arm), OF_INPUT(0) + row_of(&of, task, arm));
}
