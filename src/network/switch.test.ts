import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Frame, NO_OFFLOADS, plainFrame } from '../base/frame.ts';
import { createSwitch } from './switch.ts';

const BROADCAST = [255, 255, 255, 255, 255, 255];
const macOf = (n: number) => [2, 0, 0, 0, 0, n];
const macText = (n: number) => `02:00:00:00:00:0${n}`;
const frame = (to: readonly number[], from: readonly number[], length = 60) =>
  plainFrame(Uint8Array.from([...to, ...from, 0x88, 0xb5, ...Array(length - 14).fill(0)]));

function plug(fabric: ReturnType<typeof createSwitch>, n: number, bound = true, offloads = NO_OFFLOADS) {
  const got: Frame[] = [];
  const end = { got, room: true };
  const sink = {
    send(one: Frame) {
      if (end.room) got.push(one);
      return end.room;
    },
    offloads: () => offloads,
  };
  const port = fabric.attach({ sink, ...(bound ? { mac: macText(n) } : {}) });
  return Object.assign(end, { port });
}

test('a switch delivers to whom a frame is for, and floods what it does not know', () => {
  const fabric = createSwitch();
  const [one, two, three] = [1, 2, 3].map((n) => plug(fabric, n, n !== 3));
  one!.port.receive(frame(macOf(2), macOf(1)));
  assert.deepEqual(
    [one, two, three].map((end) => end!.got.length),
    [0, 1, 0],
  );
  one!.port.receive(frame(macOf(9), macOf(1)));
  one!.port.receive(frame(BROADCAST, macOf(1)));
  assert.deepEqual(
    [one, two, three].map((end) => end!.got.length),
    [0, 3, 2],
  );
  three!.port.receive(frame(macOf(1), macOf(9)));
  one!.port.receive(frame(macOf(9), macOf(1)));
  assert.deepEqual(
    [one, two, three].map((end) => end!.got.length),
    [1, 3, 3],
    'it learned',
  );
  two!.port.leave();
  one!.port.receive(frame(macOf(2), macOf(1)));
  assert.deepEqual(
    [two, three].map((end) => end!.got.length),
    [3, 4],
  );
});

test('nobody sends as somebody else, and who is slow stops nobody', () => {
  const fabric = createSwitch();
  const [one, two, three] = [1, 2, 3].map((n) => plug(fabric, n, n !== 3));
  one!.port.receive(frame(macOf(2), macOf(3)));
  one!.port.receive(frame(macOf(2), [3, 0, 0, 0, 0, 1]));
  three!.port.receive(frame(macOf(2), macOf(1)));
  assert.deepEqual([two!.got.length, fabric.lost.forged], [0, 3]);
  two!.room = false;
  for (let i = 0; i < 5; i++) one!.port.receive(frame(BROADCAST, macOf(1)));
  assert.deepEqual([two!.got.length, three!.got.length, fabric.lost.full], [0, 5, 5]);
  for (let i = 0; i < 5000; i++) three!.port.receive(frame(macOf(2), [2, 1, 0, 0, i >> 8, i & 255]));
  assert.ok(fabric.learned <= 1024);
});
