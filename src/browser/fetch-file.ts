/** Boot files over HTTP. */
import { VirtsError } from '../base/errors.ts';
import type { BootFile } from '../sdk/machine-host.ts';
import { bootFileBuffer } from '../sdk/running-machine.ts';

/** No guest has room for more. */
const MAX_FILE = 3.5 * 2 ** 30;

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called as bytes arrive; `total` is undefined where the server does not tell. */
  readonly progress?: ((done: number, total: number | undefined) => void) | undefined;
}

const tooLarge = (name: string) => new VirtsError('no-space', `${name} is larger than any guest's memory.`, { name });

/** Length of the body as it will be read: a server may compress what it sends, and tell the length of that. */
function lengthOf({ headers }: Response): number | undefined {
  if (headers.has('content-encoding')) return undefined;
  const length = headers.get('content-length');
  return length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
}

async function request(url: string | URL, signal: AbortSignal | undefined): Promise<Response> {
  const name = String(url);
  let response: Response;
  try {
    response = await fetch(url, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new VirtsError('network', `${name} could not be fetched: ${(error as Error).message}`, { name }, error);
  }
  if (response.ok) return response;
  await response.body?.cancel();
  const kind = response.status === 404 ? 'not-found' : 'network';
  throw new VirtsError(kind, `${name} could not be fetched: the server answered ${response.status}.`, { name });
}

async function readBody(
  name: string,
  { body }: Response,
  { signal, total, progress }: FetchOptions & { readonly total: number | undefined },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let done = 0;
  progress?.(0, total);
  const reader = body?.getReader();
  try {
    for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) {
      done += read.value.length;
      if (done > MAX_FILE) throw tooLarge(name);
      chunks.push(read.value);
      progress?.(done, total);
    }
  } catch (error) {
    await reader?.cancel().catch(() => {});
    signal?.throwIfAborted();
    if (error instanceof VirtsError) throw error;
    throw new VirtsError('network', `${name} broke off after ${done} bytes; try again.`, { name, done }, error);
  }
  if (total !== undefined && done !== total) {
    throw new VirtsError('network', `${name} ended after ${done} of ${total} bytes; try again.`, { name, done, total });
  }
  const bytes = bootFileBuffer(done);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/**
 * Fetches a kernel or an initrd.
 * @throws VirtsError `network`, `not-found`, `no-space`, or the reason of the abort.
 */
export async function fetchBootFile(
  url: string | URL,
  options: FetchOptions = {},
): Promise<Extract<BootFile, { readonly bytes: Uint8Array }>> {
  const name = String(url);
  const response = await request(url, options.signal);
  const total = lengthOf(response);
  if (total !== undefined && total > MAX_FILE) {
    await response.body?.cancel();
    throw tooLarge(name);
  }
  return { name, bytes: await readBody(name, response, { ...options, total }) };
}
