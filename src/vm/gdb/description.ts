/** The target description: XML that tells a debugger which registers there are (GDB manual, appendix G). */
import { CR0, CR4, EFER, EFLAGS } from '../../isa/state.ts';
import type { GdbArchitecture, Register, RegisterFeature } from './registers.ts';

/** A type whose single bits have names. */
function flags(id: string, bytes: number, bits: Readonly<Record<string, number>>): string {
  const fields = Object.entries(bits).map(([name, mask]) => {
    const place = 31 - Math.clz32(mask);
    return `<field name="${name.toUpperCase()}" start="${place}" end="${place}"/>`;
  });
  return `<flags id="${id}" size="${bytes}">${fields.join('')}</flags>`;
}

/** IOPL has two bits: it shows only in `eflags` as a number. */
const { iopl: _, ...FLAG_BITS } = EFLAGS;

/** Bits of MXCSR (SDM vol. 1 10.2.3). */
const MXCSR_BITS = {
  ie: 1 << 0,
  de: 1 << 1,
  ze: 1 << 2,
  oe: 1 << 3,
  ue: 1 << 4,
  pe: 1 << 5,
  daz: 1 << 6,
  im: 1 << 7,
  dm: 1 << 8,
  zm: 1 << 9,
  om: 1 << 10,
  um: 1 << 11,
  pm: 1 << 12,
  fz: 1 << 15,
};

/** The ways to look at an XMM register. */
const VECTORS = [
  ['v4_float', 'ieee_single', 4],
  ['v2_double', 'ieee_double', 2],
  ['v16_int8', 'int8', 16],
  ['v8_int16', 'int16', 8],
  ['v4_int32', 'int32', 4],
  ['v2_int64', 'int64', 2],
] as const;

function vectorTypes(): string {
  const vectors = VECTORS.map(([id, type, count]) => `<vector id="${id}" type="${type}" count="${count}"/>`);
  const fields = VECTORS.map(([id]) => `<field name="${id}" type="${id}"/>`);
  return `${vectors.join('')}<union id="vec128">${fields.join('')}<field name="uint128" type="uint128"/></union>`;
}

/** Types that the registers of a feature name. */
function types(feature: string, wordBytes: number): string {
  switch (feature) {
    case 'org.gnu.gdb.i386.core':
      return flags('i386_eflags', 4, FLAG_BITS);
    case 'org.gnu.gdb.i386.sse':
      return vectorTypes() + flags('i386_mxcsr', 4, MXCSR_BITS);
    case 'virts.x86.system':
      return flags('x86_cr0', wordBytes, CR0) + flags('x86_cr4', wordBytes, CR4) + flags('x86_efer', wordBytes, EFER);
    default:
      return '';
  }
}

function registerElement({ name, bits, type, group }: Register): string {
  const of = group === undefined ? '' : ` group="${group}"`;
  return `<reg name="${name}" bitsize="${bits}" type="${type}"${of}/>`;
}

/** The document `target.xml`. */
export function targetDescription(architecture: GdbArchitecture, features: readonly RegisterFeature[]): string {
  const wordBytes = architecture === 'i386:x86-64' ? 8 : 4;
  const parts = features.map(
    ({ name, registers }) =>
      `<feature name="${name}">${types(name, wordBytes)}\n${registers.map(registerElement).join('\n')}\n</feature>`,
  );
  return [
    '<?xml version="1.0"?>',
    '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
    `<target version="1.0"><architecture>${architecture}</architecture>`,
    ...parts,
    '</target>',
    '',
  ].join('\n');
}
