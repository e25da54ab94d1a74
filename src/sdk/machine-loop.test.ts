import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRing } from '../base/ring.ts';
import type { TargetProgress } from '../vm/gdb/machine-target.ts';
import { type EventLoop, type LoopParts, machineLoop, runBlocking, runOnEventLoop, type Wait } from './machine-loop.ts';
import { CONTROL, createChannel, kick, OUTPUT_LIMIT, openOwnerEnd } from './worker-channel.ts';

const POWER_OFF: TargetProgress = { kind: 'ended', end: { reason: 'power-off' } };
const RESET: TargetProgress = { kind: 'ended', end: { reason: 'reset' } };

const eventLoop = (control: Int32Array): EventLoop => ({
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  wait: async ({ word, value, ms }) => Atomics.waitAsync(control, word, value, ms).value,
});

/** A loop over a guest that does what is listed, slice by slice, and then powers off. */
function scripted(script: readonly TargetProgress[], { room = 0, now = 0 } = {}) {
  const channel = createChannel();
  const control = new Int32Array(channel.control);
  const input = openRing(channel.input);
  const calls: string[] = [];
  const steps = [...script];
  let space = room;
  const parts: LoopParts = {
    vcpu: 0,
    control,
    input,
    flushOutput: () => void calls.push('flush'),
    report: () => void calls.push('report'),
    standing: (count) => void calls.push(`standing ${count}`),
    restarts: ({ reason }) => reason === 'reset',
    runner: {
      advance() {
        calls.push('advance');
        return steps.shift() ?? POWER_OFF;
      },
      restart: () => void calls.push('restart'),
      input(bytes) {
        const taken = Math.min(space, bytes.length);
        space -= taken;
        return taken;
      },
      now: () => now,
      pause: () => void calls.push('pause'),
      continue: () => void calls.push('continue'),
      pressPowerButton: () => void calls.push('power button'),
      setBalloon: (bytes) => void calls.push(`balloon ${bytes}`),
    },
  };
  return { control, input, calls, loop: machineLoop(parts), give: (more: number) => (space += more) };
}

function waits(loop: ReturnType<typeof machineLoop>, limit = 100): Wait[] {
  const seen: Wait[] = [];
  for (let i = 0; i < limit; i++) {
    const step = loop.next();
    if (step.done) break;
    if (step.value !== undefined) seen.push(step.value);
  }
  return seen;
}

test('both ways of waiting run the same slices to the same end', async () => {
  const script: TargetProgress[] = [{ kind: 'running' }, RESET, { kind: 'idle', until: 2e6 }, { kind: 'running' }];
  const one = scripted(script);
  const other = scripted(script);
  assert.deepEqual(runBlocking(one.loop, one.control), { reason: 'power-off' });
  assert.deepEqual(await runOnEventLoop(other.loop, eventLoop(other.control)), { reason: 'power-off' });
  assert.deepEqual(one.calls, other.calls);
  assert.equal(one.calls.filter((call) => call === 'restart').length, 1);
});

test('a machine that is to stand still runs nothing until it is to go on', () => {
  const { loop, calls, control } = scripted([{ kind: 'running' }, { kind: 'running' }]);
  const orders = openOwnerEnd({ ...createChannel(), control: control.buffer });
  loop.next();
  orders.pause(1);
  assert.equal(waits(loop, 3).length, 3);
  orders.report();
  waits(loop, 1);
  assert.deepEqual(calls, ['advance', 'flush', 'pause', 'standing 1', 'report']);
  // It went on and was stopped again before the thread looked.
  orders.pause(3);
  orders.pressPowerButton();
  orders.inflate(3);
  waits(loop, 2);
  orders.pause(4);
  loop.next();
  assert.deepEqual(calls.slice(5), [
    'pause',
    'standing 3',
    'continue',
    'power button',
    'balloon 12288',
    'advance',
    'flush',
  ]);
});

test('an idle guest sleeps until its deadline, a second at most', () => {
  const { loop } = scripted(
    [
      { kind: 'idle', until: 5e6 },
      { kind: 'idle', until: Infinity },
      { kind: 'idle', until: 2e6 },
    ],
    {
      now: 2e6,
    },
  );
  assert.deepEqual(
    waits(loop).map(({ word, ms }) => [word, ms]),
    [
      [CONTROL.kick, 3],
      [CONTROL.kick, 1000],
    ],
  );
});

test('a guest that has room for waiting input does not sleep', () => {
  const { loop, input, give, calls } = scripted([{ kind: 'idle', until: Infinity }], { room: 1 });
  input.write(Uint8Array.of(1, 2));
  const first = loop.next();
  assert.equal(input.available(), 1, 'one byte fits');
  assert.equal(first.done === false && first.value?.word, CONTROL.kick);
  give(1);
  waits(loop);
  assert.equal(input.available(), 0);
  assert.equal(calls.filter((call) => call === 'advance').length, 2);
});

test('a kick between the look at the outside and the sleep is not missed', () => {
  const { loop, control } = scripted([{ kind: 'idle', until: Infinity }, { kind: 'stopped' }]);
  for (const _ of ['idle', 'stopped']) {
    const step = loop.next();
    assert.ok(!step.done && step.value !== undefined);
    kick(control);
    assert.notEqual(Atomics.load(control, step.value.word), step.value.value);
    loop.next();
  }
});

test('output that nobody takes holds the guest back, and a stop ends the wait', () => {
  const { loop, control, calls } = scripted([{ kind: 'running' }]);
  loop.next();
  Atomics.store(control, CONTROL.unread, OUTPUT_LIMIT + 1);
  for (let i = 0; i < 3; i++) {
    const step = loop.next();
    assert.equal(step.done === false && step.value?.word, CONTROL.unread);
  }
  assert.deepEqual(calls, ['advance', 'flush']);
  Atomics.store(control, CONTROL.stop, 1);
  assert.deepEqual(loop.next(), { done: true, value: { reason: 'stopped' } });
});

test('a debugger can end it, and wakes it while it stands still', async () => {
  const { loop, control, calls } = scripted([{ kind: 'stopped' }, { kind: 'killed' }]);
  setTimeout(() => kick(control), 20);
  assert.deepEqual(await runOnEventLoop(loop, eventLoop(control)), { reason: 'killed' });
  assert.equal(calls.filter((call) => call === 'advance').length, 2);
});

test('figures are sent once for each time that they are asked for, between two slices', () => {
  const { loop, control, calls } = scripted([{ kind: 'running' }, { kind: 'running' }, { kind: 'running' }]);
  loop.next();
  Atomics.add(control, CONTROL.report, 1);
  loop.next();
  loop.next();
  Atomics.add(control, CONTROL.report, 1);
  loop.next();
  assert.deepEqual(
    calls.filter((call) => call !== 'flush'),
    ['advance', 'report', 'advance', 'advance', 'report', 'advance'],
  );
});
