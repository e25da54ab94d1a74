/** QEMU's `-cpu` for the features that Virts claims. */
import type { Feature } from '../src/cpu/cpuid.ts';

/** The model that has Virts' feature level; the rest is added by name. */
const MODEL = 'Westmere';

/** QEMU's names of features where they differ from Virts'. */
const NAMES: Partial<Record<Feature, string>> = {
  'invariant-tsc': 'invtsc',
  lahf: 'lahf-lm',
  lzcnt: 'abm',
  'pages-1g': 'pdpe1gb',
  prefetchw: '3dnowprefetch',
  'self-snoop': 'ss',
  sse3: 'pni',
};

/** What Virts claims outside the table of features: XSAVEOPT and an APIC timer that runs in every idle state. */
const MORE: readonly string[] = ['xsaveopt', 'arat'];

/** The value of `-cpu` for a set of Virts' features. */
export function qemuCpu(features: Iterable<string>): string {
  const names = [...features].map((feature) => NAMES[feature as Feature] ?? feature);
  return [MODEL, ...[...names, ...MORE].toSorted().map((name) => `+${name}`)].join(',');
}

/**
 * Features that QEMU said its TCG does not have, from what it wrote on standard error: "warning: TCG doesn't support
 * requested feature: CPUID.01H:ECX.pcid [bit 17]".
 */
export function refusedFeatures(log: string): string[] {
  const found = [...log.matchAll(/TCG doesn't support requested feature: CPUID\S*?\.([\w.-]+) \[bit \d+\]/g)];
  return [...new Set(found.map((match) => match[1]!))].toSorted();
}
