import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CROWDED_THRESHOLD, DEFAULT_TRANSLATION, defaultThreshold } from './vcpu-interface.ts';

test('where vCPUs leave the host no processor, code waits longer for its translation', () => {
  for (const [cpus, processors] of [
    [1, 2],
    [3, 4],
    [8, 64],
  ] as const)
    assert.equal(defaultThreshold(cpus, processors), DEFAULT_TRANSLATION.threshold);
  for (const [cpus, processors] of [
    [1, 1],
    [2, 2],
    [8, 4],
  ] as const)
    assert.equal(defaultThreshold(cpus, processors), CROWDED_THRESHOLD);
});
