/** The folders that a command line shares with the guest, served for a run. */
import { Worker } from 'node:worker_threads';
import type { IoService } from '../../memory/io-link.ts';
import { openHostFolder } from '../../sharing/node/host-folder.ts';
import type { VolumeConfiguration } from '../../vm/volume-text.ts';
import type { SharedFolder } from '../machine-host.ts';
import type { FolderMessage, FolderRequest, ServedFolder } from './folder-worker.ts';
import { threadFile } from './thread-file.ts';

export interface OpenFolders {
  readonly open: readonly SharedFolder[];
  /** What tells the guest where they are to be mounted: words for the kernel's command line. */
  readonly words: readonly string[];
  /** Ends what serves them; the machine has stopped. */
  close(): Promise<void>;
}

/** A path as one word: all that a command line or a shell would take for something else is `\` and three octal digits. */
function escapePath(path: string): string {
  return [...new TextEncoder().encode(path)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[\w./-]/.test(character) ? character : `\\${byte.toString(8).padStart(3, '0')}`;
    })
    .join('');
}

const tagOf = (number: number) => `folder${number}`;

/** Checks that a folder can be shared. @throws VirtsError as `openHostFolder` does. */
function check({ path }: VolumeConfiguration): void {
  openHostFolder(path).end();
}

/** Makes folders ready to be served; `report` gets sentences for the user. @throws VirtsError as `openHostFolder` does. */
export function openFolders(options: readonly VolumeConfiguration[], report: (message: string) => void): OpenFolders {
  for (const option of options) check(option);
  const served: readonly ServedFolder[] = options.map(({ path, readOnly }) => ({ path, readOnly }));
  const closed = new Map<number, () => void>();
  let worker: Worker | undefined;

  /** One thread for all, started when the first is served. */
  function thread(): Worker {
    if (worker !== undefined) return worker;
    worker = new Worker(threadFile('folder-worker'), {
      workerData: served,
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    worker.on('message', (message: FolderMessage) => {
      if (message.kind === 'report') report(message.message);
      else closed.get(message.folder)?.();
    });
    worker.once('error', (error: unknown) => {
      report(`What serves shared folders failed: ${error instanceof Error ? error.message : error}`);
      for (const done of closed.values()) done();
    });
    return worker;
  }

  function serve(folder: number, ...[link, memory, control]: Parameters<SharedFolder['serve']>): IoService {
    const end = Promise.withResolvers<void>();
    closed.set(folder, end.resolve);
    const post = (request: FolderRequest) => thread().postMessage(request);
    post({ kind: 'serve', folder, link, memory, control });
    return {
      close() {
        post({ kind: 'close', folder });
        return end.promise;
      },
    };
  }

  return {
    open: options.map((_, number) => ({
      tag: tagOf(number),
      serve: (...given) => serve(number, ...given),
    })),
    words: options.map(({ target, readOnly }, number) => {
      return `virts.folder=${tagOf(number)},${readOnly ? 'ro' : 'rw'},${escapePath(target)}`;
    }),
    async close() {
      await worker?.terminate();
    },
  };
}
