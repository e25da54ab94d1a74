/** Segment registers: moves, pushes, pops, far pointers, and the bases of FS and GS. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import { type Definition, define } from '../definition.ts';
import { helper } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { CR4, SEGMENT, VCPU, VECTOR } from '../state.ts';
import { canonical, hasCr4 } from './leave.ts';

export const segmentHelpers = [
  /** (segment register, selector) */
  helper('loadSegment', ['i32', 'i32'], undefined, true),
];

/** The selector in a segment register, as i64. */
function selectorOf(b: InstructionBuilder, index: Value): Value {
  const at = b.add(b.cpu, b.shl(index, b.i32(1)));
  return b.extendU(b.loadHost('i32.load16_u', at, VCPU.offsets.segmentSelector));
}

/** No interrupt comes between a load of SS and the instruction after it. */
const STACK_SHADOW = 2;

/** The engine looks at once: the shadow is over with the next instruction. */
function shadow(b: InstructionBuilder): void {
  b.setField('interruptShadow', b.i32(STACK_SHADOW));
  b.setField('poll', b.i32(1));
}

/** Loads a segment register and goes on after the instruction; the caller commits what else there is in `rest`. */
function loadSegment(b: InstructionBuilder, segment: Value, selector: Value, rest: () => void): void {
  b.perform('loadSegment', segment, b.and(b.wrap(selector), b.i32(0xffff)));
  rest();
  if (segment.kind !== 'const') b.if(b.eq(segment, b.i32(SEGMENT.ss)), () => shadow(b));
  else if (segment.value === SEGMENT.ss) shadow(b);
  b.resume();
}

function moveFrom(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const index = src.index();
  b.leaveIf(b.gtU(index, b.i32(SEGMENT.gs)), () => b.raise(VECTOR.ud));
  dst.write(selectorOf(b, index));
}

function moveTo(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const index = dst.index();
  const refused = b.or(b.gtU(index, b.i32(SEGMENT.gs)), b.eq(index, b.i32(SEGMENT.cs)));
  b.leaveIf(refused, () => b.raise(VECTOR.ud));
  loadSegment(b, index, src.read(), () => {});
}

/** A push of 32 bits writes the lower 16 and leaves the upper half of its slot as it is. */
function push(b: InstructionBuilder, src: Operand): void {
  const value = selectorOf(b, src.index());
  if (b.operandSize !== 4) {
    b.push(value, b.operandSize);
    return;
  }
  const pointer = b.stackOffset(b.sub(b.stackPointer(), b.i64(4)));
  b.store(b.linear(SEGMENT.ss, pointer, 2, 'write'), 2, value, MEMORY_ACCESS.stack);
  b.setStackPointer(pointer);
}

function pop(b: InstructionBuilder, dst: Operand): void {
  const selector = b.peek(b.operandSize);
  loadSegment(b, dst.index(), selector, () => b.drop(b.operandSize));
}

/** LDS and the like: offset first, selector above it. */
function farPointer(name: string, segment: number, encoding: string): Definition {
  return {
    name,
    encodings: [encoding],
    ends: true,
    semantics(b, dst, src) {
      const size = b.operandSize;
      const offset = b.load(src.linear(size, 'read'), size, src.accessFlags);
      const selector = b.load(src.linear(2, 'read', size), 2, src.accessFlags);
      loadSegment(b, b.i32(segment), selector, () => dst.write(offset));
    },
  };
}

/** RDFSBASE and the like: #UD unless CR4.FSGSBASE. */
function base(name: string, segment: number, extension: number, access: 'read' | 'write'): Definition {
  return {
    name,
    encodings: [`f3 0f ae /${extension} o64 Ry`],
    feature: 'fsgsbase',
    semantics(b, operand) {
      b.leaveIf(b.eqz(hasCr4(b, CR4.fsgsbase)), () => b.raise(VECTOR.ud));
      if (access === 'read') {
        operand.write(b.field('segmentBase', segment));
        return;
      }
      const value = operand.read();
      canonical(b, value);
      b.setField('segmentBase', value, segment);
    },
  };
}

export const segment = define([
  { name: 'mov', encodings: ['8c /r Ev/Mw,Sw'], semantics: moveFrom },
  { name: 'mov', encodings: ['8e /r Sw,Ew'], ends: true, uses: ['mode'], semantics: moveTo },
  {
    name: 'push',
    encodings: ['06 i64 ES', '0e i64 CS', '16 i64 SS', '1e i64 DS', '0f a0 d64 FS', '0f a8 d64 GS'],
    uses: ['stack'],
    semantics: push,
  },
  {
    name: 'pop',
    encodings: ['07 i64 ES', '17 i64 SS', '1f i64 DS', '0f a1 d64 FS', '0f a9 d64 GS'],
    ends: true,
    uses: ['stack', 'mode'],
    semantics: pop,
  },
  farPointer('les', SEGMENT.es, 'c4 /r i64 Gv,Mp'),
  farPointer('lds', SEGMENT.ds, 'c5 /r i64 Gv,Mp'),
  farPointer('lss', SEGMENT.ss, '0f b2 /r Gv,Mp'),
  farPointer('lfs', SEGMENT.fs, '0f b4 /r Gv,Mp'),
  farPointer('lgs', SEGMENT.gs, '0f b5 /r Gv,Mp'),
  base('rdfsbase', SEGMENT.fs, 0, 'read'),
  base('rdgsbase', SEGMENT.gs, 1, 'read'),
  base('wrfsbase', SEGMENT.fs, 2, 'write'),
  base('wrgsbase', SEGMENT.gs, 3, 'write'),
]);
