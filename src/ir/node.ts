/**
 * IR nodes. A function body is a tree of blocks; a block is the list of its nodes in evaluation order. Pure nodes may be
 * moved to their only use; all others happen where they stand.
 */
import type { PureOp } from './ops.ts';
import type { Type } from './types.ts';

/** A mutable variable of a function: a WebAssembly local, for as long as it is needed. */
export interface Variable {
  readonly type: Type;
  /** Set while the function is encoded; parameters have theirs from the start. */
  index: number;
  /** For the analysis in `wasm/uses.ts`; `read` is known once the body is built. */
  readonly life: Life;
}

/** Uses of a variable. Positions number a body's nodes in the order of the text. */
export interface Life {
  /** Whether it is read anywhere. Nothing is written to one that is not. */
  read: boolean;
  /** Position of the last read or write. */
  last: number;
  /** Position of the first write behind where the analysis, which goes backwards, has come. */
  nextSet: number;
  /** Reads and writes that are yet to be encoded. */
  left: number;
  /** The first use, where that is a write: number of the block that it is in; else -1. */
  setIn: number;
  /** Whether every read comes after a write that it has in a block around it: nothing is carried around a loop. */
  scoped: boolean;
}

/** Somewhere `branch` can go: the end of a `block`, or the start of a `loop`. */
export interface Label {
  readonly kind: 'block' | 'loop';
  /** Number of scopes around it while its own is encoded; else -1. */
  depth: number;
}

/** Whether a condition mostly holds: engines keep registers free for the path that is taken. */
export type Hint = 'likely' | 'unlikely';

export interface Block {
  readonly nodes: Node[];
}

interface Base {
  /** Type of the value; `undefined` for nodes made for their effect alone. */
  readonly type: Type | undefined;
  readonly args: readonly Node[];
  /** Uses as an operand that are yet to be encoded. */
  uses: number;
  /** Position of the last use. */
  lastUse: number;
  /** Local that holds the value, `NOWHERE` or `INLINE`. */
  local: number;
}

/** A value without a local. */
export const NOWHERE = -1;
/** A value that is computed where it is used. */
export const INLINE = -2;
/** Positions before and behind all nodes. */
export const BEFORE = -0x40000000;
export const BEHIND = 0x3fffffff;

export function createVariable(type: Type, index = NOWHERE): Variable {
  return { type, index, life: { read: false, last: BEFORE, nextSet: BEHIND, left: 0, setIn: -1, scoped: false } };
}

export type Node = Base &
  (
    | { readonly kind: 'const'; readonly value: number | bigint | Uint8Array }
    | { readonly kind: 'pure'; readonly op: PureOp; readonly args: readonly Node[]; readonly lane: number }
    | { readonly kind: 'select'; readonly args: readonly [Node, Node, Node] }
    | { readonly kind: 'shuffle'; readonly args: readonly [Node, Node]; readonly lanes: readonly number[] }
    | { readonly kind: 'get'; readonly variable: Variable }
    | { readonly kind: 'set'; readonly variable: Variable; readonly args: readonly [Node] }
    | { readonly kind: 'load'; readonly op: MemoryOp; readonly offset: number; readonly args: readonly [Node] }
    | { readonly kind: 'store'; readonly op: MemoryOp; readonly offset: number; readonly args: readonly [Node, Node] }
    | { readonly kind: 'atomic'; readonly op: MemoryOp; readonly offset: number }
    | { readonly kind: 'fence' }
    | { readonly kind: 'copy'; readonly args: readonly [Node, Node, Node] }
    | { readonly kind: 'fill'; readonly args: readonly [Node, Node, Node] }
    | { readonly kind: 'call'; readonly callee: string }
    | { readonly kind: 'callTable'; readonly signature: Signature }
    | { readonly kind: 'jumpTable'; readonly signature: Signature }
    | {
        readonly kind: 'if';
        readonly args: readonly [Node];
        readonly hint: Hint | undefined;
        readonly consequent: Block;
        readonly alternative: Block;
      }
    | {
        readonly kind: 'choose';
        readonly args: readonly [Node];
        readonly hint: Hint | undefined;
        readonly consequent: Block;
        readonly alternative: Block;
        /** What the arms leave: evaluated at the end of each. */
        readonly outcomes: readonly [Node, Node];
      }
    | { readonly kind: 'scope'; readonly label: Label; readonly body: Block }
    | { readonly kind: 'hole'; readonly body: Block }
    | { readonly kind: 'branch'; readonly label: Label }
    | {
        readonly kind: 'switch';
        readonly args: readonly [Node];
        readonly labels: readonly Label[];
        readonly label: Label;
      }
    | { readonly kind: 'return' }
    | { readonly kind: 'unreachable' }
  );

/** A value: a node that has a type. */
export type Value = Node & { readonly type: Type };

export interface Signature {
  readonly params: readonly Type[];
  readonly result: Type | undefined;
}

/** A memory instruction: its opcode, the type it moves, its natural alignment as a power of two. */
export interface MemoryOp {
  readonly name: string;
  readonly type: Type;
  readonly code: readonly number[];
  readonly align: number;
  /** What a load gives is below 2 to the power of this. */
  readonly width: number;
  /** A load that other threads may see the order of: no such load is moved across another. */
  readonly ordered: boolean;
}

const NO_ARGS: readonly Node[] = [];

// Regions are made of thousands of nodes while a guest waits. All nodes have one of two layouts, which keeps the code that
// reads them fast: the fields of a layout that a kind does without are undefined and not in its type.

type SimpleKind =
  | 'const'
  | 'pure'
  | 'select'
  | 'get'
  | 'set'
  | 'load'
  | 'store'
  | 'atomic'
  | 'fence'
  | 'return'
  | 'unreachable';

/** `immediate` is a lane index or an offset. */
export function simpleNode<T extends Type | undefined>(
  kind: SimpleKind,
  type: T,
  args: readonly Node[] = NO_ARGS,
  op?: PureOp | MemoryOp,
  immediate = 0,
  variable?: Variable,
  value?: number | bigint | Uint8Array,
): Node & { readonly type: T } {
  const node = {
    kind,
    type,
    args,
    op,
    lane: immediate,
    offset: immediate,
    variable,
    value,
    uses: 0,
    lastUse: BEFORE,
    local: NOWHERE,
  };
  return node as unknown as Node & { readonly type: T };
}

interface Parts {
  readonly label?: Label;
  readonly labels?: readonly Label[];
  readonly callee?: string;
  readonly signature?: Signature;
  readonly lanes?: readonly number[];
  readonly body?: Block;
  readonly hint?: Hint | undefined;
  readonly consequent?: Block;
  readonly alternative?: Block;
  readonly outcomes?: readonly [Node, Node];
}

export function compoundNode<T extends Type | undefined>(
  kind: Exclude<Node['kind'], SimpleKind>,
  type: T,
  args: readonly Node[],
  parts: Parts,
): Node & { readonly type: T } {
  const node = {
    kind,
    type,
    args,
    label: parts.label,
    labels: parts.labels,
    callee: parts.callee,
    signature: parts.signature,
    lanes: parts.lanes,
    body: parts.body,
    hint: parts.hint,
    consequent: parts.consequent,
    alternative: parts.alternative,
    outcomes: parts.outcomes,
    uses: 0,
    lastUse: BEFORE,
    local: NOWHERE,
  };
  return node as unknown as Node & { readonly type: T };
}
