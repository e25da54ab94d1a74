/**
 * Puts what a tar archive of a guest holds below a directory of this host. The guest is not trusted: nothing gets outside the
 * directory, no file gets another user's rights, and nothing follows a link that the archive brought.
 */
import { createWriteStream } from 'node:fs';
import { chmod, lchown, link, lstat, mkdir, rm, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Entry, extract, type Header } from 'tar-stream';
import { VirtsError } from '../../../base/errors.ts';
import { copyError } from './copy-error.ts';

export interface UnpackOptions {
  /** The directory that all of it goes into. */
  readonly into: string;
  /** The archive's only top entry; `undefined`: there is none. */
  readonly top: string | undefined;
  /** What that is called here; `undefined`: what is below it goes straight into the directory. */
  readonly name: string | undefined;
  /** Whether owner and group are kept. */
  readonly owners: boolean;
  /** Takes sentences on what was left out. */
  warn(sentence: string): void;
}

/** A directory whose permissions and time are set when all that is in it is there. */
interface LaterDirectory {
  readonly path: string;
  readonly header: Header;
}

const malformed = (what: string) =>
  new VirtsError('bad-input', `The guest's archive is not right: ${what}; nothing more of it was copied.`);

/** The parts of an entry's path below the top; `undefined` where it is none. */
function partsOf(name: string, top: string | undefined): string[] | undefined {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  const first = top === undefined ? undefined : parts.shift();
  return first !== top || name.includes('\0') || parts.includes('..') ? undefined : parts;
}

/** Makes sure that a path leads over real directories below `into`, and makes those that are missing. */
async function makeParents(into: string, parts: readonly string[]): Promise<void> {
  let path = into;
  for (const part of parts) {
    path = join(path, part);
    const there = await lstat(path).catch(() => undefined);
    if (there === undefined) await mkdir(path);
    else if (!there.isDirectory()) throw malformed(`${path} is no directory, and something is to be in it`);
  }
}

/** Removes what is in the way of a file. */
async function clear(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there?.isDirectory() === true)
    throw new VirtsError('io', `${path} is a directory; a file cannot take its place.`, { path });
  if (there !== undefined) await rm(path);
}

const permissions = ({ mode = 0 }: Header) => mode & 0o777;

async function finish(path: string, header: Header, { owners }: UnpackOptions): Promise<void> {
  if (owners) await lchown(path, header.uid ?? 0, header.gid ?? 0);
  if (header.type === 'symlink') return;
  await chmod(path, permissions(header));
  if (header.mtime !== undefined && header.mtime !== null) await utimes(path, header.mtime, header.mtime);
}

/** Copies an archive; `archive` is what comes from the guest. @throws VirtsError `bad-input`, `io`, `no-space`. */
export async function unpack(archive: AsyncIterable<Uint8Array>, options: UnpackOptions): Promise<void> {
  const { into, top, name, warn } = options;
  const placed = (entry: string): string[] => {
    const parts = partsOf(entry, top);
    if (parts === undefined) throw malformed(`it has an entry '${entry}'`);
    return name === undefined ? parts : [name, ...parts];
  };
  const directories: LaterDirectory[] = [];

  async function makeDirectory(path: string, header: Header): Promise<void> {
    const there = await lstat(path).catch(() => undefined);
    if (there !== undefined && !there.isDirectory()) {
      throw new VirtsError('io', `${path} is there and no directory; a directory cannot take its place.`, { path });
    }
    if (there === undefined) await mkdir(path, { mode: 0o700 });
    directories.push({ path, header });
  }

  async function place(entry: Entry): Promise<void> {
    const { header } = entry;
    const parts = placed(header.name);
    const path = join(into, ...parts);
    await makeParents(into, parts.slice(0, -1));
    if (header.type === 'directory') {
      if (parts.length > 0) await makeDirectory(path, header);
    } else if (parts.length === 0) throw malformed('it has a file where a directory was to be');
    else if (header.type === 'file' || header.type === 'contiguous-file') {
      await clear(path);
      await pipeline(entry, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
      await finish(path, header, options);
    } else if (header.type === 'symlink') {
      await clear(path);
      await symlink(header.linkname ?? '', path);
      await finish(path, header, options);
    } else if (header.type === 'link') {
      const from = placed(header.linkname ?? '');
      await makeParents(into, from.slice(0, -1));
      const target = await lstat(join(into, ...from)).catch(() => undefined);
      if (target?.isFile() !== true) throw malformed(`it links '${header.name}' to what is no file of it`);
      await clear(path);
      await link(join(into, ...from), path);
    } else warn(`${path} was left out: it is a ${header.type}.`);
    entry.resume();
  }

  const entries = extract();
  const fed = pipeline(archive, entries);
  fed.catch(() => {});
  let at = into;
  try {
    for await (const entry of entries) {
      at = join(into, entry.header.name);
      await place(entry);
    }
    await fed;
    for (const { path, header } of directories.toReversed()) {
      at = path;
      await finish(path, header, options);
    }
  } catch (error) {
    if (error instanceof VirtsError) throw error;
    const isSystem = typeof (error as NodeJS.ErrnoException).syscall === 'string';
    throw isSystem ? copyError(error, at, 'written') : malformed((error as Error).message);
  }
}
