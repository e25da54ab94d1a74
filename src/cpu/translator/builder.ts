/**
 * Instruction meanings as part of a region: general registers and flags live in WebAssembly locals, operands are known.
 * State goes to memory only where the region is left.
 */
import type { Label, Signature, Value, Variable } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import type { Helper } from '../../isa/helpers.ts';
import { InstructionBuilder, type Modification, type Operand, type Width } from '../../isa/semantics.ts';
import { gprOffset, SEGMENT, VCPU, type VcpuField } from '../../isa/state.ts';
import type { BlockInstruction } from '../interpreter/blocks.ts';
import { HANDLER } from '../interpreter/builder.ts';
import { EXIT } from '../interpreter/exits.ts';
import type { ShapeMode } from '../interpreter/shape.ts';
import { type PendingFlags, pendingCondition, pendingFlag } from './flags.ts';
import { TranslatorOperand } from './operand.ts';

const LOAD: Record<Width, string> = { 1: 'i64.load8_u', 2: 'i64.load16_u', 4: 'i64.load32_u', 8: 'i64.load' };
const STORE: Record<Width, string> = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' };

/** How an instruction that ends a block goes on. */
export type Ending =
  | { readonly kind: 'branch'; readonly condition: Value | undefined; readonly target: number }
  | { readonly kind: 'left' };

export class RegionBuilder extends InstructionBuilder {
  readonly #registers: (Variable | undefined)[] = new Array(16).fill(undefined);
  readonly #dirty: boolean[] = new Array(16).fill(false);
  readonly #flagResult: Variable;
  readonly #flagAux: Variable;
  readonly #budget: Variable;
  readonly #ipBase: Variable;
  readonly #tlbBase: Variable;
  readonly #tlbMask: Variable;
  readonly #exitCode: Variable;
  readonly #exitIp: Variable;
  readonly #faultRecord: Variable;
  readonly #slow: Variable;
  readonly #generation: Variable;
  #pending: PendingFlags | undefined;
  #exit!: Label;
  #fault!: Label;
  #site!: BlockInstruction;
  #before = 0;
  #accesses = false;
  /** Set by an instruction that ends its block. */
  ending: Ending | undefined;

  constructor(signatures: (callee: string) => Signature, helpers: (name: string) => Helper) {
    super(HANDLER, signatures, helpers);
    const i64 = () => this.variable('i64');
    const i32 = () => this.variable('i32');
    this.#flagResult = i64();
    this.#flagAux = i64();
    this.#ipBase = i64();
    this.#exitIp = i64();
    this.#budget = i32();
    this.#tlbBase = i32();
    this.#tlbMask = i32();
    this.#exitCode = i32();
    this.#faultRecord = i32();
    this.#slow = i32();
    this.#generation = i32();
  }

  /** Builds the region: `fill` writes the blocks, every path of which ends in an exit. */
  build(fill: () => void): void {
    this.block((exit) => {
      this.#exit = exit;
      this.block((fault) => {
        this.#fault = fault;
        fill();
        this.unreachable();
      });
      this.setScratchField('current', this.get(this.#faultRecord));
      this.set(this.#exitCode, this.i32(EXIT.fault));
      this.branch(exit);
    });
    this.#spill();
    this.return(this.get(this.#exitCode));
    this.prologue(() => this.#load());
  }

  #load(): void {
    const { offsets } = VCPU;
    const cpu = this.cpu;
    this.#registers.forEach((variable, index) => {
      if (variable !== undefined) this.set(variable, this.loadHost('i64.load', cpu, gprOffset(index)));
    });
    this.set(this.#flagResult, this.loadHost('i64.load', cpu, offsets.flagResult));
    this.set(this.#flagAux, this.loadHost('i64.load', cpu, offsets.flagAux));
    this.set(this.#ipBase, this.loadHost('i64.load', cpu, offsets.ipBase));
    this.set(this.#budget, this.loadHost('i32.load', cpu, offsets.budget));
    this.set(this.#tlbBase, this.loadHost('i32.load', cpu, offsets.tlbBase));
    this.set(this.#generation, this.loadHost('i32.load', cpu, offsets.jumpGeneration));
    this.set(this.#tlbMask, this.loadHost('i32.load', cpu, offsets.tlbMask));
  }
  #spill(): void {
    const { offsets } = VCPU;
    const cpu = this.cpu;
    this.#registers.forEach((variable, index) => {
      if (variable !== undefined && this.#dirty[index])
        this.storeHost('i64.store', cpu, this.get(variable), gprOffset(index));
    });
    this.storeHost('i64.store', cpu, this.get(this.#flagResult), offsets.flagResult);
    this.storeHost('i64.store', cpu, this.get(this.#flagAux), offsets.flagAux);
    this.storeHost('i32.store', cpu, this.get(this.#budget), offsets.budget);
    this.storeHost('i64.store', cpu, this.get(this.#exitIp), offsets.rip);
  }

  /** A loop of blocks. */
  plainLoop(fill: (again: Label) => void): void {
    this.beginBlock();
    super.loop((again) => {
      fill(again);
      this.restartPoint();
    });
  }
  /** Between instructions nothing is committed or pending. */
  beginBlock(): void {
    this.restartPoint();
    this.#pending = undefined;
  }

  /** Writes one instruction; `before`: what its block does not count of the instructions that its record does. */
  instruction(site: BlockInstruction, mode: ShapeMode, before: number): void {
    const { instruction } = site;
    const { encoding } = instruction;
    this.#site = site;
    this.#before = before;
    this.#accesses = false;
    this.ending = undefined;
    this.begin({
      operandSize: instruction.operandSize,
      addressSize: instruction.addressSize,
      mode,
      repeat: encoding.prefix === 0xf2 || encoding.prefix === 0xf3 ? 0 : instruction.repeat,
      locked: instruction.locked,
      dataSegment: instruction.segmentOverride < 0 ? SEGMENT.ds : instruction.segmentOverride,
    });
    const operands: Operand[] = instruction.operands.map((o) => new TranslatorOperand(this, o, instruction));
    encoding.definition.semantics(this, ...operands);
    if (this.#accesses && this.ending === undefined) this.#leaveIfDisturbed();
  }

  /** Leaves after an instruction whose access may have changed code, or called for the engine's attention. */
  #leaveIfDisturbed(): void {
    this.plainIf(this.get(this.#slow), () => {
      const { offsets } = VCPU;
      const changed = this.ne(this.loadHost('i32.load', this.cpu, offsets.jumpGeneration), this.get(this.#generation));
      this.plainIf(this.or(changed, this.loadHost('i32.load', this.cpu, offsets.poll)), () => {
        this.settle();
        this.spend(this.#site.count - this.#before);
        this.#leave(EXIT.dispatch, this.nextIp());
      });
    });
  }

  /** Takes `count` instructions off the budget. */
  spend(count: number): void {
    this.set(this.#budget, this.sub(this.get(this.#budget), this.i32(count)));
  }
  /** Leaves for the run loop, to go on at `ip`. */
  leaveAt(ip: Value): void {
    this.settle();
    this.#leave(EXIT.dispatch, ip);
  }
  #leave(code: number, ip: Value): void {
    this.set(this.#exitIp, ip);
    this.set(this.#exitCode, this.i32(code));
    this.branch(this.#exit);
  }
  /** Not 0 (i32) where the budget is used up or something waits to be served. */
  disturbed(): Value {
    const spent = this.leS(this.get(this.#budget), this.i32(0));
    return this.or(spent, this.loadHost('i32.load', this.cpu, VCPU.offsets.poll));
  }
  /** The address of a page offset as the instruction pointer has it. */
  ipAt(offset: number): Value {
    return this.zeroExtend(this.add(this.get(this.#ipBase), this.i64(offset)), this.mode.codeSize);
  }

  #register(index: number): Variable {
    const known = this.#registers[index];
    if (known !== undefined) return known;
    const variable = this.variable('i64');
    this.#registers[index] = variable;
    return variable;
  }
  override gpr(index: number, size: Width = 8): Value {
    return this.zeroExtend(this.get(this.#register(index)), size);
  }
  override setGpr(index: number, value: Value, size: Width = 8): void {
    this.commit();
    const variable = this.#register(index);
    this.#dirty[index] = true;
    if (size === 8) this.set(variable, value);
    else if (size === 4) this.set(variable, this.zeroExtend(value, 4));
    else {
      const kept = this.and(this.get(variable), this.i64(size === 2 ? -0x10000 : -0x100));
      this.set(variable, this.or(kept, this.zeroExtend(value, size)));
    }
  }
  override gprHigh(index: number): Value {
    return this.and(this.shrU(this.get(this.#register(index)), this.i64(8)), this.i64(0xff));
  }
  override setGprHigh(index: number, value: Value): void {
    this.commit();
    const variable = this.#register(index);
    this.#dirty[index] = true;
    const kept = this.and(this.get(variable), this.i64(-0xff01));
    this.set(variable, this.or(kept, this.shl(this.and(value, this.i64(0xff)), this.i64(8))));
  }

  override field(name: VcpuField, index = 0): Value {
    if (name !== 'flagResult' && name !== 'flagAux') return super.field(name, index);
    this.settle();
    return this.get(name === 'flagResult' ? this.#flagResult : this.#flagAux);
  }

  /** Brings the flags of the last operation to their locals. */
  settle(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    this.#store(pending);
  }
  /** Moves flags that the guest's state has already from values to locals: no commit. */
  #store(pending: PendingFlags): void {
    const { kind, size, a, b, result } = pending;
    this.#moving = true;
    if (kind === 'add') super.flagsOfAdd(size, a, b, result);
    else if (kind === 'sub') super.flagsOfSub(size, a, b, result);
    else super.flagsOfLogic(size, result);
    this.#moving = false;
  }
  #moving = false;
  protected override setFlagState(result: Value | undefined, aux: Value): void {
    if (!this.#moving) this.commit();
    if (result !== undefined) {
      this.#pending = undefined;
      this.set(this.#flagResult, result);
    }
    this.set(this.#flagAux, aux);
  }
  override flagsOfAdd(size: Width, a: Value, b: Value, result: Value): void {
    this.commit();
    this.#pending = { kind: 'add', size, a, b, result };
  }
  override flagsOfSub(size: Width, a: Value, b: Value, result: Value): void {
    this.commit();
    this.#pending = { kind: 'sub', size, a, b, result };
  }
  override flagsOfLogic(size: Width, result: Value): void {
    this.commit();
    this.#pending = { kind: 'logic', size, a: result, b: result, result };
  }
  override flag(name: 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of'): Value {
    const direct = this.#pending && pendingFlag(this, this.#pending, name);
    return direct ?? super.flag(name);
  }
  override condition(code: number): Value {
    const direct = this.#pending && pendingCondition(this, this.#pending, code);
    return direct ?? super.condition(code);
  }

  /** What happens on a path that is left again must not be taken for granted behind it. */
  override if(condition: Value, then: () => void, otherwise?: () => void): void {
    this.settle();
    const both = (fill: () => void) => () => {
      fill();
      this.settle();
    };
    super.if(condition, both(then), otherwise && both(otherwise));
  }
  override leaveIf(condition: Value, then: () => void): void {
    const pending = this.#pending;
    super.leaveIf(condition, () => {
      then();
      this.#pending = pending;
    });
    this.#pending = pending;
  }
  override loop(fill: (again: Label) => void): void {
    this.settle();
    super.loop((again) => {
      fill(again);
      this.settle();
    });
  }

  protected noteCurrent(): void {
    this.setScratchField('current', this.i32(this.#site.record));
    this.setScratchField('budget', this.#recordBudget());
  }
  /** The budget as it would be at the start of the interpreter's block. */
  #recordBudget(): Value {
    return this.add(this.get(this.#budget), this.i32(this.#before));
  }
  fault(): void {
    const pending = this.#pending;
    if (pending !== undefined) this.#store(pending);
    this.#pending = pending;
    this.set(this.#faultRecord, this.i32(this.#site.record));
    this.set(this.#budget, this.#recordBudget());
    this.branch(this.#fault);
  }
  nextIp(): Value {
    return this.ipAt(this.#site.offset + this.#site.instruction.length);
  }
  currentIp(): Value {
    return this.ipAt(this.#site.offset);
  }
  #targetOffset(operand: Operand): number {
    const { offset, instruction } = this.#site;
    return offset + instruction.length + (operand as TranslatorOperand).displacement;
  }
  target(operand: Operand): Value {
    const ip = this.add(this.get(this.#ipBase), this.i64(this.#targetOffset(operand)));
    return this.zeroExtend(ip, operand.size as Width);
  }
  branchTo(operand: Operand, condition?: Value): void {
    this.ending = { kind: 'branch', condition, target: this.#targetOffset(operand) };
  }
  jump(ip: Value): void {
    this.settle();
    this.ending = { kind: 'left' };
    this.#pendingJump = ip;
  }
  /** Where an instruction that left the region by `jump` goes on. */
  #pendingJump: Value | undefined;
  takeJump(): Value {
    return this.#pendingJump as Value;
  }
  resume(): void {
    this.jump(this.nextIp());
  }
  work(): void {
    throw new TypeError('a repeated instruction is no part of a region');
  }
  yieldPoint(): void {
    throw new TypeError('a repeated instruction is no part of a region');
  }

  linear(segment: number, offset: Value, _bytes: number, _access: 'read' | 'write'): Value {
    const long = this.mode.codeSize === 8;
    if (long && segment < SEGMENT.fs) return offset;
    const linear = this.add(offset, this.loadHost('i64.load', this.cpu, VCPU.offsets.segmentBase + 8 * segment));
    return long ? linear : this.zeroExtend(linear, 4);
  }

  /** Look-up in the TLB; `missed` fills the path of a miss with what follows it there. */
  override translate(linear: Value, bytes: number, flags: number): Value {
    this.access();
    const tag = flags & MEMORY_ACCESS.write ? 8 : 0;
    const index = this.and(this.wrap(this.shrU(linear, this.i64(7))), this.get(this.#tlbMask));
    const entry = this.add(index, this.get(this.#tlbBase));
    const page = this.and(this.add(linear, this.i64(bytes - 1)), this.i64(-4096));
    const host = this.variable('i32');
    if (!this.#accesses) this.set(this.#slow, this.i32(0));
    this.#accesses = true;
    this.plainIf(
      this.eq(this.loadHost('i64.load', entry, tag), page),
      () => this.set(host, this.add(this.wrap(linear), this.loadHost('i32.load', entry, 24))),
      () => {
        this.noteCurrent();
        this.set(host, this.call('translate', this.cpu, linear, this.i32(bytes | flags)));
        this.leaveIf(this.eqz(this.get(host)), () => this.fault());
        this.set(this.#slow, this.i32(1));
      },
    );
    return this.get(host);
  }
  /** An `if` between instructions, or one whose paths leave the flags as they are. */
  plainIf(condition: Value, then: () => void, otherwise?: () => void): void {
    const pending = this.#pending;
    this.#pending = undefined;
    const keep = (fill: () => void) => () => {
      this.#pending = pending;
      fill();
      this.#pending = undefined;
    };
    super.if(condition, keep(then), otherwise && keep(otherwise));
    this.#pending = pending;
  }
  protected override finishWrite(): void {
    this.plainIf(this.get(this.#slow), () => super.finishWrite());
  }
  override store(linear: Value, bytes: Width, value: Value, flags = 0): void {
    const host = this.translate(linear, bytes, flags | MEMORY_ACCESS.write);
    this.storeHost(STORE[bytes], host, value);
    this.finishWrite();
  }
  override modifyAt(linear: Value, bytes: Width, flags = 0): Modification {
    const host = this.translate(linear, bytes, flags | MEMORY_ACCESS.write | MEMORY_ACCESS.modify);
    return {
      value: this.loadHost(LOAD[bytes], host),
      write: (value) => {
        this.storeHost(STORE[bytes], host, value);
        this.finishWrite();
      },
    };
  }
}
