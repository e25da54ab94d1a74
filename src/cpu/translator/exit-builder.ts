/** The ways out of a region: exits to the run loop, and jumps to other code through links. */
import type { Label, Signature, Value, Variable } from '../../ir/node.ts';
import type { Helper } from '../../isa/helpers.ts';
import { VCPU } from '../../isa/state.ts';
import { HANDLER } from '../interpreter/builder.ts';
import { EXIT } from '../interpreter/exits.ts';
import { LINKED } from '../interpreter/function-module.ts';
import { entryIpBase, JUMP_CACHE } from '../interpreter/jump-cache.ts';
import { RECORD } from '../interpreter/record.ts';
import { SPECIAL_INDEX } from '../interpreter/special-handlers.ts';
import { RegionBuilder } from './builder.ts';
import { CELL_SIZE, OWN_CELLS } from './cell.ts';
import { type ColdExitCode, packExit, unpackExit } from './cold-exit.ts';
import { SWITCH } from './region.ts';
import type { RegisterSet } from './register-set.ts';

/** What a region is about to run outside of it, or after guest code that did not arrive behind the call. */
export type Outside =
  | { readonly kind: 'interpreter' }
  | { readonly kind: 'handler'; readonly handler: Value }
  | { readonly kind: 'link'; readonly link: Value }
  | { readonly kind: 'guest'; readonly exit: Value };

interface ColdExit {
  readonly label: Label;
  readonly dirty: RegisterSet;
  /** It goes on where a computed jump leads. */
  readonly atSwitch: boolean;
}

/** A link's cell: an address, and how far behind it. */
interface Link {
  readonly base: Value;
  readonly at: number;
}

export abstract class ExitBuilder extends RegionBuilder {
  /** Address of the region's cells, or the variable that has it. */
  readonly #cells: number | Variable;
  /** Where the region was left in its midst, as `packExit` tells it. */
  readonly #exit: Variable;
  /** Where the last computed jump goes. */
  protected readonly switchTarget: Variable;
  /** Address and link of the jump out of the region that is under way. */
  readonly #target: Variable;
  readonly #link: Variable;
  #follows: Label | undefined;
  readonly #coldExits = new Map<string, ColdExit>();
  #links = 0;

  /** `cell`: address of the region's cells; absent: it is told when the region is linked. */
  constructor(
    signatures: (callee: string) => Signature,
    helpers: (name: string) => Helper,
    loadedRegisters: ReadonlySet<number>,
    framePointer: boolean,
    cell: number | undefined,
  ) {
    super(signatures, helpers, loadedRegisters, framePointer);
    this.#cells = cell ?? this.variable('i32');
    this.#exit = this.variable('i64');
    this.switchTarget = this.variable('i64');
    this.#target = this.variable('i64');
    this.#link = this.variable('i32');
  }

  /** Before anything outside the region, with all state in memory, so that a subclass may leave instead. */
  protected outside(_what: Outside): void {}

  protected modeAndGeneration(): Value {
    return this.loadHost('i64.load', this.cpu, VCPU.offsets.modeKey);
  }
  protected epochAndRights(): Value {
    return this.loadHost('i64.load', this.cpu, VCPU.offsets.epoch);
  }

  protected override coldExit(dirty: RegisterSet, code: ColdExitCode, offset: number, done: number): void {
    const atSwitch = offset === SWITCH;
    if (!atSwitch) this.set(this.#exit, this.i64(packExit(code, offset, done)));
    const key = `${atSwitch} ${dirty.registers} ${dirty.flags}`;
    let exit = this.#coldExits.get(key);
    if (exit === undefined) {
      exit = { label: this.label('block'), dirty, atSwitch };
      this.#coldExits.set(key, exit);
    }
    this.branch(exit.label);
  }
  /** Writes what exits have in common, behind all blocks. */
  protected writeExits(): void {
    if (this.#follows !== undefined) this.enclose(this.#follows, () => this.#writeFollow());
    const tail = this.label('block');
    for (const { label, dirty, atSwitch } of this.#coldExits.values()) {
      this.enclose(label, () => {
        this.file.store(dirty);
        if (atSwitch) this.#leaveAt(this.get(this.switchTarget), this.i32(EXIT.dispatch));
        else this.branch(tail);
      });
    }
    this.enclose(tail, () => {
      const { code, done, offset } = unpackExit(this, this.get(this.#exit));
      this.set(this.budget, this.sub(this.get(this.budget), done));
      const ip = this.add(this.get(this.ipBase), offset);
      this.#leaveAt(this.zeroExtend(ip, this.mode.codeSize), code);
    });
  }
  #leaveAt(ip: Value, code: Value): void {
    this.storeHost('i64.store', this.cpu, ip, VCPU.offsets.rip);
    this.storeHost('i32.store', this.cpu, this.get(this.budget), VCPU.offsets.budget);
    this.return(code);
  }

  /** Brings registers and flags to the state block. */
  protected storeRegisters(): void {
    const flags = this.storeFlags();
    this.site((dirty) => this.file.store(flags ? { ...dirty, flags: false } : dirty));
  }
  /** Brings all state to the state block; the instruction pointer is to be `ip`. */
  protected storeState(ip: Value): void {
    this.storeRegisters();
    this.storeHost('i64.store', this.cpu, ip, VCPU.offsets.rip);
    this.storeHost('i32.store', this.cpu, this.get(this.budget), VCPU.offsets.budget);
  }
  /** Leaves for other code, in the place of this function. */
  protected jumpTo(ip: Value): void {
    this.storeState(ip);
    this.follow(ip);
  }
  /** Goes on at `ip`, with all state in the state block. What it takes for that is there once in a region. */
  protected follow(ip: Value): void {
    this.set(this.#target, ip);
    this.set(this.#link, this.addressOf(this.link()));
    this.#follows ??= this.label('block');
    this.branch(this.#follows);
  }
  #writeFollow(): void {
    const ip = this.get(this.#target);
    const address = this.get(this.#link);
    const link: Link = { base: address, at: 0 };
    const fits = this.and(this.fits(link, ip), this.eqz(this.or(this.spent(), this.polled())));
    const follow = () => {
      const record = this.loadLink('i32.load', link, JUMP_CACHE.record);
      this.jumpTable(HANDLER, this.handlerAt(link, record), this.cpu, record);
    };
    this.plainIf(fits, follow, undefined, 'likely');
    this.outside({ kind: 'link', link: address });
    this.jumpTable(HANDLER, this.i32(SPECIAL_INDEX.dispatchFrom), this.cpu, address);
  }
  /** Cells that it uses, its own included; known once it is written. */
  get cells(): number {
    return OWN_CELLS + this.#links;
  }
  /** On entry, before any cell is used. */
  protected findCells(): void {
    if (typeof this.#cells !== 'number') this.set(this.#cells, this.imported(LINKED.cell));
  }
  /** Address of the region's own cell. */
  protected ownCell(): Value {
    return typeof this.#cells === 'number' ? this.i32(this.#cells) : this.get(this.#cells);
  }
  protected link(): Link {
    const at = (OWN_CELLS + this.#links++) * CELL_SIZE;
    return typeof this.#cells === 'number'
      ? { base: this.i32(this.#cells + at), at: 0 }
      : { base: this.get(this.#cells), at };
  }
  protected addressOf({ base, at }: Link): Value {
    return at === 0 ? base : this.add(base, this.i32(at));
  }
  protected loadLink(op: string, { base, at }: Link, offset: number): Value {
    return this.loadHost(op, base, at + offset);
  }
  /** Whether a link leads to an address under the present mode and mappings, as i32. */
  protected fits(link: Link, ip: Value): Value {
    // As one comparison: V8 makes two numbers of two, and looks at both.
    const key = this.xor(this.loadLink('i64.load', link, JUMP_CACHE.key), this.modeAndGeneration());
    const address = this.xor(this.loadLink('i64.load', link, JUMP_CACHE.address), ip);
    return this.eqz(this.or(key, address));
  }
  /** Handler of the record behind a link; the code there gets its `ipBase`. */
  protected handlerAt(link: Link, record: Value): Value {
    this.storeHost('i64.store', this.cpu, entryIpBase(this, link.base, link.at), VCPU.offsets.ipBase);
    const handler = this.loadHost('i32.load16_u', record, RECORD.handler);
    this.outside({ kind: 'handler', handler });
    return handler;
  }
}
