/** The time from the start of a process to its guest's prompt. */
import { type Command, startChild } from './child.ts';
import type { Outcome } from './machine.ts';

const PROMPT = 'virts# ';

/** Boots the default guest, once, and ends it at the prompt. */
export async function bootTime(command: Command, limit: number, signal: AbortSignal): Promise<Outcome> {
  const started = performance.now();
  const child = startChild(command, signal);
  let timer: NodeJS.Timeout | undefined;
  let output = '';
  try {
    const seconds = await new Promise<number>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`There was no prompt after ${limit} s.`)), limit * 1000);
      child.process.on('error', reject);
      child.process.on('exit', (code, signal) =>
        reject(new Error(`The machine ended (${signal ?? `status ${code}`}). ${child.log().trim()}`)),
      );
      child.process.stdout.on('data', (chunk: Buffer) => {
        output = (output + chunk.toString('latin1')).slice(-1000);
        if (output.includes(PROMPT)) resolve((performance.now() - started) / 1000);
      });
    });
    return { status: 'done', measurement: { seconds, slices: [], checksum: '' } };
  } catch (error) {
    return { status: 'failed', reason: (error as Error).message };
  } finally {
    clearTimeout(timer);
    await child.end();
  }
}
