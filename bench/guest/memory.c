/* Memory: chains of dependent loads over working sets that fit a level of the cache or none, and the C library's copies. */
#include "bench.h"

enum { LINE = 64 };

struct node {
  struct node *next;
  uint64_t number;
  uint8_t fill[LINE - 16];
};

static struct node *nodes;

/* One cycle through all nodes in random order (Sattolo's algorithm). */
static void chase_prepare(size_t size) {
  size_t count = size / sizeof(struct node);
  uint32_t *order = allocate(count * sizeof *order);
  nodes = allocate(size);
  for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
  uint64_t random = 6;
  for (size_t i = count - 1; i > 0; i--) {
    size_t j = (size_t)((next_random(&random) >> 32) * i >> 32);
    uint32_t other = order[i];
    order[i] = order[j];
    order[j] = other;
  }
  for (size_t i = 0; i < count; i++) {
    nodes[i].next = &nodes[order[i]];
    nodes[i].number = i;
  }
  free(order);
}

/* A unit is 1,024 loads. Each slice goes on where the one before ended. */
static uint64_t chase_run(size_t size, uint64_t units) {
  (void)size;
  static struct node *at;
  if (at == NULL) at = nodes;
  for (uint64_t i = 0; i < units * 1024; i++) at = at->next;
  return at->number;
}

enum { AREA = 2 << 20 };

static uint8_t *source, *target;

static void copy_prepare(size_t size) {
  (void)size;
  source = allocate(AREA);
  target = allocate(AREA);
  uint64_t random = 7;
  for (size_t i = 0; i < AREA; i++) source[i] = (uint8_t)(next_random(&random) >> 56);
  memset(target, 0, AREA);
}

/* Small operations stay within 16 KiB, so that what counts is the operation and not the cache. */
static size_t window(size_t size) { return size < 16384 ? 16384 : 2 * size; }

/* A unit is 1 MiB, copied in pieces of `size`. */
static uint64_t memcpy_run(size_t size, uint64_t units) {
  size_t at = 0, end = window(size);
  for (uint64_t i = 0; i < units * ((1 << 20) / size); i++) {
    memcpy(target + at, source + at, size);
    MEMORY_BARRIER();
    at = at + 2 * size <= end ? at + size : 0;
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < end; i += 509) sum = mix(sum, target[i]);
  return sum;
}

/* A unit is 1 MiB, set in pieces of `size`. */
static uint64_t memset_run(size_t size, uint64_t units) {
  size_t at = 0, end = window(size);
  for (uint64_t i = 0; i < units * ((1 << 20) / size); i++) {
    memset(target + at, (int)i, size);
    MEMORY_BARRIER();
    at = at + 2 * size <= end ? at + size : 0;
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < end; i += 509) sum = mix(sum, target[i]);
  return sum;
}

const struct kernel memory_kernels[] = {
    {"chase-64k", chase_prepare, chase_run, 64 << 10},
    {"chase-4m", chase_prepare, chase_run, 4 << 20},
    {"chase-64m", chase_prepare, chase_run, 64 << 20},
    {"memcpy-64", copy_prepare, memcpy_run, 64},
    {"memcpy-4k", copy_prepare, memcpy_run, 4 << 10},
    {"memcpy-1m", copy_prepare, memcpy_run, 1 << 20},
    {"memset-64", copy_prepare, memset_run, 64},
    {"memset-4k", copy_prepare, memset_run, 4 << 10},
    {"memset-1m", copy_prepare, memset_run, 1 << 20},
    {NULL, NULL, NULL, 0},
};
