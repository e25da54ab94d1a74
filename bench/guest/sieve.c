/* The sieve of Eratosthenes: strided byte stores. A unit is one sieve of `size` numbers. */
#include "integer.h"

uint64_t sieve_run(size_t size, uint64_t units) {
  uint8_t *composite = allocate(size);
  uint64_t sum = 0;
  for (uint64_t unit = 0; unit < units; unit++) {
    memset(composite, 0, size);
    for (size_t p = 2; p * p < size; p++) {
      if (composite[p]) continue;
      for (size_t multiple = p * p; multiple < size; multiple += p) composite[multiple] = 1;
    }
    uint64_t primes = 0;
    for (size_t n = 2; n < size; n++) primes += !composite[n];
    sum = mix(sum, primes);
  }
  free(composite);
  return sum;
}
