/**
 * A machine that runs in this process: what its configuration names is opened, its threads are started, and all of it is closed
 * again. The command line's monitor and programs that embed machines both stand on it.
 */
import { availableParallelism } from 'node:os';
import { DEFAULT_SAMPLE, defaultThreshold } from '../../engine/translated/vcpu-interface.ts';
import { networksDirectory } from '../../images/directories.ts';
import type { Access } from '../../network/policy.ts';
import type { BlockDevice } from '../../storage/block-device.ts';
import { AGENT_PORT } from '../../vm/agent/protocol.ts';
import { shutDownGuest } from '../../vm/agent/requests.ts';
import type { DialAgent } from '../../vm/agent/session.ts';
import type { Configuration, DiskConfiguration } from '../../vm/configuration.ts';
import type { MachineFigures } from '../machine-figures.ts';
import type { MachineOptions, RunningMachine, StartMachine } from '../machine-host.ts';
import { type Boot, type BootHost, type BootPaths, type BootSource, bootFiles, closeBootFiles } from './boot-files.ts';
import { type OpenDisks, openDisks } from './disks.ts';
import { figuresOf } from './figures.ts';
import { type OpenFolders, openFolders } from './folders.ts';
import { type OpenNetwork, openNetwork } from './network.ts';
import { seedDisk } from './seed-disk.ts';
import { type OpenVsock, openVsock } from './vsock.ts';

export interface LiveOptions extends BootHost {
  readonly configuration: Configuration;
  /** In place of what the configuration names: files in memory. */
  readonly kernel?: BootSource | undefined;
  readonly initrd?: BootSource | undefined;
  /** Of the image that the machine is made from. */
  readonly imageFiles?: BootPaths | undefined;
  /** Ask the archive for newer packages of the default guest. */
  readonly refresh?: boolean | undefined;
  /** The machine's own disk, in front of those of the configuration; closed with the machine. */
  readonly disk?: DiskConfiguration | BlockDevice | undefined;
  /** Sockets of this host that lead to ports of the guest. */
  readonly sockets: readonly string[];
  /** Whether it has a socket device even without any of them, for programs of this process. */
  readonly vsock?: boolean;
  /** Where the network of the configuration is that it shares with other machines; the user's place for those unless told. */
  readonly networks?: string | undefined;
  readonly startMachine: StartMachine;
  /** Takes sentences for the user. */
  report(message: string): void;
  readonly debugLog?: ((line: string) => void) | undefined;
  readonly gdb?: MachineOptions['gdb'];
}

export interface LiveMachine {
  readonly running: RunningMachine;
  readonly network: OpenNetwork | undefined;
  readonly vsock: OpenVsock | undefined;
  /** Asks the guest to shut down: by its agent, or by the power button where it has none that answers. */
  askToShutDown(): void;
  figures(): Promise<MachineFigures>;
  /**
   * Ends the threads and closes all that was opened.
   * @throws VirtsError when something that the guest wrote could not be made stable.
   */
  close(): Promise<void>;
}

/** What a machine has open on the host. */
interface Opened {
  boot?: Boot;
  disks?: OpenDisks;
  network?: OpenNetwork | undefined;
  vsock?: OpenVsock | undefined;
  folders?: OpenFolders;
}

/** Closes all, whatever fails. @throws the first failure of a disk. */
async function closeAll({ boot, disks, network, vsock, folders }: Opened): Promise<void> {
  vsock?.close();
  network?.close();
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

async function openNetworkOf({ configuration, env, networks, report }: LiveOptions): Promise<OpenNetwork | undefined> {
  const { name, network } = configuration;
  const access = accessOf(network);
  if (access === undefined) return undefined;
  const { host, publish, join: shared } = network;
  const place = shared === undefined ? undefined : { name: shared, base: networks ?? networksDirectory(env) };
  return openNetwork({ access, hostAccess: host, forwards: publish, name, shared: place }, report);
}

/** Opens what the configuration names, piece by piece into `opened`. */
async function openParts(options: LiveOptions, opened: Opened): Promise<MachineOptions> {
  const { configuration, report } = options;
  const { cpus, verifyTranslation } = configuration;
  const { translate = defaultThreshold(cpus, availableParallelism()) } = configuration;
  const { imageFiles, refresh, kernel = configuration.kernel, initrd = configuration.initrd } = options;
  const boot = await bootFiles({ ...configuration, kernel, initrd, imageFiles, refresh }, options);
  opened.boot = boot;
  const seed = configuration.userData === undefined ? [] : [await seedDisk(configuration.userData)];
  const own = options.disk === undefined ? [] : [options.disk];
  opened.disks = await openDisks([...own, ...configuration.disks, ...seed], report);
  opened.folders = openFolders(configuration.volumes, report);
  opened.network = await openNetworkOf(options);
  const { sockets } = options;
  opened.vsock = sockets.length > 0 || options.vsock === true ? await openVsock(sockets) : undefined;
  return {
    ...boot,
    append: [boot.append, ...opened.folders.words].join(' '),
    folders: opened.folders.open,
    memory: configuration.memory,
    cpus,
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

/** How long the guest's agent may take to answer, in milliseconds. */
const AGENT_MS = 2000;

async function askToShutDown(running: RunningMachine, vsock: OpenVsock | undefined): Promise<void> {
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, AGENT_MS, false).unref());
  const dial: DialAgent = (events) => vsock!.vsock.connect(AGENT_PORT, events);
  const asked = vsock === undefined ? false : shutDownGuest(dial).then(() => true);
  const answered = await Promise.race([asked, late]).catch(() => false);
  if (!answered) running.pressPowerButton();
}

/** A started machine with what it has open. */
function live(running: RunningMachine, opened: Opened, { memory, cpus }: Configuration): LiveMachine {
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    try {
      await running.stop();
    } finally {
      await closeAll(opened);
    }
  }
  return {
    running,
    network: opened.network,
    vsock: opened.vsock,
    askToShutDown: () => void askToShutDown(running, opened.vsock),
    figures: figuresOf({
      ...{ running, memory, cpus },
      disks: opened.disks?.traffic,
      network: opened.network?.traffic,
    }),
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/**
 * Opens and starts a machine. Resolves when the guest runs.
 * @throws VirtsError for what cannot be opened or started; nothing is open then.
 */
export async function startLive(options: LiveOptions): Promise<LiveMachine> {
  const opened: Opened = {};
  try {
    const running = await options.startMachine(await openParts(options, opened));
    return live(running, opened, options.configuration);
  } catch (error) {
    await closeAll(opened).catch(() => {});
    throw error;
  }
}
