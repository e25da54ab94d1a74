/* The integer kernels, each in its own file. */
#ifndef INTEGER_H
#define INTEGER_H

#include "bench.h"

void crc32_prepare(size_t size);
uint64_t crc32_run(size_t size, uint64_t units);
void sha256_prepare(size_t size);
uint64_t sha256_run(size_t size, uint64_t units);
uint64_t sieve_run(size_t size, uint64_t units);
uint64_t quicksort_run(size_t size, uint64_t units);
uint64_t fib_run(size_t size, uint64_t units);
void virtual_calls_prepare(size_t size);
uint64_t virtual_calls_run(size_t size, uint64_t units);
uint64_t bytecode_run(size_t size, uint64_t units);

#endif
