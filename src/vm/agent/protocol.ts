/** The frames between the host and the guest's agent (docs/agent.md): a type, a length and a payload. The guest is not trusted. */
import { VirtsError } from '../../base/errors.ts';

export const AGENT_VERSION = 1;
/** The agent's port in the guest, and the host's at which it says that it is there. Ports below 1024 are root's. */
export const AGENT_PORT = 1000;

export const FRAME = {
  hello: 1,
  execute: 2,
  data: 3,
  ended: 4,
  credit: 5,
  resize: 6,
  signal: 7,
  stat: 8,
  ping: 9,
  shutdown: 10,
  started: 16,
  exit: 17,
  failed: 18,
  answer: 19,
} as const;

/** Streams of a program. */
export const STREAM = { stdin: 0, stdout: 1, stderr: 2 } as const;

/** Bytes of an output stream that may be under way to the host, and the most of an input stream that the agent may ask for. */
export const OUTPUT_WINDOW = 256 * 1024;
export const MOST_INPUT_CREDIT = 16 * 1024 * 1024;
/** The longest payloads: the agent's are no longer than a piece of output, and a request has to fit as well. */
export const MOST_RECEIVED = 64 * 1024;
export const MOST_REQUEST = 1024 * 1024;

const HEADER = 5;

export interface AgentFrame {
  readonly type: number;
  readonly payload: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Text as bytes, and bytes of the guest as text; what is not UTF-8 is shown as U+FFFD. */
export const toBytes = (text: string): Uint8Array => encoder.encode(text);
export const toText = (bytes: Uint8Array): string => decoder.decode(bytes);

/** Bytes one after the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A number of `size` bytes, the highest first. */
export function number(value: number, size: 1 | 2 | 4): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes.subarray(4 - size);
}

export function u32(bytes: Uint8Array, at = 0): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

/** A frame as bytes. */
export function encodeFrame(type: number, ...payload: readonly Uint8Array[]): Uint8Array {
  const length = payload.reduce((sum, part) => sum + part.length, 0);
  return joined([Uint8Array.of(type), number(length, 4), ...payload]);
}

/** A request as a list of values, each with a tag of one character. */
export function encodeFields(fields: readonly (readonly [tag: string, value: string])[]): Uint8Array {
  return joined(
    fields.flatMap(([tag, value]) => {
      const bytes = toBytes(value);
      return [toBytes(tag), number(bytes.length, 4), bytes];
    }),
  );
}

/** What the agent said makes no sense. */
export function malformed(what: string): VirtsError {
  return new VirtsError('bad-input', `The guest's agent broke the protocol: ${what}.`);
}

/** Takes bytes as they come and gives whole frames. Holds one frame at most. @throws VirtsError `bad-input` for one that is too long. */
export function createFrameReader(): (bytes: Uint8Array) => AgentFrame[] {
  const header = new Uint8Array(HEADER);
  let known = 0;
  let payload: Uint8Array | undefined;
  let filled = 0;
  return (bytes) => {
    const frames: AgentFrame[] = [];
    for (let at = 0; at < bytes.length || payload?.length === filled; ) {
      if (payload === undefined) {
        header[known++] = bytes[at++]!;
        if (known < HEADER) continue;
        const length = u32(header, 1);
        if (length > MOST_RECEIVED) throw malformed(`a frame of ${length} bytes`);
        payload = new Uint8Array(length);
        filled = 0;
      }
      const part = bytes.subarray(at, at + payload.length - filled);
      payload.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < payload.length) break;
      frames.push({ type: header[0]!, payload });
      payload = undefined;
      known = 0;
    }
    return frames;
  };
}
