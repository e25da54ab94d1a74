/* The table of the integer kernels. */
#include "integer.h"

const struct kernel integer_kernels[] = {
    {"crc32", crc32_prepare, crc32_run, 64 << 10},
    {"sha256", sha256_prepare, sha256_run, 16 << 10},
    {"sieve", NULL, sieve_run, 256 << 10},
    {"quicksort", NULL, quicksort_run, 16 << 10},
    {"fib", NULL, fib_run, 18},
    {"virtual-calls", virtual_calls_prepare, virtual_calls_run, 4096},
    {"bytecode", NULL, bytecode_run, 0},
    {NULL, NULL, NULL, 0},
};
