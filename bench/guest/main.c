/*
 * The compute and system kernels of the benchmark, one program:
 *
 *   kernels NAME UNITS
 *
 * runs UNITS units of work in each of ten slices and prints a mark before the first, after each, at the end, and with
 * the checksum. The time between marks is taken by whoever reads them: a guest's clock is part of what is measured.
 * `kernels nothing 0` ends at once.
 */
#include <errno.h>
#include <unistd.h>

#include "bench.h"

enum { SLICES = 10 };

const char *own_path;

_Noreturn void fail(const char *what) {
  fprintf(stderr, "kernels: %s: %s\n", what, strerror(errno));
  exit(1);
}

void *allocate(size_t bytes) {
  void *memory;
  errno = posix_memalign(&memory, 64, bytes);
  if (errno != 0) fail("memory");
  return memory;
}

/* One write for each mark, so that a console shows it whole. */
static void mark(const char *name, const char *event) {
  char line[96];
  int length = snprintf(line, sizeof line, "MARK %s %s\n", name, event);
  if (write(STDOUT_FILENO, line, (size_t)length) != length) fail("standard output");
}

static const struct kernel *find(const char *name) {
  static const struct kernel *const tables[] = {integer_kernels, memory_kernels, float_kernels, system_kernels};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
    for (const struct kernel *k = tables[t]; k->name != NULL; k++) {
      if (strcmp(k->name, name) == 0) return k;
    }
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: kernels NAME UNITS\n", stderr);
    return 2;
  }
  if (strcmp(argv[1], "nothing") == 0) return 0;
  own_path = argv[0];
  const struct kernel *kernel = find(argv[1]);
  if (kernel == NULL) {
    fprintf(stderr, "kernels: there is no kernel %s\n", argv[1]);
    return 2;
  }
  uint64_t units = strtoull(argv[2], NULL, 10);
  if (kernel->prepare != NULL) kernel->prepare(kernel->size);
  uint64_t sum = 0xcbf29ce484222325ull;
  mark(kernel->name, "start");
  for (int slice = 0; slice < SLICES; slice++) {
    sum = mix(sum, kernel->run(kernel->size, units));
    mark(kernel->name, "slice");
  }
  mark(kernel->name, "end");
  char checksum[32];
  snprintf(checksum, sizeof checksum, "checksum %016llx", (unsigned long long)sum);
  mark(kernel->name, checksum);
  return 0;
}
