/** `virts run` and `virts debug`: start a machine, put it on the terminal, wait for its end. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { VirtsError } from '../base/errors.ts';
import { DEFAULT_SAMPLE } from '../engine/translated/vcpu.ts';
import { fileError } from '../images/apt/cache.ts';
import { networksDirectory } from '../images/directories.ts';
import type { ForwardRequest } from '../network/nat.ts';
import type { Access } from '../network/policy.ts';
import type { EndReason, MachineEnd, MachineOptions, RunningMachine } from '../sdk/machine-host.ts';
import type { Configuration, DiskConfiguration } from '../vm/configuration.ts';
import type { VolumeConfiguration } from '../vm/volume-text.ts';
import { type BootOptions, bootFiles, closeBootFiles } from './boot-files.ts';
import { type OpenDisks, openDisks } from './disks.ts';
import type { Environment } from './environment.ts';
import { exitStatus } from './exit-status.ts';
import { type OpenFolders, openFolders } from './folders.ts';
import { aborted, interruptible } from './interrupt.ts';
import { chosenPorts, type NetworkRequest, type OpenNetwork, openNetwork } from './network.ts';
import { seedDisk } from './seed-disk.ts';
import { statisticsLines } from './statistics.ts';
import { attach } from './terminal.ts';
import { type OpenVsock, openVsock } from './vsock.ts';

export interface RunOptions extends BootOptions {
  /** Bytes. */
  readonly memory: number;
  readonly cpus: number;
  readonly disk?: readonly DiskConfiguration[];
  readonly volume?: readonly VolumeConfiguration[];
  readonly translate: Configuration['translate'];
  readonly verifyTranslation?: boolean;
  readonly reboot: boolean;
  /** A file, or `true` for standard error. */
  readonly debugLog?: string | true;
  readonly gdb?: number;
  readonly stats?: boolean;
  readonly net: Configuration['network']['kind'];
  /** A network with other machines. */
  readonly network?: string;
  /** The machine's name. */
  readonly name?: string;
  readonly publish?: readonly ForwardRequest[];
  readonly netAllow?: readonly string[];
  readonly netHost?: boolean;
  /** A file for cloud-init. */
  readonly userData?: string;
  /** Path of the socket that leads to ports of the guest. */
  readonly vsock?: string;
}

/** What is asked of the network; `undefined` for none. @throws VirtsError `usage` where there is none to ask it of. */
function networkOf(options: RunOptions, env: NodeJS.ProcessEnv): NetworkRequest | undefined {
  const { net, network, name, publish = [], netAllow, netHost = false } = options;
  const shared = network === undefined ? undefined : { name: network, base: networksDirectory(env) };
  if (net === 'user') {
    const access: Access = netAllow === undefined ? { kind: 'full' } : { kind: 'listed', hosts: netAllow };
    return { access, hostAccess: netHost, forwards: publish, name, shared };
  }
  const published = publish.length > 0 && shared === undefined ? '--publish' : '';
  const useless = netAllow !== undefined ? '--net-allow' : netHost ? '--net-host' : published;
  if (useless !== '') throw new VirtsError('usage', `${useless} needs a network; leave --net none out.`);
  // Without the outside, but with the other machines.
  return shared && { access: { kind: 'none' }, hostAccess: false, forwards: publish, name, shared };
}

/** @throws VirtsError `usage` where there is nothing to verify. */
function translationOf({ translate, verifyTranslation }: RunOptions): Pick<MachineOptions, 'translation'> {
  if (translate !== 'off')
    return { translation: { threshold: translate, ...(verifyTranslation && { verify: DEFAULT_SAMPLE }) } };
  if (verifyTranslation !== true) return {};
  throw new VirtsError('usage', '--verify-translation checks translated code, which --translate off excludes.');
}

/** How a line ends on standard error: in raw mode the terminal does not return to the first column by itself. */
function lineEnd({ stderr, stdin }: Environment): string {
  return stdin.isTTY === true && stderr.isTTY === true ? '\r\n' : '\n';
}

interface Log {
  readonly write: (line: string) => void;
  readonly close: () => void;
}

function openLog(target: string | true, environment: Environment): Log {
  if (target === true) {
    const end = lineEnd(environment);
    return { write: (line) => void environment.stderr.write(line + end), close: () => {} };
  }
  try {
    const file = openSync(target, 'w');
    return { write: (line) => void writeSync(file, `${line}\n`), close: () => closeSync(file) };
  } catch (error) {
    throw fileError(error, target, 'written');
  }
}

/** Sentences for ends that a user did not ask for. */
const SENTENCES: Partial<Record<EndReason, string>> = {
  'triple-fault': 'The guest ended by a triple fault: an exception that it could not handle reset its processor.',
  killed: 'The debugger ended the guest.',
};

/** Tells of the end and gives its exit status. @throws VirtsError `guest-stopped` when the guest hangs for ever. */
function conclude(end: MachineEnd, { stderr }: Environment): number {
  if (end.reason === 'halted') {
    throw new VirtsError('guest-stopped', 'The guest halted with interrupts disabled, so that nothing can wake it.');
  }
  const sentence = SENTENCES[end.reason];
  if (sentence !== undefined) stderr.write(`virts: ${sentence}\n`);
  return exitStatus(end);
}

function printStatistics(machine: RunningMachine, started: number, { stderr }: Environment): void {
  const seconds = (performance.now() - started) / 1000;
  const lines = statisticsLines(machine.statistics?.() ?? {}, seconds);
  stderr.write(lines.map((line) => `virts: ${line}\n`).join(''));
}

/** Prints figures whenever SIGUSR2 comes, until the function that it returns is called. */
function printOnSignal(machine: RunningMachine, started: number, environment: Environment): () => void {
  let waits = false;
  let over = false;
  const print = async (): Promise<void> => {
    if (waits || machine.refreshStatistics === undefined) return;
    waits = true;
    await machine.refreshStatistics();
    waits = false;
    if (!over) printStatistics(machine, started, environment);
  };
  const listener = () => void print();
  environment.signals.on('SIGUSR2', listener);
  return () => {
    over = true;
    environment.signals.off('SIGUSR2', listener);
  };
}

/** Runs a started machine on the terminal until it ends or the user leaves; returns the exit status. */
async function converse(machine: RunningMachine, environment: Environment, signal: AbortSignal): Promise<number> {
  const { stdin, stderr } = environment;
  const terminal = attach(machine, environment);
  try {
    const end = await Promise.race([machine.ended, terminal.left, aborted(signal)]);
    if (end === undefined) {
      terminal.detach();
      // The guest's cursor may stand in the middle of a line.
      if (stdin.isTTY === true && stderr.isTTY === true) stderr.write('\nvirts: You left the guest; it has ended.\n');
      return 0;
    }
    await terminal.flush();
    terminal.detach();
    return conclude(end, environment);
  } finally {
    terminal.detach();
  }
}

function announce({ gdb }: MachineOptions, { stdin, stderr }: Environment): void {
  if (gdb !== undefined) {
    const state = gdb.wait ? 'waits for' : 'serves';
    stderr.write(`virts: The machine ${state} GDB: target remote localhost:${gdb.port}\n`);
  }
  if (stdin.isTTY === true && stderr.isTTY === true) stderr.write('virts: Ctrl-] leaves the guest.\n');
}

async function runMachine(
  options: MachineOptions,
  stats: boolean,
  environment: Environment,
  signal: AbortSignal,
): Promise<number> {
  const started = performance.now();
  const machine = await environment.startMachine(options);
  const printNoMore = stats ? printOnSignal(machine, started, environment) : () => {};
  try {
    announce(options, environment);
    return await converse(machine, environment, signal);
  } finally {
    printNoMore();
    await machine.stop();
    if (stats) printStatistics(machine, started, environment);
  }
}

/**
 * Runs a machine. `wait`: it stands still until a debugger is there.
 * @returns the exit status.
 * @throws VirtsError; Interrupted after a signal.
 */
export function run(options: RunOptions, wait: boolean, environment: Environment): Promise<number> {
  return interruptible(environment.signals, async (signal) => {
    const translation = translationOf(options);
    const request = networkOf(options, environment.env);
    const boot = await bootFiles(options, environment, signal);
    let log: Log | undefined;
    let network: OpenNetwork | undefined;
    let disks: OpenDisks | undefined;
    let vsock: OpenVsock | undefined;
    let folders: OpenFolders | undefined;
    try {
      log = options.debugLog === undefined ? undefined : openLog(options.debugLog, environment);
      const report = (message: string) => void environment.stderr.write(`virts: ${message}${lineEnd(environment)}`);
      const seed = options.userData === undefined ? [] : [await seedDisk(options.userData)];
      disks = await openDisks(options.disk ?? [], report, seed);
      folders = openFolders(options.volume ?? [], report);
      network = request && (await openNetwork(request, report));
      chosenPorts(request?.forwards ?? [], network?.forwards ?? []).forEach(report);
      vsock = options.vsock === undefined ? undefined : await openVsock(options.vsock);
      const machineOptions: MachineOptions = {
        ...boot,
        append: [boot.append, ...folders.words].join(' '),
        memory: options.memory,
        cpus: options.cpus,
        disks: disks.open,
        folders: folders.open,
        network: network?.machine,
        vsock: vsock?.machine,
        reboot: options.reboot,
        ...translation,
        ...(log === undefined ? {} : { debugLog: log.write }),
        ...(options.gdb === undefined ? {} : { gdb: { port: options.gdb, wait } }),
      };
      return await runMachine(machineOptions, options.stats === true, environment, signal);
    } finally {
      vsock?.close();
      network?.close();
      log?.close();
      closeBootFiles(boot);
      await folders?.close();
      await disks?.close();
    }
  });
}
