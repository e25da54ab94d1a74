/**
 * A guest out to break the server of its folder: messages at random, half sound and half not. Whatever it sends, the server answers or
 * ignores it, in bounds; nothing outside the folder changes. More of them: `VIRTS_SOAK=N` messages.
 */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { byteLength } from '../base/pieces.ts';
import { randomNumbers } from '../devices/conformance.test-helper.ts';
import { request } from './guest.test-helper.ts';
import { openHostFolder } from './node/host-folder.ts';
import { OPERATION, OUT_HEADER } from './protocol.ts';
import { createFolderServer } from './server.ts';

const MESSAGES = Number(process.env['VIRTS_SOAK'] ?? 4000);
const NAMES = ['a', 'b', 'c', 'd', 'link', '..', '.', '', 'a/b', '../secret', 'x'.repeat(300), 'n\u0001'];
const OPERATIONS = Object.values(OPERATION);
const FLAGS = [0, 1, 2, 3, 0o100, 0o302, 0o1002, 0o2001, 0o4000, 0o200000, 0xffff_ffff];

test('hostile messages', async () => {
  const base = fs.mkdtempSync(join(tmpdir(), 'virts-fuzz-'));
  const path = join(base, 'share');
  fs.mkdirSync(path);
  fs.writeFileSync(join(base, 'secret'), 'secret');
  fs.symlinkSync('../secret', join(path, 'link'));
  const random = randomNumbers(5);
  const pick = <T>(values: readonly T[]): T => values[random() % values.length]!;
  const folder = openHostFolder(path, { descriptors: 16 });
  const reports: string[] = [];
  const limits = { nodes: 50, open: 20 };
  const server = createFolderServer({
    folder,
    readOnly: false,
    limits,
    now: Date.now,
    report: (message) => reports.push(message),
  });
  const node = () => BigInt(pick([1, 1, 1, 2, 3, 4, 5, random() % 60, random(), 2 ** 53]));
  const number = () => pick([0, 1, 2, 3, random() % 64, 4096, 0x7fff_ffff, 0xffff_ffff, random()]);
  const file = () => BigInt(pick([1, 2, 3, random() % 200, random()]));
  /** Positions and lengths: what is written stays small enough for the test's disk. */
  const position = () => pick([0n, 1n, 4096n, 1n << 20n, 1n << 53n, (1n << 64n) - 1n, BigInt(random())]);

  /** What stands behind the header, as an honest guest would have it but for its values. */
  function sound(operation: number): readonly (number | bigint | string | Uint8Array)[] {
    const size = pick([0, 1, 100, 4096, 65536, 0xffff_ffff]);
    switch (operation) {
      case OPERATION.init:
        return [pick([7, 7, 7, 6, 8, 0]), pick([31, 38, 22]), number(), number(), new Uint8Array(48)];
      case OPERATION.lookup:
      case OPERATION.unlink:
      case OPERATION.removeDirectory:
        return [pick(NAMES)];
      case OPERATION.forget:
        return [BigInt(number())];
      case OPERATION.batchForget:
        return [number(), 0, node(), BigInt(number()), node(), 1n];
      case OPERATION.setAttributes:
        return [
          random() & 0x9ff,
          0,
          file(),
          pick([0n, 5n, 1n << 40n, position()]),
          0n,
          position(),
          position(),
          0n,
          number(),
          number(),
          0,
          number(),
          0,
          number(),
          number(),
          0,
        ];
      case OPERATION.symlink:
        return [pick(NAMES), pick(['/etc/passwd', '../secret', 'a', ''])];
      case OPERATION.makeNode:
        return [pick([0o100644, 0o10644, 0o60644, number()]), 0, 0, 0, pick(NAMES)];
      case OPERATION.makeDirectory:
        return [number(), 0, pick(NAMES)];
      case OPERATION.rename:
        return [node(), pick(NAMES), pick(NAMES)];
      case OPERATION.rename2:
        return [node(), random() % 5, 0, pick(NAMES), pick(NAMES)];
      case OPERATION.link:
        return [node(), pick(NAMES)];
      case OPERATION.open:
      case OPERATION.openDirectory:
        return [pick(FLAGS), 0];
      case OPERATION.create:
        return [pick(FLAGS), number(), 0, 0, pick(NAMES)];
      case OPERATION.write:
        return [file(), position(), pick([size, 10]), 0, 0n, 0, 0, new Uint8Array(10)];
      case OPERATION.allocate:
        return [file(), position(), pick([0n, 100n, 1n << 63n]), number(), 0];
      default:
        return [file(), position(), size, random() % 5, 0n, number(), 0];
    }
  }

  function message(): Uint8Array {
    const operation = pick([...OPERATIONS, pick(OPERATIONS), random() % 64, random()]);
    const who = { uid: number(), gid: number() };
    const bytes = request(operation, node(), sound(operation), who);
    const kind = random() % 8;
    if (kind === 0) return bytes.subarray(0, random() % (bytes.length + 1));
    if (kind === 1) for (let i = 0; i < 3; i++) bytes[random() % bytes.length] = random();
    return bytes;
  }

  /** In one piece or several. */
  function pieces(bytes: Uint8Array): Uint8Array[] {
    const at = random() % (bytes.length + 1);
    return random() % 2 === 0 ? [bytes] : [bytes.subarray(0, at), bytes.subarray(at)];
  }

  for (let i = 0; i < MESSAGES; i++) {
    // The server is forgotten now and then: fewer sessions end by chance.
    const bytes = message();
    const operation = bytes.length < 8 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
    if ((operation === OPERATION.init || operation === OPERATION.destroy) && random() % 50 !== 0) continue;
    const reply = pieces(new Uint8Array(pick([0, 8, 15, 16, 100, 144, 4096, 4096, 70_000])));
    const length = await server.serve(pieces(bytes), reply);
    assert.ok(length === 0 || (length >= OUT_HEADER && length <= byteLength(reply)), `${length} bytes of reply`);
    const { nodes, open } = server.count();
    assert.ok(nodes <= limits.nodes && open <= limits.open);
    assert.ok(folder.count().files <= 24 && folder.count().items <= limits.nodes, JSON.stringify(folder.count()));
  }
  assert.deepEqual(reports, []);
  server.reset();
  assert.deepEqual(folder.count(), { items: 1, files: 1 });
  folder.end();
  assert.deepEqual(fs.readdirSync(base).toSorted(), ['secret', 'share']);
  assert.equal(fs.readFileSync(join(base, 'secret'), 'utf8'), 'secret');
  fs.rmSync(base, { recursive: true });
});
