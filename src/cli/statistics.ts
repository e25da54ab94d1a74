/** Figures for `--stats`, in words. */

/** What the machine's names mean to somebody who does not know its parts. Names that are not here speak for themselves. */
const WORDS: Readonly<Record<string, string>> = {
  blocks: 'blocks of guest code decoded',
  instructions: 'instructions decoded',
  invalidated: 'blocks discarded because their code changed',
  flushes: 'times the cache of blocks was emptied',
  handlers: 'instruction handlers compiled',
  modules: 'WebAssembly modules of handlers',
  regions: 'regions of hot code translated',
  'translated instructions': 'instructions translated',
};

const RETIRED = 'instructions retired';

/**
 * Lines `name: figure`.
 * @param seconds How long the machine was there, from its start to its end.
 */
export function statisticsLines(figures: Readonly<Record<string, number | string>>, seconds: number): string[] {
  const lines = Object.entries(figures).map(
    ([name, value]) => `${WORDS[name] ?? name}: ${typeof value === 'number' ? Math.round(value) : value}`,
  );
  lines.push(`run time (s): ${seconds.toFixed(1)}`);
  const retired = figures[RETIRED];
  if (typeof retired === 'number' && seconds > 0) {
    lines.push(`million instructions a second: ${(retired / seconds / 1e6).toFixed(1)}`);
  }
  return lines;
}
