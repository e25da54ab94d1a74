/** What operands have in common whatever engine the code is for; where their registers and addresses are is the engine's. */
import type { Value } from '../ir/node.ts';
import { MEMORY_ACCESS } from '../isa/access.ts';
import { applyUpdate, type Modification, type Operand, type Update, type Updated, type Width } from '../isa/operand.ts';
import type { InstructionBuilder } from '../isa/semantics.ts';
import { VECTOR } from '../isa/state.ts';

export abstract class EngineOperand implements Operand {
  readonly kind: Operand['kind'];
  readonly size: number;
  readonly accessFlags: number;
  readonly #b: InstructionBuilder;
  #modification: Modification | undefined;

  /** `stack`: a memory operand addressed through SS. */
  constructor(b: InstructionBuilder, kind: Operand['kind'], size: number, stack: boolean) {
    this.#b = b;
    this.kind = kind;
    this.size = size;
    this.accessFlags = stack ? MEMORY_ACCESS.stack : 0;
  }

  /** The low `width` bytes of a register, zero-extended to i64. */
  protected abstract readRegister(width: Width): Value;
  protected abstract writeRegister(value: Value, width: Width): void;
  /** All of an XMM register. */
  protected abstract readXmm(): Value;
  protected abstract writeXmm(value: Value): void;
  /** An immediate as i64. */
  protected abstract immediate(): Value;
  abstract address(): Value;
  abstract linearAt(bytes: number, access: 'read' | 'write', displacement: Value): Value;
  abstract index(): Value;

  #width(): Width {
    return Math.min(this.size, 8) as Width;
  }

  read(): Value {
    switch (this.kind) {
      case 'memory':
        return this.#b.load(this.linear(this.size, 'read'), this.#width(), this.accessFlags);
      case 'immediate':
        return this.immediate();
      case 'index':
        throw new TypeError('the number of a register is no value');
      default:
        return this.readRegister(this.#width());
    }
  }

  write(value: Value): void {
    if (this.#modification !== undefined) this.#modification.write(value);
    else if (this.kind === 'memory') {
      this.#b.store(this.linear(this.size, 'write'), this.#width(), value, this.accessFlags);
    } else if (this.kind === 'immediate' || this.kind === 'index') {
      throw new TypeError(`an operand of kind ${this.kind} cannot be written`);
    } else this.writeRegister(value, this.#width());
  }

  modify(): Value {
    if (this.kind !== 'memory') return this.read();
    this.#modification = this.#b.modifyAt(this.linear(this.size, 'write'), this.#width(), this.accessFlags);
    return this.#modification.value;
  }

  update(update: Update, value: Value): Updated {
    if (this.kind === 'memory') {
      return this.#b.updateAt(this.linear(this.size, 'write'), this.#width(), update, value, this.accessFlags);
    }
    const old = this.read();
    const result = applyUpdate(this.#b, update, old, value);
    this.write(result);
    return { old, result };
  }

  compareExchange(expected: Value, value: Value): Value {
    const b = this.#b;
    if (this.kind === 'memory') {
      return b.compareExchangeAt(this.linear(this.size, 'write'), this.#width(), expected, value, this.accessFlags);
    }
    const old = this.read();
    // A register that keeps its value keeps its upper half too.
    b.if(b.eq(old, expected), () => this.write(value));
    return old;
  }

  readVector(unaligned = false): Value {
    const b = this.#b;
    if (this.kind === 'xmm') return this.readXmm();
    if (this.kind !== 'memory') throw new TypeError('only XMM registers and memory hold vectors');
    const linear = this.linear(this.size, 'read');
    if (this.size === 16 && !unaligned) this.#checkAligned(linear);
    if (this.size === 16 || this.size === 8 || this.size === 4) {
      return b.loadVector(linear, this.size, this.accessFlags);
    }
    return b.lane('i64x2.replace_lane', 0, b.v128(0n, 0n), b.load(linear, this.size as Width, this.accessFlags));
  }

  writeVector(value: Value, unaligned = false): void {
    const b = this.#b;
    if (this.kind === 'xmm') {
      this.writeXmm(value);
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
    b.leaveIf(b.and(b.wrap(linear), b.i32(15)), () => b.raise(VECTOR.gp, b.i32(0)));
  }

  linear(bytes: number, access: 'read' | 'write', offset = 0): Value {
    return this.linearAt(bytes, access, this.#b.i64(offset));
  }
}
