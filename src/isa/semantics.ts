/**
 * What instruction meanings are written against: guest registers, flags, memory, operands and control flow, on top of
 * the IR. This class reads and writes the vCPU's state block; engines refine it.
 */
import type { Signature, Value } from '../ir/node.ts';
import { MEMORY_ACCESS } from './access.ts';
import type { Definition } from './definition.ts';
import type { Helper } from './helpers.ts';
import { MemoryBuilder } from './memory-builder.ts';
import type { InstructionContext, Operand, Width } from './operand.ts';
import { NO_FAULT } from './state.ts';

export abstract class InstructionBuilder extends MemoryBuilder {
  #helpers: (name: string) => Helper;

  constructor(signature: Signature, signatures: (callee: string) => Signature, helpers: (name: string) => Helper) {
    super(signature, signatures);
    this.#helpers = helpers;
  }

  /** Starts the meaning of one instruction. */
  begin(context: InstructionContext): void {
    this.context = context;
    this.restartPoint();
  }

  /** Writes the meaning of the instruction that was begun. */
  mean({ fences, semantics }: Definition, operands: readonly Operand[]): void {
    if (fences === true && this.mode.shared === true) this.fenceHost();
    semantics(this, ...operands);
  }

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
}
