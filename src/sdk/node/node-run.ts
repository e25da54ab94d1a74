/** One run of a machine in this process, as the machine's life takes it: with its forwarded ports and its guest's agent. */
import { VirtsError } from '../../base/errors.ts';
import { unlessAborted } from '../../base/unless-aborted.ts';
import type { Forward as OpenForward } from '../../network/nat.ts';
import { patientDial } from '../../vm/agent/patience.ts';
import { AGENT_PORT } from '../../vm/agent/protocol.ts';
import { pingAgent } from '../../vm/agent/requests.ts';
import type { DialAgent } from '../../vm/agent/session.ts';
import type { Configuration } from '../../vm/configuration.ts';
import { type Run, timerMs } from '../lifecycle.ts';
import type { LiveMachine } from './live-machine.ts';
import type { Forward, ReadyOptions } from './machine-api.ts';

export interface NodeRun extends Run {
  readonly live: LiveMachine;
  /** Ports that are open. */
  readonly forwards: Forward[];
  /** Reaches the guest's agent, for which it waits so many milliseconds while the guest starts, or starts again. */
  dial(patience: number, signal?: AbortSignal | undefined): DialAgent;
}

/** How long an agent is waited for unless told (ms). */
export const READY_MS = 300_000;

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
  let isOver = false;
  return {
    ...{ live, forwards, ended: running.ended },
    dial: (patience, signal) =>
      patientDial((events) => vsock.connect(AGENT_PORT, events), {
        now: Date.now,
        after(ms, work) {
          const timer = setTimeout(work, ms);
          return () => clearTimeout(timer);
        },
        until: Date.now() + patience,
        mayCome: () => !isOver && signal?.aborted !== true,
        waiting() {},
      }),
    input: running.input,
    onOutput: running.onOutput,
    pause: running.pause,
    resume: running.resume,
    askToShutDown: live.askToShutDown,
    close() {
      isOver = true;
      return live.close();
    },
  };
}

/**
 * Waits until the guest's agent answers.
 * @throws VirtsError `network` where it does not in time, or the reason of the signal.
 */
export async function agentAnswers(
  { dial }: Pick<NodeRun, 'dial'>,
  { timeout = READY_MS, signal }: ReadyOptions,
): Promise<void> {
  const patience = timerMs(timeout);
  const late = AbortSignal.timeout(patience);
  const both = signal === undefined ? late : AbortSignal.any([signal, late]);
  try {
    await unlessAborted(both, pingAgent(dial(patience, both)));
  } catch (error) {
    signal?.throwIfAborted();
    if (!late.aborted) throw error;
    const message = `The guest's agent has not answered for ${timeout / 1000} s: the guest is still starting, hangs, or has no agent.`;
    throw new VirtsError('network', message, { timeout }, error);
  }
}
