/**
 * Serves a folder to a guest: each message is one operation on the folder, answered by one reply. A guest may send anything; whatever
 * makes no sense is answered by an error, and what it can hold is bounded.
 */
import { type Bytes, byteLength, copyOut, fill, slice } from '../base/pieces.ts';
import { ERRNO, type Folder, Refusal } from './folder.ts';
import { createReply, type Message, readMessage } from './message.ts';
import { createOperations, type Operation } from './operations.ts';
import { FEATURE, IN_HEADER, IN_SIZE, OLDEST_MINOR, OPERATION, OUT_HEADER, VERSION } from './protocol.ts';
import { createSession, type SessionLimits } from './session.ts';

/** Most bytes of one write, and pages of one read; a reply that is put together has as many. */
const MOST_BYTES = 1 << 20;
/** Most bytes of a request but for the data of a write: two names, or a long list of nodes. */
const MOST_REQUEST = 1 << 16;
const INIT_SIZE = 64;
const UNDERSTOOD =
  FEATURE.asyncRead |
  FEATURE.atomicTruncate |
  FEATURE.bigWrites |
  FEATURE.autoInvalidate |
  FEATURE.readDirectoryPlus |
  FEATURE.readDirectoryPlusAuto |
  FEATURE.parallelDirectories |
  FEATURE.maxPages;

export interface FolderServerOptions<Item, Open, Listing> {
  readonly folder: Folder<Item, Open, Listing>;
  readonly readOnly: boolean;
  readonly limits: SessionLimits;
  /** Milliseconds since 1970. */
  now(): number;
  /** Told of errors that are Virts's own, each once. */
  report(message: string): void;
}

export interface FolderServer {
  /** Serves one message; gives the length of the reply that it wrote, 0 for none. Never throws or rejects. */
  serve(request: Bytes, reply: Bytes): number | Promise<number>;
  /** Whether the guest has the folder mounted. */
  inUse(): boolean;
  /** The guest starts over: all that it holds is given up. */
  reset(): void;
  count(): { readonly nodes: number; readonly open: number };
}

export function createFolderServer<Item, Open, Listing>(
  options: FolderServerOptions<Item, Open, Listing>,
): FolderServer {
  const { folder, limits, report } = options;
  const session = createSession(folder, limits);
  const body = createReply(MOST_REQUEST);
  const operations = createOperations({ ...options, session, body });
  const header = new Uint8Array(OUT_HEADER);
  const headerView = new DataView(header.buffer);
  const reported = new Set<string>();
  let mounted = false;

  function putHeader(reply: Bytes, unique: bigint, errno: number, length: number): number {
    headerView.setUint32(0, OUT_HEADER + length, true);
    headerView.setInt32(4, -errno, true);
    headerView.setBigUint64(8, unique, true);
    fill(reply, 0, header);
    return OUT_HEADER + length;
  }

  function refused(error: unknown): number {
    if (error instanceof Refusal) return error.errno;
    const message = `Virts met a defect of its own in a shared folder: ${error instanceof Error ? error.message : error}`;
    if (!reported.has(message)) report(message);
    reported.add(message);
    return ERRNO.EIO;
  }

  function reset(): void {
    mounted = false;
    session.clear();
  }

  /** The start of a session: what both understand. */
  function init(message: Message): number {
    const [major, minor] = [message.u32(0), message.u32(4)];
    reset();
    const { view, bytes } = body;
    bytes.fill(0, 0, INIT_SIZE);
    view.setUint32(0, VERSION.major, true);
    view.setUint32(4, Math.min(minor, VERSION.minor), true);
    // A guest of a newer major version asks again; one that is older cannot be served.
    if (major > VERSION.major) return INIT_SIZE;
    if (major < VERSION.major || minor < OLDEST_MINOR) return -ERRNO.EOPNOTSUPP;
    const features = message.u32(12) & UNDERSTOOD;
    view.setUint32(8, message.u32(8), true);
    view.setUint32(12, features, true);
    view.setUint32(20, (features & FEATURE.maxPages) === 0 ? 128 * 1024 : MOST_BYTES, true);
    // Times are exact to the nanosecond.
    view.setUint32(24, 1, true);
    view.setUint16(28, MOST_BYTES / 4096, true);
    mounted = true;
    return INIT_SIZE;
  }

  /** Runs an operation; the length of what it put into `body` or straight into the reply, or a negative errno. */
  function perform(message: Message, data: Bytes, into: Bytes): number | Promise<number> {
    if (message.operation === OPERATION.init) return init(message);
    if (message.operation === OPERATION.destroy) {
      reset();
      return 0;
    }
    const operation: Operation | undefined = operations.get(message.operation);
    return operation === undefined ? -ERRNO.ENOSYS : operation(message, data, into);
  }

  const NO_REPLY: ReadonlySet<number> = new Set([OPERATION.forget, OPERATION.batchForget, OPERATION.interrupt]);

  function finish(message: Message, reply: Bytes, result: number): number {
    if (NO_REPLY.has(message.operation) || byteLength(reply) < OUT_HEADER) return 0;
    if (result < 0) return putHeader(reply, message.unique, -result, 0);
    // What a read filled is in its place already.
    if (message.operation !== OPERATION.read) {
      if (OUT_HEADER + result > byteLength(reply)) return putHeader(reply, message.unique, ERRNO.EINVAL, 0);
      fill(reply, OUT_HEADER, body.bytes.subarray(0, result));
    }
    return putHeader(reply, message.unique, 0, result);
  }

  /** A copy of a request without the data of a write, and those. */
  function split(request: Bytes): { bytes: Uint8Array; data: Bytes } | undefined {
    const total = byteLength(request);
    const start = copyOut(request, 0, IN_HEADER + IN_SIZE.write);
    if (start.length < IN_HEADER) return undefined;
    const view = new DataView(start.buffer);
    if (view.getUint32(4, true) === OPERATION.write) {
      return { bytes: start, data: slice(request, start.length, total - start.length) };
    }
    if (total > MOST_REQUEST) return undefined;
    const bytes = total <= start.length ? start : copyOut(request, 0, total);
    // The guest may have made it a write meanwhile.
    return { bytes, data: [] };
  }

  return {
    serve(request, reply) {
      const parts = split(request);
      if (parts === undefined) {
        return byteLength(reply) < OUT_HEADER ? 0 : putHeader(reply, 0n, ERRNO.EINVAL, 0);
      }
      const message = readMessage(parts.bytes);
      const into = slice(reply, OUT_HEADER, Math.max(0, byteLength(reply) - OUT_HEADER));
      const failed = (error: unknown) => finish(message, reply, -refused(error));
      try {
        const result = perform(message, parts.data, into);
        if (typeof result === 'number') return finish(message, reply, result);
        return result.then(
          // Meanwhile others put their replies together: what takes time has none but the header.
          () => finish(message, reply, 0),
          failed,
        );
      } catch (error) {
        return failed(error);
      }
    },
    inUse: () => mounted,
    reset,
    count: session.count,
  };
}
