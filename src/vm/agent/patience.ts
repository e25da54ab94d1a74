/** Reaches an agent that is not there yet, as while its guest starts. */
import type { ConnectionEvents, HostConnection, HostError } from '../../network/host.ts';
import type { DialAgent } from './session.ts';

/** Milliseconds between a refusal and the next attempt, and until the user is told of the wait. */
const PAUSE_MS = 200;
const TELL_MS = 1000;

export interface Patience {
  /** Milliseconds from any origin. */
  now(): number;
  /** Calls `work` after so many milliseconds; returns what prevents that. */
  after(ms: number, work: () => void): () => void;
  /** When it ends, by `now`. */
  readonly until: number;
  /** Whether what comes next may be better; asked when an attempt has failed. */
  mayCome(error: HostError): boolean;
  /** It takes a while; called once, with the milliseconds that are left. */
  waiting(left: number): void;
}

/**
 * Dials again as long as there is nobody who takes the connection. What is sent meanwhile reaches the one that is made; once there
 * is one, nothing is sent twice.
 */
export function patientDial(dial: DialAgent, { now, after, until, mayCome, waiting }: Patience): DialAgent {
  return (events) => {
    const began = now();
    /** `undefined` once somebody has taken the connection. */
    let sent: Uint8Array[] | undefined = [];
    let wasTold = false;
    let stop = () => {};
    let connection: HostConnection;

    function failed(error: HostError | undefined): void {
      const left = until - now();
      if (sent === undefined || left <= 0 || !mayCome(error ?? 'reset')) {
        events.closed(error);
        return;
      }
      if (!wasTold && now() - began >= TELL_MS) {
        wasTold = true;
        waiting(left);
      }
      stop = after(Math.min(PAUSE_MS, left), attempt);
    }
    const own: ConnectionEvents = {
      ...events,
      connected() {
        sent = undefined;
        events.connected();
      },
      closed: failed,
    };
    function attempt(): void {
      connection = dial(own);
      for (const bytes of sent ?? []) connection.send(bytes);
    }

    attempt();
    return {
      send(bytes) {
        sent?.push(bytes);
        connection.send(bytes);
      },
      finish: () => connection.finish(),
      abort() {
        stop();
        connection.abort();
      },
      pause: () => connection.pause(),
      resume: () => connection.resume(),
    };
  };
}
