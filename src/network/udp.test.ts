import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createNatRig, OUTSIDE, udpFrame } from './nat.test-helper.ts';

describe('UDP', () => {
  test('answers come back from whom the guest asked, and nobody else', () => {
    const rig = createNatRig();
    rig.give(udpFrame(OUTSIDE, 5000, 123, [1, 2]), udpFrame('203.0.113.8', 5000, 124, [3]));
    const [socket, ...others] = rig.host.sockets;
    assert.equal(others.length, 0, 'one socket for one port');
    assert.deepEqual(
      socket!.sent.map(({ to, bytes }) => [to.address, to.port, ...bytes]),
      [
        [OUTSIDE, 123, 1, 2],
        ['203.0.113.8', 124, 3],
      ],
    );
    socket!.receive({ address: OUTSIDE, port: 123 }, Uint8Array.of(7));
    socket!.receive({ address: OUTSIDE, port: 9999 }, Uint8Array.of(8));
    const heard = rig.heard();
    assert.equal(heard.length, 1);
    assert.deepEqual(heard[0]!.payload.slice(8), [7]);
    assert.equal(heard[0]!.source, OUTSIDE);
  });

  test('a datagram too long for the wire is fragmented, and fragments are joined', () => {
    const rig = createNatRig();
    rig.give(udpFrame(OUTSIDE, 5000, 123, [1]));
    const data = Array.from({ length: 5000 }, (_, i) => i & 255);
    rig.host.sockets[0]!.receive({ address: OUTSIDE, port: 123 }, Uint8Array.from(data));
    const pieces = rig.heard();
    assert.equal(pieces.length, 4);
    // Sent back, with the addresses exchanged: the sum stays the same.
    const back = pieces.map(({ frame: { bytes } }) => {
      const copy = bytes.slice();
      copy.set(bytes.subarray(0, 6), 6);
      copy.set(bytes.subarray(6, 12), 0);
      copy.set(bytes.subarray(26, 30), 30);
      copy.set(bytes.subarray(30, 34), 26);
      return copy;
    });
    rig.give(...back.toReversed());
    const { sent } = rig.host.sockets.at(-1)!;
    assert.deepEqual([...sent.at(-1)!.bytes], data);
    assert.equal(rig.nat.figures()['packets in part'], 0);
  });

  test('ports fall out of use and are bounded', () => {
    const rig = createNatRig();
    for (let port = 1; port <= 700; port++) rig.give(udpFrame(OUTSIDE, port, 53, [1]));
    assert.equal(rig.nat.figures()['UDP ports'], 512);
    assert.equal(rig.host.sockets.filter(({ closed }) => !closed).length, 512);
    for (let i = 0; i < 20; i++) rig.timers.advance(10e9);
    assert.equal(rig.nat.figures()['UDP ports'], 0);
    assert.ok(rig.host.sockets.every(({ closed }) => closed));
    assert.equal(rig.timers.armed, 0, 'an unused network does nothing');
  });
});
