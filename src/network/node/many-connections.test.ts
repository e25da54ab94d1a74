/** Many connections over sockets of the host, by a guest made of bare frames: nothing is left of them, and one does not stop another. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { env } from 'node:process';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Frame } from '../../base/frame.ts';
import { NO_OFFLOADS, plainFrame } from '../../base/frame.ts';
import { bytesOf, GUEST, type HeardTcp, hear, ROUTER_MAC, tcpFrame, tcpOf } from '../nat.test-helper.ts';
import { createNat, type Nat } from '../nat.ts';
import { createHostTimers, createNodeNetwork } from './host.ts';

const LOOPBACK = '127.0.0.1';
const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];
const ONE_BY_ONE = Number(env.VIRTS_CONNECTIONS ?? 300);
const AT_ONCE = 500;

const ARP = [...ROUTER_MAC, ...GUEST.mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];

/** File descriptors that this process has; 0 where the host does not tell. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

async function until(what: string, done: () => boolean): Promise<void> {
  for (let i = 0; !done(); i++) {
    assert.ok(i < 12_000, `${what} did not come`);
    await setTimeout(5);
  }
}

/** A guest's end of a connection: it takes all that comes, and closes when told. */
interface GuestConnection {
  sequence: number;
  acknowledgement: number;
  open: boolean;
  closed: boolean;
  /** Bytes that came. */
  received: number;
  /** Answers nothing any more. */
  deaf: boolean;
  say(flags: number, data?: readonly number[], window?: number): void;
}

/** A guest on a network of its own that reaches this host. */
function guestOn() {
  const connections = new Map<string, GuestConnection>();
  const queue: HeardTcp[] = [];
  let nat: Nat | undefined;
  let scheduled = false;
  function give(bytes: Uint8Array): void {
    nat!.receive(plainFrame(bytes));
    nat!.settle();
  }
  function connection(own: number, other: number): GuestConnection {
    const made: GuestConnection = {
      ...{ sequence: 1000, acknowledgement: 0, open: false, closed: false, received: 0, deaf: false },
      say(flags, data = [], window = 0xffff) {
        const { sequence, acknowledgement } = made;
        made.sequence += data.length + ((flags & (SYN | FIN)) !== 0 ? 1 : 0);
        give(tcpFrame('10.0.2.2', { from: own, to: other, sequence, acknowledgement, flags, data, window }));
      },
    };
    connections.set(`${own} ${other}`, made);
    return made;
  }
  function take({ from, to, sequence, flags, data }: HeardTcp): void {
    let found = connections.get(`${to} ${from}`);
    if ((flags & (SYN | ACK)) === SYN) {
      found = connection(to, from);
      found.acknowledgement = sequence + 1;
      found.say(SYN | ACK);
      return;
    }
    if (found === undefined || found.deaf) return;
    if ((flags & RST) !== 0) found.closed = true;
    else if ((flags & SYN) !== 0) {
      found.acknowledgement = sequence + 1;
      found.open = true;
      found.say(ACK);
    } else if (sequence === found.acknowledgement && (data.length > 0 || (flags & FIN) !== 0)) {
      found.open = true;
      found.received += data.length;
      found.acknowledgement += data.length + (flags & FIN);
      if ((flags & FIN) !== 0) found.closed = true;
      // It closes as the other side does.
      found.say((flags & FIN) !== 0 ? ACK | FIN : ACK);
    } else found.open = true;
  }
  const wire = {
    send(frame: Frame) {
      const heard = hear(frame);
      if (heard.protocol === 6) queue.push(tcpOf(heard));
      // What the network says is never answered from within its own call.
      if (!scheduled) {
        scheduled = true;
        setImmediate(() => {
          scheduled = false;
          for (const segment of queue.splice(0)) take(segment);
        });
      }
      return true;
    },
    offloads: () => NO_OFFLOADS,
  };
  nat = createNat({
    ...{ wire, access: { kind: 'full' } as const, hostAccess: true, route6: false },
    host: createNodeNetwork({ nameServers: [] }),
    timers: createHostTimers(),
    random: (bytes) => bytes.fill(7),
  });
  // The network hears of it, as by its first ARP message.
  give(Uint8Array.from([...ARP, ...GUEST.mac, ...bytesOf(GUEST.v4), 0, 0, 0, 0, 0, 0, ...bytesOf('10.0.2.2')]));
  after(nat.close);
  return { nat, connections, connection };
}

const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

async function listen(accept: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    accept(socket);
  });
  servers.push(server);
  server.listen(0, LOOPBACK, 1024);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Nothing is left of what was. */
async function assertClean(nat: Nat, files: number): Promise<void> {
  await until('the end of all connections', () => nat.figures()['TCP connections'] === 0 && openFiles() <= files);
  const { 'alarms waiting': alarms, 'shared buffer left (KiB)': budget } = nat.figures();
  assert.deepEqual([alarms, budget], [0, 65_536]);
}

test('connections outwards, one by one and many at once, leave nothing behind', async () => {
  const guest = guestOn();
  const port = await listen((socket) => void socket.end('hello'));
  const files = openFiles();
  let next = 2000;
  async function one(): Promise<void> {
    const own = 2000 + (next++ % 60_000);
    guest.connections.delete(`${own} ${port}`);
    const made = guest.connection(own, port);
    made.say(SYN);
    await until('the end of a connection', () => made.closed);
    assert.equal(made.received, 5);
    guest.connections.delete(`${own} ${port}`);
  }
  for (let i = 0; i < ONE_BY_ONE; i += 10) await Promise.all(Array.from({ length: 10 }, one));
  await assertClean(guest.nat, files);
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  await assertClean(guest.nat, files);
  guest.nat.close();
});

test('connections through a forward, one by one and many at once, leave nothing behind', async () => {
  const guest = guestOn();
  const { at } = await guest.nat.forward({ protocol: 'tcp', at: { address: LOOPBACK, port: 0 }, port: 80 });
  const files = openFiles();
  async function one(): Promise<void> {
    const socket = connect(at.port, LOOPBACK);
    socket.resume();
    socket.end('request');
    await once(socket, 'close');
  }
  for (let i = 0; i < ONE_BY_ONE; i += 10) {
    await Promise.all(Array.from({ length: 10 }, one));
    guest.connections.clear();
  }
  await assertClean(guest.nat, files);
  const open: Socket[] = [];
  for (let i = 0; i < AT_ONCE; i++) open.push(connect(at.port, LOOPBACK).on('error', () => {}));
  await until('all connections', () => guest.nat.figures()['TCP connections'] === AT_ONCE);
  assert.equal(guest.connections.size, AT_ONCE);
  for (const socket of open) socket.destroy();
  await assertClean(guest.nat, files);
  guest.nat.close();
});

test('peers that take nothing and guests that answer nothing stall nobody else', async () => {
  const guest = guestOn();
  const stuck: Socket[] = [];
  const port = await listen((socket) => stuck.push(socket.pause()));
  const flood = await listen((socket) => void socket.write(new Uint8Array(8 << 20)));
  const good = await listen((socket) => void socket.end('hello'));
  const idle = Array.from({ length: 40 }, (_, i) => guest.connection(3000 + i, port));
  const deaf = Array.from({ length: 40 }, (_, i) => guest.connection(4000 + i, flood));
  for (const made of [...idle, ...deaf]) made.say(SYN);
  await until('all connections', () => [...idle, ...deaf].every(({ open }) => open));
  for (const made of deaf) made.deaf = true;
  // As much as fits for peers that take none of it: a guest's window is what says how much that is.
  for (let i = 0; i < 200; i++) for (const made of idle) made.say(ACK, Array(400).fill(1));
  for (let i = 0; i < 20; i++) {
    const made = guest.connection(5000 + i, good);
    made.say(SYN);
    await until('an answer beside those that are stuck', () => made.closed);
    assert.equal(made.received, 5);
  }
  guest.nat.close();
  for (const socket of stuck) socket.destroy();
});
