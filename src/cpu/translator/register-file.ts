/** The guest registers of a region as WebAssembly locals, and what each block does with them. */
import type { Builder } from '../../ir/builder.ts';
import type { Value, Variable } from '../../ir/node.ts';
import { GPR, gprOffset, VCPU, xmmOffset } from '../../isa/state.ts';
import type { BlockEffects } from './data-flow.ts';
import { type JoinedFlags, STORED } from './flags.ts';
import { EMPTY, listRegisters, type RegisterSet, union, XMM } from './register-set.ts';

const FLAGS: RegisterSet = { registers: 0, flags: true };

export const noEffects = (): BlockEffects => ({ uses: EMPTY, defines: EMPTY, changes: EMPTY, stores: EMPTY });

export class RegisterFile {
  readonly #b: Builder;
  readonly #cpu: Value;
  readonly #locals: (Variable | undefined)[] = new Array(32).fill(undefined);
  /** Flags as `JoinedFlags`. */
  readonly #flagKind: Variable;
  readonly #flagA: Variable;
  readonly #flagB: Variable;
  /** Of the block that is being built. */
  effects: BlockEffects = noEffects();
  /**
   * Registers go to the state block whenever they are written: for what runs once in a region that is cheaper than to keep
   * them for every exit. Loops keep them, and the stack pointer changes too often.
   */
  writesThrough = false;
  /** Not 0 where what is being built may be jumped over inside its instruction. */
  conditional = 0;

  constructor(b: Builder, cpu: Value) {
    this.#b = b;
    this.#cpu = cpu;
    this.#flagKind = b.variable('i32');
    this.#flagA = b.variable('i64');
    this.#flagB = b.variable('i64');
  }

  #local(position: number): Variable {
    let local = this.#locals[position];
    if (local === undefined) {
      local = this.#b.variable(position < XMM ? 'i64' : 'v128');
      this.#locals[position] = local;
    }
    return local;
  }
  #noteUse(position: number): void {
    const bit = 1 << position;
    const { uses, defines } = this.effects;
    if ((defines.registers & bit) === 0) this.effects.uses = { registers: uses.registers | bit, flags: uses.flags };
  }
  /** All of the register at a position (see `RegisterSet`). */
  get(position: number): Value {
    this.#noteUse(position);
    return this.#b.get(this.#local(position));
  }
  set(position: number, value: Value): void {
    const register: RegisterSet = { registers: 1 << position, flags: false };
    if (this.conditional > 0) this.#noteUse(position);
    else this.#define(register);
    this.#b.set(this.#local(position), value);
    if (!this.writesThrough || position === GPR.rsp) this.effects.changes = union(this.effects.changes, register);
    else {
      this.store(register);
      if (this.conditional === 0) this.effects.stores = union(this.effects.stores, register);
    }
  }
  #define(what: RegisterSet): void {
    this.effects.defines = union(this.effects.defines, what);
  }
  /** Which general register a value was read from by `get`, or -1. */
  positionOf(value: Value): number {
    return value.kind === 'get' ? this.#locals.indexOf(value.variable) : -1;
  }

  /** A field of the state block that stands for flags, where these do not wait for anything that is known here. */
  flagField(name: 'flagResult' | 'flagAux'): Value {
    this.noteFlagUse();
    const b = this.#b;
    b.if(
      b.get(this.#flagKind),
      () => {
        this.#storeFlags();
        this.#loadFlags();
      },
      undefined,
      'unlikely',
    );
    return b.get(name === 'flagResult' ? this.#flagB : this.#flagA);
  }
  noteFlagUse(): void {
    if (!this.effects.defines.flags) this.effects.uses = union(this.effects.uses, FLAGS);
  }
  /** Notes that all status flags are new, whether or not their locals say so yet. */
  noteFlagChange(): void {
    if (this.conditional > 0) this.noteFlagUse();
    else this.#define(FLAGS);
    this.effects.changes = union(this.effects.changes, FLAGS);
  }
  /** Lets the locals of the flags stand for flags that wait. */
  setFlagLocals({ kind, a, b: other }: JoinedFlags): void {
    const b = this.#b;
    b.set(this.#flagKind, b.i32(kind));
    b.set(this.#flagA, a);
    b.set(this.#flagB, other);
  }
  #storeFlags(): void {
    const b = this.#b;
    b.call('storeFlags', this.#cpu, b.get(this.#flagKind), b.get(this.#flagA), b.get(this.#flagB));
  }
  #loadFlags(): void {
    const b = this.#b;
    b.set(this.#flagKind, b.i32(STORED));
    b.set(this.#flagB, b.loadHost('i64.load', this.#cpu, VCPU.offsets.flagResult));
    b.set(this.#flagA, b.loadHost('i64.load', this.#cpu, VCPU.offsets.flagAux));
  }

  /** Writes locals to the state block. */
  store(what: RegisterSet): void {
    const b = this.#b;
    for (const position of listRegisters(what)) {
      const value = b.get(this.#local(position));
      if (position < XMM) b.storeHost('i64.store', this.#cpu, value, gprOffset(position));
      else b.storeHost('v128.store', this.#cpu, value, xmmOffset(position - XMM));
    }
    if (what.flags) this.#storeFlags();
  }
  /** Fills locals from the state block. */
  load(what: RegisterSet): void {
    const b = this.#b;
    for (const position of listRegisters(what)) {
      const value =
        position < XMM
          ? b.loadHost('i64.load', this.#cpu, gprOffset(position))
          : b.loadHost('v128.load', this.#cpu, xmmOffset(position - XMM));
      b.set(this.#local(position), value);
    }
    if (what.flags) this.#loadFlags();
  }
}
