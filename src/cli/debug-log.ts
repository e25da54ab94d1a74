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

/** How an exception reads in the log, with the address of the instruction that raised it. */
export function exceptionLine(vector: number, error: number | undefined, rip: bigint): string {
  const name = EXCEPTIONS[vector] ?? `vector ${vector}`;
  const code = error === undefined ? '' : ` error 0x${error.toString(16)}`;
  return `${name}${code} at 0x${rip.toString(16)}`;
}
