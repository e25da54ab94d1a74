/**
 * Random programs on both back ends. VIRTS_FUZZ_PROGRAMS says how many, VIRTS_FUZZ_SEED where to begin: a failure names the
 * seed of its program, and VIRTS_FUZZ_SEED=<seed> VIRTS_FUZZ_PROGRAMS=1 runs that alone.
 */
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { test } from 'node:test';
import { createRandom } from '../../tools/corpus/prng.ts';
import { generate, LAYOUT } from './generator.ts';
import { createPair } from './pair.ts';

const PROGRAMS = Number(env.VIRTS_FUZZ_PROGRAMS ?? 1500);
const FIRST = Number(env.VIRTS_FUZZ_SEED ?? 1);
/** Instructions that a program may take at most: loops in loops of calls are cut. */
const MOST = 3000;
/** Programs with differences that are reported before the rest is left out. */
const MOST_SHOWN = 3;

/** Programs move through a few pages, some of them across the border of two. */
function originOf(seed: number): number {
  return LAYOUT.code + 0x2000 * (seed % 16) + (seed % 3 === 0 ? 0x1000 - (seed % 160) : (seed * 16) % 0x800);
}

/** Leaves out lines for as long as the two back ends still differ. */
function shrink(pair: ReturnType<typeof createPair>, lines: readonly string[], seed: number): readonly string[] {
  let kept = lines;
  for (let size = Math.ceil(lines.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < kept.length; ) {
      const out = kept.slice(at, at + size);
      // Labels stay for as long as something names them.
      const rest = [...kept.slice(0, at), ...kept.slice(at + size)];
      const named = out.filter((line) => line.endsWith(':') && names(rest, line.slice(0, -1)));
      const fewer = [...kept.slice(0, at), ...named, ...kept.slice(at + size)];
      if (fewer.length < kept.length && stillDiffers(pair, fewer, seed)) kept = fewer;
      else at += size;
    }
  }
  return kept.filter((line) => !line.endsWith(':') || names(kept, line.slice(0, -1)));
}

const names = (lines: readonly string[], label: string) =>
  lines.some((line) => !line.endsWith(':') && new RegExp(`\\b${label}\\b`).test(line));

function stillDiffers(pair: ReturnType<typeof createPair>, lines: readonly string[], seed: number): boolean {
  try {
    return pair.run([...lines, 'hlt'], seed, originOf(seed), MOST).differences.length > 0;
  } catch (error) {
    // A patch whose target is gone.
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

test(`random programs do the same on both back ends (${PROGRAMS} from seed ${FIRST})`, () => {
  const pair = createPair({ threshold: 1 });
  const random = createRandom(0, 0, 0);
  const failures: string[] = [];
  let instructions = 0;
  let ended = 0;
  for (let seed = FIRST; seed < FIRST + PROGRAMS && failures.length < MOST_SHOWN; seed++) {
    random.reseed(seed, 0, 0);
    const lines = generate(random);
    const outcome = pair.run(lines, seed, originOf(seed), MOST);
    instructions += outcome.instructions;
    if (!outcome.faulted) ended++;
    if (outcome.differences.length === 0) continue;
    const least = shrink(pair, lines, seed);
    const { differences } = pair.run([...least, 'hlt'], seed, originOf(seed), MOST);
    failures.push(
      `seed ${seed} at ${originOf(seed).toString(16)}:\n  ${least.join('\n  ')}\n${differences.join('\n')}`,
    );
  }
  assert.equal(failures.join('\n\n'), '');
  // The generator has not lost its sense: programs are long, few of them end early, and they do run translated.
  if (PROGRAMS < 100) return;
  assert.ok(instructions > 30 * PROGRAMS, `${instructions} instructions`);
  assert.ok(ended > 0.6 * PROGRAMS, `${ended} came to their end`);
  assert.ok(pair.regions() > PROGRAMS, `${pair.regions()} regions`);
});
