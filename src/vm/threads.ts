/**
 * What the threads of a machine, one for each vCPU, agree upon in shared memory: who may run guest code, who has it stopped,
 * and how the machine ended.
 *
 * There are two ways to stop the others. `exclusively` waits until none of them executes guest code: it may be in the middle
 * of an instruction, waiting in a function that the code called. `hold` waits until all stand between two instructions,
 * outside of `enter` and `leave`. Waiting threads look at a word for a while before they sleep: to wake a thread costs more
 * than most of these waits take.
 */
import { createLock, type Lock } from '../base/lock.ts';
import type { Arena } from '../memory/arena.ts';
import type { Ends } from './machine-end.ts';

/** Words. */
const WORD = {
  /** The thread that is exclusive, plus 1, or 0. */
  exclusive: 0,
  /** The thread that holds the others, plus 1, or 0. */
  hold: 1,
  /** How the machine ended, or 0. */
  end: 2,
  /** Counts what replaces the state of all vCPUs: boots and restores. */
  replaced: 3,
  /** The machine's lock. */
  lock: 4,
  /** Where each thread is: `WHERE`. */
  where: 8,
} as const;

/** `inside`: it executes guest code. `parked`: within an instruction, but it touches nothing. `outside`: between instructions. */
const WHERE = { outside: 0, inside: 1, parked: 2 } as const;
type Where = (typeof WHERE)[keyof typeof WHERE];

/** Looks at a word before the thread sleeps. */
const LOOKS = 4000;
const pause = (Atomics as { pause?: () => void }).pause ?? (() => {});

export interface ThreadsOptions {
  readonly arena: Arena;
  /** Threads in all. */
  readonly count: number;
  /** Makes the guest code of another thread come to its next poll. */
  poll(thread: number): void;
  /** Wakes another thread, should it sleep outside. */
  wake(thread: number): void;
  /** Nanoseconds, for figures. */
  now(): number;
}

export interface Threads extends Ends {
  /** As `VcpuEnvironment.pass`. */
  pass(): boolean;
  /** As `MapEvents.exclusively`. */
  exclusively(work: () => void): void;
  /** As `VcpuEnvironment.exclusively`: `work` may use devices too. */
  alone(work: () => void): void;
  /** As `VcpuEnvironment.aside`. */
  aside<T>(work: () => T): T;
  /** As `VcpuEnvironment.within`. */
  within<T>(work: () => T): T;
  /** Begins to run guest code, or to work on memory as it does; `false` where the machine is to stand still. */
  enter(): boolean;
  leave(): void;
  /** The machine's, which guards devices and timers. Who holds it may ask for `exclusively`, not the other way. */
  readonly lock: Lock;
  /** Runs `work` while all others stand between two instructions. Not to be called between `enter` and `leave`. */
  whileHeld<T>(work: () => T): T;
  /** The state of all vCPUs was replaced: each thread is to look at its own anew. */
  stateReplaced(): void;
  /** Whether that happened since the last call. */
  wasReplaced(): boolean;
  /** Figures of this thread. */
  stats(): Record<string, number>;
}

export function createThreads({ arena, count, poll, wake, now }: ThreadsOptions): Threads {
  const words = new Int32Array(arena.buffer, arena.allocate((WORD.where + count) * 4), WORD.where + count);
  const lock = createLock(words.subarray(WORD.lock, WORD.lock + 1), arena.thread, sleepForLock);
  const self = arena.thread;
  const me = self + 1;
  const others = Array.from({ length: count }, (_, thread) => thread).filter((thread) => thread !== self);
  let replaced = 0;
  /** `alone` has the lock for what it runs. */
  let isAlone = false;
  /** How often this thread was exclusive, and how long it waited for that in nanoseconds. */
  let sections = 0;
  let waited = 0;

  /** Waits until a word is no longer `value`. */
  function wait(word: number, value: number): void {
    for (let look = 0; look < LOOKS; look++) {
      if (Atomics.load(words, word) !== value) return;
      pause();
    }
    Atomics.wait(words, word, value);
  }

  function move(to: Where): void {
    Atomics.store(words, WORD.where + self, to);
    if (to !== WHERE.inside) Atomics.notify(words, WORD.where + self);
  }

  /** Comes in once nobody else is exclusive; waits as one who is `meanwhile`. */
  function comeIn(meanwhile: Where): void {
    for (;;) {
      move(WHERE.inside);
      const owner = Atomics.load(words, WORD.exclusive);
      if (owner === 0 || owner === me) return;
      move(meanwhile);
      wait(WORD.exclusive, owner);
    }
  }

  const whereIs = (thread: number) => Atomics.load(words, WORD.where + thread);

  /** Waits until another thread is nowhere that `isBad` names. */
  function waitFor(thread: number, isBad: (where: number) => boolean): void {
    for (;;) {
      const at = whereIs(thread);
      if (!isBad(at)) return;
      poll(thread);
      wait(WORD.where + thread, at);
    }
  }

  /** Runs `work` with this thread's number in a word that one thread at a time has, once no other is where `isBad` says. */
  function claiming<T>(word: number, isBad: (where: number) => boolean, work: () => T): T {
    for (;;) {
      const owner = Atomics.compareExchange(words, word, 0, me);
      if (owner === 0) break;
      wait(word, owner);
    }
    // All are told before the first is waited for.
    for (const thread of others) if (isBad(whereIs(thread))) poll(thread);
    for (const thread of others) waitFor(thread, isBad);
    try {
      return work();
    } finally {
      Atomics.store(words, word, 0);
      Atomics.notify(words, word);
    }
  }

  /** Runs `work`, which may wait: one who is inside is parked meanwhile. */
  function aside<T>(work: () => T): T {
    if (words[WORD.where + self] !== WHERE.inside) return work();
    move(WHERE.parked);
    try {
      return work();
    } finally {
      comeIn(WHERE.parked);
    }
  }

  /** The inverse: one who is parked is inside meanwhile. */
  function within<T>(work: () => T): T {
    if (words[WORD.where + self] !== WHERE.parked) return work();
    comeIn(WHERE.parked);
    try {
      return work();
    } finally {
      move(WHERE.parked);
    }
  }

  function exclusively(work: () => void): void {
    if (words[WORD.exclusive] === me) work();
    else {
      const asked = now();
      aside(() =>
        claiming(
          WORD.exclusive,
          (at) => at === WHERE.inside,
          () => {
            sections++;
            waited += now() - asked;
            work();
          },
        ),
      );
    }
  }

  const mayRun = () => {
    const holder = Atomics.load(words, WORD.hold);
    return (holder === 0 || holder === me) && Atomics.load(words, WORD.end) === 0;
  };

  /** One who waits for the lock must not be waited for by its holder. */
  function sleepForLock(word: Int32Array, value: number): void {
    aside(() => void Atomics.wait(word, 0, value));
  }

  return {
    enter() {
      comeIn(WHERE.outside);
      if (mayRun()) return true;
      move(WHERE.outside);
      return false;
    },
    leave: () => move(WHERE.outside),
    pass() {
      const owner = Atomics.load(words, WORD.exclusive);
      if (owner !== 0 && owner !== me) comeIn(WHERE.parked);
      return mayRun();
    },
    exclusively,
    aside,
    within,
    alone(work) {
      lock.acquire();
      try {
        isAlone = true;
        exclusively(work);
      } finally {
        isAlone = false;
        lock.release();
      }
    },
    lock: {
      ...lock,
      acquire() {
        if (!isAlone) lock.acquire();
      },
      release() {
        if (!isAlone) lock.release();
      },
    },
    whileHeld(work) {
      try {
        return claiming(WORD.hold, (at) => at !== WHERE.outside, work);
      } finally {
        for (const thread of others) wake(thread);
      }
    },
    finish(end) {
      Atomics.compareExchange(words, WORD.end, 0, end);
      for (const thread of others) {
        poll(thread);
        wake(thread);
      }
    },
    ended: () => Atomics.load(words, WORD.end),
    revive() {
      Atomics.store(words, WORD.end, 0);
      for (const thread of others) wake(thread);
    },
    stateReplaced() {
      Atomics.add(words, WORD.replaced, 1);
    },
    stats: () => ({ 'exclusive: sections': sections, 'exclusive: waited for (ms)': waited / 1e6 }),
    wasReplaced() {
      const now = Atomics.load(words, WORD.replaced);
      const moved = now !== replaced;
      replaced = now;
      return moved;
    },
  };
}
