/** Decodes machine code into instructions, from tables made of the definitions' encodings (SDM vol. 2A chapter 2). */
import type { Definition } from './definition.ts';
import { type Encoding, type OpcodeMap, type OperandCode, parseEncoding } from './encoding.ts';
import { type DecodedOperand, type Instruction, type MemoryOperand, RIP_BASE } from './instruction.ts';
import type { Width } from './operand.ts';
import { GPR, SEGMENT } from './state.ts';

/** How code at hand is to be read. */
export interface DecodeMode {
  /** 8 in 64-bit mode, else 4 or 2 by CS.D. */
  readonly codeSize: 2 | 4 | 8;
  /** Not real and not virtual-8086 mode. */
  readonly protected: boolean;
}

/** `undefined`: raises #UD. `short`: the bytes given end before the instruction does. `long`: over 15 bytes, #GP. */
export type DecodeResult = Instruction | 'undefined' | 'short' | 'long';

/** Longest instruction in bytes. */
export const MAX_LENGTH = 15;

type Tables = Record<OpcodeMap, (readonly Encoding[] | undefined)[]>;

const SPECIFICITY = { 242: 0, 243: 0, 102: 1, np: 2, any: 3 } as const;

function rank(e: Encoding): number {
  const narrow = (e.fixedModRm >= 0 ? 0 : 2) + (e.form === 'any' ? 1 : 0);
  return SPECIFICITY[e.prefix] * 8 + narrow + (e.opcodeRegister ? 4 : 0);
}

function buildTables(encodings: readonly Encoding[]): Tables {
  const lists = new Map<string, Encoding[]>();
  for (const e of encodings) {
    for (let r = 0; r < (e.opcodeRegister ? 8 : 1); r++) {
      const key = `${e.map}:${e.opcode + r}`;
      const list = lists.get(key);
      if (list === undefined) lists.set(key, [e]);
      else list.push(e);
    }
  }
  const table = (map: OpcodeMap) =>
    Array.from({ length: 256 }, (_, opcode) => lists.get(`${map}:${opcode}`)?.sort((a, b) => rank(a) - rank(b)));
  return { one: table('one'), '0f': table('0f'), '0f38': table('0f38'), '0f3a': table('0f3a') };
}

/** All encodings of a list of definitions, numbered in order. */
export function listEncodings(definitions: readonly Definition[]): readonly Encoding[] {
  const encodings: Encoding[] = [];
  for (const definition of definitions) {
    for (const text of definition.encodings) encodings.push(parseEncoding(text, definition, encodings.length));
  }
  return encodings;
}

class Short extends Error {}
class Long extends Error {}

/** Reads one instruction: prefixes, opcode, ModRM, displacement, immediates. Reused from one instruction to the next. */
class Cursor {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  at = 0;
  codeSize: 2 | 4 | 8 = 8;
  operandPrefix = false;
  addressPrefix = false;
  lock = false;
  repeat = 0;
  segment = -1;
  rex = 0;
  vex = false;
  vexPrefix = 0;
  vexRegister = 0;
  vexLong = false;
  modrm = -1;
  memory: MemoryOperand | undefined;
  displacementBytes = 0;

  reset(bytes: Uint8Array, at: number, codeSize: 2 | 4 | 8): void {
    this.bytes = bytes;
    this.start = at;
    this.at = at;
    this.codeSize = codeSize;
    this.operandPrefix = false;
    this.addressPrefix = false;
    this.lock = false;
    this.repeat = 0;
    this.segment = -1;
    this.rex = 0;
    this.vex = false;
    this.vexPrefix = 0;
    this.vexRegister = 0;
    this.vexLong = false;
    this.modrm = -1;
    this.memory = undefined;
    this.displacementBytes = 0;
  }

  byte(): number {
    if (this.at - this.start >= MAX_LENGTH) throw new Long();
    if (this.at >= this.bytes.length) throw new Short();
    return this.bytes[this.at++] as number;
  }
  peek(): number {
    const value = this.byte();
    this.at--;
    return value;
  }
  /** A little-endian integer, sign-extended. */
  signed(size: Width): bigint {
    if (size === 8) return BigInt.asUintN(32, this.signed(4)) | (this.signed(4) << 32n);
    let value = 0;
    for (let shift = 0; shift < 8 * size; shift += 8) value |= this.byte() << shift;
    const unused = 32 - 8 * size;
    return BigInt((value << unused) >> unused);
  }

  displacement(size: Width): bigint {
    this.displacementBytes = size;
    return this.signed(size);
  }

  get addressSize(): Width {
    if (this.codeSize === 8) return this.addressPrefix ? 4 : 8;
    return (this.codeSize === 4) === this.addressPrefix ? 2 : 4;
  }
  get rexW(): number {
    return (this.rex >> 3) & 1;
  }
}

const SEGMENT_PREFIX: Readonly<Record<number, number>> = {
  38: SEGMENT.es,
  46: SEGMENT.cs,
  54: SEGMENT.ss,
  62: SEGMENT.ds,
  100: SEGMENT.fs,
  101: SEGMENT.gs,
};

/** Reads legacy and REX prefixes; leaves the cursor at the opcode. */
function readPrefixes(c: Cursor): void {
  for (;;) {
    const byte = c.peek();
    const segment = SEGMENT_PREFIX[byte];
    if (segment !== undefined) {
      // In 64-bit mode CS, DS, ES and SS overrides are ignored, but replace no FS or GS.
      if (c.codeSize !== 8 || segment >= SEGMENT.fs) c.segment = segment;
    } else if (byte === 0x66) c.operandPrefix = true;
    else if (byte === 0x67) c.addressPrefix = true;
    else if (byte === 0xf0) c.lock = true;
    else if (byte === 0xf2 || byte === 0xf3) c.repeat = byte;
    else if (c.codeSize === 8 && (byte & 0xf0) === 0x40) {
      c.byte();
      c.rex = byte;
      // A REX prefix counts only right before the opcode.
      const next = c.peek();
      if (isPrefix(next, c)) c.rex = 0;
      else return;
      continue;
    } else return;
    c.byte();
  }
}

function isPrefix(byte: number, c: Cursor): boolean {
  if (SEGMENT_PREFIX[byte] !== undefined) return true;
  if ((byte & 0xf0) === 0x40) return c.codeSize === 8;
  return byte === 0x66 || byte === 0x67 || byte === 0xf0 || byte === 0xf2 || byte === 0xf3;
}

const VEX_MAPS: readonly (OpcodeMap | undefined)[] = [undefined, '0f', '0f38', '0f3a'];
const VEX_PREFIXES = [0, 0x66, 0xf3, 0xf2];

/** Reads a VEX prefix whose first byte has been taken; `undefined` where its use is not allowed. */
function readVex(c: Cursor, first: number): OpcodeMap | undefined {
  if (c.lock || c.operandPrefix || c.repeat !== 0 || c.rex !== 0) return undefined;
  c.vex = true;
  const b1 = c.byte();
  let map: OpcodeMap | undefined = '0f';
  let last = b1;
  let rex = ~(b1 >> 5) & 4;
  if (first === 0xc4) {
    map = VEX_MAPS[b1 & 31];
    last = c.byte();
    rex = (~(b1 >> 5) & 7) | ((last >> 4) & 8);
  }
  c.rex = c.codeSize === 8 ? 0x40 | rex : 0x40 | (rex & 8);
  c.vexRegister = ~(last >> 3) & (c.codeSize === 8 ? 15 : 7);
  c.vexLong = (last & 4) !== 0;
  c.vexPrefix = VEX_PREFIXES[last & 3] as number;
  return map;
}

function readMap(c: Cursor, protectedMode: boolean): { map: OpcodeMap; opcode: number } | undefined {
  const first = c.byte();
  if (first === 0xc4 || first === 0xc5) {
    const isVex = c.codeSize === 8 || (protectedMode && (c.peek() & 0xc0) === 0xc0);
    if (isVex) {
      const map = readVex(c, first);
      return map && { map, opcode: c.byte() };
    }
  }
  if (first !== 0x0f) return { map: 'one', opcode: first };
  const second = c.byte();
  if (second === 0x38) return { map: '0f38', opcode: c.byte() };
  if (second === 0x3a) return { map: '0f3a', opcode: c.byte() };
  return { map: '0f', opcode: second };
}

function prefixMatches(e: Encoding, c: Cursor): boolean {
  const repeat = c.vex ? (c.vexPrefix === 0x66 ? 0 : c.vexPrefix) : c.repeat;
  const operand = c.vex ? c.vexPrefix === 0x66 : c.operandPrefix;
  switch (e.prefix) {
    case 'any':
      return true;
    case 'np':
      return repeat === 0 && !operand;
    case 0x66:
      return operand && repeat === 0;
    default:
      return repeat === e.prefix;
  }
}

function operandSizeFor(e: Encoding, c: Cursor): Width {
  const prefix = c.operandPrefix && e.prefix !== 0x66;
  if (c.codeSize !== 8) return (c.codeSize === 4) === prefix ? 2 : 4;
  if (c.rexW) return 8;
  if (e.qualifiers.has('f64')) return 8;
  if (prefix) return 2;
  return e.qualifiers.has('d64') ? 8 : 4;
}

function matches(e: Encoding, c: Cursor, mode: DecodeMode): boolean {
  if (e.vex !== c.vex || !prefixMatches(e, c)) return false;
  if (c.codeSize === 8 ? e.qualifiers.has('i64') : e.qualifiers.has('o64')) return false;
  if (e.qualifiers.has('prot') && !mode.protected) return false;
  if (e.w >= 0 && e.w !== c.rexW) return false;
  if (c.vex && c.vexLong) return false;
  if (e.hasModRm) {
    const modrm = c.peek();
    if (e.fixedModRm >= 0 && modrm !== e.fixedModRm) return false;
    if (e.extension >= 0 && ((modrm >> 3) & 7) !== e.extension) return false;
    if (e.form !== 'any' && (e.form === 'register') !== modrm >= 0xc0 && !isControlMove(e)) return false;
  }
  // With REX.B, 90 is XCHG R8 and no NOP or PAUSE.
  if (e.opcode === 0x90 && e.map === 'one' && !e.opcodeRegister && (c.rex & 1) !== 0) return false;
  if (e.onlyAddressSize !== 0 && e.onlyAddressSize !== c.addressSize) return false;
  return e.onlyOperandSize === 0 || e.onlyOperandSize === operandSizeFor(e, c);
}

/** MOV to and from control and debug registers takes any ModRM.mod as if it were 3. */
function isControlMove(e: Encoding): boolean {
  return e.operands.some((o) => o.letter === 'C' || o.letter === 'D');
}

const BASES_16 = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, -1],
  [7, -1],
  [5, -1],
  [3, -1],
] as const;

function readMemory(c: Cursor): void {
  const mod = c.modrm >> 6;
  const rm = c.modrm & 7;
  let base: number;
  let index = -1;
  let scale = 0;
  let displacement = 0n;
  if (c.addressSize === 2) {
    [base, index] = BASES_16[rm] as (typeof BASES_16)[number];
    if (mod === 0 && rm === 6) {
      base = -1;
      displacement = c.displacement(2);
    }
    if (mod === 1) displacement = c.displacement(1);
    if (mod === 2) displacement = c.displacement(2);
  } else {
    base = rm | ((c.rex & 1) << 3);
    if (rm === 4) {
      const sib = c.byte();
      scale = sib >> 6;
      index = ((sib >> 3) & 7) | ((c.rex & 2) << 2);
      if (index === 4) index = -1;
      base = (sib & 7) | ((c.rex & 1) << 3);
      if ((sib & 7) === 5 && mod === 0) {
        base = -1;
        displacement = c.displacement(4);
      }
    } else if (rm === 5 && mod === 0) {
      base = c.codeSize === 8 ? RIP_BASE : -1;
      displacement = c.displacement(4);
    }
    if (mod === 1) displacement = c.displacement(1);
    if (mod === 2) displacement = c.displacement(4);
  }
  const stack = base === 5 || base === 4;
  const segment = c.segment >= 0 ? c.segment : stack ? SEGMENT.ss : SEGMENT.ds;
  c.memory = { kind: 'memory', size: 0, base, index: index < 0 ? -1 : index, scale, displacement, bias: 0, segment };
}

/** Bytes that a size code stands for (`definition.ts`). */
export function sizeBytes(code: string, operandSize: Width): number {
  switch (code) {
    case 'b':
    case 'bs':
      return 1;
    case 'w':
      return 2;
    case 'd':
    case 'ss':
      return 4;
    case 'q':
    case 'sd':
    case 'pi':
      return 8;
    case 'dq':
    case 'ps':
    case 'pd':
    case 'x':
      return 16;
    case 't':
      return 10;
    case 'v':
      return operandSize;
    case 'z':
    case 'zs':
      return Math.min(operandSize, 4);
    case 'y':
      return operandSize === 8 ? 8 : 4;
    case 'a':
      return operandSize * 2;
    case '':
    case 'p':
    case 's':
      return 0;
    default:
      throw new TypeError(`size code ${code}`);
  }
}

function gpr(index: number, size: Width, c: Cursor): DecodedOperand {
  const high = size === 1 && c.rex === 0 && index >= 4;
  return { kind: 'gpr', index: high ? index - 4 : index, size, high };
}

const FIXED_GPR: Readonly<Record<string, number>> = { AL: 0, AX: 0, eAX: 0, rAX: 0, CL: 1, CX: 1, DX: 2 };

function fixedOperand(name: string, operandSize: Width): DecodedOperand {
  const segment = SEGMENT[name.toLowerCase() as keyof typeof SEGMENT];
  if (segment !== undefined && name.length === 2) return { kind: 'index', index: segment, size: 2 };
  if (name === '1') return { kind: 'immediate', value: 1n, size: 1 };
  if (name === 'XMM0') return { kind: 'xmm', index: 0, size: 16 };
  if (name === 'ST0') return { kind: 'index', index: 0, size: 10 };
  const size = { AL: 1, CL: 1, AX: 2, CX: 2, DX: 2, eAX: Math.min(operandSize, 4), rAX: operandSize }[name] as Width;
  return { kind: 'gpr', index: FIXED_GPR[name] as number, size, high: false };
}

function readOperand(o: OperandCode, e: Encoding, c: Cursor, operandSize: Width): DecodedOperand {
  const reg = ((c.modrm >> 3) & 7) | ((c.rex & 4) << 1);
  const rm = (c.modrm & 7) | ((c.rex & 1) << 3);
  if (o.letter === 'fixed') return fixedOperand(o.size, operandSize);
  const size = sizeBytes(o.size, operandSize);
  const memory = () => {
    const m = c.memory as MemoryOperand;
    // POP to memory takes its address after the stack pointer has moved.
    const bias = e.qualifiers.has('pop') && m.base === GPR.rsp ? operandSize : 0;
    return { ...m, bias, size: sizeBytes(o.memorySize, operandSize) };
  };
  switch (o.letter) {
    case 'E':
      return c.memory ? memory() : gpr(rm, size as Width, c);
    case 'R':
      return gpr(rm, size as Width, c);
    case 'M':
      return memory();
    case 'G':
      return gpr(reg, size as Width, c);
    case 'Z':
      // Always the first operand that has bytes: the opcode has just been read.
      return gpr(((c.bytes[c.at - 1] as number) & 7) | ((c.rex & 1) << 3), size as Width, c);
    case 'B':
      return gpr(c.vexRegister, size as Width, c);
    case 'V':
      return { kind: 'xmm', index: reg, size };
    case 'H':
      return { kind: 'xmm', index: c.vexRegister, size };
    case 'U':
    case 'W':
      return c.memory ? memory() : { kind: 'xmm', index: rm, size };
    case 'P':
      return { kind: 'mmx', index: reg & 7, size: 8 };
    case 'N':
    case 'Q':
      return c.memory ? memory() : { kind: 'mmx', index: rm & 7, size: 8 };
    case 'T':
      return { kind: 'index', index: rm & 7, size: 10 };
    case 'S':
      return { kind: 'index', index: reg & 7, size: 2 };
    case 'C':
      return { kind: 'index', index: c.lock && reg === 0 ? 8 : reg, size: 8 };
    case 'D':
      return { kind: 'index', index: reg, size: 8 };
    default:
      return readConstant(o, c, operandSize);
  }
}

function readConstant(o: OperandCode, c: Cursor, operandSize: Width): DecodedOperand {
  switch (o.letter) {
    case 'J': {
      const bytes = o.size === 'b' ? 1 : Math.min(operandSize, 4);
      return { kind: 'relative', value: Number(c.signed(bytes as Width)), size: operandSize };
    }
    case 'O': {
      const displacement = c.signed(c.addressSize);
      const segment = c.segment >= 0 ? c.segment : SEGMENT.ds;
      const size = sizeBytes(o.size, operandSize);
      return { kind: 'memory', size, base: -1, index: -1, scale: 0, displacement, bias: 0, segment };
    }
    case 'A': {
      // Offset first, selector above it.
      const offset = BigInt.asUintN(operandSize * 8, c.signed(operandSize));
      const selector = BigInt.asUintN(16, c.signed(2));
      return { kind: 'immediate', value: offset | (selector << 32n), size: 8 };
    }
    default: {
      const bytes = sizeBytes(o.size, operandSize) as Width;
      const size = o.size === 'bs' || o.size === 'zs' ? operandSize : bytes;
      return { kind: 'immediate', value: BigInt.asUintN(size * 8, c.signed(bytes)), size };
    }
  }
}

const takesLock = ({ qualifiers }: Encoding): boolean => qualifiers.has('lock') || qualifiers.has('locked');

/** True where LOCK may stand: the encoding allows it and its first operand is memory. */
function lockAllowed(e: Encoding, c: Cursor): boolean {
  return (takesLock(e) && c.memory !== undefined) || isControlMove(e);
}

function decodeWith(tables: Tables, c: Cursor, mode: DecodeMode): DecodeResult {
  readPrefixes(c);
  const opcode = readMap(c, mode.protected);
  const candidates = opcode && tables[opcode.map][opcode.opcode];
  const encoding = candidates?.find((e) => matches(e, c, mode));
  if (encoding === undefined) return 'undefined';
  const operandSize = operandSizeFor(encoding, c);
  const operands: DecodedOperand[] = [];
  if (encoding.hasModRm) {
    c.modrm = c.byte();
    if (c.modrm < 0xc0 && !isControlMove(encoding)) readMemory(c);
  }
  const immediates = c.at;
  for (const o of encoding.operands) operands.push(readOperand(o, encoding, c, operandSize));
  if (c.lock && !lockAllowed(encoding, c)) return 'undefined';
  if (c.vex && c.vexRegister !== 0 && !encoding.operands.some((o) => o.letter === 'B' || o.letter === 'H'))
    return 'undefined';
  return {
    encoding,
    length: c.at - c.start,
    displacementBytes: c.displacementBytes,
    immediateBytes: c.at - immediates,
    operandSize,
    addressSize: c.addressSize,
    repeat: c.repeat,
    locked: c.memory !== undefined && (c.lock || encoding.qualifiers.has('locked')),
    segmentOverride: c.segment,
    operands,
  };
}

export type Decoder = (bytes: Uint8Array, at: number, mode: DecodeMode) => DecodeResult;

/** A decoder for a list of encodings. It reads at most 15 bytes of `bytes` from `at`. */
export function createDecoder(encodings: readonly Encoding[]): Decoder {
  const tables = buildTables(encodings);
  const cursor = new Cursor();
  return (bytes, at, mode) => {
    cursor.reset(bytes, at, mode.codeSize);
    try {
      return decodeWith(tables, cursor, mode);
    } catch (e) {
      if (e instanceof Short) return 'short';
      if (e instanceof Long) return 'long';
      throw e;
    }
  };
}
