// Parts of arrays: looked up by index, and written by index into a copy that the instruction before has made.
#include <math.h>

#include "machine.h"

// Blocks of size[1] numbers of a contiguous input, at the size[0] places that the whole numbers give.
FORWARD(gather) {
  int64_t count = it->size[0], block = it->size[1];
  const double *restrict a = INPUT(0);
  double *restrict out = OUTPUT;
  if (block == 1) {
    VECTOR for (int64_t i = 0; i < count; i++) out[i] = a[WHOLE[i]];
    return;
  }
  for (int64_t i = 0; i < count; i++) {
    const double *restrict from = a + WHOLE[i];
    double *restrict to = out + i * block;
    VECTOR for (int64_t k = 0; k < block; k++) to[k] = from[k];
  }
}

REVERSE(gather) {
  int64_t count = it->size[0], block = it->size[1];
  for (int64_t i = 0; i < count; i++) {
    double *restrict to = OF_INPUT(0) + WHOLE[i];
    const double *restrict from = OF_OUTPUT + i * block;
    VECTOR for (int64_t k = 0; k < block; k++) to[k] += from[k];
  }
}

// The same at places that other inputs compute: inputs 1, 2, ... index the first axes, whose lengths are size[2], ...;
// an index out of range gives NaN. Scratch keeps the places.
FORWARD(gather_computed) {
  int64_t count = it->size[0], block = it->size[1], axes = it->inputs - 1;
  for (int64_t i = 0; i < count; i++) {
    int64_t place = 0;
    for (int64_t axis = 0; axis < axes; axis++) {
      double index = INPUT(axis + 1)[i], length = (double)it->size[2 + axis];
      if (index < 0) index += length;
      bool inside = index >= 0 && index < length;
      place = inside && place >= 0 ? place * it->size[2 + axis] + (int64_t)index : -1;
    }
    SCRATCH[i] = (double)place;
    for (int64_t k = 0; k < block; k++) OUTPUT[i * block + k] = place < 0 ? NAN : INPUT(0)[place * block + k];
  }
}

REVERSE(gather_computed) {
  int64_t count = it->size[0], block = it->size[1];
  if (!needs(it, 0)) return;
  for (int64_t i = 0; i < count; i++) {
    int64_t place = (int64_t)SCRATCH[i];
    if (place < 0) continue;
    for (int64_t k = 0; k < block; k++) OF_INPUT(0)[place * block + k] += OF_OUTPUT[i * block + k];
  }
}

// Numbers of input 0 in the place of those of the output; input 1 is what the output was copied from.
FORWARD(scatter_set) {
  for (int64_t i = 0; i < it->size[0]; i++) OUTPUT[WHOLE[i]] = INPUT(0)[i];
}

// What was overwritten moves the output no more. From the last: where a place is named twice, that one counts.
REVERSE(scatter_set) {
  double *of_output = at.slope + it->output;
  for (int64_t i = it->size[0] - 1; i >= 0; i--) {
    if (needs(it, 0)) OF_INPUT(0)[i] += of_output[WHOLE[i]];
    of_output[WHOLE[i]] = 0;
  }
}

FORWARD(scatter_add) {
  for (int64_t i = 0; i < it->size[0]; i++) OUTPUT[WHOLE[i]] += INPUT(0)[i];
}

REVERSE(scatter_add) {
  if (!needs(it, 0)) return;
  for (int64_t i = 0; i < it->size[0]; i++) OF_INPUT(0)[i] += OF_OUTPUT[WHOLE[i]];
}
