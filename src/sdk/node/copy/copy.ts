/** Copies files between this host and a guest, as tar archives that `tar` in the guest makes or takes. */
import { lstatSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { VirtsError } from '../../../base/errors.ts';
import { execute, type GuestProgram, type OutputReceiver } from '../../../vm/agent/execute.ts';
import { fileStatus } from '../../../vm/agent/requests.ts';
import { type DialAgent, printable } from '../../../vm/agent/session.ts';
import { pack } from './pack.ts';
import { formOf, type Kind, targetOf } from './place.ts';
import { unpack } from './unpack.ts';

export interface CopyOptions {
  /** Whether owner and group are kept; otherwise files belong to root in the guest, and to this user on this host. */
  readonly owners: boolean;
  /** Whether what is named is followed if it is a symbolic link. */
  readonly follow: boolean;
  /** Takes sentences on what was left out. */
  warn(sentence: string): void;
  /** Ends the copy, which then rejects with its reason. What was copied before stays. */
  readonly signal?: AbortSignal | undefined;
}

const DIRECTORY = 0o040000;
const TYPE = 0o170000;
const isDirectory = (mode: number) => (mode & TYPE) === DIRECTORY;

const kindOfGuest =
  (dial: DialAgent) =>
  async (path: string): Promise<Kind> => {
    const status = await fileStatus(dial, path);
    return status === undefined ? 'none' : isDirectory(status.targetMode) ? 'directory' : 'file';
  };

function statusHere(path: string, follow: boolean): Stats | undefined {
  try {
    return follow ? statSync(path) : lstatSync(path);
  } catch {
    return undefined;
  }
}

function kindHere(path: string): Kind {
  const status = statusHere(path, true) ?? statusHere(path, false);
  return status === undefined ? 'none' : status.isDirectory() ? 'directory' : 'file';
}

/** Most bytes of what a program says of its failure. */
const MOST_SAID = 2000;

/** A `tar` in the guest, with what it complains of. */
interface Tar {
  readonly program: GuestProgram;
  /** Resolves when it has done its work. @throws VirtsError `io` with what it says. */
  ended(): Promise<void>;
}

function runTar(dial: DialAgent, command: readonly string[], stdout: OutputReceiver['stdout'], input: boolean): Tar {
  let said = '';
  const program = execute(
    dial,
    { command, input, directory: '/' },
    {
      stdout,
      stderr(bytes) {
        if (said.length < MOST_SAID) said += Buffer.from(bytes).toString();
      },
    },
  );
  return {
    program,
    async ended() {
      const { status, signal } = await program.exited;
      if (status === 0 && signal === 0) return;
      const reason = printable(said.trim().split('\n')[0]!);
      throw new VirtsError(
        'io',
        `The guest could not copy it: ${reason || `tar ended with status ${status || 128 + signal}`}.`,
      );
    },
  };
}

/** Lets a `tar` work; however that ends, and when the signal says so, the guest has no more of it. */
async function withTar({ program }: Tar, signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
  const abandon = () => program.abandon();
  signal?.addEventListener('abort', abandon, { once: true });
  try {
    await work();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abandon);
    program.abandon();
  }
}

async function feed(program: GuestProgram, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const part of bytes) {
    if (program.inputClosed) break;
    await program.write(Uint8Array.from(part));
  }
  program.closeInput();
}

/** A file of the guest is root's unless its owner is kept, whatever the archive says. */
const takeOptions = (owners: boolean) => (owners ? ['-xpf'] : ['-xpof']);

/** Has the guest take an archive into a directory. */
async function sendArchive(
  dial: DialAgent,
  archive: AsyncIterable<Uint8Array>,
  into: string,
  { owners, signal }: CopyOptions,
): Promise<void> {
  signal?.throwIfAborted();
  const tar = runTar(dial, ['tar', ...takeOptions(owners), '-', '-C', into], () => {}, true);
  await withTar(tar, signal, async () => void (await Promise.all([feed(tar.program, archive), tar.ended()])));
}

/** Puts what is in a tar archive into a directory of the guest. @throws VirtsError `not-found`, `io`. */
export async function archiveToGuest(
  dial: DialAgent,
  archive: AsyncIterable<Uint8Array>,
  path: string,
  options: CopyOptions,
): Promise<void> {
  if ((await kindOfGuest(dial)(path)) !== 'directory')
    throw new VirtsError('not-found', `The guest has no directory ${path}.`);
  await sendArchive(dial, archive, path, options);
}

/** Copies a file or a directory of this host to a path of the guest, by Docker's rules (`place.ts`). @throws VirtsError `not-found`, `io`, `no-space`. */
export async function copyToGuest(dial: DialAgent, from: string, to: string, options: CopyOptions): Promise<void> {
  const { isContents, asDirectory } = formOf(from);
  const status = statusHere(from, options.follow || asDirectory);
  if (status === undefined) throw new VirtsError('not-found', `There is no file ${from}.`, { path: from });
  if (asDirectory && !status.isDirectory()) throw new VirtsError('io', `${from} is no directory.`, { path: from });
  const source = { name: basename(resolve(from)), isDirectory: status.isDirectory(), isContents };
  const target = await targetOf(source, join('/', to), kindOfGuest(dial));
  const archive = pack(from, {
    name: target.name,
    owners: options.owners,
    follow: options.follow || asDirectory,
    warn: options.warn,
  });
  await sendArchive(dial, archive, target.into, options);
}

/** The guest's archive of what is at a path, named by the last part of it; and what that is. */
async function archiveOf(dial: DialAgent, path: string, { follow }: CopyOptions) {
  const form = formOf(path);
  const status = await fileStatus(dial, path);
  if (status === undefined) throw new VirtsError('not-found', `The guest has no file ${path}.`, { path });
  const mode = follow || form.asDirectory ? status.targetMode : status.mode;
  if (form.asDirectory && !isDirectory(mode))
    throw new VirtsError('io', `${path} in the guest is no directory.`, { path });
  const whole = join('/', path);
  // What is in a directory is archived from within it: so a link to it, or the root, has no name that matters.
  const within = isDirectory(mode) && (form.asDirectory || follow || whole === '/');
  const name = basename(whole) || 'root';
  return {
    name,
    top: within ? undefined : name,
    isDirectory: isDirectory(mode),
    isContents: form.isContents,
    command: [
      'tar',
      follow && !within ? '-chf' : '-cf',
      '-',
      '-C',
      within ? whole : dirname(whole),
      '--',
      within ? '.' : name,
    ],
  };
}

/** Output of a program as it is asked for. */
function readable(start: (receive: OutputReceiver['stdout']) => Tar): {
  readonly tar: Tar;
  readonly bytes: AsyncIterable<Uint8Array>;
} {
  const { readable: bytes, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, {
    highWaterMark: 4,
  });
  const writer = writable.getWriter();
  writer.closed.catch(() => {});
  const tar = start((part) => writer.write(part));
  tar.ended().then(
    () => writer.close().catch(() => {}),
    (error) => writer.abort(error).catch(() => {}),
  );
  return { tar, bytes };
}

/** Gives `take` a tar archive of what is at a path of the guest. @throws VirtsError `not-found`, `io`. */
export async function archiveFromGuest(
  dial: DialAgent,
  path: string,
  options: CopyOptions,
  take: OutputReceiver['stdout'],
): Promise<void> {
  const { command } = await archiveOf(dial, path, options);
  const tar = runTar(dial, command, take, false);
  await withTar(tar, options.signal, tar.ended);
}

/**
 * Copies a file or a directory of the guest to a path of this host, by Docker's rules. Nothing of it gets outside that path.
 * @throws VirtsError `not-found`, `io`, `no-space`; `bad-input` where the guest sends what it should not.
 */
export async function copyToHost(dial: DialAgent, from: string, to: string, options: CopyOptions): Promise<void> {
  const { owners, warn, signal } = options;
  const source = await archiveOf(dial, from, options);
  const { into, name } = await targetOf(source, to, kindHere);
  signal?.throwIfAborted();
  const { tar, bytes } = readable((receive) => runTar(dial, source.command, receive, false));
  await withTar(tar, signal, () => unpack(bytes, { into, top: source.top, name, owners, warn }));
}
