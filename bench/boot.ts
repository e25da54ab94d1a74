/**
 * Boot of the default guest to its prompt, on Virts and on QEMU's TCG: the same files, in turn, in one run.
 * `npm run bench:boot -- [--rounds N] [--arch amd64|i386] [--json FILE]`
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SILENT } from '../src/images/apt/progress.ts';
import { defaultGuest } from '../src/images/default-guest.ts';
import { monitorOverhead, peakMemory } from './memory.ts';

const PROMPT = 'virts# ';

interface Boot {
  /** Seconds from the start of the process to the prompt. */
  readonly seconds: number;
  /** Most KiB of memory that the process had until then. */
  readonly peak: number | undefined;
  /** What the process said on standard error. */
  readonly log: string;
}

/** Starts a program, waits for the prompt on its standard output, types `poweroff -f` and waits for its end. */
async function boot(command: string, args: readonly string[]): Promise<Boot> {
  const started = performance.now();
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk;
  });
  const seconds = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => reject(new Error(`${command} ended early with status ${status}: ${log}${output}`)));
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk;
      if (output.includes(PROMPT)) resolve((performance.now() - started) / 1000);
    });
  });
  const peak = peakMemory(child.pid);
  child.removeAllListeners('exit');
  const exited = once(child, 'exit');
  child.stdin.write('poweroff -f\n');
  await exited;
  return { seconds, peak, log };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function version(command: string): Promise<string> {
  const child = spawn(command, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk;
  });
  await once(child, 'close');
  return text.split('\n')[0];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      arch: { type: 'string', default: 'amd64' },
      json: { type: 'string' },
    },
  });
  const architecture = values.arch === 'i386' ? 'i386' : 'amd64';
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'virts');
  const guest = await defaultGuest({
    cache,
    architecture,
    signal: new AbortController().signal,
    progress: SILENT,
  });
  const qemu = 'qemu-system-x86_64';
  const files = (kernel: string, initrd: string, append: string) => [
    ...[kernel, guest.kernel],
    ...[initrd, guest.initrd],
    ...[append, guest.append],
  ];
  const virtsArgs = [
    join(import.meta.dirname, '../dist/cli/main.js'),
    ...['run', '--stats', '--net', 'none', '--memory', '512M'],
    ...files('--kernel', '--initrd', '--append'),
  ];
  const qemuArgs = [
    ...['-accel', 'tcg', '-cpu', 'Westmere,+movbe,+bmi1,+bmi2,+adx,+rdrand,+rdseed,+smep,+smap', '-m', '512M'],
    ...['-nographic', '-no-reboot', '-net', 'none'],
    ...files('-kernel', '-initrd', '-append'),
  ];
  const virts: Boot[] = [];
  const tcg: Boot[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    virts.push(await boot(process.execPath, virtsArgs));
    tcg.push(await boot(qemu, qemuArgs));
    console.log(
      `round ${round + 1}: virts ${virts[round].seconds.toFixed(2)} s, TCG ${tcg[round].seconds.toFixed(2)} s`,
    );
  }
  const overheads = virts.map(({ peak, log }) => monitorOverhead(peak, log)).filter((value) => value !== undefined);
  const result = {
    node: process.version,
    qemu: await version(qemu),
    architecture,
    virtsSeconds: median(virts.map((b) => b.seconds)),
    tcgSeconds: median(tcg.map((b) => b.seconds)),
    ratio: median(virts.map((b, i) => b.seconds / tcg[i].seconds)),
    ...(overheads.length === 0 ? {} : { monitorOverheadMiB: median(overheads) }),
  };
  console.log(`${result.qemu}; Node ${result.node}; ${architecture}`);
  console.log(`median: virts ${result.virtsSeconds.toFixed(2)} s, TCG ${result.tcgSeconds.toFixed(2)} s`);
  console.log(`virts takes ${result.ratio.toFixed(2)} times as long as TCG`);
  if (result.monitorOverheadMiB !== undefined)
    console.log(
      `monitor overhead at the prompt: ${result.monitorOverheadMiB.toFixed(0)} MiB beside what the guest touched`,
    );
  console.log(virts[0].log.trim());
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
}

await main();
