/**
 * What several vCPUs gain: `make -jN` of a C project on a machine with one vCPU and on one with N, in turn, in one run; each
 * first as it comes (nothing is translated yet), then again. `npm run bench:smp -- --help`.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { interruptible } from '../src/cli/interrupt.ts';
import { showProgress } from '../src/cli/progress.ts';
import { cacheDirectory } from '../src/images/apt/cache.ts';
import { defaultGuest } from '../src/images/default-guest.ts';
import type { Command } from './child.ts';
import { engineCommand } from './engines.ts';
import { benchImage } from './image.ts';
import { startMachine } from './machine.ts';
import { processorTime } from './memory.ts';
import { count } from './program.ts';
import { median } from './statistics.ts';

const USAGE = `npm run bench:smp -- [options]
  --cpus N         vCPUs of the machine that is compared with one of one vCPU, and jobs of make in it (default 2)
  --rounds N       how often everything is measured (default 3)
  --runs N         how often make runs in each machine (default 2)
  --copies N       how often each source of the project is compiled in a run (default 2)
  --limit SECONDS  give a run up after this time (default 600)
  --stats          show the machine's figures at the end of each
  --json FILE      write the result as JSON
  --mirror URL, --keyring FILE, --refresh   where the guest's packages come from, as for virts run
`;

interface Run {
  readonly seconds: number;
  /** Processor time of the whole process, in seconds. */
  readonly processor: number;
  readonly checksum: string;
}

interface Plan {
  readonly copies: number;
  readonly runs: number;
  readonly limit: number;
  readonly stats: boolean;
  readonly signal: AbortSignal;
}

/** Starts a machine with so many vCPUs and has it make the project as often as `plan` says. */
async function measure(command: Command, cpus: number, plan: Plan): Promise<Run[]> {
  const { copies, limit, signal } = plan;
  const args = [...command.args, '--cpus', String(cpus), ...(plan.stats ? ['--stats'] : [])];
  const machine = await startMachine({ ...command, args }, limit, signal);
  const used = (): number => processorTime(machine.pid)?.all ?? Number.NaN;
  const runs: Run[] = [];
  try {
    for (let run = 0; run < plan.runs; run++) {
      const before = used();
      const outcome = await machine.run('make', `sh "$BENCH/programs/make.sh" ${copies} ${cpus}`, limit);
      signal.throwIfAborted();
      if (outcome.status === 'failed') throw new VirtsError('guest-stopped', `make failed. ${outcome.reason}`);
      const { seconds, checksum } = outcome.measurement;
      runs.push({ seconds, processor: used() - before, checksum });
    }
    if (plan.stats) {
      process.kill(machine.pid!, 'SIGUSR2');
      await new Promise((resolve) => setTimeout(resolve, 3000));
      console.log(machine.log());
    }
    return runs;
  } finally {
    await machine.end();
  }
}

async function main(signal: AbortSignal): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{ cpus: { ...text, default: '2' }, rounds: { ...text, default: '3' }, runs: { ...text, default: '2' } },
      ...{ copies: { ...text, default: '2' }, limit: { ...text, default: '600' }, json: text, mirror: text },
      ...{ keyring: text, refresh: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
      stats: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { mirror, keyring, refresh, stats } = values;
  const cpus = count('cpus', values.cpus);
  const rounds = count('rounds', values.rounds);
  const plan: Plan = {
    ...{ copies: count('copies', values.copies), runs: count('runs', values.runs), stats, signal },
    limit: count('limit', values.limit),
  };
  const source = { cache: cacheDirectory(), mirror, keyring, refresh, signal, progress: showProgress(process.stderr) };
  const guest = await defaultGuest(source);
  const image = await benchImage(source);
  const command = engineCommand('virts', guest, image, false);
  const one: Run[][] = [];
  const several: Run[][] = [];
  for (let round = 0; round < rounds; round++) {
    const measureOne = async () => one.push(await measure(command, 1, plan));
    const measureSeveral = async () => several.push(await measure(command, cpus, plan));
    for (const work of round % 2 === 0 ? [measureOne, measureSeveral] : [measureSeveral, measureOne]) await work();
    for (const [run, { seconds, processor }] of one[round].entries()) {
      const other = several[round][run];
      console.log(
        `round ${round + 1}, run ${run + 1}: 1 vCPU ${seconds.toFixed(1)} s (processor ${processor.toFixed(1)} s), ` +
          `${cpus} vCPUs ${other.seconds.toFixed(1)} s (${other.processor.toFixed(1)} s)`,
      );
    }
  }
  for (let run = 0; run < plan.runs; run++) {
    const gains = one.map((runs, round) => runs[run].seconds / several[round][run].seconds);
    console.log(`run ${run + 1}: ${cpus} vCPUs are ${median(gains).toFixed(2)} times as fast (median of ${rounds})`);
  }
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ cpus, one, several }, undefined, 2)}\n`);
  const checksums = new Set([...one, ...several].flat().map(({ checksum }) => checksum));
  if (checksums.size > 1) console.log(`the results differ: ${[...checksums].join(', ')}`);
  return checksums.size > 1 ? 1 : 0;
}

try {
  process.exitCode = await interruptible(process, main);
} catch (error) {
  process.stderr.write(`bench: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
