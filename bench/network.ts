/**
 * The network benchmark: the same guest on Virts' network and on QEMU's user networking under TCG, in turn, in one run.
 * `npm run bench:network -- [--rounds N] [--seconds N] [--engines tcg,virts] [--only a,b] [--json FILE]`
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { showProgress } from '../src/cli/progress.ts';
import { cacheDirectory } from '../src/images/apt/cache.ts';
import { defaultGuest, type Guest } from '../src/images/default-guest.ts';
import { networkCommand, qemuVersion } from './engines.ts';
import { type Machine, startMachine } from './machine.ts';
import { networkInitrd } from './network-image.ts';
import { exchanges, fetchPages, freePort, servePages, serveThroughput } from './network-load.ts';
import { runBench } from './program.ts';
import { table, verdict } from './report.ts';
import { median } from './statistics.ts';

type Engine = 'tcg' | 'virts';

/** The least that Virts has to reach of QEMU's speed. */
const TARGET = 0.7;
/** Seconds for a start, and for a measurement beside its own time. */
const LIMIT = 400;
const EXCHANGES = 500;
const CONNECTIONS = 400;
const PARALLEL = 16;

/** A machine and the ports that lead into it. */
interface Target {
  readonly machine: Machine;
  readonly echoPort: number;
  readonly pagePort: number;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

interface Measurement {
  readonly title: string;
  readonly unit: string;
  /** More is better, or less. */
  readonly better: 'more' | 'less';
  readonly target?: number;
  measure(target: Target): Promise<number>;
}

/** Runs a command in the guest. @throws Error where it fails. */
async function command({ machine }: Target, text: string, seconds: number): Promise<void> {
  const marks = (event: string) => `echo MARK command ${event}`;
  const line = `${marks('start')}; ${text} || exit 1; ${marks('end')}; ${marks('checksum')}`;
  const outcome = await machine.run('command', line, LIMIT + seconds);
  if (outcome.status === 'failed') throw new Error(outcome.reason);
}

async function throughput(target: Target, sends: boolean): Promise<number> {
  const port = await freePort();
  const served = serveThroughput(port, sends, target.signal);
  const client = `iperf3 -c 10.0.2.2 -p ${port} -t ${target.seconds} -O 1 ${sends ? '-R' : ''} >/tmp/log 2>&1`;
  // The server may need a moment.
  const [rate] = await Promise.all([
    served,
    command(target, `{ sleep 1; ${client} || { cat /tmp/log; false; }; }`, target.seconds),
  ]);
  return rate;
}

/** Connections per second of the guest to the host. */
async function outward(target: Target, parallel: number): Promise<number> {
  const { server, port, times } = await servePages();
  try {
    const start = performance.now();
    await command(target, `ab -q -n ${CONNECTIONS} -c ${parallel} http://10.0.2.2:${port}/ >/tmp/log 2>&1`, 0);
    if (times.length < CONNECTIONS) throw new Error(`The guest made only ${times.length} connections.`);
    return (times.length - 1) / ((times.at(-1)! - Math.max(start, times[0]!)) / 1000);
  } finally {
    server.close();
  }
}

const MEASUREMENTS: Readonly<Record<string, Measurement>> = {
  download: {
    title: 'TCP host to guest',
    ...{ unit: 'Mbit/s', better: 'more', target: TARGET },
    measure: (target) => throughput(target, true),
  },
  upload: {
    title: 'TCP guest to host',
    ...{ unit: 'Mbit/s', better: 'more', target: TARGET },
    measure: (target) => throughput(target, false),
  },
  latency: {
    title: 'exchange of a byte',
    ...{ unit: 'ms', better: 'less' },
    measure: async ({ echoPort }) => median(await exchanges(echoPort, EXCHANGES)),
  },
  outward: {
    title: 'connections outwards, one by one',
    ...{ unit: '/s', better: 'more' },
    measure: (target) => outward(target, 1),
  },
  'outward-many': {
    title: `connections outwards, ${PARALLEL} at once`,
    ...{ unit: '/s', better: 'more' },
    measure: (target) => outward(target, PARALLEL),
  },
  inward: {
    title: 'pages through a forward, one by one',
    ...{ unit: '/s', better: 'more' },
    measure: ({ pagePort }) => fetchPages(pagePort, CONNECTIONS, 1),
  },
  'inward-many': {
    title: `pages through a forward, ${PARALLEL} at once`,
    ...{ unit: '/s', better: 'more' },
    measure: ({ pagePort }) => fetchPages(pagePort, CONNECTIONS, PARALLEL),
  },
};

interface Bench {
  readonly guest: Guest;
  readonly initrd: string;
  readonly engines: readonly Engine[];
  readonly names: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

type Samples = Readonly<Record<Engine, number[]>>;

async function start(bench: Bench, engine: Engine): Promise<Target> {
  const [echoPort, pagePort] = [await freePort(), await freePort()];
  const forwards = [
    { host: echoPort, guest: 7 },
    { host: pagePort, guest: 80 },
  ];
  const starts = networkCommand(engine, bench.guest, bench.initrd, forwards);
  const machine = await startMachine(starts, LIMIT, bench.signal);
  return { machine, echoPort, pagePort, seconds: bench.seconds, signal: bench.signal };
}

/** Both engines are up for the whole round; while one is measured the other waits for input. */
async function runRound(bench: Bench, round: number, samples: ReadonlyMap<string, Samples>): Promise<void> {
  const targets = new Map<Engine, Target>();
  try {
    for (const engine of bench.engines) targets.set(engine, await start(bench, engine));
    for (const name of bench.names) {
      const line: string[] = [];
      for (const at of bench.engines.keys()) {
        const engine = bench.engines[(at + round) % bench.engines.length]!;
        const { measure, unit } = MEASUREMENTS[name]!;
        const value = await measure(targets.get(engine)!);
        samples.get(name)![engine].push(value);
        line.push(`${engine} ${value.toFixed(2)} ${unit}`);
      }
      process.stderr.write(`round ${round + 1}, ${name}: ${line.toSorted().join(', ')}\n`);
    }
  } finally {
    await Promise.all([...targets.values()].map(({ machine }) => machine.end()));
  }
}

/** The ratio of a measurement as speed: more is better. */
function ratio({ better }: Measurement, { tcg, virts }: Samples): number {
  return median(virts.map((value, round) => (better === 'more' ? value / tcg[round]! : tcg[round]! / value)));
}

function rows(names: readonly string[], samples: ReadonlyMap<string, Samples>): string[][] {
  return names.map((name) => {
    const measurement = MEASUREMENTS[name]!;
    const { tcg, virts } = samples.get(name)!;
    const speed = ratio(measurement, { tcg, virts });
    const figure = (values: readonly number[]) =>
      values.length === 0 ? '' : `${median(values).toFixed(2)} ${measurement.unit}`;
    return [
      ...[measurement.title, figure(virts), figure(tcg), Number.isNaN(speed) ? '' : `${speed.toFixed(2)}x`],
      measurement.target === undefined || Number.isNaN(speed)
        ? ''
        : `${measurement.target}x ${verdict(speed >= measurement.target)}`,
    ];
  });
}

function list<T extends string>(value: string | undefined, known: readonly T[]): readonly T[] {
  const names = value?.split(',') ?? known;
  const strange = names.find((name) => !known.includes(name as T));
  if (strange !== undefined) throw new VirtsError('usage', `There is no '${strange}'; there are ${known.join(', ')}.`);
  return names as T[];
}

async function main(signal: AbortSignal): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '5' },
      engines: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'string' },
      mirror: { type: 'string' },
      keyring: { type: 'string' },
      refresh: { type: 'boolean', default: false },
    },
  });
  const { mirror, keyring, refresh } = values;
  const common = { cache: cacheDirectory(), mirror, keyring, refresh, signal, progress: showProgress(process.stderr) };
  const guest = await defaultGuest(common);
  const bench: Bench = {
    ...{ guest, initrd: await networkInitrd(guest, common), signal },
    engines: list(values.engines, ['virts', 'tcg']),
    names: list(values.only, Object.keys(MEASUREMENTS)),
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
  };
  const samples = new Map(bench.names.map((name) => [name, { tcg: [], virts: [] } as Record<Engine, number[]>]));
  for (let round = 0; round < bench.rounds; round++) await runRound(bench, round, samples);
  const lines = table([['', 'Virts', 'QEMU', 'Virts is', 'target'], ...rows(bench.names, samples)]);
  const version = bench.engines.includes('tcg') ? await qemuVersion() : 'without QEMU';
  process.stdout.write(`${version}; Node ${process.version}; ${bench.rounds} rounds\n${lines.join('\n')}\n`);
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify(Object.fromEntries(samples), undefined, 2)}\n`);
  }
  return 0;
}

await runBench(main);
