import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Caller, guestOf } from '../guest.test-helper.ts';
import { OPERATION, SET } from '../protocol.ts';
import { createFolderServer } from '../server.ts';
import { type HostFolderOptions, openHostFolder } from './host-folder.ts';

interface ShareOptions extends HostFolderOptions {
  readonly readOnly?: boolean;
  readonly who?: Caller;
}

/** A directory with a folder `share` in it, a guest that has mounted that, and something beside it that is no business of the guest's. */
async function share(t: TestContext, { readOnly = false, who, ...options }: ShareOptions = {}) {
  const base = fs.mkdtempSync(join(tmpdir(), 'virts-folder-'));
  const path = join(base, 'share');
  fs.mkdirSync(path);
  fs.writeFileSync(join(base, 'secret'), 'secret');
  const folder = openHostFolder(path, options);
  const reports: string[] = [];
  const server = createFolderServer({
    folder,
    readOnly,
    limits: { nodes: 10_000, open: 64 },
    now: Date.now,
    report: (message) => reports.push(message),
  });
  const guest = guestOf(server, who);
  await guest.init();
  t.after(() => {
    server.reset();
    folder.end();
    fs.rmSync(base, { recursive: true });
    assert.deepEqual(reports, []);
  });
  return { base, path, folder, server, guest };
}

const bytes = (text: string) => new TextEncoder().encode(text);
const errno = (number: number) => ({ message: `errno ${number}` });
const [ENOENT, EACCES, EEXIST, EISDIR, EINVAL, EMFILE, EROFS, ELOOP, ENOSYS, ESTALE] = [
  2, 13, 17, 21, 22, 24, 30, 40, 38, 116,
];

test('files are made, written, read, cut and removed', async (t) => {
  const { path, guest } = await share(t);
  const { node, file, attributes } = await guest.create(1n, 'a', 2, 0o640);
  assert.equal(attributes.mode, 0o100640);
  assert.equal(await guest.write(file, 0n, bytes('hello')), 5);
  assert.equal(await guest.write(file, 10n, bytes('world')), 5);
  assert.equal(fs.readFileSync(join(path, 'a'), 'latin1'), 'hello\0\0\0\0\0world');
  assert.deepEqual(await guest.read(file, 3n, 4), bytes('lo\0\0'));
  assert.deepEqual(await guest.read(file, 13n, 100), bytes('ld'));
  assert.equal((await guest.read(file, 1000n, 10)).length, 0);
  assert.equal((await guest.set(node, SET.size | SET.file, { size: 5n, file })).size, 5);
  assert.equal((await guest.set(node, SET.size, { size: 2n })).size, 2);
  await guest.sync(file);
  await guest.sync(file, 1);
  await guest.unlink(1n, 'a');
  assert.equal(fs.existsSync(join(path, 'a')), false);
  assert.deepEqual(await guest.read(file, 0n, 100), bytes('he'), 'what is open stays usable');
  assert.equal((await guest.attributes(node)).links, 0);
  assert.equal(await guest.write(file, 2n, bytes('y')), 1);
  await guest.release(file);
  await assert.rejects(guest.read(file, 0n, 1), errno(9));
  assert.equal((await guest.lookup(1n, 'a')).node, 0n);
});

test('the flags of an open count', async (t) => {
  const { path, guest } = await share(t);
  fs.writeFileSync(join(path, 'f'), 'content');
  await assert.rejects(guest.create(1n, 'f', 0o301), errno(EEXIST));
  const { node, file } = await guest.create(1n, 'f', 2);
  assert.equal(await guest.write(file, 0n, bytes('C')), 1);
  const appending = await guest.open(node, 0o2001);
  await guest.write(appending.file, 0n, bytes('!'));
  await assert.rejects(guest.read(appending.file, 0n, 1), errno(9), 'opened for writing only');
  assert.equal(fs.readFileSync(join(path, 'f'), 'latin1'), 'Content!');
  const reading = await guest.open(node, 0);
  await assert.rejects(guest.write(reading.file, 0n, bytes('x')), errno(9));
  await assert.rejects(guest.open(node, 3), errno(EINVAL));
  await guest.open(node, 0o1001);
  assert.equal(fs.statSync(join(path, 'f')).size, 0);
});

test('directories, hard links, symbolic links, FIFOs and sockets', async (t) => {
  const { path, guest } = await share(t);
  const directory = await guest.makeDirectory(1n, 'd', 0o750);
  assert.equal(directory.attributes.mode, 0o40750);
  const { node } = await guest.create(directory.node, 'file');
  const linked = await guest.link(node, 1n, 'other');
  assert.deepEqual([linked.node, linked.attributes.links], [node, 2], 'the same node');
  const link = await guest.symlink(1n, 'link', '../../secret');
  assert.equal(link.attributes.mode & 0o170000, 0o120000);
  assert.equal(await guest.readLink(link.node), '../../secret');
  assert.equal(fs.readlinkSync(join(path, 'link')), '../../secret');
  const linkOfLink = await guest.link(link.node, 1n, 'link2');
  assert.deepEqual([linkOfLink.node, linkOfLink.attributes.links], [link.node, 2], 'a link itself');
  assert.equal((await guest.makeNode(1n, 'fifo', 0o10600)).attributes.mode, 0o10600);
  assert.equal((await guest.makeNode(1n, 'socket', 0o140644)).attributes.mode, 0o140644);
  assert.equal((await guest.makeNode(1n, 'plain', 0o100444)).attributes.mode, 0o100444);
  await assert.rejects(guest.makeNode(1n, 'disk', 0o60600), errno(1), 'devices are not for guests');
  await assert.rejects(
    guest.open((await guest.lookup(1n, 'fifo')).node),
    errno(95),
    'what might wait or act is not opened',
  );
  await assert.rejects(guest.open(link.node), errno(ELOOP));
  await assert.rejects(guest.open(directory.node), errno(EISDIR));
  await assert.rejects(guest.removeDirectory(1n, 'd'), errno(39));
  await guest.unlink(directory.node, 'file');
  await guest.removeDirectory(1n, 'd');
  const names = (await guest.names(1n)).map(({ name }) => name).toSorted();
  assert.deepEqual(names, ['fifo', 'link', 'link2', 'other', 'plain', 'socket']);
});

test('renaming replaces, refuses, or exchanges, and nodes stay what they are', async (t) => {
  const { path, guest } = await share(t);
  const a = await guest.create(1n, 'a');
  await guest.write(a.file, 0n, bytes('A'));
  const b = await guest.create(1n, 'b');
  await guest.write(b.file, 0n, bytes('B'));
  const { node: d } = await guest.makeDirectory(1n, 'd');
  await assert.rejects(guest.rename(1n, 'a', 1n, 'b', 1), errno(EEXIST));
  await guest.rename(1n, 'a', 1n, 'b', 2);
  assert.equal(fs.readFileSync(join(path, 'a'), 'latin1'), 'B');
  await guest.rename(1n, 'a', d, 'moved');
  await guest.rename(1n, 'b', d, 'moved');
  assert.equal(fs.readFileSync(join(path, 'd', 'moved'), 'latin1'), 'A');
  assert.deepEqual(await guest.read(b.file, 0n, 5), bytes('B'), 'what was replaced is still open');
  assert.equal((await guest.lookup(d, 'moved')).node, a.node);
  await assert.rejects(guest.rename(1n, 'd', d, 'inside'), errno(EINVAL));
  await assert.rejects(guest.rename(1n, 'd', 1n, 'x', 4), errno(EINVAL));
});

test('names that are no names are refused', async (t) => {
  const { guest } = await share(t);
  for (const name of ['..', '.', '', 'a/b', '../secret', '/etc/passwd']) {
    await assert.rejects(guest.lookup(1n, name), errno(EINVAL), name);
    await assert.rejects(guest.create(1n, name), errno(EINVAL), name);
    await assert.rejects(guest.rename(1n, 'a', 1n, name), errno(EINVAL), name);
  }
  await assert.rejects(guest.lookup(1n, 'x'.repeat(256)), errno(36));
  assert.equal((await guest.create(1n, 'x'.repeat(255))).attributes.size, 0);
  assert.equal((await guest.create(1n, '...')).attributes.size, 0);
  assert.ok(await guest.makeDirectory(1n, 'ö ä\n'));
  const raw = new Uint8Array([0xff, 0xfe, 0]);
  assert.equal((await guest.must(OPERATION.makeDirectory, 1n, [0o755, 0, raw], 128)).length, 128, 'any bytes');
});

test("the host's user owns all; the guest sees the owners and modes that it set", async (t) => {
  const { path, guest, server } = await share(t);
  const host = (name: string) => fs.statSync(join(path, name));
  const own = host('.');
  const { node } = await guest.create(1n, 'f', 2, 0o644);
  const set = await guest.set(node, SET.uid | SET.gid, { uid: 1000, gid: 100 });
  assert.deepEqual([set.uid, set.gid, set.mode], [1000, 100, 0o100644]);
  assert.deepEqual([host('f').uid, host('f').gid], [own.uid, own.gid]);
  for (const mode of [0o4755, 0o2070, 0o400, 0o000, 0o1777]) {
    assert.equal((await guest.set(node, SET.mode, { mode })).mode, 0o100000 | mode);
    assert.equal(host('f').mode & 0o7777, (mode & 0o777) | 0o600, 'the host gets no set-ID bits, and may read');
  }
  await guest.set(node, SET.mode, { mode: 0o400 });
  const again = guestOf(server);
  await again.init();
  const found = await again.lookup(1n, 'f');
  assert.deepEqual([found.attributes.mode, found.attributes.uid], [0o100400, 1000], 'a later mount sees it too');
  fs.chmodSync(join(path, 'f'), 0o755);
  assert.equal((await again.attributes(found.node)).mode, 0o100755, 'what the host changes counts');
  const user = guestOf(server, { uid: 33, gid: 44 });
  const made = await user.create(1n, 'by-user');
  assert.deepEqual([made.attributes.uid, made.attributes.gid], [33, 44]);
  const directory = await user.makeDirectory(1n, 'd', 0o2555);
  assert.deepEqual([directory.attributes.mode, host('d').mode & 0o7777], [0o42555, 0o755]);
  const inside = await again.create(directory.node, 'inside');
  assert.deepEqual([inside.attributes.uid, inside.attributes.gid], [0, 44], 'the group of a set-group-ID directory');
  assert.equal((await again.makeDirectory(directory.node, 'sub', 0o755)).attributes.mode, 0o42755);
});

test('times are set and told to the nanosecond', async (t) => {
  const { path, guest } = await share(t);
  const { node } = await guest.create(1n, 'f');
  const set = await guest.set(node, SET.mtime, { mtime: [1_234_567_890n, 123_456_789] });
  assert.deepEqual(set.mtime, [1_234_567_890n, 123_456_789]);
  assert.equal(fs.statSync(join(path, 'f'), { bigint: true }).mtimeNs, 1_234_567_890_123_456_789n);
  await assert.rejects(guest.set(node, SET.mtime, { mtime: [0n, 2e9] }), errno(EINVAL));
  const link = await guest.symlink(1n, 'l', 'f');
  await guest.set(link.node, SET.mtime, { mtime: [5n, 6] });
  assert.equal(fs.lstatSync(join(path, 'l'), { bigint: true }).mtimeNs, 5_000_000_006n);
});

test('a directory of many entries is listed in pieces, from any place that was told', async (t) => {
  const { path, guest } = await share(t);
  const expected = Array.from({ length: 3000 }, (_, i) => `entry-${i}`).toSorted();
  for (const name of expected) fs.writeFileSync(join(path, name), '');
  const plain = await guest.names(1n);
  assert.deepEqual(plain.map(({ name }) => name).toSorted(), expected);
  const plus = await guest.names(1n, true, 20_000);
  assert.deepEqual(plus.map(({ name }) => name).toSorted(), expected);
  assert.ok(plus.every(({ entry }) => entry!.node !== 0n));
  const file = await guest.openDirectory(1n);
  const first = await guest.list(1n, file);
  const later = await guest.list(1n, file, first[10]!.next);
  await guest.list(1n, file, plain[2000]!.next);
  assert.deepEqual((await guest.list(1n, file, first[10]!.next))[0]!.name, later[0]!.name, 'again');
  fs.writeFileSync(join(path, 'another'), '');
  let all: string[] = [];
  for (let at = 0n; ; ) {
    const some = await guest.list(1n, file, at, 65536);
    if (some.length === 0) break;
    all = [...all, ...some.map(({ name }) => name)];
    at = some.at(-1)!.next;
  }
  assert.ok(all.includes('another'), 'from the start it is read anew');
  assert.equal(typeof (await guest.ask(OPERATION.readDirectory, 1n, [file, 0n, 10, 0, 0n, 0, 0], 10)), 'number');
});

test('sparse files keep their holes', async (t) => {
  const { path, guest } = await share(t);
  const { file, node } = await guest.create(1n, 'sparse');
  await guest.write(file, 0n, bytes('start'));
  await guest.write(file, 1n << 30n, bytes('end'));
  const { size, blocks } = await guest.attributes(node);
  assert.equal(size, 2 ** 30 + 3);
  assert.ok(blocks < 1024, `${blocks} blocks`);
  const hole = await guest.must(OPERATION.seek, node, [file, 0n, 4, 0], 8);
  const data = await guest.must(OPERATION.seek, node, [file, 1n << 20n, 3, 0], 8);
  const u64 = (answer: Uint8Array) => new DataView(answer.buffer, answer.byteOffset).getBigUint64(0, true);
  assert.ok(u64(hole) < 1n << 20n);
  assert.ok(u64(data) > 1n << 29n);
  await guest.must(OPERATION.allocate, node, [file, 0n, 1n << 20n, 1, 0]);
  assert.ok(fs.statSync(join(path, 'sparse')).blocks >= 2048);
  await guest.must(OPERATION.allocate, node, [file, 0n, 1n << 20n, 3, 0]);
  assert.ok(fs.statSync(join(path, 'sparse')).blocks < 2048);
});

test('what is not there is refused by the right number', async (t) => {
  const { guest } = await share(t);
  for (const operation of [21, 22, 23, 24, 33, 34, 39, 40, 47, 48, 999]) {
    assert.equal(await guest.ask(operation, 1n, []), ENOSYS, `${operation}`);
  }
  await assert.rejects(guest.attributes(77n), errno(ESTALE));
  await assert.rejects(guest.unlink(1n, 'nothing'), errno(ENOENT));
  await assert.rejects(guest.create((await guest.create(1n, 'f')).node, 'below'), errno(20));
});

test('a folder that can only be read', async (t) => {
  const { path, guest } = await share(t, { readOnly: true });
  fs.writeFileSync(join(path, 'f'), 'content');
  const { node } = await guest.walk('f');
  const { file } = await guest.open(node);
  assert.deepEqual(await guest.read(file, 0n, 100), bytes('content'));
  const attempts = [
    () => guest.open(node, 1),
    () => guest.open(node, 0o1000),
    () => guest.create(1n, 'new'),
    () => guest.create(1n, 'f', 0),
    () => guest.write(file, 0n, bytes('x')),
    () => guest.set(node, SET.mode, { mode: 0 }),
    () => guest.set(node, SET.size, {}),
    () => guest.makeDirectory(1n, 'd'),
    () => guest.makeNode(1n, 'n', 0o100644),
    () => guest.symlink(1n, 's', 'f'),
    () => guest.link(node, 1n, 'l'),
    () => guest.unlink(1n, 'f'),
    () => guest.removeDirectory(1n, 'f'),
    () => guest.rename(1n, 'f', 1n, 'g'),
    () => guest.must(OPERATION.allocate, node, [file, 0n, 10n, 0, 0]),
  ];
  for (const attempt of attempts) await assert.rejects(attempt, errno(EROFS), attempt.toString());
  assert.deepEqual(fs.readdirSync(path), ['f']);
});

test('what the guest holds is bounded, and forgotten when it says so', async (t) => {
  const { path, guest, server, folder } = await share(t, { descriptors: 8 });
  for (let i = 0; i < 100; i++) fs.mkdirSync(join(path, `d${i}`));
  const nodes: bigint[] = [];
  for (let i = 0; i < 100; i++) nodes.push((await guest.walk(`d${i}`)).node);
  assert.ok(folder.count().files <= 9, `${folder.count().files} descriptors`);
  for (const node of nodes) await guest.create(node, 'f').then(({ file }) => guest.release(file));
  for (let i = 0; i < 100; i++) assert.ok(fs.existsSync(join(path, `d${i}`, 'f')), 'found again by name');
  assert.ok(folder.count().files <= 9);
  fs.renameSync(join(path, 'd0'), join(path, 'elsewhere'));
  fs.mkdirSync(join(path, 'd0'));
  await assert.rejects(guest.lookup(nodes[0]!, 'f'), errno(ESTALE), 'another of the same name is not it');
  assert.equal((await guest.lookup(1n, 'elsewhere')).node, nodes[0]);
  assert.ok((await guest.lookup(nodes[0]!, 'f')).node !== 0n, 'and it is found again');
  const { file } = await guest.create(1n, 'unlinked');
  await guest.unlink(1n, 'unlinked');
  const unlinked = server.count().nodes;
  await guest.release(file);
  for (const node of nodes) await guest.forget(node, 10n);
  assert.ok(server.count().nodes < unlinked);
  const open = await guest.walk('d1/f');
  for (let i = 0; i < 64; i++) await guest.open(open.node);
  await assert.rejects(guest.open(open.node), errno(EMFILE));
  await assert.rejects(guest.openDirectory(1n), errno(EMFILE));
  await guest.must(OPERATION.destroy, 0n, []);
  assert.deepEqual([server.count(), server.inUse()], [{ nodes: 1, open: 0 }, false]);
  assert.equal(folder.count().items, 1);
});

test("without privilege the host's own permissions hold", { skip: process.geteuid?.() !== 0 }, async (t) => {
  const { path, guest } = await share(t);
  fs.writeFileSync(join(path, 'root'), 'x', { mode: 0o600 });
  const { node } = await guest.walk('root');
  process.seteuid!(12345);
  try {
    await assert.rejects(guest.open(node), errno(EACCES));
    await assert.rejects(guest.create(1n, 'new'), errno(EACCES));
  } finally {
    process.seteuid!(0);
  }
});
