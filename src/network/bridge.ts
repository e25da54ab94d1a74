/** Two connections of the host that pass on to each other what comes, no faster than the other side takes it. */
import type { ConnectionEvents, HostConnection } from './host.ts';

/** Bytes under way in each direction before the sender is made to wait, and how few are left when it goes on. */
const MOST_UNDER_WAY = 256 * 1024;
const FEW_UNDER_WAY = 64 * 1024;

/** One end of a bridge. */
export interface BridgeEnd {
  /** What the connection is to be told of. */
  readonly events: ConnectionEvents;
  /** Gives the end its connection. Nothing must have been told of it before. */
  attach(connection: HostConnection): void;
}

/** Makes both ends; each is attached to its connection. `connected` and what comes of it is for the caller to see to. */
export function createBridge(): readonly [BridgeEnd, BridgeEnd] {
  const connections: (HostConnection | undefined)[] = [undefined, undefined];
  const gone = [false, false];
  /** Bytes on their way from each end to the other, and whether it waits until they are fewer. */
  const underWay = [0, 0];
  const waits = [false, false];

  function end(own: 0 | 1): BridgeEnd {
    const other = own === 0 ? 1 : 0;
    let ended = false;
    return {
      attach(connection) {
        connections[own] = connection;
      },
      events: {
        connected() {},
        received(bytes) {
          if (gone[other] || bytes.length === 0) return;
          underWay[own]! += bytes.length;
          if (underWay[own]! > MOST_UNDER_WAY && !waits[own]) {
            waits[own] = true;
            connections[own]?.pause();
          }
          connections[other]?.send(bytes);
        },
        flushed(count) {
          underWay[other]! -= count;
          if (!waits[other] || underWay[other]! > FEW_UNDER_WAY) return;
          waits[other] = false;
          connections[other]?.resume();
        },
        ended() {
          ended = true;
          connections[other]?.finish();
        },
        closed(error) {
          gone[own] = true;
          if (gone[other]) return;
          if (error !== undefined || !ended) connections[other]?.abort();
          // Nobody reads what the other sends.
          else if (waits[other]) connections[other]?.resume();
        },
      },
    };
  }
  return [end(0), end(1)];
}
