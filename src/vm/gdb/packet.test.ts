import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPacketReader, encodePacket, PACKET_SIZE } from './packet.ts';

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const bytes = (text: string) => Buffer.from(text, 'latin1');

test('A packet carries the sum of its bytes', () => {
  assert.equal(latin1(encodePacket('OK')), '$OK#9a');
  assert.equal(latin1(encodePacket('')), '$#00');
});

test('What framing or run-length encoding would misread is escaped, and comes back as it was', () => {
  const data = 'a#b$c}d*e\x03\xff';
  const encoded = encodePacket(data);
  assert.ok(latin1(encoded).startsWith('$a}\x03b}\x04c}]d}\x0ae'));
  assert.deepEqual(createPacketReader().push(encoded), [{ kind: 'packet', data, intact: true }]);
});

test('A packet may come byte by byte, between acknowledgements', () => {
  const reader = createPacketReader();
  const received = [...bytes('+$m0,4#fd+')].flatMap((byte) => reader.push(Uint8Array.of(byte)));
  assert.deepEqual(received, [{ kind: 'packet', data: 'm0,4', intact: true }]);
});

test('A wrong checksum shows, and one that is no number does', () => {
  const reader = createPacketReader();
  assert.deepEqual(reader.push(bytes('$OK#9b')), [{ kind: 'packet', data: 'OK', intact: false }]);
  assert.deepEqual(reader.push(bytes('$OK#zz')), [{ kind: 'packet', data: 'OK', intact: false }]);
});

test('Byte 3 interrupts between packets and is data inside one', () => {
  const reader = createPacketReader();
  assert.deepEqual(reader.push(bytes('\x03$\x03#03\x03')), [
    { kind: 'interrupt' },
    { kind: 'packet', data: '\x03', intact: true },
    { kind: 'interrupt' },
  ]);
});

test('A packet that was cut off gives way to the next', () => {
  assert.deepEqual(createPacketReader().push(bytes('$m0,$?#3f-')), [
    { kind: 'packet', data: '?', intact: true },
    { kind: 'resend' },
  ]);
});

test('A packet beyond the announced size is an unknown one, and the next is read', () => {
  const reader = createPacketReader();
  const received = reader.push(bytes(`$${'x'.repeat(PACKET_SIZE + 1)}#00$OK#9a`));
  assert.deepEqual(received, [
    { kind: 'packet', data: '', intact: true },
    { kind: 'packet', data: 'OK', intact: true },
  ]);
});
