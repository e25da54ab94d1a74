/**
 * Boot of a guest to its prompt, on Virts and on QEMU's TCG: the same files, in turn, in one run.
 * `npm run bench:boot -- --help`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { FILES } from '../src/cli/machines/files.ts';
import { makeFromImage } from '../src/cli/machines/image-files.ts';
import { showProgress } from '../src/cli/progress.ts';
import { cacheDirectory } from '../src/images/apt/cache.ts';
import { defaultGuest } from '../src/images/default-guest.ts';
import { type Boot, type BootOptions, boot } from './boot-time.ts';
import type { Command } from './child.ts';
import { bootCommand, imageCommand, qemuVersion } from './engines.ts';
import { monitorOverhead } from './memory.ts';
import { count, runBench } from './program.ts';
import { median } from './statistics.ts';

const USAGE = `npm run bench:boot -- [options]
  --image NAME     boot a machine with a new disk over this image, to its login prompt; else the default guest
  --arch NAME      of the default guest: amd64 (the default) or i386
  --starts N       how often each machine starts, with the disk that the start before left (default 2 for an image, else 1)
  --rounds N       how often everything is measured (default 3)
  --limit SECONDS  give a start up after this time (default 600)
  --json FILE      write the result as JSON
`;

const ENGINES = ['virts', 'tcg'] as const;
type Engine = (typeof ENGINES)[number];

interface Guest {
  readonly name: string;
  readonly starts: number;
  readonly options: Omit<BootOptions, 'limit'>;
  /** The command that starts a machine with a disk of its own, if it has one, in a directory. */
  command(engine: Engine, directory: string): Promise<Command>;
}

/** One of the default guest, which has no disk. */
async function defaultOne(architecture: 'amd64' | 'i386', signal: AbortSignal): Promise<Guest> {
  const progress = showProgress(process.stderr);
  const guest = await defaultGuest({ cache: cacheDirectory(), architecture, signal, progress });
  const prompt = 'virts# ';
  return {
    name: `the default guest (${architecture})`,
    starts: 1,
    options: { prompt, leave: { prompt, type: 'poweroff -f\n' } },
    command: async (engine) => bootCommand(engine, guest),
  };
}

/** One of an image, whose serial port logs root in. */
const imageOne = (name: string): Guest => ({
  name: `the image ${name}`,
  starts: 2,
  options: { prompt: 'login: ', leave: { prompt: ':~# ', type: 'systemctl poweroff\n' } },
  async command(engine, directory) {
    const { kernel, initrd, append } = await makeFromImage(name, directory, process.env);
    return imageCommand(engine, { kernel, initrd, append, disk: join(directory, FILES.disk) });
  },
});

interface Start {
  readonly round: number;
  /** Counts from 0. */
  readonly start: number;
  readonly boots: Readonly<Record<Engine, Boot>>;
}

async function measureRound(guest: Guest, round: number, limit: number, signal: AbortSignal): Promise<Start[]> {
  const directory = mkdtempSync(join(tmpdir(), 'virts-bench-boot-'));
  try {
    const boots: Record<Engine, Boot[]> = { virts: [], tcg: [] };
    for (const engine of round % 2 === 0 ? ENGINES : ENGINES.toReversed()) {
      const own = mkdtempSync(join(directory, `${engine}-`));
      const command = await guest.command(engine, own);
      for (let start = 0; start < guest.starts; start++) {
        boots[engine].push(await boot(command, { ...guest.options, limit }, signal));
        signal.throwIfAborted();
      }
    }
    return boots.virts.map((virts, start) => ({ round, start, boots: { virts, tcg: boots.tcg[start] } }));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const figure = ({ seconds, processor = Number.NaN }: Boot): string =>
  `${seconds.toFixed(2)} s (processor ${processor.toFixed(2)} s)`;

/** Medians of all rounds, for each start. */
function summarize(starts: readonly Start[], count: number) {
  return Array.from({ length: count }, (_, start) => {
    const these = starts.filter((one) => one.start === start).map(({ boots }) => boots);
    const overheads = these
      .map(({ virts }) => monitorOverhead(virts.peak, virts.log))
      .filter((value) => value !== undefined);
    return {
      virtsSeconds: median(these.map(({ virts }) => virts.seconds)),
      tcgSeconds: median(these.map(({ tcg }) => tcg.seconds)),
      ratio: median(these.map(({ virts, tcg }) => virts.seconds / tcg.seconds)),
      processorRatio: median(these.map(({ virts, tcg }) => (virts.processor ?? NaN) / (tcg.processor ?? NaN))),
      ...(overheads.length === 0 ? {} : { monitorOverheadMiB: median(overheads) }),
    };
  });
}

async function main(signal: AbortSignal): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{ image: text, arch: { ...text, default: 'amd64' }, starts: text, json: text },
      ...{ rounds: { ...text, default: '3' }, limit: { ...text, default: '600' } },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { image, arch } = values;
  if (arch !== 'amd64' && arch !== 'i386') throw new VirtsError('usage', '--arch takes amd64 or i386.');
  const found = image === undefined ? await defaultOne(arch, signal) : imageOne(image);
  const guest = { ...found, starts: values.starts === undefined ? found.starts : count('starts', values.starts) };
  const limit = count('limit', values.limit);
  const starts: Start[] = [];
  for (let round = 0; round < count('rounds', values.rounds); round++) {
    for (const measured of await measureRound(guest, round, limit, signal)) {
      starts.push(measured);
      const { virts, tcg } = measured.boots;
      console.log(`round ${round + 1}, start ${measured.start + 1}: virts ${figure(virts)}, TCG ${figure(tcg)}`);
    }
  }
  const result = { guest: guest.name, qemu: await qemuVersion(), node: process.version };
  console.log(`${guest.name}; ${result.qemu}; Node ${result.node}`);
  const summary = summarize(starts, guest.starts);
  for (const [start, { ratio, processorRatio, monitorOverheadMiB }] of summary.entries()) {
    console.log(
      `start ${start + 1}: virts takes ${ratio.toFixed(2)} times as long as TCG, and ${processorRatio.toFixed(2)} times its processor time`,
    );
    if (monitorOverheadMiB !== undefined)
      console.log(
        `  monitor overhead at the prompt: ${monitorOverheadMiB.toFixed(0)} MiB beside what the guest touched`,
      );
  }
  console.log(starts[0].boots.virts.log.trim());
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ ...result, summary, starts }, undefined, 2)}\n`);
  return 0;
}

await runBench(main);
