// What an instruction of the tape is, and what every family of instructions needs.
//
// A tape is a list of instructions on one array of doubles, the values; a second array of the same size holds the
// derivatives of the result by them. Constants come first, then the point, then what instructions write: each writes
// a place of its own, once, so that the reverse pass finds every value as the forward pass left it.
#ifndef DS3BAYES_MACHINE_H
#define DS3BAYES_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

enum { MOST_DIMS = 6, MOST_INPUTS = 10, MOST_SIZES = 12, MOST_REALS = 4 };

typedef struct {
  int64_t code;                             // which instruction, by the order of instructions.h
  int64_t inputs;                           // how many values it reads
  int64_t needs;                            // bit k: derivatives by input k are wanted; 0: skipped in the reverse pass
  int64_t dims;                             // of its loop
  int64_t shape[MOST_DIMS];                 // of its loop
  int64_t input[MOST_INPUTS];               // where each input starts, in doubles
  int64_t stride[MOST_INPUTS][MOST_DIMS];   // of each input along the loop (or its own axes), in doubles
  int64_t output;                           // where its output starts, contiguous
  int64_t output_size;                      // doubles that it writes
  int64_t output_stride[MOST_DIMS];         // of the output along the loop, where that is not the output's own shape
  int64_t scratch;                          // where doubles of its own start, kept from forward to reverse
  int64_t size[MOST_SIZES];                 // whole numbers that an instruction takes
  double real[MOST_REALS];                  // real numbers that it takes
  int64_t index;                            // where its whole numbers start in the tape's array of them
} Instruction;

// What an instruction works on.
typedef struct {
  double *restrict value;
  double *restrict slope;         // NULL in a forward pass
  const int64_t *restrict whole;  // the tape's whole numbers
} Memory;

typedef void (*Pass)(const Instruction *, Memory);

#define FORWARD(name) void forward_##name(const Instruction *it, Memory at)
#define REVERSE(name) void reverse_##name(const Instruction *it, Memory at)

static inline bool needs(const Instruction *it, int input) { return (it->needs >> input) & 1; }

// Where input k, the output, their slopes and scratch start.
#define INPUT(k) ((const double *)(at.value + it->input[k]))
#define OUTPUT (at.value + it->output)
#define RESULT ((const double *)(at.value + it->output))
#define SCRATCH (at.value + it->scratch)
#define OF_INPUT(k) (at.slope + it->input[k])
#define OF_OUTPUT ((const double *)(at.slope + it->output))
#define WHOLE (at.whole + it->index)

#if defined(__clang__)
#define VECTOR _Pragma("clang loop vectorize(enable) interleave(enable)")
#define VECTOR_SUM(...) _Pragma("clang loop vectorize(enable)")
#elif defined(__GNUC__)
#define VECTOR _Pragma("GCC ivdep")
#define PRAGMA(text) _Pragma(#text)
#define VECTOR_SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#else
#define VECTOR
#define VECTOR_SUM(...)
#endif

#endif
