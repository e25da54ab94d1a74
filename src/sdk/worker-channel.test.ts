import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRing } from '../base/ring.ts';
import {
  CONTROL,
  createChannel,
  createMessagingEnd,
  type OwnerMessage,
  obey,
  openOwnerEnd,
  watchedRing,
} from './worker-channel.ts';

/** An owner that sends messages, and the machine's thread that obeys them. */
function messaging() {
  const channel = createChannel();
  const there = openOwnerEnd(channel);
  const messages: OwnerMessage[] = [];
  const owner = createMessagingEnd((message) => {
    messages.push(structuredClone(message));
    obey(there, message);
  });
  const input = watchedRing(openRing(channel.input), owner.consumed);
  return { owner, messages, input, control: new Int32Array(channel.control) };
}

test('messages do what an owner with shared memory does itself', () => {
  const { owner, control, input } = messaging();
  assert.equal(owner.write(Uint8Array.of(1, 2, 3)), 3);
  assert.deepEqual([...input.peek(10)], [1, 2, 3]);
  assert.equal(control[CONTROL.kick], 1);
  control[CONTROL.unread] = 100;
  owner.taken(30);
  assert.equal(control[CONTROL.unread], 70);
  owner.stop();
  assert.equal(control[CONTROL.stop], 1);
});

test('no more input is under way than the machine has room for', () => {
  const { owner, messages, input } = messaging();
  const text = Uint8Array.from({ length: 100_000 }, (_, i) => i);
  let sent = 0;
  let received = 0;
  while (received < text.length) {
    sent += owner.write(text.subarray(sent));
    assert.ok(input.available() <= 64 * 1024);
    const part = input.peek(256);
    assert.deepEqual(part, text.slice(received, received + part.length));
    received += part.length;
    input.skip(part.length);
  }
  assert.equal(sent, text.length);
  // With the machine's room used up, nothing is sent at all.
  owner.write(new Uint8Array(64 * 1024));
  const { length } = messages;
  assert.equal(owner.write(Uint8Array.of(1)), 0);
  assert.equal(messages.length, length);
});
