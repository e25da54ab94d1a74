import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type FakeMirror, startFakeMirror } from '../../test/images/fake-mirror.ts';
import { makeModule } from '../../test/images/fake-module.ts';
import { type DefaultGuestOptions, defaultGuest, type Guest } from './default-guest.ts';

let directory: string;
let mirror: FakeMirror;
let warnings: string[];

const kernel = (version: string, architecture = 'amd64') => [
  {
    name: architecture === 'amd64' ? 'linux-image-cloud-amd64' : 'linux-image-686',
    version,
    architecture,
    depends: `linux-image-${version} (= ${version})`,
  },
  {
    name: `linux-image-${version}`,
    version,
    architecture,
    files: {
      [`boot/vmlinuz-${version}`]: `kernel ${version}`,
      [`lib/modules/${version}/kernel/virtio_pci.ko`]: makeModule(['depends=virtio']),
      [`lib/modules/${version}/kernel/virtio.ko`]: makeModule(['depends=']),
    },
  },
  { name: 'busybox-static', version: '1:1.35', architecture, files: { 'bin/busybox': `busybox of ${architecture}` } },
];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'virts-test-'));
  mirror = await startFakeMirror();
  warnings = [];
  await writeFile(join(directory, 'key.asc'), mirror.publicKey);
});

afterEach(async () => {
  await mirror.close();
  await rm(directory, { recursive: true });
});

function make(changes: Partial<DefaultGuestOptions> = {}): Promise<Guest> {
  return defaultGuest({
    cache: join(directory, 'cache'),
    mirror: mirror.url,
    keyring: join(directory, 'key.asc'),
    signal: new AbortController().signal,
    progress: { step: () => ({ advance: () => {}, end: () => {} }), warn: (text) => warnings.push(text) },
    archive: { aptDirectory: join(directory, 'etc-apt'), env: { PATH: process.env.PATH } },
    ...changes,
  });
}

test('kernel and initramfs from the packages, for both architectures', async () => {
  await mirror.publish('debian', 'bookworm', [...kernel('6.1.1'), ...kernel('6.1.1', 'i386')]);
  for (const architecture of ['amd64', 'i386'] as const) {
    const guest = await make({ architecture });
    assert.equal(await readFile(guest.kernel, 'utf8'), 'kernel 6.1.1');
    const initrd = await readFile(guest.initrd, 'latin1');
    assert.ok(initrd.includes(`busybox of ${architecture}`));
    assert.ok(initrd.includes('lib/modules/6.1.1/kernel/virtio.ko\0'));
    assert.ok(initrd.includes('kernel/virtio_pci.ko: kernel/virtio.ko\n'));
    assert.equal(guest.append, 'console=ttyS0');
  }
});

test('a guest that was made is used again without the network', async () => {
  await mirror.publish('debian', 'bookworm', kernel('6.1.1'));
  const first = await make();
  const { length } = mirror.requests;
  assert.deepEqual(await make(), first);
  assert.equal(mirror.requests.length, length);
});

const DAY = 86_400;

/** Has a guest be one that was used last so many days ago. */
async function lastUsed({ kernel: path }: Guest, days: number): Promise<void> {
  const then = Date.now() / 1000 - days * DAY;
  await utimes(dirname(path), then, then);
}

test('refreshing takes newer packages; a guest goes when nobody has used it for long', async () => {
  await mirror.publish('debian', 'bookworm', kernel('6.1.1'));
  const first = await make();
  assert.deepEqual(await make({ refresh: true }), first);
  await mirror.publish('debian', 'bookworm', [...kernel('6.1.1'), ...kernel('6.1.2')]);
  const second = await make({ refresh: true });
  assert.equal(await readFile(second.kernel, 'utf8'), 'kernel 6.1.2');
  assert.equal(await readFile(first.kernel, 'utf8'), 'kernel 6.1.1', 'somebody may have begun to boot it');
  await lastUsed(first, 31);
  await mirror.publish('debian', 'bookworm', [...kernel('6.1.1'), ...kernel('6.1.2'), ...kernel('6.1.3')]);
  const third = await make({ refresh: true });
  assert.equal(await readFile(third.kernel, 'utf8'), 'kernel 6.1.3');
  assert.equal(await readFile(second.kernel, 'utf8'), 'kernel 6.1.2');
  await assert.rejects(readFile(first.kernel));
});

test('guests that other versions or mirrors made are theirs as long as they use them', async () => {
  await mirror.publish('debian', 'bookworm', kernel('6.1.1'));
  const first = await make();
  await lastUsed(first, 29);
  const other = await make({ mirror: `${mirror.url}/.` });
  const { length } = mirror.requests;
  // Both go on without the network, in turn, and each use counts.
  assert.deepEqual(await make(), first);
  assert.deepEqual(await make({ mirror: `${mirror.url}/.` }), other);
  assert.equal(mirror.requests.length, length);
  assert.ok((await stat(dirname(first.kernel))).mtimeMs > Date.now() - DAY * 1000);
});

test('records of guests that are gone go too', async () => {
  await mirror.publish('debian', 'bookworm', kernel('6.1.1'));
  const guest = await make();
  const directory = dirname(dirname(guest.kernel));
  const stale = join(directory, `made-${'0'.repeat(16)}.json`);
  const kept = join(directory, 'something-else.json');
  await writeFile(stale, JSON.stringify({ key: '1'.repeat(16), asked: 0, kernel: '', initrd: '' }));
  await writeFile(kept, '');
  await rm(dirname(guest.kernel), { recursive: true });
  assert.deepEqual(await make(), guest);
  const names = await readdir(directory);
  assert.ok(!names.some((name) => stale.endsWith(name)));
  assert.ok(names.includes('something-else.json'));
});

test('without the network a guest that was made before serves on', async () => {
  await mirror.publish('debian', 'bookworm', kernel('6.1.1'));
  const first = await make();
  mirror.intercept = (_, response) => {
    response.destroy();
    return true;
  };
  assert.deepEqual(await make({ refresh: true }), first);
  assert.match(warnings.at(-1)!, /made before/);
});

test('a guest whose files were damaged is made anew', async () => {
  await mirror.publish('debian', 'bookworm', kernel('6.1.1'));
  const guest = await make();
  const good = await readFile(guest.initrd);
  await writeFile(guest.initrd, 'damaged');
  assert.deepEqual(await make(), guest);
  assert.deepEqual(await readFile(guest.initrd), good);
});

test('an abort while the kernel comes in leaves no half file', async () => {
  await mirror.publish('debian', 'bookworm', kernel('6.1.1'));
  const controller = new AbortController();
  mirror.intercept = (path, response) => {
    if (!path.includes('linux-image')) return false;
    response.writeHead(200).write('x', () => setTimeout(() => controller.abort(), 20));
    return true;
  };
  await assert.rejects(make({ signal: controller.signal }));
  const files = await readdir(join(directory, 'cache'), { recursive: true });
  assert.deepEqual(
    files.filter((name) => /\.(part|deb)$|vmlinuz|initrd|made-/.test(name)),
    [],
  );
});
