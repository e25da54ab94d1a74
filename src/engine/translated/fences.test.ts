import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InterpreterBuilder } from '../../cpu/interpreter/builder.ts';
import { type ShapeMode, shapeOf } from '../../cpu/interpreter/shape.ts';
import type { Block } from '../../ir/node.ts';
import { createDecoder, listEncodings } from '../../isa/decoder.ts';
import type { Helper } from '../../isa/helpers.ts';
import { vcpuHelpers } from './helpers.ts';
import { x86 } from './instruction-set.ts';

const decode = createDecoder(listEncodings(x86.definitions));
const helpers = new Map(vcpuHelpers(x86, 0, false).map((helper) => [helper.name, helper]));
const helperOf = (name: string) => helpers.get(name) as Helper;

/** Kinds of the nodes of a body that order accesses: fences and atomic operations, by name. */
function ordering({ nodes }: Block): string[] {
  return nodes.flatMap((node) => {
    switch (node.kind) {
      case 'fence':
        return ['fence'];
      case 'atomic':
        return [node.op.name];
      case 'if':
      case 'choose':
        return [...ordering(node.consequent), ...ordering(node.alternative)];
      case 'scope':
      case 'hole':
        return ordering(node.body);
      default:
        return [];
    }
  });
}

/** What orders accesses in the handler of an instruction, given in hexadecimal. */
function orderingOf(code: string, shared: boolean): string[] {
  const bytes = Uint8Array.from(code.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const mode: ShapeMode = {
    codeSize: 8,
    stackSize: 8,
    protected: true,
    flatSegments: Array.from({ length: 6 }, () => true),
    shared,
  };
  const instruction = decode(bytes, 0, mode);
  assert.ok(typeof instruction !== 'string', code);
  const shape = shapeOf(instruction, mode);
  const builder = new InterpreterBuilder((name) => helperOf(name).signature, helperOf, shape, 0);
  builder.fill();
  return ordering(builder.body);
}

const CASES: readonly (readonly [name: string, code: string, ...ordering: string[]])[] = [
  ['mfence', '0faef0', 'fence'],
  ['lfence', '0faee8'],
  ['sfence', '0faef8'],
  ['cpuid', '0fa2', 'fence'],
  ['iret', '48cf', 'fence'],
  ['wrmsr', '0f30', 'fence'],
  ['rdmsr', '0f32'],
  ['mov cr3, rax', '0f22d8', 'fence'],
  ['mov rax, cr3', '0f20d8'],
  ['mov dr7, rax', '0f23f8', 'fence'],
  ['invlpg [rax]', '0f0138', 'fence'],
  ['invpcid rax, [rax]', '660f388200', 'fence'],
  ['wbinvd', '0f09', 'fence'],
  ['lgdt [rax]', '0f0110', 'fence'],
  ['lidt [rax]', '0f0118', 'fence'],
  ['ltr ax', '0f00d8', 'fence'],
  ['lldt ax', '0f00d0', 'fence'],
  ['in al, 0x80', 'e480', 'fence'],
  ['rep outsb', 'f36e', 'fence'],
  ['syscall', '0f05'],
  ['mov [rax], rcx', '488908'],
  ['add [rax], ecx', '0108'],
  ['lock add [rax], ecx', 'f00108', 'i64.atomic.rmw32.add_u'],
  ['lock sbb [rax], rcx', 'f0481908', 'i64.atomic.rmw.sub'],
  ['lock not byte [rax]', 'f0f610', 'i64.atomic.rmw8.xor_u'],
  ['lock neg word [rax]', 'f066f718', 'i64.atomic.rmw16.cmpxchg_u'],
  ['lock btr [rax], ecx', 'f00fb308', 'i64.atomic.rmw32.and_u'],
  ['lock cmpxchg8b [rax]', 'f00fc708', 'i64.atomic.rmw.cmpxchg'],
  ['xchg [rax], ecx', '8708', 'i64.atomic.rmw32.xchg_u'],
  ['xchg rax, rcx', '4891'],
  ['xadd [rax], ecx', '0fc108'],
];

test('what orders the accesses of a processor does so where threads share memory', () => {
  for (const [name, code, ...expected] of CASES) {
    assert.deepEqual(orderingOf(code, true), expected, name);
    assert.deepEqual(orderingOf(code, false), [], name);
  }
});
