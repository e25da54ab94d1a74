/**
 * What the encoder has to know before it starts: how often a value is used and where last, which values need no local of
 * their own, and how long variables live. One pass over a body, from its end to its start, so that values used only
 * by dead values count as dead.
 */
import { BEHIND, type Block, INLINE, type Life, type Node } from '../node.ts';

/** Nodes that do nothing but give a value. */
export function isPure(node: Node): boolean {
  return node.kind === 'pure' || node.kind === 'select' || node.kind === 'shuffle';
}

/** Whether a node has to be encoded although nobody uses its value. */
export function hasEffect(node: Node): boolean {
  if (node.kind === 'set') return node.variable.life.read;
  return !isPure(node) && node.kind !== 'get' && node.kind !== 'load';
}

/** A block while the analysis is in it. */
interface Extent {
  readonly id: number;
  /** Position of its end. */
  readonly end: number;
  readonly outer: Extent | undefined;
  /** For the first arm of an `if`: the other one's number. Else -1. */
  readonly other: number;
}

class UseAnalysis {
  /** Position of the node at hand: positions fall on the way to the start. */
  #at = 0;
  #blocks = 0;
  /** The next node behind the one at hand that may change memory. */
  #nextEffect = BEHIND;
  /** Where the next ordered load behind the one at hand is made. */
  #nextOrdered = BEHIND;
  /** Where the loops behind the node at hand start and end, the nearest last; no loops inside these. */
  readonly #loopStarts: number[] = [];
  readonly #loopEnds: number[] = [];

  /** `outcome`: a value used at the end. */
  block(block: Block, outer?: Extent, other = -1, outcome?: Node): Extent {
    this.#at--;
    const extent: Extent = { id: this.#blocks++, end: this.#at, outer, other };
    if (outcome !== undefined) this.#use(outcome, this.#at);
    this.#nodes(block, extent);
    return extent;
  }

  #nodes({ nodes }: Block, extent: Extent): void {
    for (let i = nodes.length - 1; i >= 0; i--) {
      const node = nodes[i];
      if (node.uses === 0 && !hasEffect(node)) continue;
      this.#at--;
      this.#node(node, extent);
    }
  }

  #node(node: Node, extent: Extent): void {
    switch (node.kind) {
      case 'const':
        break;
      case 'pure':
      case 'select':
      case 'shuffle':
        if (node.uses === 1) node.local = INLINE;
        this.#operands(node.args, node.uses === 1 ? node.lastUse : this.#at);
        break;
      case 'get':
        this.#get(node);
        break;
      case 'set':
        this.#set(node.variable.life, extent);
        this.#operands(node.args, this.#at);
        break;
      case 'load':
        this.#load(node);
        break;
      case 'if':
      case 'choose':
        this.#arms(node, extent);
        break;
      case 'scope':
        this.#scope(node, extent);
        break;
      case 'hole':
        this.#nodes(node.body, extent);
        break;
      case 'unreachable':
        break;
      case 'branch':
      case 'switch':
      case 'return':
        this.#operands(node.args, this.#at);
        break;
      default:
        this.#nextEffect = this.#at;
        this.#operands(node.args, this.#at);
    }
  }

  #operands(args: readonly Node[], at: number): void {
    for (let i = 0; i < args.length; i++) this.#use(args[i], at);
  }
  #use(value: Node, at: number): void {
    if (value.kind === 'const') return;
    value.uses++;
    if (at > value.lastUse) value.lastUse = at;
  }

  /**
   * How long what the node at hand reads must stay as it is for the node to be moved to its uses: until the last of them,
   * or until the end of the loop, yet to begin, that has it.
   */
  #needed(node: Node): number {
    const use = node.lastUse;
    for (let i = this.#loopStarts.length - 1; i >= 0 && this.#loopStarts[i] < use; i--) {
      if (use <= this.#loopEnds[i]) return this.#loopEnds[i];
    }
    return use;
  }

  #get(node: Node & { kind: 'get' }): void {
    const { life } = node.variable;
    life.setIn = -1;
    life.scoped = false;
    if (life.nextSet >= this.#needed(node)) {
      node.local = INLINE;
      life.left += node.uses;
      life.last = Math.max(life.last, node.lastUse);
    } else {
      life.left++;
      life.last = Math.max(life.last, this.#at);
    }
  }

  #set(life: Life, extent: Extent): void {
    life.left++;
    life.last = Math.max(life.last, this.#at);
    life.nextSet = this.#at;
    // A write that begins both arms of an `if` is as good as one before it.
    const both = extent.other >= 0 && life.setIn === extent.other;
    const block = both ? (extent.outer as Extent) : extent;
    life.setIn = block.id;
    life.scoped = life.last <= block.end;
  }

  #load(node: Node & { kind: 'load' }): void {
    const { ordered } = node.op;
    const quiet = this.#nextEffect >= node.lastUse && (!ordered || this.#nextOrdered > node.lastUse);
    const moves = node.uses === 1 && quiet && this.#needed(node) === node.lastUse;
    if (moves) node.local = INLINE;
    const at = moves ? node.lastUse : this.#at;
    if (ordered) this.#nextOrdered = at;
    this.#operands(node.args, at);
  }

  #arms(node: Node & { kind: 'if' | 'choose' }, extent: Extent): void {
    const [a, b] = node.kind === 'choose' && node.uses > 0 ? node.outcomes : [];
    const other = this.block(node.alternative, extent, -1, b);
    this.block(node.consequent, extent, other.id, a);
    this.#at--;
    this.#operands(node.args, this.#at);
  }

  #scope(node: Node & { kind: 'scope' }, extent: Extent): void {
    const { end } = this.block(node.body, extent);
    this.#at--;
    if (node.label.kind === 'block') return;
    const starts = this.#loopStarts;
    while (starts.length > 0 && starts[starts.length - 1] < end) {
      starts.pop();
      this.#loopEnds.pop();
    }
    starts.push(this.#at);
    this.#loopEnds.push(end);
  }
}

/** Fills in `uses`, `lastUse` and `local` of the nodes of a body and the lives of its variables. */
export function analyseUses(body: Block): void {
  new UseAnalysis().block(body);
}
