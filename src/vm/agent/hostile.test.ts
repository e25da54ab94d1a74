/** A guest whose agent is out to harm the host: it answers with noise, too much, too long, in the wrong order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import { randomNumbers } from '../../devices/conformance.test-helper.ts';
import type { ConnectionEvents } from '../../network/host.ts';
import { execute } from './execute.ts';
import {
  AGENT_VERSION,
  createFrameReader,
  encodeFrame,
  FRAME,
  joined,
  MOST_RECEIVED,
  number,
  OUTPUT_WINDOW,
} from './protocol.ts';
import { fileStatus, pingAgent } from './requests.ts';
import type { DialAgent } from './session.ts';

/** An agent in the hands of a test. */
function fakeAgent() {
  const agent = {
    events: undefined as unknown as ConnectionEvents,
    sent: [] as Uint8Array[],
    aborted: false,
    dial: ((events) => {
      agent.events = events;
      return {
        send: (bytes) => void agent.sent.push(bytes),
        finish() {},
        abort() {
          agent.aborted = true;
        },
        pause() {},
        resume() {},
      };
    }) as DialAgent,
    say: (...frames: Uint8Array[]) => agent.events.received(joined(frames)),
  };
  return agent;
}

const hello = encodeFrame(FRAME.hello, number(AGENT_VERSION, 4));
const started = encodeFrame(FRAME.started, number(7, 4));
const output = (stream: number, length: number) => encodeFrame(FRAME.data, number(stream, 1), new Uint8Array(length));
const silent = { stdout() {}, stderr() {} };
const request = { command: ['true'], input: true };
const brokeProtocol = { kind: 'bad-input', message: /broke the protocol/ };

test('frames come whole, whatever pieces they come in', () => {
  const frames = [encodeFrame(1, Uint8Array.of(1, 2, 3)), encodeFrame(2), encodeFrame(3, new Uint8Array(1000))];
  const bytes = joined(frames);
  for (const size of [1, 2, 5, 7, 400, 5000]) {
    const read = createFrameReader();
    const found = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...read(bytes.subarray(at, at + size)));
    assert.deepEqual(
      found.map(({ type, payload }) => [type, payload.length]),
      [
        [1, 3],
        [2, 0],
        [3, 1000],
      ],
    );
  }
});

test('each breach of the protocol ends the session with a sentence', async () => {
  const breaches: Readonly<Record<string, Uint8Array[]>> = {
    'no greeting': [started],
    'a greeting without a version': [encodeFrame(FRAME.hello)],
    'a frame that is too long': [hello, Uint8Array.of(FRAME.data), number(MOST_RECEIVED + 1, 4)],
    'a frame of 4 GiB': [hello, Uint8Array.of(FRAME.data), number(0xffff_ffff, 4)],
    'output before the start': [hello, output(1, 10)],
    'a start twice': [hello, started, started],
    'a stream that is none': [hello, started, output(0, 10)],
    'output without bytes': [hello, started, output(1, 0)],
    'more output than there is room for': [hello, started, ...Array.from({ length: 9 }, () => output(2, 32_768))],
    'endless credit': [hello, started, encodeFrame(FRAME.credit, number(0, 1), number(0xffff_ffff, 4))],
    'credit for another stream': [hello, started, encodeFrame(FRAME.credit, number(1, 1), number(1, 4))],
    'an exit without a status': [hello, started, encodeFrame(FRAME.exit)],
    'a frame that does not exist': [hello, started, encodeFrame(99)],
    'a reason without a number': [hello, encodeFrame(FRAME.failed)],
  };
  for (const [name, frames] of Object.entries(breaches)) {
    const agent = fakeAgent();
    const program = execute(agent.dial, request, { stdout() {}, stderr: () => new Promise(() => {}) });
    agent.say(...frames);
    await assert.rejects(program.exited, brokeProtocol, name);
    assert.ok(agent.aborted, name);
    agent.say(output(1, 10));
  }
});

test('what it says of an error cannot disturb a terminal, and is not endless', async () => {
  const agent = fakeAgent();
  const program = execute(agent.dial, request, silent);
  agent.say(hello, encodeFrame(FRAME.failed, number(2, 4), Buffer.from(`\x1b]0;x\x07${'y'.repeat(5000)}`)));
  await assert.rejects(program.started, (error: VirtsError) => {
    assert.match(error.message, /says: \?\]0;x\?y+\.$/);
    return error.kind === 'not-found' && error.message.length < 600;
  });
});

test('another version, a refusal and a connection that breaks off are told apart', async () => {
  const outcomes: [(events: ConnectionEvents) => void, RegExp][] = [
    [(events) => events.received(encodeFrame(FRAME.hello, number(9, 4))), /speaks version 9/],
    [(events) => events.closed('refused'), /has no agent/],
    [(events) => events.closed('timeout'), /does not answer/],
    [(events) => events.ended(), /broke off/],
  ];
  for (const [happen, message] of outcomes) {
    const agent = fakeAgent();
    const answer = pingAgent(agent.dial);
    happen(agent.events);
    await assert.rejects(answer, message);
  }
});

test('an answer that is too short is none', async () => {
  const agent = fakeAgent();
  const answer = fileStatus(agent.dial, '/x');
  agent.say(hello, encodeFrame(FRAME.answer, new Uint8Array(31)));
  await assert.rejects(answer, brokeProtocol);
});

test('output that nobody takes is bounded by the window', async () => {
  const agent = fakeAgent();
  let held = 0;
  const program = execute(agent.dial, request, {
    stdout(bytes) {
      held += bytes.length;
      return new Promise(() => {});
    },
    stderr() {},
  });
  agent.say(hello, started);
  for (let i = 0; i < 1000; i++) agent.say(output(1, 1000));
  await assert.rejects(program.exited, brokeProtocol);
  assert.ok(held <= OUTPUT_WINDOW);
});

test('noise never does more than end the session', async () => {
  const random = randomNumbers(5);
  for (let round = 0; round < 1000; round++) {
    const agent = fakeAgent();
    let given = 0;
    const count = (bytes: Uint8Array) => {
      given += bytes.length;
    };
    const program = execute(agent.dial, request, { stdout: count, stderr: count });
    const frames = random() % 4 === 0 ? [] : [hello, started];
    for (let i = random() % 12; i >= 0; i--) {
      const type = [3, 4, 5, 16, 17, 18, 19, random() % 256][random() % 8]!;
      const payload = Uint8Array.from({ length: random() % 12 }, () => (random() % 2 === 0 ? random() % 4 : random()));
      frames.push(random() % 8 === 0 ? payload : encodeFrame(type, payload));
    }
    const bytes = joined(frames);
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + (random() % 40);
      agent.events.received(bytes.subarray(at, at + size));
      at += size;
    }
    void program.write(new Uint8Array(random() % 100));
    agent.events[random() % 2 === 0 ? 'ended' : 'closed'](undefined as never);
    const outcome = await program.exited.catch((error: unknown) => error);
    assert.ok(outcome instanceof VirtsError ? outcome.kind !== 'internal' : !(outcome instanceof Error), `${outcome}`);
    assert.ok(given < bytes.length);
  }
});
