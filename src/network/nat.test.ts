import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  bytesOf,
  createNatRig,
  GUEST,
  type NatRig,
  OUTSIDE,
  OUTSIDE6,
  ROUTER_MAC,
  tcpFrame,
  tcpOf,
  udpFrame,
} from './nat.test-helper.ts';
import { FLAG } from './tcp/segment.ts';

const { syn: SYN, rst: RST, ack: ACK } = FLAG;

test('ARP is answered for the router, and nobody else', () => {
  const rig = createNatRig();
  const ask = (target: string) =>
    Uint8Array.from([
      ...[255, 255, 255, 255, 255, 255, ...GUEST.mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
      ...[...GUEST.mac, ...bytesOf(GUEST.v4), 0, 0, 0, 0, 0, 0, ...bytesOf(target)],
    ]);
  rig.give(ask('10.0.2.2'), ask('10.0.2.3'), ask('10.0.2.15'), ask('10.0.2.77'), ask('10.0.2.2').subarray(0, 41));
  assert.deepEqual(
    rig.heard().map(({ payload }) => payload.slice(6, 18)),
    ['10.0.2.2', '10.0.2.3'].map((address) => [0, 2, ...ROUTER_MAC, ...bytesOf(address)]),
  );
});

describe('what guests may reach', () => {
  const LOOPBACK = ['127.0.0.1', '127.9.9.9', '0.0.0.0', '0.1.2.3', '::1', '::', '64:ff9b::7f00:1', '2002:7f00:1::1'];
  const tries = (rig: NatRig, to: string) => {
    rig.give(tcpFrame(to, { from: 1000, to: 80, sequence: 1, flags: SYN }), udpFrame(to, 1000, 80, [1]));
    return rig.host.connections.length + rig.host.sockets.length;
  };

  test('never the loopback interface, however it is written', () => {
    for (const to of [...LOOPBACK, '::ffff:127.0.0.1'.replace('127.0.0.1', '7f00:1')]) {
      assert.equal(tries(createNatRig(), to), 0, to);
      const listed = createNatRig({ access: { kind: 'listed', hosts: ['0.0.0.0/0', '::/0'] } });
      assert.equal(tries(listed, to), 0, to);
    }
  });

  test('the gateway is the loopback interface only where that is allowed', () => {
    for (const gateway of ['10.0.2.2', 'fd76:6972:7473:1::2']) {
      assert.equal(tries(createNatRig(), gateway), 0);
      const rig = createNatRig({ hostAccess: true });
      assert.equal(tries(rig, gateway), 2);
      const loopback = gateway.includes(':') ? '::1' : '127.0.0.1';
      assert.deepEqual(rig.host.connections[0]!.to, { address: loopback, port: 80 });
      rig.host.sockets[0]!.receive({ address: loopback, port: 80 }, Uint8Array.of(5));
      assert.ok(rig.heard().some(({ payload, protocol }) => protocol === 17 && payload.at(-1) === 5));
    }
  });

  test('groups and other addresses of the network are not forwarded', () => {
    for (const to of ['224.0.0.1', '255.255.255.255', '10.0.2.77', 'ff02::1', 'fe80::9', 'fd76:6972:7473:1::99']) {
      assert.equal(tries(createNatRig(), to), 0, to);
    }
  });

  test('nothing, and what is listed', () => {
    assert.equal(tries(createNatRig({ access: { kind: 'none' } }), OUTSIDE), 0);
    const listed = () => createNatRig({ access: { kind: 'listed', hosts: ['203.0.113.0/24', '2001:db8::7'] } });
    assert.equal(tries(listed(), OUTSIDE), 2);
    assert.equal(tries(listed(), OUTSIDE6), 2);
    const rig = listed();
    assert.equal(tries(rig, '198.51.100.1'), 0);
    const [reset, prohibited] = rig.heard();
    assert.equal(tcpOf(reset!).flags, RST | ACK);
    assert.deepEqual(prohibited!.payload.slice(0, 2), [3, 13]);
  });
});
