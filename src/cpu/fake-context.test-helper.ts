/** A processor for tests: a state block over a flat memory without paging, and helpers that write descriptors. */
import { allocate } from '../base/struct.ts';
import { MEMORY_ACCESS } from '../isa/access.ts';
import { CR0, EFER, NO_FAULT, SEGMENT, VCPU, type VcpuState, VECTOR } from '../isa/state.ts';
import type { AccessSize, CpuContext } from './context.ts';
import { writeFlags } from './flags.ts';

export const MEMORY_BYTES = 0x10_0000;
/** Where the tables of the tests lie. */
export const PLACE = { gdt: 0x1000, idt: 0x2000, ldt: 0x3000, tss: 0x4000, tss2: 0x5000, stack: 0x8000, inner: 0x9000 };

export interface FakeContext extends CpuContext {
  readonly memory: DataView;
  /** 4 KiB pages that fault on every access, and those that fault on writes. */
  readonly absent: Set<number>;
  readonly readOnly: Set<number>;
  readonly ports: { port: number; size: number; value: number }[];
  readonly flushes: string[];
  readonly logged: string[];
  ticks: bigint;
  modeChanges: number;
  apicBase: bigint;
}

const page = (address: bigint): number => Number(address >> 12n);

export function fakeContext(): FakeContext {
  const memory = new DataView(new ArrayBuffer(MEMORY_BYTES));
  const state = allocate(VCPU);
  state.faultVector = NO_FAULT;
  state.cr0 = BigInt(CR0.et);
  state.idtrLimit = 0x3ff;
  state.segmentLimit.fill(0xffff);
  state.segmentAttributes.fill(0x93);
  state.dr[6] = 0xffff0ff0n;
  state.dr[7] = 0x400n;
  writeFlags(state, 2);
  const absent = new Set<number>();
  const readOnly = new Set<number>();
  let priority = 0;

  function reachable(address: bigint, size: number, flags: number): boolean {
    const write = (flags & MEMORY_ACCESS.write) !== 0;
    for (const at of [address, address + BigInt(size - 1)]) {
      const bad = absent.has(page(at)) || (write && readOnly.has(page(at)));
      if (!bad && at < BigInt(MEMORY_BYTES)) continue;
      state.faultVector = VECTOR.pf;
      state.faultHasError = 1;
      state.faultError = (absent.has(page(at)) ? 0 : 1) | (write ? 2 : 0);
      state.faultAddress = at;
      return false;
    }
    return true;
  }
  const load = (at: number, size: AccessSize): bigint => {
    let value = 0n;
    for (let i = 0; i < size; i++) value |= BigInt(memory.getUint8(at + i)) << BigInt(8 * i);
    return value;
  };
  const store = (at: number, size: AccessSize, value: bigint): void => {
    for (let i = 0; i < size; i++) memory.setUint8(at + i, Number((value >> BigInt(8 * i)) & 0xffn));
  };

  const context: FakeContext = {
    state,
    memory,
    absent,
    readOnly,
    ports: [],
    flushes: [],
    logged: [],
    ticks: 0n,
    modeChanges: 0,
    apicBase: 0xfee0_0900n,
    topology: { apicId: 0, count: 1 },
    readLinear: (address, size, flags) => (reachable(address, size, flags) ? load(Number(address), size) : undefined),
    writeLinear(address, size, value, flags) {
      if (!reachable(address, size, flags | MEMORY_ACCESS.write)) return false;
      store(Number(address), size, value);
      return true;
    },
    compareExchangeByte(address, expected, value, flags) {
      if (!reachable(address, 1, flags | MEMORY_ACCESS.write)) return undefined;
      const same = load(Number(address), 1) === BigInt(expected);
      if (same) store(Number(address), 1, BigInt(value));
      return same;
    },
    probeWrite: (address, size, flags) => reachable(address, size, flags | MEMORY_ACCESS.write),
    readPhysical: (address, size) => load(Number(address), size),
    writePhysical: (address, size, value) => store(Number(address), size, value),
    readPort: (port, size) => 0x1000_0000 + port * 16 + size,
    writePort(port, size, value) {
      context.ports.push({ port, size, value });
    },
    apic: {
      readMsr: (index) => (index === 0x1b ? context.apicBase : undefined),
      writeMsr(index, value) {
        if (index === 0x1b) context.apicBase = value;
        return index === 0x1b;
      },
      cr8: () => priority,
      setCr8(value) {
        priority = value;
      },
      enabled: () => (context.apicBase & 0x800n) !== 0n,
      tscChanged() {},
    },
    clock: {
      ticks: () => Number(context.ticks),
      frequency: 2e9,
      ticksToNs: (ticks) => ticks / 2n,
      epochNs: 1_700_000_000_123_456_789n,
    },
    random: () => 4n,
    hypercall: () => -1000n,
    flushTlb(kind, address = 0n, pcid = 0) {
      context.flushes.push(`${kind}:${address.toString(16)}:${pcid}`);
    },
    modeChanged() {
      context.modeChanges++;
    },
    signal() {},
    log(message) {
      context.logged.push(message);
    },
  };
  return context;
}

/** Access bytes and flags of descriptors: present, DPL 0. */
export const RIGHTS = {
  code32: 0xc09b,
  code16: 0x009b,
  code64: 0xa09b,
  conforming32: 0xc09f,
  data32: 0xc093,
  data16: 0x0093,
  readOnlyData: 0xc091,
  expandDown32: 0xc097,
  tss16: 0x0081,
  tss32: 0x0089,
  ldt: 0x0082,
} as const;

/** Rights with a descriptor privilege level. */
export const dpl = (rights: number, level: number): number => rights | (level << 5);

/** Writes a descriptor; `limit` is in its own granularity, 20 bits. */
export function putDescriptor(
  c: FakeContext,
  selector: number,
  base: number,
  limit: number,
  rights: number,
  table: number = PLACE.gdt,
): void {
  const at = table + (selector & 0xfff8);
  c.memory.setUint32(at, ((base & 0xffff) << 16) | (limit & 0xffff), true);
  const high = (base & 0xff000000) | ((base >>> 16) & 0xff) | (limit & 0xf0000) | ((rights & 0xf0ff) << 8);
  c.memory.setUint32(at + 4, high, true);
}

/** Writes a gate of 8 bytes into a table: `type` 4–7, 12, 14, 15; parameters for call gates. */
export function putGate(
  c: FakeContext,
  at: number,
  type: number,
  selector: number,
  offset: number,
  level = 0,
  parameters = 0,
): void {
  c.memory.setUint32(at, (selector << 16) | (offset & 0xffff), true);
  c.memory.setUint32(at + 4, (offset & 0xffff0000) | 0x8000 | (level << 13) | (type << 8) | parameters, true);
}

/** Writes a 16-byte interrupt (14) or trap (15) gate of long mode. */
export function putLongGate(
  c: FakeContext,
  vector: number,
  type: number,
  selector: number,
  offset: bigint,
  options: { level?: number; ist?: number } = {},
): void {
  const at = PLACE.idt + vector * 16;
  putGate(c, at, type, selector, Number(offset & 0xffff_ffffn), options.level ?? 0, options.ist ?? 0);
  c.memory.setUint32(at + 8, Number(offset >> 32n), true);
}

export const SELECTOR = {
  code: 0x08,
  data: 0x10,
  userCode: 0x1b,
  userData: 0x23,
  tss: 0x28,
  code16: 0x38,
  tss2: 0x40,
  ldt: 0x48,
  conforming: 0x50,
  spare: 0x58,
} as const;

/** Loads a segment register as the GDT of `protectedMode` describes it. */
export function useSegment(state: VcpuState, segment: number, selector: number, rights: number): void {
  state.segmentSelector[segment] = selector;
  state.segmentBase[segment] = 0n;
  state.segmentLimit[segment] = (rights & 0x8000) !== 0 ? 0xffff_ffff : 0xffff;
  state.segmentAttributes[segment] = dpl(rights, selector & 3);
}

/** A flat GDT, an IDT, a TSS with an inner stack; runs at level `level`. */
export function protectedMode(level: 0 | 3 = 0): FakeContext {
  const c = fakeContext();
  const { state } = c;
  state.cr0 |= BigInt(CR0.pe);
  state.gdtrBase = BigInt(PLACE.gdt);
  state.gdtrLimit = 0xff;
  state.idtrBase = BigInt(PLACE.idt);
  state.idtrLimit = 0xfff;
  putDescriptor(c, SELECTOR.code, 0, 0xfffff, RIGHTS.code32);
  putDescriptor(c, SELECTOR.data, 0, 0xfffff, RIGHTS.data32);
  putDescriptor(c, SELECTOR.userCode, 0, 0xfffff, dpl(RIGHTS.code32, 3));
  putDescriptor(c, SELECTOR.userData, 0, 0xfffff, dpl(RIGHTS.data32, 3));
  putDescriptor(c, SELECTOR.tss, PLACE.tss, 0xfff, RIGHTS.tss32 | 2);
  putDescriptor(c, SELECTOR.code16, 0, 0xffff, RIGHTS.code16);
  putDescriptor(c, SELECTOR.tss2, PLACE.tss2, 0x67, RIGHTS.tss32);
  putDescriptor(c, SELECTOR.ldt, PLACE.ldt, 0xff, RIGHTS.ldt);
  putDescriptor(c, SELECTOR.conforming, 0, 0xfffff, RIGHTS.conforming32);
  const [code, data] = level === 0 ? [SELECTOR.code, SELECTOR.data] : [SELECTOR.userCode, SELECTOR.userData];
  useSegment(state, SEGMENT.cs, code, RIGHTS.code32);
  for (const s of [SEGMENT.es, SEGMENT.ss, SEGMENT.ds, SEGMENT.fs, SEGMENT.gs])
    useSegment(state, s, data, RIGHTS.data32);
  useSegment(state, SEGMENT.tr, SELECTOR.tss, RIGHTS.tss32 | 2);
  state.segmentBase[SEGMENT.tr] = BigInt(PLACE.tss);
  state.segmentLimit[SEGMENT.tr] = 0xfff;
  state.segmentAttributes[SEGMENT.ldtr] = 0x10000;
  state.cpl = level;
  state.gpr[4] = BigInt(PLACE.stack);
  c.memory.setUint32(PLACE.tss + 4, PLACE.inner, true);
  c.memory.setUint32(PLACE.tss + 8, SELECTOR.data, true);
  return c;
}

/** As `protectedMode`, in 64-bit mode. */
export function longMode(level: 0 | 3 = 0): FakeContext {
  const c = protectedMode(level);
  const { state } = c;
  state.efer = BigInt(EFER.lme | EFER.lma | EFER.sce);
  state.cr0 |= 0x8000_0000n;
  state.cr4 = 0x20n;
  putDescriptor(c, SELECTOR.code, 0, 0xfffff, RIGHTS.code64);
  putDescriptor(c, SELECTOR.userCode, 0, 0xfffff, dpl(RIGHTS.code64, 3));
  state.segmentAttributes[SEGMENT.cs] = dpl(RIGHTS.code64, level);
  c.memory.setBigUint64(PLACE.tss + 4, BigInt(PLACE.inner), true);
  return c;
}

/** A value on the stack, `index` slots of `size` bytes above the stack pointer. */
export function onStack(c: FakeContext, index: number, size: 2 | 4 | 8): bigint {
  const at = Number(c.state.gpr[4] & (c.state.efer & 0x400n ? ~0n : 0xffff_ffffn)) + index * size;
  if (size === 8) return c.memory.getBigUint64(at, true);
  return BigInt(size === 4 ? c.memory.getUint32(at, true) : c.memory.getUint16(at, true));
}

/** Has another vCPU write the byte at `address` before the next byte is compared and exchanged. */
export function changeBefore(c: FakeContext, address: number, byte: number): void {
  const { compareExchangeByte } = c;
  c.compareExchangeByte = (...args) => {
    c.compareExchangeByte = compareExchangeByte;
    c.memory.setUint8(address, byte);
    return compareExchangeByte(...args);
  };
}

/** The fault that waits: vector, and error code where it has one. */
export function fault(c: FakeContext): [vector: number, error?: number] | undefined {
  const { faultVector, faultHasError, faultError } = c.state;
  if (faultVector === NO_FAULT) return undefined;
  return faultHasError !== 0 ? [faultVector, faultError] : [faultVector];
}
