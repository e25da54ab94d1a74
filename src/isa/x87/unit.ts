/** The x87 unit as its routines see it: register stack, tags, status and control words (SDM vol. 1 8.1). */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { readField, writeField } from '../fields.ts';
import { EXCEPTION } from '../float/format.ts';
import { VCPU, type VcpuField } from '../state.ts';

/** Bits of the status word besides the exceptions. */
export const STATUS = {
  stackFault: EXCEPTION.stackFault,
  /** ES: an exception flag is set that is not masked. */
  summary: 0x80,
  c0: EXCEPTION.c0,
  c1: EXCEPTION.c1,
  c2: EXCEPTION.c2,
  c3: EXCEPTION.c3,
  conditions: EXCEPTION.c0 | EXCEPTION.c2 | EXCEPTION.c3,
  topShift: 11,
  top: 7 << 11,
  /** B, which follows ES. */
  busy: 0x8000,
} as const;

/** The default NaN (SDM vol. 1 4.2.2). */
export const DEFAULT_NAN = { significand: 0b11n << 62n, signExponent: 0xffff } as const;

/** Exceptions met before a result exists: where one of them is not masked, the instruction changes nothing else. */
export const BEFORE_RESULT = EXCEPTION.invalid | EXCEPTION.denormal | EXCEPTION.zeroDivide;
/** Exceptions that, where not masked, keep a result from memory. */
export const BEFORE_STORE = BEFORE_RESULT | EXCEPTION.overflow | EXCEPTION.underflow;

export class X87 {
  readonly b: Builder;
  readonly cpu: Value;

  constructor(b: Builder, cpu: Value) {
    this.b = b;
    this.cpu = cpu;
  }

  field(name: VcpuField): Value {
    return readField(this.b, this.cpu, name);
  }
  setField(name: VcpuField, value: Value): void {
    writeField(this.b, this.cpu, name, value);
  }

  get control(): Value {
    return this.field('fcw');
  }
  /** Physical number of ST(`index`). */
  physical(index: number | Value): Value {
    const { b } = this;
    const offset = typeof index === 'number' ? b.i32(index) : index;
    return b.and(b.add(this.field('fpTop'), offset), b.i32(7));
  }
  #at(physical: Value): Value {
    return this.b.add(this.cpu, this.b.shl(physical, this.b.i32(4)));
  }
  significand(physical: Value): Value {
    return this.b.loadHost('i64.load', this.#at(physical), VCPU.offsets.fpr);
  }
  signExponent(physical: Value): Value {
    return this.b.loadHost('i32.load16_u', this.#at(physical), VCPU.offsets.fpr + 8);
  }
  write(physical: Value, significand: Value, signExponent: Value): void {
    const { b } = this;
    b.storeHost('i64.store', this.#at(physical), significand, VCPU.offsets.fpr);
    b.storeHost('i32.store16', this.#at(physical), signExponent, VCPU.offsets.fpr + 8);
    this.setField('ftw', b.or(this.field('ftw'), b.shl(b.i32(1), physical)));
  }
  /** 1 where the register is not empty. */
  used(physical: Value): Value {
    return this.b.and(this.b.shrU(this.field('ftw'), physical), this.b.i32(1));
  }
  free(physical: Value): void {
    const { b } = this;
    this.setField('ftw', b.and(this.field('ftw'), b.not(b.shl(b.i32(1), physical))));
  }
  /** Takes ST(0) off the stack. */
  pop(): void {
    const top = this.physical(0);
    this.free(top);
    this.setField('fpTop', this.b.and(this.b.add(top, this.b.i32(1)), this.b.i32(7)));
  }
  /** Moves the top of the stack to the register before it. */
  descend(): void {
    this.setField('fpTop', this.physical(-1));
  }

  /** The sign and exponent that the last f80 routine returned. */
  get resultExponent(): Value {
    return this.field('fpResultExponent');
  }
  /** Replaces what the routines have reported in this instruction. */
  report(flags: number | Value): void {
    this.setField('fpExceptions', typeof flags === 'number' ? this.b.i32(flags) : flags);
  }
  /** Stack underflow; for overflow `EXCEPTION.c1` in addition. */
  stackFault(more = 0): void {
    this.report(EXCEPTION.invalid | EXCEPTION.stackFault | more);
  }
  /**
   * Takes what was reported into the status word; `conditions` are the condition codes that the instruction defines
   * besides those that a routine reported, and C1 after a stack fault. 1 where no exception among `blocking` keeps the
   * result from being written.
   */
  settle(blocking: number, conditions: number = STATUS.c1): Value {
    return this.b.call('x87_settle', this.cpu, this.b.i32(blocking), this.b.i32(conditions));
  }
}
