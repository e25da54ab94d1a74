import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  bytesOf,
  createNatRig,
  GUEST,
  type HeardTcp,
  ipFrame,
  type NatRig,
  ROUTER_MAC,
  soon,
  tcpFrame,
  tcpOf,
  udpFrame,
} from './nat.test-helper.ts';

const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16];
const OUTSIDE = '203.0.113.7';
const OUTSIDE6 = '2001:db8::7';

/** A guest's connection that is open. */
async function connected(rig: NatRig, port = 1000, to = OUTSIDE) {
  rig.give(tcpFrame(to, { from: port, to: 80, sequence: 100, flags: SYN, options: [2, 4, 5, 0xb4] }));
  const socket = rig.host.connections.at(-1)!;
  socket.events.connected();
  const answer = tcpOf(rig.heard().at(-1)!);
  assert.equal(answer.flags, SYN | ACK);
  assert.equal(answer.acknowledgement, 101);
  let sequence = 101;
  const base = { from: port, to: 80 };
  const guest = {
    socket,
    acknowledged: answer.sequence + 1,
    send(data: readonly number[], flags = ACK): void {
      rig.give(tcpFrame(to, { ...base, sequence, acknowledgement: guest.acknowledged, flags, data }));
      sequence += data.length + (flags & FIN ? 1 : 0);
    },
    /** Takes data and acknowledges them. */
    take(): HeardTcp[] {
      const segments = rig.heard().map(tcpOf);
      for (const { data, flags } of segments) guest.acknowledged += data.length + (flags & FIN ? 1 : 0);
      guest.send([]);
      return segments;
    },
  };
  guest.send([]);
  return guest;
}

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

describe('TCP to the outside', () => {
  test('a guest is connected once the host is, and data pass both ways', async () => {
    const rig = createNatRig();
    rig.give(tcpFrame(OUTSIDE, { from: 1000, to: 80, sequence: 1, flags: SYN }));
    assert.deepEqual(rig.host.connections[0]!.to, { address: OUTSIDE, port: 80 });
    assert.deepEqual(rig.heard(), [], 'the guest waits as long as the host does');
    const guest = await connected(createNatRig());
    assert.equal(guest.socket.finished, false);

    const other = createNatRig();
    const { socket, send, take } = await connected(other);
    send([1, 2, 3], PSH | ACK);
    assert.deepEqual(socket.sent, [1, 2, 3]);
    assert.equal(tcpOf(other.heard().at(-1)!).acknowledgement, 104);
    socket.events.received(Uint8Array.of(4, 5, 6, 7));
    assert.deepEqual(
      take().flatMap(({ data }) => data),
      [4, 5, 6, 7],
    );
    send([], FIN | ACK);
    assert.ok(socket.finished, 'half closed');
    socket.events.received(Uint8Array.of(8));
    assert.deepEqual(
      take().flatMap(({ data }) => data),
      [8],
    );
    socket.events.ended();
    assert.ok(take().some(({ flags }) => flags & FIN));
    socket.events.closed(undefined);
    assert.equal(other.nat.figures()['TCP connections'], 0);
  });

  test('what the host says of a connection that fails reaches the guest', () => {
    for (const [error, expected] of [
      ['refused', 'RST'],
      ['unreachable', 'ICMP'],
      ['timeout', 'nothing'],
    ] as const) {
      const rig = createNatRig();
      rig.give(tcpFrame(OUTSIDE, { from: 1000, to: 80, sequence: 77, flags: SYN }));
      rig.host.connections[0]!.events.closed(error);
      const [answer] = rig.heard();
      if (expected === 'RST') {
        const { flags, acknowledgement } = tcpOf(answer!);
        assert.deepEqual([flags, acknowledgement], [RST | ACK, 78]);
      } else if (expected === 'ICMP') assert.deepEqual([answer!.protocol, ...answer!.payload.slice(0, 2)], [1, 3, 1]);
      else assert.equal(answer, undefined);
      assert.equal(rig.nat.figures()['TCP connections'], 0);
    }
  });

  test('RST goes through both ways', async () => {
    const rig = createNatRig();
    const one = await connected(rig, 1000);
    one.send([], RST | ACK);
    assert.ok(one.socket.aborted);
    const two = await connected(rig, 1001);
    two.socket.events.closed('reset');
    assert.ok(rig.heard().some((heard) => tcpOf(heard).flags & RST));
    assert.equal(rig.nat.figures()['TCP connections'], 0);
  });

  test('a segment without a connection gets RST, and RST gets nothing', () => {
    const rig = createNatRig();
    rig.give(
      tcpFrame(OUTSIDE, { from: 1, to: 2, sequence: 5, acknowledgement: 9, flags: ACK }),
      tcpFrame(OUTSIDE, { from: 1, to: 2, sequence: 5, flags: RST }),
      tcpFrame(OUTSIDE, { from: 1, to: 2, sequence: 5, flags: FIN, data: [1] }),
    );
    assert.deepEqual(
      rig.heard().map((heard) => [tcpOf(heard).flags, tcpOf(heard).sequence, tcpOf(heard).acknowledgement]),
      [
        [RST, 9, 0],
        [RST | ACK, 0, 7],
      ],
    );
  });

  test('a peer that does not read stops the guest; one that does not stop is not read', async () => {
    const rig = createNatRig();
    const { socket, send } = await connected(rig);
    const block = Array.from({ length: 1400 }, () => 1);
    for (let i = 0; i < 100; i++) send(block);
    assert.ok(socket.sent.length <= 65_536, `${socket.sent.length} bytes are held`);
    assert.ok(tcpOf(rig.heard().at(-1)!).window < 1400);
    socket.flush();
    assert.ok(tcpOf(rig.heard().at(-1)!).window > 30_000, 'the guest hears that there is room');

    const other = await connected(rig, 1001);
    for (let i = 0; i < 20; i++) other.socket.events.received(new Uint8Array(10_000));
    assert.ok(other.socket.paused);
    let taken = 0;
    for (let i = 0; i < 2000 && taken < 200_000; i++) {
      for (const { data } of other.take()) taken += data.length;
      rig.timers.advance(1e6);
    }
    assert.equal(taken, 200_000);
    assert.ok(!other.socket.paused);
  });

  test('a wire that is full for a while loses nothing', async () => {
    const rig = createNatRig();
    const { socket, take } = await connected(rig);
    rig.full = true;
    socket.events.received(Uint8Array.of(1, 2, 3));
    assert.deepEqual(rig.heard(), []);
    rig.full = false;
    rig.nat.wireReady();
    assert.deepEqual(
      take().flatMap(({ data }) => data),
      [1, 2, 3],
    );
  });

  test('a guest that takes large segments gets them, their checksum left to it', async () => {
    const rig = createNatRig();
    rig.offloads = { checksum: true, segments4: true, segments6: true };
    const { socket } = await connected(rig);
    socket.events.received(new Uint8Array(10_000));
    const [{ frame }] = rig.heard();
    assert.ok(frame.bytes.length > 9000);
    assert.equal(frame.segmentSize, 1460);
    assert.deepEqual([frame.checksumStart, frame.checksumOffset], [34, 16]);
  });

  test('the same over IPv6', async () => {
    const rig = createNatRig();
    const { socket, send, take } = await connected(rig, 1000, OUTSIDE6);
    assert.deepEqual(socket.to, { address: OUTSIDE6, port: 80 });
    send([9]);
    assert.deepEqual(socket.sent, [9]);
    socket.events.received(Uint8Array.of(1));
    assert.deepEqual(
      take().flatMap(({ data }) => data),
      [1],
    );
  });

  test('connections are bounded; those that only linger make room', async () => {
    const rig = createNatRig();
    const lingering = await connected(rig, 1);
    lingering.socket.events.ended();
    lingering.take();
    lingering.send([], FIN | ACK);
    for (let port = 2; port < 1400; port++) {
      rig.give(tcpFrame(OUTSIDE, { from: port, to: 80, sequence: 1, flags: SYN }));
      rig.host.connections.at(-1)!.events.connected();
    }
    assert.equal(rig.nat.figures()['TCP connections'], 1024);
    assert.equal(tcpOf(rig.heard().at(-1)!).flags & RST, RST, 'one too many is refused');
    rig.nat.close();
    assert.equal(rig.nat.figures()['TCP connections'], 0);
    assert.ok(rig.host.connections.slice(1).every(({ aborted }) => aborted));
  });

  test('connections that the host has not made are bounded too', () => {
    const rig = createNatRig();
    for (let port = 1; port < 700; port++) rig.give(tcpFrame(OUTSIDE, { from: port, to: 80, sequence: 1, flags: SYN }));
    assert.equal(rig.host.connections.length, 512);
    for (const { events } of [...rig.host.connections]) events.closed('timeout');
    rig.give(tcpFrame(OUTSIDE, { from: 699, to: 80, sequence: 1, flags: SYN }));
    assert.equal(rig.host.connections.length, 513);
  });

  test('10,000 connections one after the other and 500 at once leave nothing behind', async () => {
    const rig = createNatRig();
    async function use(port: number): Promise<Awaited<ReturnType<typeof connected>>> {
      const guest = await connected(rig, port);
      guest.send([1]);
      guest.socket.flush();
      guest.socket.events.received(Uint8Array.of(2));
      guest.take();
      return guest;
    }
    function end({ socket, send, take }: Awaited<ReturnType<typeof connected>>): void {
      socket.events.ended();
      take();
      send([], FIN | ACK);
      rig.heard();
      socket.events.closed(undefined);
    }
    for (let i = 0; i < 10_000; i++) {
      end(await use(1024 + (i % 5000)));
      rig.host.connections.length = 0;
    }
    const many = [];
    for (let i = 0; i < 500; i++) many.push(await use(20_000 + i));
    assert.ok(rig.nat.figures()['TCP connections']! >= 500);
    for (const one of many) end(one);
    rig.timers.advance(10e9);
    const figures = rig.nat.figures();
    assert.equal(figures['TCP connections'], 0);
    assert.equal(figures['alarms waiting'], 0);
    assert.equal(figures['shared buffer left (KiB)'], 65_536);
  });
});

describe('a guest that was saved goes on with another network', () => {
  test('its connections are reset at once, from exactly where it stands', async () => {
    const rig = createNatRig();
    const guest = await connected(rig);
    guest.send([1, 2, 3]);
    guest.socket.events.received(Uint8Array.of(9, 9));
    guest.take();
    const other = createNatRig();
    other.nat.restore(JSON.parse(JSON.stringify(rig.nat.save())));
    const [reset, ...more] = other.heard();
    const { from, to, sequence, acknowledgement, flags } = tcpOf(reset!);
    assert.deepEqual([reset!.source, from, reset!.destination, to, more.length], [OUTSIDE, 80, GUEST.v4, 1000, 0]);
    assert.deepEqual([sequence, acknowledgement, flags], [guest.acknowledged, 104, RST | ACK]);
    // One whose reset was lost, or came too early, is reset by what the guest sends next.
    other.give(
      tcpFrame(OUTSIDE, { from: 1000, to: 80, sequence: 104, acknowledgement: guest.acknowledged, flags: ACK }),
    );
    const answer = tcpOf(other.heard()[0]!);
    assert.deepEqual([answer.flags, answer.sequence], [RST, guest.acknowledged]);
    assert.equal(other.nat.figures()['TCP connections'], 0);
  });

  test('its address is its own, and forwarded ports lead to it', async () => {
    const rig = createNatRig();
    const dhcp = (type: number) => {
      const head = [1, 1, 6, 0, 1, 2, 3, 4, ...Array(20).fill(0), ...GUEST.mac];
      const fixed = [...head, ...Array(236 - head.length).fill(0), 0x63, 0x82, 0x53, 0x63, 53, 1, type];
      rig.give(udpFrame('255.255.255.255', 68, 67, [...fixed, 50, 4, 10, 0, 2, 99, 255], '0.0.0.0'));
    };
    dhcp(1);
    dhcp(3);
    rig.give(udpFrame('10.0.2.2', 9, 9, [], '10.0.2.99'));
    const other = createNatRig();
    other.nat.restore(rig.nat.save());
    assert.equal(other.nat.figures().leases, 1);
    await other.nat.forward({ protocol: 'tcp', at: { address: '127.0.0.1', port: 8080 }, port: 80 });
    other.host.dial(8080);
    const [syn] = other.heard();
    assert.deepEqual([syn!.destination, tcpOf(syn!).flags], ['10.0.2.99', SYN]);
  });
});

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
