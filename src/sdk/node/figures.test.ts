import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunningMachine } from '../machine-host.ts';
import { figuresOf, processorTime } from './figures.ts';

test('the processor time of a machine is without what it takes to ask for its figures', async () => {
  let begun = Number.POSITIVE_INFINITY;
  const running = {
    async refreshStatistics() {
      begun = processorTime().cpu;
      while (processorTime().cpu < begun + 20_000);
    },
    statistics: () => ({ 'instructions retired': 7, 'resident guest memory (KiB)': 4 }),
  } as unknown as RunningMachine;
  const figures = figuresOf({ running, disks: undefined, network: undefined, memory: 1 << 20, cpus: 1 });
  const before = processorTime();
  const { cpu, at, instructions, memory } = await figures();
  assert.ok(cpu >= before.cpu && cpu <= begun, `${before.cpu}, ${cpu}, ${begun}`);
  assert.ok(at >= before.at);
  assert.deepEqual([instructions, memory.guest, memory.size], [7, 4096, 1 << 20]);
});
