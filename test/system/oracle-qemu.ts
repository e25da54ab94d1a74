/**
 * A test program under QEMU, by KVM or by its own emulation. The debug-exit port is QEMU's pvpanic device, which stops the
 * machine where a debug-exit device would end the process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Outcome } from './compare.ts';
import { LAYOUT } from './log.ts';

/** Milliseconds after which a program counts as one that does not end. */
const TIME_LIMIT = 6_000;
const POLL_INTERVAL = 300;

type Accelerator = 'kvm' | 'tcg';

/** Some hosts offer ARCH_CAPABILITIES without being able to set it. */
const CPU: Record<Accelerator, string> = { kvm: 'host,arch-capabilities=off', tcg: 'max,vendor=GenuineIntel' };

type Message = { event?: string; return?: unknown; error?: { desc: string }; QMP?: unknown };

/** A QEMU with its monitor. */
interface Monitor {
  command(execute: string, args?: object): Promise<unknown>;
  human(line: string): Promise<string>;
  /** The first event that ended the guest's run, or undefined after `ms` milliseconds. */
  ended(ms: number): Promise<string | undefined>;
}

function openMonitor(child: ChildProcess): Monitor {
  const answers: ((message: Message) => void)[] = [];
  let end: string | undefined;
  let wake = () => {};
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const message = JSON.parse(line) as Message;
    if (message.event === 'GUEST_PANICKED' || message.event === 'SHUTDOWN') {
      end ??= message.event;
      wake();
    } else if (message.event === undefined && message.QMP === undefined) answers.shift()?.(message);
  });
  child.on('close', () => {
    for (const answer of answers.splice(0)) answer({ error: { desc: 'QEMU ended.' } });
  });
  const command = (execute: string, args: object = {}) =>
    new Promise<unknown>((resolve, reject) => {
      answers.push(({ return: value, error }) => (error ? reject(new Error(error.desc)) : resolve(value)));
      child.stdin!.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    });
  return {
    command,
    human: (line) => command('human-monitor-command', { 'command-line': line }) as Promise<string>,
    ended: (ms) =>
      new Promise((resolve) => {
        if (end !== undefined) return resolve(end);
        const timer = setTimeout(() => resolve(undefined), ms);
        wake = () => {
          clearTimeout(timer);
          resolve(end);
        };
      }),
  };
}

async function waitForEnd(monitor: Monitor): Promise<Outcome['end']> {
  for (let waited = 0; waited < TIME_LIMIT; waited += POLL_INTERVAL) {
    const event = await monitor.ended(POLL_INTERVAL);
    if (event !== undefined) return event === 'SHUTDOWN' ? 'triple-fault' : 'exit';
    const registers = await monitor.human('info registers');
    const flags = Number.parseInt(/(?:RFL|EFL)=([0-9a-f]+)/.exec(registers)?.[1] ?? '', 16);
    if (registers.includes('HLT=1') && (flags & 0x200) === 0) return 'halt';
  }
  return 'limit';
}

export async function runOnQemu(rom: string, directory: string, accelerator: Accelerator): Promise<Outcome> {
  const options = [
    ...['-accel', accelerator, '-cpu', CPU[accelerator], '-m', '32M', '-bios', rom],
    ...['-nodefaults', '-display', 'none', '-qmp', 'stdio', '-device', 'pvpanic,ioport=0xf4'],
    ...['-action', 'reboot=shutdown,shutdown=pause,panic=pause'],
  ];
  const child = spawn('qemu-system-x86_64', options, { stdio: ['pipe', 'pipe', 'ignore'] });
  const closed = new Promise((resolve) => child.on('close', resolve));
  try {
    const monitor = openMonitor(child);
    await monitor.command('qmp_capabilities');
    const end = await waitForEnd(monitor);
    const filename = join(directory, 'memory');
    await monitor.command('pmemsave', { val: LAYOUT.base, size: LAYOUT.end - LAYOUT.base, filename });
    return { end, memory: new Uint8Array(readFileSync(filename)) };
  } finally {
    child.kill('SIGKILL');
    await closed;
  }
}
