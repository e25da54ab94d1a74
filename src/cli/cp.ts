/** `virts cp`: copies files between this host and a guest, as tar archives that `tar` in the guest makes or takes. */
import { lstatSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { VirtsError } from '../base/errors.ts';
import { pack } from '../sdk/node/copy/pack.ts';
import { formOf, type Kind, parsePlace, targetOf } from '../sdk/node/copy/place.ts';
import { unpack } from '../sdk/node/copy/unpack.ts';
import { execute, type GuestProgram, type OutputReceiver } from '../vm/agent/execute.ts';
import { fileStatus } from '../vm/agent/requests.ts';
import { type DialAgent, printable } from '../vm/agent/session.ts';
import type { ExecEnvironment } from './exec.ts';
import { agentOf } from './machine-socket.ts';

interface CopyOptions {
  readonly owners: boolean;
  readonly follow: boolean;
}

const usage = (sentence: string) => new VirtsError('usage', `${sentence}; 'virts cp --help' says what there is.`);

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
function runTar(dial: DialAgent, command: readonly string[], stdout: OutputReceiver['stdout'], input: boolean) {
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
    async ended(): Promise<void> {
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

async function feed(program: GuestProgram, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const part of bytes) {
    if (program.inputClosed) break;
    await program.write(Uint8Array.from(part));
  }
  program.closeInput();
}

/** A file of the guest is root's unless its owner is kept, whatever the archive says. */
const takeOptions = (owners: boolean) => (owners ? ['-xpf'] : ['-xpof']);

/** From an archive on standard input into a directory of the guest. */
async function fromArchive(
  dial: DialAgent,
  path: string,
  { owners }: CopyOptions,
  { stdin }: ExecEnvironment,
): Promise<void> {
  if ((await kindOfGuest(dial)(path)) !== 'directory')
    throw new VirtsError('not-found', `The guest has no directory ${path}.`);
  const tar = runTar(dial, ['tar', ...takeOptions(owners), '-', '-C', path], () => {}, true);
  await Promise.all([feed(tar.program, stdin), tar.ended()]);
}

async function toGuest(
  dial: DialAgent,
  from: string,
  to: string,
  options: CopyOptions,
  warn: (text: string) => void,
): Promise<void> {
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
    warn,
  });
  const tar = runTar(dial, ['tar', ...takeOptions(options.owners), '-', '-C', target.into], () => {}, true);
  await Promise.all([feed(tar.program, archive), tar.ended()]);
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
function readable(start: (receive: OutputReceiver['stdout']) => { ended(): Promise<void> }): AsyncIterable<Uint8Array> {
  const { readable: bytes, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, {
    highWaterMark: 4,
  });
  const writer = writable.getWriter();
  const { ended } = start((part) => writer.write(part));
  ended().then(
    () => writer.close().catch(() => {}),
    (error) => writer.abort(error).catch(() => {}),
  );
  return bytes;
}

async function toArchive(
  dial: DialAgent,
  path: string,
  options: CopyOptions,
  { stdout }: ExecEnvironment,
): Promise<void> {
  const { command } = await archiveOf(dial, path, options);
  const tar = runTar(
    dial,
    command,
    (bytes) => {
      if (!stdout.write(bytes)) return new Promise<void>((drained) => void stdout.once('drain', drained));
    },
    false,
  );
  await tar.ended();
}

async function toHost(
  dial: DialAgent,
  from: string,
  to: string,
  options: CopyOptions,
  warn: (text: string) => void,
): Promise<void> {
  const source = await archiveOf(dial, from, options);
  const target = await targetOf(source, to, kindHere);
  let program: GuestProgram | undefined;
  const archive = readable((receive) => {
    const tar = runTar(dial, source.command, receive, false);
    program = tar.program;
    return tar;
  });
  try {
    const { into, name } = target;
    await unpack(archive, { into, top: source.top, name, owners: options.owners, warn });
  } finally {
    program?.abandon();
  }
}

/** The options in front, and two places. */
function parse(words: readonly string[]): CopyOptions & { readonly from: string; readonly to: string } {
  let [owners, follow] = [false, false];
  const rest = [...words];
  while (rest[0]?.startsWith('-') === true && rest[0] !== '-') {
    const word = rest.shift()!;
    if (word === '--') break;
    const letters =
      word === '--archive' ? 'a' : word === '--follow-link' ? 'L' : word.startsWith('--') ? '?' : word.slice(1);
    if (!/^[aL]+$/.test(letters)) throw usage(`There is no option ${word}`);
    owners ||= letters.includes('a');
    follow ||= letters.includes('L');
  }
  const [from, to] = rest;
  if (from === undefined || to === undefined || rest.length > 2) throw usage('Name what to copy, and where to');
  return { owners, follow, from, to };
}

/** Copies. @returns 0. @throws VirtsError. */
export async function cp(words: readonly string[], environment: ExecEnvironment): Promise<number> {
  const options = parse(words);
  const [from, to] = [parsePlace(options.from), parsePlace(options.to)];
  const warn = (sentence: string) => void environment.stderr.write(`virts: ${sentence}\n`);
  const machine = from.machine ?? to.machine;
  if (machine === undefined || (from.machine !== undefined && to.machine !== undefined)) {
    throw usage('One of the two places is in a machine, as MACHINE:PATH');
  }
  const dial = agentOf(machine, environment.env, warn);
  if (from.machine !== undefined && to.path === '-') await toArchive(dial, from.path, options, environment);
  else if (from.machine !== undefined) await toHost(dial, from.path, to.path, options, warn);
  else if (from.path === '-') await fromArchive(dial, to.path, options, environment);
  else await toGuest(dial, from.path, to.path, options, warn);
  return 0;
}
