/**
 * A process of its own that restores a machine and runs it to its end: `node resume.ts SNAPSHOT INPUTS CPUS`, the paths of
 * what `SeededMachine.save` gave and of a JSON list of `StoredInput`, and its vCPUs. Prints a `Resumed` as JSON.
 */
import { readFileSync } from 'node:fs';
import type { MachineEnd } from '../../src/vm/machine.ts';
import { seededMachine } from './guest.ts';
import { replayTo } from './replay.ts';

export interface StoredInput {
  readonly at: number;
  readonly text: string;
}

export interface Resumed {
  readonly output: string;
  readonly end: MachineEnd | undefined;
  readonly instructions: number;
}

/** More instructions than any run has. */
const LIMIT = 20_000_000_000;

if (import.meta.main) {
  const [snapshot, inputs, cpus] = process.argv.slice(2);
  const stored = JSON.parse(readFileSync(inputs, 'utf8')) as StoredInput[];
  const resumed = seededMachine({ restore: readFileSync(snapshot), cpus: Number(cpus) });
  const end = replayTo(
    resumed,
    stored.map(({ at, text }) => ({ at, bytes: Buffer.from(text, 'latin1') })),
    LIMIT,
  );
  const result: Resumed = { output: resumed.output(), end, instructions: resumed.machine.retired() };
  process.stdout.write(JSON.stringify(result));
}
