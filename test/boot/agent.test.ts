/** Programs, terminals and copies in a guest through its agent: the whole way, from the command line's client to the guest's perl. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { cp } from '../../src/cli/cp.ts';
import type { ExecEnvironment } from '../../src/cli/exec.ts';
import { createNetLink, type NetLink } from '../../src/network/link.ts';
import { createHostTimers } from '../../src/network/node/host.ts';
import { serveNetLink } from '../../src/network/node/serve.ts';
import { listenUnix, type UnixListener } from '../../src/network/node/unix.ts';
import { createVsock, type Vsock } from '../../src/network/vsock/connections.ts';
import { serveDoorway } from '../../src/network/vsock/doorway.ts';
import { openVsockPort } from '../../src/network/vsock/link.ts';
import { runToEnd } from '../../src/vm/agent/agent.test-helper.ts';
import { type ExecuteRequest, execute } from '../../src/vm/agent/execute.ts';
import { AGENT_PORT } from '../../src/vm/agent/protocol.ts';
import { pingAgent } from '../../src/vm/agent/requests.ts';
import type { DialAgent } from '../../src/vm/agent/session.ts';
import { agentInitramfs } from './agent-guest.ts';
import { guestFiles } from './guest.ts';
import { PROMPT } from './guest-session.ts';
import { type LiveSession, liveSession } from './live-session.ts';

interface Served {
  readonly session: LiveSession;
  readonly vsock: Vsock;
  readonly dial: DialAgent;
  close(): void;
}

/** A machine with a socket device whose connections are served here. */
function serve(): Served {
  const link: NetLink = createNetLink();
  let made: Vsock | undefined;
  const service = serveNetLink(
    link,
    () => {},
    (wire) => {
      made = createVsock({ wire, timers: createHostTimers() });
      return made;
    },
  );
  const vsock = made!;
  return {
    session: liveSession({ vsock: { port: openVsockPort(link), cid: 3 } }),
    vsock,
    dial: (events) => vsock.connect(AGENT_PORT, events),
    close() {
      service.close();
      vsock.close();
    },
  };
}

describe('the agent in a guest', { concurrency: false }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'virts-agent-'));
  const socket = join(directory, 'vsock.sock');
  let served: Served;
  let listener: UnixListener;

  const run = (request: ExecuteRequest, meanwhile?: Parameters<typeof runToEnd>[2]) =>
    served.session.runFor(request.command.join(' '), runToEnd(served.dial, request, meanwhile));

  before(async () => {
    served = serve();
    const { session, vsock } = served;
    listener = await listenUnix(socket, (client) => serveDoorway(vsock, client));
    let greetings = 0;
    vsock.listen(AGENT_PORT, () => ({
      ...{ connected() {}, ended() {}, flushed() {}, closed() {} },
      received() {
        greetings++;
      },
    }));
    const [files, agent] = await Promise.all([guestFiles('amd64'), agentInitramfs()]);
    session.machine.boot({ ...files, initrd: Buffer.concat([files.initrd!, agent]) });
    await session.waitFor(PROMPT);
    await assert.rejects(session.runFor('a refusal', pingAgent(served.dial)), {
      kind: 'network',
      message: /has no agent/,
    });
    await session.command('/usr/libexec/virts-agent &');
    await session.run('the notice that it is there', () => greetings === 1);
  });

  after(() => {
    listener.close();
    served.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test('programs run, and bytes pass both ways as they are', async () => {
    assert.deepEqual(await run({ command: ['sh', '-c', 'echo out; echo err >&2; exit 5'] }), {
      stdout: 'out\n',
      stderr: 'err\n',
      status: 5,
    });
    const sent = randomBytes(1_000_000);
    const { stdout } = await run({ command: ['cat'], input: true }, (program) => {
      program.write(sent).then(program.closeInput);
    });
    assert.equal(Buffer.compare(Buffer.from(stdout, 'latin1'), sent), 0);
  });

  test('a terminal has its size and takes keys', async () => {
    let said = '';
    const program = execute(
      served.dial,
      {
        command: ['sh', '-c', 'stty size; read line; stty size; echo "<$line>"'],
        terminal: { rows: 33, columns: 99 },
        input: true,
      },
      {
        stdout(bytes) {
          said += Buffer.from(bytes).toString();
        },
        stderr() {},
      },
    );
    await served.session.run('the size', () => said.includes('33 99'));
    program.resize({ rows: 20, columns: 40 });
    void program.write(Buffer.from('abc\r'));
    assert.deepEqual(await served.session.runFor('the end', program.exited), { status: 0, signal: 0 });
    assert.match(said, /33 99\r\nabc\r\n20 40\r\n<abc>\r\n$/);
  });

  test('many at once leave nothing open', async () => {
    const all = Array.from({ length: 20 }, (_, i) => runToEnd(served.dial, { command: ['echo', `${i}`] }));
    const outcomes = await served.session.runFor('twenty programs', Promise.all(all));
    assert.deepEqual(
      outcomes.map(({ stdout }) => stdout),
      all.map((_, i) => `${i}\n`),
    );
    await served.session.run('the end of all connections', () => served.vsock.size === 0);
  });

  test('when the host gives a program up, the guest ends it', async () => {
    let pid = '';
    const program = execute(
      served.dial,
      { command: ['sh', '-c', 'echo $$; exec sleep 1000'] },
      {
        stdout(bytes) {
          pid += Buffer.from(bytes).toString();
        },
        stderr() {},
      },
    );
    await served.session.run('its number', () => pid.endsWith('\n'));
    program.abandon();
    await run({ command: ['sh', '-c', `while kill -0 ${pid.trim()} 2>/dev/null; do sleep 0.1; done`] });
  });

  const copy = (...words: string[]) => {
    const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
    const environment: ExecEnvironment = { ...streams, env: {}, signals: process };
    return served.session.runFor(`cp ${words.join(' ')}`, cp(words, environment));
  };

  test('a directory comes back as it went', async () => {
    const from = join(directory, 'tree');
    const content = randomBytes(300_000);
    mkdirSync(join(from, 'a', 'empty'), { recursive: true });
    writeFileSync(join(from, 'a', 'big'), content);
    writeFileSync(join(from, 'script'), '#!/bin/sh\n');
    chmodSync(join(from, 'script'), 0o751);
    symlinkSync('a/big', join(from, 'link'));
    symlinkSync('/etc/passwd', join(from, 'outside'));
    utimesSync(join(from, 'script'), 1_000_000_000, 1_000_000_000);
    await copy(from, `${socket}:/tmp`);
    assert.equal((await run({ command: ['stat', '-c', '%a %u %Y', '/tmp/tree/script'] })).stdout, '751 0 1000000000\n');
    await copy(`${socket}:/tmp/tree`, join(directory, 'back'));
    const back = join(directory, 'back');
    assert.deepEqual(
      readdirSync(back, { recursive: true }).toSorted(),
      readdirSync(from, { recursive: true }).toSorted(),
    );
    assert.equal(Buffer.compare(readFileSync(join(back, 'a', 'big')), content), 0);
    assert.deepEqual([readlinkSync(join(back, 'link')), readlinkSync(join(back, 'outside'))], ['a/big', '/etc/passwd']);
    const script = lstatSync(join(back, 'script'));
    assert.deepEqual([script.mode & 0o777, script.mtimeMs], [0o751, 1_000_000_000_000]);
  });

  test('files end up where Docker would put them', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, 'text');
    await copy(file, `${socket}:/tmp/new`);
    await copy(file, `${socket}:/tmp/`);
    await copy(`${directory}/tree/.`, `${socket}:/tmp/tree/a/empty`);
    const { stdout } = await run({ command: ['sh', '-c', 'cat /tmp/new /tmp/file; ls /tmp/tree/a/empty'] });
    assert.equal(stdout, 'texttexta\nlink\noutside\nscript\n');
    await copy(`${socket}:/tmp/new`, join(directory, 'here'));
    await copy(`${socket}:/tmp/tree/a/.`, `${directory}/back`);
    assert.equal(readFileSync(join(directory, 'here'), 'utf8'), 'text');
    assert.equal(readFileSync(join(directory, 'back', 'big')).length, 300_000);
    await assert.rejects(copy(`${socket}:/none`, directory), { kind: 'not-found', message: /no file \/none/ });
    await assert.rejects(copy(file, `${socket}:/none/x`), { kind: 'not-found', message: /no directory \/none/ });
    await assert.rejects(copy(file, `${socket}:/none/`), { kind: 'not-found', message: /no directory \/none/ });
    await assert.rejects(copy(`${directory}/tree`, `${socket}:/tmp/new`), { kind: 'io', message: /place of the file/ });
  });

  test('a restored machine goes on without its connections', async () => {
    const before = execute(served.dial, { command: ['sleep', '1000'] }, { stdout() {}, stderr() {} });
    await served.session.runFor('the start', before.started);
    const snapshot = served.session.machine.save();
    const other = serve();
    other.session.machine.restore(snapshot);
    // The driver ends all connections that are there when it gets to it, be they new.
    const answered = async (): Promise<void> => pingAgent(other.dial).catch(answered);
    await other.session.runFor('an answer', answered());
    const request = { command: ['sh', '-c', 'while pgrep sleep; do :; done >/dev/null; echo gone'] };
    const { stdout } = await other.session.runFor('a program', runToEnd(other.dial, request));
    assert.equal(stdout, 'gone\n');
    other.close();
    before.abandon();
  });
});
