import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineOptions } from '../machine.ts';
import { bootTiny, ENTRY, GUESTS, SCRATCH } from '../tiny-kernel.test-helper.ts';
import { createMachineTarget, type MachineTarget, type TargetProgress } from './machine-target.ts';
import type { StopEvent } from './target.ts';

const entry = (offset: number) => BigInt(ENTRY + offset);

interface Setup {
  readonly wait?: boolean;
  readonly reboot?: boolean;
  readonly listen?: boolean;
  readonly machine?: Partial<MachineOptions>;
}

function start(code: readonly number[], { wait = true, reboot = true, listen = true, machine: options }: Setup = {}) {
  const { machine, output } = bootTiny(code, options);
  const events: StopEvent[] = [];
  let wakes = 0;
  const target = createMachineTarget(machine, {
    wait,
    restarts: ({ reason }) => reboot && (reason === 'reset' || reason === 'triple-fault'),
    exitStatus: (end) => (end.reason === 'debug-exit' ? end.status : 0),
    wake: () => {
      wakes++;
    },
  });
  if (listen) target.onStop((event) => events.push(event));
  return { machine, target, events, output, reasons: () => events.map(({ reason }) => reason), wakes: () => wakes };
}

/** What the run loop does between waits; stops where it would wait, after so many restarts and sleeps. */
function pump(target: MachineTarget, restarts = 0, sleeps = 0): TargetProgress {
  let [left, asleep] = [restarts, sleeps];
  for (let slice = 0; slice < 1000; slice++) {
    const progress = target.advance(1e6);
    if (progress.kind === 'ended' && left-- > 0) target.restart();
    else if (progress.kind === 'idle' && asleep-- > 0) continue;
    else if (progress.kind !== 'running') return progress;
  }
  return { kind: 'running' };
}

/** nop; mov eax, 5; inc eax; inc eax; then an exit with what is at SCRATCH. */
const PROGRAM = [0x90, 0xb8, 5, 0, 0, 0, 0x40, 0x40, 0xa0, 0, 0, 0x20, 0, 0xe6, 0xf4, 0xfa, 0xf4];

test('it stands still before the first instruction until it is resumed', () => {
  const { target, events, machine, wakes } = start(PROGRAM);
  assert.equal(pump(target).kind, 'stopped');
  assert.equal(machine.retired(), 0);
  assert.equal(target.vcpus[0]!.state.rip, entry(0));
  assert.deepEqual(events, []);
  target.resume();
  assert.equal(wakes(), 1);
  assert.deepEqual(events, [], 'not within the call');
  assert.equal(pump(target).kind, 'ended');
  assert.deepEqual(events, [{ reason: 'ended', status: 1 }]);
});

test('a breakpoint stops it before the instruction, again at once, and a step passes it', () => {
  const { target, reasons } = start(PROGRAM);
  const { state } = target.vcpus[0]!;
  target.setBreakpoints(new Set([entry(7)]));
  target.resume();
  assert.equal(pump(target).kind, 'stopped');
  assert.deepEqual([state.rip, state.gpr[0]], [entry(7), 6n]);
  target.resume();
  pump(target);
  assert.equal(state.rip, entry(7));
  target.step(target.vcpus[0]!, { interrupts: false });
  pump(target);
  assert.deepEqual([state.rip, state.gpr[0]], [entry(8), 7n]);
  assert.deepEqual(reasons(), ['breakpoint', 'breakpoint', 'step']);
  target.setBreakpoints(new Set());
  target.resume();
  assert.equal(pump(target).kind, 'ended');
});

test('registers and memory that the debugger writes are what the guest goes on with', () => {
  const { target, events } = start(PROGRAM);
  const vcpu = target.vcpus[0]!;
  assert.equal(vcpu.writeMemory(BigInt(SCRATCH), Uint8Array.of(16)), true);
  target.setBreakpoints(new Set([entry(13)]));
  target.resume();
  pump(target);
  assert.equal(vcpu.state.gpr[0], 16n);
  vcpu.state.rip = entry(6);
  vcpu.registersChanged();
  // The second INC, already decoded, becomes DEC.
  assert.equal(vcpu.writeMemory(entry(7), Uint8Array.of(0x48)), true);
  target.resume();
  pump(target);
  target.setBreakpoints(new Set());
  target.step(vcpu, { interrupts: false });
  assert.equal(pump(target).kind, 'ended');
  assert.deepEqual(events.at(-1), { reason: 'ended', status: 33 });
  assert.deepEqual([...vcpu.readMemory(entry(6), 2)], [0x40, 0x48]);
});

test('a listener may let it go on, step by step', () => {
  const { target, machine } = start(PROGRAM);
  const vcpu = target.vcpus[0]!;
  const seen: bigint[] = [];
  target.onStop((event) => {
    if (event.reason !== 'step') return;
    seen.push(vcpu.state.rip);
    if (seen.length < 3) target.step(vcpu, { interrupts: false });
  });
  target.step(vcpu, { interrupts: false });
  // The loop hears of a stop but is woken at once.
  for (let slice = 0; slice < 10; slice++) target.advance(1e6);
  assert.deepEqual(seen, [entry(1), entry(6), entry(7)]);
  assert.equal(machine.retired(), 3);
});

test('machine time passes only while it runs', async () => {
  let host = 0;
  const { target } = start(GUESTS.spin, { machine: { clock: 'real', hostNow: () => host } });
  host += 1e9;
  assert.equal(target.now(), 0);
  target.resume();
  host += 300;
  target.advance(1000);
  assert.equal(target.now(), 300);
  await target.stop();
  host += 1e9;
  assert.equal(target.advance(1000).kind, 'stopped');
  assert.equal(target.now(), 300);
  target.step(target.vcpus[0]!, { interrupts: false });
  host += 50;
  target.advance(1000);
  host += 1e9;
  assert.equal(target.now(), 350);
});

test('a step of a halted vCPU waits for an interrupt and ends before its handler', async () => {
  const { target, reasons, machine } = start(GUESTS.timer);
  const vcpu = target.vcpus[0]!;
  const step = () => target.step(vcpu, { interrupts: false });
  target.setBreakpoints(new Set([entry(0x15)]));
  target.resume();
  pump(target);
  target.setBreakpoints(new Set());
  step();
  pump(target);
  assert.equal(vcpu.state.activity, 1, 'HLT is one step');
  step();
  assert.equal(target.advance(1e6).kind, 'idle');
  await target.stop();
  assert.equal(target.advance(1e6).kind, 'stopped');
  assert.deepEqual(reasons(), ['breakpoint', 'step'], 'a step that is ended tells nothing');
  step();
  assert.equal(pump(target, 0, 3).kind, 'stopped');
  assert.deepEqual(reasons(), ['breakpoint', 'step', 'step']);
  assert.deepEqual([vcpu.state.rip, vcpu.state.gpr[1]], [entry(0x20), 1n]);
  assert.ok(machine.now() > 50e6);
});

test('a triple fault is told before the machine starts over', () => {
  const { target, reasons } = start(GUESTS.onStart(2, GUESTS.tripleFault, GUESTS.debugExit(1)));
  target.resume();
  assert.equal(pump(target).kind, 'stopped');
  assert.deepEqual(reasons(), ['shutdown']);
  assert.notEqual(target.vcpus[0]!.state.rip, entry(0), 'it shows where');
  target.resume();
  assert.equal(pump(target, 1).kind, 'ended');
  assert.deepEqual(reasons(), ['shutdown', 'ended']);
});

test('where it does not start over, the triple fault is told, then the end', () => {
  const { target, events } = start(GUESTS.tripleFault, { reboot: false });
  target.resume();
  pump(target);
  target.resume();
  assert.equal(pump(target).kind, 'ended');
  assert.deepEqual(
    events.map(({ reason }) => reason),
    ['shutdown', 'ended'],
  );
  assert.deepEqual(events[1], { reason: 'ended', status: 0 });
});

test('without a debugger nothing stops it', () => {
  const { target } = start(GUESTS.onStart(3, GUESTS.tripleFault, GUESTS.debugExit(1)), { wait: false, listen: false });
  assert.equal(pump(target, 2).kind, 'ended');
});

test('an instruction that resets the machine is one step, to the first instruction', () => {
  const { target, reasons } = start(GUESTS.reset);
  const vcpu = target.vcpus[0]!;
  target.setBreakpoints(new Set([entry(6)]));
  target.resume();
  pump(target);
  target.step(vcpu, { interrupts: false });
  assert.equal(pump(target, 1).kind, 'stopped');
  assert.deepEqual(reasons(), ['breakpoint', 'step']);
  assert.equal(vcpu.state.rip, entry(0));
});

test('a reset leaves it before the first instruction, with its breakpoints', async () => {
  const { target, reasons } = start(PROGRAM);
  const { state } = target.vcpus[0]!;
  target.setBreakpoints(new Set([entry(7)]));
  target.resume();
  pump(target);
  await target.reset();
  assert.deepEqual([state.rip, state.gpr[0]], [entry(0), 0x2badb002n]);
  assert.equal(pump(target).kind, 'stopped');
  target.resume();
  pump(target);
  assert.deepEqual(reasons(), ['breakpoint', 'breakpoint']);
  assert.equal(state.rip, entry(7));
});

test('it takes no input while it stands still', async () => {
  const { target, output } = start(GUESTS.echo);
  assert.equal(target.input(Uint8Array.of(0x41)), 0);
  target.resume();
  target.advance(1e6);
  assert.equal(target.input(Uint8Array.of(0x41)), 1);
  for (let slice = 0; slice < 100; slice++) target.advance(1e5);
  await target.stop();
  assert.equal(output(), 'A');
});

test('the debugger can end it, and nothing brings it back', async () => {
  const { target, events, wakes } = start(GUESTS.spin);
  target.kill();
  assert.equal(wakes(), 1);
  await target.stop();
  target.resume();
  assert.equal(target.advance(1e6).kind, 'killed');
  assert.deepEqual(events, []);
});

test('a listener that was taken off hears nothing', () => {
  const { target, events } = start(PROGRAM, { listen: false });
  target.onStop((event) => events.push(event))();
  target.step(target.vcpus[0]!, { interrupts: false });
  pump(target);
  assert.deepEqual(events, []);
});
