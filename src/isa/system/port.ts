/** IN, OUT, INS and OUTS. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import { helper } from '../helpers.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS, GPR, SEGMENT } from '../state.ts';

export const portHelpers = [
  /** (port, bytes): #GP(0) where the program may not use the port. */
  helper('checkPort', ['i32', 'i32'], undefined, true),
  /** (port, bytes) -> value */
  helper('readPort', ['i32', 'i32'], 'i32'),
  /** (port, bytes, value) */
  helper('writePort', ['i32', 'i32', 'i32']),
];

/** The I/O permission bitmap counts above IOPL and in virtual-8086 mode. */
function checkPort(b: InstructionBuilder, port: Value, size: Width): void {
  const flags = b.field('eflags');
  const iopl = b.and(b.shrU(flags, b.i32(12)), b.i32(3));
  const limited = b.or(b.gtU(b.field('cpl'), iopl), b.ne(b.and(flags, b.i32(EFLAGS.vm)), b.i32(0)));
  b.if(limited, () => {
    b.helper('checkPort', port, b.i32(size));
  });
}

function input(b: InstructionBuilder, dst: Operand, from: Operand): void {
  const size = dst.size as Width;
  const port = b.wrap(from.read());
  checkPort(b, port, size);
  dst.write(b.extendU(b.helper('readPort', port, b.i32(size))));
}

function output(b: InstructionBuilder, to: Operand, src: Operand): void {
  const size = src.size as Width;
  const port = b.wrap(to.read());
  checkPort(b, port, size);
  b.helper('writePort', port, b.i32(size), b.wrap(src.read()));
}

/** Moves an index register by one element, down where DF is set. */
function advance(b: InstructionBuilder, register: number, size: Width): void {
  const step = b.select(b.and(b.field('eflags'), b.i32(EFLAGS.df)), b.i64(-size), b.i64(size));
  const width = b.addressSize;
  b.setGpr(register, b.zeroExtend(b.add(b.gpr(register, width), step), width), width);
}

/** The destination is checked before the port is read: reading may change the device. */
function inputElement(b: InstructionBuilder, size: Width): void {
  const port = b.wrap(b.gpr(GPR.rdx, 2));
  checkPort(b, port, size);
  const place = b.modifyAt(b.linear(SEGMENT.es, b.gpr(GPR.rdi, b.addressSize), size, 'write'), size);
  place.write(b.extendU(b.helper('readPort', port, b.i32(size))));
  advance(b, GPR.rdi, size);
}

function outputElement(b: InstructionBuilder, size: Width): void {
  const port = b.wrap(b.gpr(GPR.rdx, 2));
  checkPort(b, port, size);
  const value = b.load(b.linear(b.dataSegment, b.gpr(GPR.rsi, b.addressSize), size, 'read'), size);
  b.helper('writePort', port, b.i32(size), b.wrap(value));
  advance(b, GPR.rsi, size);
}

/** Element by element while rCX is not 0; each leaves a state from which the instruction can be started again. */
function repeated(b: InstructionBuilder, element: () => void): void {
  if (b.repeat === 0) {
    element();
    return;
  }
  const count = () => b.gpr(GPR.rcx, b.addressSize);
  b.if(b.ne(count(), b.i64(0)), () => {
    b.loop((again) => {
      element();
      const left = b.zeroExtend(b.sub(count(), b.i64(1)), b.addressSize);
      b.setGpr(GPR.rcx, left, b.addressSize);
      b.restartPoint();
      b.if(b.ne(left, b.i64(0)), () => {
        b.yieldPoint();
        b.branch(again);
      });
    });
  });
}

type Element = (b: InstructionBuilder, size: Width) => void;

/** The forms of one instruction; there is none of 64 bits, and REX.W changes nothing. */
function family(name: string, opcode: number, element: Element): Definition[] {
  const wide = (opcode + 1).toString(16);
  const forms: [string, Width, string[]][] = [
    ['b', 1, [`${opcode.toString(16)} rep`]],
    ['w', 2, [`${wide} os16 rep`]],
    ['d', 4, [`${wide} os32 rep`, `${wide} os64 rep`]],
  ];
  return forms.map(([suffix, size, encodings]) => ({
    name: `${name}${suffix}`,
    encodings,
    fences: true,
    semantics: (b) => repeated(b, () => element(b, size)),
  }));
}

export const port = define([
  { name: 'in', encodings: ['e4 AL,Ib', 'e5 eAX,Ib', 'ec AL,DX', 'ed eAX,DX'], fences: true, semantics: input },
  { name: 'out', encodings: ['e6 Ib,AL', 'e7 Ib,eAX', 'ee DX,AL', 'ef DX,eAX'], fences: true, semantics: output },
  ...family('ins', 0x6c, inputElement),
  ...family('outs', 0x6e, outputElement),
]);
