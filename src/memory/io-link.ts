/**
 * How a device hands transfers to its back end in another thread, and learns of their ends.
 *
 * A request names an operation and pieces of guest memory; the back end reads or writes those in place, whenever it gets to
 * it, and answers with a number. Requests and answers are records in two rings of shared memory. Whatever is under way is
 * in these rings, not in a thread: any thread of the machine may post and collect, one at a time.
 */
import type { GuestMemory, HeldSpan } from './guest-memory.ts';

/** Words before the rings. Counters run freely and wrap at 2^32. */
const WORD = {
  /** Words of requests posted, and taken by the back end. */
  posted: 0,
  taken: 1,
  /** Words of answers given, and collected by the machine. */
  answered: 2,
  collected: 3,
  /** Words of requests that were posted and whose answers were not collected; what bounds both rings. */
  outstanding: 4,
  /** 1: whoever posts has to wake the back end. */
  asleep: 5,
  /** Stays 0. */
  never: 6,
  rings: 8,
} as const;

/** Words of a record before its spans. */
const RECORD = {
  length: 0,
  operation: 1,
  tag: 2,
  id: 3,
  low: 4,
  high: 5,
  count: 6,
  /** How many of the spans are read from; those behind them are written to. */
  reads: 7,
  size: 8,
} as const;
const SPAN_WORDS = 3;

/** Words of each ring, a power of two: about 20,000 spans under way. */
const CAPACITY = 65_536;

/** The most spans that one request may have, so that several requests fit. */
export const MAX_SPANS = CAPACITY / 4 / SPAN_WORDS;

/** The most bytes that surely fit a request of `segments` pieces of guest memory. */
export const maxBytes = (segments: number) => (Math.floor(MAX_SPANS) - 2 * segments) * 4096;

const LINK_BYTES = 4 * (WORD.rings + 2 * CAPACITY);

/** Shared memory of one device and its back end. */
export type IoLink = SharedArrayBuffer;

export function createIoLink(): IoLink {
  return new SharedArrayBuffer(LINK_BYTES);
}

/** What a device posts. Numbers but `position` are unsigned and of 32 bits. */
export interface IoPost {
  /** What to do; the numbers are between device and back end. */
  readonly operation: number;
  /** Both come back with the answer. A device that was reset knows by the id that an answer is to a request from before. */
  readonly tag: number;
  readonly id: number;
  /** For the back end, such as an offset in bytes; a double. */
  readonly position: number;
  /** For the back end, such as a length in bytes. */
  readonly count: number;
  /** Guest-physical pieces that the back end reads from or writes to, in order. */
  readonly segments: readonly { readonly address: number; readonly length: number }[];
  /** What the back end does with them. */
  readonly access: 'read' | 'write';
  /** Where `access` is read: pieces that the back end writes to besides, such as its reply. */
  readonly reply?: readonly { readonly address: number; readonly length: number }[];
}

export interface IoAnswer {
  readonly operation: number;
  readonly tag: number;
  readonly id: number;
  /** What the back end said, an unsigned number of 32 bits. */
  readonly result: number;
}

/** A device's end. */
export interface IoPort {
  /** `full`: post again after an answer was collected. `unfit`: a segment is not RAM, or there are too many spans. */
  post(request: IoPost): 'posted' | 'full' | 'unfit';
  /** The next answer. The memory of the request is the guest's again. */
  collect(): IoAnswer | undefined;
  /** Whether an answer waits to be collected; costs next to nothing. */
  ready(): boolean;
  /** Whether no request is under way. */
  idle(): boolean;
  /** The back end is called within `post`, and wakes nobody: whoever posts has to collect. */
  readonly direct: boolean;
}

/** Opens a device's end over the machine's memory. */
export type IoConnection = (memory: GuestMemory) => IoPort;

/** Words of one ring, by free-running index. */
function ring(words: Int32Array, start: number) {
  const place = (index: number) => start + (index & (CAPACITY - 1));
  return {
    get: (index: number) => words[place(index)]! >>> 0,
    set(index: number, value: number): void {
      words[place(index)] = value;
    },
  };
}

const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

function rings(link: ArrayBufferLike) {
  const words = new Int32Array(link);
  return { words, requests: ring(words, WORD.rings), answers: ring(words, WORD.rings + CAPACITY) };
}

type Ring = ReturnType<typeof ring>;

function spansAt(records: Ring, at: number): HeldSpan[] {
  const spans: HeldSpan[] = [];
  const end = at + records.get(at + RECORD.length);
  for (let from = at + RECORD.size; from < end; from += SPAN_WORDS) {
    spans.push({ host: records.get(from), length: records.get(from + 1), page: records.get(from + 2) });
  }
  return spans;
}

/** Opens the device's end. Every thread of the machine may open one; they are used one at a time. */
export function openIoPort(link: ArrayBufferLike, memory: GuestMemory): IoPort {
  const { words, requests, answers } = rings(link);

  /** The segments' memory, held, behind `held`; `false`, with nothing held, if some of it is not RAM. */
  function hold(held: HeldSpan[], segments: IoPost['segments'], access: IoPost['access']): boolean {
    const before = held.length;
    for (const { address, length } of segments) {
      const spans = Number.isSafeInteger(address) ? memory.hold(address, length, access) : undefined;
      if (spans !== undefined) held.push(...spans);
      if (spans !== undefined && held.length <= MAX_SPANS) continue;
      for (const span of held.splice(before)) memory.release(span, access);
      return false;
    }
    return true;
  }

  /** All memory of a request, and how much of it is read from. */
  function holdAll({ segments, access, reply = [] }: IoPost): { held: HeldSpan[]; reads: number } | undefined {
    const held: HeldSpan[] = [];
    if (!hold(held, segments, access)) return undefined;
    const reads = access === 'read' ? held.length : 0;
    if (hold(held, reply, 'write')) return { held, reads };
    for (const span of held) memory.release(span, access);
    return undefined;
  }

  function write(request: IoPost, { held, reads }: { held: readonly HeldSpan[]; reads: number }): void {
    const length = RECORD.size + SPAN_WORDS * held.length;
    const at = Atomics.load(words, WORD.posted);
    double[0] = request.position;
    requests.set(at + RECORD.length, length);
    requests.set(at + RECORD.operation, request.operation);
    requests.set(at + RECORD.tag, request.tag);
    requests.set(at + RECORD.id, request.id);
    requests.set(at + RECORD.low, halves[0]!);
    requests.set(at + RECORD.high, halves[1]!);
    requests.set(at + RECORD.count, request.count);
    requests.set(at + RECORD.reads, reads);
    let to = at + RECORD.size;
    for (const span of held) {
      requests.set(to, span.host);
      requests.set(to + 1, span.length);
      requests.set(to + 2, span.page);
      to += SPAN_WORDS;
    }
    Atomics.add(words, WORD.outstanding, length);
    Atomics.add(words, WORD.posted, length);
    if (Atomics.exchange(words, WORD.asleep, 0) !== 0) Atomics.notify(words, WORD.asleep);
  }

  function takeAnswer(): IoAnswer {
    const at = Atomics.load(words, WORD.collected);
    const length = answers.get(at + RECORD.length);
    const reads = answers.get(at + RECORD.reads);
    for (const [i, span] of spansAt(answers, at).entries()) memory.release(span, i < reads ? 'read' : 'write');
    const answer = {
      operation: answers.get(at + RECORD.operation),
      tag: answers.get(at + RECORD.tag),
      id: answers.get(at + RECORD.id),
      result: answers.get(at + RECORD.count),
    };
    Atomics.add(words, WORD.collected, length);
    Atomics.sub(words, WORD.outstanding, length);
    return answer;
  }

  const ready = () => Atomics.load(words, WORD.answered) !== Atomics.load(words, WORD.collected);
  return {
    post(request) {
      const room = CAPACITY - Atomics.load(words, WORD.outstanding);
      if (room < RECORD.size + SPAN_WORDS * MAX_SPANS) return 'full';
      const spans = holdAll(request);
      if (spans === undefined) return 'unfit';
      write(request, spans);
      return 'posted';
    },
    collect: () => (ready() ? takeAnswer() : undefined),
    ready,
    idle: () => Atomics.load(words, WORD.outstanding) === 0,
    direct: false,
  };
}

/** A request as its back end sees it. */
export interface IoRequest {
  readonly operation: number;
  readonly position: number;
  readonly count: number;
  /** Live views of guest memory. The guest may change them at any time. */
  readonly spans: readonly Uint8Array[];
  /** Where a reply goes, if it is to be one. */
  readonly reply: readonly Uint8Array[];
  /** Answers with an unsigned number of 32 bits, once; the spans are not to be touched any more. */
  answer(result: number): void;
}

/** Gets a request, and answers it at once or later. Must not throw. */
export type IoHandler = (request: IoRequest) => void;

/** What a service handles at once before others of its thread get their turn: a back end may do all its work within the call. */
const TURN = { requests: 256, bytes: 16 * 2 ** 20 } as const;
const ENDLESS = { requests: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY } as const;

/** A back end's end, whatever tells it that there are requests. */
function openService(link: ArrayBufferLike, memory: ArrayBufferLike, handle: IoHandler, answered: () => void) {
  const { words, requests, answers } = rings(link);

  function answer(record: readonly number[], result: number): void {
    const at = Atomics.load(words, WORD.answered);
    for (let i = 0; i < record.length; i++) answers.set(at + i, record[i]!);
    answers.set(at + RECORD.count, result);
    Atomics.add(words, WORD.answered, record.length);
    answered();
  }

  function take(): IoRequest {
    const at = Atomics.load(words, WORD.taken);
    const length = requests.get(at + RECORD.length);
    const record: number[] = [];
    for (let i = 0; i < length; i++) record.push(requests.get(at + i));
    const spans: Uint8Array[] = [];
    for (let i = RECORD.size; i < length; i += SPAN_WORDS) {
      spans.push(new Uint8Array(memory, record[i], record[i + 1]));
    }
    // Whatever is only written to is what the request is about.
    const reads = record[RECORD.reads]! === 0 ? spans.length : record[RECORD.reads]!;
    halves[0] = record[RECORD.low]!;
    halves[1] = record[RECORD.high]!;
    Atomics.add(words, WORD.taken, length);
    return {
      operation: record[RECORD.operation]!,
      position: double[0]!,
      count: record[RECORD.count]!,
      spans: spans.slice(0, reads),
      reply: spans.slice(reads),
      answer: (result) => answer(record, result),
    };
  }

  return {
    words,
    /** Handles what there is, as far as `left` allows, and counts that down; `false` if it was more. */
    drain(left: { requests: number; bytes: number }): boolean {
      while (Atomics.load(words, WORD.posted) !== Atomics.load(words, WORD.taken)) {
        if (left.requests <= 0 || left.bytes <= 0) return false;
        const request = take();
        left.requests--;
        for (const { length } of request.spans) left.bytes -= length;
        handle(request);
      }
      return true;
    },
  };
}

/** A back end in a thread with an event loop. */
export interface IoService {
  /** Takes no more requests. Resolves when those that were taken have been answered. */
  close(): Promise<void>;
}

/**
 * Serves a link: calls `handle` for each request, in the order in which they were posted; it answers in any order.
 * @param memory what backs guest RAM: the buffer that spans lie in.
 * @param wake called after each answer: gets the machine's thread to collect it.
 */
export function serveIoLink(link: IoLink, memory: ArrayBufferLike, handle: IoHandler, wake: () => void): IoService {
  let open = true;
  let underWay = 0;
  let settled = () => {};
  const count: IoHandler = (request) => {
    underWay++;
    handle(request);
  };
  let waking = false;
  const { words, drain } = openService(link, memory, count, () => {
    underWay--;
    // Answers that are given one right after the other wake it once.
    if (!waking) {
      waking = true;
      void Promise.resolve().then(() => {
        waking = false;
        wake();
      });
    }
    if (underWay === 0) settled();
  });

  /** The event loop's turn: the promise is settled by a task of its own. */
  function rest(): Promise<unknown> {
    const wait = Atomics.waitAsync(words, WORD.never, 0);
    Atomics.notify(words, WORD.never);
    return Promise.resolve(wait.value);
  }

  async function serve(): Promise<void> {
    while (open) {
      const left = { ...TURN };
      while (drain(left)) {
        Atomics.store(words, WORD.asleep, 1);
        // Whoever posted before the flag was up has woken nobody: that is found here. Nothing may be taken while it is up, and
        // it must still be up where the wait begins: what was posted and taken before may clear it late, and the next one
        // would wake nobody.
        if (Atomics.load(words, WORD.posted) === Atomics.load(words, WORD.taken)) {
          const wait = Atomics.waitAsync(words, WORD.asleep, 1);
          if (wait.async) await wait.value;
          Object.assign(left, TURN);
        }
        Atomics.store(words, WORD.asleep, 0);
        if (!open) return;
      }
      await rest();
    }
  }
  serve();

  return {
    async close() {
      open = false;
      Atomics.notify(words, WORD.asleep);
      if (underWay === 0) return;
      await new Promise<void>((resolve) => {
        settled = resolve;
      });
    },
  };
}

/** A port whose back end is called within `post`: for a machine that has just one thread, and for tests. */
export function directIoPort(memory: GuestMemory, handle: IoHandler): IoPort {
  const link = new ArrayBuffer(LINK_BYTES);
  const port = openIoPort(link, memory);
  const { drain } = openService(link, memory.buffer, handle, () => {});
  return {
    ...port,
    direct: true,
    post(request) {
      const outcome = port.post(request);
      drain({ ...ENDLESS });
      return outcome;
    },
  };
}
