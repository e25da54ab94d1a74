import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Frame, NO_OFFLOADS, type Offloads } from '../base/frame.ts';
import { bytesOf, hear, sumOf, tcpOf } from './nat.test-helper.ts';
import { adapt } from './segmentation.ts';

const macOf = (n: number) => [2, 0, 0, 0, 0, n];

/** A TCP packet over IPv4 or IPv6 that stands for many segments, as a guest's driver hands it over. */
function large(v6: boolean, payload: number): Frame {
  const word = (value: number) => [(value >> 8) & 255, value & 255];
  const [from, to] = v6 ? [bytesOf('fd00::1'), bytesOf('fd00::2')] : [bytesOf('10.0.2.15'), bytesOf('10.0.2.16')];
  const length = 20 + payload;
  const pseudo = 0xffff - sumOf([...from, ...to, 0, 0, ...word(length), 0, 0, 0, 6]);
  const ip = v6
    ? [0x60, 0, 0, 0, ...word(length), 6, 64, ...from, ...to]
    : [0x45, 0, ...word(20 + length), 0, 7, 0x40, 0, 64, 6, 0, 0, ...from, ...to];
  if (!v6) ip.splice(10, 2, ...word(sumOf(ip)));
  const tcp = [0, 80, 4, 0, 255, 255, 255, 0, 0, 0, 0, 9, 0x50, 0x80 | 0x19, 1, 0, ...word(pseudo), 0, 0];
  const data = Array.from({ length: payload }, (_, i) => (i * 31) & 255);
  const bytes = Uint8Array.from([...macOf(2), ...macOf(1), ...(v6 ? [0x86, 0xdd] : [8, 0]), ...ip, ...tcp, ...data]);
  return { bytes, segmentSize: 1000, checksumStart: v6 ? 54 : 34, checksumOffset: 16 };
}

test('what a sender left to others is done for a receiver that does not do it', () => {
  for (const v6 of [false, true]) {
    const whole = large(v6, 3500);
    const all: Offloads = { checksum: true, segments4: true, segments6: true };
    assert.deepEqual(adapt(whole, all), [whole]);
    for (const offloads of [NO_OFFLOADS, { ...all, segments4: false, segments6: false }]) {
      // `hear` verifies every checksum.
      const pieces = adapt(whole, offloads).map(hear).map(tcpOf);
      assert.deepEqual(
        pieces.map(({ sequence, data, flags }) => [sequence, data.length, flags]),
        [
          [0xffff_ff00, 1000, 0x90],
          [0x0000_02e8, 1000, 0x10],
          [0x0000_06d0, 1000, 0x10],
          [0x0000_0ab8, 500, 0x19],
        ],
      );
      assert.deepEqual(
        pieces.flatMap(({ data }) => data),
        [...whole.bytes.subarray(v6 ? 74 : 54)],
      );
    }
    const single = { ...large(v6, 100), segmentSize: 0 };
    assert.equal(tcpOf(hear(adapt(single, NO_OFFLOADS)[0]!)).data.length, 100);
  }
});

test('segments that no honest sender asks for are lost', () => {
  const whole = large(false, 3500);
  assert.deepEqual(adapt({ ...whole, segmentSize: 1 }, NO_OFFLOADS), []);
  assert.deepEqual(adapt({ ...whole, bytes: whole.bytes.subarray(0, 40) }, NO_OFFLOADS), []);
  assert.deepEqual(adapt({ ...whole, segmentSize: 0, checksumStart: 9000 }, NO_OFFLOADS), []);
});
