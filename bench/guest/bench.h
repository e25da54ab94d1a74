/* What every kernel of the benchmark shares: its place in the table, and a generator of repeatable numbers. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kernel {
  const char *name;
  /* Allocates and fills what the kernel works on; may be NULL. Not part of the measured time. */
  void (*prepare)(size_t size);
  /* Does `units` of work and returns a checksum of the results, which is the same on every correct processor. */
  uint64_t (*run)(size_t size, uint64_t units);
  /* Bytes of the working set or of one operation, for kernels that come in several sizes. */
  size_t size;
};

/* Each ends with a kernel without a name. */
extern const struct kernel integer_kernels[];
extern const struct kernel memory_kernels[];
extern const struct kernel float_kernels[];
extern const struct kernel system_kernels[];

/* xorshift64* (Marsaglia 2003, Vigna 2016). */
static inline uint64_t next_random(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 0x2545f4914f6cdd1dull;
}

/* Adds a value to a checksum in which order counts. */
static inline uint64_t mix(uint64_t sum, uint64_t value) {
  sum ^= value;
  sum *= 0x100000001b3ull;
  return sum ^ (sum >> 29);
}

static inline uint64_t double_bits(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Keeps the compiler from assuming what is in memory. */
#define MEMORY_BARRIER() __asm__ volatile("" ::: "memory")

_Noreturn void fail(const char *what);

/* malloc, aligned to a cache line; ends the program when there is no memory. */
void *allocate(size_t bytes);

/* Path of this program, for the kernel that starts processes. */
extern const char *own_path;

#endif
