import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { DEFAULT_SAMPLE, defaultThreshold } from '../engine/translated/vcpu-interface.ts';
import type { MachineEnd, MachineOptions, RunningMachine } from '../sdk/machine-host.ts';
import { readOpenFile } from '../sdk/node/boot-file.ts';
import type { Environment } from './environment.ts';
import { main } from './program.ts';

const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
after(() => rmSync(directory, { recursive: true }));
const KERNEL = join(directory, 'kernel');
writeFileSync(KERNEL, 'kernel');

interface Fake {
  readonly environment: Environment & { stdin: PassThrough; stdout: PassThrough; stderr: PassThrough };
  readonly signals: EventEmitter;
  /** Resolves with the options when the machine starts. */
  readonly started: Promise<MachineOptions>;
  readonly typed: Buffer[];
  readonly modes: boolean[];
  write(text: string): void | Promise<void>;
  end(end: MachineEnd): void;
  fail(error: Error): void;
  stops: number;
}

function fake({ tty = false, highWaterMark = 1 << 16 } = {}): Fake {
  const { promise: started, resolve: start } = Promise.withResolvers<MachineOptions>();
  const { promise: ended, resolve: end, reject: fail } = Promise.withResolvers<MachineEnd>();
  const modes: boolean[] = [];
  const stdin = Object.assign(
    new PassThrough(),
    tty ? { isTTY: true, setRawMode: (raw: boolean) => modes.push(raw) } : {},
  );
  const stdout = new PassThrough({ highWaterMark });
  const signals = new EventEmitter();
  let output: (bytes: Uint8Array) => void | Promise<void> = () => {};
  const machine: RunningMachine = {
    input: (bytes) => void result.typed.push(Buffer.from(bytes)),
    onOutput: (callback) => {
      output = callback;
    },
    ended,
    stop: async () => {
      result.stops++;
    },
    pause: async () => {},
    resume() {},
    pressPowerButton() {},
    setBalloon() {},
    statistics: () => ({ instructions: 42 }),
  };
  const result: Fake = {
    environment: {
      stdin,
      stdout,
      stderr: new PassThrough(),
      env: { XDG_STATE_HOME: directory },
      signals,
      startMachine: async (options) => {
        // The caller connects the terminal after this; what the test does next comes later still.
        setImmediate(() => start(options));
        return machine;
      },
    },
    signals,
    started,
    typed: [],
    modes,
    write: (text) => output(Buffer.from(text)),
    end,
    fail,
    stops: 0,
  };
  return result;
}

const textOf = (stream: PassThrough): string => (stream.read() as Buffer | null)?.toString() ?? '';
const POWER_OFF: MachineEnd = { reason: 'power-off', status: 0 };

test('options reach the machine; what it writes reaches standard output; a power-off is status 0', async () => {
  const { environment, started, ...machine } = fake();
  const args = ['run', '--kernel', KERNEL, '--initrd', KERNEL, '--append', 'a b', '--memory', '1G', '--no-reboot'];
  const status = main([...args, '--gdb', '4000'], environment);
  const options = await started;
  assert.equal(options.memory, 2 ** 30);
  assert.equal(options.reboot, false);
  assert.equal(options.append, 'a b');
  const initrd = options.initrd!;
  assert.ok('descriptor' in initrd);
  assert.equal(Buffer.from(readOpenFile(KERNEL, initrd.descriptor).bytes).toString(), 'kernel');
  assert.deepEqual(options.gdb, { port: 4000, wait: false });
  machine.write('hello');
  machine.end(POWER_OFF);
  assert.equal(await status, 0);
  assert.equal(textOf(environment.stdout), 'hello');
  assert.match(textOf(environment.stderr), /localhost:4000/);
});

test('--translate says how often code runs before it is translated', async () => {
  for (const [args, translation] of [
    [['run', '--translate', '1'], { threshold: 1 }],
    [['debug', '--translate', '65535'], { threshold: 65535 }],
    [['run', '--translate', 'off'], undefined],
    [['run', '--translate', '7', '--verify-translation'], { threshold: 7, verify: DEFAULT_SAMPLE }],
    [['run'], { threshold: defaultThreshold(1, availableParallelism()) }],
  ] as const) {
    const machine = fake();
    const status = main([...args, '--kernel', KERNEL], machine.environment);
    assert.deepEqual((await machine.started).translation, translation);
    machine.end(POWER_OFF);
    assert.equal(await status, 0);
  }
});

test('defaults: 512 MiB, reboot, no debugger; virts debug waits for one', async () => {
  const plain = fake();
  const status = main(['run', '--kernel', KERNEL], plain.environment);
  const options = await plain.started;
  assert.deepEqual([options.memory, options.reboot, options.append], [2 ** 29, true, '']);
  assert.equal(options.gdb, undefined);
  plain.end(POWER_OFF);
  await status;
  const debug = fake();
  const debugStatus = main(['debug', '--kernel', KERNEL], debug.environment);
  assert.deepEqual((await debug.started).gdb, { port: 1234, wait: true });
  debug.end(POWER_OFF);
  assert.equal(await debugStatus, 0);
});

const ENDS: readonly (readonly [MachineEnd, status: number, message: RegExp])[] = [
  [{ reason: 'reset', status: 0 }, 0, /^$/],
  [{ reason: 'triple-fault', status: 0 }, 0, /^virts: [^\n]*triple fault[^\n]*\n$/],
  [{ reason: 'debug-exit', status: 33 }, 33, /^$/],
  [{ reason: 'halted', status: 0 }, 18, /^virts: [^\n]*halted[^\n]*\n$/],
];

for (const [end, expected, message] of ENDS) {
  test(`an end by ${end.reason} has status ${expected}`, async () => {
    const machine = fake();
    const status = main(['run', '--kernel', KERNEL], machine.environment);
    await machine.started;
    machine.end(end);
    assert.equal(await status, expected);
    assert.match(textOf(machine.environment.stderr), message);
    assert.equal(machine.stops, 1);
  });
}

test('--disk opens images in their order, and closes them at the end', async () => {
  const [first, second] = [join(directory, 'a,b.raw'), join(directory, 'c.img')];
  for (const path of [first, second]) writeFileSync(path, Buffer.alloc(1 << 20, 3));
  const machine = fake();
  // A comma in a name is written twice.
  const named = first.replace(',', ',,');
  const args = ['--disk', `${named},readonly`, '--disk', `${second},format=raw,snapshot`];
  const status = main(['run', '--kernel', KERNEL, ...args], machine.environment);
  const { disks } = await machine.started;
  assert.deepEqual(
    disks?.map(({ shape }) => [shape.size, shape.readOnly, shape.discards]),
    [
      [1 << 20, true, false],
      [1 << 20, false, true],
    ],
  );
  machine.end(POWER_OFF);
  assert.equal(await status, 0);
  // Nothing holds them any more.
  const again = fake();
  const later = main(['run', '--kernel', KERNEL, '--disk', named, '--disk', second], again.environment);
  assert.deepEqual(
    (await again.started).disks?.map(({ shape }) => shape.readOnly),
    [false, false],
  );
  again.end(POWER_OFF);
  assert.equal(await later, 0);
});

const BAD_DISKS: readonly (readonly [args: string[], status: number, message: RegExp])[] = [
  [['none.qcow2'], 8, /There is no disk image \S*none\.qcow2/],
  [[KERNEL, KERNEL], 20, /in use by another machine or program/],
  [[`${KERNEL},format=qcow2`], 6, /is not a usable qcow2 image/],
  [[`${KERNEL},format=vmdk`], 4, /takes FILE\[,format=raw\|qcow2\]/],
  [[`${KERNEL},readonly,snapshot`], 4, /either readonly or snapshot/],
  [[''], 4, /takes the name of a disk image/],
  [[directory], 20, /is a directory/],
  [Array(17).fill(`${KERNEL},readonly`), 4, /can be 16 disks/],
];

for (const [disks, expected, message] of BAD_DISKS) {
  test(`--disk ${disks[0]?.replace(directory, '')} (${disks.length}): status ${expected} and one sentence`, async () => {
    const { environment } = fake();
    const args = disks.flatMap((disk) => ['--disk', disk]);
    assert.equal(await main(['run', '--kernel', KERNEL, ...args], environment), expected);
    const said = textOf(environment.stderr);
    assert.match(said, /^virts: [^\n]+\.\n$/);
    assert.match(said, message);
  });
}

test('an error of the machine is one sentence with its status', async () => {
  const machine = fake();
  const status = main(['run', '--kernel', KERNEL], machine.environment);
  await machine.started;
  machine.fail(new VirtsError('bad-input', 'The kernel is truncated.'));
  assert.equal(await status, 6);
  assert.equal(textOf(machine.environment.stderr), 'virts: The kernel is truncated.\n');
});

test('a defect is status 2, without a stack trace', async () => {
  const machine = fake();
  const status = main(['run', '--kernel', KERNEL], machine.environment);
  await machine.started;
  machine.fail(new TypeError('x is\nundefined'));
  assert.equal(await status, 2);
  assert.match(textOf(machine.environment.stderr), /^virts: Internal error[^\n]*x is undefined[^\n]*\n$/);
});

test('piped input reaches the guest, Ctrl-] too, and its end does not end the run', async () => {
  const machine = fake();
  const status = main(['run', '--kernel', KERNEL], machine.environment);
  await machine.started;
  machine.environment.stdin.end('one\x1dtwo');
  await once(machine.environment.stdin, 'end');
  assert.equal(Buffer.concat(machine.typed).toString(), 'one\x1dtwo');
  machine.write('still here');
  machine.end(POWER_OFF);
  assert.equal(await status, 0);
  assert.equal(textOf(machine.environment.stdout), 'still here');
});

test('on a terminal Ctrl-] leaves and the terminal is given back', async () => {
  const machine = fake({ tty: true });
  const said: string[] = [];
  Object.assign(machine.environment.stderr, { isTTY: true }).on('data', (chunk) => said.push(String(chunk)));
  const status = main(['run', '--kernel', KERNEL], machine.environment);
  await machine.started;
  machine.environment.stdin.write('ab\x03\x1dignored');
  assert.equal(await status, 0);
  assert.equal(Buffer.concat(machine.typed).toString(), 'ab\x03');
  assert.deepEqual(machine.modes, [true, false]);
  assert.equal(machine.stops, 1);
  assert.match(said.join(''), /\nvirts: You left the guest; it has ended\.\n$/);
});

test('the terminal is given back after an error, too, and at the end of the process', async () => {
  const machine = fake({ tty: true });
  const status = main(['run', '--kernel', KERNEL], machine.environment);
  await machine.started;
  machine.signals.emit('exit');
  assert.equal(machine.modes.at(-1), false);
  machine.signals.emit('SIGCONT');
  assert.equal(machine.modes.at(-1), true);
  machine.fail(new Error('boom'));
  assert.equal(await status, 2);
  assert.equal(machine.modes.at(-1), false);
  assert.deepEqual(machine.signals.eventNames(), []);
});

test('signals stop the machine and give their status', async () => {
  for (const [name, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    const machine = fake({ tty: true });
    const status = main(['run', '--kernel', KERNEL], machine.environment);
    await machine.started;
    machine.signals.emit(name);
    assert.equal(await status, expected);
    assert.equal(machine.stops, 1);
    assert.equal(machine.modes.at(-1), false);
  }
});

test('a slow reader of standard output holds the guest back', async () => {
  const machine = fake({ highWaterMark: 4 });
  const status = main(['run', '--kernel', KERNEL], machine.environment);
  await machine.started;
  const taken = machine.write('more than four bytes');
  assert.ok(taken instanceof Promise);
  let drained = false;
  taken.then(() => {
    drained = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(drained, false);
  machine.environment.stdout.resume();
  await taken;
  machine.end(POWER_OFF);
  assert.equal(await status, 0);
});

test('a reader that goes away ends the run', async () => {
  const machine = fake();
  const status = main(['run', '--kernel', KERNEL], machine.environment);
  await machine.started;
  machine.environment.stdout.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }));
  assert.equal(await status, 0);
  assert.equal(machine.stops, 1);
});

test('the debug log goes to a file or to standard error; statistics come at the end', async () => {
  const path = join(directory, 'log');
  const machine = fake();
  const status = main(['run', '--kernel', KERNEL, '--stats', '--debug-log', path], machine.environment);
  (await machine.started).debugLog!('unknown port 0x80');
  machine.end(POWER_OFF);
  assert.equal(await status, 0);
  assert.equal(readFileSync(path, 'utf8'), 'unknown port 0x80\n');
  assert.match(
    textOf(machine.environment.stderr),
    /^virts: instructions decoded: 42\nvirts: run time \(s\): \d+\.\d\n$/,
  );
  const other = fake();
  const otherStatus = main(['run', '--kernel', KERNEL, '--debug-log'], other.environment);
  (await other.started).debugLog!('unknown MSR 0x1');
  other.end(POWER_OFF);
  await otherStatus;
  assert.equal(textOf(other.environment.stderr), 'unknown MSR 0x1\n');
});
