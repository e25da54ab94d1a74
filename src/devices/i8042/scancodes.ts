/** The keyboard controller's translation from scan code set 2 to set 1 (IBM PS/2 Technical Reference, "Keyboard"). */

const BREAK_PREFIX = 0xf0;

/** Set 1 codes of the set 2 codes 0x00 to 0x7f. */
const LOW_CODES = [
  'ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59',
  '65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b',
  '67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d',
  '69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f',
  '6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61',
  '6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76',
  '55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f',
  '52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54',
];

const SET1 = Uint8Array.from({ length: 256 }, (_, code) => code);
SET1.set(LOW_CODES.flatMap((line) => line.split(' ').map((code) => Number.parseInt(code, 16))));
// F7 and Alt+SysRq are the only keys with codes above 0x7f.
SET1[0x83] = 0x41;
SET1[0x84] = 0x54;

/** Translation folds a break prefix into the byte that follows it; this is what it keeps between bytes. */
export interface TranslationState {
  breakPrefix: number;
}

/** One byte through the translation: `undefined` for a prefix, which only marks the next byte. */
export function translate(state: TranslationState, byte: number): number | undefined {
  if (byte === BREAK_PREFIX) {
    state.breakPrefix = 1;
    return undefined;
  }
  const code = SET1[byte] | (state.breakPrefix !== 0 ? 0x80 : 0);
  state.breakPrefix = 0;
  return code;
}

/** A whole sequence of set 2 codes, as a keyboard that was switched to set 1 sends it. */
export function toSet1(codes: Iterable<number>): number[] {
  const state = { breakPrefix: 0 };
  return Array.from(codes, (code) => translate(state, code)).filter((code) => code !== undefined);
}
