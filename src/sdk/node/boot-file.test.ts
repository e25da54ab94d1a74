import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, rmSync, truncateSync } from 'node:fs';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import { temporaryFiles } from '../../cli/virts.test-helper.ts';
import type { BootFile } from '../machine-host.ts';
import { closeBootFile, openBootFile, readOpenFile } from './boot-file.ts';

const file = temporaryFiles();
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const read = (file: BootFile) => readOpenFile(file.name, 'descriptor' in file ? file.descriptor : -1);

test('a file is read again and again, though its name is gone, and takes no memory in between', () => {
  const path = file('kernel', Buffer.from('the kernel'));
  const opened = openBootFile(path, 'kernel');
  rmSync(path);
  for (let boot = 0; boot < 2; boot++) {
    const lent = read(opened);
    assert.equal(text(lent.bytes), 'the kernel');
    lent.release();
    assert.equal(lent.bytes.buffer.byteLength, 0);
  }
  closeBootFile(opened);
  assert.throws(() => read(opened), { kind: 'io', message: /kernel could not be read/ });
});

test('a file that grew or shrank is read as it is', () => {
  const path = file('kernel', Buffer.from('the kernel'));
  const opened = openBootFile(path, 'kernel');
  appendFileSync(path, ' grew');
  assert.equal(text(read(opened).bytes), 'the kernel grew');
  truncateSync(path, 3);
  assert.equal(text(read(opened).bytes), 'the');
  truncateSync(path, 0);
  assert.equal(text(read(opened).bytes), '');
  closeBootFile(opened);
});

test('what can be read only once is kept', { skip: process.platform === 'win32' }, () => {
  const pipe = file('name', Buffer.from('')).replace(/name$/, 'pipe');
  execFileSync('mkfifo', [pipe]);
  spawn('sh', ['-c', `printf piped >'${pipe}'`]);
  const opened = openBootFile(pipe, 'initrd');
  assert.ok('bytes' in opened && opened.bytes.buffer instanceof SharedArrayBuffer);
  assert.equal(text(opened.bytes), 'piped');
});

test('what cannot be booted from is told in a sentence', () => {
  const path = file('there', Buffer.from(''));
  const directory = `${path}.d`;
  mkdirSync(directory);
  const throwsKind = (name: string, kind: string, message: RegExp) =>
    assert.throws(
      () => openBootFile(name, 'kernel'),
      (error) => error instanceof VirtsError && error.kind === kind && message.test(error.message),
    );
  throwsKind(directory, 'bad-input', /is a directory, not a kernel\.$/);
  throwsKind(`${path}.none`, 'not-found', /^There is no kernel /);
  truncateSync(path, 2 ** 32 + 1);
  throwsKind(path, 'no-space', /larger than any guest/);
});
