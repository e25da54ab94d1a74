/** Interrupts between vCPUs whose threads have a board each (SDM vol. 3A 8.4, 10.6–10.8, 10.12). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGISTER } from '../devices/local-apic/registers.ts';
import { STANDARD_BOARD } from '../firmware/board-description.ts';
import { boardRig } from './board.test-helper.ts';

const APIC = 0xfee0_0000;
const MSR = { base: 0x1b, deadline: 0x6e0, icr: 0x830, selfIpi: 0x83f, id: 0x802, ldr: 0x80d, svr: 0x80f } as const;

/** vCPU n has thread n. `on(n)` is the board as that thread has it; `signals` says what the vCPUs were told, and where. */
function processors(count: number, tscToNs: (tsc: bigint, vcpu: number) => number = Number) {
  let thread = 0;
  const signals: string[] = [];
  const signal = (what: string, vcpu: number) => {
    signals.push(`${what} ${vcpu} by ${thread}`);
  };
  const rig = boardRig({
    threads: count,
    turn: () => thread,
    tscToNs,
    description: { ...STANDARD_BOARD, vcpus: count },
    vcpus: Array.from({ length: count }, (_, id) => ({
      interrupt: () => signal('interrupt', id),
      nmi: () => signal('nmi', id),
      smi: () => signal('smi', id),
      init: () => signal('init', id),
      startup: (vector) => signal(`startup ${vector}`, id),
    })),
  });
  const on = (vcpu: number) => {
    thread = vcpu;
    const { board } = rig;
    return {
      board,
      apic: board.localApics[vcpu],
      interrupts: board.interrupts[vcpu],
      read: (register: number) => board.vcpuMemory[vcpu].read(APIC + register, 4),
      write: (register: number, value: number) => board.vcpuMemory[vcpu].write(APIC + register, 4, value),
      send(low: number, destination = 0): void {
        board.vcpuMemory[vcpu].write(APIC + REGISTER.icrHigh, 4, (destination << 24) >>> 0);
        board.vcpuMemory[vcpu].write(APIC + REGISTER.icrLow, 4, low);
      },
    };
  };
  for (let vcpu = 0; vcpu < count; vcpu++) on(vcpu).write(REGISTER.svr, 0x1ff);
  on(0);
  signals.length = 0;
  return { rig, on, signals };
}

test('Linux starts a vCPU: INIT, its de-assert, two SIPIs, each told by the thread that sends', () => {
  const { on, signals } = processors(3);
  const id = on(2).read(REGISTER.id);
  on(2).write(REGISTER.tpr, 0x30);
  on(0).send(0xc500, 2);
  on(0).send(0x8500, 2);
  on(0).send(0x0609, 2);
  on(1).send(0x0609, 2);
  assert.deepEqual(signals, ['init 2 by 0', 'startup 9 2 by 0', 'startup 9 2 by 1']);
  const { read, apic } = on(2);
  assert.equal(read(REGISTER.id), id, 'INIT leaves the id');
  assert.equal(apic.readMsr(MSR.base), 0xfee0_0800n, 'and IA32_APIC_BASE');
  assert.deepEqual([read(REGISTER.tpr), read(REGISTER.svr), read(REGISTER.ldr)], [0, 0xff, 0]);
  assert.deepEqual([on(1).read(REGISTER.svr), on(0).read(REGISTER.svr)], [0x1ff, 0x1ff], 'and all other APICs');
});

test('INIT in x2APIC mode keeps the mode; shorthand "others" reaches all but the sender', () => {
  const { on, signals } = processors(3);
  for (const vcpu of [0, 1, 2]) assert.ok(on(vcpu).apic.writeMsr(MSR.base, 0xfee0_0c00n | (vcpu === 0 ? 0x100n : 0n)));
  on(1).apic.writeMsr(MSR.icr, 0xc_4500n);
  assert.deepEqual(signals, ['init 0 by 1', 'init 2 by 1']);
  assert.deepEqual(
    [0, 1, 2].map((vcpu) => on(vcpu).apic.readMsr(MSR.svr)),
    [0xffn, 0x1ffn, 0xffn],
  );
  assert.deepEqual(
    [0, 1, 2].map((vcpu) => on(vcpu).apic.readMsr(MSR.id)),
    [0n, 1n, 2n],
  );
  assert.deepEqual(
    [0, 1, 2].map((vcpu) => on(vcpu).apic.readMsr(MSR.ldr)),
    [1n, 2n, 4n],
  );
});

test('x2APIC IPIs: by id, by logical id, to oneself; delivery status reads idle', () => {
  const { on, signals } = processors(3);
  for (const vcpu of [0, 1, 2]) on(vcpu).apic.writeMsr(MSR.base, 0xfee0_0c00n | (vcpu === 0 ? 0x100n : 0n));
  on(2).apic.writeMsr(MSR.icr, (1n << 32n) | 0x1041n);
  assert.equal(on(2).apic.readMsr(MSR.icr), (1n << 32n) | 0x41n);
  on(0).apic.writeMsr(MSR.icr, (6n << 32n) | 0x842n);
  on(2).apic.writeMsr(MSR.selfIpi, 0x43n);
  assert.deepEqual(signals, ['interrupt 1 by 2', 'interrupt 1 by 0', 'interrupt 2 by 0', 'interrupt 2 by 2']);
  const take = (vcpu: number) => {
    const { interrupts, apic } = on(vcpu);
    const vector = interrupts.acknowledge();
    if (vector >= 0) apic.writeMsr(0x80b, 0n);
    return vector;
  };
  assert.deepEqual([1, 1, 1, 2, 2, 2, 0].map(take), [0x42, 0x41, -1, 0x43, 0x42, -1, -1]);
});

test('a vCPU that raises its priority by CR8 holds back what others send, and is told when it lets it through', () => {
  const { on, signals } = processors(2);
  on(1).apic.setCr8(6);
  assert.equal(on(1).read(REGISTER.tpr), 0x60);
  assert.equal(on(1).read(REGISTER.ppr), 0x60);
  on(0).send(0x0068, 1);
  assert.equal(on(1).interrupts.pending(), false);
  on(0).send(0x0071, 1);
  assert.equal(on(1).interrupts.acknowledge(), 0x71);
  assert.equal(on(1).read(REGISTER.ppr), 0x70);
  on(1).write(REGISTER.eoi, 0);
  assert.equal(on(1).interrupts.acknowledge(), -1);
  assert.deepEqual(signals, ['interrupt 1 by 0']);
  on(1).apic.setCr8(5);
  assert.deepEqual(signals, ['interrupt 1 by 0', 'interrupt 1 by 1']);
  assert.equal(on(1).interrupts.acknowledge(), 0x68);
});

test('lowest priority goes to one vCPU, the least busy of those that the destination names', () => {
  const { on } = processors(3);
  for (const vcpu of [0, 1, 2]) on(vcpu).write(REGISTER.ldr, 2 ** (24 + vcpu));
  on(0).apic.setCr8(3);
  on(1).apic.setCr8(1);
  on(2).apic.setCr8(2);
  const takers = () => [0, 1, 2].filter((vcpu) => on(vcpu).interrupts.acknowledge() >= 0);
  on(2).send(0x0941, 7);
  assert.deepEqual(takers(), [1]);
  on(0).send(0x0951, 7);
  assert.deepEqual(takers(), [2], 'vCPU 1 serves the first still');
});

test('a level-triggered interrupt that one vCPU serves comes again after its EOI, in whatever thread that was', () => {
  const { rig, on } = processors(2);
  on(0);
  rig.out(0x21, 0xff);
  rig.out(0xa1, 0xff);
  rig.write32(0xfec0_0000, 0x10 + 2 * 4 + 1);
  rig.write32(0xfec0_0010, 1 << 24);
  rig.write32(0xfec0_0000, 0x10 + 2 * 4);
  rig.write32(0xfec0_0010, 0x8000 | 0x44);
  rig.out(0x3fc, 0x0b);
  rig.out(0x3f9, 1);
  const entry = () => {
    rig.write32(0xfec0_0000, 0x10 + 2 * 4);
    return rig.read32(0xfec0_0010);
  };
  on(0).board.serial[0].receive(Uint8Array.of(1));
  assert.equal(on(1).interrupts.acknowledge(), 0x44);
  assert.equal(entry() & 0x4000, 0x4000);
  on(1).write(REGISTER.eoi, 0);
  assert.equal(on(1).interrupts.acknowledge(), 0x44, 'the line is still asserted');
  on(0);
  rig.inb(0x3f8);
  on(1).write(REGISTER.eoi, 0);
  assert.equal(on(1).interrupts.pending(), false);
  assert.equal(entry() & 0x4000, 0);
});

test('the PICs interrupt the vCPU that is set up for them, and of two only the faster', () => {
  const { rig, on, signals } = processors(2);
  on(0);
  rig.out(0x21, 0xef);
  rig.out(0x3fc, 0x0b);
  rig.out(0x3f9, 1);
  on(1).board.serial[0].receive(Uint8Array.of(1));
  assert.deepEqual([on(0).interrupts.pending(), on(1).interrupts.pending()], [true, false]);
  assert.deepEqual(signals, ['interrupt 0 by 1']);
  on(1).write(REGISTER.lvt + 0x30, 0x700);
  assert.deepEqual(signals, ['interrupt 0 by 1', 'interrupt 1 by 1']);
  assert.deepEqual([on(0).interrupts.pending(), on(1).interrupts.pending()], [true, true]);
  assert.equal(on(1).interrupts.acknowledge(), 0x0c);
  assert.equal(on(0).interrupts.pending(), false);
  assert.equal(on(0).interrupts.acknowledge(), -1);
});

test('each vCPU has a TSC deadline of its own, by its own TSC, which any thread may fire', () => {
  const { rig, on, signals } = processors(2, (tsc, vcpu) => Number(tsc) + (vcpu === 1 ? 5000 : 0));
  for (const vcpu of [0, 1]) on(vcpu).write(REGISTER.lvt, 0x4_0050 + vcpu);
  const start = BigInt(rig.clock.now());
  on(0).apic.writeMsr(MSR.deadline, start + 3000n);
  on(1).apic.writeMsr(MSR.deadline, start + 2000n);
  assert.deepEqual([rig.timers.next(0), rig.timers.next(1)], [Number(start) + 3000, Number(start) + 7000]);
  on(1);
  rig.pass(3000);
  assert.deepEqual(signals, ['interrupt 0 by 1']);
  assert.deepEqual([on(0).interrupts.acknowledge(), on(1).interrupts.acknowledge()], [0x50, -1]);
  assert.equal(on(0).apic.readMsr(MSR.deadline), 0n);
  assert.equal(on(1).apic.readMsr(MSR.deadline), start + 2000n);
  on(0);
  rig.pass(4000);
  assert.deepEqual(signals, ['interrupt 0 by 1', 'interrupt 1 by 0']);
  assert.equal(on(1).interrupts.acknowledge(), 0x51);
});

test('NMIs: to one vCPU, to all others, and from the button to those whose LINT1 lets it through', () => {
  const { rig, on, signals } = processors(3);
  on(1).send(0x0400, 2);
  on(2).send(0xc_0400);
  on(1).write(REGISTER.lvt + 0x40, 0x400);
  on(2);
  rig.board.nmi();
  assert.deepEqual(signals, ['nmi 2 by 1', 'nmi 0 by 2', 'nmi 1 by 2', 'nmi 0 by 2', 'nmi 1 by 2']);
});
