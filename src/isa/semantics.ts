/**
 * What instruction meanings are written against: guest registers, flags, memory, operands and control flow, on top of
 * the IR. This class reads and writes the vCPU's state block; engines refine it.
 *
 * The order inside a meaning is checked as it is built: first whatever may fault (reads of memory, checks, the write to
 * memory), then the commit (registers, flags), which cannot. A multi-step instruction calls `restartPoint` where its
 * state so far is one from which it can be started again.
 */
import { Builder } from '../ir/builder.ts';
import type { Hint, Label, Signature, Value } from '../ir/node.ts';
import { MEMORY_ACCESS } from './access.ts';
import type { Definition } from './definition.ts';
import { readField, writeField } from './fields.ts';
import { comparisonImage, type FlagImage, flagImage } from './flag-image.ts';
import type { Helper } from './helpers.ts';
import {
  EFLAGS,
  fprOffset,
  GPR,
  gprOffset,
  NO_FAULT,
  RUN_ALONE,
  STATUS_FLAGS,
  VCPU,
  type VcpuField,
  xmmOffset,
} from './state.ts';

/** Operand and address sizes in bytes. */
export type Width = 1 | 2 | 4 | 8;

/** What is known about the machine's mode when code is built. */
export interface CodeMode {
  /** Bytes of the instruction pointer: 8 in 64-bit mode, 4 or 2 by CS.D. */
  readonly codeSize: 2 | 4 | 8;
  /** Bytes of the stack pointer in use: 8 in 64-bit mode, else by SS.B. */
  readonly stackSize: 2 | 4 | 8;
  /** Protected mode proper, long mode included: neither real nor virtual-8086 mode. */
  readonly protected: boolean;
  /**
   * Other threads reach guest memory while this code runs: locked instructions must be atomic, and fences hold. Absent where
   * there is one thread, and in code that runs while all others wait.
   */
  readonly shared?: boolean;
}

export interface Operand {
  readonly kind: 'gpr' | 'xmm' | 'mmx' | 'memory' | 'immediate' | 'index';
  /** Bytes. */
  readonly size: number;
  /** Memory: bits of `MEMORY_ACCESS` that belong to accesses at `linear` and `linearAt`; 0 for registers. */
  readonly accessFlags: number;
  /** The low `size` (at most 8) bytes, zero-extended to i64; an immediate is sign-extended where its code says so. */
  read(): Value;
  /** Writes the low `size` (at most 8) bytes of an i64. A 4-byte write to a general register clears its upper half. */
  write(value: Value): void;
  /** Reads for a later `write` to the same place: for memory, checks now that it can be written. */
  modify(): Value;
  /** Replaces the operand, atomically where the instruction is locked. */
  update(update: Update, value: Value): Updated;
  /**
   * Replaces the operand by `value` if it equals `expected`, which is zero-extended; atomically where the instruction is
   * locked. What it was, zero-extended. Memory is written in either case.
   */
  compareExchange(expected: Value, value: Value): Value;
  /**
   * The operand as v128: all of an XMM register, or `size` bytes of memory zero-extended. Sixteen bytes of memory must
   * be aligned (#GP) unless `unaligned`.
   */
  readVector(unaligned?: boolean): Value;
  /** Writes all of an XMM register, or the low `size` bytes to memory. */
  writeVector(value: Value, unaligned?: boolean): void;
  /** Memory: the effective address, without segment base, as i64 (what LEA gives). */
  address(): Value;
  /** Memory: the linear address plus `offset` bytes for an access of `bytes` bytes; checks the segment. */
  linear(bytes: number, access: 'read' | 'write', offset?: number): Value;
  /** As `linear`, `displacement` bytes (i64) further; the sum wraps at the address size. */
  linearAt(bytes: number, access: 'read' | 'write', displacement: Value): Value;
  /** Segment, control, debug or x87 register: its number as i32. */
  index(): Value;
}

/** A host address that stands for guest memory between a read and the write that follows it. */
export interface Modification {
  readonly value: Value;
  /** Writes back; cannot fault. */
  write(value: Value): void;
}

/** What an operand is replaced by: a WebAssembly atomic operation on it and a value, or its negation, which takes none. */
export type Update = 'add' | 'sub' | 'and' | 'or' | 'xor' | 'xchg' | 'neg';

export interface Updated {
  /** What it was, zero-extended. */
  readonly old: Value;
  /** What replaced it; bits above its size may be anything. */
  readonly result: Value;
}

/** What an update makes of an old value. */
export function applyUpdate(b: Builder, update: Update, old: Value, value: Value): Value {
  switch (update) {
    case 'xchg':
      return value;
    case 'neg':
      return b.neg(old);
    default:
      return b[update](old, value);
  }
}

/** An atomic operation that gives i64, by the part of its name that all widths have. */
const atomicName = (operation: string, bytes: Width): string =>
  bytes === 8 ? `i64.atomic.rmw.${operation}` : `i64.atomic.rmw${bytes * 8}.${operation}_u`;

const STORE: Record<Width, string> = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' };
const LOAD: Record<Width, string> = { 1: 'i64.load8_u', 2: 'i64.load16_u', 4: 'i64.load32_u', 8: 'i64.load' };

/** Flags that engines look at: a change of one has to be told. */
const WATCHED_FLAGS = EFLAGS.tf | EFLAGS.if | EFLAGS.rf | EFLAGS.vm | EFLAGS.ac;

/** What `floatReady` gives where it holds. */
export const FLOAT_READY = 1n << 62n;
/** MXCSR: PE, its mask, and rounding control. */
const SILENT = { flag: 0x20, mask: 0x1000, rounding: 0x6000 } as const;

/** Condition codes in the order of their encoding (SDM vol. 2D appendix B.1.4.7). */
export const CONDITIONS = [
  'o',
  'no',
  'b',
  'ae',
  'e',
  'ne',
  'be',
  'a',
  's',
  'ns',
  'p',
  'np',
  'l',
  'ge',
  'le',
  'g',
] as const;

export interface InstructionContext {
  /** Effective operand size in bytes (1 for byte forms as the operands say). */
  readonly operandSize: Width;
  readonly addressSize: Width;
  readonly mode: CodeMode;
  /** Repeat prefix: 0, 0xf2 or 0xf3. */
  readonly repeat: number;
  /** With a LOCK prefix, or locked without. */
  readonly locked: boolean;
  /** Number of the segment that data accesses without a fixed segment use: DS or the override. */
  readonly dataSegment: number;
}

export abstract class InstructionBuilder extends Builder {
  /** Address of the vCPU's state block. */
  readonly cpu: Value;
  protected context!: InstructionContext;
  #committed = false;
  #accessed = false;
  #helpers: (name: string) => Helper;

  constructor(signature: Signature, signatures: (callee: string) => Signature, helpers: (name: string) => Helper) {
    super(signature.params, signature.result, signatures);
    this.#helpers = helpers;
    this.cpu = this.param(0);
  }

  /** Starts the meaning of one instruction. */
  begin(context: InstructionContext): void {
    this.context = context;
    this.#committed = false;
    this.#accessed = false;
  }

  /** Writes the meaning of the instruction that was begun. */
  mean({ fences, semantics }: Definition, operands: readonly Operand[]): void {
    if (fences === true && this.mode.shared === true) this.fenceHost();
    semantics(this, ...operands);
  }

  get operandSize(): Width {
    return this.context.operandSize;
  }
  get addressSize(): Width {
    return this.context.addressSize;
  }
  get mode(): CodeMode {
    return this.context.mode;
  }
  get repeat(): number {
    return this.context.repeat;
  }
  /** The instruction's access to its first operand must be one step for other threads. */
  get isAtomic(): boolean {
    return this.context.locked && this.mode.shared === true;
  }
  get dataSegment(): number {
    return this.context.dataSegment;
  }

  /** Notes something that may fault. */
  protected access(): void {
    if (this.#committed) throw new TypeError('an access that may fault follows a commit');
    this.#accessed = true;
  }
  /** Notes a change of architectural state. */
  protected commit(): void {
    this.#committed = true;
  }
  /** For operands: notes that one changes architectural state. */
  noteCommit(): void {
    this.commit();
  }
  /** The state so far is one from which the instruction can be started again. */
  restartPoint(): void {
    this.#committed = false;
    this.#accessed = false;
  }

  override if(condition: Value, then: () => void, otherwise?: () => void, hint?: Hint): void {
    const before = this.#committed;
    let afterThen = before;
    super.if(
      condition,
      () => {
        then();
        afterThen = this.#committed;
        this.#committed = before;
      },
      otherwise,
      hint,
    );
    this.#committed ||= afterThen;
  }
  /** An `if` whose `then` leaves the instruction (by a fault or a jump): what it commits does not count afterwards. */
  leaveIf(condition: Value, then: () => void): void {
    const before = this.#committed;
    super.if(condition, then, undefined, 'unlikely');
    this.#committed = before;
  }
  override loop(fill: (again: Label) => void): void {
    const accessed = this.#accessed;
    this.#accessed = false;
    super.loop(fill);
    if (this.#committed && this.#accessed)
      throw new TypeError('a loop that accesses and commits needs a restart point');
    this.#accessed ||= accessed;
  }

  /**
   * `FLOAT_READY` (i64) where MXCSR says that results rounded to nearest may be taken without further ado: that is the
   * rounding wanted, and an inexact result changes nothing, for PE is set and masked. Else 0.
   */
  floatReady(): Value {
    const { flag, mask, rounding } = SILENT;
    const ready = this.eq(this.and(this.field('mxcsr'), this.i32(flag | mask | rounding)), this.i32(flag | mask));
    return this.shl(this.extendU(ready), this.i64(62));
  }
  /** A v128 constant that many instructions use. */
  vectorConstant(value: bigint): Value {
    return this.v128(value & ((1n << 64n) - 1n), value >> 64n);
  }
  /** MXCSR may have changed: what `floatReady` gave before is out of date. */
  mxcsrChanged(): void {}
  /**
   * Status flags of UCOMISS and the like: CF less, ZF equal, PF unordered, all three where unordered; the others clear.
   * Both operands are f32 or f64.
   */
  flagsOfComparison(x: Value, y: Value): void {
    this.#setImage(comparisonImage(this, x, y));
  }

  /** A scalar field of the state block, or element `index` of an array: u64 as i64, all others as i32, zero-extended. */
  field(name: VcpuField, index = 0): Value {
    return readField(this, this.cpu, name, index);
  }
  setField(name: VcpuField, value: Value, index = 0): void {
    this.commit();
    this.setScratchField(name, value, index);
  }
  /** Sets a field that is no architectural state, such as fault details: not a commit. */
  setScratchField(name: VcpuField, value: Value, index = 0): void {
    writeField(this, this.cpu, name, value, index);
  }

  /** General register by number; `size` 1 is the low byte. Zero-extended to i64. */
  gpr(index: number, size: Width = 8): Value {
    return this.loadHost(LOAD[size], this.cpu, gprOffset(index));
  }
  setGpr(index: number, value: Value, size: Width = 8): void {
    this.commit();
    if (size === 4) this.storeHost('i64.store', this.cpu, this.zeroExtend(value, 4), gprOffset(index));
    else this.storeHost(STORE[size], this.cpu, value, gprOffset(index));
  }
  /** AH, CH, DH or BH for `index` 0–3. */
  gprHigh(index: number): Value {
    return this.loadHost('i64.load8_u', this.cpu, gprOffset(index) + 1);
  }
  setGprHigh(index: number, value: Value): void {
    this.commit();
    this.storeHost('i64.store8', this.cpu, value, gprOffset(index) + 1);
  }
  xmm(index: number): Value {
    return this.loadHost('v128.load', this.cpu, xmmOffset(index));
  }
  setXmm(index: number, value: Value): void {
    this.commit();
    this.storeHost('v128.store', this.cpu, value, xmmOffset(index));
  }
  /** Significand (or MMX value) of physical x87 register `index`, which may be a number or an i32 value. */
  significand(index: number | Value): Value {
    return this.loadHost('i64.load', this.#fpr(index), typeof index === 'number' ? fprOffset(index) : VCPU.offsets.fpr);
  }
  /** Sign and exponent of physical x87 register `index` as i32. */
  signExponent(index: number | Value): Value {
    return this.loadHost(
      'i32.load16_u',
      this.#fpr(index),
      (typeof index === 'number' ? fprOffset(index) : VCPU.offsets.fpr) + 8,
    );
  }
  setFpr(index: number | Value, significand: Value, signExponent: Value): void {
    this.commit();
    const offset = typeof index === 'number' ? fprOffset(index) : VCPU.offsets.fpr;
    this.storeHost('i64.store', this.#fpr(index), significand, offset);
    this.storeHost('i32.store16', this.#fpr(index), signExponent, offset + 8);
  }
  #fpr(index: number | Value): Value {
    return typeof index === 'number' ? this.cpu : this.add(this.cpu, this.shl(index, this.i32(4)));
  }

  /** Stack pointer at the width of the stack, zero-extended. */
  stackPointer(): Value {
    return this.gpr(GPR.rsp, this.mode.stackSize);
  }
  setStackPointer(value: Value): void {
    this.setGpr(GPR.rsp, value, this.mode.stackSize);
  }
  /** `offset` cut to the width of the stack. */
  stackOffset(offset: Value): Value {
    return this.zeroExtend(offset, this.mode.stackSize);
  }

  /** Linear address of `bytes` bytes at `offset` (i64) in a segment; checks the segment where it is not flat. */
  abstract linear(segment: number, offset: Value, bytes: number, access: 'read' | 'write'): Value;
  /** Notes which instruction runs, before anything outside this code can ask. */
  protected abstract noteCurrent(): void;
  /** A branch to the exit that delivers the fault described by the fault fields. */
  abstract fault(): void;
  /** Address after this instruction, cut to the code size, as i64. */
  abstract nextIp(): Value;
  /** Address of this instruction, as i64. */
  abstract currentIp(): Value;
  /** Target of a relative jump operand, cut to the operand size. */
  abstract target(operand: Operand): Value;
  /** Continues at `ip` (i64), which `checkTarget` has accepted. Ends the instruction. */
  abstract jump(ip: Value): void;
  /** Continues at a relative target where `condition` (i32) holds, else after this instruction. Ends it. */
  abstract branchTo(operand: Operand, condition?: Value): void;
  /**
   * At a restart point of a repeated instruction: returns to the run loop, to come back to this same instruction, when
   * something waits to be served or the budget is used up. Counts one step of the budget.
   */
  abstract yieldPoint(): void;
  /** Takes `steps` (i32) off the budget for what a repeated instruction did. */
  abstract work(steps: Value): void;
  /** Goes on after this instruction with everything derived from the machine's mode looked up anew. Ends it. */
  abstract resume(): void;

  /** Raises #GP(0) where a near target is outside the code segment or not canonical. */
  checkTarget(ip: Value): void {
    this.access();
    const bad =
      this.mode.codeSize === 8
        ? this.ne(ip, this.shrS(this.shl(ip, this.i64(16)), this.i64(16)))
        : this.gtU(this.wrap(ip), this.field('segmentLimit', 1));
    this.leaveIf(bad, () => this.raise(13, this.i32(0)));
  }

  /** Raises an exception. The instruction has no effect. */
  raise(vector: number, error?: Value): void {
    this.access();
    this.setScratchField('faultVector', this.i32(vector));
    this.setScratchField('faultHasError', this.i32(error === undefined ? 0 : 1));
    if (error !== undefined) this.setScratchField('faultError', error);
    this.fault();
  }

  /** Calls a helper. One that may fault is an access and must come before the commit. */
  helper(name: string, ...args: Value[]): Value {
    const { faults } = this.#helpers(name);
    if (faults) this.access();
    this.noteCurrent();
    const result = this.call(name, this.cpu, ...args);
    if (faults) this.#faultIfRaised();
    return result;
  }
  /** Calls a helper that changes architectural state and may fault before it does: the instruction's last step. */
  perform(name: string, ...args: Value[]): Value {
    const result = this.helper(name, ...args);
    this.commit();
    return result;
  }
  #faultIfRaised(): void {
    this.leaveIf(this.ne(this.field('faultVector'), this.i32(NO_FAULT)), () => this.fault());
  }

  /**
   * Host address of `bytes` bytes at a linear address; memory that cannot be reached in place is brought to a scratch
   * area. `flags` from `MEMORY_ACCESS`.
   */
  translate(linear: Value, bytes: number, flags: number): Value {
    this.access();
    const tag = flags & MEMORY_ACCESS.write ? 8 : 0;
    const entry = this.add(
      this.and(this.wrap(this.shrU(linear, this.i64(7))), this.field('tlbMask')),
      this.field('tlbBase'),
    );
    const page = this.accessedPage(linear, bytes, flags);
    const routine = flags & MEMORY_ACCESS.locked ? 'translateLocked' : 'translate';
    const host = this.variable('i32');
    this.if(
      this.eq(this.loadHost('i64.load', entry, tag), page),
      () => this.set(host, this.add(this.wrap(linear), this.loadHost('i32.load', entry, 24))),
      () => {
        this.noteCurrent();
        this.set(host, this.call(routine, this.cpu, linear, this.i32(bytes | flags)));
        this.leaveIf(this.eqz(this.get(host)), () => this.fault());
      },
    );
    return this.get(host);
  }
  /** The tag of the TLB's entry for an access: its page, or where it must be aligned and is not, no page. */
  protected accessedPage(linear: Value, bytes: number, flags: number): Value {
    if ((flags & MEMORY_ACCESS.locked) !== 0) return this.and(linear, this.i64(-4096 | (bytes - 1)));
    return this.and(this.add(linear, this.i64(bytes - 1)), this.i64(-4096));
  }

  /** Loads 1–8 bytes at a linear address, zero-extended to i64. */
  load(linear: Value, bytes: Width, flags = 0): Value {
    return this.loadOrdered(LOAD[bytes], this.translate(linear, bytes, flags));
  }
  /** Stores the low bytes of an i64. */
  store(linear: Value, bytes: Width, value: Value, flags = 0): void {
    const host = this.translate(linear, bytes, flags | MEMORY_ACCESS.write);
    this.storeHost(STORE[bytes], host, value);
    this.finishWrite();
  }
  /** Loads and promises a write to the same place. */
  modifyAt(linear: Value, bytes: Width, flags = 0): Modification {
    const host = this.translate(linear, bytes, flags | MEMORY_ACCESS.write | MEMORY_ACCESS.modify);
    return {
      value: this.loadOrdered(LOAD[bytes], host),
      write: (value) => {
        this.storeHost(STORE[bytes], host, value);
        this.finishWrite();
      },
    };
  }
  /** Host address for an atomic access; whatever cannot be one has the engine run the instruction alone. */
  #translateLocked(linear: Value, bytes: Width, flags: number): Value {
    const { write, modify, locked } = MEMORY_ACCESS;
    return this.translate(linear, bytes, flags | write | modify | locked);
  }
  /** `Operand.update` of 1–8 bytes at a linear address. */
  updateAt(linear: Value, bytes: Width, update: Update, value: Value, flags = 0): Updated {
    if (!this.isAtomic) {
      const place = this.modifyAt(linear, bytes, flags);
      const result = applyUpdate(this, update, place.value, value);
      place.write(result);
      return { old: place.value, result };
    }
    const host = this.#translateLocked(linear, bytes, flags);
    const old = update === 'neg' ? this.#negateAt(host, bytes) : this.atomic(atomicName(update, bytes), host, [value]);
    return { old, result: applyUpdate(this, update, old, value) };
  }
  /** Negates memory at a host address atomically; what was there. */
  #negateAt(host: Value, bytes: Width): Value {
    const seen = this.variable('i64', this.loadOrdered(LOAD[bytes], host));
    super.loop((again) => {
      const old = this.get(seen);
      const found = this.atomic(atomicName('cmpxchg', bytes), host, [old, this.neg(old)]);
      this.set(seen, found);
      this.branchIf(again, this.ne(found, old));
    });
    return this.get(seen);
  }
  /** `Operand.compareExchange` of 1–8 bytes at a linear address. */
  compareExchangeAt(linear: Value, bytes: Width, expected: Value, value: Value, flags = 0): Value {
    if (this.isAtomic) {
      const host = this.#translateLocked(linear, bytes, flags);
      return this.atomic(atomicName('cmpxchg', bytes), host, [expected, value]);
    }
    const place = this.modifyAt(linear, bytes, flags);
    place.write(this.select(this.eq(place.value, expected), value, place.value));
    return place.value;
  }
  /** Where the instruction is atomic: has the engine run it while no other vCPU runs. */
  runAlone(): void {
    this.raise(RUN_ALONE);
  }
  /** Loads 16 bytes, or 4 or 8 zero-extended. */
  loadVector(linear: Value, bytes: 4 | 8 | 16, flags = 0): Value {
    const load = { 4: 'v128.load32_zero', 8: 'v128.load64_zero', 16: 'v128.load' }[bytes];
    return this.loadOrdered(load, this.translate(linear, bytes, flags));
  }
  storeVector(linear: Value, value: Value, flags = 0): void {
    const host = this.translate(linear, 16, flags | MEMORY_ACCESS.write);
    this.storeHost('v128.store', host, value);
    this.finishWrite();
  }
  /** Brings a write that went to the scratch area to where it belongs. */
  protected finishWrite(): void {
    this.if(this.field('pendingKind'), () => {
      this.call('finishWrite', this.cpu);
    });
  }

  /** Pushes a value of `bytes` bytes: one store, then the stack pointer. */
  push(value: Value, bytes: Width): void {
    const pointer = this.stackOffset(this.sub(this.stackPointer(), this.i64(bytes)));
    this.store(this.linear(2, pointer, bytes, 'write'), bytes, value, MEMORY_ACCESS.stack);
    this.setStackPointer(pointer);
  }
  /** The value on top of the stack, `offset` bytes up; the stack pointer stays. */
  peek(bytes: Width, offset = 0): Value {
    const pointer = this.stackOffset(this.add(this.stackPointer(), this.i64(offset)));
    return this.load(this.linear(2, pointer, bytes, 'read'), bytes, MEMORY_ACCESS.stack);
  }
  /** Takes `bytes` bytes off the stack pointer after a `peek`. */
  drop(bytes: number | Value): void {
    const count = typeof bytes === 'number' ? this.i64(bytes) : bytes;
    this.setStackPointer(this.stackOffset(this.add(this.stackPointer(), count)));
  }

  /** Sets all six status flags from a result and explicit CF, OF, AF (i32, 0 or 1). */
  setFlags(size: Width, result: Value, cf: Value, of: Value, af: Value = this.i32(0)): void {
    const c = this.extendU(cf);
    const carries = this.or(this.shl(c, this.i64(63)), this.shl(this.extendU(this.xor(cf, of)), this.i64(62)));
    this.setFlagState(this.signExtend(result, size), this.or(carries, this.shl(this.extendU(af), this.i64(3))));
  }
  /** Status flags of `a + b (+ carry) = result`, all of `size` bytes. */
  flagsOfAdd(size: Width, a: Value, b: Value, result: Value, _carry?: Value): void {
    this.#setImage(flagImage(this, 'add', size, a, b, result));
  }
  /** Status flags of `a - b (- borrow) = result`. */
  flagsOfSub(size: Width, a: Value, b: Value, result: Value, _borrow?: Value): void {
    this.#setImage(flagImage(this, 'sub', size, a, b, result));
  }
  /** Status flags of a logical operation: CF, OF and AF clear. */
  flagsOfLogic(size: Width, result: Value): void {
    this.#setImage(flagImage(this, 'logic', size, result, result, result));
  }
  #setImage({ result, aux }: FlagImage): void {
    this.setFlagState(result, aux);
  }
  /** Replaces CF; the other flags stay. */
  setCarry(cf: Value): void {
    const aux = this.field('flagAux');
    const change = this.xor(this.shrU(aux, this.i64(63)), this.extendU(cf));
    this.setFlagState(undefined, this.xor(aux, this.mul(change, this.i64(0b11n << 62n))));
  }
  /** Replaces CF and OF; the other flags stay. */
  setCarryOverflow(cf: Value, of: Value): void {
    const aux = this.and(this.field('flagAux'), this.i64((1n << 62n) - 1n));
    const c = this.shl(this.extendU(cf), this.i64(63));
    this.setFlagState(undefined, this.or(aux, this.or(c, this.shl(this.extendU(this.xor(cf, of)), this.i64(62)))));
  }
  /** Sets the status flags from bits at their places in EFLAGS (i32). */
  setStatusFlags(bits: Value): void {
    // ZF from a result of 0 or 0x100; SF, PF through their correction bits.
    const bit = (flag: number, to: number) =>
      this.shl(this.extendU(this.op('i32.ne', this.and(bits, this.i32(flag)), this.i32(0))), this.i64(to));
    const zero = this.and(bits, this.i32(EFLAGS.zf));
    const result = this.select(zero, this.i64(0), this.i64(0x100));
    const notParity = this.shl(this.extendU(this.eqz(this.and(bits, this.i32(EFLAGS.pf)))), this.i64(8));
    const cf = this.extendU(this.and(bits, this.i32(1)));
    const of = this.and(this.shrU(this.extendU(bits), this.i64(11)), this.i64(1));
    const carries = this.or(this.shl(cf, this.i64(63)), this.shl(this.xor(cf, of), this.i64(62)));
    this.setFlagState(result, this.or(this.or(carries, bit(EFLAGS.af, 3)), this.or(bit(EFLAGS.sf, 0), notParity)));
  }
  /** Sets the stored form of the status flags; `result` undefined leaves ZF, SF and PF. */
  protected setFlagState(result: Value | undefined, aux: Value): void {
    if (result !== undefined) this.setField('flagResult', result);
    this.setField('flagAux', aux);
  }

  /** One status flag as i32, 0 or 1. */
  flag(name: 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of'): Value {
    const aux = () => this.field('flagAux');
    const result = () => this.field('flagResult');
    switch (name) {
      case 'cf':
        return this.wrap(this.shrU(aux(), this.i64(63)));
      case 'of': {
        const a = aux();
        return this.wrap(this.shrU(this.xor(a, this.shl(a, this.i64(1))), this.i64(63)));
      }
      case 'af':
        return this.and(this.wrap(this.shrU(aux(), this.i64(3))), this.i32(1));
      case 'zf':
        return this.eqz(result());
      case 'sf':
        return this.and(this.xor(this.wrap(this.shrU(result(), this.i64(63))), this.wrap(aux())), this.i32(1));
      case 'pf': {
        const byte = this.and(this.wrap(this.xor(result(), this.shrU(aux(), this.i64(8)))), this.i32(0xff));
        return this.eqz(this.and(this.popcnt(byte), this.i32(1)));
      }
    }
  }
  /** The six status flags at their places in EFLAGS, as i32. */
  statusFlags(): Value {
    const at = (flag: 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of', bit: number) => this.shl(this.flag(flag), this.i32(bit));
    const low = this.or(this.or(this.flag('cf'), at('pf', 2)), this.or(at('af', 4), at('zf', 6)));
    return this.or(low, this.or(at('sf', 7), at('of', 11)));
  }
  /** RFLAGS as PUSHF sees it, without RF and VM, as i32: status flags, system flags, bit 1 set. */
  flagsRegister(): Value {
    const system = this.and(this.field('eflags'), this.i32(~(STATUS_FLAGS | EFLAGS.rf | EFLAGS.vm)));
    return this.or(this.or(this.statusFlags(), system), this.i32(2));
  }
  /** Replaces RFLAGS without the status flags; whatever depends on TF, IF, RF, VM or AC follows. */
  setSystemFlags(value: Value): void {
    const before = this.field('eflags');
    const changed = this.and(this.xor(before, value), this.i32(WATCHED_FLAGS));
    this.setField('eflags', value);
    this.if(changed, () => {
      this.noteCurrent();
      this.call('flagsChanged', this.cpu, before);
    });
  }
  /** Condition code 0–15 as i32, not 0 where it holds. */
  condition(code: number): Value {
    const yes = this.#evenCondition(code & ~1);
    return code & 1 ? this.eqz(yes) : yes;
  }
  #evenCondition(code: number): Value {
    switch (code) {
      case 0:
        return this.flag('of');
      case 2:
        return this.flag('cf');
      case 4:
        return this.flag('zf');
      case 6:
        return this.or(this.flag('cf'), this.flag('zf'));
      case 8:
        return this.flag('sf');
      case 10:
        return this.flag('pf');
      case 12:
        return this.xor(this.flag('sf'), this.flag('of'));
      default:
        return this.or(this.xor(this.flag('sf'), this.flag('of')), this.flag('zf'));
    }
  }
}
