/** A machine that is saved at any instruction of its boot, and restored in another process, goes on as if nothing was. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { KernelRequest } from '../../src/machine/boot.ts';
import { guestFiles, seededMachine } from './guest.ts';
import { guestSession, type Input, PROMPT } from './guest-session.ts';
import { replayTo } from './replay.ts';
import type { Resumed, StoredInput } from './resume.ts';

const POINTS = 20;
const SEED = 20;
/** Processes at a time, beside the one that saves. */
const PROCESSES = 2;
/** Commands whose output shows time, interrupts and random numbers. */
const COMMANDS = [
  'date; cat /proc/uptime',
  'cat /proc/interrupts',
  'head -c 32 /dev/hwrng | hexdump',
  'ls -l /bin | tail',
];

interface Reference extends Resumed {
  readonly inputs: readonly Input[];
}

let directory: string;
let boot: KernelRequest;
let reference: Reference;

function runReference(): Reference {
  const guest = seededMachine({ boot });
  const session = guestSession(guest);
  session.waitFor(PROMPT);
  for (const line of COMMANDS) session.command(line);
  session.type('poweroff -f\n');
  const end = session.end();
  return { output: guest.output(), end, instructions: guest.machine.retired(), inputs: session.inputs };
}

/** One point in each of `count` equal parts of `total`, by a linear congruential generator. */
function points(count: number, total: number): number[] {
  let state = SEED;
  return Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(((i + state / 2 ** 32) * total) / count);
  });
}

async function resume(snapshot: string, inputs: string): Promise<Resumed> {
  const script = join(import.meta.dirname, 'resume.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, snapshot, inputs], { maxBuffer: 1 << 28 });
  return JSON.parse(stdout) as Resumed;
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'virts-resume-'));
  boot = await guestFiles('amd64');
  reference = runReference();
});

after(() => rm(directory, { recursive: true, force: true }));

test('the run that is compared with came to its end', () => {
  assert.deepEqual(reference.end, { reason: 'power-off' });
  assert.ok(reference.inputs.length >= COMMANDS.length);
});

test(`resumed in a fresh process at ${POINTS} points, the guest says the same to its end`, async (t) => {
  const stored = reference.inputs.map(
    ({ at, bytes }): StoredInput => ({ at, text: Buffer.from(bytes).toString('latin1') }),
  );
  const inputs = join(directory, 'inputs.json');
  await writeFile(inputs, JSON.stringify(stored));
  const saved = seededMachine({ boot });
  const running = new Set<Promise<void>>();
  for (const point of points(POINTS, reference.instructions)) {
    assert.equal(replayTo(saved, reference.inputs, point), undefined);
    const said = saved.output();
    const snapshot = join(directory, `${point}`);
    await writeFile(snapshot, saved.save());
    const check = t.test(`at instruction ${point}`, async () => {
      const resumed = await resume(snapshot, inputs);
      await rm(snapshot);
      assert.equal(said + resumed.output, reference.output);
      assert.deepEqual(resumed.end, reference.end);
      assert.equal(resumed.instructions, reference.instructions);
    });
    running.add(check);
    check.finally(() => running.delete(check));
    if (running.size >= PROCESSES) await Promise.race(running);
  }
  await Promise.all(running);
});
