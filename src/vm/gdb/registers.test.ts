import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../../base/struct.ts';
import { readFlags } from '../../cpu/flags.ts';
import { EFER, EFLAGS, GPR, SEGMENT, VCPU, type VcpuState } from '../../isa/state.ts';
import { fromHex } from './hex.ts';
import { type GdbArchitecture, readRegister, registerFeatures, writeRegister, writeRegisters } from './registers.ts';

const list = (architecture: GdbArchitecture) => registerFeatures(architecture).flatMap(({ registers }) => registers);
const REGISTERS = list('i386:x86-64');
const find = (name: string) => REGISTERS.find((register) => register.name === name)!;
const read = (state: VcpuState, name: string) => readRegister(find(name), state);
const write = (state: VcpuState, name: string, hex: string) => writeRegister(find(name), state, fromHex(hex)!);

function longMode(): VcpuState {
  const state = allocate(VCPU);
  state.efer = BigInt(EFER.lme | EFER.lma);
  state.segmentAttributes[SEGMENT.cs] = 0xa09b;
  return state;
}

test('Numbers follow the order that GDB expects of its features', () => {
  const names = (architecture: GdbArchitecture) => list(architecture).map(({ name }) => name);
  assert.equal(names('i386:x86-64').indexOf('rip'), 16);
  assert.equal(names('i386:x86-64').indexOf('st0'), 24);
  assert.equal(names('i386:x86-64').indexOf('xmm0'), 40);
  assert.equal(names('i386:x86-64').indexOf('mxcsr'), 56);
  assert.equal(names('i386').indexOf('eip'), 8);
  assert.equal(names('i386').indexOf('mxcsr'), 40);
});

test('General registers go by name, not by encoding', () => {
  const state = longMode();
  state.gpr[GPR.rbx] = 0x1122_3344_5566_7788n;
  state.gpr[9] = 9n;
  assert.equal(read(state, 'rbx'), '8877665544332211');
  assert.equal(read(state, 'r9'), '0900000000000000');
  assert.equal(write(state, 'rsp', 'efbeadde00000000'), true);
  assert.equal(state.gpr[GPR.rsp], 0xdead_beefn);
  assert.equal(write(state, 'rsp', 'efbe'), false);
});

test('Flags are gathered from their parts and taken apart again; VM stays', () => {
  const state = longMode();
  assert.equal(write(state, 'eflags', 'd70a0200'), true);
  assert.equal(readFlags(state), 0xad7);
  assert.equal(state.eflags & EFLAGS.vm, 0);
  assert.equal(read(state, 'eflags'), 'd70a0000');
});

test('A new instruction pointer wakes a halted vCPU and must be an address', () => {
  const state = longMode();
  state.activity = 1;
  state.interruptShadow = 1;
  assert.equal(write(state, 'rip', '0000000000008000'), false);
  assert.equal(state.activity, 1);
  assert.equal(write(state, 'rip', '00000080ffffffff'), true);
  assert.equal(state.rip, 0xffff_ffff_8000_0000n);
  assert.deepEqual([state.activity, state.interruptShadow], [0, 0]);
});

test('Selectors and control registers take only the value that they have', () => {
  const state = longMode();
  state.segmentSelector[SEGMENT.cs] = 0x10;
  assert.equal(write(state, 'cs', '10000000'), true);
  assert.equal(write(state, 'cs', '08000000'), false);
  assert.equal(write(state, 'cr3', '0010000000000000'), false);
  assert.equal(state.segmentSelector[SEGMENT.cs], 0x10);
});

test('Segment bases are set as WRMSR would: canonical ones', () => {
  const state = longMode();
  assert.equal(write(state, 'gs_base', '0000000000000080'), false);
  assert.equal(write(state, 'gs_base', '000000000080ffff'), true);
  assert.equal(state.segmentBase[SEGMENT.gs], 0xffff_8000_0000_0000n);
  assert.equal(write(state, 'k_gs_base', '3412000000000000'), true);
  assert.equal(state.kernelGsBase, 0x1234n);
});

test('The x87 stack is numbered from its top, tags follow from contents', () => {
  const state = longMode();
  state.fpTop = 6;
  // 1.0 in ST(0), physical register 6; zero in ST(1); an infinity in physical register 0.
  state.fpr[12] = 0x8000_0000_0000_0000n;
  state.fpr[13] = 0x3fffn;
  state.fpr[0] = 0x8000_0000_0000_0000n;
  state.fpr[1] = 0x7fffn;
  state.ftw = 0b1100_0001;
  assert.equal(read(state, 'st0'), '0000000000000080ff3f');
  assert.equal(read(state, 'fstat'), '00300000');
  assert.equal(read(state, 'ftag'), 'fe4f0000');
  assert.equal(write(state, 'st2', '0000000000000080ffbf'), true);
  assert.deepEqual([state.fpr[0], state.fpr[1]], [0x8000_0000_0000_0000n, 0xbfffn]);
  assert.equal(write(state, 'ftag', 'ffff0000'), true);
  assert.equal(state.ftw, 0);
});

test('XMM registers are 128 bits; MXCSR refuses reserved bits', () => {
  const state = longMode();
  assert.equal(write(state, 'xmm15', '000102030405060708090a0b0c0d0e0f'), true);
  assert.equal(state.xmm[60], 0x0706_0504_0302_0100n);
  assert.equal(state.xmm[61], 0x0f0e_0d0c_0b0a_0908n);
  assert.equal(write(state, 'mxcsr', '80ff0100'), false);
  assert.equal(write(state, 'mxcsr', '801f0000'), true);
});

for (const architecture of ['i386:x86-64', 'i386'] as const) {
  test(`All registers of ${architecture} can be read and written back at once`, () => {
    const from = longMode();
    for (let index = 0; index < 8; index++) {
      from.gpr[index] = BigInt(index + 1);
      from.fpr[2 * index] = BigInt(index + 0x100);
      from.fpr[2 * index + 1] = 0x3fffn;
      from.xmm[4 * index + 1] = BigInt(index + 0x200);
    }
    from.fpTop = 3;
    from.ftw = 0xff;
    from.fcw = 0x37f;
    from.mxcsr = 0x1f80;
    const registers = list(architecture);
    const all = registers.map((register) => readRegister(register, from)).join('');
    const to = longMode();
    assert.equal(writeRegisters(registers, to, fromHex(all)!), true);
    assert.equal(registers.map((register) => readRegister(register, to)).join(''), all);
    assert.deepEqual(to.fpr, from.fpr);
    assert.equal(writeRegisters(registers, to, fromHex(all)!.subarray(1)), false);
  });
}
