import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ENTRY, GUESTS, SCRATCH, tinyKernel } from '../vm/tiny-kernel.test-helper.ts';
import { freePort, temporaryFiles, virts } from './virts.test-helper.ts';

const skip = spawnSync('gdb', ['--version']).status === 0 ? false : 'gdb is not installed';
const file = temporaryFiles();
const kernel = (name: string, code: readonly number[]) => file(`${name}.elf`, tinyKernel(code));
const address = (offset: number) => `0x${(ENTRY + offset).toString(16)}`;

/** mov ebx, 0x1234; mov eax, 5; inc eax; inc eax; then an exit with what is at SCRATCH. */
const PROGRAM = [
  ...[0xbb, 0x34, 0x12, 0, 0, 0xb8, 5, 0, 0, 0, 0x40, 0x40],
  ...[0xa0, 0, 0, 0x20, 0, 0xe6, 0xf4, 0xfa, 0xf4],
];
const PROGRAM_FILE = kernel('program', PROGRAM);

/** Starts `virts debug` or `virts run --gdb`, ready for a debugger. */
async function serve(command: 'run' | 'debug', path: string, ...args: readonly string[]) {
  const port = await freePort();
  const run = virts(command, '--kernel', path, '--gdb', String(port), ...args);
  await run.said(/GDB: target remote localhost:\d+\n/);
  return { port, run };
}

/** What GDB says to commands. */
async function gdb(port: number, ...commands: readonly string[]): Promise<string> {
  const setup = ['set confirm off', 'set pagination off', 'set tcp connect-timeout 10'];
  const all = [...setup, `target remote 127.0.0.1:${port}`, ...commands];
  const args = ['-nx', '-batch', ...all.flatMap((command) => ['-ex', command])];
  const { stdout, stderr } = await promisify(execFile)('gdb', args, { timeout: 50_000 });
  return stdout + stderr;
}

test('GDB breaks, looks, steps and writes; detached, the guest runs to its end', { skip }, async () => {
  const { port, run } = await serve('debug', PROGRAM_FILE);
  const output = await gdb(
    port,
    'p/x $pc',
    `break *${address(10)}`,
    'continue',
    'info registers rip rbx rax',
    'stepi',
    'p $rax',
    `x/2xb ${address(10)}`,
    `set {unsigned char}${SCRATCH} = 16`,
    'set $rbx = 7',
    'stepi',
    'p $rbx',
    'detach',
  );
  assert.match(output, new RegExp(`\\$1 = ${address(0)}`), 'it waited before the first instruction');
  assert.match(output, new RegExp(`Breakpoint 1, 0x0*${address(10).slice(2)} in`));
  assert.match(output, /rbx +0x1234 /);
  assert.match(output, /rax +0x5 /);
  assert.match(output, /\$2 = 6\n/);
  assert.match(output, /:\s+0x40\s+0x40/);
  assert.match(output, /\$3 = 7\n/);
  const { status, stderr } = await run.ended;
  assert.equal(status, 33);
  assert.match(stderr, /^virts: The machine waits for GDB: [^\n]+\n$/);
});

test('GDB is told how the guest ends', { skip }, async () => {
  const { port, run } = await serve('debug', kernel('exit', GUESTS.debugExit(20)));
  assert.match(await gdb(port, 'continue'), /exited with code 051/);
  assert.equal((await run.ended).status, 41);
});

test('GDB sees a triple fault before the guest starts over, and resets it', { skip }, async () => {
  const { port, run } = await serve('debug', kernel('fault', GUESTS.tripleFault), '--no-reboot');
  const output = await gdb(
    port,
    'continue',
    'p/x $pc',
    'monitor reset',
    'maintenance flush register-cache',
    'p/x $pc',
    'detach',
  );
  assert.match(output, /SIGSEGV/);
  assert.match(output, new RegExp(`\\$1 = ${address(7)}`));
  assert.match(output, new RegExp(`\\$2 = ${address(0)}`));
  const { status, stderr } = await run.ended;
  assert.equal(status, 0);
  assert.match(stderr, /triple fault/);
});

test('GDB interrupts a guest that runs, and ends it', { skip }, async () => {
  const { port, run } = await serve('run', kernel('spin', GUESTS.spin));
  const output = await gdb(port, 'p/x $pc', 'stepi', 'p/x $pc', 'monitor quit');
  assert.match(output, new RegExp(`\\$1 = ${address(0)}[^]*\\$2 = ${address(0)}`));
  const { status, stderr } = await run.ended;
  assert.equal(status, 0);
  assert.match(stderr, /^virts: The debugger ended the guest\.$/m);
});

test('with --gdb a guest runs as without, and talks', async () => {
  const { run } = await serve('run', kernel('echo', GUESTS.echo));
  run.process.stdin?.write('hello');
  await run.said(/hello/);
  run.process.stdin?.write('q');
  assert.equal((await run.ended).status, 15);
});

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends a machine that waits for a debugger, or has one`, async () => {
    const alone = await serve('debug', PROGRAM_FILE);
    alone.run.process.kill(signal);
    assert.equal((await alone.run.ended).status, status);
    const watched = await serve('debug', PROGRAM_FILE);
    const socket = connect(watched.port, '127.0.0.1');
    socket.write('$?#3f');
    await once(socket, 'data');
    const closed = once(socket.resume(), 'close');
    watched.run.process.kill(signal);
    assert.equal((await watched.run.ended).status, status);
    await closed;
  });
}

test('a port that is taken: a sentence and status 20', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const { status, stderr } = await virts('debug', '--kernel', PROGRAM_FILE, '--gdb', String(port)).ended;
  server.close();
  assert.equal(stderr, `virts: Port ${port} of localhost is in use; choose another one for --gdb.\n`);
  assert.equal(status, 20);
});

test('GDB sees two vCPUs as threads; the one that waits to be started keeps nobody from running', {
  skip,
}, async () => {
  const { port, run } = await serve('debug', PROGRAM_FILE, '--cpus', '2');
  const output = await gdb(port, 'info threads', 'thread 2', 'p/x $cs', 'thread 1', 'stepi', 'p $rbx', 'detach');
  assert.match(output, /Thread 1 \(vCPU 0 \(running\)\)/);
  assert.match(output, /Thread 2 \(vCPU 1 \(.*\)\)/);
  assert.match(output, /\$1 = 0xf000\n/);
  assert.match(output, /\$2 = 4660\n/);
  assert.equal((await run.ended).status, 1);
});
