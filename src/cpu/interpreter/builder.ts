/**
 * Instruction meanings as interpreter handlers: operands come from the record, everything else from the state block.
 * A handler takes the state block's and the record's address and returns a reason from `exits.ts`.
 */
import type { Signature, Value } from '../../ir/node.ts';
import { count } from '../../isa/counters.ts';
import type { Encoding } from '../../isa/encoding.ts';
import type { Helper } from '../../isa/helpers.ts';
import type { Operand, Width } from '../../isa/operand.ts';
import { InstructionBuilder } from '../../isa/semantics.ts';
import { SEGMENT, VCPU } from '../../isa/state.ts';
import { EXIT } from './exits.ts';
import { InterpreterOperand } from './operand.ts';
import { JUMP_TARGETS, LINK_OUTSIDE, RECORD, RECORD_SIZE } from './record.ts';
import type { Shape } from './shape.ts';

export const HANDLER: Signature = { params: ['i32', 'i32'], result: 'i32' };

/** Whether an instruction jumps, without a call, to an address in a register or in memory. */
export function isComputedJump({ definition, operands }: Encoding): boolean {
  return definition.name === 'jmp' && operands[0]?.letter === 'E';
}

/** How an implicit or explicit data address becomes linear. */
export type Addressing = 'long' | 'flat' | 'checked';

export class InterpreterBuilder extends InstructionBuilder {
  /** The record of the instruction at hand. */
  record: Value;
  #shape: Shape;
  /** How often a jump is taken before its target is asked to be translated; 0: never. */
  protected readonly threshold: number;

  constructor(
    signatures: (callee: string) => Signature,
    helpers: (name: string) => Helper,
    shape: Shape,
    threshold: number,
  ) {
    super(HANDLER, signatures, helpers);
    this.threshold = threshold;
    this.record = this.param(1);
    this.#shape = shape;
    this.begin(shape);
  }

  /** Starts with an instruction of another shape. */
  protected take(shape: Shape, record: Value): void {
    this.record = record;
    this.#shape = shape;
    this.begin(shape);
  }

  /** Writes the whole handler. */
  fill(): void {
    const { definition } = this.#shape.encoding;
    const operands = this.#shape.operands.map((o, i) => new InterpreterOperand(this, o, i));
    this.mean(definition, operands);
    if (definition.ends !== true) this.continueWith(this.add(this.record, this.i32(RECORD_SIZE)));
  }

  /** An unsigned 16-bit field of the record. */
  recordField(offset: number): Value {
    return this.loadHost('i32.load16_u', this.record, offset);
  }

  /** Jumps to a record's handler. */
  continueWith(record: Value): void {
    this.jumpTable(HANDLER, this.loadHost('i32.load16_u', record, RECORD.handler), this.cpu, record);
  }

  #ip(offset: Value): Value {
    const ip = this.add(this.field('ipBase'), offset);
    return this.zeroExtend(ip, this.mode.codeSize);
  }
  nextIp(): Value {
    return this.#ip(this.loadHost('i64.load16_u', this.record, RECORD.next));
  }
  currentIp(): Value {
    return this.#ip(this.loadHost('i64.load16_u', this.record, RECORD.offset));
  }
  target(operand: Operand): Value {
    const next = this.add(this.field('ipBase'), this.loadHost('i64.load16_u', this.record, RECORD.next));
    const ip = this.add(next, this.loadHost('i64.load32_s', this.record, RECORD.displacement));
    return this.zeroExtend(ip, operand.size as Width);
  }

  protected noteCurrent(): void {
    this.setScratchField('current', this.record);
  }
  fault(): void {
    this.noteCurrent();
    this.return(this.i32(EXIT.fault));
  }

  /**
   * Takes instructions (i32) off the budget. They are counted where regions run the rest, which cannot count theirs as
   * cheaply.
   */
  #take(instructions: Value): Value {
    if (this.threshold > 0) count(this, this.cpu, 'interpreted', this.extendU(instructions));
    return this.sub(this.field('budget'), instructions);
  }
  /** Takes the instructions of the block so far, this one included, off the budget. */
  spend(): void {
    this.setField('budget', this.#take(this.recordField(RECORD.count)));
  }
  /** As `spend`, this instruction not included. */
  spendBefore(): void {
    this.setField('budget', this.#take(this.sub(this.recordField(RECORD.count), this.i32(1))));
  }
  jump(ip: Value): void {
    if (this.threshold > 0 && isComputedJump(this.#shape.encoding)) this.#noteTarget(ip);
    this.setField('rip', ip);
    this.spend();
    this.goOn();
  }
  /** Goes on at `rip`. */
  goOn(): void {
    this.return(this.i32(EXIT.dispatch));
  }
  resume(): void {
    this.jump(this.nextIp());
  }
  branchTo(operand: Operand, condition?: Value): void {
    if (condition === undefined) {
      this.#follow(operand);
      return;
    }
    this.leaveIf(condition, () => this.#follow(operand));
    this.continueWith(this.add(this.record, this.i32(RECORD_SIZE)));
  }
  /** Goes to a jump's target: straight to its record where that is known and nothing waits. */
  #follow(operand: Operand): void {
    this.spend();
    const link = this.loadHost('i32.load', this.record, RECORD.link);
    if (this.threshold > 0) this.#count(operand);
    const quiet = this.and(this.gtS(this.field('budget'), this.i32(0)), this.eqz(this.field('poll')));
    this.leaveIf(this.and(this.gtU(link, this.i32(LINK_OUTSIDE)), quiet), () => this.continueWith(link));
    this.setField('rip', this.target(operand));
    this.leaveIf(this.eqz(link), () => {
      this.setField('current', this.record);
      this.return(this.i32(EXIT.link));
    });
    this.goOn();
  }
  /** Notes where a computed jump goes. */
  #noteTarget(ip: Value): void {
    const noted = this.loadHost('i32.load', this.record, RECORD.targets);
    this.if(noted, () => {
      const low = this.wrap(ip);
      const hash = this.xor(this.shrU(low, this.i32(2)), this.shrU(low, this.i32(7)));
      const place = this.shl(this.and(hash, this.i32(JUMP_TARGETS - 1)), this.i32(2));
      this.storeHost('i32.store', this.add(noted, place), low);
    });
  }
  /** Counts a jump, and leaves where that makes it hot. */
  #count(operand: Operand): void {
    const heat = this.add(this.recordField(RECORD.heat), this.i32(1));
    this.storeHost('i32.store16', this.record, heat, RECORD.heat);
    this.leaveIf(this.eq(heat, this.i32(this.threshold)), () => {
      this.setField('rip', this.target(operand));
      this.noteCurrent();
      this.return(this.i32(EXIT.hot));
    });
  }
  work(steps: Value): void {
    this.setScratchField('budget', this.#take(steps));
  }
  yieldPoint(): void {
    const budget = this.#take(this.i32(1));
    this.setScratchField('budget', budget);
    const wanted = this.or(this.leS(budget, this.i32(0)), this.ne(this.field('poll'), this.i32(0)));
    this.leaveIf(wanted, () => {
      this.setField('rip', this.currentIp());
      // The instruction is not complete: it does not count.
      this.spendBefore();
      this.return(this.i32(EXIT.dispatch));
    });
  }

  linear(segment: number, offset: Value, bytes: number, access: 'read' | 'write'): Value {
    const addressing: Addressing = this.mode.codeSize === 8 ? 'long' : this.#shape.flat ? 'flat' : 'checked';
    if (addressing === 'checked') return this.checkedLinear(this.i32(segment), offset, bytes, access);
    const hasBase = addressing === 'flat' || segment === SEGMENT.fs || segment === SEGMENT.gs;
    const linear = hasBase ? this.add(offset, this.field('segmentBase', segment)) : offset;
    return addressing === 'flat' ? this.zeroExtend(linear, 4) : linear;
  }
  /** Linear address in a segment whose limit and rights must be looked at. */
  checkedLinear(segment: Value, offset: Value, bytes: number, access: 'read' | 'write'): Value {
    return this.helper('segmentCheck', segment, offset, this.i32(bytes | (access === 'write' ? 0x100 : 0)));
  }
  /** Base of a memory operand's segment. */
  operandSegmentBase(): Value {
    return this.loadHost('i64.load', this.add(this.cpu, this.recordField(RECORD.segmentBase)), 0);
  }
}

/** Fields that handlers reach through 16-bit offsets must lie in the first 64 KiB of the state block. */
if (VCPU.size > 0xffff) throw new RangeError('the state block is too large for record offsets');
