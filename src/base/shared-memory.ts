/**
 * Whether threads can share memory on this host: a page that is not isolated from other origins cannot. It decides, here
 * and for everything, whether memories are shared, which each WebAssembly module has to say of the memory that it imports.
 * Atomic operations work on either kind; only waiting needs a shared one.
 */
export const SHARES_MEMORY = typeof SharedArrayBuffer === 'function';

/** Zeroed memory that threads share where they can. */
export const createBuffer = (bytes: number): ArrayBufferLike =>
  SHARES_MEMORY ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
