import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { ERROR_KINDS } from '../base/errors.ts';
import { readPublicKeys } from '../sdk/node/pull.ts';
import { createDisk } from '../storage/create-disk.ts';
import { parseDiskSize, parsePackage } from './image-commands.ts';
import { main } from './program.ts';
import { ago, shortSize, table } from './table.ts';

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

function home(context: TestContext): { directory: string; virts: (...args: string[]) => Promise<Ran> } {
  const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const env = { XDG_DATA_HOME: join(directory, 'data'), XDG_STATE_HOME: join(directory, 'state') };
  return {
    directory,
    async virts(...args) {
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      const startMachine = () => Promise.reject(new Error('no machine is started here'));
      const written = new Map<PassThrough, string>();
      for (const stream of [stdout, stderr]) {
        stream.on('data', (chunk: Buffer) => written.set(stream, (written.get(stream) ?? '') + chunk));
      }
      const status = await main(args, { stdin, stdout, stderr, env, signals: new EventEmitter(), startMachine });
      // What was written last is handed on after this turn.
      await new Promise((resolve) => setImmediate(resolve));
      return { status, out: written.get(stdout) ?? '', err: written.get(stderr) ?? '' };
    },
  };
}

test('an image is imported, listed, inspected, exported and removed', async (context) => {
  const { directory, virts } = home(context);
  const [disk, kernel] = [join(directory, 'disk.qcow2'), join(directory, 'kernel')];
  await (await createDisk(disk, 'qcow2', 5 << 20)).close();
  writeFileSync(kernel, 'kernel');
  assert.deepEqual(await virts('image', 'ls'), {
    status: 0,
    out: 'NAME   IMAGE ID   SYSTEM   CREATED   SIZE   DISK\n',
    err: '',
  });
  assert.deepEqual(await virts('image', 'import', disk, 'mine', '--kernel', kernel).then(({ out }) => out), 'mine\n');

  const [listed, , last] = (await virts('image', 'ls')).out.split('\n');
  assert.match(listed!, /^NAME {3}IMAGE ID/);
  assert.equal(last, '');
  const [inspected] = JSON.parse((await virts('image', 'inspect', 'mine')).out);
  assert.equal(inspected.name, 'mine');
  assert.equal(inspected.append, 'console=ttyS0 root=/dev/vda');
  assert.equal(inspected.disk.virtualSize, 5 << 20);
  assert.deepEqual(JSON.parse((await virts('image', 'ls', '--json')).out), [inspected]);
  assert.equal((await virts('image', 'ls', '-q')).out, `${inspected.id.slice(0, 12)}\n`);

  const tar = join(directory, 'mine.tar.zst');
  assert.equal((await virts('image', 'export', 'mine', '-o', tar)).status, 0);
  assert.deepEqual((await virts('image', 'import', tar, 'copy')).out, 'copy\n');
  const removed = await virts('image', 'rm', 'mine', 'nothing', 'copy');
  assert.equal(removed.out, 'mine\ncopy\n');
  assert.equal(removed.err, 'virts: There is no image nothing.\n');
  assert.equal(removed.status, ERROR_KINDS['not-found']);
  assert.equal((await virts('image', 'ls', '--json')).out, '[]\n');
});

test('what cannot be done is one sentence', async (context) => {
  const { virts } = home(context);
  for (const [args, status, message] of [
    [['pull', 'nonsense'], ERROR_KINDS.usage, /^virts: There is no 'nonsense' to be pulled; there is: debian\.\n$/],
    [['pull', 'debian', '--name', 'A/b'], ERROR_KINDS.usage, /^virts: 'A\/b' cannot be the name of an image: .*\.\n$/],
    [['pull', 'debian', '--size', '1G'], ERROR_KINDS.usage, /from 2G to 2T/],
    [['image', 'inspect', 'x'], ERROR_KINDS['not-found'], /^virts: There is no image x; .*\.\n$/],
    [['image', 'export', 'x', '-o', 'y.tar'], ERROR_KINDS['not-found'], /^virts: There is no image x; .*\.\n$/],
    [['image', 'import', '/nowhere'], ERROR_KINDS['not-found'], /^virts: There is no file \/nowhere\.\n$/],
  ] as const) {
    const ran = await virts(...args);
    assert.equal(ran.status, status, args.join(' '));
    assert.match(ran.err, message);
  }
});

test('sizes and names of packages', () => {
  assert.equal(parseDiskSize('40G'), 40 * 2 ** 30);
  assert.equal(parseDiskSize('1TiB'), 2 ** 40);
  for (const text of ['', '1G', '4096T', '10M', 'x', '-5G']) assert.throws(() => parseDiskSize(text), /2G to 2T/);
  assert.deepEqual(parsePackage('g++', parsePackage('nginx')), ['nginx', 'g++']);
  for (const text of ['', 'A', 'a b', '-x', '$(x)'])
    assert.throws(() => parsePackage(text), /name of a Debian package/);
});

test('public keys are taken, private ones and other files are not', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'key');
  const read = (text: string) => {
    writeFileSync(path, text);
    return readPublicKeys(path);
  };
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@host';
  assert.equal(read(`# mine\n${key}\r\n\n`), `${key}\n`);
  assert.equal(
    read(`no-pty ${key}\nsk-ssh-ed25519@openssh.com AAAA\n`),
    `no-pty ${key}\nsk-ssh-ed25519@openssh.com AAAA\n`,
  );
  assert.throws(() => read('-----BEGIN OPENSSH PRIVATE KEY-----\n'), { kind: 'bad-input', message: /private key/ });
  for (const text of ['', 'hello\n', `${key}\nhello\n`]) assert.throws(() => read(text), { kind: 'bad-input' });
});

test('tables, sizes and times', () => {
  assert.equal(table(['A', 'LONG'], [['long cell', 'x']]), 'A           LONG\nlong cell   x\n');
  assert.deepEqual([0, 999, 1000, 21_474_836_480, 612_000_000].map(shortSize), [
    '0B',
    '999B',
    '1kB',
    '21.5GB',
    '612MB',
  ]);
  const day = 86_400_000;
  assert.deepEqual(
    [-5, 30_000, 119_000, 120_000, 3 * 3_600_000, 2 * day, 20 * day, 100 * day, 900 * day].map((age) => ago(0, age)),
    [
      ...['0 seconds ago', '30 seconds ago', '119 seconds ago', '2 minutes ago', '3 hours ago', '2 days ago'],
      ...['2 weeks ago', '3 months ago', '2 years ago'],
    ],
  );
});
