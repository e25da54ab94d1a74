/**
 * Instruction meanings as part of a region: registers and flags live in WebAssembly locals, operands are known. State goes
 * to memory only where the region is left or calls guest code.
 */
import type { Hint, Label, Signature, Value, Variable } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import type { Helper } from '../../isa/helpers.ts';
import type { Operand, Width } from '../../isa/operand.ts';
import { InstructionBuilder } from '../../isa/semantics.ts';
import { GPR, SEGMENT, VCPU, type VcpuField } from '../../isa/state.ts';
import { TLB_ENTRY, TLB_INVALID_PAGE, TLB_MASK } from '../../memory/tlb.ts';
import { NOT_IN_PLACE } from '../../memory/translate.ts';
import { HANDLER } from '../interpreter/builder.ts';
import { EXIT } from '../interpreter/exits.ts';
import type { ShapeMode } from '../interpreter/shape.ts';
import type { ColdExitCode } from './cold-exit.ts';
import type { BlockEffects } from './data-flow.ts';
import { imageOf, joinFlags, type PendingFlags, pendingCondition, pendingFlag } from './flags.ts';
import { TranslatorOperand } from './operand.ts';
import { type PageCache, PageCaches } from './page-cache.ts';
import type { RegionInstruction } from './region.ts';
import { RegisterFile } from './register-file.ts';
import { type RegisterSet, XMM } from './register-set.ts';

/** How an instruction that ends a block goes on. */
export type Ending =
  | { readonly kind: 'branch'; readonly condition: Value | undefined; readonly target: number }
  | { readonly kind: 'left'; readonly ip: Value };

/** A place where the region may be left: `fill` builds what happens there once it is known what differs from memory. */
export interface Site {
  readonly effects: BlockEffects;
  /** Changed in its block before it, and stored there. */
  readonly changes: RegisterSet;
  readonly stores: RegisterSet;
  fill(dirty: RegisterSet): void;
}

/** Helpers that load MXCSR. */
const RESTORING = /^f?xrstor$/;

/** Page caches of addresses without a base register, and of locked accesses, which look each page up. */
const NO_BASE = 16;
const LOCKED = 17;

export abstract class RegionBuilder extends InstructionBuilder {
  protected readonly file: RegisterFile;
  protected readonly caches: PageCaches;
  protected readonly sites: Site[] = [];
  protected readonly budget: Variable;
  protected readonly ipBase: Variable;
  readonly #tlbBase: Variable;
  /** Registers that are loaded from memory in the region: the page behind one is another each time. */
  readonly #loaded: ReadonlySet<number>;
  /** RBP points into the stack. */
  readonly #framePointer: boolean;
  #inLoop = false;
  /** Bases whose page caches, for reads and for writes, were filled off the register as it is now. */
  readonly #lookedUp = [new Set<number>(), new Set<number>()] as const;
  #floatReady: Variable | undefined;
  readonly #constants = new Map<bigint, Variable>();
  #pending: PendingFlags | undefined;
  #site!: RegionInstruction;
  /** Instructions of the block that are done. */
  #done = 0;
  /** Set by an instruction that ends its block. */
  ending: Ending | undefined;

  constructor(
    signatures: (callee: string) => Signature,
    helpers: (name: string) => Helper,
    loadedRegisters: ReadonlySet<number>,
    framePointer: boolean,
  ) {
    super(HANDLER, signatures, helpers);
    this.file = new RegisterFile(this, this.cpu);
    this.caches = new PageCaches(this);
    this.budget = this.variable('i32');
    this.ipBase = this.variable('i64');
    this.#tlbBase = this.variable('i32');
    this.#loaded = loadedRegisters;
    this.#framePointer = framePointer;
  }

  /** Leaves the region before the instruction at `offset`, `done` instructions after the budget was last brought up to date. */
  protected abstract coldExit(dirty: RegisterSet, code: ColdExitCode, offset: number, done: number): void;

  /** A loop of blocks. */
  plainLoop(fill: (again: Label) => void): void {
    this.restartPoint();
    super.loop((again) => {
      fill(again);
      this.restartPoint();
    });
  }
  /** `follows`: it is reached only from what was built last, so that flags may go on waiting. */
  beginBlock(effects: BlockEffects, inLoop: boolean, follows: boolean): void {
    this.#inLoop = inLoop;
    this.restartPoint();
    if (!follows) {
      this.#pending = undefined;
      for (const bases of this.#lookedUp) bases.clear();
    }
    this.#done = 0;
    this.file.writesThrough = !inLoop;
    this.resumeBlock(effects);
  }
  /** What follows belongs to a block whose instructions were built before. */
  resumeBlock(effects: BlockEffects): void {
    this.file.effects = effects;
  }

  /** Writes one instruction. */
  instruction(site: RegionInstruction, mode: ShapeMode): void {
    const { instruction } = site;
    const { encoding } = instruction;
    this.#site = site;
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
    this.mean(encoding.definition, operands);
    this.#done++;
  }

  /** A place where the region may be left. What is built there goes to where the region builder stands now. */
  protected site(fill: (dirty: RegisterSet) => void): void {
    const later = this.hole();
    const { effects } = this.file;
    const { changes, stores } = effects;
    this.sites.push({ effects, changes, stores, fill: (dirty) => later(() => fill(dirty)) });
  }

  /** Takes `count` instructions off the budget. */
  spend(count: number): void {
    if (count > 0) this.set(this.budget, this.sub(this.get(this.budget), this.i32(count)));
  }
  /** Not 0 (i32) where the budget is used up. */
  spent(): Value {
    return this.leS(this.get(this.budget), this.i32(0));
  }
  /** Not 0 (i32) where something waits to be served. */
  polled(): Value {
    return this.loadHost('i32.load', this.cpu, VCPU.offsets.poll);
  }
  /** The address of an offset as the instruction pointer has it. */
  ipAt(offset: number): Value {
    return this.zeroExtend(this.add(this.get(this.ipBase), this.i64(offset)), this.mode.codeSize);
  }

  override gpr(index: number, size: Width = 8): Value {
    return this.zeroExtend(this.file.get(index), size);
  }
  override setGpr(index: number, value: Value, size: Width = 8): void {
    this.commit();
    this.#forgetPage(index);
    if (size === 8) this.file.set(index, value);
    else if (size === 4) this.file.set(index, this.zeroExtend(value, 4));
    else {
      const kept = this.and(this.file.get(index), this.i64(size === 2 ? -0x10000 : -0x100));
      this.file.set(index, this.or(kept, this.zeroExtend(value, size)));
    }
  }
  override gprHigh(index: number): Value {
    return this.and(this.shrU(this.file.get(index), this.i64(8)), this.i64(0xff));
  }
  override setGprHigh(index: number, value: Value): void {
    this.commit();
    const kept = this.and(this.file.get(index), this.i64(-0xff01));
    this.file.set(index, this.or(kept, this.shl(this.and(value, this.i64(0xff)), this.i64(8))));
  }
  override xmm(index: number): Value {
    return this.file.get(XMM + index);
  }
  override setXmm(index: number, value: Value): void {
    this.commit();
    this.file.set(XMM + index, value);
  }

  override field(name: VcpuField, index = 0): Value {
    if (name !== 'flagResult' && name !== 'flagAux') return super.field(name, index);
    const pending = this.#pending;
    if (pending === undefined) return this.file.flagField(name);
    const { result, aux } = imageOf(this, pending);
    this.#pending = { kind: 'stored', size: 8, a: aux, b: aux, result, plain: false };
    return name === 'flagResult' ? result : aux;
  }

  /** Lets the locals of the flags stand for those of the last operation. */
  settle(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    this.#keep(pending);
  }
  #keep(pending: PendingFlags): void {
    this.file.setFlagLocals(joinFlags(this, pending));
  }
  /** Brings the flags of the last operation to the state block, if it is known; `false`: their locals stand for them. */
  storeFlags(): boolean {
    const pending = this.#pending;
    if (pending === undefined) return false;
    this.#pending = undefined;
    const image = imageOf(this, pending);
    this.storeHost('i64.store', this.cpu, image.result, VCPU.offsets.flagResult);
    this.storeHost('i64.store', this.cpu, image.aux, VCPU.offsets.flagAux);
    return true;
  }
  protected override setFlagState(result: Value | undefined, aux: Value): void {
    const whole = result ?? this.field('flagResult');
    this.#postpone({ kind: 'stored', size: 8, a: aux, b: aux, result: whole, plain: false });
  }
  override setCarryOverflow(cf: Value, of: Value): void {
    if (this.#pending === undefined || this.#pending.kind === 'float') super.setCarryOverflow(cf, of);
    else this.#postpone({ ...this.#pending, carry: { cf, of } });
  }
  #postpone(pending: PendingFlags): void {
    this.commit();
    this.file.noteFlagChange();
    this.#pending = pending;
  }
  override flagsOfAdd(size: Width, a: Value, b: Value, result: Value, carry?: Value): void {
    this.#postpone({ kind: 'add', size, a, b, result, plain: carry === undefined });
  }
  override flagsOfSub(size: Width, a: Value, b: Value, result: Value, borrow?: Value): void {
    this.#postpone({ kind: 'sub', size, a, b, result, plain: borrow === undefined });
  }
  override flagsOfLogic(size: Width, result: Value): void {
    this.#postpone({ kind: 'logic', size, a: result, b: result, result, plain: true });
  }
  override flagsOfComparison(x: Value, y: Value): void {
    this.#postpone({ kind: 'float', size: 8, a: x, b: y, result: x, plain: false });
  }
  override flag(name: 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of'): Value {
    const direct = this.#pending && pendingFlag(this, this.#pending, name);
    return direct ?? super.flag(name);
  }
  override condition(code: number): Value {
    const direct = this.#pending && pendingCondition(this, this.#pending, code);
    return direct ?? super.condition(code);
  }

  /** A local, kept up to date by all that may change MXCSR. */
  override floatReady(): Value {
    this.#floatReady ??= this.variable('i64');
    return this.get(this.#floatReady);
  }
  override mxcsrChanged(): void {
    this.#floatReady ??= this.variable('i64');
    this.set(this.#floatReady, super.floatReady());
  }
  /** A local as well: V8 makes a constant anew in every iteration of a loop. */
  override vectorConstant(value: bigint): Value {
    let local = this.#constants.get(value);
    if (local === undefined) {
      local = this.variable('v128');
      this.#constants.set(value, local);
    }
    return this.get(local);
  }
  protected setConstants(): void {
    for (const [value, local] of this.#constants) this.set(local, super.vectorConstant(value));
  }
  /** Where the region is entered, or come back to, and asks for it anywhere. */
  protected loadFloatReady(): void {
    if (this.#floatReady !== undefined) this.mxcsrChanged();
  }
  override setField(name: VcpuField, value: Value, index = 0): void {
    super.setField(name, value, index);
    if (name === 'mxcsr') this.mxcsrChanged();
  }
  override helper(name: string, ...args: Value[]): Value {
    const result = super.helper(name, ...args);
    if (RESTORING.test(name)) this.mxcsrChanged();
    return result;
  }

  /** What happens on a path that is left again must not be taken for granted behind it. */
  override if(condition: Value, then: () => void, otherwise?: () => void, hint?: Hint): void {
    this.settle();
    const both = (fill: () => void) => () => {
      this.file.conditional++;
      fill();
      this.settle();
      this.file.conditional--;
    };
    super.if(condition, both(then), otherwise && both(otherwise), hint);
  }
  override leaveIf(condition: Value, then: () => void): void {
    const pending = this.#pending;
    this.file.conditional++;
    super.leaveIf(condition, then);
    this.file.conditional--;
    this.#pending = pending;
  }
  override loop(fill: (again: Label) => void): void {
    this.settle();
    this.file.conditional++;
    super.loop((again) => {
      fill(again);
      this.settle();
    });
    this.file.conditional--;
  }
  /** An `if` between instructions, or one whose paths leave the flags as they are. */
  plainIf(condition: Value, then: () => void, otherwise?: () => void, hint?: Hint): void {
    const pending = this.#pending;
    const keep = (fill: () => void) => () => {
      this.#pending = pending;
      fill();
    };
    super.if(condition, keep(then), otherwise && keep(otherwise), hint);
    this.#pending = pending;
  }

  /** Nothing that instructions call for needs to know more of where the region is than how much of the budget is left. */
  protected noteCurrent(): void {
    this.setScratchField('current', this.i32(0));
    this.setScratchField('budget', this.sub(this.get(this.budget), this.i32(this.#done)));
  }
  fault(): void {
    const pending = this.#pending;
    if (pending !== undefined) this.#keep(pending);
    const at = this.#site.offset;
    const done = this.#done;
    this.site((dirty) => this.coldExit(dirty, EXIT.exception, at, done));
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
    const ip = this.add(this.get(this.ipBase), this.i64(this.#targetOffset(operand)));
    return this.zeroExtend(ip, operand.size as Width);
  }
  branchTo(operand: Operand, condition?: Value): void {
    this.ending = { kind: 'branch', condition, target: this.#targetOffset(operand) };
  }
  jump(ip: Value): void {
    this.ending = { kind: 'left', ip };
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

  /**
   * Only RAM inside one page is reached in place; for all else, and where the access takes back rights that the region's
   * page caches stand for, the region is left before the instruction, which the interpreter then runs.
   */
  override translate(linear: Value, bytes: number, flags: number): Value {
    this.access();
    const write = (flags & MEMORY_ACCESS.write) !== 0;
    // Computed where it is needed: mostly nowhere.
    const accessed = () => this.accessedPage(linear, bytes, flags);
    const missed = (routine: string) => {
      this.set(cache.addend, this.call(routine, this.cpu, linear, this.i32(bytes | flags)));
      this.leaveIf(this.eq(this.get(cache.addend), this.i32(NOT_IN_PLACE)), () => this.fault());
    };
    // Beside a locked operation one look-up is little, and whether the access is aligned is part of it.
    const locked = (flags & MEMORY_ACCESS.locked) !== 0;
    const base = this.#baseOf(linear);
    const cache = this.caches.of(locked ? LOCKED : base < 0 ? NO_BASE : base, write);
    const slow = () => {
      missed('lookUpInPlace');
      this.set(cache.page, this.loadHost('i64.load', this.cpu, VCPU.offsets.grantedPage));
    };
    if (locked || (!this.#staysInPage(base) && !this.#lookedUp[write ? 1 : 0].has(base))) {
      if (!locked) this.#lookedUp[write ? 1 : 0].add(base);
      this.#lookUp(linear, accessed, write, cache, () => {
        this.set(cache.page, this.i64(TLB_INVALID_PAGE));
        missed('translateInPlace');
      });
    } else {
      const looked = this.#inLoop && base !== GPR.rsp;
      const next = looked ? () => this.#lookUp(linear, accessed, write, cache, slow) : slow;
      this.plainIf(this.eqz(this.caches.fits(cache, linear, bytes)), next, undefined, 'unlikely');
    }
    // Added behind the join, where V8 knows that the upper half is clear.
    return this.add(this.wrap(linear), this.get(cache.addend));
  }
  /** Forgets that a page was looked up for a general register. */
  #forgetPage(base: number): void {
    for (const bases of this.#lookedUp) bases.delete(base);
  }
  /** Whether accesses off a base are likely to be in the page of the last one. */
  #staysInPage(base: number): boolean {
    if (base === GPR.rsp || (base === GPR.rbp && this.#framePointer)) return true;
    return this.#inLoop && !this.#loaded.has(base);
  }
  /** Address of the TLB's entry for a linear address. In a mode without a TLB the table has as many entries, all empty. */
  #tlbEntry(linear: Value): Value {
    const index = this.and(this.shrU(this.wrap(linear), this.i32(7)), this.i32(TLB_MASK));
    return this.add(index, this.get(this.#tlbBase));
  }
  /** To be built where the region is entered, and where another TLB may be in use than before. */
  protected loadTlbBase(): void {
    this.set(this.#tlbBase, this.field('tlbBase'));
  }
  /** Page caches on entry: that of the stack is what the TLB has for it, for almost every region begins with the stack. */
  protected fillCaches(): void {
    let entry: Value | undefined;
    this.caches.clear((base, write, cache) => {
      if (base !== GPR.rsp || this.mode.codeSize !== 8) return false;
      entry ??= this.#tlbEntry(this.file.get(GPR.rsp));
      this.set(cache.page, this.loadHost('i64.load', entry, write ? TLB_ENTRY.write : TLB_ENTRY.read));
      this.set(cache.addend, this.loadHost('i32.load', entry, TLB_ENTRY.addend));
      return true;
    });
  }
  /** Fills a page cache from the TLB, or does what is to be done where that does not have the page. */
  #lookUp(linear: Value, accessed: () => Value, write: boolean, cache: PageCache, missed: () => void): void {
    const entry = this.#tlbEntry(linear);
    const page = this.loadHost('i64.load', entry, write ? TLB_ENTRY.write : TLB_ENTRY.read);
    this.plainIf(
      this.eq(page, accessed()),
      () => {
        this.set(cache.page, page);
        this.set(cache.addend, this.loadHost('i32.load', entry, TLB_ENTRY.addend));
      },
      missed,
      'likely',
    );
  }
  /** The general register that an address is built on, or -1. */
  #baseOf(address: Value): number {
    const position = this.file.positionOf(address);
    if (position >= 0) return position;
    if (address.kind !== 'pure') return -1;
    for (const arg of address.args) {
      const found = this.#baseOf(arg as Value);
      if (found >= 0) return found;
    }
    return -1;
  }
  /** Writes reach RAM in place, or not at all. */
  protected override finishWrite(): void {}
}
