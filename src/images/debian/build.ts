/** Builds the disk of a Debian image, in a machine of its own: packages install themselves there, as root of nothing but it. */
import { randomUUID } from 'node:crypto';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { extract, pack } from 'tar-stream';
import { VirtsError } from '../../base/errors.ts';
import type { BlockDevice } from '../../storage/block-device.ts';
import { type ByteFile, memoryFile } from '../../storage/byte-file.ts';
import { createDisk } from '../../storage/create-disk.ts';
import { openHostFile } from '../../storage/host-file.ts';
import { type IsoFile, isoDisk, isoText } from '../../storage/iso9660.ts';
import { rawDisk } from '../../storage/raw.ts';
import type { Architecture } from '../apt/archive.ts';
import { fileError } from '../apt/cache.ts';
import { debEntries } from '../apt/deb.ts';
import type { Progress, ProgressStep } from '../apt/progress.ts';
import type { Guest } from '../default-guest.ts';
import type { CpioEntry } from '../initramfs/cpio.ts';
import { type Fetched, type KernelFiles, kernelFiles } from '../initramfs/packages.ts';
import type { RunGuest } from '../run-guest.ts';
import { buildScript, FIRST, ON_DISK } from './build-script.ts';
import { type BuildConsole, createBuildConsole } from './console.ts';
import { builderInitrd } from './initrd.ts';
import { unpackOrder } from './order.ts';
import { FINISH_SCRIPT, type ImageFile } from './system-files.ts';

export interface BuildRequest {
  /** The default guest's: what the builder boots. */
  readonly guest: Guest;
  readonly architecture: Architecture;
  /** All packages of the image. */
  readonly packages: readonly Fetched[];
  /** Names of those that dpkg itself and the first maintainer scripts need. */
  readonly bootstrap: ReadonlySet<string>;
  /** Those that mke2fs is in, with what it needs. */
  readonly tools: readonly Fetched[];
  /** Files beside the packages, given the UUID of the file system. */
  readonly files: (uuid: string) => readonly ImageFile[];
  /** Bytes that the guest sees. */
  readonly diskSize: number;
  /** Path of the disk, which is made. */
  readonly disk: string;
  /** Path of a file for all that the builder's console says. */
  readonly log: string;
  readonly run: RunGuest;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** What is known of the code at an address (jump cache, links) serves a program again that runs at the same ones. */
const APPEND = 'console=ttyS0 quiet panic=-1 mitigations=off norandmaps';
/** Bytes of the builder's memory. Most of it is files on their way to the disk. */
const MEMORY = 768 << 20;
/** dpkg unpacks a package in one process and puts its files in place in another. More has nothing to do. */
const CPUS = 2;
/** Bytes of the disk by which the builder hands out the kernel and some modules; it takes memory as it is filled. */
const HANDED_OUT = 64 << 20;
/** After so long (ms) without a word from the guest it is taken for dead; the longest step on a busy host takes a fraction of it. */
const SILENCE = 600_000;
/** Most bytes of the files of one package of tools. */
const MAX_TOOLS = 64 << 20;

/** What the initramfs needs of the packages that have mke2fs: the program, and libraries. */
async function toolEntries(tools: readonly Fetched[], signal: AbortSignal): Promise<CpioEntry[]> {
  const wanted = (path: string): boolean =>
    /^(usr\/)?sbin\/mke2fs$/.test(path) || /^(usr\/)?lib(64)?\/([^/]+\/)?[^/]+\.so[.\d]*$/.test(path);
  const entries: CpioEntry[] = [];
  for (const { path } of tools) {
    for await (const entry of debEntries(path, wanted, MAX_TOOLS, signal)) {
      const place = entry.path.replace(/^usr\//, '');
      if (entry.type === 'file') entries.push({ type: 'file', path: place, content: entry.content, mode: 0o755 });
      else if (entry.type === 'symlink') entries.push({ type: 'symlink', path: place, target: entry.target });
    }
  }
  return entries;
}

/** An archive of the files, with the directories above them left as they are. */
async function filesTar(files: readonly ImageFile[]): Promise<Uint8Array> {
  const tar = pack();
  for (const { path, mode, content } of files) {
    tar.entry({ name: path.slice(1), mode, mtime: new Date(0) }, Buffer.from(content as string));
  }
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

/** The disk that the builder reads from; `opened` gets the files behind it. */
async function packageDisk(request: BuildRequest, uuid: string, opened: ByteFile[]): Promise<BlockDevice> {
  const { packages, bootstrap, architecture } = request;
  const ordered = unpackOrder(packages.map(({ candidate, path }) => ({ ...candidate, path })));
  const named = ordered.map((entry, at) => ({ ...entry, file: `p${String(at).padStart(5, '0')}.deb` }));
  const first = FIRST.map((name) => named.find((entry) => entry.name === name)?.file).filter(
    (file) => file !== undefined,
  );
  const early = named.filter(({ name }) => bootstrap.has(name)).map(({ file }) => file);
  const plan = { uuid, architecture, first, bootstrap: early, order: named.map(({ file }) => file) };
  const files: IsoFile[] = [
    isoText(ON_DISK.script, buildScript(plan)),
    isoText(ON_DISK.finish, FINISH_SCRIPT),
    isoText(ON_DISK.files, await filesTar(request.files(uuid))),
    isoText(ON_DISK.bootstrap, `${plan.bootstrap.join('\n')}\n`),
    isoText(ON_DISK.order, `${plan.order.join('\n')}\n`),
  ];
  for (const { file, path } of named) {
    const content = await openHostFile(path, { readOnly: true, locked: false });
    opened.push(content);
    files.push({ name: file, content });
  }
  return isoDisk('packages', files);
}

/** Progress out of what the console tells. */
function followBuild(progress: Progress, packages: number): { console: BuildConsole; end: () => void } {
  let step: ProgressStep | undefined;
  const next = (label: string, total?: number): void => {
    step?.end();
    step = progress.step(label, total, 'packages');
  };
  const console = createBuildConsole({
    phase(name) {
      if (name === 'format') next('Making the file system');
      else if (name === 'bootstrap') next('Unpacking the first packages');
      else if (name === 'install') next('Unpacking packages', packages);
      else if (name === 'configure') next('Configuring packages', packages);
      else next('Finishing the system');
    },
    unpacked: () => step?.advance(1),
    installed: () => step?.advance(1),
  });
  return { console, end: () => step?.end() };
}

/** A disk whose flushes wait until it is closed, and which tells when the host has no room for it. */
function unflushed(disk: BlockDevice, full: (error: unknown) => void): BlockDevice {
  const guard = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      full(error);
      throw error;
    }
  };
  return {
    ...disk,
    write: (position, from) => guard(disk.write(position, from)),
    writeZeroes: (position, length, unmap) => guard(disk.writeZeroes(position, length, unmap)),
    discard: (position, length) => guard(disk.discard(position, length)),
    flush: async () => {},
  };
}

async function openLog(path: string): Promise<WriteStream> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const log = createWriteStream(path);
    // A log that cannot be written must not end the build.
    log.on('error', () => {});
    return log;
  } catch (error) {
    throw fileError(error, path, 'written');
  }
}

/** @throws VirtsError `bad-input` with the last lines that the guest wrote. */
function checkEnd(console: BuildConsole, log: string): void {
  if (console.done) return;
  const what =
    console.failure === undefined ? 'ended before it was done' : `could not go on: it failed ${console.failure}`;
  const said = console.lastLines.length === 0 ? '' : `, after it wrote: ${console.lastLines.slice(-3).join(' / ')}`;
  throw new VirtsError(
    'bad-input',
    `The machine that builds the image ${what}${said}; all that it wrote is in ${log}.`,
    {
      log,
      lines: console.lastLines,
    },
  );
}

/** Runs the builder to its end. */
async function runBuilder(request: BuildRequest, disks: readonly BlockDevice[], failed: AbortController) {
  const { guest, progress, packages, run, signal } = request;
  const tools = builderInitrd(await toolEntries(request.tools, signal));
  // The kernel unpacks both, one after the other.
  const initrd = Buffer.concat([await readFile(guest.initrd), tools]);
  const { console, end } = followBuild(progress, packages.length);
  const log = await openLog(request.log);
  const silent = (): void =>
    failed.abort(
      new VirtsError(
        'io',
        `The machine that builds the image has said nothing for ${SILENCE / 60_000} minutes; what it wrote is in ${request.log}.`,
      ),
    );
  let timer = setTimeout(silent, SILENCE);
  try {
    await run({
      name: 'builder',
      kernel: await readFile(guest.kernel),
      initrd,
      append: APPEND,
      memory: MEMORY,
      cpus: Math.min(availableParallelism(), CPUS),
      disks,
      signal: AbortSignal.any([signal, failed.signal]),
      output(bytes) {
        clearTimeout(timer);
        timer = setTimeout(silent, SILENCE);
        log.write(Uint8Array.from(bytes));
        console.write(bytes);
      },
    });
    checkEnd(console, request.log);
  } finally {
    clearTimeout(timer);
    end();
    log.end();
    await finished(log).catch(() => {});
  }
}

/** Reads what the builder handed out. */
async function readHandedOut(disk: ByteFile): Promise<KernelFiles> {
  const bytes = new Uint8Array(disk.size);
  await disk.read(0, [bytes]);
  const files = new Map<string, Uint8Array>();
  const tar = Readable.from([bytes]).pipe(extract());
  for await (const entry of tar) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry) chunks.push(chunk);
    files.set(entry.header.name.replace(/^\.\//, ''), Buffer.concat(chunks));
  }
  return kernelFiles(files, 'What the machine that builds the image handed out');
}

/**
 * Makes the disk, and returns the kernel that is in it. Rejects with VirtsError `no-space`, `io`, `bad-input` with what the guest
 * said, or the reason of the abort; then the disk's file may be there and is of no use.
 */
export async function buildDisk(request: BuildRequest): Promise<KernelFiles> {
  const uuid = randomUUID();
  const failed = new AbortController();
  const opened: ByteFile[] = [];
  const handedOut = memoryFile('what the builder hands out');
  await handedOut.truncate(HANDED_OUT);
  let target: BlockDevice | undefined;
  try {
    const source = await packageDisk(request, uuid, opened);
    target = await createDisk(request.disk, 'qcow2', request.diskSize);
    const disks = [unflushed(target, (error) => failed.abort(error)), source, rawDisk(handedOut)];
    await runBuilder(request, disks, failed);
    return await readHandedOut(handedOut);
  } finally {
    await Promise.all(opened.map((file) => file.close()));
    await target?.close();
  }
}
