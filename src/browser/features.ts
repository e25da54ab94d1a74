/** What a browser has to have, and a sentence about what it lacks. */
import { SHARES_MEMORY } from '../base/shared-memory.ts';

/** Sections of a module with one function of no parameters and no results, up to its code (core specification 5.5). */
const HEADER = [
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x04, 0x01, 0x60, 0x00, 0x00, 0x03, 0x02, 0x01, 0x00,
];
/** One memory, of one page. */
const MEMORY = [0x05, 0x03, 0x01, 0x00, 0x01];

const validates = (before: readonly number[], body: readonly number[]): boolean =>
  typeof WebAssembly === 'object' &&
  WebAssembly.validate(
    Uint8Array.from([...HEADER, ...before, 0x0a, body.length + 4, 0x01, body.length + 2, 0x00, ...body, 0x0b]),
  );

function hasModuleWorkers(): boolean {
  let asked = false;
  const options = {
    get type(): 'module' {
      asked = true;
      return 'module';
    },
  };
  try {
    new Worker('blob:none', options).terminate();
  } catch {
    // A browser may refuse the address, after it has looked at the options.
  }
  return asked;
}

const NEEDS: readonly (readonly [name: string, present: () => boolean])[] = [
  ['WebAssembly', () => typeof WebAssembly === 'object'],
  ['WebAssembly tail calls', () => validates([], [0x12, 0x00])],
  ['WebAssembly SIMD', () => validates([], [0x41, 0x00, 0xfd, 0x0f, 0x1a])],
  ['WebAssembly atomic operations', () => validates(MEMORY, [0x41, 0x00, 0xfe, 0x10, 0x02, 0x00, 0x1a])],
  ['WebAssembly bulk memory', () => validates(MEMORY, [0x41, 0x00, 0x41, 0x00, 0x41, 0x00, 0xfc, 0x0b, 0x00])],
  ['module workers', hasModuleWorkers],
  ['JavaScript of 2024', () => 'withResolvers' in Promise],
];

let sentence: string | undefined;
let asked = false;

/** One sentence that says what this browser lacks without which no machine runs; `undefined` where it has all. */
export function missingFeatures(): string | undefined {
  if (!asked) {
    asked = true;
    const missing = NEEDS.filter(([, present]) => !present()).map(([name]) => name);
    if (missing.length > 0) {
      const list = new Intl.ListFormat('en').format(missing);
      sentence = `This browser lacks ${list}, without which Virts cannot run; use a current Chromium or Firefox.`;
    }
  }
  return sentence;
}

/** One sentence that says why machines are slower here than they could be; `undefined` where nothing stands in the way. */
export function limitedFeatures(): string | undefined {
  if (SHARES_MEMORY) return undefined;
  if (!isSecureContext) {
    return 'This page came over an insecure connection, so memory cannot be shared and machines run with one thread; use https.';
  }
  return (
    'This page is not isolated from other origins, so memory cannot be shared and machines run with one thread; serve it with ' +
    'the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.'
  );
}
