/** What a program can do with a guest that has the agent: run programs in it, copy files, keep its disk. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Image, Machine, VirtsError } from '../../src/sdk/node/index.ts';
import { openDisk } from '../../src/storage/open-disk.ts';
import { importAgentImage } from './agent-image.ts';

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

describe('a machine made from an image', { concurrency: false }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'virts-sdk-'));
  const overlay = join(directory, 'kept.qcow2');
  const data = process.env.XDG_DATA_HOME;
  let image: Image;
  let machine: Machine;

  before(async () => {
    process.env.XDG_DATA_HOME = join(directory, 'data');
    image = await importAgentImage(directory);
    machine = await Machine.start({ image, overlay, memory: '256M', network: { kind: 'none' } });
    await machine.ready();
  });
  after(async () => {
    await machine.close();
    if (data === undefined) delete process.env.XDG_DATA_HOME;
    else process.env.XDG_DATA_HOME = data;
    rmSync(directory, { recursive: true, force: true });
  });

  test('images are listed, opened, and told of what they are not', async () => {
    assert.deepEqual(
      (await Image.list()).map(({ name, id }) => [name, id]),
      [['debian', image.id]],
    );
    const { created, diskSize } = await Image.open('debian');
    assert.ok(created.getTime() <= Date.now() && diskSize === 4 << 20);
    await assert.rejects(Image.open('fedora'), { kind: 'not-found' });
    await assert.rejects(Image.pull('fedora'), { kind: 'usage', message: /no 'fedora' to be pulled.*debian/ });
    await assert.rejects(Image.pull('debian', { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
    const steps: string[] = [];
    await image.export(join(directory, 'image.tar'), {
      onProgress: ({ step, finished }) => steps.push(`${step} ${finished}`),
    });
    const copy = await Image.import(join(directory, 'image.tar'), { name: 'copy' });
    assert.equal(copy.id, image.id);
    assert.match(steps.at(-1)!, /debian true$/);
    await copy.remove();
    await assert.rejects(Image.open('copy'), { kind: 'not-found' });
  });

  test('commands give what they write and how they end', async () => {
    assert.deepEqual(await machine.exec('echo out; echo err >&2'), { exitCode: 0, stdout: 'out\n', stderr: 'err\n' });
    const said = await machine.exec(['sh', '-c', 'cat; pwd; echo $NAME'], {
      input: 'in ',
      cwd: '/tmp',
      env: { NAME: 'ü' },
    });
    assert.equal(said.stdout, 'in /tmp\nü\n');
    const failed = await machine.exec('echo why >&2; exit 3').catch((error: unknown) => error);
    assert.ok(failed instanceof VirtsError);
    assert.equal(failed.message, "'echo why >&2; exit 3' in the guest ended with status 3: why");
    assert.deepEqual([failed.kind, failed.context.exitCode, failed.context.stderr], ['exit-status', 3, 'why\n']);
    assert.deepEqual(await machine.exec('kill -9 $$', { check: false }), {
      ...{ exitCode: 137, signal: 'SIGKILL', stdout: '', stderr: '' },
    });
    await assert.rejects(machine.exec(['no-such-program']), { kind: 'not-found' });
    await assert.rejects(machine.exec('yes', { maxOutput: 100_000 }), {
      kind: 'no-space',
      message: /more than 100000 bytes/,
    });
  });

  test('bytes pass both ways as they are', async () => {
    const sent = randomBytes(1_500_000);
    const input = new Blob([sent]).stream();
    const { stdout } = await machine.exec(['cat'], { input, encoding: 'bytes' });
    assert.equal(Buffer.compare(stdout, sent), 0);
  });

  test('many programs at once', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => machine.exec(['echo', `${i}`])));
    assert.deepEqual(
      all.map(({ stdout }) => stdout),
      all.map((_, i) => `${i}\n`),
    );
  });

  test('a program has streams, signals and a terminal', async () => {
    const program = await machine.spawn(
      'trap "echo usr; exit 4" USR1; echo ready; while read line; do echo "<$line>"; done; sleep 100',
    );
    const reader = program.stdout.getReader();
    assert.equal(text((await reader.read()).value!), 'ready\n');
    const writer = program.stdin.getWriter();
    await writer.write(new TextEncoder().encode('one\n'));
    assert.equal(text((await reader.read()).value!), '<one>\n');
    program.kill('SIGUSR1');
    await writer.write(new TextEncoder().encode('two\n')).catch(() => {});
    assert.equal((await program.exited).exitCode, 4);
    await assert.rejects(writer.write(new Uint8Array(1)), { kind: 'io', message: /takes no more input/ });

    const terminal = await machine.spawn('stty size; read line; stty size', { terminal: { rows: 33, columns: 99 } });
    const shown = terminal.stdout.getReader();
    assert.match(text((await shown.read()).value!), /33 99/);
    terminal.resize({ rows: 20, columns: 40 });
    await terminal.stdin.getWriter().write(Uint8Array.of(13));
    let rest = '';
    for (let part = await shown.read(); !part.done; part = await shown.read()) rest += text(part.value);
    assert.match(rest, /20 40/);
    assert.throws(() => terminal.kill(65), { kind: 'usage' });
  });

  test('a program whose output nobody reads waits, and takes no memory of the host', async () => {
    const program = await machine.spawn(
      'i=0; line=$(printf %01023d 0); while :; do echo $line; i=$((i+1)); echo $i >/tmp/count; done',
    );
    const count = async () => Number((await machine.exec('sleep 1; cat /tmp/count')).stdout);
    let [before, now] = [-1, await count()];
    for (; now !== before; now = await count()) before = now;
    // 64 KiB here, 256 KiB on the way, and what a pipe of the guest holds.
    assert.ok(now > 100 && now * 1024 < 2 ** 20, `${now} KiB`);
    await program[Symbol.asyncDispose]();
  });

  test('a signal kills what runs in the guest', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const waiting = machine.exec('echo $$ >/tmp/pid; exec sleep 1000', { signal });
    const program = await machine.spawn(['sleep', '1000'], { signal });
    await machine.exec('until [ -s /tmp/pid ]; do sleep 0.1; done');
    controller.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    await assert.rejects(program.exited, /enough/);
    await assert.rejects(program.stdout.getReader().read(), /enough/);
    await machine.exec(`while kill -0 ${program.pid} || kill -0 $(cat /tmp/pid); do sleep 0.1; done 2>/dev/null`);
  });

  test('files go in and out', async () => {
    const tree = join(directory, 'tree');
    const content = randomBytes(200_000);
    mkdirSync(join(tree, 'sub'), { recursive: true });
    writeFileSync(join(tree, 'sub', 'big'), content);
    writeFileSync(join(tree, 'script'), '#!/bin/sh\necho it runs\n');
    chmodSync(join(tree, 'script'), 0o755);
    await machine.copyIn(tree, '/tmp');
    assert.equal((await machine.exec(['/tmp/tree/script'])).stdout, 'it runs\n');
    await machine.copyOut('/tmp/tree', join(directory, 'back'));
    assert.deepEqual(readdirSync(join(directory, 'back')).toSorted(), ['script', 'sub']);
    assert.equal(Buffer.compare(readFileSync(join(directory, 'back', 'sub', 'big')), content), 0);
    assert.equal(statSync(join(directory, 'back', 'script')).mode & 0o777, 0o755);
    await assert.rejects(machine.copyIn('/nonexistent', '/tmp'), { kind: 'not-found' });
    await assert.rejects(machine.copyOut('/nonexistent', directory), { kind: 'not-found' });
    const signal = AbortSignal.abort(new Error('enough'));
    await assert.rejects(machine.copyIn(tree, '/tmp', { signal }), /enough/);
    await assert.rejects(machine.copyOut('/tmp/tree', directory, { signal }), /enough/);
  });

  test('what waits when the guest ends is told, and what it wrote is kept', async () => {
    await machine.exec('printf kept | dd of=/dev/vda bs=512 conv=sync,fsync');
    const waiting = machine.exec('sleep 1000');
    waiting.catch(() => {});
    const end = await machine.stop();
    assert.equal(end.reason, 'power-off');
    await assert.rejects(waiting, ({ kind }: VirtsError) => kind === 'guest-stopped' || kind === 'network');
    await machine.close();
    const disk = await openDisk({ path: overlay, anyBacking: true, readOnly: true });
    const sector = new Uint8Array(512);
    await disk.read(0, [sector]);
    await disk.close();
    assert.equal(text(sector.subarray(0, 4)), 'kept');
    // A layer belongs to one image.
    await image.remove();
    writeFileSync(
      join(directory, 'kernel'),
      Buffer.concat([readFileSync(join(directory, 'kernel')), Buffer.from('x')]),
    );
    const other = await Image.import(join(directory, 'disk.raw'), {
      name: 'debian',
      kernel: join(directory, 'kernel'),
    });
    await assert.rejects(Machine.start({ image: other, overlay }), {
      kind: 'usage',
      message: /not a layer over the image debian/,
    });
  });
});
