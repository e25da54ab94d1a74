/** Where things lie in the one shared WebAssembly memory of a family of machines. Addresses and sizes in bytes. */
import { VirtsError } from '../base/errors.ts';
import { SHARES_MEMORY } from '../base/shared-memory.ts';

export const PAGE_SIZE = 4096;
/** Most that a host takes as one page. */
export const LARGE_PAGE = 2 * 1024 * 1024;
/** All that 32-bit addresses reach. */
export const MEMORY_SIZE = 2 ** 32;
/** WebAssembly pages of 64 KiB. */
export const WASM_PAGES = MEMORY_SIZE / 65536;

/** Address 0 is never handed out, so that 0 can mean "none". */
export const ARENA_START = 65536;
/** What a machine with one vCPU needs for all that is not a frame: state blocks, maps, TLBs, records. Frames follow. */
export const ARENA_SIZE = 0xc00_0000;

/**
 * Creates the memory that everything of a machine shares. Only touched pages cost host memory.
 * @throws VirtsError `no-space` where the host has no addresses left for it.
 */
export function createSharedMemory(): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: WASM_PAGES, maximum: WASM_PAGES, shared: SHARES_MEMORY });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new VirtsError(
      'no-space',
      'This host has no room for the 4 GiB of addresses that a machine takes.',
      {},
      error,
    );
  }
}
