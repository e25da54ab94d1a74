import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder, DecoderOptions } from 'iced-x86';
import { listForms } from './all-forms.ts';
import { checkEncoding } from './forms.ts';
import { createRandom, hashText } from './prng.ts';

const forms = listForms([]);

test('every form has an id of its own, and groups have plain names', () => {
  assert.equal(new Set(forms.map((form) => form.id)).size, forms.length);
  assert.ok(forms.every((form) => /^[a-z0-9-]+$/.test(form.group)));
});

test('every form can be encoded, and the same way each time', () => {
  for (const form of forms) {
    const encodings = [0, 1].map(() => form.encode(createRandom(hashText(form.id), 1, -1)));
    checkEncoding(form, encodings[0]!);
    assert.deepEqual(encodings[1]?.bytes, encodings[0]?.bytes, form.id);
  }
});

test('another decoder finds the same length', () => {
  for (const form of forms) {
    if (!form.id.includes('(')) continue;
    const random = createRandom(hashText(form.id), 3, -1);
    for (let i = 0; i < 4; i++) {
      const { bytes } = form.encode(random);
      const decoder = new Decoder(form.mode, bytes, DecoderOptions.None);
      const instruction = decoder.decode();
      const { length, code } = instruction;
      instruction.free();
      decoder.free();
      // 0: it knows no such instruction.
      if (code !== 0) assert.equal(length, bytes.length, `${form.id}: ${Buffer.from(bytes).toString('hex')}`);
    }
  }
});
