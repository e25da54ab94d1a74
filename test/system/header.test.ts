import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bochsLog, parseHeader } from './header.ts';

const HEADER = `; What it is about.
;
; mode: long64
; steps: 3
; expect:
;   1: #GP(0010)
;   2: #DB +1
;   2: = 0000000000000001
;   rax = 2a
; bochs:
;   1: none
;   2: #DB
; A sentence.
main:
; mode: real
`;

test('a header gives mode, steps, end, log and registers', () => {
  const header = parseHeader(HEADER);
  assert.equal(header.mode, 'long64');
  assert.equal(header.steps, 3);
  assert.equal(header.end, 'exit');
  assert.deepEqual(header.log, ['1: #GP(0010)', '2: #DB +1', '2: = 0000000000000001']);
  assert.deepEqual(header.registers, { rax: 0x2an });
});

test('what Bochs does otherwise takes the place of all lines of its steps', () => {
  assert.deepEqual(bochsLog(parseHeader(HEADER)), ['2: #DB']);
});

test('a header with a line that nothing checks, or without mode or steps, is refused', () => {
  assert.throws(() => parseHeader(HEADER.replace('rax = 2a', 'rax: 2a')), /something unknown/);
  assert.throws(() => parseHeader(HEADER.replace('1: none', 'none')), /Bochs/);
  assert.throws(() => parseHeader(HEADER.replace('long64', 'long')), /start mode/);
  assert.throws(() => parseHeader(HEADER.replace('steps: 3', 'steps: three')), /number of steps/);
});
