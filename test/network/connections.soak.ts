/**
 * Ten thousand connections in sequence and 500 at once, by a real guest: outwards to a server of the host, and through a forwarded
 * port to a server in the guest. Then nothing is left of them: no file descriptor, no connection of the network, no alarm, no shared
 * buffer, and no memory.
 */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { openSync, readdirSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { env, memoryUsage } from 'node:process';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createMarkReader } from '../../bench/marks.ts';
import { networkInitrd } from '../../bench/network-image.ts';
import { fetchPages, servePages } from '../../bench/network-load.ts';
import { DEFAULT_TRANSLATION } from '../../src/engine/translated/vcpu-interface.ts';
import { cacheDirectory } from '../../src/images/apt/cache.ts';
import { SILENT } from '../../src/images/apt/progress.ts';
import { defaultGuest } from '../../src/images/default-guest.ts';
import { createNetLink } from '../../src/network/link.ts';
import { createNat, type Nat } from '../../src/network/nat.ts';
import { createHostTimers, createNodeNetwork } from '../../src/network/node/host.ts';
import { serveNetLink } from '../../src/network/node/serve.ts';
import { startMachine } from '../../src/sdk/node/start-machine.ts';

/** More than it takes on a very busy host. */
const TIMEOUT_MS = 1_500_000;
const LOOPBACK = '127.0.0.1';
const HOST = '10.0.2.2';
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const ONE_BY_ONE = Number(env.VIRTS_CONNECTIONS ?? 10_000);
const AT_ONCE = 500;
/** Bytes of this thread's memory that may come and go by chance; a thousandth of what 10,000 connections of a KiB each would leave is more. */
const SLACK = 3 << 20;
/** What the network keeps after the last segment, in milliseconds, is gone after this. */
const SETTLED_MS = 180_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

interface Guest {
  readonly nat: Nat;
  /** Bytes of its memory that the host backs. */
  resident(): Promise<number>;
  /** Runs a command in the guest. @throws where it fails. */
  command(line: string): Promise<string>;
}

const closing: (() => unknown)[] = [];
after(async () => {
  for (const close of closing.toReversed()) await close();
});

/** The guest of the network benchmark: it has ab, and nginx on port 80. */
async function startGuest(): Promise<Guest> {
  const options = { cache: cacheDirectory(), progress: SILENT, signal: new AbortController().signal };
  const guest = await defaultGuest(options);
  const initrd = await networkInitrd(guest, { ...options, refresh: false });
  const link = createNetLink();
  let nat: Nat | undefined;
  let wake = () => {};
  const service = serveNetLink(
    link,
    () => wake(),
    (wire) => {
      nat = createNat({
        ...{ wire, access: { kind: 'full' }, hostAccess: true, route6: false },
        host: createNodeNetwork({ nameServers: [] }),
        timers: createHostTimers(),
        random: (bytes) => void randomFillSync(bytes),
      });
      return nat;
    },
  );
  closing.push(() => nat!.close(), service.close);
  const file = (name: string) => ({ name, descriptor: openSync(name, 'r') });
  const machine = await startMachine({
    ...{ kernel: file(guest.kernel), initrd: file(initrd), append: 'console=ttyS0 quiet mitigations=off loglevel=3' },
    ...{ memory: 512 << 20, cpus: 1, translation: DEFAULT_TRANSLATION, reboot: false },
    network: {
      ...{ link, mac: MAC, mtu: 1500 },
      wakes(how) {
        wake = how;
      },
    },
  });
  closing.push(() => machine.stop());
  let said = '';
  let waiting: PromiseWithResolvers<string> = Promise.withResolvers();
  const ready = waiting.promise;
  const read = createMarkReader(({ name, text }) => {
    if (name === 'runner') waiting.resolve(text);
  });
  machine.onOutput((bytes) => {
    for (const line of read(Buffer.from(bytes).toString('latin1'), 0)) said += `${line}\n`;
  });
  await ready;
  return {
    nat: nat!,
    async resident() {
      await machine.refreshStatistics?.();
      return 1024 * Number(machine.statistics?.()['resident guest memory (KiB)']);
    },
    async command(line) {
      said = '';
      waiting = Promise.withResolvers();
      const done = waiting.promise;
      await machine.input(Buffer.from(`${line}\n`));
      assert.equal(await done, '0', `${line}: ${said}`);
      return said;
    },
  };
}

async function until(what: string, done: () => boolean, within = SETTLED_MS): Promise<void> {
  for (const limit = performance.now() + within; !done(); await setTimeout(20)) {
    assert.ok(performance.now() < limit, `${what} did not come`);
  }
}

const openFiles = () => readdirSync('/proc/self/fd').length;

/** Bytes that live in this thread, where the network runs. */
function liveMemory(): number {
  collect();
  const { heapUsed, external } = memoryUsage();
  return heapUsed + external;
}

const MIB = 2 ** 20;
const mib = (bytes: number) => (bytes / MIB).toFixed(2);

describe('a guest makes connections', { concurrency: false, timeout: TIMEOUT_MS }, () => {
  let guest: Guest;
  before(async () => {
    guest = await startGuest();
  });

  /** What there is when nothing is open. */
  async function settled(files: number) {
    const { nat } = guest;
    await until('the end of all connections', () => nat.figures()['TCP connections'] === 0 && openFiles() <= files);
    // One is the network's own: it tells guests of IPv6 now and then.
    await until('the last alarm', () => nat.figures()['alarms waiting']! <= 1);
    assert.equal(nat.figures()['shared buffer left (KiB)'], 65_536);
    return { live: liveMemory(), process: memoryUsage.rss() - (await guest.resident()) };
  }

  /** Runs `make` for a part of the connections, and then for all, after which there is no more memory in use. */
  async function leavesNothing(make: (count: number) => Promise<void>, say: (text: string) => void): Promise<void> {
    const files = openFiles();
    // Caches, compiled code and buffers find their size.
    await make(ONE_BY_ONE / 5);
    const before = await settled(files);
    const start = performance.now();
    await make(ONE_BY_ONE);
    const rate = ONE_BY_ONE / ((performance.now() - start) / 1000);
    const after = await settled(files);
    say(
      `${rate.toFixed(0)} connections a second; ${files} open files before and after; in use ${mib(before.live)} MiB,`,
    );
    say(`then ${mib(after.live)}; the process had ${mib(before.process)} MiB, then ${mib(after.process)}`);
    assert.ok(after.live < before.live + SLACK, `${mib(before.live)} MiB in use, then ${mib(after.live)}`);
  }

  test('outwards, one by one', async (t) => {
    const { server, port, times } = await servePages();
    closing.push(() => server.close());
    await leavesNothing(
      async (count) => {
        times.length = 0;
        await guest.command(`ab -q -s 300 -n ${count} -c 1 http://${HOST}:${port}/ >/tmp/log 2>&1`);
        assert.equal(times.length, count);
        assert.match(await guest.command('cat /tmp/log'), /Failed requests: +0\n/);
      },
      (text) => t.diagnostic(text),
    );
  });

  test('outwards, many at once', async (t) => {
    const open = new Set<Socket>();
    let most = 0;
    // What nc has to send ends at once.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket);
      most = Math.max(most, open.size);
      socket.on('error', () => {});
      socket.on('close', () => open.delete(socket));
      socket.resume();
      // Nobody gets an answer until all are there.
      if (open.size === AT_ONCE) for (const other of open) other.end('a page');
    });
    closing.push(() => server.close());
    server.listen(0, LOOPBACK, 1024);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const files = openFiles();
    // ab does not begin its second connection before the first has its answer.
    await guest.command('mkdir -p /tmp/pages; rm -f /tmp/pages/*');
    await guest.command(`for i in $(seq ${AT_ONCE}); do nc ${HOST} ${port} </dev/null >/tmp/pages/$i & done; wait`);
    const pages = await guest.command('for i in /tmp/pages/*; do cat $i; echo; done');
    assert.equal(pages.match(/^a page$/gm)?.length, AT_ONCE);
    assert.equal(most, AT_ONCE);
    const { live } = await settled(files);
    t.diagnostic(`${mib(live)} MiB in use`);
  });

  test('through a forwarded port, one by one', async (t) => {
    const forward = await guest.nat.forward({ protocol: 'tcp', at: { address: LOOPBACK, port: 0 }, port: 80 });
    await leavesNothing(
      async (count) => void (await fetchPages(forward.at.port, count, 1)),
      (text) => t.diagnostic(text),
    );
    forward.close();
  });

  test('through a forwarded port, many at once', async () => {
    const { nat, command } = guest;
    const forward = await nat.forward({ protocol: 'tcp', at: { address: LOOPBACK, port: 0 }, port: 80 });
    const files = openFiles();
    const pages: string[] = [];
    const sockets = Array.from({ length: AT_ONCE }, (_, i) => {
      const socket = connect(forward.at.port, LOOPBACK).on('error', () => {});
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes;
      });
      socket.on('close', () => {
        pages[i] = text;
      });
      return socket;
    });
    await until('all connections', () => nat.figures()['TCP connections'] === AT_ONCE);
    // As the guest itself has them: open (01) on its port 80 (0050).
    await command(`until [ "$(grep -c '0F02000A:0050 .* 01 ' /proc/net/tcp)" = ${AT_ONCE} ]; do sleep 1; done`);
    for (const socket of sockets) socket.write('GET / HTTP/1.0\r\n\r\n');
    await until('all pages', () => Object.keys(pages).length === AT_ONCE);
    assert.deepEqual(
      pages.filter((page) => !page.endsWith('\r\n\r\na page of the guest')),
      [],
    );
    forward.close();
    await settled(files - 1);
  });
});
