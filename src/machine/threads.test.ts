/**
 * Several boards over the same memory, as the threads of a machine have them, against one board that serves alone: the
 * guests do the same, and whichever thread serves, reads, interrupts, signals and states must be equal. Whatever a device
 * keeps outside its struct shows here.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomNumbers } from '../devices/conformance.test-helper.ts';
import { REGISTER } from '../devices/local-apic/registers.ts';
import { STANDARD_BOARD } from '../firmware/board-description.ts';
import { type BoardRig, boardRig, PORTS } from './board.test-helper.ts';

const VCPUS = 3;
const IO_APIC = 0xfec0_0000;
const HPET = 0xfed0_0000;
const APIC = 0xfee0_0000;
const ICR_HIGH = APIC + REGISTER.icrHigh;
const ICR_LOW = APIC + REGISTER.icrLow;

/** A guest action: what it reads goes to `see`. */
type Action = (rig: BoardRig, pick: (below: number) => number, see: (value: unknown) => void) => void;

/** The slots of the entropy source and the console, and what their BARs may be: some of them overlap. */
const SLOTS = [2, 3];
const BASES = [0, 0xe000_0000, 0xe000_0800, 0xe000_4000, 0xe010_0000, 0xfec0_0000, 0xffff_f000];

const ACTIONS: readonly Action[] = [
  function port(rig, pick, see) {
    const [base, count] = PORTS[pick(PORTS.length)];
    const [at, size] = [base + pick(count), ([1, 2, 4] as const)[pick(3)]];
    if (pick(2) === 0) see(rig.board.ports.read(at, size));
    else rig.board.ports.write(at, size, pick(2) === 0 ? pick(2 ** (8 * size)) : pick(256));
  },
  function memory(rig, pick, see) {
    const base = [IO_APIC, HPET, HPET + 0x100, APIC, ...BASES][pick(4 + BASES.length)];
    const [at, size] = [base + pick(0x400), ([1, 2, 4] as const)[pick(3)]];
    const memory = rig.board.vcpuMemory[pick(VCPUS)];
    if (pick(2) === 0) see(memory.read(at, size));
    else memory.write(at, size, pick(3) === 0 ? pick(2 ** (8 * size)) : pick(256));
  },
  function configuration(rig, pick, see) {
    const [slot, size] = [pick(4), ([1, 2, 4] as const)[pick(3)]];
    if (pick(2) === 0) see(rig.readConfig(slot, pick(64) * 4, size));
    else rig.writeConfig(slot, pick(64) * 4, size, pick(2 ** (8 * size)));
  },
  function moveBar(rig, pick, see) {
    rig.writeConfig(SLOTS[pick(2)], 0x10 + 4 * pick(2), 4, BASES[pick(BASES.length)]);
    rig.writeConfig(SLOTS[pick(2)], 4, 2, pick(8) === 0 ? 0 : 6);
    for (const base of BASES) see(rig.board.mmio.read(base + 0x14, 1));
  },
  function switchApicOn(rig, pick) {
    const memory = rig.board.vcpuMemory[pick(VCPUS)];
    memory.write(APIC + REGISTER.svr, 4, 0x1ff);
    memory.write(APIC + REGISTER.ldr, 4, pick(256) * 2 ** 24);
    memory.write(APIC + REGISTER.lvt + 0x30, 4, pick(2) === 0 ? 0x700 : 0x1_0700);
  },
  function sendIpi(rig, pick) {
    const memory = rig.board.vcpuMemory[pick(VCPUS)];
    memory.write(ICR_HIGH, 4, pick(VCPUS + 1) * 2 ** 24);
    const mode = [0, 0, 1, 4, 5, 6, 7][pick(7)];
    memory.write(ICR_LOW, 4, 0x4000 + pick(4) * 0x4_0000 + pick(2) * 0x800 + mode * 0x100 + 16 + pick(240));
  },
  function startApicTimer(rig, pick) {
    const memory = rig.board.vcpuMemory[pick(VCPUS)];
    memory.write(APIC + REGISTER.lvt, 4, pick(2) * 0x2_0000 + 32 + pick(200));
    memory.write(APIC + REGISTER.initialCount, 4, 1 + pick(3_000_000));
  },
  function setDeadline(rig, pick) {
    const apic = rig.board.localApics[pick(VCPUS)];
    rig.board.vcpuMemory[apic.id].write(APIC + REGISTER.lvt, 4, 0x4_0000 + 32 + pick(200));
    rig.board.localApics[apic.id].writeMsr(0x6e0, BigInt(rig.clock.now() + pick(5_000_000)));
  },
  function changeApicMode(rig, pick, see) {
    const id = pick(VCPUS);
    const bases = [0xfee0_0800n, 0xfee0_0c00n, 0xfee0_0000n, 0xfee0_0800n, 0xe000_0800n];
    see(rig.board.localApics[id].writeMsr(0x1b, bases[pick(bases.length)] | (id === 0 ? 0x100n : 0n)));
    see(rig.board.localApics[id].writeMsr(0x830, (BigInt(pick(VCPUS)) << 32n) + 0x4000n + BigInt(16 + pick(200))));
    see(rig.board.localApics[id].writeMsr(0x83f, BigInt(16 + pick(200))));
    see(rig.board.localApics[id].readMsr(0x802));
  },
  function routeInput(rig, pick) {
    const memory = rig.board.vcpuMemory[pick(VCPUS)];
    const input = pick(24);
    memory.write(IO_APIC, 1, 0x11 + 2 * input);
    rig.board.mmio.write(IO_APIC + 0x10, 4, pick(VCPUS) * 2 ** 24);
    memory.write(IO_APIC, 1, 0x10 + 2 * input);
    rig.board.mmio.write(IO_APIC + 0x10, 4, pick(2) * 0x8000 + pick(2) * 0x100 + 32 + pick(200));
  },
  function startTimers(rig, pick) {
    rig.out(0x43, 0x34);
    rig.out(0x40, pick(256), pick(64));
    rig.out(0x70, 0x0b);
    rig.out(0x71, 0x02 + 0x10 * pick(8));
    rig.write32(HPET + 0x100 + 0x20 * pick(3), [0x4, 0x4c, 0x2806, 0x284e][pick(4)]);
    rig.write32(HPET + 0x108 + 0x20 * pick(3), pick(500_000));
    rig.write32(HPET + 0x10, pick(4));
  },
  function openSerial(rig, pick) {
    rig.out(0x3fa, 0x01 + 0x40 * pick(4));
    rig.out(0x3f9, pick(16));
    rig.out(0x3fc, 0x0b);
  },
  function input(rig, pick, see) {
    see(rig.board.serial[0].receive(Uint8Array.of(pick(256), pick(256))));
    see(rig.board.i8042?.key([0x1c + pick(8), 0xf0, 0x1c]));
    rig.board.i8042?.mouse(pick(20), pick(20), pick(8), 0);
    see(rig.board.virtioConsole?.ports[0].receive(Uint8Array.of(pick(256))));
    if (pick(8) === 0) rig.board.virtioConsole?.resize(pick(200), pick(100));
    if (pick(8) === 0) rig.board.pressPowerButton();
    if (pick(8) === 0) rig.board.nmi();
  },
  function takeInterrupts(rig, pick, see) {
    for (let id = 0; id < VCPUS; id++) {
      see(rig.board.interrupts[id].pending());
      if (pick(2) === 0) see(rig.board.interrupts[id].acknowledge());
      if (pick(2) === 0) rig.board.vcpuMemory[id].write(APIC + REGISTER.eoi, 4, 0);
      if (pick(8) === 0) rig.board.localApics[id].setCr8(pick(16));
    }
    rig.out(0x20, 0x20);
    rig.out(0xa0, 0x20);
  },
  function rest(rig, pick, see) {
    rig.pass(pick(3_000_000));
    for (let id = 0; id < VCPUS; id++) see(rig.timers.next(id));
  },
];

/** What the guest and its vCPUs see of `rounds` actions. */
function exercise(rig: BoardRig, signals: string[], seed: number, rounds: number): unknown[] {
  const random = randomNumbers(seed);
  const seen: unknown[] = [];
  for (let round = 0; round < rounds; round++) {
    const action = ACTIONS[random() % ACTIONS.length];
    action(
      rig,
      (below) => random() % below,
      (value) => seen.push(value),
    );
    seen.push([action.name, ...signals.splice(0), ...rig.asked.splice(0)].join(', '));
  }
  return [...seen, ...rig.output.splice(0), ...rig.consoleOutput.splice(0)];
}

/** A board for `threads` threads that take turns, and the signals that its vCPUs got. */
function signalled(threads: number, seed: number) {
  const signals: string[] = [];
  const random = randomNumbers(seed);
  const signal = (what: string, vcpu: number) => {
    signals.push(`${what} for ${vcpu}`);
  };
  const rig = boardRig({
    threads,
    turn: () => random() % threads,
    description: { ...STANDARD_BOARD, vcpus: VCPUS },
    vcpus: Array.from({ length: VCPUS }, (_, id) => ({
      interrupt: () => signal('interrupt', id),
      nmi: () => signal('nmi', id),
      smi: () => signal('smi', id),
      init: () => signal('init', id),
      startup: (vector) => signal(`startup ${vector}`, id),
    })),
    a20: (open) => signal(open ? 'A20' : 'no A20', -1),
  });
  signals.length = 0;
  return { rig, signals };
}

for (const threads of [2, 3]) {
  test(`${threads} threads that serve by turns are as good as one`, () => {
    for (let seed = 1; seed <= 4; seed++) {
      const [alone, together] = [signalled(1, 0), signalled(threads, seed)];
      const go = ({ rig, signals }: typeof alone, part: number) => exercise(rig, signals, 10 * seed + part, 1500);
      assert.deepEqual(go(together, 0), go(alone, 0), `seed ${seed}`);
      const saved = alone.rig.board.save();
      assert.deepEqual(together.rig.board.save(), saved, `seed ${seed}`);
      // One thread restores, then all go on.
      for (const { rig, signals } of [alone, together]) {
        exercise(rig, signals, seed + 1000, 100);
        rig.board.restore(saved);
        signals.length = 0;
      }
      assert.deepEqual(go(together, 1), go(alone, 1), `seed ${seed}, restored`);
      for (const { rig } of [alone, together]) rig.board.reset();
      assert.deepEqual(together.rig.board.save(), alone.rig.board.save(), `seed ${seed}, reset`);
      assert.deepEqual(go(together, 2), go(alone, 2), `seed ${seed}, reset`);
    }
  });
}
