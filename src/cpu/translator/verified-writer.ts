/**
 * Regions that can be run for comparison with the interpreter: their stores are logged, and they go on to other regions
 * only, so that what they did can be taken back.
 */
import type { Signature, Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import type { Helper } from '../../isa/helpers.ts';
import { VCPU } from '../../isa/state.ts';
import { HANDLER } from '../interpreter/builder.ts';
import { EXIT } from '../interpreter/exits.ts';
import { callLogStore, LOG } from '../interpreter/store-log.ts';
import { CELL } from './cell.ts';
import type { Outside } from './exit-builder.ts';
import { type RegionPlan, RegionWriter } from './writer.ts';

/** Which entries of a region are compared: a number of first ones, then each whose number `every` divides. */
export interface Sample {
  readonly first: number;
  readonly every: number;
}

export class VerifiedRegionWriter extends RegionWriter {
  readonly #plan: RegionPlan;
  readonly #log: number;
  readonly #sample: Sample;

  constructor(
    log: number,
    sample: Sample,
    signatures: (callee: string) => Signature,
    helpers: (name: string) => Helper,
    plan: RegionPlan,
  ) {
    super(signatures, helpers, plan);
    this.#plan = plan;
    this.#log = log;
    this.#sample = sample;
  }

  /** A region that is not being compared yet asks the engine for it, or leaves the work to the interpreter. */
  protected override entered(): void {
    const { blocks } = this.#plan;
    const { offsets } = VCPU;
    const log = this.i32(this.#log);
    const place = this.ownCell();
    this.leaveIf(this.eqz(this.loadHost('i32.load', log, LOG.regionRuns)), () => {
      const before = this.loadHost('i32.load', place, CELL.entries);
      this.storeHost('i32.store', place, this.add(before, this.i32(1)), CELL.entries);
      this.storeHost('i32.store', place, this.i32(1), CELL.used);
      const { first, every } = this.#sample;
      const isDue = this.eqz(this.op('i32.rem_u', before, this.i32(every)));
      this.leaveIf(this.eqz(this.or(this.ltU(before, this.i32(first)), isDue)), () => {
        const count = this.loadHost('i64.load', log, LOG.passedOver);
        this.storeHost('i64.store', log, this.add(count, this.i64(1)), LOG.passedOver);
        this.jumpTable(HANDLER, this.loadHost('i32.load', place, CELL.interpreter), this.cpu, this.param(1));
      });
      const ip = this.add(this.loadHost('i64.load', this.cpu, offsets.ipBase), this.i64(blocks[0].offset));
      this.storeHost('i64.store', this.cpu, this.zeroExtend(ip, this.#plan.mode.codeSize), offsets.rip);
      this.storeHost('i32.store', this.cpu, this.param(1), offsets.current);
      this.storeHost('i32.store', this.cpu, place, offsets.exitInfo);
      this.return(this.i32(EXIT.verify));
    });
  }

  /** Only what logs its stores may run; all state is in memory where one of these is met. */
  protected override outside(what: Outside): void {
    switch (what.kind) {
      case 'interpreter':
        this.return(this.i32(EXIT.exception));
        break;
      case 'handler': {
        const isRegion = this.loadHost('i32.load8_u', this.add(what.handler, this.i32(this.#log)), LOG.regions);
        this.leaveIf(this.eqz(isRegion), () => this.return(this.i32(EXIT.dispatch)));
        break;
      }
      case 'link':
        this.call('noteLink', this.cpu, what.link);
        this.return(this.i32(EXIT.dispatch));
        break;
      case 'guest':
        this.return(what.exit);
    }
  }

  override translate(linear: Value, bytes: number, flags: number): Value {
    const host = super.translate(linear, bytes, flags);
    if ((flags & MEMORY_ACCESS.write) === 0) return host;
    this.leaveIf(this.eqz(callLogStore(this, this.cpu, host, bytes)), () => this.fault());
    return host;
  }
}
