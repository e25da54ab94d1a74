/** The marks that a benchmark prints, and the times between them. */

/** A line `MARK <name> <event> [text]`, and when its last byte came. */
export interface Mark {
  readonly name: string;
  readonly event: string;
  readonly text: string;
  /** Milliseconds on the host's monotonic clock. */
  readonly at: number;
}

/** What the marks of one run of a benchmark say. */
export interface Measurement {
  /** From `start` to `end`. */
  readonly seconds: number;
  /** Of each slice, in order; empty for what runs in one piece. */
  readonly slices: readonly number[];
  readonly checksum: string;
}

/** A guest that never ends a line must not fill the host's memory. */
const MAX_LINE = 1 << 16;

/**
 * Splits a console's output into lines and picks the marks.
 * @returns a function that takes what came, as text, and when (ms), and gives the lines that are no marks.
 */
export function createMarkReader(onMark: (mark: Mark) => void): (chunk: string, at: number) => string[] {
  let line = '';
  return (chunk, at) => {
    const parts = (line + chunk).split('\n');
    line = parts.pop()!.slice(-MAX_LINE);
    const others: string[] = [];
    for (const part of parts) {
      const match = /^MARK (\S+) (\S+)(?: (.*))?$/.exec(part.replace(/\r+$/, ''));
      if (match === null) others.push(part);
      else onMark({ name: match[1]!, event: match[2]!, text: match[3] ?? '', at });
    }
    return others;
  };
}

/** The measurement in the marks of benchmark `name`; `undefined` if one is missing or they are out of order. */
export function measure(marks: readonly Mark[], name: string): Measurement | undefined {
  const own = marks.filter((mark) => mark.name === name);
  const events = own.map(({ event }) => event).join(' ');
  if (!/^start( slice)* end checksum$/.test(events)) return undefined;
  const times = own.slice(0, -2).map(({ at }) => at / 1000);
  return {
    seconds: own.at(-2)!.at / 1000 - times[0]!,
    slices: times.slice(1).map((time, index) => time - times[index]!),
    checksum: own.at(-1)!.text,
  };
}
