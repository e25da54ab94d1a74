/** Figures for `--stats`, in words. */

type Figures = Readonly<Record<string, number | string>>;

/** What the machine's names mean to somebody who does not know its parts. Names that are not here speak for themselves. */
const WORDS: Readonly<Record<string, string>> = {
  blocks: 'blocks of guest code decoded',
  instructions: 'instructions decoded',
  invalidated: 'blocks discarded because their code changed',
  flushes: 'times the cache of blocks was emptied',
  handlers: 'instruction handlers compiled',
  modules: 'WebAssembly modules of handlers',
  regions: 'regions of hot code translated',
  'translated instructions': 'instructions translated',
};

const RETIRED = 'instructions retired';

/** Figures that are read together, on one line if there are several of them: the line's name, and what each is in it. */
interface Group {
  readonly name: string;
  /** The short name of a figure in this group; `undefined` for a figure that is none of it. */
  member(figure: string): string | undefined;
  /** They are parts of a whole: each is given in percent as well. */
  readonly shares?: boolean;
}

const among = (names: Readonly<Record<string, string>>) => (figure: string) => names[figure];
const beginning = (prefix: string) => (figure: string) =>
  figure.startsWith(prefix) ? figure.slice(prefix.length) : undefined;

const ending = (suffix: string) => (figure: string) =>
  figure.endsWith(suffix) ? figure.slice(0, -suffix.length) : undefined;

const GROUPS: readonly Group[] = [
  {
    name: 'instructions by tier',
    member: among({ 'instructions interpreted': 'interpreted', 'instructions in regions': 'translated' }),
    shares: true,
  },
  {
    name: 'regions',
    member: among({
      regions: 'made',
      'regions compiled before': 'compiled before',
      'regions dropped': 'dropped',
      'regions evicted': 'evicted',
      'regions live': 'live',
    }),
  },
  {
    name: 'translated code',
    member: among({
      'translated instructions': 'instructions',
      'code bytes': 'bytes',
      'live code bytes': 'bytes live',
    }),
  },
  {
    name: 'translations',
    member: among({
      'translations under way': 'under way',
      'translations put off': 'put off',
      'translations too late': 'too late',
    }),
  },
  { name: 'compile time of the processor (ms)', member: beginning('compile time: '), shares: true },
  { name: 'compile time of the translator (ms)', member: beginning('translator time: '), shares: true },
  { name: 'heap of the machine (KiB)', member: beginning('heap of the machine (KiB): ') },
  { name: 'verified', member: ending(' verified') },
  { name: 'TLB', member: among({ 'TLB misses': 'misses', 'TLB flushes': 'flushes' }) },
  { name: 'exclusive', member: beginning('exclusive: ') },
  { name: 'exits from compiled code', member: beginning('exits: '), shares: true },
];

const shown = (value: number | string) => (typeof value === 'number' ? String(Math.round(value)) : value);

function groupLine({ name, shares }: Group, members: readonly (readonly [string, number | string])[]): string {
  const total = members.reduce((sum, [, value]) => sum + Number(value), 0);
  const parts = members.map(([member, value]) => {
    const share = shares === true && total > 0 ? ` (${((100 * Number(value)) / total).toFixed(1)} %)` : '';
    return `${member} ${shown(value)}${share}`;
  });
  return `${name}: ${parts.join(', ')}`;
}

/** A line for each figure or group of figures, in the order of the figures. */
function lines(figures: Figures): string[] {
  const result: string[] = [];
  const done = new Set<Group>();
  for (const [figure, value] of Object.entries(figures)) {
    const group = GROUPS.find((g) => g.member(figure) !== undefined);
    const members =
      group === undefined
        ? []
        : Object.entries(figures).flatMap(([name, of]) => {
            const member = group.member(name);
            return member === undefined ? [] : [[member, of] as const];
          });
    if (group === undefined || members.length < 2) result.push(`${WORDS[figure] ?? figure}: ${shown(value)}`);
    else if (!done.has(group)) result.push(groupLine(group, members));
    if (group !== undefined) done.add(group);
  }
  return result;
}

/**
 * Lines `name: figure`.
 * @param seconds How long the machine was there, from its start to its end.
 */
export function statisticsLines(figures: Figures, seconds: number): string[] {
  const result = lines(figures);
  result.push(`run time (s): ${seconds.toFixed(1)}`);
  const retired = figures[RETIRED];
  if (typeof retired === 'number' && seconds > 0) {
    result.push(`million instructions a second: ${(retired / seconds / 1e6).toFixed(1)}`);
  }
  return result;
}
