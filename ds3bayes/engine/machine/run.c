// The machine: runs a tape at a point, forward for values and in reverse for derivatives.
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"

#define INSTRUCTION(name) FORWARD(name); REVERSE(name);
#include "instructions.h"
#undef INSTRUCTION

typedef struct {
  const char *name;
  Pass forward, reverse;
} Entry;

static const Entry entries[] = {
#define INSTRUCTION(name) {#name, forward_##name, reverse_##name},
#include "instructions.h"
#undef INSTRUCTION
};

enum { ENTRIES = sizeof entries / sizeof *entries, MOST_ROOMS = 64 };

// What a tape is made of; Python holds all arrays that it points to.
typedef struct {
  int64_t instructions;
  const Instruction *instruction;
  int64_t values;            // doubles of a room: constants, point, what instructions write
  int64_t constants;         // how many of these are constants, from the start
  const double *constant;
  const int64_t *whole;
  int64_t point, dim;        // where the point starts, and its length
  int64_t result;            // the value that is derived, -1 for none
  int64_t outputs;
  const int64_t *output;     // where each number of the outputs stands
} Description;

// A tape with the rooms that threads run it in: each takes a free one, or makes one, and puts it back.
typedef struct {
  Description of;
  _Atomic(double *) rooms[MOST_ROOMS];
} Tape;

const char *machine_instruction(int64_t code) { return code >= 0 && code < ENTRIES ? entries[code].name : NULL; }

int64_t machine_instruction_size(void) { return sizeof(Instruction); }

// A tape, or NULL if an instruction is unknown or there is no memory.
Tape *machine_open(const Description *description) {
  for (int64_t i = 0; i < description->instructions; i++) {
    int64_t code = description->instruction[i].code;
    if (code < 0 || code >= ENTRIES) return NULL;
  }
  Tape *tape = calloc(1, sizeof *tape);
  if (tape) tape->of = *description;
  return tape;
}

void machine_close(Tape *tape) {
  if (!tape) return;
  for (int i = 0; i < MOST_ROOMS; i++) free(tape->rooms[i]);
  free(tape);
}

// Values, then slopes. A new room is zero but for its constants, so that nothing is ever read unset.
static double *take_room(Tape *tape) {
  for (int i = 0; i < MOST_ROOMS; i++) {
    double *room = atomic_exchange(&tape->rooms[i], NULL);
    if (room) return room;
  }
  size_t bytes = (size_t)(tape->of.values * 2 + 16) * sizeof(double);
  double *room = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!room) return NULL;
  memset(room, 0, bytes);
  memcpy(room, tape->of.constant, (size_t)tape->of.constants * sizeof(double));
  return room;
}

static void return_room(Tape *tape, double *room) {
  for (int i = 0; i < MOST_ROOMS; i++) {
    double *none = NULL;
    if (atomic_compare_exchange_strong(&tape->rooms[i], &none, room)) return;
  }
  free(room);
}

static void forward(const Description *of, Memory at) {
  for (int64_t i = 0; i < of->instructions; i++) {
    const Instruction *it = of->instruction + i;
    entries[it->code].forward(it, at);
  }
}

static void reverse(const Description *of, Memory at) {
  for (int64_t i = of->instructions - 1; i >= 0; i--) {
    const Instruction *it = of->instruction + i;
    if (it->needs) entries[it->code].reverse(it, at);
  }
}

static Memory memory_of(const Description *of, double *room) {
  return (Memory){.value = room, .slope = room + of->values, .whole = of->whole};
}

// Value and gradient at a point. 0, or what samplers take for a step too far: 3 if a slope is not finite, 4 if the value
// is not; below 0 what must not happen.
int64_t machine_log_density(uint64_t dim, const double *point, double *slopes, double *value, void *user) {
  Tape *tape = user;
  const Description *of = &tape->of;
  if ((int64_t)dim != of->dim || of->result < 0) return -1;
  double *room = take_room(tape);
  if (!room) return -2;
  Memory at = memory_of(of, room);
  memcpy(at.value + of->point, point, dim * sizeof(double));
  forward(of, at);
  *value = at.value[of->result];
  memset(at.slope + of->constants, 0, (size_t)(of->values - of->constants) * sizeof(double));
  at.slope[of->result] = 1;
  reverse(of, at);
  memcpy(slopes, at.slope + of->point, dim * sizeof(double));
  return_room(tape, room);
  for (uint64_t i = 0; i < dim; i++)
    if (!isfinite(slopes[i])) return 3;
  return isfinite(*value) ? 0 : 4;
}

// All outputs at a point, one after the other.
int64_t machine_expand(uint64_t dim, uint64_t length, const double *point, double *out, void *user) {
  Tape *tape = user;
  const Description *of = &tape->of;
  if ((int64_t)dim != of->dim || (int64_t)length != of->outputs) return -1;
  double *room = take_room(tape);
  if (!room) return -2;
  Memory at = memory_of(of, room);
  memcpy(at.value + of->point, point, dim * sizeof(double));
  forward(of, at);
  for (int64_t i = 0; i < of->outputs; i++) out[i] = at.value[of->output[i]];
  return_room(tape, room);
  return 0;
}

// All outputs at many points: (points, dim) to (points, outputs).
int64_t machine_evaluate(Tape *tape, int64_t points, const double *point, double *out) {
  const Description *of = &tape->of;
  for (int64_t i = 0; i < points; i++) {
    int64_t fault = machine_expand((uint64_t)of->dim, (uint64_t)of->outputs, point + i * of->dim,
                                   out + i * of->outputs, tape);
    if (fault) return fault;
  }
  return 0;
}

static double seconds(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Seconds that each instruction takes at a point, forward and in reverse, (instructions, 2), over some repeats.
int64_t machine_profile(Tape *tape, const double *point, int64_t repeats, double *spent) {
  const Description *of = &tape->of;
  double *room = take_room(tape);
  if (!room) return -2;
  Memory at = memory_of(of, room);
  memcpy(at.value + of->point, point, (size_t)of->dim * sizeof(double));
  forward(of, at);
  memset(at.slope, 0, (size_t)of->values * sizeof(double));
  for (int64_t i = 0; i < of->instructions; i++) {
    const Instruction *it = of->instruction + i;
    double start = seconds();
    for (int64_t k = 0; k < repeats; k++) entries[it->code].forward(it, at);
    double between = seconds();
    if (it->needs)
      for (int64_t k = 0; k < repeats; k++) entries[it->code].reverse(it, at);
    spent[2 * i] = (between - start) / (double)repeats;
    spent[2 * i + 1] = (seconds() - between) / (double)repeats;
  }
  return_room(tape, room);
  return 0;
}
