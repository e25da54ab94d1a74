/** Descriptor-table registers, and the questions that programs may ask about descriptors. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import { type Definition, define } from '../definition.ts';
import { helper } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS, SEGMENT } from '../state.ts';
import { canonical, privileged, userModeProtected } from './leave.ts';

export const descriptorTableHelpers = [
  helper('loadLocalTable', ['i32'], undefined, true),
  helper('loadTask', ['i32'], undefined, true),
  /** (selector) -> access rights, or -1 */
  helper('accessRights', ['i32'], 'i64', true),
  /** (selector) -> limit, or -1 */
  helper('segmentLimit', ['i32'], 'i64', true),
  /** (selector, 1: to write) -> 1 where it can be */
  helper('verifySegment', ['i32', 'i32'], 'i32', true),
];

type Table = 'gdtr' | 'idtr';

/** Bytes of the base in memory. */
const baseSize = (b: InstructionBuilder): 4 | 8 => (b.mode.codeSize === 8 ? 8 : 4);

function loadTable(name: string, table: Table, encoding: string): Definition {
  return {
    name,
    encodings: [encoding],
    ends: true,
    fences: true,
    uses: ['mode'],
    semantics(b, src) {
      privileged(b);
      const limit = b.load(src.linear(2, 'read'), 2);
      const bytes = baseSize(b);
      const stored = b.load(src.linear(bytes, 'read', 2), bytes);
      // A 16-bit operand has a base of 24 bits.
      const base = bytes === 4 && b.operandSize === 2 ? b.and(stored, b.i64(0xff_ffff)) : stored;
      if (bytes === 8) canonical(b, base);
      b.setField(`${table}Base`, base);
      b.setField(`${table}Limit`, b.wrap(limit));
      b.resume();
    },
  };
}

function storeTable(name: string, table: Table, encoding: string): Definition {
  return {
    name,
    encodings: [encoding],
    uses: ['mode'],
    semantics(b, dst) {
      userModeProtected(b);
      const bytes = baseSize(b);
      const base = dst.linear(bytes, 'write', 2);
      // Both stores happen, or neither.
      b.translate(base, bytes, MEMORY_ACCESS.write);
      b.setScratchField('pendingKind', b.i32(0));
      b.store(dst.linear(2, 'write'), 2, b.extendU(b.field(`${table}Limit`)));
      b.store(base, bytes, b.field(`${table}Base`));
    },
  };
}

/** SLDT and STR. */
function storeSelector(name: string, segment: number, extension: number): Definition {
  return {
    name,
    encodings: [`0f 00 /${extension} prot Ev/Mw`],
    semantics(b, dst) {
      userModeProtected(b);
      dst.write(b.extendU(b.field('segmentSelector', segment)));
    },
  };
}

/** LLDT and LTR. */
function loadSelector(name: string, helperName: string, extension: number): Definition {
  return {
    name,
    encodings: [`0f 00 /${extension} prot Ew`],
    ends: true,
    fences: true,
    semantics(b, src) {
      privileged(b);
      b.perform(helperName, b.wrap(src.read()));
      b.resume();
    },
  };
}

/** Sets ZF to a bit (i32); the other flags stay. */
function setZero(b: InstructionBuilder, bit: Value): void {
  const others = b.and(b.statusFlags(), b.i32(~EFLAGS.zf));
  b.setStatusFlags(b.or(others, b.shl(bit, b.i32(6))));
}

/** LAR and LSL: the destination changes only where ZF is set. */
function inspect(name: string, helperName: string, opcode: string): Definition {
  return {
    name,
    encodings: [`0f ${opcode} /r prot Gv,Ew`],
    reads: 'osapc',
    writes: 'z',
    semantics(b, dst: Operand, src: Operand) {
      const value = b.helper(helperName, b.wrap(src.read()));
      const known = b.geS(value, b.i64(0));
      b.if(known, () => dst.write(value));
      setZero(b, known);
    },
  };
}

function verify(name: string, extension: number, write: 0 | 1): Definition {
  return {
    name,
    encodings: [`0f 00 /${extension} prot Ew`],
    reads: 'osapc',
    writes: 'z',
    semantics: (b, src) => setZero(b, b.helper('verifySegment', b.wrap(src.read()), b.i32(write))),
  };
}

/** ARPL: raises the requested privilege level of a selector to that of another. */
function adjustLevel(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const selector = dst.modify();
  const level = b.and(src.read(), b.i64(3));
  const raised = b.ltU(b.and(selector, b.i64(3)), level);
  dst.write(b.select(raised, b.or(b.and(selector, b.i64(0xfffc)), level), selector));
  setZero(b, raised);
}

export const descriptorTable = define([
  loadTable('lgdt', 'gdtr', '0f 01 /2 Ms'),
  loadTable('lidt', 'idtr', '0f 01 /3 Ms'),
  storeTable('sgdt', 'gdtr', '0f 01 /0 Ms'),
  storeTable('sidt', 'idtr', '0f 01 /1 Ms'),
  storeSelector('sldt', SEGMENT.ldtr, 0),
  storeSelector('str', SEGMENT.tr, 1),
  loadSelector('lldt', 'loadLocalTable', 2),
  loadSelector('ltr', 'loadTask', 3),
  inspect('lar', 'accessRights', '02'),
  inspect('lsl', 'segmentLimit', '03'),
  verify('verr', 4, 0),
  verify('verw', 5, 1),
  { name: 'arpl', encodings: ['63 /r i64 prot Ew,Gw'], reads: 'osapc', writes: 'z', semantics: adjustLevel },
]);
