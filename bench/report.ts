/** The result as a table for a terminal. */
import { type GroupResult, PAGE_TARGET, type WorkloadResult } from './result.ts';
import { geometricMean } from './statistics.ts';

/** What a result was measured with. */
export interface Environment {
  readonly date: string;
  /** The host's processor. */
  readonly host: string;
  readonly node: string;
  readonly qemu: string;
  /** QEMU's `-cpu`, and what of it TCG said it does not have. */
  readonly qemuCpu: string;
  readonly refused: readonly string[];
  readonly kernel: string;
  readonly packages: readonly string[];
  /** Complete ones. */
  readonly rounds: number;
  readonly scale: number;
}

export interface Result {
  readonly environment: Environment;
  readonly workloads: readonly WorkloadResult[];
  readonly groups: readonly GroupResult[];
}

const NONE = '–';

const fixed = (value: number | null, digits = 2): string => (value === null ? NONE : value.toFixed(digits));
const times = (value: number | null): string => (value === null ? NONE : `${value.toFixed(2)}x`);
const percent = (value: number | null): string => (value === null ? NONE : `${(value * 100).toFixed(0)} %`);

/** `met`, `missed`, or nothing where there is no target or no figure. */
export const verdict = (met: boolean | null): string => (met === null ? '' : met ? 'met' : 'MISSED');

/** Lines of a table; the first column is aligned left, the last too, the others right. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 || column === row.length - 1 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
}

const HEAD = [
  'workload',
  'native s',
  'TCG s',
  'Virts s',
  'spread',
  'vs TCG',
  'vs native',
  'steady vs TCG',
  'to 90 % s',
  '(TCG)',
  'target',
  '',
];

function workloadRow(result: WorkloadResult): string[] {
  const { seconds, warmUp } = result;
  return [
    result.name,
    fixed(seconds.native, 3),
    fixed(seconds.tcg),
    fixed(seconds.virts),
    percent(result.spread.virts),
    times(result.versusTcg),
    times(result.versusNative),
    times(result.steadyVersusTcg),
    fixed(warmUp.virts?.seconds ?? null),
    fixed(warmUp.tcg?.seconds ?? null),
    `>= ${result.target}`,
    verdict(result.met),
  ];
}

function groupRow(group: GroupResult): string[] {
  const left = group.without.length === 0 ? '' : ` (without ${group.without.join(', ')})`;
  return [
    group.title,
    times(group.versusTcg),
    times(group.versusNative),
    group.target === null ? '' : `>= ${group.target}`,
    verdict(group.met) + left,
  ];
}

/** Virts in a page beside Virts in Node, where that was measured. */
function pageLines(workloads: readonly WorkloadResult[]): string[] {
  const measured = workloads.flatMap((result) => (result.pageVersusNode === null ? [] : [result]));
  if (measured.length === 0) return [];
  const rows = measured.map((result) => [
    result.name,
    fixed(result.seconds.virts),
    fixed(result.seconds.page),
    times(result.pageVersusNode),
    result.class === 'compute' ? `<= ${PAGE_TARGET}` : '',
    verdict(result.pageMet),
  ]);
  const mean = geometricMean(measured.map(({ pageVersusNode }) => pageVersusNode as number));
  rows.push(['geometric mean', '', '', times(mean), '', '']);
  return ['', ...table([['workload', 'Node s', 'page s', 'times Node', 'target', ''], ...rows])];
}

function environmentLines(environment: Environment): string[] {
  const refused = environment.refused.length === 0 ? '' : `\n  without ${environment.refused.join(', ')}`;
  return [
    `${environment.date}; ${environment.host}`,
    `Virts on Node ${environment.node}; ${environment.qemu}, TCG, one vCPU`,
    `-cpu ${environment.qemuCpu}${refused}`,
    `guest kernel ${environment.kernel}; ${environment.rounds} rounds${environment.scale === 1 ? '' : `; amounts times ${environment.scale}`}`,
  ];
}

/** The whole report. */
export function report({ environment, workloads, groups }: Result): string {
  const problems = workloads.flatMap(({ name, problems: texts }) => texts.map((text) => `${name}: ${text}`));
  return [
    ...environmentLines(environment),
    '',
    ...table([HEAD, ...workloads.map(workloadRow)]),
    '',
    ...table([['geometric mean', 'vs TCG', 'vs native', 'target', ''], ...groups.map(groupRow)]),
    ...pageLines(workloads),
    ...(problems.length === 0 ? [] : ['', ...problems]),
    '',
  ].join('\n');
}
