import type { TimerService } from '../../base/clock.ts';
import type { ApicBusTarget } from '../apic-bus/apic-bus.ts';
import type { ApicBus } from '../apic-bus/interrupt-message.ts';
import { checkState } from '../check-state.ts';
import type { AccessSize, Device, GuestLog, Line, Place, Region } from '../device.ts';
import { createInterrupts, type ProcessorSignals } from './interrupts.ts';
import { createRegisterFile } from './register-file.ts';
import {
  BASE_BSP,
  BASE_DEFAULT,
  BASE_ENABLE,
  BASE_X2APIC,
  ERROR_REGISTER,
  LVT,
  LVT_READ_ONLY,
  LVT_WRITABLE,
  localApicSchema,
  MSR_APIC_BASE,
  MSR_TSC_DEADLINE,
  MSR_X2APIC,
  resetRegisters,
} from './registers.ts';
import { createApicTimer } from './timer.ts';
import { readX2apic, writeX2apic } from './x2apic.ts';

export interface LocalApicOptions {
  readonly name: string;
  /** The initial APIC id, as CPUID tells it. Ids above 254 are reachable only in x2APIC mode. */
  readonly id: number;
  /** Whether this is the bootstrap processor. */
  readonly bootstrap: boolean;
  readonly place: Place;
  readonly timers: TimerService;
  /** Takes the interprocessor interrupts; it may hand them to this APIC again. */
  readonly bus: ApicBus;
  readonly cpu: ProcessorSignals;
  /** Tells the I/O APIC of the EOI of a level-triggered interrupt. */
  readonly eoi: (vector: number) => void;
  readonly log: GuestLog;
  /** The first machine time (ns) at which this processor's TSC is at least `tsc`. */
  readonly tscToNs: (tsc: bigint) => number;
  /** Input of the one-shot and periodic timer in Hz; CPUID leaf 15H tells it. 1 GHz unless given. */
  readonly timerFrequency?: number;
  /** MAXPHYADDR, which bounds IA32_APIC_BASE. 40 unless given. */
  readonly physicalAddressBits?: number;
}

export interface LocalApic extends Device<typeof localApicSchema.fields>, ApicBusTarget {
  readonly id: number;
  /** The page at the address in IA32_APIC_BASE. */
  readonly regions: { readonly registers: Region };
  /** Pins: the PIC's INTR and the board's NMI, asserted when true whatever the entry's polarity bit says. */
  readonly lint0: Line;
  readonly lint1: Line;
  /** The highest vector that can be delivered now, or -1. `state.pendingSummary` says the same in one word. */
  pending(): number;
  /** Takes the pending interrupt into service and gives its vector; the spurious vector if there is none any more. */
  acknowledge(): number;
  /** Whether the processor listens to the PIC: LINT0 in ExtINT mode, an ExtINT message, or no APIC at all. */
  acceptsExtInt(): boolean;
  /** To be called when the processor fetched a vector from the PIC. */
  acknowledgeExtInt(): void;
  /** CR8: bits 7:4 of the task priority. */
  cr8(): number;
  /** `value` is 0–15. */
  setCr8(value: number): void;
  /** IA32_APIC_BASE (0x1b), IA32_TSC_DEADLINE (0x6e0) and 0x800–0x83f; `undefined` raises #GP. */
  readMsr(index: number): bigint | undefined;
  /** As `readMsr`; `value` is 64 bits, unsigned. `false` raises #GP and changes nothing. */
  writeMsr(index: number, value: bigint): boolean;
  /** Whether IA32_APIC_BASE enables it: CPUID.1:EDX[9] and the page at `baseAddress()` follow. */
  enabled(): boolean;
  /** The physical address of the register page, or `undefined` while there is none (disabled or x2APIC mode). */
  baseAddress(): number | undefined;
  /** To be called after the processor's TSC was set: the TSC deadline now lies elsewhere. */
  tscChanged(): void;
}

type Mode = 'disabled' | 'xapic' | 'x2apic' | 'invalid';

function modeOf(base: bigint): Mode {
  if ((base & BASE_ENABLE) === 0n) return (base & BASE_X2APIC) === 0n ? 'disabled' : 'invalid';
  return (base & BASE_X2APIC) === 0n ? 'xapic' : 'x2apic';
}

/** Mode changes that IA32_APIC_BASE refuses with #GP. SDM vol. 3A 10.12.5. */
function refused(from: Mode, to: Mode): boolean {
  return to === 'invalid' || (from === 'x2apic' && to === 'xapic') || (from === 'disabled' && to === 'x2apic');
}

/** A local APIC in xAPIC and x2APIC mode, one for each vCPU. SDM vol. 3A chapter 10. */
export function createLocalApic(options: LocalApicOptions): LocalApic {
  const { name, id, log, timerFrequency = 1e9, physicalAddressBits = 40 } = options;
  const state = options.place(localApicSchema);
  const baseBits = BASE_BSP | BASE_X2APIC | BASE_ENABLE | ((1n << BigInt(physicalAddressBits)) - 0x1000n);

  const interrupts = createInterrupts({ id, state, cpu: options.cpu, eoi: options.eoi, resetRegisters: initialise });
  const timer = createApicTimer({
    state,
    timers: options.timers,
    frequency: timerFrequency,
    tscToNs: options.tscToNs,
    expire: () => interrupts.raiseLocal(LVT.timer),
  });
  const file = createRegisterFile({ id, state, interrupts, timer, bus: options.bus });

  function initialise(): void {
    resetRegisters(state);
    timer.rearm();
    interrupts.refresh();
  }

  function reset(): void {
    state.base = BASE_DEFAULT | BASE_ENABLE | (options.bootstrap ? BASE_BSP : 0n);
    initialise();
  }

  /** The page answers only in xAPIC mode; elsewhere the bus floats. */
  function readPage(offset: number, size: AccessSize): number {
    const lane = offset & 15;
    if (modeOf(state.base) !== 'xapic') return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    if (lane + size > 4) return 0;
    const value = file.read(offset - lane);
    if (value === undefined) interrupts.raiseError(ERROR_REGISTER);
    const shifted = (value ?? 0) >>> (lane * 8);
    return size === 4 ? shifted : shifted & (size === 2 ? 0xffff : 0xff);
  }

  function writePage(offset: number, size: AccessSize, value: number): void {
    if (modeOf(state.base) !== 'xapic') return;
    if (size !== 4 || (offset & 15) !== 0) {
      log(`${name}: ${size}-byte write at offset 0x${offset.toString(16)} ignored`);
    } else if (!file.write(offset, value)) {
      interrupts.raiseError(ERROR_REGISTER);
    }
  }

  /** Disabling loses all state; entering x2APIC mode keeps it but for the destination registers. */
  function writeBase(value: bigint): boolean {
    const from = modeOf(state.base);
    const to = modeOf(value);
    if ((value & ~baseBits) !== 0n || refused(from, to)) return false;
    state.base = value;
    if (from !== to && to === 'disabled') initialise();
    if (from !== to && to === 'x2apic') {
      state.icrHigh = 0;
      state.ldr = 0;
      state.dfr = 0xffff_ffff;
    }
    interrupts.refresh();
    return true;
  }

  function readMsr(index: number): bigint | undefined {
    if (index === MSR_APIC_BASE) return state.base;
    if (index === MSR_TSC_DEADLINE) return timer.tscDeadline();
    return inX2apic(index) ? readX2apic(file, state, index) : undefined;
  }

  function writeMsr(index: number, value: bigint): boolean {
    if (index === MSR_APIC_BASE) return writeBase(value);
    if (index === MSR_TSC_DEADLINE) {
      timer.setTscDeadline(value);
      return true;
    }
    return inX2apic(index) && writeX2apic(file, state, index, value);
  }

  function inX2apic(index: number): boolean {
    return index >= MSR_X2APIC && index < MSR_X2APIC + 0x40 && modeOf(state.base) === 'x2apic';
  }

  function restored(): void {
    const bounded = (time: number) => Math.abs(time) <= Number.MAX_SAFE_INTEGER;
    checkState(name, {
      base: (state.base & ~baseBits) === 0n && modeOf(state.base) !== 'invalid',
      lvt: state.lvt.every((entry, index) => (entry & ~(LVT_WRITABLE[index] | LVT_READ_ONLY)) === 0),
      irr: (state.irr[0] & 0xffff) === 0,
      isr: (state.isr[0] & 0xffff) === 0,
      tpr: state.tpr <= 0xff,
      countStart: bounded(state.countStart),
      notBefore: bounded(state.notBefore),
    });
    interrupts.refresh();
    timer.rearm();
  }

  return {
    name,
    id,
    schema: localApicSchema,
    state,
    regions: { registers: { size: 4096, read: readPage, write: writePage } },
    reset,
    restored,
    lint0: { set: (level) => interrupts.setLint('lint0', level) },
    lint1: { set: (level) => interrupts.setLint('lint1', level) },
    pending: () => {
      const summary = state.pendingSummary[0];
      return (summary & 0x100) === 0 ? -1 : summary & 0xff;
    },
    acknowledge: interrupts.acknowledge,
    acceptsExtInt: interrupts.acceptsExtInt,
    acknowledgeExtInt: interrupts.acknowledgeExtInt,
    accepts: interrupts.accepts,
    arbitrationPriority: interrupts.arbitrationPriority,
    deliver: interrupts.deliver,
    cr8: () => state.tpr >>> 4,
    setCr8: (value) => file.setTaskPriority((value & 15) << 4),
    readMsr,
    writeMsr,
    enabled: interrupts.enabled,
    baseAddress: () => (modeOf(state.base) === 'xapic' ? Number(state.base & ~0xfffn) : undefined),
    tscChanged: () => timer.rearm(),
  };
}
