/** `npm run demo:web`: the default guest in a page, served on the loopback interface until Ctrl-C. */
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { unlessAborted } from '../src/base/unless-aborted.ts';
import { Interrupted, interruptible } from '../src/cli/interrupt.ts';
import { parsePort } from '../src/cli/options.ts';
import { showProgress } from '../src/cli/progress.ts';
import type { Architecture } from '../src/images/apt/archive.ts';
import { cacheDirectory } from '../src/images/apt/cache.ts';
import { defaultGuest, type Guest } from '../src/images/default-guest.ts';
import { bundlePages } from './bundle.ts';
import { type Server, type ServerOptions, serve } from './server.ts';

const USAGE = `npm run demo:web -- [options]
  --port N         the TCP port of the loopback interface (default 8080)
  --arch ARCH      amd64 or i386
  --not-isolated   leave the headers out that let the page share memory between threads: machines run with one
  --mirror URL, --keyring FILE, --refresh   where the guest's packages come from, as for virts run
`;

/** Serves the demo's page with a guest. */
export async function serveDemo(guest: Guest, options: Pick<ServerOptions, 'isolated' | 'port'>): Promise<Server> {
  const pages = join(import.meta.dirname, 'web');
  const bundle = await bundlePages(pages, [join(pages, 'index.html')]);
  const attributes = { kernel: 'guest/vmlinuz', initrd: 'guest/initrd', append: guest.append };
  return serve({
    ...options,
    bundle: new Map([...bundle, ['guest.json', JSON.stringify(attributes)]]),
    files: new Map([
      [attributes.kernel, guest.kernel],
      [attributes.initrd, guest.initrd],
    ]),
  });
}

function architecture(name: string): Architecture {
  if (name === 'amd64' || name === 'i386') return name;
  throw new VirtsError('usage', '--arch is amd64 or i386.');
}

function portOf(text: string): number {
  try {
    return parsePort(text);
  } catch (error) {
    throw new VirtsError('usage', `--port: ${(error as Error).message}`, { port: text }, error);
  }
}

async function main(args: readonly string[], signal: AbortSignal): Promise<never> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      port: { type: 'string', default: '8080' },
      arch: { type: 'string', default: 'amd64' },
      'not-isolated': { type: 'boolean', default: false },
      mirror: { type: 'string' },
      keyring: { type: 'string' },
      refresh: { type: 'boolean', default: false },
    },
  });
  const { mirror, keyring, refresh } = values;
  const port = portOf(values.port);
  const guest = await defaultGuest({
    architecture: architecture(values.arch),
    cache: cacheDirectory(),
    ...{ mirror, keyring, refresh, signal },
    progress: showProgress(process.stderr),
  });
  const server = await serveDemo(guest, { port, isolated: !values['not-isolated'] });
  try {
    process.stdout.write(`The guest is in the page at ${server.address}\nCtrl-C ends the server.\n`);
    return await unlessAborted(signal, new Promise<never>(() => {}));
  } finally {
    await server.close();
  }
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
  } else {
    try {
      await interruptible(process, (signal) => main(args, signal));
    } catch (error) {
      const isUsage = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
      if (!(error instanceof VirtsError || error instanceof Interrupted || isUsage)) throw error;
      process.exitCode = error instanceof Interrupted ? error.status : 2;
      if (!(error instanceof Interrupted)) process.stderr.write(`demo: ${(error as Error).message}\n`);
    }
  }
}
