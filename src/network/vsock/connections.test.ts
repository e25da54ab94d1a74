import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OPERATION, SHUTDOWN } from '../../base/vsock-packet.ts';
import { randomNumbers } from '../../devices/conformance.test-helper.ts';
import { connected, noting, settled, vsockWithGuest } from './guest.test-helper.ts';

const MATERIAL = Uint8Array.from({ length: 65_536 }, (_, i) => (i * 7) & 255);
const bytes = (length: number) => MATERIAL.subarray(0, length);
const BOTH = SHUTDOWN.send | SHUTDOWN.receive;

describe('connections of the host', () => {
  test('are there when the guest answers, and carry bytes both ways', async () => {
    const guest = vsockWithGuest();
    const user = noting();
    const connection = guest.vsock.connect(7, user.events);
    connection.send(bytes(5000));
    const [request, ...more] = await guest.packets();
    assert.deepEqual([request!.operation, request!.guestPort, more.length], [OPERATION.request, 7, 0]);
    const ports = { hostPort: request!.hostPort, guestPort: 7 };
    guest.say({ ...ports, operation: OPERATION.response });
    guest.say({ ...ports, operation: OPERATION.data, bytes: bytes(10) });
    const sent = await guest.packets();
    assert.deepEqual(
      sent.flatMap(({ bytes: part }) => [...part]),
      [...bytes(5000)],
    );
    assert.deepEqual(user.told.toSorted(), ['connected', 'flushed 5000', 'received 10']);
    assert.deepEqual(user.bytes, [...bytes(10)]);
  });

  test('are refused by a guest where nobody listens, and given up where none answers', async () => {
    const guest = vsockWithGuest();
    const [refused, silent] = [noting(), noting()];
    guest.vsock.connect(7, refused.events);
    guest.vsock.connect(8, silent.events);
    const [request, other] = await guest.packets();
    guest.say({ operation: OPERATION.reset, hostPort: request!.hostPort, guestPort: 7 });
    await settled();
    assert.deepEqual(refused.told, ['closed refused']);
    guest.timers.advance(5_100_000_000);
    const [reset] = await guest.packets();
    assert.deepEqual(silent.told, ['closed timeout']);
    assert.deepEqual([reset!.operation, reset!.hostPort], [OPERATION.reset, other!.hostPort]);
    assert.equal(guest.vsock.size, 0);
  });

  test('end direction by direction', async () => {
    const guest = vsockWithGuest();
    const { told, connection, ports } = await connected(guest);
    connection.finish();
    assert.deepEqual(
      (await guest.packets()).map(({ operation, flags }) => [operation, flags]),
      [[OPERATION.shutdown, SHUTDOWN.send]],
    );
    guest.say({ ...ports, operation: OPERATION.data, bytes: bytes(3) });
    guest.say({ ...ports, operation: OPERATION.shutdown, flags: SHUTDOWN.send });
    assert.deepEqual(
      (await guest.packets()).map(({ operation, flags }) => [operation, flags]),
      [[OPERATION.shutdown, BOTH]],
    );
    assert.deepEqual(told, ['received 3', 'ended', 'closed undefined']);
    assert.equal(guest.vsock.size, 1, 'until the guest confirms');
    guest.say({ ...ports, operation: OPERATION.reset });
    await settled();
    assert.equal(guest.vsock.size, 0);
  });

  test('a guest that does not confirm the end is waited for a while', async () => {
    const guest = vsockWithGuest();
    const { connection, ports } = await connected(guest);
    connection.finish();
    guest.say({ ...ports, operation: OPERATION.shutdown, flags: SHUTDOWN.send });
    await guest.packets();
    guest.timers.advance(8_100_000_000);
    assert.deepEqual(
      (await guest.packets()).map(({ operation }) => operation),
      [OPERATION.reset],
    );
    assert.equal(guest.vsock.size, 0);
  });

  test('a guest that closes its socket is answered at once, and what it sent is not lost', async () => {
    const guest = vsockWithGuest();
    const { told, connection, ports } = await connected(guest);
    connection.pause();
    guest.say({ ...ports, operation: OPERATION.data, bytes: bytes(30) });
    guest.say({ ...ports, operation: OPERATION.shutdown, flags: BOTH });
    assert.deepEqual(
      (await guest.packets()).map(({ operation }) => operation),
      [OPERATION.reset],
    );
    assert.deepEqual(told, []);
    connection.resume();
    await settled();
    assert.deepEqual(told, ['received 30', 'ended', 'closed undefined']);
    assert.equal(guest.vsock.size, 0);
  });

  test('what a guest does not want to receive any more is dropped', async () => {
    const guest = vsockWithGuest();
    const { told, connection, ports } = await connected(guest, 0);
    connection.send(bytes(10));
    guest.say({ ...ports, operation: OPERATION.shutdown, flags: SHUTDOWN.receive, window: 0 });
    await guest.packets();
    connection.send(bytes(20));
    await settled();
    assert.deepEqual(told, ['flushed 10', 'flushed 20']);
  });

  test('an abort is told to the guest', async () => {
    const guest = vsockWithGuest();
    const { told, connection, ports } = await connected(guest);
    guest.say({ ...ports, operation: OPERATION.data, bytes: bytes(30) });
    connection.abort();
    assert.deepEqual(
      (await guest.packets()).map(({ operation }) => operation),
      [OPERATION.reset],
    );
    assert.deepEqual(told, ['closed undefined']);
  });

  test('a guest that starts over has none left', async () => {
    const guest = vsockWithGuest();
    const { told, connection } = await connected(guest);
    guest.vsock.reset();
    connection.send(bytes(1));
    await settled();
    assert.deepEqual(told, ['closed reset']);
    assert.deepEqual(await guest.packets(), []);
    assert.equal(guest.vsock.size, 0);
  });
});

describe('credit', () => {
  test('no more is sent than the guest has room for', async () => {
    const guest = vsockWithGuest();
    const { told, connection, ports } = await connected(guest, 5000);
    connection.send(bytes(12_000));
    const first = await guest.packets();
    assert.deepEqual(
      first.map(({ operation, bytes: part }) => [operation, part.length]),
      [
        [OPERATION.data, 4096],
        [OPERATION.data, 904],
        [OPERATION.creditRequest, 0],
      ],
    );
    guest.say({ ...ports, operation: OPERATION.creditUpdate, window: 5000, consumed: 4000 });
    const second = await guest.packets();
    assert.equal(second[0]!.bytes.length, 4000);
    guest.say({ ...ports, operation: OPERATION.creditUpdate, window: 5000, consumed: 5000 + 0xf000_0000 });
    assert.deepEqual(await guest.packets(), [], 'what cannot be gives no credit');
    assert.deepEqual(told, ['flushed 5000', 'flushed 4000']);
  });

  test('a reader that pauses makes the guest wait, and is protected from one that does not', async () => {
    const guest = vsockWithGuest();
    const { told, connection, ports } = await connected(guest);
    connection.pause();
    for (let i = 0; i < 4; i++) guest.say({ ...ports, operation: OPERATION.data, bytes: bytes(65_536) });
    assert.deepEqual(await guest.packets(), []);
    connection.resume();
    const [update] = await guest.packets();
    assert.deepEqual([update!.operation, update!.window, update!.consumed], [OPERATION.creditUpdate, 262_144, 262_144]);
    told.length = 0;
    connection.pause();
    for (let i = 0; i < 4; i++) guest.say({ ...ports, operation: OPERATION.data, bytes: bytes(65_536) });
    guest.say({ ...ports, operation: OPERATION.data, bytes: bytes(1) });
    const [reset] = await guest.packets();
    assert.equal(reset!.operation, OPERATION.reset);
    assert.deepEqual(told, ['closed reset']);
    assert.equal(guest.vsock.size, 0);
  });

  test('the wire is shared in turns, and goes on when it has room', async () => {
    const guest = vsockWithGuest();
    const [a, b] = [await connected(guest), await connected(guest)];
    guest.limit(3);
    a.connection.send(bytes(4096 * 3));
    b.connection.send(bytes(4096 * 3));
    const first = await guest.packets();
    guest.limit(100);
    guest.vsock.wireReady();
    const all = [...first, ...(await guest.packets())];
    assert.deepEqual(
      all.map(({ hostPort }) => hostPort === a.ports.hostPort),
      [true, false, true, false, true, false],
    );
  });
});

describe('connections of the guest', () => {
  const ports = { hostPort: 1000, guestPort: 5 };

  test('are refused where nobody listens', async () => {
    const guest = vsockWithGuest();
    guest.say({ ...ports, operation: OPERATION.request });
    const [answer] = await guest.packets();
    assert.deepEqual([answer!.operation, answer!.hostPort, answer!.guestPort], [OPERATION.reset, 1000, 5]);
    assert.equal(guest.vsock.size, 0);
  });

  test('reach a listener, as long as it is there', async () => {
    const guest = vsockWithGuest();
    const user = noting();
    const listener = guest.vsock.listen(1000, (connection, from) => {
      assert.equal(from, 5);
      connection.send(bytes(3));
      return user.events;
    });
    assert.throws(() => guest.vsock.listen(1000, () => undefined), /listened to already/);
    guest.say({ ...ports, operation: OPERATION.request });
    assert.deepEqual(
      (await guest.packets()).map(({ operation }) => operation),
      [OPERATION.response, OPERATION.data],
    );
    assert.deepEqual(user.told, ['flushed 3']);
    listener.close();
    guest.say({ ...ports, guestPort: 6, operation: OPERATION.request });
    assert.equal((await guest.packets())[0]!.operation, OPERATION.reset);
  });

  test('a listener may refuse; a request that comes again ends what was there', async () => {
    const guest = vsockWithGuest();
    guest.vsock.listen(1, () => undefined);
    guest.say({ hostPort: 1, guestPort: 5, operation: OPERATION.request });
    assert.deepEqual(
      (await guest.packets()).map(({ operation }) => operation),
      [OPERATION.reset],
    );
    const user = noting();
    guest.vsock.listen(1000, () => user.events);
    guest.say({ ...ports, operation: OPERATION.request });
    guest.say({ ...ports, operation: OPERATION.request });
    assert.deepEqual(
      (await guest.packets()).map(({ operation }) => operation),
      [OPERATION.reset],
    );
    assert.deepEqual(user.told, ['closed reset']);
    assert.equal(guest.vsock.size, 0);
  });

  test('are counted until their user has heard the last of them', async () => {
    const guest = vsockWithGuest();
    guest.vsock.listen(1000, (connection) => {
      connection.pause();
      return noting().events;
    });
    for (let guestPort = 0; guestPort < 1100; guestPort++) {
      guest.say({ hostPort: 1000, guestPort, operation: OPERATION.request });
      await guest.packets();
      guest.say({ hostPort: 1000, guestPort, operation: OPERATION.data, bytes: bytes(10) });
      guest.say({ hostPort: 1000, guestPort, operation: OPERATION.shutdown, flags: BOTH });
    }
    assert.equal(guest.vsock.size, 1024);
    guest.vsock.close();
  });
});

test('thousands of connections leave nothing behind', async () => {
  const guest = vsockWithGuest();
  for (let i = 0; i < 500; i++) {
    const { connection, ports, told } = await connected(guest);
    connection.send(bytes(1));
    connection.finish();
    guest.say({ ...ports, operation: OPERATION.shutdown, flags: BOTH });
    await settled();
    assert.equal(told.at(-1), 'closed undefined');
    await guest.packets();
  }
  assert.equal(guest.vsock.size, 0);
  guest.timers.advance(10_000_000_000);
  assert.deepEqual(await guest.packets(), []);
});

test('a hostile guest gets no further than its connections', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const random = randomNumbers(seed);
    const guest = vsockWithGuest();
    let held = 0;
    const open = () => {
      const counts = { connected: 0, ended: 0, closed: 0 };
      return {
        connected: () => assert.equal(++counts.connected + counts.closed, 1),
        received(part: Uint8Array) {
          assert.equal(counts.ended + counts.closed, 0);
          held += part.length;
        },
        ended: () => assert.equal(++counts.ended, 1),
        flushed() {},
        closed: () => assert.equal(++counts.closed, 1),
      };
    };
    const users: ReturnType<typeof guest.vsock.connect>[] = [];
    guest.vsock.listen(3, (connection) => {
      users.push(connection);
      return random() % 4 === 0 ? undefined : open();
    });
    for (let i = 0; i < 4000; i++) {
      const user = users[random() % Math.max(1, users.length)];
      const kind = random() % 16;
      if (kind === 0) users.push(guest.vsock.connect(random() % 8, open()));
      else if (kind === 1) user?.send(bytes(random() % 10_000));
      else if (kind === 2) user?.[(['pause', 'resume', 'finish', 'abort'] as const)[random() % 4]!]();
      else if (kind === 3) guest.limit(random() % 40);
      else if (kind === 4) guest.vsock.wireReady();
      else if (kind === 5) guest.timers.advance((random() % 4) * 2_000_000_000);
      else if (kind === 6 && random() % 50 === 0) guest.vsock.reset();
      else {
        guest.say({
          operation: random() % 9,
          hostPort: random() % 2 === 0 ? 3 : 0x4000_0000 + (random() % 64),
          guestPort: random() % 8,
          flags: random() % 5,
          window: random() % 3 === 0 ? random() : random() % 9000,
          consumed: random() % 3 === 0 ? random() : random() % 20_000,
          bytes: bytes(random() % 3 === 0 ? random() % 65_536 : 0),
        });
      }
      if (random() % 3 === 0) await settled();
      if (random() % 20 === 0) for (const packet of await guest.packets()) assert.ok(packet.bytes.length <= 4096);
    }
    guest.vsock.close();
    for (const user of users) user.resume();
    await settled();
    assert.ok(held > 0);
    assert.equal(guest.vsock.size, 0, `seed ${seed}`);
  }
});
