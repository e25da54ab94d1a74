import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, test } from 'node:test';
import { parse } from 'yaml';
import { startMachine } from '../../sdk/node/start-machine.ts';
import { GUESTS, tinyKernel } from '../../vm/tiny-kernel.test-helper.ts';
import { main } from '../program.ts';
import { freePort, stateHome, temporaryFiles } from '../virts.test-helper.ts';

const file = temporaryFiles();
const ECHO = file('echo.elf', tinyKernel(GUESTS.echo));
const SPIN = file('spin.elf', tinyKernel(GUESTS.speakAndSpin));
const EXIT = file('exit.elf', tinyKernel(GUESTS.debugExit(3)));
/** Longer than the name of a socket may be. */
const HOME = join(stateHome(), 'a'.repeat(120));
mkdirSync(HOME);

interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in this process; what it starts in the background runs in processes of its own. */
async function virts(...args: string[]): Promise<Result> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const env = { ...process.env, XDG_STATE_HOME: HOME };
  const status = await main(args, { stdin, stdout, stderr, env, signals: new EventEmitter(), startMachine });
  const text = (stream: PassThrough) => String(stream.read() ?? '');
  return { status, stdout: text(stdout), stderr: text(stderr) };
}

async function ok(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await virts(...args);
  assert.equal(status, 0, stderr);
  return stdout;
}

interface Listed {
  readonly id: string;
  readonly name: string | null;
  readonly state: string;
  readonly pid: number;
  readonly exitStatus: number | null;
  readonly directory: string;
}

const listed = async (): Promise<Listed[]> => JSON.parse(await ok('ps', '-a', '--json'));
const machine = async (name: string): Promise<Listed> => (await listed()).find((each) => each.name === name)!;
/** Without a network card, which these guests do not need. */
const PLAIN = ['--net', 'none', '--memory', '4M'];

after(async () => {
  for (const { id } of await listed()) await virts('rm', '-f', id);
});

test('a machine in the background: its states, its console, its end, and a new start', async () => {
  const id = (await ok('run', '-d', '--name', 'web', '--kernel', ECHO, ...PLAIN)).trim();
  assert.match(id, /^[0-9a-f]{12}$/);
  assert.match(await ok('ps'), new RegExp(`^${id} +echo\\.elf .* Up .* web$`, 'm'));
  const { directory } = await machine('web');
  assert.equal(statSync(directory).mode & 0o777, 0o700);

  await ok('pause', 'web');
  assert.equal((await machine('web')).state, 'paused');
  await ok('resume', id.slice(0, 6));
  assert.equal((await machine('web')).state, 'running');
  // Whichever comes first, neither waits for what the other undid.
  await Promise.all([virts('pause', 'web'), virts('resume', 'web')]);
  await virts('resume', 'web');
  assert.equal((await machine('web')).state, 'running');

  assert.equal(await ok('balloon', '1M', 'web'), 'web\n');
  assert.equal(await ok('balloon', '0', 'web'), 'web\n');
  assert.match((await virts('balloon', '4M', 'web')).stderr, /web has 4M of memory, and cannot give up all/);
  assert.match((await virts('balloon', 'much', 'web')).stderr, /size such as 512M/);

  assert.equal(
    (await virts('run', '-d', '--name', 'web', '--kernel', ECHO)).stderr.match(/name web is in use/)?.length,
    1,
  );
  assert.match((await virts('rm', 'web')).stderr, /The machine web runs/);
  await ok('start', 'web');
  assert.deepEqual(
    (await listed()).map(({ name, state }) => [name, state]),
    [['web', 'running']],
  );

  // The guest ends when it reads a q; the port of its console is typed at by a client.
  const { attachConsole } = await import('./control-client.ts');
  const { openMachineStore } = await import('./state-directory.ts');
  const record = await openMachineStore(join(HOME, 'virts', 'machines')).find('web');
  const terminal = await attachConsole(record, false);
  let shown = '';
  const echoed = new Promise<void>((resolve) => {
    terminal.onOutput((bytes) => {
      shown += Buffer.from(bytes).toString();
      if (shown.includes('hello')) resolve();
    });
  });
  terminal.input(Buffer.from('hello'));
  await echoed;
  const waited = virts('wait', 'web');
  terminal.input(Buffer.from('q'));
  assert.equal((await waited).stdout, '15\n');
  await terminal.closed;
  assert.equal(await ok('logs', 'web'), 'hello');
  const ended = await machine('web');
  assert.deepEqual([ended.state, ended.exitStatus], ['exited', 15]);

  await ok('start', 'web');
  assert.equal((await machine('web')).state, 'running');
  await ok('kill', 'web');
  assert.equal(await ok('wait', 'web'), '137\n');
  await ok('rm', 'web');
  assert.deepEqual(await listed(), []);
  assert.deepEqual(
    readdirSync(join(HOME, 'virts', 'machines')).filter((name) => name !== '.lock'),
    [],
  );
});

test('a machine whose process was killed is dead, and starts again', async () => {
  await ok('run', '-d', '--name', 'fragile', '--kernel', SPIN, ...PLAIN);
  process.kill((await machine('fragile')).pid, 'SIGKILL');
  // The lock goes with the process, which the system may take a moment for.
  while ((await machine('fragile')).state !== 'dead');
  assert.match(await ok('ps'), /Dead \(its process was killed\) +fragile$/m);
  assert.equal(await ok('wait', 'fragile'), '137\n');
  await ok('start', 'fragile');
  assert.equal((await machine('fragile')).state, 'running');
  await ok('rm', '--force', 'fragile');
});

test('two starts at once start one process', async () => {
  await ok('run', '-d', '--name', 'twice', '--kernel', SPIN, ...PLAIN);
  await ok('kill', 'twice');
  const results = await Promise.all([virts('start', 'twice'), virts('start', 'twice')]);
  assert.deepEqual(
    results.map(({ status }) => status),
    [0, 0],
  );
  assert.equal((await machine('twice')).state, 'running');
  // A guest that does not know the power button is ended when its time is up.
  await ok('stop', '--time', '0', 'twice');
  assert.equal((await machine('twice')).exitStatus, 137);
  await ok('rm', 'twice');
});

test('figures of a running machine are those of its process', async () => {
  await ok('run', '-d', '--name', 'busy', '--kernel', SPIN, ...PLAIN);
  const { pid } = await machine('busy');
  const [figures] = JSON.parse(await ok('stats', '--json', 'busy'));
  assert.ok(figures.cpuPercent > 0 && figures.instructions > 0);
  assert.equal(figures.memory.size, 4 << 20);
  assert.ok(figures.memory.guest <= 4 << 20);
  if (process.platform === 'linux') {
    const resident = 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
    assert.ok(Math.abs(resident / figures.memory.process - 1) < 0.5, `${resident} and ${figures.memory.process}`);
  }
  await ok('rm', '-f', 'busy');
});

test('what the process of a machine in the background says is told with its log', async () => {
  await ok('run', '-d', '--name', 'told', '--kernel', SPIN, '-p', '80', '--memory', '4M');
  const { status, stdout, stderr } = await virts('logs', 'told');
  assert.equal(status, 0);
  // Nothing but what the guest says, if it has come so far.
  assert.match(stdout, /^!?$/);
  assert.match(stderr, /^virts: 127\.0\.0\.1:\d+ leads to the guest's TCP port 80\.$/m);
  await ok('kill', 'told');
  assert.equal((await virts('logs', 'told')).stderr, '');
  await ok('rm', 'told');
});

test('what inspect prints, run -f takes', async () => {
  await ok(
    'run',
    '-d',
    '--name',
    'one',
    '--kernel',
    SPIN,
    '--append',
    'a b',
    '-p',
    `${await freePort()}:80`,
    '--memory',
    '5M',
  );
  const text = await ok('inspect', 'one');
  assert.deepEqual(Object.keys(parse(text)).toSorted(), ['append', 'kernel', 'memory', 'name', 'network']);
  await ok('rm', '-f', 'one');
  const path = file('one.yaml', Buffer.from(text));
  await ok('run', '-d', '-f', path, '--memory', '6M');
  assert.deepEqual(parse(await ok('inspect', 'one')), { ...parse(text), memory: '6M' });
  await ok('rm', '-f', 'one');
  const wrong = file('wrong.yaml', Buffer.from('memory: [1\n'));
  assert.match((await virts('run', '-f', wrong)).stderr, /^virts: .*wrong\.yaml is no YAML: [^\n]+\n$/);
});

test('a machine with --rm leaves nothing, nor does one that could not start', async () => {
  const id = (await ok('run', '-d', '--rm', '--kernel', EXIT, ...PLAIN)).trim();
  const { status, stdout } = await virts('wait', id);
  assert.ok(status === 8 || stdout === '7\n');
  while ((await listed()).some((each) => each.id === id));
  const busy = createServer().listen(0, '127.0.0.1');
  await once(busy, 'listening');
  const { port } = busy.address() as { port: number };
  const refused = await virts('run', '-d', '--name', 'port', '--kernel', SPIN, '-p', `${port}:80`);
  busy.close();
  assert.equal(refused.status, 20);
  assert.match(refused.stderr, new RegExp(`^virts: [^\n]*${port}[^\n]*\n$`));
  assert.deepEqual(await listed(), []);
});

test('a machine that is not there has one sentence', async () => {
  for (const verb of [
    'start',
    'stop',
    'kill',
    'pause',
    'resume',
    'rm',
    'inspect',
    'console',
    'logs',
    'wait',
    'stats',
  ]) {
    const { status, stderr } = await virts(verb, 'nobody');
    assert.deepEqual([status, stderr], [8, "virts: There is no machine nobody; 'virts ps -a' lists them.\n"]);
  }
});
