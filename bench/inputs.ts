/** What the programs in the guest work on: text and a C program, made from a repeatable random source. */

/** Numbers from 0 up to but not including `limit`. */
export type Random = (limit: number) => number;

/** A repeatable source (mulberry32, 32 bits of state). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

const CONSONANTS = 'bcdfghjklmnprstvwz';
const VOWELS = 'aeiou';
const VOCABULARY = 5000;
/** Characters of a line, about. */
const LINE = 76;

function word(random: Random): string {
  let made = '';
  for (let syllables = 1 + random(4); syllables > 0; syllables--) {
    made += CONSONANTS[random(CONSONANTS.length)]! + VOWELS[random(VOWELS.length)]!;
    if (random(3) === 0) made += CONSONANTS[random(CONSONANTS.length)]!;
  }
  return made;
}

/** `length` bytes of ASCII lines whose words are as unevenly frequent as those of a language (about 1/rank). */
export function makeText(length: number, seed = 1): Buffer {
  const random = createRandom(seed);
  const vocabulary = Array.from({ length: VOCABULARY }, () => word(random));
  const text = Buffer.alloc(length);
  let column = 0;
  for (let at = 0; at < length; ) {
    // A rank whose logarithm is uniform has a probability of about 1/rank.
    const rank = Math.floor(VOCABULARY ** (random(1 << 24) / (1 << 24))) - 1;
    const end = random(12) === 0 ? '.' : '';
    const piece = `${vocabulary[rank]}${end}${column > LINE ? '\n' : ' '}`;
    column = column > LINE ? 0 : column + piece.length;
    at += text.write(piece, at, 'latin1');
  }
  return text;
}

const OPERATORS = ['+', '-', '*', '^', '&', '|'];

function expression(random: Random, names: readonly string[], depth: number): string {
  if (depth === 0) return random(3) === 0 ? `${1 + random(99)}u` : names[random(names.length)]!;
  const operator = OPERATORS[random(OPERATORS.length)]!;
  return `(${expression(random, names, depth - 1)} ${operator} ${expression(random, names, depth - 1)})`;
}

function cFunction(random: Random, index: number): string {
  const call = index === 0 ? 'a + 1' : `f${random(index)}(a >> 1, b ^ i, items) & 0xff`;
  const cases = Array.from(
    { length: 4 + random(5) },
    (_, at) => `    case ${at}: x = ${expression(random, ['x', 'y', 'i', 'b'], 2)}; break;`,
  );
  return `static unsigned f${index}(unsigned a, unsigned b, struct item *items) {
  unsigned x = ${expression(random, ['a', 'b'], 3)}, y = a;
  for (unsigned i = 0; i < ${2 + random(4)}; i++) {
    struct item *at = &items[(x + i) % ITEMS];
    switch (at->kind % ${cases.length + 1}) {
${cases.join('\n')}
    default: y += ${index < 4 ? 'b' : `i == 0 && a > 4 ? ${call} : x`};
    }
    at->value = ${expression(random, ['x', 'y', 'at->value'], 2)};
    if (${expression(random, ['x', 'y'], 1)} > ${random(1000)}u) at->kind = (unsigned char)(at->kind + ${1 + random(9)});
    else at->weight += (double)(x % ${3 + random(20)}u) / ${2 + random(30)};
  }
  return ${expression(random, ['x', 'y', 'b'], 3)};
}
`;
}

/** A C program with `functions` functions that prints a checksum, the same on every machine. */
export function makeProgram(functions: number, seed = 2): string {
  const random = createRandom(seed);
  const bodies = Array.from({ length: functions }, (_, index) => cFunction(random, index));
  const calls = bodies.map((_, index) => `  sum = sum * 31 + f${index}(sum & 15, ${index}, items);`);
  return `#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS = 64 };

struct item {
  unsigned value;
  unsigned char kind;
  double weight;
};

${bodies.join('\n')}
int main(void) {
  struct item *items = calloc(ITEMS, sizeof *items);
  unsigned sum = 1;
  for (unsigned i = 0; i < ITEMS; i++) items[i].kind = (unsigned char)(i * 7);
${calls.join('\n')}
  for (unsigned i = 0; i < ITEMS; i++) printf("%u %u %.17g\\n", items[i].value, items[i].kind, items[i].weight);
  printf("%u\\n", sum);
  return 0;
}
`;
}
