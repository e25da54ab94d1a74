/**
 * A long run: a guest compiles a C project of several files and runs what came of it, again and again. Results must stay
 * right, and speed and memory must stay what they are (`long-verdict.ts`). `npm run bench:long -- --help`.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { interruptible } from '../src/cli/interrupt.ts';
import { showProgress } from '../src/cli/progress.ts';
import { cacheDirectory } from '../src/images/apt/cache.ts';
import { defaultGuest, type Guest } from '../src/images/default-guest.ts';
import { canEnterTree, engineCommand } from './engines.ts';
import { type Figures, lastFigures } from './figures.ts';
import { type BenchImage, benchImage } from './image.ts';
import { type Finding, judge, monitorMiB, type Round } from './long-verdict.ts';
import { type Machine, startMachine } from './machine.ts';
import type { Measurement } from './marks.ts';
import { processorTime, residentMemory } from './memory.ts';

const USAGE = `npm run bench:long -- [options]
  --minutes N      go on until the vCPU's thread had so much processor time (default 20)
  --limit SECONDS  give the start or a round up after this time (default 900)
  --json FILE      write all rounds as JSON
  --mirror URL, --keyring FILE, --refresh   where the guest's packages come from, as for virts run
`;

/** How long the machine may take to say how it is, in milliseconds. */
const FIGURES_MS = 60_000;

/** Where counters stood after a round. */
interface Sample {
  readonly busiest: number;
  readonly all: number;
  readonly resident: number;
  readonly figures: Figures;
}

async function build(machine: Machine, limit: number): Promise<Measurement> {
  const outcome = await machine.run('project', 'sh "$BENCH/programs/project.sh" 1', limit);
  if (outcome.status === 'done') return outcome.measurement;
  throw new VirtsError('guest-stopped', `The project could not be compiled. ${outcome.reason}`);
}

/** Has the machine tell its figures and reads the host's. */
async function sample(machine: Machine): Promise<Sample> {
  const retired = (): number => lastFigures(machine.log())?.value('instructions retired') ?? 0;
  const before = retired();
  // Not while the figures are asked for: that takes time too.
  const time = processorTime(machine.pid);
  const resident = residentMemory(machine.pid);
  if (machine.pid === undefined || time === undefined || resident === undefined) {
    throw new VirtsError('unsupported', 'This host does not tell what a process takes (there is no /proc).');
  }
  process.kill(machine.pid, 'SIGUSR2');
  for (const end = performance.now() + FIGURES_MS; performance.now() < end; await sleep(20)) {
    const figures = lastFigures(machine.log());
    if (figures !== undefined && retired() > before) return { ...time, resident, figures };
  }
  throw new VirtsError('internal', `The machine did not tell its figures. ${machine.log().slice(-500)}`);
}

function roundOf({ seconds, checksum }: Measurement, before: Sample, after: Sample): Round {
  const grown = (name: string, part?: string): number =>
    after.figures.value(name, part) - before.figures.value(name, part);
  return {
    ...{ seconds, checksum, resident: after.resident },
    vcpuSeconds: after.busiest - before.busiest,
    allSeconds: after.all - before.all,
    guest: after.figures.value('resident guest memory (KiB)'),
    heap: after.figures.value('heap of the machine (KiB)', 'resident'),
    instructions: grown('instructions retired'),
    interpreted: grown('instructions by tier', 'interpreted'),
    regionsMade: grown('regions', 'made'),
    regionsLive: after.figures.value('regions', 'live'),
    codeBytes: after.figures.value('translated code', 'bytes live'),
    evicted: after.figures.value('regions', 'evicted'),
    flushes: after.figures.value('times the cache of blocks was emptied'),
  };
}

const COLUMNS: readonly (readonly [title: string, cell: (round: Round) => string])[] = [
  ['s', ({ seconds }) => seconds.toFixed(1)],
  ['vCPU s', ({ vcpuSeconds }) => vcpuSeconds.toFixed(2)],
  ['all s', ({ allSeconds }) => allSeconds.toFixed(2)],
  ['M instr.', ({ instructions }) => (instructions / 1e6).toFixed(0)],
  ['interpr.', ({ interpreted, instructions }) => `${((100 * interpreted) / instructions).toFixed(1)} %`],
  ['made', ({ regionsMade }) => String(regionsMade)],
  ['regions', ({ regionsLive }) => String(regionsLive)],
  ['code MB', ({ codeBytes }) => (codeBytes / 1e6).toFixed(1)],
  ['evicted', ({ evicted }) => String(evicted)],
  ['emptied', ({ flushes }) => String(flushes)],
  ['heap MiB', ({ heap }) => (heap / 1024).toFixed(0)],
  ['guest MiB', ({ guest }) => (guest / 1024).toFixed(0)],
  ['monitor MiB', (round) => monitorMiB(round).toFixed(0)],
  ['checksum', ({ checksum }) => checksum],
];

function row(first: string, cells: readonly string[]): string {
  return [first.padStart(5), ...cells.map((cell, i) => cell.padStart(Math.max(7, COLUMNS[i]![0].length)))].join('  ');
}

/** The result of the same compiler on the host, where that can run. */
async function nativeChecksum(guest: Guest, image: BenchImage, limit: number, signal: AbortSignal) {
  if (!(await canEnterTree())) return undefined;
  const machine = await startMachine(engineCommand('native', guest, image, true), limit, signal);
  try {
    return (await build(machine, limit)).checksum;
  } finally {
    await machine.end();
  }
}

async function measureRounds(machine: Machine, minutes: number, limit: number, signal: AbortSignal): Promise<Round[]> {
  const rounds: Round[] = [];
  let before = await sample(machine);
  const end = before.busiest + minutes * 60;
  console.log(
    row(
      'round',
      COLUMNS.map(([title]) => title),
    ),
  );
  while (before.busiest < end && !signal.aborted) {
    try {
      const measurement = await build(machine, limit);
      const after = await sample(machine);
      rounds.push(roundOf(measurement, before, after));
      before = after;
    } catch (error) {
      // What was measured until then is still worth a look.
      if (!signal.aborted) throw error;
      break;
    }
    console.log(
      row(
        String(rounds.length),
        COLUMNS.map(([, cell]) => cell(rounds.at(-1)!)),
      ),
    );
  }
  return rounds;
}

function conclude(rounds: readonly Round[], native: string | undefined): readonly Finding[] {
  const expected = native ?? rounds[0]?.checksum ?? '';
  console.log(`\nexpected: ${expected}, ${native === undefined ? 'the first round' : 'the same compiler on the host'}`);
  console.log('the last quarter of the rounds against the second:');
  const findings = judge(rounds, expected);
  for (const { text, kept } of findings) console.log(`  ${kept ? 'kept  ' : 'BROKEN'}  ${text}`);
  return findings;
}

async function main(signal: AbortSignal): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{ minutes: { ...text, default: '20' }, limit: { ...text, default: '900' }, json: text, mirror: text },
      ...{ keyring: text, refresh: { type: 'boolean', default: false }, help: { type: 'boolean' } },
    },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [minutes, limit] = [Number(values.minutes), Number(values.limit)];
  if (!(minutes > 0 && limit > 0)) throw new VirtsError('usage', '--minutes and --limit take a number above 0.');
  const { mirror, keyring, refresh } = values;
  const source = { cache: cacheDirectory(), mirror, keyring, refresh, signal, progress: showProgress(process.stderr) };
  const guest = await defaultGuest(source);
  const image = await benchImage(source);
  const native = await nativeChecksum(guest, image, limit, signal);
  const command = engineCommand('virts', guest, image, false);
  const machine = await startMachine({ ...command, args: [...command.args, '--stats'] }, limit, signal);
  try {
    const rounds = await measureRounds(machine, minutes, limit, signal);
    const findings = conclude(rounds, native);
    if (values.json !== undefined)
      writeFileSync(values.json, `${JSON.stringify({ findings, rounds }, undefined, 2)}\n`);
    return findings.every(({ kept }) => kept) ? 0 : 1;
  } finally {
    await machine.end();
  }
}

try {
  process.exitCode = await interruptible(process, main);
} catch (error) {
  process.stderr.write(`bench: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
