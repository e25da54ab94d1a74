/** The result as a picture: one bar for each workload, its length the speed of Virts relative to TCG. */
import type { Result } from './report.ts';
import type { WorkloadResult } from './result.ts';
import type { WorkloadClass } from './workloads.ts';

const WIDTH = 860;
const LEFT = 150;
const RIGHT = 90;
const ROW = 18;
const BAR = 12;
const TOP = 74;
/** Height of a line of the summary, and how many means stand in one. */
const SUMMARY_LINE = 15;
const SUMMARY_MEANS = 3;
const GAP = 26;
/** The ends of the logarithmic scale, at least. */
const LEAST = 0.25;
const MOST = 4;

const TITLES: Readonly<Record<WorkloadClass, string>> = {
  compute: 'Integer and pointers',
  copy: 'Copies of the C library',
  float: 'Floating point and SIMD',
  system: 'System',
  programs: 'Real programs',
  shell: 'Short commands',
  boot: 'Boot',
};

const escapeText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

type Scale = (value: number) => number;

function logarithmicScale(values: readonly number[]): { at: Scale; marks: number[] } {
  const low = Math.floor(Math.log2(Math.min(LEAST, ...values)));
  const high = Math.ceil(Math.log2(Math.max(MOST, ...values)));
  const at: Scale = (value) => LEFT + ((Math.log2(value) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  return { at, marks: Array.from({ length: high - low + 1 }, (_, index) => 2 ** (low + index)) };
}

const text = (x: number, y: number, content: string, attributes = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${attributes}>${escapeText(content)}</text>`;

const line = (x: number, from: number, to: number, kind: string): string =>
  `<line class="${kind}" x1="${x.toFixed(1)}" y1="${from.toFixed(1)}" x2="${x.toFixed(1)}" y2="${to.toFixed(1)}"/>`;

function bar(result: WorkloadResult, y: number, at: Scale): string[] {
  const label = text(LEFT - 8, y + BAR - 2, result.name, ' text-anchor="end"');
  const floor = line(at(result.target), y - 2, y + BAR + 2, 'target');
  if (result.versusTcg === null) return [label, floor, text(at(1) + 6, y + BAR - 2, 'no figure')];
  const [from, to] = [at(1), at(result.versusTcg)];
  const kind = result.met === true ? 'met' : 'missed';
  const rectangle = `<rect class="${kind}" x="${Math.min(from, to).toFixed(1)}" y="${y}" width="${Math.max(1, Math.abs(to - from)).toFixed(1)}" height="${BAR}"/>`;
  const figure = text(Math.max(from, to) + 6, y + BAR - 2, `${result.versusTcg.toFixed(2)}×`);
  return [label, rectangle, floor, figure];
}

const STYLE = `text { font: 12px system-ui, sans-serif; fill: #222 }
.title { font-size: 15px; font-weight: 600 } .class { font-weight: 600 } .small { font-size: 11px; fill: #666 }
.met { fill: #2a7f62 } .missed { fill: #c2562d }
.grid { stroke: #ddd } .one { stroke: #222 } .target { stroke: #222; stroke-dasharray: 2 2 }`;

/** Draws the picture. Bars go right from 1 where Virts is faster; a dashed tick is the least speed demanded. */
export function svg({ environment, workloads, groups }: Result): string {
  const { at, marks } = logarithmicScale(workloads.map(({ versusTcg }) => versusTcg).filter((value) => value !== null));
  const classes = (Object.keys(TITLES) as WorkloadClass[]).filter((of) => workloads.some((w) => w.class === of));
  const means = groups.flatMap(({ title, versusTcg }) =>
    versusTcg === null ? [] : [`${title} ${versusTcg.toFixed(2)}×`],
  );
  const summary = Array.from({ length: Math.ceil(means.length / SUMMARY_MEANS) }, (_, index) =>
    means.slice(index * SUMMARY_MEANS, (index + 1) * SUMMARY_MEANS).join(' · '),
  );
  const top = TOP + summary.length * SUMMARY_LINE;
  const height = top + classes.length * GAP + workloads.length * ROW + 40;
  const parts = summary.map((content, index) => text(8, TOP - 2 + index * SUMMARY_LINE, content));
  let y = top;
  for (const of of classes) {
    parts.push(text(8, y + 15, TITLES[of], ' class="class"'));
    y += GAP;
    for (const result of workloads.filter((workload) => workload.class === of)) {
      parts.push(...bar(result, y, at));
      y += ROW;
    }
  }
  const grid = marks.flatMap((mark) => [
    line(at(mark), top, y + 4, mark === 1 ? 'one' : 'grid'),
    text(at(mark), y + 18, `${mark}×`, ' text-anchor="middle" class="small"'),
  ]);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeText(`Speed of Virts relative to TCG: ${means.join(', ')}`)}">
<style>${STYLE}</style>
<rect width="100%" height="100%" fill="#fff"/>
${text(8, 22, 'Speed of Virts relative to QEMU’s TCG (1× is equally fast, logarithmic)', ' class="title"')}
${text(8, 40, `${environment.qemu}; Node ${environment.node}; ${environment.host}; ${environment.rounds} rounds`, ' class="small"')}
${text(8, 55, 'Green: as fast as demanded, or faster; the dashed line is the least. Geometric means:', ' class="small"')}
${[...grid, ...parts].join('\n')}
</svg>
`;
}
