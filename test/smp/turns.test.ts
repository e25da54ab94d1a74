/** The same guests where one thread runs all vCPUs in turns, and a debugger that sees both. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { createMachineTarget } from '../../src/vm/gdb/machine-target.ts';
import type { StopEvent } from '../../src/vm/gdb/target.ts';
import type { Machine, MachineEnd } from '../../src/vm/machine.ts';
import { bootTiny, ENTRY } from '../../src/vm/tiny-kernel.test-helper.ts';
import { assemble } from '../translation/assembler.ts';
import { ENDS, endBySecond, INIT_OF_FIRST, RESET, restartBySecond, TRIPLE_FAULT } from './ends.ts';
import { PROGRAMS } from './programs.ts';
import { assembleSeveral, barrier, exit, LAPIC, MEMORY, type SeveralGuest } from './several.ts';

function boot(guest: SeveralGuest, translation?: Translation): Machine {
  const options = { memory: MEMORY, cpus: guest.count ?? 2, ...(translation && { translation }) };
  return bootTiny(assembleSeveral(guest).bytes, options).machine;
}

/** Runs to the end, or gives up after more instructions than any of these has. */
function finish(machine: Machine): MachineEnd | undefined {
  for (let slice = 0; slice < 200; slice++) {
    const progress = machine.advanceInstructions(1_000_000);
    if (progress.kind === 'ended') return progress.end;
    if (progress.kind === 'idle') return undefined;
  }
  return undefined;
}

for (const [way, translation] of [
  ['interpreted', undefined],
  ['translated at once', { threshold: 1 }],
] as const) {
  describe(`in turns, ${way}`, () => {
    for (const program of PROGRAMS) {
      test(program.name, () => {
        assert.deepEqual(finish(boot(program, translation)), { reason: 'debug-exit', status: 1 });
      });
    }
  });
}

describe('in turns, the second vCPU', () => {
  test('sends the first an INIT, which starts it at the reset vector', () => {
    assert.deepEqual(finish(boot(INIT_OF_FIRST)), { reason: 'debug-exit', status: 11 });
  });
  for (const [name, way, reason] of ENDS) {
    for (const idle of reason === 'halted' ? [true] : [false, true]) {
      test(`${name} while the first is ${idle ? 'halted' : 'busy'}`, () => {
        assert.deepEqual(finish(boot(endBySecond(way, idle))), { reason });
      });
    }
  }
  for (const [name, way] of [
    ['resets', RESET],
    ['triple-faults', TRIPLE_FAULT],
  ] as const) {
    test(`${name}, and both start over`, () => {
      const machine = boot(restartBySecond(way));
      for (let start = 1; start < 3; start++) {
        assert.notEqual(finish(machine)?.reason, 'debug-exit');
        machine.reset();
      }
      assert.deepEqual(finish(machine), { reason: 'debug-exit', status: 11 });
    });
  }
});

test('a triple fault ends the machine even if an interrupt waits', () => {
  // The interrupt is sent while none is taken, and STI holds it back for one instruction more.
  const text = `cli
    mov dword [${LAPIC.svr}], 0x1ff
    mov dword [${LAPIC.commandLow}], 0x44041
    lidt [nothing]
    sti
    ud2
    nothing: dq 0`;
  const code = assemble(ENTRY, text, 32).bytes;
  const { machine } = bootTiny(code, { memory: MEMORY, clock: 'real' });
  let progress = machine.advance(1e6);
  for (let slice = 0; slice < 100 && progress.kind === 'running'; slice++) progress = machine.advance(1e6);
  assert.deepEqual(progress, { kind: 'ended', end: { reason: 'triple-fault' } });
});

test('a run of two vCPUs under a counted clock repeats exactly', () => {
  const runs = [0, 1].map(() => {
    const machine = boot(PROGRAMS[0]);
    finish(machine);
    return [machine.retired(), ...machine.vcpus.map((vcpu) => vcpu.retired()), machine.now()];
  });
  assert.deepEqual(runs[0], runs[1]);
});

test('a debugger stops the second vCPU, steps it and lets both go on', async () => {
  const { bytes, labels } = assembleSeveral({
    first: `${barrier('meet', 1)}
      ${barrier('last', 2)}
      ${exit(0)}`,
    others: `${barrier('there', 1)}
      mark: mov edx, 1
      inc edx
      inc edx
      ${barrier('done', 2)}`,
  });
  const { machine } = bootTiny(bytes, { memory: MEMORY, cpus: 2 });
  const events: StopEvent[] = [];
  const target = createMachineTarget(machine, { wait: true, restarts: () => false, exitStatus: () => 0, wake() {} });
  target.onStop((event) => events.push(event));
  function pump(): string {
    let progress = target.advance(1e6);
    for (let slice = 0; slice < 1000 && progress.kind === 'running'; slice++) progress = target.advance(1e6);
    return progress.kind;
  }
  const { vcpus } = target;
  assert.equal(vcpus.length, 2);
  const [first, second] = vcpus;

  target.step(second, { interrupts: false });
  assert.equal(pump(), 'idle', 'it waits to be started');
  await target.stop();
  assert.deepEqual(events, []);

  const mark = BigInt(labels.mark);
  target.setBreakpoints(new Set([mark]));
  target.resume();
  assert.equal(pump(), 'stopped');
  assert.deepEqual(events.splice(0), [{ reason: 'breakpoint', vcpu: second }]);
  assert.equal(second.state.rip, mark);

  const stands = [first.state.rip, machine.vcpus[0].retired()];
  for (const [rip, edx] of [
    [mark + 5n, 1n],
    [mark + 6n, 2n],
    [mark + 7n, 3n],
  ]) {
    target.step(second, { interrupts: false });
    assert.equal(pump(), 'stopped');
    assert.deepEqual(events.splice(0), [{ reason: 'step', vcpu: second }]);
    assert.deepEqual([second.state.rip, second.state.gpr[2]], [rip, edx]);
  }
  assert.deepEqual([first.state.rip, machine.vcpus[0].retired()], stands, 'the other stands still');

  target.setBreakpoints(new Set());
  target.resume();
  assert.equal(pump(), 'ended');
  assert.deepEqual(events, [{ reason: 'ended', status: 0 }]);
});
