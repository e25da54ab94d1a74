import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBuildConsole } from './console.ts';

function followed() {
  const events: string[] = [];
  const console = createBuildConsole({
    phase: (name) => events.push(`phase ${name}`),
    unpacked: (name) => events.push(`unpacked ${name}`),
    installed: (name) => events.push(`installed ${name}`),
  });
  return { events, console, write: (text: string) => console.write(Buffer.from(text)) };
}

test('phases, and each package once a state, however the bytes come', () => {
  const text =
    'virts-build step format\r\nvirts-build step install\r\nstatus: libc6:amd64: unpacked\r\nstatus: libc6:amd64: installed\r\n' +
    'status: apt: unpacked\r\nstatus: libc6:amd64: unpacked\r\nstatus: apt: half-configured\r\nvirts-build done\r\n';
  const expected = ['phase format', 'phase install', 'unpacked libc6', 'installed libc6', 'unpacked apt'];
  for (const size of [1, 7, text.length]) {
    const { events, console, write } = followed();
    for (let at = 0; at < text.length; at += size) write(text.slice(at, at + size));
    assert.deepEqual(events, expected);
    assert.ok(console.done);
    assert.deepEqual([console.failure, console.lastLines], [undefined, []]);
  }
});

test('a failure is told with the last lines before it, without what would change a terminal', () => {
  const { console, write } = followed();
  for (let line = 0; line < 20; line++) write(`line ${line}\n`);
  write(
    'processing: configure: x\nstatus: x : error : bad\n\x1b[31mpost\x07 failed\nvirts-build failed to configure\n',
  );
  write('virts-build failed again\n');
  assert.equal(console.failure, 'to configure');
  assert.equal(console.done, false);
  assert.deepEqual(console.lastLines.slice(-2), ['line 19', '[31mpost failed']);
});

test('unknown phases and lines without an end take no room', () => {
  const { events, console, write } = followed();
  write('virts-build step nonsense\n');
  for (let round = 0; round < 100; round++) write('x'.repeat(1 << 16));
  write('\nvirts-build done\n');
  assert.deepEqual(events, []);
  assert.ok(console.done);
  assert.ok(console.lastLines.every((line) => line.length <= 4096));
});
