// Success of attempts that execute their task at about the level where it succeeds most; see best_level.py.
//
// Inputs come by task and then by level (D levels, last), but everything is worked on by level and then by task, so
// that all loops run over neighbouring numbers: a plane is an array (D, T) for all T tasks. The forward pass keeps the
// derivatives of each walk's success, three planes of them, so that the reverse pass need not look anything up again.
#include "../engine/machine/elementary.h"
#include "../engine/machine/machine.h"
#include "cubic.h"

// Smoothness of the choice of the level, in success; chance below which a level is out of reach; least failure of a
// step. As in best_level.py.
#define CHOICE 0.05
#define UNREACHABLE 1e-15
#define LEAST_FAILURE 1e-16

// Inputs that are real; LLM and budget of each walk are whole.
enum { TABLE, SKILLS, LOG_STEP, LOG_EDGES, LOG_COMPONENT };
// Cells of a plane whose neighbours in the table are looked up at a time.
enum { BLOCK = 64 };

// Sizes of the instruction; `cells` are those of a plane.
typedef struct {
  int64_t rows, columns, walks, llms, levels, lengths, downs, tasks, cells;
} Sizes;

// Planes in scratch memory, in the order and number of SuccessAtBestLevel.scratch.
typedef struct {
  // Of all LLMs: skills, log success of a step along edges that are there, that success, the share of the way to the
  // table's next row, and 1 where more skills move it.
  double *skills, *log_step, *step, *above, *rising;
  // Of one LLM: log success of a step and success, log chance that a skill is reachable, chance that all are, share of
  // the way to the table's next column, and columns per unit of log success.
  double *log_success, *success, *log_component, *reach, *across, *columns_per_log;
  // Of one walk: what levels achieve, and how much they count.
  double *achieved, *count;
  // Where the row of the table starts, of all LLMs, and its first neighbour, of one.
  int32_t *row, *first;
  // One number per task: 1 over the sum of how much levels count; of the reverse pass, sums over walks.
  double *over_total, *of_step, *of_skills, *of_component;
  // Of each walk, three planes: derivatives of its success by log_step, skills and log_component.
  double *kept;
} Planes;

static Sizes sizes_of(const Instruction *it) {
  const int64_t *size = it->size;
  Sizes n = {.rows = size[0], .columns = size[1], .walks = size[2], .llms = size[3], .levels = size[4]};
  n.lengths = size[5];
  n.downs = size[6];
  n.tasks = n.levels * n.lengths;
  n.cells = n.tasks * n.downs;
  return n;
}

// Take the next part of scratch memory.
static double *take(double **next, int64_t size) {
  double *result = *next;
  *next += size;
  return result;
}

static Planes planes_of(double *scratch, Sizes n) {
  Planes p;
  p.skills = take(&scratch, n.cells);
  p.log_step = take(&scratch, n.cells);
  p.step = take(&scratch, n.cells);
  p.above = take(&scratch, n.cells);
  p.rising = take(&scratch, n.cells);
  p.log_success = take(&scratch, n.cells);
  p.success = take(&scratch, n.cells);
  p.log_component = take(&scratch, n.cells);
  p.reach = take(&scratch, n.cells);
  p.across = take(&scratch, n.cells);
  p.columns_per_log = take(&scratch, n.cells);
  p.achieved = take(&scratch, n.cells);
  p.count = take(&scratch, n.cells);
  // Whole numbers, two of them in the room of one double.
  p.row = (int32_t *)take(&scratch, n.cells);
  p.first = p.row + n.cells;
  p.over_total = take(&scratch, n.tasks);
  p.of_step = take(&scratch, n.tasks);
  p.of_skills = take(&scratch, n.tasks);
  p.of_component = take(&scratch, n.tasks);
  p.kept = take(&scratch, n.walks * 3 * n.cells);
  return p;
}

// Make a plane of what comes by task.
static void by_level(const double *restrict given, Sizes n, double *restrict plane) {
  for (int64_t down = 0; down < n.downs; down++)
    for (int64_t task = 0; task < n.tasks; task++) plane[down * n.tasks + task] = given[task * n.downs + down];
}

// What all LLMs share: skills and steps, and where numbers of skills 1, 2, ... stand in the table.
static void lay_out(const double *restrict skills, const double *restrict log_step, Sizes n, Planes p) {
  by_level(skills, n, p.skills);
  by_level(log_step, n, p.log_step);
  double *restrict step = p.step, *restrict above = p.above, *restrict rising = p.rising;
  int32_t *restrict row = p.row;
  VECTOR
  for (int64_t k = 0; k < n.cells; k++) step[k] = fast_exp(p.log_step[k]);
  VECTOR
  for (int64_t k = 0; k < n.cells; k++) {
    double position = within_nodes(p.skills[k] - 1.0, n.rows);
    int32_t below = node_below(position, n.rows);
    above[k] = position - (double)below;
    rising[k] = moves_within(position, n.rows, 1.0);
    row[k] = below * (int32_t)n.columns;
  }
}

// Give cells of tasks of all lengths what one LLM has at (task's level, level of execution).
static void spread(const double *restrict log_edges, const double *restrict log_component, Sizes n, Planes p) {
  double *restrict log_success = p.log_success, *restrict success = p.success, *restrict component = p.log_component;
  for (int64_t down = 0; down < n.downs; down++) {
    for (int64_t level = 0; level < n.levels; level++) {
      int64_t first = (down * n.levels + level) * n.lengths;
      double along = log_edges[level * n.downs + down], within = log_component[level * n.downs + down];
      double there = fast_exp(along);
      VECTOR
      for (int64_t k = first; k < first + n.lengths; k++) {
        log_success[k] = p.log_step[k] + along;
        success[k] = p.step[k] * there;
        component[k] = within;
      }
    }
  }
}

// One LLM's chance that all skills are reachable, and where its logit success of a step stands in the table.
static void at_llm(const double *restrict log_edges, const double *restrict log_component, const double *restrict scale,
                   Sizes n, Planes p) {
  spread(log_edges, log_component, n, p);
  double *restrict reach = p.reach, *restrict across = p.across, *restrict columns_per_log = p.columns_per_log;
  int32_t *restrict first = p.first;
  int64_t nodes = n.columns - 2;
  double start = scale[0], per_unit = scale[1];
  VECTOR
  for (int64_t k = 0; k < n.cells; k++) {
    double all = fast_exp(p.skills[k] * p.log_component[k]);
    reach[k] = all < UNREACHABLE ? 0.0 : all;
  }
  VECTOR
  for (int64_t k = 0; k < n.cells; k++) {
    double failure = 1.0 - p.success[k];
    failure = failure < LEAST_FAILURE ? LEAST_FAILURE : failure;
    double logit = p.log_success[k] - fast_log(failure);
    double position = within_nodes((logit - start) * per_unit, nodes);
    int32_t below = node_below(position, nodes);
    across[k] = position - (double)below;
    columns_per_log[k] = moves_within(position, nodes, per_unit) / failure;
    first[k] = p.row[k] + below;
  }
}

// Of `count` cells: their four neighbours between two rows of the table, and how much these rise from row to row.
static void look_up(const double *restrict table, int64_t columns, const int32_t *restrict first,
                    const double *restrict above, const double *restrict reach, int64_t count, double *restrict near,
                    double *restrict rise) {
  for (int64_t k = 0; k < count; k++) {
    double *restrict here = near + 4 * k, *restrict up = rise + 4 * k;
    if (reach[k] == 0.0) {
      for (int side = 0; side < 4; side++) here[side] = up[side] = 0.0;
      continue;
    }
    const double *low = table + first[k], *high = low + columns;
    double share = above[k];
    for (int side = 0; side < 4; side++) {
      double difference = high[side] - low[side];
      up[side] = difference;
      here[side] = low[side] + share * difference;
    }
  }
}

// What levels achieve with one budget's table; where wanted, derivatives of that by log success and, through the table
// alone, by skills.
static inline void achieve(const double *restrict table, Sizes n, Planes p, bool slopes, double *restrict by_step,
                           double *restrict by_skills) {
  double near[4 * BLOCK], rise[4 * BLOCK];
  for (int64_t start = 0; start < n.cells; start += BLOCK) {
    int64_t count = n.cells - start < BLOCK ? n.cells - start : BLOCK;
    const double *restrict reach = p.reach + start, *restrict across = p.across + start;
    const double *restrict columns_per_log = p.columns_per_log + start, *restrict rising = p.rising + start;
    double *restrict achieved = p.achieved + start;
    look_up(table, n.columns, p.first + start, p.above + start, reach, count, near, rise);
    VECTOR
    for (int64_t k = 0; k < count; k++) {
      const double *here = near + 4 * k, *up = rise + 4 * k;
      double w[4], s[4];
      cubic_weights(across[k], w);
      achieved[k] = reach[k] * ((w[0] * here[0] + w[1] * here[1]) + (w[2] * here[2] + w[3] * here[3]));
      if (slopes) {
        cubic_slopes(across[k], s);
        double along = (s[0] * here[0] + s[1] * here[1]) + (s[2] * here[2] + s[3] * here[3]);
        double upward = (w[0] * up[0] + w[1] * up[1]) + (w[2] * up[2] + w[3] * up[3]);
        by_step[start + k] = reach[k] * columns_per_log[k] * along;
        by_skills[start + k] = reach[k] * rising[k] * upward;
      }
    }
  }
}

// Mean of what levels achieve, by a softmax of it: levels count relative to the first.
static void choose(Sizes n, Planes p, double *restrict mean) {
  const double *restrict at_first = p.achieved;
  double *restrict first_count = p.count;
  // Turned over at the end.
  double *restrict total = p.over_total;
  VECTOR
  for (int64_t task = 0; task < n.tasks; task++) {
    first_count[task] = total[task] = 1.0;
    mean[task] = at_first[task];
  }
  for (int64_t down = 1; down < n.downs; down++) {
    const double *restrict achieved = p.achieved + down * n.tasks;
    double *restrict count = p.count + down * n.tasks;
    VECTOR
    for (int64_t task = 0; task < n.tasks; task++) {
      count[task] = fast_exp((achieved[task] - at_first[task]) * (1.0 / CHOICE));
      total[task] += count[task];
      mean[task] += count[task] * achieved[task];
    }
  }
  VECTOR
  for (int64_t task = 0; task < n.tasks; task++) {
    total[task] = 1.0 / total[task];
    mean[task] *= total[task];
  }
}

// Turn derivatives of what levels achieve into those of their mean.
static void weigh(Sizes n, Planes p, const double *restrict mean, double *restrict by_step, double *restrict by_skills,
                  double *restrict by_component) {
  const double *restrict over_total = p.over_total;
  for (int64_t down = 0; down < n.downs; down++) {
    int64_t first = down * n.tasks;
    VECTOR
    for (int64_t task = 0; task < n.tasks; task++) {
      int64_t k = first + task;
      double achieved = p.achieved[k];
      double weight = p.count[k] * over_total[task] * (1.0 + (achieved - mean[task]) * (1.0 / CHOICE));
      by_step[k] *= weight;
      by_skills[k] = weight * (by_skills[k] + achieved * p.log_component[k]);
      by_component[k] = weight * achieved * p.skills[k];
    }
  }
}

FORWARD(success_at_best_level) {
  Sizes n = sizes_of(it);
  Planes p = planes_of(SCRATCH, n);
  const int64_t *llm = WHOLE, *budget = WHOLE + n.walks;
  lay_out(INPUT(SKILLS), INPUT(LOG_STEP), n, p);
  for (int64_t m = 0; m < n.llms; m++) {
    int64_t of_llm = m * n.levels * n.downs;
    at_llm(INPUT(LOG_EDGES) + of_llm, INPUT(LOG_COMPONENT) + of_llm, it->real, n, p);
    for (int64_t walk = 0; walk < n.walks; walk++) {
      if (llm[walk] != m) continue;
      const double *table = INPUT(TABLE) + budget[walk] * n.rows * n.columns;
      double *mean = OUTPUT + walk * n.tasks;
      if (it->needs) {
        double *by_step = p.kept + walk * 3 * n.cells, *by_skills = by_step + n.cells;
        achieve(table, n, p, true, by_step, by_skills);
        choose(n, p, mean);
        weigh(n, p, mean, by_step, by_skills, by_skills + n.cells);
      } else {
        achieve(table, n, p, false, NULL, NULL);
        choose(n, p, mean);
      }
    }
  }
}

// Sum over one LLM's walks: derivatives of the result by what tasks have at one level of execution.
static void sum_walks(const double *restrict of_result, const int64_t *restrict llm, int64_t m, int64_t down, Sizes n,
                      Planes p) {
  double *restrict of_step = p.of_step, *restrict of_skills = p.of_skills, *restrict of_component = p.of_component;
  for (int64_t task = 0; task < n.tasks; task++) of_step[task] = of_skills[task] = of_component[task] = 0.0;
  for (int64_t walk = 0; walk < n.walks; walk++) {
    if (llm[walk] != m) continue;
    const double *restrict by_step = p.kept + walk * 3 * n.cells + down * n.tasks;
    const double *restrict by_skills = by_step + n.cells, *restrict by_component = by_skills + n.cells;
    const double *restrict of_walk = of_result + walk * n.tasks;
    VECTOR
    for (int64_t task = 0; task < n.tasks; task++) {
      of_step[task] += of_walk[task] * by_step[task];
      of_skills[task] += of_walk[task] * by_skills[task];
      of_component[task] += of_walk[task] * by_component[task];
    }
  }
}

// Add what tasks have at one level of execution to what comes by task.
static void add_by_task(const double *restrict from, Sizes n, int64_t down, double *restrict to) {
  for (int64_t task = 0; task < n.tasks; task++) to[task * n.downs + down] += from[task];
}

// Add sums over lengths of what tasks have at one level of execution to what comes by (task's level, that level).
static void add_by_level(const double *restrict from, Sizes n, int64_t down, double *restrict to) {
  for (int64_t level = 0; level < n.levels; level++) {
    const double *restrict of_lengths = from + level * n.lengths;
    double sum = 0.0;
    VECTOR_SUM(sum)
    for (int64_t length = 0; length < n.lengths; length++) sum += of_lengths[length];
    to[level * n.downs + down] += sum;
  }
}

REVERSE(success_at_best_level) {
  Sizes n = sizes_of(it);
  Planes p = planes_of(SCRATCH, n);
  const int64_t *llm = WHOLE;
  for (int64_t m = 0; m < n.llms; m++) {
    int64_t of_llm = m * n.levels * n.downs;
    for (int64_t down = 0; down < n.downs; down++) {
      sum_walks(OF_OUTPUT, llm, m, down, n, p);
      if (needs(it, SKILLS)) add_by_task(p.of_skills, n, down, OF_INPUT(SKILLS));
      if (needs(it, LOG_STEP)) add_by_task(p.of_step, n, down, OF_INPUT(LOG_STEP));
      if (needs(it, LOG_EDGES)) add_by_level(p.of_step, n, down, OF_INPUT(LOG_EDGES) + of_llm);
      if (needs(it, LOG_COMPONENT)) add_by_level(p.of_component, n, down, OF_INPUT(LOG_COMPONENT) + of_llm);
    }
  }
}
