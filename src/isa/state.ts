/**
 * The state block of one vCPU: architectural registers and the little the execution engines keep beside them. It lives
 * in shared memory; compiled code reaches every field as an offset from the block's address.
 */
import { type StructSchema, type StructView, struct } from '../base/struct.ts';

/** Numbers of the segment registers, as instructions encode them (SDM vol. 2A 2.1.5), then the two system segments. */
export const SEGMENT = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;

/** Numbers of the general registers, as instructions encode them. */
export const GPR = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
} as const;

/** Bits of RFLAGS (SDM vol. 1 3.4.3). */
export const EFLAGS = {
  cf: 1 << 0,
  pf: 1 << 2,
  af: 1 << 4,
  zf: 1 << 6,
  sf: 1 << 7,
  tf: 1 << 8,
  if: 1 << 9,
  df: 1 << 10,
  of: 1 << 11,
  iopl: 3 << 12,
  nt: 1 << 14,
  rf: 1 << 16,
  vm: 1 << 17,
  ac: 1 << 18,
  vif: 1 << 19,
  vip: 1 << 20,
  id: 1 << 21,
} as const;

/** The six status flags, which are kept apart from the rest of RFLAGS (see `flagResult`). */
export const STATUS_FLAGS = EFLAGS.cf | EFLAGS.pf | EFLAGS.af | EFLAGS.zf | EFLAGS.sf | EFLAGS.of;

export const CR0 = {
  pe: 1 << 0,
  mp: 1 << 1,
  em: 1 << 2,
  ts: 1 << 3,
  et: 1 << 4,
  ne: 1 << 5,
  wp: 1 << 16,
  am: 1 << 18,
  nw: 1 << 29,
  cd: 1 << 30,
  pg: 1 << 31,
} as const;

export const CR4 = {
  vme: 1 << 0,
  pvi: 1 << 1,
  tsd: 1 << 2,
  de: 1 << 3,
  pse: 1 << 4,
  pae: 1 << 5,
  mce: 1 << 6,
  pge: 1 << 7,
  pce: 1 << 8,
  osfxsr: 1 << 9,
  osxmmexcpt: 1 << 10,
  umip: 1 << 11,
  fsgsbase: 1 << 16,
  pcide: 1 << 17,
  osxsave: 1 << 18,
  smep: 1 << 20,
  smap: 1 << 21,
} as const;

export const EFER = { sce: 1 << 0, lme: 1 << 8, lma: 1 << 10, nxe: 1 << 11 } as const;

/** Vectors of the exceptions (SDM vol. 3A table 6-1). */
export const VECTOR = {
  de: 0,
  db: 1,
  nmi: 2,
  bp: 3,
  of: 4,
  br: 5,
  ud: 6,
  nm: 7,
  df: 8,
  ts: 10,
  np: 11,
  ss: 12,
  gp: 13,
  pf: 14,
  mf: 16,
  ac: 17,
  mc: 18,
  xm: 19,
} as const;

/** Bytes between XMM registers: room for YMM. */
export const XMM_STRIDE = 32;
/** Bytes between x87 registers: the significand in the first 8, sign and exponent in the next 2. */
export const FPR_STRIDE = 16;

/**
 * Status flags are kept as a result and auxiliary bits from which each flag follows without knowing the operation:
 *
 * - ZF: `flagResult` is 0; SF: sign of `flagResult`, inverted by bit 0 of `flagAux`
 * - PF: even parity of the low byte of `flagResult` xor bits 8–15 of `flagAux`
 * - CF: bit 63 of `flagAux`; OF: bit 63 xor bit 62; AF: bit 3
 *
 * Segment attributes hold bits 8–23 of a descriptor's high doubleword shifted to 0: type 0–3, S 4, DPL 5–6, P 7, AVL 12,
 * L 13, D/B 14, G 15; bit 16 marks a segment register that a null selector made unusable.
 */
export const VCPU = struct('vcpu', 4, {
  gpr: ['u64', 16],
  rip: 'u64',
  /** Always 0: the base of an address that has none. */
  zero: 'u64',
  /** The instruction pointer that linear address 0 of the current code page would have; see `interpreter/record.ts`. */
  ipBase: 'u64',
  flagResult: 'u64',
  flagAux: 'u64',
  /** RFLAGS without the status flags. */
  eflags: 'u32',
  cpl: 'u32',
  segmentBase: ['u64', 8],
  segmentLimit: ['u32', 8],
  segmentAttributes: ['u32', 8],
  segmentSelector: ['u16', 8],
  gdtrBase: 'u64',
  idtrBase: 'u64',
  gdtrLimit: 'u32',
  idtrLimit: 'u32',
  cr0: 'u64',
  cr2: 'u64',
  cr3: 'u64',
  cr4: 'u64',
  efer: 'u64',
  xcr0: 'u64',
  /** PAE page-directory pointers as loaded by the last write to CR3 (SDM vol. 3A 4.4.1). */
  pdpte: ['u64', 4],
  dr: ['u64', 8],

  xmm: ['u64', 64],
  mxcsr: 'u32',
  fcw: 'u16',
  /** Status word with the top-of-stack field zero; `fpTop` holds it. */
  fsw: 'u16',
  fpTop: 'u32',
  /** One bit for each physical register, set where it is not empty (as FXSAVE's abridged tag word). */
  ftw: 'u32',
  /** Eight physical registers, two u64 each. */
  fpr: ['u64', 16],
  fip: 'u64',
  fdp: 'u64',
  fop: 'u16',
  fcs: 'u16',
  fds: 'u16',

  /** Exceptions that the floating-point routines met in the current instruction, as the low six bits of MXCSR. */
  fpExceptions: 'u32',
  /** Sign and exponent of an 80-bit result whose significand a floating-point routine returned. */
  fpResultExponent: 'u32',

  star: 'u64',
  lstar: 'u64',
  cstar: 'u64',
  sfmask: 'u64',
  kernelGsBase: 'u64',
  sysenterCs: 'u64',
  sysenterEsp: 'u64',
  sysenterEip: 'u64',
  tscAux: 'u64',
  /** Added to the machine's time, in ticks, to give the TSC. */
  tscOffset: 'u64',
  tscAdjust: 'u64',
  pat: 'u64',
  miscEnable: 'u64',
  specCtrl: 'u64',
  mtrrDefault: 'u64',
  mtrrFixed: ['u64', 11],
  mtrrVariable: ['u64', 16],
  kvmSystemTime: 'u64',
  kvmWallClock: 'u64',
  kvmStealTime: 'u64',
  kvmEoi: 'u64',
  kvmPollControl: 'u64',
  mcgStatus: 'u64',

  /** 0 running, 1 halted (HLT), 2 waiting for a start-up IPI, 3 shut down (triple fault). */
  activity: 'u32',
  /** The next instruction boundary accepts no interrupts: 1 after STI, 2 after a load of SS. */
  interruptShadow: 'u32',
  nmiBlocked: 'u32',
  nmiPending: 'u32',
  /** Not 0: an INIT arrived. */
  initPending: 'u32',
  /** A start-up IPI arrived: its vector + 1, or 0. */
  startPending: 'u32',
  /** Debug conditions met by the current instruction, as bits of DR6. */
  debugPending: 'u32',

  /** A fault raised by the current instruction: its vector, or 0xffffffff for none. */
  faultVector: 'u32',
  faultError: 'u32',
  /** 1 where the fault pushes an error code. */
  faultHasError: 'u32',
  /** Linear address of a page fault; becomes CR2 on delivery. */
  faultAddress: 'u64',

  /** Not 0: leave compiled code at the next poll. Written by other threads. */
  poll: 'i32',
  /** Not 0: an interrupt or another event may wait that only IF holds back. */
  eventsWait: 'u32',
  /** What `budget` is at the end of the last STI that set IF. */
  shadowBudget: 'i32',
  /** Instructions left before control returns to the run loop; may go below 0 by the length of a block. */
  budget: 'i32',
  /** Why the last compiled code came back; see `interpreter/exits.ts`. */
  exitInfo: 'u32',
  /** The record or region that was running when control came back. */
  current: 'u32',
  /** Everything that selects how code is decoded; see `cpu/mode.ts`. */
  modeKey: 'u32',
  /** Generation of the jump cache. */
  jumpGeneration: 'u32',
  /** Oldest generation whose entries in the jump cache may hold again. */
  jumpFloor: 'u32',
  /** Bytes of host stack that guest calls may still take. */
  depth: 'i32',
  /** Page of the last access that was looked up in place, all ones where the TLB does not grant it. */
  grantedPage: 'u64',
  /** Instruction pointer where what goes from block to block must come back; not a canonical one: nowhere. */
  arrival: 'u64',
  /** Instructions retired, brought up to date whenever control returns to the run loop. */
  instructions: 'u64',

  /** Raised when a grant is taken back that somebody may hold outside the TLB: compared together with `tlbBase`. */
  epoch: 'u32',
  /** TLB in use: address of its first entry, and (entries - 1) * bytes per entry. */
  tlbBase: 'u32',
  tlbMask: 'u32',
  /** First TLB of this vCPU; the one in use follows from address space and rights. */
  tlbArea: 'u32',
  /** First TLB of the address space. */
  tlbSpace: 'u32',
  /** PCIDs that the TLBs of each space belong to, -1 for none. */
  tlbPcids: ['i32', 8],
  /** TLBs that may hold entries, one bit each. */
  tlbUsed: 'u32',
  jumpCache: 'u32',
  codeIndex: 'u32',
  /** Guest-physical map: address of its first entry, number of entries. */
  mapBase: 'u32',
  mapPages: 'u32',

  /** A store that goes through `scratch`: 0 none, 1 device, 2 across two pages. */
  pendingKind: 'u32',
  pendingSize: 'u32',
  /** Bytes of the store that belong to the first page. */
  pendingSplit: 'u32',
  pendingFirst: 'u32',
  pendingSecond: 'u32',
  pendingAddress: 'u64',
  pendingAddress2: 'u64',
  /** Bytes of an access that no page backs as it stands. */
  scratch: ['u8', 128],
});

/** Fields that belong to the engine that runs the vCPU now: no part of its saved state. */
export const ENGINE_FIELDS = [
  'zero',
  'ipBase',
  'faultVector',
  'faultError',
  'faultHasError',
  'faultAddress',
  'poll',
  'epoch',
  'eventsWait',
  'shadowBudget',
  'budget',
  'exitInfo',
  'current',
  'modeKey',
  'jumpGeneration',
  'jumpFloor',
  'depth',
  'grantedPage',
  'arrival',
  'tlbBase',
  'tlbMask',
  'tlbArea',
  'tlbSpace',
  'tlbPcids',
  'tlbUsed',
  'jumpCache',
  'codeIndex',
  'mapBase',
  'mapPages',
  'pendingKind',
  'pendingSize',
  'pendingSplit',
  'pendingFirst',
  'pendingSecond',
  'pendingAddress',
  'pendingAddress2',
  'scratch',
] as const satisfies readonly VcpuField[];

export type VcpuFields = (typeof VCPU)['fields'];
export type VcpuState = StructView<VcpuFields>;
export type VcpuField = keyof VcpuFields;
export type VcpuSchema = StructSchema<VcpuFields>;

/** Byte offset of general register `index`. */
export const gprOffset = (index: number): number => VCPU.offsets.gpr + index * 8;
/** Byte offset of XMM register `index`. */
export const xmmOffset = (index: number): number => VCPU.offsets.xmm + index * XMM_STRIDE;
/** Byte offset of physical x87 register `index`, which MMX register `index` shares. */
export const fprOffset = (index: number): number => VCPU.offsets.fpr + index * FPR_STRIDE;

export const NO_FAULT = 0xffffffff;
/**
 * A vector of no exception, in the place of one: the instruction, which has had no effect, cannot be atomic beside others.
 * The engine has it run while no other vCPU runs.
 */
export const RUN_ALONE = 0x100;
