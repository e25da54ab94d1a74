import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, type Round } from './long-verdict.ts';

const ROUND: Round = {
  ...{ seconds: 12, vcpuSeconds: 10, allSeconds: 14, checksum: 'right', resident: 900_000, guest: 600_000 },
  ...{ heap: 60_000, instructions: 1e9, interpreted: 1e8, regionsMade: 3, regionsLive: 900, codeBytes: 5e6 },
  ...{ evicted: 0, flushes: 0 },
};
const run = (change: (index: number) => Partial<Round>, length = 16): Round[] =>
  Array.from({ length }, (_, index) => ({ ...ROUND, ...change(index) }));
const broken = (rounds: readonly Round[]) =>
  judge(rounds, 'right')
    .filter(({ kept }) => !kept)
    .map(({ text }) => text.replace(/ [-+\d].*/, ''));

test('a run that stays as it is keeps all rules; its warm-up does not count', () => {
  assert.deepEqual(broken(run(() => ({}))), []);
  const warm = run((index) => (index < 4 ? { vcpuSeconds: 40, interpreted: 9e8, resident: 700_000 } : {}));
  assert.deepEqual(broken(warm), []);
});

test('what creeps is found', () => {
  assert.deepEqual(broken(run((index) => ({ vcpuSeconds: 10 + index * 0.1 }))), [
    `processor time of the vCPU's thread`,
  ]);
  assert.deepEqual(broken(run((index) => ({ interpreted: 1e8 + index * 2e6 }))), ['instructions interpreted']);
  assert.deepEqual(broken(run((index) => ({ resident: 900_000 + index * 2000 }))), ['memory of the monitor']);
  // The guest may touch more of its own memory.
  const guest = (index: number) => index * 2000;
  assert.deepEqual(broken(run((index) => ({ resident: 900_000 + guest(index), guest: 600_000 + guest(index) }))), []);
});

test('a slowdown within the noise is none, and one beyond it is one', () => {
  const noise = [0, 4, 1, 3];
  assert.deepEqual(broken(run((i) => ({ vcpuSeconds: 10 + noise[i % 4]! + (i >= 12 ? 0.7 : 0) }))), []);
  assert.equal(broken(run((i) => ({ vcpuSeconds: 10 + noise[i % 4]! + (i >= 12 ? 4 : 0) }))).length, 1);
});

test('one wrong result is enough, and few rounds are not', () => {
  assert.match(
    judge(
      run((index) => (index === 5 ? { checksum: 'wrong' } : {})),
      'right',
    )[0]!.text,
    /^15 of 16/,
  );
  assert.equal(broken(run((index) => (index === 5 ? { checksum: 'wrong' } : {}))).length, 1);
  assert.match(
    judge(
      run(() => ({}), 7),
      'right',
    )[0]!.text,
    /too few/,
  );
});
