/** A machine that is saved at any instruction of its boot, and restored in another process, goes on as if nothing was. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { KernelRequest } from '../../src/machine/boot.ts';
import { guestFiles, seededMachine } from './guest.ts';
import { guestSession, type Input, PROMPT } from './guest-session.ts';
import { COMPLAINTS } from './kernel-messages.ts';
import { replayTo } from './replay.ts';
import type { Resumed, StoredInput } from './resume.ts';

/** How many vCPUs a machine has, which take turns, and at how many points it is saved. */
const MACHINES = [
  { cpus: 1, points: 10 },
  { cpus: 2, points: 6 },
] as const;
const SEED = 20;
/** Processes at a time, beside the one that saves. */
const PROCESSES = 2;
/** Commands whose output shows time, interrupts and random numbers. */
const COMMANDS = [
  'date; cat /proc/uptime',
  'cat /proc/interrupts',
  'head -c 32 /dev/hwrng | hexdump',
  'ls -l /bin | tail',
  'nproc',
  'dmesg',
] as const;

interface Reference extends Resumed {
  readonly inputs: readonly Input[];
  /** What each command gave. */
  readonly answers: Readonly<Record<(typeof COMMANDS)[number], string>>;
}

let directory: string;
let boot: KernelRequest;

function runReference(cpus: number): Reference {
  const guest = seededMachine({ boot, cpus });
  const session = guestSession(guest);
  session.waitFor(PROMPT);
  const answers = Object.fromEntries(COMMANDS.map((line) => [line, session.command(line)])) as Reference['answers'];
  session.type('poweroff -f\n');
  const end = session.end();
  return { output: guest.output(), end, instructions: guest.machine.retired(), inputs: session.inputs, answers };
}

/** One point in each of `count` equal parts of `total`, by a linear congruential generator. */
function pointsOf(count: number, total: number): number[] {
  let state = SEED;
  return Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(((i + state / 2 ** 32) * total) / count);
  });
}

async function resume(snapshot: string, inputs: string, cpus: number): Promise<Resumed> {
  const script = join(import.meta.dirname, 'resume.ts');
  const args = [script, snapshot, inputs, String(cpus)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1 << 28 });
  return JSON.parse(stdout) as Resumed;
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'virts-resume-'));
  boot = await guestFiles('amd64');
});

after(() => rm(directory, { recursive: true, force: true }));

for (const { cpus, points } of MACHINES) {
  describe(`a machine of ${cpus} vCPU${cpus === 1 ? '' : 's'}`, { concurrency: false }, () => {
    let reference: Reference;
    before(() => {
      reference = runReference(cpus);
    });

    test('the run that is compared with came to its end', () => {
      assert.deepEqual(reference.end, { reason: 'power-off' });
      assert.ok(reference.inputs.length >= COMMANDS.length);
    });

    test('the kernel runs all of them and has nothing to complain of', () => {
      const { answers } = reference;
      assert.equal(answers.nproc, String(cpus));
      const complaints = answers.dmesg.split('\n').filter((line) => COMPLAINTS.test(line));
      assert.deepEqual(complaints, []);
      const [heads, ...lines] = answers['cat /proc/interrupts'].split('\n');
      assert.deepEqual(
        heads.trim().split(/ +/),
        Array.from({ length: cpus }, (_, number) => `CPU${number}`),
      );
      const timers = lines.find((line) => line.includes('Local timer interrupts')) ?? '';
      const counts = timers
        .trim()
        .split(/ +/)
        .slice(1, cpus + 1);
      assert.ok(
        counts.every((count) => Number(count) > 0),
        timers,
      );
    });

    test(`resumed in a fresh process at ${points} points, the guest says the same to its end`, async (t) => {
      const stored = reference.inputs.map(
        ({ at, bytes }): StoredInput => ({ at, text: Buffer.from(bytes).toString('latin1') }),
      );
      const inputs = join(directory, `inputs-${cpus}.json`);
      await writeFile(inputs, JSON.stringify(stored));
      const saved = seededMachine({ boot, cpus });
      const running = new Set<Promise<void>>();
      for (const point of pointsOf(points, reference.instructions)) {
        assert.equal(replayTo(saved, reference.inputs, point), undefined);
        const said = saved.output();
        const snapshot = join(directory, `${cpus}-${point}`);
        await writeFile(snapshot, saved.save());
        const check = t.test(`at instruction ${point}`, async () => {
          const resumed = await resume(snapshot, inputs, cpus);
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
  });
}
