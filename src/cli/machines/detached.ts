/** What a process does that was started to run one machine, without a terminal. */
import { VirtsError } from '../../base/errors.ts';
import { unlessAborted } from '../../base/unless-aborted.ts';
import { machinesDirectory } from '../../images/directories.ts';
import { adoptLock } from '../../storage/file-lock.ts';
import type { Environment } from '../environment.ts';
import { Interrupted, interruptible } from '../interrupt.ts';
import { type Log, openLog } from '../log-file.ts';
import { showProgress } from '../progress.ts';
import { DESCRIPTORS, tellReady } from './launch.ts';
import { endingOf, failedEnding, KILLED_ENDING, type Monitor, startMonitor } from './monitor.ts';
import { openMachineStore } from './state-directory.ts';

/** How long the guest has to shut down when this process is told to end, in milliseconds. */
const PARTING_MS = 10_000;

/** Runs a started machine to its end. A signal asks the guest to shut down. */
async function attend(monitor: Monitor, signal: AbortSignal): Promise<void> {
  try {
    const outcome = await unlessAborted(signal, monitor.outcome);
    await monitor.close(endingOf(outcome));
  } catch (error) {
    if (!(error instanceof Interrupted)) {
      await monitor.close(failedEnding(error));
      throw error;
    }
    monitor.stop(PARTING_MS).catch(() => {});
    const outcome = await monitor.outcome.catch(() => undefined);
    await monitor.close(outcome === undefined ? KILLED_ENDING : endingOf(outcome));
  }
}

/** Runs the machine with that id, whose lock this process was given. @returns the exit status. */
export async function runDetached(id: string, environment: Environment): Promise<number> {
  const { env, stderr, signals } = environment;
  const store = openMachineStore(machinesDirectory(env));
  const report = (message: string) => void stderr.write(`virts: ${message}\n`);
  return interruptible(signals, async (signal) => {
    let monitor: Monitor;
    let log: Log | undefined;
    const lock = adoptLock(DESCRIPTORS.lock);
    const machine = await store.find(id);
    try {
      const { configuration } = machine;
      log = configuration.debugLog === undefined ? undefined : openLog(configuration.debugLog, environment);
      const progress = showProgress(stderr);
      monitor = await startMonitor({
        configuration,
        machine,
        environment,
        progress,
        signal,
        report,
        debugLog: log?.write,
      });
    } catch (error) {
      const known = error instanceof VirtsError ? error : undefined;
      tellReady({ kind: known?.kind ?? 'internal', message: error instanceof Error ? error.message : String(error) });
      throw error;
    }
    // Nobody but the log and the clients of the control socket.
    monitor.console.onOutput(() => {});
    tellReady({ running: true });
    await attend(monitor, signal);
    log?.close();
    if (machine.configuration.remove) await store.remove({ machine, lock });
    return 0;
  });
}
