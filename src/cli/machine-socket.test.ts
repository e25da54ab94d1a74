/** How a command finds a guest's agent, with sockets of the test in the place of machines. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { HostError } from '../network/host.ts';
import { agentOf } from './machine-socket.ts';

const home = mkdtempSync(join(tmpdir(), 'virts-machines-'));
after(() => rmSync(home, { recursive: true }));
const env = { XDG_STATE_HOME: home };
let number = 0;

/** A machine's directory with a status, and the path of its socket. */
function machine(status: object): { readonly name: string; readonly path: string } {
  const id = String(++number).padStart(12, '0');
  const directory = join(home, 'virts/machines', id);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'machine.json'), JSON.stringify({ configuration: { name: `m${id}` } }));
  writeFileSync(join(directory, 'status.json'), JSON.stringify(status));
  return { name: `m${id}`, path: join(directory, 'vsock.sock') };
}

/** A doorway that gives these answers in turn, the last one for good; it says what was said behind the question. */
function doorway(path: string, ...answers: string[]): Promise<{ server: Server; asked: () => number }> {
  let asked = 0;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      const answer = answers[Math.min(asked++, answers.length - 1)]!;
      const rest = bytes.toString().split('\n').slice(1).join('\n');
      socket.end(answer === 'OK 1000' ? `${answer}\n${rest}` : `${answer}\n`);
    });
  });
  return new Promise((resolve) => server.listen(path, () => resolve({ server, asked: () => asked })));
}

/** Says something to a machine's agent: what it answers, or why there is none. */
async function ask(name: string, told: string[] = []): Promise<string | HostError | undefined> {
  const answer = Promise.withResolvers<string | HostError | undefined>();
  const dial = agentOf(name, env, (sentence) => told.push(sentence));
  const connection = dial({
    connected() {},
    received: (bytes) => answer.resolve(Buffer.from(bytes).toString()),
    ended() {},
    flushed() {},
    closed: answer.resolve,
  });
  connection.send(Buffer.from('hello'));
  const said = await answer.promise;
  connection.abort();
  return said;
}

test('a guest that refuses while it starts is asked again', async () => {
  const { name, path } = machine({ state: 'running', pid: process.pid });
  const { server, asked } = await doorway(path, 'ERR refused', 'ERR timeout', 'ERR reset', 'OK 1000');
  assert.equal(await ask(name), 'hello');
  assert.equal(asked(), 4);
  server.close();
});

test('one that has long been there has a few seconds, which the user is told of', async () => {
  const { name, path } = machine({ state: 'running', pid: process.pid });
  const { server } = await doorway(path, 'ERR refused');
  const then = Date.now() / 1000 - 3600;
  utimesSync(path, then, then);
  const told: string[] = [];
  assert.equal(await ask(name, told), 'refused');
  assert.equal(told.length, 1);
  assert.match(told[0]!, /for up to [1-5] s; Ctrl-C/);
  server.close();
});

test('a machine whose process is gone cannot be reached, and is not waited for', async () => {
  const { name, path } = machine({ state: 'running', pid: process.pid });
  writeFileSync(path, '');
  assert.equal(await ask(name), 'unreachable');
});

test('the socket of a machine that is about to run is waited for', async () => {
  const { name, path } = machine({ state: 'starting', pid: process.pid });
  const asking = ask(name);
  const { server } = await doorway(path, 'OK 1000');
  assert.equal(await asking, 'hello');
  server.close();
});

test('machines that are paused, do not run, or died while starting are told of', () => {
  const paused = machine({ state: 'paused', pid: process.pid });
  writeFileSync(paused.path, '');
  const get = (name: string) => () => agentOf(name, env, () => {});
  assert.throws(get(paused.name), { kind: 'usage', message: /is paused; 'virts resume m/ });
  assert.throws(get(machine({ state: 'exited' }).name), { kind: 'not-found', message: /'virts start m/ });
  assert.throws(get(machine({ state: 'starting', pid: 2 ** 30 }).name), { kind: 'not-found' });
  assert.throws(get(join(home, 'none.sock')), { kind: 'not-found', message: /There is no socket/ });
});
