import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeTimers } from '../../base/fake-timers.ts';
import type { ConnectionEvents, HostError } from '../../network/host.ts';
import { type Patience, patientDial } from './patience.ts';

/** A guest whose answers to attempts the test gives, and a clock that it moves. */
function setting(changes: Partial<Patience> = {}) {
  const timers = fakeTimers();
  const attempts: { events: ConnectionEvents; sent: string[]; aborted: boolean }[] = [];
  const told: number[] = [];
  const heard: string[] = [];
  const dial = patientDial(
    (events) => {
      const attempt = { events, sent: [] as string[], aborted: false };
      attempts.push(attempt);
      return {
        send: (bytes) => void attempt.sent.push(String.fromCharCode(...bytes)),
        finish() {},
        abort() {
          attempt.aborted = true;
        },
        pause() {},
        resume() {},
      };
    },
    {
      now: () => timers.now() / 1e6,
      after(ms, work) {
        const timer = timers.timer(work);
        timer.arm(timers.now() + ms * 1e6);
        return timer.cancel;
      },
      until: 10_000,
      mayCome: (error) => error !== 'unreachable',
      waiting: (left) => told.push(left),
      ...changes,
    },
  );
  const connection = dial({
    connected: () => heard.push('connected'),
    received: (bytes) => heard.push(String.fromCharCode(...bytes)),
    ended: () => heard.push('ended'),
    flushed() {},
    closed: (error) => heard.push(`closed ${error}`),
  });
  const send = (text: string) => connection.send(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  const pass = (ms: number) => timers.advance(ms * 1e6);
  return { attempts, told, heard, connection, send, pass };
}

test('what was sent reaches the one who takes the connection at last, and nothing is sent twice', () => {
  const { attempts, heard, send, pass } = setting();
  send('a');
  attempts[0]!.events.closed('refused');
  send('b');
  pass(200);
  attempts[1]!.events.closed('timeout');
  pass(200);
  send('c');
  attempts[2]!.events.connected();
  send('d');
  assert.deepEqual(attempts[2]!.sent, ['a', 'b', 'c', 'd']);
  attempts[2]!.events.received(Uint8Array.of(0x78));
  attempts[2]!.events.closed('reset');
  pass(1000);
  assert.equal(attempts.length, 3);
  assert.deepEqual(heard, ['connected', 'x', 'closed reset']);
});

test('the wait is told once, and has an end', () => {
  const { attempts, told, heard, pass } = setting();
  let last = 0;
  for (let ms = 0; ms <= 11_000; ms += 200) {
    for (; last < attempts.length; last++) attempts[last]!.events.closed('refused');
    pass(200);
  }
  assert.deepEqual(told, [9000]);
  assert.deepEqual(heard, ['closed refused']);
});

test('what cannot get better is told at once', () => {
  const failures: (HostError | undefined)[] = ['unreachable'];
  for (const error of failures) {
    const { attempts, heard, pass } = setting();
    attempts[0]!.events.closed(error);
    pass(1000);
    assert.equal(attempts.length, 1);
    assert.deepEqual(heard, [`closed ${error}`]);
  }
});

test('giving up ends the attempts', () => {
  const { attempts, connection, pass } = setting();
  attempts[0]!.events.closed('refused');
  connection.abort();
  pass(1000);
  assert.equal(attempts.length, 1);
});
