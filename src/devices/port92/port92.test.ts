import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../../base/struct.ts';
import { checkDevice, powerOn } from '../conformance.test-helper.ts';
import { createPort92 } from './port92.ts';

checkDevice('port92', (_timers, place) => createPort92({ place, a20: { set() {} }, reset() {} }));

test('bit 1 gates A20, a rising bit 0 resets', () => {
  let a20 = true;
  let resets = 0;
  const port92 = createPort92({ place: allocate, a20: { set: (level) => (a20 = level) }, reset: () => resets++ });
  const { regions } = powerOn(port92);
  assert.equal(a20, false, 'closed at power-on');
  regions.port.write(0, 1, 0xfe);
  assert.equal(a20, true);
  assert.equal(regions.port.read(0, 1), 2);
  assert.equal(resets, 0);
  regions.port.write(0, 1, 3);
  regions.port.write(0, 1, 3);
  assert.equal(resets, 1);
  regions.port.write(0, 1, 0);
  assert.equal(a20, false);
});
