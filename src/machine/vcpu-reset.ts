/** A vCPU's registers after power-on, INIT and a start-up IPI (SDM vol. 3A 9.1.1, 8.4 and 9.11). */
import { DR6_RESET, DR7_RESET } from '../cpu/debug.ts';
import { writeFlags } from '../cpu/flags.ts';
import { PHYSICAL_ADDRESS_BITS } from '../cpu/physical-address.ts';
import { MMIO_START } from '../firmware/layout.ts';
import { CR0, GPR, NO_FAULT, SEGMENT, type VcpuState } from '../isa/state.ts';

/** Values of `VcpuState.activity`. */
export const ACTIVITY = { running: 0, halted: 1, waitForStart: 2, shutdown: 3 } as const;

export interface ResetOptions {
  /** What CPUID leaf 1 gives in EAX: EDX holds it after a reset. 0 if absent. */
  readonly signature?: number;
  /** The bootstrap processor runs, as this one does if absent; the others wait for a start-up IPI. */
  readonly bootstrap?: boolean;
  /** The machine's time in ticks of the TSC, whose value a reset makes 0. The TSC shows that time itself if absent. */
  readonly ticks?: bigint;
}

/** Present, accessed, writable data; what real-mode segments are, code too. */
const REAL_MODE_SEGMENT = 0x93;
const LDT = 0x82;
const BUSY_TSS = 0x8b;
const RESET_SELECTOR = 0xf000;
const RESET_BASE = 0xffff_0000n;
const RESET_RIP = 0xfff0n;
const RESET_LIMIT = 0xffff;

const FCW_RESET = 0x40;
const MXCSR_RESET = 0x1f80;
const XCR0_X87 = 1n;
/** WB, WT, UC-, UC and again. */
const PAT_RESET = 0x0007_0406_0007_0406n;
/** Fast strings; neither branch trace nor precise event sampling is there. */
const MISC_ENABLE = 0x1801n;
/** The guest may poll before it halts: what KVM starts with. */
const KVM_POLL_CONTROL = 1n;

/** Memory types in each of the eight bytes of a fixed-range MTRR. */
const UNCACHEABLE = 0n;
const WRITE_PROTECT = 0x0505_0505_0505_0505n;
const WRITE_BACK = 0x0606_0606_0606_0606n;
/** IA32_MTRR_DEF_TYPE: MTRRs and fixed ranges enabled, write-back where nothing else is said. */
const MTRR_DEFAULT = 0xc06n;
const MTRR_VALID = 0x800n;

/**
 * Writes the power-on state. The fields that belong to the execution engine (budget, TLB, epoch) stay; it must look up
 * the mode anew and drop what it derived from the old state.
 */
export function resetVcpu(state: VcpuState, options: ResetOptions = {}): void {
  state.cr0 = 0n;
  initVcpu(state, options);
  state.cr0 = BigInt(CR0.et | CR0.nw | CR0.cd);
  resetFloatingPoint(state);
  resetMsrs(state);
  resetMtrrs(state);
  state.xcr0 = XCR0_X87;
  state.tscAdjust = 0n;
  state.tscOffset = BigInt.asUintN(64, -(options.ticks ?? 0n));
}

/** INIT: floating-point state, MSRs, MTRRs, TSC and the caching bits of CR0 stay. */
export function initVcpu(state: VcpuState, { signature = 0, bootstrap = true }: ResetOptions = {}): void {
  state.gpr.fill(0n);
  state.gpr[GPR.rdx] = BigInt(signature);
  state.rip = RESET_RIP;
  writeFlags(state, 0);
  state.cpl = 0;
  resetSegments(state);
  state.cr0 = (state.cr0 & BigInt(CR0.nw | CR0.cd)) | BigInt(CR0.et);
  state.cr2 = 0n;
  state.cr3 = 0n;
  state.cr4 = 0n;
  // The manual is silent on IA32_EFER, but CR0.PG falls, and with it long mode; processors clear all of it.
  state.efer = 0n;
  state.pdpte.fill(0n);
  state.dr.fill(0n);
  state.dr[6] = DR6_RESET;
  state.dr[7] = DR7_RESET;
  state.activity = bootstrap ? ACTIVITY.running : ACTIVITY.waitForStart;
  dropPending(state);
}

/** A start-up IPI: a processor that waits for one starts in real mode at `vector` << 12; others ignore it. */
export function startVcpu(state: VcpuState, vector: number): void {
  if (state.activity !== ACTIVITY.waitForStart) return;
  state.segmentSelector[SEGMENT.cs] = vector << 8;
  state.segmentBase[SEGMENT.cs] = BigInt(vector << 12);
  state.rip = 0n;
  state.activity = ACTIVITY.running;
}

function resetSegments(state: VcpuState): void {
  state.segmentSelector.fill(0);
  state.segmentBase.fill(0n);
  state.segmentLimit.fill(RESET_LIMIT);
  state.segmentAttributes.fill(REAL_MODE_SEGMENT);
  state.segmentSelector[SEGMENT.cs] = RESET_SELECTOR;
  state.segmentBase[SEGMENT.cs] = RESET_BASE;
  state.segmentAttributes[SEGMENT.ldtr] = LDT;
  state.segmentAttributes[SEGMENT.tr] = BUSY_TSS;
  state.gdtrBase = 0n;
  state.gdtrLimit = RESET_LIMIT;
  state.idtrBase = 0n;
  state.idtrLimit = RESET_LIMIT;
}

/** Events that wait or are half done belong to the life before. */
function dropPending(state: VcpuState): void {
  state.interruptShadow = 0;
  state.nmiBlocked = 0;
  state.nmiPending = 0;
  state.debugPending = 0;
  state.faultVector = NO_FAULT;
  state.faultError = 0;
  state.faultHasError = 0;
  state.faultAddress = 0n;
  state.fpExceptions = 0;
  state.pendingKind = 0;
}

/** Power-on leaves the x87 registers as zeros that are not empty, unlike FNINIT (SDM vol. 3A table 9-1). */
function resetFloatingPoint(state: VcpuState): void {
  state.xmm.fill(0n);
  state.mxcsr = MXCSR_RESET;
  state.fcw = FCW_RESET;
  state.fsw = 0;
  state.fpTop = 0;
  state.ftw = 0xff;
  state.fpr.fill(0n);
  state.fip = 0n;
  state.fdp = 0n;
  state.fop = 0;
  state.fcs = 0;
  state.fds = 0;
}

function resetMsrs(state: VcpuState): void {
  const zeroed = [
    'star',
    'lstar',
    'cstar',
    'sfmask',
    'kernelGsBase',
    'sysenterCs',
    'sysenterEsp',
    'sysenterEip',
    'tscAux',
    'specCtrl',
    'kvmSystemTime',
    'kvmWallClock',
    'kvmStealTime',
    'kvmEoi',
    'mcgStatus',
  ] as const;
  for (const msr of zeroed) state[msr] = 0n;
  state.kvmPollControl = KVM_POLL_CONTROL;
  state.pat = PAT_RESET;
  state.miscEnable = MISC_ENABLE;
}

/**
 * The memory types that a PC's firmware sets before it boots a system: RAM write-back, the video area and all above
 * `MMIO_START` uncacheable, the firmware area write-protected.
 */
function resetMtrrs(state: VcpuState): void {
  state.mtrrDefault = MTRR_DEFAULT;
  // 64 KiB ranges from 0, two registers of 16 KiB ranges from 512 KiB, eight of 4 KiB ranges from 768 KiB.
  state.mtrrFixed.set([WRITE_BACK, WRITE_BACK, UNCACHEABLE]);
  state.mtrrFixed.fill(WRITE_PROTECT, 3);
  state.mtrrVariable.fill(0n);
  const size = 2n ** 32n - BigInt(MMIO_START);
  state.mtrrVariable[0] = BigInt(MMIO_START) | UNCACHEABLE;
  state.mtrrVariable[1] = (2n ** BigInt(PHYSICAL_ADDRESS_BITS) - size) | MTRR_VALID;
}
