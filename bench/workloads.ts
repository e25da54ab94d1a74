/** What is measured, in which amount, and what issue 3 demands of it. Amounts take about 1 to 2 s under QEMU's TCG. */

import { VirtsError } from '../src/base/errors.ts';

export type WorkloadClass = 'compute' | 'copy' | 'float' | 'system' | 'programs' | 'shell' | 'boot';

export interface Workload {
  readonly name: string;
  readonly class: WorkloadClass;
  /** A kernel of our own, a script around a program of Debian's, or the boot of the default guest. */
  readonly kind: 'kernel' | 'script' | 'boot';
  /** Units of work in each of a kernel's ten slices, or what the script takes as its argument. */
  readonly amount: number;
}

const kernels = (of: WorkloadClass, amounts: Readonly<Record<string, number>>): Workload[] =>
  Object.entries(amounts).map(([name, amount]) => ({ name, class: of, kind: 'kernel', amount }));

const scripts = (of: WorkloadClass, amounts: Readonly<Record<string, number>>): Workload[] =>
  Object.entries(amounts).map(([name, amount]) => ({ name, class: of, kind: 'script', amount }));

export const WORKLOADS: readonly Workload[] = [
  ...kernels('compute', {
    crc32: 400,
    sha256: 350,
    sieve: 40,
    quicksort: 60,
    fib: 1400,
    'virtual-calls': 900,
    bytecode: 65,
    'chase-64k': 16_000,
    'chase-4m': 1500,
    'chase-64m': 600,
  }),
  ...kernels('copy', {
    'memcpy-64': 120,
    'memcpy-4k': 40,
    'memcpy-1m': 40,
    'memset-64': 160,
    'memset-4k': 40,
    'memset-1m': 40,
  }),
  ...kernels('float', { matmul: 36, 'matmul-integer': 16, nbody: 450, mandelbrot: 600 }),
  ...kernels('system', { 'system-calls': 2000, 'context-switches': 120, 'page-faults': 18, processes: 25 }),
  ...scripts('programs', {
    gzip: 4_000_000,
    xz: 800_000,
    sha256sum: 16,
    sqlite3: 24_000,
    python3: 50,
    perl: 300_000,
    openssl: 1,
    gcc: 1,
  }),
  ...scripts('shell', { shell: 2 }),
  { name: 'boot', class: 'boot', kind: 'boot', amount: 1 },
];

/** The least speed relative to TCG that each workload of a class must have. */
export const FLOORS: Readonly<Record<WorkloadClass, number>> = {
  compute: 0.9,
  copy: 0.9,
  float: 0.9,
  system: 0.7,
  programs: 0.6,
  shell: 0.5,
  boot: 0.5,
};

/** A geometric mean over classes, with the least speed relative to TCG that it must have, if any. */
export interface Group {
  readonly title: string;
  readonly classes: readonly WorkloadClass[];
  readonly target: number | undefined;
}

export const GROUPS: readonly Group[] = [
  { title: 'compute kernels', classes: ['compute', 'copy', 'float'], target: 1.8 },
  { title: 'the same without memcpy and memset', classes: ['compute', 'float'], target: undefined },
  { title: 'floating point and SIMD alone', classes: ['float'], target: 2 },
  { title: 'system', classes: ['system'], target: 0.7 },
  { title: 'real programs', classes: ['programs'], target: 1.1 },
  { title: 'shell script', classes: ['shell'], target: 0.5 },
  { title: 'boot of the default guest', classes: ['boot'], target: 0.5 },
];

/**
 * The workloads that a list of names and classes picks, in their own order.
 * @throws VirtsError `usage` for a word that is neither.
 */
export function pickWorkloads(only: string | undefined): readonly Workload[] {
  if (only === undefined) return WORKLOADS;
  const words = only.split(',').filter((word) => word !== '');
  const known = (word: string): boolean => WORKLOADS.some(({ name, class: of }) => name === word || of === word);
  const stranger = words.find((word) => !known(word));
  if (stranger !== undefined) {
    const names = WORKLOADS.map(({ name }) => name).join(', ');
    throw new VirtsError(
      'usage',
      `There is no benchmark '${stranger}'; there are the classes compute, copy, float, system, programs, and ${names}.`,
    );
  }
  return WORKLOADS.filter(({ name, class: of }) => words.includes(name) || words.includes(of));
}

/** The shell command that runs a workload in the guest; the amount is scaled by `scale` and at least 1. */
export function commandOf(workload: Workload, scale: number): string {
  const amount = Math.max(1, Math.round(workload.amount * scale));
  return workload.kind === 'kernel'
    ? `"$BENCH/kernels" ${workload.name} ${amount}`
    : `sh "$BENCH/programs/${workload.name}.sh" ${amount}`;
}
