/** Runs a guest that stress-ng works in, and judges how it went. */
import { readFile } from 'node:fs/promises';
import { DEFAULT_TRANSLATION } from '../src/engine/translated/vcpu-interface.ts';
import { startMachine } from '../src/sdk/node/start-machine.ts';
import { COMPLAINTS } from '../test/boot/kernel-messages.ts';
import type { PackageSource } from './package-files.ts';
import { SAYS, stressGuest } from './stress-guest.ts';

export interface StressOptions {
  readonly source: PackageSource;
  readonly cpus: number;
  /** How long stress-ng works, in seconds. */
  readonly seconds: number;
  /** Its other arguments. */
  readonly stressors: string;
  /** Takes each line of the console as it comes. */
  line?(line: string): void;
}

export interface StressResult {
  /** What is wrong; nothing if all is well. */
  readonly problems: readonly string[];
  /** All that the guest said. */
  readonly output: string;
  readonly figures: Readonly<Record<string, number | string>>;
}

/** What the issue of several vCPUs asks for. */
export const STRESSORS = '--cpu 2 --vm 2 --vm-bytes 64M --fork 2 --futex 2 --switch 2';

const MEMORY = 512 * 2 ** 20;
/** Seconds for its boot, for its end, and more than it ever takes to say that it goes on, on a busy host. */
const PATIENCE = { boots: 1800, ends: 600, silent: 300 } as const;

/** Lines of a console with the terminal's ends of lines. */
const linesOf = (output: string): string[] => output.replaceAll('\r', '').split('\n');

/** What is wrong in what a guest said that ran to its end, or did not. */
export function judgeStress(output: string, cpus: number): string[] {
  const lines = linesOf(output);
  const problems: string[] = [];
  const said = (word: string): string | undefined =>
    lines.find((line) => line.startsWith(word))?.slice(word.length + 1);
  if (said(SAYS.begins) !== String(cpus)) problems.push(`it did not begin on ${cpus} vCPUs`);
  if (said(SAYS.status) !== '0') problems.push(`stress-ng ended with status ${said(SAYS.status) ?? 'unknown'}`);
  const log = lines.slice(lines.indexOf(SAYS.log) + 1, lines.indexOf(SAYS.ends));
  if (said(SAYS.ends) === undefined || log.length < 100) problems.push('it did not show its kernel’s log');
  problems.push(...lines.filter((line) => COMPLAINTS.test(line) || /stress-ng: (fail|error)/.test(line)));
  return problems;
}

/** Runs a guest to its end, or until it has been silent for too long. */
export async function runStress(options: StressOptions): Promise<StressResult> {
  const { source, cpus, seconds, stressors, line = () => {} } = options;
  const command = `stress-ng ${stressors} --verify --metrics-brief --timeout ${seconds}s`;
  const { kernel, initrd, append } = await stressGuest(source, command);
  const machine = await startMachine({
    kernel: { name: kernel, bytes: await readFile(kernel) },
    initrd: { name: 'initrd', bytes: initrd },
    append,
    memory: MEMORY,
    cpus,
    translation: DEFAULT_TRANSLATION,
    reboot: false,
  });
  const started = performance.now();
  let heard = started;
  let begun: number | undefined;
  let output = '';
  machine.onOutput((bytes) => {
    heard = performance.now();
    const before = output.lastIndexOf('\n') + 1;
    output += Buffer.from(bytes).toString('latin1');
    for (const text of linesOf(output.slice(before)).slice(0, -1)) {
      if (text.startsWith(SAYS.begins)) begun = heard;
      line(text);
    }
  });
  const stuck = Promise.withResolvers<string>();
  const timer = setInterval(() => {
    const now = performance.now();
    if (now - heard > PATIENCE.silent * 1000) stuck.resolve(`it said nothing for ${PATIENCE.silent} s`);
    if (begun === undefined && now - started > PATIENCE.boots * 1000) stuck.resolve('it did not boot');
    if (begun !== undefined && now - begun > (seconds + PATIENCE.ends) * 1000) stuck.resolve('it did not end');
    if (source.signal.aborted) stuck.resolve('it was interrupted');
  }, 500);
  try {
    const problem = await Promise.race([machine.ended.then(() => undefined), stuck.promise]);
    await machine.refreshStatistics?.();
    const problems = [...(problem === undefined ? [] : [problem]), ...judgeStress(output, cpus)];
    return { problems, output, figures: machine.statistics?.() ?? {} };
  } finally {
    clearInterval(timer);
    await machine.stop();
  }
}
