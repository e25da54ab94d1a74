/**
 * The fast path of forward REP MOVS and REP STOS: as many elements at once as lie in one page of source and destination
 * and in memory that the TLB reaches in place. What it does not take, the path by elements does.
 */
import type { Value } from '../../ir/node.ts';
import type { Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS, GPR, SEGMENT } from '../state.ts';
import { advance } from './common.ts';

const PAGE = 4096;
/** Bit 2 of a data segment's attributes. */
const EXPAND_DOWN = 1 << 2;

/** Whether offsets in a segment need no look at its limit (i32), given that an access through it has been allowed. */
function unlimited(b: InstructionBuilder, segment: number): Value {
  if (b.mode.codeSize === 8) return b.i32(1);
  const whole = b.eq(b.field('segmentLimit', segment), b.i32(-1));
  return b.and(whole, b.eqz(b.and(b.field('segmentAttributes', segment), b.i32(EXPAND_DOWN))));
}

/** Host address (i32) of memory at a linear address if the TLB has it, else 0; the layout is that of `translate`. */
function inPlace(b: InstructionBuilder, linear: Value, write: boolean): Value {
  const slot = b.and(b.wrap(b.shrU(linear, b.i64(7))), b.field('tlbMask'));
  const entry = b.add(slot, b.field('tlbBase'));
  const known = b.eq(b.loadHost('i64.load', entry, write ? 8 : 0), b.and(linear, b.i64(-PAGE)));
  return b.select(known, b.add(b.wrap(linear), b.loadHost('i32.load', entry, 24)), b.i32(0));
}

const smaller = (b: InstructionBuilder, x: Value, y: Value): Value => b.select(b.ltU(x, y), x, y);

/** Bytes from a linear address to the end of its page. */
function pageRoom(b: InstructionBuilder, linear: Value): Value {
  return b.sub(b.i64(PAGE), b.and(linear, b.i64(PAGE - 1)));
}

/** Bytes from an offset to where offsets wrap. */
function offsetRoom(b: InstructionBuilder, offset: Value, room: Value): Value {
  if (b.addressSize === 8) return room;
  return smaller(b, room, b.sub(b.i64(1n << BigInt(b.addressSize * 8)), offset));
}

/** How many elements `room` bytes hold, at most those left. */
function elements(b: InstructionBuilder, room: Value, size: Width): Value {
  return smaller(b, b.shrU(room, b.i64(Math.log2(size))), b.gpr(GPR.rcx, b.addressSize));
}

function finish(b: InstructionBuilder, count: Value, bytes: Value, pointers: readonly number[]): void {
  for (const register of pointers) advance(b, register, bytes);
  advance(b, GPR.rcx, b.neg(count));
}

const forward = (b: InstructionBuilder): Value => b.eqz(b.and(b.field('eflags'), b.i32(EFLAGS.df)));

/** Copies what `REP MOVS` can copy at once after its last element; the state stays one to start again from. */
export function bulkMove(b: InstructionBuilder, size: Width): void {
  const segments = b.and(unlimited(b, b.dataSegment), unlimited(b, SEGMENT.es));
  b.if(b.and(forward(b), segments), () => {
    const [source, target] = [b.gpr(GPR.rsi, b.addressSize), b.gpr(GPR.rdi, b.addressSize)];
    const from = b.linear(b.dataSegment, source, size, 'read');
    const to = b.linear(SEGMENT.es, target, size, 'write');
    const pages = smaller(b, pageRoom(b, from), pageRoom(b, to));
    const count = elements(b, offsetRoom(b, source, offsetRoom(b, target, pages)), size);
    const bytes = b.mul(count, b.i64(size));
    const [hostFrom, hostTo] = [inPlace(b, from, false), inPlace(b, to, true)];
    // A destination that starts inside the source repeats what was copied before.
    const apart = b.geU(b.sub(hostTo, hostFrom), b.wrap(bytes));
    const reachable = b.and(b.ne(hostFrom, b.i32(0)), b.ne(hostTo, b.i32(0)));
    b.if(b.and(reachable, apart), () => {
      b.copyHost(hostTo, hostFrom, b.wrap(bytes));
      finish(b, count, bytes, [GPR.rsi, GPR.rdi]);
    });
  });
}

const STORE: Record<Width, string> = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' };

function storeElements(b: InstructionBuilder, host: Value, bytes: Value, value: Value, size: Width): void {
  const at = b.variable('i32', host);
  const end = b.add(host, bytes);
  b.block((done) => {
    b.loop((again) => {
      const place = b.get(at);
      b.branchIf(done, b.geU(place, end));
      b.storeHost(STORE[size], place, value);
      b.set(at, b.add(place, b.i32(size)));
      b.branch(again);
    });
  });
}

/** Fills what `REP STOS` can fill at once after its last element. */
export function bulkStore(b: InstructionBuilder, size: Width): void {
  b.if(b.and(forward(b), unlimited(b, SEGMENT.es)), () => {
    const target = b.gpr(GPR.rdi, b.addressSize);
    const to = b.linear(SEGMENT.es, target, size, 'write');
    const count = elements(b, offsetRoom(b, target, pageRoom(b, to)), size);
    const bytes = b.mul(count, b.i64(size));
    const host = inPlace(b, to, true);
    b.if(host, () => {
      const value = b.gpr(GPR.rax, size);
      const byte = b.and(value, b.i64(0xff));
      const copies = b.mul(byte, b.i64(0x0101_0101_0101_0101n & ((1n << BigInt(size * 8)) - 1n)));
      const fill = () => b.fillHost(host, b.wrap(byte), b.wrap(bytes));
      b.if(b.eq(copies, value), fill, () => storeElements(b, host, b.wrap(bytes), value, size));
      finish(b, count, bytes, [GPR.rdi]);
    });
  });
}
