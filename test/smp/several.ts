/**
 * Guests of a few instructions for machines with several vCPUs: multiboot kernels whose first vCPU starts the others by INIT
 * and a start-up IPI. They run in protected mode without paging.
 */
import { ENTRY, tinyKernel } from '../../src/vm/tiny-kernel.test-helper.ts';
import { type Assembled, assemble } from '../translation/assembler.ts';

/** Guest addresses. Words that vCPUs share lie in lines of their own. */
export const AT = {
  /** Where a start-up IPI lets the others begin. */
  start: 0x8000,
  idt: 0x6000,
  /** vCPUs that run. */
  ready: 0x20_0000,
  /** Those that came to barriers so far. */
  barrier: 0x20_0040,
  /** Free words for the programs, up to `stacks`. */
  words: 0x20_1000,
  /** Lower end of the stacks' area. */
  stacks: 0x21_0000,
  /** Pages that nothing has touched. */
  pages: 0x40_0000,
} as const;
const STACK_BYTES = 0x4000;

/** Bytes of RAM that such a machine needs. */
export const MEMORY = 0x100_0000;

const APIC = 0xfee0_0000;
/** Registers of the local APIC. */
export const LAPIC = {
  id: APIC + 0x20,
  eoi: APIC + 0xb0,
  svr: APIC + 0xf0,
  commandLow: APIC + 0x300,
  commandHigh: APIC + 0x310,
} as const;

/** What a guest exits with when an exception comes that it does not expect. */
export const FAULT = 0x7f;

/** Ends the run: the machine's end tells of the value. */
export const exit = (value: number): string => `mov al, ${value}; out 0xf4, al; cli; hlt`;

/** Waits until all `count` vCPUs are at their `number`-th barrier, from 1 up. Changes EAX. */
export function barrier(name: string, number: number, count = 2): string {
  return `lock inc dword [${AT.barrier}]
    ${name}: pause
    cmp dword [${AT.barrier}], ${number * count}
    jb ${name}`;
}

/** Sends a fixed interrupt to a vCPU. */
export const sendIpi = (vcpu: number, vector: number): string =>
  `mov dword [${LAPIC.commandHigh}], ${vcpu << 24}; mov dword [${LAPIC.commandLow}], ${0x4000 | vector}`;

/** Real-mode code at `AT.start`: to protected mode, and on to `target`. */
const trampoline = (): string => `
  trampoline: db 0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, ${TRAMPOLINE.gdtPointer}, 0    # CLI, LGDT CS:gdtpointer
  db 0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0    # MOV EAX CR0, OR AL 1, MOV CR0 EAX
  db 0x66, 0xea    # far JMP to 8:other
  dd other
  db 8, 0
  gdtpointer: db 23, 0
  dd gdt
  trampolineend: nop`;
/** Offset of the pointer to the GDT in the code above. */
const TRAMPOLINE = { gdtPointer: 24, bytes: 30 } as const;

const loadSegments = 'mov eax, 16; mov ds, ax; mov es, ax; mov ss, ax';

export interface SeveralGuest {
  /** What the first vCPU does once all run. Labels are common to all texts. */
  readonly first: string;
  /** What the others do. */
  readonly others: string;
  /** Interrupt handlers by vector: labels. */
  readonly handlers?: Readonly<Record<number, string>>;
  /** vCPUs in all; 2 if absent. */
  readonly count?: number;
}

const gate = (vector: number, label: string) => `
  mov eax, ${label}
  mov [${AT.idt + 8 * vector}], eax
  mov [${AT.idt + 8 * vector + 4}], eax
  mov dword [${AT.idt + 8 * vector + 2}], ${0x8e00_0008}`;

/** The code of such a guest; every vCPU begins its text with its number in EBX, and interrupts disabled. */
export function assembleSeveral({ first, others, handlers = {}, count = 2 }: SeveralGuest): Assembled {
  const vectors: Readonly<Record<string, string>> = {
    ...Object.fromEntries(Array.from({ length: 32 }, (_, v) => [v, 'fault'])),
    ...handlers,
  };
  const text = `
    cli
    cld
    lgdt [gdtpointer]
    db 0xea
    dd flat
    db 8, 0
    flat: ${loadSegments}
    mov esp, ${AT.stacks + STACK_BYTES}
    mov dword [${AT.ready}], 0
    mov dword [${AT.barrier}], 0
    ${Object.entries(vectors)
      .map(([vector, label]) => gate(Number(vector), label))
      .join('\n')}
    lidt [idtpointer]
    mov esi, trampoline
    mov edi, ${AT.start}
    mov ecx, ${TRAMPOLINE.bytes}
    rep movsb
    mov dword [${LAPIC.svr}], 0x1ff
    mov dword [${LAPIC.commandLow}], ${0xc4500}
    mov dword [${LAPIC.commandLow}], ${0xc4600 | (AT.start >> 12)}
    waitready: pause
    cmp dword [${AT.ready}], ${count - 1}
    jb waitready
    xor ebx, ebx
    ${first}
    cli
    hlt

    other: ${loadSegments}
    mov ebx, [${LAPIC.id}]
    shr ebx, 24
    lea ecx, [ebx+1]
    imul ecx, ecx, ${STACK_BYTES}
    lea esp, [ecx+${AT.stacks}]
    lidt [idtpointer]
    mov dword [${LAPIC.svr}], 0x1ff
    lock inc dword [${AT.ready}]
    ${others}
    stay: cli
    hlt
    jmp stay

    fault: ${exit(FAULT)}
    idtpointer: db 0xff, 7
    dd ${AT.idt}
    gdt: dq 0
    dq 0x00cf9a000000ffff
    dq 0x00cf92000000ffff
    ${trampoline()}`;
  const assembled = assemble(ENTRY, text, 32);
  const { labels } = assembled;
  if (
    labels.trampolineend - labels.trampoline !== TRAMPOLINE.bytes ||
    labels.gdtpointer - labels.trampoline !== TRAMPOLINE.gdtPointer
  ) {
    throw new Error('the trampoline has another size');
  }
  return assembled;
}

export const severalKernel = (guest: SeveralGuest): Uint8Array => tinyKernel(assembleSeveral(guest).bytes);
