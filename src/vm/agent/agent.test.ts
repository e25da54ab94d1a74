/** The host's client and the guest's agent with each other: the agent runs here, with this host's perl. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type HostAgent, runToEnd, startAgent } from './agent.test-helper.ts';
import { type ExecuteRequest, execute } from './execute.ts';
import { fileStatus, pingAgent } from './requests.ts';

describe('programs in the guest', () => {
  let agent: HostAgent;
  before(async () => {
    agent = await startAgent();
  });
  after(() => agent.stop());

  /** The process that waits to become the next program, once there is one and no program. */
  async function spare(): Promise<number> {
    for (;;) {
      const path = `/proc/${agent.process.pid}/task/${agent.process.pid}/children`;
      const children = readFileSync(path, 'utf8').trim().split(' ').filter(Boolean).map(Number);
      if (children.length === 1) return children[0]!;
      await setTimeout(5);
    }
  }

  const user = process.getuid?.() === 0 ? 'root' : `${process.getuid?.()}`;
  const run = (request: ExecuteRequest, meanwhile?: Parameters<typeof runToEnd>[2]) =>
    runToEnd(agent.dial, { user, ...request }, meanwhile);
  const shell = (script: string, more: Partial<ExecuteRequest> = {}, meanwhile?: Parameters<typeof runToEnd>[2]) =>
    run({ command: ['sh', '-c', script], ...more }, meanwhile);

  test('streams are apart, and the status comes back', async () => {
    assert.deepEqual(await shell('echo out; echo err >&2; exit 7'), { stdout: 'out\n', stderr: 'err\n', status: 7 });
    assert.equal((await shell('kill -TERM $$')).status, -15);
    assert.deepEqual(await run({ command: ['printf', '%s|', 'a b', '', "it's"] }), {
      ...{ stdout: "a b||it's|", stderr: '', status: 0 },
    });
  });

  test('bytes pass both ways as they are, however many', async () => {
    const sent = randomBytes(3_000_000);
    const { stdout, status } = await run({ command: ['cat'], input: true }, async (program) => {
      await program.write(sent);
      program.closeInput();
    });
    assert.equal(status, 0);
    assert.equal(Buffer.compare(Buffer.from(stdout, 'latin1'), sent), 0);
  });

  test('the end of the input is not the end of the output', async () => {
    const outcome = await shell('cat >/dev/null; echo later', { input: true }, (program) => program.closeInput());
    assert.equal(outcome.stdout, 'later\n');
  });

  test('without input it is empty', async () => {
    assert.deepEqual(await run({ command: ['cat'] }), { stdout: '', stderr: '', status: 0 });
  });

  test('environment, directory and user are as asked for', async () => {
    const { stdout } = await run({
      command: ['sh', '-c', 'echo "$A|$PWD|$HOME|$TERM"'],
      environment: { A: 'x=y\nz', HOME: '/nowhere' },
      directory: '/usr',
    });
    assert.equal(stdout, 'x=y\nz|/usr|/nowhere|\n');
  });

  test('another user has its own groups and home', { skip: user !== 'root' }, async () => {
    const nobody = await run({ command: ['sh', '-c', 'id -un; id -G; echo $HOME; echo $USER'], user: 'nobody' });
    assert.equal(nobody.stdout, 'nobody\n65534\n/nonexistent\nnobody\n');
    const numbers = await run({ command: ['sh', '-c', 'id -u; id -g; id -G'], user: '12345:54321' });
    assert.equal(numbers.stdout, '12345\n54321\n54321\n');
  });

  test('what cannot be run is told in a sentence', async () => {
    await assert.rejects(run({ command: ['no-such-program'] }), {
      kind: 'not-found',
      message: /no-such-program: No such/,
    });
    await assert.rejects(run({ command: ['/'] }), { kind: 'io', message: /\/: Permission denied/ });
    await assert.rejects(run({ command: ['true'], directory: '/none' }), {
      kind: 'not-found',
      message: /directory \/none/,
    });
    await assert.rejects(run({ command: ['true'], user: 'nobody-has-this-name' }), /no user or group nobody-has/);
    await assert.rejects(run({ command: ['true'], user: 'root:no-such-group' }), /no user or group/);
    await assert.rejects(run({ command: ['a\0b'] }), { kind: 'usage' });
  });

  test('a terminal is the program’s own, has its size, and takes keys', async () => {
    let said = '';
    const program = execute(
      agent.dial,
      {
        command: ['sh', '-c', 'tty; stty size; read line; stty size; echo "<$line>"'],
        user,
        terminal: { rows: 33, columns: 99 },
        input: true,
      },
      {
        stdout(bytes) {
          said += Buffer.from(bytes).toString('latin1');
        },
        stderr: () => assert.fail('it has no stream for errors'),
      },
    );
    while (!said.includes('33 99')) await setTimeout(5);
    program.resize({ rows: 20, columns: 40 });
    await program.write(Buffer.from('abc\r'));
    assert.deepEqual(await program.exited, { status: 0, signal: 0 });
    assert.match(said, /^\/dev\/pts\/\d+\r\n33 99\r\nabc\r\n20 40\r\n<abc>\r\n$/);
  });

  test('Ctrl-C on a terminal interrupts; a signal reaches the whole group', async () => {
    const interrupted = await shell(
      'echo ready; sleep 60; echo no',
      { terminal: { rows: 24, columns: 80 }, input: true },
      async (program) => {
        await program.started;
        await setTimeout(200);
        await program.write(Uint8Array.of(3));
      },
    );
    assert.equal(interrupted.status, -2);
    const terminated = await shell('sleep 60 & sleep 60', {}, async (program) => {
      await program.started;
      program.signal(15);
    });
    assert.equal(terminated.status, -15);
  });

  test('a program that closes its input, or ends early, makes nobody wait', async () => {
    const lots = randomBytes(2_000_000);
    const closed = await shell('exec <&-; sleep 0.3; echo done', { input: true }, async (program) => {
      await program.write(lots);
      await program.write(lots);
    });
    assert.equal(closed.stdout, 'done\n');
    assert.equal((await shell('exit 3', { input: true }, (program) => program.write(lots))).status, 3);
  });

  test('a daemon that is left behind holds nothing up, and lives on', async () => {
    const mark = join(agent.directory, 'lives');
    const { stdout, status } = await shell(`echo now; (sleep 1; : >${mark}; exec sleep 30) & echo pid $!`);
    const pid = Number(/pid (\d+)/.exec(stdout)![1]);
    assert.equal(status, 0);
    while (!existsSync(mark)) await setTimeout(20);
    process.kill(pid, 'SIGKILL');
  });

  test('what is written just before the end arrives', async () => {
    const { stdout } = await shell('head -c 1000000 /dev/zero; echo end');
    assert.equal(stdout.length, 1_000_004);
    assert.ok(stdout.endsWith('end\n'));
  });

  test('a slow reader makes the program wait; the other stream goes on', async () => {
    let release = () => {};
    let bytes = 0;
    let errors = '';
    const program = execute(
      agent.dial,
      { command: ['sh', '-c', 'head -c 3000000 /dev/zero & echo over >&2; wait'], user },
      {
        stdout(part) {
          bytes += part.length;
          return new Promise((resolve) => {
            const before = release;
            release = () => {
              before();
              resolve();
            };
          });
        },
        stderr(part) {
          errors += Buffer.from(part).toString();
        },
      },
    );
    while (errors === '' || bytes < 256 * 1024) await setTimeout(5);
    await setTimeout(100);
    assert.equal(bytes, 256 * 1024);
    const drain = setInterval(() => release(), 1);
    await program.exited;
    clearInterval(drain);
    assert.equal(bytes, 3_000_000);
  });

  test('when the host goes away, so does the program with its group', async () => {
    let pid = '';
    const program = execute(
      agent.dial,
      { command: ['sh', '-c', 'trap "" HUP; sleep 1000 & echo $!; wait'], user },
      {
        stdout(bytes) {
          pid += Buffer.from(bytes).toString();
        },
        stderr() {},
      },
    );
    while (!pid.endsWith('\n')) await setTimeout(5);
    program.abandon();
    await assert.rejects(program.exited, /given up/);
    const state = () => {
      try {
        return readFileSync(`/proc/${pid.trim()}/stat`, 'latin1').split(' ')[2];
      } catch {
        return 'gone';
      }
    };
    while (state() !== 'gone' && state() !== 'Z') await setTimeout(20);
  });

  test('many at once, and one after the other, leave nothing open', async () => {
    const open = () => readdirSync(`/proc/${agent.process.pid}/fd`).length;
    await pingAgent(agent.dial);
    await setTimeout(50);
    await spare();
    const before = open();
    const all = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        shell(`read line; echo $line ${i}`, { input: true }, async (program) => {
          await program.write(Buffer.from(`n${i}\n`));
        }),
      ),
    );
    for (const [i, { stdout }] of all.entries()) assert.equal(stdout, `n${i} ${i}\n`);
    for (let i = 0; i < 20; i++) await run({ command: ['true'] });
    while (open() !== before) await setTimeout(10);
  });

  test('the next program’s process is made ahead; one that was killed meanwhile is missed by nobody', async () => {
    const ahead = await spare();
    const { stdout } = await shell('echo $$; pwd; echo $HOME', { directory: '/usr', environment: { HOME: '/x' } });
    assert.equal(stdout, `${ahead}\n/usr\n/x\n`);
    const killed = await spare();
    process.kill(killed, 'SIGKILL');
    while (existsSync(`/proc/${killed}`)) await setTimeout(5);
    assert.equal((await shell('exit 3')).status, 3);
  });

  test('a process made ahead holds no stream of a session, and ends with the agent', async () => {
    const other = await startAgent();
    const started = Promise.withResolvers<void>();
    const long = runToEnd(
      other.dial,
      { user, command: ['sh', '-c', 'echo here; exec cat'], input: true },
      async (program) => {
        await program.started;
        started.resolve();
        // Longer than the agent rests before it makes another.
        await setTimeout(500);
        program.closeInput();
      },
    );
    await started.promise;
    assert.deepEqual(await long, { stdout: 'here\n', stderr: '', status: 0 });
    const path = `/proc/${other.process.pid}/task/${other.process.pid}/children`;
    let child: string;
    do {
      await setTimeout(5);
      child = readFileSync(path, 'utf8').trim();
    } while (!/^\d+$/.test(child));
    await other.stop();
    while (existsSync(`/proc/${child}`) && !/\) Z /.test(readFileSync(`/proc/${child}/stat`, 'utf8')))
      await setTimeout(5);
  });

  test('files are told of, and links with where they lead', async () => {
    const path = join(agent.directory, 'file');
    writeFileSync(path, 'hello');
    chmodSync(path, 0o640);
    symlinkSync('file', join(agent.directory, 'link'));
    symlinkSync('none', join(agent.directory, 'broken'));
    mkdirSync(join(agent.directory, 'dir'));
    const file = await fileStatus(agent.dial, path);
    assert.deepEqual([file?.mode, file?.size, file?.target], [0o100640, 5, '']);
    const link = await fileStatus(agent.dial, join(agent.directory, 'link'));
    assert.deepEqual([link!.mode & 0o170000, link!.targetMode, link!.target], [0o120000, 0o100640, 'file']);
    const broken = await fileStatus(agent.dial, join(agent.directory, 'broken'));
    assert.deepEqual([broken!.targetMode & 0o170000, broken!.target], [0o120000, 'none']);
    assert.equal((await fileStatus(agent.dial, join(agent.directory, 'dir')))!.mode & 0o170000, 0o040000);
    assert.equal(await fileStatus(agent.dial, '/no/such'), undefined);
  });
});
