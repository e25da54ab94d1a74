import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openHostFile } from '../storage/host-file.ts';
import { createQcow2 } from '../storage/qcow2/create.ts';
import { type Draft, draftImage, type Image, listImages, openImage, removeImage } from './store.ts';

const ABOUT: Parameters<Draft['commit']>[0] = {
  distribution: 'debian',
  release: 'bookworm',
  architecture: 'amd64',
  append: 'console=ttyS0',
  packages: [],
  created: '2026-01-02T03:04:05Z',
  virtualSize: 1 << 20,
};

function home(context: TestContext): { env: NodeJS.ProcessEnv; data: string; machines: string } {
  const base = mkdtempSync(join(tmpdir(), 'virts-test-'));
  context.after(() => rmSync(base, { recursive: true }));
  const env = { XDG_DATA_HOME: join(base, 'data'), XDG_STATE_HOME: join(base, 'state') };
  return { env, data: join(base, 'data/virts/images'), machines: join(base, 'state/virts/machines') };
}

function fill(draft: Draft, content = 'a'): void {
  writeFileSync(join(draft.directory, 'vmlinuz'), `kernel ${content}`);
  writeFileSync(join(draft.directory, 'initrd'), 'initrd');
  writeFileSync(join(draft.directory, 'disk.qcow2'), `disk ${content}`);
}

async function make(env: NodeJS.ProcessEnv, name: string, content?: string): Promise<Image> {
  const draft = await draftImage(name, env);
  try {
    fill(draft, content);
    return await draft.commit(ABOUT);
  } finally {
    await draft.close();
  }
}

/** A machine whose disk lies over an image. */
async function makeMachine(machines: string, name: string, image: Image): Promise<void> {
  mkdirSync(join(machines, name), { recursive: true });
  const file = await openHostFile(join(machines, name, 'disk.qcow2'), { readOnly: false, create: true });
  await createQcow2(file, 1 << 20, { name: image.disk, format: 'qcow2' });
  await file.close();
}

test('an image is there when it is committed, and is listed and opened with its files', async (context) => {
  const { env } = home(context);
  assert.deepEqual(await listImages(env), { images: [], problems: [] });
  await assert.rejects(openImage('debian', env), { kind: 'not-found' });
  const draft = await draftImage('debian', env);
  fill(draft);
  assert.deepEqual(await listImages(env), { images: [], problems: [] });
  const image = await draft.commit(ABOUT);
  await draft.close();
  assert.equal(readFileSync(image.kernel, 'utf8'), 'kernel a');
  assert.equal(readFileSync(image.initrd!, 'utf8'), 'initrd');
  assert.deepEqual(await openImage('debian', env), image);
  assert.deepEqual((await listImages(env)).images, [image]);
});

test('a draft that is closed leaves nothing, and the image of before', async (context) => {
  const { env, data } = home(context);
  const first = await draftImage('debian', env);
  fill(first);
  await first.close();
  assert.equal(existsSync(join(data, 'debian')), false);
  const image = await make(env, 'debian');
  const second = await draftImage('debian', env);
  fill(second, 'b');
  await second.close();
  assert.deepEqual(await openImage('debian', env), image);
});

test('what a killed process left is gone with the next draft', async (context) => {
  const { env, data } = home(context);
  mkdirSync(join(data, 'debian/new.4194305'), { recursive: true });
  await make(env, 'debian');
  assert.deepEqual(readdirSync(join(data, 'debian')).length, 2);
});

test('two work on one name one after the other, on two names at once', async (context) => {
  const { env } = home(context);
  const draft = await draftImage('debian', env);
  await assert.rejects(draftImage('debian', env), { kind: 'io', message: /Another virts is working on/ });
  await (await draftImage('other', env)).close();
  await draft.close();
  await (await draftImage('debian', env)).close();
});

test('the same content has the same id; another takes its place', async (context) => {
  const { env, data } = home(context);
  const first = await make(env, 'debian');
  assert.deepEqual(await make(env, 'debian'), first);
  assert.equal((await make(env, 'copy')).record.id, first.record.id);
  const second = await make(env, 'debian', 'b');
  assert.notEqual(second.record.id, first.record.id);
  assert.equal(existsSync(first.disk), false);
  assert.deepEqual(readdirSync(join(data, 'debian')).sort(), [second.record.id, 'image.json'].sort());
});

test('what machines use stays when the image gets another content, and is not removed unless forced', async (context) => {
  const { env, machines, data } = home(context);
  const first = await make(env, 'debian');
  await makeMachine(machines, 'web', first);
  const second = await make(env, 'debian', 'b');
  assert.ok(existsSync(first.disk) && existsSync(second.disk));
  await assert.rejects(removeImage('debian', false, env), { kind: 'usage', message: /in use by the machine web;/ });
  assert.ok(existsSync(first.disk));
  await removeImage('debian', true, env);
  assert.equal(existsSync(join(data, 'debian')), false);
  await assert.rejects(removeImage('debian', false, env), { kind: 'not-found' });
});

test('damage is told of, and does not hide other images', async (context) => {
  const { env, data } = home(context);
  const good = await make(env, 'good');
  const short = await make(env, 'short');
  writeFileSync(short.disk, '');
  await assert.rejects(openImage('short', env), { kind: 'bad-input', message: /disk.qcow2 has not the size/ });
  rmSync(short.kernel);
  await assert.rejects(openImage('short', env), { kind: 'bad-input', message: /vmlinuz is missing/ });
  mkdirSync(join(data, 'bad'));
  for (const text of ['', '{}', JSON.stringify({ ...good.record, format: 2 }), JSON.stringify(good.record)]) {
    writeFileSync(join(data, 'bad/image.json'), text);
    await assert.rejects(openImage('bad', env), { kind: 'bad-input' });
    const { images, problems } = await listImages(env);
    assert.deepEqual(
      images.map(({ record }) => record.name),
      ['good', 'short'],
    );
    assert.equal(problems.length, 1);
  }
  await removeImage('bad', false, env);
  assert.equal((await listImages(env)).problems.length, 0);
});

test('names that are none are refused', async (context) => {
  const { env } = home(context);
  for (const name of ['', '.', '..', 'a/b', '.locks', 'A', 'a'.repeat(65), '-x']) {
    await assert.rejects(openImage(name, env), { kind: 'usage' });
    await assert.rejects(draftImage(name, env), { kind: 'usage' });
    await assert.rejects(removeImage(name, false, env), { kind: 'usage' });
  }
});
