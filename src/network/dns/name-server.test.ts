/** Asked by Node's own resolver, c-ares, which shares nothing with what it tests. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { promises as dns } from 'node:dns';
import { after, before, describe, test } from 'node:test';
import { createPolicy, type Policy } from '../policy.ts';
import { foundAddresses, parseQuery, type Query, TYPE } from './message.ts';
import { createNameServer, type NameServer } from './name-server.ts';

const name = (text: string) => [...text.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]), 0];
const word = (value: number) => [value >> 8, value & 255];

function query(text: string, type: number, id = 0x1234, extra: readonly number[] = []): Uint8Array {
  const counts = [0, 1, 0, 0, 0, 0, ...word(extra.length > 0 ? 1 : 0)];
  return Uint8Array.from([...word(id), 1, 0, ...counts, ...name(text), ...word(type), 0, 1, ...extra]);
}

/** An answer with records: name (or a pointer), type, data. */
function answer(asked: Uint8Array, records: readonly [number[], number, number[]][], flags = 0x8180): Uint8Array {
  const question = asked.subarray(12, parsed(asked).end);
  return Uint8Array.from([
    ...[...asked.subarray(0, 2), ...word(flags), 0, 1, ...word(records.length), 0, 0, 0, 0, ...question],
    ...records.flatMap(([owner, type, data]) => [
      ...owner,
      ...word(type),
      0,
      1,
      0,
      0,
      1,
      0,
      ...word(data.length),
      ...data,
    ]),
  ]);
}

const parsed = (bytes: Uint8Array): Query => parseQuery(bytes) as Query;
const POINTER = [0xc0, 12];

interface Rig {
  readonly server: NameServer;
  readonly policy: Policy;
  readonly asked: string[];
}

function rig(respond: (asked: Uint8Array) => Uint8Array | undefined, hosts?: readonly string[]): Rig {
  const asked: string[] = [];
  const policy = createPolicy(hosts === undefined ? { kind: 'full' } : { kind: 'listed', hosts }, () => 0);
  const server = createNameServer({
    policy,
    host: {
      known: (text) => (text === 'noted.example' ? ['192.0.2.9'] : []),
      async resolve(bytes) {
        asked.push(parsed(bytes).name);
        const found = respond(bytes);
        if (found === undefined) throw new Error('nobody answers');
        return found;
      },
    },
    machine: (text) => ({ gateway: ['10.0.2.2', 'fd00::2'], empty: [] })[text],
  });
  return { server, policy, asked };
}

const code = (bytes: Uint8Array | undefined) => bytes![3]! & 15;

describe('asked by a resolver', () => {
  let socket: ReturnType<typeof createSocket>;
  let resolver: dns.Resolver;
  const records: Record<string, (asked: Uint8Array) => Uint8Array> = {
    'a.example': (asked) => answer(asked, parsed(asked).type === TYPE.a ? [[POINTER, TYPE.a, [192, 0, 2, 1]]] : []),
    'alias.example': (asked) =>
      answer(asked, [
        [POINTER, TYPE.cname, name('real.example')],
        [name('real.example'), TYPE.a, [192, 0, 2, 2]],
      ]),
    'text.example': (asked) => answer(asked, [[POINTER, 16, [5, ...Buffer.from('hello')]]]),
  };

  before(async () => {
    const { server } = rig((asked) => records[parsed(asked).name]?.(asked));
    socket = createSocket('udp4');
    socket.on('message', async (message, from) => {
      const reply = await server.answer(message, false);
      if (reply !== undefined) socket.send(reply, from.port, from.address);
    });
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    resolver = new dns.Resolver({ timeout: 5000, tries: 1 });
    resolver.setServers([`127.0.0.1:${socket.address().port}`]);
  });
  after(() => socket.close());

  test('machines and noted names, of either version', async () => {
    assert.deepEqual(await resolver.resolve4('gateway'), ['10.0.2.2']);
    assert.deepEqual(await resolver.resolve6('gateway'), ['fd00::2']);
    assert.deepEqual(await resolver.resolve4('noted.example'), ['192.0.2.9']);
    await assert.rejects(resolver.resolve4('empty'), { code: 'ENODATA' });
  });

  test('all else comes from the host, whatever its type', async () => {
    assert.deepEqual(await resolver.resolve4('a.example'), ['192.0.2.1']);
    assert.deepEqual(await resolver.resolve4('alias.example'), ['192.0.2.2']);
    assert.deepEqual(await resolver.resolveTxt('text.example'), [['hello']]);
    await assert.rejects(resolver.resolve4('nobody.example'), { code: 'ESERVFAIL' });
  });

  test('names that mean something only here are not passed on', async () => {
    await assert.rejects(resolver.resolve4('printer.local'), { code: 'ENOTFOUND' });
    await assert.rejects(resolver.reverse('10.1.2.3'), { code: 'ENOTFOUND' });
  });
});

test('only listed names are looked up, and what they lead to is open', async () => {
  const { server, policy, asked } = rig(
    (bytes) =>
      answer(bytes, [
        [POINTER, TYPE.cname, name('cdn.net')],
        [name('cdn.net'), TYPE.a, [203, 0, 113, 7]],
        [name('other.net'), TYPE.a, [203, 0, 113, 8]],
        [name('cdn.net'), TYPE.a, [127, 0, 0, 1]],
      ]),
    ['good.example'],
  );
  assert.equal(code(await server.answer(query('evil.example', TYPE.a), false)), 5);
  assert.deepEqual(asked, []);
  assert.equal(code(await server.answer(query('GOOD.example', TYPE.a), false)), 0);
  assert.ok(policy.mayReach('203.0.113.7'));
  assert.ok(!policy.mayReach('203.0.113.8'), 'an address that the name does not lead to');
  assert.ok(!policy.mayReach('127.0.0.1'));
});

test('an answer to another question opens nothing', async () => {
  const { server, policy } = rig(
    () => answer(query('other.example', TYPE.a), [[POINTER, TYPE.a, [203, 0, 113, 7]]]),
    ['good.example'],
  );
  assert.equal(code(await server.answer(query('good.example', TYPE.a), false)), 2);
  assert.ok(!policy.mayReach('203.0.113.7'));
});

test('an answer too long for UDP is cut, unless the asker takes more or uses TCP', async () => {
  const many = Array.from({ length: 60 }, (_, i): [number[], number, number[]] => [POINTER, TYPE.a, [192, 0, 2, i]]);
  const { server } = rig((asked) => answer(asked, many));
  const cut = await server.answer(query('a.example', TYPE.a), false);
  assert.ok(cut!.length <= 512 && (cut![2]! & 2) === 2);
  const opt = [0, ...word(41), ...word(4000), 0, 0, 0, 0, 0, 0];
  assert.ok((await server.answer(query('a.example', TYPE.a, 1, opt), false))!.length > 900);
  assert.ok((await server.answer(query('a.example', TYPE.a), true))!.length > 900);
});

test('what is malformed is answered as such, or not at all', async () => {
  const { server } = rig(() => undefined);
  const good = query('a.example', TYPE.a);
  assert.equal(await server.answer(good.subarray(0, 11), false), undefined);
  const response = good.slice();
  response[2] = 0x81;
  assert.equal(await server.answer(response, false), undefined);
  const status = good.slice();
  status[2] = 0x11;
  assert.equal(code(await server.answer(status, false)), 4);
  const two = good.slice();
  two[5] = 2;
  assert.equal(code(await server.answer(two, false)), 1);
  const loop = Uint8Array.from([...good.subarray(0, 12), 0xc0, 12, 0, 1, 0, 1]);
  assert.equal(code(await server.answer(loop, false)), 1);
  assert.equal(code(await server.answer(good.subarray(0, good.length - 3), false)), 1);
});

test('questions that wait are bounded', async () => {
  const open: (() => void)[] = [];
  const policy = createPolicy({ kind: 'full' }, () => 0);
  const host = {
    known: () => [],
    resolve: () => new Promise<Uint8Array>((_, reject) => open.push(() => reject(new Error()))),
  };
  const server = createNameServer({ policy, host, machine: () => undefined });
  const waiting = Array.from({ length: 100 }, (_, i) => server.answer(query(`n${i}.example`, TYPE.a), false));
  assert.equal(server.waiting, 64);
  for (const fail of open) fail();
  assert.ok((await Promise.all(waiting)).every((bytes) => code(bytes) === 2));
  assert.equal(server.waiting, 0);
});

test('records of an answer are read no further than they are sound', () => {
  const asked = parsed(query('a.example', TYPE.a));
  const full = answer(asked.bytes, [
    [POINTER, TYPE.a, [1, 2, 3, 4]],
    [POINTER, TYPE.a, [5, 6, 7, 8]],
  ]);
  assert.deepEqual(foundAddresses(asked, full).addresses, ['1.2.3.4', '5.6.7.8']);
  assert.deepEqual(foundAddresses(asked, full.subarray(0, full.length - 2)).addresses, ['1.2.3.4']);
});
