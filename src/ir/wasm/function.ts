/** Encodes a function body: gives locals to values that need one and writes the instructions. */
import type { Builder } from '../builder.ts';
import {
  type Block,
  type Hint,
  INLINE,
  type Label,
  NOWHERE,
  type Node,
  type Signature,
  type Variable,
} from '../node.ts';
import type { Type } from '../types.ts';
import { ByteWriter } from './bytes.ts';
import { Slots } from './slots.ts';
import { analyseUses, hasEffect } from './uses.ts';

/** Resolves what a body refers to outside itself. */
export interface FunctionContext {
  functionIndex(name: string): number;
  typeIndex(signature: Signature): number;
}

export const TYPE_CODES: Record<Type, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

const VOID = 0x40;

/** The instructions of the function at hand: one buffer for all, as functions are encoded one after the other. */
const CODE = new ByteWriter(4096);

/** A branch that mostly goes one way: offset of its instruction from the start of the function's body. */
export interface BranchHint {
  readonly offset: number;
  readonly likely: boolean;
}

class FunctionEncoder {
  readonly code = CODE;
  readonly slots: Slots;
  readonly #context: FunctionContext;
  /** Labels around what is written. */
  #depth = 0;
  /** The local and the place of a `local.set` that ends at `#setEnd`. */
  #setLocal = NOWHERE;
  #setAt = 0;
  #setEnd = -1;
  readonly hints: BranchHint[] = [];
  /** Arms that are seldom taken around what is written: a hint says nothing new there. */
  #seldom = 0;

  constructor(params: readonly Type[], context: FunctionContext) {
    this.code.truncate(0);
    this.slots = new Slots(params);
    this.#context = context;
  }

  block(block: Block): void {
    for (const node of block.nodes) this.#statement(node);
  }

  /** Writes a node where it stands, unless it is written at its use. */
  #statement(node: Node): void {
    if (node.local === INLINE) return;
    if (node.uses === 0) {
      if (!hasEffect(node)) return;
      this.#compute(node);
      if (node.type !== undefined && node.kind !== 'choose') this.code.byte(0x1a);
      return;
    }
    this.#compute(node);
    node.local = this.slots.take(node.type as Type, this.code.length);
    this.#set(node.local);
  }

  #set(local: number): void {
    const { code } = this;
    this.#setLocal = local;
    this.#setAt = code.length;
    code.byte(0x21);
    code.u32(local);
    this.#setEnd = code.length;
  }

  /** Reads a local; `last`: it is free afterwards. */
  #get(local: number, last: boolean): void {
    const { code } = this;
    const free = last && this.slots.release(local);
    if (this.#setEnd === code.length && this.#setLocal === local) {
      // What was just set is still at hand.
      if (free) code.truncate(this.#setAt);
      else code.patch(this.#setAt, 0x22);
      this.#setEnd = -1;
    } else {
      code.byte(0x20);
      code.u32(local);
    }
  }

  #getVariable(variable: Variable): void {
    const { life } = variable;
    life.left--;
    if (variable.index < 0) variable.index = this.slots.add(variable.type);
    this.#get(variable.index, life.scoped && life.left === 0);
  }

  #setVariable(variable: Variable): void {
    const { life, type } = variable;
    life.left--;
    if (variable.index < 0)
      variable.index = life.scoped ? this.slots.take(type, this.code.length) : this.slots.add(type);
    this.#set(variable.index);
    if (life.scoped && life.left === 0) this.slots.release(variable.index);
  }

  /** Leaves the node's value on the stack. */
  #value(node: Node): void {
    if (node.local >= 0) {
      node.uses--;
      this.#get(node.local, node.uses === 0);
    } else {
      this.#compute(node);
    }
  }

  #values(nodes: readonly Node[]): void {
    for (let i = 0; i < nodes.length; i++) this.#value(nodes[i]);
  }

  #memory(code: readonly number[], align: number, offset: number): void {
    this.code.bytes(code);
    this.code.u32(align);
    this.code.u32(offset);
  }

  #compute(node: Node): void {
    const code = this.code;
    switch (node.kind) {
      case 'const':
        this.#constant(node.type as Type, node.value);
        break;
      case 'pure':
        this.#values(node.args);
        code.bytes(node.op.code);
        if (node.op.lane) code.byte(node.lane);
        break;
      case 'select':
        this.#values(node.args);
        code.byte(0x1c);
        code.byte(1);
        code.byte(TYPE_CODES[node.type as Type]);
        break;
      case 'shuffle':
        this.#values(node.args);
        code.bytes([0xfd, 13, ...node.lanes]);
        break;
      case 'get':
        this.#getVariable(node.variable);
        break;
      case 'set':
        this.#values(node.args);
        this.#setVariable(node.variable);
        break;
      case 'load':
      case 'store':
        this.#values(node.args);
        // Guest addresses are arbitrary: claim no alignment.
        this.#memory(node.op.code, 0, node.offset);
        break;
      case 'atomic':
        this.#values(node.args);
        this.#memory(node.op.code, node.op.align, node.offset);
        break;
      case 'fence':
        code.bytes([0xfe, 3, 0]);
        break;
      case 'copy':
        this.#values(node.args);
        code.bytes([0xfc, 10, 0, 0]);
        break;
      case 'fill':
        this.#values(node.args);
        code.bytes([0xfc, 11, 0]);
        break;
      default:
        this.#control(node);
    }
  }

  #control(node: Node): void {
    const code = this.code;
    switch (node.kind) {
      case 'call':
        this.#values(node.args);
        code.byte(0x10);
        code.u32(this.#context.functionIndex(node.callee));
        break;
      case 'callTable':
      case 'jumpTable':
        this.#values(node.args);
        code.byte(node.kind === 'callTable' ? 0x11 : 0x13);
        code.u32(this.#context.typeIndex(node.signature));
        code.byte(0);
        break;
      case 'if':
        this.#values(node.args);
        this.#hint(node.hint);
        code.byte(0x04);
        code.byte(VOID);
        this.#depth++;
        this.#arm(node.consequent, node.hint === 'unlikely');
        if (node.alternative.nodes.length > 0) {
          code.byte(0x05);
          this.#arm(node.alternative, node.hint === 'likely');
        }
        this.#depth--;
        code.byte(0x0b);
        break;
      case 'choose': {
        const wanted = node.uses > 0;
        this.#values(node.args);
        this.#hint(node.hint);
        code.byte(0x04);
        code.byte(wanted ? TYPE_CODES[node.type as Type] : VOID);
        this.#depth++;
        this.#arm(node.consequent, node.hint === 'unlikely');
        if (wanted) this.#value(node.outcomes[0]);
        code.byte(0x05);
        this.#arm(node.alternative, node.hint === 'likely');
        if (wanted) this.#value(node.outcomes[1]);
        this.#depth--;
        code.byte(0x0b);
        break;
      }
      case 'hole':
        this.block(node.body);
        break;
      case 'scope':
        this.#scope(node.label, node.body);
        break;
      case 'branch':
        this.#values(node.args);
        code.byte(node.args.length === 0 ? 0x0c : 0x0d);
        this.#label(node.label);
        break;
      case 'switch':
        this.#values(node.args);
        code.byte(0x0e);
        code.u32(node.labels.length);
        for (const label of node.labels) this.#label(label);
        this.#label(node.label);
        break;
      case 'return':
        this.#values(node.args);
        code.byte(0x0f);
        break;
      case 'unreachable':
        code.byte(0x00);
        break;
    }
  }

  #label({ depth }: Label): void {
    if (depth < 0) throw new TypeError('branch to a label that is not around it');
    this.code.u32(this.#depth - 1 - depth);
  }

  #hint(hint: Hint | undefined): void {
    if (hint === undefined || this.#seldom > 0) return;
    this.hints.push({ offset: this.code.length, likely: hint === 'likely' });
  }

  #arm(block: Block, seldom: boolean): void {
    if (seldom) this.#seldom++;
    this.block(block);
    if (seldom) this.#seldom--;
  }

  #scope(label: Label, body: Block): void {
    const { code } = this;
    const loop = label.kind === 'loop';
    code.byte(loop ? 0x03 : 0x02);
    code.byte(VOID);
    if (loop) this.slots.enterLoop(code.length);
    const outer = label.depth;
    label.depth = this.#depth++;
    this.block(body);
    label.depth = outer;
    this.#depth--;
    if (loop) this.slots.leaveLoop();
    code.byte(0x0b);
  }

  #constant(type: Type, value: number | bigint | Uint8Array): void {
    const code = this.code;
    switch (type) {
      case 'i32':
        code.byte(0x41);
        code.s32(value as number);
        break;
      case 'i64':
        code.byte(0x42);
        code.s64(value as bigint);
        break;
      case 'f32':
        code.byte(0x43);
        code.f32(value as number);
        break;
      case 'f64':
        code.byte(0x44);
        code.f64(value as number);
        break;
      case 'v128':
        code.bytes([0xfd, 12]);
        code.bytes(value as Uint8Array);
        break;
    }
  }
}

export interface EncodedFunction {
  /** Size of parameters and locals where each has a place on the stack, which is what unoptimised code makes of them. */
  readonly frameBytes: number;
  readonly hints: readonly BranchHint[];
}

/** Writes the code-section entry of one function. */
export function encodeFunction(out: ByteWriter, builder: Builder, context: FunctionContext): EncodedFunction {
  analyseUses(builder.body);
  const params = builder.params.map((p) => p.type);
  const encoder = new FunctionEncoder(params, context);
  encoder.block(builder.body);
  const { code } = encoder;
  // A body that returns on every path leaves the end unreachable; say so, for the validator's sake.
  if (builder.result !== undefined) code.byte(0x00);
  code.byte(0x0b);
  const { types } = encoder.slots;
  const locals = new ByteWriter(64);
  writeLocals(locals, types.slice(params.length));
  out.u32(locals.length + code.length);
  out.bytes(locals.done());
  out.bytes(code.done());
  const frameBytes = types.reduce((sum, type) => sum + (type === 'v128' ? 16 : 8), 0);
  const hints = encoder.hints.map(({ offset, likely }) => ({ offset: offset + locals.length, likely }));
  return { frameBytes, hints };
}

function writeLocals(out: ByteWriter, types: readonly Type[]): void {
  const runs: { type: Type; count: number }[] = [];
  for (const type of types) {
    const last = runs[runs.length - 1];
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  out.u32(runs.length);
  for (const run of runs) {
    out.u32(run.count);
    out.byte(TYPE_CODES[run.type]);
  }
}
