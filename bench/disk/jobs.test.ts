import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandOf, DISK_SIZE, JOBS, markOf } from './jobs.ts';

test('jobs have names of their own and stay on their disks', () => {
  assert.equal(new Set(JOBS.map(markOf)).size, JOBS.length);
  for (const job of JOBS) {
    assert.match(markOf(job), /^\S+$/);
    assert.ok(job.offset + job.span <= DISK_SIZE);
  }
  assert.equal(JOBS.length, 14);
});

test('a job is a command with its disk, amounts and a pattern of its own', () => {
  const job = JOBS.find(({ name }) => name === 'qcow2 random write x32')!;
  assert.match(
    commandOf(job, 0.5),
    /^sh \/bench\/measure qcow2-random-write-x32 \/dev\/vdb randwrite 4k 32 256M 768M 80M 0x[0-9a-f]{8}$/,
  );
  assert.equal(new Set(JOBS.map((each) => commandOf(each, 1).split(' ').at(-1))).size, JOBS.length);
});
