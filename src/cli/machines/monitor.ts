/**
 * Runs one machine in this process: opens what its configuration names, starts it, keeps its state on disk true, and serves its
 * control socket. The same for a terminal, a process of its own, and a program that embeds machines.
 */
import { join } from 'node:path';
import { ERROR_KINDS, VirtsError } from '../../base/errors.ts';
import { DEFAULT_SAMPLE } from '../../engine/translated/vcpu.ts';
import type { Progress } from '../../images/apt/progress.ts';
import { networksDirectory } from '../../images/directories.ts';
import type { Access } from '../../network/policy.ts';
import type { MachineEnd, MachineOptions, RunningMachine } from '../../sdk/machine-host.ts';
import { AGENT_PORT } from '../../vm/agent/protocol.ts';
import { shutDownGuest } from '../../vm/agent/requests.ts';
import type { DialAgent } from '../../vm/agent/session.ts';
import type { Configuration } from '../../vm/configuration.ts';
import { type Boot, bootFiles, closeBootFiles } from '../boot-files.ts';
import { type OpenDisks, openDisks } from '../disks.ts';
import type { Environment } from '../environment.ts';
import { exitStatus } from '../exit-status.ts';
import { type OpenFolders, openFolders } from '../folders.ts';
import { chosenPorts, type OpenNetwork, openNetwork } from '../network.ts';
import { seedDisk } from '../seed-disk.ts';
import { type OpenVsock, openVsock } from '../vsock.ts';
import { type ConsoleHub, createConsoleHub } from './console-hub.ts';
import { type ConsoleLog, openConsoleLog } from './console-log.ts';
import type { Ending, Event, Stats } from './control-protocol.ts';
import { type Controlled, type ControlServer, serveControl } from './control-server.ts';
import { FILES } from './files.ts';
import { checkImageFiles, layeredDisk } from './image-disk.ts';
import { type MachineRecord, type Status, writeStatus } from './state-directory.ts';

/** How a run ended: the guest by itself, or by what somebody asked of the control socket. */
export type Outcome = { readonly kind: 'guest'; readonly end: MachineEnd } | { readonly kind: 'killed' };

export interface MonitorOptions {
  readonly configuration: Configuration;
  /** Whose state is kept; this process holds it. Absent where the host has no place for that. */
  readonly machine: MachineRecord | undefined;
  readonly environment: Pick<Environment, 'env' | 'startMachine'>;
  readonly progress: Progress;
  /** Ends the preparations. */
  readonly signal: AbortSignal;
  /** Takes sentences for the user. */
  report(message: string): void;
  /** Called as the guest begins to run, before it can have written anything that is not there any more. */
  started?(console: ConsoleHub): void;
  readonly debugLog?: ((line: string) => void) | undefined;
  readonly gdb?: MachineOptions['gdb'];
  /** Ask the archive for newer packages of the default guest. */
  readonly refresh?: boolean | undefined;
}

export interface Monitor extends Controlled {
  readonly running: RunningMachine;
  /** Rejects with a VirtsError when the machine cannot go on. */
  readonly outcome: Promise<Outcome>;
  /**
   * Ends the machine if need be, closes what it had open, and keeps how it ended; may be called again.
   * @throws VirtsError when something that the guest wrote could not be made stable.
   */
  close(ending: Ending): Promise<void>;
}

/** The exit status of what was killed, as a shell has it for SIGKILL. */
const KILLED = 137;
/** How long figures of a machine that does not answer are waited for, in milliseconds. */
const FIGURES_MS = 2000;

export const KILLED_ENDING: Ending = { exitStatus: KILLED, message: 'The machine was killed.' };

/** The ending that an error is. */
export function failedEnding(error: unknown): Ending {
  const message = error instanceof Error ? error.message : String(error);
  return { exitStatus: ERROR_KINDS[error instanceof VirtsError ? error.kind : 'internal'], message };
}

const SENTENCES: Partial<Record<MachineEnd['reason'], string>> = {
  'triple-fault': 'The guest ended by a triple fault: an exception that it could not handle reset its processor.',
  killed: 'The debugger ended the guest.',
  halted: 'The guest halted with interrupts disabled, so that nothing can wake it.',
};

export function endingOf(outcome: Outcome): Ending {
  if (outcome.kind === 'killed') return KILLED_ENDING;
  const message = SENTENCES[outcome.end.reason];
  return { exitStatus: exitStatus(outcome.end), ...(message !== undefined && { message }) };
}

/** What a machine has open on the host. */
interface Opened {
  boot?: Boot;
  disks?: OpenDisks;
  network?: OpenNetwork | undefined;
  vsock?: OpenVsock | undefined;
  folders?: OpenFolders;
  log?: ConsoleLog;
}

/** Closes all, whatever fails. @throws the first failure of a disk. */
async function closeAll({ boot, disks, network, vsock, folders, log }: Opened): Promise<void> {
  vsock?.close();
  network?.close();
  log?.close();
  if (boot !== undefined) closeBootFiles(boot);
  await folders?.close();
  await disks?.close();
}

/** What the guest may reach, if it has a network at all. */
function accessOf({ kind, allow, join }: Configuration['network']): Access | undefined {
  if (kind === 'user') return allow === undefined ? { kind: 'full' } : { kind: 'listed', hosts: allow };
  // Without the outside, but with the other machines.
  return join === undefined ? undefined : { kind: 'none' };
}

async function openNetworkOf(
  { name, network }: Configuration,
  env: NodeJS.ProcessEnv,
  report: (message: string) => void,
): Promise<OpenNetwork | undefined> {
  const access = accessOf(network);
  if (access === undefined) return undefined;
  const { host, publish, join: shared } = network;
  const place = shared === undefined ? undefined : { name: shared, base: networksDirectory(env) };
  const opened = await openNetwork({ access, hostAccess: host, forwards: publish, name, shared: place }, report);
  chosenPorts(publish, opened.forwards).forEach(report);
  return opened;
}

/** Opens what the configuration names, piece by piece into `opened`. */
async function openParts(options: MonitorOptions, opened: Opened): Promise<MachineOptions> {
  const { configuration, machine, environment, progress, signal, report } = options;
  const { translate, verifyTranslation } = configuration;
  if (machine !== undefined) checkImageFiles(machine);
  const boot = await bootFiles(
    { ...configuration, madeFrom: machine?.madeFrom, refresh: options.refresh },
    { env: environment.env, progress, signal },
  );
  opened.boot = boot;
  const own = machine?.madeFrom?.disk === undefined ? [] : [layeredDisk(machine)];
  const seed = configuration.userData === undefined ? [] : [await seedDisk(configuration.userData)];
  opened.disks = await openDisks([...own, ...configuration.disks], report, seed);
  opened.folders = openFolders(configuration.volumes, report);
  opened.network = await openNetworkOf(configuration, environment.env, report);
  const doors = [machine && join(machine.directory, FILES.vsock), configuration.vsock];
  const sockets = doors.filter((path) => path !== undefined);
  opened.vsock = sockets.length === 0 ? undefined : await openVsock(sockets);
  return {
    ...boot,
    append: [boot.append, ...opened.folders.words].join(' '),
    folders: opened.folders.open,
    memory: configuration.memory,
    cpus: configuration.cpus,
    disks: opened.disks.open,
    network: opened.network?.machine,
    vsock: opened.vsock?.machine,
    reboot: configuration.reboot,
    ...(translate !== 'off' && {
      translation: { threshold: translate, ...(verifyTranslation && { verify: DEFAULT_SAMPLE }) },
    }),
    ...(options.debugLog && { debugLog: options.debugLog }),
    ...(options.gdb && { gdb: options.gdb }),
  };
}

/** Writes the status of a machine, if it has one; changes follow one another. */
function statusKeeper(machine: MachineRecord | undefined) {
  let status: Status = { state: 'starting', pid: process.pid, started: new Date().toISOString() };
  let last: Promise<void> = Promise.resolve();
  return {
    put(change: Partial<Status>): Promise<void> {
      status = { ...status, ...change };
      const next = status;
      if (machine === undefined) return Promise.resolve();
      last = last.then(
        () => writeStatus(machine, next),
        () => writeStatus(machine, next),
      );
      return last;
    },
  };
}

function figuresOf(
  running: RunningMachine,
  { disks, network }: Opened,
  { memory, cpus }: Configuration,
): () => Promise<Stats> {
  let refreshing: Promise<void> | undefined;
  async function refresh(): Promise<void> {
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, FIGURES_MS).unref());
    await Promise.race([running.refreshStatistics?.(), timeout]);
    refreshing = undefined;
  }
  return async () => {
    // Threads answer one question at a time.
    refreshing ??= refresh();
    await refreshing;
    const figures = running.statistics?.() ?? {};
    const { user, system } = process.cpuUsage();
    const balloon = Number(figures['guest memory in the balloon (KiB)'] ?? 0) * 1024;
    const guest = Number(figures['resident guest memory (KiB)'] ?? 0) * 1024;
    return {
      cpu: user + system,
      at: performance.now(),
      vcpus: cpus,
      memory: { size: memory, guest, process: process.memoryUsage.rss(), balloon },
      disk: { ...(disks?.traffic ?? { read: 0, written: 0 }) },
      network: { ...(network?.traffic ?? { received: 0, sent: 0 }) },
      instructions: Number(figures['instructions retired'] ?? 0),
    };
  };
}

/** How long the guest's agent may take to answer, in milliseconds. */
const AGENT_MS = 2000;

/** Asks a guest to shut down: by its agent, or by the power button where it has none that answers. */
async function askToShutDown(running: RunningMachine, vsock: OpenVsock | undefined): Promise<void> {
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, AGENT_MS, false).unref());
  const dial: DialAgent = (events) => vsock!.vsock.connect(AGENT_PORT, events);
  const asked = vsock === undefined ? false : shutDownGuest(dial).then(() => true);
  const answered = await Promise.race([asked, late]).catch(() => false);
  if (!answered) running.pressPowerButton();
}

interface ControlOptions {
  readonly running: RunningMachine;
  readonly console: ConsoleHub;
  readonly status: ReturnType<typeof statusKeeper>;
  readonly vsock: OpenVsock | undefined;
  readonly debugged: boolean;
}

/** What others may ask of a running machine. */
function controls({ running, console, status, vsock, debugged }: ControlOptions) {
  const listeners = new Set<(event: Event) => void>();
  const ended = Promise.withResolvers<Ending>();
  const outcome = Promise.withResolvers<Outcome>();
  running.ended.then((end) => outcome.resolve({ kind: 'guest', end }), outcome.reject);
  outcome.promise.catch(() => {});
  let paused = false;

  const tell = (event: Event) => {
    for (const listener of [...listeners]) listener(event);
  };
  async function resume(): Promise<void> {
    if (!paused) return;
    paused = false;
    running.resume();
    await status.put({ state: 'running' });
    tell({ event: 'resumed' });
  }
  function kill(): Promise<Ending> {
    outcome.resolve({ kind: 'killed' });
    return ended.promise;
  }
  return {
    ended,
    outcome: outcome.promise,
    tell,
    controlled: {
      console,
      ended: ended.promise,
      kill,
      resume,
      async pause() {
        if (debugged) throw new VirtsError('usage', 'A debugger stops and continues this machine; use its commands.');
        if (paused) return;
        paused = true;
        await running.pause();
        await status.put({ state: 'paused' });
        tell({ event: 'paused' });
      },
      async stop(timeout: number) {
        await resume();
        const patience = setTimeout(kill, timeout);
        void askToShutDown(running, vsock);
        try {
          return await ended.promise;
        } finally {
          clearTimeout(patience);
        }
      },
      async balloon(bytes: number) {
        running.setBalloon(bytes);
      },
      watch(listener: (event: Event) => void) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
}

/**
 * Starts a machine. Resolves when the guest runs.
 * @throws VirtsError for what cannot be opened or started; nothing is open then.
 */
export async function startMonitor(options: MonitorOptions): Promise<Monitor> {
  const { configuration, machine, environment } = options;
  const status = statusKeeper(machine);
  const opened: Opened = {};
  let running: RunningMachine | undefined;
  let server: ControlServer | undefined;
  try {
    await status.put({});
    running = await environment.startMachine(await openParts(options, opened));
    if (machine !== undefined) opened.log = openConsoleLog(join(machine.directory, FILES.console));
    const console = createConsoleHub(running, (bytes) => opened.log?.write(bytes));
    options.started?.(console);
    const { ended, outcome, tell, controlled } = controls({
      ...{ running, console, status, vsock: opened.vsock },
      debugged: options.gdb !== undefined,
    });
    const monitored = { ...controlled, stats: figuresOf(running, opened, configuration) };
    if (machine !== undefined) server = await serveControl(join(machine.directory, FILES.control), monitored);
    await status.put({ state: 'running' });
    let closing: Promise<void> | undefined;
    const parts = { running, opened, server };
    async function close(ending: Ending): Promise<void> {
      let final = ending;
      try {
        await parts.running.stop();
        await closeAll(parts.opened);
      } catch (error) {
        final = failedEnding(error);
        throw error;
      } finally {
        const { exitStatus, message } = final;
        await status
          .put({ state: 'exited', ended: new Date().toISOString(), exitStatus, message })
          .catch(options.report);
        ended.resolve(final);
        tell({ event: 'ended', ending: final });
        await parts.server?.close();
      }
    }
    return {
      ...monitored,
      running,
      outcome,
      close(ending) {
        closing ??= close(ending);
        return closing;
      },
    };
  } catch (error) {
    await running?.stop().catch(() => {});
    await server?.close();
    await closeAll(opened).catch(() => {});
    const { exitStatus, message } = failedEnding(error);
    await status.put({ state: 'exited', ended: new Date().toISOString(), exitStatus, message }).catch(() => {});
    throw error;
  }
}
