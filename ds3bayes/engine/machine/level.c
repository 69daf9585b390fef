// Which instructions the processor has, and which ones this library was compiled for.
//
// The levels are those of the x86-64 psABI: 0 is x86-64, 1 is x86-64-v3 (AVX2), 2 is x86-64-v4 (AVX-512); always 0 on
// another processor. The processor is asked directly: `__builtin_cpu_supports` does not link with some releases of
// `zig cc` and says no to everything with others.

int machine_level(void);
int machine_built_level(void);

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdbool.h>

// The registers that an operating system can save, by their bits in the register XCR0.
enum { SAVES_AVX = 0x06, SAVES_AVX512 = 0xE6 };

static bool has_all(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

// Which registers the operating system saves when it switches threads; only to be asked where OSXSAVE is set.
static unsigned saved_registers(void) {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// The highest level that both the processor and the operating system support.
int machine_level(void) {
  const unsigned base_v3 = bit_SSE3 | bit_SSSE3 | bit_FMA | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 | bit_MOVBE |
                           bit_POPCNT | bit_OSXSAVE | bit_AVX | bit_F16C;
  const unsigned extended_v3 = bit_LAHF_LM | bit_LZCNT;
  const unsigned structured_v3 = bit_BMI | bit_AVX2 | bit_BMI2;
  const unsigned structured_v4 = bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL;
  unsigned eax, ebx, ecx, edx;

  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has_all(ecx, base_v3)) return 0;
  unsigned saved = saved_registers();
  if (!has_all(saved, SAVES_AVX)) return 0;
  if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) || !has_all(ecx, extended_v3)) return 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !has_all(ebx, structured_v3)) return 0;
  return has_all(ebx, structured_v4) && has_all(saved, SAVES_AVX512) ? 2 : 1;
}

#else

int machine_level(void) { return 0; }

#endif

// The level that the compiler was told to use.
int machine_built_level(void) {
#if defined(__AVX512VL__)
  return 2;
#elif defined(__AVX2__)
  return 1;
#else
  return 0;
#endif
}
