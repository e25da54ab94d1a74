/**
 * The form of an instruction: all its bytes but displacement, immediates and relative targets, which stand at its end (SDM
 * vol. 2A section 2.1). Instructions of one form and mode differ in nothing else.
 */
import type { Encoding, OpcodeMap } from './encoding.ts';

/** Length in bytes of the form of the instruction at `at`, or 0 where only the decoder can tell. Needs 15 bytes to read. */
export type FormReader = (code: Uint8Array, at: number, codeSize: 2 | 4 | 8) => number;

/** What an opcode has behind it. `unclear`: encodings differ in that. */
const BEHIND = { unclear: 0, nothing: 1, modRm: 2 } as const;

const MAPS: Readonly<Record<OpcodeMap, number>> = { one: 0, '0f': 1, '0f38': 2, '0f3a': 3 };

/** What the opcodes of all maps have behind them. What no encoding has stays unclear. */
function opcodeTable(encodings: readonly Encoding[]): Uint8Array {
  const table = new Uint8Array(4 * 256);
  const known = new Set<number>();
  for (const e of encodings) {
    const behind = e.hasModRm ? BEHIND.modRm : BEHIND.nothing;
    for (let register = 0; register < (e.opcodeRegister ? 8 : 1); register++) {
      const place = MAPS[e.map] * 256 + e.opcode + register;
      table[place] = known.has(place) && table[place] !== behind ? BEHIND.unclear : behind;
      known.add(place);
    }
  }
  // VEX in some modes and places.
  table[0xc4] = BEHIND.unclear;
  table[0xc5] = BEHIND.unclear;
  return table;
}

/** Prefixes but that of the address size, which changes what follows ModRM: 1; REX: 2. */
const PREFIXES = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0xf0, 0xf2, 0xf3]) PREFIXES[byte] = 1;
PREFIXES.fill(2, 0x40, 0x50);

/** Most prefixes of an instruction whose form is told. */
const PREFIX_LIMIT = 4;

export function createFormReader(encodings: readonly Encoding[]): FormReader {
  const behind = opcodeTable(encodings);
  return (code, at, codeSize) => {
    const lastPrefix = codeSize === 8 ? 2 : 1;
    let place = at;
    let byte = code[place];
    while (PREFIXES[byte] !== 0 && PREFIXES[byte] <= lastPrefix) byte = code[++place];
    if (place - at > PREFIX_LIMIT || byte === 0x67) return 0;
    let map = 0;
    if (byte === 0x0f) {
      byte = code[++place];
      map = 256;
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 512 : 768;
        byte = code[++place];
      }
    }
    place++;
    const kind = behind[map + byte];
    if (kind === BEHIND.unclear) return 0;
    if (kind === BEHIND.modRm) {
      const modRm = code[place++];
      if (codeSize !== 2 && modRm < 0xc0 && (modRm & 7) === 4) place++;
    }
    return place - at;
  };
}
