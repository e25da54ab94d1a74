import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGISTER } from './registers.ts';
import { apicRig, enable, read, write } from './rig.test-helper.ts';

function rig(count = 4) {
  const made = apicRig(count);
  made.apics.forEach((apic, id) => {
    enable(apic);
    write(apic, REGISTER.ldr, (1 << (24 + id)) >>> 0);
  });
  const send = (low: number, destination = 0) => {
    write(made.apic, REGISTER.icrHigh, (destination << 24) >>> 0);
    write(made.apic, REGISTER.icrLow, low);
  };
  const pending = () => made.apics.map((apic) => apic.pending());
  return { ...made, send, pending };
}

test('a fixed IPI to one id; delivery status reads idle', () => {
  const { apic, send, pending } = rig();
  send(0x1041, 2);
  assert.deepEqual(pending(), [-1, -1, 0x41, -1]);
  assert.equal(read(apic, REGISTER.icrLow), 0x41);
  assert.equal(read(apic, REGISTER.icrHigh), 0x0200_0000);
});

test('flat logical destinations', () => {
  const { send, pending } = rig();
  send(0x841, 0b1010);
  assert.deepEqual(pending(), [-1, 0x41, -1, 0x41]);
});

test('cluster logical destinations', () => {
  const { apics, send, pending } = rig();
  for (const [id, logical] of [0x11, 0x12, 0x21, 0x22].entries()) {
    write(apics[id], REGISTER.dfr, 0x0fff_ffff);
    write(apics[id], REGISTER.ldr, (logical << 24) >>> 0);
  }
  send(0x841, 0x23);
  assert.deepEqual(pending(), [-1, -1, 0x41, 0x41]);
  send(0x842, 0xff);
  assert.deepEqual(pending(), [0x42, 0x42, 0x42, 0x42]);
});

test('shorthands', () => {
  const { send, pending } = rig(3);
  send(0x4_0041);
  assert.deepEqual(pending(), [0x41, -1, -1]);
  send(0xc_0042);
  assert.deepEqual(pending(), [0x41, 0x42, 0x42]);
  send(0x8_0043);
  assert.deepEqual(pending(), [0x43, 0x43, 0x43]);
});

test('lowest priority goes to the processor with the lowest', () => {
  const { apics, send, pending } = rig(3);
  apics[0].setCr8(2);
  apics[1].setCr8(1);
  apics[2].setCr8(3);
  send(0x941, 0xff);
  assert.deepEqual(pending(), [-1, 0x41, -1]);
});

test('NMI, INIT and SIPI start a processor up; INIT resets its APIC', () => {
  const { apics, send, signals } = rig(2);
  apics[1].setCr8(3);
  send(0x400, 1);
  send(0xc500, 1);
  send(0x8500, 1);
  send(0x69a, 1);
  assert.deepEqual(signals, ['nmi 1', 'init 1', 'startup 1 154']);
  assert.equal(apics[1].cr8(), 0);
  assert.equal(read(apics[1], REGISTER.svr), 0xff);
});

test('INIT to oneself by shorthand, ExtINT and the reserved mode send nothing', () => {
  const { send, signals, pending } = rig(2);
  send(0x4_4500);
  send(0x8_4500);
  send(0x741, 1);
  send(0x341, 1);
  assert.deepEqual(signals, []);
  assert.deepEqual(pending(), [-1, -1]);
});

test('an illegal vector is an error and is not sent', () => {
  const { apic, send, pending } = rig(2);
  send(0x00f, 1);
  assert.deepEqual(pending(), [-1, -1]);
  write(apic, REGISTER.esr, 0);
  assert.equal(read(apic, REGISTER.esr), 0x20);
});
