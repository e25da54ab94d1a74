import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Frame, NO_OFFLOADS, plainFrame } from '../base/frame.ts';
import { createNetLink, openMachineEnd, openNetworkEnd } from './link.ts';
import { serveNetLink } from './node/serve.ts';

function rig() {
  const link = createNetLink();
  const count = { wakes: 0 };
  const machine = openMachineEnd(link);
  const network = openNetworkEnd(link, () => {
    count.wakes++;
  });
  return { link, machine, network, count };
}

const frame = (length: number, fill = 1): Frame => plainFrame(new Uint8Array(length).fill(fill));

test('frames pass both ways, with what is to be done to them', () => {
  const { machine, network } = rig();
  const segments = { bytes: new Uint8Array(60_000).fill(7), segmentSize: 1460, checksumStart: 34, checksumOffset: 16 };
  assert.ok(machine.room(60_000));
  machine.send(segments);
  machine.send(frame(60));
  assert.deepEqual(network.receive(), segments);
  assert.deepEqual(network.receive(), frame(60));
  assert.equal(network.receive(), undefined);
  assert.ok(network.wire.send(segments));
  assert.equal(machine.next(), 60_000);
  assert.deepEqual(machine.take(), segments);
  assert.equal(machine.next(), 0);
});

test('a machine that may sleep is woken for the first frame, and for room that it waits for', () => {
  const { machine, network, count } = rig();
  for (let i = 0; i < 10; i++) network.wire.send(frame(60));
  assert.equal(count.wakes, 1);
  for (let i = 0; i < 10; i++) machine.take();
  network.wire.send(frame(60));
  assert.equal(count.wakes, 2);
  while (machine.room(60_000)) machine.send(frame(60_000));
  while (network.receive() !== undefined);
  assert.equal(count.wakes, 3);
  assert.ok(machine.room(60_000));
});

test('a network whose frame was refused hears of the room', () => {
  const { machine, network } = rig();
  while (network.wire.send(frame(60_000)));
  assert.equal(network.roomAgain(), false);
  while (machine.next() > 0) machine.take();
  assert.equal(network.roomAgain(), true);
  assert.equal(network.roomAgain(), false);
});

test('offloads and restarts are told', () => {
  const { machine, network } = rig();
  assert.deepEqual(network.wire.offloads(), NO_OFFLOADS);
  machine.accept({ checksum: true, segments4: true, segments6: false });
  assert.deepEqual(network.wire.offloads(), { checksum: true, segments4: true, segments6: false });
  assert.equal(network.restarted(), false);
  machine.restarted();
  assert.equal(network.restarted(), true);
  assert.equal(network.restarted(), false);
});

test('a served network gets frames in batches, sleeping or not, and every one of many', async () => {
  const { link, machine } = rig();
  const got: number[] = [];
  const tally = { settled: 0, resets: 0 };
  const all = Promise.withResolvers<void>();
  const service = serveNetLink(
    link,
    () => {},
    () => ({
      receive(one) {
        got.push(one.bytes[0]!);
        if (got.length === 1000) all.resolve();
      },
      settle() {
        tally.settled++;
      },
      wireReady() {},
      reset() {
        tally.resets++;
      },
    }),
  );
  machine.restarted();
  for (let i = 0; i < 1000; i++) {
    machine.send(frame(100, i & 255));
    // Now and then it has fallen asleep.
    if (i % 300 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await all.promise;
  service.close();
  assert.deepEqual(
    got,
    Array.from({ length: 1000 }, (_, i) => i & 255),
  );
  assert.ok(tally.settled < 1000);
  assert.equal(tally.resets, 1);
});
