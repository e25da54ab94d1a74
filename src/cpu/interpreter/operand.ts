/** Operands of interpreter handlers: the shape says what kind they are, the record says which. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import type { Modification, Operand, Width } from '../../isa/semantics.ts';
import type { InterpreterBuilder } from './builder.ts';
import { RECORD } from './record.ts';
import type { OperandShape } from './shape.ts';

const LOAD: Record<Width, string> = { 1: 'i64.load8_u', 2: 'i64.load16_u', 4: 'i64.load32_u', 8: 'i64.load' };
const STORE: Record<Width, string> = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' };

export class InterpreterOperand implements Operand {
  readonly kind: Operand['kind'];
  readonly size: number;
  readonly accessFlags: number;
  readonly #b: InterpreterBuilder;
  readonly #shape: OperandShape;
  readonly #slot: number;
  #modification: Modification | undefined;

  constructor(b: InterpreterBuilder, shape: OperandShape, position: number) {
    this.#b = b;
    this.#shape = shape;
    this.kind = shape.kind === 'relative' ? 'immediate' : shape.kind;
    this.size = shape.size;
    this.accessFlags = shape.stack ? MEMORY_ACCESS.stack : 0;
    this.#slot = RECORD.slots + 2 * position;
  }

  /** Host address of a register operand. */
  #register(): Value {
    return this.#b.add(this.#b.cpu, this.#b.recordField(this.#slot));
  }
  #width(): Width {
    return Math.min(this.size, 8) as Width;
  }

  read(): Value {
    const b = this.#b;
    switch (this.#shape.kind) {
      case 'gpr':
        if (this.#shape.fixed >= 0) return b.gpr(this.#shape.fixed, this.#width());
        return b.loadHost(LOAD[this.#width()], this.#register());
      case 'xmm':
      case 'mmx':
        return b.loadHost(LOAD[this.#width()], this.#register());
      case 'memory':
        return b.load(this.linear(this.size, 'read'), this.#width(), this.accessFlags);
      case 'immediate':
        if (this.#shape.constant !== undefined) return b.i64(this.#shape.constant);
        if (this.#shape.place === 'wide') return b.loadHost('i64.load', b.record, RECORD.displacement);
        return b.loadHost(this.size === 8 ? 'i64.load32_s' : 'i64.load32_u', b.record, RECORD[this.#shape.place]);
      default:
        throw new TypeError(`an operand of kind ${this.#shape.kind} has no value`);
    }
  }

  write(value: Value): void {
    const b = this.#b;
    if (this.#modification !== undefined) {
      this.#modification.write(value);
      return;
    }
    switch (this.#shape.kind) {
      case 'gpr':
        this.#writeGpr(value);
        break;
      case 'xmm':
        b.noteCommit();
        b.storeHost(STORE[this.#width()], this.#register(), value);
        break;
      case 'mmx':
        b.noteCommit();
        b.storeHost('i64.store', this.#register(), value);
        // Sign and exponent of the x87 register become ones (SDM vol. 3A 12.2).
        b.storeHost('i32.store16', this.#register(), b.i32(0xffff), 8);
        break;
      case 'memory':
        b.store(this.linear(this.size, 'write'), this.#width(), value, this.accessFlags);
        break;
      default:
        throw new TypeError(`an operand of kind ${this.#shape.kind} cannot be written`);
    }
  }
  #writeGpr(value: Value): void {
    const b = this.#b;
    if (this.#shape.fixed >= 0) {
      b.setGpr(this.#shape.fixed, value, this.#width());
      return;
    }
    b.noteCommit();
    if (this.size === 4) b.storeHost('i64.store', this.#register(), b.zeroExtend(value, 4));
    else b.storeHost(STORE[this.#width()], this.#register(), value);
  }

  modify(): Value {
    if (this.#shape.kind !== 'memory') return this.read();
    this.#modification = this.#b.modifyAt(this.linear(this.size, 'write'), this.#width(), this.accessFlags);
    return this.#modification.value;
  }

  readVector(unaligned = false): Value {
    const b = this.#b;
    if (this.#shape.kind === 'xmm') return b.loadHost('v128.load', this.#register());
    if (this.#shape.kind !== 'memory') throw new TypeError('only XMM registers and memory hold vectors');
    const linear = this.linear(this.size, 'read');
    if (this.size === 16 && !unaligned) this.#checkAligned(linear);
    if (this.size === 16 || this.size === 8 || this.size === 4)
      return b.loadVector(linear, this.size, this.accessFlags);
    return b.lane('i64x2.replace_lane', 0, b.v128(0n, 0n), b.load(linear, this.size as Width, this.accessFlags));
  }
  writeVector(value: Value, unaligned = false): void {
    const b = this.#b;
    if (this.#shape.kind === 'xmm') {
      b.noteCommit();
      b.storeHost('v128.store', this.#register(), value);
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
    return b.zeroExtend(address, b.addressSize);
  }

  linear(bytes: number, access: 'read' | 'write', offset = 0): Value {
    return this.linearAt(bytes, access, this.#b.i64(offset));
  }
  linearAt(bytes: number, access: 'read' | 'write', displacement: Value): Value {
    const b = this.#b;
    const moved = b.add(this.address(), displacement);
    const offset = moved.kind === 'const' ? moved : b.zeroExtend(moved, b.addressSize);
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
