/**
 * What two to four processors do at the same time, and what their loads must not give together (SDM vol. 3A 9.2.3). `[rsi+X]`
 * and `[rsi+Y]` are 0 at first and in lines of their own; loads go to R8D and R9D.
 */

export interface LitmusProgram {
  readonly name: string;
  readonly threads: readonly string[];
  /** Whether results, two numbers for each thread, are such as no x86 processor gives. */
  forbidden(results: readonly number[]): boolean;
}

const storeBuffering = (name: string, between: string): LitmusProgram => ({
  name: `store buffering with ${name}`,
  threads: [`mov dword [rsi+X], 1; ${between}; mov r8d, [rsi+Y]`, `mov dword [rsi+Y], 1; ${between}; mov r8d, [rsi+X]`],
  forbidden: ([a, , b]) => a === 0 && b === 0,
});

/** Both sides may see 0: each load may overtake the store before it. What may be seen is not always seen. */
export const STORE_BUFFERING: LitmusProgram = {
  ...storeBuffering('nothing', 'lfence; sfence'),
  forbidden: () => false,
};

export const LITMUS: readonly LitmusProgram[] = [
  {
    name: 'message passing',
    threads: ['mov dword [rsi+X], 1; mov dword [rsi+Y], 1', 'mov r8d, [rsi+Y]; mov r9d, [rsi+X]'],
    forbidden: ([, , flag, message]) => flag === 1 && message === 0,
  },
  {
    name: 'message passing past a comparison with memory',
    threads: [
      'mov dword [rsi+X], 1; mov dword [rsi+Y], 1',
      'xor r8d, r8d; cmp dword [rsi+Y], 1; mov r9d, [rsi+X]; sete r8b',
    ],
    forbidden: ([, , flag, message]) => flag === 1 && message === 0,
  },
  {
    name: 'message passing by a string move',
    threads: [
      'mov dword [rsi+X], 1; mov r11, rdi; lea rdi, [rsi+Y]; mov eax, 1; mov ecx, 4; rep stosd; mov rdi, r11',
      'mov r8d, [rsi+Y+12]; mov r9d, [rsi+X]',
    ],
    forbidden: ([, , flag, message]) => flag === 1 && message === 0,
  },
  STORE_BUFFERING,
  storeBuffering('MFENCE', 'mfence'),
  storeBuffering('a locked instruction', 'lock or dword [rsp], 0'),
  storeBuffering('XCHG', 'xchg [rsp], eax'),
  storeBuffering('a locked instruction that runs alone', 'lock inc dword [rsp+61]'),
  storeBuffering('CPUID', 'push rbx; mov eax, 1; cpuid; pop rbx'),
  {
    name: 'load buffering',
    threads: ['mov r8d, [rsi+X]; mov dword [rsi+Y], 1', 'mov r8d, [rsi+Y]; mov dword [rsi+X], 1'],
    forbidden: ([a, , b]) => a === 1 && b === 1,
  },
  {
    name: 'two loads of one place',
    threads: ['mov dword [rsi+X], 1; mov dword [rsi+X], 2', 'mov r8d, [rsi+X]; mov r9d, [rsi+X]'],
    forbidden: ([, , first, second]) => first > second,
  },
  {
    name: 'a load of what was loaded before',
    threads: ['mov dword [rsi+X], 1; mov dword [rsi+Y], 1', 'mov eax, [rsi+X]; mov r8d, [rsi+Y]; mov r9d, [rsi+X]'],
    forbidden: ([, , flag, message]) => flag === 1 && message === 0,
  },
  {
    name: 'a store is seen whole: 8 bytes',
    threads: ['mov r10, -1; mov [rsi+X], r10', 'mov r10, [rsi+X]; mov r8d, r10d; shr r10, 32; mov r9d, r10d'],
    forbidden: ([, , low, high]) => low !== high,
  },
  {
    name: 'a store is seen whole: 8 bytes, not aligned but in one line',
    threads: ['mov r10, -1; mov [rsi+X+13], r10', 'mov r10, [rsi+X+13]; mov r8d, r10d; shr r10, 32; mov r9d, r10d'],
    forbidden: ([, , low, high]) => low !== high,
  },
  {
    name: 'a store is seen whole: 8 bytes of an XMM register, by CMPXCHG8B',
    threads: [
      'pcmpeqd xmm0, xmm0; movlps [rsi+X], xmm0',
      'xor eax, eax; xor edx, edx; push rbx; xor ebx, ebx; xor ecx, ecx; lock cmpxchg8b [rsi+X]; pop rbx; mov r8d, eax; mov r9d, edx',
    ],
    forbidden: ([, , low, high]) => low !== high,
  },
  {
    name: 'independent reads of independent writes',
    threads: [
      'mov dword [rsi+X], 1',
      'mov dword [rsi+Y], 1',
      'mov r8d, [rsi+X]; mov r9d, [rsi+Y]',
      'mov r8d, [rsi+Y]; mov r9d, [rsi+X]',
    ],
    forbidden: ([, , , , x, thenY, y, thenX]) => x === 1 && thenY === 0 && y === 1 && thenX === 0,
  },
];

/** Programs whose threads change one counter; `total` is what all leave there after `rounds` rounds of `threads` threads. */
export interface CountingProgram {
  readonly name: string;
  /** Threads wait for each other in it, which on a busy host may take long each time. */
  readonly waits?: boolean;
  /** The counter is `[C]`, at the start of a page, or `offset` bytes from there; a free word in another line `[L]`. */
  readonly offset?: number;
  readonly body: string;
  total(rounds: number, threads: number): number;
}

const each = (rounds: number, threads: number): number => rounds * threads;

export const COUNTING: readonly CountingProgram[] = [
  { name: 'lock inc', body: 'lock inc dword [C]', total: each },
  { name: 'lock sub, 8 bytes', body: 'lock sub qword [C], -1', total: each },
  { name: 'lock adc', body: 'stc; lock adc dword [C], 2', total: (rounds, threads) => 3 * each(rounds, threads) },
  {
    name: 'lock neg among increments',
    body: 'lock neg dword [L]; lock neg dword [L]; lock inc dword [C]',
    total: each,
  },
  {
    name: 'xadd, words',
    body: 'mov eax, 1; lock xadd [C], ax',
    total: (rounds, threads) => each(rounds, threads) & 0xffff,
  },
  {
    name: 'a loop of cmpxchg',
    body: 'retry: mov eax, [C]; lea ecx, [rax+1]; lock cmpxchg [C], ecx; jne retry',
    total: each,
  },
  {
    name: 'a loop of cmpxchg8b',
    body: 'push rbx; mov eax, [C]; mov edx, [C+4]; retry: mov ebx, eax; mov ecx, edx; inc ebx; lock cmpxchg8b [C]; jne retry; pop rbx',
    total: each,
  },
  {
    name: 'a loop of cmpxchg16b',
    waits: true,
    body: 'push rbx; mov rax, [C]; mov rdx, [C+8]; retry: mov rbx, rax; mov rcx, rdx; inc rbx; dec rcx; lock cmpxchg16b [C]; jne retry; pop rbx',
    total: each,
  },
  {
    name: 'lock add across two pages',
    waits: true,
    offset: -2,
    body: 'lock add dword [C-2], 0x2001',
    total: (rounds, threads) => 0x2001 * each(rounds, threads),
  },
  {
    name: 'lock add, 8 bytes that are not aligned',
    waits: true,
    offset: -3,
    body: 'lock add qword [C-3], 0x20001',
    total: (rounds, threads) => 0x20001 * each(rounds, threads),
  },
  {
    name: 'plain increments under a lock of XCHG',
    waits: true,
    body: 'take: mov eax, 1; xchg [L], eax; test eax, eax; jnz take; inc dword [C]; mov dword [L], 0',
    total: each,
  },
  {
    name: 'plain increments under a lock of BTS',
    waits: true,
    body: 'take: lock bts dword [L], 7; jc take; inc dword [C]; lock btr dword [L], 7',
    total: each,
  },
];
