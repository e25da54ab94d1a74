/** Encodes a function body: counts uses, gives locals to values used more than once, writes the instructions. */
import type { Builder } from '../builder.ts';
import type { Block, Label, Node, Signature, Variable } from '../node.ts';
import type { Type } from '../types.ts';
import { ByteWriter } from './bytes.ts';

/** Resolves what a body refers to outside itself. */
export interface FunctionContext {
  functionIndex(name: string): number;
  typeIndex(signature: Signature): number;
}

export const TYPE_CODES: Record<Type, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

const VOID = 0x40;

function operands(node: Node): readonly Node[] {
  return 'args' in node ? node.args : [];
}

function hasEffect(node: Node): boolean {
  return node.kind !== 'pure' && node.kind !== 'select' && node.kind !== 'shuffle' && node.kind !== 'get';
}

/** Counts uses from the end of the body backwards, so that values used only by dead values count as dead. */
function countUses(block: Block): void {
  for (let i = block.nodes.length - 1; i >= 0; i--) {
    const node = block.nodes[i] as Node;
    if (!hasEffect(node) && node.uses === 0) continue;
    if (node.kind === 'if') {
      countUses(node.alternative);
      countUses(node.consequent);
    } else if (node.kind === 'choose') {
      if (node.uses > 0) for (const outcome of node.outcomes) outcome.uses++;
      countUses(node.alternative);
      countUses(node.consequent);
    } else if (node.kind === 'scope' || node.kind === 'hole') {
      countUses(node.body);
    }
    for (const arg of operands(node)) arg.uses++;
  }
}

class FunctionEncoder {
  readonly code = new ByteWriter();
  readonly locals: Type[] = [];
  readonly #labels: (Label | undefined)[] = [];
  readonly #context: FunctionContext;
  readonly #params: number;

  constructor(params: number, context: FunctionContext) {
    this.#params = params;
    this.#context = context;
  }

  #local(type: Type): number {
    this.locals.push(type);
    return this.#params + this.locals.length - 1;
  }

  #variable(variable: Variable): number {
    if (variable.index < 0) variable.index = this.#local(variable.type);
    return variable.index;
  }

  block(block: Block): void {
    for (const node of block.nodes) this.#statement(node);
  }

  /** Writes a node where it stands: effects always; values that are kept in a local. */
  #statement(node: Node): void {
    if (!hasEffect(node)) {
      // A pure value with one use is written at that use; reads of variables must happen here.
      if (node.uses === 0 || (node.kind !== 'get' && node.uses === 1)) return;
      this.#compute(node);
      this.#keep(node);
      return;
    }
    this.#compute(node);
    if (node.type === undefined) return;
    if (node.uses > 0) this.#keep(node);
    else if (node.kind !== 'choose') this.code.byte(0x1a);
  }

  #keep(node: Node): void {
    node.local = this.#local(node.type as Type);
    this.code.byte(0x21);
    this.code.u32(node.local);
  }

  /** Leaves the node's value on the stack. */
  #value(node: Node): void {
    if (node.local >= 0) {
      this.code.byte(0x20);
      this.code.u32(node.local);
    } else {
      this.#compute(node);
    }
  }

  #values(nodes: readonly Node[]): void {
    for (const node of nodes) this.#value(node);
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
        code.bytes([0x1c, 1, TYPE_CODES[node.type as Type]]);
        break;
      case 'shuffle':
        this.#values(node.args);
        code.bytes([0xfd, 13, ...node.lanes]);
        break;
      case 'get':
        code.byte(0x20);
        code.u32(this.#variable(node.variable));
        break;
      case 'set':
        this.#values(node.args);
        code.byte(0x21);
        code.u32(this.#variable(node.variable));
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
        code.bytes([0x04, VOID]);
        this.#labels.push(undefined);
        this.block(node.consequent);
        if (node.alternative.nodes.length > 0) {
          code.byte(0x05);
          this.block(node.alternative);
        }
        this.#labels.pop();
        code.byte(0x0b);
        break;
      case 'choose': {
        const wanted = node.uses > 0;
        this.#values(node.args);
        code.bytes([0x04, wanted ? TYPE_CODES[node.type as Type] : VOID]);
        this.#labels.push(undefined);
        this.block(node.consequent);
        if (wanted) this.#value(node.outcomes[0]);
        code.byte(0x05);
        this.block(node.alternative);
        if (wanted) this.#value(node.outcomes[1]);
        this.#labels.pop();
        code.byte(0x0b);
        break;
      }
      case 'hole':
        this.block(node.body);
        break;
      case 'scope':
        code.bytes([node.label.kind === 'block' ? 0x02 : 0x03, VOID]);
        this.#labels.push(node.label);
        this.block(node.body);
        this.#labels.pop();
        code.byte(0x0b);
        break;
      case 'branch': {
        this.#values(node.args);
        const at = this.#labels.lastIndexOf(node.label);
        if (at < 0) throw new TypeError('branch to a label that is not around it');
        code.byte(node.args.length === 0 ? 0x0c : 0x0d);
        code.u32(this.#labels.length - 1 - at);
        break;
      }
      case 'return':
        this.#values(node.args);
        code.byte(0x0f);
        break;
      case 'unreachable':
        code.byte(0x00);
        break;
    }
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

/** The code-section entry of one function: locals and instructions, without the leading size. */
export function encodeFunction(builder: Builder, context: FunctionContext): Uint8Array {
  countUses(builder.body);
  const encoder = new FunctionEncoder(builder.params.length, context);
  encoder.block(builder.body);
  // A body that returns on every path leaves the end unreachable; say so, for the validator's sake.
  if (builder.result !== undefined) encoder.code.byte(0x00);
  encoder.code.byte(0x0b);
  const out = new ByteWriter();
  const runs: { type: Type; count: number }[] = [];
  for (const type of encoder.locals) {
    const last = runs[runs.length - 1];
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  out.u32(runs.length);
  for (const run of runs) {
    out.u32(run.count);
    out.byte(TYPE_CODES[run.type]);
  }
  out.bytes(encoder.code.done());
  return out.done();
}
