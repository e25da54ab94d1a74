/** Where litmus programs and the threads that run them have things in their one memory. */

/** Bytes of guest RAM, which all vCPUs see. */
export const RAM = 0x40_0000;
/** Host address of that RAM. */
export const RAM_HOST = 0x8000_0000;
/** Host address of a word that is not 0 while an instruction runs alone. */
export const LOCK = 0x1000;
/** Bytes of host memory for what the engine keeps of a vCPU, from `ARENAS` up. */
export const ARENAS = 0x100_0000;
export const ARENA_BYTES = 0x400_0000;
export const MOST_THREADS = 4;

/** Guest addresses. A round has a line of `x` and a line of `y` of its own, and eight bytes of results for each thread. */
export const AT = { x: 0x10_0000, y: 0x18_0000, counter: 0x2f_1000, barrier: 0x2f_0000, results: 0x30_0000 } as const;
export const LINE = 64;
export const RESULTS = 0x1_0000;
/** Rounds that there is room for. */
export const MOST_ROUNDS = (AT.y - AT.x) / LINE;
