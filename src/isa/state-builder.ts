/** Registers and other fields of the vCPU's state block, as instruction meanings read and write them. */
import type { Signature, Value } from '../ir/node.ts';
import { readField, writeField } from './fields.ts';
import type { CodeMode, InstructionContext, Width } from './operand.ts';
import { OrderedBuilder } from './ordered-builder.ts';
import { fprOffset, GPR, gprOffset, VCPU, type VcpuField, xmmOffset } from './state.ts';

export const STORE: Record<Width, string> = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' };
export const LOAD: Record<Width, string> = { 1: 'i64.load8_u', 2: 'i64.load16_u', 4: 'i64.load32_u', 8: 'i64.load' };

/** What `floatReady` gives where it holds. */
export const FLOAT_READY = 1n << 62n;
/** MXCSR: PE, its mask, and rounding control. */
const SILENT = { flag: 0x20, mask: 0x1000, rounding: 0x6000 } as const;

export abstract class StateBuilder extends OrderedBuilder {
  /** Address of the vCPU's state block. */
  readonly cpu: Value;
  protected context!: InstructionContext;

  constructor(signature: Signature, signatures: (callee: string) => Signature) {
    super(signature.params, signature.result, signatures);
    this.cpu = this.param(0);
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

  /** Notes which instruction runs, before anything outside this code can ask. */
  protected abstract noteCurrent(): void;

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
}
