import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressKind,
  canonicalAddress,
  formatAddress,
  inPrefix,
  parseAddress,
  parseMac,
  parsePrefix,
} from './address.ts';

test('addresses are written as RFC 5952 says', () => {
  for (const [text, canonical] of [
    ['10.0.2.15', '10.0.2.15'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:0:1:0:0:0', '2001:db8:0:0:1::'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['fe80::', 'fe80::'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['::ffff:7f00:1', '127.0.0.1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ] as const) {
    assert.equal(canonicalAddress(text), canonical, text);
    const bytes = parseAddress(canonical)!;
    assert.equal(formatAddress(bytes, 0, bytes.length), canonical);
  }
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1:2',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7:8:9',
    '::g',
    'fe80::1%eth0',
    '1:2:3:4:5:6:7::8:9',
  ]) {
    assert.equal(parseAddress(text), undefined, text);
  }
  assert.deepEqual(parseMac('52:54:00:AB:cd:ef'), Uint8Array.of(0x52, 0x54, 0, 0xab, 0xcd, 0xef));
  assert.equal(parseMac('52:54:00:ab:cd'), undefined);
});

test('prefixes', () => {
  const within = (address: string, prefix: string) => inPrefix(address, parsePrefix(prefix)!);
  assert.ok(within('10.1.2.3', '10.0.0.0/8'));
  assert.ok(!within('11.1.2.3', '10.0.0.0/8'));
  assert.ok(within('172.31.255.255', '172.16.0.0/12'));
  assert.ok(!within('172.32.0.0', '172.16.0.0/12'));
  assert.ok(within('1.2.3.4', '1.2.3.4') && !within('1.2.3.5', '1.2.3.4'));
  assert.ok(within('9.9.9.9', '0.0.0.0/0') && !within('::9', '0.0.0.0/0'));
  assert.ok(within('2001:db8:ffff::1', '2001:db8::/33') === false);
  for (const text of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', 'name', '::/129'])
    assert.equal(parsePrefix(text), undefined);
});

test('what leads to the host itself is known however it is wrapped', () => {
  const kinds = (kind: string, ...addresses: string[]) => {
    for (const address of addresses) assert.equal(addressKind(address), kind, address);
  };
  kinds('loopback', '127.0.0.1', '127.255.0.1', '0.0.0.0', '0.0.0.1', '::1', '::', '64:ff9b::7f00:1', '2002:7f00:1::');
  kinds(
    'not-one',
    '224.0.0.251',
    '255.255.255.255',
    '240.0.0.1',
    'ff02::1',
    '::ffff:7f00:1',
    '::7f00:1',
    '2002:e000:1::',
  );
  kinds('link-local', '169.254.169.254', 'fe80::1', '64:ff9b::a9fe:a9fe');
  kinds('ordinary', '10.0.0.1', '192.168.1.1', '8.8.8.8', '2001:db8::1', '64:ff9b::808:808', 'fd00::1');
});
