/**
 * The world that every recorded case runs in: addresses, segments and the byte layout of a case. `oracle/oracle.c` holds
 * the same figures. A replay builds this world once per mode and then only loads registers and the window.
 *
 * - CPL 3, IOPL 0, CR0.AM, NE, MP and WP set, TS and EM clear, CR4.OSFXSR, OSXMMEXCPT, FSGSBASE, UMIP, SMAP and SMEP set.
 * - `CODE_SIZE` bytes at CODE hold INT3 (readable, executable); the case's bytes are at CODE + START.
 * - `DATA_SIZE` bytes at DATA hold `backgroundByte` (writable, no-execute), the window's 256 bytes lie across its middle
 *   page boundary; behind it lies one read-only page of the same pattern. Everything around is not present.
 * - In 64-bit mode the same frames are also mapped HIGH bytes higher, and the case runs up there; the low mapping serves
 *   32-bit address sizes and absolute addresses.
 * - The case is over when a fault is delivered or RIP is at an INT3 of the code pages.
 */

export type Mode = 16 | 32 | 64;

export const HIGH = 0x3abc00000000n;
export const CODE = 0x10000000n;
export const CODE_SIZE = 0x2000;
export const START = 0x1000;
export const DATA = 0x10100000n;
export const DATA_SIZE = 0x2000;
export const READ_ONLY_SIZE = 0x1000;
/** Offset of the window from DATA. */
export const WINDOW = 0xf80;
export const WINDOW_SIZE = 256;
/** Most bytes of code a case may have. */
export const CODE_BYTES = 32;

/** What byte `offset` of the data pages and of the read-only page holds outside the window. */
export function backgroundByte(offset: number): number {
  return ((offset * 167) >> 3) & 0xff;
}

export interface Segment {
  readonly selector: number;
  readonly base: bigint;
  /** Highest valid offset; ignored in 64-bit mode. */
  readonly limit: number;
}

export type SegmentName = 'cs' | 'ss' | 'ds' | 'es' | 'fs' | 'gs';

const flat = (selector: number): Segment => ({ selector, base: 0n, limit: 0xffffffff });
const small = (selector: number, base: bigint): Segment => ({ selector, base, limit: 0xffff });

/** Segment registers at the start of a case. D/B of CS and SS is clear in mode 16, set in mode 32. */
export const SEGMENTS: Readonly<Record<Mode, Readonly<Record<SegmentName, Segment>>>> = {
  64: {
    cs: flat(0x33),
    ss: flat(0x2b),
    ds: flat(0x2b),
    es: flat(0x2b),
    fs: { selector: 0, base: 0x123456780n, limit: 0 },
    gs: { selector: 0, base: 0xffffffff80000010n, limit: 0 },
  },
  32: {
    cs: flat(0x23),
    ss: flat(0x2b),
    ds: flat(0x2b),
    es: flat(0x2b),
    fs: { selector: 0x17, base: 0x123450n, limit: 0xffffffff },
    gs: { selector: 0x1f, base: 0xf0000010n, limit: 0xffffffff },
  },
  16: {
    cs: small(0x07, CODE),
    ss: small(0x0f, DATA - 0x4000n),
    ds: small(0x0f, DATA - 0x4000n),
    es: small(0x0f, DATA - 0x4000n),
    fs: small(0x27, DATA - 0x3800n),
    gs: small(0x2f, DATA - 0x2400n),
  },
};

/** Linear address of the data pages as a memory operand of this address size reaches them. */
export function dataBase(mode: Mode, addressSize: Mode): bigint {
  return mode === 64 && addressSize === 64 ? HIGH + DATA : DATA;
}

/** Linear address of byte `offset` of the window. */
export function windowAddress(mode: Mode, addressSize: Mode, offset: number): bigint {
  return dataBase(mode, addressSize) + BigInt(WINDOW + offset);
}

/** Value of RIP (IP, EIP) at the start of a case. */
export function startOf(mode: Mode): bigint {
  return (mode === 64 ? HIGH + CODE : mode === 32 ? CODE : 0n) + BigInt(START);
}

/** The processor state of a case, `IMAGE.size` bytes: GPRs, RIP, RFLAGS, then the FXSAVE64 image. */
export const IMAGE = {
  gpr: 0,
  rip: 128,
  rflags: 136,
  fx: 144,
  control: 144,
  status: 146,
  /** Abridged: bit n is set when physical register n is not empty. */
  tag: 148,
  opcode: 150,
  instruction: 152,
  operand: 160,
  mxcsr: 168,
  /** ST(i), 16 bytes each, of which 10 are used; MMn is the same place counted from TOP. */
  st: 176,
  xmm: 304,
  size: 560,
} as const;

/** x87 status: an unmasked exception is pending. */
export const ERROR_SUMMARY = 0x80;

/** A case as the oracle reads it: header, code, image, window. */
export const TEST = { mode: 0, length: 4, code: 8, image: 40, window: 600, size: 856 } as const;

/** A result as the oracle writes it, before the runs of changed memory. */
export const RESULT = {
  size: 0,
  vector: 4,
  error: 8,
  signal: 12,
  address: 16,
  fsBase: 24,
  gsBase: 32,
  /** CS, SS, DS, ES, FS, GS, 16 bits each. */
  segments: 40,
  runs: 52,
  image: 56,
  end: 616,
} as const;

/** Values of `vector` in a result that are no exception. */
export const COMPLETED = 0x100;
export const TIMED_OUT = 0x101;
export const SYSTEM_CALL = 0x102;

/** What byte `offset` (from DATA) holds at the start of a case whose input is `input`, in TEST layout. */
export function initialByte(input: DataView, offset: number): number {
  const inWindow = offset >= WINDOW && offset < WINDOW + WINDOW_SIZE;
  return inWindow ? input.getUint8(TEST.window + offset - WINDOW) : backgroundByte(offset);
}
