/**
 * Calls to the host's C library that reach a file from an open directory: `openat(2)` and its like, which Node does not offer. One
 * thread makes them and waits. Linux only.
 */
import koffi from 'koffi';
import { VirtsError } from '../../base/errors.ts';
import { ERRNO, refuse } from '../folder.ts';

/** Flags of `openat(2)` that do not depend on the architecture. */
export const OPEN = {
  readOnly: 0,
  writeOnly: 0o1,
  readWrite: 0o2,
  create: 0o100,
  exclusive: 0o200,
  noTerminal: 0o400,
  truncate: 0o1000,
  append: 0o2000,
  nonBlocking: 0o4000,
  dataSync: 0o10000,
  closeOnExec: 0o2000000,
  sync: 0o4010000,
  path: 0o10000000,
} as const;

/** Those that do: x86 has the generic numbers, Arm its own. */
const isArm = process.arch === 'arm' || process.arch === 'arm64';
export const NO_FOLLOW = isArm ? 0o100000 : 0o400000;
export const DIRECTORY = isArm ? 0o40000 : 0o200000;

export const AT = { here: -100, removeDirectory: 0x200, followLink: 0x400, emptyPath: 0x1000 } as const;
export const RENAME = { noReplace: 1, exchange: 2 } as const;

const SIGNATURES = {
  openat: 'int openat(int directory, const void *path, int flags, uint mode)',
  close: 'int close(int file)',
  statx: 'int statx(int directory, const void *path, int flags, uint mask, void *result)',
  mkdirat: 'int mkdirat(int directory, const void *path, uint mode)',
  mknodat: 'int mknodat(int directory, const void *path, uint mode, uint64_t device)',
  symlinkat: 'int symlinkat(const void *target, int directory, const void *path)',
  readlinkat: 'int64_t readlinkat(int directory, const void *path, void *result, size_t size)',
  linkat: 'int linkat(int directory, const void *path, int newDirectory, const void *newPath, int flags)',
  unlinkat: 'int unlinkat(int directory, const void *path, int flags)',
  renameat2: 'int renameat2(int directory, const void *path, int newDirectory, const void *newPath, uint flags)',
  fchmod: 'int fchmod(int file, uint mode)',
  chmod: 'int chmod(const void *path, uint mode)',
  utimensat: 'int utimensat(int directory, const void *path, const void *times, int flags)',
  ftruncate: 'int ftruncate(int file, int64_t length)',
  fallocate: 'int fallocate(int file, int mode, int64_t offset, int64_t length)',
  lseek: 'int64_t lseek(int file, int64_t offset, int whence)',
  getdents64: 'int64_t getdents64(int file, void *result, size_t size)',
  getxattr: 'int64_t getxattr(const void *path, const void *name, void *value, size_t size)',
  setxattr: 'int setxattr(const void *path, const void *name, const void *value, size_t size, int flags)',
  removexattr: 'int removexattr(const void *path, const void *name)',
  statvfs: 'int statvfs(const void *path, void *result)',
} as const;

type Call = (...values: readonly (number | bigint | Uint8Array)[]) => number | bigint;
export type Calls = Readonly<Record<keyof typeof SIGNATURES, Call>>;

let calls: Calls | undefined;

/** The calls. @throws VirtsError `unsupported` where the host has them not. */
export function folderCalls(): Calls {
  if (calls !== undefined) return calls;
  if (process.platform !== 'linux') throw new VirtsError('unsupported', 'Folders can be shared on Linux hosts only.');
  try {
    const library = koffi.load(null);
    const found = Object.entries(SIGNATURES).map(([name, signature]) => [name, library.func(signature)]);
    calls = Object.fromEntries(found) as Calls;
    return calls;
  } catch (error) {
    const message = "This host's C library lacks calls that sharing a folder takes.";
    throw new VirtsError('unsupported', message, {}, error);
  }
}

/** The error of the call that just failed in this thread. "Not implemented" would be taken for the server's own answer. */
export function lastError(): number {
  const errno = koffi.errno();
  return errno === ERRNO.ENOSYS ? ERRNO.EOPNOTSUPP : errno;
}

/** The result of a call that did not fail. @throws Refusal. */
export function succeeded(result: number | bigint): number {
  return result < 0 ? refuse(lastError()) : Number(result);
}

/** A string for a call: bytes and a NUL. */
export function cString(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const result = new Uint8Array(bytes.length + 1);
  result.set(bytes);
  return result;
}

/** The empty path, for calls on what an open descriptor stands for. */
export const NOTHING = cString('');

const fileNames: Uint8Array[] = [];

/** The path by which this process reaches what a descriptor stands for, whatever has become of its names. */
export function pathOf(file: number): Uint8Array {
  fileNames[file] ??= cString(`/proc/self/fd/${file}`);
  return fileNames[file];
}
