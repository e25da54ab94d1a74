import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GUESTS, tinyKernel } from '../vm/tiny-kernel.test-helper.ts';
import { type Result, temporaryFiles, virts } from './virts.test-helper.ts';

const file = temporaryFiles();
const kernel = (name: string, code: readonly number[]) => file(`${name}.elf`, tinyKernel(code));
const EXIT_3 = kernel('exit', GUESTS.debugExit(3));

/** At most one line, which begins with the program's name, and nothing of a stack trace. */
function assertSentence({ stderr }: Result, pattern: RegExp): void {
  assert.match(stderr, /^(?:virts: [^\n]+\n)?$/);
  assert.match(stderr, pattern);
  assert.doesNotMatch(stderr, /\.ts:\d|node:/);
}

const AGAIN = GUESTS.onStart(3, GUESTS.tripleFault, GUESTS.debugExit(5));

const ENDS: readonly (readonly [name: string, code: readonly number[], args: string[], number, RegExp])[] = [
  ['a power-off', GUESTS.powerOff, [], 0, /^$/],
  ['a debug exit', GUESTS.debugExit(16), [], 33, /^$/],
  ['a debug exit with the highest value', GUESTS.debugExit(255), [], 255, /^$/],
  ['a reset under --no-reboot', GUESTS.reset, ['--no-reboot'], 0, /^$/],
  ['a triple fault under --no-reboot', GUESTS.tripleFault, ['--no-reboot'], 0, /triple fault/],
  ['triple faults and a debug exit in the end', AGAIN, [], 11, /^$/],
  ['HLT with interrupts disabled', GUESTS.halt, [], 18, /halted with interrupts disabled/],
];

for (const [name, code, args, status, message] of ENDS) {
  test(`${name}: status ${status}`, async () => {
    const result = await virts('run', '--kernel', kernel('guest', code), ...args).ended;
    assertSentence(result, message);
    assert.equal(result.status, status);
    assert.equal(result.stdout, '');
  });
}

test('a guest whose code is translated at once does the same, and the figures tell of it', async () => {
  const args = ['run', '--kernel', kernel('guest', AGAIN), '--translate', '1', '--stats'];
  const { status, stderr } = await virts(...args).ended;
  assert.equal(status, 11);
  assert.match(stderr, /^virts: (regions of hot code translated: |regions: made )\d+/m);
});

test('standard input and output are the first serial port', async () => {
  const run = virts('run', '--kernel', kernel('echo', GUESTS.echo));
  run.process.stdin?.write('piped ');
  await run.said(/piped /);
  run.process.stdin?.end('input\x1dq');
  assert.deepEqual(await run.ended, { status: 15, stdout: 'piped input\x1d', stderr: '' });
});

test('a signal asks for figures while the guest runs', { skip: process.platform === 'win32' }, async () => {
  const run = virts('run', '--kernel', kernel('spin', GUESTS.speakAndSpin), '--stats');
  await run.said(/!/);
  run.process.kill('SIGUSR2');
  await run.said(/million instructions a second/);
  run.process.kill('SIGINT');
  const { status, stderr } = await run.ended;
  assert.equal(status, 130);
  assert.equal(stderr.match(/^virts: heap of the machine \(KiB\): used \d+, resident \d+$/gm)?.length, 2);
});

test('a signal ends a guest that runs for ever', async () => {
  const run = virts('run', '--kernel', kernel('spin', GUESTS.speakAndSpin), '--stats');
  await run.said(/!/);
  run.process.kill('SIGINT');
  const { status, stderr } = await run.ended;
  assert.equal(status, 130);
  assert.match(stderr, /^virts: instructions retired: \d+$/m);
});

const MULTIBOOT = tinyKernel(GUESTS.halt);
const text = (content: string) => new TextEncoder().encode(content);
/** The beginning of a bzImage of protocol 2.15 that says it has 1 MiB of protected-mode code. */
function truncatedBzImage(): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint8(0x1f1, 4);
  view.setUint32(0x1f4, 0x10000, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x66eb, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x230, 0x200000, true);
  view.setBigUint64(0x258, 0x1000000n, true);
  return bytes;
}

const BAD: readonly (readonly [name: string, bytes: Uint8Array, args: string[], number, RegExp])[] = [
  ['a text file', text('#!/bin/sh\necho no kernel\n'), [], 6, /no kernel|script/],
  ['an empty file', new Uint8Array(), [], 6, /\/kernel: The file .* empty/],
  ['an ELF program', MULTIBOOT.with(52 + 32, 0), [], 6, /neither a PVH entry note nor a multiboot header/],
  ['an ELF kernel cut off', MULTIBOOT.subarray(0, MULTIBOOT.length - 4), [], 6, /truncated/],
  ['a bzImage cut off', truncatedBzImage(), [], 6, /truncated/],
  ['a machine too small for its kernel', MULTIBOOT, ['--memory', '1M'], 10, /needs at least/],
  ['a command line too long', MULTIBOOT, ['--append', 'x'.repeat(100_000)], 4, /command line has 100000 bytes/],
  ['no vCPU', MULTIBOOT, ['--cpus', '0'], 4, /'--cpus <number>'.* it takes a number from 1 to 8; /],
  ['too many vCPUs', MULTIBOOT, ['--cpus', '9'], 4, /'--cpus <number>'.* it takes a number from 1 to 8; /],
  ['vCPUs that are no number', MULTIBOOT, ['--cpus', 'x'], 4, /'--cpus <number>'.* it takes a number from 1 to 8; /],
  ['an unknown option', MULTIBOOT, ['--memroy', '1G'], 4, /Unknown option '--memroy'.*Did you mean --memory/],
];

for (const [name, bytes, args, status, message] of BAD) {
  test(`${name}: status ${status}`, async () => {
    const result = await virts('run', '--kernel', file('kernel', bytes), ...args).ended;
    assertSentence(result, message);
    assert.equal(result.status, status);
    assert.equal(result.stdout, '');
  });
}

test('an initrd that does not fit: status 10', async () => {
  const initrd = file('initrd', new Uint8Array(8 << 20));
  const result = await virts('run', '--kernel', EXIT_3, '--initrd', initrd, '--memory', '8M').ended;
  assertSentence(result, /The initrd \(8 MiB\) does not fit beside the kernel: /);
  assert.equal(result.status, 10);
});

test('the help says what each exit status means', async () => {
  const { stdout } = await virts('run', '--help').ended;
  assert.match(stdout, /^ {3}6 {2}a file that is not what it should be$/m);
  assert.match(stdout, /^ {2}18 {2}a guest that halts with interrupts disabled$/m);
  assert.match(stdout, /triple-faults under --no-reboot/);
});
