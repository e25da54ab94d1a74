import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe, expected } from './compare.ts';
import { readImages, readPrograms, sourceHash } from './programs.ts';
import { runImage } from './run.ts';

const EVERY_ENTRY = { first: 0, every: 1 };

const images = readImages();
const programs = readPrograms();

test('there is an image of every program and no other', () => {
  assert.deepEqual(Object.keys(images).sort(), programs.map(({ name }) => name).sort());
});

for (const program of programs) {
  const { header, name } = program;
  test(name, () => {
    const { source, image } = images[name];
    assert.equal(source, sourceHash(program), 'The source changed: run `npm run assemble`.');
    assert.deepEqual(describe(header, runImage(Buffer.from(image, 'base64'))), expected(header));
  });
  test(`${name}, translated at once`, () => {
    const outcome = runImage(Buffer.from(images[name].image, 'base64'), { threshold: 1 });
    assert.deepEqual(describe(header, outcome), expected(header));
  });
  test(`${name}, translated at once and verified`, () => {
    const outcome = runImage(Buffer.from(images[name].image, 'base64'), { threshold: 1, verify: EVERY_ENTRY });
    assert.deepEqual(describe(header, outcome), expected(header));
  });
}
