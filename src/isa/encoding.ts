/** Parses the encoding lines of instruction definitions (notation: `definition.ts`). */
import type { Definition } from './definition.ts';

/** Letters of operand codes; `fixed` is a register or constant that the opcode implies. */
export interface OperandCode {
  readonly letter:
    | 'E'
    | 'G'
    | 'R'
    | 'M'
    | 'Z'
    | 'B'
    | 'I'
    | 'J'
    | 'O'
    | 'A'
    | 'S'
    | 'C'
    | 'D'
    | 'V'
    | 'W'
    | 'U'
    | 'H'
    | 'P'
    | 'Q'
    | 'N'
    | 'T'
    | 'fixed';
  /** Size code of the register form (and of memory, unless `memorySize` differs). */
  readonly size: string;
  readonly memorySize: string;
  /** As written. */
  readonly text: string;
}

export type OpcodeMap = 'one' | '0f' | '0f38' | '0f3a';

export interface Encoding {
  /** Position in the list of all encodings: stable within one build. */
  readonly id: number;
  readonly definition: Definition;
  readonly text: string;
  readonly map: OpcodeMap;
  readonly vex: boolean;
  readonly opcode: number;
  /** A register number stands in the low three bits of the opcode. */
  readonly opcodeRegister: boolean;
  readonly hasModRm: boolean;
  /** Required value of ModRM.reg, or -1. */
  readonly extension: number;
  /** Required ModRM byte, or -1. */
  readonly fixedModRm: number;
  /** Required ModRM form. */
  readonly form: 'any' | 'register' | 'memory';
  /** Mandatory prefix; `np`: none of 66, F2, F3; `any`: they keep their general meaning. */
  readonly prefix: 'any' | 'np' | 0x66 | 0xf2 | 0xf3;
  /** Required VEX.W or REX.W, or -1. */
  readonly w: -1 | 0 | 1;
  /** Required operand or address size in bytes, or 0. */
  readonly onlyOperandSize: number;
  readonly onlyAddressSize: number;
  readonly qualifiers: ReadonlySet<string>;
  readonly operands: readonly OperandCode[];
}

const FIXED = new Set('AL AX eAX rAX CL CX DX 1 XMM0 ES CS SS DS FS GS ST0'.split(' '));
const MEMORY_LETTERS = 'EMWQ';
const MODRM_LETTERS = 'EGRMSCDVWUPQNT';

function parseOperand(text: string): OperandCode {
  if (FIXED.has(text)) return { letter: 'fixed', size: text, memorySize: '', text };
  const [first, memory] = text.split('/') as [string, string | undefined];
  const letter = first[0] as OperandCode['letter'];
  if (!'EGRMZBIJOASCDVWUHPQNT'.includes(letter)) throw new TypeError(`operand code ${text}`);
  return { letter, size: first.slice(1), memorySize: memory === undefined ? first.slice(1) : memory.slice(1), text };
}

const QUALIFIERS = new Set(
  'i64 o64 d64 f64 lock locked pop rep real prot os16 os32 os64 as16 as32 as64 np any w0 w1 wig l0 lig rexw'.split(' '),
);

interface Draft {
  bytes: number[];
  prefix: Encoding['prefix'];
  extension: number;
  slashR: boolean;
  plusR: boolean;
  vex: boolean;
  vexMap: OpcodeMap | undefined;
  qualifiers: Set<string>;
  operands: OperandCode[];
}

function parseVex(word: string, draft: Draft): void {
  draft.vex = true;
  for (const part of word.split('.').slice(1)) {
    if (part === 'np') draft.prefix = 'np';
    else if (part === '66' || part === 'f2' || part === 'f3') draft.prefix = Number.parseInt(part, 16) as 0x66;
    else if (part === '0f' || part === '0f38' || part === '0f3a') draft.vexMap = part;
    else if (QUALIFIERS.has(part)) draft.qualifiers.add(part);
    else throw new TypeError(`VEX field ${part}`);
  }
}

function parseWord(word: string, draft: Draft): void {
  if (word.startsWith('vex.')) parseVex(word, draft);
  else if (word === '/r') draft.slashR = true;
  else if (/^\/[0-7]$/.test(word)) draft.extension = Number(word[1]);
  else if (/^[0-9a-f]{2}\+r$/.test(word)) {
    draft.bytes.push(Number.parseInt(word, 16));
    draft.plusR = true;
  } else if (/^[0-9a-f]{2}$/.test(word)) draft.bytes.push(Number.parseInt(word, 16));
  else if (QUALIFIERS.has(word)) draft.qualifiers.add(word);
  else draft.operands = word.split(',').map(parseOperand);
}

function takePrefix(draft: Draft): void {
  const first = draft.bytes[0];
  const more = draft.bytes.length > 1 && draft.bytes[1] !== undefined;
  if (draft.vex || !more) return;
  if ((first === 0x66 || first === 0xf2 || first === 0xf3) && draft.prefix === 'any') {
    draft.prefix = first;
    draft.bytes.shift();
  }
}

function takeMap(draft: Draft): OpcodeMap {
  if (draft.vexMap !== undefined) return draft.vexMap;
  if (draft.bytes[0] !== 0x0f) return 'one';
  draft.bytes.shift();
  const second = draft.bytes.length > 1 ? (draft.bytes[0] as number) : 0;
  if (second !== 0x38 && second !== 0x3a) return '0f';
  draft.bytes.shift();
  return second === 0x38 ? '0f38' : '0f3a';
}

function sizeOf(qualifiers: ReadonlySet<string>, kind: 'os' | 'as'): number {
  for (const bytes of [2, 4, 8]) if (qualifiers.has(`${kind}${bytes * 8}`)) return bytes;
  return 0;
}

/** Parses one encoding line. Throws TypeError where it does not follow the notation. */
export function parseEncoding(text: string, definition: Definition, id: number): Encoding {
  const draft: Draft = {
    bytes: [],
    prefix: 'any',
    extension: -1,
    slashR: false,
    plusR: false,
    vex: false,
    vexMap: undefined,
    qualifiers: new Set(),
    operands: [],
  };
  for (const word of text.trim().split(/\s+/)) parseWord(word, draft);
  if (draft.qualifiers.has('np')) draft.prefix = 'np';
  takePrefix(draft);
  const map = takeMap(draft);
  const [opcode, fixedModRm = -1] = draft.bytes;
  if (opcode === undefined || draft.bytes.length > 2) throw new TypeError(`encoding ${text}`);
  const letters = draft.operands.map((o) => o.letter);
  const registerOnly = letters.some((l) => 'RUNTCD'.includes(l)) || fixedModRm >= 0;
  const memoryOnly = letters.includes('M');
  return {
    id,
    definition,
    text,
    map,
    vex: draft.vex,
    opcode,
    opcodeRegister: draft.plusR,
    hasModRm: draft.slashR || draft.extension >= 0 || fixedModRm >= 0 || letters.some((l) => MODRM_LETTERS.includes(l)),
    extension: draft.extension,
    fixedModRm,
    form: memoryOnly ? 'memory' : registerOnly ? 'register' : 'any',
    prefix: draft.prefix,
    w: draft.qualifiers.has('w0') ? 0 : draft.qualifiers.has('w1') || draft.qualifiers.has('rexw') ? 1 : -1,
    onlyOperandSize: sizeOf(draft.qualifiers, 'os'),
    onlyAddressSize: sizeOf(draft.qualifiers, 'as'),
    qualifiers: draft.qualifiers,
    operands: draft.operands,
  };
}

/** The operand that a ModRM memory form describes, or an absolute offset: its position, or -1. */
export function memoryOperand(encoding: Encoding): number {
  return encoding.operands.findIndex((o) => MEMORY_LETTERS.includes(o.letter) || o.letter === 'O');
}
