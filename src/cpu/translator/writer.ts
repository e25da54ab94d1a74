/** Writes a region as one WebAssembly function: entry, control flow between its blocks, guest calls and exits. */
import type { Label, Signature, Value, Variable } from '../../ir/node.ts';
import type { Helper } from '../../isa/helpers.ts';
import { VCPU } from '../../isa/state.ts';
import { HANDLER } from '../interpreter/builder.ts';
import { EXIT } from '../interpreter/exits.ts';
import { SELF } from '../interpreter/function-module.ts';
import { JUMP_CACHE } from '../interpreter/jump-cache.ts';
import type { ShapeMode } from '../interpreter/shape.ts';
import { CELL } from './cell.ts';
import { type BlockEffects, solveFlow } from './data-flow.ts';
import { ExitBuilder } from './exit-builder.ts';
import { isReturn, offsetAt, shiftAt } from './inlining.ts';
import { flagsNeeded } from './liveness.ts';
import { type RegionBlock, SWITCH } from './region.ts';
import { noEffects } from './register-file.ts';
import { EMPTY, type RegisterSet, union, without } from './register-set.ts';
import type { Graph, Structure } from './structure.ts';

/** What a region is written for. */
export interface RegionPlan {
  readonly mode: ShapeMode;
  /** Entry first; `graph` numbers them. */
  readonly blocks: readonly RegionBlock[];
  readonly graph: Graph;
  readonly structure: Structure;
  /** By node: it is part of a loop. */
  readonly inLoop: readonly boolean[];
  /** Registers that hold addresses loaded from memory. */
  readonly loadedRegisters: ReadonlySet<number>;
  /** RBP is made of the stack pointer in it, as compilers use it with frame pointers and as any other register without. */
  readonly framePointer: boolean;
  /** Address of the region's cells; absent: it is told when it is linked. Its own is the first, the others are for its links. */
  readonly cell: number | undefined;
  /** Whether its own cell has to be looked at on entry. */
  readonly checked: boolean;
  /** Most bytes of host stack that its frame takes. */
  readonly frame: number;
}

export class RegionWriter extends ExitBuilder {
  readonly #plan: RegionPlan;
  readonly #index: ReadonlyMap<number, number>;
  readonly #flagsLive: ReadonlySet<number>;
  readonly #effects: readonly BlockEffects[];
  readonly #loops = new Map<number, Label>();
  readonly #ends = new Map<number, Label>();
  /** What to load at returns from guest calls, once it is known. */
  readonly #returns: { readonly target: number; fill(live: RegisterSet): void }[] = [];
  /** Places where page caches are emptied, once it is known which there are. */
  readonly #emptyCaches: ((fill: () => void) => void)[] = [];
  readonly #key: Variable;
  readonly #rights: Variable;

  constructor(signatures: (callee: string) => Signature, helpers: (name: string) => Helper, plan: RegionPlan) {
    super(signatures, helpers, plan.loadedRegisters, plan.framePointer, plan.cell);
    this.#plan = plan;
    this.#index = new Map(plan.blocks.map((block, i) => [block.offset, i]));
    this.#flagsLive = flagsNeeded(plan.blocks, plan.graph, plan.structure);
    this.#effects = plan.blocks.map(noEffects);
    this.#key = this.variable('i64');
    this.#rights = this.variable('i64');
  }

  /** Writes the whole function. */
  write(): void {
    this.#tree(0, false);
    this.unreachable();
    const flow = solveFlow(
      this.#plan.blocks.map((_, node) => ({
        effects: this.#effects[node],
        successors: this.#plan.graph.successors[node],
        calls: this.#isCall(node),
      })),
    );
    for (const { effects, changes, stores, fill } of this.sites) {
      // Behind a guest call nothing differs.
      const node = this.#effects.indexOf(effects);
      fill(node < 0 ? EMPTY : union(without(flow.dirty[node], stores), changes));
    }
    for (const { target, fill } of this.#returns) fill(flow.live[target]);
    for (const fill of this.#emptyCaches) fill(() => this.caches.clear(() => false));
    this.writeExits();
    this.prologue(() => this.#enter(flow.live[0]));
  }

  /** Before anything else on entry. */
  protected entered(): void {}

  #enter(live: RegisterSet): void {
    const { offsets } = VCPU;
    const cpu = this.cpu;
    const { checked, blocks } = this.#plan;
    this.findCells();
    const place = this.ownCell();
    this.entered();
    this.set(this.ipBase, this.loadHost('i64.load', cpu, offsets.ipBase));
    if (checked) {
      const key = this.eq(this.loadHost('i64.load', place, CELL.key), this.modeAndGeneration());
      const base = this.eq(this.loadHost('i64.load', place, CELL.ipBase), this.get(this.ipBase));
      this.leaveIf(this.eqz(this.and(key, base)), () => {
        const before = this.loadHost('i32.load', cpu, offsets.epoch);
        this.leaveIf(this.eqz(this.call('regionValid', cpu, place)), () => {
          // The look at the pages may have dropped the very block that was to be entered.
          this.leaveIf(this.ne(this.loadHost('i32.load', cpu, offsets.epoch), before), () => {
            this.storeHost('i64.store', cpu, this.ipAt(blocks[0].offset), offsets.rip);
            this.return(this.i32(EXIT.lookup));
          });
          this.outside({ kind: 'interpreter' });
          this.jumpTable(HANDLER, this.loadHost('i32.load', place, CELL.interpreter), cpu, this.param(1));
        });
      });
    }
    this.storeHost('i32.store', place, this.i32(1), CELL.used);
    this.set(this.budget, this.loadHost('i32.load', cpu, offsets.budget));
    this.file.load(live);
    this.loadFloatReady();
    this.setConstants();
    this.loadTlbBase();
    this.fillCaches();
    if (!blocks.some(({ ending }, node) => ending === 'resumes' || this.#isCall(node))) return;
    this.set(this.#key, this.modeAndGeneration());
    this.set(this.#rights, this.epochAndRights());
  }

  /** A node and all that it dominates; `follows`: reached only from what was built last. */
  #tree(node: number, follows: boolean): void {
    if (!this.#plan.structure.isHeader[node]) {
      this.#within(node, follows);
      return;
    }
    this.plainLoop((again) => {
      this.#loops.set(node, again);
      this.#within(node, false);
    });
  }

  /** Blocks for the joins that `node` dominates immediately, the last to be reached outermost. */
  #within(node: number, follows: boolean): void {
    const { children, isMerge, position } = this.#plan.structure;
    const joins = children[node].filter((child) => isMerge[child]).sort((x, y) => position[y] - position[x]);
    const nest = (rest: readonly number[]): void => {
      const [join, ...inner] = rest;
      if (join === undefined) {
        this.#node(node, follows);
        return;
      }
      this.block((end) => {
        this.#ends.set(join, end);
        nest(inner);
      });
      this.#tree(join, false);
    };
    nest(joins);
  }

  #node(node: number, follows: boolean): void {
    const block = this.#plan.blocks[node];
    this.beginBlock(this.#effects[node], this.#plan.inLoop[node], follows);
    const transfers = block.ending === 'transfer';
    for (const item of transfers ? block.instructions.slice(0, -1) : block.instructions)
      this.instruction(item, this.#plan.mode);
    if (transfers) {
      this.#transfer(block);
      return;
    }
    this.spend(block.instructions.length);
    const { ending } = this;
    const target = ending?.kind === 'branch' ? ending.target + shiftAt(block.offset) : block.end;
    if (block.ending === 'conditional' && ending?.kind === 'branch' && ending.condition !== undefined) {
      this.plainIf(
        ending.condition,
        () => this.#go(node, target, undefined, block.seldom),
        () => this.#go(node, block.end),
        block.seldom ? 'unlikely' : undefined,
      );
      return;
    }
    if (block.ending === 'enters') {
      this.#go(node, block.successors[0]);
      return;
    }
    if (block.ending === 'falls' || block.ending === 'jump') {
      this.#go(node, target);
      return;
    }
    if (block.ending === 'switch') {
      this.#switch(node);
      return;
    }
    if (block.ending === 'resumes') {
      this.#resume(node, block.end);
      return;
    }
    const ip = ending?.kind === 'left' ? ending.ip : this.#ipOf(target);
    const itself = ending?.kind === 'branch' && ending.target === this.#plan.blocks[0].offset;
    if (block.ending === 'returns') {
      this.#returnInside(node, ip);
      return;
    }
    if (this.#isCall(node)) this.#call(node, ip, itself);
    else if (block.successors.includes(SWITCH)) {
      this.set(this.switchTarget, ip);
      this.#go(node, SWITCH);
    } else if (isReturn(block.instructions)) this.#return(ip);
    else this.jumpTo(ip);
  }
  /** Goes on where the last computed jump leads: found by bisection among the blocks that such jumps went to before. */
  #switch(node: number): void {
    const ip = this.get(this.switchTarget);
    const offset = this.sub(ip, this.get(this.ipBase));
    const effects = this.#effects[node];
    const { successors } = this.#plan.blocks[node];
    this.block((missed) => {
      const find = (from: number, to: number): void => {
        const middle = (from + to) >> 1;
        if (to - from > 1) {
          this.plainIf(
            this.ltS(offset, this.i64(successors[middle])),
            () => find(from, middle),
            () => find(middle, to),
          );
          return;
        }
        // Flags that wait do so at `missed` too, whatever the block that is built here makes of them.
        this.plainIf(
          this.ne(offset, this.i64(successors[from])),
          () => this.branch(missed),
          () => this.#go(node, successors[from], effects),
        );
      };
      find(0, successors.length);
    });
    this.resumeBlock(effects);
    this.jumpTo(ip);
  }
  /** The last instruction of a block finds all state in the state block, and leaves it there for what it goes on to. */
  #transfer({ instructions }: RegionBlock): void {
    const last = instructions[instructions.length - 1];
    this.storeRegisters();
    // There is nothing left for a fault to store.
    this.resumeBlock(noEffects());
    this.instruction(last, this.#plan.mode);
    this.spend(instructions.length);
    this.storeHost('i32.store', this.cpu, this.get(this.budget), VCPU.offsets.budget);
    this.follow(this.field('rip'));
  }
  /**
   * Goes on behind an instruction after which something may wait, and other rights count. What it knew of pages is void
   * then. The mode stays as it is but for debugging, which comes with a poll.
   */
  #resume(node: number, after: number): void {
    this.plainIf(this.polled(), () => this.#interrupt(after), undefined, 'unlikely');
    const rights = this.epochAndRights();
    this.plainIf(this.ne(rights, this.get(this.#rights)), () => {
      this.set(this.#rights, rights);
      this.loadTlbBase();
      this.#emptyCaches.push(this.hole());
    });
    this.#go(node, after);
  }
  /** A call that comes back into the region. */
  #isCall(node: number): boolean {
    return this.#plan.blocks[node].ending === 'call' && this.#plan.graph.successors[node].length > 0;
  }

  /** Continues at an offset: in the region, or out of it, without a link where that is seldom. */
  #go(from: number, offset: number, effects = this.#effects[from], seldom = false): void {
    const target = this.#index.get(offset);
    const { graph, structure } = this.#plan;
    if (target === undefined || !graph.successors[from].includes(target)) {
      this.resumeBlock(effects);
      if (seldom) this.#interrupt(offset);
      else this.jumpTo(this.#ipOf(offset));
      return;
    }
    const { position, isMerge, isHeader } = structure;
    const back = position[target] <= position[from];
    this.resumeBlock(effects);
    if (back) {
      // Two branches that are never taken cost less than one on both conditions.
      for (const reason of [() => this.spent(), () => this.polled()])
        this.plainIf(reason(), () => this.#interrupt(offset), undefined, 'unlikely');
    }
    const follows = !back && !isMerge[target] && !isHeader[target];
    if (!follows && this.#flagsLive.has(from)) this.settle();
    if (back) this.branch(this.#loops.get(target) as Label);
    else if (isMerge[target]) this.branch(this.#ends.get(target) as Label);
    else this.#tree(target, follows);
  }
  #ipOf(offset: number): Value {
    return offset === SWITCH ? this.get(this.switchTarget) : this.ipAt(offsetAt(offset));
  }
  /** Leaves for the run loop, to go on at an offset. */
  #interrupt(offset: number): void {
    this.settle();
    this.site((dirty) => this.coldExit(dirty, EXIT.dispatch, offsetAt(offset), 0));
  }

  /** Goes on behind the call of a copied callee, if that is where its return leads. */
  #returnInside(node: number, ip: Value): void {
    const effects = this.#effects[node];
    const [after] = this.#plan.blocks[node].successors;
    this.plainIf(
      this.eq(ip, this.#ipOf(after)),
      () => this.#go(node, after),
      () => {
        this.resumeBlock(effects);
        this.#return(ip);
      },
      'likely',
    );
  }
  /** Leaves for whoever called this function. */
  #return(ip: Value): void {
    this.storeState(ip);
    this.return(this.i32(EXIT.dispatch));
  }

  /**
   * Calls guest code and goes on behind the call, if that is where the guest arrives, with the rights that it had before:
   * whatever the callee did is in the state block, and all that the region knew of mappings and modes is compared. A region
   * that calls its own entry (`itself`) needs no look at where that is: it would not run if it were not there.
   */
  #call(node: number, ip: Value, itself: boolean): void {
    const { offsets } = VCPU;
    const cpu = this.cpu;
    const { blocks, frame } = this.#plan;
    const [after] = blocks[node].successors;
    this.storeState(ip);
    const depth = this.loadHost('i32.load', cpu, offsets.depth);
    const left = this.sub(depth, this.i32(frame));
    for (const reason of [() => this.spent(), () => this.or(this.polled(), this.ltS(left, this.i32(0)))])
      this.leaveIf(reason(), () => this.return(this.i32(EXIT.dispatch)));
    this.storeHost('i32.store', cpu, left, offsets.depth);
    if (itself) this.storeHost('i64.store', cpu, this.get(this.ipBase), offsets.ipBase);
    const exit = itself ? this.call(SELF, cpu, this.param(1)) : this.#callThroughLink(ip);
    const expected = this.#ipOf(after);
    const arrived = this.eq(this.loadHost('i64.load', cpu, offsets.rip), expected);
    this.leaveIf(this.or(exit, this.eqz(arrived)), () => {
      this.outside({ kind: 'guest', exit });
      const last = this.call('continueGuest', cpu, expected, exit);
      this.leaveIf(last, () => this.return(last));
    });
    this.storeHost('i32.store', cpu, depth, offsets.depth);
    this.set(this.budget, this.loadHost('i32.load', cpu, offsets.budget));
    const moved = this.or(
      this.xor(this.modeAndGeneration(), this.get(this.#key)),
      this.xor(this.epochAndRights(), this.get(this.#rights)),
    );
    for (const reason of [() => this.ne(moved, this.i64(0)), () => this.spent()])
      this.leaveIf(reason(), () => this.return(this.i32(EXIT.dispatch)));
    const later = this.hole();
    const target = this.#index.get(after) as number;
    this.#returns.push({
      target,
      fill: (live) =>
        later(() => {
          this.file.load(live);
          this.loadFloatReady();
        }),
    });
    this.#go(node, after, noEffects());
  }
  #callThroughLink(ip: Value): Value {
    const link = this.link();
    return this.choose(
      this.fits(link, ip),
      () => {
        const record = this.loadLink('i32.load', link, JUMP_CACHE.record);
        return this.callTable(HANDLER, this.handlerAt(link, record), this.cpu, record);
      },
      () => {
        const address = this.addressOf(link);
        this.outside({ kind: 'link', link: address });
        return this.call('dispatchFrom', this.cpu, address);
      },
      'likely',
    );
  }
}
