import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coreHelpers } from '../../isa/helpers.ts';
import { integer, integerHelpers } from '../../isa/integer/index.ts';
import { CR0, EFER, SEGMENT } from '../../isa/state.ts';
import { createArena } from '../../memory/arena.ts';
import { createFramePool } from '../../memory/frame-pool.ts';
import { writeGuest } from '../../memory/guest-memory.ts';
import { createSharedMemory } from '../../memory/layout.ts';
import { createPhysicalMap } from '../../memory/physical-map.ts';
import { createDebugMemory } from '../../vm/gdb/debug-memory.ts';
import { createVcpu } from './vcpu.ts';

function machine() {
  const memory = createSharedMemory();
  const arena = createArena(memory.buffer);
  const map = createPhysicalMap(arena, createFramePool(arena), 1 << 20, {
    codeWritten: (_, a, b, c) => vcpu.codeWritten(a, b, c),
    revoked: (a, b) => vcpu.revoked(a, b),
  });
  const stubs = Object.fromEntries(
    [...coreHelpers, ...integerHelpers]
      .filter((h) => h.body === undefined)
      .map((h) => [
        h.name,
        () => {
          throw new Error(h.name);
        },
      ]),
  );
  const vcpu = createVcpu({
    memory,
    arena,
    map,
    instructionSet: { definitions: integer, helpers: [...coreHelpers, ...integerHelpers], implementation: () => stubs },
    environment: {
      topology: { apicId: 0, count: 1 },
      ports: {},
      mmio: {},
      interrupts: { pending: () => false, acknowledge: () => -1 },
      apic: {},
      clock: {},
      random: () => 0n,
      hypercall: () => 0n,
      log: () => {},
    } as never,
  });
  const { state } = vcpu;
  state.cr0 = BigInt(CR0.pe);
  state.efer = BigInt(EFER.lma | EFER.lme); // long mode without paging: enough here
  state.segmentAttributes[SEGMENT.cs] = 0xa09b;
  state.segmentLimit.fill(0xffffffff);
  state.eflags = 2;
  return { vcpu, map, state };
}
// 1000: mov ecx, 1000 ; 1005: xor eax,eax ; 1007: inc eax ; 1009: nop; 100a: dec ecx ; 100c: jnz 1007 ; 100e: jmp 100e
const CODE = [0xb9, 0xe8, 3, 0, 0, 0x31, 0xc0, 0xff, 0xc0, 0x90, 0xff, 0xc9, 0x75, 0xf9, 0xeb, 0xfe];

test('breakpoints', () => {
  const { vcpu, map, state } = machine();
  writeGuest(map, 0x1000, Uint8Array.from(CODE));
  state.rip = 0x1000n;
  vcpu.stateReplaced();
  assert.equal(vcpu.run(500), 'count');
  const eax = state.gpr[0];
  assert.ok(eax > 50n);
  for (const at of [0x1007n, 0x1009n, 0x100an, 0x100cn]) {
    vcpu.setBreakpoints(new Set([at]));
    let last = 0n;
    for (let i = 0; i < 3; i++) {
      assert.equal(vcpu.run(100000), 'breakpoint');
      assert.equal(state.rip, at);
      if (i > 0) assert.equal(state.gpr[0] - last, 1n);
      last = state.gpr[0];
      assert.equal(vcpu.run(100000), 'breakpoint', 'again, at once');
      const n = vcpu.retired();
      assert.equal(vcpu.step(false), true);
      assert.equal(vcpu.retired() - n, 1);
      assert.notEqual(state.rip, at);
      assert.equal(vcpu.run(2, true), 'count');
    }
  }
  // another page with the same offset is not hit
  vcpu.setBreakpoints(new Set([0x5009n, 0x100en]));
  assert.equal(vcpu.run(1000000), 'breakpoint');
  assert.equal(state.rip, 0x100en);
  assert.equal(state.gpr[0], 1000n);
  assert.equal(vcpu.step(false), true);
  assert.equal(state.rip, 0x100en);
  vcpu.setBreakpoints(new Set());
  assert.equal(vcpu.run(1000), 'count');
  // code written by the debugger is seen
  const dbg = createDebugMemory(state, map);
  assert.equal(dbg.writeMemory(0x100en, Uint8Array.of(0x90, 0xeb, 0xfd)), true);
  const n = vcpu.retired();
  vcpu.run(3, true);
  assert.equal(vcpu.retired() - n, 3);
  assert.deepEqual([...dbg.readMemory(0x100en, 3)], [0x90, 0xeb, 0xfd]);
});
