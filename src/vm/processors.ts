/** The vCPUs of a machine: what they share, and how the board and guest memory reach them. */
import type { CpuClock } from '../cpu/context.ts';
import type { CompilerPort } from '../cpu/translator/compiler.ts';
import type { ProcessorSignals } from '../devices/local-apic/interrupts.ts';
import { x86 } from '../engine/translated/instruction-set.ts';
import { createVcpu, type Translation, type Vcpu, type VcpuMemoryEvents } from '../engine/translated/vcpu.ts';
import type { Board } from '../machine/board.ts';
import type { Arena } from '../memory/arena.ts';
import { ARENA_SIZE } from '../memory/layout.ts';
import type { MapEvents, PhysicalMap } from '../memory/physical-map.ts';

/** vCPUs of a machine: each takes a share of the arena, and a bit for each page of code. */
export const MOST_VCPUS = 8;

const MIB = 1024 * 1024;
/** Bytes for records of decoded code: those of one vCPU where there is room. */
const RECORDS = 128 * MIB;
/** Bytes of the arena that a vCPU takes beside its records: TLBs, jump cache, code index, cells of regions. */
const TABLES = 30 * MIB;
/** Bytes that are there once: map, reference counts, devices. */
const COMMON = ARENA_SIZE - RECORDS - TABLES;
/** More of the 4 GiB than this would be missed as guest memory. */
const MOST_ARENA = 512 * MIB;

/** Bytes of the arena of a machine with `count` vCPUs, and of the records of each. */
export function arenaShares(count: number): { readonly arena: number; readonly records: number } {
  const records = Math.min(RECORDS, Math.floor((MOST_ARENA - COMMON) / count / MIB) * MIB - TABLES);
  return { arena: COMMON + count * (TABLES + records), records };
}

export interface ProcessorOptions {
  readonly count: number;
  readonly memory: WebAssembly.Memory;
  readonly arena: Arena;
  readonly translation: Translation | undefined;
  readonly compiler: CompilerPort | undefined;
  readonly clock: CpuClock;
  random(): bigint;
  /** Nanoseconds, as `MachineOptions.hostNow`. */
  hostNow(): number;
  log(message: string): void;
  onException?(vector: number, error: number | undefined, rip: bigint): void;
  /** A vCPU that does not run now has something to do. */
  woken(): void;
}

export interface Processors {
  readonly vcpus: readonly Vcpu[];
  /** How the local APICs reach them. */
  readonly signals: readonly ProcessorSignals[];
  /** How the physical map reaches them. */
  readonly events: MapEvents;
  /** Makes the vCPUs, once map and board are there. */
  create(map: PhysicalMap, board: Board): void;
  /** `vcpu` runs now; `undefined`: none does. */
  running: Vcpu | undefined;
  /** Instructions that all have retired. */
  retired(): number;
}

export function createProcessors(options: ProcessorOptions): Processors {
  const { count, memory, arena, clock } = options;
  const vcpus: (Vcpu & VcpuMemoryEvents)[] = [];
  /** Calls what a board that is being made may not call yet. */
  const reach = (number: number, act: (vcpu: Vcpu) => void) => {
    const vcpu = vcpus[number];
    if (vcpu === undefined) return;
    act(vcpu);
    if (vcpu !== processors.running) options.woken();
  };
  const processors: Processors = {
    vcpus,
    running: undefined,
    signals: Array.from({ length: count }, (_, number) => ({
      interrupt: () => reach(number, (vcpu) => vcpu.signal()),
      nmi: () => reach(number, (vcpu) => vcpu.nmi()),
      // There is no system management mode.
      smi() {},
      init: () => reach(number, (vcpu) => vcpu.init()),
      startup: (vector) => reach(number, (vcpu) => vcpu.start(vector)),
    })),
    events: {
      codeWritten: (holder, page, from, to) => vcpus[holder].codeWritten(page, from, to),
      revoked(host, moved) {
        for (const vcpu of vcpus) vcpu.revoked(host, moved);
      },
    },
    create(map, board) {
      for (let number = 0; number < count; number++) {
        const vcpu = createVcpu({
          memory,
          arena,
          map,
          instructionSet: x86,
          recordBytes: arenaShares(count).records,
          translation: options.translation,
          compiler: number === 0 ? options.compiler : undefined,
          hostNow: () => options.hostNow() / 1e6,
          environment: {
            topology: { apicId: number, count },
            ports: board.ports,
            mmio: board.vcpuMemory[number],
            interrupts: board.interrupts[number],
            apic: board.localApics[number],
            clock,
            random: options.random,
            hypercall: () => -1000n,
            log: options.log,
            onException: options.onException && ((v, e) => options.onException?.(v, e, vcpu.state.rip)),
          },
        });
        vcpus.push(vcpu);
      }
    },
    retired: count === 1 ? () => vcpus[0]?.retired() ?? 0 : () => vcpus.reduce((sum, vcpu) => sum + vcpu.retired(), 0),
  };
  return processors;
}
