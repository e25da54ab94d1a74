/** Makes a tar archive of what is at a path of this host. */
import { createReadStream, type Stats } from 'node:fs';
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pack as createPack, type Pack } from 'tar-stream';
import { copyError } from './copy-error.ts';

export interface PackOptions {
  /** What the path is called in the archive; `undefined`: only what is in it goes there. */
  readonly name: string | undefined;
  /** Whether owner and group are kept; root's unless. */
  readonly owners: boolean;
  /** Whether the path itself is followed if it is a symbolic link. */
  readonly follow: boolean;
  /** Takes sentences on what was left out. */
  warn(sentence: string): void;
}

function headerOf(name: string, status: Stats, { owners }: PackOptions) {
  const owner = owners ? { uid: status.uid, gid: status.gid } : { uid: 0, gid: 0 };
  return { name, mode: status.mode & 0o7777, mtime: status.mtime, ...owner };
}

/** Puts a file's bytes in; one that grows meanwhile is cut, and one that shrinks is an error. */
async function addFile(archive: Pack, path: string, name: string, status: Stats, options: PackOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const entry = archive.entry({ ...headerOf(name, status, options), type: 'file', size: status.size }, (error) => {
    if (error === null || error === undefined) resolve();
    else reject(error);
  });
  if (status.size > 0) {
    for await (const chunk of createReadStream(path, { end: status.size - 1 })) {
      if (!entry.write(chunk as Uint8Array)) await new Promise((drained) => entry.once('drain', drained));
    }
  }
  entry.end();
  await promise;
}

async function addDirectory(
  archive: Pack,
  path: string,
  name: string | undefined,
  options: PackOptions,
): Promise<void> {
  for (const child of (await readdir(path)).toSorted()) {
    const below = join(path, child);
    await add(archive, below, name === undefined ? child : `${name}/${child}`, await lstat(below), options);
  }
}

async function add(archive: Pack, path: string, name: string, status: Stats, options: PackOptions): Promise<void> {
  const header = headerOf(name, status, options);
  if (status.isDirectory()) {
    archive.entry({ ...header, name: `${name}/`, type: 'directory' });
    await addDirectory(archive, path, name, options);
  } else if (status.isFile()) await addFile(archive, path, name, status, options);
  else if (status.isSymbolicLink()) archive.entry({ ...header, type: 'symlink', linkname: await readlink(path) });
  else options.warn(`${path} was left out: it is neither a file, a directory nor a symbolic link.`);
}

/** The archive's bytes, as they are asked for. @throws VirtsError `io`, `not-found` from the iteration. */
export async function* pack(path: string, options: PackOptions): AsyncGenerator<Uint8Array, void, void> {
  const archive = createPack();
  let failure: unknown;
  const made = (async () => {
    try {
      if (options.name === undefined) await addDirectory(archive, path, undefined, options);
      else await add(archive, path, options.name, await (options.follow ? stat(path) : lstat(path)), options);
      archive.finalize();
    } catch (error) {
      failure = error;
      archive.destroy();
    }
  })();
  try {
    for await (const bytes of archive) yield bytes;
  } catch (error) {
    failure ??= error;
  } finally {
    // Whoever takes no more of it ends the reading of files, too.
    archive.destroy();
  }
  if (failure !== undefined) throw copyError(failure, path, 'read');
  await made;
}
