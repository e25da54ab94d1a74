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
import { setImmediate, setTimeout } from 'node:timers/promises';
import { DEFAULT_TRANSLATION } from '../../src/engine/translated/vcpu.ts';
import { createNetLink, openMachineEnd } from '../../src/network/link.ts';
import { createNat, type Nat } from '../../src/network/nat.ts';
import { createHostTimers, createNodeNetwork } from '../../src/network/node/host.ts';
import { type Service, serveNetLink } from '../../src/network/node/serve.ts';
import { createMachine, type Machine } from '../../src/vm/machine.ts';
import { guestFiles } from './guest.ts';
import { PROMPT, plain } from './guest-session.ts';

const LOOPBACK = '127.0.0.1';
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
/** Longest wait: so many instructions of the guest, and so many milliseconds in which it had nothing to do. */
const MOST_INSTRUCTIONS = 10_000_000_000;
const MOST_IDLE = 120_000;
const SLICE_NS = 1_000_000;

const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

describe('the default guest on a network', { concurrency: false }, () => {
  const big = randomBytes(3_000_000);
  const servers: { close(): unknown }[] = [];
  const uploads: Buffer[] = [];
  /** Bytes that came, of all uploads. */
  let uploaded = 0;
  let machine: Machine;
  let nat: Nat;
  let service: Service;
  let web: Server;
  let uploadPort = 0;
  let output = '';
  let seen = 0;

  /** Lets the guest run beside the host's event loop until `done`. */
  async function run(what: string, done: () => boolean): Promise<void> {
    const limit = machine.retired() + MOST_INSTRUCTIONS;
    let idle = 0;
    while (!done()) {
      const inTime = machine.retired() < limit && idle < MOST_IDLE;
      assert.ok(inTime, `${what} did not come:\n${output.slice(-2000)}`);
      const progress = machine.advance(SLICE_NS);
      assert.notEqual(progress.kind, 'ended', output.slice(-2000));
      if (progress.kind === 'idle') {
        idle++;
        await setTimeout(1);
      } else await setImmediate();
    }
  }

  async function waitFor(pattern: RegExp): Promise<string> {
    let text = '';
    await run(`${pattern}`, () => {
      const match = pattern.exec(output.slice(seen));
      if (match === null) return false;
      text = output.slice(seen, seen + match.index + match[0].length);
      seen += text.length;
      return true;
    });
    return text;
  }

  /** Types a command and returns what it says. */
  async function command(line: string): Promise<string> {
    let rest: Uint8Array = Buffer.from(`${line}\n`);
    await run('room for input', () => {
      rest = rest.subarray(machine.input(rest));
      return rest.length === 0;
    });
    const answer = plain(await waitFor(PROMPT));
    return answer.slice(answer.indexOf('\n') + 1, answer.lastIndexOf('virts# ')).trimEnd();
  }

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
    machine = createMachine({
      ...{ memory: 256 << 20, clock: 'real', hostNow: () => performance.now() * 1e6, epoch: Date.now() },
      translation: DEFAULT_TRANSLATION,
      random: (bytes) => void randomFillSync(bytes),
      network: { port: openMachineEnd(link), mac: MAC, mtu: 1500 },
      serial: {
        write(byte) {
          output += String.fromCharCode(byte);
        },
      },
    });
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
