/** Machines of programs with guests of a few instructions: what needs no operating system in them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../../cli/virts.test-helper.ts';
import { GUESTS, tinyKernel } from '../../vm/tiny-kernel.test-helper.ts';
import { Machine, type MachineOptions, Network } from './index.ts';

const kernelOf = (code: readonly number[]) => ({ name: 'the guest', bytes: tinyKernel(code) });
const PLAIN = { memory: '4M', network: { kind: 'none' } } as const;
const ECHO = { ...PLAIN, kernel: kernelOf(GUESTS.echo) } satisfies MachineOptions;
const SPIN = { ...PLAIN, kernel: kernelOf(GUESTS.speakAndSpin) } satisfies MachineOptions;

test('a machine is made, talked to, ends, and runs again', async () => {
  await using machine = await Machine.create(ECHO);
  using first = machine.console();
  await machine.start();
  await first.write('hello');
  assert.equal(await first.waitFor('hello'), 'hello');
  await first.write('q');
  assert.deepEqual(await machine.wait(), { reason: 'debug-exit', status: 15 });
  await assert.rejects(first.waitFor('more'), { kind: 'guest-stopped' });
  const { readable, writable } = machine.console();
  await machine.start();
  const text = 'and again, by streams';
  await new Blob([text]).stream().pipeTo(writable);
  let said = '';
  for await (const bytes of readable) {
    said += new TextDecoder().decode(bytes);
    if (said.length === text.length) break;
  }
  assert.equal(said, text);
  assert.deepEqual(await machine.kill(), { reason: 'killed', status: 0 });
});

test('several machines in a process do not disturb each other', async () => {
  await using one = await Machine.start(ECHO);
  await using other = await Machine.start({ ...ECHO, cpus: 2 });
  const spinning = await Machine.start(SPIN);
  await spinning.console().waitFor('!');
  await one.pause();
  assert.equal(one.state, 'paused');
  const [here, there] = [one.console(), other.console()];
  await Promise.all([here.write('abc'), there.write('xyz')]);
  assert.equal(await there.waitFor('xyz'), 'xyz');
  await spinning.close();
  await there.write('still here');
  await there.waitFor('still here');
  await one.resume();
  assert.equal(await here.waitFor('abc'), 'abc');
  const { memory, instructions, vcpus } = await other.figures();
  assert.ok(instructions > 0 && memory.size === 4 << 20 && vcpus === 2);
});

test('what makes no sense is said in a sentence, and leaves nothing open', async () => {
  const refused = (options: MachineOptions, error: object) => assert.rejects(Machine.start(options), error);
  await refused({ memory: 'much' }, { kind: 'usage', message: /memory.*512M/ });
  await refused({ memory: 5000 }, { kind: 'usage', message: /memory/ });
  await refused({ cpus: 99 }, { kind: 'usage', message: /cpus.*1 to 8/ });
  await refused({ colour: 'red' } as MachineOptions, { kind: 'usage', message: /no setting colour/ });
  await refused(
    { network: { kind: 'none', publish: [80] } },
    { kind: 'usage', message: /^network\.publish needs a network/ },
  );
  await refused({ overlay: 'x.qcow2' }, { kind: 'usage', message: /overlay is for/ });
  await refused({ image: 'none-of-that-name' }, { kind: 'not-found', message: /no image none-of-that-name/ });
  await refused({ ...PLAIN, kernel: '/nonexistent' }, { kind: 'not-found', message: /no kernel \/nonexistent/ });
  const script = { name: 'a script', bytes: Buffer.from('#!/bin/sh\necho no kernel, but long enough\n') };
  await refused({ ...PLAIN, kernel: script }, { kind: 'bad-input', message: /^a script: / });
  await refused({ ...SPIN, signal: AbortSignal.abort(new Error('enough')) }, /enough/);
  const port = await freePort();
  const server = createServer().listen(port, '127.0.0.1');
  await refused({ ...SPIN, network: { publish: [`${port}:80`] } }, { kind: 'io', message: /port|in use/i });
  server.close();

  await using machine = await Machine.create(SPIN);
  await assert.rejects(machine.exec('true'), { kind: 'usage', message: /does not run/ });
  await machine.start();
  await assert.rejects(machine.forward(80), { kind: 'usage', message: /no network/ });
  await assert.rejects(machine.ready({ timeout: 50 }), { kind: 'network', message: /0\.05 s/ });
  await assert.rejects(machine.exec('true', { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
  const waiting = machine.exec('true');
  await machine.kill();
  await assert.rejects(waiting, {
    kind: 'guest-stopped',
    message: "The machine ended before 'true' had: The machine was killed.",
  });
});

test('ports are forwarded at the start and later, and are free again at the end', async () => {
  const machine = await Machine.start({ ...SPIN, network: { publish: [80, '127.0.0.1:0:53/udp'] } });
  const later = await machine.forward(8080);
  assert.deepEqual(
    machine.forwards.map(({ ports, protocol }) => [ports[0]?.guestPort, protocol]),
    [
      [80, 'tcp'],
      [53, 'udp'],
      [8080, 'tcp'],
    ],
  );
  await assert.rejects(machine.forward(`${later.port}:1`), { kind: 'io' });
  await assert.rejects(machine.forward('x'), { kind: 'usage' });
  later.close();
  assert.equal(machine.forwards.length, 2);
  const { port } = machine.forwards[0]!;
  await machine.close();
  assert.deepEqual(machine.forwards, []);
  const server = createServer().listen(port, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  server.close();
});

test('a network of a program leaves nothing behind', async () => {
  const network = await Network.create();
  const options = { ...SPIN, network: { kind: 'none', join: network } } as const;
  const machines = await Promise.all(['one', 'two'].map((name) => Machine.start({ ...options, name })));
  await assert.rejects(Machine.start({ ...options, name: 'one' }), { kind: 'usage', message: /one/ });
  for (const machine of machines) await machine.close();
  await network.close();
  await assert.rejects(Machine.start(options), { kind: 'usage', message: /closed/ });
});

test('a program ends by itself when its machines are closed, and has their memory back before', async () => {
  const program = fileURLToPath(new URL('machine-ends.test-helper.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 120_000 });
  const { before, after, guest } = JSON.parse(stdout);
  // Two more guests that filled theirs, one after the other.
  if (process.platform === 'linux') assert.ok(after - before < guest, `${before} MiB became ${after} MiB`);
});
