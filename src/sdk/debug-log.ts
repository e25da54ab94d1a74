/** Lines of `--debug-log`. */

const EXCEPTIONS: Readonly<Record<number, string>> = {
  0: '#DE',
  1: '#DB',
  2: 'NMI',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  8: '#DF',
  10: '#TS',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  18: '#MC',
  19: '#XM',
};

const PAGE_FAULT = 14;

/** The error code of a page fault in words (SDM vol. 3A 4.7). */
function pageFault(error: number): string {
  const access = error & 0x10 ? 'fetch' : error & 2 ? 'write' : 'read';
  const why = error & 8 ? 'reserved bit set' : error & 1 ? 'not allowed' : 'page not present';
  return ` (${error & 4 ? 'user' : 'supervisor'} ${access}, ${why})`;
}

/** How an exception reads in the log, with the address of the instruction that raised it. */
export function exceptionLine(vector: number, error: number | undefined, rip: bigint): string {
  const name = EXCEPTIONS[vector] ?? `vector ${vector}`;
  const code = error === undefined ? '' : ` error 0x${error.toString(16)}`;
  const words = vector === PAGE_FAULT && error !== undefined ? pageFault(error) : '';
  return `${name}${code}${words} at 0x${rip.toString(16)}`;
}
