import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMessageReader, createMessageWriter } from './messages.ts';
import { createRingBuffer, openRing } from './ring.ts';

function rig(capacity: number) {
  const buffer = createRingBuffer(capacity);
  return { writer: createMessageWriter(openRing(buffer)), receive: createMessageReader(openRing(buffer)) };
}

const numbered = (length: number) => Uint8Array.from({ length }, (_, i) => i);

test('messages come as they were sent, an empty one too', () => {
  const { writer, receive } = rig(64);
  assert.equal(receive(), undefined);
  for (const length of [3, 0, 40]) writer.send(numbered(length));
  assert.ok(writer.flush());
  for (const length of [3, 0, 40]) assert.deepEqual(receive(), numbered(length));
  assert.equal(receive(), undefined);
});

test('messages longer than the ring come whole, in their order', () => {
  // Through the smallest one their lengths come in pieces too.
  for (const capacity of [2, 8, 16]) {
    const { writer, receive } = rig(capacity);
    const lengths = [100, 1, 0, 37];
    for (const length of lengths) writer.send(numbered(length));
    for (const length of lengths) {
      let message = receive();
      for (let i = 0; message === undefined && i < 1000; i++) {
        writer.flush();
        message = receive();
      }
      assert.deepEqual(message, numbered(length));
    }
    assert.ok(writer.flush());
    assert.equal(receive(), undefined);
  }
});
