/** Makes the modules of regions, in the thread that compiles them. */
import { setFlagsFromString } from 'node:v8';

/**
 * Options of V8 for a process that runs machines. They must not change once WebAssembly was compiled, as Node does itself while it
 * starts. Code that V8's baseline compiler makes counts what its calls through the table lead to otherwise, to have it copied there,
 * which no region can have; and its optimising compiler **crashes** where it would copy and nothing was counted.
 */
export const NO_INLINING = ['--no-wasm-inlining', '--no-wasm-inlining-call-indirect'] as const;

/**
 * V8 compiles a function when it is first called, which would be in the thread of the machine: here it is compiled at once. Where V8
 * can do without, it is not compiled by the baseline compiler first, whose code is no faster than the interpreter.
 */
const AT_ONCE = '--no-wasm-lazy-compilation';
const OPTIMISED = '--no-liftoff';
const FLAGS = NO_INLINING.every((option) => process.execArgv.includes(option)) ? [AT_ONCE, OPTIMISED] : [AT_ONCE];

const opposite = (flag: string): string => flag.replace('--no-', '--');

/** The flags are the whole process's: what another thread makes meanwhile is compiled so, too. */
export function createRegionModule(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  for (const flag of FLAGS) setFlagsFromString(flag);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    for (const flag of FLAGS) setFlagsFromString(opposite(flag));
  }
}
