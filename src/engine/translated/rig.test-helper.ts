/** A vCPU of the translating engine with RAM, a device, descriptors and page tables around it, for tests. */
import { writeFlags } from '../../cpu/flags.ts';
import { DEFAULT_CODE_LIMITS } from '../../cpu/translator/code-cache.ts';
import type { CompilerPort } from '../../cpu/translator/compiler.ts';
import { CR0, CR4, EFER, NO_FAULT, SEGMENT } from '../../isa/state.ts';
import { type Arena, createArena } from '../../memory/arena.ts';
import { createFramePool } from '../../memory/frame-pool.ts';
import { readGuest, writeGuest } from '../../memory/guest-memory.ts';
import { createSharedMemory } from '../../memory/layout.ts';
import { createPhysicalMap, type MapEvents, type PhysicalMap } from '../../memory/physical-map.ts';
import type { VcpuEnvironment } from './environment.ts';
import { type InstructionSet, x86 } from './instruction-set.ts';
import { createVcpu } from './vcpu.ts';
import type { Translation } from './vcpu-interface.ts';
import { placeVcpu } from './vcpu-place.ts';

/** Guest-physical addresses. RAM ends at `device`, where everything further is one device. */
export const PLACE = {
  gdt: 0x6000,
  idt: 0x7000,
  stack: 0x9000,
  root: 0x20_0000,
  device: 0x40_0000,
} as const;

export const PAGE = { present: 1n, writable: 2n, user: 4n, accessed: 0x20n, all: 7n } as const;

export const SELECTOR = { code: 0x08, data: 0x10, userCode: 0x1b, userData: 0x23 } as const;
const GDT = [0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x00cf_fb00_0000_ffffn, 0x00cf_f300_0000_ffffn];
const ATTRIBUTES = { code32: 0xc09b, code64: 0xa09b, data: 0xc093 } as const;

/** Both ways to run code: as the interpreter does it, and with hot code translated. */
export const ENGINES = [
  ['interpreted', undefined],
  ['translated when hot', { threshold: 500 }],
  ['translated at once', { threshold: 1 }],
] as const;

/** Memory that a guest's RAM lies in, with room for what the engine keeps. */
export interface RigMemory {
  readonly memory: WebAssembly.Memory;
  readonly arena: Arena;
  createMap(events: MapEvents): PhysicalMap;
}

function ownMemory(): RigMemory {
  const memory = createSharedMemory();
  const arena = createArena(memory.buffer);
  return {
    memory,
    arena,
    createMap: (events) => createPhysicalMap(arena, createFramePool(arena), PLACE.device, events),
  };
}

export interface RigOptions {
  /** Absent: memory of its own. */
  readonly memory?: RigMemory;
  readonly recordBytes?: number;
  readonly translation?: Translation | undefined;
  readonly compiler?: CompilerPort | undefined;
  readonly environment?: Partial<VcpuEnvironment>;
  readonly instructionSet?: InstructionSet;
}

/** Instructions decoded before the interpreter's core is made: most programs of tests run through one. */
const EARLY = 30;

/** What the device answers. */
export const DEVICE_VALUE = 0x1122_3344;

/** Levels of page tables: shift, bits of the index. */
const LEVELS = {
  32: [
    [22n, 10n],
    [12n, 10n],
  ],
  64: [
    [39n, 9n],
    [30n, 9n],
    [21n, 9n],
    [12n, 9n],
  ],
} as const;

export type Rig = ReturnType<typeof createRig>;

export function createRig(options: RigOptions = {}) {
  const { memory, arena, createMap } = options.memory ?? ownMemory();
  const map = createMap({
    codeWritten: (_, page, from, to) => vcpu.codeWritten(page, from, to),
    revoked: (host, moved) => vcpu.revoked(host, moved),
  });
  /** Accesses to the device, as `r 400000 4` and `w 400000 4 11223344`. */
  const device: string[] = [];
  /** Exceptions, as `14:2 at 1000`. */
  const exceptions: string[] = [];
  const vcpu = createVcpu({
    memory,
    arena,
    map,
    instructionSet: options.instructionSet ?? x86,
    ...(options.recordBytes !== undefined && {
      place: placeVcpu(arena, options.recordBytes, DEFAULT_CODE_LIMITS.cellBytes),
    }),
    translation: options.translation,
    compiler: options.compiler,
    coreAfter: EARLY,
    environment: {
      topology: { apicId: 0, count: 1 },
      ports: { read: () => 0, write() {} },
      mmio: {
        read(address, size) {
          device.push(`r ${address.toString(16)} ${size}`);
          return DEVICE_VALUE;
        },
        write(address, size, value) {
          device.push(`w ${address.toString(16)} ${size} ${(value >>> 0).toString(16)}`);
        },
      },
      interrupts: { pending: () => false, acknowledge: () => -1 },
      apic: {
        readMsr: () => 0n,
        writeMsr: () => true,
        cr8: () => 0,
        setCr8() {},
        enabled: () => true,
        tscChanged() {},
      },
      clock: { ticks: () => 0, frequency: 1e9, ticksToNs: (ticks) => ticks, epochNs: 0n },
      random: () => 0n,
      hypercall: () => 0n,
      log() {},
      onException(vector, error) {
        const code = error === undefined ? '' : `:${error.toString(16)}`;
        exceptions.push(`${vector}${code} at ${state.rip.toString(16)}`);
      },
      ...options.environment,
    },
  });
  const { state } = vcpu;

  const write = (at: number, bytes: readonly number[]) => writeGuest(map, at, Uint8Array.from(bytes));
  const little = (value: bigint, size: number) =>
    Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
  const read = (at: number, length: number): number[] => [...(readGuest(map, at, length) ?? [])];

  /** Flat protected mode at level 0 without paging; no IDT, so that an exception shuts the vCPU down. */
  function protectedMode(): void {
    state.cr0 = BigInt(CR0.pe | CR0.et);
    for (let s = 0; s < 6; s++) {
      state.segmentSelector[s] = s === SEGMENT.cs ? SELECTOR.code : SELECTOR.data;
      state.segmentBase[s] = 0n;
      state.segmentLimit[s] = 0xffff_ffff;
      state.segmentAttributes[s] = s === SEGMENT.cs ? ATTRIBUTES.code32 : ATTRIBUTES.data;
    }
    state.gdtrBase = BigInt(PLACE.gdt);
    state.gdtrLimit = GDT.length * 8 - 1;
    GDT.forEach((descriptor, i) => {
      write(PLACE.gdt + 8 * i, little(descriptor, 8));
    });
    state.idtrLimit = 0;
    state.faultVector = NO_FAULT;
    state.gpr[4] = BigInt(PLACE.stack);
    writeFlags(state, 2);
    vcpu.stateReplaced();
  }

  let levels: (typeof LEVELS)[32 | 64] = LEVELS[32];
  let nextTable: number = PLACE.root;

  /** Guest-physical address of the entry for a page; tables on the way to it are made. */
  function entryAddress(linear: bigint): number {
    const size = levels === LEVELS[64] ? 8 : 4;
    let table: number = PLACE.root;
    for (const [shift, bits] of levels) {
      const at = table + size * Number((linear >> shift) & ((1n << bits) - 1n));
      if (shift === 12n) return at;
      const known = read(at, 4).reduce((sum, byte, i) => sum + byte * 2 ** (8 * i), 0);
      if (known === 0) {
        nextTable += 0x1000;
        write(at, little(BigInt(nextTable) | PAGE.all | PAGE.accessed, size));
      }
      table = known === 0 ? nextTable : known - (known % 0x1000);
    }
    throw new RangeError('no level has pages');
  }
  /** Maps a page; `entry`: its guest-physical address and bits of `PAGE`. No TLB entry is flushed. */
  function mapPage(linear: bigint | number, entry: bigint | number): void {
    write(entryAddress(BigInt(linear)), little(BigInt(entry), levels === LEVELS[64] ? 8 : 4));
  }

  /** Switches paging on: 32-bit, or 4-level with 64-bit code. The first 4 MiB map to themselves. */
  function paging(bits: 32 | 64): void {
    levels = LEVELS[bits];
    state.cr3 = BigInt(PLACE.root);
    state.cr0 |= BigInt(CR0.wp) | (1n << 31n);
    if (bits === 64) {
      state.cr4 = BigInt(CR4.pae | CR4.osfxsr);
      state.efer = BigInt(EFER.lme | EFER.lma | EFER.sce);
      state.segmentAttributes[SEGMENT.cs] = ATTRIBUTES.code64;
    }
    for (let at = 0n; at < PLACE.device; at += 0x1000n) mapPage(at, at | PAGE.all);
    vcpu.stateReplaced();
  }

  protectedMode();
  return {
    vcpu,
    state,
    map,
    device,
    exceptions,
    write,
    read,
    paging,
    mapPage,
    entryAddress,
    /** Whether code became hot enough to be translated. */
    hasTranslated: () => (vcpu.stats().regions ?? 0) > 0,
    /** A 32-bit interrupt gate. */
    gate(vector: number, offset: number): void {
      const low = BigInt((SELECTOR.code << 16) | (offset & 0xffff));
      write(PLACE.idt + 8 * vector, little(low | ((BigInt(offset & 0xffff_0000) | 0x8e00n) << 32n), 8));
      state.idtrBase = BigInt(PLACE.idt);
      state.idtrLimit = 0x7ff;
    },
    /** Continues at `rip` for `count` instructions. */
    run(rip: bigint | number, count: number, exact = false) {
      state.rip = BigInt(rip);
      state.activity = 0;
      return vcpu.run(count, exact);
    },
  };
}
