// Success and steps of strategies at budgets, means over tasks, from tables; see prediction_grid.py.
//
// Not an instruction of the machine: called with a slice of draws, from several threads at once.
#include <math.h>
#include <stddef.h>

#include "../engine/machine/machine.h"

// A copy of the answers has strategies in groups of so many, filled up with 0: as many as vectors take at once.
enum { GROUP = 4 };

// As GridTask in prediction_grid.py, which says what the arrays are.
typedef struct {
  int64_t first, stop;  // draws to do
  int64_t tasks, lengths, nodes, budgets, points, strategies;
  int64_t one_length;   // whether all tasks of a draw have the same path length
  int64_t own_answers;  // whether each draw has answers of its own
  const double *attempt, *position, *place, *forced;
  const float *answers;
  const double *finished, *spent;
  double *success, *steps;
  double *scratch;
} GridTask;

// Scratch memory, in the order and number of scratch_size in prediction_grid.py.
typedef struct {
  double *finished, *spent;  // (nodes, budgets): tables of a draw's path length
  double *sums;              // (budgets, padded strategies)
  double *share;             // (budgets): of the way from a row of the answers to the next
  float *answers;            // (points, padded strategies)
  int32_t *row;              // (budgets): where a row of the answers starts
} Room;

static int64_t padded(int64_t strategies) { return (strategies + GROUP - 1) / GROUP * GROUP; }

static Room room_of(const GridTask *grid) {
  int64_t table = grid->one_length ? grid->nodes * grid->budgets : 0;
  Room room = {.finished = grid->scratch};
  room.spent = room.finished + table;
  room.sums = room.spent + table;
  room.share = room.sums + grid->budgets * padded(grid->strategies);
  room.answers = (float *)(room.share + grid->budgets);
  room.row = (int32_t *)(room.answers + grid->points * padded(grid->strategies));
  return room;
}

// A whole number from `least` to `most`, the one below x where that is between; `least` for NaN.
static inline int32_t whole_below(double x, int64_t least, int64_t most) {
  double inside = x > (double)least ? x : (double)least;
  return (int32_t)(inside < (double)most ? inside : (double)most);
}

// The first of the four nodes around a position.
static int64_t first_of_four(double position, int64_t nodes) { return whole_below(position - 1.0, 0, nodes - 4); }

// Weights of four nodes at 0, 1, 2, 3 for a value at x: the cubic through them.
static void cubic_through_four(double x, double weight[4]) {
  weight[0] = -(x - 1.0) * (x - 2.0) * (x - 3.0) / 6.0;
  weight[1] = x * (x - 2.0) * (x - 3.0) / 2.0;
  weight[2] = -x * (x - 1.0) * (x - 3.0) / 2.0;
  weight[3] = x * (x - 1.0) * (x - 2.0) / 6.0;
}

// A weighted sum of four arrays.
static void sum_of_four(const double *const array[4], const double weight[4], int64_t size, double *restrict result) {
  const double *restrict a = array[0], *restrict b = array[1], *restrict c = array[2], *restrict d = array[3];
  double w0 = weight[0], w1 = weight[1], w2 = weight[2], w3 = weight[3];
  VECTOR
  for (int64_t k = 0; k < size; k++) result[k] = w0 * a[k] + w1 * b[k] + w2 * c[k] + w3 * d[k];
}

// Table of a path length between those of the nodes: a polynomial through the nearest four, fewer if there are.
static void blend(const double *restrict tables, int64_t lengths, int64_t size, double place, double *restrict result) {
  int64_t count = lengths < 4 ? lengths : 4;
  int64_t first = whole_below(place - 1.0, 0, lengths - count);
  // Tables that are not there count with weight 0.
  double weight[4] = {0.0, 0.0, 0.0, 0.0};
  const double *table[4] = {tables, tables, tables, tables};
  for (int64_t i = 0; i < count; i++) {
    table[i] = tables + (first + i) * size;
    weight[i] = 1.0;
    for (int64_t j = 0; j < count; j++)
      if (j != i) weight[i] *= (place - (double)(first + j)) / (double)(i - j);
  }
  sum_of_four(table, weight, size, result);
}

// Copy answers (points, strategies) with 0 for strategies that fill up a group.
static void pad_answers(const float *restrict answers, int64_t points, int64_t strategies, float *restrict result) {
  int64_t width = padded(strategies);
  for (int64_t point = 0; point < points; point++) {
    for (int64_t s = 0; s < width; s++)
      result[point * width + s] = s < strategies ? answers[point * strategies + s] : 0.0f;
  }
}

// Add a task's steps within budgets, from a table's four rows from `table` on.
static void add_steps(const double *restrict table, const double weight[4], int64_t budgets, double *restrict steps) {
  const double *restrict b = table + budgets, *restrict c = b + budgets, *restrict d = c + budgets;
  double w0 = weight[0], w1 = weight[1], w2 = weight[2], w3 = weight[3];
  VECTOR
  for (int64_t k = 0; k < budgets; k++) steps[k] += w0 * table[k] + w1 * b[k] + w2 * c[k] + w3 * d[k];
}

// Where an attempt's success at budgets stands among the points of the answers, which are dense near 0 and 1.
static void place_success(const double *restrict table, const double weight[4], double attempt, double forced,
                          const GridTask *grid, Room room) {
  int64_t budgets = grid->budgets, points = grid->points;
  int32_t width = (int32_t)padded(grid->strategies);
  const double *restrict b = table + budgets, *restrict c = b + budgets, *restrict d = c + budgets;
  double w0 = weight[0], w1 = weight[1], w2 = weight[2], w3 = weight[3], last = (double)(points - 1);
  double *restrict share = room.share;
  int32_t *restrict row = room.row;
  VECTOR
  for (int64_t k = 0; k < budgets; k++) {
    double finished = w0 * table[k] + w1 * b[k] + w2 * c[k] + w3 * d[k];
    double success = attempt * (finished + (1.0 - finished) * forced);
    success = success < 0.0 ? 0.0 : success;
    success = success > 1.0 ? 1.0 : success;
    double failure = 1.0 - success;
    double near = sqrt(0.5 * (success < failure ? success : failure));
    double place = (success < 0.5 ? near : 1.0 - near) * last;
    int32_t below = whole_below(place, 0, points - 2);
    share[k] = place - (double)below;
    row[k] = below * width;
  }
}

// Add what strategies make of one task's attempts at budgets.
static void add_answers(int64_t budgets, int64_t width, Room room) {
  const float *restrict answers = room.answers;
  double *restrict sums = room.sums;
  for (int64_t k = 0; k < budgets; k++) {
    double share = room.share[k];
    for (int64_t group = 0; group < width; group += GROUP) {
      const float *restrict here = answers + room.row[k] + group, *restrict next = here + width;
      double *restrict sum = sums + k * width + group;
      for (int s = 0; s < GROUP; s++) sum[s] += (double)here[s] + share * (double)(next[s] - here[s]);
    }
  }
}

// Add to the sums what strategies make of attempts that never succeed.
static void add_failure(int64_t budgets, int64_t width, Room room) {
  for (int64_t k = 0; k < budgets; k++)
    for (int64_t s = 0; s < width; s++) room.sums[k * width + s] += (double)room.answers[s];
}

// Fill success (budgets, strategies) and steps (budgets) of one draw.
static void fill_draw(const GridTask *grid, int64_t draw, Room room) {
  int64_t budgets = grid->budgets, strategies = grid->strategies, width = padded(strategies);
  int64_t table = grid->nodes * budgets;
  const double *attempt = grid->attempt + draw * grid->tasks, *position = grid->position + draw * grid->tasks;
  double *success = grid->success + draw * budgets * strategies, *steps = grid->steps + draw * budgets;
  const double *finished = room.finished, *spent = room.spent;
  if (grid->one_length) {
    blend(grid->finished, grid->lengths, table, grid->place[draw], room.finished);
    blend(grid->spent, grid->lengths, table, grid->place[draw], room.spent);
  }
  for (int64_t k = 0; k < budgets; k++) steps[k] = 0.0;
  for (int64_t k = 0; k < budgets * width; k++) room.sums[k] = 0.0;
  for (int64_t task = 0; task < grid->tasks; task++) {
    if (!grid->one_length) {
      int64_t length = whole_below(grid->place[task], 0, grid->lengths - 1);
      finished = grid->finished + length * table;
      spent = grid->spent + length * table;
    }
    int64_t left = first_of_four(position[task], grid->nodes);
    double weight[4];
    cubic_through_four(position[task] - (double)left, weight);
    add_steps(spent + left * budgets, weight, budgets, steps);
    if (attempt[task] <= 0.0) {
      add_failure(budgets, width, room);
    } else {
      place_success(finished + left * budgets, weight, attempt[task], grid->forced[draw], grid, room);
      add_answers(budgets, width, room);
    }
  }
  double tasks = (double)grid->tasks;
  for (int64_t k = 0; k < budgets; k++) {
    steps[k] /= tasks;
    for (int64_t s = 0; s < strategies; s++) success[k * strategies + s] = room.sums[k * width + s] / tasks;
  }
}

// Fill success and steps of a slice of draws.
void ds3_prediction_grid(const GridTask *grid) {
  Room room = room_of(grid);
  for (int64_t draw = grid->first; draw < grid->stop; draw++) {
    if (grid->own_answers || draw == grid->first) {
      const float *answers = grid->answers + (grid->own_answers ? draw * grid->points * grid->strategies : 0);
      pad_answers(answers, grid->points, grid->strategies, room.answers);
    }
    fill_draw(grid, draw, room);
  }
}
