/**
 * What the corpus generator needs to know about an instruction form. `table-forms.ts` makes the forms of the instruction
 * tables, `sample-forms.ts` holds those written by hand; `listForms` in `all-forms.ts` returns them all. For each form
 *
 * - `id` must be stable and unique: it seeds the inputs;
 * - `encode` returns a complete instruction with concrete operands and the `Setup` that gives its operands sensible
 *   values: base registers in `setup.pointers` (with the displacement as `bias`), index registers and counts in
 *   `setup.ranges`, the kind of the values in `gpr`, `vector`, `fpu` and `memory`. It is called several times per form, so
 *   let it choose registers, addressing form, prefixes and immediates at random. RIP-relative and absolute operands
 *   aim at `windowAddress` (`layout.ts`). An instruction that uses the stack lists RSP (4) as a pointer;
 * - what the manual leaves undefined is said per case by `undefinedOf`, which sees the input;
 * - leave out what is not a function of the state: RDTSC, RDTSCP, RDPMC, RDRAND, RDSEED, CPUID, XGETBV, RDPID, and what
 *   enters the kernel: SYSCALL, SYSENTER, INT n, INT3; also XSAVE and its kin, VEX forms (the upper halves are not
 *   recorded), and branches to the form itself. Privileged instructions may be listed: they raise #GP.
 */

import { CODE_BYTES, IMAGE, type Mode, START, startOf, TEST } from './layout.ts';
import type { Random } from './prng.ts';
import type { Setup } from './setup.ts';

/** Parts of the outcome that the manual leaves undefined; they are not recorded. */
export interface Undefined {
  /** RFLAGS bits. */
  readonly flags?: number;
  /** x87 status-word bits (C0 0x100, C1 0x200, C2 0x400, C3 0x4000). */
  readonly status?: number;
  /** Bit n: general register n. */
  readonly gpr?: number;
  /** Bit n: XMMn. */
  readonly xmm?: number;
  /** Stretches of memory: offset from DATA (`pointedOffset` in `setup.ts`), bytes. */
  readonly memory?: readonly (readonly [number, number])[];
}

/**
 * A result that processors compute differently within the manual.
 * - `x87`: the registers may differ by `tolerance` units in the last place of the 80-bit format, and C1 and PE with them
 *   (SDM vol. 1 8.3.10: less than 1 ulp for the transcendental instructions);
 * - `f32`: packed single results may differ by the relative error `tolerance` (SDM vol. 2, RCPPS and RSQRTPS: 1.5 * 2^-12).
 */
export interface Approximate {
  readonly kind: 'x87' | 'f32';
  readonly tolerance: number;
}

export const APPROXIMATE_X87: Approximate = { kind: 'x87', tolerance: 1 };
export const APPROXIMATE_RECIPROCAL: Approximate = { kind: 'f32', tolerance: 1.5 * 2 ** -12 };

/** One concrete instruction (or short sequence) of a form. */
export interface Encoding {
  readonly bytes: Uint8Array;
  readonly setup: Setup;
}

/** Reads an input in `TEST` layout. */
export interface Input {
  readonly mode: Mode;
  readonly code: Uint8Array;
  readonly view: DataView;
  gpr(register: number): bigint;
  flags(): number;
  xmm(register: number): Uint8Array;
}

export interface CorpusForm {
  /** Stable and unique, for example `shl r/m16, cl @64`. */
  readonly id: string;
  /** For people; need not be unique. */
  readonly text: string;
  readonly mode: Mode;
  /** The corpus file it belongs to: lower case letters, digits and hyphens. */
  readonly group: string;
  readonly approximate?: Approximate;
  encode(random: Random): Encoding;
  undefinedOf?(input: Input, encoding: Encoding): Undefined;
  /** False for inputs that must not be run; default: all are. */
  accept?(input: Input, encoding: Encoding): boolean;
  /** How many cases, compared with other forms; 1 if absent. */
  readonly weight?: number;
}

/** An `Input` over a live buffer of TEST.size bytes. */
export function inputOver(view: DataView): Input {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, TEST.size);
  return {
    view,
    get mode() {
      return view.getUint32(TEST.mode, true) as Mode;
    },
    get code() {
      return bytes.subarray(TEST.code, TEST.code + view.getUint32(TEST.length, true));
    },
    gpr: (register) => view.getBigUint64(TEST.image + IMAGE.gpr + 8 * register, true),
    flags: () => view.getUint32(TEST.image + IMAGE.rflags, true),
    xmm: (register) =>
      bytes.subarray(TEST.image + IMAGE.xmm + 16 * register, TEST.image + IMAGE.xmm + 16 * register + 16),
  };
}

/** Displacement from the end of an instruction of `length` bytes at the start of the code to a linear address. */
export function ripRelative(mode: Mode, length: number, linear: bigint): number {
  return Number(linear - startOf(mode) - BigInt(length));
}

/** Throws when a form breaks the interface. */
export function checkEncoding(form: CorpusForm, encoding: Encoding): void {
  const { length } = encoding.bytes;
  if (length === 0 || length > CODE_BYTES) throw new RangeError(`${form.id}: ${length} bytes of code at ${START}`);
  const listed = [...(encoding.setup.pointers ?? []), ...(encoding.setup.ranges ?? [])].map((p) => p.register);
  const limit = form.mode === 64 ? 16 : 8;
  if (listed.some((register) => register < 0 || register >= limit))
    throw new RangeError(`${form.id}: register ${listed}`);
  if (new Set(listed).size !== listed.length) throw new RangeError(`${form.id}: a register is listed twice`);
}
