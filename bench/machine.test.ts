import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { bootTime } from './boot-time.ts';
import { type Machine, startMachine } from './machine.ts';

/** A machine whose runner is a few lines of shell: it does what it is told, as the runner in the guest does. */
const RUNNER = `echo MARK runner ready
while IFS= read -r line; do eval "$line"; echo "MARK runner done $?"; done`;

let abort: AbortController;
let machines: Machine[];

beforeEach(() => {
  abort = new AbortController();
  machines = [];
});

afterEach(async () => {
  await Promise.all(machines.map((machine) => machine.end()));
});

async function start(script = RUNNER, limit = 20): Promise<Machine> {
  const machine = await startMachine({ program: 'sh', args: ['-c', script] }, limit, abort.signal);
  machines.push(machine);
  return machine;
}

const GOOD = 'echo MARK a start; echo MARK a slice; echo MARK a end; echo MARK a checksum 5';

test('several runs, one after the other', async () => {
  const machine = await start();
  for (let i = 0; i < 3; i++) {
    const outcome = await machine.run('a', GOOD, 20);
    assert.equal(outcome.status, 'done');
    assert.equal(outcome.status === 'done' && outcome.measurement.checksum, '5');
    assert.equal(outcome.status === 'done' && outcome.measurement.slices.length, 1);
  }
});

test('a status, missing marks, an end and a panic are failures that say why', async () => {
  const failure = async (command: string): Promise<string> => {
    const outcome = await (await start()).run('a', command, 20);
    return outcome.status === 'failed' ? outcome.reason : 'none';
  };
  assert.match(await failure('echo no such file; false'), /status 1\.\n.*no such file/);
  assert.match(await failure('echo MARK a start'), /not complete/);
  assert.match(await failure('echo out of memory >&2; exit 3'), /ended \(status 3\)/);
  assert.match(await failure('echo Kernel panic - not syncing; sleep 100'), /panicked/);
});

test('what hangs is given up after the limit', async () => {
  const machine = await start();
  const outcome = await machine.run('a', 'sleep 100', 0.2);
  assert.deepEqual(outcome, { status: 'failed', reason: 'Nothing came for 0.2 s.' });
  await machine.end();
});

test('a machine that does not start', async () => {
  await assert.rejects(start('exit 4'), /ended \(status 4\)/);
  await assert.rejects(start('sleep 100', 0.2), /Nothing came/);
  await assert.rejects(startMachine({ program: '/no/such/program', args: [] }, 5, abort.signal), /ENOENT/);
});

test('an abort ends a machine and what it started', async () => {
  const machine = await start();
  const running = machine.run('a', 'sleep 100 & sleep 100', 20);
  abort.abort();
  assert.equal((await running).status, 'failed');
});

test('the time to a prompt', async () => {
  const boot = (script: string) => bootTime({ program: 'sh', args: ['-c', script] }, 5, abort.signal);
  const outcome = await boot('sleep 0.1; printf "virts"; printf "# "; sleep 100');
  assert.equal(outcome.status, 'done');
  assert.ok(outcome.status === 'done' && outcome.measurement.seconds >= 0.1);
  assert.equal((await boot('exit 1')).status, 'failed');
});
