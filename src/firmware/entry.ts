/** The state in which a boot protocol hands the boot processor to the kernel, as plain data. */
import { concat, u64 } from './bytes.ts';
import { LAYOUT } from './layout.ts';

export const GENERAL_REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;

export type GeneralRegister = (typeof GENERAL_REGISTERS)[number];

/** A segment register with its hidden part. */
export interface SegmentState {
  readonly selector: number;
  readonly base: number;
  /** In bytes, the granularity already applied. */
  readonly limit: number;
  /** VMX access rights (SDM vol. 3C 25.4.1): type 0–3, S 4, DPL 5–6, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
  readonly accessRights: number;
}

export interface DescriptorTable {
  readonly base: number;
  readonly limit: number;
}

export interface EntryState {
  readonly mode: 'long' | 'protected';
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly registers: Readonly<Record<GeneralRegister, bigint>>;
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
  readonly gdt: DescriptorTable;
  readonly idt: DescriptorTable;
  readonly segments: Readonly<Record<'cs' | 'ds' | 'es' | 'ss' | 'fs' | 'gs' | 'ldtr' | 'tr', SegmentState>>;
}

/** Selectors of Linux's boot protocol, which the others leave open. */
export const BOOT_CS = 0x10;
export const BOOT_DS = 0x18;
const BOOT_TSS = 0x20;

const CR0_PE = 1n << 0n;
const CR0_ET = 1n << 4n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const EFER_LME_LMA = (1n << 8n) | (1n << 10n);
/** Bit 1 reads as one; interrupts are off, direction is up. */
const RFLAGS = 2n;

const CODE_64 = 0xa09b;
const CODE_32 = 0xc09b;
const DATA = 0xc093;
const BUSY_TSS_32 = 0x8b;
const UNUSABLE = 0x10000;
/** The PVH protocol asks for a TSS at 0 with the smallest legal limit; nothing ever uses it. */
const TSS_LIMIT = 0x67;

/** The 8 bytes of a descriptor with base 0 (SDM vol. 3A 3.4.5); `limit` in units of the granularity, 20 bits. */
function descriptor(accessRights: number, limit: number): bigint {
  const rights = BigInt(accessRights & 0xf0ff) << 40n;
  return BigInt(limit & 0xffff) | (BigInt(limit >>> 16) << 48n) | rights;
}

/**
 * The boot GDT for a mode: null, unused, code at `BOOT_CS`, data at `BOOT_DS`, a TSS (16 bytes in long mode).
 * Goes to `LAYOUT.gdt`.
 */
export function bootGdt(mode: EntryState['mode']): Uint8Array {
  const code = descriptor(mode === 'long' ? CODE_64 : CODE_32, 0xfffff);
  return u64(0, 0, code, descriptor(DATA, 0xfffff), descriptor(BUSY_TSS_32, TSS_LIMIT), 0);
}

const PRESENT_WRITABLE = 3;
const LARGE_PAGE = 0x80;

/** Page tables that map the first 4 GiB to themselves in 2 MiB pages. Go to `LAYOUT.pageTables`. */
export function identityPageTables(): Uint8Array {
  const { base } = LAYOUT.pageTables;
  const pml4 = concat(u64(base + 0x1000 + PRESENT_WRITABLE), new Uint8Array(0xff8));
  const directories = [2, 3, 4, 5].map((page) => base + page * 0x1000 + PRESENT_WRITABLE);
  const pdpt = concat(u64(...directories), new Uint8Array(0xfe0));
  const pages = Array.from({ length: 4 * 512 }, (_, i) => i * 0x200000 + LARGE_PAGE + PRESENT_WRITABLE);
  return concat(pml4, pdpt, u64(...pages));
}

/**
 * Entry in the given mode at `rip` with flat segments, interrupts off and every register zero except `registers` and a
 * small boot stack. Long mode runs on the identity page tables.
 */
export function entryState(
  mode: EntryState['mode'],
  rip: number,
  registers: Partial<Record<GeneralRegister, number>>,
): EntryState {
  const long = mode === 'long';
  const data = { selector: BOOT_DS, base: 0, limit: 0xffffffff, accessRights: DATA };
  const stack = LAYOUT.bootStack.base + LAYOUT.bootStack.size;
  const given: Partial<Record<GeneralRegister, number>> = { rsp: stack, ...registers };
  const all = GENERAL_REGISTERS.map((name) => [name, BigInt(given[name] ?? 0)]);
  return {
    mode,
    rip: BigInt(rip),
    rflags: RFLAGS,
    registers: Object.fromEntries(all) as Record<GeneralRegister, bigint>,
    cr0: long ? CR0_PG | CR0_ET | CR0_PE : CR0_ET | CR0_PE,
    cr3: long ? BigInt(LAYOUT.pageTables.base) : 0n,
    cr4: long ? CR4_PAE : 0n,
    efer: long ? EFER_LME_LMA : 0n,
    gdt: { base: LAYOUT.gdt.base, limit: bootGdt(mode).length - 1 },
    idt: { base: 0, limit: 0 },
    segments: {
      cs: { selector: BOOT_CS, base: 0, limit: 0xffffffff, accessRights: long ? CODE_64 : CODE_32 },
      ds: data,
      es: data,
      ss: data,
      fs: data,
      gs: data,
      ldtr: { selector: 0, base: 0, limit: 0, accessRights: UNUSABLE },
      tr: { selector: BOOT_TSS, base: 0, limit: TSS_LIMIT, accessRights: BUSY_TSS_32 },
    },
  };
}
