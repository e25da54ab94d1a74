/** Writes a region as one WebAssembly function. */
import type { Label, Signature } from '../../ir/node.ts';
import type { Helper } from '../../isa/helpers.ts';
import type { ShapeMode } from '../interpreter/shape.ts';
import { RegionBuilder } from './builder.ts';
import { flagsNeeded } from './liveness.ts';
import type { RegionBlock } from './region.ts';
import { analyse, type Structure } from './structure.ts';

export interface TranslationContext {
  readonly mode: ShapeMode;
  readonly signatures: (callee: string) => Signature;
  readonly helpers: (name: string) => Helper;
}

class RegionWriter {
  readonly #b: RegionBuilder;
  readonly #blocks: readonly RegionBlock[];
  readonly #index: ReadonlyMap<number, number>;
  readonly #structure: Structure;
  readonly #flagsLive: ReadonlySet<number>;
  readonly #mode: ShapeMode;
  readonly #loops = new Map<number, Label>();
  readonly #ends = new Map<number, Label>();

  constructor(b: RegionBuilder, blocks: readonly RegionBlock[], structure: Structure, mode: ShapeMode) {
    this.#b = b;
    this.#blocks = blocks;
    this.#index = new Map(blocks.map((block, i) => [block.offset, i]));
    this.#structure = structure;
    this.#mode = mode;
    this.#flagsLive = flagsNeeded(blocks);
  }

  write(): void {
    this.#tree(0);
  }

  /** A node and all that it dominates. */
  #tree(node: number): void {
    if (!this.#structure.isHeader[node]) {
      this.#within(node);
      return;
    }
    // The builder's own check of loops is about single instructions.
    this.#b.plainLoop((again) => {
      this.#loops.set(node, again);
      this.#within(node);
    });
  }

  /** Blocks for the joins that `node` dominates immediately, the last to be reached outermost. */
  #within(node: number): void {
    const { children, isMerge, position } = this.#structure;
    const joins = children[node].filter((child) => isMerge[child]).sort((x, y) => position[y] - position[x]);
    const nest = (rest: readonly number[]): void => {
      const [join, ...inner] = rest;
      if (join === undefined) {
        this.#node(node);
        return;
      }
      this.#b.block((end) => {
        this.#ends.set(join, end);
        nest(inner);
      });
      this.#tree(join);
    };
    nest(joins);
  }

  #node(node: number): void {
    const b = this.#b;
    const block = this.#blocks[node];
    b.beginBlock();
    for (const item of block.instructions) b.instruction(item, this.#mode, block.before);
    const ending = b.ending;
    b.spend(block.instructions.length);
    if (block.ending === 'conditional' && ending?.kind === 'branch' && ending.condition !== undefined) {
      const { condition, target } = ending;
      if (this.#flagsLive.has(node)) b.settle();
      b.plainIf(
        condition,
        () => this.#go(node, target),
        () => this.#go(node, block.end),
      );
    } else if (block.ending === 'dynamic') {
      b.leaveAt(ending?.kind === 'branch' ? b.ipAt(ending.target) : b.takeJump());
    } else if (block.ending === 'leaves') {
      b.leaveAt(b.ipAt(block.end));
    } else {
      this.#go(node, ending?.kind === 'branch' ? ending.target : block.end);
    }
  }

  /** Continues at an offset: in the region, or out of it. */
  #go(from: number, offset: number): void {
    const b = this.#b;
    const target = this.#index.get(offset);
    if (target === undefined) {
      b.leaveAt(b.ipAt(offset));
      return;
    }
    const { position, isMerge } = this.#structure;
    if (position[target] <= position[from]) {
      b.plainIf(b.disturbed(), () => b.leaveAt(b.ipAt(offset)));
      if (this.#flagsLive.has(from)) b.settle();
      b.branch(this.#loops.get(target) as Label);
      return;
    }
    if (this.#flagsLive.has(from)) b.settle();
    if (isMerge[target]) b.branch(this.#ends.get(target) as Label);
    else this.#tree(target);
  }
}

/** The function for a region, or `undefined` where its control flow has no structured form. */
export function translateRegion(
  blocks: ReadonlyMap<number, RegionBlock>,
  { mode, signatures, helpers }: TranslationContext,
): RegionBuilder | undefined {
  const list = [...blocks.values()];
  const index = new Map(list.map((block, i) => [block.offset, i]));
  const successors = list.map((block) => block.successors.map((target) => index.get(target) as number));
  const structure = analyse({ successors });
  if (!structure.reducible) return undefined;
  const builder = new RegionBuilder(signatures, helpers);
  builder.build(() => new RegionWriter(builder, list, structure, mode).write());
  return builder;
}
