/** Reading requests and writing replies (`protocol.ts`). What a guest wrote is never trusted: it is read once, from a copy. */
import { type Attributes, ERRNO, refuse, type Time } from './folder.ts';
import { ATTRIBUTES_SIZE, ENTRY_SIZE, IN_HEADER } from './protocol.ts';

/** Longest name of a file, in bytes. */
const LONGEST_NAME = 255;

/** A request, from behind its header on. */
export interface Message {
  readonly operation: number;
  readonly unique: bigint;
  /** Above 2^53 it is not exact, and stands for nothing. */
  readonly node: number;
  readonly uid: number;
  readonly gid: number;
  /** Numbers at offsets behind the header; `EINVAL` where the message is too short. */
  u32(at: number): number;
  u64(at: number): bigint;
  /** As `u64`, for what has to be exact only up to 2^53. */
  number(at: number): number;
  time(secondsAt: number, nanosecondsAt: number): Time;
  /** The text from an offset to its NUL. */
  text(at: number): Uint8Array;
  /** The same, as the name of something in a directory. */
  name(at: number): Uint8Array;
}

/** Whether a name is `.`, `..` or empty: none of something in a directory. */
export const isDots = (name: Uint8Array) => name.every((byte) => byte === 0x2e) && name.length <= 2;

/** `bytes`: a copy of a request, at least `IN_HEADER` long. */
export function readMessage(bytes: Uint8Array): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  function place(at: number, size: number): number {
    return IN_HEADER + at + size <= bytes.length ? IN_HEADER + at : refuse(ERRNO.EINVAL);
  }
  const message: Message = {
    operation: view.getUint32(4, true),
    unique: view.getBigUint64(8, true),
    node: Number(view.getBigUint64(16, true)),
    uid: view.getUint32(24, true),
    gid: view.getUint32(28, true),
    u32: (at) => view.getUint32(place(at, 4), true),
    u64: (at) => view.getBigUint64(place(at, 8), true),
    number: (at) => Number(view.getBigUint64(place(at, 8), true)),
    time(secondsAt, nanosecondsAt) {
      const nanoseconds = message.u32(nanosecondsAt);
      if (nanoseconds >= 1e9) refuse(ERRNO.EINVAL);
      return { seconds: BigInt.asIntN(64, message.u64(secondsAt)), nanoseconds };
    },
    text(at) {
      const start = place(at, 1);
      const end = bytes.indexOf(0, start);
      return end === -1 ? refuse(ERRNO.EINVAL) : bytes.subarray(start, end);
    },
    name(at) {
      const name = message.text(at);
      if (name.length > LONGEST_NAME) refuse(ERRNO.ENAMETOOLONG);
      if (isDots(name) || name.includes(0x2f)) refuse(ERRNO.EINVAL);
      return name.slice();
    },
  };
  return message;
}

/** Where replies are put together: the part behind the header. */
export interface Reply {
  readonly view: DataView;
  readonly bytes: Uint8Array;
}

export function createReply(size: number): Reply {
  const bytes = new Uint8Array(size);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** Writes `struct fuse_attr`. */
export function putAttributes({ view }: Reply, at: number, attributes: Attributes): void {
  const { ino, size, blocks, atime, mtime, ctime, mode, links, uid, gid, rdev, blockSize } = attributes;
  view.setBigUint64(at, ino, true);
  view.setBigUint64(at + 8, size, true);
  view.setBigUint64(at + 16, blocks, true);
  for (const [i, { seconds, nanoseconds }] of [atime, mtime, ctime].entries()) {
    view.setBigInt64(at + 24 + 8 * i, seconds, true);
    view.setUint32(at + 48 + 4 * i, nanoseconds, true);
  }
  for (const [i, word] of [mode, links, uid, gid, rdev, blockSize, 0].entries())
    view.setUint32(at + 60 + 4 * i, word, true);
}

/** How long (in seconds) a guest takes a name or attributes for true without asking again. */
const VALID = 1n;

/** Writes `struct fuse_attr_out`; returns its size. */
export function putAttributesReply(reply: Reply, attributes: Attributes): number {
  reply.view.setBigUint64(0, VALID, true);
  reply.view.setBigUint64(8, 0n, true);
  putAttributes(reply, 16, attributes);
  return 16 + ATTRIBUTES_SIZE;
}

/** Writes `struct fuse_entry_out` at an offset; `undefined` attributes say that there is nothing of that name. Returns its size. */
export function putEntry(reply: Reply, at: number, node: number, attributes: Attributes | undefined): number {
  const { view, bytes } = reply;
  bytes.fill(0, at, at + ENTRY_SIZE);
  view.setBigUint64(at, BigInt(node), true);
  view.setBigUint64(at + 16, VALID, true);
  view.setBigUint64(at + 24, VALID, true);
  if (attributes !== undefined) putAttributes(reply, at + 40, attributes);
  return ENTRY_SIZE;
}
