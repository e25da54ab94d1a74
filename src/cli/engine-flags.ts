/**
 * Options of V8 for the whole process; to be imported before anything that compiles WebAssembly, for code that was compiled
 * under other options must not meet these.
 *
 * Code before it is optimised would count what its calls through the table lead to, to have it copied there: but every
 * function has a module of its own, and none of another can be copied. It took 8 % of the time of a program's first run.
 */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--no-wasm-inlining');
setFlagsFromString('--no-wasm-inlining-call-indirect');
