/**
 * Options of V8, which must not change once WebAssembly was compiled, as Node does itself while it starts. Without them, code
 * that is not optimised yet counts what its calls through the table lead to, to have it copied there, which no region can
 * have: 8 % of the time of a program's first run.
 */
export const ENGINE_OPTIONS = ['--no-wasm-inlining', '--no-wasm-inlining-call-indirect'];
