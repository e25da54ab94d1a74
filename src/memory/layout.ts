/** Where things lie in the one shared WebAssembly memory of a family of machines. Addresses and sizes in bytes. */

export const PAGE_SIZE = 4096;
/** All that 32-bit addresses reach. */
export const MEMORY_SIZE = 2 ** 32;
/** WebAssembly pages of 64 KiB. */
export const WASM_PAGES = MEMORY_SIZE / 65536;

/** Address 0 is never handed out, so that 0 can mean "none". */
export const ARENA_START = 65536;
/** What a machine with one vCPU needs for all that is not a frame: state blocks, maps, TLBs, records. Frames follow. */
export const ARENA_SIZE = 0xc00_0000;

/** Creates the shared memory. Only touched pages cost host memory. */
export function createSharedMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: WASM_PAGES, maximum: WASM_PAGES, shared: true });
}
