/* Recursive calls and returns with hardly any work between them. A unit is fib(size). */
#include "integer.h"

/* noipa keeps the recursion from being inlined into itself or specialised for its argument. */
static __attribute__((noipa)) uint64_t fib(uint64_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

uint64_t fib_run(size_t size, uint64_t units) {
  uint64_t sum = 0;
  for (uint64_t unit = 0; unit < units; unit++) sum += fib(size + (unit & 1));
  return sum;
}
