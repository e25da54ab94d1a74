/** Translated code that does something else than the interpreter is found, whatever it is that differs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../src/base/errors.ts';
import { RegionBuilder } from '../../src/cpu/translator/builder.ts';
import { type InstructionSet, x86 } from '../../src/engine/translated/instruction-set.ts';
import type { Definition, Semantics } from '../../src/isa/definition.ts';
import { AT, createGuest, type Guest } from './guest.ts';

const EVERY_ENTRY = { threshold: 1, verify: { first: 0, every: 1 } };

/** The instruction set with another meaning of an instruction, in regions alone. */
function brokenIn(name: string, broken: (b: RegionBuilder, meaning: () => void) => void): InstructionSet {
  const definitions = x86.definitions.map((definition): Definition => {
    if (definition.name !== name) return definition;
    const semantics: Semantics = (b, ...operands) => {
      const meaning = () => definition.semantics(b, ...operands);
      if (b instanceof RegionBuilder) broken(b, meaning);
      else meaning();
    };
    return { ...definition, semantics };
  });
  const plainNames = new Set([...(x86.plain ?? [])].map((definition) => x86.definitions.indexOf(definition)));
  return { ...x86, definitions, plain: new Set(definitions.filter((_, i) => plainNames.has(i))) };
}

const LOOP = `
  mov ecx, 50
again: add rax, 3
  not rdx
  mov [data+rcx], dl
  pxor xmm1, xmm2
  cmp rcx, 7
  dec ecx
  jnz again
  hlt`;

function run(text: string, instructionSet: InstructionSet = x86): Guest {
  const guest = createGuest({ translation: EVERY_ENTRY, instructionSet });
  guest.load(AT.code, text);
  guest.set({ rax: 1, rbx: AT.data, rdx: 5 });
  guest.state.xmm.set([1n, 2n, 0n, 0n, 3n, 4n, 0n, 0n, 5n, 6n]);
  guest.go(AT.code);
  return guest;
}

function difference(text: string, instructionSet: InstructionSet): string {
  try {
    run(text, instructionSet);
  } catch (error) {
    assert.ok(error instanceof VirtsError && error.kind === 'internal');
    return error.message;
  }
  return 'nothing differed';
}

test('what is right passes, and is counted', () => {
  const guest = run(LOOP);
  assert.equal(guest.get('rax'), 151n);
  const stats = guest.vcpu.stats();
  assert.ok(stats['regions verified'] > 0);
  assert.ok(stats['entries verified'] > 0);
  assert.ok(stats['instructions verified'] > 300);
  assert.equal(stats['entries passed over'], 0);
});

test('a register', () => {
  const broken = brokenIn('not', (b, meaning) => {
    meaning();
    b.setGpr(7, b.i64(9));
  });
  assert.match(
    difference(LOOP, broken),
    /entered at 10\w\w, after \d+ instructions it has rdi = 9, not 0\. It came by/,
  );
});

test('the message has the instructions that led to it, with their bytes', () => {
  const broken = brokenIn('not', (b) => b.setGpr(2, b.i64(0)));
  assert.match(difference(LOOP, broken), /rdx = 0, not \w+.*10\w\w not \(48f7d2\), 10\w\w mov/);
});

test('a flag', () => {
  const broken = brokenIn('cmp', (b) => b.setCarry(b.i32(1)));
  assert.match(difference(LOOP, broken), /rflags = \w+, not \w+/);
});

test('a byte of memory', () => {
  const text = `
  mov ecx, 50
again: bts qword [rbx+8], 9
  dec ecx
  jnz again
  hlt`;
  const broken = brokenIn('bts', (b) => b.modifyAt(b.add(b.gpr(3), b.i64(8)), 8).write(b.i64(0x300)));
  assert.match(difference(text, broken), /memory at physical 100009 = 3, not 2/);
});

test('a store that the interpreter does not make, and one that only the interpreter makes', () => {
  const text = `
  mov ecx, 50
again: neg qword [rbx+8]
  inc qword [rbx+8]
  dec ecx
  jnz again
  hlt`;
  const more = brokenIn('neg', (b, meaning) => {
    b.store(b.add(b.gpr(3), b.i64(0x20)), 1, b.i64(0x55));
    meaning();
  });
  assert.match(difference(text, more), /memory at physical 100020 = 55, not 0/);
  const fewer = brokenIn('inc', (b) => b.setCarry(b.i32(0)));
  assert.match(difference(text, fewer), /memory at physical 100008 = 0, not 1/);
});

test('a lane of a vector register', () => {
  const broken = brokenIn('pxor', (b, meaning) => {
    meaning();
    b.setXmm(1, b.lane('i64x2.replace_lane', 1, b.xmm(1), b.i64(77)));
  });
  assert.match(difference(LOOP, broken), /has xmm1\[1\] = 4d, not 2\./);
});

const FAULTING = `
  mov ecx, 50
again: dec ecx
  xor edx, edx
  div ecx
  jmp again`;

test('a fault of another kind, one too many, and one too few', () => {
  const guest = createGuest({ translation: EVERY_ENTRY });
  guest.load(AT.code, FAULTING);
  guest.set({ rax: 1, rdx: 0 });
  assert.equal(guest.go(AT.code), 'shut down');
  assert.equal(guest.caught[0]?.vector, 0);

  const other = brokenIn('div', (b) => b.raise(13, b.i32(8)));
  assert.match(difference(FAULTING, other), /exception 13:8, not (none|0)/);
  const fewer = brokenIn('div', (b, meaning) => b.if(b.wrap(b.gpr(1)), meaning));
  assert.match(difference(FAULTING, fewer), /vector 0/);
});

test('a page fault at another address', () => {
  const text = `
  mov rbx, 0x3fff00
again: add rbx, 8
  not qword [rbx]
  jmp again`;
  const broken = brokenIn('not', (b, meaning) => {
    b.modifyAt(b.add(b.gpr(3), b.i64(4)), 1);
    meaning();
  });
  assert.equal(run(text).caught[0]?.cr2, 0x40_0000n);
  assert.match(difference(text, broken), /exception 14:2 at 400004, not 14:2 at 400000/);
});

test('a jump to another place', () => {
  const broken = brokenIn('add', (b, meaning) => {
    meaning();
    b.setGpr(1, b.i64(1));
  });
  assert.match(difference(LOOP, broken), /rip = \w+, not|rcx = 0, not|run on, not ended/);
});

test('calls between regions are part of what is compared', () => {
  const text = `
  mov ecx, 400
again: call function
  dec ecx
  jnz again
  hlt
function: add rax, 2
  not rdx
  ret`;
  const guest = run(text);
  assert.equal(guest.get('rax'), 801n);
  const { 'instructions verified': instructions, 'entries verified': entries } = guest.vcpu.stats();
  assert.ok(instructions > 100 * entries, `${instructions} instructions in ${entries} runs`);
});

test('code that overwrites itself is compared as it was', () => {
  const text = `
  mov ecx, 60
again: mov [patched+2], cl
patched: add edx, 1
  not rax
  dec ecx
  jnz again
  hlt`;
  const guest = run(text);
  assert.equal(guest.get('rdx'), 5n + (60n * 61n) / 2n);
  assert.ok(guest.vcpu.stats()['entries verified'] > 0);
});

test('of a sample, the rest is interpreted', () => {
  const guest = createGuest({ translation: { threshold: 1, verify: { first: 2, every: 1000 } } });
  guest.load(AT.code, 'mov ecx, 300\nagain: push rcx\npop rax\nnot rdx\nsmsw esi\ndec ecx\njnz again\nhlt');
  guest.go(AT.code);
  const stats = guest.vcpu.stats();
  assert.ok(stats['entries verified'] > 2 && stats['entries verified'] < 50);
  assert.ok(stats['entries passed over'] > 250);
  assert.equal(guest.get('rax'), 1n);
});
