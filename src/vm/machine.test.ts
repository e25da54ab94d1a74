import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { inThread } from '../engine/translated/thread.test-helper.ts';
import { createMachine, type Machine, type MachineEnd, type Progress } from './machine.ts';
import { bootTiny, ENTRY, GUESTS, SCRATCH, tinyKernel } from './tiny-kernel.test-helper.ts';

/** Runs to the end, or gives up. */
function finish(machine: Machine): MachineEnd | undefined {
  for (let slice = 0; slice < 1000; slice++) {
    const progress = machine.advance(1e6);
    if (progress.kind === 'ended') return progress.end;
  }
  return undefined;
}

const ENDS: readonly (readonly [name: string, code: readonly number[], end: MachineEnd])[] = [
  ['the ACPI sleep register', GUESTS.powerOff, { reason: 'power-off' }],
  ['the reset control register', GUESTS.reset, { reason: 'reset' }],
  ["the keyboard controller's reset line", GUESTS.keyboardReset, { reason: 'reset' }],
  ['a triple fault', GUESTS.tripleFault, { reason: 'triple-fault' }],
  ['HLT with interrupts disabled', GUESTS.halt, { reason: 'halted' }],
  ...[0, 1, 16, 127, 255].map(
    (value) =>
      [
        `${value} at the debug-exit port`,
        GUESTS.debugExit(value),
        { reason: 'debug-exit', status: (value << 1) | 1 },
      ] as const,
  ),
];

for (const [name, code, end] of ENDS) {
  test(`${name} ends the machine: ${end.reason}`, () => {
    for (const clock of [1, 'real'] as const) {
      const hostNow = clock === 1 ? () => 0 : () => performance.now() * 1e6;
      const { machine } = bootTiny(code, { clock, hostNow });
      assert.deepEqual(finish(machine), end, String(clock));
      assert.deepEqual(machine.advance(1e6), { kind: 'ended', end }, 'an end stays one');
    }
  });
}

for (const [name, other] of [
  ['a reset', GUESTS.reset],
  ['a triple fault', GUESTS.tripleFault],
] as const) {
  test(`after ${name} the machine can start over, with its memory`, () => {
    const { machine } = bootTiny(GUESTS.onStart(3, other, GUESTS.debugExit(9)));
    for (let start = 1; start < 3; start++) {
      assert.notEqual(finish(machine)?.reason, 'debug-exit');
      machine.reset();
      assert.equal(machine.vcpus[0]!.state.rip, BigInt(ENTRY));
    }
    assert.deepEqual(finish(machine), { reason: 'debug-exit', status: 19 });
  });
}

test('a kernel is asked for at each start; where it is not to be had any more, the machine stays as it was', () => {
  const { machine } = bootTiny(GUESTS.reset);
  let reads = 0;
  const kernel = () => {
    if (++reads > 2) throw new VirtsError('io', 'The kernel is gone.');
    return { bytes: tinyKernel(GUESTS.reset), release() {} };
  };
  machine.boot({ kernel, commandLine: '' });
  for (let start = 1; start < 3; start++) {
    assert.deepEqual(finish(machine), { reason: 'reset' });
    if (start < 2) machine.reset();
  }
  const { rip } = machine.vcpus[0].state;
  assert.throws(() => machine.reset(), /The kernel is gone/);
  assert.equal(machine.vcpus[0].state.rip, rip);
  assert.deepEqual(finish(machine), { reason: 'reset' });
});

test('serial input comes back as output', () => {
  const { machine, output } = bootTiny(GUESTS.echo);
  const text = new TextEncoder().encode('Hello, serial port!q');
  let sent = 0;
  let progress: Progress = { kind: 'running' };
  for (let slice = 0; slice < 20_000 && progress.kind !== 'ended'; slice++) {
    if (sent < text.length) sent += machine.input(text.subarray(sent));
    progress = machine.advance(20_000);
  }
  assert.deepEqual(progress, { kind: 'ended', end: { reason: 'debug-exit', status: 15 } });
  assert.equal(output(), 'Hello, serial port!');
});

test('a machine that waits for its timer is idle, and goes on when the time has come', () => {
  let host = 0;
  const { machine } = bootTiny(GUESTS.timer, { clock: 'real', hostNow: () => host });
  const progress = machine.advance(1e6);
  assert.equal(progress.kind, 'idle');
  const until = progress.kind === 'idle' ? progress.until : 0;
  assert.ok(until > 50e6 && until < 56e6, `18.2 Hz: ${until}`);
  assert.deepEqual(machine.advance(1e6), progress, 'too early');
  host = until;
  assert.deepEqual(finish(machine), { reason: 'halted' });
  assert.equal(machine.vcpus[0]!.state.gpr[1], 2n);
});

test('a counted clock skips idle time', () => {
  const { machine } = bootTiny(GUESTS.timer);
  assert.deepEqual(finish(machine), { reason: 'halted' });
  assert.ok(machine.now() > 50e6 && machine.now() < 56e6);
});

test('a counted clock does not skip for ever from one timer to the next where none wakes the guest', async () => {
  const outcome = await inThread(new URL('./masked-timer.test-helper.ts', import.meta.url), 'maskedTimer');
  const { progress, time } = outcome as { progress: Progress; time: number };
  assert.ok(progress.kind === 'idle' && progress.until > time && progress.until < time + 60e6);
  assert.ok(time > 1e9);
});

test('time stands still while paused', () => {
  let host = 1000;
  const { machine } = bootTiny(GUESTS.spin, { clock: 'real', hostNow: () => host });
  host += 500;
  machine.pause();
  assert.equal(machine.now(), 500);
  host += 1e9;
  machine.pause();
  assert.equal(machine.now(), 500);
  machine.continue();
  host += 20;
  assert.equal(machine.now(), 520);
});

for (const clock of [1, 'real'] as const) {
  test(`an instruction at a breakpoint is not executed (clock ${clock})`, () => {
    const { machine } = bootTiny(GUESTS.onStart(1, [], GUESTS.debugExit(3)), { clock });
    const at = BigInt(ENTRY + 6);
    machine.vcpus[0]!.setBreakpoints(new Set([at]));
    assert.deepEqual(machine.advance(1e6), { kind: 'breakpoint', vcpu: 0 });
    assert.equal(machine.vcpus[0]!.state.rip, at);
    assert.deepEqual(machine.advance(1e6), { kind: 'breakpoint', vcpu: 0 });
    assert.deepEqual(machine.step(0, false), { kind: 'stepped' });
    assert.equal(machine.vcpus[0]!.state.rip, at + 7n);
    assert.deepEqual(finish(machine), { reason: 'debug-exit', status: 7 });
  });
}

test('a snapshot goes on where it was taken', () => {
  const code = [0xb9, 0, 0, 1, 0, 0xe2, 0xfe, 0x89, 0x0d, 0, 0, 0x20, 0, ...GUESTS.debugExit(4)];
  const { machine } = bootTiny(code); // mov ecx, 65536; loop $; mov [SCRATCH], ecx; exit
  machine.advanceInstructions(1234);
  const snapshot = machine.save();
  const { machine: other } = bootTiny(GUESTS.halt);
  other.restore(snapshot);
  assert.equal(other.now(), machine.now());
  assert.equal(other.vcpus[0]!.state.gpr[1], machine.vcpus[0]!.state.gpr[1]);
  assert.deepEqual(finish(other), { reason: 'debug-exit', status: 9 });
  assert.equal(other.memory.spans(SCRATCH, 4, 'read')?.[0]?.[0], 0);
});

test('what cannot be asked for is an error', () => {
  assert.throws(
    () => bootTiny(GUESTS.halt, { memory: 5000 }),
    (error) => error instanceof VirtsError && error.kind === 'usage',
  );
  assert.throws(
    () => bootTiny(GUESTS.halt, { memory: 1 << 20 }),
    (error) => error instanceof VirtsError && error.kind === 'no-space',
  );
  const options = {
    memory: 4 << 20,
    clock: 1,
    hostNow: () => 0,
    epoch: 0,
    random() {},
    serial: { write() {} },
  } as const;
  assert.throws(
    () => createMachine(options).reset(),
    (error) => error instanceof VirtsError && error.kind === 'internal',
  );
});
