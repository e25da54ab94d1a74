/**
 * Forms written by hand: one or more for each way in which a form can be special, which exercise the oracle and the
 * format, and sequences for what a single instruction with random operands hardly shows.
 */

import {
  APPROXIMATE_RECIPROCAL,
  APPROXIMATE_X87,
  type CorpusForm,
  type Encoding,
  type Input,
  ripRelative,
  type Undefined,
} from './forms.ts';
import { IMAGE, type Mode, TEST, windowAddress } from './layout.ts';
import type { Random } from './prng.ts';
import { type Pointer, pointedOffset, type Setup } from './setup.ts';

const CF = 1;
const PF = 4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;
const CONDITION_CODES = 0x4700;

interface Options {
  readonly setup?: Setup;
  readonly approximate?: CorpusForm['approximate'];
  readonly undefinedOf?: CorpusForm['undefinedOf'];
  readonly accept?: CorpusForm['accept'];
}

/** A form whose bytes are always the same. */
function fixed(group: string, mode: Mode, text: string, hex: string, options: Options = {}): CorpusForm {
  const bytes = Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  return form(group, mode, text, () => ({ bytes, setup: options.setup ?? {} }), options);
}

function form(
  group: string,
  mode: Mode,
  text: string,
  encode: (random: Random) => Encoding,
  options: Options = {},
): CorpusForm {
  const { approximate, undefinedOf, accept } = options;
  return {
    id: `${text} @${mode}`,
    text,
    mode,
    group,
    encode,
    ...(approximate && { approximate }),
    ...(undefinedOf && { undefinedOf }),
    ...(accept && { accept }),
  };
}

/** A register other than RSP. */
function register(random: Random, not = 4): number {
  const chosen = random.below(16);
  return chosen === 4 || chosen === not ? (not === 0 ? 1 : 0) : chosen;
}

/** 64-bit form with ModRM: register or memory, REX as needed. */
function modrm(
  random: Random,
  prefix: readonly number[],
  w: number,
  opcode: readonly number[],
  setup: Setup,
  align = 1,
): Encoding {
  const reg = register(random);
  const kind = random.below(4);
  const rex = (b: number): number => 0x40 | (w << 3) | ((reg >> 3) << 2) | (b >> 3);
  const head = (b: number): number[] => [...prefix, rex(b), ...opcode];
  const low = (reg & 7) << 3;
  if (kind < 2) {
    const rm = random.below(16);
    return { bytes: Uint8Array.from([...head(rm), 0xc0 | low | (rm & 7)]), setup };
  }
  if (kind === 2) {
    const start = head(0);
    const target = windowAddress(64, 64, 64 * random.below(3));
    const bytes = new Uint8Array(start.length + 5);
    bytes.set([...start, low | 5]);
    new DataView(bytes.buffer).setInt32(start.length + 1, ripRelative(64, bytes.length, target), true);
    return { bytes, setup };
  }
  const base = register(random, reg);
  const bias = random.below(256) - 128;
  const sib = (base & 7) === 4 ? [0x24] : [];
  const pointer: Pointer = { register: base, bias, align };
  return {
    bytes: Uint8Array.from([...head(base), 0x40 | low | (base & 7), ...sib, bias & 255]),
    setup: { ...setup, pointers: [pointer] },
  };
}

function shiftFlags(bits: number, rotate: boolean): (input: Input) => Undefined {
  return (input) => {
    const count = Number(input.gpr(1) & (bits === 64 ? 63n : 31n));
    if (count === 0) return {};
    if (rotate) return count === 1 ? {} : { flags: OF };
    return { flags: AF | (count === 1 ? 0 : OF) | (count > bits ? CF : 0) };
  };
}

const DATA_POINTER: Pointer = { register: 3, align: 8 };
const X87: Setup = { fpu: 'f80' };
const x87 = (memory: Setup['memory'], align: number): Setup => ({
  fpu: 'f80',
  ...(memory && { memory }),
  pointers: [{ register: 3, align }],
});
/** Selectors, and the upper halves of the fields of an x87 environment in its 32-bit form. */
const reservedOfEnvironment: CorpusForm['undefinedOf'] = (input, { setup }) => {
  const at = pointedOffset(input.view, input.mode, setup, setup.pointers![0]!);
  return {
    memory: [
      [at + 2, 2],
      [at + 6, 2],
      [at + 10, 2],
      [at + 16, 2],
      [at + 24, 4],
    ],
  };
};
/** MXCSR_MASK depends on the processor; what lies behind the XMM registers is reserved. */
const maskOfFxsave: CorpusForm['undefinedOf'] = (input, { setup }) => ({
  memory: [[pointedOffset(input.view, input.mode, setup, setup.pointers![0]!) + 28, 4]],
});
const someStatus = (): Undefined => ({ status: CONDITION_CODES & ~0x200 });

/** Pushing a selector writes two or four bytes. */
const upperHalfOfSlot: CorpusForm['undefinedOf'] = (input, { setup }) => ({
  memory: [[pointedOffset(input.view, input.mode, setup, setup.pointers![0]!) + 2, 2]],
});

/** A sequence that pushes `bytes` bytes and then uses them. */
const pushing = (mode: Mode, bytes: number, text: string, hex: string, undefinedParts: Undefined = {}): CorpusForm =>
  fixed('integer', mode, text, hex, {
    undefinedOf: () => undefinedParts,
    setup: { pointers: [{ register: 4, bias: -bytes, align: mode / 8 }] },
    accept: (input) => (input.flags() & 0x40000) === 0,
  });

/** Upper halves of registers are not kept on the way out of 64-bit mode. */
const UPPER_HALF_OF_RSP: Undefined = { gpr: 1 << 4 };

/** Far transfers and loads of segment registers, with selectors that the sequence itself puts in place. */
const FAR: readonly CorpusForm[] = [
  pushing(64, 16, 'push 0x33; lea rax, [rip+64]; push rax; retfq', '6a 33 48 8d 05 40 00 00 00 50 48 cb'),
  pushing(64, 16, 'push 0x23; push 0x10001100; retfq', '6a 23 68 00 11 00 10 48 cb', UPPER_HALF_OF_RSP),
  pushing(64, 16, 'push 0x33; push 0x10001100; retfq 24', '6a 33 68 00 11 00 10 48 ca 18 00'),
  pushing(
    64,
    40,
    'push 0x2b; push rsp; pushfq; push 0x33; lea rax, [rip+64]; push rax; iretq',
    '6a 2b 54 9c 6a 33 48 8d 05 40 00 00 00 50 48 cf',
  ),
  pushing(
    64,
    24,
    'mov rax, 0x23_10001100; push rax; call far [rsp]',
    '48 b8 00 11 00 10 23 00 00 00 50 ff 1c 24',
    UPPER_HALF_OF_RSP,
  ),
  pushing(64, 24, 'mov rax, 0x33_10001100; push rax; jmp far [rsp]', '48 b8 00 11 00 10 33 00 00 00 50 ff 2c 24'),
  pushing(64, 8, 'push 0x17; pop fs', '6a 17 0f a1'),
  pushing(64, 8, 'push 0x1f; pop gs', '6a 1f 0f a9'),
  pushing(64, 8, 'push 0x3f; pop gs', '6a 3f 0f a9'),
  pushing(32, 8, 'push 0x23; push 0x10001100; retf', '6a 23 68 00 11 00 10 cb'),
  pushing(32, 8, 'push 0x23; push 0x10001100; retf 8', '6a 23 68 00 11 00 10 ca 08 00'),
  pushing(32, 12, 'pushf; push 0x23; push 0x10001100; iret', '9c 6a 23 68 00 11 00 10 cf'),
  pushing(32, 8, 'call 0x23:0x10001100', '9a 00 11 00 10 23 00'),
  fixed('integer', 32, 'jmp 0x23:0x10001100', 'ea 00 11 00 10 23 00'),
  fixed('integer', 32, 'jmp 0x33:0x10001100', 'ea 00 11 00 10 33 00'),
  fixed('integer', 32, 'jmp 0x2b:0x10001100', 'ea 00 11 00 10 2b 00'),
  pushing(32, 8, 'push 0x2b; push eax; les ecx, [esp]', '6a 2b 50 c4 0c 24'),
  pushing(32, 8, 'push 0x1f; push eax; lds ecx, [esp]', '6a 1f 50 c5 0c 24'),
  pushing(32, 8, 'push 0x2b; push eax; lss ecx, [esp]', '6a 2b 50 0f b2 0c 24'),
  pushing(32, 8, 'push 0x23; push eax; lss ecx, [esp]', '6a 23 50 0f b2 0c 24'),
  pushing(32, 8, 'push 0x17; push eax; lfs ecx, [esp]', '6a 17 50 0f b4 0c 24'),
  pushing(32, 8, 'push 0x2b; push eax; lgs ecx, [esp]', '6a 2b 50 0f b5 0c 24'),
  pushing(16, 4, 'push 7; push 0x1100; retf', '6a 07 68 00 11 cb'),
  pushing(16, 6, 'pushf; push 7; push 0x1100; iret', '9c 6a 07 68 00 11 cf'),
  pushing(16, 4, 'call 7:0x1100', '9a 00 11 07 00'),
  fixed('integer', 16, 'jmp 7:0x1100', 'ea 00 11 07 00'),
  pushing(16, 4, 'push 0x27; push ax; les cx, [esp]', '6a 27 50 67 c4 0c 24'),
];

const INTEGER: readonly CorpusForm[] = [
  fixed('integer', 64, 'nop', '90'),
  form('integer', 64, 'add r64, r/m64', (r) => modrm(r, [], 1, [0x03], {}, 8)),
  form('integer', 64, 'adc r/m32, r32', (r) => modrm(r, [], 0, [0x11], {}, 4)),
  form(
    'integer',
    64,
    'shl r/m32, cl',
    (r) => ({ ...modrm(r, [], 0, [0xd3], {}), bytes: Uint8Array.of(0xd3, 0xe0 | r.below(4)) }),
    {
      undefinedOf: shiftFlags(32, false),
    },
  ),
  fixed('integer', 64, 'rcl r16, cl', '66 d3 d2', { undefinedOf: shiftFlags(16, true) }),
  form('integer', 64, 'imul r64, r/m64', (r) => modrm(r, [], 1, [0x0f, 0xaf], {}, 8), {
    undefinedOf: () => ({ flags: SF | ZF | AF | PF }),
  }),
  fixed('integer', 64, 'div rbx', '48 f7 f3', { undefinedOf: () => ({ flags: CF | PF | AF | ZF | SF | OF }) }),
  fixed('integer', 64, 'idiv byte [rbx]', 'f6 3b', {
    setup: { pointers: [DATA_POINTER] },
    undefinedOf: () => ({ flags: CF | PF | AF | ZF | SF | OF }),
  }),
  fixed('integer', 64, 'bsf eax, ecx', '0f bc c1', {
    undefinedOf: (input) => ({
      flags: CF | PF | AF | SF | OF,
      ...(BigInt.asUintN(32, input.gpr(1)) === 0n && { gpr: 1 }),
    }),
  }),
  fixed('integer', 64, 'bts [rbx], rdx', '48 0f ab 13', {
    setup: { pointers: [DATA_POINTER], ranges: [{ register: 2, minimum: -3000, maximum: 3000 }] },
    undefinedOf: () => ({ flags: PF | AF | SF | OF }),
  }),
  form('integer', 64, 'crc32 r32, r/m32', (r) => modrm(r, [0xf2], 0, [0x0f, 0x38, 0xf1], {}, 4)),
  fixed('integer', 64, 'pext rax, rcx, rdx', 'c4 e2 f2 f5 c2'),
  fixed('integer', 64, 'lock cmpxchg [rbx], rcx', 'f0 48 0f b1 0b', { setup: { pointers: [DATA_POINTER] } }),
  fixed('integer', 64, 'cmpxchg16b [rbx]', '48 0f c7 0b', {
    setup: { pointers: [{ register: 3, align: 16 }], ranges: [] },
  }),
  fixed(
    'integer',
    64,
    'mov [rbx], rax; mov [rbx+8], rdx; lock cmpxchg16b [rbx]',
    '48 89 03 48 89 53 08 f0 48 0f c7 0b',
    { setup: { pointers: [{ register: 3, align: 16 }] }, accept: (input) => (input.flags() & 0x40000) === 0 },
  ),
  fixed('integer', 64, 'mov [rbx], eax; mov [rbx+4], edx; cmpxchg8b [rbx]', '89 03 89 53 04 0f c7 0b', {
    setup: { pointers: [{ register: 3, align: 8 }] },
  }),
  fixed('integer', 64, 'push rax', '50', { setup: { pointers: [{ register: 4, bias: -8, align: 8 }] } }),
  fixed('integer', 64, 'popfq', '9d', { setup: { pointers: [{ register: 4, align: 8 }] } }),
  fixed('integer', 64, 'enter 16, 3', 'c8 10 00 03', {
    setup: {
      pointers: [
        { register: 4, align: 8 },
        { register: 5, align: 8 },
      ],
    },
  }),
  fixed('integer', 64, 'ret', 'c3', { setup: { memory: 'code', pointers: [{ register: 4, align: 8 }] } }),
  fixed('integer', 64, 'jrcxz +8', 'e3 08'),
  fixed('integer', 64, 'mov eax, fs:[rbx+rcx*4+16]', '64 8b 44 8b 10', {
    setup: {
      pointers: [{ register: 3, bias: 16, segment: 'fs' }],
      ranges: [{ register: 1, minimum: -8, maximum: 8 }],
    },
  }),
  fixed('integer', 64, 'mov eax, gs:[rbx]', '65 8b 03', { setup: { pointers: [{ register: 3, segment: 'gs' }] } }),
  fixed('integer', 64, 'mov eax, [ebx]', '67 8b 03', { setup: { addressSize: 32, pointers: [{ register: 3 }] } }),
  fixed('integer', 64, 'rep movsb', 'f3 a4', {
    setup: {
      string: true,
      pointers: [{ register: 6 }, { register: 7 }],
      ranges: [{ register: 1, minimum: 0, maximum: 40 }],
    },
  }),
  fixed('integer', 64, 'cli', 'fa'),
  fixed('integer', 64, 'ud2', '0f 0b'),
  fixed('integer', 32, 'daa', '27', { setup: { gpr: 'digits' }, undefinedOf: () => ({ flags: OF }) }),
  fixed('integer', 32, 'aam 10', 'd4 0a', { undefinedOf: () => ({ flags: OF | AF | CF }) }),
  fixed('integer', 32, 'inc eax', '40'),
  fixed('integer', 32, 'pusha', '60', { setup: { pointers: [{ register: 4, bias: -32, align: 4 }] } }),
  fixed('integer', 32, 'bound eax, [ebx]', '62 03', { setup: { pointers: [DATA_POINTER] } }),
  fixed('integer', 32, 'mov eax, fs:[ebx]', '64 8b 03', { setup: { pointers: [{ register: 3, segment: 'fs' }] } }),
  fixed('integer', 32, 'push es; pop ds', '06 1f', {
    setup: { pointers: [{ register: 4, bias: -4, align: 4 }] },
    undefinedOf: upperHalfOfSlot,
    // The wider store may fault where the narrower one does not.
    accept: (input) => (input.flags() & 0x40000) === 0 && (input.gpr(4) & 3n) === 0n,
  }),
  ...FAR,
  fixed('integer', 16, 'add [bx+si+5], ax', '01 40 05', {
    setup: { pointers: [{ register: 3, bias: 5 }], ranges: [{ register: 6, minimum: -8, maximum: 8 }] },
  }),
  fixed('integer', 16, 'mov ax, gs:[bx]', '65 8b 07', { setup: { pointers: [{ register: 3, segment: 'gs' }] } }),
  fixed('integer', 16, 'push ax', '50', { setup: { pointers: [{ register: 4, bias: -2, align: 2 }] } }),
  fixed('integer', 16, 'ret', 'c3', { setup: { memory: 'code', pointers: [{ register: 4, align: 2 }] } }),
];

const VECTOR: readonly CorpusForm[] = [
  form('sse', 64, 'pshufb xmm, xmm/m128', (r) => modrm(r, [0x66], 0, [0x0f, 0x38, 0x00], { vector: 'int' }, 16)),
  form('sse', 64, 'addsd xmm, xmm/m64', (r) => modrm(r, [0xf2], 0, [0x0f, 0x58], { vector: 'f64', memory: 'f64' }, 8)),
  form('sse', 64, 'mulps xmm, xmm/m128', (r) => modrm(r, [], 0, [0x0f, 0x59], { vector: 'f32', memory: 'f32' }, 16)),
  form('sse', 64, 'cvtsd2si r64, xmm/m64', (r) =>
    modrm(r, [0xf2], 1, [0x0f, 0x2d], { vector: 'f64', memory: 'f64' }, 8),
  ),
  form('sse', 64, 'maxps xmm, xmm/m128', (r) => modrm(r, [], 0, [0x0f, 0x5f], { vector: 'f32', memory: 'f32' }, 16)),
  form('sse', 64, 'sqrtsd xmm, xmm/m64', (r) => modrm(r, [0xf2], 0, [0x0f, 0x51], { vector: 'f64', memory: 'f64' }, 8)),
  form('sse', 64, 'rcpps xmm, xmm/m128', (r) => modrm(r, [], 0, [0x0f, 0x53], { vector: 'f32', memory: 'f32' }, 16), {
    approximate: APPROXIMATE_RECIPROCAL,
  }),
  form('sse', 64, 'aesenc xmm, xmm/m128', (r) => modrm(r, [0x66], 0, [0x0f, 0x38, 0xdc], { vector: 'int' }, 16)),
  form('sse', 64, 'pcmpestri xmm1, xmm2, imm8', (r) => ({
    bytes: Uint8Array.of(0x66, 0x0f, 0x3a, 0x61, 0xca, r.below(256)),
    setup: {
      vector: 'text',
      ranges: [
        { register: 0, minimum: -20, maximum: 20 },
        { register: 2, minimum: -20, maximum: 20 },
      ],
    },
  })),
  fixed('sse', 64, 'mov [rbx], eax; ldmxcsr [rbx]', '89 03 0f ae 13', {
    setup: { pointers: [{ register: 3, align: 4 }], ranges: [{ register: 0, minimum: 0, maximum: 0xffff }] },
  }),
  fixed('sse', 64, 'ldmxcsr [rbx]', '0f ae 13', { setup: { pointers: [DATA_POINTER] } }),
  fixed('sse', 64, 'paddb mm1, mm2', '0f fc ca', { setup: { fpu: 'mmx' } }),
];

const FLOATING: readonly CorpusForm[] = [
  fixed('x87', 64, 'fadd st0, st1', 'd8 c1', { setup: X87, undefinedOf: someStatus }),
  fixed('x87', 64, 'fdivp st1, st0', 'de f9', { setup: X87, undefinedOf: someStatus }),
  fixed('x87', 64, 'fmul qword [rbx]', 'dc 0b', { setup: x87('f64', 8), undefinedOf: someStatus }),
  fixed('x87', 64, 'fsqrt', 'd9 fa', { setup: X87, undefinedOf: someStatus }),
  fixed('x87', 64, 'fld tword [rbx]', 'db 2b', { setup: x87('f80', 16), undefinedOf: someStatus }),
  fixed('x87', 64, 'fstp dword [rbx]', 'd9 1b', { setup: x87(undefined, 4), undefinedOf: someStatus }),
  fixed('x87', 64, 'fistp qword [rbx]', 'df 3b', { setup: x87(undefined, 8), undefinedOf: someStatus }),
  fixed('x87', 64, 'fbld [rbx]', 'df 23', { setup: x87('decimal', 16), undefinedOf: someStatus }),
  fixed('x87', 64, 'fbstp [rbx]', 'df 33', { setup: x87(undefined, 16), undefinedOf: someStatus }),
  fixed('x87', 64, 'fprem', 'd9 f8', { setup: X87 }),
  fixed('x87', 64, 'fsin', 'd9 fe', {
    setup: X87,
    accept: (input) => (input.view.getUint16(TEST.image + IMAGE.st + 8, true) & 0x7fff) < 0x3ffe,
    approximate: APPROXIMATE_X87,
    undefinedOf: () => ({ status: 0x4100 }),
  }),
  fixed('x87', 64, 'fyl2x', 'd9 f1', { setup: X87, approximate: APPROXIMATE_X87, undefinedOf: someStatus }),
  fixed('x87', 64, 'fcomi st0, st1', 'db f1', { setup: X87, undefinedOf: someStatus }),
  fixed('x87', 64, 'fnstenv [rbx]', 'd9 33', { setup: x87(undefined, 4), undefinedOf: reservedOfEnvironment }),
  fixed('x87', 64, 'fldenv [rbx]', 'd9 23', { setup: x87('env32', 4) }),
  fixed('x87', 64, 'fxsave64 [rbx]', '48 0f ae 03', {
    setup: { ...x87(undefined, 16), vector: 'int' },
    undefinedOf: maskOfFxsave,
  }),
  fixed('x87', 64, 'fxrstor64 [rbx]', '48 0f ae 0b', { setup: x87('fxsave', 16) }),
  fixed('x87', 16, 'fld tword [bx]', 'db 2f', { setup: x87('f80', 16), undefinedOf: someStatus }),
];

export const SAMPLE_FORMS: readonly CorpusForm[] = [...INTEGER, ...VECTOR, ...FLOATING];
