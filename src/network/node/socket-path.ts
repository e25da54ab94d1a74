/** Sockets of the file system whose path is longer than the system takes. */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileReason, VirtsError } from '../../base/errors.ts';

/** Bytes of a socket's path: 108 with the zero at its end on Linux, 104 elsewhere (unix(7)). */
const MOST_PATH = process.platform === 'linux' ? 107 : 103;

export interface SocketPath {
  /** To be bound or connected to until `close`. */
  readonly path: string;
  close(): void;
}

/** A name for a socket that the system takes. On Linux every path has one: through its open directory. @throws VirtsError `io`. */
export function socketPath(path: string): SocketPath {
  if (Buffer.byteLength(path) <= MOST_PATH) return { path, close: () => {} };
  if (process.platform !== 'linux') {
    const message = `The path of the socket ${path} is longer than ${MOST_PATH} bytes; set XDG_STATE_HOME to a shorter one.`;
    throw new VirtsError('io', message, { path });
  }
  let directory: number;
  try {
    directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw new VirtsError('io', `The socket ${path} cannot be reached${fileReason(error)}.`, { path }, error);
  }
  return { path: join(`/proc/self/fd/${directory}`, basename(path)), close: () => closeSync(directory) };
}
