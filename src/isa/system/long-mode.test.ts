/** System instructions in 64-bit mode, on the engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFlags } from '../../cpu/flags.ts';
import { CR4, EFLAGS, GPR, SEGMENT } from '../state.ts';
import { createRig, PLACE, SELECTOR } from './rig.test-helper.ts';

const rig = createRig();
const { state } = rig;
const word = (value: number): number[] => [
  value & 0xff,
  (value >> 8) & 0xff,
  (value >> 16) & 0xff,
  (value >>> 24) & 0xff,
];

test('control and debug registers', () => {
  // mov rax,cr0; mov rbx,cr8; mov dr0,rax; mov rcx,dr0; mov rdx,dr6; smsw si
  rig.run(
    64,
    [
      0x0f, 0x20, 0xc0, 0x44, 0x0f, 0x20, 0xc3, 0x0f, 0x23, 0xc0, 0x0f, 0x21, 0xc1, 0x0f, 0x21, 0xf2, 0x66, 0x0f, 0x01,
      0xe6,
    ],
    6,
  );
  assert.deepEqual([state.gpr[0], state.gpr[3], state.gpr[1], state.gpr[2]], [0x11n, 5n, 0x11n, 0xffff0ff0n]);
  assert.equal(state.gpr[6], 0x11n);
  assert.deepEqual(rig.exceptions, []);
});

test('reserved bits of CR4 raise #GP, privileged instructions above level 0 as well', () => {
  rig.run(64, [0x0f, 0x22, 0xe0], 1, () => (state.gpr[0] = 1n));
  assert.equal(rig.exceptions[0], '13:0');
  for (const code of [[0x0f, 0x20, 0xc0], [0xf4], [0xfa], [0x0f, 0x01, 0xf8], [0x0f, 0x30], [0x0f, 0x06]]) {
    rig.run(64, code, 1, undefined, 3);
    assert.equal(rig.exceptions[0], '13:0', code.map((x) => x.toString(16)).join(' '));
  }
});

test('UMIP keeps SGDT from programs', () => {
  const sgdt = [0x0f, 0x01, 0x04, 0x25, ...word(PLACE.data)];
  rig.run(64, sgdt, 1, undefined, 3);
  assert.deepEqual(rig.exceptions, []);
  assert.deepEqual(rig.read(PLACE.data, 10), [71, 0, 0, 0x20, 0, 0, 0, 0, 0, 0]);
  rig.run(64, sgdt, 1, () => (state.cr4 = BigInt(CR4.umip)), 3);
  assert.equal(rig.exceptions[0], '13:0');
});

test('LGDT takes ten bytes and refuses a base that is not canonical', () => {
  const lgdt = [0x0f, 0x01, 0x14, 0x25, ...word(PLACE.data)];
  rig.run(64, lgdt, 1, () => rig.write(PLACE.data, [0x34, 0x12, 8, 7, 6, 5, 4, 0, 0, 0]));
  assert.deepEqual([state.gdtrBase, state.gdtrLimit], [0x04_0506_0708n, 0x1234]);
  rig.run(64, lgdt, 1, () => rig.write(PLACE.data, [0x34, 0x12, 0, 0, 0, 0, 0, 0, 1, 0]));
  assert.equal(rig.exceptions[0], '13:0');
});

test('bases of FS and GS: MSRs, WRFSBASE, SWAPGS', () => {
  // mov ecx,c0000102; mov edx,-1; mov eax,80000000; wrmsr; swapgs; rdgsbase rsi; wrfsbase rsi; rdmsr
  const code = [0xb9, ...word(0xc0000102), 0xba, ...word(-1), 0xb8, ...word(0x80000000), 0x0f, 0x30, 0x0f, 0x01, 0xf8];
  rig.run(
    64,
    [...code, 0xf3, 0x48, 0x0f, 0xae, 0xce, 0xf3, 0x48, 0x0f, 0xae, 0xd6, 0x0f, 0x32],
    8,
    () => (state.cr4 = BigInt(CR4.fsgsbase)),
  );
  assert.equal(state.segmentBase[SEGMENT.gs], 0xffff_ffff_8000_0000n);
  assert.equal(state.segmentBase[SEGMENT.fs], 0xffff_ffff_8000_0000n);
  assert.deepEqual([state.gpr[0], state.gpr[2]], [0n, 0n]);
  rig.run(64, [0xf3, 0x48, 0x0f, 0xae, 0xce], 1);
  assert.equal(rig.exceptions[0], 6, '#UD without CR4.FSGSBASE');
});

test('a base that is not canonical, an unknown MSR', () => {
  rig.run(64, [0x0f, 0x30], 1, () => state.gpr.set([0n, 0xc0000100n, 0x8000_0000n]));
  assert.equal(rig.exceptions[0], '13:0');
  rig.run(64, [0x0f, 0x32], 1, () => state.gpr.set([0n, 0x9999n]));
  assert.equal(rig.exceptions[0], '13:0');
});

test('SYSCALL and SYSRET', () => {
  rig.run(
    64,
    [0x0f, 0x05],
    1,
    () => {
      state.star = (0x1bn << 48n) | (0x08n << 32n);
      state.lstar = 0x5000n;
      state.sfmask = BigInt(EFLAGS.if | EFLAGS.df);
      state.eflags |= EFLAGS.if | EFLAGS.df;
    },
    3,
  );
  assert.equal(state.rip, 0x5000n);
  assert.equal(state.gpr[GPR.rcx], BigInt(PLACE.code + 2));
  assert.equal(state.gpr[11], BigInt(2 | EFLAGS.if | EFLAGS.df));
  assert.deepEqual([state.cpl, state.segmentSelector[1], state.segmentSelector[2]], [0, 8, 16]);
  assert.equal(state.eflags & (EFLAGS.if | EFLAGS.df), 0);

  rig.run(64, [0x48, 0x0f, 0x07], 1, () => {
    state.star = 0x1bn << 48n;
    state.gpr[1] = 0x5000n;
    state.gpr[11] = BigInt(EFLAGS.if | EFLAGS.vm | EFLAGS.cf);
  });
  assert.deepEqual([state.cpl, state.segmentSelector[1], state.segmentSelector[2]], [3, 0x2b, 0x23]);
  assert.equal(state.rip, 0x5000n);
  assert.equal(readFlags(state), 2 | EFLAGS.if | EFLAGS.cf);
  rig.run(64, [0x48, 0x0f, 0x07], 1, () => (state.gpr[1] = 1n << 60n));
  assert.equal(rig.exceptions[0], '13:0');
});

test('SYSENTER and SYSEXIT', () => {
  rig.run(
    64,
    [0x0f, 0x34],
    1,
    () => {
      state.sysenterCs = 8n;
      state.sysenterEip = 0x5000n;
      state.sysenterEsp = 0x7000n;
    },
    3,
  );
  assert.deepEqual([state.cpl, state.rip, state.gpr[4], state.segmentSelector[2]], [0, 0x5000n, 0x7000n, 16]);
  rig.run(64, [0x0f, 0x35], 1, () => {
    state.sysenterCs = 8n;
    state.gpr[2] = 0x1_0000_5000n;
    state.gpr[1] = 0x1_0000_7000n;
  });
  assert.deepEqual([state.cpl, state.rip, state.gpr[4], state.segmentSelector[1]], [3, 0x5000n, 0x7000n, 0x1b]);
  rig.run(64, [0x0f, 0x34], 1, () => (state.sysenterCs = 0n));
  assert.equal(rig.exceptions[0], '13:0');
});

test('INT to an inner level and IRETQ back', () => {
  // int 0x40; nop
  rig.run(
    64,
    [0xcd, 0x40, 0x90],
    2,
    () => {
      rig.gate(0x40, PLACE.code + 0x100, 3);
      rig.write(PLACE.code + 0x100, [0x48, 0xcf]);
      state.eflags |= EFLAGS.if;
    },
    3,
  );
  assert.deepEqual(rig.exceptions, []);
  assert.equal(state.rip, BigInt(PLACE.code + 2));
  assert.deepEqual(
    [state.cpl, state.segmentSelector[1], state.segmentSelector[2]],
    [3, SELECTOR.userCode, SELECTOR.userData],
  );
  assert.equal(state.gpr[4], BigInt(PLACE.stack));
  assert.equal(state.eflags & EFLAGS.if, EFLAGS.if);
});

test('an interrupt waits for the instruction after STI, and wakes HLT', () => {
  // sti; nop; nop
  rig.start(64, [0xfb, 0x90, 0x90]);
  rig.gate(0x40, 0x5000);
  rig.interrupt(0x40);
  rig.vcpu.run(3, true);
  assert.deepEqual(
    rig.read(Number(state.gpr[4]), 2),
    [PLACE.code + 2, 0].flatMap((x) => [x & 0xff, x >> 8]).slice(0, 2),
  );
  // sti; hlt
  rig.start(64, [0xfb, 0xf4]);
  rig.gate(0x40, 0x5000);
  assert.equal(rig.vcpu.run(100), 'inactive');
  assert.equal(state.activity, 1);
  rig.interrupt(0x40);
  rig.vcpu.run(1);
  assert.deepEqual(rig.read(Number(state.gpr[4]), 2), [2, 0x10]);
  assert.equal(state.activity, 0);
});

test('far return to compatibility mode, far jump back', () => {
  // push 0x40; push 0x1100; retfq   /  1100: jmp far [0x6000]
  rig.run(64, [0x6a, SELECTOR.code32, 0x68, ...word(PLACE.code + 0x100), 0x48, 0xcb], 4, () => {
    rig.write(PLACE.code + 0x100, [0xff, 0x2d, ...word(PLACE.data)]);
    rig.write(PLACE.data, [...word(PLACE.code + 0x200), SELECTOR.code, 0]);
  });
  assert.deepEqual(rig.exceptions, []);
  assert.equal(state.rip, BigInt(PLACE.code + 0x200));
  assert.equal(state.segmentSelector[SEGMENT.cs], SELECTOR.code);
});

test('null selectors: data segments and SS below level 3, not CS', () => {
  rig.run(64, [0x8e, 0xd8, 0x8e, 0xd0, 0x8c, 0xd1], 3);
  assert.deepEqual(rig.exceptions, []);
  assert.equal(state.segmentSelector[SEGMENT.ss], 0);
  rig.run(64, [0x8e, 0xc8], 1);
  assert.equal(rig.exceptions[0], 6);
  rig.run(64, [0x8e, 0xd0], 1, undefined, 3);
  assert.equal(rig.exceptions[0], '13:0');
});

test('ports: sizes, and strings in both directions', () => {
  // in al,0x60; out dx,eax; rep insw; outsb
  rig.run(64, [0xe4, 0x60, 0xef, 0xf3, 0x66, 0x6d, 0x6e], 6, () => {
    state.gpr.set([0xffff_ffff_ffff_ff00n, 3n, 0x3f8n]);
    state.gpr[7] = BigInt(PLACE.data);
    state.gpr[6] = BigInt(PLACE.data);
  });
  const word2 = 'read 3f8 2';
  assert.deepEqual(rig.ports, ['read 60 1', 'write 3f8 4 ffffff64', word2, word2, word2, 'write 3f8 1 64']);
  assert.deepEqual(rig.read(PLACE.data, 7), [0x64, 0x63, 0x64, 0x63, 0x64, 0x63, 0]);
  assert.deepEqual([state.gpr[1], state.gpr[7], state.gpr[6]], [0n, BigInt(PLACE.data + 6), BigInt(PLACE.data + 1)]);
});

test('the I/O permission bitmap', () => {
  const bitmap = (byte: number) => () => {
    rig.write(PLACE.tss + 102, [104, 0]);
    rig.write(PLACE.tss + 104 + 0x3f8 / 8, [byte, 0]);
  };
  rig.run(
    64,
    [0xec],
    1,
    () => {
      bitmap(0xfe)();
      state.gpr[2] = 0x3f8n;
    },
    3,
  );
  assert.deepEqual(rig.exceptions, []);
  rig.run(
    64,
    [0x66, 0xed],
    1,
    () => {
      bitmap(0xfe)();
      state.gpr[2] = 0x3f8n;
    },
    3,
  );
  assert.equal(rig.exceptions[0], '13:0');
});

test('TSC and CPUID', () => {
  // rdtsc; mov esi,eax; rdtscp; cpuid of leaf 0
  rig.run(
    64,
    [0x0f, 0x31, 0x89, 0xc6, 0x0f, 0x01, 0xf9, 0x29, 0xf0, 0x89, 0xc7, 0x31, 0xc0, 0x0f, 0xa2],
    7,
    () => (state.tscAux = 7n),
  );
  assert.equal(state.gpr[7], 1000n);
  assert.equal(state.gpr[0], 0x16n);
  assert.deepEqual(
    [3, 2, 1].map((r) => Buffer.from(word(Number(state.gpr[r]))).toString()),
    ['Genu', 'ineI', 'ntel'],
  );
  rig.run(64, [0x0f, 0x31], 1, () => (state.cr4 = BigInt(CR4.tsd)), 3);
  assert.equal(rig.exceptions[0], '13:0');
});

test('LAR, LSL, VERR, VERW set ZF where the segment can be seen', () => {
  const run = (code: number[], selector: number, level: 0 | 3) => {
    rig.run(64, code, 1, () => state.gpr.set([0x1234n, BigInt(selector)]), level);
    return (readFlags(state) & EFLAGS.zf) !== 0 ? Number(state.gpr[0]) : undefined;
  };
  assert.equal(run([0x0f, 0x02, 0xc1], SELECTOR.data, 0), 0xc09300);
  assert.equal(run([0x0f, 0x02, 0xc1], SELECTOR.data, 3), undefined);
  assert.equal(run([0x0f, 0x03, 0xc1], SELECTOR.userData, 3), 0xffff_ffff);
  assert.equal(run([0x0f, 0x02, 0xc1], 0x800, 0), undefined);
  assert.equal(run([0x0f, 0x00, 0xe1], SELECTOR.userData, 3), 0x1234);
  assert.equal(run([0x0f, 0x00, 0xe9], SELECTOR.userCode, 3), undefined);
});

test('single-step traps after each instruction', () => {
  rig.run(64, [0x90, 0x90], 2, () => {
    rig.gate(1, 0x5000);
    rig.write(0x5000, [0x90]);
    state.eflags |= EFLAGS.tf;
  });
  assert.equal(state.dr[6] & 0x4000n, 0x4000n);
  assert.deepEqual(rig.read(Number(state.gpr[4]), 2), [1, 0x10]);
});
