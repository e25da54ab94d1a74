/**
 * What is said over the control socket of a machine: one JSON value a line. A client sends requests, which the machine's process
 * answers in any order; to `watch`, events follow the answer. After the answer to `attach` the connection is the first serial
 * port itself, both ways, until either side closes it.
 */
import * as z from 'zod';
import { ERROR_KINDS, type ErrorKind, VirtsError } from '../../base/errors.ts';

/** Bytes of a line. */
export const MOST_LINE = 64 * 1024;

const id = z.int();

export const Request = z.discriminatedUnion('method', [
  z.object({ id, method: z.enum(['pause', 'resume', 'kill', 'stats', 'processor', 'messages', 'wait', 'watch']) }),
  z.object({
    id,
    method: z.literal('stop'),
    /** Milliseconds after which the guest is no longer asked. */
    timeout: z.number().nonnegative(),
  }),
  z.object({
    id,
    method: z.literal('balloon'),
    /** Bytes that the guest is to give up, of all its memory. */
    bytes: z.int().nonnegative(),
  }),
  z.object({
    id,
    method: z.literal('attach'),
    /** Whether the last output comes first. */
    recent: z.boolean().default(false),
  }),
]);
export type Request = z.infer<typeof Request>;

/** How a machine ended. */
export const Ending = z.object({
  exitStatus: z.number(),
  /** A sentence, where the end was not the guest's wish. */
  message: z.string().optional(),
});
export type Ending = z.infer<typeof Ending>;

/** The processor time of a machine's process. */
export const ProcessorTime = z.object({
  /** Microseconds that it took since its start, before it began to look for the answer. */
  cpu: z.number(),
  /** Milliseconds on a clock of that process. */
  at: z.number(),
});
export type ProcessorTime = z.infer<typeof ProcessorTime>;

/** Bytes since the start of the machine, unless said otherwise. */
export const Stats = ProcessorTime.extend({
  vcpus: z.number(),
  /** Guest RAM, and what of it the host backs at present. */
  memory: z.object({
    size: z.number(),
    guest: z.number(),
    process: z.number(),
    /** What the guest has given up. */
    balloon: z.number().default(0),
  }),
  /** As the guest sees it: what it read from its disks, and wrote. */
  disk: z.object({ read: z.number(), written: z.number() }),
  network: z.object({ received: z.number(), sent: z.number() }),
  instructions: z.number(),
});
export type Stats = z.infer<typeof Stats>;

/** Sentences for the user that came up since the start of the machine: the last of them. */
export const Messages = z.array(z.string());

/** To those that watch. */
export const Event = z.discriminatedUnion('event', [
  z.object({ event: z.enum(['paused', 'resumed']) }),
  z.object({ event: z.literal('ended'), ending: Ending }),
]);
export type Event = z.infer<typeof Event>;

const kinds = Object.keys(ERROR_KINDS) as [ErrorKind, ...ErrorKind[]];

export const Answer = z.union([
  z.object({ id, result: z.unknown() }),
  z.object({ id, error: z.object({ kind: z.enum(kinds), message: z.string() }) }),
]);
export type Answer = z.infer<typeof Answer>;

export function errorAnswer(request: number, error: unknown): Answer {
  const known = error instanceof VirtsError ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  return { id: request, error: { kind: known?.kind ?? 'internal', message } };
}

/** Splits a stream into lines. */
export interface LineReader {
  /** Calls `line` with each whole one. Returns `false` when one is longer than it may be. */
  push(bytes: Uint8Array): boolean;
  /** What followed the last whole line. */
  rest(): Uint8Array;
}

/** `line` returns whether it wants more lines: if not, what follows stays in `rest`. */
export function createLineReader(line: (text: string) => boolean): LineReader {
  let held: Buffer = Buffer.alloc(0);
  return {
    push(bytes) {
      held = Buffer.concat([held, bytes]);
      for (let end = held.indexOf(10); end >= 0; end = held.indexOf(10)) {
        const text = held.toString('utf8', 0, end);
        held = held.subarray(end + 1);
        if (!line(text)) return true;
      }
      return held.length <= MOST_LINE;
    },
    rest: () => held,
  };
}
