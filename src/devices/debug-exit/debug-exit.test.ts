import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../../base/struct.ts';
import { checkDevice } from '../conformance.test-helper.ts';
import { createDebugExit } from './debug-exit.ts';

checkDevice('debug-exit', (_timers, place) => createDebugExit({ place, exit() {} }));

test('writes of each width exit with an odd status', () => {
  const statuses: number[] = [];
  const { regions } = createDebugExit({ place: allocate, exit: (status) => statuses.push(status) });
  regions.port.write(0, 1, 0);
  regions.port.write(0, 2, 0x10);
  regions.port.write(0, 4, 0xffff_ffff);
  regions.port.write(1, 1, 5);
  assert.deepEqual(statuses, [1, 0x21, 0xffff_ffff]);
  assert.equal(regions.port.read(0, 4), 0);
});
