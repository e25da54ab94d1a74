import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { type CpioEntry, writeCpio } from './cpio.ts';

const ENTRIES: CpioEntry[] = [
  { type: 'directory', path: 'bin' },
  { type: 'file', path: 'bin/a', content: 'hello', mode: 0o755 },
  { type: 'file', path: 'bin/empty', content: '' },
  { type: 'file', path: 'bin/bytes', content: Uint8Array.of(0, 1, 2, 255) },
  { type: 'symlink', path: 'bin/sh', target: 'a' },
  { type: 'character-device', path: 'console', major: 5, minor: 1 },
];

interface Parsed {
  name: string;
  fields: number[];
  content: Buffer;
}

/** Reads an archive as the kernel's documentation describes it. */
function parse(archive: Uint8Array): Parsed[] {
  const bytes = Buffer.from(archive);
  const found: Parsed[] = [];
  for (let at = 0; at < bytes.length; ) {
    assert.equal(bytes.toString('latin1', at, at + 6), '070701');
    assert.equal(at % 4, 0);
    const fields = Array.from({ length: 13 }, (_, index) =>
      Number.parseInt(bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16),
    );
    const nameEnd = at + 110 + fields[11]!;
    assert.equal(bytes[nameEnd - 1], 0);
    const name = bytes.toString('utf8', at + 110, nameEnd - 1);
    const start = (nameEnd + 3) & ~3;
    found.push({ name, fields, content: bytes.subarray(start, start + fields[6]!) });
    at = (start + fields[6]! + 3) & ~3;
  }
  return found;
}

test('every entry can be read back', () => {
  const parsed = parse(writeCpio(ENTRIES));
  assert.deepEqual(
    parsed.map(({ name }) => name),
    ['bin', 'bin/a', 'bin/empty', 'bin/bytes', 'bin/sh', 'console', 'TRAILER!!!'],
  );
  assert.deepEqual(
    parsed.map(({ fields }) => fields[1]),
    [0o040755, 0o100755, 0o100644, 0o100644, 0o120777, 0o020600, 0],
  );
  assert.equal(parsed[1]!.content.toString(), 'hello');
  assert.deepEqual([...parsed[3]!.content], [0, 1, 2, 255]);
  assert.equal(parsed[4]!.content.toString(), 'a');
  assert.deepEqual(parsed[5]!.fields.slice(9, 11), [5, 1]);
  const inodes = parsed.slice(0, -1).map(({ fields }) => fields[0]);
  assert.equal(new Set(inodes).size, inodes.length);
});

test('the same entries give the same bytes', () => {
  assert.deepEqual(writeCpio(ENTRIES), writeCpio(structuredClone(ENTRIES)));
});

test('paths that leave the archive are refused', () => {
  for (const path of ['', '/x', 'a/../b', './a', 'a//b']) {
    assert.throws(() => writeCpio([{ type: 'directory', path }]), { kind: 'internal' }, path);
  }
});

const system = spawnSync('cpio', ['-t'], { input: writeCpio(ENTRIES) });
test('the host’s cpio lists the same entries', { skip: system.error !== undefined }, () => {
  assert.deepEqual(
    system.stdout.toString().trim().split('\n'),
    ENTRIES.map(({ path }) => path),
  );
});
