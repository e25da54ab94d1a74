/**
 * What CPUID says (SDM vol. 2A CPUID): one table of features, and the leaves made from it.
 *
 * The processor calls itself an Intel of family 6, model 44 (Westmere), for these reasons:
 *
 * - It is the last model whose feature level is x86-64-v2 with AES, so that glibc takes its plain `rep movsb` string
 *   functions without AVX being claimed; other models get those only with AVX.
 * - Linux has no erratum, microcode or idle-state quirk for it beyond what CPUID and MSRs here answer, and its PMU is
 *   claimed by nothing once leaf 0AH is empty.
 * - It stands in neither Linux's list of processors with MDS-like flaws (no VERW, no SRBDS) nor in that of RETBLEED (no
 *   return thunks, no IBRS on kernel entry); Meltdown, L1TF, SSB, MMIO, RFDS and BHI are denied by ARCH_CAPABILITIES
 *   (`msr-capabilities.ts`). Only Spectre v2 stays, for any Intel from Nehalem on, and IBRS_ALL makes Linux choose
 *   enhanced IBRS before it considers retpolines.
 */
import { CR4, type VcpuState } from '../isa/state.ts';
import type { CpuContext } from './context.ts';
import { is64Bit } from './mode.ts';
import { PHYSICAL_ADDRESS_BITS } from './physical-address.ts';
import { XSAVE_AREA_BYTES, XSTATE_SUPPORTED } from './xstate.ts';

export type CpuidResult = readonly [eax: number, ebx: number, ecx: number, edx: number];
type Register = 'ebx' | 'ecx' | 'edx';

/** What leaf 1 gives in EAX: family 6, model 44, stepping 2. */
export const SIGNATURE = 0x206c2;
const MAX_BASIC = 0x16;
const MAX_EXTENDED = 0x8000_0008;
const MAX_HYPERVISOR = 0x4000_0010;
/** Input of the local APIC's timer, which is also the core crystal clock of leaf 15H. */
export const APIC_TIMER_FREQUENCY = 1_000_000_000;
const BRAND = 'Virts x86-64 processor';

/** Where each feature's bit is: leaf, register, bit. The names are those that instruction definitions use. */
const FEATURES = {
  fpu: [1, 'edx', 0],
  de: [1, 'edx', 2],
  pse: [1, 'edx', 3],
  tsc: [1, 'edx', 4],
  msr: [1, 'edx', 5],
  pae: [1, 'edx', 6],
  mce: [1, 'edx', 7],
  cx8: [1, 'edx', 8],
  apic: [1, 'edx', 9],
  sep: [1, 'edx', 11],
  mtrr: [1, 'edx', 12],
  pge: [1, 'edx', 13],
  mca: [1, 'edx', 14],
  cmov: [1, 'edx', 15],
  pat: [1, 'edx', 16],
  pse36: [1, 'edx', 17],
  clflush: [1, 'edx', 19],
  mmx: [1, 'edx', 23],
  fxsr: [1, 'edx', 24],
  sse: [1, 'edx', 25],
  sse2: [1, 'edx', 26],
  'self-snoop': [1, 'edx', 27],
  sse3: [1, 'ecx', 0],
  pclmulqdq: [1, 'ecx', 1],
  ssse3: [1, 'ecx', 9],
  cx16: [1, 'ecx', 13],
  pcid: [1, 'ecx', 17],
  'sse4.1': [1, 'ecx', 19],
  'sse4.2': [1, 'ecx', 20],
  x2apic: [1, 'ecx', 21],
  movbe: [1, 'ecx', 22],
  popcnt: [1, 'ecx', 23],
  'tsc-deadline': [1, 'ecx', 24],
  aes: [1, 'ecx', 25],
  xsave: [1, 'ecx', 26],
  rdrand: [1, 'ecx', 30],
  hypervisor: [1, 'ecx', 31],
  fsgsbase: [7, 'ebx', 0],
  'tsc-adjust': [7, 'ebx', 1],
  bmi1: [7, 'ebx', 3],
  smep: [7, 'ebx', 7],
  bmi2: [7, 'ebx', 8],
  erms: [7, 'ebx', 9],
  invpcid: [7, 'ebx', 10],
  rdseed: [7, 'ebx', 18],
  adx: [7, 'ebx', 19],
  smap: [7, 'ebx', 20],
  clflushopt: [7, 'ebx', 23],
  clwb: [7, 'ebx', 24],
  umip: [7, 'ecx', 2],
  rdpid: [7, 'ecx', 22],
  fsrm: [7, 'edx', 4],
  'spec-ctrl': [7, 'edx', 26],
  'arch-capabilities': [7, 'edx', 29],
  lahf: [0x8000_0001, 'ecx', 0],
  lzcnt: [0x8000_0001, 'ecx', 5],
  prefetchw: [0x8000_0001, 'ecx', 8],
  syscall: [0x8000_0001, 'edx', 11],
  nx: [0x8000_0001, 'edx', 20],
  'pages-1g': [0x8000_0001, 'edx', 26],
  rdtscp: [0x8000_0001, 'edx', 27],
  lm: [0x8000_0001, 'edx', 29],
  'invariant-tsc': [0x8000_0007, 'edx', 8],
} as const satisfies Record<string, readonly [leaf: number, register: Register, bit: number]>;

export type Feature = keyof typeof FEATURES;

/** Features that CPUID claims; the decoder takes only definitions whose feature is among them (or that name none). */
export const CPU_FEATURES: ReadonlySet<string> = new Set(Object.keys(FEATURES));

const bitOf = (feature: Feature): number => (1 << FEATURES[feature][2]) >>> 0;

/** The bits of all features in one register of a leaf. */
function featureBits(leaf: number, register: Register): number {
  let bits = 0;
  for (const [at, where, bit] of Object.values(FEATURES)) if (at === leaf && where === register) bits |= 1 << bit;
  return bits >>> 0;
}

const LEAF_1 = { ecx: featureBits(1, 'ecx'), edx: featureBits(1, 'edx') };
/** What leaf 1 gives in EDX on a machine with one vCPU. */
export const BASIC_FEATURES = LEAF_1.edx;
const LEAF_7 = { ebx: featureBits(7, 'ebx'), ecx: featureBits(7, 'ecx'), edx: featureBits(7, 'edx') };
const EXTENDED_1 = { ecx: featureBits(0x8000_0001, 'ecx'), edx: featureBits(0x8000_0001, 'edx') };
const EXTENDED_7 = featureBits(0x8000_0007, 'edx');

const NOTHING: CpuidResult = [0, 0, 0, 0];
/** CR4.OSXSAVE as CPUID shows it. */
const OSXSAVE = 1 << 27;
/** More than one logical processor in the package. */
const HTT = 1 << 28;
/** Leaf 6: the APIC timer runs in every idle state. */
const ARAT = 1 << 2;
/** Leaf 0DH.1: XSAVEOPT. */
const XSAVEOPT = 1;
/** Leaf 2: AL is always 1; 0FFH says that leaf 4 describes the caches. */
const CACHES_IN_LEAF_4 = 0x0000_ff01;
const LINE = 64;

/** Four characters as CPUID packs them. */
function characters(text: string, at: number): number {
  let word = 0;
  for (let i = 0; i < 4; i++) word |= (text.charCodeAt(at + i) || 0) << (8 * i);
  return word >>> 0;
}

/** Bits that number `count` things. */
const idBits = (count: number): number => Math.ceil(Math.log2(count));

function version({ state, topology, apic }: CpuContext): CpuidResult {
  const ids = 1 << idBits(topology.count);
  const ebx = (topology.apicId << 24) | (Math.min(ids, 255) << 16) | ((LINE / 8) << 8);
  const osxsave = (Number(state.cr4) & CR4.osxsave) !== 0 ? OSXSAVE : 0;
  const edx = (apic.enabled() ? LEAF_1.edx : LEAF_1.edx & ~bitOf('apic')) | (topology.count > 1 ? HTT : 0);
  return [SIGNATURE, ebx >>> 0, (LEAF_1.ecx | osxsave) >>> 0, edx >>> 0];
}

interface Cache {
  /** 1 data, 2 instruction, 3 both. */
  readonly type: number;
  readonly level: number;
  readonly ways: number;
  readonly sets: number;
  /** One for all cores of the package. */
  readonly shared: boolean;
}

const CACHES: readonly Cache[] = [
  { type: 1, level: 1, ways: 8, sets: 64, shared: false },
  { type: 2, level: 1, ways: 4, sets: 128, shared: false },
  { type: 3, level: 2, ways: 8, sets: 512, shared: false },
  { type: 3, level: 3, ways: 16, sets: 8192, shared: true },
];

const SELF_INITIALISING = 1 << 8;
const INCLUSIVE = 2;

function cache({ topology }: CpuContext, index: number): CpuidResult {
  const c = CACHES[index];
  if (c === undefined) return NOTHING;
  const ids = Math.min(1 << idBits(topology.count), 64);
  const eax = c.type | (c.level << 5) | SELF_INITIALISING | (((c.shared ? ids : 1) - 1) << 14) | ((ids - 1) << 26);
  return [eax >>> 0, ((LINE - 1) | ((c.ways - 1) << 22)) >>> 0, c.sets - 1, c.shared ? INCLUSIVE : 0];
}

/** Leaf 0BH: one thread a core, all cores in one package. */
function extendedTopology({ topology }: CpuContext, level: number): CpuidResult {
  const { apicId, count } = topology;
  if (level === 0) return [0, 1, 1 << 8, apicId];
  if (level === 1) return [idBits(count), count, 1 | (2 << 8), apicId];
  return [0, 0, level & 0xff, apicId];
}

function extendedState(index: number): CpuidResult {
  if (index === 0) return [Number(XSTATE_SUPPORTED), XSAVE_AREA_BYTES, XSAVE_AREA_BYTES, 0];
  return index === 1 ? [XSAVEOPT, 0, 0, 0] : NOTHING;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Leaf 15H: the TSC as a ratio to the crystal. Small numbers: Linux multiplies in 32 bits. */
function timeStampCounter({ clock }: CpuContext): CpuidResult {
  const megahertz = Math.round(clock.frequency / 1e6);
  const crystal = APIC_TIMER_FREQUENCY / 1e6;
  const divisor = greatestCommonDivisor(megahertz, crystal);
  return [crystal / divisor, megahertz / divisor, APIC_TIMER_FREQUENCY, 0];
}

/** Leaf 16H: base, maximum and bus frequency in MHz. */
function frequencies({ clock }: CpuContext): CpuidResult {
  const megahertz = Math.round(clock.frequency / 1e6) & 0xffff;
  return [megahertz, megahertz, 100, 0];
}

/** Last subleaf of leaf 7. */
const LAST_SUBLEAF_7 = 2;
/**
 * BHI_DIS_S in IA32_SPEC_CTRL, in EDX of leaf 7, subleaf 2. Linux mitigates branch history injection in every guest; with
 * this bit it sets a bit once instead of running a loop at every system call.
 */
const BHI_CTRL = 1 << 4;

function extendedFeatures(subleaf: number): CpuidResult {
  if (subleaf === 0) return [LAST_SUBLEAF_7, LEAF_7.ebx, LEAF_7.ecx, LEAF_7.edx];
  return subleaf === LAST_SUBLEAF_7 ? [0, 0, 0, BHI_CTRL] : NOTHING;
}

function basic(context: CpuContext, leaf: number, subleaf: number): CpuidResult {
  switch (leaf) {
    case 0:
      return [MAX_BASIC, characters('GenuineIntel', 0), characters('GenuineIntel', 8), characters('GenuineIntel', 4)];
    case 1:
      return version(context);
    case 2:
      return [CACHES_IN_LEAF_4, 0, 0, 0];
    case 4:
      return cache(context, subleaf);
    case 6:
      return [ARAT, 0, 0, 0];
    case 7:
      return extendedFeatures(subleaf);
    case 0xb:
      return extendedTopology(context, subleaf);
    case 0xd:
      return extendedState(subleaf);
    case 0x15:
      return timeStampCounter(context);
    case 0x16:
      return frequencies(context);
    default:
      return NOTHING;
  }
}

function extended(state: VcpuState, leaf: number): CpuidResult {
  switch (leaf) {
    case 0x8000_0000:
      return [MAX_EXTENDED, 0, 0, 0];
    case 0x8000_0001:
      // SYSCALL exists in 64-bit mode alone, and elsewhere is not shown.
      return [0, 0, EXTENDED_1.ecx, is64Bit(state) ? EXTENDED_1.edx : (EXTENDED_1.edx & ~bitOf('syscall')) >>> 0];
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const at = (leaf - 0x8000_0002) * 16;
      return [0, 4, 8, 12].map((i) => characters(BRAND, at + i)) as unknown as CpuidResult;
    }
    case 0x8000_0006:
      // L2: 256 KiB, 8 ways (code 6), lines of 64 bytes.
      return [0, 0, (256 << 16) | (6 << 12) | LINE, 0];
    case 0x8000_0007:
      return [0, 0, 0, EXTENDED_7];
    case 0x8000_0008:
      return [PHYSICAL_ADDRESS_BITS | (48 << 8), 0, 0, 0];
    default:
      return NOTHING;
  }
}

/** KVM features: clock source (old and new MSRs), no I/O delay needed, stable clock. Linux, virt/kvm/x86/cpuid.rst. */
const KVM_FEATURES = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 24);

function hypervisor({ clock }: CpuContext, leaf: number): CpuidResult {
  switch (leaf) {
    case 0x4000_0000: {
      const name = 'KVMKVMKVM';
      return [MAX_HYPERVISOR, characters(name, 0), characters(name, 4), characters(name, 8)];
    }
    case 0x4000_0001:
      return [KVM_FEATURES, 0, 0, 0];
    case 0x4000_0010:
      return [Math.round(clock.frequency / 1000), APIC_TIMER_FREQUENCY / 1000, 0, 0];
    default:
      return NOTHING;
  }
}

/** CPUID for EAX = `leaf` and ECX = `subleaf`, both unsigned. */
export function cpuid(context: CpuContext, leaf: number, subleaf: number): CpuidResult {
  if (leaf <= MAX_BASIC) return basic(context, leaf, subleaf);
  if (leaf >= 0x4000_0000 && leaf <= MAX_HYPERVISOR) return hypervisor(context, leaf);
  if (leaf >= 0x8000_0000 && leaf <= MAX_EXTENDED) return extended(context.state, leaf);
  context.log(`CPUID leaf 0x${leaf.toString(16)} is unknown`);
  // Beyond the last leaf an Intel processor answers as for its last basic leaf.
  return basic(context, MAX_BASIC, subleaf);
}
