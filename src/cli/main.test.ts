import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
after(() => rmSync(directory, { recursive: true }));

interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

function virts(args: readonly string[], env: NodeJS.ProcessEnv = {}): Result {
  const { PATH } = process.env;
  const result = spawnSync(process.execPath, [MAIN, ...args], {
    env: { PATH, HOME: directory, XDG_CACHE_HOME: join(directory, 'cache'), ...env },
    encoding: 'utf8',
    input: '',
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** One line that begins with the program's name, and nothing of a stack trace. */
function assertSentence({ stderr, stdout }: Result): void {
  assert.match(stderr, /^virts: [^\n]+\n$/);
  assert.doesNotMatch(stderr, /\n\s+at |node:internal/);
  assert.equal(stdout, '');
}

const FILE = join(directory, 'file');
writeFileSync(FILE, 'not a kernel');

const FAILURES: readonly (readonly [args: string[], status: number, message: RegExp])[] = [
  [['frob'], 4, /Unknown command 'frob'/],
  [['rnu'], 4, /Did you mean run\?/],
  [['run', '--bogus'], 4, /Unknown option '--bogus'/],
  [['run', '--kernel'], 4, /argument missing/],
  [['run', 'extra'], 8, /There is no image extra; 'virts image ls'/],
  [['run', FILE], 4, /cannot be the name of an image/],
  [['run', '--memory', '512'], 4, /such as 512M or 1G/],
  [['run', '--memory', '9G'], 4, /from 1M to 3584M/],
  [['run', '--memory', '-1M'], 4, /such as 512M/],
  [['run', '--memory', '1025K'], 4, /multiple of 4K/],
  [['run', '--translate', '0'], 4, /a number from 1 to 65535, or off/],
  [['run', '--translate', '65536'], 4, /a number from 1 to 65535, or off/],
  [['debug', '--translate', 'on'], 4, /a number from 1 to 65535, or off/],
  [['run', '--kernel', FILE, '--translate', 'off', '--verify-translation'], 4, /--translate off excludes/],
  [['run', '--gdb', '65536'], 4, /TCP port/],
  [['debug', '--gdb', 'x'], 4, /TCP port/],
  [['run', '--arch', 'arm'], 4, /must be one of amd64, i386/],
  [['run', '--mirror', 'ftp://example.invalid/debian'], 4, /http:, https: or file:/],
  [['run', '--kernel', FILE, '--mirror', 'http://example.invalid/debian'], 4, /no use together with --kernel/],
  [['run', '--kernel', join(directory, 'none')], 8, /There is no kernel/],
  [['run', '--kernel', FILE, '--initrd', join(directory, 'none')], 8, /There is no initrd/],
  [['run', '--kernel', directory], 6, /is a directory, not a kernel/],
  [['run', '--mirror', `file://${directory}/no-mirror`, '--keyring', FILE], 8, /cannot be read/],
];

for (const [args, status, message] of FAILURES) {
  test(`virts ${args.map((arg) => arg.replaceAll(directory, '…')).join(' ')}: status ${status}`, () => {
    const result = virts(args);
    assertSentence(result);
    assert.match(result.stderr, message);
    assert.equal(result.status, status);
  });
}

test('VIRTS_DEBUG=1 shows where an error comes from', () => {
  const { stderr, status } = virts(['run', '--kernel', join(directory, 'none')], { VIRTS_DEBUG: '1' });
  assert.match(stderr, /\n\s+at /);
  assert.equal(status, 8);
});

test('help and version', () => {
  assert.match(virts(['--version']).stdout, /^\d+\.\d+\.\d+\n$/);
  for (const args of [
    ['--help'],
    ['help'],
    ['run', '--help'],
    ['help', 'run'],
    ['debug', '--help'],
    ['doctor', '--help'],
  ]) {
    const { status, stdout, stderr } = virts(args);
    assert.equal(status, 0);
    assert.match(stdout, /^Usage: virts/);
    assert.equal(stderr, '');
  }
  assert.match(virts(['run', '--help']).stdout, /Ctrl-\]/);
  const nothing = virts([]);
  assert.match(nothing.stderr, /^Usage: virts/);
  assert.equal(nothing.status, 4);
});

test('doctor in words and as JSON', () => {
  const words = virts(['doctor']);
  assert.equal(words.status, 0);
  assert.match(words.stdout, /^ok +Node +\d+/m);
  const findings = JSON.parse(virts(['doctor', '--json']).stdout) as { name: string; state: string; detail: string }[];
  const names = findings.map(({ name }) => name);
  for (const name of ['Node', 'WebAssembly threads', 'Memory', '/dev/kvm', 'APT sources', 'Cache']) {
    assert.ok(names.includes(name), name);
  }
  assert.ok(findings.every(({ state, detail }) => /^(ok|limited|missing)$/.test(state) && detail !== ''));
});
