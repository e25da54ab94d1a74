import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type FakeMirror, type FakePackage, makeTar, startFakeMirror } from '../../../test/images/fake-mirror.ts';
import { makeModule } from '../../../test/images/fake-module.ts';
import { VirtsError } from '../../base/errors.ts';
import { openDisk } from '../../storage/open-disk.ts';
import type { GuestRun } from '../run-guest.ts';
import { openImage } from '../store.ts';
import { basePackages } from './packages.ts';
import { type PullOptions, pullDebian } from './pull.ts';

const KERNEL = '6.1.1';
const MODULE = makeModule(['depends=']);

/** An archive with all that an image is made of, as empty packages. */
function archive(version: string): FakePackage[] {
  const kernel = (name: string, files: FakePackage['files']): FakePackage[] => [
    { name, version, depends: `${name}-${KERNEL} (= ${version})` },
    { name: `${name}-${KERNEL}`, version, ...(files && { files }) },
  ];
  const modules = { [`lib/modules/${KERNEL}/kernel/virtio_pci.ko`]: MODULE };
  return [
    ...basePackages().map((name) => ({
      name,
      version,
      files: { version, ...(name === 'e2fsprogs' && { 'sbin/mke2fs': 'mke2fs' }) },
    })),
    { name: 'busybox-static', version, files: { 'bin/busybox': 'busybox' } },
    { name: 'extra', version, depends: 'more' },
    { name: 'more', version },
    ...kernel('linux-image-cloud-amd64', { [`boot/vmlinuz-${KERNEL}`]: 'cloud kernel', ...modules }),
  ];
}

interface Fixture {
  readonly mirror: FakeMirror;
  readonly options: Omit<PullOptions, 'run'>;
  readonly env: NodeJS.ProcessEnv;
  readonly warnings: string[];
}

async function fixture(context: TestContext): Promise<Fixture> {
  const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
  const mirror = await startFakeMirror();
  context.after(async () => {
    await mirror.close();
    rmSync(directory, { recursive: true });
  });
  await mirror.publish('debian', 'bookworm', archive('1'));
  writeFileSync(join(directory, 'key.asc'), mirror.publicKey);
  const env = {
    PATH: process.env.PATH,
    XDG_DATA_HOME: join(directory, 'data'),
    XDG_STATE_HOME: join(directory, 'state'),
  };
  const warnings: string[] = [];
  const options = {
    ...{ name: 'debian', diskSize: 2 ** 30, include: [], authorizedKeys: '', cache: join(directory, 'cache'), env },
    ...{ mirror: mirror.url, keyring: join(directory, 'key.asc'), archive: { aptDirectory: join(directory, 'apt') } },
    signal: new AbortController().signal,
    progress: {
      step: () => ({ advance: () => {}, end: () => {} }),
      warn: (text: string) => void warnings.push(text),
    },
  };
  return { mirror, options, env, warnings };
}

const sector = async (text: Uint8Array): Promise<Uint8Array> => {
  const bytes = new Uint8Array(Math.ceil(text.length / 512) * 512);
  bytes.set(text);
  return bytes;
};

/** Does what the builder would do, as far as the host sees it. */
async function build({ disks, output }: GuestRun): Promise<void> {
  const [target, , handedOut] = disks;
  output(Buffer.from('virts-build step format\n'));
  await target!.write(4096, [await sector(Buffer.from('a file system'))]);
  await target!.flush();
  const tar = await makeTar({
    [`boot/vmlinuz-${KERNEL}`]: 'the kernel',
    [`lib/modules/${KERNEL}/kernel/virtio_blk.ko`]: MODULE,
  });
  await handedOut!.write(0, [await sector(tar)]);
  output(Buffer.from('virts-build done\n'));
}

test('an image has the disk, the kernel that the builder hands out, and an initramfs', async (context) => {
  const { options, env, warnings } = await fixture(context);
  const runs: GuestRun[] = [];
  const run = async (request: GuestRun): Promise<void> => {
    runs.push(request);
    assert.ok(request.disks[1]!.readOnly);
    await build(request);
  };
  const { image, isNew } = await pullDebian({ ...options, include: ['extra'], run });
  assert.ok(isNew);
  assert.deepEqual(await openImage('debian', env), image);
  assert.equal(readFileSync(image.kernel, 'utf8'), 'the kernel');
  assert.ok(readFileSync(image.initrd!).includes('virtio_blk.ko'));
  assert.ok(
    ['more=1', 'systemd=1', `linux-image-cloud-amd64-${KERNEL}=1`].every((name) =>
      image.record.packages.includes(name),
    ),
  );
  assert.equal(Buffer.from(runs[0]!.kernel).toString(), 'cloud kernel');
  assert.ok(Buffer.from(runs[0]!.initrd).includes('mke2fs'));
  const disk = await openDisk({ path: image.disk, readOnly: true });
  const bytes = new Uint8Array(512);
  await disk.read(4096, [bytes]);
  await disk.close();
  assert.equal(disk.size, options.diskSize);
  assert.match(Buffer.from(bytes).toString(), /^a file system\0/);
  // The mirror is one of this host, which the guest cannot reach.
  assert.ok(warnings.some((text) => /image's APT is not told of bookworm:/.test(text)));
});

test('it is made again when packages or options are others, and only then', async (context) => {
  const { mirror, options } = await fixture(context);
  const made = async (changes: Partial<PullOptions> = {}) =>
    (await pullDebian({ ...options, run: build, ...changes })).isNew;
  assert.deepEqual([await made(), await made()], [true, false]);
  assert.equal(await made({ include: ['extra'] }), true);
  assert.equal(await made({ authorizedKeys: 'ssh-ed25519 AAAA\n' }), true);
  assert.equal(await made({ authorizedKeys: 'ssh-ed25519 AAAA\n' }), false);
  await mirror.publish('debian', 'bookworm', archive('2'));
  assert.equal(await made({ authorizedKeys: 'ssh-ed25519 AAAA\n' }), true);
});

test('a pull that was interrupted goes on with what it has, and leaves no image', async (context) => {
  const { mirror, options, env } = await fixture(context);
  const controller = new AbortController();
  const reason = new Error('interrupted');
  const run = async (): Promise<void> => {
    controller.abort(reason);
    throw reason;
  };
  await assert.rejects(pullDebian({ ...options, signal: controller.signal, run }), reason);
  await assert.rejects(openImage('debian', env), { kind: 'not-found' });
  assert.equal(existsSync(join(env.XDG_DATA_HOME!, 'virts/images/debian')), false);
  mirror.requests.length = 0;
  assert.ok((await pullDebian({ ...options, run: build })).isNew);
  assert.deepEqual(
    mirror.requests.filter((path) => path.endsWith('.deb')),
    [],
  );
});

test('what the builder says went wrong is told, and the image of before stays', async (context) => {
  const { options, env } = await fixture(context);
  const { image } = await pullDebian({ ...options, run: build });
  const say = (text: string) => async (request: GuestRun) => request.output(Buffer.from(text));
  const other = { ...options, include: ['extra'] };
  const lines = 'first\nsecond\nthird\nfourth\nvirts-build failed to configure the packages\n';
  await assert.rejects(pullDebian({ ...other, run: say(lines) }), (error) => {
    assert.ok(error instanceof VirtsError && error.kind === 'bad-input');
    assert.match(
      error.message,
      /failed to configure the packages, after it wrote: second \/ third \/ fourth; .* is in /,
    );
    assert.equal(readFileSync(error.context.log as string, 'utf8'), lines);
    return true;
  });
  await assert.rejects(pullDebian({ ...other, run: say('') }), {
    kind: 'bad-input',
    message: /ended before it was done;/,
  });
  // It says that all is well, but hands out nothing.
  await assert.rejects(pullDebian({ ...other, run: say('virts-build done\n') }), {
    kind: 'bad-input',
    message: /has no kernel/,
  });
  assert.deepEqual(await openImage('debian', env), image);
});

test('a package that there is not ends it before anything is downloaded', async (context) => {
  const { mirror, options } = await fixture(context);
  await assert.rejects(pullDebian({ ...options, include: ['nothing'], run: build }), { kind: 'not-found' });
  assert.ok(!mirror.requests.some((path) => path.endsWith('.deb')));
});

test('two at once: the second is told', async (context) => {
  const { options } = await fixture(context);
  const run = async (request: GuestRun): Promise<void> => {
    await assert.rejects(pullDebian({ ...options, run: build }), { kind: 'io', message: /Another virts is working/ });
    await build(request);
  };
  assert.ok((await pullDebian({ ...options, run })).isNew);
});
