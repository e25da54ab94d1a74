import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type FakeMirror, makeDeb, startFakeMirror } from '../../../test/images/fake-mirror.ts';
import { type Archive, type ArchiveOptions, openArchive } from './archive.ts';
import { openpgpVerifier } from './verify.ts';

const KERNEL = { name: 'linux-image-1-cloud', version: '6.1.2-1', files: { 'boot/vmlinuz-1': 'the kernel' } };
const META = { name: 'linux-image-cloud', version: '6.1.2-1', depends: 'linux-image-1-cloud (= 6.1.2-1)' };
const NEWER = { name: 'linux-image-2-cloud', version: '6.1.10-1', files: { 'boot/vmlinuz-2': 'a newer kernel' } };
const NEWER_META = { name: 'linux-image-cloud', version: '6.1.10-1', depends: 'linux-image-2-cloud (= 6.1.10-1)' };

let directory: string;
let mirror: FakeMirror;
let warnings: string[];

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

function open(changes: Partial<ArchiveOptions> = {}): Promise<Archive> {
  return openArchive({
    release: 'bookworm',
    architecture: 'amd64',
    cache: join(directory, 'cache'),
    mirror: mirror.url,
    keyring: join(directory, 'key.asc'),
    signal: new AbortController().signal,
    progress: { step: () => ({ advance: () => {}, end: () => {} }), warn: (text) => warnings.push(text) },
    aptDirectory: join(directory, 'etc-apt'),
    env: { PATH: process.env.PATH },
    ...changes,
  });
}

async function cachedFiles(): Promise<string[]> {
  const entries = await readdir(join(directory, 'cache'), { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

test('a metapackage leads to the newest kernel of all pockets, which is downloaded once', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL, META]);
  await mirror.publish('debian-security', 'bookworm-security', [NEWER, NEWER_META]);
  const archive = await open();
  const candidate = archive.resolve('linux-image-cloud');
  assert.equal(candidate.name, 'linux-image-2-cloud');
  const path = await archive.fetch(candidate);
  assert.deepEqual(await readFile(path), await makeDeb(NEWER.files));
  const before = mirror.requests.length;
  assert.equal(await archive.fetch(candidate), path);
  assert.equal(mirror.requests.length, before);
  assert.match(warnings.join(), /without bookworm-updates/);
});

test('a Release file with its signature apart, checked by the openpgp package', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL, META], { detached: true });
  const archive = await open({ verifier: openpgpVerifier });
  assert.equal(archive.resolve('linux-image-cloud').name, 'linux-image-1-cloud');
});

test("sources and keys of the host's APT configuration", async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL, META]);
  const apt = await mkdtemp(join(directory, 'apt-'));
  const line = `deb [signed-by=${join(directory, 'key.asc')}] ${mirror.url} bookworm main\n`;
  await writeFile(join(apt, 'sources.list'), line);
  const archive = await open({ mirror: undefined, keyring: undefined, aptDirectory: apt });
  assert.equal(archive.resolve('linux-image-cloud').name, 'linux-image-1-cloud');
});

test('a host without APT is asked for a mirror', async () => {
  await assert.rejects(open({ mirror: undefined }), { kind: 'usage', message: /--mirror URL/ });
});

test('a strange key, a changed text, an expired or a wrong release are not trusted', async () => {
  const untrusted = (message: RegExp) => ({ kind: 'untrusted', message });
  for (const verifier of [undefined, openpgpVerifier]) {
    const options = verifier === undefined ? {} : { verifier };
    await mirror.publish('debian', 'bookworm', [KERNEL], { strangeKey: true });
    await assert.rejects(open(options), untrusted(/no valid signature by a known key/));
    await mirror.publish('debian', 'bookworm', [KERNEL]);
    const path = '/debian/dists/bookworm/InRelease';
    const text = mirror.files.get(path)!.toString().replace('Suite: stable', 'Suite: stably');
    mirror.files.set(path, Buffer.from(text));
    await assert.rejects(open(options), untrusted(/does not match the text/));
  }
  await mirror.publish('debian', 'bookworm', [KERNEL], { validUntil: new Date(Date.now() - 1000) });
  await assert.rejects(open(), untrusted(/expired/));
  await mirror.publish('debian', 'bookworm', [KERNEL], { date: new Date(Date.now() + 86_400_000) });
  await assert.rejects(open(), untrusted(/in the future/));
  await mirror.publish('debian', 'bookworm', [KERNEL], { codename: 'trixie' });
  await assert.rejects(open(), untrusted(/'trixie'/));
  assert.deepEqual(await cachedFiles(), []);
});

test('a forged security archive is an error, one that is being updated a warning', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL, META]);
  await mirror.publish('debian-security', 'bookworm-security', [NEWER, NEWER_META], { strangeKey: true });
  await assert.rejects(open(), { kind: 'untrusted' });
  await mirror.publish('debian-security', 'bookworm-security', [NEWER, NEWER_META]);
  mirror.files.set('/debian-security/dists/bookworm-security/main/binary-amd64/Packages.gz', Buffer.from('other'));
  const archive = await open();
  assert.equal(archive.resolve('linux-image-cloud').name, 'linux-image-1-cloud');
  assert.match(warnings.join('\n'), /without bookworm-security/);
});

test('an unknown package and an architecture without packages', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL]);
  const archive = await open();
  assert.throws(() => archive.resolve('no-such-package'), { kind: 'not-found', message: /no-such-package for amd64/ });
  assert.throws(() => archive.resolve('linux-image-1'), { kind: 'not-found' });
});

test('a package with a wrong checksum or a wrong length leaves nothing behind', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL]);
  const archive = await open();
  const candidate = archive.resolve(KERNEL.name);
  const path = `/debian/${candidate.filename}`;
  const good = mirror.files.get(path)!;
  const bad = Buffer.from(good);
  bad[good.length - 1]! ^= 1;
  for (const body of [bad, good.subarray(0, -1), Buffer.concat([good, good])]) {
    mirror.files.set(path, body);
    await assert.rejects(archive.fetch(candidate), { kind: 'untrusted' });
    assert.ok(!(await cachedFiles()).some((name) => /\.(deb|part)$/.test(name)));
  }
});

test('a connection that breaks is taken up where it broke', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL]);
  const archive = await open();
  const candidate = archive.resolve(KERNEL.name);
  const body = mirror.files.get(`/debian/${candidate.filename}`)!;
  const ranges: (string | undefined)[] = [];
  mirror.intercept = (path, response, range) => {
    if (!path.endsWith('.deb')) return false;
    ranges.push(range);
    if (ranges.length > 1) return false;
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 50), () => response.destroy());
    return true;
  };
  assert.deepEqual(await readFile(await archive.fetch(candidate)), body);
  assert.deepEqual(ranges, [undefined, 'bytes=50-']);
});

test('a mirror that breaks every connection is a fault of the network', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL]);
  const archive = await open();
  mirror.intercept = (_, response) => {
    response.writeHead(200, { 'content-length': 1000 });
    response.write('x', () => response.destroy());
    return true;
  };
  await assert.rejects(archive.fetch({ ...archive.resolve(KERNEL.name), size: 1000 }), { kind: 'network' });
  assert.ok(!(await cachedFiles()).some((name) => /\.(deb|part)$/.test(name)));
});

test('an abort in the middle of a download leaves nothing behind', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL]);
  const controller = new AbortController();
  const archive = await open({ signal: controller.signal });
  const candidate = archive.resolve(KERNEL.name);
  const body = mirror.files.get(`/debian/${candidate.filename}`)!;
  mirror.intercept = (path, response) => {
    if (!path.endsWith('.deb')) return false;
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 50), () => setTimeout(() => controller.abort(new Error('enough')), 20));
    return true;
  };
  await assert.rejects(archive.fetch(candidate), { message: /enough|aborted/ });
  assert.ok(!(await cachedFiles()).some((name) => /\.(deb|part)$/.test(name)));
});

test('a damaged file in the cache is fetched again', async () => {
  await mirror.publish('debian', 'bookworm', [KERNEL]);
  const archive = await open();
  const candidate = archive.resolve(KERNEL.name);
  const path = await archive.fetch(candidate);
  const good = await readFile(path);
  await writeFile(path, Buffer.alloc(good.length));
  assert.equal(basename(await archive.fetch(candidate)), basename(path));
  assert.deepEqual(await readFile(path), good);
});

test('no connection at all', async () => {
  const url = mirror.url;
  await mirror.close();
  await assert.rejects(open({ mirror: url }), { kind: 'network', message: /check the network/ });
  mirror = await startFakeMirror();
});
