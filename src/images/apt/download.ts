/** Downloads: small files into memory, large ones onto the disk with their checksum verified. */
import { setTimeout as sleep } from 'node:timers/promises';
import { VirtsError } from '../../base/errors.ts';
import { createFile, type NewFile } from './cache.ts';
import { type Opener, shownUrl } from './http.ts';
import type { ProgressStep } from './progress.ts';

/** What a signed index says about a file. */
export interface Expected {
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

const ATTEMPTS = 4;
/** Pause before the second attempt (ms); doubles from one attempt to the next. */
const FIRST_PAUSE = 500;

const isNetworkFault = (error: unknown): boolean =>
  error instanceof VirtsError && error.kind === 'network' && error.context.status === undefined;

/** Runs `attempt` again after a fault of the network, at most `ATTEMPTS` times. */
async function persistently<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === ATTEMPTS || signal.aborted || !isNetworkFault(error)) throw error;
      await sleep(FIRST_PAUSE * 2 ** (tries - 1), undefined, { signal });
    }
  }
}

/** Fetches a file of at most `limit` bytes. @throws VirtsError `network`, `not-found`, or `untrusted` if it is longer. */
export function fetchBytes(open: Opener, url: string, limit: number, signal: AbortSignal): Promise<Buffer> {
  return persistently(signal, async () => {
    const answer = await open(url, 0, signal);
    const chunks: Uint8Array[] = [];
    let length = 0;
    try {
      for await (const chunk of answer.body) {
        length += chunk.length;
        if (length > limit) {
          throw new VirtsError('untrusted', `${shownUrl(url)} is longer than such a file can be.`, { url, limit });
        }
        chunks.push(chunk);
      }
    } finally {
      answer.close();
    }
    return Buffer.concat(chunks);
  });
}

function mismatch(url: string, what: string): VirtsError {
  return new VirtsError(
    'untrusted',
    `${shownUrl(url)} is not the file that the signed index describes (${what}); the mirror may be changing: try again later or name another with --mirror URL.`,
    { url, checksum: false },
  );
}

/** Whether an error says that a file is not the one that its index describes. */
export function isMismatch(error: unknown): boolean {
  return error instanceof VirtsError && error.kind === 'untrusted' && error.context.checksum === false;
}

async function transfer(
  open: Opener,
  url: string,
  file: NewFile,
  expected: Expected,
  signal: AbortSignal,
  step: ProgressStep,
): Promise<void> {
  const answer = await open(url, file.length, signal);
  try {
    if (answer.offset !== file.length) {
      step.advance(-file.length);
      await file.restart();
    }
    if (answer.total !== undefined && answer.total !== expected.size) {
      throw mismatch(url, `${answer.total} bytes instead of ${expected.size}`);
    }
    for await (const chunk of answer.body) {
      if (file.length + chunk.length > expected.size) throw mismatch(url, `more than ${expected.size} bytes`);
      await file.write(chunk);
      step.advance(chunk.length);
    }
  } finally {
    answer.close();
  }
}

/**
 * Downloads `url` to `path`, which appears only once size and SHA-256 are as expected. A broken connection is taken up
 * again where it broke. Whatever goes wrong, an abort included, nothing is left behind.
 * @throws VirtsError `network`, `not-found`, `untrusted`, `no-space` or `io`, or the reason of the abort.
 */
export async function downloadFile(
  open: Opener,
  url: string,
  path: string,
  expected: Expected,
  signal: AbortSignal,
  step: ProgressStep,
): Promise<void> {
  const file = await createFile(path);
  try {
    await persistently(signal, async () => {
      await transfer(open, url, file, expected, signal, step);
      if (file.length < expected.size) throw mismatch(url, `${file.length} bytes instead of ${expected.size}`);
    });
    signal.throwIfAborted();
    if (file.digest() !== expected.sha256) throw mismatch(url, 'its SHA-256 differs');
    await file.commit();
  } finally {
    await file.discard();
  }
}
