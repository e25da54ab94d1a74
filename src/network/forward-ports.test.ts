import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesOf, createNatRig, GUEST, ROUTER_MAC, tcpFrame, tcpOf, udpFrame } from './nat.test-helper.ts';
import { FLAG } from './tcp/segment.ts';

const { syn: SYN, rst: RST, ack: ACK } = FLAG;

describe('forwarded ports', () => {
  test('a connection to the host reaches the guest', async () => {
    const rig = createNatRig();
    await rig.nat.forward({ protocol: 'tcp', at: { address: '127.0.0.1', port: 8080 }, port: 80 });
    const socket = rig.host.dial(8080)!;
    const [arp] = rig.heard();
    assert.equal(arp!.type, 0x0806, 'the guest was not heard of yet');
    rig.give(
      Uint8Array.from([
        ...[...ROUTER_MAC, ...GUEST.mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
        ...[...GUEST.mac, ...bytesOf(GUEST.v4), ...ROUTER_MAC, ...bytesOf('10.0.2.2')],
      ]),
    );
    const syn = tcpOf(rig.heard()[0]!);
    assert.deepEqual([syn.flags, syn.to], [SYN, 80]);
    const base = { from: 80, to: syn.from };
    rig.give(tcpFrame('10.0.2.2', { ...base, sequence: 7, acknowledgement: syn.sequence + 1, flags: SYN | ACK }));
    rig.heard();
    socket.events.received(Uint8Array.of(1, 2));
    assert.deepEqual(tcpOf(rig.heard().at(-1)!).data, [1, 2]);
    rig.give(tcpFrame('10.0.2.2', { ...base, sequence: 8, acknowledgement: syn.sequence + 3, flags: ACK, data: [3] }));
    assert.deepEqual(socket.sent, [3]);
    rig.nat.reset();
    assert.ok(socket.aborted);
  });

  test('a guest that refuses, or is not there, ends the connection', async () => {
    const rig = createNatRig();
    await rig.nat.forward({ protocol: 'tcp', at: { address: '127.0.0.1', port: 8080 }, port: 80 });
    rig.give(udpFrame('10.0.2.2', 9, 9, []));
    rig.heard();
    const socket = rig.host.dial(8080)!;
    const syn = tcpOf(rig.heard()[0]!);
    const reset = { from: 80, to: syn.from, sequence: 0, acknowledgement: syn.sequence + 1, flags: RST | ACK };
    rig.give(tcpFrame('10.0.2.2', reset));
    assert.ok(socket.aborted);
    const silent = rig.host.dial(8080)!;
    for (let i = 0; i < 100; i++) rig.timers.advance(1e9);
    assert.ok(silent.aborted);
    assert.equal(rig.nat.figures()['TCP connections'], 0);
  });

  test('a taken port is told; a closed forward gives it back', async () => {
    const rig = createNatRig();
    const request = { protocol: 'tcp', at: { address: '127.0.0.1', port: 8080 }, port: 80 } as const;
    const forward = await rig.nat.forward(request);
    await assert.rejects(rig.nat.forward(request), /in use/);
    forward.close();
    await rig.nat.forward(request);
    rig.nat.close();
    assert.equal(rig.host.listeners.size, 0);
  });

  test('several ports in a row, a free one of a range, or one that the host chooses', async () => {
    const rig = createNatRig();
    const at = { address: '127.0.0.1', port: 8000 };
    const row = await rig.nat.forward({ protocol: 'tcp', at, port: 80, count: 3 });
    assert.deepEqual(
      row.ports.map((one) => [one.at.port, one.port]),
      [
        [8000, 80],
        [8001, 81],
        [8002, 82],
      ],
    );
    const any = await rig.nat.forward({ protocol: 'tcp', at, upTo: 8005, port: 90 });
    assert.deepEqual(any.ports, [{ at: { ...at, port: 8003 }, port: 90 }]);
    // All of a row or none.
    await assert.rejects(rig.nat.forward({ protocol: 'tcp', at: { ...at, port: 7999 }, port: 80, count: 3 }), /in use/);
    assert.deepEqual([...rig.host.listeners.keys()].toSorted(), [8000, 8001, 8002, 8003]);
    for (const port of [8004, 8005]) await rig.nat.forward({ protocol: 'tcp', at: { ...at, port }, port: 1 });
    await assert.rejects(
      rig.nat.forward({ protocol: 'tcp', at, upTo: 8005, port: 90 }),
      /None of the ports 8000 to 8005/,
    );
    row.close();
    assert.equal(rig.host.listeners.size, 3);
  });

  test('UDP: each peer is a port of the gateway', async () => {
    const rig = createNatRig();
    rig.give(udpFrame('10.0.2.2', 9, 9, []));
    rig.heard();
    await rig.nat.forward({ protocol: 'udp', at: { address: '127.0.0.1', port: 5353 }, port: 53 });
    const socket = rig.host.sockets.at(-1)!;
    const peers = [1, 2].map((n) => ({ address: `192.0.2.${n}`, port: 4000 }));
    for (const peer of peers) socket.receive(peer, Uint8Array.of(peer.port & 255));
    const ports = rig.heard().map(({ source, payload }) => {
      assert.equal(source, '10.0.2.2');
      return payload[0]! * 256 + payload[1]!;
    });
    assert.equal(new Set(ports).size, 2);
    for (const [i, port] of ports.entries()) rig.give(udpFrame('10.0.2.2', 53, port, [i]));
    assert.deepEqual(
      socket.sent.map(({ to, bytes }) => [to.address, bytes[0]]),
      [
        ['192.0.2.1', 0],
        ['192.0.2.2', 1],
      ],
    );
    for (let i = 0; i < 2000; i++) socket.receive({ address: '192.0.2.9', port: i }, new Uint8Array(1));
    assert.ok(rig.nat.figures()['UDP ports']! <= 256);
    for (let i = 0; i < 20; i++) rig.timers.advance(10e9);
    assert.equal(rig.nat.figures()['UDP ports'], 0);
  });
});
