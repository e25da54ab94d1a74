/**
 * The core: one function with the handlers of the instructions that stand in code most often. It goes from record to record
 * in a loop, where handlers of their own jump from function to function: each such jump finds its target through the table,
 * with the callee's instance and a check of its signature, and the next cannot begin before that.
 */
import type { Label, Value, Variable } from '../../ir/node.ts';
import { VCPU } from '../../isa/state.ts';
import { HANDLER, InterpreterBuilder } from './builder.ts';
import { EXIT } from './exits.ts';
import { entryIpBase, JUMP_CACHE, jumpCacheEntry } from './jump-cache.ts';
import { RECORD } from './record.ts';
import type { Shape } from './shape.ts';

/** One of the core's handlers. */
export interface CoreCase {
  readonly shape: Shape;
  fill(b: InterpreterBuilder): void;
}

export class CoreBuilder extends InterpreterBuilder {
  readonly #at: Variable;
  readonly #again: Label;
  readonly #dispatches: Label;

  constructor(...args: ConstructorParameters<typeof InterpreterBuilder>) {
    super(...args);
    this.#at = this.variable('i32', this.record);
    this.#again = this.label('loop');
    this.#dispatches = this.label('block');
  }

  /** `dispatch` of the runtime, as far as nothing has to be looked up. */
  #dispatch(): void {
    const address = this.variable('i64', this.field('rip'));
    const entry = this.variable('i32', jumpCacheEntry(this, this.cpu, this.get(address)));
    const of = (op: string, field: number) => this.loadHost(op, this.get(entry), field);
    const heat = this.variable('i32', this.add(of('i32.load', JUMP_CACHE.heat), this.i32(1)));
    const reasons = [
      this.leS(this.field('budget'), this.i32(0)),
      this.field('poll'),
      this.eq(this.get(address), this.field('arrival')),
      this.ne(of('i64.load', JUMP_CACHE.address), this.get(address)),
      // `modeKey` and `jumpGeneration` lie side by side and are compared as one.
      this.ne(of('i64.load', JUMP_CACHE.key), this.loadHost('i64.load', this.cpu, VCPU.offsets.modeKey)),
      this.eq(this.get(heat), this.i32(this.threshold)),
    ];
    this.leaveIf(
      reasons.reduce((a, b) => this.or(a, b)),
      () => this.return(this.i32(EXIT.dispatch)),
    );
    if (this.threshold > 0) this.storeHost('i32.store', this.get(entry), this.get(heat), JUMP_CACHE.heat);
    this.setField('ipBase', entryIpBase(this, this.get(entry)));
    this.set(this.#at, of('i32.load', JUMP_CACHE.record));
    this.branch(this.#again);
  }

  override goOn(): void {
    this.branch(this.#dispatches);
  }

  override continueWith(record: Value): void {
    this.set(this.#at, record);
    this.branch(this.#again);
  }

  /** Writes the function: the handler at index `first + i` is `cases[i]`; `undefined`, and others, are gone to through the table. */
  write(first: number, cases: readonly (CoreCase | undefined)[]): void {
    const other = this.label('block');
    this.scope(this.#again, () => {
      this.scope(other, () => {
        this.scope(this.#dispatches, () => this.#arms(first, cases, other));
        this.#dispatch();
      });
      const record = this.get(this.#at);
      this.jumpTable(HANDLER, this.loadHost('i32.load16_u', record, RECORD.handler), this.cpu, record);
    });
  }

  #arms(first: number, cases: readonly (CoreCase | undefined)[], other: Label): void {
    const labels = cases.map((one) => (one === undefined ? other : this.label('block')));
    let inner = () => {
      const handler = this.loadHost('i32.load16_u', this.get(this.#at), RECORD.handler);
      this.switch(this.sub(handler, this.i32(first)), labels, other);
    };
    for (const [i, one] of cases.entries()) {
      if (one === undefined) continue;
      const before = inner;
      inner = () => {
        this.scope(labels[i], before);
        this.take(one.shape, this.get(this.#at));
        one.fill(this);
      };
    }
    inner();
  }
}
