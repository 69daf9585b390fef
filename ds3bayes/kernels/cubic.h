// Cubic interpolation (Catmull-Rom) between equally spaced nodes of a table that goes on by one beyond both its ends.
#ifndef DS3BAYES_CUBIC_H
#define DS3BAYES_CUBIC_H

#include <stdint.h>

// A position among `nodes` nodes 0, 1, ...: beyond either end it counts as there. NaN stays.
static inline double within_nodes(double position, int64_t nodes) {
  double last = (double)(nodes - 1);
  return position < 0.0 ? 0.0 : position > last ? last : position;
}

// The node below a position, or at it, from the first to the last but one; the first for NaN. In a table that goes on
// by one it is where the four neighbours start.
static inline int32_t node_below(double position, int64_t nodes) {
  double last = (double)(nodes - 2);
  double inside = position > 0.0 ? position : 0.0;
  // 32 bits: every processor turns these into whole numbers in vectors, unlike 64, and floor() on some is a call.
  return (int32_t)(inside < last ? inside : last);
}

// How far a position of within_nodes moves per unit of what it was computed from: not at the ends, nor beyond.
static inline double moves_within(double position, int64_t nodes, double per_unit) {
  // One comparison: with two, loops would not run in vectors.
  return position * ((double)(nodes - 1) - position) > 0.0 ? per_unit : 0.0;
}

// Weights of the four neighbours at a share t of the way from the second to the third.
static inline void cubic_weights(double t, double weight[4]) {
  weight[0] = 0.5 * t * (-1.0 + t * (2.0 - t));
  weight[1] = 1.0 + 0.5 * t * t * (-5.0 + 3.0 * t);
  weight[2] = 0.5 * t * (1.0 + t * (4.0 - 3.0 * t));
  weight[3] = 0.5 * t * t * (t - 1.0);
}

// Derivatives of these weights by t.
static inline void cubic_slopes(double t, double slope[4]) {
  slope[0] = 0.5 * (-1.0 + t * (4.0 - 3.0 * t));
  slope[1] = 0.5 * t * (-10.0 + 9.0 * t);
  slope[2] = 0.5 * (1.0 + t * (8.0 - 9.0 * t));
  slope[3] = 0.5 * t * (3.0 * t - 2.0);
}

#endif
