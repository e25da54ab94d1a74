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
      const nothing = { input() {}, onOutput() {}, resume() {}, pressPowerButton() {}, pause: async () => {} };
      return { ...nothing, ended, stop: async () => {} };
    },
  };
  const status = await main(['run', '--kernel', KERNEL, ...args], environment);
  return { status, options, message: String(stderr.read() ?? '') };
}

test('ports are read in every form', () => {
  const at = (address: string, port: number) => ({ address, port });
  assert.deepEqual(parseForward('8080:80'), [{ protocol: 'tcp', at: at('127.0.0.1', 8080), port: 80 }]);
  assert.deepEqual(parseForward('0.0.0.0:53:5353/udp'), [{ protocol: 'udp', at: at('0.0.0.0', 53), port: 5353 }]);
  assert.deepEqual(parseForward('[::1]:1:2/tcp'), [{ protocol: 'tcp', at: at('::1', 1), port: 2 }]);
  assert.equal(parseForward('1:2', parseForward('3:4')).length, 2);
  for (const text of ['80', '80:', ':80', 'x:1:2', '1:2/sctp', '0:1', '1:65536', '1:2:3:4', '::1:1:2', '[::1:1:2']) {
    assert.throws(() => parseForward(text), text);
  }
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
    [['-p', '80'], 4, /^virts: .*HOSTPORT:GUESTPORT.*\n$/],
    [['-p', '1.2.3:80:80'], 4, /^virts: .*1\.2\.3 is no address.*\n$/],
    [['--net', 'bridge'], 4, /^virts: .*user, none.*\n$/],
    [['--net-allow', 'a b'], 4, /^virts: .*a name, \*\.NAME, an address.*\n$/],
    [['--net', 'none', '-p', '80:80'], 4, /^virts: --publish needs a network; .*\n$/],
    [['--net', 'none', '--net-allow', 'x.org'], 4, /^virts: --net-allow needs a network; .*\n$/],
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
