/** Exchange, exchange-and-add, compare-and-exchange. */
import type { Value } from '../../ir/node.ts';
import { define } from '../definition.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS, GPR } from '../state.ts';
import { probeWrite, width } from './common.ts';

/** Replaces ZF by `equal` (i32, 0 or 1); the other flags stay. */
function setZero(b: InstructionBuilder, equal: Value): void {
  const others = b.and(b.statusFlags(), b.i32(~EFLAGS.zf));
  b.setStatusFlags(b.or(others, b.shl(equal, b.i32(6))));
}

/**
 * CMPXCHG. Memory is written whatever the outcome, so that it must be writable. Of a 32-bit form, only the register that
 * takes a new value loses its upper half.
 */
function compareExchange(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const size = width(dst);
  const accumulator = b.gpr(GPR.rax, size);
  const old = dst.compareExchange(accumulator, src.read());
  b.if(b.ne(accumulator, old), () => b.setGpr(GPR.rax, old, size));
  b.flagsOfSub(size, accumulator, old, b.sub(accumulator, old));
}

function compareExchange8(b: InstructionBuilder, dst: Operand): void {
  const pair = (high: number, low: number) => b.or(b.shl(b.gpr(high, 4), b.i64(32)), b.gpr(low, 4));
  const expected = pair(GPR.rdx, GPR.rax);
  const old = dst.compareExchange(expected, pair(GPR.rcx, GPR.rbx));
  const equal = b.eq(old, expected);
  b.if(b.eqz(equal), () => {
    b.setGpr(GPR.rax, old, 4);
    b.setGpr(GPR.rdx, b.shrU(old, b.i64(32)), 4);
  });
  setZero(b, equal);
}

function compareExchange16(b: InstructionBuilder, dst: Operand): void {
  if (b.isAtomic) {
    // No atomic operation of WebAssembly has 16 bytes.
    b.runAlone();
    return;
  }
  const linear = dst.linear(16, 'write');
  b.leaveIf(b.and(b.wrap(linear), b.i32(15)), () => b.raise(13, b.i32(0)));
  // A page that cannot be written must fault as a write, though it is read first.
  probeWrite(b, linear, 16, dst.accessFlags);
  const old = dst.readVector(true);
  const low = b.lane('i64x2.extract_lane', 0, old);
  const high = b.lane('i64x2.extract_lane', 1, old);
  const equal = b.and(b.eq(low, b.gpr(GPR.rax)), b.eq(high, b.gpr(GPR.rdx)));
  const fresh = b.lane('i64x2.replace_lane', 1, b.op('i64x2.splat', b.gpr(GPR.rbx)), b.gpr(GPR.rcx));
  dst.writeVector(b.select(equal, fresh, old), true);
  b.if(b.eqz(equal), () => {
    b.setGpr(GPR.rax, low);
    b.setGpr(GPR.rdx, high);
  });
  setZero(b, equal);
}

export const exchange = define([
  {
    name: 'xchg',
    // Of 90 itself this is only the form with REX.B; without it 90 is NOP.
    encodings: ['86 /r locked Eb,Gb', '87 /r locked Ev,Gv', '90+r Zv,rAX'],
    semantics: (_b, dst, src) => src.write(dst.update('xchg', src.read()).old),
  },
  {
    name: 'xadd',
    encodings: ['0f c0 /r lock Eb,Gb', '0f c1 /r lock Ev,Gv'],
    writes: 'oszapc',
    semantics(b, dst, src) {
      const y = src.read();
      const { old, result } = dst.update('add', y);
      src.write(old);
      // Where both are one register, the sum stays.
      if (dst.kind !== 'memory') dst.write(result);
      b.flagsOfAdd(width(dst), old, y, result);
    },
  },
  {
    name: 'cmpxchg',
    encodings: ['0f b0 /r lock Eb,Gb', '0f b1 /r lock Ev,Gv'],
    writes: 'oszapc',
    semantics: compareExchange,
  },
  {
    name: 'cmpxchg8b',
    encodings: ['0f c7 /1 os16 lock Mq', '0f c7 /1 os32 lock Mq'],
    writes: 'z',
    semantics: compareExchange8,
  },
  {
    name: 'cmpxchg16b',
    encodings: ['0f c7 /1 os64 lock Mdq'],
    feature: 'cx16',
    writes: 'z',
    semantics: compareExchange16,
  },
]);
