/** A vCPU of the translating engine with all of the instruction set, over 1 MiB of memory without paging, for tests. */
import { DR6_RESET, DR7_RESET } from '../../cpu/debug.ts';
import { writeFlags } from '../../cpu/flags.ts';
import { x86 } from '../../engine/translated/instruction-set.ts';
import { createVcpu } from '../../engine/translated/vcpu.ts';
import { createArena } from '../../memory/arena.ts';
import { createFramePool } from '../../memory/frame-pool.ts';
import { readGuest, writeGuest } from '../../memory/guest-memory.ts';
import { createSharedMemory } from '../../memory/layout.ts';
import { createPhysicalMap } from '../../memory/physical-map.ts';
import { CR0, EFER, NO_FAULT, SEGMENT } from '../state.ts';

export const PLACE = {
  code: 0x1000,
  gdt: 0x2000,
  idt: 0x3000,
  tss: 0x4000,
  data: 0x6000,
  stack: 0x8000,
  inner: 0x9000,
};
export const SELECTOR = {
  code: 0x08,
  data: 0x10,
  userCode32: 0x1b,
  userData: 0x23,
  userCode: 0x2b,
  tss: 0x30,
  code32: 0x40,
};

const GDT = [
  0n,
  0x00af_9b00_0000_ffffn,
  0x00cf_9300_0000_ffffn,
  0x00cf_fb00_0000_ffffn,
  0x00cf_f300_0000_ffffn,
  0x00af_fb00_0000_ffffn,
  0x0000_8b00_4000_0fffn,
  0n,
  0x00cf_9b00_0000_ffffn,
];

export type Rig = ReturnType<typeof createRig>;

export function createRig() {
  const memory = createSharedMemory();
  const arena = createArena(memory.buffer);
  const map = createPhysicalMap(arena, createFramePool(arena), 1 << 20, {
    codeWritten: (_, page, from, to) => vcpu.codeWritten(page, from, to),
    revoked: (host, moved) => vcpu.revoked(host, moved),
  });
  const ports: string[] = [];
  const exceptions: (number | string)[] = [];
  let waiting = -1;
  let now = 0n;
  const vcpu = createVcpu({
    memory,
    arena,
    map,
    instructionSet: x86,
    environment: {
      topology: { apicId: 0, count: 1 },
      ports: {
        read(port, size) {
          ports.push(`read ${port.toString(16)} ${size}`);
          return 0x6162_6364;
        },
        write(port, size, value) {
          ports.push(`write ${port.toString(16)} ${size} ${value.toString(16)}`);
        },
      },
      mmio: { read: () => 0, write() {} },
      interrupts: {
        pending: () => waiting >= 0,
        acknowledge() {
          const vector = waiting;
          waiting = -1;
          return vector;
        },
      },
      apic: {
        readMsr: () => 0xfee0_0900n,
        writeMsr: () => true,
        cr8: () => 5,
        setCr8() {},
        enabled: () => true,
        tscChanged() {},
      },
      clock: {
        ticks() {
          now += 1000n;
          return Number(now);
        },
        frequency: 1e9,
        ticksToNs: (ticks) => ticks,
        epochNs: 0n,
      },
      random: () => 4n,
      hypercall: () => -1000n,
      log() {},
      onException: (vector, error) => exceptions.push(error === undefined ? vector : `${vector}:${error.toString(16)}`),
    },
  });
  const { state } = vcpu;

  /** Starts over with the code at `PLACE.code`; at level 3 only in 64- and 32-bit modes. */
  function start(bits: 64 | 32 | 16, code: readonly number[], level: 0 | 3 = 0): void {
    state.gpr.fill(0n);
    state.cr0 = BigInt(CR0.et | (bits === 16 ? 0 : CR0.pe));
    state.cr4 = 0n;
    // IA-32e mode without paging, which no real processor has, saves the tests their page tables.
    state.efer = bits === 64 ? BigInt(EFER.lme | EFER.lma | EFER.sce) : 0n;
    const rights = bits === 64 ? 0xa09b : 0xc09b;
    const selectors = bits === 64 ? [SELECTOR.code, SELECTOR.userCode] : [SELECTOR.code32, SELECTOR.userCode32];
    for (let s = 0; s < 8; s++) {
      state.segmentSelector[s] = bits === 16 ? 0 : level === 0 ? SELECTOR.data : SELECTOR.userData;
      state.segmentBase[s] = 0n;
      state.segmentLimit[s] = bits === 16 ? 0xffff : 0xffff_ffff;
      state.segmentAttributes[s] = bits === 16 ? 0x93 : 0xc093 | (level << 5);
    }
    if (bits !== 16) {
      state.segmentSelector[SEGMENT.cs] = level === 0 ? selectors[0] : selectors[1];
      state.segmentAttributes[SEGMENT.cs] = rights | (level << 5);
    }
    state.segmentSelector[SEGMENT.tr] = SELECTOR.tss;
    state.segmentBase[SEGMENT.tr] = BigInt(PLACE.tss);
    state.segmentLimit[SEGMENT.tr] = 0xfff;
    state.segmentAttributes[SEGMENT.tr] = 0x8b;
    state.segmentAttributes[SEGMENT.ldtr] = 0x10000;
    state.gdtrBase = BigInt(PLACE.gdt);
    state.gdtrLimit = GDT.length * 8 - 1;
    state.idtrBase = bits === 16 ? 0n : BigInt(PLACE.idt);
    state.idtrLimit = 0xfff;
    state.dr.fill(0n);
    state.dr[6] = DR6_RESET;
    state.dr[7] = DR7_RESET;
    state.cpl = level;
    state.gpr[4] = BigInt(PLACE.stack);
    state.rip = BigInt(PLACE.code);
    state.activity = 0;
    state.interruptShadow = 0;
    state.nmiBlocked = 0;
    state.debugPending = 0;
    state.faultVector = NO_FAULT;
    state.xcr0 = 1n;
    state.mxcsr = 0x1f80;
    state.kvmSystemTime = 0n;
    writeFlags(state, 2);
    const bytes = new Uint8Array(0x9000 - PLACE.code);
    const view = new DataView(bytes.buffer);
    bytes.set(code);
    GDT.forEach((d, i) => {
      view.setBigUint64(PLACE.gdt - PLACE.code + i * 8, d, true);
    });
    view.setBigUint64(PLACE.tss - PLACE.code + 4, BigInt(PLACE.inner), true);
    writeGuest(map, PLACE.code, bytes);
    ports.length = 0;
    exceptions.length = 0;
    waiting = -1;
    vcpu.memoryReplaced();
    vcpu.stateReplaced();
  }

  return {
    vcpu,
    state,
    ports,
    exceptions,
    start,
    /** Sets up and runs `count` instructions. */
    run(bits: 64 | 32 | 16, code: readonly number[], count: number, prepare?: () => void, level: 0 | 3 = 0): void {
      start(bits, code, level);
      prepare?.();
      vcpu.stateReplaced();
      vcpu.run(count, true);
    },
    write: (at: number, bytes: readonly number[]) => writeGuest(map, at, Uint8Array.from(bytes)),
    read: (at: number, length: number): number[] => [...(readGuest(map, at, length) ?? [])],
    interrupt(vector: number): void {
      waiting = vector;
      vcpu.signal();
    },
    /** A 64-bit interrupt gate. */
    gate(vector: number, offset: number, level = 0): void {
      const bytes = new Uint8Array(16);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, (SELECTOR.code << 16) | (offset & 0xffff), true);
      view.setUint32(4, (offset & 0xffff0000) | 0x8e00 | (level << 13), true);
      writeGuest(map, PLACE.idt + vector * 16, bytes);
    },
  };
}
