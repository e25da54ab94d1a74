/** The stack: PUSH, POP, frames, PUSHF and POPF. Segment registers are pushed and popped elsewhere. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import { define } from '../definition.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS, GPR, SEGMENT, STATUS_FLAGS } from '../state.ts';
import { probeWrite } from './common.ts';

const STACK = MEMORY_ACCESS.stack;

/** `offset` in the stack segment, checked for an access of `bytes` bytes. */
function stackLinear(b: InstructionBuilder, pointer: Value, bytes: number, access: 'read' | 'write'): Value {
  return b.linear(SEGMENT.ss, pointer, bytes, access);
}

/** The stack pointer moved down by `bytes`. */
function below(b: InstructionBuilder, from: Value, bytes: number): Value {
  return b.stackOffset(b.sub(from, b.i64(bytes)));
}

function pop(b: InstructionBuilder, dst: Operand): void {
  const size = b.operandSize;
  const value = b.peek(size);
  if (dst.kind === 'memory') {
    dst.write(value);
    b.drop(size);
  } else {
    // The register last: POP rSP ends with what was popped.
    b.drop(size);
    dst.write(value);
  }
}

function pushAll(b: InstructionBuilder): void {
  const size = b.operandSize;
  const pointer = b.stackPointer();
  const slot = (number: number) => stackLinear(b, below(b, pointer, size * number), size, 'write');
  // In the order of the stores: the first that faults gives the address.
  for (let number = 1; number <= 8; number++) probeWrite(b, slot(number), size, STACK);
  for (let register = 0; register < 8; register++) b.store(slot(register + 1), size, b.gpr(register, size), STACK);
  b.setStackPointer(below(b, pointer, size * 8));
}

function popAll(b: InstructionBuilder): void {
  const size = b.operandSize;
  const values = Array.from({ length: 8 }, (_, slot) => b.peek(size, slot * size));
  b.drop(size * 8);
  values.forEach((value, slot) => {
    if (slot !== 7 - GPR.rsp) b.setGpr(7 - slot, value, size);
  });
}

/** ENTER: saves rBP, copies `level` - 1 frame pointers of the outer frames, adds its own, makes room. */
function enter(b: InstructionBuilder, room: Operand, nesting: Operand): void {
  const size = b.operandSize;
  const level = b.and(nesting.read(), b.i64(31));
  const pointer = b.stackPointer();
  const frame = below(b, pointer, size);
  // A 32-bit form takes all of ESP, of which a 16-bit stack moves the lower half.
  const narrow = b.mode.stackSize < size;
  const pushed = narrow ? b.or(b.and(b.gpr(GPR.rsp, 4), b.i64(0xffff_0000)), frame) : frame;
  const top = b.stackOffset(b.sub(frame, b.mul(level, b.i64(size))));
  const last = b.stackOffset(b.sub(top, room.read()));
  probeFrames(b, level, frame, size);
  probeWrite(b, stackLinear(b, last, size, 'write'), size, STACK);
  b.store(stackLinear(b, frame, size, 'write'), size, b.gpr(GPR.rbp, size), STACK);
  b.if(b.ne(level, b.i64(0)), () => {
    copyFrames(b, level, frame, size);
    b.store(stackLinear(b, top, size, 'write'), size, pushed, STACK);
  });
  b.setGpr(GPR.rbp, pushed, narrow ? size : b.mode.stackSize);
  b.setStackPointer(last);
}

/** Probes the slot at `frame` and `level` more below it, in the order of the stores. */
function probeFrames(b: InstructionBuilder, level: Value, frame: Value, size: Width): void {
  const number = b.variable('i64', b.i64(0));
  b.loop((again) => {
    const now = b.get(number);
    const place = b.stackOffset(b.sub(frame, b.mul(now, b.i64(size))));
    probeWrite(b, stackLinear(b, place, size, 'write'), size, STACK);
    b.set(number, b.add(now, b.i64(1)));
    b.branchIf(again, b.ltU(now, level));
  });
}

/** Copies frame pointers 1 to `level` - 1 from below rBP to below `frame`. */
function copyFrames(b: InstructionBuilder, level: Value, frame: Value, size: Width): void {
  const base = b.gpr(GPR.rbp, b.mode.stackSize);
  const number = b.variable('i64', b.i64(1));
  b.block((end) => {
    b.loop((again) => {
      const now = b.get(number);
      b.branchIf(end, b.geU(now, level));
      const down = b.mul(now, b.i64(size));
      const from = stackLinear(b, b.stackOffset(b.sub(base, down)), size, 'read');
      const value = b.load(from, size, STACK);
      b.store(stackLinear(b, b.stackOffset(b.sub(frame, down)), size, 'write'), size, value, STACK);
      b.set(number, b.add(now, b.i64(1)));
      b.branch(again);
    });
  });
}

function leave(b: InstructionBuilder): void {
  const size = b.operandSize;
  const pointer = b.gpr(GPR.rbp, b.mode.stackSize);
  const value = b.load(stackLinear(b, pointer, size, 'read'), size, STACK);
  b.setStackPointer(b.stackOffset(b.add(pointer, b.i64(size))));
  b.setGpr(GPR.rbp, value, size);
}

/** In virtual-8086 mode PUSHF and POPF need IOPL 3; virtual-mode extensions are not offered. */
function checkVirtual8086(b: InstructionBuilder): void {
  if (b.mode.protected) return;
  const bits = b.and(b.field('eflags'), b.i32(EFLAGS.vm | EFLAGS.iopl));
  const virtual = b.ne(b.and(bits, b.i32(EFLAGS.vm)), b.i32(0));
  b.leaveIf(b.and(virtual, b.ne(bits, b.i32(EFLAGS.vm | EFLAGS.iopl))), () => b.raise(13, b.i32(0)));
}

function pushFlags(b: InstructionBuilder): void {
  checkVirtual8086(b);
  b.push(b.extendU(b.flagsRegister()), b.operandSize);
}

/** The system flags that a POPF of `size` bytes may change whatever the privilege level. */
function freeFlags(size: Width): number {
  const low = EFLAGS.tf | EFLAGS.df | EFLAGS.nt;
  return size === 2 ? low : low | EFLAGS.ac | EFLAGS.id;
}

/** POPF (SDM vol. 2B): IF changes where CPL <= IOPL, IOPL at CPL 0; VIF, VIP and VM never; RF is cleared. */
function popFlags(b: InstructionBuilder): void {
  checkVirtual8086(b);
  const size = b.operandSize;
  const value = b.wrap(b.peek(size));
  const old = b.field('eflags');
  const level = b.field('cpl');
  const iopl = b.and(b.shrU(old, b.i32(12)), b.i32(3));
  const interrupts = b.select(b.leU(level, iopl), b.i32(EFLAGS.if), b.i32(0));
  const privilege = b.select(b.eqz(level), b.i32(EFLAGS.iopl), b.i32(0));
  const mask = b.or(b.i32(freeFlags(size)), b.or(interrupts, privilege));
  const kept = b.and(b.and(old, b.not(mask)), b.i32(size === 2 ? -1 : ~EFLAGS.rf));
  b.drop(size);
  b.setSystemFlags(b.or(b.and(value, mask), kept));
  b.setStatusFlags(b.and(value, b.i32(STATUS_FLAGS)));
  b.resume();
}

export const stack = define([
  {
    name: 'push',
    encodings: ['50+r d64 Zv', 'ff /6 d64 Ev', '68 d64 Izs', '6a d64 Ibs'],
    uses: ['stack'],
    semantics: (b, src) => b.push(src.read(), b.operandSize),
  },
  // `pop`: an address based on rSP counts from where rSP is after the pop.
  { name: 'pop', encodings: ['58+r d64 Zv', '8f /0 d64 pop Ev'], uses: ['stack'], semantics: pop },
  { name: 'pusha', encodings: ['60 i64'], uses: ['stack'], semantics: pushAll },
  { name: 'popa', encodings: ['61 i64'], uses: ['stack'], semantics: popAll },
  { name: 'enter', encodings: ['c8 d64 Iw,Ib'], uses: ['stack'], semantics: enter },
  { name: 'leave', encodings: ['c9 d64'], uses: ['stack'], semantics: leave },
  { name: 'pushf', encodings: ['9c d64'], reads: 'oszapc', uses: ['stack', 'mode'], semantics: pushFlags },
  { name: 'popf', encodings: ['9d d64'], writes: 'oszapc', ends: true, uses: ['stack', 'mode'], semantics: popFlags },
]);
