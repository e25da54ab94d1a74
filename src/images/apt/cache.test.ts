import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cacheDirectory, createFile, fileError, sweep } from './cache.ts';

test('a relative XDG_CACHE_HOME counts as unset', () => {
  assert.equal(cacheDirectory({ XDG_CACHE_HOME: '/x/cache' }), '/x/cache/virts');
  assert.match(cacheDirectory({ XDG_CACHE_HOME: 'cache' }), /\/\.cache\/virts$/);
});

test('a file appears when it is committed, and not at all when it is discarded', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'virts-test-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'deep/file');
  const first = await createFile(path);
  await first.write(Buffer.from('wrong'));
  await first.restart();
  await first.write(Buffer.from('right'));
  assert.equal(first.length, 5);
  await assert.rejects(readFile(path));
  await first.commit();
  await first.discard();
  assert.equal(await readFile(path, 'utf8'), 'right');
  const second = await createFile(path);
  await second.write(Buffer.from('half'));
  await second.discard();
  assert.deepEqual(await readdir(join(directory, 'deep')), ['file']);
  assert.equal(await readFile(path, 'utf8'), 'right');
});

test('what a killed process left is swept, what a living one writes is not', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'virts-test-'));
  t.after(() => rm(directory, { recursive: true }));
  // Larger than any process number of Linux (2^22).
  await writeFile(join(directory, '.dead.99999999.0.part'), '');
  await writeFile(join(directory, `.living.${process.pid}.0.part`), '');
  await sweep(directory);
  assert.deepEqual(await readdir(directory), [`.living.${process.pid}.0.part`]);
});

test('a directory that cannot be made is an error that says what helps', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'virts-test-'));
  t.after(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, 'file'), '');
  const places = [
    join(directory, 'file/virts/indexes'),
    ...(process.platform === 'linux' ? ['/proc/virts/indexes'] : []),
  ];
  for (const place of places) {
    await assert.rejects(createFile(join(place, 'x')), {
      kind: 'io',
      message: /cache directory .* set XDG_CACHE_HOME/,
    });
  }
});

test('a full disk and a missing file have their own kinds', () => {
  const failure = (code: string): Error => Object.assign(new Error(code), { code });
  assert.equal(fileError(failure('ENOSPC'), '/x/y', 'written').kind, 'no-space');
  assert.match(fileError(failure('ENOSPC'), '/x/y', 'written').message, /disk is full/);
  assert.equal(fileError(failure('ENOENT'), '/x/y', 'read').kind, 'not-found');
  assert.equal(fileError(failure('EIO'), '/x/y', 'read').kind, 'io');
  assert.match(fileError(failure('EISDIR'), '/x/y', 'written').message, /written: it is a directory\.$/);
});
