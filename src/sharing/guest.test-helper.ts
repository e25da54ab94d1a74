/** A guest's side of a shared folder, for tests: makes requests and reads replies. */
import { copyOut } from '../base/pieces.ts';
import { ATTRIBUTES_SIZE, ENTRY_SIZE, IN_HEADER, OPERATION, OUT_HEADER } from './protocol.ts';
import type { FolderServer } from './server.ts';

/** A part of a request: a number of four bytes, of eight, or text that ends in NUL. */
export type Part = number | bigint | string | Uint8Array;

const text = new TextEncoder();

/** The bytes behind a request's header. */
export function encode(parts: readonly Part[]): Uint8Array {
  const pieces = parts.map((part) => {
    if (part instanceof Uint8Array) return part;
    if (typeof part === 'string') return text.encode(`${part}\0`);
    const bytes = new Uint8Array(typeof part === 'number' ? 4 : 8);
    const view = new DataView(bytes.buffer);
    if (typeof part === 'number') view.setUint32(0, part >>> 0, true);
    else view.setBigUint64(0, BigInt.asUintN(64, part), true);
    return bytes;
  });
  return copyOut(pieces, 0, Number.MAX_SAFE_INTEGER);
}

export interface Caller {
  readonly uid: number;
  readonly gid: number;
}

export function request(operation: number, node: bigint, parts: readonly Part[], { uid, gid }: Caller): Uint8Array {
  const body = encode(parts);
  const bytes = new Uint8Array(IN_HEADER + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint32(4, operation, true);
  view.setBigUint64(8, 7n, true);
  view.setBigUint64(16, node, true);
  view.setUint32(24, uid, true);
  view.setUint32(28, gid, true);
  bytes.set(body, IN_HEADER);
  return bytes;
}

export interface GuestAttributes {
  readonly ino: bigint;
  readonly size: number;
  readonly blocks: number;
  /** Seconds and nanoseconds. */
  readonly mtime: readonly [bigint, number];
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
}

function attributesAt(bytes: Uint8Array, at: number): GuestAttributes {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, ATTRIBUTES_SIZE);
  return {
    ino: view.getBigUint64(0, true),
    size: Number(view.getBigUint64(8, true)),
    blocks: Number(view.getBigUint64(16, true)),
    mtime: [view.getBigInt64(32, true), view.getUint32(52, true)],
    mode: view.getUint32(60, true),
    links: view.getUint32(64, true),
    uid: view.getUint32(68, true),
    gid: view.getUint32(72, true),
  };
}

export interface Entry {
  readonly node: bigint;
  readonly attributes: GuestAttributes;
}

const entryAt = (bytes: Uint8Array, at = 0): Entry => ({
  node: new DataView(bytes.buffer, bytes.byteOffset + at).getBigUint64(0, true),
  attributes: attributesAt(bytes, at + 40),
});

export interface ListedEntry {
  readonly name: string;
  readonly next: bigint;
  readonly entry: Entry | undefined;
}

function listed(bytes: Uint8Array, plus: boolean): ListedEntry[] {
  const found: ListedEntry[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; ) {
    const start = at + (plus ? ENTRY_SIZE : 0);
    const length = view.getUint32(start + 16, true);
    const name = new TextDecoder().decode(bytes.subarray(start + 24, start + 24 + length));
    const next = view.getBigUint64(start + 8, true);
    found.push({ name, next, entry: plus ? entryAt(bytes, at) : undefined });
    at = (start + 24 + length + 7) & ~7;
  }
  return found;
}

/** What a reply says: its bytes behind the header, or the number of an error. */
export type Answer = Uint8Array | number;

/** Calls a server as a guest's kernel does. Methods throw the name `errno N` where the server refuses. */
export function guestOf(server: FolderServer, who: Caller = { uid: 0, gid: 0 }) {
  async function ask(operation: number, node: bigint, parts: readonly Part[], room = 0, caller = who): Promise<Answer> {
    const reply = new Uint8Array(OUT_HEADER + room);
    const length = await server.serve([request(operation, node, parts, caller)], [reply]);
    const view = new DataView(reply.buffer);
    if (length !== view.getUint32(0, true))
      throw new Error(`a reply of ${length} bytes says ${view.getUint32(0, true)}`);
    const error = -view.getInt32(4, true);
    return error > 0 ? error : reply.subarray(OUT_HEADER, length);
  }
  async function must(...question: Parameters<typeof ask>): Promise<Uint8Array> {
    const answer = await ask(...question);
    if (typeof answer === 'number') throw new Error(`errno ${answer}`);
    return answer;
  }
  const u64 = (bytes: Uint8Array, at: number) =>
    new DataView(bytes.buffer, bytes.byteOffset + at).getBigUint64(0, true);
  const u32 = (bytes: Uint8Array, at: number) => new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0, true);
  const guest = {
    ask,
    must,
    init: (features = 0xffff_ffff) => must(OPERATION.init, 0n, [7, 31, 131072, features, new Uint8Array(48)], 64),
    lookup: async (node: bigint, name: string) => entryAt(await must(OPERATION.lookup, node, [name], 128)),
    /** Follows a path from the root. */
    async walk(path: string): Promise<Entry> {
      let found: Entry = { node: 1n, attributes: await guest.attributes(1n) };
      for (const name of path.split('/').filter((part) => part !== '')) {
        found = await guest.lookup(found.node, name);
        if (found.node === 0n) throw new Error('errno 2');
      }
      return found;
    },
    attributes: async (node: bigint) => attributesAt(await must(OPERATION.getAttributes, node, [0, 0, 0n], 104), 16),
    forget: (node: bigint, times = 1n) => ask(OPERATION.forget, node, [times]).catch(() => 0),
    async set(
      node: bigint,
      valid: number,
      values: { mode?: number; uid?: number; gid?: number; size?: bigint; mtime?: [bigint, number]; file?: bigint },
    ) {
      const { mode = 0, uid = 0, gid = 0, size = 0n, mtime = [0n, 0], file = 0n } = values;
      const parts = [valid, 0, file, size, 0n, 0n, mtime[0], 0n, 0, mtime[1], 0, mode, 0, uid, gid, 0];
      return attributesAt(await must(OPERATION.setAttributes, node, parts, 104), 16);
    },
    makeDirectory: async (node: bigint, name: string, mode = 0o755) =>
      entryAt(await must(OPERATION.makeDirectory, node, [mode, 0, name], 128)),
    makeNode: async (node: bigint, name: string, mode: number) =>
      entryAt(await must(OPERATION.makeNode, node, [mode, 0, 0, 0, name], 128)),
    symlink: async (node: bigint, name: string, target: string) =>
      entryAt(await must(OPERATION.symlink, node, [name, target], 128)),
    readLink: async (node: bigint) => new TextDecoder().decode(await must(OPERATION.readLink, node, [], 4096)),
    link: async (node: bigint, to: bigint, name: string) => entryAt(await must(OPERATION.link, to, [node, name], 128)),
    unlink: (node: bigint, name: string) => must(OPERATION.unlink, node, [name]),
    removeDirectory: (node: bigint, name: string) => must(OPERATION.removeDirectory, node, [name]),
    rename: (node: bigint, name: string, to: bigint, newName: string, flags = 0) =>
      must(OPERATION.rename2, node, [to, flags, 0, name, newName]),
    async open(node: bigint, flags = 0): Promise<{ file: bigint; flags: number }> {
      const bytes = await must(OPERATION.open, node, [flags, 0], 16);
      return { file: u64(bytes, 0), flags: u32(bytes, 8) };
    },
    async create(node: bigint, name: string, flags = 2, mode = 0o644): Promise<Entry & { file: bigint }> {
      const bytes = await must(OPERATION.create, node, [flags, mode | 0o100000, 0, 0, name], 144);
      return { ...entryAt(bytes), file: u64(bytes, 128) };
    },
    read: (file: bigint, position: bigint, size: number) =>
      must(OPERATION.read, 1n, [file, position, size, 0, 0n, 0, 0], size),
    async write(file: bigint, position: bigint, data: Uint8Array): Promise<number> {
      return u32(await must(OPERATION.write, 1n, [file, position, data.length, 0, 0n, 0, 0, data], 8), 0);
    },
    release: (file: bigint) => must(OPERATION.release, 1n, [file, 0, 0, 0n]),
    sync: (file: bigint, flags = 0) => must(OPERATION.sync, 1n, [file, flags, 0]),
    openDirectory: async (node: bigint) => u64(await must(OPERATION.openDirectory, node, [0, 0], 16), 0),
    async list(node: bigint, file: bigint, offset = 0n, size = 4096, plus = false): Promise<ListedEntry[]> {
      const operation = plus ? OPERATION.readDirectoryPlus : OPERATION.readDirectory;
      return listed(await must(operation, node, [file, offset, size, 0, 0n, 0, 0], size), plus);
    },
    /** Everything in a directory but `.` and `..`. */
    async names(node: bigint, plus = false, size = 4096): Promise<ListedEntry[]> {
      const file = await guest.openDirectory(node);
      const all: ListedEntry[] = [];
      for (;;) {
        const some = await guest.list(node, file, all.at(-1)?.next ?? 0n, size, plus);
        if (some.length === 0) break;
        all.push(...some);
      }
      await must(OPERATION.releaseDirectory, node, [file, 0, 0, 0n]);
      return all.filter(({ name }) => name !== '.' && name !== '..');
    },
  };
  return guest;
}

export type FolderGuest = ReturnType<typeof guestOf>;
