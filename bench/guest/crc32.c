/* CRC-32 (ISO 3309) with one table look-up a byte: loads, shifts and a chain of dependences. A unit is the whole buffer. */
#include "integer.h"

static uint32_t table[256];
static uint8_t *buffer;

void crc32_prepare(size_t size) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (0xedb88320u & -(value & 1));
    table[byte] = value;
  }
  uint64_t random = 1;
  buffer = allocate(size);
  for (size_t i = 0; i < size; i++) buffer[i] = (uint8_t)(next_random(&random) >> 56);
}

uint64_t crc32_run(size_t size, uint64_t units) {
  uint32_t crc = ~0u;
  for (uint64_t unit = 0; unit < units; unit++) {
    for (size_t i = 0; i < size; i++) crc = table[(crc ^ buffer[i]) & 0xff] ^ (crc >> 8);
  }
  return ~crc;
}
