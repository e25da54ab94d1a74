import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate, struct } from '../../base/struct.ts';
import { createMsix, msixFields } from './msix.ts';

function make() {
  const sent: [number, number][] = [];
  const at = { control: 0x8000, master: true };
  const state = allocate(struct('msix', 1, msixFields(3)));
  const msix = createMsix({
    table: state.msixTable,
    pending: state.msixPending,
    bar: 1,
    control: () => at.control,
    busMaster: () => at.master,
    send: (address, data) => sent.push([address, data]),
  });
  msix.reset();
  const program = (vector: number) => {
    msix.region.write(16 * vector, 4, 0xfee0_1003);
    msix.region.write(16 * vector + 8, 4, 0x40 + vector);
    msix.region.write(16 * vector + 12, 4, 0);
  };
  return { msix, at, sent, program, read: msix.region.read };
}

test('a programmed vector sends its message', () => {
  const { msix, sent, program } = make();
  program(2);
  msix.trigger(2);
  msix.trigger(3);
  msix.trigger(0xffff);
  assert.deepEqual(sent, [[0xfee0_1000, 0x42]]);
});

test('a masked vector stays pending until it is unmasked', () => {
  const { msix, sent, program, read } = make();
  program(1);
  msix.region.write(28, 4, 0xffff_ffff);
  assert.equal(read(28, 4), 1, 'only the mask bit exists');
  msix.trigger(1);
  assert.deepEqual([sent.length, read(2048, 4)], [0, 2]);
  msix.region.write(28, 1, 0);
  assert.deepEqual([sent.length, read(2048, 4)], [1, 0]);
});

test('the function mask and a function that may not master hold messages back', () => {
  const { msix, at, sent, program } = make();
  program(0);
  at.control = 0xc000;
  msix.trigger(0);
  at.control = 0x8000;
  at.master = false;
  msix.update();
  assert.equal(sent.length, 0);
  at.master = true;
  msix.update();
  assert.equal(sent.length, 1);
});

test('a disabled capability sends and remembers nothing', () => {
  const { msix, at, sent, program, read } = make();
  program(0);
  at.control = 0;
  msix.trigger(0);
  at.control = 0x8000;
  msix.update();
  assert.deepEqual([sent.length, read(2048, 4)], [0, 0]);
});

test('the pending bits cannot be written and reserved space reads as zero', () => {
  const { msix, read } = make();
  for (let at = 48; at < 4096; at += 4) msix.region.write(at, 4, 0xffff_ffff);
  for (let at = 48; at < 4096; at += 4) assert.equal(read(at, 4), 0);
  assert.equal(read(46, 4), 0);
});
