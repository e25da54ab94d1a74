/** What the threads of a machine do in `threads.test.ts`, each in a worker of its own. */
import { smallArena } from '../memory/arena.test-helper.ts';
import { createThreads, type Threads } from './threads.ts';

/** Words that the tests share beside what the threads do. */
const WORD = { stage: 0, exclusive: 1, held: 2, counter: 3, perThread: 16 } as const;
/** Words of a thread. */
const OWN = { poll: 0, bell: 1, guest: 2, between: 3, words: 4 } as const;

export interface Shared {
  readonly structs: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly count: number;
}

export const share = (count: number): Shared => ({
  structs: new SharedArrayBuffer(1 << 20),
  words: new Int32Array(new SharedArrayBuffer(4 * (WORD.perThread + OWN.words * count))),
  count,
});

/** One thread's side of `shared`. */
export function open({ structs, words, count }: Shared, self: number) {
  const place = (thread: number, word: number) => WORD.perThread + OWN.words * thread + word;
  const threads = createThreads({
    arena: smallArena(structs, self),
    count,
    poll: (thread) => void Atomics.store(words, place(thread, OWN.poll), 1),
    now: () => 0,
    wake(thread) {
      Atomics.add(words, place(thread, OWN.bell), 1);
      Atomics.notify(words, place(thread, OWN.bell));
    },
  });
  const pause = (ms: number) => void Atomics.wait(words, WORD.perThread - 1, 0, ms);
  return {
    threads,
    words,
    self,
    own: (word: keyof Omit<typeof OWN, 'words'>, thread = self) => place(thread, OWN[word]),
    pause,
    /** Tells the others how far it is. */
    reach(stage: number): void {
      Atomics.store(words, WORD.stage, stage);
      Atomics.notify(words, WORD.stage);
    },
    /** Waits until another thread is so far. */
    await(stage: number): void {
      for (let at = Atomics.load(words, WORD.stage); at < stage; at = Atomics.load(words, WORD.stage))
        Atomics.wait(words, WORD.stage, at);
    },
    /** Runs as guest code does until somebody wants it to poll. */
    untilPolled(): void {
      while (Atomics.exchange(words, place(self, OWN.poll), 0) === 0);
    },
  };
}

type Side = ReturnType<typeof open>;

/** Long enough for another thread to do what it must not. */
const A_WHILE = 30;

/** What each thread does, by scenario; the results are compared with what is expected. */
const SCENARIOS: Readonly<Record<string, readonly ((side: Side) => unknown)[]>> = {
  /** The second thread is late to poll; then it has to wait for the end. */
  exclusive: [
    ({ threads, words, await: awaits, pause }) => {
      awaits(1);
      let late = 0;
      threads.exclusively(() => {
        late = Atomics.load(words, WORD.counter);
        pause(A_WHILE);
        Atomics.store(words, WORD.counter, 2);
      });
      return late;
    },
    ({ threads, words, reach, untilPolled, pause }) => {
      threads.enter();
      reach(1);
      untilPolled();
      pause(A_WHILE);
      Atomics.store(words, WORD.counter, 1);
      const goesOn = threads.pass();
      const seen = Atomics.load(words, WORD.counter);
      threads.leave();
      return { goesOn, seen };
    },
  ],
  /** One who is aside keeps nobody waiting, and is within, or back, only when the other is done. */
  aside: [
    ({ threads, words, reach, await: awaits, pause }) => {
      awaits(1);
      const counts: number[] = [];
      for (const stage of [2, 4]) {
        threads.exclusively(() => {
          reach(stage);
          pause(A_WHILE);
          counts.push(Atomics.add(words, WORD.counter, 1));
        });
        awaits(stage + 1);
      }
      return counts;
    },
    ({ threads, words, reach, await: awaits }) => {
      threads.enter();
      const seen = threads.aside(() => {
        reach(1);
        awaits(2);
        const within = threads.within(() => Atomics.load(words, WORD.counter));
        reach(3);
        awaits(4);
        return within;
      });
      const after = Atomics.load(words, WORD.counter);
      threads.leave();
      reach(5);
      return [seen, after];
    },
  ],
  /** Another one that wants to come in, and one that waits to be exclusive itself, wait for the end. */
  entering: [
    ({ threads, words, reach, pause }) => {
      threads.exclusively(() => {
        reach(1);
        pause(A_WHILE);
        Atomics.store(words, WORD.counter, 1);
      });
    },
    ({ threads, words, await: awaits }) => {
      awaits(1);
      threads.enter();
      const seen = Atomics.load(words, WORD.counter);
      threads.leave();
      return seen;
    },
    ({ threads, words, await: awaits }) => {
      awaits(1);
      let seen = 0;
      threads.exclusively(() => {
        seen = Atomics.load(words, WORD.counter);
      });
      return seen;
    },
  ],
  /** Whoever waits for the lock does not keep its holder from being exclusive, but does not come back meanwhile. */
  lockHolder: [
    ({ threads, words, reach, await: awaits, pause }) => {
      threads.enter();
      threads.lock.acquire();
      reach(1);
      awaits(2);
      pause(A_WHILE);
      threads.exclusively(() => {
        // The lock is free now, and the one that slept for it awake.
        threads.lock.release();
        pause(A_WHILE);
        Atomics.store(words, WORD.counter, 1);
      });
      threads.leave();
    },
    ({ threads, words, reach, await: awaits }) => {
      awaits(1);
      threads.enter();
      reach(2);
      threads.lock.acquire();
      const seen = Atomics.load(words, WORD.counter);
      threads.lock.release();
      threads.leave();
      return seen;
    },
  ],
  /** The second thread is parked, for the third has the lock: that is not outside. */
  held: [
    ({ threads, words, reach, await: awaits, pause }) => {
      awaits(2);
      pause(A_WHILE);
      return threads.whileHeld(() => {
        const between = Atomics.load(words, WORD.counter);
        reach(3);
        awaits(4);
        return between;
      });
    },
    ({ threads, words, own, reach, await: awaits, untilPolled }) => {
      awaits(1);
      threads.enter();
      reach(2);
      threads.lock.acquire();
      threads.lock.release();
      untilPolled();
      const goesOn = threads.pass();
      Atomics.store(words, WORD.counter, 1);
      threads.leave();
      awaits(3);
      const bell = Atomics.load(words, own('bell'));
      const enters = threads.enter();
      reach(4);
      Atomics.wait(words, own('bell'), bell);
      const entersLater = threads.enter();
      threads.leave();
      return { goesOn, enters, entersLater };
    },
    ({ threads, reach, await: awaits, pause }) => {
      threads.lock.acquire();
      reach(1);
      awaits(2);
      pause(3 * A_WHILE);
      threads.lock.release();
    },
  ],
};

export function play(shared: Shared, self: number, scenario: string): unknown {
  return SCENARIOS[scenario][self](open(shared, self));
}

/** What went wrong, and how often this thread counted. */
export interface StressReport {
  readonly wrong: readonly string[];
  readonly counted: number;
}

/** All that threads do with each other, in an order that follows from `seed`, `rounds` times. */
export function stress(shared: Shared, self: number, rounds: number, seed: number): StressReport {
  const { threads, words, own } = open(shared, self);
  const others = Array.from({ length: shared.count }, (_, thread) => thread).filter((thread) => thread !== self);
  const wrong = new Set<string>();
  let counted = 0;
  let state = (seed + self * 0x9e3779b9) | 1;
  function random(limit: number): number {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  }
  /** Counts without atomics, while others must not. */
  function count(): void {
    const before = words[WORD.counter];
    for (let spin = random(200); spin > 0; spin--) Atomics.load(words, WORD.counter);
    words[WORD.counter] = before + 1;
    counted++;
  }
  function alone(kind: 'exclusive' | 'held', mark: 'guest' | 'between'): void {
    if (Atomics.exchange(words, WORD[kind], 1) !== 0) wrong.add(`two are ${kind}`);
    for (const other of others)
      if (Atomics.load(words, own(mark, other)) !== 0) wrong.add(`${kind} while another is in ${mark}`);
    count();
    Atomics.store(words, WORD[kind], 0);
  }
  const exclusive = () => alone('exclusive', 'guest');

  function guestCode(): void {
    Atomics.store(words, own('guest'), 1);
    for (let spin = random(300); spin > 0 && Atomics.load(words, own('poll')) === 0; spin--);
    if (Atomics.load(words, WORD.held) !== 0) wrong.add('guest code while the machine is held');
    if (Atomics.load(words, WORD.exclusive) !== 0) wrong.add('guest code while another is exclusive');
    Atomics.store(words, own('guest'), 0);
  }
  /** Guest code for a while, to a poll; whether it may go on. */
  function guest(threads: Threads): boolean {
    guestCode();
    const deed = random(10);
    if (deed === 0) threads.exclusively(exclusive);
    else if (deed === 1) threads.alone(exclusive);
    else if (deed === 2) threads.exclusively(() => threads.exclusively(exclusive));
    else if (deed > 7) {
      threads.aside(() => {
        for (let spin = random(300); spin > 0; spin--) Atomics.load(words, WORD.counter);
        if (deed === 8) threads.within(guestCode);
      });
    } else if (deed < 5) {
      threads.lock.acquire();
      if (deed === 3) threads.exclusively(exclusive);
      threads.lock.release();
    }
    Atomics.store(words, own('poll'), 0);
    return threads.pass();
  }

  for (let round = 0; round < rounds; round++) {
    const bell = Atomics.load(words, own('bell'));
    if (!threads.enter()) {
      Atomics.wait(words, own('bell'), bell);
      round--;
      continue;
    }
    Atomics.store(words, own('between'), 1);
    for (let slice = random(20); slice > 0 && guest(threads); slice--);
    Atomics.store(words, own('between'), 0);
    threads.leave();
    if (random(8) === 0) threads.whileHeld(() => alone('held', 'between'));
  }
  return { wrong: [...wrong], counted };
}
