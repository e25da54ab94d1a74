/** The vCPUs of a machine: what they share, and how the board, guest memory and each other's threads reach them. */
import type { CpuClock } from '../cpu/context.ts';
import { DEFAULT_CODE_LIMITS } from '../cpu/translator/code-cache.ts';
import type { CompilerPort } from '../cpu/translator/compiler.ts';
import type { ProcessorSignals } from '../devices/local-apic/interrupts.ts';
import { createChangedCode } from '../engine/translated/changed-code.ts';
import { x86 } from '../engine/translated/instruction-set.ts';
import { createVcpu } from '../engine/translated/vcpu.ts';
import type { Translation, Vcpu, VcpuMemoryEvents } from '../engine/translated/vcpu-interface.ts';
import { placeVcpu, type VcpuPlace } from '../engine/translated/vcpu-place.ts';
import { type VcpuSignals, vcpuSignals } from '../engine/translated/vcpu-signals.ts';
import { EFLAGS, VCPU, type VcpuState } from '../isa/state.ts';
import type { VcpuBoard } from '../machine/vcpu-board.ts';
import { ACTIVITY } from '../machine/vcpu-reset.ts';
import type { Arena } from '../memory/arena.ts';
import { ARENA_SIZE } from '../memory/layout.ts';
import type { MapEvents, PhysicalMap } from '../memory/physical-map.ts';
import type { Threads } from './threads.ts';

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
  /** The vCPU that this thread runs; absent: it runs all. */
  readonly own?: number | undefined;
  readonly memory: WebAssembly.Memory;
  readonly arena: Arena;
  readonly translation: Translation | undefined;
  readonly compiler: CompilerPort | undefined;
  readonly clock: CpuClock;
  /** Threads of the other vCPUs. */
  readonly threads?: Pick<Threads, 'alone' | 'aside' | 'exclusively' | 'pass' | 'within'> | undefined;
  random(): bigint;
  /** Nanoseconds, as `MachineOptions.hostNow`. */
  hostNow(): number;
  log(message: string): void;
  onException?(vector: number, error: number | undefined, rip: bigint): void;
  /** A vCPU that does not run now, or not in this thread, has something to do. */
  woken(number: number): void;
}

export interface Processors {
  /** Those that this thread runs. */
  readonly vcpus: readonly Vcpu[];
  /** State of all. */
  readonly states: readonly VcpuState[];
  /** How the local APICs reach them. */
  readonly signals: readonly ProcessorSignals[];
  /** How the physical map reaches them. */
  readonly events: MapEvents;
  /** Makes the vCPUs, once map and board are there. */
  create(map: PhysicalMap, board: (number: number) => VcpuBoard): void;
  /** The one that runs now, if any. */
  running: Vcpu | undefined;
  /** Instructions that all have retired; those of other threads as of their last look at the outside. */
  retired(): number;
  retiredBy(number: number): number;
  /** Makes the guest code of another thread's vCPU come to its next poll. */
  poll(number: number): void;
  /** Whether none would run, and nothing but an NMI or a start could wake any. */
  deaf(): boolean;
}

export function createProcessors(options: ProcessorOptions): Processors {
  const { count, own, memory, arena, clock, threads } = options;
  const { buffer } = memory;
  const { records } = arenaShares(count);
  const cellBytes = (options.translation?.limits ?? DEFAULT_CODE_LIMITS).cellBytes;
  const places: readonly VcpuPlace[] = Array.from({ length: count }, () => placeVcpu(arena, records, cellBytes));
  const states = places.map(({ cpu }) => VCPU.view(buffer, cpu));
  /** By number; those of other threads are absent. */
  const here: (Vcpu & VcpuMemoryEvents)[] = [];
  const isHere = (number: number) => own === undefined || own === number;
  const changedCode = places.map((place) => createChangedCode(buffer, place.changedCode, arena.thread));
  const vcpus: (Vcpu & VcpuMemoryEvents)[] = [];

  /** Those of other threads, as far as they can be reached. */
  const far = states.map((state) => vcpuSignals(state));

  function reach(number: number, act: (vcpu: VcpuSignals) => void): void {
    const vcpu = isHere(number) ? here[number] : far[number];
    // A board that is being made has no vCPUs yet.
    if (vcpu === undefined) return;
    act(vcpu);
    if (vcpu !== processors.running) options.woken(number);
  }

  const signalsOf = (number: number): ProcessorSignals => ({
    interrupt: () => reach(number, (vcpu) => vcpu.signal()),
    nmi: () => reach(number, (vcpu) => vcpu.nmi()),
    // There is no system management mode.
    smi() {},
    init: () => reach(number, (vcpu) => vcpu.init()),
    startup: (vector) => reach(number, (vcpu) => vcpu.start(vector)),
  });

  function isDeaf(state: VcpuState): boolean {
    if (state.initPending !== 0 || state.activity === ACTIVITY.running) return false;
    if (state.activity !== ACTIVITY.halted) return state.startPending === 0;
    return (state.eflags & EFLAGS.if) === 0 && state.nmiPending === 0;
  }

  const retiredBy = (number: number) => here[number]?.retired() ?? Number(states[number].instructions);

  const processors: Processors = {
    vcpus,
    states,
    running: undefined,
    signals: Array.from({ length: count }, (_, number) => signalsOf(number)),
    events: {
      codeWritten(holder, page, from, to) {
        if (isHere(holder)) here[holder].codeWritten(page, from, to);
        else {
          changedCode[holder].post(page, from, to);
          states[holder].poll = 1;
        }
      },
      revoked(host, moved) {
        for (const [number, { cpu }] of places.entries()) vcpus[0].revoke(states[number], cpu, host, moved);
      },
      revokedAll() {
        for (const { cpu } of places) vcpus[0].revokeAll(cpu);
      },
      ...(threads && { exclusively: threads.exclusively }),
    },
    create(map, board) {
      for (let number = 0; number < count; number++) {
        if (!isHere(number)) continue;
        const vcpu = createVcpu({
          memory,
          arena,
          map,
          instructionSet: x86,
          place: places[number],
          translation: options.translation,
          compiler: own === undefined && number > 0 ? undefined : options.compiler,
          hostNow: () => options.hostNow() / 1e6,
          environment: {
            topology: { apicId: number, count },
            exclusively: threads?.alone,
            pass: threads?.pass,
            aside: threads?.aside,
            within: threads?.within,
            ...board(number),
            clock,
            random: options.random,
            hypercall: () => -1000n,
            log: options.log,
            onException: options.onException && ((v, e) => options.onException?.(v, e, vcpu.state.rip)),
          },
        });
        here[number] = vcpu;
        vcpus.push(vcpu);
      }
    },
    retired() {
      let sum = 0;
      for (let number = 0; number < count; number++) sum += retiredBy(number);
      return sum;
    },
    retiredBy,
    poll(number) {
      states[number].poll = 1;
    },
    deaf: () => states.every(isDeaf),
  };
  return processors;
}
