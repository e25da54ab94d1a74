/** What goes into an archive and comes out of one, also one that a hostile guest made. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pack as createPack } from 'tar-stream';
import { pack } from './pack.ts';
import { formOf, type Kind, parsePlace, targetOf } from './place.ts';
import { unpack } from './unpack.ts';

const root = mkdtempSync(join(tmpdir(), 'virts-copy-'));
after(() => rmSync(root, { recursive: true, force: true }));
let number = 0;

function directory(): string {
  const path = join(root, `${++number}`);
  mkdirSync(path);
  return path;
}

type Made = Parameters<ReturnType<typeof createPack>['entry']>[0];

/** An archive with these entries; files hold their own name. */
function archive(...entries: Made[]): AsyncIterable<Uint8Array> {
  const made = createPack();
  for (const entry of entries) made.entry(entry, entry.type === undefined ? entry.name : undefined);
  made.finalize();
  return made;
}

const warnings: string[] = [];
const options = (into: string) => ({
  ...{ into, top: 'top', name: 'here', owners: false },
  warn: (sentence: string) => void warnings.push(sentence),
});
const dir = (name: string, mode = 0o755): Made => ({ name, type: 'directory', mode });

describe('an archive of a guest', () => {
  test('is put in place, with permissions that harm nobody', async () => {
    const into = directory();
    const entries = archive(
      dir('top', 0o555),
      { name: 'top/file', mode: 0o6755 },
      { name: 'top/hard', type: 'link', linkname: 'top/file' },
    );
    await unpack(entries, options(into));
    assert.equal(readFileSync(join(into, 'here/hard'), 'utf8'), 'top/file');
    assert.equal(lstatSync(join(into, 'here/file')).mode & 0o7777, 0o755);
    assert.equal(lstatSync(join(into, 'here')).mode & 0o7777, 0o555);
    chmodSync(join(into, 'here'), 0o755);
  });

  test('gets nowhere else', async () => {
    const outside = directory();
    writeFileSync(join(outside, 'victim'), 'safe');
    const link = { type: 'symlink', linkname: outside } as const;
    const attacks: Made[][] = [
      [{ name: '../victim' }],
      [{ name: 'top/../../victim' }],
      [{ name: `${outside}/victim` }],
      [{ name: 'other' }],
      [dir('top'), { name: 'top/link', ...link }, { name: 'top/link/victim' }],
      [{ name: 'top', ...link }, { name: 'top/victim' }],
      [dir('top'), { name: 'top/link', ...link }, dir('top/link/sub')],
      [dir('top'), { name: 'top/hard', type: 'link', linkname: `${outside}/victim` }],
      [dir('top'), { name: 'top/link', ...link }, { name: 'top/hard', type: 'link', linkname: 'top/link/victim' }],
      [
        dir('top'),
        { name: 'top/link', type: 'symlink', linkname: `${outside}/victim` },
        { name: 'top/hard', type: 'link', linkname: 'top/link' },
      ],
    ];
    for (const entries of attacks) {
      const into = directory();
      await assert.rejects(unpack(archive(...entries), options(into)), { kind: 'bad-input' }, JSON.stringify(entries));
      assert.deepEqual(readdirSync(outside), ['victim']);
      assert.equal(readFileSync(join(outside, 'victim'), 'utf8'), 'safe');
    }
    // A link in a file's place is replaced, not followed.
    const into = directory();
    await unpack(
      archive(dir('top'), { name: 'top/x', type: 'symlink', linkname: `${outside}/victim` }, { name: 'top/x' }),
      options(into),
    );
    assert.ok(lstatSync(join(into, 'here/x')).isFile());
    assert.equal(readFileSync(join(outside, 'victim'), 'utf8'), 'safe');
  });

  test('does not go through links that were there', async () => {
    const [into, outside] = [directory(), directory()];
    mkdirSync(join(into, 'here'));
    symlinkSync(outside, join(into, 'here/link'));
    await assert.rejects(unpack(archive(dir('top'), { name: 'top/link/x' }), options(into)), { kind: 'bad-input' });
    assert.deepEqual(readdirSync(outside), []);
  });

  test('devices are left out and told; noise is no archive', async () => {
    const into = directory();
    await unpack(
      archive(dir('top'), { name: 'top/null', type: 'character-device' }, { name: 'top/file' }),
      options(into),
    );
    assert.match(warnings.join(), /here\/null was left out: it is a character-device/);
    assert.ok(existsSync(join(into, 'here/file')));
    async function* noise() {
      yield new Uint8Array(2048).fill(0x55);
    }
    await assert.rejects(unpack(noise(), options(directory())), { kind: 'bad-input' });
    async function* cut() {
      for await (const bytes of archive(dir('top'), { name: 'top/file' })) {
        yield bytes.subarray(0, 100);
        return;
      }
    }
    await assert.rejects(unpack(cut(), options(directory())), { kind: 'bad-input' });
  });

  test('a directory does not replace a file, nor a file a directory', async () => {
    const into = directory();
    mkdirSync(join(into, 'here/x'), { recursive: true });
    writeFileSync(join(into, 'here/y'), '');
    await assert.rejects(unpack(archive({ name: 'top/x' }), options(into)), { kind: 'io', message: /is a directory/ });
    await assert.rejects(unpack(archive(dir('top/y')), options(into)), { kind: 'io', message: /no directory/ });
  });
});

test('a tree comes back as it was packed, also without its top', async () => {
  const from = directory();
  mkdirSync(join(from, 'a/b'), { recursive: true });
  writeFileSync(join(from, 'a/b/big'), new Uint8Array(200_000).fill(7), { mode: 0o640 });
  symlinkSync('b/big', join(from, 'a/link'));
  const common = { owners: false, follow: false, warn: assert.fail };
  for (const name of ['top', undefined]) {
    const into = directory();
    await unpack(pack(from, { ...common, name }), {
      into,
      top: name,
      name: undefined,
      owners: false,
      warn: assert.fail,
    });
    assert.deepEqual(readdirSync(into, { recursive: true }).toSorted(), ['a', 'a/b', 'a/b/big', 'a/link']);
    assert.equal(lstatSync(join(into, 'a/b/big')).size, 200_000);
    assert.equal(lstatSync(join(into, 'a/b/big')).mode & 0o777, 0o640);
    assert.equal(readlinkSync(join(into, 'a/link')), 'b/big');
  }
  await assert.rejects(
    async () => {
      for await (const _ of pack(join(from, 'none'), { ...common, name: 'x' }));
    },
    { kind: 'not-found' },
  );
});

test('places of the command line', () => {
  assert.deepEqual(parsePlace('m:/x:y'), { machine: 'm', path: '/x:y' });
  assert.deepEqual(parsePlace('./m:x'), { machine: undefined, path: './m:x' });
  assert.deepEqual(parsePlace('/run/v.sock:/x'), { machine: '/run/v.sock', path: '/x' });
  assert.deepEqual(parsePlace('-'), { machine: undefined, path: '-' });
  const forms = ['a', 'a/', 'a/.', '.', '..', '/'].map(formOf);
  assert.deepEqual(
    forms.map(({ isContents, asDirectory }) => [isContents, asDirectory]),
    [
      [false, false],
      [false, true],
      [true, true],
      [true, true],
      [false, true],
      [false, true],
    ],
  );
});

test('where a copy ends up follows Docker’s rules', async () => {
  const kinds: Readonly<Record<string, Kind>> = { '/': 'directory', '/d': 'directory', '/f': 'file' };
  const kindOf = (path: string): Kind => kinds[path.replace(/(.)\/+$/, '$1')] ?? 'none';
  const file = { name: 's', isDirectory: false, isContents: false };
  const tree = { name: 's', isDirectory: true, isContents: false };
  const contents = { ...tree, isContents: true };
  const at = (into: string, name: string | undefined) => ({ into, name });
  assert.deepEqual(await targetOf(file, '/new', kindOf), at('/', 'new'));
  assert.deepEqual(await targetOf(file, '/f', kindOf), at('/', 'f'));
  assert.deepEqual(await targetOf(file, '/d', kindOf), at('/d', 's'));
  assert.deepEqual(await targetOf(tree, '/new', kindOf), at('/', 'new'));
  assert.deepEqual(await targetOf(tree, '/new/', kindOf), at('/', 'new'));
  assert.deepEqual(await targetOf(tree, '/d', kindOf), at('/d', 's'));
  assert.deepEqual(await targetOf(contents, '/d', kindOf), at('/d', undefined));
  assert.deepEqual(await targetOf(contents, '/new', kindOf), at('/', 'new'));
  await assert.rejects(targetOf(file, '/new/', kindOf), { kind: 'not-found' });
  await assert.rejects(targetOf(file, '/none/x', kindOf), { kind: 'not-found' });
  await assert.rejects(targetOf(tree, '/f', kindOf), { kind: 'io' });
  await assert.rejects(targetOf(file, '/f/', kindOf), { kind: 'io' });
});
