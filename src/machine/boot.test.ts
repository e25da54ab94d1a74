import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../base/struct.ts';
import { readFlags } from '../cpu/flags.ts';
import { is64Bit, keyCodeSize, keyCpl, keyFlat, modeKey } from '../cpu/mode.ts';
import { STANDARD_BOARD } from '../firmware/board-description.ts';
import { BOOT_CS, entryState } from '../firmware/entry.ts';
import { GPR, SEGMENT, VCPU, type VcpuState } from '../isa/state.ts';
import { flatMemory } from '../memory/guest-memory.ts';
import { applyEntryState, bootKernel, withKernelFiles } from './boot.ts';
import { ACTIVITY, initVcpu, resetVcpu, startVcpu } from './vcpu-reset.ts';

const BOOTSTRAP = { signature: 0x306c3, bootstrap: true };
const SECOND = { signature: 0x306c3, bootstrap: false };

/** A state block full of leftovers, but for what the engine keeps. */
function usedVcpu(): VcpuState {
  const state = allocate(VCPU);
  new Uint8Array(state.gpr.buffer).fill(0xa5);
  return state;
}

test('power-on: 16 bytes below 4 GiB in real mode, caches off, signature in EDX', () => {
  const state = usedVcpu();
  resetVcpu(state, BOOTSTRAP);
  assert.equal(state.segmentBase[SEGMENT.cs] + state.rip, 0xffff_fff0n);
  assert.equal(state.segmentSelector[SEGMENT.cs], 0xf000);
  assert.equal(state.cr0, 0x6000_0010n);
  assert.equal(readFlags(state), 2);
  assert.deepEqual(
    [...state.gpr],
    Array.from({ length: 16 }, (_, i) => (i === GPR.rdx ? 0x306c3n : 0n)),
  );
  const key = modeKey(state);
  assert.deepEqual([keyCodeSize(key), keyCpl(key)], [2, 0]);
  assert.deepEqual([state.dr[6], state.dr[7]], [0xffff_0ff0n, 0x400n]);
  assert.deepEqual([state.gdtrLimit, state.idtrLimit, state.activity], [0xffff, 0xffff, ACTIVITY.running]);
  assert.deepEqual([state.fcw, state.fsw, state.ftw, state.mxcsr, state.xcr0], [0x40, 0, 0xff, 0x1f80, 1n]);
  assert.equal(state.efer, 0n);
});

/** The memory type of an address below 4 GiB, as the MTRRs tell it (SDM vol. 3A 11.11.4.1). */
function memoryType(state: VcpuState, address: bigint): bigint {
  const fixed = (register: number, shift: bigint, base: bigint) =>
    (state.mtrrFixed[register + Number((address - base) >> (shift + 3n))] >>
      ((((address - base) >> shift) & 7n) * 8n)) &
    0xffn;
  if (address < 0x8_0000n) return fixed(0, 16n, 0n);
  if (address < 0xc_0000n) return fixed(1, 14n, 0x8_0000n);
  if (address < 0x10_0000n) return fixed(3, 12n, 0xc_0000n);
  for (let i = 0; i < 16; i += 2) {
    const [base, mask] = [state.mtrrVariable[i], state.mtrrVariable[i + 1]];
    if ((mask & 0x800n) !== 0n && (address & mask & ~0xfffn) === (base & mask & ~0xfffn)) return base & 0xffn;
  }
  return state.mtrrDefault & 0xffn;
}

test('memory types are as firmware leaves them', () => {
  const state = usedVcpu();
  resetVcpu(state, BOOTSTRAP);
  assert.equal(state.mtrrDefault & 0xc00n, 0xc00n);
  const types = [0n, 0x9_ffffn, 0xa_0000n, 0xb_ffffn, 0xc_0000n, 0xf_ffffn, 0x10_0000n, 0xdfff_ffffn, 0xe000_0000n];
  assert.deepEqual(
    [...types, 0xfee0_0000n].map((address) => memoryType(state, address)),
    [6n, 6n, 0n, 0n, 5n, 5n, 6n, 6n, 0n, 0n],
  );
});

test('the TSC starts at 0 at a reset if the machine tells its time', () => {
  const state = usedVcpu();
  resetVcpu(state, { ...BOOTSTRAP, ticks: 1234n });
  assert.equal(BigInt.asUintN(64, 1234n + state.tscOffset), 0n);
  resetVcpu(state, BOOTSTRAP);
  assert.equal(state.tscOffset, 0n);
});

test('INIT keeps floating point, MSRs and TSC, and drops what was pending', () => {
  const state = usedVcpu();
  resetVcpu(state, BOOTSTRAP);
  state.cr0 = 0x8005_003bn;
  state.xmm[3] = 7n;
  state.lstar = 0xffff_8000_0000_0000n;
  state.tscOffset = 99n;
  state.efer = 0xd01n;
  state.nmiPending = 1;
  state.cpl = 3;
  state.rip = 5n;
  initVcpu(state, SECOND);
  assert.deepEqual([state.xmm[3], state.lstar, state.tscOffset], [7n, 0xffff_8000_0000_0000n, 99n]);
  assert.deepEqual([state.cr0, state.efer, state.nmiPending, state.cpl, state.rip], [0x10n, 0n, 0, 0, 0xfff0n]);
  assert.equal(state.activity, ACTIVITY.waitForStart);
});

test('a start-up IPI starts only a processor that waits for one', () => {
  const state = usedVcpu();
  resetVcpu(state, SECOND);
  startVcpu(state, 0x9a);
  assert.deepEqual([state.segmentBase[SEGMENT.cs], state.segmentSelector[SEGMENT.cs]], [0x9a000n, 0x9a00]);
  assert.deepEqual([state.rip, state.activity], [0n, ACTIVITY.running]);
  state.rip = 44n;
  startVcpu(state, 0x10);
  assert.deepEqual([state.segmentBase[SEGMENT.cs], state.rip], [0x9a000n, 44n]);
});

test('an entry state puts the processor into its mode', () => {
  const state = usedVcpu();
  resetVcpu(state, BOOTSTRAP);
  applyEntryState(state, entryState('long', 0x100200, { rsi: 0x7000 }));
  assert.ok(is64Bit(state));
  assert.deepEqual([state.rip, state.gpr[GPR.rsi], state.gpr[GPR.rdx]], [0x100200n, 0x7000n, 0n]);
  assert.deepEqual([state.cpl, state.segmentSelector[SEGMENT.cs]], [0, BOOT_CS]);
  assert.equal(state.cr0 & 0x8000_0001n, 0x8000_0001n);

  resetVcpu(state, BOOTSTRAP);
  applyEntryState(state, entryState('protected', 0x100000, { rbx: 0x3000 }));
  const key = modeKey(state);
  assert.equal(keyCodeSize(key), 4);
  for (let segment = 0; segment < 6; segment++) assert.ok(keyFlat(key, segment), `segment ${segment}`);
  assert.equal(state.efer, 0n);
});

/** A multiboot kernel without ELF headers: magic, flags (addresses given), checksum, addresses, then its code. */
function tinyKernel(): Uint8Array {
  const words = [0x1badb002, 0x10000, -(0x1badb002 + 0x10000), 0x100000, 0x100000, 0, 0, 0x100020];
  return new Uint8Array(Int32Array.from([...words, 0xf4]).buffer);
}

test('a kernel is booted with the tables of the board, again and again', () => {
  const memory = flatMemory(4 * 1024 * 1024);
  const request = { kernel: tinyKernel(), commandLine: 'quiet' };
  const entry = bootKernel(memory, STANDARD_BOARD, request);
  assert.equal(entry.mode, 'protected');
  assert.equal(entry.rip, 0x100020n);
  const first = memory.bytes.slice();
  const text = new TextDecoder('latin1').decode(memory.bytes.subarray(0xe0000, 0x100000));
  for (const signature of ['RSD PTR ', 'APIC', 'FACP', '_MP_', '_SM_']) assert.ok(text.includes(signature), signature);
  memory.bytes.fill(0x5a, 0x100000);
  memory.bytes.fill(0x5a, 0x1000, 0x8000);
  assert.deepEqual(bootKernel(memory, STANDARD_BOARD, request), entry);
  assert.deepEqual(memory.bytes.subarray(0xe0000, 0x100024), first.subarray(0xe0000, 0x100024));
});

test('files that are lent are given back after the boot, whatever came of it', () => {
  const released: string[] = [];
  const lend = (name: string) => () => ({ bytes: Buffer.from(name), release: () => void released.push(name) });
  const request = { kernel: lend('kernel'), initrd: lend('initrd'), commandLine: '' };
  const names = withKernelFiles(request, ({ kernel, initrd }) => `${kernel} ${initrd} ${released.length}`);
  assert.equal(names, 'kernel initrd 0');
  assert.deepEqual(released, ['kernel', 'initrd']);
  const fail = () => {
    throw new Error('no boot');
  };
  assert.throws(() => withKernelFiles(request, fail), /no boot/);
  assert.throws(() => withKernelFiles({ ...request, initrd: fail }, () => 0), /no boot/);
  assert.deepEqual(released, ['kernel', 'initrd', 'kernel', 'initrd', 'kernel']);
});
