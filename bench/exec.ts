/**
 * How long `virts exec` takes on a machine that has nothing to do, and where that time goes.
 * `npm run bench:exec -- --help`.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { agentOf } from '../src/cli/machine-socket.ts';
import { execute } from '../src/vm/agent/execute.ts';
import type { DialAgent } from '../src/vm/agent/session.ts';
import { runBench } from './program.ts';
import { median, quantile } from './statistics.ts';

const USAGE = `npm run bench:exec -- [options] [MACHINE]
  MACHINE          one that runs; else a new one is made, and removed afterwards
  --image NAME     the image of the new machine (default debian)
  --memory SIZE    its memory (default 512M)
  --command WORDS  what is run (default true)
  --rounds N       how often (default 50)
  --rest MS        how long the machine has nothing to do before each (default 300)
  --json FILE      write the result as JSON
`;

const MAIN = join(import.meta.dirname, '../dist/cli/main.js');
const NOTHING = join(import.meta.dirname, 'nothing.js');
/** How long (ms) a machine that has just started is left alone. */
const SETTLE_MS = 30_000;
/** What is demanded: the whole of `virts exec NAME true`, in milliseconds. */
const TARGET_MS = 60;

/** What is measured, with what it is. All in milliseconds. */
const PARTS = {
  whole: 'virts exec, from its start to its end',
  node: 'Node alone: a program that does nothing',
  connect: 'until the agent has taken the connection',
  start: 'from there until the program runs',
  end: 'from there until the host knows how it ended',
} as const;
type Part = keyof typeof PARTS;
type Round = Readonly<Record<Part, number>>;

function virts(...words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words], { encoding: 'utf8' });
  if (status !== 0) throw new VirtsError('io', `virts ${words[0]} failed: ${stderr.trim()}`);
  return stdout.trim();
}

/** Milliseconds that a program of Node's takes. */
function programTime(words: readonly string[]): number {
  const began = performance.now();
  const { status, stderr } = spawnSync(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  const time = performance.now() - began;
  if (status !== 0) throw new VirtsError('io', `A measured program failed: ${String(stderr).trim()}`);
  return time;
}

/** The same without a process of its own, part by part. */
async function partTimes(dial: DialAgent, command: readonly string[]): Promise<Omit<Round, 'whole' | 'node'>> {
  const began = performance.now();
  let connected = began;
  const noting: DialAgent = (events) =>
    dial({
      ...events,
      connected() {
        connected = performance.now();
        events.connected();
      },
    });
  const program = execute(noting, { command }, { stdout() {}, stderr() {} });
  await program.started;
  const started = performance.now();
  await program.exited;
  return { connect: connected - began, start: started - connected, end: performance.now() - started };
}

async function measure(
  machine: string,
  { command, rounds, rest }: { readonly command: readonly string[]; readonly rounds: number; readonly rest: number },
  signal: AbortSignal,
): Promise<Round[]> {
  const dial = agentOf(machine, process.env, (sentence) => void process.stderr.write(`${sentence}\n`));
  const result: Round[] = [];
  // The first ones of a machine find nothing translated, and pages that are not there.
  for (let round = -3; round < rounds; round++) {
    const pause = () => setTimeout(rest, undefined, { signal });
    await pause();
    const parts = await partTimes(dial, command);
    await pause();
    const whole = programTime([MAIN, 'exec', machine, ...command]);
    const node = programTime([NOTHING]);
    if (round >= 0) result.push({ whole, node, ...parts });
  }
  return result;
}

function summarize(rounds: readonly Round[]) {
  const of = (part: Part) => rounds.map((round) => round[part]);
  return Object.fromEntries(
    (Object.keys(PARTS) as Part[]).map((part) => [part, { median: median(of(part)), p95: quantile(of(part), 0.95) }]),
  ) as Record<Part, { readonly median: number; readonly p95: number }>;
}

async function main(signal: AbortSignal): Promise<number> {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ...{ image: { ...text, default: 'debian' }, memory: { ...text, default: '512M' }, json: text },
      ...{
        command: { ...text, default: 'true' },
        rounds: { ...text, default: '50' },
        rest: { ...text, default: '300' },
      },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [rounds, rest] = [Number(values.rounds), Number(values.rest)];
  if (!(rounds >= 1) || !(rest >= 0)) throw new VirtsError('usage', '--rounds and --rest take numbers.');
  const command = values.command.split(' ');
  const made = positionals[0] === undefined ? virts('run', '-d', '--memory', values.memory, values.image) : undefined;
  const machine = positionals[0] ?? made!;
  try {
    virts('exec', machine, 'true');
    if (made !== undefined) await setTimeout(SETTLE_MS, undefined, { signal });
    const measured = await measure(machine, { command, rounds, rest }, signal);
    const summary = summarize(measured);
    console.log(`virts exec ${values.command}; Node ${process.version}; ${rounds} rounds; milliseconds`);
    console.log('  median     p95');
    for (const [part, { median: middle, p95 }] of Object.entries(summary)) {
      console.log(`${middle.toFixed(1).padStart(8)} ${p95.toFixed(1).padStart(7)}  ${PARTS[part as Part]}`);
    }
    if (values.command === 'true') {
      const { whole } = summary;
      console.log(`less than ${TARGET_MS} is demanded: ${whole.median < TARGET_MS ? 'reached' : 'MISSED'}`);
    }
    const result = { node: process.version, command, rest, summary, rounds: measured };
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
    return 0;
  } finally {
    if (made !== undefined) virts('rm', '--force', made);
  }
}

await runBench(main);
