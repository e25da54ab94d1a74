/** What the thread of a machine does on every host: makes the machine, boots it, and runs it to its end. */
import { VirtsError } from '../base/errors.ts';
import type { Ring } from '../base/ring.ts';
import { SHARES_MEMORY } from '../base/shared-memory.ts';
import type { DiskShape } from '../devices/block-port.ts';
import type { Translation } from '../engine/translated/vcpu-interface.ts';
import type { LentBytes } from '../machine/boot.ts';
import { type IoLink, openIoPort } from '../memory/io-link.ts';
import { type CardOptions, openMachineEnd } from '../network/link.ts';
import { openVsockPort, type VsockOptions } from '../network/vsock/link.ts';
import { createMachine, type Machine, type MachineEnd } from '../vm/machine.ts';
import { exceptionLine } from './debug-log.ts';
import type { BootFile } from './machine-host.ts';
import { type MachineLoop, machineLoop, type RunEnd, type Runner } from './machine-loop.ts';
import { openCompiler, type TranslatorLink } from './translator-link.ts';
import { CONTROL, kick } from './worker-channel.ts';
import { describeError, type FailedError } from './worker-error.ts';

/** A disk whose back end the owner's thread serves. */
export interface LinkedDisk {
  readonly shape: DiskShape;
  readonly serial: string | undefined;
  readonly link: IoLink;
}

/** A shared folder whose server runs in a thread of its own. */
export interface LinkedFolder {
  readonly tag: string;
  readonly link: IoLink;
}

/** What the owner tells the thread at its start. */
export interface ThreadOptions {
  readonly kernel: BootFile;
  readonly initrd: BootFile | undefined;
  readonly append: string;
  readonly memory: number;
  readonly cpus: number;
  readonly disks: readonly LinkedDisk[];
  readonly folders: readonly LinkedFolder[];
  /** Where each vCPU has a thread of its own: which this is, and the memory of all. The first one boots the machine. */
  readonly vcpu: { readonly number: number; readonly memory: WebAssembly.Memory } | undefined;
  readonly translation: Translation | undefined;
  /** To the thread that compiles regions; absent: this one does it. */
  readonly translator: TranslatorLink | undefined;
  /** The network card and its wire; absent: there is none. */
  readonly network: CardOptions | undefined;
  /** The socket device and its wire; absent: there is none. */
  readonly vsock: VsockOptions | undefined;
  readonly reboot: boolean;
  readonly debugLog: boolean;
}

/** What the thread tells its owner. */
export type ThreadMessage =
  /** The guest is about to run; `memory` is what backs its RAM, where threads can share that. */
  | { readonly kind: 'started'; readonly memory: ArrayBufferLike | undefined }
  | { readonly kind: 'output'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'consumed'; readonly count: number }
  | { readonly kind: 'log'; readonly line: string }
  /** It stands still, as the owner asked for with this number. */
  | { readonly kind: 'standing'; readonly count: number }
  | { readonly kind: 'figures'; readonly stats: Record<string, number> }
  | { readonly kind: 'ended'; readonly end: RunEnd; readonly stats: Record<string, number> }
  | { readonly kind: 'failed'; readonly error: FailedError };

/** What the thread has of its host. */
export interface ThreadHost {
  readonly control: Int32Array;
  readonly input: Ring;
  /** As in `Channel`. */
  readonly output: Ring;
  post(message: ThreadMessage): void;
  /** Milliseconds from any origin, the same in all threads of a machine, never stepping back. */
  now(): number;
  /** Fills memory that may be shared. */
  random(bytes: Uint8Array): void;
  /** As in the machine's options. */
  memoryMade?(memory: WebAssembly.Memory): void;
  memorySparse?(memory: WebAssembly.Memory, address: number, length: number): void;
  memoryUnused?(memory: WebAssembly.Memory, address: number, length: number): void;
  /** Reads a file by its descriptor, where the owner names any so. @throws VirtsError `io`, `no-space`. */
  readFile?(name: string, descriptor: number): LentBytes;
  /** What the host knows of this thread, for statistics. */
  figures?(): Record<string, number>;
}

/** A machine that is about to run. */
export interface MachineThread {
  readonly machine: Machine;
  /** Whether the machine starts over after this end. */
  restarts(end: MachineEnd): boolean;
  loopOver(runner: Runner): MachineLoop;
  /** Tells the owner that the guest is to run now. */
  started(): void;
}

function create(options: ThreadOptions, host: ThreadHost, write: (byte: number) => void): Machine {
  const log = (line: string) => host.post({ kind: 'log', line });
  const { network: card } = options;
  const port = card && openMachineEnd(card.link);
  const machine = createMachine({
    memory: options.memory,
    cpus: options.cpus,
    disks: options.disks.map(({ link, ...disk }) => ({ ...disk, connect: (memory) => openIoPort(link, memory) })),
    folders: options.folders.map(({ link, tag }) => ({ tag, connect: (memory) => openIoPort(link, memory) })),
    thread: options.vcpu && { ...options.vcpu, wake: (vcpu) => kick(host.control, vcpu) },
    ...(options.translation === undefined ? {} : { translation: options.translation }),
    compiler: options.translator && openCompiler(options.translator),
    network: card && port && { port, mac: card.mac, mtu: card.mtu },
    vsock: options.vsock && { port: openVsockPort(options.vsock.link), cid: options.vsock.cid },
    clock: 'real',
    hostNow: () => host.now() * 1e6,
    epoch: Date.now(),
    random: host.random,
    memoryMade: (memory) => host.memoryMade?.(memory),
    memorySparse: (memory, address, length) => host.memorySparse?.(memory, address, length),
    memoryUnused: (memory, address, length) => host.memoryUnused?.(memory, address, length),
    serial: { write },
    ...(options.debugLog
      ? {
          log,
          onException: (vector: number, error: number | undefined, rip: bigint) =>
            log(exceptionLine(vector, error, rip)),
        }
      : {}),
  });
  return {
    ...machine,
    reset() {
      port?.restarted();
      machine.reset();
    },
  };
}

/** How a thread deals with what the guest writes to its serial port. */
interface Output {
  /** Called under the machine's lock, so that bytes keep their order whatever thread they come from. */
  write(byte: number): void;
  flushOutput(): void;
}

/** The first thread sends its own bytes and those of the others to the owner. */
function sendingOutput({ control, output: others, post }: ThreadHost): Output {
  let output: number[] = [];
  function takeOthers(): void {
    if (others.available() > 0) output.push(...others.read(others.available()));
  }
  return {
    write(byte) {
      takeOthers();
      output.push(byte);
    },
    flushOutput() {
      takeOthers();
      if (output.length === 0) return;
      const bytes = Uint8Array.from(output);
      output = [];
      Atomics.add(control, CONTROL.unread, bytes.length);
      post({ kind: 'output', bytes });
    },
  };
}

/** Another thread leaves its bytes to the first; there is room for more than a slice's, after which it waits for the owner. */
function leavingOutput({ control, output }: ThreadHost): Output {
  const one = new Uint8Array(1);
  let left = false;
  return {
    write(byte) {
      one[0] = byte;
      output.write(one);
      left = true;
    },
    flushOutput() {
      if (left) kick(control);
      left = false;
    },
  };
}

/** A file as a machine asks for it. */
function contentOf(file: BootFile, { readFile }: ThreadHost): Uint8Array | (() => LentBytes) {
  if ('bytes' in file) return file.bytes;
  if (readFile === undefined) throw new VirtsError('internal', `This host cannot read ${file.name}.`);
  return () => readFile(file.name, file.descriptor);
}

/** The usual way to run: the machine itself, without a debugger. */
export function ownLoop({ machine, loopOver }: MachineThread): MachineLoop {
  return loopOver({ ...machine, restart: machine.reset });
}

/** Runs a machine as `run` says, and tells the owner how it ended. Never rejects. */
export async function serveMachine(
  options: ThreadOptions,
  host: ThreadHost,
  run: (thread: MachineThread) => RunEnd | Promise<RunEnd>,
): Promise<void> {
  const { control, input, post } = host;
  const vcpu = options.vcpu?.number ?? 0;
  const { write, flushOutput } = vcpu === 0 ? sendingOutput(host) : leavingOutput(host);
  const restarts = ({ reason }: MachineEnd) => options.reboot && (reason === 'reset' || reason === 'triple-fault');
  try {
    const machine = create(options, host, write);
    if (vcpu === 0) {
      machine.boot({
        kernel: contentOf(options.kernel, host),
        initrd: options.initrd && contentOf(options.initrd, host),
        commandLine: options.append,
      });
    }
    const stats = () => ({ ...machine.stats(), ...host.figures?.() });
    const report = () => post({ kind: 'figures', stats: stats() });
    const standing = (count: number) => post({ kind: 'standing', count });
    const end = await run({
      machine,
      restarts,
      loopOver: (runner) => machineLoop({ runner, vcpu, control, input, flushOutput, report, standing, restarts }),
      started: () => post({ kind: 'started', memory: SHARES_MEMORY ? machine.memory.buffer : undefined }),
    });
    flushOutput();
    post({ kind: 'ended', end, stats: stats() });
  } catch (error) {
    post({ kind: 'failed', error: describeError(error) });
  }
}
