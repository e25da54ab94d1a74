/** Operands of interpreter handlers: the shape says what kind they are, the record says which. */
import type { Value } from '../../ir/node.ts';
import type { Width } from '../../isa/operand.ts';
import { EngineOperand } from '../operand.ts';
import type { InterpreterBuilder } from './builder.ts';
import { RECORD } from './record.ts';
import type { OperandShape } from './shape.ts';

const LOAD: Record<Width, string> = { 1: 'i64.load8_u', 2: 'i64.load16_u', 4: 'i64.load32_u', 8: 'i64.load' };
const STORE: Record<Width, string> = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' };

export class InterpreterOperand extends EngineOperand {
  readonly #b: InterpreterBuilder;
  readonly #shape: OperandShape;
  readonly #slot: number;

  constructor(b: InterpreterBuilder, shape: OperandShape, position: number) {
    super(b, shape.kind === 'relative' ? 'immediate' : shape.kind, shape.size, shape.stack);
    this.#b = b;
    this.#shape = shape;
    this.#slot = RECORD.slots + 2 * position;
  }

  /** Host address of a register operand. */
  #register(): Value {
    return this.#b.add(this.#b.cpu, this.#b.recordField(this.#slot));
  }

  protected readRegister(width: Width): Value {
    const { fixed, kind } = this.#shape;
    if (kind === 'gpr' && fixed >= 0) return this.#b.gpr(fixed, width);
    return this.#b.loadHost(LOAD[width], this.#register());
  }
  protected writeRegister(value: Value, width: Width): void {
    const b = this.#b;
    const { fixed, kind } = this.#shape;
    if (kind === 'gpr' && fixed >= 0) {
      b.setGpr(fixed, value, width);
      return;
    }
    b.noteCommit();
    if (kind === 'gpr' && width === 4) b.storeHost('i64.store', this.#register(), b.zeroExtend(value, 4));
    else b.storeHost(STORE[width], this.#register(), value);
    // Sign and exponent of the x87 register become ones (SDM vol. 3A 12.2).
    if (kind === 'mmx') b.storeHost('i32.store16', this.#register(), b.i32(0xffff), 8);
  }
  protected readXmm(): Value {
    return this.#b.loadHost('v128.load', this.#register());
  }
  protected writeXmm(value: Value): void {
    this.#b.noteCommit();
    this.#b.storeHost('v128.store', this.#register(), value);
  }
  protected immediate(): Value {
    const b = this.#b;
    const { constant, place } = this.#shape;
    if (constant !== undefined) return b.i64(constant);
    if (place === 'wide') return b.loadHost('i64.load', b.record, RECORD.displacement);
    return b.loadHost(this.size === 8 ? 'i64.load32_s' : 'i64.load32_u', b.record, RECORD[place]);
  }

  address(): Value {
    const b = this.#b;
    const load = (offset: number) => b.loadHost('i64.load', b.add(b.cpu, b.recordField(offset)));
    const displacement = () => b.loadHost('i64.load32_s', b.record, RECORD.displacement);
    let address: Value;
    switch (this.#shape.address) {
      case 'absolute':
        address = b.loadHost('i64.load', b.record, RECORD.displacement);
        break;
      case 'rip':
        address = b.add(b.add(b.field('ipBase'), b.loadHost('i64.load16_u', b.record, RECORD.next)), displacement());
        break;
      case 'indexed': {
        const scaled = b.shl(load(RECORD.index), b.loadHost('i64.load8_u', b.record, RECORD.scale));
        address = b.add(b.add(load(RECORD.base), scaled), displacement());
        break;
      }
      default:
        address = b.add(load(RECORD.base), displacement());
    }
    return b.zeroExtend(b.add(address, b.i64(this.#shape.bias)), b.addressSize);
  }
  linearAt(bytes: number, access: 'read' | 'write', displacement: Value): Value {
    const b = this.#b;
    const offset = b.zeroExtend(b.add(this.address(), displacement), b.addressSize);
    switch (this.#shape.addressing) {
      case 'long':
        return this.#shape.based ? b.add(offset, b.operandSegmentBase()) : offset;
      case 'flat':
        return b.zeroExtend(b.add(offset, b.operandSegmentBase()), 4);
      default:
        return b.checkedLinear(b.loadHost('i32.load8_u', b.record, RECORD.segment), offset, bytes, access);
    }
  }

  index(): Value {
    if (this.#shape.fixed >= 0) return this.#b.i32(this.#shape.fixed);
    return this.#b.recordField(this.#slot);
  }
}
