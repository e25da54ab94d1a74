/** What the meaning of an instruction is given: its operands, and the mode that its code is built for. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/node.ts';

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
