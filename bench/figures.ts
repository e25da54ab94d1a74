/** What `virts run --stats` printed last: after its end, or after SIGUSR2. */

/** The last line of the figures. */
const LAST = /^virts: million instructions a second: /gm;

export interface Figures {
  /** The figure `part` of the line `name`, or the only one of that line; NaN where there is none. */
  value(name: string, part?: string): number;
}

/** The last complete figures in what came on standard error; `undefined` if there are none. */
export function lastFigures(log: string): Figures | undefined {
  const ends = [...log.matchAll(LAST)].map(({ index }) => index);
  const end = ends.at(-1);
  if (end === undefined) return undefined;
  const block = log.slice(ends.at(-2) ?? 0, end);
  const lines = new Map([...block.matchAll(/^virts: (.+?): (.*)$/gm)].map(([, name, rest]) => [name!, rest!]));
  return {
    value(name, part = '') {
      const found = lines.get(name)?.match(new RegExp(`(?:^|, )${part}${part === '' ? '' : ' '}([\\d.]+)`));
      return Number(found?.[1] ?? Number.NaN);
    },
  };
}
