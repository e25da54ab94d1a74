/** Turns an encoding of the instruction tables and a choice of operands into machine code (SDM vol. 2A chapter 2). */

import { type Encoding, memoryOperand, type OperandCode } from '../../src/isa/encoding.ts';
import { type Mode, startOf } from './layout.ts';

/** A ModRM memory form. */
export interface Address {
  readonly size: Mode;
  /** General register, or -1; `rip`: ModRM without registers, relative to the next instruction in 64-bit mode. */
  readonly base: number | 'rip';
  readonly index: number;
  /** log2 of the factor. */
  readonly scale: number;
  /** Where it counts from the next instruction, the linear address that is meant. */
  readonly displacement: bigint;
  readonly displacementBytes: 0 | 1 | 2 | 4;
}

/** All that an encoding leaves open. */
export interface Choice {
  readonly mode: Mode;
  /** Bytes. */
  readonly operandSize: 2 | 4 | 8;
  readonly addressSize: Mode;
  /** LOCK, repeat and segment prefixes. */
  readonly prefixes: readonly number[];
  /** A REX prefix even where none is needed. */
  readonly rex: boolean;
  /** ModRM.reg, the register in the opcode, VEX.vvvv. */
  readonly reg: number;
  readonly opcodeRegister: number;
  readonly vexRegister: number;
  readonly rm: number | Address;
  /** Values of immediate, relative and absolute operands in order. */
  readonly constants: readonly bigint[];
}

/** Bytes of an operand that is part of the code. */
export function constantBytes(o: OperandCode, operandSize: number, addressSize: Mode): number {
  if (o.letter === 'O') return addressSize / 8;
  if (o.letter === 'A') return operandSize + 2;
  if (o.size === 'b' || o.size === 'bs') return 1;
  if (o.size === 'w') return 2;
  return o.size === 'v' ? operandSize : Math.min(operandSize, 4);
}

/** The operands whose values are in `Choice.constants`. */
export function constantOperands(encoding: Encoding): readonly OperandCode[] {
  return encoding.operands.filter((o) => 'IJOA'.includes(o.letter));
}

function pushInteger(out: number[], value: bigint, bytes: number): void {
  for (let i = 0; i < bytes; i++) out.push(Number((value >> BigInt(8 * i)) & 255n));
}

/** ModRM.rm and what follows for 16-bit addresses: [base, index] by rm. */
const PAIRS_16 = ['3,6', '3,7', '5,6', '5,7', '6,-1', '7,-1', '5,-1', '3,-1'];

const MOD = { 0: 0, 1: 0x40, 2: 0x80, 4: 0x80 } as const;

function pushMemory(out: number[], reg: number, a: Address): void {
  const low = (reg & 7) << 3;
  const mod = MOD[a.displacementBytes];
  if (a.base === 'rip') out.push(low | 5);
  else if (a.size === 16) out.push(a.base < 0 ? low | 6 : mod | low | PAIRS_16.indexOf(`${a.base},${a.index}`));
  else if (a.index >= 0 || a.base < 0 || (a.base & 7) === 4) {
    const index = a.index < 0 ? 4 : a.index & 7;
    const base = a.base < 0 ? 5 : a.base & 7;
    out.push((a.base < 0 ? 0 : mod) | low | 4, (a.scale << 6) | (index << 3) | base);
  } else out.push(mod | low | (a.base & 7));
  pushInteger(out, a.displacement, a.displacementBytes);
}

/** REX.R, X and B, or their VEX counterparts. */
function extensionBits(e: Encoding, c: Choice): number {
  const { rm } = c;
  const low = typeof rm === 'number' ? rm : typeof rm.base === 'number' ? Math.max(rm.base, 0) : 0;
  const x = typeof rm === 'number' ? 0 : Math.max(rm.index, 0);
  const b = e.opcodeRegister ? c.opcodeRegister : low;
  return ((c.reg >> 3) << 2) | ((x >> 3) << 1) | (b >> 3);
}

const VEX_MAP = { one: 0, '0f': 1, '0f38': 2, '0f3a': 3 } as const;
const VEX_PREFIX = { np: 0, any: 0, 102: 1, 243: 2, 242: 3 } as const;
const MAP_BYTES = { one: [], '0f': [0x0f], '0f38': [0x0f, 0x38], '0f3a': [0x0f, 0x3a] } as const;

function pushVex(out: number[], e: Encoding, c: Choice, w: number): void {
  const vvvv = ~c.vexRegister & 15;
  out.push(0xc4, ((~extensionBits(e, c) & 7) << 5) | VEX_MAP[e.map]);
  out.push((w << 7) | (vvvv << 3) | VEX_PREFIX[e.prefix]);
}

/** The operand size without prefixes, in bytes. */
export function defaultOperandSize(e: Encoding, mode: Mode): number {
  if (mode !== 64) return mode / 8;
  return e.qualifiers.has('d64') || e.qualifiers.has('f64') ? 8 : 4;
}

/** Bytes of the instruction, for code at the start of a case. */
export function assemble(e: Encoding, c: Choice): Uint8Array {
  const out: number[] = [...c.prefixes];
  const usual = defaultOperandSize(e, c.mode);
  const sized = c.mode === 64 ? c.operandSize === 2 : c.operandSize !== usual;
  const w = e.w >= 0 ? e.w : c.mode === 64 && c.operandSize === 8 && usual !== 8 ? 1 : 0;
  if (c.addressSize !== c.mode) out.push(0x67);
  if (!e.vex && sized && e.prefix !== 0x66) out.push(0x66);
  if (e.vex) pushVex(out, e, c, w);
  else {
    if (typeof e.prefix === 'number') out.push(e.prefix);
    const bits = (w << 3) | extensionBits(e, c);
    if (c.mode === 64 && (bits !== 0 || c.rex)) out.push(0x40 | bits);
    out.push(...MAP_BYTES[e.map]);
  }
  out.push(e.opcode | (e.opcodeRegister ? c.opcodeRegister & 7 : 0));
  const reg = e.extension >= 0 ? e.extension : c.reg;
  if (e.fixedModRm >= 0) out.push(e.fixedModRm);
  else if (e.hasModRm) {
    if (typeof c.rm === 'number') out.push(0xc0 | ((reg & 7) << 3) | (c.rm & 7));
    else pushMemory(out, reg, c.rm);
  }
  const displacementEnd = out.length;
  constantOperands(e).forEach((o, i) => {
    pushInteger(out, c.constants[i]!, constantBytes(o, c.operandSize, c.addressSize));
  });
  const bytes = Uint8Array.from(out);
  if (c.mode === 64 && e.hasModRm && typeof c.rm !== 'number' && c.rm.base === 'rip') {
    const distance = c.rm.displacement - startOf(c.mode) - BigInt(bytes.length);
    new DataView(bytes.buffer).setInt32(displacementEnd - 4, Number(BigInt.asIntN(32, distance)), true);
  }
  return bytes;
}

/** Whether the encoding has a ModRM operand that may be memory. */
export function mayBeMemory(e: Encoding): boolean {
  return e.hasModRm && e.form !== 'register' && memoryOperand(e) >= 0;
}
