/**
 * Pieces of a file on a web server: requests for ranges (RFC 9110, 14), tried again where the network fails, and refused where the
 * file is no longer the one that was opened. Runs wherever `fetch` does.
 */
import { VirtsError } from '../../base/errors.ts';
import { pause } from '../pause.ts';

/** What is used of `fetch`. */
export type Fetch = (url: string, init: { headers: Record<string, string>; signal: AbortSignal }) => Promise<Response>;

export interface RangesOptions {
  readonly url: string;
  readonly fetch: Fetch;
  /** Aborted: what is under way fails. */
  readonly signal: AbortSignal;
  /** How long a server may say nothing, in milliseconds. */
  readonly silenceMs?: number | undefined;
  /** The wait before the second attempt, in milliseconds; each later one is twice as long. */
  readonly retryMs?: number | undefined;
}

export interface Ranges {
  /** How messages call the file: its address without what may be secret. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes `[first, first + length)`, which must lie in the file. Rejects with VirtsError 'network', 'not-found', 'io'. */
  get(first: number, length: number): Promise<Uint8Array>;
}

const SILENCE_MS = 30_000;
const RETRY_MS = 250;
const ATTEMPTS = 5;

/** Answers after which the same request may succeed. */
const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A failure that trying again may mend. */
class Transient extends Error {}

/** Which file it is: what must be the same in every answer. */
interface Identity {
  readonly size: number;
  readonly etag: string | null;
  readonly modified: string | null;
}

interface Piece extends Identity {
  readonly bytes: Uint8Array;
}

/** Whether the name of a file is an address on a web server. */
export const isAddress = (path: string): boolean => /^https?:\/\//i.test(path);

/** An address without query and fragment, which may be secret. @throws VirtsError `usage` for what is none. */
export function shownAddress(url: string): string {
  if (!URL.canParse(url)) throw new VirtsError('usage', `${url} is no address of a file.`, { url });
  const { protocol, username, password, host, pathname } = new URL(url);
  const shown = `${protocol}//${host}${pathname}`;
  if (username === '' && password === '') return shown;
  throw new VirtsError('usage', `The address of ${shown} holds a user or a password, which is not supported.`);
}

/** Why `fetch` failed, as far as it says. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}

/** Calls `work` with a signal that is aborted when nobody has said `alive` for a while, or by `signal`. */
async function whileAlive<T>(
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal, alive: () => void) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const silent = () => stop.abort(new Transient(`nothing came for ${ms / 1000} s`));
  let timer = setTimeout(silent, ms);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(silent, ms);
  };
  const forward = () => stop.abort(signal.reason);
  signal.addEventListener('abort', forward);
  try {
    signal.throwIfAborted();
    return await work(stop.signal, alive);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', forward);
  }
}

/** The body, which must be that long: a server that sends more is not listened to any further. */
async function readBody(response: Response, length: number, alive: () => void): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const reader = response.body?.getReader();
  let at = 0;
  for (;;) {
    const part = await reader?.read();
    if (part === undefined || part.done) break;
    alive();
    if (at + part.value.length > length) {
      await reader?.cancel();
      throw new Transient('more came than was asked for');
    }
    bytes.set(part.value, at);
    at += part.value.length;
  }
  if (at < length) throw new Transient('the connection ended early');
  return bytes;
}

/** Fails for an answer that is not the range. */
function checkStatus(response: Response, name: string): void {
  const { status } = response;
  if (status === 206) return;
  const context = { name, status };
  if (TRANSIENT.has(status)) throw new Transient(`status ${status}`);
  if (status === 404 || status === 410) {
    throw new VirtsError('not-found', `There is no disk image ${name} (status ${status}).`, context);
  }
  if (status === 401 || status === 403) {
    throw new VirtsError('network', `The server does not let ${name} be read (status ${status}).`, context);
  }
  if (status === 200) {
    const message = `The server of ${name} cannot send parts of a file; download the image and use the copy.`;
    throw new VirtsError('unsupported', message, context);
  }
  throw new VirtsError('network', `The server of ${name} answered with status ${status}.`, context);
}

/** Reads an answer to a request for `[first, first + length)`; fewer bytes are right where the file ends. */
async function readPiece(
  response: Response,
  name: string,
  first: number,
  length: number,
  alive: () => void,
): Promise<Piece> {
  checkStatus(response, name);
  const { headers } = response;
  const range = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(headers.get('content-range') ?? '');
  const encoded = !['identity', null].includes(headers.get('content-encoding'));
  if (range === null || encoded) {
    const what = encoded ? 'sends it compressed' : 'does not say which part of the file it sends (Content-Range)';
    throw new VirtsError('unsupported', `The server of ${name} ${what}; download the image and use the copy.`, {
      name,
    });
  }
  const [from, last, size] = range.slice(1).map(Number) as [number, number, number];
  if (from !== first || last !== Math.min(first + length, size) - 1) {
    throw new VirtsError('network', `The server of ${name} sends other parts of it than it is asked for.`, { name });
  }
  const bytes = await readBody(response, last + 1 - first, alive);
  return { bytes, size, etag: headers.get('etag'), modified: headers.get('last-modified') };
}

/**
 * Opens a file on a server and gets its first bytes, to learn its size.
 * @throws VirtsError 'network', 'not-found', 'unsupported' for a server that cannot send parts, 'usage' for what is no address of a file.
 */
export async function openRanges(options: RangesOptions): Promise<Ranges> {
  const { url, fetch, signal, silenceMs = SILENCE_MS, retryMs = RETRY_MS } = options;
  const name = shownAddress(url);

  /** One request; throws `Transient` where another may succeed. */
  function attempt(first: number, length: number): Promise<Piece | 'empty'> {
    return whileAlive(silenceMs, signal, async (stop, alive) => {
      const headers = { range: `bytes=${first}-${first + length - 1}`, 'accept-encoding': 'identity' };
      let response: Response | undefined;
      try {
        response = await fetch(url, { headers, signal: stop });
        alive();
        const empty = response.status === 416 && response.headers.get('content-range') === 'bytes */0';
        return empty ? 'empty' : await readPiece(response, name, first, length, alive);
      } catch (error) {
        if (error instanceof VirtsError || error instanceof Transient) throw error;
        if (stop.reason instanceof Transient) throw stop.reason;
        throw new Transient(reasonOf(error));
      } finally {
        if (response?.bodyUsed === false) response.body?.cancel().catch(() => {});
      }
    });
  }

  async function request(first: number, length: number): Promise<Piece | 'empty'> {
    for (let tried = 1; ; tried++) {
      try {
        return await attempt(first, length);
      } catch (error) {
        if (signal.aborted) throw new VirtsError('io', `${name} was closed while it was read.`, { name });
        if (!(error instanceof Transient)) throw error;
        if (tried === ATTEMPTS) {
          const message = `${name} could not be read (${error.message}); check the network and the server.`;
          throw new VirtsError('network', message, { name, first, length }, error);
        }
      }
      await pause(retryMs * 2 ** (tried - 1), signal);
    }
  }

  const start = await request(0, 1);
  const opened: Identity = start === 'empty' ? { size: 0, etag: null, modified: null } : start;

  /** A weak tag stands for what is equal enough for a reader of texts, a date for a second; the size tells a bit more. */
  function isSame(piece: Identity): boolean {
    if (piece.size !== opened.size || piece.etag !== opened.etag) return false;
    return opened.etag !== null || piece.modified === opened.modified;
  }

  return {
    name,
    size: opened.size,
    async get(first, length) {
      const piece = await request(first, length);
      if (piece !== 'empty' && isSame(piece)) return piece.bytes;
      const message = `${name} is no longer the file that was opened: it was changed on its server; start the machine anew.`;
      throw new VirtsError('io', message, { name });
    },
  };
}
