/** Operands of an instruction in a region: registers and addresses are known when the code is built. */
import type { Value } from '../../ir/node.ts';
import { type DecodedOperand, type Instruction, type MemoryOperand, RIP_BASE } from '../../isa/instruction.ts';
import type { Width } from '../../isa/operand.ts';
import { SEGMENT } from '../../isa/state.ts';
import { EngineOperand } from '../operand.ts';
import type { RegionBuilder } from './builder.ts';

const LANES: Record<Width, string> = { 1: 'i8x16', 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' };

export class TranslatorOperand extends EngineOperand {
  readonly #b: RegionBuilder;
  readonly #operand: DecodedOperand;
  readonly #instruction: Instruction;

  constructor(b: RegionBuilder, operand: DecodedOperand, instruction: Instruction) {
    const stack = operand.kind === 'memory' && operand.segment === SEGMENT.ss;
    super(b, operand.kind === 'relative' ? 'immediate' : operand.kind, operand.size, stack);
    this.#b = b;
    this.#operand = operand;
    this.#instruction = instruction;
  }

  /** Relative operands: bytes from the next instruction. */
  get displacement(): number {
    return this.#operand.kind === 'relative' ? this.#operand.value : 0;
  }

  protected readRegister(width: Width): Value {
    const b = this.#b;
    const o = this.#operand;
    if (o.kind === 'gpr') return o.high ? b.gprHigh(o.index) : b.gpr(o.index, width);
    if (o.kind === 'mmx') return b.significand(o.index);
    return b.zeroExtend(b.lane('i64x2.extract_lane', 0, this.readXmm()), width);
  }
  protected writeRegister(value: Value, width: Width): void {
    const b = this.#b;
    const o = this.#operand;
    if (o.kind === 'gpr') {
      if (o.high) b.setGprHigh(o.index, value);
      else b.setGpr(o.index, value, width);
    } else if (o.kind === 'mmx') b.setFpr(o.index, value, b.i32(0xffff));
    else {
      const part = width === 8 ? value : b.wrap(value);
      this.writeXmm(b.lane(`${LANES[width]}.replace_lane`, 0, this.readXmm(), part));
    }
  }
  #number(): number {
    if (!('index' in this.#operand)) throw new TypeError(`an operand of kind ${this.#operand.kind} is no register`);
    return this.#operand.index;
  }
  protected readXmm(): Value {
    return this.#b.xmm(this.#number());
  }
  protected writeXmm(value: Value): void {
    this.#b.setXmm(this.#number(), value);
  }
  protected immediate(): Value {
    if (this.#operand.kind !== 'immediate') throw new TypeError('a jump target is no immediate');
    return this.#b.i64(this.#operand.value);
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
    const displacement = b.i64(o.displacement + BigInt(o.bias));
    address = address === undefined ? displacement : b.add(address, displacement);
    return b.zeroExtend(address, this.#instruction.addressSize);
  }
  linearAt(bytes: number, access: 'read' | 'write', displacement: Value): Value {
    const b = this.#b;
    const o = this.#operand as MemoryOperand;
    const offset = b.zeroExtend(b.add(this.address(), displacement), this.#instruction.addressSize);
    return b.linear(o.segment, offset, bytes, access);
  }
  index(): Value {
    return this.#b.i32(this.#number());
  }
}
