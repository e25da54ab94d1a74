/** Files that Virts keeps between runs, and how one is written: whole or not at all. */
import { createHash, type Hash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileReason, VirtsError } from '../../base/errors.ts';
import { virtsDirectory } from '../directories.ts';

/** What can be had again: downloads and what was made of them. */
export const cacheDirectory = (env: NodeJS.ProcessEnv = process.env): string => virtsDirectory(env, 'XDG_CACHE_HOME');

const PART = /^\..+\.(\d+)\.\d+\.part$/;
const unfinished = new Set<string>();
let serial = 0;

function removeUnfinished(): void {
  for (const path of unfinished) rmSync(path, { force: true });
}

/** Turns a failed file operation into a sentence. */
export function fileError(error: unknown, path: string, doing: 'read' | 'written'): VirtsError {
  if (error instanceof VirtsError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new VirtsError(
      'no-space',
      `The disk is full: ${dirname(path)} has no room for ${basename(path)}; free some space or set XDG_CACHE_HOME to another disk.`,
      { path },
      error,
    );
  }
  if (code === 'ENOENT' && doing === 'read') {
    return new VirtsError('not-found', `There is no file ${path}.`, { path }, error);
  }
  return new VirtsError('io', `${path} could not be ${doing}${fileReason(error)}.`, { path }, error);
}

/** Makes a directory and those above it. Node's own recursion never ends where a file system, such as /proc, takes none. */
async function makeDirectory(path: string, again = true): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || !again || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await makeDirectory(path, false);
  }
}

async function makeCacheDirectory(path: string): Promise<void> {
  try {
    await makeDirectory(path);
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') throw error;
    const message = `The cache directory ${path} could not be made (${code}); set XDG_CACHE_HOME to a directory of yours.`;
    throw new VirtsError('io', message, { path }, error);
  }
}

/** A file under a temporary name, with the SHA-256 of what was written so far. */
export interface NewFile {
  /** Bytes written so far. */
  readonly length: number;
  write(bytes: Uint8Array): Promise<void>;
  /** Starts again at length 0. */
  restart(): Promise<void>;
  /** SHA-256 of everything written, as lower-case hexadecimal. */
  digest(): string;
  /** Flushes to the disk and gives the file its name. */
  commit(): Promise<void>;
  /** Removes the temporary file, unless it was committed. */
  discard(): Promise<void>;
}

/**
 * Begins a file that appears at `path` only when it is complete. Until then it has a temporary name, which goes when
 * the process ends in whatever way it can notice; `sweep` removes what a killed process left.
 */
export async function createFile(path: string): Promise<NewFile> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${process.pid}.${serial++}.part`);
  if (serial === 1) process.on('exit', removeUnfinished);
  let handle: FileHandle | undefined;
  let hash: Hash = createHash('sha256');
  let length = 0;
  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw fileError(error, path, 'written');
    }
  };
  await attempt(async () => {
    await makeCacheDirectory(directory);
    unfinished.add(temporary);
    handle = await open(temporary, 'wx', 0o644);
  });
  return {
    get length() {
      return length;
    },
    write: (bytes) =>
      attempt(async () => {
        for (let at = 0; at < bytes.length; ) {
          at += (await handle!.write(bytes, at, bytes.length - at, length + at)).bytesWritten;
        }
        hash.update(bytes);
        length += bytes.length;
      }),
    restart: () =>
      attempt(async () => {
        await handle!.truncate(0);
        hash = createHash('sha256');
        length = 0;
      }),
    digest: () => hash.copy().digest('hex'),
    commit: () =>
      attempt(async () => {
        await handle!.sync();
        await handle!.close();
        handle = undefined;
        await rename(temporary, path);
        unfinished.delete(temporary);
        await syncDirectory(directory);
      }),
    discard: async () => {
      if (!unfinished.has(temporary)) return;
      await handle?.close().catch(() => {});
      await rm(temporary, { force: true }).catch(() => {});
      unfinished.delete(temporary);
    },
  };
}

/** Makes the names in a directory stable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r').catch(() => undefined);
  // Some file systems and Windows cannot flush a directory; the file itself is flushed either way.
  await directory?.sync().catch(() => {});
  await directory?.close();
}

/** Writes a whole file in one go. */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const file = await createFile(path);
  try {
    await file.write(bytes);
    await file.commit();
  } finally {
    await file.discard();
  }
}

/** Whether a process of this host with that number runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes temporary files below `directory` whose process is gone. */
export async function sweep(directory: string): Promise<void> {
  const names = await readdir(directory, { recursive: true }).catch(() => [] as string[]);
  for (const name of names) {
    const match = PART.exec(basename(name));
    if (match !== null && !isAlive(Number(match[1]))) await rm(join(directory, name), { force: true }).catch(() => {});
  }
}
