/**
 * A driver out to break the device: registers and rings are written at random, half sound and half not. Whatever it
 * does, the device neither throws nor hangs, keeps to guest memory, says when it needs a reset and works after one.
 * `VIRTS_HOSTILE=200000` makes so many operations on each device.
 */
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { test } from 'node:test';
import { type Frame, MAX_FRAME } from '../../base/frame.ts';
import { MOST_FROM_GUEST, MOST_TO_GUEST, OPERATION, type VsockPacket } from '../../base/vsock-packet.ts';
import type { FlatMemory } from '../../memory/guest-memory.ts';
import { directIoPort, type IoRequest } from '../../memory/io-link.ts';
import { randomNumbers, restoreState, saveState } from '../conformance.test-helper.ts';
import { createVirtioBalloon, type VirtioBalloon } from '../virtio-balloon/virtio-balloon.ts';
import { createVirtioBlk } from '../virtio-blk/virtio-blk.ts';
import { createVirtioConsole } from '../virtio-console/virtio-console.ts';
import { createVirtioFs } from '../virtio-fs/virtio-fs.ts';
import { createVirtioNet } from '../virtio-net/virtio-net.ts';
import { createFakeWire } from '../virtio-net/wire.test-helper.ts';
import { createVirtioRng } from '../virtio-rng/virtio-rng.ts';
import { createFakePort } from '../virtio-vsock/port.test-helper.ts';
import { createVirtioVsock } from '../virtio-vsock/virtio-vsock.ts';
import { createEcho, type Echo } from './echo.test-helper.ts';
import {
  type Driver,
  EVENT_IDX,
  type Guest,
  guestWith,
  INDIRECT,
  type Piece,
  startDriver,
  VERSION_1,
} from './guest-driver.test-helper.ts';
import type { VirtioDevice, VirtioPciOptions } from './pci-transport.ts';
import { echoesOfThreads, takingTurns } from './threads.test-helper.ts';

const OPERATIONS = 5_000;
const SEEDS = Math.ceil(Number(env.VIRTS_HOSTILE ?? 50_000) / OPERATIONS);

interface Attack {
  readonly guest: Guest;
  readonly random: () => number;
  driver: Driver;
}

const pick = <T>(random: () => number, values: readonly T[]): T => values[random() % values.length]!;

/** An address in RAM more often than not. */
function anyAddress(random: () => number): bigint {
  const near = BigInt(0x9_0000 + (random() % 0x6_0000));
  return pick(random, [near, near, near, near, 0xf_fff8n, 0x10_0000n, 0xfffn, 0xffff_ffff_ffff_fff0n, 1n << 53n]);
}

function writeDescriptor({ guest, random }: Attack, at: number, size: number): void {
  guest.view.setBigUint64(at, anyAddress(random), true);
  guest.view.setUint32(at + 8, pick(random, [1, 8, 16, 64, 512, 16, 64, 0, 4096, 0xffff_fff0, random()]), true);
  guest.view.setUint16(at + 12, pick(random, [0, 1, 2, 3, 0, 2, 2, 4, 5, random() & 0xffff]), true);
  guest.view.setUint16(at + 14, random() % (size + 1), true);
}

/** Fills a queue's rings with a few chains, sound or not, and rings the bell. */
function offerChains(attack: Attack): void {
  const { guest, random, driver } = attack;
  const queue = pick(random, driver.queues);
  for (let i = random() % 4; i >= 0; i--)
    writeDescriptor(attack, queue.descriptors + 16 * (random() % queue.size), queue.size);
  for (let i = random() % 4; i >= 0; i--) writeDescriptor(attack, 0x9_0000 + (random() % 64) * 16, 8);
  const index = guest.view.getUint16(queue.available + 2, true);
  guest.view.setUint16(
    queue.available + 4 + 2 * (index % queue.size),
    random() % (queue.size + (random() % 50 === 0 ? 1 : 0)),
    true,
  );
  guest.view.setUint16(queue.available + 2, index + (random() % 50 === 0 ? random() : 1), true);
  queue.notify();
}

/** What an honest driver would offer. */
const someBytes = (random: () => number): Piece[] => [
  Uint8Array.of(random(), random(), 3, 0, 6, 0, 1, 0),
  1 + (random() % 64),
];

/** A request for a block device, sound or nearly so. */
function blockRequest(random: () => number): Piece[] {
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  view.setUint32(0, pick(random, [0, 0, 1, 1, 4, 8, 11, 13, random() % 16, random()]), true);
  view.setBigUint64(8, pick(random, [BigInt(random() % 130), 127n, 128n, 0n, 2n ** 55n, 2n ** 64n - 1n]), true);
  const length = pick(random, [0, 512, 1024, 4096, 511, 1, 512 * (random() % 8), random() % 3000]);
  const range = new Uint8Array(16);
  const rangeView = new DataView(range.buffer);
  rangeView.setBigUint64(0, BigInt(random() % 140), true);
  rangeView.setUint32(8, pick(random, [1, 8, random() % 130, 0, random()]), true);
  rangeView.setUint32(12, pick(random, [0, 0, 1, random()]), true);
  const data = pick<Piece[]>(random, [[length], [new Uint8Array(length)], [range], [], [range, range]]);
  const status = random() % 16 === 0 ? [] : [1];
  return [random() % 16 === 0 ? header.subarray(0, random() % 16) : header, ...data, ...status].filter(
    (piece) => piece !== 0 && (typeof piece === 'number' || piece.length > 0),
  );
}

/** One chain of the pieces that `make` gives. */
function offerSound({ random, driver }: Attack, make: typeof someBytes): void {
  const pieces = make(random);
  if (pieces.length === 0) return;
  const queue = pick(random, driver.queues);
  queue.add(pieces, random() % 2 === 0);
  queue.notify();
}

function poke({ guest, random, driver }: Attack): void {
  const size = pick(random, [1, 2, 4] as const);
  const value = pick(random, [random(), 0, 1, 15, 0xffff_ffff, random() % 8]) & (size === 4 ? -1 : 2 ** (8 * size) - 1);
  const base = pick(random, [
    driver.common,
    driver.common,
    driver.notify,
    driver.isr,
    driver.device ?? 0,
    driver.msixTable,
  ]);
  if (base !== 0) guest.map.write(base + (random() % 61), size, value >>> 0);
  else guest.setConfig(0x40 + 4 * (random() % 48), 4, value >>> 0);
}

function restart(attack: Attack): void {
  const { guest, random } = attack;
  // Give the driver a sound board again: BARs as they were, clean rings.
  guest.memory.bytes.fill(0);
  // Any of the device's own features, too.
  const own = pick(random, [0n, 2n, BigInt(random() & 0xff_ffff), 0xff_ffffn]);
  const features = VERSION_1 | pick(random, [0n, EVENT_IDX, INDIRECT, EVENT_IDX | INDIRECT]) | own;
  const masked = features & (attack.driver.offered() | VERSION_1);
  attack.driver = startDriver(guest, { features: masked, msix: random() % 4 !== 0 });
  assert.equal(attack.driver.status(), 15, 'works after a reset');
}

type Make = (options: VirtioPciOptions) => VirtioDevice;

/** What the guest's side came to: its memory, and the interrupts it got. */
type Outcome = Pick<Guest, 'messages'> & { readonly bytes: Uint8Array; readonly state: object };

function attackOn(
  make: Make,
  hostWork: (random: () => number) => void,
  { seeds = SEEDS, turn, sound = someBytes }: { seeds?: number; turn?: () => number; sound?: typeof someBytes } = {},
): Outcome[] {
  const outcomes: Outcome[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const random = randomNumbers(seed);
    const guest = guestWith(make, turn);
    const attack: Attack = { guest, random, driver: startDriver(guest, { features: VERSION_1, msix: true }) };
    let resets = 0;
    for (let i = 0; i < OPERATIONS; i++) {
      const kind = random() % 32;
      if (kind < 16) offerChains(attack);
      else if (kind < 26) offerSound(attack, sound);
      else if (kind < 28) poke(attack);
      else if (kind < 30) hostWork(random);
      else if (kind === 30) guest.timers.advance(1000);
      else if (random() % 32 === 0) restoreState(guest.device, saveState(guest.device));
      if (attack.driver.status() !== 15 && random() % 4 === 0) {
        resets++;
        restart(attack);
      }
    }
    assert.ok(resets > 10, `seed ${seed} reached faults and came back, ${resets} times`);
    assert.ok(guest.log.length < 32, 'the log is bounded');
    assert.equal(guest.memory.bytes.length, guest.memory.size);
    outcomes.push({ messages: guest.messages, bytes: guest.memory.bytes, state: saveState(guest.device) });
  }
  return outcomes;
}

test('hostile driver: echo device that answers at once', () => {
  attackOn(
    (options) => createEcho(options).device,
    () => {},
  );
});

test('hostile driver: echo device that answers late', () => {
  let echo: Echo | undefined;
  attackOn(
    (options) => {
      echo = createEcho(options, true);
      return echo.device;
    },
    () => {
      while (echo!.waiting.length > 0) echo!.answer();
    },
  );
});

test('hostile driver: entropy source', () => {
  attackOn(
    (options) => createVirtioRng({ ...options, random: (bytes) => bytes.fill(0xa5) }),
    () => {},
  );
});

test('hostile driver: console with two ports', () => {
  let give: (bytes: Uint8Array) => void = () => {};
  attackOn(
    (options) => {
      const backend = { write() {}, ready: () => give(Uint8Array.of(1, 2, 3)) };
      const console = createVirtioConsole({ ...options, ports: [{ backend }, { backend, name: 'agent' }] });
      give = (bytes) => {
        for (const port of console.ports) assert.ok(port.receive(bytes) <= bytes.length);
      };
      return console.device;
    },
    (random) => give(new Uint8Array(random() % 300)),
  );
});

test('hostile driver: two threads that take turns do what one does', () => {
  const random = randomNumbers(99);
  const turn = () => random() % 2;
  let echoes: readonly Echo[] = [];
  const answer = () => {
    while (echoes[0]!.waiting.length > 0) echoes[echoes.length === 1 ? 0 : turn()]!.answerByName();
  };
  const alone = attackOn(
    (options) => {
      echoes = [createEcho(options, true)];
      return echoes[0]!.device;
    },
    answer,
    { seeds: 4 },
  );
  const together = attackOn(
    (options) => {
      echoes = echoesOfThreads(options);
      return takingTurns(
        echoes.map(({ device }) => device),
        turn,
      );
    },
    answer,
    { seeds: 4, turn },
  );
  assert.deepEqual(together, alone);
});

test('hostile driver: network card', () => {
  const wire = createFakeWire();
  let card: VirtioDevice | undefined;
  attackOn(
    (options) => {
      wire.incoming.length = 0;
      const port = {
        ...wire,
        send(frame: Frame) {
          assert.ok(frame.bytes.length <= MAX_FRAME);
          wire.full = !wire.full;
        },
      };
      card = createVirtioNet({ ...options, port, mac: Uint8Array.of(2, 0, 0, 0, 0, 1), mtu: 1500 }).device;
      return card;
    },
    (random) => {
      const segmentSize = random() % 2 === 0 ? 1460 : 0;
      const checksumStart = segmentSize > 0 ? 34 : 0;
      const bytes = new Uint8Array(14 + (random() % 3000));
      if (wire.incoming.length < 4) wire.incoming.push({ bytes, segmentSize, checksumStart, checksumOffset: 16 });
      wire.full = random() % 2 === 0;
      card!.poll!();
    },
  );
});

test('hostile driver: socket device', () => {
  const port = createFakePort();
  let device: VirtioDevice | undefined;
  attackOn(
    (options) => {
      const checked = {
        ...port,
        send(packet: VsockPacket) {
          assert.ok(packet.bytes.length <= MOST_FROM_GUEST && packet.operation <= OPERATION.creditRequest);
          port.full = !port.full;
        },
      };
      device = createVirtioVsock({ ...options, port: checked, cid: 3 });
      return device;
    },
    (random) => {
      const bytes = new Uint8Array(random() % (MOST_TO_GUEST + 1));
      const packet = { operation: OPERATION.data, hostPort: 1, guestPort: 2, flags: 0, window: 0, consumed: 0, bytes };
      if (port.incoming.length < 4) port.incoming.push(packet);
      port.full = random() % 2 === 0;
      device!.poll!();
    },
  );
});

/** Answers when the host gets to it, out of order, having scribbled over what it was given to fill. */
test('hostile driver: disk with two queues', () => {
  const waiting: IoRequest[] = [];
  let poll = () => {};
  let memory: FlatMemory | undefined;
  const reached = new Set<number>();
  const answerAll = (random: () => number) => {
    for (const request of waiting.splice(0).toSorted(() => (random() % 2) - 0.5)) {
      reached.add(request.operation);
      assert.ok(request.position >= 0 && request.position + request.count <= 1 << 16);
      for (const span of request.spans) if (request.operation === 0) span.fill(random());
      request.answer(random() % 4);
    }
    poll();
    assert.equal(memory!.held, 0);
  };
  const make: Make = (options) => {
    memory = options.memory as FlatMemory;
    const device = createVirtioBlk({
      ...options,
      disk: { size: 1 << 16, readOnly: false, discards: true, granularity: 512 },
      queues: 2,
      port: directIoPort(memory, (request) => waiting.push(request)),
    });
    poll = () => device.poll!();
    return device;
  };
  attackOn(make, answerAll, { sound: blockRequest });
  assert.ok(reached.size >= 7, `operations ${[...reached]} reached the back end`);
});

/** Answers out of order, with more than there was room for, having scribbled over all of the reply. */
test('hostile driver: shared folder', () => {
  const waiting: IoRequest[] = [];
  let poll = () => {};
  let memory: FlatMemory | undefined;
  let messages = 0;
  attackOn(
    (options) => {
      memory = options.memory as FlatMemory;
      const port = directIoPort(memory, (request) => waiting.push(request));
      const device = createVirtioFs({ ...options, tag: 'folder0', port });
      poll = () => device.poll!();
      return device;
    },
    (random) => {
      for (const request of waiting.splice(0).toSorted(() => (random() % 2) - 0.5)) {
        messages++;
        for (const span of request.reply) span.fill(random());
        request.answer(random() & 0x7fff_ffff);
      }
      poll();
      assert.equal(memory!.held, 0);
    },
  );
  assert.ok(messages > 1000, `${messages} messages`);
});

test('hostile driver: balloon', () => {
  let balloon: VirtioBalloon | undefined;
  let discarded = 0;
  attackOn(
    (options) => {
      const memory = options.memory as FlatMemory;
      const discard = (page: number, count: number) => {
        assert.ok(page >= 0 && count > 0 && count <= 1 << 20);
        // Its own rings stay, so that the attack goes on.
        discarded++;
        return count;
      };
      balloon = createVirtioBalloon({ ...options, memory: { ...memory, discard } });
      return balloon.device;
    },
    (random) => {
      balloon!.setTarget((random() % 300) * 4096);
      for (const figure of Object.values(balloon!.statistics())) assert.ok(figure >= 0);
    },
  );
  assert.ok(discarded > 1000, `${discarded} discards`);
});
