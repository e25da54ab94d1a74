/** Serves a page on the loopback interface. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { VirtsError } from '../src/base/errors.ts';
import type { Bundle } from './bundle.ts';

const HOST = '127.0.0.1';

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  json: 'application/json',
};

export interface ServerOptions {
  /** What is served from memory. */
  readonly bundle: Bundle;
  /** Files on disk by path, without a leading slash. */
  readonly files: ReadonlyMap<string, string>;
  /** Whether the page is isolated from other origins, without which it cannot share memory between threads. */
  readonly isolated: boolean;
  /** A TCP port; 0 for any. */
  readonly port: number;
}

export interface Server {
  /** Where the page is, with a slash at its end. */
  readonly address: string;
  close(): Promise<void>;
}

/** HTML 7.1.3 and 7.1.4. */
const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

const HEADERS = {
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  // What the guest does stays in its machine, but then the page need not be able to do more either.
  'content-security-policy':
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
  'cache-control': 'no-cache',
};

async function sendFile(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const { size, mtimeMs } = await stat(path);
  const etag = `"${size}-${mtimeMs}"`;
  response.setHeader('etag', etag);
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return;
  }
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size });
  if (request.method === 'HEAD') response.end();
  else await pipeline(createReadStream(path), response);
}

async function answer(options: ServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { bundle, files, isolated } = options;
  for (const [name, value] of Object.entries({ ...HEADERS, ...(isolated ? ISOLATION : {}) })) {
    response.setHeader(name, value);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
    return;
  }
  const { pathname } = new URL(request.url ?? '/', `http://${HOST}`);
  const path = pathname === '/' ? 'index.html' : pathname.slice(1);
  const file = files.get(path);
  if (file !== undefined) return sendFile(request, response, file);
  const content = bundle.get(path);
  if (content === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('There is nothing here.\n');
    return;
  }
  const ending = path.slice(path.lastIndexOf('.') + 1);
  response.writeHead(200, { 'content-type': TYPES[ending] ?? 'application/octet-stream' }).end(content);
}

/** @throws VirtsError `io` where the port cannot be had. */
export async function serve(options: ServerOptions): Promise<Server> {
  const server = createServer((request, response) => {
    // A name that another site made point here is not this server's.
    const { host } = request.headers;
    const { port } = server.address() as AddressInfo;
    if (host !== `${HOST}:${port}` && host !== `localhost:${port}`) {
      response.writeHead(421).end();
      return;
    }
    answer(options, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const { port } = options;
      const reason = error.code === 'EADDRINUSE' ? 'another program has it' : error.message;
      reject(new VirtsError('io', `Port ${port} cannot be had: ${reason}; name another with --port.`, { port }, error));
    });
    server.listen(options.port, HOST, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://${HOST}:${port}/`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
