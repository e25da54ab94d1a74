/** The world of the recorded cases (`tools/corpus/layout.ts`) around a vCPU without a board. */

import { setSegment } from '../../src/cpu/segmentation.ts';
import { x86 } from '../../src/engine/translated/instruction-set.ts';
import { createVcpu } from '../../src/engine/translated/vcpu.ts';
import type { Translation, Vcpu } from '../../src/engine/translated/vcpu-interface.ts';
import { CR0, CR4, EFER, SEGMENT, VCPU } from '../../src/isa/state.ts';
import { createArena } from '../../src/memory/arena.ts';
import { createFramePool } from '../../src/memory/frame-pool.ts';
import { writeGuest } from '../../src/memory/guest-memory.ts';
import { createSharedMemory, PAGE_SIZE } from '../../src/memory/layout.ts';
import { createPhysicalMap, type PhysicalMap } from '../../src/memory/physical-map.ts';
import {
  backgroundByte,
  CODE,
  CODE_SIZE,
  DATA,
  DATA_SIZE,
  HIGH,
  type Mode,
  READ_ONLY_SIZE,
  SEGMENTS,
  type Segment,
} from '../../tools/corpus/layout.ts';

/** Guest-physical addresses. */
const PHYSICAL = { tables: 0x10000, descriptors: 0x30000, code: 0x40000, data: 0x50000, size: 0x100000 } as const;

/** Linear addresses of the descriptor tables, in the supervisor's half: no case tells whether anything is there. */
const GDT = 0xffff9a5c3e71b000n;
const LDT = GDT + 0x800n;
/** A task state segment without an I/O permission map: no port is permitted. */
const TSS = GDT + 0xc00n;
const TSS_LIMIT = 0x67;
const IO_MAP_BASE = 0x66;

const PAGE = { present: 1n, writable: 2n, user: 4n, noExecute: 1n << 63n } as const;

const INT3 = 0xcc;

/** Attributes as the state block keeps them: descriptor bits 8–23, accessed. */
const ATTRIBUTES = {
  code64: 0x20fb,
  code: 0xfb,
  data: 0xf3,
  big: 0x4000,
  granular: 0x8000,
  /** Free for software: Linux sets it in descriptors of the LDT. */
  available: 0x1000,
  unusable: 0x10000,
} as const;

export interface World {
  readonly vcpu: Vcpu;
  /** The vCPU's state block. */
  readonly block: DataView;
  readonly map: PhysicalMap;
  /** Guest-physical address of the code pages. */
  readonly codeAddress: number;
  /** The writable data pages, as the guest has them. */
  readonly data: Uint8Array;
  /** Loads the segments of a mode. */
  enter(mode: Mode): void;
}

/** Fills a page table hierarchy at `PHYSICAL.tables`. */
function createPageTables(map: PhysicalMap) {
  let next: number = PHYSICAL.tables + PAGE_SIZE;
  const entry = new DataView(new ArrayBuffer(8));
  const put = (address: number, value: bigint): void => {
    entry.setBigUint64(0, value, true);
    writeGuest(map, address, new Uint8Array(entry.buffer));
  };
  const tables = new Map<string, number>();
  function table(parent: number, key: string, index: number): number {
    const known = tables.get(key);
    if (known !== undefined) return known;
    const made = next;
    next += PAGE_SIZE;
    tables.set(key, made);
    put(parent + 8 * index, BigInt(made) | PAGE.present | PAGE.writable | PAGE.user);
    return made;
  }
  return (linear: bigint, physical: number, rights: bigint): void => {
    let at: number = PHYSICAL.tables;
    for (const shift of [39n, 30n, 21n]) {
      at = table(at, `${shift}:${linear >> shift}`, Number((linear >> shift) & 511n));
    }
    put(at + 8 * Number((linear >> 12n) & 511n), BigInt(physical) | rights);
  };
}

function mapPages(map: PhysicalMap): void {
  const enter = createPageTables(map);
  const pages = (linear: bigint, physical: number, size: number, rights: bigint): void => {
    for (let at = 0; at < size; at += PAGE_SIZE) enter(linear + BigInt(at), physical + at, rights);
  };
  const user = PAGE.present | PAGE.user;
  for (const high of [0n, HIGH]) {
    pages(high + CODE, PHYSICAL.code, CODE_SIZE, user);
    pages(high + DATA, PHYSICAL.data, DATA_SIZE, user | PAGE.writable | PAGE.noExecute);
    pages(high + DATA + BigInt(DATA_SIZE), PHYSICAL.data + DATA_SIZE, READ_ONLY_SIZE, user | PAGE.noExecute);
  }
  pages(GDT, PHYSICAL.descriptors, PAGE_SIZE, PAGE.present | PAGE.writable | PAGE.noExecute);
}

/** What the descriptor of one of the world's segments says. */
function attributesOf(mode: Mode, name: string, segment: Segment): number {
  const code = name === 'cs';
  if (mode === 64 && code) return ATTRIBUTES.code64 | ATTRIBUTES.granular;
  if (mode === 64 && segment.selector === 0) return ATTRIBUTES.unusable;
  const local = segment.selector & 4 ? ATTRIBUTES.available : 0;
  const kind = (code ? ATTRIBUTES.code : ATTRIBUTES.data) | local;
  return segment.limit === 0xffffffff ? kind | ATTRIBUTES.big | ATTRIBUTES.granular : kind;
}

/** Writes the descriptors that the selectors of the world name. */
function writeDescriptors(map: PhysicalMap): void {
  const view = new DataView(new ArrayBuffer(8));
  for (const mode of [64, 32, 16] as const) {
    for (const [name, segment] of Object.entries(SEGMENTS[mode])) {
      if (segment.selector === 0) continue;
      const attributes = attributesOf(mode, name, segment);
      const base = Number(segment.base);
      const limit = segment.limit >>> (attributes & ATTRIBUTES.granular ? 12 : 0);
      view.setUint32(0, (limit & 0xffff) | ((base & 0xffff) << 16), true);
      const high = (base & 0xff000000) | (limit & 0xf0000) | ((base >>> 16) & 0xff) | ((attributes & 0xf0ff) << 8);
      view.setUint32(4, high, true);
      const table = segment.selector & 4 ? LDT : GDT;
      const address = PHYSICAL.descriptors + Number(table - GDT) + (segment.selector & ~7);
      writeGuest(map, address, new Uint8Array(view.buffer));
    }
  }
}

/** The data pages as one piece of host memory: they are neighbours in the map, so in the frames too. */
function viewOfData(map: PhysicalMap): Uint8Array {
  const spans = map.spans(PHYSICAL.data, DATA_SIZE, 'write');
  const [first, ...rest] = spans ?? [];
  let end = first!.byteOffset + first!.length;
  for (const span of rest) {
    if (span.byteOffset !== end) throw new Error('the data pages are apart');
    end += span.length;
  }
  return new Uint8Array(first!.buffer, first!.byteOffset, DATA_SIZE);
}

/** The instruction set without INT3: where a case ends, the vCPU raises #UD instead. */
const instructionSet = {
  ...x86,
  definitions: x86.definitions.filter((definition) => !definition.encodings.includes('cc')),
};

const none = (): never => {
  throw new Error('the recorded cases reach no device');
};

/** `onException` is called before an exception is delivered; there is no IDT, so that the vCPU then shuts down. */
export function createWorld(
  onException: (vector: number, error: number | undefined) => void,
  translation?: Translation,
  shared = false,
): World {
  const memory = createSharedMemory();
  const arena = createArena(memory.buffer as unknown as ArrayBufferLike);
  const holder: { vcpu?: ReturnType<typeof createVcpu> } = {};
  const map = createPhysicalMap(arena, createFramePool(arena), PHYSICAL.size, {
    codeWritten: (_, page, from, to) => holder.vcpu?.codeWritten(page, from, to),
    revoked: (host, moved) => holder.vcpu?.revoked(host, moved),
  });
  const vcpu = createVcpu({
    // Early, so that most cases run through the interpreter's core.
    coreAfter: 500,
    memory,
    arena,
    map,
    instructionSet,
    translation,
    environment: {
      topology: { apicId: 0, count: 1 },
      ports: { read: none, write: none },
      mmio: { read: none, write: none },
      interrupts: { pending: () => false, acknowledge: () => -1 },
      apic: { readMsr: none, writeMsr: none, cr8: () => 0, setCr8: none, enabled: () => true, tscChanged: none },
      clock: { ticks: () => 0, frequency: 1e9, ticksToNs: (ticks) => ticks, epochNs: 0n },
      random: none,
      hypercall: none,
      log: () => {},
      onException,
      exclusively: shared ? (work) => work() : undefined,
    },
  });
  holder.vcpu = vcpu;
  writeGuest(map, PHYSICAL.code, new Uint8Array(CODE_SIZE).fill(INT3));
  const background = Uint8Array.from({ length: DATA_SIZE + READ_ONLY_SIZE }, (_, i) => backgroundByte(i));
  writeGuest(map, PHYSICAL.data, background);
  mapPages(map);
  writeDescriptors(map);
  writeGuest(map, PHYSICAL.descriptors + Number(TSS - GDT) + IO_MAP_BASE, Uint8Array.of(0xff, 0xff));
  const { state } = vcpu;
  state.cr0 = BigInt((CR0.pe | CR0.mp | CR0.et | CR0.ne | CR0.wp | CR0.am | CR0.pg) >>> 0);
  state.cr3 = BigInt(PHYSICAL.tables);
  const smp = CR4.smep | CR4.smap;
  state.cr4 = BigInt(CR4.pae | CR4.pge | CR4.osfxsr | CR4.osxmmexcpt | CR4.umip | CR4.fsgsbase | smp);
  state.efer = BigInt(EFER.sce | EFER.lme | EFER.lma | EFER.nxe);
  state.cpl = 3;
  state.gdtrBase = GDT;
  state.gdtrLimit = 0x7f;
  setSegment(state, SEGMENT.ldtr, 0x40, LDT, 0x7ff, 0x82);
  setSegment(state, SEGMENT.tr, 0x50, TSS, TSS_LIMIT, 0x8b);
  vcpu.stateReplaced();
  const start = state.gpr.byteOffset - VCPU.offsets.gpr;
  return {
    vcpu,
    block: new DataView(memory.buffer, start, VCPU.size),
    map,
    codeAddress: PHYSICAL.code,
    data: viewOfData(map),
    enter(mode) {
      for (const [name, segment] of Object.entries(SEGMENTS[mode])) {
        const index = SEGMENT[name as keyof typeof SEGMENT];
        setSegment(state, index, segment.selector, segment.base, segment.limit, attributesOf(mode, name, segment));
      }
    },
  };
}
