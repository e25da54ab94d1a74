/** The first serial port of a machine, for whoever watches it or types: a log, a terminal, clients of the control socket. */
import type { RunningMachine } from './machine-host.ts';

/** What a terminal needs of a machine, here or in another process. */
export type ConsolePort = Pick<RunningMachine, 'input' | 'onOutput'>;

export interface ConsoleHub extends ConsolePort {
  /** Sees all output from now on, and never makes the guest wait. Returns what ends that. */
  watch(watcher: (bytes: Uint8Array) => void): () => void;
  /** The last output. */
  recent(): Uint8Array;
}

/** Bytes of `recent`. */
const RECENT = 4096;

/** `log` takes all of it. The guest waits for the callback of `onOutput` alone, and for that to be there at all. */
export function createConsoleHub(machine: ConsolePort, log: (bytes: Uint8Array) => void): ConsoleHub {
  const watchers = new Set<(bytes: Uint8Array) => void>();
  /** What was written before anybody asked for it. */
  const early: { readonly bytes: Uint8Array; taken(): void }[] = [];
  let main = (bytes: Uint8Array): void | Promise<void> =>
    new Promise((taken) => early.push({ bytes: Uint8Array.from(bytes), taken }));
  let recent = new Uint8Array();
  machine.onOutput((bytes) => {
    log(bytes);
    const both = new Uint8Array(recent.length + bytes.length);
    both.set(recent);
    both.set(bytes, recent.length);
    recent = both.slice(-RECENT);
    for (const watcher of watchers) watcher(bytes);
    return main(bytes);
  });
  return {
    input: (bytes) => machine.input(bytes),
    onOutput(callback) {
      main = callback;
      for (const { bytes, taken } of early.splice(0)) Promise.resolve(callback(bytes)).then(taken);
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    recent: () => recent,
  };
}
