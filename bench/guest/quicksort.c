/* Quicksort (Hoare's partition): branches that cannot be predicted, and recursion. A unit sorts `size` new numbers. */
#include "integer.h"

static void sort(uint32_t *numbers, long left, long right) {
  while (left < right) {
    uint32_t pivot = numbers[left + (right - left) / 2];
    long i = left, j = right;
    while (i <= j) {
      while (numbers[i] < pivot) i++;
      while (numbers[j] > pivot) j--;
      if (i > j) break;
      uint32_t other = numbers[i];
      numbers[i++] = numbers[j];
      numbers[j--] = other;
    }
    /* The smaller part by recursion, so that the depth is logarithmic. */
    if (j - left < right - i) {
      sort(numbers, left, j);
      left = i;
    } else {
      sort(numbers, i, right);
      right = j;
    }
  }
}

uint64_t quicksort_run(size_t size, uint64_t units) {
  uint32_t *numbers = allocate(size * sizeof *numbers);
  uint64_t random = 3, sum = 0;
  for (uint64_t unit = 0; unit < units; unit++) {
    for (size_t i = 0; i < size; i++) numbers[i] = (uint32_t)(next_random(&random) >> 32);
    sort(numbers, 0, (long)size - 1);
    for (size_t i = 0; i < size; i += 97) sum = mix(sum, numbers[i]);
  }
  free(numbers);
  return sum;
}
