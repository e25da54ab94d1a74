/** The default guest's files, and machines that run them the same way every time. */
import { readFile } from 'node:fs/promises';
import { constants as zlib, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { BLOCK_OPERATION, BLOCK_RESULT } from '../../src/devices/block-port.ts';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import type { Architecture } from '../../src/images/apt/archive.ts';
import { cacheDirectory } from '../../src/images/apt/cache.ts';
import { SILENT } from '../../src/images/apt/progress.ts';
import { defaultGuest } from '../../src/images/default-guest.ts';
import type { KernelFiles, KernelRequest } from '../../src/machine/boot.ts';
import type { DiskOptions } from '../../src/machine/pci-devices.ts';
import { directIoPort, type IoRequest } from '../../src/memory/io-link.ts';
import { createMachine, type Machine } from '../../src/vm/machine.ts';

const MEMORY = 256 << 20;
/** Guest time of an instruction: a slow processor, so that timers interrupt the boot often. */
const NS_PER_INSTRUCTION = 8;
/** The guest's clock starts here: 2024-01-01. */
const EPOCH = Date.UTC(2024, 0, 1);
const SEED = 0x2545f491;

/** Kernel and initramfs of the default guest, downloaded if no run before did. */
export async function guestFiles(architecture: Architecture): Promise<KernelFiles> {
  const guest = await defaultGuest({
    architecture,
    cache: cacheDirectory(),
    signal: new AbortController().signal,
    progress: SILENT,
  });
  const [kernel, initrd] = await Promise.all([readFile(guest.kernel), readFile(guest.initrd)]);
  return { kernel, initrd, commandLine: guest.append };
}

/** A machine whose run follows from its files and its input alone. */
export interface SeededMachine {
  readonly machine: Machine;
  /** What the guest sent through its first serial port since this machine was made, a character a byte. */
  output(): string;
  /** The machine and the random numbers that it will get, compressed. */
  save(): Uint8Array;
}

export interface SeededMachineOptions {
  readonly boot?: KernelRequest;
  /** From `save`; instead of `boot`. */
  readonly restore?: Uint8Array;
  readonly translation?: Translation;
  /** vCPUs, which take turns; 1 if absent. */
  readonly cpus?: number;
  readonly disks?: readonly DiskOptions[];
}

/** A disk over an array, which answers at once: what it does follows from the guest alone. */
export function arrayDisk(bytes: Uint8Array, serial: string): DiskOptions & { readonly operations: number[] } {
  const operations: number[] = [];
  function handle({ operation, position, count, spans, answer }: IoRequest): void {
    operations.push(operation);
    let at = position;
    for (const span of spans) {
      if (operation === BLOCK_OPERATION.read) span.set(bytes.subarray(at, at + span.length));
      else bytes.set(span, at);
      at += span.length;
    }
    const zeroes = operation >= BLOCK_OPERATION.discard && operation <= BLOCK_OPERATION.zeroInPlace;
    if (zeroes) bytes.fill(0, position, position + count);
    answer(BLOCK_RESULT.ok);
  }
  return {
    shape: { size: bytes.length, readOnly: false, discards: true, granularity: 4096 },
    serial,
    operations,
    connect: (memory) => directIoPort(memory, handle),
  };
}

/** Counts through the states of a xorshift generator (Marsaglia 2003). */
function nextState(state: number): number {
  let x = state;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return x >>> 0;
}

export function seededMachine({ boot, restore, translation, cpus, disks }: SeededMachineOptions): SeededMachine {
  let output = '';
  let randomState = SEED;
  const machine = createMachine({
    memory: MEMORY,
    cpus,
    ...(translation && { translation }),
    ...(disks && { disks }),
    clock: NS_PER_INSTRUCTION,
    hostNow: () => 0,
    epoch: EPOCH,
    random(bytes) {
      for (let i = 0; i < bytes.length; i++) {
        randomState = nextState(randomState);
        bytes[i] = randomState >>> 24;
      }
    },
    serial: {
      write(byte) {
        output += String.fromCharCode(byte);
      },
    },
  });
  if (boot !== undefined) machine.boot(boot);
  if (restore !== undefined) {
    const saved = zstdDecompressSync(restore);
    randomState = saved.readUInt32LE();
    machine.restore(saved.subarray(4));
  }
  return {
    machine,
    output: () => output,
    save() {
      const snapshot = machine.save();
      const saved = Buffer.alloc(4 + snapshot.length);
      saved.writeUInt32LE(randomState);
      saved.set(snapshot, 4);
      return zstdCompressSync(saved, { params: { [zlib.ZSTD_c_compressionLevel]: 1 } });
    },
  };
}
