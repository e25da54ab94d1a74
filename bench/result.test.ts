import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from './engines.ts';
import { type Result, report, table } from './report.ts';
import { addOutcome, groupResults, noSamples, type WorkloadResult, workloadResult } from './result.ts';
import { svg } from './svg.ts';
import type { Workload, WorkloadClass } from './workloads.ts';

type Rounds = Readonly<Partial<Record<Engine, readonly (number | string)[]>>>;

/** A result from seconds, or the reason of a failure, of each round. */
function resultOf(of: WorkloadClass, name: string, rounds: Rounds, checksums: Partial<Record<Engine, string>> = {}) {
  const workload: Workload = { name, class: of, kind: 'kernel', amount: 1 };
  const samples = noSamples();
  for (const [engine, values] of Object.entries(rounds) as [Engine, readonly (number | string)[]][]) {
    for (const [round, value] of values.entries()) {
      const measurement = { seconds: value as number, slices: [], checksum: checksums[engine] ?? 'same' };
      const outcome =
        typeof value === 'string'
          ? ({ status: 'failed', reason: value } as const)
          : ({ status: 'done', measurement } as const);
      addOutcome(samples[engine], round, outcome);
    }
  }
  return workloadResult(workload, samples);
}

const resultWith = (workloads: readonly WorkloadResult[]): Result => ({
  environment: {
    date: '2000-01-01',
    host: 'A & B <processor>',
    node: 'v26',
    qemu: 'QEMU 1',
    qemuCpu: 'model,+x',
    refused: ['pcid'],
    kernel: '6.1',
    packages: [],
    rounds: 3,
    scale: 1,
  },
  workloads,
  groups: groupResults(workloads),
});

test('the ratio is the median of the rounds’ ratios, not the ratio of the medians', () => {
  const result = resultOf('compute', 'a', { native: [1, 1, 1], tcg: [10, 2, 3], virts: [5, 2, 1] });
  assert.equal(result.versusTcg, 2);
  assert.equal(result.versusNative, 0.5);
  assert.deepEqual(result.seconds, { native: 1, tcg: 3, virts: 2, page: null });
  assert.equal(result.met, true);
  assert.deepEqual(result.problems, []);
});

test('a round that failed on one engine is left out of the ratio and told', () => {
  const result = resultOf('compute', 'a', { native: [1, 1], tcg: ['too slow', 4], virts: [100, 2] });
  assert.equal(result.versusTcg, 2);
  assert.equal(result.met, true);
  assert.deepEqual(result.problems, ['tcg: too slow']);
});

test('a failure of Virts and a wrong result miss the target', () => {
  const failed = resultOf('system', 'a', { native: [1], tcg: [4], virts: ['it hangs'] });
  assert.equal(failed.versusTcg, null);
  assert.equal(failed.met, false);
  const wrong = resultOf('system', 'a', { native: [1], tcg: [4], virts: [1] }, { virts: 'other' });
  assert.equal(wrong.met, false);
  assert.match(wrong.problems[0]!, /checksums differ: native same, tcg same, virts other/);
});

test('without TCG there is no verdict', () => {
  assert.equal(resultOf('compute', 'a', { native: [1], tcg: [], virts: [1] }).met, null);
});

test('groups: means, targets, and what they leave out', () => {
  const workloads = [
    resultOf('compute', 'a', { native: [1], tcg: [4], virts: [1] }),
    resultOf('float', 'b', { native: [1], tcg: [1], virts: [1] }),
    resultOf('programs', 'c', { native: [1], tcg: [1], virts: [1] }),
    resultOf('programs', 'd', { native: [1], tcg: [9], virts: ['no'] }),
  ];
  const groups = new Map(groupResults(workloads).map((group) => [group.title, group]));
  const compute = groups.get('compute kernels')!;
  assert.ok(Math.abs(compute.versusTcg! - 2) < 1e-12);
  assert.equal(compute.met, true);
  assert.equal(groups.get('floating point and SIMD alone')!.met, false);
  assert.deepEqual(groups.get('real programs')!.without, ['d']);
  assert.equal(groups.get('real programs')!.met, false);
  assert.equal(groups.has('system'), false);
});

test('columns of a table', () => {
  assert.deepEqual(
    table([
      ['name', 'n', ''],
      ['a', '100', 'met'],
    ]),
    ['name    n', 'a     100  met'],
  );
});

test('a page is compared with Node, by the rounds’ ratios, where it was measured', () => {
  const slow = resultOf('compute', 'slow', { native: [], tcg: [], virts: [1, 2], page: [2, 4] });
  const fast = resultOf('compute', 'fast', { native: [], tcg: [], virts: [1, 2, 1], page: [1.5, 'lost', 1] });
  const other = resultOf('float', 'other', { native: [], tcg: [], virts: [1], page: [3] });
  const without = resultOf('compute', 'without', { native: [], tcg: [1], virts: [1] });
  const results = [slow, fast, other, without];
  assert.deepEqual(
    results.map(({ pageVersusNode, pageMet }) => [pageVersusNode, pageMet]),
    [
      [2, false],
      [1.25, true],
      [3, null],
      [null, null],
    ],
  );
  const text = report(resultWith(results));
  assert.match(text, /^slow +1\.50 +3\.00 +2\.00x +<= 1\.5 +MISSED$/m);
  assert.match(text, /^fast +1\.00 +1\.25 +1\.25x +<= 1\.5 +met$/m);
  assert.match(text, /^geometric mean +1\.96x$/m);
  assert.doesNotMatch(report(resultWith([without])), /times Node/);
});

test('the report names figures, verdicts and problems', () => {
  const text = report(
    resultWith([
      resultOf('compute', 'fast', { native: [1], tcg: [4], virts: [1] }),
      resultOf('compute', 'slow', { native: [1], tcg: [1], virts: [2] }),
      resultOf('system', 'stuck', { native: [1], tcg: [1], virts: ['Nothing came for 5 s.'] }),
    ]),
  );
  assert.match(text, /^fast +1\.000 +4\.00 +1\.00 +0 % +4\.00x +1\.00x .*>= 0\.9 +met$/m);
  assert.match(text, /^slow .*0\.50x.*MISSED$/m);
  assert.match(text, /^stuck .*MISSED$/m);
  assert.match(text, /^stuck: virts: Nothing came for 5 s\.$/m);
  assert.match(text, /without pcid/);
});

test('the picture is well-formed, with a bar for each figure', () => {
  const drawn = svg(
    resultWith([
      resultOf('compute', 'fast', { native: [1], tcg: [40], virts: [1] }),
      resultOf('float', 'slow', { native: [1], tcg: [1], virts: [20] }),
      resultOf('system', 'stuck', { native: [1], tcg: [1], virts: ['no'] }),
    ]),
  );
  assert.equal(drawn.match(/<rect class="met"/g)!.length, 1);
  assert.equal(drawn.match(/<rect class="missed"/g)!.length, 1);
  assert.match(drawn, /no figure/);
  assert.match(drawn, /A &amp; B &lt;processor&gt;/);
  assert.doesNotMatch(drawn, /NaN|Infinity|undefined/);
  const open: string[] = [];
  for (const [, close, name, rest] of drawn.matchAll(/<(\/?)(\w+)([^>]*)>/g)) {
    if (close === '/') assert.equal(open.pop(), name);
    else if (!rest!.endsWith('/')) open.push(name!);
  }
  assert.deepEqual(open, []);
  for (const [, x, width] of drawn.matchAll(/<rect class="\w+" x="([\d.-]+)" y="[\d.]+" width="([\d.-]+)"/g)) {
    assert.ok(Number(x) >= 0 && Number(x) + Number(width) <= 860);
  }
});
