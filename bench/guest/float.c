/* Floating point: scalar doubles, doubles that are integers, and packed doubles through SSE2 intrinsics. */
#include <emmintrin.h>

#include "bench.h"

static double *a, *b, *c;

static void matrix_prepare(size_t size, int integers) {
  a = allocate(size * size * sizeof *a);
  b = allocate(size * size * sizeof *b);
  c = allocate(size * size * sizeof *c);
  uint64_t random = 8;
  for (size_t i = 0; i < size * size; i++) {
    uint64_t x = next_random(&random) >> 32, y = next_random(&random) >> 32;
    a[i] = integers ? (double)(x % 1000) : (double)x / 3e9;
    b[i] = integers ? (double)(y % 1000) : (double)y / 7e9;
  }
}

static void matmul_prepare(size_t size) { matrix_prepare(size, 0); }

/* Every product and sum is exact, so the precision flag stays as it was: the case that an emulator must not get wrong. */
static void matmul_integer_prepare(size_t size) { matrix_prepare(size, 1); }

/* A unit is one product of two matrices of `size` rows and columns. */
static uint64_t matmul_run(size_t size, uint64_t units) {
  uint64_t sum = 0;
  for (uint64_t unit = 0; unit < units; unit++) {
    for (size_t i = 0; i < size; i++) {
      for (size_t j = 0; j < size; j++) {
        double dot = 0;
        for (size_t k = 0; k < size; k++) dot += a[i * size + k] * b[k * size + j];
        c[i * size + j] = dot;
      }
    }
    sum = mix(sum, double_bits(c[unit % (size * size)]));
  }
  for (size_t i = 0; i < size * size; i++) sum = mix(sum, double_bits(c[i]));
  return sum;
}

enum { BODIES = 5 };

struct body {
  double position[3], velocity[3], mass;
};

static struct body bodies[BODIES];

/* Square roots without the call that sets errno for negative arguments. */
static inline double square_root(double value) { return _mm_cvtsd_f64(_mm_sqrt_pd(_mm_set1_pd(value))); }

static void nbody_prepare(size_t size) {
  (void)size;
  uint64_t random = 9;
  for (int i = 0; i < BODIES; i++) {
    for (int axis = 0; axis < 3; axis++) {
      bodies[i].position[axis] = (double)(next_random(&random) >> 32) / 4e8 - 5;
      bodies[i].velocity[axis] = (double)(next_random(&random) >> 32) / 4e9 - 0.5;
    }
    bodies[i].mass = i == 0 ? 40 : 0.01 * (i + 1);
  }
}

static void step(double dt) {
  for (int i = 0; i < BODIES; i++) {
    for (int j = i + 1; j < BODIES; j++) {
      double d[3], squared = 0.01;
      for (int axis = 0; axis < 3; axis++) {
        d[axis] = bodies[i].position[axis] - bodies[j].position[axis];
        squared += d[axis] * d[axis];
      }
      double force = dt / (squared * square_root(squared));
      for (int axis = 0; axis < 3; axis++) {
        bodies[i].velocity[axis] -= d[axis] * bodies[j].mass * force;
        bodies[j].velocity[axis] += d[axis] * bodies[i].mass * force;
      }
    }
  }
  for (int i = 0; i < BODIES; i++) {
    for (int axis = 0; axis < 3; axis++) bodies[i].position[axis] += dt * bodies[i].velocity[axis];
  }
}

/* A unit is 100 steps of five bodies that attract each other. */
static uint64_t nbody_run(size_t size, uint64_t units) {
  (void)size;
  for (uint64_t i = 0; i < units * 100; i++) step(0.001);
  uint64_t sum = 0;
  for (int i = 0; i < BODIES; i++) {
    for (int axis = 0; axis < 3; axis++) sum = mix(sum, double_bits(bodies[i].position[axis]));
  }
  return sum;
}

/* Iterations until two points leave the circle of radius 2, together. */
static unsigned escape(__m128d cx, __m128d cy, unsigned limit) {
  __m128d x = _mm_setzero_pd(), y = _mm_setzero_pd();
  __m128i count = _mm_setzero_si128();
  for (unsigned i = 0; i < limit; i++) {
    __m128d xx = _mm_mul_pd(x, x), yy = _mm_mul_pd(y, y), xy = _mm_mul_pd(x, y);
    __m128d inside = _mm_cmple_pd(_mm_add_pd(xx, yy), _mm_set1_pd(4));
    if (_mm_movemask_pd(inside) == 0) break;
    count = _mm_sub_epi64(count, _mm_castpd_si128(inside));
    x = _mm_add_pd(_mm_sub_pd(xx, yy), cx);
    y = _mm_add_pd(_mm_add_pd(xy, xy), cy);
  }
  return (unsigned)_mm_cvtsi128_si32(count) + (unsigned)_mm_cvtsi128_si32(_mm_unpackhi_epi64(count, count)) * 257;
}

/* A unit is one line of `size` points; each slice begins at the first line again. */
static uint64_t mandelbrot_run(size_t size, uint64_t units) {
  uint64_t sum = 0;
  for (uint64_t unit = 0; unit < units; unit++) {
    __m128d cy = _mm_set1_pd(-1.25 + 2.5 * (double)(unit % size) / (double)size);
    for (size_t i = 0; i < size; i += 2) {
      double x = -2 + 3.0 * (double)i / (double)size;
      sum = mix(sum, escape(_mm_set_pd(x + 3.0 / (double)size, x), cy, 100));
    }
  }
  return sum;
}

const struct kernel float_kernels[] = {
    {"matmul", matmul_prepare, matmul_run, 64},
    {"matmul-integer", matmul_integer_prepare, matmul_run, 64},
    {"nbody", nbody_prepare, nbody_run, 0},
    {"mandelbrot", NULL, mandelbrot_run, 128},
    {NULL, NULL, NULL, 0},
};
