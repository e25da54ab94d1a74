import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createNatRig, GUEST, ipFrame, OUTSIDE, soon } from './nat.test-helper.ts';

describe('echo', () => {
  const request = (destination: string, type: number, protocol: number) =>
    ipFrame(
      destination.includes(':') ? GUEST.v6 : GUEST.v4,
      destination,
      protocol,
      [type, 0, 0, 0, 1, 2, 3, 4, 9, 9, 9],
      2,
    );

  test('the router answers at once, others when they do', async () => {
    const rig = createNatRig();
    rig.give(request('10.0.2.2', 8, 1), request('fd76:6972:7473:1::2', 128, 58));
    assert.deepEqual(
      rig.heard().map(({ payload }) => [payload[0], ...payload.slice(4)]),
      [
        [0, 1, 2, 3, 4, 9, 9, 9],
        [129, 1, 2, 3, 4, 9, 9, 9],
      ],
    );
    rig.give(request(OUTSIDE, 8, 1), request('203.0.113.8', 8, 1));
    assert.deepEqual(rig.heard(), []);
    assert.deepEqual([rig.host.echoes[0]!.to, rig.host.echoes[0]!.size], [OUTSIDE, 3]);
    rig.host.echoes[0]!.answer(true);
    rig.host.echoes[1]!.answer(false);
    await soon();
    const heard = rig.heard();
    assert.deepEqual([heard.length, heard[0]!.source, heard[0]!.payload[0]], [1, OUTSIDE, 0]);
  });

  test('requests under way are bounded', () => {
    const rig = createNatRig();
    for (let i = 0; i < 50; i++) rig.give(request(OUTSIDE, 8, 1));
    assert.equal(rig.host.echoes.length, 16);
  });
});
