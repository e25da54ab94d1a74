import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { allocate } from '../base/struct.ts';
import { VCPU } from '../isa/state.ts';
import { restoreVcpu, saveVcpu } from './vcpu-section.ts';

test('architectural state goes over, the engine keeps its own', () => {
  const [from, to] = [allocate(VCPU), allocate(VCPU)];
  from.gpr[3] = 0x1234n;
  from.instructions = 99n;
  from.tlbBase = 0x5000;
  to.tlbBase = 0x7000;
  from.arrival = 0x1000n;
  to.arrival = 1n << 63n;
  restoreVcpu(to, saveVcpu(from));
  assert.deepEqual([to.gpr[3], to.instructions, to.tlbBase, to.arrival], [0x1234n, 99n, 0x7000, 1n << 63n]);
});

test('the section may lie anywhere in a Buffer', () => {
  const [from, to] = [allocate(VCPU), allocate(VCPU)];
  from.rip = 0xfff0n;
  const section = saveVcpu(from);
  restoreVcpu(to, Buffer.concat([Buffer.alloc(40, 0xff), section]).subarray(40));
  assert.equal(to.rip, 0xfff0n);
});

test('a section of another size is refused', () => {
  assert.throws(
    () => restoreVcpu(allocate(VCPU), new Uint8Array(VCPU.size - 1)),
    (error) => error instanceof VirtsError && error.kind === 'bad-input',
  );
});
