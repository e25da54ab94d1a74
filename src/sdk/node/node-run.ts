/** One run of a machine in this process, as the machine's life takes it: with its forwarded ports and its guest's agent. */
import { setTimeout } from 'node:timers/promises';
import { VirtsError } from '../../base/errors.ts';
import type { Forward as OpenForward } from '../../network/nat.ts';
import { AGENT_PORT } from '../../vm/agent/protocol.ts';
import { pingAgent } from '../../vm/agent/requests.ts';
import type { DialAgent } from '../../vm/agent/session.ts';
import type { Configuration } from '../../vm/configuration.ts';
import { type Run, timerMs } from '../lifecycle.ts';
import { aborted } from './aborted.ts';
import type { LiveMachine } from './live-machine.ts';
import type { Forward, ReadyOptions } from './machine-api.ts';

export interface NodeRun extends Run {
  readonly live: LiveMachine;
  /** Ports that are open. */
  readonly forwards: Forward[];
  readonly dial: DialAgent;
  /** Resolves when the guest's agent has said for the first time that it is there. */
  readonly greeted: Promise<void>;
  readonly hasGreeted: boolean;
}

const READY_MS = 300_000;
/** How often an agent that was there is looked for (ms). */
const LOOK_MS = 200;

/** Adds an open port to those of a machine, until it is closed. */
export function addForward({ at, ports, close }: OpenForward, protocol: 'tcp' | 'udp', all: Forward[]): Forward {
  const end = (): void => {
    close();
    if (all.includes(made)) all.splice(all.indexOf(made), 1);
  };
  const made: Forward = {
    ...{ ...at, protocol },
    ports: ports.map((one) => ({ ...one.at, guestPort: one.port })),
    close: end,
    [Symbol.dispose]: end,
  };
  all.push(made);
  return made;
}

/** `live` has a socket device. */
export function runOf(live: LiveMachine, { network }: Configuration): NodeRun {
  const { running } = live;
  const { vsock } = live.vsock!;
  const forwards: Forward[] = [];
  for (const [i, forward] of (live.network?.forwards ?? []).entries()) {
    addForward(forward, network.publish[i]!.protocol, forwards);
  }
  const greeted = Promise.withResolvers<void>();
  let hasGreeted = false;
  vsock.listen(AGENT_PORT, () => ({
    ...{ connected() {}, ended() {}, flushed() {}, closed() {} },
    received() {
      hasGreeted = true;
      greeted.resolve();
    },
  }));
  return {
    ...{ live, forwards, greeted: greeted.promise, ended: running.ended },
    get hasGreeted() {
      return hasGreeted;
    },
    dial: (events) => vsock.connect(AGENT_PORT, events),
    input: running.input,
    onOutput: running.onOutput,
    pause: running.pause,
    resume: running.resume,
    askToShutDown: live.askToShutDown,
    close: live.close,
  };
}

/**
 * Waits for the guest's agent: for its first word, and then until it answers, which it does not while a guest starts again.
 * @throws VirtsError `network` where it is too late, or the reason of the signal.
 */
export async function agentAnswers(
  { greeted, dial }: Pick<NodeRun, 'greeted' | 'dial'>,
  { timeout = READY_MS, signal }: ReadyOptions,
): Promise<void> {
  const late = AbortSignal.timeout(timerMs(timeout));
  const both = signal === undefined ? late : AbortSignal.any([signal, late]);
  try {
    await Promise.race([greeted, aborted(both)]);
    for (;;) {
      const failure = await Promise.race([pingAgent(dial), aborted(both)]).catch((error: unknown) => error);
      if (failure === undefined) return;
      both.throwIfAborted();
      if (!(failure instanceof VirtsError) || failure.kind !== 'network') throw failure;
      await setTimeout(LOOK_MS, undefined, { signal: both });
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (!late.aborted) throw error;
    const message = `The guest's agent has not answered for ${timeout / 1000} s: the guest is still starting, hangs, or has no agent.`;
    throw new VirtsError('network', message, { timeout }, error);
  }
}
