/**
 * The corpus's random numbers: a small counter-based generator ("small fast counter", 32-bit words) whose sequence is
 * part of the file format. Changing anything here means recording the corpus again.
 */

export interface Random {
  /** The next 32 random bits, unsigned. */
  u32(): number;
  /** Uniform in 0..n-1, for n up to 65536. */
  below(n: number): number;
  /** True once in n times. */
  once(n: number): boolean;
  pick<T>(values: readonly T[]): T;
  /** Starts the sequence that belongs to this key. */
  reseed(a: number, b: number, c: number): void;
}

export function createRandom(keyA: number, keyB: number, keyC: number): Random {
  let a = 0;
  let b = 0;
  let c = 0;
  let counter = 1;
  const u32 = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  const below = (n: number): number => ((u32() >>> 16) * n) >>> 16;
  const random: Random = {
    u32,
    below,
    once: (n) => below(n) === 0,
    pick: (values) => values[below(values.length)]!,
    reseed(keyA, keyB, keyC) {
      a = keyA | 0;
      b = keyB | 0;
      c = keyC | 0;
      counter = 1;
      for (let i = 0; i < 12; i++) u32();
    },
  };
  random.reseed(keyA, keyB, keyC);
  return random;
}

/** FNV-1a over UTF-16 code units, 32 bits: the key of a form. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Continues an FNV-1a-like hash over 32-bit words. */
export function hashWords(hash: number, words: Uint32Array): number {
  for (let i = 0; i < words.length; i++) hash = Math.imul((hash >>> 15) ^ hash ^ words[i], 0x01000193);
  return hash >>> 0;
}
