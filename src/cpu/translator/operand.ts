/** Operands of an instruction in a region: registers and addresses are known when the code is built. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import { type DecodedOperand, type Instruction, type MemoryOperand, RIP_BASE } from '../../isa/instruction.ts';
import type { Modification, Operand, Width } from '../../isa/semantics.ts';
import { SEGMENT } from '../../isa/state.ts';
import type { RegionBuilder } from './builder.ts';

export class TranslatorOperand implements Operand {
  readonly kind: Operand['kind'];
  readonly size: number;
  readonly accessFlags: number;
  readonly #b: RegionBuilder;
  readonly #operand: DecodedOperand;
  readonly #instruction: Instruction;
  #modification: Modification | undefined;

  constructor(b: RegionBuilder, operand: DecodedOperand, instruction: Instruction) {
    this.#b = b;
    this.#operand = operand;
    this.#instruction = instruction;
    this.kind = operand.kind === 'relative' ? 'immediate' : operand.kind;
    this.size = operand.size;
    this.accessFlags = operand.kind === 'memory' && operand.segment === SEGMENT.ss ? MEMORY_ACCESS.stack : 0;
  }

  /** Relative operands: bytes from the next instruction. */
  get displacement(): number {
    return this.#operand.kind === 'relative' ? this.#operand.value : 0;
  }
  #width(): Width {
    return Math.min(this.size, 8) as Width;
  }

  read(): Value {
    const b = this.#b;
    const o = this.#operand;
    switch (o.kind) {
      case 'gpr':
        return o.high ? b.gprHigh(o.index) : b.gpr(o.index, o.size);
      case 'xmm':
        return b.zeroExtend(b.lane('i64x2.extract_lane', 0, b.xmm(o.index)), this.#width());
      case 'mmx':
        return b.significand(o.index);
      case 'memory':
        return b.load(this.linear(this.size, 'read'), this.#width(), this.accessFlags);
      case 'immediate':
        return b.i64(o.value);
      default:
        throw new TypeError(`an operand of kind ${o.kind} has no value`);
    }
  }

  write(value: Value): void {
    const b = this.#b;
    const o = this.#operand;
    if (this.#modification !== undefined) {
      this.#modification.write(value);
      return;
    }
    switch (o.kind) {
      case 'gpr':
        if (o.high) b.setGprHigh(o.index, value);
        else b.setGpr(o.index, value, o.size);
        break;
      case 'memory':
        b.store(this.linear(this.size, 'write'), this.#width(), value, this.accessFlags);
        break;
      case 'mmx':
        b.setFpr(o.index, value, b.i32(0xffff));
        break;
      case 'xmm':
        this.#writeLow(o.index, value);
        break;
      default:
        throw new TypeError(`an operand of kind ${o.kind} cannot be written`);
    }
  }
  #writeLow(index: number, value: Value): void {
    const b = this.#b;
    const lane = { 1: 'i8x16', 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' }[this.#width()];
    const part = lane === 'i64x2' ? value : b.wrap(value);
    b.setXmm(index, b.lane(`${lane}.replace_lane`, 0, b.xmm(index), part));
  }

  modify(): Value {
    if (this.#operand.kind !== 'memory') return this.read();
    this.#modification = this.#b.modifyAt(this.linear(this.size, 'write'), this.#width(), this.accessFlags);
    return this.#modification.value;
  }

  readVector(unaligned = false): Value {
    const b = this.#b;
    if (this.#operand.kind === 'xmm') return b.xmm(this.#operand.index);
    if (this.#operand.kind !== 'memory') throw new TypeError('only XMM registers and memory hold vectors');
    const linear = this.linear(this.size, 'read');
    if (this.size === 16 && !unaligned) this.#checkAligned(linear);
    if (this.size === 16 || this.size === 8 || this.size === 4)
      return b.loadVector(linear, this.size, this.accessFlags);
    return b.lane('i64x2.replace_lane', 0, b.v128(0n, 0n), b.load(linear, this.size as Width, this.accessFlags));
  }
  writeVector(value: Value, unaligned = false): void {
    const b = this.#b;
    if (this.#operand.kind === 'xmm') {
      b.setXmm(this.#operand.index, value);
      return;
    }
    const linear = this.linear(this.size, 'write');
    if (this.size !== 16) {
      b.store(linear, this.size as Width, b.lane('i64x2.extract_lane', 0, value), this.accessFlags);
      return;
    }
    if (!unaligned) this.#checkAligned(linear);
    b.storeVector(linear, value, this.accessFlags);
  }
  #checkAligned(linear: Value): void {
    const b = this.#b;
    b.leaveIf(b.and(b.wrap(linear), b.i32(15)), () => b.raise(13, b.i32(0)));
  }

  address(): Value {
    const b = this.#b;
    const o = this.#operand as MemoryOperand;
    let address: Value | undefined;
    if (o.base === RIP_BASE) address = b.nextIp();
    else if (o.base >= 0) address = b.gpr(o.base);
    if (o.index >= 0) {
      const scaled = b.shl(b.gpr(o.index), b.i64(o.scale));
      address = address === undefined ? scaled : b.add(address, scaled);
    }
    const displacement = b.i64(o.displacement);
    address = address === undefined ? displacement : b.add(address, displacement);
    return b.zeroExtend(address, this.#instruction.addressSize);
  }
  linear(bytes: number, access: 'read' | 'write', offset = 0): Value {
    return this.linearAt(bytes, access, this.#b.i64(offset));
  }
  linearAt(bytes: number, access: 'read' | 'write', displacement: Value): Value {
    const b = this.#b;
    const o = this.#operand as MemoryOperand;
    const offset = b.zeroExtend(b.add(this.address(), displacement), this.#instruction.addressSize);
    return b.linear(o.segment, offset, bytes, access);
  }
  index(): Value {
    if (this.#operand.kind !== 'index') throw new TypeError('only register numbers have an index');
    return this.#b.i32(this.#operand.index);
  }
}
