import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { createLife, type Run } from './lifecycle.ts';
import type { MachineEnd } from './machine-host.ts';

const POWER_OFF: MachineEnd = { reason: 'power-off', status: 0 };

/** A machine whose runs are played by the test. */
function played() {
  const said: string[] = [];
  const runs: { end(end: MachineEnd): void; fail(error: unknown): void; write(text: string): unknown }[] = [];
  const timers = new Map<number, () => void>();
  /** Thrown as a run is closed. */
  let stuck: unknown;
  const life = createLife<Run>({
    async open(signal) {
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
      const ended = Promise.withResolvers<MachineEnd>();
      let output: (bytes: Uint8Array) => unknown = () => {};
      runs.push({ end: ended.resolve, fail: ended.reject, write: (text) => output(new TextEncoder().encode(text)) });
      said.push('open');
      return {
        ended: ended.promise,
        input: (bytes) => void said.push(`input ${new TextDecoder().decode(bytes)}`),
        onOutput(callback) {
          output = callback;
        },
        pause: async () => void said.push('pause'),
        resume: () => void said.push('resume'),
        askToShutDown: () => void said.push('ask'),
        async close() {
          said.push('close');
          if (stuck !== undefined) throw stuck;
        },
      };
    },
    close: async () => void said.push('close all'),
    after(ms, callback) {
      timers.set(ms, callback);
      return () => timers.delete(ms);
    },
  });
  return {
    ...{ ...life, said, runs, timers },
    stick(error: unknown) {
      stuck = error;
    },
  };
}

test('a machine starts, ends by itself, and starts again', async () => {
  const { machine, runs, said } = played();
  const told: unknown[] = [];
  machine.on('started', () => told.push('started'));
  machine.on('ended', (end) => told.push(end));
  assert.equal(machine.state, 'created');
  await assert.rejects(machine.wait(), { kind: 'usage' });
  await Promise.all([machine.start(), machine.start()]);
  assert.deepEqual([machine.state, said], ['running', ['open']]);
  const waited = machine.wait();
  runs[0]!.end(POWER_OFF);
  assert.deepEqual(await waited, POWER_OFF);
  assert.deepEqual([machine.state, told], ['ended', ['started', POWER_OFF]]);
  await assert.rejects(machine.pause(), { kind: 'usage', message: /does not run/ });
  await machine.start();
  assert.equal(machine.state, 'running');
  await machine.close();
  assert.deepEqual(said, ['open', 'close', 'open', 'close', 'close all']);
  await assert.rejects(machine.start(), { kind: 'usage', message: /was closed/ });
  await machine.close();
});

test('a guest that does not shut down in time is killed', async () => {
  const { machine, said, timers, runs } = played();
  await machine.start();
  await machine.pause();
  const stopped = machine.stop({ timeout: 5000 });
  while (!said.includes('ask')) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(said, ['open', 'pause', 'resume', 'ask']);
  timers.get(5000)!();
  assert.equal((await stopped).reason, 'killed');
  assert.equal(timers.size, 0);
  await machine.start();
  const prompt = machine.stop({ timeout: Number.POSITIVE_INFINITY });
  while (timers.size === 0) await new Promise((resolve) => setImmediate(resolve));
  // No longer than a timer can wait: it would be over at once.
  assert.deepEqual([...timers.keys()], [2 ** 31 - 1]);
  runs[1]!.end(POWER_OFF);
  assert.equal((await prompt).reason, 'power-off');
  await assert.rejects(machine.stop({ timeout: -1 }), { kind: 'usage' });
});

test('a pause and a resume in one breath both come to an end', async () => {
  const { machine, said } = played();
  await machine.start();
  await Promise.all([machine.pause(), machine.resume(), machine.pause()]);
  assert.deepEqual([machine.state, said], ['paused', ['open', 'pause', 'resume', 'pause']]);
});

test('a crash is what everybody hears who waits', async () => {
  const { machine, runs, during, said } = played();
  await machine.start();
  let failed: VirtsError | undefined;
  machine.on('failed', (error) => {
    failed = error;
  });
  const output = machine.console();
  const waits = [machine.wait(), during('a command had', () => new Promise(() => {})), output.waitFor('never')];
  const settled = Promise.allSettled(waits);
  runs[0]!.fail(new VirtsError('internal', 'The thread of the machine failed.'));
  const reasons = (await settled).map((one) => (one as PromiseRejectedResult).reason);
  assert.deepEqual(
    reasons.map(({ kind }) => kind),
    ['internal', 'guest-stopped', 'guest-stopped'],
  );
  assert.equal(reasons[1].message, 'The machine ended before a command had: The thread of the machine failed.');
  assert.equal(failed, reasons[0]);
  assert.deepEqual([machine.state, said.at(-1)], ['ended', 'close']);
  await assert.rejects(output.write('x'), { kind: 'usage' });
  // Whoever was told need not be told again.
  await machine.close();
});

test('what breaks because the machine ended is told as that; what breaks before is as it is', async () => {
  const { machine, runs, during } = played();
  await machine.start();
  const lost = new VirtsError('network', 'The connection broke off.');
  await assert.rejects(
    during('it had', async () => {
      throw lost;
    }),
    lost,
  );
  const broken = during('it had', async () => {
    runs[0]!.end(POWER_OFF);
    await machine.wait();
    throw lost;
  });
  await assert.rejects(broken, { kind: 'guest-stopped', message: /before it had: The guest has switched itself off/ });
});

test('a disk that cannot be made stable is told of, once', async () => {
  const { machine, stick } = played();
  await machine.start();
  stick(new VirtsError('no-space', 'The disk is full.'));
  await assert.rejects(machine.close(), { kind: 'no-space' });
  assert.equal(machine.state, 'closed');
});

test('a start is cut short by a signal and by closing', async () => {
  const one = played();
  await assert.rejects(one.machine.start({ signal: AbortSignal.abort(new Error('too late')) }), /too late/);
  const controller = new AbortController();
  const starting = one.machine.start({ signal: controller.signal });
  assert.equal(one.machine.state, 'starting');
  controller.abort(new Error('enough'));
  await assert.rejects(starting, /enough/);
  assert.equal(one.machine.state, 'created');
  const again = one.machine.start();
  const closed = one.machine.close();
  await assert.rejects(again, { kind: 'usage', message: /was closed/ });
  await closed;
  assert.deepEqual([one.machine.state, one.said], ['closed', ['close all']]);
});

test('consoles get what is written after they were opened, and the last of what was before', async () => {
  const { machine, runs, said } = played();
  const early = machine.console();
  await machine.start();
  runs[0]!.write('one ');
  const late = machine.console();
  runs[0]!.write('two');
  assert.equal(await early.waitFor('two'), 'one two');
  assert.equal(await late.waitFor('two'), 'one two');
  await late.write('q');
  assert.equal(said.at(-1), 'input q');
  await machine.kill();
  const { value, done } = await early.readable.getReader().read();
  assert.deepEqual([value, done], [undefined, true]);
});
