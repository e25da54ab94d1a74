/** Opens `http:`, `https:` and `file:` addresses as streams of bytes, through the host's proxy. */
import { open as openFile } from 'node:fs/promises';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { fileURLToPath } from 'node:url';
import { VirtsError } from '../../base/errors.ts';
import { type AptOptions, proxyFor } from './config.ts';
import { isMissing } from './sources.ts';

/** An answer that has begun. */
export interface Opened {
  readonly body: AsyncIterable<Uint8Array>;
  /** Where in the file the body begins: what was asked for, or 0 from a server that cannot do that. */
  readonly offset: number;
  /** Length of the whole file in bytes, if it is known. */
  readonly total: number | undefined;
  /** Ends the transfer early. */
  close(): void;
}

/** Opens a file at an address, from byte `offset` on. Rejects with VirtsError `not-found` or `network`, or the abort's reason. */
export type Opener = (url: string, offset: number, signal: AbortSignal) => Promise<Opened>;

const MAX_REDIRECTS = 5;
/** A connection on which nothing has come for this long (ms) is dead. */
const IDLE_LIMIT = 30_000;

const described = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message ?? String(error);
};

/** The address without what must not be shown: user name and password. */
export function shownUrl(url: string | URL): string {
  const shown = new URL(url);
  shown.username = '';
  shown.password = '';
  return shown.href;
}

function networkError(url: URL, error: unknown): VirtsError {
  return new VirtsError(
    'network',
    `${url.host} did not answer (${described(error)}); check the network and the proxy, or name another mirror with --mirror URL.`,
    { url: shownUrl(url) },
    error,
  );
}

function statusError(url: URL, status: number): VirtsError {
  const context = { url: shownUrl(url), status };
  if (status === 404 || status === 410) {
    return new VirtsError('not-found', `The mirror has no ${shownUrl(url)} (status ${status}).`, context);
  }
  return new VirtsError('network', `The mirror refused ${shownUrl(url)} with status ${status}.`, context);
}

function agents(proxy: string | undefined): { http: HttpAgent; https: HttpsAgent } {
  if (proxy !== undefined && !/^https?:\/\//.test(proxy)) {
    throw new VirtsError('unsupported', `The proxy '${proxy}' is neither http: nor https:; set one of these.`);
  }
  const options = proxy === undefined ? {} : { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } };
  return { http: new HttpAgent(options), https: new HttpsAgent(options) };
}

function send(url: URL, offset: number, proxy: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
  const { http, https } = agents(proxy);
  const secure = url.protocol === 'https:';
  const headers: Record<string, string> = { 'user-agent': 'virts', 'accept-encoding': 'identity' };
  if (offset > 0) headers.range = `bytes=${offset}-`;
  return new Promise((resolve, reject) => {
    const options = { headers, signal, timeout: IDLE_LIMIT };
    const request = secure
      ? httpsRequest(url, { ...options, agent: https }, resolve)
      : httpRequest(url, { ...options, agent: http }, resolve);
    request.on('timeout', () => request.destroy(Object.assign(new Error('time-out'), { code: 'ETIMEDOUT' })));
    request.on('error', reject);
    request.end();
  });
}

async function* readBody(response: IncomingMessage, url: URL, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) yield chunk as Uint8Array;
  } catch (error) {
    signal.throwIfAborted();
    throw networkError(url, error);
  }
}

function opened(response: IncomingMessage, url: URL, signal: AbortSignal): Opened {
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers['content-range'] ?? '');
  const partial = response.statusCode === 206 && range !== null;
  const length = response.headers['content-length'];
  return {
    body: readBody(response, url, signal),
    offset: partial ? Number(range[1]) : 0,
    total: partial ? Number(range[2]) : length === undefined ? undefined : Number(length),
    close: () => response.destroy(),
  };
}

async function openHttp(
  start: URL,
  offset: number,
  signal: AbortSignal,
  proxy: (url: URL) => string | undefined,
): Promise<Opened> {
  let url = start;
  for (let hops = 0; ; hops++) {
    let response: IncomingMessage;
    try {
      response = await send(url, offset, proxy(url), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof VirtsError ? error : networkError(url, error);
    }
    const status = response.statusCode ?? 0;
    if (status === 200 || status === 206) return opened(response, url, signal);
    response.destroy();
    const location = response.headers.location;
    if (status < 300 || status > 399 || location === undefined) throw statusError(url, status);
    const next = URL.canParse(location, url) ? new URL(location, url) : undefined;
    // As in APT, a redirection never leaves encryption behind and never leaves the network.
    if (next === undefined || hops === MAX_REDIRECTS || !['https:', url.protocol].includes(next.protocol)) {
      throw new VirtsError('network', `The mirror redirects ${shownUrl(url)} in a way that cannot be followed.`);
    }
    url = next;
  }
}

async function openLocal(url: URL, offset: number, signal: AbortSignal): Promise<Opened> {
  const path = fileURLToPath(new URL(url.href.replace(/^copy:/, 'file:')));
  try {
    const file = await openFile(path, 'r');
    const total = (await file.stat()).size;
    const stream = file.createReadStream({ start: offset, signal });
    return { body: stream, offset, total, close: () => stream.destroy() };
  } catch (error) {
    const kind = isMissing(error) ? 'not-found' : 'io';
    throw new VirtsError(kind, `The mirror's file ${path} cannot be read (${described(error)}).`, { path }, error);
  }
}

/** Makes an opener that uses the proxies of `options` and `env`. */
export function createOpener(options: AptOptions, env: NodeJS.ProcessEnv): Opener {
  return async (address, offset, signal) => {
    signal.throwIfAborted();
    const url = new URL(address);
    if (url.protocol === 'file:' || url.protocol === 'copy:') return openLocal(url, offset, signal);
    return openHttp(url, offset, signal, (target) => proxyFor(target, options, env));
  };
}
