/** Requests of one device, taken in one thread and answered in another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { restoreState, saveState } from '../conformance.test-helper.ts';
import type { Echo } from './echo.test-helper.ts';
import { type Guest, guestWith, startDriver, VERSION_1 } from './guest-driver.test-helper.ts';
import { echoesOfThreads, takingTurns } from './threads.test-helper.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

/** The driver's accesses go to thread 0. */
function start() {
  let echoes: readonly [Echo, Echo] | undefined;
  const guest: Guest = guestWith((options) => {
    echoes = echoesOfThreads(options);
    return takingTurns(
      echoes.map(({ device }) => device),
      () => 0,
    );
  });
  const driver = startDriver(guest, { features: VERSION_1, msix: true });
  const [queue] = driver.queues;
  const offer = (...texts: readonly string[]) => {
    for (const text of texts) queue!.add([bytes(text), 8]);
    queue!.notify();
  };
  const answers = () => queue!.collect().map((answer) => new TextDecoder().decode(answer.bytes));
  return { guest, driver, here: echoes![0], there: echoes![1], offer, answers };
}

test('another thread finds a request by its name and answers it', () => {
  const { guest, here, there, offer, answers } = start();
  offer('one', 'two', 'three');
  assert.equal(here.waiting.length, 3);
  assert.equal(there.answerByName(), true);
  assert.equal(here.answerByName(), true);
  assert.equal(there.answerByName(), true);
  assert.deepEqual(answers(), ['one', 'two', 'three']);
  assert.deepEqual(guest.messages, [0x41, 0x41, 0x41]);
});

test('a request is answered once, whoever tries', () => {
  const { here, there, offer, answers } = start();
  offer('one');
  const [again] = here.waiting;
  here.waiting.push(again!);
  assert.equal(there.answerByName(), true);
  assert.equal(here.answerByName(), false);
  here.port.queues[0]!.complete(again!.request, 3);
  assert.equal(again!.request.read(0, 3), undefined);
  assert.deepEqual(answers(), ['one']);
});

test('a name from before a reset or a restore is stale, also if the same descriptor is in use again', () => {
  const { guest, here, there, offer, answers } = start();
  offer('old');
  const [old] = here.waiting.splice(0);
  restoreState(there.device, saveState(there.device));
  const [resumed] = there.waiting;
  assert.equal(resumed?.request.head, old!.request.head);
  here.waiting.unshift(old!);
  assert.equal(here.answerByName(), false);
  assert.equal(here.answerByName(), true);
  assert.deepEqual(answers(), ['old']);

  offer('lost');
  const [lost] = here.waiting.splice(0);
  guest.memory.bytes.fill(0, 0x1_0000);
  const next = startDriver(guest, { features: VERSION_1, msix: true });
  next.queues[0]!.add([bytes('new'), 8]);
  next.queues[0]!.notify();
  assert.equal(here.waiting[0]?.request.head, 0);
  here.waiting.unshift(lost!, { queue: 0, request: { ...lost!.request, head: 0 } });
  assert.equal(there.answerByName(), false);
  assert.equal(there.answerByName(), false);
  assert.equal(there.answerByName(), true);
  assert.deepEqual(
    next.queues[0]!.collect().map((answer) => new TextDecoder().decode(answer.bytes)),
    ['new'],
  );
});

test('names that no thread was given find nothing', () => {
  const { there, offer } = start();
  offer('one');
  const queue = there.port.queues[0]!;
  const { head, id } = there.waiting[0]!.request;
  for (const [at, name] of [
    [head, 0],
    [head, id + 1],
    [head + 1, id],
    [1000, id],
    [-1, id],
  ]) {
    assert.equal(queue.inFlight(at!, name), undefined);
  }
  assert.equal(queue.inFlight(head + 1), undefined);
  assert.equal(queue.inFlight(head)?.id, id, 'the id is what was given out last');
  assert.ok(queue.inFlight(head, id));
});
