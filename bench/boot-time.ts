/** The time from the start of a process to its guest's prompt. */
import { once } from 'node:events';
import { setTimeout as after } from 'node:timers/promises';
import { type Command, startChild } from './child.ts';
import type { Outcome } from './machine.ts';
import { peakMemory, processorTime } from './memory.ts';

/** The default guest's. */
const PROMPT = 'virts# ';

export interface Boot {
  /** Seconds from the start of the process to the prompt. */
  readonly seconds: number;
  /** Seconds of processor time that the process took until then. */
  readonly processor: number | undefined;
  /** Most KiB of memory that the process had until then. */
  readonly peak: number | undefined;
  /** The last of what the process said on standard error. */
  readonly log: string;
}

export interface BootOptions {
  /** What the guest writes to its serial port when it is ready. */
  readonly prompt: string;
  /** How the guest is left: when it has written `prompt`, `type` is typed. Without, it is ended at once. */
  readonly leave?: { readonly prompt: string; readonly type: string };
  /** Most seconds to the prompt, and from there to the end. */
  readonly limit: number;
}

/** Boots a guest to its prompt and ends it. Rejects with a sentence where it does not come so far. */
export async function boot(command: Command, options: BootOptions, signal: AbortSignal): Promise<Boot> {
  const { prompt, leave, limit } = options;
  const started = performance.now();
  const child = startChild(command, signal);
  const over = new AbortController();
  let output = '';
  const failed = new Promise<never>((_, reject) => {
    child.process.on('error', reject);
    child.process.on('exit', (code, name) =>
      reject(new Error(`The machine ended (${name ?? `status ${code}`}). ${child.log().trim()}`)),
    );
  });
  failed.catch(() => {});
  /** Waits for what the guest writes. */
  const heard = (text: string): Promise<unknown> => {
    const written = new Promise<void>((resolve) => {
      const look = (): void => {
        if (output.includes(text)) resolve();
      };
      child.process.stdout.on('data', look);
      look();
    });
    return Promise.race([written, failed, late()]);
  };
  const late = async (): Promise<never> => {
    await after(limit * 1000, undefined, { signal: over.signal });
    throw new Error(`There was no prompt after ${limit} s.`);
  };
  child.process.stdout.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString('latin1')).slice(-4000);
  });
  try {
    await heard(prompt);
    const seconds = (performance.now() - started) / 1000;
    const { pid } = child.process;
    const measured = { seconds, processor: processorTime(pid)?.all, peak: peakMemory(pid) };
    if (leave !== undefined) {
      await heard(leave.prompt);
      const exited = once(child.process, 'exit');
      child.process.stdin.write(leave.type);
      await Promise.race([exited, late()]);
    }
    return { ...measured, log: child.log() };
  } finally {
    over.abort();
    await child.end();
  }
}

/** As `boot`, of the default guest, as a benchmark's outcome. */
export async function bootTime(command: Command, limit: number, signal: AbortSignal): Promise<Outcome> {
  try {
    const { seconds } = await boot(command, { prompt: PROMPT, limit }, signal);
    return { status: 'done', measurement: { seconds, slices: [], checksum: '' } };
  } catch (error) {
    return { status: 'failed', reason: (error as Error).message };
  }
}
