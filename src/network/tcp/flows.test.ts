import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connected, createNatRig, OUTSIDE, OUTSIDE6, tcpFrame, tcpOf } from '../nat.test-helper.ts';
import { FLAG } from './segment.ts';

const { fin: FIN, syn: SYN, rst: RST, psh: PSH, ack: ACK } = FLAG;

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
