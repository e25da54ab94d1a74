/**
 * What other threads tell a vCPU of code that they are about to change: it drops its blocks of that code before it runs any
 * more. A queue in shared memory; when it is full, everything counts as changed.
 */
import { createLock, locked } from '../../base/lock.ts';

/** Words ahead of the entries: the lock, entries written and taken so far, whether more came than there was room for. */
const WORD = { lock: 0, written: 1, taken: 2, overflow: 3, entries: 4 } as const;
/** Words of an entry: page, first byte in it, end. */
const ENTRY_WORDS = 3;
const ENTRIES = 256;

export const CHANGED_CODE_BYTES = (WORD.entries + ENTRIES * ENTRY_WORDS) * 4;

export interface ChangedCode {
  /** Tells of the bytes `[from, to)` of a page. */
  post(page: number, from: number, to: number): void;
  /** Whether there is something to take. */
  any(): boolean;
  /** Takes all that was told; `all` stands for everything. */
  take(visit: (page: number, from: number, to: number) => void, all: () => void): void;
}

/** The queue at an address, for the thread with a number. */
export function createChangedCode(buffer: ArrayBufferLike, address: number, thread: number): ChangedCode {
  const words = new Int32Array(buffer, address, CHANGED_CODE_BYTES / 4);
  const lock = createLock(words.subarray(WORD.lock, WORD.lock + 1), thread);
  const entryOf = (number: number) => WORD.entries + (number % ENTRIES) * ENTRY_WORDS;
  const waiting = () => (words[WORD.written] - words[WORD.taken] + 2 * ENTRIES) % (2 * ENTRIES);
  return {
    post(page, from, to) {
      locked(lock, () => {
        if (waiting() === ENTRIES) words[WORD.overflow] = 1;
        else {
          words.set([page, from, to], entryOf(words[WORD.written]));
          words[WORD.written] = (words[WORD.written] + 1) % (2 * ENTRIES);
        }
      });
    },
    any: () => Atomics.load(words, WORD.written) !== words[WORD.taken],
    take(visit, all) {
      locked(lock, () => {
        for (; waiting() !== 0; words[WORD.taken] = (words[WORD.taken] + 1) % (2 * ENTRIES)) {
          const at = entryOf(words[WORD.taken]);
          visit(words[at], words[at + 1], words[at + 2]);
        }
        if (words[WORD.overflow] !== 0) all();
        words[WORD.overflow] = 0;
      });
    },
  };
}
