import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe, expected } from './compare.ts';
import { readImages, readPrograms, sourceHash } from './programs.ts';
import { runImage } from './run.ts';

const images = readImages();
const programs = readPrograms();

test('there is an image of every program and no other', () => {
  assert.deepEqual(Object.keys(images).sort(), programs.map(({ name }) => name).sort());
});

/** Programs whose loops get hot enough to be translated, or that change code and mappings under it. */
const TRANSLATED = /^(memory|paging)\//;

for (const program of programs) {
  const { header, name } = program;
  test(name, () => {
    const { source, image } = images[name];
    assert.equal(source, sourceHash(program), 'The source changed: run `npm run assemble`.');
    assert.deepEqual(describe(header, runImage(Buffer.from(image, 'base64'))), expected(header));
  });
  if (!TRANSLATED.test(name)) continue;
  test(`${name}, translated`, () => {
    const outcome = runImage(Buffer.from(images[name].image, 'base64'), { translate: true });
    assert.deepEqual(describe(header, outcome), expected(header));
  });
}
