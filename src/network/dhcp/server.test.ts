import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDhcpServer } from './server.ts';

const POOL = Array.from({ length: 4 }, (_, i) => `10.0.2.${15 + i}`);
const bytesOf = (address: string) => address.split('.').map(Number);

function rig() {
  const time = { now: 0 };
  const server = createDhcpServer({
    ...{ server: '10.0.2.2', maskBits: 24, router: '10.0.2.2', nameServer: '10.0.2.3', mtu: 1500, pool: POOL },
    domain: 'virts.internal',
    hostName: 'first',
    now: () => time.now,
  });
  return { time, server };
}

type Options = Readonly<Record<number, readonly number[]>>;

/** A client's message, as RFC 2131 lays it out. */
function message(client: number, options: Options, own = '0.0.0.0'): Uint8Array {
  const head = [1, 1, 6, 0, 9, 8, 7, 6, 0, 0, 0, 0, ...bytesOf(own), ...Array(12).fill(0), 2, 0, 0, 0, 0, client];
  const fixed = [...head, ...Array(236 - head.length).fill(0), 0x63, 0x82, 0x53, 0x63];
  const rest = Object.entries(options).flatMap(([number, data]) => [Number(number), data.length, ...data]);
  return Uint8Array.from([...fixed, ...rest, 255]);
}

function read(bytes: Uint8Array | undefined) {
  assert.ok(bytes !== undefined && bytes.length >= 300);
  const options: Record<number, number[]> = {};
  for (let at = 240; bytes[at] !== 255; at += 2 + bytes[at + 1]!) {
    options[bytes[at]!] = [...bytes.subarray(at + 2, at + 2 + bytes[at + 1]!)];
  }
  assert.deepEqual([...bytes.subarray(0, 8)], [2, 1, 6, 0, 9, 8, 7, 6]);
  return { address: bytes.subarray(16, 20).join('.'), type: options[53]![0], options };
}

type Server = ReturnType<typeof rig>['server'];
const ask = (server: Server, client: number, options: Options, own?: string) =>
  server.receive(message(client, options, own));

/** The whole exchange; the address, if there is one. */
function obtain(server: Server, client: number, wish?: string): string | undefined {
  const offer = ask(server, client, { 53: [1], ...(wish === undefined ? {} : { 50: bytesOf(wish) }) });
  if (offer === undefined) return undefined;
  const { address } = read(offer.bytes);
  const answer = read(ask(server, client, { 53: [3], 50: bytesOf(address), 54: [10, 0, 2, 2] })!.bytes);
  assert.deepEqual([answer.type, answer.address], [5, address]);
  return address;
}

test('a client is offered an address and all it needs, and gets it', () => {
  const { server } = rig();
  const offer = ask(server, 1, { 53: [1], 12: [65] })!;
  assert.equal(offer.to, 'all');
  const { type, address, options } = read(offer.bytes);
  assert.deepEqual([type, address], [2, '10.0.2.15']);
  assert.deepEqual(options[1], [255, 255, 255, 0]);
  assert.deepEqual(options[3], [10, 0, 2, 2]);
  assert.deepEqual(options[6], [10, 0, 2, 3]);
  assert.deepEqual(options[26], [5, 220]);
  assert.deepEqual(options[51], [0, 1, 0x51, 0x80]);
  assert.equal(Buffer.from(options[12]!).toString(), 'first', 'the name that the host gave it');
  assert.equal(Buffer.from(options[15]!).toString(), 'virts.internal');
  assert.equal(obtain(server, 1), '10.0.2.15');
  assert.equal(obtain(server, 1), '10.0.2.15', 'again');
  assert.deepEqual(server.leases(), [{ address: '10.0.2.15', mac: '02:00:00:00:00:01' }]);
});

test('wishes are granted where they can be', () => {
  const { server } = rig();
  assert.equal(obtain(server, 1, '10.0.2.17'), '10.0.2.17');
  assert.equal(obtain(server, 2, '10.0.2.17'), '10.0.2.15');
  assert.equal(obtain(server, 3, '192.168.0.1'), '10.0.2.16');
});

test("an address that is not the client's is refused, to all", () => {
  const { server } = rig();
  obtain(server, 1);
  for (const wish of ['10.0.2.15', '192.168.0.1', '10.0.2.2']) {
    const answer = ask(server, 2, { 53: [3], 50: bytesOf(wish) })!;
    assert.equal(read(answer.bytes).type, 6, wish);
    assert.equal(answer.to, 'all');
  }
});

test('a lease is renewed directly, released, and given to others only when it ran out', () => {
  const { server, time } = rig();
  obtain(server, 1);
  const renewal = ask(server, 1, { 53: [3] }, '10.0.2.15')!;
  assert.deepEqual([read(renewal.bytes).type, renewal.to], [5, '10.0.2.15']);
  for (const client of [2, 3, 4]) obtain(server, client);
  assert.equal(obtain(server, 5), undefined, 'the pool is exhausted');
  time.now = 86_401e9;
  assert.equal(obtain(server, 5), '10.0.2.15');
  assert.equal(ask(server, 5, { 53: [7] }, '10.0.2.15'), undefined);
  assert.equal(obtain(server, 6), '10.0.2.15');
});

test('a choice of another server, a declined address and a question for settings', () => {
  const { server } = rig();
  ask(server, 1, { 53: [1] });
  assert.equal(ask(server, 1, { 53: [3], 50: [10, 0, 2, 15], 54: [10, 0, 2, 99] }), undefined);
  assert.equal(obtain(server, 2), '10.0.2.16', 'the first address is free only when there is no other');
  assert.equal(ask(server, 2, { 53: [4], 50: [10, 0, 2, 16] }), undefined);
  assert.notEqual(obtain(server, 2), '10.0.2.16');
  const inform = ask(server, 3, { 53: [8] }, '10.0.2.77')!;
  const { type, address, options } = read(inform.bytes);
  assert.deepEqual([type, address, options[51]], [5, '0.0.0.0', undefined]);
});

test('offers that nobody takes do not fill the pool', () => {
  const { server } = rig();
  for (let client = 0; client < 200; client++) assert.ok(ask(server, client, { 53: [1] }) !== undefined);
  assert.equal(obtain(server, 201) === undefined, false);
});

test('what is malformed gets no answer', () => {
  const { server } = rig();
  const good = message(1, { 53: [1] });
  for (let length = 0; length < 242; length++) assert.equal(server.receive(good.subarray(0, length)), undefined);
  for (const [at, value] of [
    [0, 2],
    [1, 7],
    [2, 5],
    [236, 0],
    [24, 1],
    [242, 99],
  ] as const) {
    const bad = good.slice();
    bad[at] = value;
    assert.equal(server.receive(bad), undefined, `${at}`);
  }
});
