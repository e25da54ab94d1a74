import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exceptionLine } from './debug-log.ts';

const LINES: readonly (readonly [vector: number, error: number | undefined, line: string])[] = [
  [6, undefined, '#UD at 0x1000'],
  [13, 0x18, '#GP error 0x18 at 0x1000'],
  [14, 0x2, '#PF error 0x2 (supervisor write, page not present) at 0x1000'],
  [14, 0x5, '#PF error 0x5 (user read, not allowed) at 0x1000'],
  [14, 0x14, '#PF error 0x14 (user fetch, page not present) at 0x1000'],
  [14, 0xb, '#PF error 0xb (supervisor write, reserved bit set) at 0x1000'],
  [9, undefined, 'vector 9 at 0x1000'],
];

for (const [vector, error, line] of LINES) {
  test(line, () => assert.equal(exceptionLine(vector, error, 0x1000n), line));
}
