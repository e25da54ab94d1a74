/**
 * Random programs for 64-bit mode, as lines for the tests' assembler. They end after a bounded number of instructions,
 * mostly at their HLT, sometimes at a fault. What they may rely on at their start is in `LAYOUT`.
 */
import type { Random } from '../../tools/corpus/prng.ts';

/** Linear addresses. */
export const LAYOUT = {
  /** Two pages of data, whose border lies in the middle of what programs reach. */
  data: 0x10_0000,
  /** The first of them again, and behind it another page; behind that there is nothing. */
  alias: 0x30_0000,
  device: 0x31_0000,
  code: 0x1_0000,
} as const;

/** Base registers and where they point. */
export const BASES = {
  rdi: LAYOUT.data + 0x80,
  rsi: LAYOUT.data + 0xfe0,
  rbp: LAYOUT.alias + 0xfe8,
  r9: LAYOUT.device,
} as const;

const DATA = [
  ['al', 'ax', 'eax', 'rax'],
  ['cl', 'cx', 'ecx', 'rcx'],
  ['dl', 'dx', 'edx', 'rdx'],
  ['bl', 'bx', 'ebx', 'rbx'],
  ['r8b', 'r8w', 'r8d', 'r8'],
  ['r10b', 'r10w', 'r10d', 'r10'],
] as const;
const COUNTERS = ['r12d', 'r13d', 'r14d'];
const SIZES = ['byte', 'word', 'dword', 'qword'] as const;
const BYTES = [1, 2, 4, 8];
const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const CONSTANTS = [0n, 1n, -1n, 2n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0x7fff_ffffn, -0x8000_0000n, 0x0f0f_0f0fn];
const ALU = ['add', 'adc', 'sub', 'sbb', 'and', 'or', 'xor', 'cmp', 'mov', 'test'];
const SHIFTS = ['shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr'];
const VECTOR =
  'pand por pxor pandn paddb paddw paddd paddq psubb psubw psubd psubq pcmpeqb pcmpeqd pcmpgtw pminub pmaxsw pmullw pmaddwd pmuludq punpcklbw punpckhdq punpcklqdq packsswb psllw pslld psrlq psrad andps orps xorps andnpd pshufb psadbw pavgb'.split(
    ' ',
  );
const FLOAT = ['add', 'sub', 'mul', 'div', 'min', 'max', 'sqrt'];
const MXCSRS = [0x1f80, 0x1fa0, 0x1fbf, 0x3f80, 0x5f80, 0x7f80, 0x9fc0, 0x1f80];

/** How deep blocks of code are inside each other. */
const MOST_DEPTH = 3;

class Generator {
  readonly #random: Random;
  readonly lines: string[] = [];
  #labels = 0;
  #functions: string[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  program(): readonly string[] {
    const functions = this.#random.below(4);
    this.#functions = [];
    this.#block(6 + this.#random.below(20), 0);
    const pending: string[] = [];
    this.lines.push('hlt');
    for (let i = 0; i < functions; i++) {
      const name = `f${i}`;
      pending.push(name);
      this.lines.push(`${name}:`);
      this.#block(1 + this.#random.below(8), MOST_DEPTH - 1);
      this.lines.push('ret');
      // Functions call only those before them.
      this.#functions.push(name);
    }
    if (functions === 0) return this.lines;
    // The main program was written before the functions were there: its calls go in now.
    const calls = 1 + this.#random.below(4);
    for (let i = 0; i < calls; i++) {
      const end = this.lines.indexOf('hlt');
      this.lines.splice(this.#random.below(end + 1), 0, ...this.#callLines());
    }
    return this.lines;
  }

  #label(): string {
    return `l${this.#labels++}`;
  }
  #register(size: number): string {
    return this.#random.pick(DATA)[size];
  }
  #xmm(): string {
    return `xmm${this.#random.below(5)}`;
  }
  #displacement(): number {
    return this.#random.once(6) ? this.#random.below(256) - 128 : 4 * this.#random.below(12);
  }
  #address(): string {
    const base = this.#random.pick(['rdi', 'rsi', 'rbp', 'rdi', 'rsi']);
    const displacement = this.#displacement();
    // R11 is kept small: an index.
    const index = this.#random.once(5) ? `+r11*${this.#random.pick([1, 2, 4, 8])}` : '';
    return `[${base}${index}${displacement < 0 ? '-' : '+'}${Math.abs(displacement)}]`;
  }
  #memory(size: number): string {
    return `${SIZES[size]} ${this.#address()}`;
  }
  #constant(size: number): string {
    const value = this.#random.once(2) ? BigInt(this.#random.below(256)) : this.#random.pick(CONSTANTS);
    return String(BigInt.asIntN(8 * Math.min(BYTES[size], 4), value));
  }
  #size(): number {
    return this.#random.pick([0, 1, 2, 2, 2, 3, 3]);
  }
  #place(size: number): string {
    return this.#random.once(3) ? this.#memory(size) : this.#register(size);
  }

  #callLines(): string[] {
    const name = this.#random.pick(this.#functions);
    return this.#random.pick([
      [`call ${name}`],
      [`mov r10, ${name}`, 'call r10'],
      [`push ${name}`, 'pop r10', 'call r10'],
    ]);
  }

  #block(count: number, depth: number): void {
    for (let i = 0; i < count; i++) this.#statement(depth);
  }

  #statement(depth: number): void {
    const r = this.#random;
    if (depth < MOST_DEPTH && r.once(7)) this.#branch(depth);
    else if (depth < MOST_DEPTH && r.once(9)) this.#loop(depth);
    else if (this.#functions.length > 0 && r.once(8)) this.lines.push(...this.#callLines());
    else if (r.once(3)) this.#vector();
    else if (r.once(12)) this.#rare();
    else this.#integer();
  }

  #branch(depth: number): void {
    const r = this.#random;
    const over = this.#label();
    this.lines.push(`j${r.pick(CONDITIONS)} ${over}`);
    this.#block(1 + r.below(4), depth + 1);
    if (r.once(2)) {
      const end = this.#label();
      this.lines.push(`jmp ${end}`, `${over}:`);
      this.#block(1 + r.below(3), depth + 1);
      this.lines.push(`${end}:`);
    } else this.lines.push(`${over}:`);
  }

  #loop(depth: number): void {
    const r = this.#random;
    const counter = COUNTERS[depth];
    const head = this.#label();
    this.lines.push(`mov ${counter}, ${1 + r.below(6)}`, `${head}:`);
    this.#block(1 + r.below(6), depth + 1);
    // A way out in the middle, so that a loop has more than one.
    if (r.once(3)) {
      const out = this.#label();
      this.lines.push(`j${r.pick(CONDITIONS)} ${out}`);
      this.#block(1, depth + 1);
      this.lines.push(`dec ${counter}`, `jnz ${head}`, `${out}:`);
    } else this.lines.push(`dec ${counter}`, `jnz ${head}`);
  }

  #integer(): void {
    const r = this.#random;
    const size = this.#size();
    const wide = Math.max(size, 1);
    const [a, b] = [this.#register(size), this.#register(size)];
    const m = this.#memory(size);
    const c = this.#constant(size);
    this.lines.push(
      ...r.pick<() => string[]>([
        () => [`${r.pick(ALU)} ${a}, ${b}`],
        () => [`${r.pick(ALU)} ${a}, ${c}`],
        () => [`${r.pick(ALU.slice(0, 9))} ${a}, ${m}`],
        () => [`${r.pick(ALU)} ${m}, ${a}`],
        () => [`${r.pick(ALU)} ${m}, ${c}`],
        () => [`${r.pick(['inc', 'dec', 'neg', 'not'])} ${this.#place(size)}`],
        () => [`${r.pick(SHIFTS)} ${this.#place(size)}, ${r.pick(['1', 'cl', String(r.below(34))])}`],
        () => [
          `${r.pick(['shld', 'shrd'])} ${this.#place(wide)}, ${this.#register(wide)}, ${r.pick(['cl', String(r.below(32))])}`,
        ],
        () => [`imul ${this.#register(wide)}, ${this.#place(wide)}`],
        () => [`${r.pick(['mul', 'imul'])} ${this.#place(size)}`],
        () => [`${r.pick(['bt', 'bts', 'btr', 'btc'])} ${this.#place(wide)}, ${r.below(64)}`],
        () => [`${r.pick(['bsf', 'bsr', 'tzcnt', 'lzcnt', 'popcnt'])} ${this.#register(wide)}, ${this.#place(wide)}`],
        () => [`set${r.pick(CONDITIONS)} ${this.#place(0)}`],
        () => [`cmov${r.pick(CONDITIONS)} ${this.#register(wide)}, ${this.#place(wide)}`],
        () => [`${r.pick(['movzx', 'movsx'])} ${this.#register(2 + r.below(2))}, ${this.#place(r.below(2))}`],
        () => [`movsxd ${this.#register(3)}, ${this.#place(2)}`],
        () => [
          `lea ${this.#register(2 + r.below(2))}, [${this.#register(3)}+${this.#register(3)}*${r.pick([1, 2, 4, 8])}+${r.below(100)}]`,
        ],
        () => [`xchg ${this.#place(size)}, ${this.#register(size)}`],
        () => [`${r.pick(['', 'lock '])}xadd ${m}, ${a}`],
        () => [`${r.pick(['', 'lock '])}cmpxchg ${m}, ${a}`],
        () => [`lock ${r.pick(['add', 'or', 'sub', 'xor', 'adc'])} ${m}, ${a}`],
        () => [`bswap ${this.#register(2 + r.below(2))}`],
        () => [r.pick(['cdq', 'cqo', 'cwde', 'cdqe', 'lahf', 'sahf', 'clc', 'stc', 'cmc'])],
        () => [`push ${this.#register(3)}`, `pop ${this.#register(3)}`],
        () => [`push ${this.#memory(3)}`, `pop ${this.#memory(3)}`],
        () => ['pushfq', 'pop rax', 'and eax, 0x8d5'],
        () => [`mov r11d, ${r.below(4)}`],
        () => [`mov ah, ${r.pick(['bl', 'ch', 'dh'])}`, `add ${r.pick(['bh', 'cl', 'dh'])}, ah`],
      ])(),
    );
  }

  #vector(): void {
    const r = this.#random;
    const [a, b] = [this.#xmm(), this.#xmm()];
    const other = r.once(4) ? undefined : b;
    const [kind, size] = r.pick([
      ['ss', 2],
      ['sd', 3],
      ['ps', 4],
      ['pd', 4],
    ] as const);
    const source = other ?? (size === 4 ? b : this.#memory(size));
    this.lines.push(
      ...r.pick<() => string[]>([
        () => [`${r.pick(VECTOR)} ${a}, ${b}`],
        () => [`movups ${a}, ${this.#address()}`],
        () => [`movups ${this.#address()}, ${a}`],
        () => [`movups ${a}, ${b}`],
        () => [`movs${r.pick(['s', 'd'])} ${a}, ${b}`],
        () => [`movsd ${a}, ${this.#address()}`],
        () => [`movss ${this.#address()}, ${a}`],
        () => [`movd ${a}, ${this.#register(2)}`],
        () => [`movq ${this.#register(3)}, ${a}`],
        () => [`pshufd ${a}, ${b}, ${r.below(256)}`],
        () => [`${r.pick(FLOAT)}${kind} ${a}, ${source}`],
        () => [`${r.pick(FLOAT)}${kind} ${a}, ${source}`],
        () => [`${r.pick(FLOAT)}${kind} ${a}, ${a}`],
        () => [`cmp${kind} ${a}, ${b}, ${r.below(8)}`],
        () => [`${r.pick(['ucomisd', 'comisd', 'ucomiss', 'comiss'])} ${a}, ${b}`],
        () => [`cvtsi2${r.pick(['sd', 'ss'])} ${a}, ${this.#register(2 + r.below(2))}`],
        () => [`${r.pick(['cvtsd2si', 'cvttsd2si', 'cvtss2si', 'cvttss2si'])} ${this.#register(2 + r.below(2))}, ${a}`],
        () => [
          `${r.pick(['cvtss2sd', 'cvtsd2ss', 'cvtps2pd', 'cvtpd2ps', 'cvtdq2ps', 'cvttps2dq', 'cvtdq2pd'])} ${a}, ${b}`,
        ],
        () => [`unpcklpd ${a}, ${b}`],
        () => [`pmovmskb ${this.#register(2)}, ${a}`],
      ])(),
    );
  }

  #rare(): void {
    const r = this.#random;
    const patched = this.#label();
    this.lines.push(
      ...r.pick<() => string[]>([
        () => [`mov dword [rdi-0x40], ${r.pick(MXCSRS)}`, 'ldmxcsr [rdi-0x40]'],
        () => ['stmxcsr [rdi-0x3c]', 'mov eax, [rdi-0x3c]'],
        () => [`mov ${this.#register(2)}, [r9+${4 * r.below(4)}]`],
        () => [`mov [r9+${4 * r.below(4)}], ${this.#register(2)}`],
        () => [`add dword [r9+${4 * r.below(4)}], ${this.#constant(2)}`],
        // The last byte of ADD is its immediate.
        () => [
          `mov byte [${patched}+2], ${r.below(128)}`,
          `${patched}: add ${r.pick(['ecx', 'edx', 'ebx'])}, ${r.below(100)}`,
        ],
        () => [`invlpg ${this.#address()}`],
        () => ['mov rax, cr3', 'mov cr3, rax'],
        () => [
          'push rdi',
          'push rsi',
          `mov ecx, ${r.below(40)}`,
          r.pick(['rep movsb', 'rep stosd', 'rep movsq', 'repe cmpsb', 'repne scasb']),
          'pop rsi',
          'pop rdi',
        ],
        () => ['xor edx, edx', `or ${r.pick(['ecx', 'ebx', 'r8d'])}, 1`, `div ${r.pick(['ecx', 'ebx', 'r8d'])}`],
        () => [`div ${this.#place(this.#size())}`],
        () => [`idiv ${this.#register(2)}`],
        () => [`mov ${this.#register(3)}, [rbp+${0x1000 + r.below(0x40) - 0x10}]`],
        () => [`mov [rbp+${0x1000 + r.below(0x40) - 0x10}], ${this.#register(3)}`],
        () => [`add rsi, ${r.pick([8, -8, 4, 1])}`],
        () => [`mov rdi, ${r.pick([BASES.rdi, BASES.rsi, LAYOUT.alias + 0x80, BASES.rbp])}`],
        () => ['xchg rsi, rdi'],
        () => ['cmpxchg8b [rdi]'],
        () => ['fld1', `fstp qword ${this.#address()}`],
      ])(),
    );
  }
}

/** The lines of a random program. */
export const generate = (random: Random): readonly string[] => new Generator(random).program();
