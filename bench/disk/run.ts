/**
 * Disks: fio with direct access on Virts' and on QEMU TCG's virtio-blk, in turn, in one run, over the same files.
 * `npm run bench:disk -- --help` lists the options; docs/benchmarks.md says how to read what it prints.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { VirtsError } from '../../src/base/errors.ts';
import { Interrupted } from '../../src/cli/interrupt.ts';
import { showProgress } from '../../src/cli/progress.ts';
import { cacheDirectory } from '../../src/images/apt/cache.ts';
import type { Command } from '../child.ts';
import { diskCommand, qemuVersion } from '../engines.ts';
import { type Machine, startMachine } from '../machine.ts';
import { runBench } from '../program.ts';
import { table, verdict } from '../report.ts';
import { median, spread } from '../statistics.ts';
import { diskGuest } from './image.ts';
import { commandOf, DISK_SIZE, JOBS, type Job, markOf } from './jobs.ts';

const USAGE = `npm run bench:disk -- [options]
  --only a,b       jobs whose names contain one of these words, such as qcow2 or "random read"
  --rounds N       how often everything is measured (default 3)
  --scale X        transfer X times the usual amount (default 1)
  --limit SECONDS  give a job or the start of a machine up after this time (default 300)
  --directory DIR  where the disks are made, on the file system to be measured (default: that for temporary files)
  --stats          print the figures of each of Virts' machines
  --json FILE      write the result as JSON
  --mirror URL, --keyring FILE, --refresh   where packages come from, as for virts run
`;

const ENGINES = ['tcg', 'virts'] as const;
type Engine = (typeof ENGINES)[number];

const run = promisify(execFile);

/** Makes the disks: one raw, one qcow2 with all clusters in place, and what is behind the overlays. */
async function makeDisks(directory: string): Promise<void> {
  const raw = join(directory, 'disk.raw');
  const file = await open(raw, 'w');
  try {
    const piece = Buffer.alloc(2 ** 20, 'virts ');
    for (let at = 0; at < DISK_SIZE; at++) await file.write(piece);
  } finally {
    await file.close();
  }
  await run('qemu-img', ['convert', '-O', 'qcow2', raw, join(directory, 'disk.qcow2')]);
  await copyFile(join(directory, 'disk.qcow2'), join(directory, 'base.qcow2'));
}

/**
 * The disks of one machine, in the guest's order. Both machines have the first two open: each is idle while the other works, and
 * all clusters are in place, so that no tables change. Overlays are new, one for each.
 */
async function disksOf(engine: Engine, directory: string): Promise<string[]> {
  const overlay = join(directory, `overlay-${engine}.qcow2`);
  await rm(overlay, { force: true });
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'base.qcow2', overlay]);
  return [join(directory, 'disk.raw'), join(directory, 'disk.qcow2'), overlay];
}

/** What one round took on each engine; a job that failed is absent. */
type Seconds = Partial<Record<Engine, number>>;

interface Samples {
  readonly job: Job;
  readonly rounds: Seconds[];
  readonly problems: string[];
}

/** Runs a job; `undefined` where it failed. */
async function measure(machine: Machine, engine: Engine, { job, problems }: Samples, scale: number) {
  const outcome = await machine.run(markOf(job), commandOf(job, scale), Number(values.limit));
  if (outcome.status === 'done') return outcome.measurement;
  problems.push(`${engine}: ${outcome.reason}`);
  return undefined;
}

/** @throws VirtsError `guest-stopped` where the machine does not come up. */
async function start(engine: Engine, command: Command, signal: AbortSignal): Promise<Machine> {
  try {
    return await startMachine(command, Number(values.limit), signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new VirtsError('guest-stopped', `The machine of ${engine} did not start: ${(error as Error).message}`);
  }
}

async function runRound(
  all: readonly Samples[],
  round: number,
  scale: number,
  commands: Record<Engine, Command>,
  signal: AbortSignal,
) {
  const machines: Partial<Record<Engine, Machine>> = {};
  try {
    for (const engine of ENGINES) machines[engine] = await start(engine, commands[engine], signal);
    for (const [index, samples] of all.entries()) {
      const seconds: Seconds = {};
      const sums = new Set<string>();
      for (const at of ENGINES.keys()) {
        const engine = ENGINES[(at + round + index) % 2]!;
        const measurement = await measure(machines[engine]!, engine, samples, scale);
        signal.throwIfAborted();
        if (measurement === undefined) continue;
        seconds[engine] = measurement.seconds;
        sums.add(measurement.checksum);
      }
      if (sums.size > 1) samples.problems.push('the engines read different bytes back');
      samples.rounds.push(seconds);
      const shown = (engine: Engine) => seconds[engine]?.toFixed(2) ?? 'failed';
      process.stderr.write(
        `round ${round + 1}, ${samples.job.name}: TCG ${shown('tcg')} s, Virts ${shown('virts')} s\n`,
      );
    }
  } finally {
    for (const machine of Object.values(machines)) await machine.end();
  }
}

function resultOf({ job, rounds, problems }: Samples, scale: number) {
  const of = (engine: Engine) => rounds.flatMap((seconds) => seconds[engine] ?? []);
  const ratios = rounds.flatMap(({ tcg, virts }) => (tcg === undefined || virts === undefined ? [] : [tcg / virts]));
  const amount = job.amount * scale;
  /** MB/s of sequential jobs, operations a second of random ones. */
  const rate = (seconds: number) => (job.block === '1M' ? (amount * 1.048576) / seconds : (amount * 256) / seconds);
  const ratio = median(ratios);
  return {
    ...{ name: job.name, disk: job.disk, unit: job.block === '1M' ? 'MB/s' : 'IOPS', rounds, problems },
    ...{ tcg: rate(median(of('tcg'))), virts: rate(median(of('virts'))), spread: spread(ratios), versusTcg: ratio },
    ...{ target: job.target, met: problems.length > 0 ? false : Number.isNaN(ratio) ? null : ratio >= job.target },
  };
}

type JobResult = ReturnType<typeof resultOf>;

function report(environment: Record<string, unknown>, results: readonly JobResult[]): string {
  const rows = results.map((result) => [
    ...[result.name, result.tcg.toFixed(0), result.virts.toFixed(0), result.unit],
    ...[`${result.versusTcg.toFixed(2)}x`, `${(100 * result.spread).toFixed(0)} %`, `>= ${result.target}`],
    verdict(result.met),
  ]);
  return [
    ...Object.entries(environment).map(([name, value]) => `${name}: ${value}`),
    '',
    ...table([['job', 'TCG', 'Virts', '', 'vs TCG', 'spread', 'target', ''], ...rows]),
    ...results.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`)),
    '',
  ].join('\n');
}

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    ...{ only: text, rounds: { ...text, default: '3' }, scale: { ...text, default: '1' }, directory: text, json: text },
    limit: { ...text, default: '300' },
    ...{ stats: { type: 'boolean', default: false }, mirror: text, keyring: text },
    ...{ refresh: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  },
});

function pickJobs(only: string | undefined): readonly Job[] {
  const words = only?.split(',') ?? [''];
  const picked = JOBS.filter(({ name }) => words.some((word) => name.includes(word)));
  if (picked.length > 0) return picked;
  throw new VirtsError('usage', `No job is called so; there are ${JOBS.map(({ name }) => name).join('; ')}.`);
}

async function main(signal: AbortSignal): Promise<number> {
  const [rounds, scale] = [Number(values.rounds), Number(values.scale)];
  if (!(rounds > 0 && scale > 0 && Number(values.limit) > 0)) {
    throw new VirtsError('usage', '--rounds, --scale and --limit take a number above 0.');
  }
  const all = pickJobs(values.only).map((job): Samples => ({ job, rounds: [], problems: [] }));
  const { mirror, keyring, refresh } = values;
  const progress = showProgress(process.stderr);
  const { guest, fio } = await diskGuest({ cache: cacheDirectory(), mirror, keyring, refresh, signal, progress });
  const directory = await mkdtemp(join(values.directory ?? tmpdir(), 'virts-bench-disk-'));
  try {
    await makeDisks(directory);
    for (let round = 0; round < rounds && !signal.aborted; round++) {
      const command = async (engine: Engine) =>
        diskCommand(engine, guest, await disksOf(engine, directory), values.stats);
      const commands = { tcg: await command('tcg'), virts: await command('virts') };
      await runRound(all, round, scale, commands, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
    await run('qemu-img', ['check', '-q', join(directory, 'disk.qcow2')]);
    await run('qemu-img', ['check', '-q', join(directory, 'overlay-virts.qcow2')]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const results = all.filter((samples) => samples.rounds.length > 0).map((samples) => resultOf(samples, scale));
  const environment = {
    ...{ date: new Date().toISOString(), host: `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} processors` },
    ...{ node: process.version, qemu: await qemuVersion(), fio, rounds: values.rounds, scale },
  };
  process.stdout.write(report(environment, results));
  if (values.json !== undefined) {
    await writeFile(values.json, `${JSON.stringify({ environment, jobs: results }, undefined, 2)}\n`);
  }
  if (signal.reason instanceof Interrupted) return signal.reason.status;
  return results.some(({ problems }) => problems.length > 0) ? 1 : 0;
}

if (values.help) process.stdout.write(USAGE);
else await runBench(main);
