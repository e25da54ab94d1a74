/**
 * Attempts to get out of a shared folder: by symbolic links, and by somebody on the host who exchanges a directory for a link, over and
 * over, while the guest walks through it. What is outside has names and contents that nothing inside has.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type FolderGuest, guestOf } from '../guest.test-helper.ts';
import { createFolderServer } from '../server.ts';
import { openHostFolder } from './host-folder.ts';

const MARK = 'outside';

/** `share` in a directory whose other contents are marked. */
async function share(t: TestContext, descriptors: number) {
  const base = fs.mkdtempSync(join(tmpdir(), 'virts-escape-'));
  const [path, outside] = [join(base, 'share'), join(base, 'outside')];
  fs.mkdirSync(join(path, 'd'), { recursive: true });
  fs.writeFileSync(join(path, 'd', 'f'), 'inside');
  fs.mkdirSync(outside);
  fs.writeFileSync(join(outside, 'f'), MARK);
  fs.writeFileSync(join(outside, MARK), MARK);
  const folder = openHostFolder(path, { descriptors });
  const server = createFolderServer({
    folder,
    readOnly: false,
    limits: { nodes: 1000, open: 64 },
    now: Date.now,
    report: assert.fail,
  });
  const guest = guestOf(server);
  await guest.init();
  t.after(() => {
    server.reset();
    folder.end();
    fs.rmSync(base, { recursive: true });
  });
  return { base, path, outside, guest };
}

/** What is outside, as it was made. */
function isUntouched(outside: string): void {
  assert.deepEqual(fs.readdirSync(outside).toSorted(), ['f', MARK]);
  for (const name of ['f', MARK]) assert.equal(fs.readFileSync(join(outside, name), 'utf8'), MARK);
  assert.equal(fs.statSync(join(outside, 'f')).mode & 0o777, 0o644 & ~process.umask());
}

/** Exchanges two names as fast as it can, in a process of its own, until it is told to stop. */
async function exchanging<T>(path: string, [a, b]: readonly [string, string], work: () => Promise<T>): Promise<T> {
  const program = `
    const koffi = require('koffi');
    const rename = koffi.load(null).func('int renameat2(int, const char *, int, const char *, uint)');
    let count = 0;
    process.stdin.on('data', () => { process.stdout.write('done ' + count, () => process.exit(0)); });
    function some() {
      for (let i = 0; i < 200; i++) if (rename(-100, ${JSON.stringify(a)}, -100, ${JSON.stringify(b)}, 2) === 0) count++;
      setImmediate(some);
    }
    process.stdout.write('ready');
    some();`;
  const child = spawn(process.execPath, ['--input-type=commonjs', '-e', program], {
    cwd: path,
    env: { ...process.env, NODE_PATH: join(import.meta.dirname, '../../../node_modules') },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const said = () => new Promise<string>((resolve) => child.stdout.once('data', (bytes) => resolve(String(bytes))));
  assert.match(await said(), /ready/);
  try {
    return await work();
  } finally {
    const last = said();
    child.stdin.write('stop');
    const count = Number((await last).replace('done ', ''));
    assert.ok(count > 100, `${count} exchanges`);
  }
}

const refused = (error: unknown) =>
  error instanceof Error && /^errno (2|17|20|21|22|40|95|116|39)$/.test(error.message);

/** One attempt of each kind through the name `d`; whatever the guest gets to see is told. */
async function attempts(guest: FolderGuest, round: number): Promise<string[]> {
  const seen: string[] = [];
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      if (!refused(error)) throw error;
    }
  };
  await attempt(async () => {
    const { node } = await guest.walk('d/f');
    const { file } = await guest.open(node);
    seen.push(new TextDecoder().decode(await guest.read(file, 0n, 100)));
    await guest.release(file);
  });
  await attempt(async () => {
    const { node } = await guest.walk('d');
    for (const { name } of await guest.names(node, true)) seen.push(name);
  });
  await attempt(async () => {
    const { node } = await guest.walk('d');
    const { file } = await guest.create(node, `new${round % 3}`);
    await guest.release(file);
    await guest.rename(node, `new${round % 3}`, 1n, 'moved');
    await guest.unlink(1n, 'moved');
  });
  await attempt(async () => {
    const { node } = await guest.walk('d/f');
    await guest.set(node, 1 | 8, { mode: 0o600, size: 6n });
  });
  await attempt(async () => {
    const { node } = await guest.walk('d');
    await guest.unlink(node, MARK);
  });
  await attempt(async () => {
    const { node } = await guest.walk('d');
    await guest.makeDirectory(node, 'made');
    await guest.removeDirectory(node, 'made');
  });
  return seen;
}

test('symbolic links are not followed, whatever is asked through them', async (t) => {
  const { path, outside, guest } = await share(t, 64);
  for (const [name, target] of [
    ['up', '../outside'],
    ['absolute', outside],
    ['file', '../outside/f'],
    ['root', '/'],
    ['here', '.'],
  ] as const) {
    fs.symlinkSync(target, join(path, name));
    const link = await guest.lookup(1n, name);
    assert.equal(link.attributes.mode & 0o170000, 0o120000);
    for (const work of [
      () => guest.open(link.node),
      () => guest.open(link.node, 0o1001),
      () => guest.openDirectory(link.node),
      () => guest.lookup(link.node, 'f').then(({ node }) => assert.equal(node, 0n)),
      () => guest.create(link.node, 'new'),
      () => guest.create(1n, name, 0o1002),
      () => guest.makeDirectory(link.node, 'new'),
      () => guest.rename(link.node, MARK, 1n, 'stolen'),
      () => guest.rename(1n, 'd', link.node, 'given'),
      () => guest.unlink(link.node, MARK),
      () =>
        guest.link(link.node, 1n, `hard-${name}`).then(({ attributes }) => {
          assert.equal(attributes.mode & 0o170000, 0o120000, 'the link itself');
          throw new Error('errno 2');
        }),
      () => guest.set(link.node, 8, { size: 0n }),
    ]) {
      await assert.rejects(work, refused, `${name}: ${work}`);
    }
    // Its owner is not what it leads to.
    await guest.set(link.node, 2 | 4, { uid: 5, gid: 5 });
  }
  isUntouched(outside);
});

for (const [title, descriptors] of [
  ['while all is held', 64],
  ['while descriptors are given up all the time', 8],
] as const) {
  test(`exchanging a directory for a link leads nowhere, ${title}`, async (t) => {
    const { path, outside, guest } = await share(t, descriptors);
    fs.symlinkSync('../outside', join(path, 'link'));
    for (let i = 0; i < 12; i++) fs.mkdirSync(join(path, `other${i}`));
    const seen = new Set<string>();
    await exchanging(path, ['d', 'link'], async () => {
      for (let round = 0; round < 300; round++) {
        for (const what of await attempts(guest, round)) seen.add(what);
        if (descriptors === 8) for (let i = 0; i < 12; i++) await guest.walk(`other${i}`);
      }
    });
    assert.ok(seen.has('inside'), 'some attempts met the directory');
    assert.equal(seen.has(MARK), false);
    isUntouched(outside);
  });
}

test('a directory that is moved out shows nothing but itself', async (t) => {
  const { base, path, outside, guest } = await share(t, 8);
  const { node } = await guest.walk('d');
  fs.renameSync(join(path, 'd'), join(base, 'taken'));
  for (const name of ['..', '../outside', '.']) await assert.rejects(guest.lookup(node, name), refused);
  assert.ok((await guest.lookup(node, 'f')).node !== 0n, 'what was shared and is held stays usable');
  for (let i = 0; i < 12; i++) {
    fs.mkdirSync(join(path, `other${i}`));
    await guest.walk(`other${i}`);
  }
  await assert.rejects(guest.lookup(node, 'f'), refused, 'and is found no more once it is not held');
  isUntouched(outside);
});
