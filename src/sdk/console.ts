/** The first serial port of a machine as a program uses it: bytes both ways, and waiting for what the guest says. */
import { VirtsError } from '../base/errors.ts';
import { byteLength, copyOut } from '../base/pieces.ts';
import { unlessAborted } from '../base/unless-aborted.ts';

export interface WaitForOptions {
  /** Ends the waiting, which then rejects with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * The first serial port of a machine, where a PC's guest has its console. What the guest writes is kept for whoever opened the
 * console; when 64 KiB wait, the guest waits, too, until some of it was taken by `readable` or `waitFor`.
 */
export interface MachineConsole {
  /** What the guest writes. It ends when the machine does. A byte that `waitFor` took is not in it, and the other way round. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Input of the guest. Closing it changes nothing for the guest. */
  readonly writable: WritableStream<Uint8Array>;
  /**
   * Types text or bytes. Resolves when the guest's serial port, or the buffer of 64 KiB before it, has taken all of it.
   * @throws VirtsError `usage` where the machine does not run.
   */
  write(data: string | Uint8Array): Promise<void>;
  /**
   * Takes what the guest writes up to the first match, and returns that text, the match at its end. It looks at the last 64 KiB; text is
   * UTF-8, with the guest's line ends (`\r\n`) and colours as they are.
   * @throws VirtsError `guest-stopped` where the machine ends first, with the last of what it wrote.
   */
  waitFor(pattern: string | RegExp, options?: WaitForOptions): Promise<string>;
  /** Lets go: the guest need not wait for this console any more. */
  close(): void;
  [Symbol.dispose](): void;
}

/** The end at which the guest's output comes. */
export interface ConsoleFeed {
  /** Takes output. A promise, if there is one, resolves when there is room for more. */
  push(bytes: Uint8Array): undefined | Promise<void>;
  /** No more comes. */
  end(): void;
}

/** Bytes that wait before the guest does, and that are searched for a pattern. */
const ROOM = 64 * 1024;
/** Characters of the last output that an error shows. */
const SHOWN = 200;

/** Bytes in order, and whoever waits for some or for room. */
function createQueue() {
  let pieces: Uint8Array<ArrayBuffer>[] = [];
  let ended = false;
  let more = Promise.withResolvers<void>();
  let room = Promise.withResolvers<void>();
  const changed = () => {
    more.resolve();
    more = Promise.withResolvers();
  };
  return {
    get ended() {
      return ended;
    },
    push(bytes: Uint8Array): undefined | Promise<void> {
      if (ended) return undefined;
      pieces.push(Uint8Array.from(bytes));
      changed();
      return byteLength(pieces) > ROOM ? room.promise : undefined;
    },
    end(): void {
      ended = true;
      room.resolve();
      changed();
    },
    /** Resolves when there is something new, or nothing to come. */
    changed: () => more.promise,
    /** Takes all that is there out. */
    take(): Uint8Array<ArrayBuffer>[] {
      const taken = pieces;
      pieces = [];
      room.resolve();
      room = Promise.withResolvers();
      return taken;
    },
    /** Puts something back in front. */
    restore(bytes: Uint8Array<ArrayBuffer>): void {
      if (bytes.length > 0) pieces.unshift(bytes);
      changed();
    },
  };
}

type Queue = ReturnType<typeof createQueue>;

const joined = (pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => copyOut(pieces, 0, byteLength(pieces));

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** How many bytes the first `length` units of their text are: text that is no UTF-8 cannot be encoded to count them. */
function bytesOfText(bytes: Uint8Array, length: number): number {
  let [low, high] = [0, bytes.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (decode(bytes.subarray(0, middle)).length <= length) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Where the first match ends in a text. */
function endOfMatch(text: string, pattern: string | RegExp): number | undefined {
  if (typeof pattern === 'string') {
    const at = text.indexOf(pattern);
    return at < 0 ? undefined : at + pattern.length;
  }
  const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(text);
  return match === null ? undefined : match.index + match[0].length;
}

async function waitFor(queue: Queue, pattern: string | RegExp, signal: AbortSignal | undefined): Promise<string> {
  signal?.throwIfAborted();
  let seen = new Uint8Array(0);
  try {
    for (;;) {
      seen = joined([seen, ...queue.take()]).slice(-ROOM);
      const text = decode(seen);
      const end = endOfMatch(text, pattern);
      if (end !== undefined) {
        seen = seen.slice(bytesOfText(seen, end));
        return text.slice(0, end);
      }
      if (queue.ended) {
        const message = `The machine ended before its console showed ${pattern}; the last of it: ${JSON.stringify(text.slice(-SHOWN))}`;
        throw new VirtsError('guest-stopped', message, { output: text });
      }
      await unlessAborted(signal, queue.changed());
    }
  } finally {
    queue.restore(seen);
  }
}

export interface ConsoleOptions {
  input(bytes: Uint8Array): void | Promise<void>;
  /** Called when it was closed. */
  closed(): void;
}

/** Makes a console, and what gives it the guest's output. */
export function createConsole({ input, closed }: ConsoleOptions): { console: MachineConsole; feed: ConsoleFeed } {
  const queue = createQueue();
  let waits: Promise<unknown> = Promise.resolve();
  const close = () => {
    queue.end();
    queue.take();
    closed();
  };
  const readable = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        for (let pieces = queue.take(); ; pieces = queue.take()) {
          for (const piece of pieces) controller.enqueue(piece);
          if (pieces.length === 0 && queue.ended) controller.close();
          if (pieces.length > 0 || queue.ended) return;
          await queue.changed();
        }
      },
      cancel: close,
    },
    { highWaterMark: 0 },
  );
  const write = async (data: string | Uint8Array): Promise<void> =>
    input(typeof data === 'string' ? new TextEncoder().encode(data) : Uint8Array.from(data));
  const console: MachineConsole = {
    readable,
    writable: new WritableStream<Uint8Array>({ write }),
    write,
    waitFor(pattern, { signal } = {}) {
      // One after the other, so that each takes up to its own match.
      const own = waits.then(() => waitFor(queue, pattern, signal));
      waits = own.catch(() => {});
      return own;
    },
    close,
    [Symbol.dispose]: close,
  };
  return { console, feed: { push: queue.push, end: queue.end } };
}
