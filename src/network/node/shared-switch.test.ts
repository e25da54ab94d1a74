import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type Frame, MAX_FRAME, plainFrame } from '../../base/frame.ts';
import { openSharedSwitch } from './shared-switch.ts';

const root = mkdtempSync(join(tmpdir(), 'virts-test-'));
after(() => rmSync(root, { recursive: true }));
let count = 0;
function newDirectory(): string {
  const directory = join(root, `${count++}`);
  mkdirSync(directory);
  return directory;
}

const macText = (n: number) => `02:00:00:00:00:0${n}`;
const macOf = (n: number) => [2, 0, 0, 0, 0, n];
const ALL = { checksum: true, segments4: true, segments6: true };
const frame = (to: number, from: number, data: readonly number[] = []): Frame =>
  plainFrame(Uint8Array.from([...macOf(to), ...macOf(from), 0x88, 0xb5, ...data]));

async function until(what: string, done: () => boolean): Promise<void> {
  for (let i = 0; !done(); i++) {
    assert.ok(i < 6000, `${what} did not come`);
    await setTimeout(5);
  }
}

async function enter(directory: string, n: number) {
  const fabric = await openSharedSwitch(directory, macText(n));
  const got: Frame[] = [];
  const port = fabric.plug({ send: (one) => got.push(one) > 0, offloads: () => ALL });
  return { fabric, got, port };
}

/** Sends until one gets through: what is sent before the other is plugged in, or while nobody serves, is lost. */
async function reaches(
  from: { port: { receive(frame: Frame): void } },
  to: { got: Frame[] },
  one: Frame,
): Promise<Frame> {
  to.got.length = 0;
  await until('a frame', () => {
    from.port.receive(one);
    return to.got.length > 0;
  });
  return to.got.at(-1)!;
}

test('frames pass between those who joined, whole and with what is to be done to them', async () => {
  const directory = newDirectory();
  const one = await enter(directory, 1);
  const two = await enter(directory, 2);
  assert.deepEqual([one.fabric.serves, two.fabric.serves], [true, false]);
  const large: Frame = {
    ...{ segmentSize: 1448, checksumStart: 34, checksumOffset: 16 },
    bytes: new Uint8Array(MAX_FRAME).map((_, i) => (i < 6 ? macOf(2)[i]! : i < 12 ? macOf(1)[i - 6]! : i * 7)),
  };
  const got = await reaches(one, two, large);
  assert.deepEqual({ ...got, bytes: Buffer.from(got.bytes) }, { ...large, bytes: Buffer.from(large.bytes) });
  await reaches(two, one, frame(1, 2, [1, 2, 3]));
  // Nobody sends as somebody else.
  one.got.length = 0;
  two.port.receive(frame(1, 7));
  await reaches(two, one, frame(1, 2, [9]));
  assert.ok(one.got.every(({ bytes }) => bytes[11] === 2));
  for (const { fabric } of [one, two]) fabric.close();
});

test('when the one that serves leaves, another takes its place', async () => {
  const directory = newDirectory();
  const all = [await enter(directory, 1), await enter(directory, 2), await enter(directory, 3)];
  all[0]!.fabric.close();
  const rest = all.slice(1);
  await until(
    'a successor',
    () => rest.some(({ fabric }) => fabric.serves) && rest.every(({ fabric }) => fabric.connected),
  );
  assert.equal(rest.filter(({ fabric }) => fabric.serves).length, 1);
  await reaches(all[1]!, all[2]!, frame(3, 2));
  await reaches(all[2]!, all[1]!, frame(2, 3));
  const late = await enter(directory, 4);
  await reaches(late, all[1]!, frame(2, 4));
  for (const { fabric } of [...rest, late]) fabric.close();
});

async function spawnMember(directory: string, n: number): Promise<ChildProcess> {
  const script = `const { openSharedSwitch } = await import(${JSON.stringify(new URL('shared-switch.ts', import.meta.url).href)});
    const fabric = await openSharedSwitch(${JSON.stringify(directory)}, '${macText(n)}');
    fabric.plug({ send: () => true, offloads: () => ({}) }); console.log(fabric.serves); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(child.stdout!, 'data');
  assert.equal(String(said).trim(), 'true');
  return child;
}

test('when the process that serves is killed, another takes its place', async () => {
  const directory = newDirectory();
  const child = await spawnMember(directory, 9);
  const one = await enter(directory, 1);
  const two = await enter(directory, 2);
  await reaches(one, two, frame(2, 1));
  assert.deepEqual([one.fabric.serves, two.fabric.serves], [false, false]);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await until('a successor', () => one.fabric.serves !== two.fabric.serves);
  await reaches(one, two, frame(2, 1));
  await reaches(two, one, frame(1, 2));
  for (const { fabric } of [one, two]) fabric.close();
});

test('who does not read, or says what it should not, harms nobody', async () => {
  const directory = newDirectory();
  const one = await enter(directory, 1);
  const two = await enter(directory, 2);
  const path = join(directory, 'switch.sock');
  const deaf = connect(path);
  deaf.write(Buffer.concat([Buffer.from('virts switch 1\n'), Buffer.from(macOf(3))]));
  await once(deaf, 'data');
  deaf.pause();
  const filler = new Uint8Array(60_000);
  // 30 MB for somebody who takes none.
  for (let i = 0; i < 500; i++) {
    one.port.receive(plainFrame(Uint8Array.from([...macOf(3), ...macOf(1), 8, 0, ...filler])));
    if (i % 50 === 0) await reaches(one, two, frame(2, 1));
  }
  for (const first of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'virts switch 2\n......']) {
    const stranger = connect(path);
    stranger.on('error', () => {});
    stranger.resume();
    stranger.write(first);
    await once(stranger, 'close');
  }
  const liar = connect(path);
  liar.on('error', () => {});
  liar.resume();
  liar.write(Buffer.concat([Buffer.from('virts switch 1\n'), Buffer.from(macOf(4)), Buffer.alloc(64, 0xff)]));
  await once(liar, 'close');
  await reaches(two, one, frame(1, 2));
  deaf.destroy();
  for (const { fabric } of [one, two]) fabric.close();
});

test('what cannot be has a sentence', async () => {
  const deep = join(root, 'd'.repeat(120));
  mkdirSync(deep);
  await assert.rejects(openSharedSwitch(deep, macText(1)), { kind: 'io', message: /too long for a socket/ });
  await assert.rejects(openSharedSwitch(join(root, 'none'), macText(1)), { kind: 'io', message: /ENOENT/ });
  const directory = newDirectory();
  const other = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write('virts switch 0\n'));
  });
  other.listen(join(directory, 'switch.sock'));
  await once(other, 'listening');
  await assert.rejects(openSharedSwitch(directory, macText(1)), { kind: 'unsupported', message: /another version/ });
  other.close();
});
