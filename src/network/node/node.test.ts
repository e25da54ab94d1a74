/** The host's back end, over the host's own loopback interface. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { ConnectionEvents, HostConnection } from '../host.ts';
import { createEcho } from './echo.ts';
import { createNodeNetwork } from './host.ts';
import { parseHosts } from './hosts-file.ts';
import { resolve } from './resolver.ts';
import { connect, listen } from './tcp.ts';
import { bind, datagrams } from './udp.ts';

const LOOPBACK = '127.0.0.1';
const directory = mkdtempSync(join(tmpdir(), 'virts-network-'));
after(() => rmSync(directory, { recursive: true }));

/** What a connection is told, in order, and a wait for one of it. */
function listener() {
  const told: string[] = [];
  const bytes: number[] = [];
  let tell = () => {};
  const add = (what: string) => {
    told.push(what);
    tell();
  };
  const events: ConnectionEvents = {
    connected: () => add('connected'),
    received(data) {
      bytes.push(...data);
      add('received');
    },
    ended: () => add('ended'),
    flushed: () => add('flushed'),
    closed: (error) => add(`closed ${error}`),
  };
  return {
    told,
    bytes,
    events,
    async until(what: string): Promise<void> {
      while (!told.includes(what)) await new Promise<void>((resolve) => (tell = resolve));
    },
  };
}

describe('TCP', () => {
  test('a connection carries bytes, half closes and ends', async () => {
    const [here, there] = [listener(), listener()];
    let other: HostConnection | undefined;
    const server = await listen({ address: LOOPBACK, port: 0 }, (connection) => {
      other = connection;
      return there.events;
    });
    const connection = connect(server.at, here.events);
    await here.until('connected');
    connection.send(Uint8Array.of(1, 2, 3));
    connection.finish();
    await there.until('ended');
    assert.deepEqual(there.bytes, [1, 2, 3]);
    other!.send(Uint8Array.of(4));
    await here.until('received');
    other!.finish();
    await here.until('closed undefined');
    await there.until('closed undefined');
    assert.deepEqual(here.bytes, [4]);
    assert.ok(here.told.includes('flushed'));
    server.close();
  });

  test('a refusal and a reset are told', async () => {
    const there = listener();
    let other: HostConnection | undefined;
    const server = await listen({ address: LOOPBACK, port: 0 }, (connection) => {
      other = connection;
      return there.events;
    });
    const here = listener();
    connect(server.at, here.events);
    await here.until('connected');
    // Once data came, the other side is surely there.
    while (other === undefined) await new Promise((resolve) => setImmediate(resolve));
    other.abort();
    await here.until('closed reset');
    server.close();
    const nobody = listener();
    connect(server.at, nobody.events);
    await nobody.until('closed refused');
  });

  test('a connection that nobody wants is refused', async () => {
    const server = await listen({ address: LOOPBACK, port: 0 }, () => undefined);
    const here = listener();
    connect(server.at, here.events);
    await here.until('closed reset');
    server.close();
  });

  test('a taken port, a foreign address and a privileged port have a sentence each', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
    const { port } = server.address() as { port: number };
    await assert.rejects(
      listen({ address: LOOPBACK, port }, () => undefined),
      {
        kind: 'io',
        message: `TCP port ${port} of 127.0.0.1 is in use; choose another port to forward, or end the program that has it.`,
      },
    );
    await assert.rejects(
      listen({ address: '192.0.2.77', port: 0 }, () => undefined),
      {
        kind: 'io',
        message: /^192\.0\.2\.77 is no address of this host; /,
      },
    );
    const socket = await bind({ address: LOOPBACK, port: 0 }, () => {});
    await assert.rejects(
      bind(socket.at, () => {}),
      { kind: 'io', message: /^UDP port \d+ of 127\.0\.0\.1 is in use; / },
    );
    socket.close();
    await new Promise((resolve) => server.close(resolve));
  });
});

test('UDP datagrams go and come', async () => {
  const arrived = Promise.withResolvers<number[]>();
  const server = await bind({ address: LOOPBACK, port: 0 }, (from, bytes) => {
    assert.equal(from.address, LOOPBACK);
    server.send(from, Uint8Array.of(...bytes, 9));
  });
  const client = datagrams(4, (from, bytes) => {
    assert.deepEqual(from, server.at);
    arrived.resolve([...bytes]);
  });
  client.send(server.at, Uint8Array.of(1, 2));
  assert.deepEqual(await arrived.promise, [1, 2, 9]);
  client.close();
  client.close();
  client.send(server.at, Uint8Array.of(1));
  server.close();
});

describe('the resolver', () => {
  const question = Uint8Array.of(0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 1, 0, 1);

  test('asks one server after the other, under a number of its own', async () => {
    const numbers: number[] = [];
    const server = await bind({ address: LOOPBACK, port: 0 }, (from, bytes) => {
      numbers.push(bytes[0]! * 256 + bytes[1]!);
      const answer = bytes.slice();
      answer[2] = 0x81;
      server.send(from, Uint8Array.of(answer[0]! ^ 1, ...answer.subarray(1)));
      server.send(from, answer);
    });
    const dead = await bind({ address: LOOPBACK, port: 0 }, () => {});
    dead.close();
    const servers = [`${LOOPBACK}:${dead.at.port}`, `${LOOPBACK}:${server.at.port}`];
    const answers = await Promise.all([1, 2, 3].map(() => resolve(question, servers)));
    for (const answer of answers) assert.deepEqual([...answer.subarray(0, 3)], [0x12, 0x34, 0x81]);
    assert.ok(new Set(numbers).size > 1);
    server.close();
  });

  test('comes back over TCP for an answer that was cut', async () => {
    const tcp = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes: Buffer) =>
        socket.end(Buffer.concat([bytes.subarray(0, 4), Buffer.of(0x81), bytes.subarray(5), Buffer.of()])),
      );
    });
    await new Promise<void>((resolve) => tcp.listen(0, LOOPBACK, resolve));
    const { port } = tcp.address() as { port: number };
    const udp = await bind({ address: LOOPBACK, port }, (from, bytes) => {
      const answer = bytes.slice();
      answer[2] = 0x83;
      udp.send(from, answer);
    });
    const answer = await resolve(question, [`${LOOPBACK}:${port}`]);
    assert.equal(answer[2], 0x81);
    udp.close();
    await new Promise((resolve) => tcp.close(resolve));
  });

  test('a host without a name server is told', async () => {
    await assert.rejects(resolve(question, []), /no name server/);
  });
});

test('the hosts file gives names that are not of the host alone', () => {
  const found = parseHosts(
    '127.0.0.1 localhost\n192.0.2.1  Web web.example # comment\n#192.0.2.2 no\n2001:DB8::1 web\nbad line\n\n',
  );
  assert.deepEqual(
    [...found],
    [
      ['web', ['192.0.2.1', '2001:db8::1']],
      ['web.example', ['192.0.2.1']],
    ],
  );
  const path = join(directory, 'hosts');
  writeFileSync(path, '192.0.2.5 here\n');
  const network = createNodeNetwork({ hostsFile: path, path: '' });
  assert.deepEqual(network.known('here'), ['192.0.2.5']);
  assert.deepEqual(network.known('there'), []);
  assert.deepEqual(createNodeNetwork({ hostsFile: join(directory, 'none') }).known('here'), []);
});

test("echo requests are the host's ping's, if there is one", async () => {
  assert.equal(createEcho(directory), undefined);
  assert.equal(createNodeNetwork({ path: '' }).echo, undefined);
  const log = join(directory, 'log');
  writeFileSync(
    join(directory, 'ping'),
    `#!/bin/sh\necho "$@" >>${log}\nfor last; do :; done\n[ "$last" = 192.0.2.1 ]\n`,
  );
  chmodSync(join(directory, 'ping'), 0o755);
  const echo = createEcho(`/nowhere:${directory}`)!;
  assert.equal(await echo('192.0.2.1', 56), true);
  assert.equal(await echo('192.0.2.2', 56), false);
  assert.equal(await echo('2001:db8::1', 99_999), false);
});

test('many connections at once and one after the other leave nothing open', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => socket.end(bytes));
  });
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  const at = { address: LOOPBACK, port: (server.address() as { port: number }).port };
  async function use(): Promise<void> {
    const here = listener();
    const connection = connect(at, here.events);
    await here.until('connected');
    connection.send(Uint8Array.of(5));
    await here.until('ended');
    connection.finish();
    await here.until('closed undefined');
    assert.deepEqual(here.bytes, [5]);
  }
  for (let i = 0; i < 100; i++) await use();
  await Promise.all(Array.from({ length: 200 }, use));
  // Resolves when no connection is left.
  await new Promise((resolve) => server.close(resolve));
});
