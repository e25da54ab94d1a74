/** What a run of the benchmark found, as it is written to JSON, and the figures made from it. */
import { ENGINES, type Engine } from './engines.ts';
import type { Outcome } from './machine.ts';
import { geometricMean, median, spread, type WarmUp, warmUp } from './statistics.ts';
import { FLOORS, GROUPS, type Workload, type WorkloadClass } from './workloads.ts';

/** All rounds of one workload on one engine; a round that failed or was not run is `undefined`. */
export interface Samples {
  readonly seconds: (number | undefined)[];
  readonly slices: (readonly number[])[];
  readonly checksums: Set<string>;
  /** Why a round failed. */
  readonly failures: string[];
}

export type WorkloadSamples = Readonly<Record<Engine, Samples>>;

export const noSamples = (): WorkloadSamples =>
  Object.fromEntries(
    ENGINES.map((engine): [Engine, Samples] => [
      engine,
      { seconds: [], slices: [], checksums: new Set(), failures: [] },
    ]),
  ) as unknown as WorkloadSamples;

/** Adds the outcome of a round, counted from 0. */
export function addOutcome(samples: Samples, round: number, outcome: Outcome): void {
  while (samples.seconds.length < round) samples.seconds.push(undefined);
  if (outcome.status === 'failed') {
    samples.seconds.push(undefined);
    samples.failures.push(outcome.reason);
    return;
  }
  const { seconds, slices, checksum } = outcome.measurement;
  samples.seconds.push(seconds);
  samples.slices.push(slices);
  samples.checksums.add(checksum);
}

export interface WorkloadResult {
  readonly name: string;
  readonly class: WorkloadClass;
  /** Seconds of each round by engine. */
  readonly rounds: Readonly<Record<Engine, readonly (number | null)[]>>;
  /** Median seconds by engine. */
  readonly seconds: Readonly<Record<Engine, number | null>>;
  /** Half the interquartile distance as a part of the median, by engine. */
  readonly spread: Readonly<Record<Engine, number | null>>;
  /** Speed of Virts as a multiple of TCG's and of the host's: medians of the rounds' ratios. */
  readonly versusTcg: number | null;
  readonly versusNative: number | null;
  /** The same as `versusTcg` once both are warm. */
  readonly steadyVersusTcg: number | null;
  /** How many times as long as in Node it takes in a page, and whether that is within `PAGE_TARGET`. */
  readonly pageVersusNode: number | null;
  readonly pageMet: boolean | null;
  /** Of the round with the median warm-up, by engine. */
  readonly warmUp: Readonly<Record<Engine, WarmUp | null>>;
  /** The least `versusTcg`, and whether it is reached; a workload that failed does not reach it. */
  readonly target: number;
  readonly met: boolean | null;
  /** What went wrong, a sentence for each thing. */
  readonly problems: readonly string[];
}

export interface GroupResult {
  readonly title: string;
  readonly versusTcg: number | null;
  readonly versusNative: number | null;
  readonly target: number | null;
  readonly met: boolean | null;
  /** Workloads without a figure, which the means leave out although others of the group have one. */
  readonly without: readonly string[];
}

const perEngine = <T>(make: (engine: Engine) => T): Readonly<Record<Engine, T>> =>
  Object.fromEntries(ENGINES.map((engine) => [engine, make(engine)])) as unknown as Readonly<Record<Engine, T>>;

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** Most times as long as in Node that a compute kernel may take in a page. */
export const PAGE_TARGET = 1.5;

/** Speed of Virts relative to another engine: the median over the rounds that both finished. */
function relativeSpeed(samples: WorkloadSamples, other: Engine): number | null {
  const ratios = samples.virts.seconds.flatMap((seconds, round) => {
    const theirs = samples[other].seconds[round];
    return seconds === undefined || theirs === undefined ? [] : [theirs / seconds];
  });
  return finite(median(ratios));
}

function medianWarmUp({ slices }: Samples): WarmUp | null {
  const all = slices.map(warmUp).filter((entry) => entry !== undefined);
  return all.toSorted((a, b) => a.seconds - b.seconds)[all.length >> 1] ?? null;
}

function problemsOf(samples: WorkloadSamples): string[] {
  const failures = ENGINES.flatMap((engine) => samples[engine].failures.map((reason) => `${engine}: ${reason}`));
  const sums = ENGINES.filter((engine) => samples[engine].checksums.size > 0);
  const different = new Set(sums.flatMap((engine) => [...samples[engine].checksums])).size > 1;
  const shown = sums.map((engine) => `${engine} ${[...samples[engine].checksums].join(' and ')}`).join(', ');
  return different ? [...failures, `the checksums differ: ${shown}`] : failures;
}

/** The figures of one workload. */
export function workloadResult(workload: Workload, samples: WorkloadSamples): WorkloadResult {
  const done = perEngine((engine) => samples[engine].seconds.filter((value) => value !== undefined));
  const warm = perEngine((engine) => medianWarmUp(samples[engine]));
  const problems = problemsOf(samples);
  const versusTcg = relativeSpeed(samples, 'tcg');
  const target = FLOORS[workload.class];
  const pageVersusNode = relativeSpeed(samples, 'page');
  const failed = samples.virts.failures.length > 0 || problems.some((text) => text.startsWith('the checksums'));
  return {
    name: workload.name,
    class: workload.class,
    rounds: perEngine((engine) => samples[engine].seconds.map((value) => value ?? null)),
    seconds: perEngine((engine) => finite(median(done[engine]))),
    spread: perEngine((engine) => (done[engine].length === 0 ? null : spread(done[engine]))),
    versusTcg,
    versusNative: relativeSpeed(samples, 'native'),
    steadyVersusTcg: warm.tcg === null || warm.virts === null ? null : warm.tcg.steady / warm.virts.steady,
    pageVersusNode,
    pageMet: workload.class !== 'compute' || pageVersusNode === null ? null : pageVersusNode <= PAGE_TARGET,
    warmUp: warm,
    target,
    met: failed ? false : versusTcg === null ? null : versusTcg >= target,
    problems,
  };
}

/** Geometric means over the groups of which something was measured. */
export function groupResults(results: readonly WorkloadResult[]): GroupResult[] {
  return GROUPS.flatMap(({ title, classes, target }) => {
    const members = results.filter((result) => classes.includes(result.class));
    if (members.length === 0) return [];
    const mean = (of: (result: WorkloadResult) => number | null): number | null =>
      finite(geometricMean(members.map(of).filter((value) => value !== null)));
    const versusTcg = mean((result) => result.versusTcg);
    const missing = members.filter((result) => result.versusTcg === null).map(({ name }) => name);
    const without = versusTcg === null ? [] : missing;
    const met = target === undefined || versusTcg === null ? null : versusTcg >= target && without.length === 0;
    return [
      { title, versusTcg, versusNative: mean((result) => result.versusNative), target: target ?? null, met, without },
    ];
  });
}
