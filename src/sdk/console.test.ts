import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConsole } from './console.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

function open() {
  const typed: string[] = [];
  let closed = 0;
  const made = createConsole({
    input: (data) => void typed.push(new TextDecoder().decode(data)),
    closed() {
      closed++;
    },
  });
  return { ...made, typed, closed: () => closed };
}

test('what is waited for is taken, up to the end of the match, and the rest stays', async () => {
  const { console, feed } = open();
  feed.push(bytes('Grüße\r\nlog'));
  const login = console.waitFor('login: ');
  const name = console.waitFor(/\w+$/);
  feed.push(bytes('in: ro'));
  assert.equal(await login, 'Grüße\r\nlogin: ');
  assert.equal(await name, 'ro');
  feed.push(bytes('ü'.repeat(3)));
  assert.equal(await console.waitFor('ü'), 'ü');
  const reader = console.readable.getReader();
  assert.deepEqual((await reader.read()).value, bytes('üü'));
});

test('bytes that are no text are counted as bytes', async () => {
  const { console, feed } = open();
  feed.push(Uint8Array.of(0xff, 0xe2, 0x82, 0x21, 0xff, 0xfe));
  assert.equal(await console.waitFor('!'), '\ufffd\ufffd!');
  assert.deepEqual((await console.readable.getReader().read()).value, Uint8Array.of(0xff, 0xfe));
});

test('waiting ends with the machine, with what it said last, and with a signal', async () => {
  const { console, feed } = open();
  const controller = new AbortController();
  const waited = console.waitFor('never', { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(waited, /enough/);
  feed.push(bytes('panic'));
  feed.end();
  await assert.rejects(console.waitFor('never'), { kind: 'guest-stopped', message: /never.*"panic"/ });
  // It is not lost by that.
  const reader = console.readable.getReader();
  assert.deepEqual((await reader.read()).value, bytes('panic'));
  assert.equal((await reader.read()).done, true);
});

test('the guest waits while much is not read, and no more when the console is closed', async () => {
  const { console, feed, closed } = open();
  const most = new Uint8Array(64 * 1024);
  assert.equal(feed.push(most), undefined);
  let isThere = false;
  const room = feed.push(Uint8Array.of(1))!.then(() => {
    isThere = true;
  });
  await Promise.resolve();
  assert.equal(isThere, false);
  const reader = console.readable.getReader();
  assert.equal((await reader.read()).value?.length, most.length);
  await room;
  // The machine's end must not wait for a reader that does not come.
  const full = feed.push(most) ?? feed.push(most);
  console.close();
  await full;
  assert.equal(closed(), 1);
  assert.equal(feed.push(most), undefined);
});

test('one that waits for what never comes keeps a limited amount', async () => {
  const { console, feed } = open();
  const waited = console.waitFor('end');
  for (let i = 0; i < 100; i++) {
    await feed.push(new Uint8Array(10_000).fill(0x61));
    await new Promise((resolve) => setImmediate(resolve));
  }
  feed.push(bytes('end'));
  assert.ok((await waited).length <= 64 * 1024);
});

test('text and bytes are typed', async () => {
  const { console, typed } = open();
  await console.write('date\n');
  const writer = console.writable.getWriter();
  await writer.write(bytes('ü'));
  await writer.close();
  assert.deepEqual(typed, ['date\n', 'ü']);
});
