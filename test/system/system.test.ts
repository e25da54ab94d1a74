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

for (const program of programs) {
  test(program.name, () => {
    const { source, image } = images[program.name];
    assert.equal(source, sourceHash(program), 'The source changed: run `npm run assemble`.');
    const outcome = runImage(Buffer.from(image, 'base64'));
    assert.deepEqual(describe(program.header, outcome), expected(program.header));
  });
}
