/* SHA-256 (FIPS 180-4): rotations, additions and more live values than there are registers. A unit is the whole buffer. */
#include "integer.h"

static uint32_t round_constants[64];
static uint32_t initial[8];
static uint8_t *buffer;

/* The first 32 bits of the fraction of a root, found by bisection on integers: floor(prime^(1/degree) * 2^32). */
static uint32_t root_fraction(uint64_t prime, int degree) {
  unsigned __int128 low = 0, high = (unsigned __int128)1 << 37;
  while (high - low > 1) {
    unsigned __int128 middle = (low + high) / 2;
    /* Compared at 2^64 (square) or 2^96 (cube) times the value; 111 bits at most. */
    unsigned __int128 power = middle * middle;
    if (degree == 3) power *= middle;
    if (power <= (unsigned __int128)prime << (32 * degree)) low = middle;
    else high = middle;
  }
  return (uint32_t)low;
}

void sha256_prepare(size_t size) {
  int found = 0;
  for (uint32_t candidate = 2; found < 64; candidate++) {
    int prime = 1;
    for (uint32_t d = 2; d * d <= candidate; d++) prime &= candidate % d != 0;
    if (!prime) continue;
    if (found < 8) initial[found] = root_fraction(candidate, 2);
    round_constants[found++] = root_fraction(candidate, 3);
  }
  uint64_t random = 2;
  buffer = allocate(size);
  for (size_t i = 0; i < size; i++) buffer[i] = (uint8_t)(next_random(&random) >> 56);
}

static inline uint32_t rotate(uint32_t value, int count) { return (value >> count) | (value << (32 - count)); }

static inline uint32_t load_big_endian(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void compress(uint32_t state[8], const uint8_t *block) {
  uint32_t w[64];
  for (int t = 0; t < 16; t++) w[t] = load_big_endian(block + 4 * t);
  for (int t = 16; t < 64; t++) {
    uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >> 3);
    uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >> 10);
    w[t] = w[t - 16] + s0 + w[t - 7] + s1;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int t = 0; t < 64; t++) {
    uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
    uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

uint64_t sha256_run(size_t size, uint64_t units) {
  uint32_t state[8];
  memcpy(state, initial, sizeof state);
  for (uint64_t unit = 0; unit < units; unit++) {
    for (size_t at = 0; at < size; at += 64) compress(state, buffer + at);
  }
  uint64_t sum = 0;
  for (int i = 0; i < 8; i++) sum = mix(sum, state[i]);
  return sum;
}
