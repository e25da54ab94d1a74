/**
 * A mutual exclusion lock in one word of shared memory, for any number of threads.
 *
 * The word is 0 while the lock is free, else the number of the thread that holds it, plus 1; `WAITERS` is added once a
 * thread sleeps for it. So taking a free lock is one compare-and-exchange, and so is giving it back unless somebody waits.
 */
import { VirtsError } from './errors.ts';

export interface Lock {
  /**
   * Waits until the lock is free and takes it. Whoever holds it must not ask again: that throws VirtsError 'internal'.
   * Not to be called where a thread may not wait: in a browser's page.
   */
  acquire(): void;
  /** Throws VirtsError 'internal' if this thread does not hold it. */
  release(): void;
  /** The number of the thread that holds it now, or `undefined`. */
  owner(): number | undefined;
}

const WAITERS = 1 << 30;
const OWNER = WAITERS - 1;

/**
 * Looks at a lock that is held before the thread sleeps: about as long as the accesses take that it guards, where falling
 * asleep and waking up takes 50 µs and more.
 */
const LOOKS = 256;

/** Tells the processor that a loop waits, where the host offers that (ES2026); TypeScript does not know it yet. */
const pause = (Atomics as { pause?: () => void }).pause ?? (() => {});

/** Sleeps while `word[0]` is `value`, at least until it is notified; it may come back without a reason. */
export type Sleep = (word: Int32Array, value: number) => void;

/**
 * The lock in `word[0]`, which was 0 at first. `self` is this thread's number, 0 to 2^30 - 2, unlike any other's. Over
 * memory that is not shared there is but one thread, and the lock only tells a second `acquire` from a first.
 *
 * `sleep` replaces `Atomics.wait` where others must know that this thread sleeps: whoever holds the lock and then waits
 * for all threads to stop would wait for ever for one that sleeps here, unless that counts as stopped.
 */
export function createLock(word: Int32Array, self: number, sleep: Sleep = wait): Lock {
  return word.buffer instanceof ArrayBuffer ? ownLock(self) : sharedLock(word, self, sleep);
}

function wait(word: Int32Array, value: number): void {
  Atomics.wait(word, 0, value);
}

function wrongUse(what: string, self: number): VirtsError {
  return new VirtsError('internal', `Thread ${self} ${what}.`, { thread: self });
}

function sharedLock(word: Int32Array, self: number, sleep: Sleep): Lock {
  const me = self + 1;

  function contend(): void {
    if ((Atomics.load(word, 0) & OWNER) === me) throw wrongUse('asks for a lock that it holds', self);
    for (let look = 0; look < LOOKS; look++) {
      if (Atomics.load(word, 0) === 0 && Atomics.compareExchange(word, 0, 0, me) === 0) return;
      pause();
    }
    for (;;) {
      const seen = Atomics.load(word, 0);
      if (seen === 0) {
        // Others may sleep still: whoever was woken has to see to it that one more is woken after it.
        if (Atomics.compareExchange(word, 0, 0, me | WAITERS) === 0) return;
      } else if ((seen & WAITERS) !== 0 || Atomics.compareExchange(word, 0, seen, seen | WAITERS) === seen) {
        sleep(word, seen | WAITERS);
      }
    }
  }

  return {
    acquire() {
      if (Atomics.compareExchange(word, 0, 0, me) !== 0) contend();
    },
    release() {
      const seen = Atomics.compareExchange(word, 0, me, 0);
      if (seen === me) return;
      if ((seen & OWNER) !== me) throw wrongUse('gives back a lock that it does not hold', self);
      Atomics.store(word, 0, 0);
      Atomics.notify(word, 0, 1);
    },
    owner() {
      const holder = Atomics.load(word, 0) & OWNER;
      return holder === 0 ? undefined : holder - 1;
    },
  };
}

function ownLock(self: number): Lock {
  let held = false;
  return {
    acquire() {
      if (held) throw wrongUse('asks for a lock that it holds', self);
      held = true;
    },
    release() {
      if (!held) throw wrongUse('gives back a lock that it does not hold', self);
      held = false;
    },
    owner: () => (held ? self : undefined),
  };
}

/** What `work` returns, done while the lock is held. */
export function locked<T>(lock: Lock, work: () => T): T {
  lock.acquire();
  try {
    return work();
  } finally {
    lock.release();
  }
}
