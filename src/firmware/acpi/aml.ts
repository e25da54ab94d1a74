/**
 * ACPI machine language (ACPI 6.5 chapter 20): each function encodes one term and returns its bytes, so that a
 * definition block reads like its source.
 */
import { ascii, concat, u8, u16, u32, u64 } from '../bytes.ts';

export type Aml = Uint8Array;

const OP = {
  zero: 0x00,
  one: 0x01,
  name: 0x08,
  byte: 0x0a,
  word: 0x0b,
  dword: 0x0c,
  string: 0x0d,
  qword: 0x0e,
  scope: 0x10,
  buffer: 0x11,
  package: 0x12,
  method: 0x14,
  dualName: 0x2e,
  multiName: 0x2f,
  extended: 0x5b,
  arg0: 0x68,
  store: 0x70,
  extendedDevice: 0x82,
  if: 0xa0,
  return: 0xa4,
} as const;

/** A length as it stands before a package: it counts itself (20.2.4). `size` up to 2^28 - 5. */
function packageLength(size: number): Aml {
  if (size + 1 < 0x40) return u8(size + 1);
  const following = size + 2 < 1 << 12 ? 1 : size + 3 < 1 << 20 ? 2 : 3;
  const length = size + 1 + following;
  const bytes = [(following << 6) | (length & 0xf)];
  for (let i = 0; i < following; i++) bytes.push((length >>> (4 + i * 8)) & 0xff);
  return u8(...bytes);
}

function sized(opcode: readonly number[], ...content: readonly Aml[]): Aml {
  const body = concat(...content);
  return concat(u8(...opcode), packageLength(body.length), body);
}

/** A name such as `\_SB.PCI0` or `COM1`; segments shorter than four characters are filled with `_`. */
export function nameString(path: string): Aml {
  const root = path.startsWith('\\') ? '\\' : '';
  const segments = path.slice(root.length).split('.').filter(Boolean);
  const names = segments.map((segment) => ascii(segment, 4, 0x5f));
  if (names.length === 0) return concat(ascii(root), u8(0));
  const prefix = [[], [OP.dualName]][names.length - 1] ?? [OP.multiName, names.length];
  return concat(ascii(root), u8(...prefix), ...names);
}

/** An unsigned integer in its shortest form. */
export function integer(value: number | bigint): Aml {
  if (value === 0 || value === 0n) return u8(OP.zero);
  if (value === 1 || value === 1n) return u8(OP.one);
  if (value < 0x100) return u8(OP.byte, Number(value));
  if (value < 0x10000) return concat(u8(OP.word), u16(Number(value)));
  if (value < 2 ** 32) return concat(u8(OP.dword), u32(Number(value)));
  return concat(u8(OP.qword), u64(value));
}

export function string(text: string): Aml {
  return concat(u8(OP.string), ascii(text), u8(0));
}

/** A plug-and-play ID such as `PNP0A03`, compressed (19.6.36 EISAID). */
export function eisaId(id: string): Aml {
  const letter = (i: number) => id.charCodeAt(i) - 0x40;
  const vendor = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  return concat(u8(OP.dword, vendor >>> 8, vendor & 0xff, product >>> 8, product & 0xff));
}

export function buffer(bytes: Uint8Array): Aml {
  return sized([OP.buffer], integer(bytes.length), bytes);
}

/** `elements`: at most 255. */
export function packageOf(...elements: readonly Aml[]): Aml {
  return sized([OP.package], u8(elements.length), ...elements);
}

export function name(path: string, value: Aml): Aml {
  return concat(u8(OP.name), nameString(path), value);
}

export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return sized([OP.scope], nameString(path), ...terms);
}

export function device(path: string, ...terms: readonly Aml[]): Aml {
  return sized([OP.extended, OP.extendedDevice], nameString(path), ...terms);
}

/** `argumentCount`: 0 to 7. */
export function method(path: string, argumentCount: number, ...terms: readonly Aml[]): Aml {
  return sized([OP.method], nameString(path), u8(argumentCount), ...terms);
}

export function argument(index: number): Aml {
  return u8(OP.arg0 + index);
}

export function store(value: Aml, target: Aml): Aml {
  return concat(u8(OP.store), value, target);
}

export function ifTrue(condition: Aml, ...terms: readonly Aml[]): Aml {
  return sized([OP.if], condition, ...terms);
}

export function returns(value: Aml): Aml {
  return concat(u8(OP.return), value);
}
