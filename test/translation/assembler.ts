/**
 * A small assembler for tests: Intel syntax, one instruction a line or between semicolons, `label:` before it, `#` before
 * a comment. Encodings come from the instruction tables; the shortest that fits is taken, jumps to labels are always
 * near ones where they exist. `db`, `dd` and `dq` place data, `org` goes on
 * at a higher address.
 */
import { x86 } from '../../src/engine/translated/instruction-set.ts';
import { listEncodings, sizeBytes } from '../../src/isa/decoder.ts';
import type { Encoding, OperandCode } from '../../src/isa/encoding.ts';
import type { Width } from '../../src/isa/operand.ts';
import { type Address, assemble as encode } from '../../tools/corpus/assemble.ts';
import { type Parsed, parseOperand } from './operands.ts';

export type Symbols = Readonly<Record<string, number | bigint>>;

export interface Assembled {
  readonly bytes: number[];
  /** Addresses by name: the program's own labels. */
  readonly labels: Record<string, number>;
}

const ALIASES: Readonly<Record<string, string>> = {
  jz: 'je',
  jnz: 'jne',
  jc: 'jb',
  jnc: 'jae',
  setz: 'sete',
  setnz: 'setne',
  setc: 'setb',
  cmovz: 'cmove',
  cmovnz: 'cmovne',
  cmovc: 'cmovb',
  jmpf: 'jmp',
  callf: 'call',
  pushfq: 'pushf',
  popfq: 'popf',
  iretq: 'iret',
  sysretq: 'sysret',
};
const PREFIXES: Readonly<Record<string, number>> = { lock: 0xf0, rep: 0xf3, repe: 0xf3, repne: 0xf2 };
const DATA: Readonly<Record<string, number>> = { db: 1, dd: 4, dq: 8 };
const WIDE = new Set(['iretq', 'sysretq']);

/** Names under which the tables have further forms of an instruction. */
const ALSO: Readonly<Record<string, string>> = { movq: 'movd' };

const byName = new Map<string, Encoding[]>();
for (const encoding of listEncodings(x86.definitions)) {
  const { name } = encoding.definition;
  byName.set(name, [...(byName.get(name) ?? []), encoding]);
}

function fits(value: bigint, bytes: number, signed: boolean): boolean {
  const bits = bytes * 8;
  return BigInt.asIntN(bits, value) === value || (!signed && BigInt.asUintN(bits, value) === value);
}

/** Whether an immediate may stand for an operand of this code. */
function immediateFits(o: OperandCode, value: bigint, operandSize: Width): boolean {
  if (!fits(value, Math.max(operandSize, sizeBytes(o.size, operandSize)), false)) return false;
  const whole = BigInt.asIntN(operandSize * 8, value);
  if (o.size === 'bs') return fits(whole, 1, true);
  if (o.size === 'zs') return fits(whole, Math.min(operandSize, 4), true);
  return fits(value, sizeBytes(o.size, operandSize), false);
}

function fixedMatches(name: string, p: Parsed, operandSize: Width): boolean {
  if (name === '1') return p.kind === 'immediate' && p.value === 1n;
  if (p.kind === 'segment') return name.toLowerCase() === p.text;
  if (p.kind !== 'gpr') return false;
  const [index, size] = (
    {
      AL: [0, 1],
      CL: [1, 1],
      AX: [0, 2],
      DX: [2, 2],
      eAX: [0, Math.min(operandSize, 4)],
      rAX: [0, operandSize],
    } as const
  )[name as 'AL'] ?? [-1, 0];
  return p.index === index && p.size === size;
}

function matches(o: OperandCode, p: Parsed, operandSize: Width, far: boolean): boolean {
  if (o.letter === 'fixed') return fixedMatches(o.size, p, operandSize);
  const size = sizeBytes(o.size, operandSize);
  const memory = () => {
    const bytes = sizeBytes(o.memorySize, operandSize);
    if (p.kind !== 'memory' || far !== (o.memorySize === 'p')) return false;
    return p.size === 0 || bytes === 0 || p.size === bytes;
  };
  switch (o.letter) {
    case 'E':
      return (p.kind === 'gpr' && p.size === size) || memory();
    case 'G':
    case 'R':
    case 'Z':
    case 'B':
      return p.kind === 'gpr' && p.size === size;
    case 'M':
      return memory();
    case 'V':
    case 'U':
    case 'H':
      return p.kind === 'xmm';
    case 'W':
      return p.kind === 'xmm' || memory();
    case 'P':
    case 'N':
      return p.kind === 'mmx';
    case 'Q':
      return p.kind === 'mmx' || memory();
    case 'S':
      return p.kind === 'segment';
    case 'C':
      return p.kind === 'control';
    case 'D':
      return p.kind === 'debug';
    case 'I':
      return p.kind === 'immediate' && immediateFits(o, p.value, operandSize);
    case 'J':
      return p.kind === 'immediate';
    default:
      return false;
  }
}

interface Line {
  readonly name: string;
  readonly prefixes: readonly number[];
  readonly operands: readonly string[];
  readonly text: string;
}

/** What may name its target by a number. */
const JUMP = /^(j|call|loop)/;

const EXTREME = 0x7fff_ffffn;

/** One instruction at `at`. */
function instruction(line: Line, at: number, bits: 32 | 64, resolve: (name: string) => bigint | undefined): number[] {
  const parsed = line.operands.map((text) => parseOperand(text, bits, (name) => resolve(name) ?? EXTREME));
  const far = line.name === 'jmpf' || line.name === 'callf';
  let best: Uint8Array | undefined;
  const names = [ALIASES[line.name] ?? line.name, ALSO[line.name] ?? ''];
  const candidates = names
    .flatMap((name) => byName.get(name) ?? [])
    .filter((e) => e.operands.length === parsed.length && !e.qualifiers.has(bits === 64 ? 'i64' : 'o64') && !e.vex);
  const near = candidates.some((e) => e.operands[0]?.letter === 'J' && e.operands[0].size === 'z');
  for (const e of candidates) {
    if (near && e.operands[0]?.letter === 'J' && e.operands[0].size === 'b') continue;
    const usual = bits === 64 && (e.qualifiers.has('d64') || e.qualifiers.has('f64')) ? 8 : 4;
    const sizes: Width[] =
      e.onlyOperandSize !== 0 ? [e.onlyOperandSize as Width] : WIDE.has(line.name) ? [8] : [usual, 4, 2, 8];
    for (const operandSize of sizes) {
      if (operandSize === 8 && bits === 32) continue;
      // Where no operand says the size, the usual one is meant.
      if (!e.operands.every((o, i) => matches(o, parsed[i], operandSize, far))) continue;
      const bytes = encodeWith(e, parsed, { operandSize, bits, at, prefixes: line.prefixes });
      if (best === undefined || bytes.length < best.length) best = bytes;
      break;
    }
  }
  if (best === undefined) throw new SyntaxError(`cannot assemble: ${line.text}`);
  return [...best];
}

interface Place {
  readonly operandSize: Width;
  readonly bits: 32 | 64;
  readonly at: number;
  readonly prefixes: readonly number[];
}

function encodeWith(e: Encoding, parsed: readonly Parsed[], { operandSize, bits, at, prefixes }: Place): Uint8Array {
  let reg = 0;
  let opcodeRegister = 0;
  let rm: number | Address = 0;
  let rex = false;
  let addressSize: 32 | 64 = bits;
  const constants: bigint[] = [];
  e.operands.forEach((o, i) => {
    const p = parsed[i];
    if (p.kind === 'gpr' && p.rex) rex = true;
    if (p.kind === 'memory') {
      addressSize = p.address.size as 32 | 64;
      rm = p.address;
    } else if ('EWUQNRM'.includes(o.letter)) rm = (p as { index: number }).index;
    else if ('GVPSCD'.includes(o.letter)) reg = (p as { index: number }).index;
    else if (o.letter === 'Z') opcodeRegister = (p as { index: number }).index;
    else if (p.kind === 'immediate' && 'IJ'.includes(o.letter)) constants.push(p.value);
  });
  const make = () =>
    encode(e, {
      mode: bits,
      operandSize: operandSize as 2 | 4 | 8,
      addressSize,
      prefixes,
      rex,
      reg,
      opcodeRegister,
      vexRegister: 0,
      rm,
      constants,
    });
  if (e.operands[0]?.letter === 'J') constants[0] -= BigInt(at + make().length);
  return make();
}

function parseLine(source: string): Line {
  const words = source.split(/\s+/);
  const prefixes: number[] = [];
  while (PREFIXES[words[0]] !== undefined) prefixes.push(PREFIXES[words.shift() as string]);
  const name = words.shift() ?? '';
  const rest = words.join(' ');
  return { name, prefixes, operands: rest === '' ? [] : rest.split(',').map((o) => o.trim()), text: source };
}

/** Instructions that no name and no address is part of, by bits and text. */
const fixed = new Map<string, readonly number[]>();

/** Machine code of `text` for `origin`; `symbols` are further names that it may use. */
export function assemble(origin: number, text: string, bits: 32 | 64 = 64, symbols: Symbols = {}): Assembled {
  const labels: Record<string, number> = {};
  const lines = text
    .split(/[\n;]/)
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  const resolve = (name: string): bigint | undefined => {
    const value = labels[name] ?? symbols[name];
    return value === undefined ? undefined : BigInt(value);
  };
  const pass = (last: boolean): number[] => {
    const bytes: number[] = [];
    for (const full of lines) {
      let source = full;
      for (let label = /^(\w+):\s*/.exec(source); label !== null; label = /^(\w+):\s*/.exec(source)) {
        labels[label[1]] = origin + bytes.length;
        source = source.slice(label[0].length);
      }
      if (source === '') continue;
      const made = fixed.get(`${bits} ${source}`);
      if (made !== undefined) {
        bytes.push(...made);
        continue;
      }
      const line = parseLine(source);
      let named = JUMP.test(line.name);
      const known = (name: string) => {
        named = true;
        const value = resolve(name);
        if (value === undefined && last) throw new SyntaxError(`${name} is unknown: ${source}`);
        return value;
      };
      if (line.name === 'org') {
        while (origin + bytes.length < Number(line.operands[0])) bytes.push(0);
        continue;
      }
      const width = DATA[line.name];
      if (width === undefined) {
        const code = instruction(line, origin + bytes.length, bits, known);
        if (!named) fixed.set(`${bits} ${source}`, code);
        bytes.push(...code);
        continue;
      }
      for (const operand of line.operands) {
        const value = parseOperand(operand, bits, (name) => known(name) ?? 0n);
        if (value.kind !== 'immediate') throw new SyntaxError(source);
        for (let i = 0; i < width; i++) bytes.push(Number((value.value >> BigInt(8 * i)) & 0xffn));
      }
    }
    return bytes;
  };
  // Lengths settle once every label has a value.
  let length = -1;
  for (let bytes = pass(false); bytes.length !== length; bytes = pass(false)) length = bytes.length;
  return { bytes: pass(true), labels };
}
