import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pack } from 'tar-stream';
import { createDisk } from '../storage/create-disk.ts';
import { openHostFile } from '../storage/host-file.ts';
import { openDisk } from '../storage/open-disk.ts';
import { createQcow2 } from '../storage/qcow2/create.ts';
import { SILENT } from './apt/progress.ts';
import { exportImage } from './export.ts';
import { type ImportOptions, importImage } from './import.ts';
import { draftImage, type Image, openImage } from './store.ts';

const SIZE = 3 << 20;
const signal = new AbortController().signal;

function pattern(seed: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 7 + seed) & 0xff);
}

interface Home {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
}

function home(context: TestContext): Home {
  const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
  context.after(() => rmSync(directory, { recursive: true }));
  return { directory, env: { XDG_DATA_HOME: join(directory, 'data'), XDG_STATE_HOME: join(directory, 'state') } };
}

async function makeImage(env: NodeJS.ProcessEnv): Promise<Image> {
  const draft = await draftImage('debian', env);
  writeFileSync(join(draft.directory, 'vmlinuz'), 'kernel');
  writeFileSync(join(draft.directory, 'initrd'), 'initrd');
  const disk = await createDisk(join(draft.directory, 'disk.qcow2'), 'qcow2', SIZE);
  await disk.write(1 << 20, [pattern(1, 8192)]);
  await disk.close();
  const about = { distribution: 'debian', release: 'bookworm', architecture: 'amd64', append: 'a b' } as const;
  const created = '2026-01-02T03:04:05Z';
  const image = await draft.commit({ ...about, created, packages: ['x=1'], virtualSize: SIZE, recipe: '0'.repeat(64) });
  await draft.close();
  return image;
}

const importing = (home: Home, path: string, changes: Partial<ImportOptions> = {}) =>
  importImage({
    ...{ path, env: home.env, progress: SILENT, signal },
    ...{ name: undefined, kernel: undefined, initrd: undefined, append: undefined, format: undefined },
    ...changes,
  });

async function diskContent(path: string, format: 'raw' | 'qcow2'): Promise<Uint8Array> {
  const disk = await openDisk({ path, format, readOnly: true });
  const bytes = new Uint8Array(disk.size);
  await disk.read(0, [bytes]);
  await disk.close();
  return bytes;
}

test('a whole image goes out and comes in as it was, on another host and under another name', async (context) => {
  const here = home(context);
  const there = home(context);
  const image = await makeImage(here.env);
  for (const name of ['image.tar', 'image.tar.zst']) {
    const path = join(here.directory, name);
    await exportImage(image, path, SILENT, signal);
    const copy = await importing(there, path, name === 'image.tar' ? {} : { name: 'other' });
    assert.equal(copy.record.name, name === 'image.tar' ? 'debian' : 'other');
    // What an archive says of how it was made is not believed.
    const { recipe: _recipe, id: _id, name: _name, ...rest } = image.record;
    const { id: _copyId, name: _copyName, ...copied } = copy.record;
    assert.deepEqual(copied, rest);
    assert.deepEqual(readFileSync(copy.disk), readFileSync(image.disk));
    assert.deepEqual(await openImage(copy.record.name, there.env), copy);
  }
});

test('a disk goes out in both formats, and comes in with a kernel', async (context) => {
  const here = home(context);
  const image = await makeImage(here.env);
  const content = await diskContent(image.disk, 'qcow2');
  for (const format of ['raw', 'qcow2'] as const) {
    const path = join(here.directory, `disk.${format}`);
    await exportImage(image, path, SILENT, signal);
    assert.deepEqual(await diskContent(path, format), content);
    await assert.rejects(importing(here, path, { name: 'disk' }), { kind: 'usage', message: /with --kernel/ });
    await assert.rejects(importing(here, path, { kernel: image.kernel }), { kind: 'usage', message: /to be called/ });
    const made = await importing(here, path, { name: format, kernel: image.kernel, append: 'root=/dev/vda' });
    assert.deepEqual(await diskContent(made.disk, 'qcow2'), content);
    assert.equal(readFileSync(made.kernel, 'utf8'), 'kernel');
    assert.deepEqual([made.initrd, made.append, made.record.disk.virtualSize], [undefined, 'root=/dev/vda', SIZE]);
  }
});

test('what is there is not lost: names of files and of images', async (context) => {
  const here = home(context);
  const image = await makeImage(here.env);
  const path = join(here.directory, 'image.tar');
  await exportImage(image, path, SILENT, signal);
  await assert.rejects(exportImage(image, path, SILENT, signal), { kind: 'usage', message: /exists already/ });
  await assert.rejects(exportImage(image, join(here.directory, 'x.zip'), SILENT, signal), { kind: 'usage' });
  await assert.rejects(importing(here, path), { kind: 'usage', message: /There is an image debian already/ });
  await assert.rejects(importing(here, path, { name: 'x', kernel: path }), { kind: 'usage', message: /no use for/ });
  await assert.rejects(importing(here, join(here.directory, 'nothing')), { kind: 'not-found' });
  assert.deepEqual(await openImage('debian', here.env), image);
});

test('an export that is interrupted leaves no file', async (context) => {
  const here = home(context);
  const image = await makeImage(here.env);
  const before = readdirSync(here.directory);
  for (const name of ['image.tar', 'image.tar.zst', 'disk.raw', 'disk.qcow2']) {
    const reason = new Error('interrupted');
    await assert.rejects(exportImage(image, join(here.directory, name), SILENT, AbortSignal.abort(reason)), reason);
  }
  assert.deepEqual(readdirSync(here.directory), before);
});

interface Member {
  readonly name: string;
  readonly content: Uint8Array | string;
}

async function archive(path: string, members: readonly Member[]): Promise<string> {
  const tar = pack();
  for (const { name, content } of members) tar.entry({ name }, content);
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  writeFileSync(path, Buffer.concat(chunks));
  return path;
}

test('an archive that is not what it should be gives a sentence, and no image', async (context) => {
  const here = home(context);
  const there = home(context);
  const image = await makeImage(here.env);
  const record = { name: 'image.json', content: JSON.stringify(image.record) };
  const [kernel, initrd, disk] = [
    { name: 'vmlinuz', content: readFileSync(image.kernel) },
    { name: 'initrd', content: readFileSync(image.initrd!) },
    { name: 'disk.qcow2', content: readFileSync(image.disk) },
  ];
  const path = join(there.directory, 'bad.tar');
  const bad: [Member[], RegExp][] = [
    [[kernel, record, initrd, disk], /does not begin with/],
    [[{ ...record, content: '{}' }], /cannot be understood/],
    [[record, kernel, initrd], /has no disk/],
    [[record, kernel, disk], /has no initrd/],
    [[record, { ...kernel, content: 'Kernel' }, initrd, disk], /checksum of vmlinuz/],
    [[record, { ...kernel, content: 'kernel ' }, initrd, disk], /vmlinuz has not the size/],
    [[record, kernel, kernel, initrd, disk], /should not have/],
    [[record, kernel, initrd, disk, { name: '../../escape', content: 'x' }], /should not have/],
    [[record, { name: '/tmp/escape', content: 'x' }], /should not have/],
    [[{ ...record, content: JSON.stringify({ ...image.record, name: '../x' }) }, kernel], /cannot be understood/],
  ];
  for (const [members, message] of bad) {
    await archive(path, members);
    await assert.rejects(importing(there, path), { kind: 'bad-input', message });
    await assert.rejects(openImage('debian', there.env), { kind: 'not-found' });
  }
  const whole = readFileSync(await archive(path, [record, kernel, initrd, disk]));
  for (const length of [600, 5000, whole.length >> 1]) {
    writeFileSync(path, whole.subarray(0, length));
    await assert.rejects(importing(there, path), { kind: 'bad-input' });
  }
  assert.equal(existsSync(join(there.env.XDG_DATA_HOME!, 'virts/images/debian')), false);
});

test('a disk with a file of the host behind it does not come in', async (context) => {
  const here = home(context);
  const secret = join(here.directory, 'secret');
  writeFileSync(secret, pattern(0, 4096));
  const path = join(here.directory, 'disk.qcow2');
  const file = await openHostFile(path, { readOnly: false, create: true });
  await createQcow2(file, 4096, { name: secret, format: 'raw' });
  await file.close();
  await assert.rejects(importing(here, path, { name: 'x', kernel: secret }), { kind: 'untrusted' });
  // The same inside an archive, with checksums that fit.
  const draft = await draftImage('bad', here.env);
  for (const name of ['vmlinuz', 'disk.qcow2']) copyFileSync(path, join(draft.directory, name));
  const about = { distribution: 'x', release: 'x', architecture: 'amd64', append: '' } as const;
  const bad = await draft.commit({ ...about, packages: [], created: '2026-01-02T03:04:05Z', virtualSize: 4096 });
  await draft.close();
  await exportImage(bad, join(here.directory, 'bad.tar'), SILENT, signal);
  const refused = { kind: 'bad-input', message: /its disk has a backing file/ };
  await assert.rejects(importing(here, join(here.directory, 'bad.tar'), { name: 'copy' }), refused);
});
