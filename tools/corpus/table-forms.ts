/** The forms of the instruction tables: every encoding in every mode, operand size and operand form. */

import { createDecoder, type Decoder, listEncodings } from '../../src/isa/decoder.ts';
import type { Definition } from '../../src/isa/definition.ts';
import type { Encoding } from '../../src/isa/encoding.ts';
import { type Placed, placeOperand, SEGMENT_PREFIX } from './addressing.ts';
import { assemble, type Choice, constantBytes, constantOperands, defaultOperandSize, mayBeMemory } from './assemble.ts';
import { isDetermined } from './determined.ts';
import { FAMILIES, isCommon, isRecordable } from './families.ts';
import type { CorpusForm } from './forms.ts';
import { dataBase, type Mode, SEGMENTS, START, WINDOW, WINDOW_SIZE } from './layout.ts';
import { memoryBytes } from './operand-size.ts';
import type { Random } from './prng.ts';
import { profileOf, weightOf } from './profiles.ts';
import type { Pointer, Setup } from './setup.ts';
import { type Assembled, undefinedParts } from './undefined.ts';
import { approximationOf } from './unit-profiles.ts';
import type { Profile, Variant } from './variant.ts';

const MODES: readonly Mode[] = [64, 32, 16];

/** Whether an encoding exists in a mode. */
function existsIn(e: Encoding, mode: Mode): boolean {
  if (e.qualifiers.has(mode === 64 ? 'i64' : 'o64')) return false;
  if (e.onlyAddressSize !== 0 && mode !== 64 && e.onlyAddressSize === 8) return false;
  if (e.onlyAddressSize === 2 && mode === 64) return false;
  // Forms whose size is VEX.W exist outside 64-bit mode without it.
  return mode === 64 || e.w !== 1 || e.vex;
}

/** Operand codes whose size follows the operand size. */
const SIZED = new Set(['v', 'z', 'zs', 'bs', 'y', 'a', 'p']);

/** Instructions whose operand size shows in no operand code. */
const IMPLICITLY_SIZED = /^(fldenv|fnstenv|frstor|fnsave|fxsave|fxrstor|push|pop|pusha|popa|iret|retf)$/;

function dependsOnSize(e: Encoding): boolean {
  if (IMPLICITLY_SIZED.test(e.definition.name)) return true;
  if (e.onlyOperandSize !== 0 || e.qualifiers.has('d64') || e.qualifiers.has('f64')) return true;
  return e.operands.some((o) => SIZED.has(o.size) || SIZED.has(o.memorySize) || o.size === 'rAX' || o.size === 'eAX');
}

/** The operand sizes in bytes that an encoding is recorded with. */
function operandSizes(e: Encoding, mode: Mode): readonly (2 | 4 | 8)[] {
  const usual = defaultOperandSize(e, mode) as 2 | 4 | 8;
  if (e.w >= 0 && !e.vex) return [e.w === 1 ? 8 : 4];
  let sizes: readonly (2 | 4 | 8)[];
  if (!dependsOnSize(e) || (mode === 64 && e.qualifiers.has('f64'))) sizes = [usual];
  else if (e.vex) sizes = mode === 64 ? [4, 8] : [usual];
  else if (mode !== 64) sizes = e.prefix === 'np' || e.prefix === 0x66 ? [usual] : [2, 4];
  else if (e.qualifiers.has('d64')) sizes = [2, 8];
  else sizes = e.prefix === 'np' || e.prefix === 0x66 ? [4, 8] : [2, 4, 8];
  return sizes.filter((size) => e.onlyOperandSize === 0 || e.onlyOperandSize === size);
}

function kindsOf(e: Encoding): readonly Variant['kind'][] {
  if (!e.hasModRm || e.fixedModRm >= 0) return ['none'];
  if (!mayBeMemory(e)) return ['register'];
  return e.form === 'memory' ? ['memory'] : ['register', 'memory'];
}

function variantsOf(e: Encoding): Variant[] {
  const repeats: readonly Variant['repeat'][] = e.qualifiers.has('rep') ? [0, 0xf3, 0xf2] : [0];
  return MODES.filter((mode) => existsIn(e, mode)).flatMap((mode) =>
    operandSizes(e, mode).flatMap((operandSize) =>
      kindsOf(e).flatMap((kind) => repeats.map((repeat) => ({ encoding: e, mode, operandSize, kind, repeat }))),
    ),
  );
}

/** Addresses of implicit operands: another address size or segment now and then. */
function placeImplicit(random: Random, { encoding, mode }: Variant, profile: Profile): Placed & { size: Mode } {
  const pointers = profile.pointers ?? [];
  const overridable = profile.overridden !== undefined;
  const forced = encoding.onlyAddressSize * 8;
  const other: Mode = mode === 64 ? 32 : mode === 32 ? 16 : 32;
  const counts = /^(loop|loope|loopne)$/.test(encoding.definition.name);
  // Sixteen-bit addresses reach nothing in 32-bit mode.
  const faults = mode === 32 && !counts;
  const may = (overridable || counts) && !(faults && encoding.definition.name.startsWith('cmps'));
  const size = forced !== 0 ? (forced as Mode) : may && random.once(faults ? 24 : 4) ? other : mode;
  const segment = random.pick(['fs', 'gs'] as const);
  const moved = overridable && profile.overridden! >= 0 && (mode !== 64 || size === 64) && random.once(6);
  return {
    address: undefined as never,
    size,
    prefixes: moved ? [SEGMENT_PREFIX[segment]] : [],
    pointers: moved ? pointers.map((p) => (p.register === profile.overridden ? { ...p, segment } : p)) : pointers,
    ranges: [],
  };
}

/** A jump's displacement to an INT3 before or after the instruction, `length` bytes long. */
function relativeTarget(random: Random, bytes: number, length: number): bigint {
  if (bytes > 1) return BigInt(random.below(2) === 0 ? random.below(0xe00) : -length - 1 - random.below(0xe00));
  return BigInt(random.once(2) ? random.below(100) : -length - 1 - random.below(120 - length));
}

function immediate(random: Random, variant: Variant, bytes: number, position: number): bigint {
  const { name } = variant.encoding.definition;
  const any = BigInt(random.u32()) | (BigInt(random.u32()) << 32n);
  if (name === 'enter') return BigInt(position === 0 ? random.below(0x50) : random.below(random.once(4) ? 256 : 6));
  if (name === 'ret') return BigInt(random.below(0x60));
  if (name === 'aam' || name === 'aad') return random.once(3) ? 10n : BigInt(random.below(random.once(4) ? 2 : 256));
  const kind = random.below(8);
  if (kind < 4) return any;
  if (kind === 4) return BigInt(random.below(3) - 1);
  if (kind === 5) return (1n << BigInt(8 * bytes - 1)) - BigInt(random.below(2));
  return BigInt(random.below(68));
}

function constants(random: Random, variant: Variant, size: Mode, length: number): bigint[] {
  const { encoding, mode, operandSize } = variant;
  return constantOperands(encoding).map((o, position) => {
    const bytes = constantBytes(o, operandSize, size);
    if (o.letter === 'J') return relativeTarget(random, bytes, length);
    if (o.letter !== 'O') return immediate(random, variant, bytes, position);
    const offset = BigInt(WINDOW + (random.below(WINDOW_SIZE - 8) & (random.once(4) ? -1 : -8)));
    return dataBase(mode, size) + offset - (mode === 64 ? 0n : SEGMENTS[mode].ds.base);
  });
}

/** LOCK where it is allowed; elsewhere, rarely, for its #UD. */
function lockPrefix(random: Random, { encoding, kind }: Variant): number[] {
  const allowed = encoding.qualifiers.has('lock');
  if (!allowed) return [];
  return random.once(kind === 'memory' ? 4 : 24) ? [0xf0] : [];
}

function encodeOnce(random: Random, variant: Variant): Assembled {
  const { encoding: e, mode, operandSize, kind } = variant;
  const registers = mode === 64 ? 16 : 8;
  const reg = random.below(registers);
  const rm = random.below(registers);
  const profile = profileOf(random, variant, { reg, rm });
  const pointers = profile.pointers ?? [];
  const implicit = placeImplicit(random, variant, profile);
  const busy = [...pointers, ...(profile.ranges ?? [])].map((p) => p.register);
  const bytes = memoryBytes(e, operandSize);
  const align = profile.align ?? (Math.min(bytes & -bytes, 64) || 1);
  const placed =
    kind === 'memory'
      ? placeOperand(random, {
          mode,
          align,
          taken: [...busy, ...(profile.taken ?? []), ...(random.once(8) ? [] : [reg])],
          plain: pointers.length > 0,
        })
      : undefined;
  const addressSize = placed?.address.size ?? implicit.size;
  const allPointers: readonly Pointer[] = [...(placed?.pointers ?? []), ...implicit.pointers];
  const ranges = [...(placed?.ranges ?? []), ...(profile.ranges ?? [])];
  const choice: Omit<Choice, 'constants'> = {
    mode,
    operandSize,
    addressSize,
    prefixes: [
      ...lockPrefix(random, variant),
      ...(variant.repeat === 0 ? [] : [variant.repeat]),
      ...(placed?.prefixes ?? implicit.prefixes),
    ],
    rex: random.once(2),
    reg,
    opcodeRegister: random.below(registers),
    vexRegister: e.operands.some((o) => 'BH'.includes(o.letter)) ? random.below(registers) : 0,
    rm: placed?.address ?? rm,
  };
  const zeroes = constantOperands(e).map(() => 0n);
  const { length } = assemble(e, { ...choice, constants: zeroes });
  const full: Choice = { ...choice, constants: constants(random, variant, addressSize, length) };
  const setup: Setup = {
    ...profile.setup,
    ...(allPointers.length > 0 && { pointers: allPointers }),
    ...(ranges.length > 0 && { ranges }),
    ...(profile.targets !== undefined && profile.targets.length > 0 && { targets: profile.targets }),
    ...(addressSize !== mode && { addressSize }),
  };
  return { bytes: assemble(e, full), setup, choice: full };
}

const CODE_SIZES = { 16: 2, 32: 4, 64: 8 } as const;

/** Encodes until the tables decode it as the same encoding: some byte patterns belong to another one. */
function encode(random: Random, variant: Variant, decode: Decoder): Assembled {
  const { encoding, mode, operandSize } = variant;
  for (let attempt = 0; attempt < 30; attempt++) {
    const assembled = encodeOnce(random, variant);
    const decoded = decode(assembled.bytes, 0, { codeSize: CODE_SIZES[mode], protected: true });
    if (typeof decoded === 'string') {
      if (decoded === 'undefined' && assembled.choice.prefixes.includes(0xf0)) return assembled;
      continue;
    }
    const same = decoded.encoding.text === encoding.text && decoded.encoding.definition === encoding.definition;
    if (!same || decoded.length !== assembled.bytes.length) continue;
    if (decoded.operandSize !== operandSize && dependsOnSize(encoding)) continue;
    return assembled;
  }
  throw new Error(
    `${encoding.definition.name} (${encoding.text}) cannot be encoded in mode ${mode}, size ${operandSize}`,
  );
}

const REPEAT_TEXT = { 0: '', 242: 'repne ', 243: 'rep ' } as const;

function formOf(family: string, variant: Variant, decode: Decoder): CorpusForm {
  const { encoding: e, mode, operandSize, kind, repeat } = variant;
  const size = dependsOnSize(e) ? ` o${operandSize * 8}` : '';
  const approximate = approximationOf(e.definition);
  const text = `${REPEAT_TEXT[repeat]}${e.definition.name} (${e.text})${size}${kind === 'none' ? '' : ` ${kind}`}`;
  return {
    id: `${text} @${mode}`,
    text,
    mode,
    group: family,
    weight: weightOf(variant),
    ...(approximate !== undefined && { approximate }),
    encode: (random) => encode(random, variant, decode),
    undefinedOf: (input, encoding) => undefinedParts(input, variant, encoding as Assembled),
    accept: (input, encoding) => isDetermined(input, variant, encoding as Assembled),
  };
}

/** All forms of the families named, or of all. */
export function tableForms(names: readonly string[] = Object.keys(FAMILIES)): readonly CorpusForm[] {
  const all: readonly Definition[] = Object.values(FAMILIES).flat();
  const encodings = listEncodings(all);
  const decode = createDecoder(encodings);
  return names.flatMap((family) =>
    encodings
      .filter((e) => FAMILIES[family]!.includes(e.definition) && isRecordable(e.definition))
      .flatMap(variantsOf)
      .filter(isCommon)
      .map((variant) => formOf(family, variant, decode)),
  );
}

if (START < 0xe00 + 32) throw new RangeError('jumps backwards would leave the code pages');
