/** Locks that end with the process that has them, however it ends. */
import { closeSync, constants, openSync } from 'node:fs';
import { platform } from 'node:process';
import { isFileLocked, lockFile } from './host-calls.ts';

export interface FileLock {
  /** Of the open file. A child process that is given it has the lock too, and keeps it when this one is gone. */
  readonly descriptor: number;
  /** Gives up this process's part. */
  release(): void;
}

/** BSD and macOS take the lock as they open the file (`open(2)`). Linux has no such flags. */
const OPEN_LOCKED = platform === 'linux' ? undefined : { exclusive: 0x20, shared: 0x10 };

const isBusy = (error: unknown) => ['EAGAIN', 'EWOULDBLOCK'].includes((error as NodeJS.ErrnoException).code ?? '');

/** A lock that was taken before, by its descriptor. */
export function adoptLock(descriptor: number): FileLock {
  return { descriptor, release: () => closeSync(descriptor) };
}

/** Takes the lock of a file, which it makes if need be; `undefined`: somebody has it. Throws what `open` throws. */
export function tryLock(path: string): FileLock | undefined {
  const { O_RDWR, O_CREAT, O_NONBLOCK } = constants;
  let descriptor: number;
  try {
    descriptor = openSync(path, O_RDWR | O_CREAT | O_NONBLOCK | (OPEN_LOCKED?.exclusive ?? 0), 0o600);
  } catch (error) {
    if (OPEN_LOCKED !== undefined && isBusy(error)) return undefined;
    throw error;
  }
  if (lockFile(descriptor)) return adoptLock(descriptor);
  closeSync(descriptor);
  return undefined;
}

/** Whether somebody has the lock of a file, this process included. A file that is not there is not locked. */
export function isLocked(path: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | (OPEN_LOCKED?.shared ?? 0));
  } catch (error) {
    return OPEN_LOCKED !== undefined && isBusy(error);
  }
  try {
    return isFileLocked(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
