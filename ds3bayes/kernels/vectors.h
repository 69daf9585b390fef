// As many doubles as the processor works on at once, for loops that must keep several sums in registers.
//
// Compilers vectorise plain loops, and most should stay plain; but they write sums of a block to memory at every step.
#ifndef DS3BAYES_VECTORS_H
#define DS3BAYES_VECTORS_H

#include <stdint.h>
#include <string.h>

#include "machine.h"

#if defined(__AVX512F__)
enum { LANES = 8 };
#elif defined(__AVX__)
enum { LANES = 4 };
#else
enum { LANES = 2 };
#endif

// A GNU C extension that clang has, too: arithmetic goes number by number.
typedef double Vector __attribute__((vector_size(8 * LANES)));

// For functions of a constant, of which every caller needs its own.
#define INLINE static inline __attribute__((always_inline))

INLINE Vector load(const double *from) {
  Vector vector;
  memcpy(&vector, from, sizeof vector);
  return vector;
}

INLINE void store(double *to, Vector vector) { memcpy(to, &vector, sizeof vector); }

INLINE Vector all(double number) { return number - (Vector){0}; }

INLINE double sum_of(Vector vector) {
  double each[LANES], sum = 0;
  store(each, vector);
  for (int lane = 0; lane < LANES; lane++) sum += each[lane];
  return sum;
}

// The first place from here on where a vector does not cross a cache line: up to 7 doubles further.
static inline double *aligned(double *place) { return (double *)(((uintptr_t)place + 63) / 64 * 64); }

// Adds n numbers to others.
static inline void add_to(int64_t n, const double *restrict number, double *restrict sum) {
  VECTOR for (int64_t j = 0; j < n; j++) sum[j] += number[j];
}

#endif
