/** The default guest on a user-mode network: it gets an address, fetches pages, serves them, and bytes arrive intact. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createNetLink, openMachineEnd } from '../../src/network/link.ts';
import { createNat, type Nat } from '../../src/network/nat.ts';
import { createHostTimers, createNodeNetwork } from '../../src/network/node/host.ts';
import { type Service, serveNetLink } from '../../src/network/node/serve.ts';
import { guestFiles } from './guest.ts';
import { PROMPT } from './guest-session.ts';
import { type LiveSession, liveSession } from './live-session.ts';

const LOOPBACK = '127.0.0.1';
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);

const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

describe('the default guest on a network', { concurrency: false }, () => {
  const big = randomBytes(3_000_000);
  const servers: { close(): unknown }[] = [];
  const uploads: Buffer[] = [];
  /** Bytes that came, of all uploads. */
  let uploaded = 0;
  let machine: LiveSession['machine'];
  let run: LiveSession['run'];
  let waitFor: LiveSession['waitFor'];
  let command: LiveSession['command'];
  let nat: Nat;
  let service: Service;
  let web: Server;
  let uploadPort = 0;

  before(async () => {
    web = createServer((request, response) => void response.end(request.url === '/big' ? big : 'a page of the host\n'));
    web.listen(0, LOOPBACK);
    const sink = createTcpServer((socket) => {
      const chunks: Buffer[] = [];
      socket.on('error', () => {});
      socket.on('data', (bytes: Buffer) => {
        chunks.push(bytes);
        uploaded += bytes.length;
      });
      socket.on('end', () => uploads.push(Buffer.concat(chunks)));
    }).listen(0, LOOPBACK);
    servers.push(web, sink);
    await Promise.all([once(web, 'listening'), once(sink, 'listening')]);
    uploadPort = (sink.address() as AddressInfo).port;
    const hostsFile = join(tmpdir(), `virts-hosts-${process.pid}`);
    writeFileSync(hostsFile, '192.0.2.5 server.example\n');
    const link = createNetLink();
    service = serveNetLink(
      link,
      () => {},
      (wire) => {
        nat = createNat({
          ...{ wire, access: { kind: 'full' }, hostAccess: true, route6: false },
          host: createNodeNetwork({ hostsFile, nameServers: [] }),
          timers: createHostTimers(),
          random: (bytes) => void randomFillSync(bytes),
        });
        return nat;
      },
    );
    ({ machine, run, waitFor, command } = liveSession({
      network: { port: openMachineEnd(link), mac: MAC, mtu: 1500 },
    }));
    machine.boot(await guestFiles('amd64'));
    await waitFor(PROMPT);
    await command('until ip addr show eth0 | grep -q "inet 10"; do sleep 1; done');
  });

  after(() => {
    nat.close();
    service.close();
    for (const server of servers) server.close();
  });

  const url = (path: string) => `http://10.0.2.2:${(web.address() as AddressInfo).port}${path}`;

  test('it has an address, a route and a name server', async () => {
    assert.match(await command('ip -4 addr show eth0'), /inet 10\.0\.2\.15\/24/);
    assert.match(await command('ip route'), /default via 10\.0\.2\.2 dev eth0/);
    // The address comes once the router was asked and nobody else claims it.
    const settled = 'for _ in $(seq 30); do ip -6 addr show eth0 | grep -q "inet6 fd76" && break; sleep 1; done';
    assert.match(await command(`${settled}; ip -6 addr show eth0`), /inet6 fd76:6972:7473:1:/);
    assert.match(await command('nslookup gateway'), /Name:\s+gateway\.virts\.internal\s+Address: 10\.0\.2\.2/);
    assert.match(await command('nslookup server.example'), /Address: 192\.0\.2\.5/);
    assert.match(await command('ping -c 1 10.0.2.2'), /1 packets received/);
  });

  test('it fetches a page, and a large file without a changed byte', async () => {
    assert.equal(await command(`wget -q -O - ${url('/')}`), 'a page of the host');
    assert.match(await command(`wget -q -O - ${url('/big')} | md5sum`), new RegExp(md5(big)));
  });

  test('what it sends arrives without a changed byte', async () => {
    const sum = await command('head -c 1000000 /dev/urandom >/tmp/up; md5sum </tmp/up');
    // It does not end by itself at the end of its input.
    await command(`nc 10.0.2.2 ${uploadPort} </tmp/up &`);
    await run('all bytes', () => uploaded >= 1_000_000);
    await command('kill $!');
    await run('the end of the upload', () => uploads.length > 0);
    assert.equal(uploads[0]!.length, 1_000_000);
    assert.ok(sum.startsWith(md5(uploads[0]!)), sum);
  });

  test('it serves a page through a forwarded port', async () => {
    await command('mkdir -p /tmp/www; echo a page of the guest >/tmp/www/index.html; httpd -h /tmp/www -p 80');
    const { at } = await nat.forward({ protocol: 'tcp', at: { address: LOOPBACK, port: 0 }, port: 80 });
    const pages: string[] = [];
    for (let i = 0; i < 5; i++) {
      void fetch(`http://${LOOPBACK}:${at.port}/`).then(async (response) => pages.push(await response.text()));
    }
    await run('the pages', () => pages.length === 5);
    assert.deepEqual([...new Set(pages)], ['a page of the guest\n']);
  });

  test('a port that nobody listens on refuses it, and nothing is left open', async () => {
    assert.match(await command('wget -q -O - http://10.0.2.2:1/; echo status $?'), /refused[\s\S]*status 1/);
    assert.match(await command('wget -q -O - http://127.0.0.2:1/; echo status $?'), /status 1/);
    await run('the end of all connections', () => nat.figures()['TCP connections'] === 0);
  });
});
