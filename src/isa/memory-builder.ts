/** Accesses to guest memory, by the TLB, and the exceptions that they and other checks raise. */
import type { Value } from '../ir/node.ts';
import { MEMORY_ACCESS } from './access.ts';
import { FlagBuilder } from './flag-builder.ts';
import { applyUpdate, type Modification, type Update, type Updated, type Width } from './operand.ts';
import { RUN_ALONE } from './state.ts';
import { LOAD, STORE } from './state-builder.ts';

/** An atomic operation that gives i64, by the part of its name that all widths have. */
const atomicName = (operation: string, bytes: Width): string =>
  bytes === 8 ? `i64.atomic.rmw.${operation}` : `i64.atomic.rmw${bytes * 8}.${operation}_u`;

export abstract class MemoryBuilder extends FlagBuilder {
  /** Linear address of `bytes` bytes at `offset` (i64) in a segment; checks the segment where it is not flat. */
  abstract linear(segment: number, offset: Value, bytes: number, access: 'read' | 'write'): Value;
  /** A branch to the exit that delivers the fault described by the fault fields. */
  abstract fault(): void;

  /** Raises an exception. The instruction has no effect. */
  raise(vector: number, error?: Value): void {
    this.access();
    this.setScratchField('faultVector', this.i32(vector));
    this.setScratchField('faultHasError', this.i32(error === undefined ? 0 : 1));
    if (error !== undefined) this.setScratchField('faultError', error);
    this.fault();
  }

  /**
   * Host address of `bytes` bytes at a linear address; memory that cannot be reached in place is brought to a scratch
   * area. `flags` from `MEMORY_ACCESS`.
   */
  translate(linear: Value, bytes: number, flags: number): Value {
    this.access();
    const tag = flags & MEMORY_ACCESS.write ? 8 : 0;
    const entry = this.add(
      this.and(this.wrap(this.shrU(linear, this.i64(7))), this.field('tlbMask')),
      this.field('tlbBase'),
    );
    const page = this.accessedPage(linear, bytes, flags);
    const routine = flags & MEMORY_ACCESS.locked ? 'translateLocked' : 'translate';
    const host = this.variable('i32');
    this.if(
      this.eq(this.loadHost('i64.load', entry, tag), page),
      () => this.set(host, this.add(this.wrap(linear), this.loadHost('i32.load', entry, 24))),
      () => {
        this.noteCurrent();
        this.set(host, this.call(routine, this.cpu, linear, this.i32(bytes | flags)));
        this.leaveIf(this.eqz(this.get(host)), () => this.fault());
      },
    );
    return this.get(host);
  }
  /** The tag of the TLB's entry for an access: its page, or where it must be aligned and is not, no page. */
  protected accessedPage(linear: Value, bytes: number, flags: number): Value {
    if ((flags & MEMORY_ACCESS.locked) !== 0) return this.and(linear, this.i64(-4096 | (bytes - 1)));
    return this.and(this.add(linear, this.i64(bytes - 1)), this.i64(-4096));
  }

  /** Loads 1–8 bytes at a linear address, zero-extended to i64. */
  load(linear: Value, bytes: Width, flags = 0): Value {
    return this.loadOrdered(LOAD[bytes], this.translate(linear, bytes, flags));
  }
  /** Stores the low bytes of an i64. */
  store(linear: Value, bytes: Width, value: Value, flags = 0): void {
    const host = this.translate(linear, bytes, flags | MEMORY_ACCESS.write);
    this.storeHost(STORE[bytes], host, value);
    this.finishWrite();
  }
  /** Loads and promises a write to the same place. */
  modifyAt(linear: Value, bytes: Width, flags = 0): Modification {
    const host = this.translate(linear, bytes, flags | MEMORY_ACCESS.write | MEMORY_ACCESS.modify);
    return {
      value: this.loadOrdered(LOAD[bytes], host),
      write: (value) => {
        this.storeHost(STORE[bytes], host, value);
        this.finishWrite();
      },
    };
  }
  /** Host address for an atomic access; whatever cannot be one has the engine run the instruction alone. */
  #translateLocked(linear: Value, bytes: Width, flags: number): Value {
    const { write, modify, locked } = MEMORY_ACCESS;
    return this.translate(linear, bytes, flags | write | modify | locked);
  }
  /** `Operand.update` of 1–8 bytes at a linear address. */
  updateAt(linear: Value, bytes: Width, update: Update, value: Value, flags = 0): Updated {
    if (!this.isAtomic) {
      const place = this.modifyAt(linear, bytes, flags);
      const result = applyUpdate(this, update, place.value, value);
      place.write(result);
      return { old: place.value, result };
    }
    const host = this.#translateLocked(linear, bytes, flags);
    const old = update === 'neg' ? this.#negateAt(host, bytes) : this.atomic(atomicName(update, bytes), host, [value]);
    return { old, result: applyUpdate(this, update, old, value) };
  }
  /** Negates memory at a host address atomically; what was there. */
  #negateAt(host: Value, bytes: Width): Value {
    const seen = this.variable('i64', this.loadOrdered(LOAD[bytes], host));
    super.loop((again) => {
      const old = this.get(seen);
      const found = this.atomic(atomicName('cmpxchg', bytes), host, [old, this.neg(old)]);
      this.set(seen, found);
      this.branchIf(again, this.ne(found, old));
    });
    return this.get(seen);
  }
  /** `Operand.compareExchange` of 1–8 bytes at a linear address. */
  compareExchangeAt(linear: Value, bytes: Width, expected: Value, value: Value, flags = 0): Value {
    if (this.isAtomic) {
      const host = this.#translateLocked(linear, bytes, flags);
      return this.atomic(atomicName('cmpxchg', bytes), host, [expected, value]);
    }
    const place = this.modifyAt(linear, bytes, flags);
    place.write(this.select(this.eq(place.value, expected), value, place.value));
    return place.value;
  }
  /** Where the instruction is atomic: has the engine run it while no other vCPU runs. */
  runAlone(): void {
    this.raise(RUN_ALONE);
  }
  /** Loads 16 bytes, or 4 or 8 zero-extended. */
  loadVector(linear: Value, bytes: 4 | 8 | 16, flags = 0): Value {
    const load = { 4: 'v128.load32_zero', 8: 'v128.load64_zero', 16: 'v128.load' }[bytes];
    return this.loadOrdered(load, this.translate(linear, bytes, flags));
  }
  storeVector(linear: Value, value: Value, flags = 0): void {
    const host = this.translate(linear, 16, flags | MEMORY_ACCESS.write);
    this.storeHost('v128.store', host, value);
    this.finishWrite();
  }
  /** Brings a write that went to the scratch area to where it belongs. */
  protected finishWrite(): void {
    this.if(this.field('pendingKind'), () => {
      this.call('finishWrite', this.cpu);
    });
  }
}
