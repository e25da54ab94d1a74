import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Archive, Candidate } from './archive.ts';
import { fetchAll } from './fetch-all.ts';
import type { Progress } from './progress.ts';

const candidates = Array.from({ length: 20 }, (_, at) => ({ name: `p${at}`, size: 100 + at }) as Candidate);
const total = candidates.reduce((sum, { size }) => sum + size, 0);

function counting(): { progress: Progress; done: () => number; totals: (number | undefined)[]; ended: () => number } {
  let [done, ended] = [0, 0];
  const totals: (number | undefined)[] = [];
  const progress: Progress = {
    step(_label, count) {
      totals.push(count);
      return {
        advance: (bytes) => {
          done += bytes;
        },
        end: () => {
          ended++;
        },
      };
    },
    warn: () => {},
  };
  return { progress, totals, done: () => done, ended: () => ended };
}

test('paths come in order, and all bytes are counted once, from the cache or not', async () => {
  let [active, most] = [0, 0];
  const archive = {
    async fetch({ name, size }: Candidate, progress: Progress) {
      most = Math.max(most, ++active);
      await new Promise((resolve) => setImmediate(resolve));
      if (name !== 'p3') {
        const step = progress.step(name, size);
        step.advance(size + 5);
        step.advance(-5);
        step.end();
      }
      active--;
      return `/${name}`;
    },
  } as unknown as Archive;
  const { progress, done, totals, ended } = counting();
  const paths = await fetchAll(archive, candidates, 'all', progress);
  assert.deepEqual(
    paths,
    candidates.map(({ name }) => `/${name}`),
  );
  assert.deepEqual([totals, done(), ended()], [[total], total, 1]);
  assert.ok(most > 1 && most <= 8);
});

test('the first failure is told when all under way have ended, and nothing begins after it', async () => {
  const begun: string[] = [];
  const ended: string[] = [];
  const archive = {
    async fetch({ name }: Candidate) {
      begun.push(name);
      await new Promise((resolve) => setImmediate(resolve));
      ended.push(name);
      if (name === 'p5') throw new Error('no p5');
      return name;
    },
  } as unknown as Archive;
  const { progress } = counting();
  await assert.rejects(fetchAll(archive, candidates, 'all', progress), /no p5/);
  assert.deepEqual(begun.toSorted(), ended.toSorted());
  assert.ok(begun.length < candidates.length);
});
