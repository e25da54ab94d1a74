/** The doorway to a guest's ports, over sockets of the file system, with a guest in the hands of the test. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { OPERATION, SHUTDOWN, type VsockPacket } from '../../base/vsock-packet.ts';
import { connectUnix, listenUnix } from '../node/unix.ts';
import { serveDoorway, throughDoorway } from './doorway.ts';
import { noting, vsockWithGuest } from './guest.test-helper.ts';

const directory = mkdtempSync(join(tmpdir(), 'virts-door-'));
after(() => rmSync(directory, { recursive: true }));
let number = 0;

/** A doorway, and what takes the next packet for its guest. */
async function open() {
  const path = join(directory, `${++number}.sock`);
  const guest = vsockWithGuest();
  const listener = await listenUnix(path, (client) => serveDoorway(guest.vsock, client));
  const waiting: VsockPacket[] = [];
  async function packet(): Promise<VsockPacket> {
    for (;;) {
      const first = waiting.shift();
      if (first !== undefined) return first;
      waiting.push(...(await guest.packets()));
      if (waiting.length === 0) await setTimeout(1);
    }
  }
  return { path, guest, listener, packet };
}

/** Says something at the doorway and gives all that is answered. */
function ask(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect({ path }, () => socket.write(text));
    socket.on('data', (bytes) => {
      answer += bytes.toString();
    });
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
  });
}

const told = async (user: ReturnType<typeof noting>, what: string) => {
  while (!user.told.includes(what)) await setTimeout(1);
};

describe('the doorway to ports of the guest', () => {
  test('leads to a port, with what is said right behind the question', async () => {
    const { path, guest, listener, packet } = await open();
    const user = noting();
    const connection = throughDoorway((events) => connectUnix(path, events), 1000, user.events);
    connection.send(Buffer.from('early'));
    const request = await packet();
    assert.deepEqual([request.operation, request.guestPort], [OPERATION.request, 1000]);
    const ports = { hostPort: request.hostPort, guestPort: 1000 };
    guest.say({ ...ports, operation: OPERATION.response });
    assert.equal(Buffer.from((await packet()).bytes).toString(), 'early');
    guest.say({ ...ports, operation: OPERATION.data, bytes: Buffer.from('answer') });
    await told(user, 'received 6');
    assert.deepEqual(
      user.told.filter((word) => !word.startsWith('received')),
      ['connected', 'flushed 5'].toSorted((a) => (user.told[0] === a ? -1 : 1)),
    );
    connection.finish();
    assert.deepEqual((await packet()).flags, SHUTDOWN.send);
    guest.say({ ...ports, operation: OPERATION.shutdown, flags: SHUTDOWN.send | SHUTDOWN.receive });
    await told(user, 'closed undefined');
    assert.equal((await packet()).operation, OPERATION.reset);
    listener.close();
  });

  test('a guest that refuses, and a client that goes away, end the other side', async () => {
    const { path, guest, listener, packet } = await open();
    const user = noting();
    throughDoorway((events) => connectUnix(path, events), 7, user.events);
    const { hostPort } = await packet();
    guest.say({ hostPort, guestPort: 7, operation: OPERATION.reset });
    await told(user, 'closed refused');
    const gone = noting();
    const connection = throughDoorway((events) => connectUnix(path, events), 8, gone.events);
    const request = await packet();
    connection.abort();
    // It may still want to hear: that it does not shows when it is told something.
    guest.say({ hostPort: request.hostPort, guestPort: 8, operation: OPERATION.response });
    while ((await packet()).operation !== OPERATION.reset);
    while (guest.vsock.size > 0) await setTimeout(1);
    listener.close();
  });

  test('what is no question is refused', async () => {
    const { path, listener } = await open();
    for (const text of ['GET / HTTP/1.1\r\n', 'CONNECT\n', 'CONNECT -1\n', 'CONNECT 4294967295\n', 'x'.repeat(100)]) {
      assert.match(await ask(path, text), /^ERR say CONNECT/);
    }
    listener.close();
  });

  test('a slow client makes the guest wait, and loses nothing', async () => {
    const { path, guest, listener, packet } = await open();
    const socket = connect({ path });
    socket.write('CONNECT 5\n');
    const { hostPort } = await packet();
    const ports = { hostPort, guestPort: 5 };
    guest.say({ ...ports, operation: OPERATION.response });
    let [given, taken, credit] = [0, 0, 0];
    // As a guest would: never more than the host has room for.
    for (let round = 0; round < 400 && given - credit <= 262_144 - 16_384; round++) {
      guest.say({ ...ports, operation: OPERATION.data, bytes: new Uint8Array(16_384) });
      given += 16_384;
      for (const { consumed } of await guest.packets()) credit = consumed;
      await setTimeout(0);
    }
    assert.ok(given < 400 * 16_384, 'the guest had to wait');
    socket.on('data', (bytes) => {
      taken += bytes.length;
    });
    while (taken < given + 'OK 5\n'.length) await setTimeout(1);
    socket.destroy();
    listener.close();
  });

  test('it is this user’s alone; one that was left behind is replaced, one in use is not', async () => {
    const { path, listener } = await open();
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await assert.rejects(
      listenUnix(path, () => noting().events),
      { kind: 'io', message: /another program serves it/ },
    );
    listener.close();
    while (existsSync(path)) await setTimeout(1);
    await assert.rejects(
      listenUnix(join(directory, 'none', 'x'), () => noting().events),
      /directory does not exist/,
    );
    const file = join(directory, 'file');
    writeFileSync(file, '');
    await assert.rejects(
      listenUnix(file, () => noting().events),
      { kind: 'io' },
    );
    const left = join(directory, 'left.sock');
    const script = `net.createServer().listen({ path: ${JSON.stringify(left)} }, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    assert.ok(existsSync(left));
    (await listenUnix(left, () => noting().events)).close();
  });
});
