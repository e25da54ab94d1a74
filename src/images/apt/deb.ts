/** Reading a Debian package: an ar(5) archive with a compressed tar inside (deb(5)). */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type Entry, extract } from 'tar-stream';
import { VirtsError } from '../../base/errors.ts';
import { fileError } from './cache.ts';
import { compressionOf, decompress } from './decompress.ts';

/** A member of an ar archive. */
export interface ArMember {
  readonly name: string;
  /** Byte offset of its data in the file. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

const AR_MAGIC = '!<arch>\n';
const AR_HEADER = 60;

/** Reads `length` bytes at `offset`, or fewer at the end of the file. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

/** Lists the members of an ar archive of `size` bytes. @throws VirtsError `bad-input` if it is not one. */
export async function listAr(readAt: ReadAt, size: number, what: string): Promise<ArMember[]> {
  const damaged = (): VirtsError => new VirtsError('bad-input', `${what} is not a complete Debian package.`, { what });
  if ((await readAt(0, AR_MAGIC.length)).toString('latin1') !== AR_MAGIC) throw damaged();
  const members: ArMember[] = [];
  for (let at = AR_MAGIC.length; at < size; ) {
    const header = (await readAt(at, AR_HEADER)).toString('latin1');
    const length = header.slice(48, 58).trim();
    if (header.length < AR_HEADER || header.slice(58) !== '`\n' || !/^\d+$/.test(length)) throw damaged();
    const member = {
      name: header.slice(0, 16).trim().replace(/\/$/, ''),
      offset: at + AR_HEADER,
      size: Number(length),
    };
    if (member.offset + member.size > size) throw damaged();
    members.push(member);
    at = member.offset + member.size + (member.size & 1);
  }
  return members;
}

const readAtOf =
  (file: FileHandle): ReadAt =>
  async (offset, length) => {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };

async function dataMember(path: string): Promise<ArMember> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const members = await listAr(readAtOf(file), (await file.stat()).size, path);
    const data = members.find((member) => member.name.startsWith('data.tar'));
    if (data === undefined) throw new VirtsError('bad-input', `${path} is not a complete Debian package.`, { path });
    return data;
  } catch (error) {
    throw fileError(error, path, 'read');
  } finally {
    await file?.close();
  }
}

/** What a package puts into the file system; paths have no leading `./` or `/`. */
export type DebEntry =
  | { readonly type: 'file'; readonly path: string; readonly mode: number; readonly content: Buffer }
  /** `target` as in the link itself. */
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  /** Another name of a file that came before. */
  | { readonly type: 'link'; readonly path: string; readonly target: string }
  | { readonly type: 'directory'; readonly path: string; readonly mode: number };

const plainPath = (path: string): string => path.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '');

async function readEntry(entry: Entry, limit: number): Promise<DebEntry | undefined> {
  const { type, linkname, mode = 0o644 } = entry.header;
  const path = plainPath(entry.header.name);
  if (type === 'file') {
    if ((entry.header.size ?? 0) > limit)
      throw new VirtsError('bad-input', `The package holds more than it can: ${path} is too long.`, { path });
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry) chunks.push(chunk);
    return { type, path, mode: mode & 0o7777, content: Buffer.concat(chunks) };
  }
  entry.resume();
  if (type === 'directory') return { type, path, mode: mode & 0o7777 };
  if (type === 'symlink' && typeof linkname === 'string') return { type, path, target: linkname };
  if (type === 'link' && typeof linkname === 'string') return { type, path, target: plainPath(linkname) };
  return undefined;
}

/**
 * Reads from a .deb the entries that `wanted` picks by their path (without a leading `./` or `/`), in their order.
 * @param limit most bytes that all files may have together.
 * @throws VirtsError `bad-input` for a damaged package, `not-found` or `io`, or the reason of the abort.
 */
export async function* debEntries(
  path: string,
  wanted: (path: string) => boolean,
  limit: number,
  signal?: AbortSignal,
): AsyncGenerator<DebEntry> {
  const member = await dataMember(path);
  const compression = compressionOf(member.name, 'data.tar');
  if (compression === undefined) {
    throw new VirtsError('unsupported', `${path} is packed in a way that is not supported (${member.name}).`, { path });
  }
  const stream = createReadStream(path, {
    start: member.offset,
    end: member.offset + member.size - 1,
    ...(signal === undefined ? {} : { signal }),
  });
  const tar = extract();
  const unpacking = Readable.from(decompress(stream, compression, path));
  unpacking.on('error', (error) => tar.destroy(error));
  unpacking.pipe(tar);
  let left = limit;
  try {
    for await (const entry of tar) {
      if (!wanted(plainPath(entry.header.name))) {
        entry.resume();
        continue;
      }
      const read = await readEntry(entry, left);
      if (read?.type === 'file') left -= read.content.length;
      if (read !== undefined) yield read;
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof VirtsError) throw error;
    throw new VirtsError('bad-input', `${path} is damaged: its files cannot be read.`, { path }, error);
  } finally {
    stream.destroy();
    unpacking.destroy();
  }
}

/** The regular files among `debEntries`, by path. */
export async function readDeb(
  path: string,
  wanted: (path: string) => boolean,
  limit: number,
  signal?: AbortSignal,
): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for await (const entry of debEntries(path, wanted, limit, signal)) {
    if (entry.type === 'file') files.set(entry.path, entry.content);
  }
  return files;
}
