/** The thread that serves the shared folders of a machine: it may wait for the host's file systems, which nobody else then does. */
import { parentPort, workerData } from 'node:worker_threads';
import { type IoLink, type IoService, serveIoLink } from '../../memory/io-link.ts';
import { folderHandler } from '../../sharing/folder-service.ts';
import { descriptorLimit } from '../../sharing/node/descriptors.ts';
import { type HostFolder, openHostFolder } from '../../sharing/node/host-folder.ts';
import { createFolderServer, type FolderServer } from '../../sharing/server.ts';
import { kick } from '../worker-channel.ts';

/** A folder as the command line names it. */
export interface ServedFolder {
  readonly path: string;
  readonly readOnly: boolean;
}

/** What the owner asks for. `folder` is an index into the worker's data. */
export type FolderRequest =
  | {
      readonly kind: 'serve';
      readonly folder: number;
      readonly link: IoLink;
      readonly memory: ArrayBufferLike;
      readonly control: ArrayBufferLike;
    }
  | { readonly kind: 'close'; readonly folder: number };

/** What this thread tells. */
export type FolderMessage =
  | { readonly kind: 'report'; readonly message: string }
  | { readonly kind: 'closed'; readonly folder: number };

/** Nodes of one folder that a guest may hold; each takes some hundred bytes. */
const MOST_NODES = 1 << 19;

interface Served {
  /** Absent where it could not be opened. */
  readonly folder?: HostFolder;
  readonly server?: FolderServer;
  readonly service: IoService;
}

const folders = workerData as readonly ServedFolder[];
const served = new Map<number, Served>();
const post = (message: FolderMessage) => parentPort?.postMessage(message);
/** A quarter of the process's descriptors is for what guests hold, another for what they have open. */
const share = Math.floor(descriptorLimit() / 4 / folders.length);

/** What serves one folder. @throws VirtsError as `openHostFolder` does. */
function openServer({ path, readOnly }: ServedFolder): Required<Pick<Served, 'folder' | 'server'>> {
  const folder = openHostFolder(path, { descriptors: share });
  const server = createFolderServer({
    folder,
    readOnly,
    limits: { nodes: MOST_NODES, open: share },
    now: Date.now,
    report: (message) => post({ kind: 'report', message }),
  });
  return { folder, server };
}

function serve(number: number, link: IoLink, memory: ArrayBufferLike, control: ArrayBufferLike): void {
  const words = new Int32Array(control);
  const wake = () => kick(words);
  try {
    const opened = openServer(folders[number]!);
    served.set(number, { ...opened, service: serveIoLink(link, memory, folderHandler(opened.server), wake) });
  } catch (error) {
    // It was there a moment ago. The guest's requests fail, but they are answered: it must not wait for ever.
    post({ kind: 'report', message: error instanceof Error ? error.message : String(error) });
    served.set(number, { service: serveIoLink(link, memory, (request) => request.answer(0), wake) });
  }
}

async function close(number: number): Promise<void> {
  const { folder, server, service } = served.get(number)!;
  served.delete(number);
  await service.close();
  server?.reset();
  folder?.end();
  post({ kind: 'closed', folder: number });
}

parentPort?.on('message', (request: FolderRequest) => {
  if (request.kind === 'serve') serve(request.folder, request.link, request.memory, request.control);
  else close(request.folder);
});
