/**
 * The benchmark: compute kernels and real programs on Virts, on QEMU's TCG and on the host, in turn, in one run.
 * `npm run bench -- --help` lists the options; docs/benchmarks.md says how to read what it prints.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { Interrupted } from '../src/cli/interrupt.ts';
import { showProgress } from '../src/cli/progress.ts';
import { CPU_FEATURES } from '../src/cpu/cpuid.ts';
import { cacheDirectory } from '../src/images/apt/cache.ts';
import { defaultGuest, type Guest } from '../src/images/default-guest.ts';
import { bootTime } from './boot-time.ts';
import {
  bootCommand,
  canEnterTree,
  ENGINE_TITLES,
  ENGINES,
  type Engine,
  engineCommand,
  kernelVersion,
  qemuVersion,
  USUAL_ENGINES,
} from './engines.ts';
import { qemuCpu, refusedFeatures } from './features.ts';
import { type BenchImage, benchImage } from './image.ts';
import { type Machine, type Outcome, startMachine } from './machine.ts';
import { runBench } from './program.ts';
import { type Environment, type Result, report } from './report.ts';
import { addOutcome, groupResults, noSamples, type WorkloadSamples, workloadResult } from './result.ts';
import { svg } from './svg.ts';
import { commandOf, pickWorkloads, type Workload } from './workloads.ts';

const USAGE = `npm run bench -- [options]
  --only a,b       benchmarks or classes (compute, copy, float, system, programs, shell, boot)
  --rounds N       how often everything is measured (default 3)
  --engines a,b    of native, tcg, virts, page (default: all but page, which is Virts in Chromium)
  --scale X        do X times the usual amount of work (default 1)
  --limit SECONDS  give a benchmark or a boot up after this time (default 300)
  --json FILE      write the result as JSON
  --svg FILE       draw the result
  --mirror URL, --keyring FILE, --refresh   where the guest's packages come from, as for virts run
`;

interface Options {
  readonly workloads: readonly Workload[];
  readonly engines: readonly Engine[];
  readonly rounds: number;
  readonly scale: number;
  readonly limit: number;
}

/** What a run works with. */
interface Bench extends Options {
  readonly guest: Guest;
  readonly image: BenchImage;
  /** Whether the host can run the image's programs. */
  readonly enter: boolean;
  readonly signal: AbortSignal;
  readonly samples: ReadonlyMap<Workload, WorkloadSamples>;
  /** What QEMU said of features that TCG does not have. */
  readonly refused: Set<string>;
}

function canRun(bench: Bench, engine: Engine, workload: Workload): boolean {
  if (engine === 'page') return workload.kind !== 'boot';
  if (engine !== 'native') return true;
  return workload.kind === 'kernel' || (workload.kind === 'script' && bench.enter);
}

/** The machines of one round, each started when it is first needed and again after a failure. */
interface Machines {
  run(engine: Engine, workload: Workload): Promise<Outcome>;
  end(): Promise<void>;
}

function createMachines(bench: Bench): Machines {
  const running = new Map<Engine, Machine>();
  const stop = async (engine: Engine): Promise<void> => {
    const machine = running.get(engine);
    running.delete(engine);
    if (machine === undefined) return;
    for (const feature of refusedFeatures(machine.log())) bench.refused.add(feature);
    await machine.end();
  };
  const end = async (): Promise<void> => {
    await Promise.all([...running.keys()].map(stop));
  };
  return {
    end,
    async run(engine, workload) {
      if (workload.kind === 'boot') {
        await end();
        return bootTime(bootCommand(engine as 'tcg' | 'virts', bench.guest), bench.limit, bench.signal);
      }
      try {
        let machine = running.get(engine);
        if (machine === undefined) {
          const command = engineCommand(engine, bench.guest, bench.image, bench.enter);
          machine = await startMachine(command, bench.limit, bench.signal);
          running.set(engine, machine);
        }
        const outcome = await machine.run(workload.name, commandOf(workload, bench.scale), bench.limit);
        if (outcome.status === 'failed') await stop(engine);
        return outcome;
      } catch (error) {
        return { status: 'failed', reason: `It did not start: ${(error as Error).message}` };
      }
    },
  };
}

const shown = (outcome: Outcome): string =>
  outcome.status === 'done' ? `${outcome.measurement.seconds.toFixed(3)} s` : 'failed';

/** One round: every workload on every engine, one right after the other, beginning with another engine each time. */
async function runRound(bench: Bench, round: number): Promise<void> {
  const machines = createMachines(bench);
  try {
    for (const [index, workload] of bench.workloads.entries()) {
      const able = bench.engines.filter((engine) => canRun(bench, engine, workload));
      const line: string[] = [];
      for (const at of able.keys()) {
        const engine = able[(at + round + index) % able.length]!;
        const outcome = await machines.run(engine, workload);
        bench.signal.throwIfAborted();
        addOutcome(bench.samples.get(workload)![engine], round, outcome);
        line.push(`${ENGINE_TITLES[engine]} ${shown(outcome)}`);
      }
      process.stderr.write(`round ${round + 1}, ${workload.name}: ${line.toSorted().join(', ')}\n`);
    }
  } finally {
    await machines.end();
  }
}

async function describe(bench: Bench, rounds: number): Promise<Environment> {
  return {
    date: new Date().toISOString(),
    host: `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} processors`,
    node: process.version,
    qemu: bench.engines.includes('tcg') ? await qemuVersion() : 'without QEMU',
    qemuCpu: qemuCpu(CPU_FEATURES),
    refused: [...bench.refused].toSorted(),
    kernel: kernelVersion(readFileSync(bench.guest.kernel)),
    packages: bench.image.packages,
    rounds,
    scale: bench.scale,
  };
}

async function measureAll(bench: Bench): Promise<Result> {
  let rounds = 0;
  try {
    for (; rounds < bench.rounds; rounds++) await runRound(bench, rounds);
  } catch (error) {
    if (!bench.signal.aborted) throw error;
    process.stderr.write(`Interrupted in round ${rounds + 1}; what follows is what was measured until then.\n`);
  }
  const measured = bench.workloads.filter((workload) =>
    ENGINES.some((engine) => bench.samples.get(workload)![engine].seconds.length > 0),
  );
  const workloads = measured.map((workload) => workloadResult(workload, bench.samples.get(workload)!));
  return { environment: await describe(bench, rounds), workloads, groups: groupResults(workloads) };
}

function write(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

function positive(name: string, value: string): number {
  const number = Number(value);
  if (!(number > 0)) throw new VirtsError('usage', `--${name} takes a number above 0.`);
  return number;
}

function engineList(value: string | undefined): readonly Engine[] {
  const names = value?.split(',') ?? USUAL_ENGINES;
  const strange = names.find((name) => !ENGINES.includes(name as Engine));
  if (strange !== undefined) throw new VirtsError('usage', `There is no engine '${strange}'.`);
  return ENGINES.filter((engine) => names.includes(engine));
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    engines: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    limit: { type: 'string', default: '300' },
    json: { type: 'string' },
    svg: { type: 'string' },
    mirror: { type: 'string' },
    keyring: { type: 'string' },
    refresh: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/**
 * Builds the guest, measures, and writes the result. Returns the exit status: 1 if something failed to run or to agree. A
 * missed target is no failure.
 */
async function main(signal: AbortSignal): Promise<number> {
  const options: Options = {
    workloads: pickWorkloads(values.only),
    engines: engineList(values.engines),
    rounds: Math.ceil(positive('rounds', values.rounds)),
    scale: positive('scale', values.scale),
    limit: positive('limit', values.limit),
  };
  const { mirror, keyring, refresh } = values;
  const common = { cache: cacheDirectory(), mirror, keyring, refresh, signal, progress: showProgress(process.stderr) };
  const guest = await defaultGuest(common);
  const image = await benchImage(common);
  const enter = await canEnterTree();
  if (!enter) process.stderr.write('This host lets no one enter a tree of files; the programs do not run natively.\n');
  const samples = new Map(options.workloads.map((workload) => [workload, noSamples()]));
  const result = await measureAll({ ...options, guest, image, enter, signal, samples, refused: new Set() });
  process.stdout.write(report(result));
  if (values.json !== undefined) write(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
  if (values.svg !== undefined) write(values.svg, svg(result));
  if (signal.reason instanceof Interrupted) return signal.reason.status;
  return result.workloads.some(({ problems }) => problems.length > 0) ? 1 : 0;
}

if (values.help) process.stdout.write(USAGE);
else await runBench(main);
