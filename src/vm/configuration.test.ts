import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfiguration, type WrittenConfiguration, writeConfiguration } from './configuration.ts';

const read = (value: unknown) => readConfiguration(value, 'web.yaml');

test('what is left out has its default', () => {
  const { memory, cpus, disks, network, reboot, remove } = read({});
  assert.deepEqual([memory, cpus, disks, reboot, remove], [512 << 20, 1, [], true, false]);
  assert.deepEqual(network, { kind: 'user', publish: [], host: false });
});

test('a configuration is written as it was read, without defaults', () => {
  const written: WrittenConfiguration = {
    name: 'web',
    image: 'debian',
    append: 'quiet',
    memory: '1.5G',
    cpus: 4,
    disks: [{ path: '/data.qcow2', format: 'qcow2', readOnly: true, snapshot: false, anyBacking: false }],
    network: {
      join: 'inner',
      publish: ['8080:80', '0.0.0.0:53:5353/udp', '[::1]:1:2', '80', '8000-8009:80', '1-2:3-4'],
      allow: ['*.debian.org'],
    },
    translate: 'off',
  };
  const again = writeConfiguration(read(written));
  assert.deepEqual(again, { ...written, memory: '1536M' });
  assert.deepEqual(read(again), read(written));
  assert.deepEqual(writeConfiguration(read({})), {});
});

const WRONG: readonly (readonly [value: unknown, message: RegExp])[] = [
  [[], /^web\.yaml is not right: expected object, received array\.$/],
  [null, /^web\.yaml is not right: expected object, received null\.$/],
  [{ memroy: '1G' }, /^web\.yaml is not right: there is no setting memroy\.$/],
  [{ memory: 'much' }, /: memory: it takes a size such as 512M or 1G\.$/],
  [{ memory: '9G' }, /: memory: it must be from 1M to 3584M\.$/],
  [{ cpus: 9 }, /: cpus: it takes a number from 1 to 8\.$/],
  [{ name: '../x' }, /: name: it takes a name of up to 63 letters/],
  [{ name: 'x'.repeat(64) }, /: name: it takes a name/],
  [{ disks: [{ path: 'a', format: 'vdi' }] }, /: disks\.0\.format: /],
  [{ disks: [{ path: 'a', snapshot: true, readOnly: true }] }, /: disks\.0: it is either readonly or snapshot/],
  [{ network: { publish: ['80:'] } }, /: network\.publish\.0: it takes .*GUESTPORT/],
  [{ network: { publish: ['x:1:2'] } }, /x is no address of a host/],
  [{ network: { allow: ['a b'] } }, /: network\.allow\.0: it takes a name/],
  [{ network: { kind: 'none', publish: ['1:2'] } }, /^network\.publish needs a network/],
  [{ translate: 'off', verifyTranslation: true }, /^verifyTranslation checks/],
  [{ kernel: 'a', mirror: 'http://example.org' }, /^mirror is for the default guest/],
  [{ image: 'debian', architecture: 'i386' }, /^architecture is for the default guest/],
  [{ mirror: 'ftp://example.org' }, /: mirror: it takes an http:/],
];

for (const [value, message] of WRONG) {
  test(`refused: ${JSON.stringify(value)}`, () => assert.throws(() => read(value), { kind: 'usage', message }));
}
