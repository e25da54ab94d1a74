/** Entries of page tables that another processor changes while a walk goes through them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, PAGE } from './rig.test-helper.ts';

const TARGET = 0x50_0000n;
const START = 0x1000;
const DIRTY = 0x40n;
const [BEFORE, AFTER] = [0x3000, 0x4000];

/**
 * A machine that accesses `TARGET`, whose entry leads to `BEFORE` and becomes `entry` as soon as the walk has read it: its table
 * is in a page with code, so that the engine is asked before the walk sets a bit there.
 */
function race(bits: 32 | 64, access: 'read' | 'write', entry: bigint) {
  const rig = createRig();
  rig.paging(bits);
  rig.mapPage(TARGET, BigInt(BEFORE) | PAGE.all);
  rig.write(BEFORE, [1, 1, 1, 1]);
  rig.write(AFTER, [2, 2, 2, 2]);
  const entryAt = rig.entryAddress(TARGET);
  const code = (entryAt & ~4095) + 0xff0;
  rig.write(code, [0xeb, 0xfe]); // jmp $
  rig.run(code, 4);
  let changes = 0;
  const { codeWritten } = rig.vcpu;
  rig.vcpu.codeWritten = (...args) => {
    codeWritten(...args);
    if (changes++ === 0) rig.mapPage(TARGET, entry);
  };
  rig.write(START, [access === 'read' ? 0x8b : 0x89, 0x0b, 0xeb, 0xfe]); // mov ecx, [ebx] or mov [ebx], ecx; jmp $
  rig.state.gpr[1] = 7n;
  rig.state.gpr[3] = TARGET;
  rig.run(START, 3);
  assert.ok(changes > 0);
  const left = rig.read(entryAt, 4).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
  return { left, ecx: rig.state.gpr[1], exceptions: rig.exceptions, read: rig.read };
}

for (const bits of [32, 64] as const) {
  test(`an entry that changed is read again before its bits are set (${bits} bits)`, () => {
    const entry = BigInt(AFTER) | PAGE.all;
    const reading = race(bits, 'read', entry);
    assert.deepEqual([reading.ecx, reading.left, reading.exceptions], [0x0202_0202n, entry | PAGE.accessed, []]);

    const writing = race(bits, 'write', entry);
    assert.deepEqual([writing.left, writing.exceptions], [entry | PAGE.accessed | DIRTY, []]);
    assert.deepEqual([...writing.read(BEFORE, 1), ...writing.read(AFTER, 1)], [1, 7]);
  });

  test(`rights that went meanwhile are no rights (${bits} bits)`, () => {
    const readOnly = BigInt(BEFORE) | PAGE.present | PAGE.user;
    const writing = race(bits, 'write', readOnly);
    assert.deepEqual([writing.left, writing.exceptions], [readOnly, [`14:3 at ${START.toString(16)}`]]);
    const reading = race(bits, 'read', 0n);
    assert.deepEqual([reading.left, reading.exceptions], [0n, [`14:0 at ${START.toString(16)}`]]);
  });
}
