/**
 * How much of the host's stack guest calls may take. Hosts do not tell how large a thread's stack is, so a function of known
 * frame is let call itself until it ends: once for a vCPU, before there is a guest to see the error.
 */
import type { Value } from '../../ir/node.ts';
import { IMPORTS, ModuleBuilder } from '../../ir/wasm/module.ts';

/** Locals of the function. With so many, what a frame takes beside them hardly counts. */
const LOCALS = 60;

/** Bytes for whatever a guest call may end in at its deepest: devices, and the translator, which works through nested blocks. */
const RESERVED = 256 * 1024;

/**
 * Share of the rest for frames of regions. V8 may merge a region into its caller, whose frame then is larger than what the
 * caller took for itself.
 */
const SHARE = 0.5;

/** Bytes of stack below the caller, in the unit of `ModuleBuilder.frameBytes`. Writes a u32 at `scratch`. */
export function measureStack(memory: WebAssembly.Memory, scratch: number): number {
  const module = new ModuleBuilder();
  const signature = { params: ['i32', 'i64'], result: 'i64' } as const;
  module.define(
    'descend',
    signature,
    (b) => {
      const [at, value] = [b.param(0), b.param(1)];
      b.storeHost('i32.store', at, b.add(b.loadHost('i32.load', at), b.i32(1)));
      // They are needed behind the call, so that they have a place on the stack.
      const locals = Array.from({ length: LOCALS }, (_, i) => b.variable('i64', b.add(value, b.i64(i))));
      const below = b.call('descend', at, b.add(value, b.i64(1)));
      b.return(locals.reduce<Value>((sum, local) => b.add(sum, b.get(local)), below));
    },
    { exported: true },
  );
  const bytes = module.encode();
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { [IMPORTS]: { memory, table } });
  const descend = instance.exports.descend as (at: number, value: bigint) => bigint;
  const count = new Uint32Array(memory.buffer, scratch, 1);
  count[0] = 0;
  try {
    descend(scratch, 0n);
  } catch {
    // Nothing else in it can fail, and engines differ in what they throw.
  }
  return count[0] * module.frameBytes('descend');
}

/** Bytes of stack that guest calls may take. */
export const stackBudget = (memory: WebAssembly.Memory, scratch: number): number =>
  Math.max(0, Math.floor(SHARE * (measureStack(memory, scratch) - RESERVED)));
