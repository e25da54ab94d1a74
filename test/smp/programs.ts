/** What vCPUs do together, checking themselves. Each ends with status 1 (0 at the debug-exit port) if all went well. */
import { AT, barrier, exit, LAPIC, type SeveralGuest, sendIpi } from './several.ts';

export interface SeveralProgram extends SeveralGuest {
  readonly name: string;
}

const word = (index: number) => AT.words + 64 * index;

/** How often each program goes round, by the environment: 1 if it says nothing. */
export const SCALE = Math.max(1, Math.floor(Number(process.env.SMP_ROUNDS ?? 1)) || 1);

const COUNTS = { aligned: 100_000, alone: 300 * SCALE } as const;
/** The last is not aligned, and crosses two lines. */
const COUNTER = { plain: word(0), added: word(1), alone: word(4) - 3 } as const;

const count = (name: string) => `
  mov ecx, ${COUNTS.aligned}
  ${name}: lock inc dword [${COUNTER.plain}]
  mov eax, 2
  lock xadd [${COUNTER.added}], eax
  dec ecx
  jnz ${name}
  mov ecx, ${COUNTS.alone}
  ${name}alone: lock inc dword [${COUNTER.alone}]
  dec ecx
  jnz ${name}alone`;

const check = (address: number, value: number, status: number) => `
  mov eax, ${status}
  cmp dword [${address}], ${value}
  jne failed`;

/** Ends with AL at the debug-exit port. */
const FAILED = 'failed: out 0xf4, al; cli; hlt';

const counting: SeveralProgram = {
  name: 'locked instructions on one counter',
  first: `${count('a')}
    ${barrier('met', 1)}
    ${check(COUNTER.plain, 2 * COUNTS.aligned, 1)}
    ${check(COUNTER.added, 4 * COUNTS.aligned, 2)}
    ${check(COUNTER.alone, 2 * COUNTS.alone, 3)}
    ${exit(0)}
    ${FAILED}`,
  others: `${count('b')}
    ${barrier('there', 1)}`,
};

const IPI = 0x41;
const ROUNDS = 100 * SCALE;
/** Interrupts that came, by vCPU. */
const came = (vcpu: number) => word(vcpu);

/** Handler that counts an interrupt for the vCPU that it came to. */
const COUNT_IPI = `ipi: push eax
    mov eax, [${LAPIC.id}]
    shr eax, 24
    shl eax, 6
    inc dword [eax+${word(0)}]
    mov dword [${LAPIC.eoi}], 0
    pop eax
    iret`;

/** Halts until interrupt number EDX has come to this vCPU. */
const halt = (name: string, vcpu: number) => `
  ${name}: cli
  cmp [${came(vcpu)}], edx
  jae ${name}done
  sti
  hlt
  jmp ${name}
  ${name}done: sti`;

const pingPong: SeveralProgram = {
  name: 'IPIs back and forth, each halted until the other sends one',
  first: `mov edx, 1
    round: ${sendIpi(1, IPI)}
    ${halt('wait', 0)}
    mov eax, 1
    cmp [${came(0)}], edx
    jne failed
    inc edx
    cmp edx, ${ROUNDS}
    jbe round
    ${exit(0)}
    ${FAILED}`,
  others: `mov edx, 1
    other1: ${halt('doze', 1)}
    ${sendIpi(0, IPI)}
    inc edx
    jmp other1
    ${COUNT_IPI}`,
  handlers: { [IPI]: 'ipi' },
};

const PATCHES = 200 * SCALE;
const PATCH = { expected: word(0), seen: word(1), told: word(2), answered: word(3) } as const;
/** On pages of their own: mov eax, 0; ret. */
const CODE = { one: AT.pages, two: AT.pages + 0x1000 } as const;
const writeCode = (at: number) => `mov byte [${at}], 0xb8; mov dword [${at + 1}], 0; mov byte [${at + 5}], 0xc3`;

const patching: SeveralProgram = {
  name: 'code that one runs and the other patches',
  // The interrupt's handler serialises, calls the code and reports; what it has seen, the loop must see from then on.
  first: `${writeCode(CODE.one)}
    ${writeCode(CODE.two)}
    ${barrier('written', 1)}
    mov edx, 1
    patch: mov [${CODE.one + 1}], edx
    ${sendIpi(1, IPI)}
    answer: pause
    cmp [${PATCH.told}], edx
    jb answer
    mov eax, 1
    cmp [${PATCH.seen}], edx
    jne failed
    mov [${CODE.two + 1}], edx
    mov [${PATCH.expected}], edx
    second: pause
    cmp [${PATCH.answered}], edx
    jb second
    inc edx
    cmp edx, ${PATCHES}
    jbe patch
    ${exit(0)}
    ${FAILED}`,
  others: `mov esi, ${CODE.one}
    mov edi, ${CODE.two}
    ${barrier('ready', 1)}
    sti
    mov ebp, 1
    loop: mov edx, [${PATCH.told}]
    call esi
    mov ecx, eax
    mov eax, 2
    cmp ecx, edx
    jb failed
    call edi
    cmp [${PATCH.expected}], ebp
    jb loop
    xor eax, eax
    cpuid
    call edi
    mov ecx, eax
    mov eax, 3
    cmp ecx, ebp
    jne failed
    mov [${PATCH.answered}], ebp
    inc ebp
    jmp loop
    ipi: push eax; push ebx; push ecx; push edx
    xor eax, eax
    cpuid
    call esi
    mov [${PATCH.seen}], eax
    mov [${PATCH.told}], eax
    mov dword [${LAPIC.eoi}], 0
    pop edx; pop ecx; pop ebx; pop eax
    iret`,
  handlers: { [IPI]: 'ipi' },
};

/** There is room for no more. */
const PAGES = Math.min(300 * SCALE, 1300);
/** Pages that the first vCPU is first to write, and those of the other, alternate from here on. */
const ZERO = AT.pages + 0x10_0000;
/** The page that each has written last, counted from 1. */
const wrote = (vcpu: number) => word(vcpu);

/** Reads both pages of a round, writes its own for the first time, and looks whether it sees the other's write. */
const touch = (name: string, own: number) => {
  const page = (vcpu: number) => `[esi+${ZERO + 0x1000 * vcpu}]`;
  const other = 1 - own;
  return `
    xor esi, esi
    mov edi, 1
    ${name}: mov eax, ${page(other)}
    add eax, ${page(own)}
    mov ecx, edi
    shl ecx, 1
    lock inc dword [${AT.barrier}]
    ${name}meet: cmp [${AT.barrier}], ecx
    jb ${name}meet
    mov eax, ${page(other)}
    mov [esi+${ZERO + 0x1000 * own}], edi
    mov [${wrote(own)}], edi
    ${name}look: mov ecx, [${wrote(other)}]
    mov eax, ${page(other)}
    cmp ecx, edi
    jb ${name}look
    cmp eax, edi
    mov eax, ${1 + own}
    jne failed
    mov eax, ${3 + own}
    cmp ${page(own)}, edi
    jne failed
    add esi, 0x2000
    inc edi
    cmp edi, ${PAGES}
    jbe ${name}`;
};

const zeroPages: SeveralProgram = {
  name: 'first writes to pages that the other has read',
  first: `${touch('a', 0)}
    mov ecx, ${2 * PAGES + 2}
    lock inc dword [${AT.barrier}]
    last: cmp [${AT.barrier}], ecx
    jb last
    ${exit(0)}
    ${FAILED}`,
  others: `${touch('b', 1)}
    lock inc dword [${AT.barrier}]`,
};

/** All four on one counter; and each in turn wakes the next, which is halted, by an IPI. */
const countingOfFour: SeveralProgram = {
  ...counting,
  name: 'four vCPUs: locked instructions on one counter',
  count: 4,
  first: `${count('a')}
    ${barrier('met', 1, 4)}
    ${check(COUNTER.plain, 4 * COUNTS.aligned, 1)}
    ${check(COUNTER.added, 8 * COUNTS.aligned, 2)}
    ${check(COUNTER.alone, 4 * COUNTS.alone, 3)}
    ${exit(0)}
    ${FAILED}`,
  others: `${count('b')}
    ${barrier('there', 1, 4)}`,
};

/** Sends the interrupt to the vCPU behind this one, whose number is in EBX. */
const sendOn = `
  lea eax, [ebx+1]
  and eax, 3
  shl eax, 24
  mov [${LAPIC.commandHigh}], eax
  mov dword [${LAPIC.commandLow}], ${0x4000 | IPI}`;
/** Halts until interrupt number EDX has come to this vCPU. */
const haltFor = (name: string) => `
  mov esi, ebx
  shl esi, 6
  ${name}: cli
  cmp [esi+${word(0)}], edx
  jae ${name}done
  sti
  hlt
  jmp ${name}
  ${name}done: sti`;

const ring: SeveralProgram = {
  name: 'four vCPUs: an IPI goes round, each halted until it comes',
  count: 4,
  first: `mov edx, 1
    round: ${sendOn}
    ${haltFor('wait')}
    mov eax, 1
    cmp [${came(0)}], edx
    jne failed
    inc edx
    cmp edx, ${ROUNDS}
    jbe round
    ${exit(0)}
    ${FAILED}`,
  others: `mov edx, 1
    next: ${haltFor('doze')}
    ${sendOn}
    inc edx
    jmp next
    ${COUNT_IPI}`,
  handlers: { [IPI]: 'ipi' },
};

export const PROGRAMS_OF_FOUR: readonly SeveralProgram[] = [countingOfFour, ring];

export const PROGRAMS: readonly SeveralProgram[] = [counting, pingPong, patching, zeroPages];
