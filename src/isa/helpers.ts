/**
 * Functions that instruction meanings call: large or rare things that the interpreter and the translator share. Those
 * with a body here are IR routines and run in WebAssembly; the others are given by the engine (`cpu/`). All take the
 * address of the vCPU's state block first.
 */
import type { Builder } from '../ir/builder.ts';
import type { Signature, Value } from '../ir/node.ts';
import type { Type } from '../ir/types.ts';

export interface Helper {
  readonly name: string;
  readonly signature: Signature;
  /** It may raise an exception: `faultVector` is then set when it returns, and nothing has been committed. */
  readonly faults: boolean;
  /** An IR routine; absent where the engine provides the function. `args[0]` is the address of the state block. */
  readonly body?: (b: Builder, ...args: Value[]) => void;
}

/** Declares a helper that the engine provides. `params` are those after the state block. */
export function helper(name: string, params: readonly Type[], result?: Type, faults = false): Helper {
  return { name, signature: { params: ['i32', ...params], result }, faults };
}

/** Declares a helper written in the IR; every path of a `body` with a result must end in `b.return(value)`. */
export function routine(
  name: string,
  params: readonly Type[],
  result: Type | undefined,
  body: (b: Builder, ...args: Value[]) => void,
  faults = false,
): Helper {
  return { name, signature: { params: ['i32', ...params], result }, faults, body };
}

/** Helpers that the builder itself calls; the engine provides them. */
export const coreHelpers: readonly Helper[] = [
  /** Linear address of `size` bytes at an offset in segment `number`; `size` has bit 8 set for a write. */
  helper('segmentCheck', ['i32', 'i64', 'i32'], 'i64', true),
  /** TF, IF, RF, VM or AC changed. (EFLAGS before) */
  helper('flagsChanged', ['i32']),
];
