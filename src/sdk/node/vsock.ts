/** What serves the connections of a machine's socket device, and the socket by which programs of this host reach it. */
import { utimesSync } from 'node:fs';
import { createNetLink } from '../../network/link.ts';
import { createHostTimers } from '../../network/node/host.ts';
import { serveNetLink } from '../../network/node/serve.ts';
import { listenUnix, type UnixListener } from '../../network/node/unix.ts';
import { createVsock, type Vsock } from '../../network/vsock/connections.ts';
import { serveDoorway } from '../../network/vsock/doorway.ts';
import type { MachineVsock } from '../machine-host.ts';

/** The guest's context ID. Each machine has its device for itself, so that it need not be unique. */
const CID = 3;

/** Notes at the sockets that the guest starts now: whoever waits for its agent goes by that. */
function noteStart(paths: readonly string[]): void {
  const now = new Date();
  for (const path of paths) {
    try {
      utimesSync(path, now, now);
    } catch {
      // It is not there yet, or was taken away.
    }
  }
}

export interface OpenVsock {
  readonly machine: MachineVsock;
  /** For connections from within this process. */
  readonly vsock: Vsock;
  close(): void;
}

/** Serves a machine's socket device. `paths`: of sockets for other programs. @throws VirtsError `io`. */
export async function openVsock(paths: readonly string[] = []): Promise<OpenVsock> {
  const link = createNetLink();
  let wake = () => {};
  let made: Vsock | undefined;
  const service = serveNetLink(
    link,
    () => wake(),
    (wire) => {
      const vsock = createVsock({ wire, timers: createHostTimers() });
      made = vsock;
      return {
        ...vsock,
        reset() {
          noteStart(paths);
          vsock.reset();
        },
      };
    },
  );
  const vsock = made!;
  const listeners: UnixListener[] = [];
  function close(): void {
    for (const listener of listeners) listener.close();
    service.close();
    vsock.close();
  }
  try {
    for (const path of paths) listeners.push(await listenUnix(path, (client) => serveDoorway(vsock, client)));
  } catch (error) {
    close();
    throw error;
  }
  return {
    machine: {
      ...{ link, cid: CID },
      wakes(how) {
        wake = how;
      },
    },
    vsock,
    close,
  };
}
