/** What an initramfs takes from Debian's packages: a kernel with its modules, busybox. */
import { VirtsError } from '../../base/errors.ts';
import type { Candidate } from '../apt/archive.ts';
import { readDeb } from '../apt/deb.ts';

/** A package and where it was downloaded to. */
export interface Fetched {
  readonly candidate: Candidate;
  readonly path: string;
}

export interface KernelFiles {
  /** A bzImage. */
  readonly image: Uint8Array;
  /** As `uname -r` says it. */
  readonly version: string;
  /** By path below `/lib/modules/<version>`. */
  readonly modules: ReadonlyMap<string, Uint8Array>;
}

/** Most bytes of what is read from one package. */
const MAX_PACKAGE = 1 << 30;

const packageOf = ({ name, version }: Candidate): string => `The package ${name} ${version}`;

function only<T>(found: readonly T[], what: string, where: string): T {
  if (found.length === 1) return found[0]!;
  throw new VirtsError('bad-input', `${where} has no ${what}.`);
}

const isModule = (file: string): boolean => /^(usr\/)?lib\/modules\/[^/]+\/.*\.ko$/.test(file);
const isKernel = (file: string): boolean => /^boot\/vmlinuz-[^/]+$/.test(file);

/** Finds the kernel and its modules among files by path. `what` they are from. @throws VirtsError `bad-input`. */
export function kernelFiles(files: ReadonlyMap<string, Uint8Array>, what: string): KernelFiles {
  const [name, image] = only(
    [...files].filter(([file]) => isKernel(file)),
    'kernel',
    what,
  );
  const modules = new Map<string, Uint8Array>();
  for (const [file, bytes] of files) {
    if (isModule(file)) modules.set(file.replace(/^(usr\/)?lib\/modules\/[^/]+\//, ''), bytes);
  }
  return { image, version: name.slice('boot/vmlinuz-'.length), modules };
}

/** @throws VirtsError `bad-input`, as `debEntries` does. */
export async function readKernel({ candidate, path }: Fetched, signal: AbortSignal): Promise<KernelFiles> {
  const files = await readDeb(path, (file) => isKernel(file) || isModule(file), MAX_PACKAGE, signal);
  return kernelFiles(files, packageOf(candidate));
}

/** Reads the program from the package busybox-static. @throws VirtsError `bad-input`, as `debEntries` does. */
export async function readBusybox({ candidate, path }: Fetched, signal: AbortSignal): Promise<Uint8Array> {
  const files = await readDeb(path, (file) => /^(usr\/)?bin\/busybox$/.test(file), MAX_PACKAGE, signal);
  return only([...files.values()], 'busybox', packageOf(candidate));
}
