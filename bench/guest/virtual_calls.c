/* Calls through tables of functions, as of a class hierarchy, with targets in random order. A unit is `size` calls. */
#include "integer.h"

struct object;

struct methods {
  uint64_t (*step)(struct object *self, uint64_t value);
};

struct object {
  const struct methods *methods;
  uint64_t count;
  uint64_t key;
};

static uint64_t step_add(struct object *self, uint64_t value) {
  self->count++;
  return value + self->key;
}

static uint64_t step_xor(struct object *self, uint64_t value) {
  self->count++;
  return value ^ self->key;
}

static uint64_t step_multiply(struct object *self, uint64_t value) {
  self->count += value & 1;
  return value * (self->key | 1);
}

static uint64_t step_rotate(struct object *self, uint64_t value) {
  self->count += value >> 63;
  return (value << 7 | value >> 57) + self->count;
}

static const struct methods classes[4] = {{step_add}, {step_xor}, {step_multiply}, {step_rotate}};
static struct object *objects;

void virtual_calls_prepare(size_t size) {
  objects = allocate(size * sizeof *objects);
  uint64_t random = 4;
  for (size_t i = 0; i < size; i++) {
    objects[i].methods = &classes[next_random(&random) >> 62];
    objects[i].count = 0;
    objects[i].key = next_random(&random);
  }
}

uint64_t virtual_calls_run(size_t size, uint64_t units) {
  uint64_t value = 5;
  for (uint64_t unit = 0; unit < units; unit++) {
    for (size_t i = 0; i < size; i++) value = objects[i].methods->step(&objects[i], value);
  }
  return value;
}
