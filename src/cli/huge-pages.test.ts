import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { preferHugePages } from './huge-pages.ts';

const KNOWN = '/sys/kernel/mm/transparent_hugepage/enabled';

/** Mappings of this process that the kernel was told to back with large pages. */
const advised = () => [...readFileSync('/proc/self/smaps', 'utf8').matchAll(/^VmFlags:.*\bhg\b/gm)].length;

test('memory is marked for large pages, and stays what it was', { skip: !existsSync(KNOWN) }, () => {
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 1024, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  bytes[12_345] = 7;
  const before = advised();
  preferHugePages(memory);
  assert.equal(advised(), before + 1);
  assert.equal(bytes[12_345], 7);
});
