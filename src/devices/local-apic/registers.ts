import { struct } from '../../base/struct.ts';

/** Register offsets in the 4 KiB page; the x2APIC MSR of a register is 0x800 + offset / 16. SDM vol. 3A table 10-1. */
export const REGISTER = {
  id: 0x020,
  version: 0x030,
  tpr: 0x080,
  apr: 0x090,
  ppr: 0x0a0,
  eoi: 0x0b0,
  rrd: 0x0c0,
  ldr: 0x0d0,
  dfr: 0x0e0,
  svr: 0x0f0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  icrLow: 0x300,
  icrHigh: 0x310,
  lvt: 0x320,
  lvtEnd: 0x380,
  initialCount: 0x380,
  currentCount: 0x390,
  divide: 0x3e0,
  selfIpi: 0x3f0,
} as const;

/** Indices of the local vector table, in register order. */
export const LVT = { timer: 0, thermal: 1, performance: 2, lint0: 3, lint1: 4, error: 5 } as const;

/** Bits of a local vector table entry that software may write, by index. */
export const LVT_WRITABLE: readonly number[] = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff];

/** Bits that software sees but only hardware writes: delivery status, and remote IRR of the LINT entries. */
export const LVT_READ_ONLY = 0x5000;
export const LVT_MASKED = 0x1_0000;
export const LVT_LEVEL = 0x8000;
export const LVT_REMOTE_IRR = 0x4000;

export const SVR_ENABLE = 0x100;
export const SVR_SUPPRESS_EOI_BROADCAST = 0x1000;
/** Focus checking (bit 9) has no effect since the Pentium 4 but old systems write it. */
export const SVR_WRITABLE = 0x13ff;

/** Integrated APIC, six LVT entries, EOI-broadcast suppression. SDM vol. 3A 10.4.8. */
export const VERSION = 0x0105_0014;

export const ERROR_SEND_VECTOR = 0x20;
export const ERROR_RECEIVE_VECTOR = 0x40;
export const ERROR_REGISTER = 0x80;

export const MSR_APIC_BASE = 0x1b;
export const MSR_TSC_DEADLINE = 0x6e0;
export const MSR_X2APIC = 0x800;

export const BASE_BSP = 0x100n;
export const BASE_X2APIC = 0x400n;
export const BASE_ENABLE = 0x800n;
export const BASE_DEFAULT = 0xfee0_0000n;

export const localApicSchema = struct('local-apic', 2, {
  /**
   * 0 if no interrupt can be delivered now; else 0x100 | the highest vector that can, and `EXT_INT` if the PIC asserts INTR
   * and this processor takes it. Kept current by every change, so that a processor polls one word, without the machine's
   * lock: it may see an interrupt that is gone, but misses none that it was signalled. It says nothing of NMI, INIT and SIPI.
   */
  pendingSummary: ['u32', 1],
  tpr: 'u32',
  ldr: 'u32',
  dfr: 'u32',
  svr: 'u32',
  /** What ESR reads: the errors up to its last write. */
  errorStatus: 'u32',
  /** Errors since the last write of ESR. */
  errorsDetected: 'u32',
  icrLow: 'u32',
  icrHigh: 'u32',
  initialCount: 'u32',
  divide: 'u32',
  lvt: ['u32', 6],
  isr: ['u32', 8],
  tmr: ['u32', 8],
  irr: ['u32', 8],
  /** IA32_APIC_BASE. */
  base: 'u64',
  /** IA32_TSC_DEADLINE; 0 when disarmed. */
  tscDeadline: 'u64',
  /** Machine time (ns) at which the current count was the initial count. */
  countStart: 'f64',
  /** Machine time (ns) before which the periodic timer raises no further interrupt. */
  notBefore: 'f64',
  /** 1 while the count runs. */
  counting: 'u8',
  lint0: 'u8',
  lint1: 'u8',
  /** 1 from an ExtINT message until the processor has fetched the vector from the PIC. */
  extInt: 'u8',
});

/** Of `pendingSummary`: the PIC has an interrupt for this processor. */
export const EXT_INT = 0x200;

export type LocalApicState = ReturnType<typeof localApicSchema.view>;

/** Registers as after power-up or INIT; IA32_APIC_BASE and the pins stay. SDM vol. 3A 10.4.7.1. */
export function resetRegisters(state: LocalApicState): void {
  state.pendingSummary[0] = 0;
  state.tpr = 0;
  state.ldr = 0;
  state.dfr = 0xffff_ffff;
  state.svr = 0xff;
  state.errorStatus = 0;
  state.errorsDetected = 0;
  state.icrLow = 0;
  state.icrHigh = 0;
  state.initialCount = 0;
  state.divide = 0;
  state.lvt.fill(LVT_MASKED);
  state.isr.fill(0);
  state.tmr.fill(0);
  state.irr.fill(0);
  state.tscDeadline = 0n;
  state.countStart = 0;
  state.notBefore = 0;
  state.counting = 0;
  state.extInt = 0;
}
