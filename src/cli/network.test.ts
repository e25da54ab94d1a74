/** What the command line says of the network, and what becomes of it. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, test } from 'node:test';
import type { MachineEnd, MachineOptions } from '../sdk/machine-host.ts';
import { parseAllowed, parseForward } from './options.ts';
import { main } from './program.ts';
import { freePort } from './virts.test-helper.ts';

const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
after(() => rmSync(directory, { recursive: true }));
const KERNEL = join(directory, 'kernel');
writeFileSync(KERNEL, 'kernel');

/** All that was written so far. */
function textOf(stream: PassThrough): string {
  let text = '';
  for (let part: unknown = stream.read(); part !== null; part = stream.read()) text += String(part);
  return text;
}

/** Runs the command line; `during` while the machine, which does nothing, runs. */
async function run(args: readonly string[], during: (options: MachineOptions) => Promise<void> = async () => {}) {
  const stderr = new PassThrough();
  let options: MachineOptions | undefined;
  const environment = {
    ...{
      stdin: new PassThrough(),
      stdout: new PassThrough(),
      stderr,
      env: { XDG_STATE_HOME: directory },
      signals: new EventEmitter(),
    },
    async startMachine(given: MachineOptions) {
      options = given;
      const ended = during(given).then((): MachineEnd => ({ reason: 'power-off', status: 0 }));
      const nothing = {
        input() {},
        onOutput() {},
        resume() {},
        pressPowerButton() {},
        setBalloon() {},
        pause: async () => {},
      };
      return { ...nothing, ended, stop: async () => {} };
    },
  };
  const status = await main(['run', '--kernel', KERNEL, ...args], environment);
  return { status, options, message: textOf(stderr) };
}

/** Runs a command that starts no machine. */
async function command(args: readonly string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const status = await main(args, {
    ...{ stdin: new PassThrough(), stdout, stderr, signals: new EventEmitter(), env: { XDG_STATE_HOME: directory } },
    startMachine: () => assert.fail('no machine is to be started'),
  });
  return { status, stdout: textOf(stdout), stderr: textOf(stderr) };
}

test('options given several times add up', () => {
  assert.equal(parseForward('1:2', parseForward('3:4')).length, 2);
  assert.deepEqual(parseAllowed('*.example.org', ['10.0.0.0/8']), ['10.0.0.0/8', '*.example.org']);
  assert.throws(() => parseAllowed('a b'));
});

test('a machine has a card unless it is told otherwise', async () => {
  const { options } = await run([]);
  assert.equal(options?.network?.mtu, 1500);
  assert.equal(options?.network?.mac.length, 6);
  assert.equal((await run(['--net', 'none'])).options?.network, undefined);
});

test('a forwarded port is open as long as the machine runs', async () => {
  const port = await freePort();
  const { status } = await run(['-p', `${port}:80`], async () => {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
  });
  assert.equal(status, 0);
  const socket = connect(port, '127.0.0.1');
  await assert.rejects(once(socket, 'connect'), { code: 'ECONNREFUSED' });
});

test('a port that was not chosen is chosen and told', async () => {
  const [first] = await Promise.all([freePort(), freePort()]);
  const { message, status } = await run([
    '-p',
    '80',
    '-p',
    `${first}-${first + 20}:81`,
    '-p',
    `${await freePort()}:82`,
  ]);
  const lines = message.split('\n').filter((line) => line.includes('leads to'));
  assert.match(lines[0]!, /^virts: 127\.0\.0\.1:\d+ leads to the guest's TCP port 80\.$/);
  assert.match(lines[1]!, /^virts: 127\.0\.0\.1:\d+ leads to the guest's TCP port 81\.$/);
  assert.deepEqual([lines.length, status], [2, 0], 'the third was chosen');
});

test('all ports of a range are open, or none', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { status, message } = await run(['-p', `${port - 2}-${port}:80-82`]);
  assert.equal(status, 20);
  assert.match(message, new RegExp(`^virts: TCP port ${port - 2 + 2} .*is in use; .*\\n$`));
  server.close();
  const again = createServer().listen(port - 2, '127.0.0.1');
  await once(again, 'listening');
  again.close();
});

test('machines join a network that was made before, under names of their own', async () => {
  const networks = (...args: string[]) => command(['network', ...args]);
  assert.deepEqual(await networks('create', 'inner'), { status: 0, stdout: 'inner\n', stderr: '' });
  const seen: string[] = [];
  const { status } = await run(
    ['--network', 'inner', '--name', 'web', '-p', `${await freePort()}:80`],
    async (options) => {
      assert.match([...options.network!.mac].map((byte) => byte.toString(16)).join(':'), /^52:54:0:0:2:/);
      const listed = JSON.parse((await networks('ls', '--json')).stdout);
      seen.push(listed[0].machines[0].name);
      assert.match((await networks('ls')).stdout, /^NAME +MACHINES\ninner +web \(10\.0\.2\.\d+\)\n$/);
      const second = await run(['--network', 'inner', '--name', 'web', '--net', 'none']);
      assert.match(second.message, /^virts: The name web is in use by the machine [0-9a-f]+; .*\n$/);
      assert.equal(second.status, 4);
      assert.match((await networks('rm', 'inner')).stderr, /^virts: The network 'inner' is in use by web; .*\n$/);
      const third = await run(['--network', 'inner', '--net', 'none'], async () => {
        seen.push(
          ...JSON.parse((await networks('ls', '--json')).stdout)[0].machines.map(({ name }: { name: string }) => name),
        );
      });
      assert.equal(third.status, 0);
    },
  );
  assert.deepEqual([status, seen.length], [0, 3]);
  assert.match(seen[1]!, /^virts-[0-9a-f]{6}$/);
  assert.deepEqual(await networks('rm', 'inner'), { status: 0, stdout: 'inner\n', stderr: '' });
  assert.deepEqual((await networks('ls')).stdout, 'NAME  MACHINES\n');
});

test('what cannot be has one sentence', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const free = await freePort();
  const cases: readonly (readonly [args: string[], status: number, message: RegExp])[] = [
    [
      ['-p', `${free}:80`, '-p', `${port}:80`],
      20,
      new RegExp(`^virts: TCP port ${port} of 127\\.0\\.0\\.1 is in use; .*\\n$`),
    ],
    [['-p', `192.0.2.77:${free}:80`], 20, /^virts: 192\.0\.2\.77 is no address of this host; .*\n$/],
    [['-p', '80:'], 4, /^virts: .*GUESTPORT.*\n$/],
    [['-p', '1.2.3:80:80'], 4, /^virts: .*1\.2\.3 is no address.*\n$/],
    [['--net', 'bridge'], 4, /^virts: .*user, none.*\n$/],
    [['--net-allow', 'a b'], 4, /^virts: .*a name, \*\.NAME, an address.*\n$/],
    [['--net', 'none', '-p', '80:80'], 4, /^virts: --publish needs a network; .*\n$/],
    [['--net', 'none', '--net-allow', 'x.org'], 4, /^virts: --net-allow needs a network; .*\n$/],
    [['--network', 'nowhere'], 8, /^virts: There is no network 'nowhere'; 'virts network create nowhere' .*\n$/],
    [['--network', '../x'], 4, /^virts: '\.\.\/x' is no name for a network; .*\n$/],
    [['--name', '-x'], 4, /^virts: .*letters, digits.*\n$/],
    [['--network', 'x', '--net', 'none', '--net-host'], 4, /^virts: --net-host needs a network; .*\n$/],
    [['-p', `${port}-${port}:80`], 20, /in use/],
    [['-p', '8000-8001:80-82'], 4, /^virts: .*same length.*\n$/],
    [['--net', 'none', '--net-host'], 4, /^virts: --net-host needs a network; .*\n$/],
  ];
  for (const [args, status, message] of cases) {
    const result = await run(args);
    assert.match(result.message, message);
    assert.deepEqual([result.status, result.options], [status, undefined], args.join(' '));
  }
  server.close();
  // The port before the one that was taken was given back.
  const again = createServer().listen(free, '127.0.0.1');
  await once(again, 'listening');
  again.close();
});
