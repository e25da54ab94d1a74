/** Tables as commands that list things print them. */

/** Rows under headings, in columns as wide as they need to be; the last one is not filled up. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]! + 3))).join('');
  return all.map((row) => `${line(row).trimEnd()}\n`).join('');
}

/** Bytes in decimal units with three digits, as in 512MB. */
export function shortSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${Number((bytes / 1000 ** step).toPrecision(3))}${units[step]}`;
}

/** How long ago something was, in the largest unit that is not less than two of. */
export function ago(then: number, now: number): string {
  const seconds = Math.max(0, (now - then) / 1000);
  const units: [string, number][] = [
    ['years', 365.25 * 86_400],
    ['months', 30.44 * 86_400],
    ['weeks', 7 * 86_400],
    ['days', 86_400],
    ['hours', 3600],
    ['minutes', 60],
  ];
  const [unit, length] = units.find(([, size]) => seconds >= 2 * size) ?? ['seconds', 1];
  return `${Math.floor(seconds / length)} ${unit} ago`;
}
